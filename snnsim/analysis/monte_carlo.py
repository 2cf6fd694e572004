"""Monte Carlo of a population under Poisson input: by a clock under each scheme, and in continuous time."""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from snnsim.errors import InputError
from snnsim.kernels.cpu.population import block_counts, monte_carlo_clock, monte_carlo_events
from snnsim.parameters import scheme_coefficients

TWO_32 = 4294967296


@dataclass(frozen=True)
class PopulationSample:
    """States and spikes of independent neurons.

    Parameters
    ----------
    engine : {"clock", "event"}
    scheme : str or None
    dt : float or None
    n_neurons : int
    saved_times : ndarray, (K,) float64
    v, i : ndarray, (K, N) float64
        States at ``saved_times``, v relative to rest and after a reset.
    times : ndarray, (T,) float64
        Ends of the time bins of ``firing_rate``; a clock's are its steps.
    firing_rate : ndarray, (T,) float64
        Spikes per neuron and unit of time in each bin.
    """

    engine: str
    scheme: str | None
    dt: float | None
    n_neurons: int
    saved_times: np.ndarray
    v: np.ndarray
    i: np.ndarray
    times: np.ndarray
    firing_rate: np.ndarray

    def moments(self, k=-1):
        """``[mean_v, mean_i, var_v, var_i, cov_vi]`` at a saved time, and their standard errors: two arrays (5,)."""
        v, i = self.v[k], self.i[k]
        dv, di = v - v.mean(), i - i.mean()
        samples = (v, i, dv**2, di**2, dv * di)
        n = np.sqrt(self.n_neurons)
        return np.array([x.mean() for x in samples]), np.array([x.std() / n for x in samples])

    def mean_rate(self, start):
        """Mean firing rate from time ``start`` on, and its Poisson standard error."""
        late = self.times > start
        width = self.times[1] - self.times[0] if self.times.size > 1 else self.times[0]
        span = late.sum() * width
        rate = float(self.firing_rate[late].mean())
        return rate, float(np.sqrt(rate / (self.n_neurons * span)))


def arrival_limits(mean):
    """Cumulative distribution of a Poisson number times 2^32 as integers, ending in 2^32; (C,) int64."""
    count = np.arange(int(mean + 12 * np.sqrt(mean) + 40))
    limits = np.rint(stats.poisson.cdf(count, mean) * TWO_32).astype(np.int64)
    return np.append(limits[limits < TWO_32], TWO_32)


def sample_clock(
    parameters,
    rate,
    weight,
    dt,
    n_steps,
    *,
    scheme="backward_euler",
    n_neurons=100_000,
    seed=0,
    save_steps=None,
):
    """Advance independent neurons from rest on a clock; the weight per step is a Poisson number of spikes.

    Parameters
    ----------
    parameters : LIFParameters
        ``reset = "none"`` means no threshold.
    rate, weight, dt : float
    n_steps : int
    scheme : str
    n_neurons : int
    seed : int
        Non-negative, below 2^32.
    save_steps : sequence of int, optional
        Ascending numbers of steps after which states are kept; by default the end.

    Returns
    -------
    PopulationSample
    """
    coefficients = scheme_coefficients(parameters, dt, scheme)
    _check(rate, n_neurons, seed)
    save_steps = np.atleast_1d(np.asarray([n_steps] if save_steps is None else save_steps, np.int64))
    if n_steps < 1 or (save_steps < 1).any() or (save_steps > n_steps).any() or (np.diff(save_steps) < 0).any():
        raise InputError(f"save_steps: must ascend within 1..{n_steps}")
    v, i = np.zeros(n_neurons), np.zeros(n_neurons)
    saved_v, saved_i = np.empty((save_steps.size, n_neurons)), np.empty((save_steps.size, n_neurons))
    counts = block_counts(n_steps)
    p = parameters
    monte_carlo_clock(
        v, i, n_steps, arrival_limits(rate * dt), float(weight), *coefficients, p.reset != "none", float(p.threshold),
        float(p.reset_value), p.reset_mode, seed, save_steps, saved_v, saved_i, counts
    )  # fmt: skip
    times = (np.arange(n_steps) + 1) * dt
    return PopulationSample(
        "clock",
        scheme,
        float(dt),
        n_neurons,
        save_steps * dt,
        saved_v,
        saved_i,
        times,
        counts.sum(axis=0) / (n_neurons * dt),
    )


def sample_events(parameters, rate, weight, duration, *, n_neurons=100_000, seed=0, save_times=None, bin_width=None):
    """Advance independent neurons from rest in continuous time, arrivals at their instants, crossings in closed form.

    Parameters
    ----------
    parameters : LIFParameters
        ``reset = "none"`` means no threshold; hard and subtractive reset are the same here.
    rate, weight, duration : float
    n_neurons : int
    seed : int
    save_times : sequence of float, optional
        Ascending; by default the end.
    bin_width : float, optional
        Of the firing rate, rounded so that bins fill the duration; by default a hundredth of it.

    Returns
    -------
    PopulationSample
    """
    _check(rate, n_neurons, seed)
    if not 0 < duration < float("inf"):
        raise InputError(f"duration = {duration}: must be a positive number")
    save_times = np.atleast_1d(np.asarray([duration] if save_times is None else save_times, np.float64))
    if (save_times < 0).any() or (save_times > duration).any() or (np.diff(save_times) < 0).any():
        raise InputError(f"save_times: must ascend within 0..{duration:g}")
    n_bins = 100 if bin_width is None else max(round(duration / bin_width), 1)
    width = duration / n_bins
    v, i = np.zeros(n_neurons), np.zeros(n_neurons)
    saved_v, saved_i = np.empty((save_times.size, n_neurons)), np.empty((save_times.size, n_neurons))
    counts = block_counts(n_bins)
    p = parameters
    monte_carlo_events(
        v, i, float(duration), float(rate), float(weight), p.reset != "none", float(p.threshold), float(p.reset_value),
        float(p.r), float(p.tau_mem), float(p.tau_syn), seed, save_times, saved_v, saved_i, width, counts
    )  # fmt: skip
    times = (np.arange(n_bins) + 1) * width
    return PopulationSample(
        "event",
        None,
        None,
        n_neurons,
        save_times,
        saved_v,
        saved_i,
        times,
        counts.sum(axis=0) / (n_neurons * width),
    )


def _check(rate, n_neurons, seed):
    if not 0 < rate < float("inf"):
        raise InputError(f"rate = {rate}: must be a positive number")
    if n_neurons < 2:
        raise InputError(f"n_neurons = {n_neurons}: must be at least 2")
    if not 0 <= seed < TWO_32:
        raise InputError(f"seed = {seed}: must lie in 0..2^32 - 1")
