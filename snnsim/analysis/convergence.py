"""Convergence of a clock towards a reference: orders, matched spikes, voltage errors.

All functions compare two runs of the *same* input and network, one taken as the reference (an event-driven run, or a
clock's with a much smaller step).
"""

from dataclasses import dataclass

import numpy as np

from snnsim.errors import InputError
from snnsim.kernels.cpu.matching import match_trains


@dataclass(frozen=True)
class OrderFit:
    """Power law ``error = constant * dt**order`` through measured errors.

    Parameters
    ----------
    order, constant : float
        Least-squares fit in log-log; NaN with fewer than two usable points.
    standard_error : float
        Of the order; NaN with fewer than three usable points.
    local : ndarray, (D - 1,) float64
        Order between neighbouring step sizes; NaN where an error is not usable.
    n_used : int
        Points with a positive, finite error above ``floor``.
    """

    order: float
    constant: float
    standard_error: float
    local: np.ndarray
    n_used: int


def fit_order(dt, error, floor=0.0):
    """Fit the order of convergence.

    Parameters
    ----------
    dt : array_like, (D,)
        Step sizes.
    error : array_like, (D,)
        Errors; those not above ``floor`` (rounding) or not finite are left out.
    floor : float

    Returns
    -------
    OrderFit
    """
    dt, error = np.asarray(dt, np.float64), np.asarray(error, np.float64)
    usable = np.isfinite(error) & (error > floor)
    x = np.log(dt)
    y = np.log(np.where(usable, error, 1.0))
    pairs = usable[1:] & usable[:-1]
    local = np.full(max(dt.size - 1, 0), np.nan)
    local[pairs] = (np.diff(y) / np.diff(x))[pairs]
    n = int(usable.sum())
    if n < 2:
        return OrderFit(float("nan"), float("nan"), float("nan"), local, n)
    x, y = x[usable], y[usable]
    centred = x - x.mean()
    spread = (centred**2).sum()
    order = (centred * y).sum() / spread
    offset = y.mean() - order * x.mean()
    residual = y - offset - order * x
    stderr = np.sqrt((residual**2).sum() / (n - 2) / spread) if n > 2 else float("nan")
    return OrderFit(float(order), float(np.exp(offset)), float(stderr), local, n)


@dataclass(frozen=True)
class SpikeMatch:
    """One-to-one assignment of the spikes of two recordings of one population.

    Parameters
    ----------
    n_reference, n_other : int
        Spikes in each recording.
    reference_index, other_index : ndarray, (M,) int64
        Matched entries of ``reference.times`` and ``other.times``.
    errors : ndarray, (M,) float64
        ``other`` minus ``reference`` time of each matched pair.
    lost : ndarray, (n_reference - M,) int64
        Entries of the reference without a partner.
    added : ndarray, (n_other - M,) int64
        Entries of the other recording without a partner.
    """

    n_reference: int
    n_other: int
    reference_index: np.ndarray
    other_index: np.ndarray
    errors: np.ndarray
    lost: np.ndarray
    added: np.ndarray


def match_spikes(reference, other, window):
    """Match the spikes of two recordings neuron by neuron, in order, within a window.

    Each train is aligned to its reference by the order-preserving assignment of least cost, where a matched pair costs
    its distance in time and an unmatched spike ``window/2``: no pair is further apart than ``window``.

    Parameters
    ----------
    reference, other : Spikes
        Same trials and neurons.
    window : float
        Largest distance of a pair, > 0, in the unit of the times.

    Returns
    -------
    SpikeMatch

    Raises
    ------
    InputError
        If the numbers of trials or neurons differ, or the window is not a positive number.
    """
    if len(reference) != len(other) or reference.n_neurons != other.n_neurons:
        raise InputError(
            f"spikes: {len(other)} trials of {other.n_neurons} neurons, but the reference has {len(reference)} of "
            f"{reference.n_neurons} neurons"
        )
    if not 0 < window < float("inf"):
        raise InputError(f"window = {window}: must be a positive number")
    order_a, start_a = _by_train(reference)
    order_b, start_b = _by_train(other)
    partner = match_trains(reference.times[order_a], start_a, other.times[order_b], start_b, float(window))
    matched = partner >= 0
    a, b = order_a[matched], order_b[partner[matched]]
    order = np.argsort(a, kind="stable")
    a, b = a[order], b[order]
    free_a, free_b = np.ones(reference.times.size, bool), np.ones(other.times.size, bool)
    free_a[a] = False
    free_b[b] = False
    return SpikeMatch(
        reference.times.size,
        other.times.size,
        a,
        b,
        other.times[b] - reference.times[a],
        np.flatnonzero(free_a),
        np.flatnonzero(free_b),
    )


def _by_train(spikes):
    """Entries ordered by (trial, neuron, time), and the start of each train in that order."""
    trial = np.repeat(np.arange(len(spikes)), np.diff(spikes.offsets))
    train = trial * spikes.n_neurons + spikes.neurons
    order = np.argsort(train, kind="stable").astype(np.int64)
    counts = np.bincount(train, minlength=len(spikes) * spikes.n_neurons)
    return order, np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)


