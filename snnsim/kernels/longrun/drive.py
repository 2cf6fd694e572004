"""Input from outside, drawn where it is needed: Poisson spikes and noise, four steps a call of Philox."""

import math

import numpy as np
from numba import njit

from snnsim.dynamics.distributions import normal_quantile
from snnsim.kernels.jit import NOGIL, NOGIL_LEAF
from snnsim.kernels.longrun.philox import U32, philox

GROUP = 4
"""Steps that share a call of Philox: as many as it makes words."""
TABLE = 8
"""Thresholds that are compared in one go."""


@njit(**NOGIL_LEAF)
def random_words(words, first, group, draw, stream, seed):
    """Four words a neuron.

    Parameters
    ----------
    words : (4, n) uint32
        Filled.
    first : int
        Number of the first neuron in its population.
    group, draw, stream : int
        Step // 4; which of several draws; which input.
    seed : int
    """
    g, d, s, k = U32(group), U32(draw), U32(stream), U32(seed)
    for n in range(words.shape[1]):
        a, b, c, e = philox(U32(first + n), g, d, s, k, U32(0x9017))
        words[0, n] = a
        words[1, n] = b
        words[2, n] = c
        words[3, n] = e


@njit(**NOGIL_LEAF)
def add_counts(words, table, weight, x):
    """Add ``weight`` times a Poisson number to each neuron's input: as many as thresholds lie below its word.

    Parameters
    ----------
    words : (n,) uint32
    table : (K,) uint32
        Ascending, K a multiple of 8: ``floor(2**32 P(number <= k)) - 1``.
    weight, x : (n,)
    """
    for k in range(0, table.size, TABLE):
        t0, t1, t2, t3 = table[k], table[k + 1], table[k + 2], table[k + 3]
        t4, t5, t6, t7 = table[k + 4], table[k + 5], table[k + 6], table[k + 7]
        largest = U32(0)
        for n in range(x.size):
            w = words[n]
            largest = max(largest, w)
            number = (
                np.int32(w > t0) + np.int32(w > t1) + np.int32(w > t2) + np.int32(w > t3)
                + np.int32(w > t4) + np.int32(w > t5) + np.int32(w > t6) + np.int32(w > t7)
            )  # fmt: skip
            x[n] += weight[n] * type(x[n])(np.int32(number))
        if largest <= t7:
            return


@njit(**NOGIL_LEAF)
def add_counts_each(words, mean, factor, weight, x):
    """Add ``weight`` times a Poisson number whose mean differs from neuron to neuron: by summing probabilities.

    Parameters
    ----------
    words : (n,) uint32
    mean : (n,) float64
    factor : float
        Of all means, in this step.
    weight, x : (n,)
    """
    for n in range(x.size):
        u = (np.float64(words[n]) + 0.5) * 2.0**-32
        m = mean[n] * factor
        p = math.exp(-m)
        below, number = p, 0
        while u > below and p > 0.0:
            number += 1
            p *= m / number
            below += p
        x[n] += weight[n] * type(x[n])(number)


@njit(**NOGIL_LEAF)
def add_noise(words, amplitude, drive):
    """Add a normal number of the given standard deviation to each neuron's drive.

    Parameters
    ----------
    words : (n,) uint32
    amplitude, drive : (n,)
    """
    for n in range(drive.size):
        z = normal_quantile((np.float64(words[n]) + 0.5) * 2.0**-32)
        drive[n] += amplitude[n] * type(drive[n])(z)


@njit(**NOGIL)
def list_poisson(n, start_step, stop_step, tables, draws, stream, seed, words, neurons, ends):
    """List Poisson spikes of an input, by step and neuron; a neuron that spikes twice in a step stands there twice.

    Parameters
    ----------
    n : int
        Neurons of the input.
    start_step, stop_step : int
    tables : (R, K) uint32
        As of :func:`add_counts`; R = 1 if they do not change.
    draws, stream, seed : int
    words : (4, n) uint32
        Scratch.
    neurons : (cap,) int32
        Filled as far as it reaches.
    ends : (stop_step - start_step,) int64
        Filled: spikes up to the end of each step.

    Returns
    -------
    int
        Spikes, also where ``neurons`` is too short for them.
    """
    m = 0
    counts = np.zeros((GROUP, n), np.int64)
    for group in range(start_step // GROUP, -(-stop_step // GROUP)):
        counts[:] = 0
        for draw in range(draws):
            random_words(words, 0, group, draw, stream, seed)
            for r in range(GROUP):
                step = GROUP * group + r
                if step < start_step or step >= stop_step:
                    continue
                table = tables[step - start_step if tables.shape[0] > 1 else 0]
                for k in range(n):
                    number = 0
                    while number < table.size and words[r, k] > table[number]:
                        number += 1
                    counts[r, k] += number
        for r in range(GROUP):
            step = GROUP * group + r
            if step < start_step or step >= stop_step:
                continue
            for k in range(n):
                for _ in range(counts[r, k]):
                    if m < neurons.size:
                        neurons[m] = k
                    m += 1
            ends[step - start_step] = m
    return m
