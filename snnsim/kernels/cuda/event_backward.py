"""The adjoint of a layer in continuous time on the device: a thread has a neuron of a sample, or of a group of them.

Names and signatures are those of :mod:`snnsim.kernels.events.backward`. A group's weight gradient is a matrix of its
own, in which a thread owns a column; :func:`add_parts` sums them in their order. The inner products that differentiate
by input spikes are staged in shared memory, some spikes at a time. No operation is atomic.
"""

from numba import float64, int32

from snnsim.dynamics.events import adjoint_arrival, adjoint_flow, adjoint_jump
from snnsim.errors import InputError
from snnsim.kernels.cuda.compiler import MAX_THREADS, WARP, cuda, device, kernel, launch, threads, tiles

BLOCK = 128
ROWS = 16
"""Input spikes whose inner products a block sums at a time, each with :data:`LANES` threads."""
LANES = 8
PARTS, SUMS = ROWS * BLOCK, ROWS * LANES


def partition(batch, size):
    """``(width, n_blocks, n_groups)``: columns of a block, blocks of a layer, and one group for each sample."""
    n_blocks, width = tiles(size, BLOCK, WARP)
    return width, n_blocks, batch


@kernel
def _order_by_block(neurons, counts, width, order, block_ptr):
    before = cuda.shared.array(BLOCK, int32)
    own = cuda.shared.array(BLOCK, int32)
    tid, n_threads = cuda.threadIdx.x, cuda.blockDim.x
    k, b = cuda.blockIdx.x, cuda.blockIdx.y
    count = counts[b]
    portion = (count + n_threads - 1) // n_threads
    first, last = min(tid * portion, count), min((tid + 1) * portion, count)
    earlier, mine = 0, 0
    for s in range(first, last):
        block = neurons[b, s] // width
        earlier += block < k
        mine += block == k
    before[tid] = earlier
    own[tid] = mine
    cuda.syncthreads()
    start, place = 0, 0
    for t in range(n_threads):
        start += before[t]
        if t < tid:
            place += own[t]
    place += start
    for s in range(first, last):
        if neurons[b, s] // width == k:
            order[b, place] = s
            place += 1
    if tid == 0:
        block_ptr[b, k] = start
        if k + 1 == cuda.gridDim.x:
            block_ptr[b, k + 1] = count


def order_by_block(neurons, counts, width, n_blocks, order, block_ptr):
    """List each sample's spikes block by block; see :func:`snnsim.kernels.events.backward.order_by_block`."""
    block = threads(neurons.shape[1], BLOCK, WARP)
    launch(_order_by_block, (n_blocks, len(counts)), block, neurons, counts, width, order, block_ptr)


