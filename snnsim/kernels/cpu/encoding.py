"""Spike encoders on the grid: intensities to spike lists, 32 steps at a time.

Each encoder fills, per sample and block of 32 steps, one 32-bit word a neuron (bit j: a spike in step
``32 * block + j``) and hands it to :func:`_list_spikes`, which appends the spikes in order of step, then neuron, as
neurons (``group = 1``) or as patterns of four neurons (``group = 4``, see :mod:`snnsim.kernels.cpu.synapse`). Where a
neuron may spike several times in a step there is a word for each time: bit j of the p-th one (from 0) says that it
spikes more than p times in step j.
"""

import numpy as np
from numba import njit, prange

from snnsim.dynamics.philox import ROUNDS, bernoulli32_among, compare_bit, philox_next_key, philox_round
from snnsim.kernels.cpu.synapse import GROUP, PATTERNS
from snnsim.kernels.jit import KERNEL, SERIAL

BLOCK = 32
_MASK = 0xFFFFFFFF


@njit(**SERIAL)
def _spread(word):
    """Bits 0..15 of ``word`` to the bits 0, 4, 8, ..., 60."""
    z = (word | (word << 24)) & 0x000000FF000000FF
    z = (z | (z << 12)) & 0x000F000F000F000F
    z = (z | (z << 6)) & 0x0303030303030303
    return (z | (z << 3)) & 0x1111111111111111


