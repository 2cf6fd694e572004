"""What all ways share: the clock they run on, delays in steps, and lists by their step of arrival."""

from dataclasses import dataclass

import numpy as np

from snnsim.engines.grid import GridSpikes
from snnsim.kernels.cpu import synapse as lists
from snnsim.kernels.cpu import synapses as kernels

SNAP = 1e-5
"""Delays this near to a whole number of steps are one: float32 does not hold the times of a grid exactly."""


@dataclass(frozen=True)
class Clock:
    """What a way must know of the engine.

    Parameters
    ----------
    dt : float
    n_steps : int
    dtype : dtype
    amplitude : bool
        Whether derivatives are by a spike's amplitude, else by its time.
    every_step : bool
        Whether every step has one, not only spikes.
    synapse : {"auto", "gather", "pattern", "dense"}
    """

    dt: float
    n_steps: int
    dtype: np.dtype
    amplitude: bool = False
    every_step: bool = False
    synapse: str = "auto"


def delay_steps(delay, dt):
    """Whole steps (int32) and fractions (float64, in [0, 1)) of delays, in their shape."""
    exact = np.asarray(delay, np.float64) / dt
    near = np.rint(exact)
    exact = np.where(np.abs(exact - near) <= SNAP * np.maximum(near, 1), near, exact)
    steps = np.floor(exact)
    return steps.astype(np.int32), exact - steps


class Way:
    """A connection on a clock; see :mod:`snnsim.engines.ways`.

    Attributes
    ----------
    plan : str or None
        How it computes, None while undecided. Part of a checkpoint: it decides the order of sums.
    chooses : bool
        Whether there is more than one way to compute it.
    inner : bool
        Whether it lies inside a component, whose loop sums its input; then only its gradients are computed here.
    reach : int
        How many rows behind a chunk it reads of the adjoint.
    """

    plan = None
    chooses = False

    def __init__(self, connection, network, clock, workspace, inner=False):
        self.inner = inner
        self.connection, self.clock, self.workspace = connection, clock, workspace
        self.name = connection.name
        self.source = network.populations_by_name[connection.source]
        self.target = network.populations_by_name[connection.target]
        self.learns_weight = "weight" in connection.learn
        self.learns_delay = "delay" in connection.learn
        self.reach = 1

    def delay(self, tensors):
        """Delay in whole steps and fractions."""
        return delay_steps(tensors[f"{self.name}.delay"] if self.learns_delay else self.connection.delay, self.clock.dt)

    def change(self, adjoint, span):
        """``(X_{k+1} - X_k)/dt`` of a chunk's steps: what a later arrival changes, per unit of weight."""
        change = self.workspace.array("change", (len(adjoint), span, adjoint.shape[2]), adjoint.dtype)
        np.subtract(adjoint[:, 1 : span + 1], adjoint[:, :span], out=change)
        change /= self.clock.dtype.type(self.clock.dt)
        return change

    def array(self, key, shape, dtype=None):
        """Give an array of the workspace."""
        return self.workspace.array((self.name, key), shape, self.clock.dtype if dtype is None else dtype)

    def by_neuron(self, spikes):
        """Spikes by neuron, out of patterns if they come so."""
        if spikes.group == 1:
            return spikes
        cap = int(lists.GROUP * spikes.row_ptr[:, -1].max(initial=0))
        rows = self.array("neurons", (len(spikes.row_ptr), cap), np.int32)
        row_ptr = self.array("neuron_ptr", spikes.row_ptr.shape, np.int32)
        lists.ungroup_spikes(spikes.rows, spikes.row_ptr, rows, row_ptr)
        return GridSpikes(rows, row_ptr, spikes.n_neurons)

    def shifted(self, key, spikes, steps):
        """Spikes so many steps later: the same list, with another pointer."""
        if not steps:
            return spikes
        row_ptr = self.array(("shifted", key), spikes.row_ptr.shape, np.int32)
        row_ptr[:, : steps + 1] = 0
        row_ptr[:, steps:] = spikes.row_ptr[:, : spikes.row_ptr.shape[1] - steps]
        return GridSpikes(spikes.rows, row_ptr, spikes.n_neurons)

    def listed(self, key, spikes, steps, rows_of, n_rows):
        """Give spikes as rows ``rows_of`` (N,) by their arrival ``steps`` (N,) later, and the place each is from."""
        rows = self.array(("rows", key), spikes.rows.shape, np.int32)
        row_ptr = self.array(("row_ptr", key), spikes.row_ptr.shape, np.int32)
        source = self.array(("source", key), spikes.rows.shape, np.int32)
        kernels.arrivals(spikes.rows, spikes.row_ptr, steps, rows_of, rows, row_ptr, source)
        return GridSpikes(rows, row_ptr, n_rows), source

    def add_delay_gradient(self, found, spikes, k0, k1, grads):
        """Add dL/d(arrival time) of each spike that arrives in a chunk to the gradient of one delay, or one a neuron.

        Parameters
        ----------
        found : ndarray, (B, cap) float
        spikes : GridSpikes
            By step of arrival.
        k0, k1 : int
        grads : dict of str to ndarray
        """
        at = np.arange(spikes.rows.shape[1])
        arrived = (at >= spikes.row_ptr[:, k0, None]) & (at < spikes.row_ptr[:, k1, None])
        grad = grads[f"{self.name}.delay"]
        if np.ndim(self.connection.delay) == 0:
            grad += found[arrived].sum(dtype=np.float64)
        else:
            grad += np.bincount(spikes.rows[arrived], found[arrived], self.source.size).astype(grad.dtype)
