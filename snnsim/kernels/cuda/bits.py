"""Spikes as words of 32 bits: from one word a neuron (bit = step) to one word a step and 32 neurons (bit = neuron).

A *segment* is 32 neighbouring neurons. Arrays in shared memory are indexed ``segment * 32 + step`` or
``segment * 32 + neuron``. All helpers are called by every thread of a block.
"""

from numba import int64, uint64

from snnsim.kernels.cuda.compiler import cuda, device

STEPS = 32
MASK = 0xFFFFFFFF
GROUP = 4
PATTERNS = 16


@device
def word_at(words, p):
    """Return a word as int64: Numba makes float64 of unsigned and signed 64-bit numbers together.

    The index is unsigned, or Numba would look whether it is negative.
    """
    return int64(words[uint64(p)])


@device
def any_nibbles(mask):
    """Return the lowest bit of each nibble of ``mask`` that is not zero."""
    folded = mask | (mask >> 1)
    return (folded | (folded >> 2)) & 0x11111111


@device
def transpose_words(shared, n_slots):
    """Turn words by neuron into words by step, in place; ``n_slots`` is 32 times the number of segments."""
    tid, width = cuda.threadIdx.x, cuda.blockDim.x
    for first in range(0, n_slots, width):
        p = first + tid
        mask = 0
        if p < n_slots:
            step, base = p & 31, p & ~31
            for j in range(32):
                mask |= ((word_at(shared, base + j) >> step) & 1) << j
        cuda.syncthreads()
        if p < n_slots:
            shared[p] = mask
    cuda.syncthreads()


@device
def scan_segments(shared, before, totals, n_slots, group):
    """Count entries: ``shared[before + p]`` those of p's step in earlier segments, ``shared[totals + step]`` all.

    ``shared[:n_slots]`` holds words by step; an entry is a bit (``group = 1``) or a nibble that is not zero (4).
    """
    tid, width = cuda.threadIdx.x, cuda.blockDim.x
    for step in range(tid, STEPS, width):
        run = 0
        for p in range(step, n_slots, STEPS):
            shared[before + p] = run
            mask = word_at(shared, p)
            run += cuda.popc(mask) if group == 1 else cuda.popc(any_nibbles(mask))
        shared[totals + step] = run
    cuda.syncthreads()


@device
def start_steps(shared, totals, starts, start):
    """Position of each step's first entry, ``shared[starts + step]``, when the first step begins at ``start``."""
    tid, width = cuda.threadIdx.x, cuda.blockDim.x
    for step in range(tid, STEPS, width):
        run = start
        for earlier in range(step):
            run += word_at(shared, totals + earlier)
        shared[starts + step] = run
    cuda.syncthreads()
