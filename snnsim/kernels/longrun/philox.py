"""Philox 4x32-10 on unsigned words: the numbers of :mod:`snnsim.dynamics.philox`, in types that a loop vectorises."""

import numpy as np
from numba import njit

from snnsim.dynamics.philox import _M0, _M1, _W0, _W1, ROUNDS

U32, U64 = np.uint32, np.uint64
M0, M1, W0, W1, HALF = U64(_M0), U64(_M1), U32(_W0), U32(_W1), U64(32)


@njit(inline="always")
def philox(c0, c1, c2, c3, k0, k1):
    """Four 32-bit words of a counter and a key, all uint32."""
    for _ in range(ROUNDS):
        p0 = U64(c0) * M0
        p1 = U64(c2) * M1
        c0, c1, c2, c3 = U32(U32(p1 >> HALF) ^ c1 ^ k0), U32(p1), U32(U32(p0 >> HALF) ^ c3 ^ k1), U32(p0)
        k0 = U32(k0 + W0)
        k1 = U32(k1 + W1)
    return c0, c1, c2, c3


@njit(inline="always")
def below(word, n):
    """Whole number in [0, n) from a 32-bit word: the high half of their product."""
    return np.int64((U64(word) * U64(n)) >> HALF)