@device
def leave_errors(parts, sums, spikes, filled, tau_syn, e_in):
    """Sum the staged products of ``filled`` input spikes over the block, into ``e_in``; called by all its threads.

    Parameters
    ----------
    parts : ndarray, (ROWS * BLOCK,) float64
        Shared: one product a thread for each spike.
    sums : ndarray, (ROWS * LANES,) float64
        Shared.
    spikes : ndarray, (ROWS,) int32
        Shared: the spikes' numbers.
    filled : int
    tau_syn : float
    e_in : ndarray, (cap_in,) float64
        Out.
    """
    tid, width = cuda.threadIdx.x, cuda.blockDim.x
    cuda.syncthreads()
    lane = tid % LANES
    for row in range(tid // LANES, filled, width // LANES):
        total = 0.0
        for t in range(lane, width, LANES):
            total += parts[row * width + t]
        sums[row * LANES + lane] = total
    cuda.syncthreads()
    for row in range(tid, filled, width):
        total = 0.0
        for t in range(LANES):
            total += sums[row * LANES + t]
        e_in[spikes[row]] = total / tau_syn
    cuda.syncthreads()


@device
def arrive(
    first, last, neurons_in, w, b, n, inside, lambda_v, lambda_q, pull, tau_syn, grad_parts, group, e_parts, k, wanted,
    parts, sums, spikes, filled,
):  # fmt: skip
    """Differentiate by the weights and times of an instant's input spikes; called by all threads of a block.

    Parameters
    ----------
    first, last : int
        The instant's input spikes ``first:last``.
    neurons_in, w : ndarray
        As in :func:`spiking_backward`.
    b, n : int
        Sample and neuron.
    inside : bool
        Whether there is such a neuron.
    lambda_v, lambda_q, pull, tau_syn : float
        Its adjoint, and constants.
    grad_parts, group, e_parts, k
        Added to ``grad_parts[group]``; stored in ``e_parts[k, b]``.
    wanted : bool
        Whether errors of input spikes are.
    parts, sums, spikes : ndarray
        Shared: products not yet summed, as in :func:`leave_errors`.
    filled : int
        How many spikes have products there.

    Returns
    -------
    int
        ``filled`` after this instant; the products that remain are for :func:`leave_errors`.
    """
    tid, n_threads = cuda.threadIdx.x, cuda.blockDim.x
    for j in range(first, last):
        i = neurons_in[b, j]
        if inside:
            grad_parts[group, i, n] += lambda_q
        if wanted:
            product = 0.0
            if inside:
                product = float(w[i, n]) * adjoint_arrival(float(lambda_v), float(lambda_q), pull)
            parts[filled * n_threads + tid] = product
            if tid == 0:
                spikes[filled] = j
            filled += 1
            if filled == ROWS:
                leave_errors(parts, sums, spikes, filled, tau_syn, e_parts[k, b])
                filled = 0
    return filled


@kernel
def _spiking_backward(
    neurons_in, instants, flows, w, neuron, max_inverse_slope, neurons, intervals, marks, e, order, block_ptr, width,
    grad_parts, e_parts,
):  # fmt: skip
    parts = cuda.shared.array(PARTS, float64)
    sums = cuda.shared.array(SUMS, float64)
    spikes = cuda.shared.array(ROWS, int32)
    v_threshold, v_reset, r, tau_mem, tau_syn = neuron
    gain, pull = r / tau_syn, r / tau_mem
    real = w.dtype.type
    tid, n_threads = cuda.threadIdx.x, cuda.blockDim.x
    k, group = cuda.blockIdx.x, cuda.blockIdx.y
    n_groups, batch = grad_parts.shape[0], block_ptr.shape[0]
    n = k * width + tid
    inside = tid < width and n < w.shape[1]
    wanted = e_parts.shape[1] > 0
    if inside:
        for i in range(grad_parts.shape[1]):
            grad_parts[group, i, n] = 0
    for b in range(batch * group // n_groups, batch * (group + 1) // n_groups):
        if wanted:
            for j in range(tid, e_parts.shape[2], n_threads):
                e_parts[k, b, j] = 0
        first, at = block_ptr[b, k], block_ptr[b, k + 1] - 1
        while at >= first and e[b, order[b, at]] == 0:
            at -= 1
        lambda_v = lambda_q = real(0)
        top = intervals[b, order[b, at]] if at >= first else -1
        filled = 0
        for m in range(top, -1, -1):
            if m < top:
                lambda_v, lambda_q = adjoint_flow(
                    lambda_v, lambda_q, real(flows[b, m, 0]), real(flows[b, m, 1]), real(gain * flows[b, m, 2])
                )
            while at >= first and intervals[b, order[b, at]] == m:
                s = order[b, at]
                if neurons[b, s] == n:
                    a_vv, a_vu, drive = marks[b, s, 0], marks[b, s, 1], marks[b, s, 2]
                    after = lambda_v / a_vv if a_vv > 0 else 0.0
                    before = adjoint_jump(after, e[b, s], drive, v_threshold, v_reset, tau_mem, max_inverse_slope)
                    lambda_v = real(a_vv * before)
                    lambda_q = real(lambda_q + gain * a_vu * (before - after))
                at -= 1
            filled = arrive(
                instants[b, m], instants[b, m + 1], neurons_in, w, b, n, inside, lambda_v, lambda_q, pull, tau_syn,
                grad_parts, group, e_parts, k, wanted, parts, sums, spikes, filled,
            )  # fmt: skip
        if wanted:
            leave_errors(parts, sums, spikes, filled, tau_syn, e_parts[k, b])


def spiking_backward(
    neurons_in, instants, flows, w, neuron, max_inverse_slope, neurons, intervals, marks, e, order, block_ptr, width,
    grad_parts, e_parts,
):  # fmt: skip
    """Gradient of a spiking layer; see :func:`snnsim.kernels.events.backward.spiking_backward`.

    ``width`` and the shapes of ``grad_parts`` and ``e_parts`` are those of :func:`partition`.
    """
    n_blocks = block_ptr.shape[1] - 1
    launch(
        _spiking_backward, (n_blocks, grad_parts.shape[0]), block_of(width), neurons_in, instants, flows, w, neuron,
        max_inverse_slope, neurons, intervals, marks, e, order, block_ptr, width, grad_parts, e_parts,
    )  # fmt: skip


def block_of(width):
    """Threads of a block with so many columns.

    Raises
    ------
    InputError
        If they are too many for one block.
    """
    most = min(BLOCK, MAX_THREADS)
    if width > most:
        raise InputError(f"{width} neurons in a block of the event engine's adjoint on CUDA: at most {most}")
    return threads(width, BLOCK, WARP)


@kernel
def _add_parts(parts, total):
    m = cuda.blockIdx.y
    k = cuda.grid(1)
    if k < total.shape[1]:
        value = parts[0, m, k]
        for p in range(1, parts.shape[0]):
            value += parts[p, m, k]
        total[m, k] = value


def add_parts(parts, total):
    """Sum over the first axis in its order; see :func:`snnsim.kernels.events.backward.add_parts`."""
    n_tiles, block = tiles(total.shape[1])
    launch(_add_parts, (n_tiles, total.shape[0]), block, parts, total)
