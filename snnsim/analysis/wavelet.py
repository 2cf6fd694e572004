"""Discrete and continuous wavelet transforms of membranes (study, section 4.3), with PyWavelets."""

from dataclasses import dataclass

import numpy as np
import pywt

from snnsim.errors import InputError


@dataclass(frozen=True)
class WaveletDecomposition:
    """Multilevel discrete wavelet transform of a voltage matrix along time.

    Parameters
    ----------
    wavelet, mode : str
        PyWavelets names of wavelet and signal extension.
    dt : float
        Sampling interval.
    approximation : ndarray, (n_L, N) float64
        Coefficients below the last level's band.
    details : tuple of ndarray, each (n_j, N) float64
        Detail coefficients of levels 1 (finest) to L.
    bands : ndarray, (L + 1, 2) float64
        Nominal band of each level's details, cycles per unit of time; the last row is the approximation's.
    energy : ndarray, (L + 1, N) float64
        Sum of squared coefficients: levels 1 to L, then the approximation.
    signal_energy : ndarray, (N,) float64
        Sum of squared voltages; an orthogonal wavelet in mode ``periodization`` keeps it if 2^L divides T.
    """

    wavelet: str
    mode: str
    dt: float
    approximation: np.ndarray
    details: tuple
    bands: np.ndarray
    energy: np.ndarray
    signal_energy: np.ndarray

    @property
    def detail_share(self):
        """Share of each detail level in the energy of all detail levels, over all neurons, (L,) float64."""
        total = self.energy[:-1].sum(axis=1)
        return total / total.sum() if total.sum() > 0 else np.zeros_like(total)


def decompose(v, dt, wavelet="db4", level=None, mode="periodization"):
    """Discrete wavelet transform of each column of a voltage matrix.

    Parameters
    ----------
    v : ndarray, (T, N) or (T,)
        Membranes, one column a neuron.
    dt : float
        Sampling interval.
    wavelet : str
        Discrete wavelet of PyWavelets.
    level : int, optional
        Levels; by default as many as the wavelet's length and T allow, at least one.
    mode : str
        Signal extension of PyWavelets. ``periodization`` keeps the energy (see :class:`WaveletDecomposition`).

    Returns
    -------
    WaveletDecomposition

    Raises
    ------
    InputError
        If there are no voltages, the trace is too short, or wavelet, level or mode is unknown.
    """
    if v is None:
        raise InputError("wavelet: the recording has no voltages; record v to analyse it")
    v = np.asarray(v, np.float64)
    v = v[:, None] if v.ndim == 1 else v
    if v.ndim != 2 or v.shape[0] < 4:
        raise InputError(f"wavelet: voltages of shape {v.shape}: must be (T, N) with at least 4 samples")
    if wavelet not in pywt.wavelist(kind="discrete"):
        raise InputError(f"wavelet = {wavelet!r}: must be a discrete wavelet of PyWavelets, such as haar, db4, sym8")
    if mode not in pywt.Modes.modes:
        raise InputError(f"mode = {mode!r}: must be one of {', '.join(pywt.Modes.modes)}")
    longest = int(np.log2(v.shape[0]))
    if level is None:
        level = max(1, pywt.dwt_max_level(v.shape[0], pywt.Wavelet(wavelet).dec_len))
    if not 1 <= level <= longest:
        raise InputError(f"level = {level}: must be between 1 and {longest} for {v.shape[0]} samples")
    approximation, details = v, []
    for _ in range(level):
        approximation, detail = pywt.dwt(approximation, wavelet, mode=mode, axis=0)
        details.append(detail)
    nyquist = 0.5 / dt
    edges = nyquist / 2.0 ** np.arange(level + 1)
    bands = np.stack([np.append(edges[1:], 0.0), edges], axis=1)
    energy = np.stack([(c**2).sum(axis=0) for c in (*details, approximation)])
    return WaveletDecomposition(
        wavelet, mode, float(dt), approximation, tuple(details), bands, energy, (v**2).sum(axis=0)
    )


def reconstruct(decomposition, n_samples):
    """Voltages, (T, N), from a decomposition of ``n_samples`` samples (inverse transform)."""
    d = decomposition
    v = d.approximation
    for detail in reversed(d.details):
        v = pywt.idwt(v[: detail.shape[0]], detail, d.wavelet, mode=d.mode, axis=0)
    return v[:n_samples]


@dataclass(frozen=True)
class Scalogram:
    """Continuous wavelet power of one trace.

    Parameters
    ----------
    times : ndarray, (T,) float64
    frequencies : ndarray, (F,) float64
        Cycles per unit of time, descending.
    power : ndarray, (F, T) float64
        Squared modulus of the coefficients.
    cone : ndarray, (F,) float64
        Cone of influence: nearer than this to either end, the end itself shows (the power of a jump there has fallen to
        exp(-2), as of Torrence and Compo, 1998); NaN for a wavelet that has no bandwidth.
    """

    times: np.ndarray
    frequencies: np.ndarray
    power: np.ndarray
    cone: np.ndarray


def scalogram(v, dt, n_frequencies=64, wavelet="cmor1.5-1.0", octaves=None):
    """Continuous wavelet transform of one trace with its mean removed.

    Parameters
    ----------
    v : ndarray, (T,)
    dt : float
    n_frequencies : int
    wavelet : str
        Continuous wavelet of PyWavelets.
    octaves : float, optional
        Span below the highest frequency ``1/(3 dt)``; by default down to a third of the trace's length.

    Returns
    -------
    Scalogram
    """
    v = np.asarray(v, np.float64)
    if v.ndim != 1 or v.size < 8:
        raise InputError(f"scalogram: a trace of shape {v.shape}: must be (T,) with at least 8 samples")
    octaves = max(np.log2(v.size / 9.0), 1.0) if octaves is None else octaves
    scales = 3.0 * pywt.central_frequency(wavelet) * 2.0 ** np.linspace(0.0, octaves, n_frequencies)
    coefficients, frequencies = pywt.cwt(v - v.mean(), scales, wavelet, sampling_period=dt)
    # The envelope exp(-t^2/B) of the mother wavelet: its square is exp(-2) at sqrt(B), stretched by the scale.
    bandwidth = getattr(pywt.ContinuousWavelet(wavelet), "bandwidth_frequency", None)
    cone = np.full(scales.size, np.nan) if bandwidth is None else np.sqrt(bandwidth) * scales * dt
    return Scalogram((np.arange(v.size) + 1) * dt, frequencies, np.abs(coefficients) ** 2, cone)
