"""Pooling without a threshold: a linear map, so it is part of the connection behind it and no layer of its own."""

from dataclasses import dataclass

import numpy as np

from snnsim.connections.maps import described, pair
from snnsim.errors import InputError, check_names

KINDS = ("average", "sum")


@dataclass(frozen=True)
class Pool:
    """Windows, side by side, whose neurons act as one on the connection behind them.

    Parameters
    ----------
    size : int or (int, int)
        Height and width of a window.
    kind : {"average", "sum"}
        Whether a spike counts as ``1/(height width)`` or as one.

    Notes
    -----
    Neurons beyond the last whole window connect to nothing, as in PyTorch and NIR.
    """

    size: tuple = (2, 2)
    kind: str = "average"

    def __post_init__(self):
        object.__setattr__(self, "size", pair("pool", self.size, 1))
        check_names("pool kind", self.kind, KINDS)

    @property
    def scale(self) -> float:
        """What a spike counts."""
        return 1.0 / (self.size[0] * self.size[1]) if self.kind == "average" else 1.0

    def output(self, shape: tuple, name: str) -> tuple:
        """Shape (C, H, W) of the pooled map.

        Raises
        ------
        InputError
            If the source is no map, or smaller than a window.
        """
        if len(shape) != 3:
            raise InputError(f"{name}: a pool needs a source with channels, height and width, not {described(shape)}")
        channels, height, width = shape
        pooled = height // self.size[0], width // self.size[1]
        if 0 in pooled:
            raise InputError(
                f"{name}: pool {self.size[0]} x {self.size[1]} is larger than its source {described(shape)}"
            )
        return (channels, *pooled)

    def rows(self, shape: tuple) -> np.ndarray:
        """Pooled neuron of every source neuron, (N,) int32; -1 for those beyond the last whole window.

        Neurons are numbered channels last: ``(y W + x) C + c``.
        """
        channels, height, width = shape
        _, rows, columns = self.output(shape, "pool")
        y, x, c = np.meshgrid(np.arange(height), np.arange(width), np.arange(channels), indexing="ij")
        py, px = y // self.size[0], x // self.size[1]
        inside = (py < rows) & (px < columns)
        return np.where(inside, (py * columns + px) * channels + c, -1).reshape(-1).astype(np.int32)
