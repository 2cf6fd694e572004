"""Statistics and comparison of gradients, and the kernel that carries a spike's time into a membrane."""

from dataclasses import dataclass

import numpy as np
from scipy import optimize

from snnsim.dynamics.schemes import membrane_response
from snnsim.errors import InputError
from snnsim.parameters import scheme_coefficients

QUANTILES = (0.0, 0.001, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 0.999, 1.0)


@dataclass(frozen=True)
class GradientStatistics:
    """Distribution of the entries of one gradient tensor.

    Parameters
    ----------
    name : str
    shape : tuple of int
    n_zero, n_nonfinite : int
        Entries that are exactly zero, and that are infinite or NaN (left out of everything below).
    mean, std, norm, max_abs : float
    quantile_levels, quantiles : ndarray, (Q,) float64
    edges : ndarray, (K + 1,) float64
    counts : ndarray, (K,) int64
        Histogram of all finite entries.
    fences : ndarray, (2,) float64
        Tukey's outer fences of the entries that are not zero: ``q25 - 3 (q75 - q25)`` and ``q75 + 3 (q75 - q25)``.
    n_outliers : int
        Entries beyond the fences.
    outlier_energy : float
        Their share of the squared norm.
    kurtosis : float
        Fourth standardised moment of the entries that are not zero; 3 for a normal distribution.
    """

    name: str
    shape: tuple
    n_zero: int
    n_nonfinite: int
    mean: float
    std: float
    norm: float
    max_abs: float
    quantile_levels: np.ndarray
    quantiles: np.ndarray
    edges: np.ndarray
    counts: np.ndarray
    fences: np.ndarray
    n_outliers: int
    outlier_energy: float
    kurtosis: float


def gradient_statistics(gradients, names=None, n_bins=100, limit=None):
    """Statistics of each tensor of a gradient.

    Parameters
    ----------
    gradients : sequence of ndarray
        One a layer.
    names : sequence of str, optional
        By default ``weights[0]``, ``weights[1]``, ...
    n_bins : int
        Bins of the histograms.
    limit : float, optional
        Half-width of the histograms (what lies outside is counted in the outermost bins); by default the largest entry.

    Returns
    -------
    tuple of GradientStatistics
    """
    names = [f"weights[{k}]" for k in range(len(gradients))] if names is None else names
    return tuple(_statistics(name, g, n_bins, limit) for name, g in zip(names, gradients, strict=True))


def _statistics(name, gradient, n_bins, limit):
    flat = np.asarray(gradient, np.float64).ravel()
    finite = flat[np.isfinite(flat)]
    if finite.size == 0:
        raise InputError(f"gradient {name}: has no finite entry")
    size = np.abs(finite)
    largest = float(size.max())
    half_width = limit if limit is not None else (largest or 1.0)
    edges = np.linspace(-half_width, half_width, n_bins + 1)
    counts = np.histogram(np.clip(finite, -half_width, half_width), edges)[0]
    fences, n_outliers, outlier_energy, kurtosis = outliers(finite)
    energy = float((size**2).sum())
    return GradientStatistics(
        name,
        tuple(np.shape(gradient)),
        int((finite == 0).sum()),
        int(flat.size - finite.size),
        float(finite.mean()),
        float(finite.std()),
        float(np.sqrt(energy)),
        largest,
        np.array(QUANTILES),
        np.quantile(finite, QUANTILES),
        edges,
        counts.astype(np.int64),
        fences,
        n_outliers,
        outlier_energy,
        kurtosis,
    )


def outliers(values):
    """Entries beyond Tukey's outer fences, among those that are not zero.

    Parameters
    ----------
    values : array_like
        Finite.

    Returns
    -------
    fences : ndarray, (2,) float64
        Infinite if every entry is zero.
    count : int
    energy : float
        Share of the sum of squares that they carry.
    kurtosis : float
        Fourth standardised moment; NaN where there is no spread.
    """
    values = np.asarray(values, np.float64).ravel()
    values = values[values != 0]
    if not values.size:
        return np.array([-np.inf, np.inf]), 0, 0.0, float("nan")
    low, high = np.quantile(values, [0.25, 0.75])
    fences = np.array([low - 3 * (high - low), high + 3 * (high - low)])
    beyond = values[(values < fences[0]) | (values > fences[1])]
    scaled = values / np.abs(values).max()  # squares of the smallest floats vanish
    centred = scaled - scaled.mean()
    variance = float((centred**2).mean())
    kurtosis = float((centred**4).mean() / variance**2) if variance > 0 else float("nan")
    share = float((beyond**2).sum() / (values**2).sum()) if beyond.size else 0.0
    return fences, int(beyond.size), share, kurtosis


