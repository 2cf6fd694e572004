"""Power spectra of membranes by Welch's method, and what filter theory says they should be.

Frequencies ``f`` are in cycles per unit of the time constants; spectra are one-sided densities (power per unit of f).
"""

from dataclasses import dataclass

import numpy as np
from scipy import signal

from snnsim.analysis.frequency import continuous_response, discrete_response
from snnsim.errors import InputError


@dataclass(frozen=True)
class Spectrum:
    """Welch spectra of the columns of a voltage matrix.

    Parameters
    ----------
    frequency : ndarray, (F,) float64
        From 0 to the Nyquist frequency ``1/(2 dt)``.
    power : ndarray, (F, N) float64
        One-sided power density of each neuron.
    mean : ndarray, (F,) float64
        Mean over neurons.
    standard_error : ndarray, (F,) float64
        Standard error of ``mean`` over neurons; NaN for a single one.
    dt : float
    n_segment : int
        Samples of a segment.
    """

    frequency: np.ndarray
    power: np.ndarray
    mean: np.ndarray
    standard_error: np.ndarray
    dt: float
    n_segment: int


def welch_spectrum(v, dt, n_segment=256, detrend="constant"):
    """Power spectra of membranes (Hann window, half-overlapping segments).

    Parameters
    ----------
    v : ndarray, (T, N) or (T,)
        Membranes, one column a neuron (or a trial).
    dt : float
        Sampling interval.
    n_segment : int
        Samples of a segment; cut to T.
    detrend : {"constant", "linear"} or False

    Returns
    -------
    Spectrum

    Raises
    ------
    InputError
        If there are no voltages or fewer than 8 samples.
    """
    if v is None:
        raise InputError("spectrum: the recording has no voltages; record v to analyse it")
    v = np.asarray(v, np.float64)
    v = v[:, None] if v.ndim == 1 else v
    if v.ndim != 2 or v.shape[0] < 8:
        raise InputError(f"spectrum: voltages of shape {v.shape}: must be (T, N) with at least 8 samples")
    n_segment = min(int(n_segment), v.shape[0])
    f, power = signal.welch(v, fs=1.0 / dt, nperseg=n_segment, axis=0, detrend=detrend)
    n = v.shape[1]
    error = power.std(axis=1, ddof=1) / np.sqrt(n) if n > 1 else np.full(f.size, np.nan)
    return Spectrum(f, power, power.mean(axis=1), error, float(dt), n_segment)


def poisson_spectrum(frequency, parameters, rate, weight, dt=None, scheme=None):
    """Theoretical one-sided spectrum of a free membrane under Poisson input.

    Shot noise has the flat two-sided density ``rate weight^2``, so the membrane's one-sided density is
    ``2 rate weight^2 |H(2 pi j f)|^2``, with ``H_d`` of the scheme in place of H when a clock advances it.

    Parameters
    ----------
    frequency : array_like
        Cycles per unit of time, > 0.
    parameters : LIFParameters
    rate, weight : float
        Rate of the Poisson input and weight of a spike.
    dt, scheme : float and str, optional
        Clock; without them the continuous neuron.
    """
    omega = 2 * np.pi * np.asarray(frequency, np.float64)
    if scheme is None:
        response = continuous_response(omega, parameters)
    else:
        response = discrete_response(omega, parameters, dt, scheme)
    return 2.0 * rate * weight**2 * np.abs(response) ** 2


def band_power(spectrum, low, high):
    """Power of the neurons' mean spectrum between two frequencies (trapezoidal rule, edges interpolated)."""
    inside = spectrum.frequency[(spectrum.frequency > low) & (spectrum.frequency < high)]
    high = min(high, spectrum.frequency[-1])
    if not low < high:
        raise InputError(f"band {low:g}..{high:g}: must lie within 0..{spectrum.frequency[-1]:g}")
    f = np.concatenate([[low], inside, [high]])
    return float(np.trapezoid(np.interp(f, spectrum.frequency, spectrum.mean), f))
