"""Numbers, texts and units of NIR graphs."""

import numpy as np

from snnsim.errors import InputError
from snnsim.extras import install_command

CONVENTIONS = ("dirac", "per-step", "jump")
UNITS = {"s": 1000.0, "ms": 1.0}
"""Milliseconds (our unit of time) of a file's unit."""


def library():
    """Import NIR's own package."""
    try:
        import nir
    except ImportError:
        raise InputError(f"NIR is not installed: {install_command('interchange')}") from None
    return nir


def unit_of(time_unit, dt, said):
    """Milliseconds in the file's unit of time."""
    if time_unit is None:
        unit = number_of(said.get("time_unit_ms", UNITS["s"]), "time_unit_ms of the file")
        if not 0 < unit < np.inf:
            raise InputError(f"time_unit_ms of the file = {unit}: must be a positive number")
        return unit
    if time_unit == "step":
        return float(dt)
    if time_unit in UNITS:
        return UNITS[time_unit]
    try:
        unit = float(time_unit)
    except ValueError:
        unit = 0.0
    if not 0 < unit < np.inf:
        raise InputError(f"time_unit = {time_unit!r}: must be s, ms, step, or the milliseconds of the file's unit")
    return unit


def tidy(values, unit):
    """``values * unit`` without the last bit's noise, where a number of 15 digits means the same."""
    values = np.asarray(values, np.float64)
    product = values * unit
    short = np.array([float(f"{x:.15g}") for x in product.ravel()]).reshape(product.shape)
    return np.where(short / unit == values, short, product)


def short(values):
    """Round off the noise of a few operations in float64."""
    values = np.asarray(values, np.float64)
    return np.array([float(f"{x:.14g}") for x in values.ravel()]).reshape(values.shape)


def one_or_each(values):
    """Give a float where all values are the same, else the array."""
    values = np.asarray(values, np.float64).ravel()
    return float(values[0]) if (values == values[0]).all() else values


def text_of(value):
    """Text of a file's string."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def number_of(value, where):
    """Take a file's value as a number; ``where`` begins the message if it is none."""
    try:
        return float(value)
    except (TypeError, ValueError):
        raise InputError(f"{where} = {value!r}: must be a number") from None
