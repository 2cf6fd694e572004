"""Truncation errors and stability of the clock schemes on the subthreshold neuron (study eqs 13-17).

Between spikes the state ``y = (v, i)`` obeys the linear system ``dy/dt = A y`` with
``A = [[-1/tau_mem, r/tau_mem], [0, -1/tau_syn]]``; norms are Euclidean on (v, i).
"""

from dataclasses import dataclass

import numpy as np

from snnsim.analysis.convergence import OrderFit, fit_order
from snnsim.dynamics.schemes import membrane_response
from snnsim.errors import InputError
from snnsim.parameters import SCHEMES, scheme_coefficients

_membrane_response = np.vectorize(membrane_response, otypes=[np.float64])

# Order of the local error of one step; the exact scheme makes none.
LOCAL_ORDER = {"forward_euler": 2, "backward_euler": 2, "bilinear": 3, "exact": None}


def system_matrix(parameters):
    """Matrix ``A`` of the linear system, (2, 2) float64."""
    p = parameters
    return np.array([[-1.0 / p.tau_mem, p.r / p.tau_mem], [0.0, -1.0 / p.tau_syn]])


def update_matrix(parameters, dt, scheme):
    """Matrix of one step without input, ``[[a_vv, a_vi], [0, a_ii]]``, also outside the stable range.

    Raises
    ------
    InputError
        For an unknown scheme or a dt that is not positive.
    """
    if scheme not in SCHEMES:
        raise InputError(f"scheme = {scheme!r}: must be one of {', '.join(SCHEMES)}")
    if not 0 < dt < float("inf"):
        raise InputError(f"dt = {dt}: must be a positive number")
    a_ii, _, a_vv, a_vi, _ = SCHEMES[scheme](
        float(dt), float(parameters.tau_mem), float(parameters.tau_syn), float(parameters.r)
    )
    return np.array([[a_vv, a_vi], [0.0, a_ii]])


def closed_form(t, v0, i0, parameters):
    """Free state ``(v(t), i(t))`` from ``(v0, i0)`` (eqs 6-8), each of the shape of ``t``."""
    p = parameters
    t = np.asarray(t, np.float64)
    v = v0 * np.exp(-t / p.tau_mem) + p.r * i0 * _membrane_response(t, float(p.tau_mem), float(p.tau_syn))
    return v, i0 * np.exp(-t / p.tau_syn)


def lipschitz_constant(parameters):
    """Least L with ``|A y1 - A y2| <= L |y1 - y2|``: the largest singular value of A (eq 16)."""
    return float(np.linalg.norm(system_matrix(parameters), 2))


def printed_lipschitz_constant(parameters):
    """Compute the constant of eq 17, ``sqrt(max((1 + r)/tau_mem^2, (r + r^2)/tau_mem^2 + 1/tau_syn^2))``."""
    p = parameters
    return float(np.sqrt(max((1 + p.r) / p.tau_mem**2, (p.r + p.r**2) / p.tau_mem**2 + 1 / p.tau_syn**2)))


def second_derivative_bound(parameters, v0, i0, t_end, n_samples=20001):
    """``M = max |d^2 y/dt^2|`` over [0, t_end] along the free solution (eq 17), sampled and raised by its own slack.

    Between samples ``|y''|`` can grow by at most a factor ``exp(L spacing)``, which is included: M is a bound.
    """
    t = np.linspace(0.0, t_end, n_samples)
    a = system_matrix(parameters)
    curvature = a @ a @ np.stack(closed_form(t, v0, i0, parameters))
    slack = np.exp(lipschitz_constant(parameters) * t_end / (n_samples - 1))
    return float(np.linalg.norm(curvature, axis=0).max() * slack)


def euler_global_bound(t, dt, parameters, v0, i0):
    """Forward Euler's global error bound ``dt M/(2 L) (exp(L t) - 1)`` (eq 17), the shape of ``t``."""
    t = np.asarray(t, np.float64)
    lipschitz = lipschitz_constant(parameters)
    m = second_derivative_bound(parameters, v0, i0, float(t.max()))
    return dt * m / (2.0 * lipschitz) * np.expm1(lipschitz * t)


