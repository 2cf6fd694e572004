"""Sound as spikes: a gammatone filter bank, rectification, compression, and integrate-and-fire neurons.

The filters are those of Patterson et al. 1987 with the bandwidths of Glasberg and Moore 1990 (Hear. Res. 47, 103): the
impulse response of a channel is ``t^3 exp(-2 pi b t) cos(2 pi f t)`` with ``b = 1.019 ERB(f)``, sampled (which makes it
a cascade of four equal complex poles and one short sum: exact, and stable at any sampling rate), of gain 1 at ``f``.
"""

import io
from pathlib import Path
from typing import Any

import numpy as np

from snnsim.arguments import array, number, whole
from snnsim.errors import InputError
from snnsim.files.text import check_ordinary
from snnsim.spikes import Spikes

ORDER = 4
BANDWIDTH = 1.019
"""Of a gammatone of order 4, in equivalent rectangular bandwidths (Patterson et al. 1987)."""
LONGEST = 2**30
"""Bytes of the longest sound file."""


def cochlea(
    sounds: Any,
    sample_rate: float | None = None,
    *,
    channels: int = 128,
    low: float = 100.0,
    high: float | None = None,
    max_rate: float = 400.0,
    compression: float = 0.3,
    floor: float = 0.01,
) -> Spikes:
    """Turn sounds into spike trains.

    Every channel's output is rectified (its positive half, of peak 1 for a sine of amplitude 1 at its frequency) and
    raised to the power ``compression``; what is below ``floor`` before that counts as silence. A neuron integrates it
    without leak, and spikes whenever its integral passes another multiple of its threshold, which is set so that a sine
    of amplitude 1 gives ``max_rate`` spikes a second.

    Parameters
    ----------
    sounds : str, Path, (S,) array_like, or a list of these
        WAV files (several tracks are averaged; whole numbers are scaled to -1..1), or samples in -1..1.
    sample_rate : float, optional
        Samples a second of arrays; files say theirs.
    channels : int
    low, high : float
        Frequencies of the first and the last channel, Hz, spaced evenly on the scale of equivalent rectangular
        bandwidths; ``high`` is 0.4 of the smallest sampling rate if None.
    max_rate : float
        Spikes a second.
    compression : float
        In (0, 1].
    floor : float
        In [0, 1).

    Returns
    -------
    Spikes
        One trial a sound; times in ms; neuron 0 is the lowest frequency. As long as the longest sound.

    Raises
    ------
    InputError
        For a file that is no sound, samples beyond -1..1, or a value out of range.

    Examples
    --------
    >>> import numpy as np
    >>> tone = np.sin(2 * np.pi * 1000 * np.arange(8000) / 8000)
    >>> spikes = cochlea(tone, 8000, channels=32)
    >>> int(spikes.counts().argmax())
    17
    """
    one = isinstance(sounds, str | Path) or (isinstance(sounds, np.ndarray) and sounds.ndim == 1)
    given = [_sound(s, sample_rate, k) for k, s in enumerate([sounds] if one else sounds)]
    if not given:
        raise InputError("sounds: none")
    channels, max_rate = whole("channels", channels, 1, 2**16), number("max_rate", max_rate, above=0)
    low = number("low", low, above=0)
    high = 0.4 * min(rate for _, rate in given) if high is None else number("high", high, above=0)
    if not low <= high < min(rate for _, rate in given) / 2:
        raise InputError(f"low = {low:g}, high = {high:g}: must ascend, below half of {min(r for _, r in given):g} Hz")
    if not 0 < compression <= 1:
        raise InputError(f"compression = {compression}: must lie above 0 and be at most 1")
    if not 0 <= floor < 1:
        raise InputError(f"floor = {floor}: must lie in [0, 1)")
    duration = max(1000 * s.size / rate for s, rate in given)
    trials = (_spikes(s, rate, channels, low, high, max_rate, compression, floor) for s, rate in given)
    return Spikes.from_trials(trials, channels, duration)


def frequencies(channels, low, high):
    """Centre frequencies, (channels,) Hz, evenly spaced in ERB-rate, ``21.4 log10(1 + 0.00437 f)``."""
    ends = 21.4 * np.log10(1 + 0.00437 * np.array([low, high]))
    return (10 ** (np.linspace(*ends, channels) / 21.4) - 1) / 0.00437


def bandwidth(frequency):
    """Bandwidth b of a channel, Hz: 1.019 times ``ERB = 24.7 (0.00437 f + 1)``."""
    return BANDWIDTH * 24.7 * (0.00437 * frequency + 1)