@njit(**SERIAL)
def _list_spikes(words, group, block, n_steps, rows, row_ptr, low, high, active):
    """Append the spikes of one block of one sample; ``low``, ``high``, ``active`` are scratch."""
    n_neurons = words.shape[0]
    first = BLOCK * block
    last = min(first + BLOCK, n_steps)
    m = row_ptr[first]
    cap = rows.shape[0]
    n_active = 0
    if group == 1:
        for n in range(n_neurons):
            if words[n]:
                low[n_active] = words[n]
                active[n_active] = n
                n_active += 1
        for k in range(first, last):
            j = k - first
            if m + n_active <= cap:
                for a in range(n_active):
                    rows[m] = active[a]
                    m += (low[a] >> j) & 1
            else:
                # No room for the worst case: count on, the caller comes back with more room.
                for a in range(n_active):
                    if (low[a] >> j) & 1:
                        if m < cap:
                            rows[m] = active[a]
                        m += 1
            row_ptr[k + 1] = m
        return
    for g in range((n_neurons + GROUP - 1) // GROUP):
        lo, hi = 0, 0
        for j in range(min(GROUP, n_neurons - GROUP * g)):
            word = words[GROUP * g + j]
            lo |= _spread(word & 0xFFFF) << j
            hi |= _spread(word >> 16) << j
        if lo | hi:
            low[n_active], high[n_active] = lo, hi
            active[n_active] = PATTERNS * g
            n_active += 1
    for k in range(first, last):
        shift = GROUP * ((k - first) % 16)
        half = low if k - first < 16 else high
        if m + n_active <= cap:
            for a in range(n_active):
                pattern = (half[a] >> shift) & 15
                rows[m] = active[a] + pattern
                m += pattern != 0
        else:
            for a in range(n_active):
                pattern = (half[a] >> shift) & 15
                if pattern:
                    if m < cap:
                        rows[m] = active[a] + pattern
                    m += 1
        row_ptr[k + 1] = m


@njit(**SERIAL)
def _draw_words(thresholds, sample, block, n_trials, seed, epoch, words, active, scratch):
    """Fill ``words`` (N,) with what :func:`~snnsim.dynamics.philox.bernoulli32` gives in its lowest ``n_trials`` bits.

    Neurons go through the rounds side by side, in vector registers; one that is decided leaves the list.
    """
    undecided, success, w0, w1, w2, w3 = scratch[0], scratch[1], scratch[2], scratch[3], scratch[4], scratch[5]
    wanted = (1 << n_trials) - 1
    m = 0
    for n in range(thresholds.shape[0]):
        words[n] = wanted if thresholds[n] > _MASK else 0
        if 0 < thresholds[n] <= _MASK:
            active[m], undecided[m], success[m] = n, wanted, 0
            m += 1
    for call in range(8):
        if m == 0:
            return
        for a in range(m):
            w0[a], w1[a], w2[a], w3[a] = active[a], sample, block, call
        k0, k1 = seed, epoch
        for _ in range(ROUNDS):
            for a in range(m):
                w0[a], w1[a], w2[a], w3[a] = philox_round(w0[a], w1[a], w2[a], w3[a], k0, k1)
            k0, k1 = philox_next_key(k0, k1)
        bit = 31 - 4 * call
        for a in range(m):
            threshold, u, s = thresholds[active[a]], undecided[a], success[a]
            u, s = compare_bit(w0[a], threshold, bit, u, s)
            u, s = compare_bit(w1[a], threshold, bit - 1, u, s)
            u, s = compare_bit(w2[a], threshold, bit - 2, u, s)
            undecided[a], success[a] = compare_bit(w3[a], threshold, bit - 3, u, s)
        left = 0
        for a in range(m):
            if undecided[a] != 0 and call < 7:
                active[left], undecided[left], success[left] = active[a], undecided[a], success[a]
                left += 1
            else:
                words[active[a]] = success[a]
        m = left


@njit(**KERNEL)
def encode_poisson(thresholds, sample_ids, seed, epoch, n_steps, group, rows, row_ptr):
    """Bernoulli spikes, independent in every step: rate coding.

    Parameters
    ----------
    thresholds : ndarray, (B, N) int64
        ``round(p * 2**32)``, p the probability of a spike in a step.
    sample_ids : ndarray, (B,) int64
        Index of each sample in its dataset: with ``seed``, ``epoch`` and the neuron it determines every spike.
    seed, epoch : int
        In [0, 2^32).
    n_steps, group : int
    rows, row_ptr : ndarray, (B, cap) int32 and (B, n_steps + 1) int32
        Output; ``row_ptr[b, n_steps] > cap`` tells that sample b needs more room.
    """
    n_neurons = thresholds.shape[1]
    for b in prange(thresholds.shape[0]):
        words, scratch = np.empty(n_neurons, np.int64), np.empty((6, n_neurons), np.int64)
        active = np.empty(n_neurons, np.int32)
        row_ptr[b, 0] = 0
        for block in range((n_steps + BLOCK - 1) // BLOCK):
            n_trials = min(BLOCK, n_steps - BLOCK * block)
            _draw_words(thresholds[b], sample_ids[b], block, n_trials, seed, epoch, words, active, scratch)
            _list_spikes(words, group, block, n_steps, rows[b], row_ptr[b], scratch[0], scratch[1], active)


@njit(**SERIAL)
def _list_repeated(words, n_draws, group, block, n_steps, rows, row_ptr):
    """Append the spikes of one block of one sample, several of a neuron in a step; ``words`` is (P, N)."""
    n_neurons, cap = words.shape[1], rows.shape[0]
    first = BLOCK * block
    m = row_ptr[first]
    for k in range(first, min(first + BLOCK, n_steps)):
        j = k - first
        for n in range(0, n_neurons, group):
            for p in range(n_draws):
                if group == 1:
                    entry, spiking = n, (words[p, n] >> j) & 1
                else:
                    spiking = 0
                    for i in range(min(GROUP, n_neurons - n)):
                        spiking |= ((words[p, n + i] >> j) & 1) << i
                    entry = PATTERNS * (n // GROUP) + spiking
                if spiking == 0:
                    break
                if m < cap:
                    rows[m] = entry
                m += 1
        row_ptr[k + 1] = m


@njit(**KERNEL)
def encode_poisson_counts(thresholds, sample_ids, seed, epoch, n_steps, group, rows, row_ptr):
    """Poisson numbers of spikes, independent in every step: rate coding whose rate does not depend on the step.

    A number is drawn by inversion, one spike after another: whether there is a first one, then whether there is a
    second, each with the probability that it has where the one before is there.

    Parameters
    ----------
    thresholds : ndarray, (P, B, N) int64
        ``round(2**32 * P(n > p) / P(n >= p))`` of the number n of spikes in a step; no neuron has more than P.
    sample_ids, seed, epoch, n_steps, group, rows, row_ptr
        As in :func:`encode_poisson`, whose spikes are the first ones here.
    """
    n_draws, n_neurons = thresholds.shape[0], thresholds.shape[2]
    for b in prange(thresholds.shape[1]):
        words, scratch = np.empty((n_draws, n_neurons), np.int64), np.empty((6, n_neurons), np.int64)
        active = np.empty(n_neurons, np.int32)
        row_ptr[b, 0] = 0
        for block in range((n_steps + BLOCK - 1) // BLOCK):
            n_trials = min(BLOCK, n_steps - BLOCK * block)
            _draw_words(thresholds[0, b], sample_ids[b], block, n_trials, seed, epoch, words[0], active, scratch)
            most = 1
            for p in range(1, n_draws):
                left = 0
                for n in range(n_neurons):
                    word = words[p - 1, n]
                    if word:
                        word = bernoulli32_among(word, thresholds[p, b, n], n, sample_ids[b], block, p, seed, epoch)
                    words[p, n] = word
                    left |= word
                if left == 0:
                    break
                most = p + 1
            _list_repeated(words, most, group, block, n_steps, rows[b], row_ptr[b])


@njit(**KERNEL)
def encode_regular(thresholds, n_steps, group, rows, row_ptr):
    """Regularly spaced spikes at the mean rate: a spike in step k where ``floor((k + 1) p + 1/2)`` rises.

    Parameters as in :func:`encode_poisson`; no randomness.
    """
    n_neurons = thresholds.shape[1]
    half = 1 << 31
    for b in prange(thresholds.shape[0]):
        words, low, high = np.empty(n_neurons, np.int64), np.empty(n_neurons, np.int64), np.empty(n_neurons, np.int64)
        active = np.empty(n_neurons, np.int32)
        row_ptr[b, 0] = 0
        for block in range((n_steps + BLOCK - 1) // BLOCK):
            for n in range(n_neurons):
                p = thresholds[b, n]
                word = 0
                if p > 0:
                    before = (BLOCK * block * p + half) >> 32
                    for j in range(BLOCK):
                        after = ((BLOCK * block + j + 1) * p + half) >> 32
                        word |= (after - before) << j
                        before = after
                words[n] = word
            _list_spikes(words, group, block, n_steps, rows[b], row_ptr[b], low, high, active)


@njit(**KERNEL)
def encode_steps(steps, n_steps, group, rows, row_ptr):
    """At most one spike a neuron: in step ``steps[b, n]``, none where it is outside ``0 <= step < n_steps``.

    Parameters
    ----------
    steps : ndarray, (B, N) int64
    n_steps, group, rows, row_ptr
        As in :func:`encode_poisson`.
    """
    n_neurons = steps.shape[1]
    for b in prange(steps.shape[0]):
        words, low, high = np.empty(n_neurons, np.int64), np.empty(n_neurons, np.int64), np.empty(n_neurons, np.int64)
        active = np.empty(n_neurons, np.int32)
        row_ptr[b, 0] = 0
        for block in range((n_steps + BLOCK - 1) // BLOCK):
            for n in range(n_neurons):
                j = steps[b, n] - BLOCK * block
                words[n] = 1 << j if 0 <= j < BLOCK else 0
            _list_spikes(words, group, block, n_steps, rows[b], row_ptr[b], low, high, active)