def local_error(dt, scheme, parameters, v0, i0):
    """Errors ``(v, i)`` of a single step from ``(v0, i0)``: the scheme's state minus the closed form's."""
    numeric = update_matrix(parameters, dt, scheme) @ np.array([v0, i0])
    return numeric - np.array(closed_form(dt, v0, i0, parameters))


def free_run(dt, n_steps, scheme, parameters, v0, i0):
    """States of a free run at ``0, dt, ..., n_steps dt``: (n_steps + 1, 2) float64, columns v and i."""
    step = update_matrix(parameters, dt, scheme)
    y = np.empty((n_steps + 1, 2))
    y[0] = v0, i0
    for k in range(n_steps):
        y[k + 1] = step @ y[k]
    return y


@dataclass(frozen=True)
class GlobalError:
    """Error of a free run against the closed form.

    Parameters
    ----------
    times : ndarray, (K,) float64
        Grid points from 0 to ``n_steps dt``.
    v, i : ndarray, (K,) float64
        Numerical minus exact state.
    norm : ndarray, (K,) float64
        Euclidean norm of the two.
    """

    times: np.ndarray
    v: np.ndarray
    i: np.ndarray
    norm: np.ndarray


def global_error(dt, t_end, scheme, parameters, v0, i0):
    """Error at every grid point up to ``t_end`` (rounded to a whole number of steps).

    Returns
    -------
    GlobalError
    """
    n_steps = max(round(t_end / dt), 1)
    times = np.arange(n_steps + 1) * dt
    y = free_run(dt, n_steps, scheme, parameters, v0, i0)
    v, i = closed_form(times, v0, i0, parameters)
    error = y - np.stack([v, i], axis=1)
    return GlobalError(times, error[:, 0], error[:, 1], np.linalg.norm(error, axis=1))


def constant_drive_error(dt, t_end, scheme, parameters, i_ext):
    """Errors of v at the grid points under a constant current of the synapse's input (eq 3), from rest.

    The input density ``i_ext`` (weight per unit of time) brings ``i_ext dt`` in every step; the exact solution tends to
    ``r i_ext``. Unlike a free run this shows the exact scheme's own error: an input that is no train of impulses on the
    grid arrives half a step late. The bilinear scheme, whose impulses act in the middle of a step, stays second order.

    Returns
    -------
    times, error : ndarray, (K,) float64
    """
    a_ii, b_i, a_vv, a_vi, b_v = scheme_coefficients(parameters, dt, scheme)
    p = parameters
    n_steps = max(round(t_end / dt), 1)
    times = np.arange(n_steps + 1) * dt
    numeric = np.zeros(n_steps + 1)
    v = i = 0.0
    for k in range(n_steps):
        v, i = a_vv * v + a_vi * i + b_v * i_ext * dt, a_ii * i + b_i * i_ext * dt
        numeric[k + 1] = v
    # From rest: i = i_ext (1 - exp(-t/tau_syn)), so v is r i_ext minus the free decay from (r i_ext, i_ext).
    decay, _ = closed_form(times, p.r * i_ext, i_ext, p)
    return times, numeric - (p.r * i_ext - decay)


def spectral_radius(parameters, dt, scheme):
    """Largest modulus of the eigenvalues of one step: below one the scheme is stable."""
    return float(np.abs(np.linalg.eigvals(update_matrix(parameters, dt, scheme))).max())


def stability_limit(parameters, scheme):
    """Step size at which the spectral radius reaches one; infinite for the A-stable schemes."""
    if scheme not in SCHEMES:
        raise InputError(f"scheme = {scheme!r}: must be one of {', '.join(SCHEMES)}")
    return 2.0 * min(parameters.tau_mem, parameters.tau_syn) if scheme == "forward_euler" else float("inf")


def oscillation_limit(parameters, scheme):
    """Step size beyond which an eigenvalue is negative: the state alternates in sign where the true one decays."""
    limits = {"forward_euler": 1.0, "bilinear": 2.0}
    if scheme not in SCHEMES:
        raise InputError(f"scheme = {scheme!r}: must be one of {', '.join(SCHEMES)}")
    return limits.get(scheme, float("inf")) * min(parameters.tau_mem, parameters.tau_syn)


