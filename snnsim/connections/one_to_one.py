"""Each neuron to the one of its number."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from snnsim.connections.maps import described, size_of
from snnsim.errors import InputError


@dataclass(frozen=True)
class OneToOne:
    """Neuron n of the source to neuron n of the target; weights ``(N,)``."""

    pool = None

    def resolved(self, source: tuple, target: tuple, name: str, seed: int) -> Any:
        """Shape that a network keeps.

        Raises
        ------
        InputError
            If the populations differ in size.
        """
        if size_of(source) != size_of(target):
            raise InputError(
                f"{name}: one to one needs equally many neurons; the source has {described(source)}, the target "
                f"{described(target)}"
            )
        return self

    def weight_shape(self, source: tuple, target: tuple, name: str = "") -> tuple:
        """Shape of the weights."""
        return (size_of(source),)

    def fan_in(self, source: tuple, target: tuple) -> float:
        """How many weights meet at a neuron."""
        return 1

    def synapses(self, source: tuple, target: tuple) -> tuple:
        """Give lists by source neuron: ``indptr``, target neurons, and each one's place in the weights."""
        n = size_of(source)
        return np.arange(n + 1, dtype=np.int64), np.arange(n, dtype=np.int32), np.arange(n)
