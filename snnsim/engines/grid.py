"""Spikes on the grid of a clock, and how they lie in continuous time."""

from dataclasses import dataclass, replace

import numpy as np

from snnsim.engines.outputs import SpikeOutput
from snnsim.spikes import grid_steps


@dataclass(frozen=True)
class GridSpikes:
    """Spikes on the grid of a batch, ordered by step.

    Parameters
    ----------
    rows : ndarray, (B, cap) int32
        Neurons (``group = 1``) or patterns of four neurons (``group = 4``, see :mod:`snnsim.kernels.cpu.synapse`),
        ascending within a step; one that spikes several times in a step stands there as often.
    row_ptr : ndarray, (B, T + 1) int32
    n_neurons : int
    group : {1, 4}
    """

    rows: np.ndarray
    row_ptr: np.ndarray
    n_neurons: int
    group: int = 1

    @property
    def total(self):
        """Number of entries."""
        return int(self.row_ptr[:, -1].sum())

    def of(self, block):
        """Take a slice of the samples; arrays are views."""
        return replace(self, rows=self.rows[block], row_ptr=self.row_ptr[block])


def slab_of_grid(grid, dt):
    """Spikes on the grid (by neuron) as a slab with times at the ends of their steps."""
    n_steps = grid.row_ptr.shape[1] - 1
    counts = np.ascontiguousarray(grid.row_ptr[:, -1])
    times = np.zeros(grid.rows.shape)
    steps = np.repeat(np.tile(np.arange(1, n_steps + 1), len(counts)), np.diff(grid.row_ptr, axis=1).reshape(-1))
    times[np.arange(grid.rows.shape[1]) < counts[:, None]] = steps * dt
    return SpikeOutput(grid.rows, times, counts, grid.n_neurons, dt * n_steps)


def grid_of_spikes(spikes, dt, n_steps):
    """Spike trains on the grid of a clock.

    Parameters
    ----------
    spikes : snnsim.spikes.Spikes
    dt : float
    n_steps : int

    Returns
    -------
    GridSpikes

    Raises
    ------
    InputError
        If a spike lies beyond the last step.
    """
    batch = len(spikes)
    per_trial = np.diff(spikes.offsets)
    # One number for trial, step and neuron: sorting numbers is several times faster than lists of places.
    key = np.repeat(np.arange(batch, dtype=np.int64) * n_steps, per_trial)
    key += grid_steps(spikes.times, dt, n_steps, spikes.precision)
    counts = np.bincount(key, minlength=batch * n_steps).reshape(batch, n_steps)
    key *= spikes.n_neurons
    key += spikes.neurons
    key.sort()
    key %= spikes.n_neurons
    rows = np.zeros((batch, max(int(per_trial.max(initial=0)), 1)), np.int32)
    rows[np.arange(rows.shape[1]) < per_trial[:, None]] = key
    row_ptr = np.zeros((batch, n_steps + 1), np.int32)
    np.cumsum(counts, axis=1, out=row_ptr[:, 1:])
    return GridSpikes(rows, row_ptr, spikes.n_neurons)
