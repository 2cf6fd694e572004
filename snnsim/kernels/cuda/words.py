"""The weight gradient straight from spikes as words by neuron: no transposed list, one launch a layer."""

from numba import int32, uint32

from snnsim.kernels.cuda.bits import STEPS, word_at
from snnsim.kernels.cuda.compiler import UNIT, cuda, device, kernel, launch, threads
from snnsim.kernels.cuda.sums import block_sum
from snnsim.kernels.cuda.synapse import add_staged, add_staged_pair, at, column_tiles, first_column, group_at

PORTION = 128
"""Words that a block expands at a time."""
CHUNK = 16
CHUNKS = PORTION // CHUNK
LIST = PORTION * STEPS + 8
MAX_BLOCK = 256
WAYS = 8
ROUND = 64
PARTS = ROUND * UNIT
"""Of a narrow gradient: sets of threads, groups of rows that they sum at a time, and the sums."""


@device
def _expand(words, w0, n_words, n_blocks, q0, span, owner, taken, counts, chunks, entries, left):
    """List the steps of ``PORTION`` words in which ``owner`` spikes, behind ``left`` entries; returns their number.

    Called by all threads of a block.
    """
    width = cuda.blockDim.x * cuda.blockDim.y
    tid = cuda.threadIdx.y * cuda.blockDim.x + cuda.threadIdx.x
    for t in range(tid, PORTION, width):
        b = (w0 + t) // n_blocks
        q = w0 + t - b * n_blocks
        taken[t] = words[b, q0 + q, owner] if w0 + t < n_words else uint32(0)
        counts[t] = cuda.popc(word_at(taken, t))
    cuda.syncthreads()
    for c in range(tid, CHUNKS, width):
        run = 0
        for t in range(CHUNK * c, CHUNK * (c + 1)):
            run += counts[t]
        chunks[c] = run
    cuda.syncthreads()
    for t in range(tid, PORTION, width):
        j = left
        for c in range(t // CHUNK):
            j += chunks[c]
        for earlier in range(t // CHUNK * CHUNK, t):
            j += counts[earlier]
        b = (w0 + t) // n_blocks
        first = b * span + STEPS * (w0 + t - b * n_blocks)
        word = word_at(taken, t)
        while word != 0:
            low = word & (~word + 1)
            entries[j] = first + cuda.popc(low - 1)
            j += 1
            word ^= low
    total = left
    for c in range(CHUNKS):
        total += chunks[c]
    cuda.syncthreads()
    return total


@device
def _leave_squares(value, sums, owner, squares):
    total = block_sum(value, sums)
    if cuda.threadIdx.x == 0 and cuda.threadIdx.y == 0:
        squares[owner * cuda.gridDim.x + cuda.blockIdx.x] = total


@kernel
def _word_gradient(adjoint, words, q0, n_blocks, span, fresh, grad_w, squares):
    sums = cuda.shared.array(MAX_BLOCK, grad_w.dtype)
    taken = cuda.shared.array(PORTION, uint32)
    counts = cuda.shared.array(PORTION, int32)
    chunks = cuda.shared.array(CHUNKS, int32)
    entries = cuda.shared.array(LIST, uint32)
    tid, n, owner = cuda.threadIdx.x, first_column(), cuda.blockIdx.y
    n_out = grad_w.shape[1]
    n_words = words.shape[0] * n_blocks
    one = two = grad_w.dtype.type(0)
    if n < n_out and not fresh:
        one = grad_w[owner, n]
    if n + UNIT < n_out and not fresh:
        two = grad_w[owner, n + UNIT]
    left = 0
    for w0 in range(0, n_words, PORTION):
        count = _expand(words, w0, n_words, n_blocks, q0, span, owner, taken, counts, chunks, entries, left)
        whole = count & ~7
        if n + UNIT < n_out:
            one, two = add_staged_pair(one, two, adjoint, entries, whole, n)
        elif n < n_out:
            one = add_staged(one, adjoint, entries, whole, n)
        left = count - whole
        cuda.syncthreads()
        for j in range(tid, left, cuda.blockDim.x):
            entries[j] = entries[whole + j]
    cuda.syncthreads()
    if n + UNIT < n_out:
        one, two = add_staged_pair(one, two, adjoint, entries, left, n)
        grad_w[owner, n + UNIT] = two
    elif n < n_out:
        one = add_staged(one, adjoint, entries, left, n)
    if n < n_out:
        grad_w[owner, n] = one
    if squares.size:
        _leave_squares(one * one + two * two, sums, owner, squares)


@kernel
def _narrow_word_gradient(adjoint, words, q0, n_blocks, span, fresh, grad_w, squares):
    # A block has UNIT columns at most: sets of threads sum groups of eight rows, which the first one adds in order.
    sums = cuda.shared.array(MAX_BLOCK, grad_w.dtype)
    parts = cuda.shared.array(PARTS, grad_w.dtype)
    taken = cuda.shared.array(PORTION, uint32)
    counts = cuda.shared.array(PORTION, int32)
    chunks = cuda.shared.array(CHUNKS, int32)
    entries = cuda.shared.array(LIST, uint32)
    n, way, owner = cuda.threadIdx.x, cuda.threadIdx.y, cuda.blockIdx.y
    inside = n < grad_w.shape[1]
    n_words = words.shape[0] * n_blocks
    total = grad_w.dtype.type(0)
    if inside and not fresh:
        total = grad_w[owner, n]
    left = 0
    for w0 in range(0, n_words, PORTION):
        count = _expand(words, w0, n_words, n_blocks, q0, span, owner, taken, counts, chunks, entries, left)
        n_groups = count // 8
        for first in range(0, n_groups, ROUND):
            last = min(first + ROUND, n_groups)
            for g in range(first + way, last, WAYS):
                if inside:
                    parts[(g - first) * UNIT + n] = group_at(adjoint, entries, 8 * g, n)
            cuda.syncthreads()
            if inside and way == 0:
                for g in range(last - first):
                    total += parts[g * UNIT + n]
            cuda.syncthreads()
        left = count - 8 * n_groups
        if way == 0:
            for j in range(n, left, UNIT):
                entries[j] = entries[8 * n_groups + j]
        cuda.syncthreads()
    if inside and way == 0:
        total = add_staged(total, adjoint, entries, left, n)
        grad_w[owner, n] = total
    if squares.size:
        _leave_squares(total * total if way == 0 else grad_w.dtype.type(0), sums, owner, squares)


def n_squares(shape):
    """Count the sums of squares that :func:`word_gradient` leaves for a gradient of that shape."""
    return shape[0] * column_tiles(shape[1], MAX_BLOCK)[0]


def word_gradient(adjoint, words, k0, k1, span, fresh, grad_w, squares):
    """Weight gradient of the steps ``k0 <= k < k1``, with the CPU's order of sums for lists by neuron.

    Parameters
    ----------
    adjoint : ndarray, (B * span, N) float
        As in :func:`snnsim.kernels.cpu.weight_gradient`.
    words : ndarray, (B, ceil(T / 32), N_in) uint32
        Spikes of the inputs, from :mod:`snnsim.kernels.cuda.encoding` or
        :func:`snnsim.kernels.cuda.lif.lif_forward`; an input spikes at most once a step (others:
        :func:`snnsim.kernels.cuda.weight_gradient`).
    k0, k1 : int
        Multiples of 32, but for the last step.
    span : int
    fresh : bool
        Whether to write instead of adding.
    grad_w : ndarray, (N_in, N) float
    squares : ndarray, (:func:`n_squares`,) float, or empty
        Output: sums of squares of parts of the gradient.
    """
    n_in, n_out = grad_w.shape
    given = adjoint, words, k0 // STEPS, -(-(k1 - k0) // STEPS), span, fresh, grad_w, squares
    if n_out <= UNIT:
        launch(_narrow_word_gradient, (1, n_in), (UNIT, WAYS), *given)
    else:
        n_tiles, block = column_tiles(n_out, MAX_BLOCK)
        launch(_word_gradient, (n_tiles, n_in), block, *given)


@kernel
def _gradient_squares(grad_w, squares):
    sums = cuda.shared.array(MAX_BLOCK, grad_w.dtype)
    tid, part, n_parts = cuda.threadIdx.x, cuda.blockIdx.x, squares.shape[0]
    total = grad_w.dtype.type(0)
    for i in range(part, grad_w.shape[0], n_parts):
        for n in range(tid, grad_w.shape[1], cuda.blockDim.x):
            total += at(grad_w, i, n) * at(grad_w, i, n)
    total = block_sum(total, sums)
    if tid == 0:
        squares[part] = total


def gradient_squares(grad_w, squares):
    """Leave the sums of squares of as many parts of a gradient (N_in, N) as ``squares`` has room for."""
    launch(_gradient_squares, squares.size, threads(grad_w.shape[1], MAX_BLOCK), grad_w, squares)
