"""Geometry of a convolution whose input may be pooled, as a connection between two populations of feature maps.

A population of shape (C, H, W) is kept channels last: the neuron of channel c, row y and column x has the number
``(y * W + x) * C + c``. The connection is NIR's and PyTorch's cross-correlation: output (Y, X) sees the pooled input
``(Y * stride + a - padding, X * stride + b - padding)`` through the kernel's row a and column b. Pooling is folded into
it: a spike at (y, x) acts at the window ``(y // pool, x // pool)``, and one beyond the last whole window nowhere.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from snnsim.errors import InputError


class Sizes(NamedTuple):
    """What kernels need to know of a geometry, in numbers; ``pooled`` is the map behind the pool, which is seen."""

    channels: int
    pooled_height: int
    pooled_width: int
    filters: int
    kernel_height: int
    kernel_width: int
    stride_y: int
    stride_x: int
    padding_y: int
    padding_x: int
    out_height: int
    out_width: int


class Tables(NamedTuple):
    """Where spikes act. int32, C-contiguous.

    Attributes
    ----------
    place : ndarray, (N_in, 3)
        Of each neuron the row, column and channel in the pooled map; -1 in all three for a neuron beyond the last whole
        window.
    number, framed : ndarray, (N_in,)
        Of each neuron its number in the pooled map, ``(y * width + x) * C + c``, and in that map with the padding as a
        frame; -1 for none.
    down : ndarray, (pooled height, 3)
        Of a row y the first kernel row a through which an output sees it, the number of those, and the output row Y
        of the first; the next has ``a + stride`` and ``Y - 1``.
    across : ndarray, (pooled width, 3)
        Of a column x the first output column X that sees it, the number of those, and the position of the first one's
        kernel column in :attr:`Geometry.column_order`; the next has ``X + 1`` and the next position.
    column : ndarray, (pooled width * C,)
        Column of a number in a row of the pooled map.
    """

    place: np.ndarray
    number: np.ndarray
    framed: np.ndarray
    down: np.ndarray
    across: np.ndarray
    column: np.ndarray


@dataclass(frozen=True)
class Geometry:
    """A convolution, its padding and the pool before it.

    Parameters
    ----------
    channels, height, width : int
        Shape of the source population.
    filters : int
        Channels of the target population.
    kernel, stride, padding, pool : (int, int)
        Per axis, (height, width). Windows of the pool do not overlap. One dimension is height 1.
    average : bool
        Whether the pool averages its window; it sums otherwise.

    Raises
    ------
    InputError
        If a size is not allowed, or nothing is left of the map.
    """

    channels: int
    height: int
    width: int
    filters: int
    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    pool: tuple[int, int] = (1, 1)
    average: bool = True

    def __post_init__(self):
        for name, least in (("channels", 1), ("height", 1), ("width", 1), ("filters", 1), ("kernel", 1),
                            ("stride", 1), ("padding", 0), ("pool", 1)):  # fmt: skip
            value = getattr(self, name)
            numbers = value if isinstance(value, tuple) else (value,)
            if len(numbers) != (2 if name in ("kernel", "stride", "padding", "pool") else 1):
                raise InputError(f"{name} = {value}: must be two numbers, height and width")
            if any(number < least for number in numbers):
                raise InputError(f"{name} = {value}: must be at least {least}")
        for axis, size, window in zip(("height", "width"), (self.height, self.width), self.pool, strict=True):
            if window > size:
                raise InputError(f"pool = {self.pool}: larger than the map's {axis} of {size}")
        for axis, size, kernel, padding in zip(
            ("height", "width"), self._pooled, self.kernel, self.padding, strict=True
        ):
            if kernel > size + 2 * padding:
                raise InputError(f"kernel = {self.kernel}: larger than the map's {axis}, {size} + 2 x {padding}")

    @property
    def _pooled(self):
        return self.height // self.pool[0], self.width // self.pool[1]

    @cached_property
    def sizes(self):
        """Numbers for the kernels, a :class:`Sizes`."""
        out = (
            (size + 2 * padding - kernel) // stride + 1
            for size, padding, kernel, stride in zip(self._pooled, self.padding, self.kernel, self.stride, strict=True)
        )
        return Sizes(
            self.channels, *self._pooled, self.filters, *self.kernel, *self.stride, *self.padding, *out
        )  # fmt: skip

    @property
    def in_shape(self):
        """Shape (C, H, W) of the source population."""
        return self.channels, self.height, self.width

    @property
    def out_shape(self):
        """Shape (C, H, W) of the target population."""
        return self.filters, self.sizes.out_height, self.sizes.out_width

    @property
    def n_in(self):
        """Neurons of the source population."""
        return self.channels * self.height * self.width

    @property
    def n_out(self):
        """Neurons of the target population."""
        return self.filters * self.sizes.out_height * self.sizes.out_width

    @property
    def n_pooled(self):
        """Places of the pooled map."""
        return self.channels * self.sizes.pooled_height * self.sizes.pooled_width

    @property
    def weight_shape(self):
        """Shape of the weights: (C_in, kernel height, kernel width, C_out)."""
        return self.channels, *self.kernel, self.filters

    @property
    def scale(self):
        """Factor of the weights: one over the window of an averaging pool, else 1."""
        return 1 / (self.pool[0] * self.pool[1]) if self.average else 1.0

    @cached_property
    def column_order(self):
        """Kernel columns in the order in which the outputs that see one input column lie, from left to right.

        They come by remainder modulo the stride, each class in descending order, so that the outputs an input reaches
        through a kernel row are one contiguous run for any stride.
        """
        width, stride = self.kernel[1], self.stride[1]
        return np.concatenate([np.arange(width)[r::stride][::-1] for r in range(stride)]).astype(np.int64)

    @cached_property
    def tables(self):
        """Where spikes act, a :class:`Tables`."""
        s = self.sizes
        down = np.zeros((s.pooled_height, 3), np.int32)
        for y in range(s.pooled_height):
            rows = [
                (a, (y + s.padding_y - a) // s.stride_y)
                for a in range(s.kernel_height)
                if (y + s.padding_y - a) % s.stride_y == 0 and 0 <= (y + s.padding_y - a) // s.stride_y < s.out_height
            ]
            if rows:
                down[y] = rows[0][0], len(rows), rows[0][1]
        across = np.zeros((s.pooled_width, 3), np.int32)
        for x in range(s.pooled_width):
            columns = [
                (position, (x + s.padding_x - b) // s.stride_x)
                for position, b in enumerate(self.column_order.tolist())
                if (x + s.padding_x - b) % s.stride_x == 0 and 0 <= (x + s.padding_x - b) // s.stride_x < s.out_width
            ]
            if columns:
                across[x] = columns[0][1], len(columns), columns[0][0]
        y, x, c = np.unravel_index(np.arange(self.n_in), (self.height, self.width, self.channels))
        y, x = y // self.pool[0], x // self.pool[1]
        outside = (y >= s.pooled_height) | (x >= s.pooled_width)
        framed_width = s.pooled_width + 2 * s.padding_x
        place = np.stack([y, x, c], axis=1)
        number = (y * s.pooled_width + x) * s.channels + c
        framed = ((y + s.padding_y) * framed_width + x + s.padding_x) * s.channels + c
        for table in (place, number, framed):
            table[outside] = -1
        column = np.arange(s.pooled_width * s.channels) // s.channels
        return Tables(*(t.astype(np.int32) for t in (place, number, framed, down, across, column)))
