"""The weight gradient by masked additions, from spikes as words by neuron; the counterpart of ``masked``.

The adjoint of 32 steps of a sample lies in registers (wide layers: two columns a thread) or in shared memory (narrow
ones: a neuron a thread), and the bits of a neuron's word decide which of them are added to the neuron's sums. The batch
is cut into portions; the last block to arrive adds them. Sums go over samples and steps in ascending order within a
portion, then over portions: that depends on sizes alone, but it is not the CPU's order.
"""

import numpy as np
from numba import int32, uint32, uint64

from snnsim.errors import InputError
from snnsim.kernels.cuda.bits import STEPS
from snnsim.kernels.cuda.compiler import ALIGNMENT, UNIT, cuda, device, kernel, launch
from snnsim.kernels.cuda.sums import block_sum
from snnsim.kernels.cuda.synapse import at

WIDTH = 2 * UNIT
WAYS, SLOTS = 4, 4
"""Sets of threads in a block, each with neurons of its own, and words of a neuron that it takes at a time."""
LISTS = WAYS * SLOTS
BLOCK = WAYS * UNIT
LARGEST = 160
"""Neurons of a block, in float32: their sums fill its shared memory."""
ENTRIES = LARGEST * SLOTS
EACH = 10
"""Neurons whose portions are on their way at the same time."""
NARROW, COLUMNS, TAKEN = 2 * WIDTH, 4, 8
"""Of a narrow layer: neurons and columns of a block, and words of a neuron that it takes at a time."""
TILE = TAKEN * STEPS * COLUMNS
TAKEN_WORDS = TAKEN * NARROW
PORTIONS, LEAST, BLOCKS = 32, 4, 528
"""Most portions of a batch, fewest words of one, and the number of blocks that keep a card busy.

Four for each of 132 multiprocessors; the same on every card, since the order of sums depends on it.
"""


@device
def _is_last(arrived, owner, n_portions, answer):
    """Whether all other portions are complete; called by all threads of a block when its own is written."""
    cuda.threadfence()
    cuda.syncthreads()
    if cuda.threadIdx.x == 0 and cuda.threadIdx.y == 0:
        answer[0] = cuda.atomic.add(arrived, owner, 1) == n_portions - 1
        if answer[0]:
            arrived[owner] = 0
    cuda.syncthreads()
    cuda.threadfence()
    return answer[0] != 0


