"""AEDAT 2 (as CIFAR10-DVS is published) and AEDAT 3.1 (DVS128-Gesture): a text header, then binary events.

AEDAT 2: pairs of a 32-bit address and a 32-bit time in microseconds, big-endian. The address of a DVS128, of which
CIFAR10-DVS is made (Li et al. 2017, doi 10.3389/fnins.2017.00309): polarity in bit 0 (set for OFF), one coordinate in
bits 1 to 7 and the other in bits 8 to 14, both counted from the far end. Turned so that images stand upright, as
SpikingJelly and events-tfds have it.

AEDAT 3.1: packets of a header of 28 bytes (type, source, size of an event, offset of its time, how often the clock went
through 2**31, capacity, number of events, number of valid ones), little-endian, and their events; those of type 1 are
polarity events of 32 bits of data (bit 0: valid, bit 1: ON, bits 2 to 16: y, bits 17 to 31: x) and 32 bits of time in
microseconds. Sources: the description that comes with DVS128-Gesture (Amir et al. 2017), and libcaer.
"""

import re

import numpy as np

from snnsim.datasets.formats.base import units_of
from snnsim.errors import InputError

SUFFIXES = (".aedat",)
SENSOR = (2, 128, 128)
TICK_MS = 1e-3
_HEAD = np.dtype(
    [("type", "<u2"), ("source", "<u2"), ("size", "<u4"), ("offset", "<u4"), ("overflow", "<u4"), ("capacity", "<u4"),
     ("number", "<u4"), ("valid", "<u4")]
)  # fmt: skip
_POLARITY = 1
_END = b"#!END-HEADER"


def decode(data, sensor, where):
    """Events of one file, in the order of their times; parameters and what is given as in ``nmnist.decode``."""
    version, begin = _header(data, where)
    shape = sensor or SENSOR
    if version == "2.0":
        ticks, x, y, p = _version_2(data, begin, where)
    elif version in ("3.0", "3.1"):
        ticks, x, y, p = _version_3(data, begin, where)
    else:
        raise InputError(f"{where}: AEDAT {version}: must be 2.0, 3.0 or 3.1, or a file .aedat4 of version 4")
    units = units_of(x, y, p, shape, where)
    if ticks.size and (ticks[1:] < ticks[:-1]).any():
        order = np.argsort(ticks, kind="stable")
        ticks, units = ticks[order], units[order]
    return ticks, units, shape


def _header(data, where):
    """Version, and where the events begin."""
    first = re.match(rb"#!AER-DAT(\d\.\d)[^\n]*\n", data)
    if first is None:
        raise InputError(f"{where}: no AEDAT file, which begins with #!AER-DAT and a version")
    at = first.end()
    while data[at : at + 1] == b"#":
        end = data.find(b"\n", at)
        if end < 0:
            raise InputError(f"{where}: truncated within its header")
        line, at = data[at:end], end + 1
        if line.startswith(_END):
            break
    return first[1].decode(), at


def _version_2(data, begin, where):
    if (len(data) - begin) % 8:
        raise InputError(f"{where}: {len(data) - begin} bytes of events: must be a multiple of the 8 bytes of an event")
    words = np.frombuffer(data, ">u4", offset=begin).reshape(-1, 2)
    address = words[:, 0].astype(np.uint32)
    low, high = (address >> 1) & 127, (address >> 8) & 127
    return words[:, 1].astype(np.int64), 127 - high.astype(np.int32), 127 - low.astype(np.int32), 1 - (address & 1)


def _version_3(data, begin, where):
    parts, at = [], begin
    while at < len(data):
        if at + _HEAD.itemsize > len(data):
            raise InputError(f"{where}: truncated within the header of a packet, byte {at}")
        head = np.frombuffer(data, _HEAD, 1, at)[0]
        at += _HEAD.itemsize
        end = at + int(head["capacity"]) * int(head["size"])
        stop = at + int(head["number"]) * int(head["size"])
        if end > len(data) or stop > end:
            raise InputError(f"{where}: truncated, or damaged: a packet of {head['number']} events at byte {at}")
        if head["type"] == _POLARITY:
            if head["size"] != 8:
                raise InputError(f"{where}: polarity events of {head['size']} bytes: must be 8")
            words = np.frombuffer(data[at:stop], "<u4").reshape(-1, 2)
            words = words[(words[:, 0] & 1) == 1]
            parts.append((words, int(head["overflow"]) << 31))
        at = end
    if not parts:
        return (np.empty(0, np.int64),) + (np.empty(0, np.int32),) * 3
    word = np.concatenate([words[:, 0] for words, _ in parts])
    ticks = np.concatenate([words[:, 1].astype(np.int64) + base for words, base in parts])
    return ticks, (word >> 17).astype(np.int32), ((word >> 2) & 0x7FFF).astype(np.int32), (word >> 1) & 1
