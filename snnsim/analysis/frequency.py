"""The neuron as a second-order low-pass filter, in continuous time and under each clock scheme (study eqs 9-12).

Below threshold a LIF neuron with synaptic filter is linear: its input is the density ``x(t)`` of arriving weight
(a spike of weight ``w`` is ``w delta(t - t_j)``), its output the membrane ``v(t)`` relative to rest. Angular
frequencies ``omega`` are in radians per unit of the time constants; a discrete response is evaluated at
``z = exp(1j omega dt)``.
"""

from dataclasses import dataclass

import numpy as np
from scipy import signal

from snnsim.errors import InputError
from snnsim.parameters import scheme_coefficients


def damping_ratio(tau_mem, tau_syn):
    """Damping ratio ``(tau_mem + tau_syn)/(2 sqrt(tau_mem tau_syn)) >= 1`` (eq 10): the filter never rings."""
    return (tau_mem + tau_syn) / (2.0 * np.sqrt(tau_mem * tau_syn))


def natural_frequency(tau_mem, tau_syn):
    """Natural angular frequency ``1/sqrt(tau_mem tau_syn)`` (eq 10)."""
    return 1.0 / np.sqrt(tau_mem * tau_syn)


def continuous_response(omega, parameters):
    """``H(j omega) = r/((tau_mem j omega + 1)(tau_syn j omega + 1))`` (eq 11).

    Parameters
    ----------
    omega : array_like
        Angular frequencies.
    parameters : LIFParameters

    Returns
    -------
    ndarray of complex128, the shape of ``omega``
    """
    s = 1j * np.asarray(omega, np.float64)
    return parameters.r / ((parameters.tau_mem * s + 1.0) * (parameters.tau_syn * s + 1.0))


def step_response(z, coefficients):
    """Transfer function of one scheme from the weight per step ``x_k`` to ``v_k``.

    ``(b_v + a_vi b_i z^-1/(1 - a_ii z^-1))/(1 - a_vv z^-1)``, the z-transform of the five-coefficient update.

    Parameters
    ----------
    z : array_like of complex
    coefficients : tuple of float
        ``(a_ii, b_i, a_vv, a_vi, b_v)``.
    """
    a_ii, b_i, a_vv, a_vi, b_v = coefficients
    delay = 1.0 / np.asarray(z, np.complex128)
    return (b_v + a_vi * b_i * delay / (1.0 - a_ii * delay)) / (1.0 - a_vv * delay)


def discrete_response(omega, parameters, dt, scheme, binned=False):
    """Response ``H_d(exp(1j omega dt))`` of a scheme, per unit of input *density*, so that it tends to H as dt -> 0.

    A step of a density ``x(t)`` carries the weight ``x_k = x(t_k) dt`` at the step's end ``t_k = (k + 1) dt``.

    Parameters
    ----------
    omega : array_like
    parameters : LIFParameters
    dt : float
    scheme : str
        See :func:`snnsim.parameters.scheme_coefficients`.
    binned : bool
        If true, ``x_k`` is the integral of the density over the step, which is what counting spikes in a step does: a
        further factor ``(1 - exp(-1j omega dt))/(1j omega dt)``, half a step of delay and a sinc.

    Returns
    -------
    ndarray of complex128
    """
    omega = np.asarray(omega, np.float64)
    response = dt * step_response(np.exp(1j * omega * dt), scheme_coefficients(parameters, dt, scheme))
    if binned:
        half = 0.5 * omega * dt
        response = response * np.exp(-1j * half) * np.sinc(half / np.pi)
    return response


def folded_response(omega, parameters, dt, n_terms):
    """Aliased response ``sum_{|k| <= n_terms} H(j(omega + 2 pi k/dt))``: what sampling v every dt makes of H.

    For the exact scheme (impulse invariance) the infinite sum *is* ``H_d`` (Poisson's summation formula; the impulse
    response starts at 0, so there is no half-sample term). The tail that ``n_terms`` leaves out falls like its inverse.
    """
    omega = np.asarray(omega, np.float64)
    total = continuous_response(omega, parameters)
    for k in range(1, n_terms + 1):
        shift = 2.0 * np.pi * k / dt
        total = total + continuous_response(omega + shift, parameters) + continuous_response(omega - shift, parameters)
    return total


