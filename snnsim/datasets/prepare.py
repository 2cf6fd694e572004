"""Events of files as spikes of a network: units of time, crop, binning of channels, down-sampling, merged polarities.

Every step on space is one table of the new neuron's number by the old one, so that all of them cost one look-up.
"""

from dataclasses import dataclass

import numpy as np

from snnsim.connections.maps import described, size_of
from snnsim.errors import InputError
from snnsim.spikes import Spikes, rounding_of

LATEST = 2.0**53
"""Of a tick: larger numbers are no longer told apart."""


@dataclass(frozen=True)
class Preparation:
    """What is done to all events, in training and afterwards.

    Parameters
    ----------
    crop_start, crop : float
        Only events from ``crop_start`` on are kept, whose time then is 0, and only for the time ``crop``; in units of
        the network's time. A crop of 0 keeps all.
    bin_channels : int
        So many neighbouring channels of a line (N,) become one.
    downsample : int
        So many rows, and so many columns, of a map become one.
    merge_polarity : bool
        Channels of a map become one.
    """

    crop_start: float = 0.0
    crop: float = 0.0
    bin_channels: int = 1
    downsample: int = 1
    merge_polarity: bool = False

    def shape(self, shape, where):
        """Shape of a sample after it; InputError if a step does not apply to the given one."""
        if len(shape) == 1:
            for key, absent in (("downsample", 1), ("merge_polarity", False)):
                if getattr(self, key) != absent:
                    raise InputError(f"data.{key}: {where} has channels, {described(shape)}, and no map of pixels")
            return (-(-shape[0] // self.bin_channels),)
        if self.bin_channels != 1:
            raise InputError(
                f"data.bin_channels = {self.bin_channels}: {where} has a map of pixels, {described(shape)}; "
                "data.downsample makes it smaller"
            )
        channels, height, width = shape
        d = self.downsample
        return 1 if self.merge_polarity else channels, -(-height // d), -(-width // d)

    def table(self, shape, where):
        """Give the number of the neuron to which each neuron's events go, (N,) int32."""
        new = self.shape(shape, where)
        number = np.arange(size_of(shape), dtype=np.int32)
        if len(shape) == 1:
            return number // np.int32(self.bin_channels)
        channels, _, width = shape
        place, channel = np.divmod(number, np.int32(channels))
        y, x = (part // np.int32(self.downsample) for part in np.divmod(place, np.int32(width)))
        return (y * np.int32(new[2]) + x) * np.int32(new[0]) + (0 if self.merge_polarity else channel)


def prepared(events, preparation, unit_ms):
    """Read all samples of a split.

    Parameters
    ----------
    events : snnsim.datasets.formats.Events
    preparation : Preparation
    unit_ms : float
        Milliseconds in a unit of the network's time.

    Returns
    -------
    Spikes
        As long as the crop, or the file's own length, or the latest spike.
    shape : tuple of int

    Raises
    ------
    InputError
        If a sample cannot be read, or has times or units out of range.
    """
    table = preparation.table(events.shape, events.name(0))
    shape = preparation.shape(events.shape, events.name(0))
    factor = (events.tick_ms or unit_ms) / unit_ms
    times, neurons, counts, precision = [], [], np.zeros(len(events) + 1, np.int64), 0.0
    for k, (ticks, units) in enumerate(events):
        precision = max(precision, rounding_of(ticks))
        t = ticks.astype(np.float64)
        _check(t, units, events, k)
        t *= factor
        n = table[units]
        if preparation.crop_start or preparation.crop:
            t -= preparation.crop_start
            kept = (t >= 0) & (t <= (preparation.crop or np.inf))
            t, n = t[kept], n[kept]
        counts[k + 1] = t.size
        t, n = ordered(t, n, size_of(shape))
        times.append(t)
        neurons.append(n)
    all_times = np.concatenate(times)
    times.clear()
    if preparation.crop:
        duration = preparation.crop
    else:
        stated = -np.inf if events.length is None else events.length * factor - preparation.crop_start
        duration = float(max(all_times.max(initial=0.0), stated))
    spikes = Spikes.trusted(
        np.cumsum(counts), all_times, np.concatenate(neurons), size_of(shape), duration, precision or 2.0**-52
    )
    return spikes, shape


def ordered(times, neurons, size):
    """Order times and neurons by time, and by neuron among equal times."""
    later = times[1:] > times[:-1]
    if (times[1:] < times[:-1]).any():
        order = np.argsort(times, kind="stable")
        times, neurons = times[order], neurons[order]
        later = times[1:] > times[:-1]
    if (later | (neurons[1:] >= neurons[:-1])).all():
        return times, neurons
    # One number for the place of a time among all times and the neuron: sorting numbers is faster than lists of places.
    key = np.zeros(times.size, np.int64)
    np.cumsum(later, out=key[1:])
    key *= size
    key += neurons
    key.sort()
    key %= size
    return times, key.astype(np.int32)


def _check(ticks, units, events, k):
    """Refuse times that are none, or negative, and units that the sensor does not have."""
    where = events.name(k)
    if ticks.shape != units.shape or ticks.ndim != 1:
        raise InputError(f"{where}: {ticks.size} times and {units.size} channels: must be equally many")
    if ticks.size and not (ticks.min() >= 0 and ticks.max() <= LATEST):
        bad = ticks[~((ticks >= 0) & (ticks <= LATEST))][0]
        raise InputError(f"{where}: {bad:g} among the times: must be finite, not negative and below 2**53")
    size = size_of(events.shape)
    if units.size and not (units.min() >= 0 and units.max() < size):
        bad = units.min() if units.min() < 0 else units.max()
        raise InputError(f"{where}: channel {bad}: must lie in 0..{size - 1}; data.sensor names another number")