@dataclass(frozen=True)
class GradientComparison:
    """Two gradients, tensor by tensor and as one vector; row l belongs to layer l, the last row to all together.

    Parameters
    ----------
    names : tuple of str, length L + 1
    cosine : ndarray, (L + 1,) float64
        NaN where either gradient vanishes.
    relative_error : ndarray, (L + 1,) float64
        ``|other - reference|/|reference|``; NaN where the reference vanishes.
    norm_ratio : ndarray, (L + 1,) float64
        ``|other|/|reference|``.
    sign_agreement : ndarray, (L + 1,) float64
        Share of equal signs among the entries that are non-zero in both; NaN where there is none.
    """

    names: tuple
    cosine: np.ndarray
    relative_error: np.ndarray
    norm_ratio: np.ndarray
    sign_agreement: np.ndarray


def compare_gradients(reference, other, names=None):
    """Compare two gradients of the same network.

    Parameters
    ----------
    reference, other : sequence of ndarray
        One a layer, equal shapes.
    names : sequence of str, optional

    Returns
    -------
    GradientComparison

    Raises
    ------
    InputError
        If the numbers of layers or the shapes differ.
    """
    shapes_a, shapes_b = [np.shape(g) for g in reference], [np.shape(g) for g in other]
    if shapes_a != shapes_b:
        raise InputError(f"gradients: shapes {shapes_b} differ from the reference's {shapes_a}")
    names = tuple(f"weights[{k}]" for k in range(len(reference))) if names is None else tuple(names)
    pairs = [
        (np.asarray(a, np.float64).ravel(), np.asarray(b, np.float64).ravel())
        for a, b in zip(reference, other, strict=True)
    ]
    pairs.append((np.concatenate([a for a, _ in pairs]), np.concatenate([b for _, b in pairs])))
    rows = np.full((4, len(pairs)), np.nan)
    for k, (a, b) in enumerate(pairs):
        norm_a, norm_b = np.linalg.norm(a), np.linalg.norm(b)
        if norm_a > 0:
            rows[1, k] = np.linalg.norm(b - a) / norm_a
            rows[2, k] = norm_b / norm_a
            if norm_b > 0:
                rows[0, k] = (a / norm_a) @ (b / norm_b)
        both = (a != 0) & (b != 0)
        if both.any():
            rows[3, k] = (np.sign(a[both]) == np.sign(b[both])).mean()
    return GradientComparison((*names, "all"), *rows)


@dataclass(frozen=True)
class SlopeOutliers:
    """How a bound on 1/slope acts on the inverse slopes of a set of spikes.

    Parameters
    ----------
    limits : ndarray, (K,) float64
        Candidate values of ``max_inverse_slope``.
    clamped : ndarray, (K,) float64
        Share of spikes that each would clamp.
    weight_above : ndarray, (K,) float64
        Share of the summed inverse slope carried by those spikes.
    quantile_levels, quantiles : ndarray, (Q,) float64
        Of the inverse slopes.
    """

    limits: np.ndarray
    clamped: np.ndarray
    weight_above: np.ndarray
    quantile_levels: np.ndarray
    quantiles: np.ndarray


def slope_outliers(inverse_slopes, limits):
    """Share of spikes, and of their summed 1/slope, beyond each of several bounds.

    Parameters
    ----------
    inverse_slopes : array_like
        ``1/slope_minus`` of each spike before clamping, > 0; infinite values count as clamped but carry no weight.
    limits : sequence of float

    Returns
    -------
    SlopeOutliers
    """
    inverse_slopes = np.asarray(inverse_slopes, np.float64).ravel()
    if inverse_slopes.size == 0:
        raise InputError("inverse slopes: there is no spike to analyse")
    if not (inverse_slopes > 0).all():
        raise InputError("inverse slopes: must be positive")
    limits = np.asarray(limits, np.float64)
    finite = inverse_slopes[np.isfinite(inverse_slopes)]
    total = finite.sum()
    clamped = np.array([(inverse_slopes > x).mean() for x in limits])
    above = np.array([finite[finite > x].sum() / total if total > 0 else 0.0 for x in limits])
    return SlopeOutliers(limits, clamped, above, np.array(QUANTILES), np.quantile(inverse_slopes, QUANTILES))