def gammatone(sound, sample_rate, frequency):
    """Filter a sound by one channel.

    Parameters
    ----------
    sound : (S,) float
    sample_rate, frequency : float
        Hz.

    Returns
    -------
    (S,) float64
    """
    from scipy.signal import lfilter

    pole, gain = _filter(sample_rate, frequency)
    # sum n^3 q^n z^-n = (q z^-1 + 4 q^2 z^-2 + q^3 z^-3) / (1 - q z^-1)^4
    out = lfilter([0, pole, 4 * pole**2, pole**3], [1], sound)
    for _ in range(ORDER):
        out = lfilter([1], [1, -pole], out)
    return out.real / gain


def _filter(sample_rate, frequency):
    """Complex pole, and the gain at the centre frequency of the filter that has its real part."""
    angle = 2 * np.pi * frequency / sample_rate
    pole = np.exp(-2 * np.pi * bandwidth(frequency) / sample_rate + 1j * angle)

    def transfer(z):
        q = pole / z
        return (q + 4 * q**2 + q**3) / (1 - q) ** ORDER

    z = np.exp(1j * angle)
    return pole, abs(transfer(z) + np.conj(transfer(np.conj(z)))) / 2


def integrate_and_fire(drive, sample_rate, threshold):
    """Spike times of a neuron that integrates without leak and subtracts its threshold at each spike.

    Parameters
    ----------
    drive : (S,) float of at least 0
        Constant within a sample.
    sample_rate : float
    threshold : float
        Of the integral of the drive over seconds.

    Returns
    -------
    (E,) float64
        Seconds; exact, between samples too.
    """
    integral = np.concatenate([[0.0], np.cumsum(drive)]) / sample_rate
    count = int(np.floor(integral[-1] / threshold * (1 + 1e-12)))
    levels = np.minimum(threshold * np.arange(1, count + 1), integral[-1])
    last = np.searchsorted(integral, levels, side="left")
    before = integral[last - 1]
    return (last - 1 + (levels - before) / (integral[last] - before)) / sample_rate


def _spikes(sound, rate, channels, low, high, max_rate, compression, floor):
    from scipy.special import beta

    # Mean over a period of max(sin, 0)^c, so that a sine of amplitude 1 gives max_rate.
    threshold = beta((compression + 1) / 2, 0.5) / (2 * np.pi) / max_rate
    times, neurons = [], []
    for k, f in enumerate(frequencies(channels, low, high)):
        drive = gammatone(sound, rate, f)
        drive = np.where(drive > floor, drive, 0.0) ** compression
        times.append(1000 * integrate_and_fire(drive, rate, threshold))
        neurons.append(np.full(times[-1].size, k))
    return np.concatenate(times), np.concatenate(neurons)


def read_wav(source, where):
    """Read samples in -1..1 and the sampling rate of a WAV file.

    Parameters
    ----------
    source : path-like or bytes
    where : str
        Begins every message.

    Returns
    -------
    sound : (S,) float64
    sample_rate : int
    """
    import warnings

    from scipy.io import wavfile

    if not isinstance(source, bytes) and check_ordinary(source).st_size > LONGEST:
        raise InputError(f"{where}: longer than {LONGEST} bytes")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", wavfile.WavFileWarning)  # of chunks with titles and the like
            rate, data = wavfile.read(io.BytesIO(source) if isinstance(source, bytes) else source)
    except Exception as error:  # scipy answers damage with nearly every exception that there is
        raise InputError(f"{where}: cannot be read as a WAV file ({' '.join(str(error).split())[:120]})") from error
    if data.dtype == np.uint8:
        data = (data.astype(np.float64) - 128) / 128
    elif data.dtype.kind == "i":
        data = data / -float(np.iinfo(data.dtype).min)
    data = data.astype(np.float64)
    return _checked(data.mean(axis=1) if data.ndim == 2 else data, where), _rate(rate, where)


def _sound(given, sample_rate, k):
    if isinstance(given, str | Path):
        return read_wav(given, str(given))
    if sample_rate is None:
        raise InputError("sample_rate: arrays need it; files say theirs")
    where = f"sound {k}"
    return _checked(array(where, given, 1, "a list of numbers").astype(np.float64), where), _rate(sample_rate, where)


def _rate(rate, where):
    return number(f"{where}: sample_rate", rate, above=0)


def _checked(sound, where):
    if not sound.size:
        raise InputError(f"{where}: has no samples")
    if not (np.abs(sound) <= 1).all():
        raise InputError(f"{where}: samples up to {np.max(np.abs(sound)):g}: must be finite and lie in -1..1")
    return sound