@kernel
def _masked_gradient(adjoint, words, q0, n_blocks, n_steps, span, n_rows, fresh, parts, arrived, grad_w, squares):
    sums = cuda.shared.array(0, grad_w.dtype)
    rows = cuda.shared.array(ENTRIES, uint32)
    masks = cuda.shared.array(ENTRIES, uint32)
    counts = cuda.shared.array(LISTS, int32)
    totals = cuda.shared.array(BLOCK, grad_w.dtype)
    answer = cuda.shared.array(1, int32)
    x_one = cuda.local.array(STEPS, grad_w.dtype)
    x_two = cuda.local.array(STEPS, grad_w.dtype)
    one = cuda.local.array(EACH, grad_w.dtype)
    two = cuda.local.array(EACH, grad_w.dtype)
    lane, way = cuda.threadIdx.x, cuda.threadIdx.y
    tid = way * UNIT + lane
    n_in, n_out = grad_w.shape
    # Neurons g, g + n_groups, ...: neighbours, which are often active together, in different blocks.
    n, g, n_groups = cuda.blockIdx.x * WIDTH + lane, cuda.blockIdx.y, cuda.gridDim.y
    mine = (n_in - g + n_groups - 1) // n_groups
    here, there = n < n_out, n + UNIT < n_out
    # A thread beyond the last column computes one that another has, and writes nothing.
    m = n if here else 0
    m2 = n + UNIT if there else m
    beside, stride = uint32(m2 - m), uint32(n_out)
    zero = grad_w.dtype.type(0)
    room = (n_rows + WAYS - 1) // WAYS
    for r in range(way, n_rows, WAYS):
        sums[r * WIDTH + lane] = zero
        sums[r * WIDTH + UNIT + lane] = zero
    for k in range(STEPS):
        x_one[k] = zero
        x_two[k] = zero
    portion, n_portions = cuda.blockIdx.z, cuda.gridDim.z
    n_words = words.shape[0] * n_blocks
    begin, end = n_words * portion // n_portions, n_words * (portion + 1) // n_portions
    for first in range(begin, end, SLOTS):
        last = min(first + SLOTS, end)
        cuda.syncthreads()
        for j in range(tid, LISTS, BLOCK):
            counts[j] = 0
        cuda.syncthreads()
        # Of each word, lists of those neurons of each way that spike; their order does not matter.
        for w in range(first, last):
            b = w // n_blocks
            for r in range(tid, mine, BLOCK):
                word = words[uint64(b), uint64(q0 + w - b * n_blocks), uint64(g + r * n_groups)]
                if word != 0:
                    of = (w - first) * WAYS + r % WAYS
                    j = of * room + cuda.atomic.add(counts, of, 1)
                    rows[j] = r * WIDTH
                    masks[j] = word
        cuda.syncthreads()
        for w in range(first, last):
            b = w // n_blocks
            q = w - b * n_blocks
            # 32 bits: arithmetic of 64 takes twice as long, and there is a place for each step.
            place, left = uint32((b * span + STEPS * q) * n_out + m), int32(min(n_steps - STEPS * q, STEPS))
            for k in range(STEPS):
                if k < left:
                    x_one[k] = adjoint[place]
                    x_two[k] = adjoint[uint32(place + beside)]
                    place = uint32(place + stride)
            of = (w - first) * WAYS + way
            for j in range(of * room, of * room + counts[of]):
                entry, mask = uint32(rows[uint64(j)] + lane), masks[uint64(j)]
                total, other = sums[entry], sums[uint32(entry + UNIT)]
                for k in range(STEPS):
                    if mask & (1 << k):
                        total += x_one[k]
                        other += x_two[k]
                sums[entry] = total
                sums[uint32(entry + UNIT)] = other
    for r in range(way, mine, WAYS):
        i = uint64(g + r * n_groups)
        if here:
            parts[uint64(portion), i, uint64(n)] = sums[r * WIDTH + lane]
        if there:
            parts[uint64(portion), i, uint64(n + UNIT)] = sums[r * WIDTH + UNIT + lane]
    owner = cuda.blockIdx.y * cuda.gridDim.x + cuda.blockIdx.x
    if not _is_last(arrived, owner, n_portions, answer):
        return
    square = zero
    for r0 in range(way, mine, WAYS * EACH):
        for j in range(EACH):
            i = min(g + (r0 + j * WAYS) * n_groups, n_in - 1)
            one[j] = zero if fresh else at(grad_w, i, m)
            two[j] = zero if fresh else at(grad_w, i, m2)
        for p in range(n_portions):
            for j in range(EACH):
                i = uint64(min(g + (r0 + j * WAYS) * n_groups, n_in - 1))
                one[j] += parts[uint64(p), i, uint64(m)]
                two[j] += parts[uint64(p), i, uint64(m2)]
        for j in range(EACH):
            r = r0 + j * WAYS
            if r < mine and here:
                grad_w[uint64(g + r * n_groups), uint64(n)] = one[j]
                square += one[j] * one[j]
            if r < mine and there:
                grad_w[uint64(g + r * n_groups), uint64(n + UNIT)] = two[j]
                square += two[j] * two[j]
    total = block_sum(square, totals)
    if tid == 0 and squares.size:
        squares[owner] = total


