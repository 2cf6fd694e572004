"""Shapes of populations and what is said of them: () or (N,) for plain neurons, (C, L), (C, H, W) for maps."""

import math

import numpy as np

from snnsim.errors import InputError


def pair(name, value, least):
    """Two whole numbers from one or two.

    Raises
    ------
    InputError
        If a number is missing, not whole, or below ``least``.
    """
    values = tuple(value) if isinstance(value, list | tuple) else (value, value)
    if len(values) != 2 or not all(
        isinstance(v, int | np.integer) and not isinstance(v, bool) and v >= least for v in values
    ):
        raise InputError(f"{name} = {value!r}: must be a whole number of at least {least}, or two of them")
    return int(values[0]), int(values[1])


def as_map(shape):
    """Channels, height and width of a shape; a line (C, L) has height 1. None for plain neurons."""
    if len(shape) == 2:
        return shape[0], 1, shape[1]
    return tuple(shape) if len(shape) == 3 else None


def size_of(shape):
    """Count the neurons of a shape."""
    return math.prod(shape)


def described(shape):
    """Text of a shape, such as ``2x34x34``."""
    return "x".join(map(str, shape))
