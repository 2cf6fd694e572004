"""What engines on a GPU share: device memory by name, and a network's weights and gradients."""

from itertools import pairwise
from math import prod

import numpy as np

from snnsim.errors import InputError
from snnsim.kernels.cuda import words
from snnsim.kernels.cuda.compiler import empty, free_memory

VIEWS = 64
"""Shapes of one array that are kept at hand."""


class Pool:
    """Device arrays by name; each is a view of memory that only grows.

    Views are kept, since one takes longer to make than a kernel to launch.

    Parameters
    ----------
    batch : int
        Largest batch.
    spare : float
        Share of what is asked for that is added when memory must grow.
    """

    def __init__(self, batch, spare=0.0):
        self.batch = batch
        self._spare, self._memory = spare, {}

    def array(self, name, n_samples, shape, dtype):
        """Array ``(n_samples, *shape)``; its memory has room for the largest batch."""
        return self._array(name, (n_samples, *shape), dtype, max(self.batch, n_samples) * prod(shape))

    def exactly(self, name, shape, dtype):
        """Array whose memory does not depend on the largest batch."""
        return self._array(name, shape, dtype, prod(shape))

    def _array(self, name, shape, dtype, wanted):
        memory, views = self._memory.get(name, (None, None))
        if memory is None or memory.size < wanted:
            self._memory[name] = memory, views = None, None  # before its successor takes memory
            memory, views = self._allocate(name, wanted + int(wanted * self._spare), np.dtype(dtype)), {}
            self._memory[name] = memory, views
        if shape not in views:
            if len(views) == VIEWS:
                views.clear()
            views[shape] = memory[: prod(shape)].reshape(*shape)
        return views[shape]

    def _allocate(self, name, size, dtype):
        wanted = size * dtype.itemsize
        free, total = free_memory()
        if wanted > free:
            raise InputError(
                f"target = 'cuda': out of device memory: {name} needs {wanted / 2**20:.0f} MiB, {free / 2**20:.0f} "
                f"of {total / 2**20:.0f} are free; lower training.batch_size or simulation.n_steps"
            )
        return empty(max(size, 1), dtype)


class DeviceNetwork:
    """Weights of a network and their gradients on the device; what an engine there derives from.

    Parameters
    ----------
    layers : sequence of int
        Sizes from the input to the output.
    dtype : dtype
    pool : Pool
    n_squares : sequence of int, optional
        Length of each layer's part of :attr:`squares`; that of :mod:`snnsim.kernels.cuda.words` if None.

    Attributes
    ----------
    flat_weights, flat_gradient : device array
        All layers, one after another; what an optimiser updates at once.
    weights, gradients : list of device array, each (N_in, N_out)
        Views of the flat arrays.
    flat_by_layer : list of device array, each (N_in * N_out,)
        Views of the flat weights.
    squares : device array
        Sums of squares of parts of the gradient, after a backward pass.
    area : float
        Factor of the gradient that a backward pass leaves to the optimiser.
    error_dtype : dtype
        In which a loss is differentiated; that of the weights unless an engine says otherwise.
    """

    area = 1.0

    def __init__(self, layers, dtype, pool, n_squares=None):
        self.layers, self.dtype, self.pool = tuple(layers), np.dtype(dtype), pool
        self.error_dtype = self.dtype
        shapes = list(pairwise(self.layers))
        ends = np.cumsum([0, *(a * b for a, b in shapes)])
        self.flat_weights, self.flat_gradient = (empty(int(ends[-1]), self.dtype) for _ in range(2))
        self.weights, self.gradients = (
            [flat[a:b].reshape(*s) for (a, b), s in zip(pairwise(ends), shapes, strict=True)]
            for flat in (self.flat_weights, self.flat_gradient)
        )
        self.flat_by_layer = [self.flat_weights[a:b] for a, b in pairwise(ends)]
        parts = np.cumsum([0, *(n_squares or map(words.n_squares, shapes))])
        self.squares = empty(int(parts[-1]), self.dtype)
        self._squares = [self.squares[a:b] for a, b in pairwise(parts)]

    def measure_gradient(self, layer):
        """Renew a layer's part of :attr:`squares` after its gradient was changed."""
        words.gradient_squares(self.gradients[layer], self._squares[layer])