def aliasing_error(omega, parameters, dt):
    """Relative size of what sampling folds onto ``omega``: ``|sum_{k != 0} H(j(omega + 2 pi k/dt))|/|H(j omega)|``."""
    continuous = continuous_response(omega, parameters)
    return np.abs(discrete_response(omega, parameters, dt, "exact") - continuous) / np.abs(continuous)


def bilinear_warp(omega, dt):
    """Digital frequency ``2 arctan(omega dt/2)`` (radians per step) at which the trapezoidal rule shows H(j omega)."""
    return 2.0 * np.arctan(0.5 * np.asarray(omega, np.float64) * dt)


def bilinear_unwarp(digital, dt):
    """Continuous frequency ``(2/dt) tan(digital/2)`` that lands on the digital frequency (radians per step)."""
    return 2.0 / dt * np.tan(0.5 * np.asarray(digital, np.float64))


@dataclass(frozen=True)
class FrequencyResponse:
    """Theory of one parameter set: continuous and discrete responses on one frequency axis.

    Parameters
    ----------
    omega : ndarray, (F,) float64
        Angular frequencies.
    damping, natural : float
        Damping ratio and natural angular frequency.
    continuous : ndarray, (F,) complex128
        ``H(j omega)``.
    dt : ndarray, (D,) float64
    schemes : tuple of str, length S
    discrete : ndarray, (D, S, F) complex128
        ``H_d(exp(1j omega dt))``; NaN beyond the Nyquist frequency ``pi/dt`` and where a scheme is unstable.
    aliasing : ndarray, (D, F) float64
        Relative folding error; NaN beyond Nyquist.
    warped : ndarray, (D, F) float64
        ``bilinear_warp(omega, dt)/dt``: where the trapezoidal rule puts each frequency.
    """

    omega: np.ndarray
    damping: float
    natural: float
    continuous: np.ndarray
    dt: np.ndarray
    schemes: tuple
    discrete: np.ndarray
    aliasing: np.ndarray
    warped: np.ndarray


def frequency_response(parameters, dt, schemes, omega):
    """Continuous and discrete responses of a neuron for several step sizes and schemes.

    Parameters
    ----------
    parameters : LIFParameters
    dt : sequence of float, length D
    schemes : sequence of str, length S
    omega : array_like, (F,)

    Returns
    -------
    FrequencyResponse
    """
    omega = np.asarray(omega, np.float64)
    dt = np.asarray(dt, np.float64)
    discrete = np.full((dt.size, len(schemes), omega.size), np.nan + 0j)
    aliasing = np.full((dt.size, omega.size), np.nan)
    for d, step in enumerate(dt):
        below = omega <= np.pi / step * (1 + 1e-12)
        aliasing[d, below] = aliasing_error(omega[below], parameters, step)
        for s, scheme in enumerate(schemes):
            if scheme == "forward_euler" and step >= 2 * min(parameters.tau_mem, parameters.tau_syn):
                continue
            discrete[d, s, below] = discrete_response(omega[below], parameters, step, scheme)
    return FrequencyResponse(
        omega,
        float(damping_ratio(parameters.tau_mem, parameters.tau_syn)),
        float(natural_frequency(parameters.tau_mem, parameters.tau_syn)),
        continuous_response(omega, parameters),
        dt,
        tuple(schemes),
        discrete,
        aliasing,
        np.stack([bilinear_warp(omega, step) / step for step in dt]),
    )


def drive_linear(x, coefficients):
    """Membrane of free-running neurons (no threshold) under a given weight per step, from rest.

    Parameters
    ----------
    x : ndarray, (T, N) float64
        Summed weight that arrives in each step.
    coefficients : tuple of float
        ``(a_ii, b_i, a_vv, a_vi, b_v)``.

    Returns
    -------
    v, i : ndarray, (T, N) float64
        States at the ends of the steps.
    """
    a_ii, b_i, a_vv, a_vi, b_v = coefficients
    i = signal.lfilter([b_i], [1.0, -a_ii], x, axis=0)
    source = b_v * x
    source[1:] += a_vi * i[:-1]
    return signal.lfilter([1.0], [1.0, -a_vv], source, axis=0), i


