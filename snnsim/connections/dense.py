"""Every neuron of the source (or of its pooled map) to every neuron of the target."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from snnsim.connections.maps import size_of
from snnsim.connections.pool import Pool


@dataclass(frozen=True)
class Dense:
    """All to all; weights ``(N_source, N_target)``.

    Parameters
    ----------
    pool : Pool, optional
        Of the source, folded into the connection; weights are then ``(N_pooled, N_target)``.
    """

    pool: Pool | None = None

    def resolved(self, source: tuple, target: tuple, name: str, seed: int) -> Any:
        """Shape that a network keeps; ``source`` and ``target`` are shapes of populations."""
        self.weight_shape(source, target, name)
        return self

    def weight_shape(self, source: tuple, target: tuple, name: str = "") -> tuple:
        """Shape of the weights."""
        n_in = size_of(self.pool.output(source, name)) if self.pool else size_of(source)
        return n_in, size_of(target)

    def fan_in(self, source: tuple, target: tuple) -> float:
        """How many weights meet at a neuron."""
        return self.weight_shape(source, target)[0]

    def synapses(self, source: tuple, target: tuple) -> tuple:
        """Unroll into lists by source neuron: ``indptr``, target neurons, and each one's place in the flat weights."""
        n_source, n_target = size_of(source), size_of(target)
        rows = self.pool.rows(source) if self.pool else np.arange(n_source, dtype=np.int32)
        used = rows >= 0
        indptr = np.concatenate([[0], np.cumsum(used * n_target)]).astype(np.int64)
        targets = np.tile(np.arange(n_target, dtype=np.int32), np.count_nonzero(used))
        places = (rows[used].astype(np.int64)[:, None] * n_target + np.arange(n_target)).reshape(-1)
        return indptr, targets, places