@dataclass(frozen=True)
class TemporalKernel:
    """How a membrane answers to a shift of one input spike, against their distance in time.

    Parameters
    ----------
    distance : ndarray, (n,) float64
        ``t_k - t_j``: from the input spike's step to the membrane's, in time; the first is 0.
    discrete : ndarray, (n,) float64
        ``dv_k/dt_j`` per unit of weight under the scheme, by moving the spike to the next step, over dt:
        ``(kappa_{k-j-1} - kappa_{k-j})/dt`` with kappa the scheme's impulse response.
    continuous : ndarray, (n,) float64
        ``-h'(t_k - t_j)`` of the continuous impulse response h.
    sign_change : float
        Distance at which the continuous derivative changes sign: the peak of h.
    rebound : float
        Distance of the second extremum, beyond which the derivative decays.
    """

    distance: np.ndarray
    discrete: np.ndarray
    continuous: np.ndarray
    sign_change: float
    rebound: float


def impulse_response(parameters, dt, scheme, n_steps):
    """Membrane ``kappa_d`` of a free neuron d = 0..n_steps-1 steps after a unit weight arrived, (n_steps,) float64."""
    a_ii, b_i, a_vv, a_vi, b_v = scheme_coefficients(parameters, dt, scheme)
    kappa = np.empty(n_steps)
    v, i = b_v, b_i
    for d in range(n_steps):
        kappa[d] = v
        v, i = a_vv * v + a_vi * i, a_ii * i
    return kappa


def temporal_kernel(parameters, dt, scheme, n_steps):
    """Tabulate the derivative of a membrane by an input spike's time against their distance: not monotone.

    The response h rises from zero, peaks and decays, so its derivative starts at ``-r/(tau_mem tau_syn)`` per unit of
    weight (a later spike lowers a rising membrane), vanishes at the peak of h, has a second extremum of the other sign
    and decays.

    Returns
    -------
    TemporalKernel
    """
    kappa = impulse_response(parameters, dt, scheme, n_steps)
    discrete = (np.concatenate([[0.0], kappa[:-1]]) - kappa) / dt
    p = parameters
    distance = np.arange(n_steps) * dt
    tm, ts = float(p.tau_mem), float(p.tau_syn)

    def slope(t):
        # tau_mem dh/dt = -h + r exp(-t/tau_syn)/tau_syn
        return (-p.r / ts * membrane_response(t, tm, ts) + p.r / ts * np.exp(-t / ts)) / tm

    def bend(t):
        return (-slope(t) - p.r / ts**2 * np.exp(-t / ts)) / tm

    longest = 20.0 * (tm + ts)
    return TemporalKernel(
        distance,
        discrete,
        -np.array([slope(t) for t in distance]),
        float(optimize.brentq(slope, 0.0, longest)),
        float(optimize.brentq(bend, 0.0, longest)),
    )


@dataclass(frozen=True)
class ClampSweep:
    """Gradients computed under several bounds on 1/slope; rows belong to ``limits``, columns to layers.

    Parameters
    ----------
    limits : ndarray, (K,) float64
    norm, max_abs : ndarray, (K, L) float64
    outlier_energy : ndarray, (K, L) float64
        Share of the squared norm beyond Tukey's outer fences.
    cosine : ndarray, (K, L) float64
        With the gradient of the largest bound.
    """

    limits: np.ndarray
    norm: np.ndarray
    max_abs: np.ndarray
    outlier_energy: np.ndarray
    cosine: np.ndarray


def clamp_sweep(compute, limits):
    """Sweep ``max_inverse_slope``.

    Parameters
    ----------
    compute : callable
        Takes one bound, returns the gradient as a sequence of ndarray.
    limits : sequence of float

    Returns
    -------
    ClampSweep
    """
    limits = np.asarray(limits, np.float64)
    gradients = [compute(float(x)) for x in limits]
    loosest = gradients[int(np.argmax(limits))]
    statistics = [gradient_statistics(g) for g in gradients]
    return ClampSweep(
        limits,
        np.array([[s.norm for s in row] for row in statistics]),
        np.array([[s.max_abs for s in row] for row in statistics]),
        np.array([[s.outlier_energy for s in row] for row in statistics]),
        np.array([compare_gradients(loosest, g).cosine[:-1] for g in gradients]),
    )