@dataclass(frozen=True)
class MeasuredResponse:
    """Response of a scheme found by driving it.

    Parameters
    ----------
    omega : ndarray, (F,) float64
        Angular frequencies.
    response : ndarray, (F,) complex128
        Membrane per unit of input density; ``abs`` is the gain, ``angle`` the phase.
    standard_error : ndarray, (F,) float64
        Standard error of the gain, also of the response along any one direction; zero for a sinusoidal drive.
    coherence : ndarray, (F,) float64
        Share of the membrane's power that the input explains; one for a sinusoidal drive.
    """

    omega: np.ndarray
    response: np.ndarray
    standard_error: np.ndarray
    coherence: np.ndarray


def measure_sinusoid(drive, dt, omega, settle, periods=4):
    """Gain and phase from sinusoidal drives ``x(t) = 1 + cos(omega t)``, each fitted by least squares.

    Parameters
    ----------
    drive : callable
        Takes the weight per step, (T, N) float64, returns the membrane, (T, N): one column a frequency.
    dt : float
    omega : array_like, (F,)
        Angular frequencies in (0, pi/dt).
    settle : float
        Time to wait before fitting; 40 times the longest time constant leaves nothing of the transient in float64.
    periods : int
        Periods of the slowest drive to fit over.

    Returns
    -------
    MeasuredResponse
    """
    omega = np.asarray(omega, np.float64)
    if not (omega > 0).all() or not (omega < np.pi / dt).all():
        raise InputError(f"omega: must lie between 0 and the Nyquist frequency pi/dt = {np.pi / dt:g}")
    n_wait = int(np.ceil(settle / dt))
    n_fit = max(int(np.ceil(periods * 2 * np.pi / omega.min() / dt)), 16)
    t = (np.arange(n_wait + n_fit) + 1)[:, None] * dt
    v = np.asarray(drive(dt * (1.0 + np.cos(omega * t))))[n_wait:]
    response = np.empty(omega.size, np.complex128)
    for f, w in enumerate(omega):
        phase = w * t[n_wait:, 0]
        basis = np.stack([np.ones_like(phase), np.cos(phase), np.sin(phase)], axis=1)
        fit = np.linalg.lstsq(basis, v[:, f], rcond=None)[0]
        response[f] = fit[1] - 1j * fit[2]
    return MeasuredResponse(omega, response, np.zeros(omega.size), np.ones(omega.size))


def measure_poisson(drive, dt, rate, weight, n_steps, n_neurons, settle, seed=0, n_segment=256):
    """Response at all frequencies at once from Poisson input, as cross-spectrum over input spectrum (Welch).

    Parameters
    ----------
    drive : callable
        Takes the weight per step, (T, N) float64, returns the membrane, (T, N).
    dt, rate, weight : float
        Step size, Poisson rate per unit of time, weight of a spike.
    n_steps, n_neurons : int
        Steps after settling, and independent neurons.
    settle : float
        Time to wait before measuring.
    seed : int
    n_segment : int
        Samples of a Welch segment (Hann window, half overlapping).

    Returns
    -------
    MeasuredResponse
        Without the zero frequency.
    """
    if n_steps < n_segment:
        raise InputError(f"n_steps = {n_steps}: must be at least a segment of {n_segment} steps")
    n_wait = int(np.ceil(settle / dt))
    rng = np.random.default_rng(seed)
    x = weight * rng.poisson(rate * dt, (n_wait + n_steps, n_neurons)).astype(np.float64)
    v = np.asarray(drive(x))[n_wait:]
    density = x[n_wait:] / dt
    options = {"fs": 1.0 / dt, "window": "hann", "nperseg": n_segment, "axis": 0, "detrend": "constant"}
    f, pxx = signal.welch(density, **options)
    _, pvv = signal.welch(v, **options)
    _, pxv = signal.csd(density, v, **options)
    pxx, pvv, pxv = pxx.mean(1)[1:], pvv.mean(1)[1:], pxv.mean(1)[1:]
    response = pxv / pxx
    coherence = np.abs(pxv) ** 2 / (pxx * pvv)
    # Half-overlapping Hann segments count as about 0.95 independent ones each (Welch 1967, 1/(1 + 2/36)).
    independent = 0.95 * n_neurons * (2 * (n_steps // n_segment) - 1)
    error = np.abs(response) * np.sqrt(np.maximum(1.0 - coherence, 0.0) / (2.0 * coherence * independent))
    return MeasuredResponse(2 * np.pi * f[1:], response, error, coherence)
