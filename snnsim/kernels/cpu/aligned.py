"""Arrays that begin where a cache line does."""

import math

import numpy as np

CACHE_LINE = 64
"""Bytes. A vector register is as wide: a row that begins elsewhere costs two accesses for each load."""


def aligned_empty(shape, dtype):
    """Make an uninitialised C-contiguous array that begins at a cache line.

    Parameters
    ----------
    shape : tuple of int
    dtype : dtype

    Returns
    -------
    ndarray
    """
    dtype = np.dtype(dtype)
    size = math.prod(shape) * dtype.itemsize
    raw = np.empty(size + CACHE_LINE, np.uint8)
    start = -raw.ctypes.data % CACHE_LINE
    return raw[start : start + size].view(dtype).reshape(shape)
