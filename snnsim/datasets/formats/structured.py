"""Structured arrays of events, as Tonic gives them: fields t, x, y, p, or t and x; in a file ``.npy``, or in Python."""

import io

import numpy as np

from snnsim.datasets.formats.base import units_of
from snnsim.errors import InputError

SUFFIXES = (".npy",)
SENSOR = ()
TICK_MS = 1e-3
"""Tonic's events count microseconds."""


def decode(data, sensor, where):
    """Events of one file ``.npy``; what is given as in ``nmnist.decode``."""
    return events_of(array_of(data, where), sensor, where)


def array_of(data, where):
    """Array of the bytes of a file ``.npy``; InputError if they are none."""
    try:
        return np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)
    except (ValueError, EOFError, OSError, SyntaxError) as error:
        raise InputError(f"{where}: cannot be read as an array of NumPy ({' '.join(str(error).split())})") from error


def is_structured(array):
    """Whether an array has the fields of events."""
    return isinstance(array, np.ndarray) and array.dtype.names is not None


def sensor_of(arrays, where):
    """Smallest sensor that holds the events of all arrays: ``(C, H, W)``, or ``(N,)`` for events without y."""
    size = {}
    for array in arrays:
        _check(array, where)
        for field in {"p", "y", "x"} & set(array.dtype.names):
            size[field] = max(size.get(field, 1), int(array[field].max()) + 1 if array.size else 1)
    return (size["p"] if "p" in size else 1, size["y"], size["x"]) if "y" in size else (size["x"],)


def events_of(array, sensor, where):
    """Ticks, units and shape of a structured array.

    Parameters
    ----------
    array : ndarray, (E,) with fields t and x, and perhaps y and p
    sensor : tuple of int
        ``(C, H, W)`` or ``(N,)``; empty: the smallest that holds them.
    where : str
        Begins every message.

    Returns
    -------
    ticks : ndarray, (E,)
    units : ndarray, (E,) int32
    shape : tuple of int

    Raises
    ------
    InputError
        If fields are missing or no numbers, or an event lies outside the sensor.
    """
    _check(array, where)
    shape = sensor or sensor_of([array], where)
    ticks = array["t"]
    if "y" not in array.dtype.names:
        if len(shape) != 1:
            raise InputError(f"{where}: events without a field y: data.sensor must be one number of channels")
        units = array["x"]
        if units.size and not (units.min() >= 0 and units.max() < shape[0]):
            raise InputError(f"{where}: an event with x = {units.max()}: must lie in 0..{shape[0] - 1}")
        units = units.astype(np.int32)
    else:
        if len(shape) != 3:
            raise InputError(f"{where}: events with a field y: data.sensor must be channels, height and width")
        zero = np.zeros(array.size, np.uint8)
        p = array["p"].astype(np.uint8) if "p" in array.dtype.names and shape[0] > 1 else zero
        units = units_of(array["x"], array["y"], p, shape, where)
    if ticks.size and (ticks[1:] < ticks[:-1]).any():
        order = np.argsort(ticks, kind="stable")
        ticks, units = ticks[order], units[order]
    return ticks, units, shape


def _check(array, where):
    if not is_structured(array):
        raise InputError(f"{where}: {array.dtype} of shape {array.shape}: must be events, fields t, x or t, x, y, p")
    fields = array.dtype.fields
    missing = {"t", "x"} - fields.keys()
    if missing or array.ndim != 1:
        raise InputError(f"{where}: fields {', '.join(fields)}: events must have t and x, or t, x, y, p")
    for name in {"t", "x", "y", "p"} & fields.keys():
        kinds = {"t": "iuf", "p": "iub"}.get(name, "iu")
        if fields[name][0].kind not in kinds:
            raise InputError(f"{where}: field {name} holds {fields[name][0]}: must be numbers")
