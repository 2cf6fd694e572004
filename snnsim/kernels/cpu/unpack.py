"""Spikes of a batch out of the forms in which engines leave them, as recordings keep them."""

import numpy as np
from numba import njit, prange

from snnsim.kernels.jit import SERIAL


@njit(**SERIAL)
def grid_neurons(rows, offsets, neurons):
    """List the neurons of spikes on the grid without gaps.

    Parameters
    ----------
    rows : ndarray, (B, cap) int32
        Neurons, ordered by step.
    offsets : ndarray, (B + 1,) int64
        Where each sample begins in ``neurons``.
    neurons : ndarray, (E,) int32
        Filled.
    """
    for b in range(rows.shape[0]):
        base = offsets[b]
        for j in range(offsets[b + 1] - base):
            neurons[base + j] = rows[b, j]


@njit(parallel=True, cache=True, error_model="numpy")
def word_rows(words, row_ptr, rows):
    """List spikes on the grid that come as words by neuron, 32 steps a word.

    Parameters
    ----------
    words : ndarray, (B, ceil(T / 32), N) uint32
        Bit j of ``words[b, q, n]`` is a spike in step ``32 q + j``.
    row_ptr : ndarray, (B, T + 1) int32
        Where the spikes of each step begin.
    rows : ndarray, (B, cap) int32
        Filled: neurons, ordered by step, then number.
    """
    for b in prange(words.shape[0]):
        for k in range(row_ptr.shape[1] - 1):
            j = row_ptr[b, k]
            if j == row_ptr[b, k + 1]:
                continue
            for n in range(words.shape[2]):
                if (words[b, k // 32, n] >> (k % 32)) & 1:
                    rows[b, j] = n
                    j += 1


@njit(parallel=True, cache=True, error_model="numpy")
def row_words(rows, row_ptr, words, repeated):
    """Do the reverse of :func:`word_rows`.

    Parameters
    ----------
    rows, row_ptr : ndarray, (B, cap) int32 and (B, T + 1) int32
        Neurons, ordered by step.
    words : ndarray, (B, ceil(T / 32), N) uint32
        Filled.
    repeated : ndarray, (B,) bool
        Filled: whether a neuron spikes twice in a step, which a word cannot say.
    """
    for b in prange(rows.shape[0]):
        words[b] = 0
        repeated[b] = False
        for k in range(row_ptr.shape[1] - 1):
            bit = np.uint32(1) << np.uint32(k % 32)
            for j in range(row_ptr[b, k], row_ptr[b, k + 1]):
                word = words[b, k // 32, rows[b, j]]
                repeated[b] |= word & bit != 0
                words[b, k // 32, rows[b, j]] = word | bit
