"""Spike encoders on the grid, one block a sample: the words of :mod:`snnsim.kernels.cpu.encoding`, listed in parallel.

Each thread draws the words of its neurons; the block turns 32 steps at a time into words by step, counts, and each
thread writes the entries of one (segment of 32 neurons, step) where they belong: no atomics, one order. Where a neuron
may spike several times in a step, the numbers of its spikes in 32 steps wait in memory of their own, not in words.
"""

import numpy as np
from numba import int64, uint32

from snnsim.dynamics.philox import bernoulli32, bernoulli32_among
from snnsim.errors import InputError
from snnsim.kernels.cuda.bits import (
    GROUP,
    MASK,
    PATTERNS,
    STEPS,
    any_nibbles,
    scan_segments,
    start_steps,
    transpose_words,
    word_at,
)
from snnsim.kernels.cuda.compiler import MAX_SHARED, WARP, cuda, device, empty, kernel, launch, nothing, threads

BLOCK = 512
MAX_NEURONS = (MAX_SHARED // 4 - 2 * STEPS) // 2 // 32 * 32
"""Neurons of a sample that one block's shared memory can list."""


def shared_bytes(n_neurons):
    """Shared memory of a block that lists the spikes of ``n_neurons``.

    Raises
    ------
    InputError
        If they do not fit.
    """
    if n_neurons > MAX_NEURONS:
        raise InputError(f"target = 'cuda': a population of {n_neurons} neurons; at most {MAX_NEURONS} fit a block")
    return 4 * (2 * (-(-n_neurons // 32) * 32) + 2 * STEPS)


@device
def list_entries(shared, n_slots, first, n_steps, group, b, rows, row_ptr):
    """List the words of 32 steps from ``first`` on, which every thread has put into ``shared``."""
    tid, width = cuda.threadIdx.x, cuda.blockDim.x
    cap = rows.shape[1]
    before, totals = n_slots, 2 * n_slots
    starts = totals + STEPS
    cuda.syncthreads()
    transpose_words(shared, n_slots)
    scan_segments(shared, before, totals, n_slots, group)
    start_steps(shared, totals, starts, row_ptr[b, first])
    for p in range(tid, n_slots, width):
        step = p & 31
        mask, base = word_at(shared, p), p & ~31
        m = word_at(shared, starts + step) + word_at(shared, before + p)
        if group == 1:
            left = mask
            while left != 0:
                low = left & (~left + 1)
                if m < cap:
                    rows[b, m] = base + cuda.popc(low - 1)
                m += 1
                left ^= low
        else:
            left = any_nibbles(mask)
            while left != 0:
                low = left & (~left + 1)
                shift = cuda.popc(low - 1)
                if m < cap:
                    rows[b, m] = PATTERNS * ((base + shift) >> 2) + ((mask >> shift) & 15)
                m += 1
                left ^= low
    for step in range(tid, STEPS, width):
        if first + step < n_steps:
            row_ptr[b, first + step + 1] = shared[starts + step] + shared[totals + step]
    cuda.syncthreads()


@device
def _begin(row_ptr, b):
    if cuda.threadIdx.x == 0:
        row_ptr[b, 0] = 0
    cuda.syncthreads()


@device
def _steps_left(first, n_steps):
    left = n_steps - first
    return MASK if left >= STEPS else (1 << left) - 1


@device
def _keep(words, b, first, n, word):
    if words.size:
        words[b, first // STEPS, n] = word


@device
def _drive(values, table, s, n):
    # What the sample wants of neuron n: as given, or by its 8-bit intensity.
    if table.size:
        return table[values[s, n]]
    return int64(values[s, n])


@kernel
def _poisson(values, table, chosen, sample_ids, seed, epoch, n_steps, group, rows, row_ptr, words):
    shared = cuda.shared.array(0, uint32)
    b, n_neurons = cuda.blockIdx.x, values.shape[1]
    n_slots = (n_neurons + 31) & ~31
    s = chosen[b] if chosen.size else int64(b)
    sample = sample_ids[s]
    _begin(row_ptr, b)
    for first in range(0, n_steps, STEPS):
        block, steps = first // STEPS, _steps_left(first, n_steps)
        for n in range(cuda.threadIdx.x, n_slots, cuda.blockDim.x):
            word = 0
            if n < n_neurons:
                word = bernoulli32(_drive(values, table, s, n), n, sample, block, seed, epoch) & steps
                _keep(words, b, first, n, word)
            shared[n] = word
        list_entries(shared, n_slots, first, n_steps, group, b, rows, row_ptr)


@device
def _entries(counts, b, step, n, group):
    # How many entries a neuron, or a group from neuron n on, has in a step.
    most = int64(counts[b, step, n])
    for i in range(1, group):
        most = max(most, int64(counts[b, step, n + i]))
    return most


@device
def _list_counts(shared, counts, n_slots, first, n_steps, group, b, rows, row_ptr):
    """List the spikes of 32 steps from ``first`` on, of which ``counts[b]`` has the number by step and neuron."""
    tid, width = cuda.threadIdx.x, cuda.blockDim.x
    cap = rows.shape[1]
    before, totals = n_slots, 2 * n_slots
    starts = totals + STEPS
    cuda.syncthreads()
    for p in range(tid, n_slots, width):
        step, base = p & 31, p & ~31
        own = 0
        for n in range(base, base + 32, group):
            own += _entries(counts, b, step, n, group)
        shared[p] = own
    cuda.syncthreads()
    for step in range(tid, STEPS, width):
        run = 0
        for p in range(step, n_slots, STEPS):
            shared[before + p] = run
            run += word_at(shared, p)
        shared[totals + step] = run
    cuda.syncthreads()
    start_steps(shared, totals, starts, row_ptr[b, first])
    for p in range(tid, n_slots, width):
        step, base = p & 31, p & ~31
        m = word_at(shared, starts + step) + word_at(shared, before + p)
        for n in range(base, base + 32, group):
            for c in range(_entries(counts, b, step, n, group)):
                entry = n
                if group != 1:
                    entry = PATTERNS * (n // GROUP)
                    for i in range(GROUP):
                        if counts[b, step, n + i] > c:
                            entry += 1 << i
                if m < cap:
                    rows[b, m] = entry
                m += 1
    for step in range(tid, STEPS, width):
        if first + step < n_steps:
            row_ptr[b, first + step + 1] = shared[starts + step] + shared[totals + step]
    cuda.syncthreads()


@kernel
def _poisson_counts(values, table, chosen, sample_ids, seed, epoch, n_steps, group, rows, row_ptr, counts):
    shared = cuda.shared.array(0, uint32)
    b, n_neurons = cuda.blockIdx.x, values.shape[2]
    n_slots = (n_neurons + 31) & ~31
    n_draws = table.shape[0] if table.size else values.shape[0]
    s = chosen[b] if chosen.size else int64(b)
    sample = sample_ids[s]
    _begin(row_ptr, b)
    for first in range(0, n_steps, STEPS):
        block, steps = first // STEPS, _steps_left(first, n_steps)
        for n in range(cuda.threadIdx.x, n_slots, cuda.blockDim.x):
            for step in range(STEPS):
                counts[b, step, n] = 0
            word, draw = int64(steps) if n < n_neurons else int64(0), 0
            while word != 0 and draw < n_draws:
                threshold = table[draw, values[0, s, n]] if table.size else int64(values[draw, s, n])
                word = bernoulli32_among(word, threshold, n, sample, block, draw, seed, epoch)
                left = word
                while left != 0:
                    low = left & (~left + 1)
                    counts[b, cuda.popc(low - 1), n] = draw + 1
                    left ^= low
                draw += 1
        _list_counts(shared, counts, n_slots, first, n_steps, group, b, rows, row_ptr)


@kernel
def _regular(values, table, chosen, n_steps, group, rows, row_ptr, words):
    shared = cuda.shared.array(0, uint32)
    b, n_neurons = cuda.blockIdx.x, values.shape[1]
    n_slots = (n_neurons + 31) & ~31
    s = chosen[b] if chosen.size else int64(b)
    half = 1 << 31
    _begin(row_ptr, b)
    for first in range(0, n_steps, STEPS):
        steps = _steps_left(first, n_steps)
        for n in range(cuda.threadIdx.x, n_slots, cuda.blockDim.x):
            word = 0
            if n < n_neurons:
                p = _drive(values, table, s, n)
                before = (first * p + half) >> 32
                for j in range(STEPS):
                    after = ((first + j + 1) * p + half) >> 32
                    word |= (after - before) << j
                    before = after
                word &= steps
                _keep(words, b, first, n, word)
            shared[n] = word
        list_entries(shared, n_slots, first, n_steps, group, b, rows, row_ptr)


@kernel
def _single(values, table, chosen, n_steps, group, rows, row_ptr, words):
    shared = cuda.shared.array(0, uint32)
    b, n_neurons = cuda.blockIdx.x, values.shape[1]
    n_slots = (n_neurons + 31) & ~31
    s = chosen[b] if chosen.size else int64(b)
    _begin(row_ptr, b)
    for first in range(0, n_steps, STEPS):
        valid = _steps_left(first, n_steps)
        for n in range(cuda.threadIdx.x, n_slots, cuda.blockDim.x):
            word = 0
            if n < n_neurons:
                j = _drive(values, table, s, n) - first
                if 0 <= j < STEPS:
                    word = (1 << j) & valid
                _keep(words, b, first, n, word)
            shared[n] = word
        list_entries(shared, n_slots, first, n_steps, group, b, rows, row_ptr)


def _launch(function, values, *arguments, row_ptr):
    n_neurons = values.shape[values.ndim - 1]  # the simulator's arrays have no last axis by its sign
    shared = shared_bytes(n_neurons)
    launch(function, row_ptr.shape[0], threads(n_neurons, BLOCK, WARP), values, *arguments, shared=shared)


def poisson_words(values, table, chosen, sample_ids, seed, epoch, n_steps, group, rows, row_ptr, words):
    """:func:`encode_poisson` of samples chosen from a data set, leaving words too.

    Parameters
    ----------
    values : ndarray, (S, N) int64 or uint8
        Of every sample of the data set: thresholds, or with a table 8-bit intensities.
    table : ndarray, (256,) int64, or empty
        Threshold of each intensity.
    chosen : ndarray, (B,) int64, or empty
        Samples of the batch; empty for all, in order.
    sample_ids : ndarray, (S,) int64
    seed, epoch, n_steps, group, rows, row_ptr
        As :func:`encode_poisson`.
    words : ndarray, (B, ceil(n_steps / 32), N) uint32, or empty
        Output: bit j of ``words[b, q, n]`` is a spike of neuron n in step ``32 q + j``.
    """
    arguments = table, chosen, sample_ids, seed, epoch, n_steps, group, rows, row_ptr, words
    _launch(_poisson, values, *arguments, row_ptr=row_ptr)


def poisson_counts(values, table, chosen, sample_ids, seed, epoch, n_steps, group, rows, row_ptr, counts):
    """:func:`encode_poisson_counts` of samples chosen from a data set.

    Parameters
    ----------
    values : ndarray, (P, S, N) int64 or (1, S, N) uint8
        Of every sample of the data set: thresholds, or with a table 8-bit intensities.
    table : ndarray, (P, 256) int64, or empty
        Thresholds of each intensity.
    chosen, sample_ids, seed, epoch, n_steps, group, rows, row_ptr
        As of :func:`poisson_words`.
    counts : ndarray, (B, 32, 32 * ceil(N / 32)) uint8
        Scratch.
    """
    arguments = table, chosen, sample_ids, seed, epoch, n_steps, group, rows, row_ptr, counts
    _launch(_poisson_counts, values, *arguments, row_ptr=row_ptr)


def counts_shape(n_samples, n_neurons):
    """Shape of the scratch of :func:`poisson_counts`."""
    return n_samples, STEPS, -(-n_neurons // 32) * 32


def regular_words(values, table, chosen, n_steps, group, rows, row_ptr, words):
    """:func:`encode_regular` of chosen samples, leaving words too; arguments as of :func:`poisson_words`."""
    _launch(_regular, values, table, chosen, n_steps, group, rows, row_ptr, words, row_ptr=row_ptr)


def single_words(values, table, chosen, n_steps, group, rows, row_ptr, words):
    """:func:`encode_steps` of chosen samples, leaving words too; arguments as of :func:`poisson_words`."""
    _launch(_single, values, table, chosen, n_steps, group, rows, row_ptr, words, row_ptr=row_ptr)


def _left_out():
    return nothing(1, np.int64), nothing(1, np.int64)


def encode_poisson(thresholds, sample_ids, seed, epoch, n_steps, group, rows, row_ptr):
    """Bernoulli spikes, independent in every step; see :func:`snnsim.kernels.cpu.encode_poisson`, same bits."""
    poisson_words(
        thresholds, *_left_out(), sample_ids, seed, epoch, n_steps, group, rows, row_ptr, nothing(3, np.uint32)
    )


def encode_poisson_counts(thresholds, sample_ids, seed, epoch, n_steps, group, rows, row_ptr):
    """Poisson numbers of spikes; see :func:`snnsim.kernels.cpu.encode_poisson_counts`, same bits."""
    counts = empty(counts_shape(*thresholds.shape[1:]), np.uint8)
    poisson_counts(
        thresholds, nothing(2, np.int64), nothing(1, np.int64), sample_ids, seed, epoch, n_steps, group, rows, row_ptr,
        counts,
    )  # fmt: skip


def encode_regular(thresholds, n_steps, group, rows, row_ptr):
    """Regularly spaced spikes at the mean rate; see :func:`snnsim.kernels.cpu.encode_regular`."""
    regular_words(thresholds, *_left_out(), n_steps, group, rows, row_ptr, nothing(3, np.uint32))


def encode_steps(steps, n_steps, group, rows, row_ptr):
    """At most one spike a neuron; see :func:`snnsim.kernels.cpu.encode_steps`."""
    single_words(steps, *_left_out(), n_steps, group, rows, row_ptr, nothing(3, np.uint32))