@kernel
def _narrow_masked_gradient(adjoint, words, q0, n_blocks, n_steps, span, fresh, parts, arrived, grad_w, squares):
    tile = cuda.shared.array(TILE, grad_w.dtype, alignment=ALIGNMENT)
    masks = cuda.shared.array(TAKEN_WORDS, uint32)
    totals = cuda.shared.array(NARROW, grad_w.dtype)
    answer = cuda.shared.array(1, int32)
    sums = cuda.local.array(COLUMNS, grad_w.dtype)
    tid, width = cuda.threadIdx.x, cuda.blockDim.x
    n_in, n_out = grad_w.shape
    n0, i = cuda.blockIdx.x * COLUMNS, cuda.blockIdx.y * width + tid
    portion, n_portions = cuda.blockIdx.z, cuda.gridDim.z
    zero = grad_w.dtype.type(0)
    for c in range(COLUMNS):
        sums[c] = zero
    n_words = words.shape[0] * n_blocks
    begin, end = n_words * portion // n_portions, n_words * (portion + 1) // n_portions
    for first in range(begin, end, TAKEN):
        last = min(first + TAKEN, end)
        cuda.syncthreads()
        for w in range(first, last):
            b = w // n_blocks
            q = w - b * n_blocks
            slot = w - first
            masks[slot * width + tid] = words[uint64(b), uint64(q0 + q), uint64(i)] if i < n_in else uint32(0)
            for e in range(tid, STEPS * COLUMNS, width):
                k, n = e // COLUMNS, n0 + e % COLUMNS
                inside = STEPS * q + k < n_steps and n < n_out
                place = (b * span + STEPS * q + k) * n_out + n
                tile[slot * STEPS * COLUMNS + e] = adjoint[uint64(place)] if inside else zero
        cuda.syncthreads()
        for slot in range(last - first):
            mask = masks[uint64(slot * width + tid)]
            for k in range(STEPS):
                for c in range(COLUMNS):
                    x = tile[uint64((slot * STEPS + k) * COLUMNS + c)]
                    if mask & (1 << k):
                        sums[c] += x
    for c in range(COLUMNS):
        if i < n_in and n0 + c < n_out:
            parts[uint64(portion), uint64(i), uint64(n0 + c)] = sums[c]
    owner = cuda.blockIdx.y * cuda.gridDim.x + cuda.blockIdx.x
    if not _is_last(arrived, owner, n_portions, answer):
        return
    row = min(i, n_in - 1)
    for c in range(COLUMNS):
        sums[c] = zero if fresh else at(grad_w, row, min(n0 + c, n_out - 1))
    for p in range(n_portions):
        for c in range(COLUMNS):
            sums[c] += parts[uint64(p), uint64(row), uint64(min(n0 + c, n_out - 1))]
    square = zero
    for c in range(COLUMNS):
        if i < n_in and n0 + c < n_out:
            grad_w[uint64(i), uint64(n0 + c)] = sums[c]
            square += sums[c] * sums[c]
    total = block_sum(square, totals)
    if tid == 0 and squares.size:
        squares[owner] = total


def partition(shape, dtype):
    """Blocks over columns and over rows of a gradient, and rows of a block."""
    if shape[1] <= UNIT:
        return -(-shape[1] // COLUMNS), -(-shape[0] // NARROW), NARROW
    n_groups = -(-shape[0] // (LARGEST * 4 // np.dtype(dtype).itemsize))
    return -(-shape[1] // WIDTH), n_groups, -(-shape[0] // n_groups)


def n_portions(shape, dtype, n_words):
    """Portions into which a batch of so many words a neuron is cut."""
    n_tiles, n_groups, _ = partition(shape, dtype)
    return max(1, min(PORTIONS, n_words // LEAST, BLOCKS // (n_tiles * n_groups)))


def n_squares(shape, dtype):
    """Count the sums of squares that :func:`masked_gradient` leaves for a gradient."""
    n_tiles, n_groups, _ = partition(shape, dtype)
    return n_tiles * n_groups


def masked_gradient(adjoint, words, k0, k1, span, fresh, parts, arrived, grad_w, squares):
    """Weight gradient of the steps ``k0 <= k < k1``: the adjoint of each step, summed over the spikes of an input.

    Parameters
    ----------
    adjoint : device array, (B * span * N,) float
        Of step k of sample b in row ``b * span + k - k0`` of N numbers.
    words : device array, (B, ceil(T / 32), N_in) uint32
        As for :func:`snnsim.kernels.cuda.masked.masked_input`.
    k0, k1, span : int
        ``k0`` and ``k1`` are multiples of 32, but for the last step.
    fresh : bool
        Whether to write instead of adding.
    parts : device array, (P, N_in, N) float
        Room for the portions, P of :func:`n_portions` for B times the words from ``k0`` to ``k1``.
    arrived : device array, (:func:`n_squares`,) int32
        Zeros, and zeros again afterwards.
    grad_w : device array, (N_in, N) float
    squares : device array, (:func:`n_squares`,) float, or empty
        Output: sums of squares of parts of the gradient.

    Raises
    ------
    InputError
        If the adjoint has 2**32 numbers or more.
    """
    if adjoint.size >= 2**32:
        raise InputError(f"adjoint of {adjoint.size} numbers: must be fewer than 2**32; lower training.batch_size")
    n_tiles, n_groups, n_rows = partition(grad_w.shape, grad_w.dtype)
    n_blocks = -(-(k1 - k0) // STEPS)
    grid = n_tiles, n_groups, n_portions(grad_w.shape, grad_w.dtype, words.shape[0] * n_blocks)
    given = adjoint, words, k0 // STEPS, n_blocks, k1 - k0, span
    out = fresh, parts, arrived, grad_w, squares
    if grad_w.shape[1] <= UNIT:
        launch(_narrow_masked_gradient, grid, NARROW, *given, *out)
    else:
        shared = n_rows * WIDTH * grad_w.dtype.itemsize
        launch(_masked_gradient, grid, (UNIT, WAYS), *given, n_rows, *out, shared=shared)
