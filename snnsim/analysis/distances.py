"""Distances between one-dimensional distributions given as histograms on common edges, or as samples."""

import numpy as np
from scipy import stats

from snnsim.errors import InputError


def histogram_density(samples, edges):
    """Density of samples on cells: counts over (number of samples times width); samples outside are not on the grid.

    Parameters
    ----------
    samples : ndarray, (N,)
    edges : ndarray, (K + 1,) float64

    Returns
    -------
    ndarray, (K,) float64
    """
    return np.histogram(samples, edges)[0] / (len(samples) * np.diff(edges))


def l1_distance(edges, p, q):
    """``int |p - q|`` of two densities on the same cells, in [0, 2]."""
    _check(edges, p, q)
    return float((np.abs(np.asarray(p) - q) * np.diff(edges)).sum())


def wasserstein_distance(edges, p, q):
    """``int |F_p - F_q|``, the Wasserstein-1 distance of two densities on the same cells (piecewise constant).

    Within a cell the difference of the distribution functions is linear; its absolute value is integrated exactly.
    """
    _check(edges, p, q)
    width = np.diff(edges)
    gap = np.concatenate([[0.0], np.cumsum((np.asarray(p) - q) * width)])
    a, b = gap[:-1], gap[1:]
    same = a * b >= 0
    straight = 0.5 * np.abs(a + b)
    span = np.abs(a) + np.abs(b)
    crossing = 0.5 * (a**2 + b**2) / np.where(span > 0, span, 1.0)
    return float((np.where(same, straight, crossing) * width).sum())


def sample_distance(a, b):
    """Wasserstein-1 distance of two samples."""
    return float(stats.wasserstein_distance(a, b))


def _check(edges, p, q):
    if np.shape(p) != np.shape(q) or np.size(p) != np.size(edges) - 1:
        raise InputError(f"densities of shapes {np.shape(p)} and {np.shape(q)}: need {np.size(edges) - 1} values each")
