"""The weight gradient straight from spikes as words by neuron: no transposed list, one launch a layer."""

from numba import int32, uint32

from snnsim.kernels.cuda.bits import STEPS, word_at
from snnsim.kernels.cuda.compiler import WARP, cuda, device, kernel, launch, tiles

LANES = 32
MAX_BLOCK = 256
PORTION = 32
"""Words that a block expands at a time."""
LIST = PORTION * STEPS + 8


@device
def _leave_square(total, sums, owner, squares):
    # Sum of the block's squares, in one order.
    tid = cuda.threadIdx.x
    sums[tid] = total * total
    cuda.syncthreads()
    if tid < LANES:
        total = sums[tid]
        for t in range(tid + LANES, cuda.blockDim.x, LANES):
            total += sums[t]
        sums[tid] = total
    cuda.syncthreads()
    if tid == 0:
        for t in range(1, LANES):
            total += sums[t]
        squares[owner * cuda.gridDim.x + cuda.blockIdx.x] = total


@kernel
def _word_gradient(adjoint, words, q0, n_blocks, span, fresh, grad_w, squares):
    sums = cuda.shared.array(MAX_BLOCK, grad_w.dtype)
    taken = cuda.shared.array(PORTION, uint32)
    entries = cuda.shared.array(LIST, int32)
    tid = cuda.threadIdx.x
    n = cuda.blockIdx.x * cuda.blockDim.x + tid
    owner = cuda.blockIdx.y
    n_words = words.shape[0] * n_blocks
    inside = n < grad_w.shape[1]
    total = grad_w.dtype.type(0)
    if inside and not fresh:
        total = grad_w[owner, n]
    left = 0
    for w0 in range(0, n_words, PORTION):
        w = w0 + tid
        b = w // n_blocks
        q = w - b * n_blocks
        if tid < PORTION:
            taken[tid] = words[b, q0 + q, owner] if w < n_words else uint32(0)
        cuda.syncthreads()
        count = left
        for t in range(PORTION):
            if t == tid:
                word, j = word_at(taken, t), count
                while word != 0:
                    low = word & (~word + 1)
                    entries[j] = b * span + STEPS * q + cuda.popc(low - 1)
                    j += 1
                    word ^= low
            count += cuda.popc(word_at(taken, t))
        cuda.syncthreads()
        whole = count & ~7
        if inside:
            for j in range(0, whole, 8):
                a0, a1, a2, a3 = (
                    adjoint[entries[j], n], adjoint[entries[j + 1], n],
                    adjoint[entries[j + 2], n], adjoint[entries[j + 3], n],
                )  # fmt: skip
                a4, a5, a6, a7 = (
                    adjoint[entries[j + 4], n], adjoint[entries[j + 5], n],
                    adjoint[entries[j + 6], n], adjoint[entries[j + 7], n],
                )  # fmt: skip
                total += ((a0 + a1) + (a2 + a3)) + ((a4 + a5) + (a6 + a7))
        left = count - whole
        cuda.syncthreads()
        if tid < left:
            entries[tid] = entries[whole + tid]
    cuda.syncthreads()
    if inside:
        j = 0
        while j + 2 <= left:
            total += adjoint[entries[j], n] + adjoint[entries[j + 1], n]
            j += 2
        if j < left:
            total += adjoint[entries[j], n]
        grad_w[owner, n] = total
    if squares.size:
        _leave_square(total, sums, owner, squares)


def n_squares(shape):
    """Count the sums of squares that :func:`word_gradient` leaves for a gradient of that shape."""
    return shape[0] * tiles(shape[1], MAX_BLOCK, WARP)[0]


def word_gradient(adjoint, words, k0, k1, span, fresh, grad_w, squares):
    """Weight gradient of the steps ``k0 <= k < k1``, with the CPU's order of sums for lists by neuron.

    Parameters
    ----------
    adjoint : ndarray, (B * span, N) float
        As in :func:`snnsim.kernels.cpu.weight_gradient`.
    words : ndarray, (B, ceil(T / 32), N_in) uint32
        Spikes of the inputs, from :mod:`snnsim.kernels.cuda.encoding` or
        :func:`snnsim.kernels.cuda.lif.lif_forward_words`; an input spikes at most once a step.
    k0, k1 : int
        Multiples of 32, but for the last step.
    span : int
    fresh : bool
        Whether to write instead of adding.
    grad_w : ndarray, (N_in, N) float
    squares : ndarray, (:func:`n_squares`,) float, or empty
        Output: sums of squares of parts of the gradient.
    """
    n_tiles, block = tiles(grad_w.shape[1], MAX_BLOCK, WARP)
    n_blocks = -(-(k1 - k0) // STEPS)
    launch(
        _word_gradient,
        (n_tiles, grad_w.shape[0]),
        block,
        adjoint,
        words,
        k0 // STEPS,
        n_blocks,
        span,
        fresh,
        grad_w,
        squares,
    )


@kernel
def _gradient_squares(grad_w, squares):
    sums = cuda.shared.array(MAX_BLOCK, grad_w.dtype)
    n = cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x
    owner = cuda.blockIdx.y
    value = grad_w[owner, n] if n < grad_w.shape[1] else grad_w.dtype.type(0)
    _leave_square(value, sums, owner, squares)


def gradient_squares(grad_w, squares):
    """Leave the sums of squares that :func:`word_gradient` leaves, of any gradient (N_in, N)."""
    n_tiles, block = tiles(grad_w.shape[1], MAX_BLOCK, WARP)
    launch(_gradient_squares, (n_tiles, grad_w.shape[0]), block, grad_w, squares)
