"""N-MNIST's files: 5 bytes an event (Orchard et al. 2015, doi 10.3389/fnins.2015.00437).

Bytes: x, y, then one bit of polarity and 23 bits of microseconds, the highest first. An event with y = 240 is none, but
says that the clock went once more through 2**13 microseconds (as the authors' own Matlab reader has it).
"""

import numpy as np

from snnsim.datasets.formats.base import units_of
from snnsim.errors import InputError

SUFFIXES = (".bin",)
SENSOR = (2, 34, 34)
TICK_MS = 1e-3
_WRAP_ROW, _WRAP = 240, 2**13


def decode(data, sensor, where):
    """Events of one file.

    Parameters
    ----------
    data : bytes
    sensor : (C, H, W) or ()
        Empty: 2 x 34 x 34.
    where : str
        Begins every message.

    Returns
    -------
    ticks : ndarray, (E,) int64
        Microseconds.
    units : ndarray, (E,) int32
    shape : (C, H, W)

    Raises
    ------
    InputError
        If it is cut off, or an event lies outside the sensor.
    """
    if len(data) % 5:
        raise InputError(f"{where}: {len(data)} bytes: must be a multiple of the 5 bytes of an event")
    bytes_ = np.frombuffer(data, np.uint8).reshape(-1, 5)
    shape = sensor or SENSOR
    x, y, third = bytes_[:, 0], bytes_[:, 1], bytes_[:, 2]
    ticks = (third & 127).astype(np.int64)
    for column in (3, 4):
        ticks <<= 8
        ticks += bytes_[:, column]
    p = third >> 7
    wraps = y == _WRAP_ROW
    if wraps.any() and shape[1] <= _WRAP_ROW:
        ticks += _WRAP * np.cumsum(wraps)
        x, y, p, ticks = (values[~wraps] for values in (x, y, p, ticks))
    return ticks, units_of(x, y, p, shape, where), shape