@dataclass(frozen=True)
class VoltageError:
    """Difference of two voltage recordings at their common sample times.

    Parameters
    ----------
    times : ndarray, (K,) float64
        Common sample times.
    rms : ndarray, (K,) float64
        Root mean square over trials and neurons at each time.
    total_rms, maximum, median : float
        Over all samples; median and maximum of the absolute difference.
    """

    times: np.ndarray
    rms: np.ndarray
    total_rms: float
    maximum: float
    median: float


def voltage_error(times_reference, v_reference, times, v):
    """Voltage error at the sample times that two recordings share (to within a few rounding errors).

    Parameters
    ----------
    times_reference, times : ndarray, (K1,) and (K2,) float64
        Ascending sample times.
    v_reference, v : ndarray, (B, K1, M) and (B, K2, M)
        Membranes of the same trials and neurons.

    Returns
    -------
    VoltageError

    Raises
    ------
    InputError
        If a recording has no voltages, if trials or neurons differ, or if no sample time is shared.
    """
    if v_reference is None or v is None:
        raise InputError("voltages: the recording has none; record v to compare it")
    if v.shape[0] != v_reference.shape[0] or v.shape[2] != v_reference.shape[2]:
        raise InputError(
            f"voltages: {v.shape[0]} trials of {v.shape[2]} neurons, but the reference has {v_reference.shape[0]} "
            f"of {v_reference.shape[2]}"
        )
    times_reference, times = np.asarray(times_reference, np.float64), np.asarray(times, np.float64)
    if times_reference.size and times.size:
        right = np.clip(np.searchsorted(times_reference, times), 0, times_reference.size - 1)
        left = np.maximum(right - 1, 0)
        closer = np.abs(times_reference[left] - times) <= np.abs(times_reference[right] - times)
        nearest = np.where(closer, left, right)
        shared = np.abs(times_reference[nearest] - times) <= 1e-9 * np.maximum(np.abs(times), 1.0)
    else:
        shared = np.zeros(times.size, bool)
    if not shared.any():
        raise InputError("voltages: the two recordings share no sample time")
    difference = v[:, shared].astype(np.float64) - v_reference[:, nearest[shared]]
    return VoltageError(
        times[shared],
        np.sqrt((difference**2).mean(axis=(0, 2))),
        float(np.sqrt((difference**2).mean())),
        float(np.abs(difference).max()),
        float(np.median(np.abs(difference))),
    )


@dataclass(frozen=True)
class ConvergenceTable:
    """Spikes of one population for several step sizes against one reference; row d belongs to ``dt[d]``.

    Parameters
    ----------
    dt : ndarray, (D,) float64
    n_reference, n_spikes, n_matched, n_lost, n_added : ndarray, (D,) int64
        Spikes in the reference and in the run, pairs, and spikes without a partner.
    mean_error, median_error, q90_error, max_error : ndarray, (D,) float64
        Absolute time errors of the matched pairs; NaN where there is none.
    bias : ndarray, (D,) float64
        Mean signed time error (positive: later than the reference).
    v_rms, v_max : ndarray, (D,) float64
        Voltage errors; NaN where no voltages were given.
    time_order, v_order : OrderFit
        Fits of ``mean_error`` and ``v_rms``.
    """

    dt: np.ndarray
    n_reference: np.ndarray
    n_spikes: np.ndarray
    n_matched: np.ndarray
    n_lost: np.ndarray
    n_added: np.ndarray
    mean_error: np.ndarray
    median_error: np.ndarray
    q90_error: np.ndarray
    max_error: np.ndarray
    bias: np.ndarray
    v_rms: np.ndarray
    v_max: np.ndarray
    time_order: OrderFit
    v_order: OrderFit


def convergence_table(reference, runs, dt, window, voltages=None):
    """Tabulate runs of decreasing or increasing step size against a reference.

    Parameters
    ----------
    reference : Spikes
    runs : sequence of Spikes, length D
        The same population under each step size.
    dt : sequence of float, length D
    window : float or sequence of float
        Largest distance of a matched pair, one for all or one a run (several steps wide, below the shortest interval).
    voltages : sequence of VoltageError or None, length D, optional

    Returns
    -------
    ConvergenceTable
    """
    dt = np.asarray(dt, np.float64)
    window = np.broadcast_to(np.asarray(window, np.float64), dt.shape)
    voltages = [None] * dt.size if voltages is None else list(voltages)
    if len(runs) != dt.size or len(voltages) != dt.size:
        raise InputError(f"convergence: {len(runs)} runs and {len(voltages)} voltage errors for {dt.size} step sizes")
    counts = np.zeros((5, dt.size), np.int64)
    errors = np.full((5, dt.size), np.nan)
    v = np.full((2, dt.size), np.nan)
    for d, run in enumerate(runs):
        m = match_spikes(reference, run, window[d])
        counts[:, d] = m.n_reference, m.n_other, m.errors.size, m.lost.size, m.added.size
        if m.errors.size:
            size = np.abs(m.errors)
            errors[:, d] = size.mean(), np.median(size), np.quantile(size, 0.9), size.max(), m.errors.mean()
        if voltages[d] is not None:
            v[:, d] = voltages[d].total_rms, voltages[d].maximum
    return ConvergenceTable(dt, *counts, *errors, *v, fit_order(dt, errors[0]), fit_order(dt, v[0]))
