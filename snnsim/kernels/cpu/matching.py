"""Order-preserving assignment of the spikes of two trains, train by train."""

import numpy as np
from numba import njit, prange


@njit(cache=True)
def _align(a, a0, n, b, b0, m, window, partner):
    """Align ``a[a0:a0 + n]`` with ``b[b0:b0 + m]``: dynamic programme, then backtrack into ``partner``."""
    half = window / 2
    cost = np.empty((n + 1, m + 1))
    for p in range(n + 1):
        cost[p, 0] = p * half
    for q in range(m + 1):
        cost[0, q] = q * half
    for p in range(1, n + 1):
        for q in range(1, m + 1):
            pair = cost[p - 1, q - 1] + abs(a[a0 + p - 1] - b[b0 + q - 1])
            cost[p, q] = min(pair, min(cost[p - 1, q], cost[p, q - 1]) + half)
    p, q = n, m
    while p > 0 and q > 0:
        pair = cost[p - 1, q - 1] + abs(a[a0 + p - 1] - b[b0 + q - 1])
        if pair <= cost[p, q]:
            partner[a0 + p - 1] = b0 + q - 1
            p -= 1
            q -= 1
        elif cost[p - 1, q] + half <= cost[p, q]:
            p -= 1
        else:
            q -= 1


@njit(parallel=True, cache=True)
def match_trains(times_a, start_a, times_b, start_b, window):
    """Partner in b of every spike in a, or -1.

    A pair costs its distance, an unmatched spike ``window/2``; the assignment keeps the order and has the least cost
    (the alignment of Victor & Purpura 1996 with shifting cost 2/window). Where both trains are silent for longer than
    ``window`` the problem falls apart, so that memory grows with the longest burst, not with the train.

    Parameters
    ----------
    times_a, times_b : ndarray, (E_a,) and (E_b,) float64
        Spike times, grouped by train and ascending in it.
    start_a, start_b : ndarray, (R + 1,) int64
        Train r owns ``start[r]:start[r + 1]``.
    window : float

    Returns
    -------
    ndarray, (E_a,) int64
    """
    partner = np.full(times_a.size, -1, np.int64)
    for r in prange(start_a.size - 1):
        p, q = start_a[r], start_b[r]
        while p < start_a[r + 1] and q < start_b[r + 1]:
            p0, q0 = p, q
            last = min(times_a[p], times_b[q])
            growing = True
            while growing:
                growing = False
                if p < start_a[r + 1] and times_a[p] <= last + window:
                    last = max(last, times_a[p])
                    p += 1
                    growing = True
                if q < start_b[r + 1] and times_b[q] <= last + window:
                    last = max(last, times_b[q])
                    q += 1
                    growing = True
            if p > p0 and q > q0:
                _align(times_a, p0, p - p0, times_b, q0, q - q0, window, partner)
    return partner
