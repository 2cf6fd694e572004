"""WAV files, which the cochlea turns into spikes (:func:`snnsim.hearing.cochlea`)."""

from snnsim.errors import InputError
from snnsim.hearing import cochlea, read_wav

SUFFIXES = (".wav",)
SENSOR = (128,)
"""Channels of the cochlea, unless ``data.sensor`` says how many."""
TICK_MS = 1.0


def decode(data, sensor, where):
    """Spikes of one sound; what is given as in ``nmnist.decode``, but times are floats."""
    if len(sensor) > 1:
        raise InputError(f"{where}: a sound: data.sensor must be one number of channels")
    sound, rate = read_wav(data, where)
    spikes = cochlea(sound, rate, channels=(sensor or SENSOR)[0])
    return spikes.times, spikes.neurons, sensor or SENSOR
