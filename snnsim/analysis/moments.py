"""Stationary moments of the subthreshold neuron under Poisson input, in continuous time and under each clock scheme.

Continuous. The input is shot noise of rate ``rate`` and weight w, whose filter is the neuron's impulse response:
``h_i(t) = exp(-t/tau_syn)/tau_syn`` for i and h, with ``h' = (r h_i - h)/tau_mem``, for v. Campbell's theorem gives
means ``rate w int h`` and covariances ``rate w^2 int h_a h_b``:

    E i = rate w                            E v = r rate w
    Var i = rate w^2/(2 tau_syn)            Cov(v, i) = r rate w^2/(2 (tau_mem + tau_syn))
    Var v = r^2 rate w^2/(2 (tau_mem + tau_syn))

Discrete. ``y_k = A y_{k-1} + b x_k`` with independent ``x_k`` of mean ``rate w dt`` and variance ``rate w^2 dt`` (a
Poisson number of spikes a step), ``A = [[a_vv, a_vi], [0, a_ii]]``, ``b = (b_v, b_i)``. The stationary mean solves
``(1 - A) m = b rate w dt``, the covariance the discrete Lyapunov equation ``P = A P A^T + rate w^2 dt b b^T``. This
answers the question that the study leaves open (its limitation 4) for the first two moments.
"""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import solve_discrete_lyapunov

from snnsim.analysis.truncation import closed_form
from snnsim.errors import InputError
from snnsim.parameters import scheme_coefficients


@dataclass(frozen=True)
class Moments:
    """First and second stationary moments of (v, i), v relative to rest."""

    mean_v: float
    mean_i: float
    var_v: float
    var_i: float
    cov_vi: float

    def as_array(self):
        """``[mean_v, mean_i, var_v, var_i, cov_vi]``, (5,) float64."""
        return np.array([self.mean_v, self.mean_i, self.var_v, self.var_i, self.cov_vi])


def stationary_moments(parameters, rate, weight):
    """Moments of the continuous process without threshold.

    Parameters
    ----------
    parameters : LIFParameters
    rate : float
        Rate of the Poisson input, > 0.
    weight : float

    Returns
    -------
    Moments
    """
    _check_rate(rate)
    p = parameters
    power = rate * weight**2
    coupled = p.r * power / (2.0 * (p.tau_mem + p.tau_syn))
    return Moments(p.r * rate * weight, rate * weight, p.r * coupled, power / (2.0 * p.tau_syn), coupled)


def discrete_moments(parameters, rate, weight, dt, scheme):
    """Moments of the discrete-time Markov process of a scheme without threshold, sampled at the ends of the steps.

    Returns
    -------
    Moments

    Raises
    ------
    InputError
        As :func:`snnsim.parameters.scheme_coefficients`; for a rate that is not positive.
    """
    _check_rate(rate)
    a_ii, b_i, a_vv, a_vi, b_v = scheme_coefficients(parameters, dt, scheme)
    a = np.array([[a_vv, a_vi], [0.0, a_ii]])
    b = np.array([b_v, b_i])
    mean = np.linalg.solve(np.eye(2) - a, b * rate * weight * dt)
    covariance = solve_discrete_lyapunov(a, rate * weight**2 * dt * np.outer(b, b))
    return Moments(*mean.tolist(), float(covariance[0, 0]), float(covariance[1, 1]), float(covariance[0, 1]))


def transient_mean(t, parameters, rate, weight):
    """Mean of (v, i) at times t of the free process that starts at rest with its input: two arrays like ``t``."""
    p = parameters
    decay_v, decay_i = closed_form(t, p.r * rate * weight, rate * weight, p)
    return p.r * rate * weight - decay_v, rate * weight - decay_i


def _check_rate(rate):
    if not 0 < rate < float("inf"):
        raise InputError(f"rate = {rate}: must be a positive number")


@dataclass(frozen=True)
class MomentTable:
    """Moments of the discrete processes beside the continuous one; the last axis is that of :meth:`Moments.as_array`.

    Parameters
    ----------
    schemes : tuple of str, length S
    dt : ndarray, (D,) float64
    continuous : ndarray, (5,) float64
    discrete : ndarray, (S, D, 5) float64
        NaN where a scheme is unstable.
    relative : ndarray, (S, D, 5) float64
        ``discrete/continuous - 1``.
    """

    schemes: tuple
    dt: np.ndarray
    continuous: np.ndarray
    discrete: np.ndarray
    relative: np.ndarray


def moment_table(parameters, rate, weight, dt, schemes):
    """Tabulate discrete against continuous moments.

    Returns
    -------
    MomentTable
    """
    dt = np.asarray(dt, np.float64)
    continuous = stationary_moments(parameters, rate, weight).as_array()
    discrete = np.full((len(schemes), dt.size, 5), np.nan)
    for s, scheme in enumerate(schemes):
        for d, step in enumerate(dt):
            if scheme == "forward_euler" and step >= 2 * min(parameters.tau_mem, parameters.tau_syn):
                continue
            discrete[s, d] = discrete_moments(parameters, rate, weight, step, scheme).as_array()
    return MomentTable(tuple(schemes), dt, continuous, discrete, discrete / continuous - 1.0)
