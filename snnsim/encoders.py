"""Intensities in [0, 1] to input spikes: on the grid for a clock, at exact times for the event and hybrid engines."""

import numpy as np

from snnsim.engines.grid import GridSpikes, slab_of_grid
from snnsim.engines.outputs import SpikeOutput
from snnsim.errors import InputError
from snnsim.kernels import cpu
from snnsim.registry import ENCODERS
from snnsim.spikes import grid_steps

ALWAYS = 2**32
WORD = 0xFFFFFFFF
MOST_A_STEP = 100
"""Spikes of an input in a step, in the mean, that ``poisson-rate`` allows."""


class Encoder:
    """Turns intensities into spikes; the same (seed, epoch, sample) gives the same spikes everywhere, in any order.

    Parameters
    ----------
    name : {"poisson", "poisson-rate", "regular", "latency"}
        ``poisson``: in every step a spike with probability ``max_probability * x``. ``poisson-rate``: a Poisson process
        of rate ``max_rate * x`` per unit time; a step has a Poisson number of spikes of mean ``max_rate * x * dt``, one
        or several, so that the activity per unit time does not depend on dt. ``regular``: evenly spaced spikes,
        ``max_probability * x`` a step. ``latency``: one spike at ``t_latest * (1 - x)`` where ``x > latency_floor``,
        none elsewhere.
    dt : float
    n_steps : int
    max_probability : float
        In [0, 1].
    max_rate : float
        Spikes per unit time at intensity 1; at most :data:`MOST_A_STEP` a step in the mean.
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
        if name not in tuple(ENCODERS):
            raise InputError(f"encoder.name = {name!r}: must be one of {ENCODERS.help}")
        if not 0 <= max_probability <= 1:
            raise InputError(f"encoder.max_probability = {max_probability}: must lie in 0..1")
        check_rate(max_rate, dt)
        self.name, self.dt, self.n_steps, self.seed = name, float(dt), int(n_steps), int(seed) & WORD
        self.duration = self.dt * self.n_steps
        if not 0 <= t_latest <= self.duration * (1 + 1e-9):
            raise InputError(f"encoder.t_latest = {t_latest}: must lie in 0..{self.duration:g}, the trial's duration")
        self.max_probability, self.max_rate = float(max_probability), float(max_rate)
        self.t_latest = min(float(t_latest) or self.duration, self.duration)
        self.latency_floor = float(latency_floor)
        # One entry per 8-bit intensity: images need no arithmetic per pixel.
        self._draws = draws(self.max_rate * self.dt) if name == "poisson-rate" else 1
        self._table = self._drive(np.arange(256) / 255)
        self._cap = 64

    def _drive(self, x):
        """Map intensity to what the kernels take: a 32-bit threshold, or a spike time (-1 for none)."""
        if self.name == "latency":
            return np.where(x > self.latency_floor, self.t_latest * (1 - x), -1.0)
        if self.name == "poisson-rate":
            p = next_spike(self.max_rate * self.dt * x, self._draws)
        else:
            p = self.max_probability * x
        return np.rint(p * ALWAYS).astype(np.int64)

    def _of(self, values):
        if values.dtype == np.uint8:
            return np.take(self._table, values, axis=-1)
        return self._drive(checked_intensities(values))

    @property
    def repeats(self):
        """Whether a neuron may spike several times in a step."""
        return self.name == "poisson-rate"

    def room(self, n_neurons):
        """Spikes of a sample for which there must be room on a grid.

        Where a neuron may spike several times in a step, a Poisson number of the mean that intensities of 1 give
        exceeds it with a probability below 1e-30 (Chernoff's bound).
        """
        once = self.n_steps * n_neurons
        mean = once * self.max_rate * self.dt
        return once if not self.repeats else int(mean + 12 * np.sqrt(mean) + 150)

    def drives(self, values):
        """Map intensities to what the kernels of a grid take: 32-bit thresholds, or steps (-1 for none); int64.

        Of ``poisson-rate`` there are several thresholds, along an axis before those of the intensities.
        """
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
                encode = cpu.encode_poisson_counts if self.name == "poisson-rate" else cpu.encode_poisson
                encode(drive, sample_ids, self.seed, int(epoch) & WORD, self.n_steps, group, rows, row_ptr)
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


def draws(mean):
    """Count the spikes of a step that are looked for, of so many in the mean: more have a probability below 2**-32."""
    p, left, n = np.exp(-mean), -np.expm1(-mean), 1
    while left >= 2.0**-32:
        p *= mean / n
        left, n = left - p, n + 1
    return n


def next_spike(mean, n_draws):
    """Probability that a Poisson number exceeds p, where it is at least p.

    Parameters
    ----------
    mean : ndarray
    n_draws : int

    Returns
    -------
    ndarray, (n_draws, ...) float64, followed by the shape of ``mean``
        For p from 0 to ``n_draws - 1``.
    """
    out = np.empty((n_draws, *np.shape(mean)))
    # P(n >= p)/P(n = p), from beyond what is asked for downward: sums of positive terms, no cancellation.
    tail = np.ones(np.shape(mean))
    for p in range(n_draws + 24, 0, -1):
        further = mean / p * tail
        tail = 1 + further
        if p <= n_draws:
            out[p - 1] = further / tail
    out[0] = -np.expm1(-mean)
    return out


def check_rate(max_rate, dt):
    """Refuse a rate of ``poisson-rate`` that is no number, or gives too many spikes a step."""
    if not 0 <= max_rate < np.inf:
        raise InputError(f"encoder.max_rate = {max_rate}: must be a number of at least 0")
    if max_rate * dt > MOST_A_STEP:
        raise InputError(
            f"encoder.max_rate = {max_rate}: at most {MOST_A_STEP} spikes a step, {MOST_A_STEP / dt:g} with dt = {dt:g}"
        )


def checked_intensities(values):
    """Give intensities as float64; raises InputError unless all lie in 0..1."""
    values = np.asarray(values, np.float64)
    if values.size and not (values.min() >= 0 and values.max() <= 1):
        bad = values[~((values >= 0) & (values <= 1))][0]
        raise InputError(f"intensities: {bad:g} among them: floats must lie in 0..1 (0..255 if given as uint8)")
    return values
