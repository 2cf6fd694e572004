"""Convolution of a map, or of a line, with an optional pool of the source before it."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from snnsim.connections.maps import as_map, described, pair
from snnsim.connections.pool import Pool
from snnsim.errors import InputError


@dataclass(frozen=True)
class Convolution:
    """Cross-correlation as in PyTorch and NIR; a line is a map of height 1.

    Weights are kept as ``(C_in, kernel height, kernel width, C_out)``, so that what a spike adds lies side by side;
    :func:`nir_kernel` gives NIR's order.

    Parameters
    ----------
    kernel, stride, padding : int or (int, int)
        Height and width of the kernel, its steps, and rows and columns of silence around the source (or its pool). Of
        a line only the second counts.
    pool : Pool, optional
        Of the source, folded into the connection.
    """

    kernel: tuple
    stride: tuple = (1, 1)
    padding: tuple = (0, 0)
    pool: Pool | None = None

    def __post_init__(self):
        for name, least in (("kernel", 1), ("stride", 1), ("padding", 0)):
            object.__setattr__(self, name, pair(name, getattr(self, name), least))

    def resolved(self, source: tuple, target: tuple, name: str, seed: int) -> Any:
        """Shape that a network keeps.

        Raises
        ------
        InputError
            If source or target are no maps, or their sizes do not fit.
        """
        made = self.output(source, target[0] if target else 0, name)
        if as_map(target) != as_map(made):
            raise InputError(
                f"{name}: the convolution of {described(source)} gives {described(made)}, not {described(target)}"
            )
        return Convolution(*self._along(source), self.pool)

    def _along(self, source):
        if len(source) == 2:
            return (1, self.kernel[1]), (1, self.stride[1]), (0, self.padding[1])
        return self.kernel, self.stride, self.padding

    def before(self, source: tuple, name: str = "") -> tuple:
        """Channels, height and width that the kernel sees: of the source, or of its pool."""
        if as_map(source) is None:
            raise InputError(
                f"{name}: a convolution needs a source with channels and one or two axes, not {described(source)}"
            )
        return as_map(self.pool.output(as_map(source), name)) if self.pool else as_map(source)

    def output(self, source: tuple, channels: int, name: str = "") -> tuple:
        """Shape that a target with so many channels must have.

        Raises
        ------
        InputError
            If the kernel is larger than what it sees.
        """
        kernel, stride, padding = self._along(source)
        _, *sizes = self.before(source, name)
        made = []
        for size, k, s, p in zip(sizes, kernel, stride, padding, strict=True):
            if k > size + 2 * p:
                raise InputError(
                    f"{name}: kernel {kernel[0]} x {kernel[1]} is larger than its source, {described(sizes)} with "
                    f"padding {padding[0]} x {padding[1]}"
                )
            made.append((size + 2 * p - k) // s + 1)
        return (channels, made[1]) if len(source) == 2 else (channels, *made)

    def weight_shape(self, source: tuple, target: tuple, name: str = "") -> tuple:
        """Shape of the weights, ``(C_in, kernel height, kernel width, C_out)``."""
        kernel, _, _ = self._along(source)
        return self.before(source, name)[0], *kernel, target[0]

    def fan_in(self, source: tuple, target: tuple) -> float:
        """How many weights meet at a neuron away from the border."""
        c_in, height, width, _ = self.weight_shape(source, target)
        return c_in * height * width

    def synapses(self, source: tuple, target: tuple) -> tuple:
        """Unroll into lists by source neuron: ``indptr``, target neurons, and each one's place in the flat weights."""
        kernel, stride, padding = self._along(source)
        channels, height, width = self.before(source)
        c_out, rows, columns = as_map(target)
        mapped = as_map(source)
        pooled = self.pool.rows(mapped) if self.pool else np.arange(channels * height * width)
        y, x, c = np.unravel_index(np.maximum(pooled, 0), (height, width, channels))
        targets, places, counts = [], [], np.zeros(pooled.size, np.int64)
        out = np.arange(c_out)
        for neuron in np.flatnonzero(pooled >= 0):
            for a in range(kernel[0]):
                for b in range(kernel[1]):
                    down, off_y = divmod(y[neuron] + padding[0] - a, stride[0])
                    across, off_x = divmod(x[neuron] + padding[1] - b, stride[1])
                    if off_y or off_x or not (0 <= down < rows and 0 <= across < columns):
                        continue
                    targets.append((down * columns + across) * c_out + out)
                    places.append(((c[neuron] * kernel[0] + a) * kernel[1] + b) * c_out + out)
                    counts[neuron] += c_out
        indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        return indptr, np.concatenate(targets).astype(np.int32), np.concatenate(places)


def nir_kernel(weights):
    """Weights in NIR's order, (C_out, C_in, kernel height, kernel width), as a view."""
    return weights.transpose(3, 0, 1, 2)


def from_nir_kernel(kernel):
    """Weights of a kernel in NIR's order, as a view."""
    return kernel.transpose(1, 2, 3, 0)