@dataclass(frozen=True)
class TruncationStudy:
    """Errors and stability of every scheme over step sizes; axes are (S schemes, D step sizes).

    Parameters
    ----------
    schemes : tuple of str, length S
    dt : ndarray, (D,) float64
    v0, i0, t_end : float
        Initial state and length of the free run.
    lipschitz, curvature : float
        L and M of Euler's bound.
    local_v, local_norm : ndarray, (S, D) float64
        Absolute error of v, and norm of the error of (v, i), after a single step.
    global_v, global_norm : ndarray, (S, D) float64
        Largest errors over the free run; NaN where the scheme is unstable.
    drive_v : ndarray, (S, D) float64
        Largest error of v under constant drive; NaN where unstable.
    bound : ndarray, (D,) float64
        Forward Euler's bound at ``t_end``.
    radius : ndarray, (S, D) float64
        Spectral radius.
    limit : ndarray, (S,) float64
        Stability limits.
    local_order, global_order, drive_order : tuple of OrderFit, length S
        Fits of ``local_norm``, ``global_norm`` and ``drive_v`` over the step sizes given to the fit.
    """

    schemes: tuple
    dt: np.ndarray
    v0: float
    i0: float
    t_end: float
    lipschitz: float
    curvature: float
    local_v: np.ndarray
    local_norm: np.ndarray
    global_v: np.ndarray
    global_norm: np.ndarray
    drive_v: np.ndarray
    bound: np.ndarray
    radius: np.ndarray
    limit: np.ndarray
    local_order: tuple[OrderFit, ...]
    global_order: tuple[OrderFit, ...]
    drive_order: tuple[OrderFit, ...]


def truncation_study(parameters, dt, schemes=tuple(SCHEMES), v0=0.0, i0=1.0, t_end=4.0, fit_below=None):
    """Measure local and global errors, stability and orders of several schemes.

    Parameters
    ----------
    parameters : LIFParameters
    dt : sequence of float
    schemes : sequence of str
    v0, i0 : float
        Initial state; ``(0, 1/tau_syn)`` is the state after one impulse of weight one.
    t_end : float
    fit_below : float, optional
        Orders are fitted to step sizes not above this; by default a tenth of the shorter time constant.

    Returns
    -------
    TruncationStudy
    """
    dt = np.asarray(dt, np.float64)
    if fit_below is None:
        fit_below = 0.1 * min(parameters.tau_mem, parameters.tau_syn)
    shape = (len(schemes), dt.size)
    local_v, local_norm, radius = np.empty(shape), np.empty(shape), np.empty(shape)
    global_v, global_norm, drive_v = (np.full(shape, np.nan) for _ in range(3))
    for s, scheme in enumerate(schemes):
        for d, step in enumerate(dt):
            error = local_error(step, scheme, parameters, v0, i0)
            local_v[s, d], local_norm[s, d] = abs(error[0]), np.linalg.norm(error)
            radius[s, d] = spectral_radius(parameters, step, scheme)
            if step < stability_limit(parameters, scheme):
                run = global_error(step, t_end, scheme, parameters, v0, i0)
                global_v[s, d], global_norm[s, d] = np.abs(run.v).max(), run.norm.max()
                drive_v[s, d] = np.abs(constant_drive_error(step, t_end, scheme, parameters, 1.0)[1]).max()
    small = dt <= fit_below
    fits = [
        tuple(fit_order(dt[small], row[small], floor=1e-12) for row in e) for e in (local_norm, global_norm, drive_v)
    ]
    return TruncationStudy(
        tuple(schemes),
        dt,
        float(v0),
        float(i0),
        float(t_end),
        lipschitz_constant(parameters),
        second_derivative_bound(parameters, v0, i0, t_end),
        local_v,
        local_norm,
        global_v,
        global_norm,
        drive_v,
        np.array([euler_global_bound(np.array([t_end]), step, parameters, v0, i0)[0] for step in dt]),
        radius,
        np.array([stability_limit(parameters, s) for s in schemes]),
        *fits,
    )
