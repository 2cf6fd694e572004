"""Chosen pairs of neurons, from a matrix or a list."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from snnsim.arguments import integers
from snnsim.connections.maps import size_of
from snnsim.errors import InputError


@dataclass(frozen=True, eq=False)
class Sparse:
    """Synapses as lists by source neuron (CSR); weights ``(n_synapses,)`` in that order.

    Parameters
    ----------
    indptr : ndarray, (N_source + 1,) int64
    indices : ndarray, (n_synapses,) int32
        Target neuron of each synapse; a pair may occur more than once.
    """

    indptr: np.ndarray
    indices: np.ndarray
    pool: None = field(default=None, init=False, repr=False)

    @classmethod
    def of(cls, matrix: Any) -> tuple:
        """Shape and weights of a ``scipy.sparse`` matrix or array (N_source, N_target).

        Returns
        -------
        shape : Sparse
        weights : ndarray, (n_synapses,)
        """
        from scipy.sparse import csr_array

        csr = csr_array(matrix)
        csr.sort_indices()
        return cls(csr.indptr.astype(np.int64), csr.indices.astype(np.int32)), csr.data

    def __post_init__(self):
        what = "a list of whole numbers"
        indices = integers("indices", self.indices, what)
        most = np.iinfo(np.int32).max
        if indices.size and not (indices.min() >= 0 and indices.max() <= most):
            raise InputError(f"indices: from {indices.min()} to {indices.max()}: must lie in 0..{most}")
        object.__setattr__(self, "indptr", np.ascontiguousarray(integers("indptr", self.indptr, what)))
        object.__setattr__(self, "indices", np.ascontiguousarray(indices, np.int32))

    def __eq__(self, other):
        return (
            isinstance(other, Sparse)
            and np.array_equal(self.indptr, other.indptr)
            and np.array_equal(self.indices, other.indices)
        )

    def resolved(self, source: tuple, target: tuple, name: str, seed: int) -> Any:
        """Shape that a network keeps.

        Raises
        ------
        InputError
            If the lists do not fit the populations.
        """
        n_source, n_target = size_of(source), size_of(target)
        pointers, indices = self.indptr, self.indices
        if pointers.shape != (n_source + 1,) or pointers[0] != 0 or (np.diff(pointers) < 0).any():
            raise InputError(f"{name}: indptr must rise from 0 and have {n_source + 1} entries")
        if pointers[-1] != indices.size:
            raise InputError(f"{name}: {indices.size} indices, where indptr ends at {pointers[-1]}")
        if indices.size and not (0 <= indices.min() and indices.max() < n_target):
            raise InputError(f"{name}: target neurons must lie in 0..{n_target - 1}")
        return self

    def weight_shape(self, source: tuple, target: tuple, name: str = "") -> tuple:
        """Shape of the weights."""
        return (self.indices.size,)

    def fan_in(self, source: tuple, target: tuple) -> float:
        """Mean number of synapses of a target neuron, at least 1."""
        return max(1.0, self.indices.size / size_of(target))

    def synapses(self, source: tuple, target: tuple) -> tuple:
        """Give lists by source neuron: ``indptr``, target neurons, and each one's place in the weights."""
        return self.indptr, self.indices, np.arange(self.indices.size)


@dataclass(frozen=True, eq=False)
class Pairs:
    """The given pairs.

    Parameters
    ----------
    pre, post : sequence of int
        Source and target neuron of each synapse; the network keeps them sorted by (source, target).
    """

    pre: tuple
    post: tuple
    pool: None = field(default=None, init=False, repr=False)

    def resolved(self, source: tuple, target: tuple, name: str, seed: int) -> Any:
        """Sort the pairs into lists.

        Raises
        ------
        InputError
            If a number lies outside its population, or the lists differ in length.
        """
        what = "a list of whole numbers"
        pre, post = integers(f"{name}: pre", self.pre, what), integers(f"{name}: post", self.post, what)
        if pre.size != post.size:
            raise InputError(f"{name}: {pre.size} source and {post.size} target neurons must be equally many")
        n_source = size_of(source)
        if pre.size and not (0 <= pre.min() and pre.max() < n_source):
            raise InputError(f"{name}: source neurons must lie in 0..{n_source - 1}")
        order = np.lexsort((post, pre))
        pointers = np.concatenate([[0], np.cumsum(np.bincount(pre, minlength=n_source))])
        return Sparse(pointers, post[order]).resolved(source, target, name, seed)
