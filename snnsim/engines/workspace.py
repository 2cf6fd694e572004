"""Arrays of an engine that are kept from call to call, and begin where a cache line does."""

import math

import numpy as np

from snnsim.kernels.cpu.aligned import aligned_empty


def aligned_copy(array, dtype=None):
    """Copy an array to a C-contiguous one that begins at a cache line."""
    out = aligned_empty(array.shape, array.dtype if dtype is None else dtype)
    out[...] = array
    return out


class Workspace:
    """Arrays by name; each is a view of memory that only grows.

    Parameters
    ----------
    spare : float
        Share of what is asked for that is added when memory must grow.
    """

    def __init__(self, spare=0.0):
        self._spare, self._memory, self._arrays = spare, {}, {}

    def array(self, key, shape, dtype):
        """Give the array of this name, with what it held if it is asked for again in the same shape and dtype."""
        array = self._arrays.get(key)
        if array is not None and array.shape == shape and array.dtype == dtype:
            return array
        dtype, size = np.dtype(dtype), math.prod(shape)
        kept = self._memory.get(key)
        if kept is None or kept.size < size or kept.dtype != dtype:
            kept = self._memory[key] = aligned_empty((size + int(size * self._spare),), dtype)
        array = self._arrays[key] = kept[:size].reshape(shape)
        return array
