"""Intensities in [0, 1] to input spikes: on the grid for a clock, at exact times for the event and hybrid engines."""

import numpy as np

from snnsim.engines.grid import GridSpikes, slab_of_grid
from snnsim.engines.outputs import SpikeOutput
from snnsim.errors import InputError
from snnsim.kernels import cpu
from snnsim.spikes import grid_steps

ENCODERS = ("poisson", "poisson-rate", "regular", "latency")
ALWAYS = 2**32
WORD = 0xFFFFFFFF


class Encoder:
    """Turns intensities into spikes; the same (seed, epoch, sample) gives the same spikes everywhere, in any order.

    Parameters
    ----------
    name : {"poisson", "poisson-rate", "regular", "latency"}
        ``poisson``: in every step a spike with probability ``max_probability * x``. ``poisson-rate``: a Poisson process
        of rate ``max_rate * x`` per unit time, at most one spike a step (probability ``1 - exp(-rate dt)``), so that
        the activity per unit time does not depend on dt. ``regular``: evenly spaced spikes, ``max_probability * x`` a
        step. ``latency``: one spike at ``t_latest * (1 - x)`` where ``x > latency_floor``, none elsewhere.
    dt : float
    n_steps : int
    max_probability : float
        In [0, 1].
    max_rate : float
        Spikes per unit time at intensity 1.
    t_latest : float
        Time of the faintest pixel's spike, in (0, duration]; 0 stands for the trial's duration.
    latency_floor : float
        Intensities up to here do not spike.
    seed : int
        In [0, 2^32).

    Raises
    ------
    InputError
        If a value is out of range.
    """

    def __init__(
        self, name, *, dt, n_steps, max_probability=1.0, max_rate=1.0, t_latest=0.0, latency_floor=0.0, seed=0
    ):
        if name not in ENCODERS:
            raise InputError(f"encoder.name = {name!r}: must be one of {', '.join(ENCODERS)}")
        if not 0 <= max_probability <= 1:
            raise InputError(f"encoder.max_probability = {max_probability}: must lie in 0..1")
        if not 0 <= max_rate < np.inf:
            raise InputError(f"encoder.max_rate = {max_rate}: must be a number of at least 0")
        self.name, self.dt, self.n_steps, self.seed = name, float(dt), int(n_steps), int(seed) & WORD
        self.duration = self.dt * self.n_steps
        if not 0 <= t_latest <= self.duration * (1 + 1e-9):
            raise InputError(f"encoder.t_latest = {t_latest}: must lie in 0..{self.duration:g}, the trial's duration")
        self.max_probability, self.max_rate = float(max_probability), float(max_rate)
        self.t_latest = float(t_latest) or self.duration
        self.latency_floor = float(latency_floor)
        # One entry per 8-bit intensity: images need no arithmetic per pixel.
        self._table = self._drive(np.arange(256) / 255)
        self._cap = 64

    def _drive(self, x):
        """Map intensity to what the kernels take: a 32-bit threshold, or a spike time (-1 for none)."""
        if self.name == "latency":
            return np.where(x > self.latency_floor, self.t_latest * (1 - x), -1.0)
        p = -np.expm1(-self.max_rate * self.dt * x) if self.name == "poisson-rate" else self.max_probability * x
        return np.rint(p * ALWAYS).astype(np.int64)

    def _of(self, values):
        return self._table[values] if values.dtype == np.uint8 else self._drive(values.astype(np.float64))

    def drives(self, values):
        """Map intensities to what the kernels of a grid take: 32-bit thresholds, or steps (-1 for none); int64."""
        drive = self._of(values)
        if self.name != "latency":
            return drive
        steps = np.full(drive.shape, -1, np.int64)
        spiking = drive >= 0
        steps[spiking] = grid_steps(drive[spiking], self.dt, self.n_steps)
        return steps

    def on_grid(self, values, sample_ids, epoch=0, group=1):
        """Encode a batch for a clock.

        Parameters
        ----------
        values : ndarray, (B, N) uint8, or float in [0, 1]
            Of a uint8, 255 is intensity 1.
        sample_ids : ndarray, (B,) int64
        epoch : int
        group : {1, 4}
            Spikes by neuron or by pattern of four neurons.

        Returns
        -------
        GridSpikes
        """
        drive, n_neurons = self.drives(values), values.shape[1]
        row_ptr = np.empty((len(values), self.n_steps + 1), np.int32)
        while True:
            rows = np.empty((len(values), self._cap), np.int32)
            if self.name == "latency":
                cpu.encode_steps(drive, self.n_steps, group, rows, row_ptr)
            elif self.name == "regular":
                cpu.encode_regular(drive, self.n_steps, group, rows, row_ptr)
            else:
                cpu.encode_poisson(drive, sample_ids, self.seed, int(epoch) & WORD, self.n_steps, group, rows, row_ptr)
            most = int(row_ptr[:, -1].max(initial=0))
            if most <= self._cap:
                return GridSpikes(rows, row_ptr, n_neurons, group)
            self._cap = most + most // 4

    def in_time(self, values, sample_ids, epoch=0):
        """Encode a batch for the event and hybrid engines; a grid encoder's spikes lie at the end of their steps.

        Parameters
        ----------
        values, sample_ids, epoch
            As in :meth:`on_grid`.

        Returns
        -------
        SpikeOutput
        """
        n_neurons = values.shape[1]
        if self.name == "latency":
            times = self._of(values)
            counts = (times >= 0).sum(axis=1).astype(np.int32)
            order = np.argsort(np.where(times >= 0, times, np.inf), axis=1, kind="stable")[:, : counts.max(initial=1)]
            neurons = np.ascontiguousarray(order, np.int32)
            return SpikeOutput(neurons, np.take_along_axis(times, order, 1), counts, n_neurons, self.duration)
        grid = self.on_grid(values, sample_ids, epoch)
        return slab_of_grid(grid, self.dt)
