"""Synaptic input by masked additions, from spikes as words by neuron.

A word holds the spikes of a neuron in 32 steps. A thread keeps a sum for each of the 32 steps of two columns in
registers. It reads a neuron's weight once, and each bit of the word decides whether the weight is added to the sum of
its step: a predicated addition, which reads nothing, where a gather of rows reads a number for each addition. Neurons
that are silent in the 32 steps are left out.

Sums go over neurons in ascending order: the same on every card, but not the CPU's order.
"""

from numba import int32, uint32, uint64

from snnsim.kernels.cuda.bits import STEPS
from snnsim.kernels.cuda.compiler import UNIT, cuda, device, kernel, launch
from snnsim.kernels.cuda.synapse import column_tiles, first_column

STAGE = 1024
"""Words that a block looks through at a time for neurons that spike."""
CHUNK = 32
"""Words of which a thread counts those of neurons that spike."""
CHUNKS = STAGE // CHUNK
BYTE = 8
SKIP = (1 << BYTE) - 1
"""Steps that are left out together where a neuron is silent."""
FLIGHT = 8
"""Weights of a column that are on their way while those before are added."""
MOST = FLIGHT - 1
LIST = STAGE + 2 * FLIGHT


@device
def _list_active(words, b, q, first, n_out, taken, chunks, rows, masks):
    """List the neurons from ``first`` on, up to ``STAGE``, that spike; behind them ``FLIGHT`` or more without a bit.

    ``rows`` has where the row of a neuron begins.

    Called by all threads of a block.

    Returns
    -------
    int
        Length of the list to go through, a multiple of ``FLIGHT``.
    """
    tid, width = cuda.threadIdx.x, cuda.blockDim.x
    for t in range(tid, STAGE, width):
        taken[t] = words[b, q, first + t] if first + t < words.shape[2] else uint32(0)
    cuda.syncthreads()
    for c in range(tid, CHUNKS, width):
        run = 0
        for t in range(CHUNK * c, CHUNK * (c + 1)):
            run += 1 if taken[t] != 0 else 0
        chunks[c] = run
    cuda.syncthreads()
    for t in range(tid, STAGE, width):
        word = taken[t]
        if word != 0:
            j = 0
            for c in range(t // CHUNK):
                j += chunks[c]
            for earlier in range(t // CHUNK * CHUNK, t):
                j += 1 if taken[earlier] != 0 else 0
            rows[j] = (first + t) * n_out
            masks[j] = word
    count = 0
    for c in range(CHUNKS):
        count += chunks[c]
    whole = (count + MOST) & ~MOST
    for j in range(count + tid, whole + FLIGHT, width):
        rows[j] = 0
        masks[j] = 0
    cuda.syncthreads()
    return whole


@kernel
def _masked_input(weights, words, q0, n_steps, x):
    taken = cuda.shared.array(STAGE, uint32)
    chunks = cuda.shared.array(CHUNKS, int32)
    rows = cuda.shared.array(LIST, uint32)
    masks = cuda.shared.array(LIST, uint32)
    one = cuda.local.array(STEPS, x.dtype)
    two = cuda.local.array(STEPS, x.dtype)
    w_one = cuda.local.array(FLIGHT, x.dtype)
    w_two = cuda.local.array(FLIGHT, x.dtype)
    next_one = cuda.local.array(FLIGHT, x.dtype)
    next_two = cuda.local.array(FLIGHT, x.dtype)
    n, q, b = first_column(), cuda.blockIdx.y, cuda.blockIdx.z
    n_in, n_out = words.shape[2], x.shape[2]
    # A thread beyond the last column computes one that another has, and writes nothing.
    m = uint32(n if n < n_out else 0)
    m2 = uint32(n + UNIT if n + UNIT < n_out else 0)
    for k in range(STEPS):
        one[k] = 0
        two[k] = 0
    for first in range(0, n_in, STAGE):
        count = _list_active(words, b, q0 + q, first, n_out, taken, chunks, rows, masks)
        for f in range(FLIGHT):
            w_one[f] = weights[uint32(rows[f] + m)]
            w_two[f] = weights[uint32(rows[f] + m2)]
        for j in range(0, count, FLIGHT):
            for f in range(FLIGHT):
                row = rows[uint64(j + FLIGHT + f)]
                next_one[f] = weights[uint32(row + m)]
                next_two[f] = weights[uint32(row + m2)]
            for f in range(FLIGHT):
                mask = masks[uint64(j + f)]
                for byte in range(0, STEPS, BYTE):
                    if mask & (SKIP << byte):
                        for k in range(byte, byte + BYTE):
                            if mask & (1 << k):
                                one[k] += w_one[f]
                                two[k] += w_two[f]
            for f in range(FLIGHT):
                w_one[f] = next_one[f]
                w_two[f] = next_two[f]
        cuda.syncthreads()
    left = n_steps - STEPS * q
    for k in range(STEPS):
        if k < left:
            row = uint64(STEPS * q + k)
            if n < n_out:
                x[uint64(b), row, uint64(n)] = one[k]
            if n + UNIT < n_out:
                x[uint64(b), row, uint64(n + UNIT)] = two[k]


def masked_input(weights, words, k0, k1, x):
    """Sum the weights of the spikes that arrive in each step.

    Parameters
    ----------
    weights : device array, (N_in * N,) float
        Row after row.
    words : device array, (B, ceil(T / 32), N_in) uint32
        Bit j of ``words[b, q, i]`` is a spike of input i in step ``32 q + j``; none at or beyond T.
    k0, k1 : int
        Steps; ``k0`` a multiple of 32.
    x : device array, (B, >= k1 - k0, N) float
        Output; of step k in ``x[b, k - k0]``.
    """
    n_tiles, block = column_tiles(x.shape[2])
    grid = n_tiles, -(-(k1 - k0) // STEPS), words.shape[0]
    launch(_masked_input, grid, block, weights, words, k0 // STEPS, k1 - k0, x)
