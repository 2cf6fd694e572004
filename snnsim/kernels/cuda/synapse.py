"""Synaptic input from spike lists, and its two transposes, on the device.

Formats as in :mod:`snnsim.kernels.cpu.synapse`. A block owns one output row and a tile of its columns, one column a
thread: it stages the list of rows to add in shared memory, so that the inner loop reads neighbouring columns of one row
after another, eight rows in flight. Sums have the CPU's order, and the CPU's bits.
"""

from numba import int32

from snnsim.kernels.cuda.bits import GROUP, PATTERNS
from snnsim.kernels.cuda.compiler import SIMULATED, cuda, device, kernel, launch, threads, tiles

STAGE = 256
"""Entries of a list in shared memory at a time; a multiple of 8, or sums would change their order."""
LANES = 32
REDUCE = 8
PARTS = LANES * REDUCE
"""Spikes whose inner products a block sums at a time, each with :data:`LANES` threads or fewer."""


@device
def add_column(out, table, rows, start, stop, n, stage):
    """``out`` plus column ``n`` of the rows ``rows[start:stop]`` of ``table``; called by all threads of a block.

    Parameters
    ----------
    out : float
    table : ndarray, (R, N) float
    rows : ndarray, (>= stop,) int32
    start, stop : int
        The same for the whole block.
    n : int
        This thread's column; a thread beyond the last one only helps to stage.
    stage : ndarray, (STAGE,) int32
        Shared memory.

    Returns
    -------
    float
    """
    tid, width = cuda.threadIdx.x, cuda.blockDim.x
    for first in range(start, stop, STAGE):
        count = min(stop - first, STAGE)
        cuda.syncthreads()
        for j in range(tid, count, width):
            stage[j] = rows[first + j]
        cuda.syncthreads()
        if n < table.shape[1]:
            out = add_staged(out, table, stage, count, n)
    return out


@device
def add_staged(out, table, stage, count, n):
    """``out`` plus column ``n`` of the rows ``stage[:count]`` of ``table``, eight at a time, then in pairs."""
    j = 0
    while j + 8 <= count:
        a0, a1, a2, a3 = table[stage[j], n], table[stage[j + 1], n], table[stage[j + 2], n], table[stage[j + 3], n]
        a4, a5, a6, a7 = table[stage[j + 4], n], table[stage[j + 5], n], table[stage[j + 6], n], table[stage[j + 7], n]
        out += ((a0 + a1) + (a2 + a3)) + ((a4 + a5) + (a6 + a7))
        j += 8
    while j + 2 <= count:
        out += table[stage[j], n] + table[stage[j + 1], n]
        j += 2
    if j < count:
        out += table[stage[j], n]
    return out


@kernel
def _synaptic_input(table, rows, row_ptr, k0, x):
    stage = cuda.shared.array(STAGE, int32)
    n = cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x
    k, b = cuda.blockIdx.y, cuda.blockIdx.z
    zero = x.dtype.type(0)
    total = add_column(zero, table, rows[b], row_ptr[b, k0 + k], row_ptr[b, k0 + k + 1], n, stage)
    if n < table.shape[1]:
        x[b, k, n] = total


def synaptic_input(table, rows, row_ptr, k0, k1, x):
    """Sum the weights of the spikes that arrive in each step; see :func:`snnsim.kernels.cpu.synaptic_input`."""
    n_tiles, block = tiles(table.shape[1])
    launch(_synaptic_input, (n_tiles, k1 - k0, row_ptr.shape[0]), block, table, rows, row_ptr, k0, x)


@kernel
def _fold_patterns(weights, table):
    n = cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x
    g = cuda.blockIdx.y
    n_in, n_out = weights.shape
    if n < n_out:
        base = PATTERNS * g
        table[base, n] = 0
        for j in range(GROUP):
            bit = 1 << j
            i = GROUP * g + j
            w = weights[i, n] if i < n_in else table.dtype.type(0)
            for low in range(bit):
                table[base + bit + low, n] = table[base + low, n] + w


def fold_patterns(weights, table):
    """Row sums of all 16 spike patterns of each group of four inputs; see :func:`snnsim.kernels.cpu.fold_patterns`."""
    n_tiles, block = tiles(weights.shape[1])
    launch(_fold_patterns, (n_tiles, table.shape[0] // PATTERNS), block, weights, table)


@kernel
def _group_spikes(neurons, spike_ptr, rows, row_ptr):
    # One thread a sample: a converter for recorded spikes; encoders list patterns themselves.
    b = cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x
    if b < spike_ptr.shape[0]:
        m = 0
        row_ptr[b, 0] = 0
        for k in range(spike_ptr.shape[1] - 1):
            last = -1
            for j in range(spike_ptr[b, k], spike_ptr[b, k + 1]):
                g = neurons[b, j] // GROUP
                bit = 1 << (neurons[b, j] - GROUP * g)
                if g == last:
                    rows[b, m - 1] += bit
                else:
                    rows[b, m] = PATTERNS * g + bit
                    m += 1
                    last = g
            row_ptr[b, k + 1] = m


def group_spikes(neurons, spike_ptr, rows, row_ptr):
    """Spike lists by neuron to pattern rows; see :func:`snnsim.kernels.cpu.group_spikes`."""
    n_tiles, block = tiles(spike_ptr.shape[0], 32)
    launch(_group_spikes, n_tiles, block, neurons, spike_ptr, rows, row_ptr)


@kernel
def _ungroup_spikes(rows, row_ptr, neurons, spike_ptr):
    b = cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x
    if b < row_ptr.shape[0]:
        m = 0
        spike_ptr[b, 0] = 0
        for k in range(row_ptr.shape[1] - 1):
            for j in range(row_ptr[b, k], row_ptr[b, k + 1]):
                g = rows[b, j] // PATTERNS
                for i in range(GROUP):
                    if (rows[b, j] >> i) & 1:
                        neurons[b, m] = GROUP * g + i
                        m += 1
            spike_ptr[b, k + 1] = m


def ungroup_spikes(rows, row_ptr, neurons, spike_ptr):
    """Spike lists by pattern back to lists by neuron; see :func:`snnsim.kernels.cpu.ungroup_spikes`."""
    n_tiles, block = tiles(row_ptr.shape[0], 32)
    launch(_ungroup_spikes, n_tiles, block, rows, row_ptr, neurons, spike_ptr)


@kernel
def _count_rows(rows, row_ptr, k0, k1, counts):
    b = cuda.blockIdx.x
    for r in range(cuda.threadIdx.x, counts.shape[1], cuda.blockDim.x):
        counts[b, r] = 0
    cuda.syncthreads()
    for j in range(row_ptr[b, k0] + cuda.threadIdx.x, row_ptr[b, k1], cuda.blockDim.x):
        cuda.atomic.add(counts, (b, rows[b, j]), 1)


@kernel
def _scan_rows(counts, entry_ptr):
    # counts[b, r] becomes the position of the first entry of sample b in row r.
    shared = cuda.shared.array(1024, int32)
    tid, width = cuda.threadIdx.x, cuda.blockDim.x
    n_samples, n_rows = counts.shape
    portion = (n_rows + width - 1) // width
    for r in range(tid, n_rows, width):
        run = 0
        for b in range(n_samples):
            c = counts[b, r]
            counts[b, r] = run
            run += c
        entry_ptr[r + 1] = run
    cuda.syncthreads()
    first, last = tid * portion, min((tid + 1) * portion, n_rows)
    total = 0
    for r in range(first, last):
        total += entry_ptr[r + 1]
    shared[tid] = total
    cuda.syncthreads()
    run = 0
    for t in range(tid):
        run += shared[t]
    for r in range(first, last):
        run += entry_ptr[r + 1]
        entry_ptr[r + 1] = run
    if tid == 0:
        entry_ptr[0] = 0


@kernel
def _scatter_rows(rows, row_ptr, k0, k1, span, counts, entries, entry_ptr):
    # Step after step: equal entries of one step are the same number, so the order of the counter does not show.
    b = cuda.blockIdx.x
    for k in range(k0, k1):
        for j in range(row_ptr[b, k] + cuda.threadIdx.x, row_ptr[b, k + 1], cuda.blockDim.x):
            r = rows[b, j]
            entries[entry_ptr[r] + cuda.atomic.add(counts, (b, r), 1)] = b * span + k - k0
        cuda.syncthreads()


def transpose_rows(rows, row_ptr, k0, k1, span, counts, entries, entry_ptr):
    """Spike lists ordered by row instead of by step; see :func:`snnsim.kernels.cpu.transpose_rows`. Three launches."""
    n_samples, n_rows = counts.shape
    block = threads(n_rows)
    launch(_count_rows, n_samples, block, rows, row_ptr, k0, k1, counts)
    launch(_scan_rows, 1, threads(n_rows, 1024), counts, entry_ptr)
    launch(_scatter_rows, n_samples, block, rows, row_ptr, k0, k1, span, counts, entries, entry_ptr)


@kernel
def _row_gradient(adjoint, entries, entry_ptr, grad_w):
    stage = cuda.shared.array(STAGE, int32)
    n = cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x
    owner = cuda.blockIdx.y
    total = grad_w[owner, n] if n < grad_w.shape[1] else grad_w.dtype.type(0)
    total = add_column(total, adjoint, entries, entry_ptr[owner], entry_ptr[owner + 1], n, stage)
    if n < grad_w.shape[1]:
        grad_w[owner, n] = total


@kernel
def _pattern_gradient(adjoint, entries, entry_ptr, grad_w):
    stage = cuda.shared.array(STAGE, int32)
    n = cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x
    owner = cuda.blockIdx.y
    n_in, n_out = grad_w.shape
    zero = grad_w.dtype.type(0)
    for pattern in range(1, PATTERNS):
        row = PATTERNS * owner + pattern
        start, stop = entry_ptr[row], entry_ptr[row + 1]
        if start < stop:
            total = add_column(zero, adjoint, entries, start, stop, n, stage)
            if n < n_out:
                for j in range(GROUP):
                    if (pattern >> j) & 1 and GROUP * owner + j < n_in:
                        grad_w[GROUP * owner + j, n] += total


def weight_gradient(adjoint, entries, entry_ptr, group, grad_w):
    """Add ``sum_{b,k} X_k s_k`` to the weight gradient; see :func:`snnsim.kernels.cpu.weight_gradient`."""
    n_in, n_out = grad_w.shape
    n_tiles, block = tiles(n_out)
    if group == 1:
        launch(_row_gradient, (n_tiles, n_in), block, adjoint, entries, entry_ptr, grad_w)
    else:
        launch(_pattern_gradient, (n_tiles, -(-n_in // GROUP)), block, adjoint, entries, entry_ptr, grad_w)


@device
def _lane_sums(parts, lanes):
    # Sum of this row's partial sums, in the order of the lanes.
    total = parts[cuda.threadIdx.y * lanes]
    for lane in range(1, lanes):
        total += parts[cuda.threadIdx.y * lanes + lane]
    return total


@kernel
def _spike_error(weights, spike_adjoint, neurons, spike_ptr, k0, error):
    parts = cuda.shared.array(PARTS, error.dtype)
    lane, row = cuda.threadIdx.x, cuda.threadIdx.y
    lanes, width = cuda.blockDim.x, cuda.blockDim.y
    k, b = cuda.blockIdx.x, cuda.blockIdx.y
    start, stop = spike_ptr[b, k0 + k], spike_ptr[b, k0 + k + 1]
    for first in range(start, stop, width):
        j = first + row
        total = error.dtype.type(0)
        if j < stop:
            i = neurons[b, j]
            for n in range(lane, weights.shape[1], lanes):
                total += weights[i, n] * spike_adjoint[b, k, n]
        parts[row * lanes + lane] = total
        cuda.syncthreads()
        if lane == 0 and j < stop:
            error[b, j] = _lane_sums(parts, lanes)
        cuda.syncthreads()


def spike_error(weights, spike_adjoint, neurons, spike_ptr, k0, k1, error):
    """Differentiate the loss by each presynaptic spike; see :func:`snnsim.kernels.cpu.spike_error`.

    The inner product runs over strided lanes, whose sums are added in order.
    """
    lanes = LANES if weights.shape[1] >= 2 * LANES else 8
    rows = 1 if SIMULATED else LANES * REDUCE // lanes
    launch(
        _spike_error, (k1 - k0, spike_ptr.shape[0]), (lanes, rows),
        weights, spike_adjoint, neurons, spike_ptr, k0, error,
    )  # fmt: skip


@device
def _multiplicity(rows, b, j, start, stop):
    # How often the row of entry j occurs in its step, if j is its first entry there, else 0; equal rows are neighbours.
    r = rows[b, j]
    if j > start and rows[b, j - 1] == r:
        return 0
    count = 1
    while j + count < stop and rows[b, j + count] == r:
        count += 1
    return count


@kernel
def _dense_spikes(rows, row_ptr, k0, dense):
    k, b = cuda.blockIdx.x, cuda.blockIdx.y
    for i in range(cuda.threadIdx.x, dense.shape[2], cuda.blockDim.x):
        dense[b, k, i] = 0
    cuda.syncthreads()
    start, stop = row_ptr[b, k0 + k], row_ptr[b, k0 + k + 1]
    for j in range(start + cuda.threadIdx.x, stop, cuda.blockDim.x):
        count = _multiplicity(rows, b, j, start, stop)
        if count > 0:
            dense[b, k, rows[b, j]] = count


def dense_spikes(rows, row_ptr, k0, k1, dense):
    """Spike lists by neuron as counts a step; see :func:`snnsim.kernels.cpu.dense_spikes`."""
    launch(_dense_spikes, (k1 - k0, row_ptr.shape[0]), threads(dense.shape[2]), rows, row_ptr, k0, dense)


@kernel
def _clear(dense):
    for i in range(cuda.grid(1), dense.size, cuda.gridsize(1)):
        dense[i // dense.shape[1], i % dense.shape[1]] = 0


@kernel
def _dense_by_neuron(rows, row_ptr, k0, span, dense):
    k, b = cuda.blockIdx.x, cuda.blockIdx.y
    start, stop = row_ptr[b, k0 + k], row_ptr[b, k0 + k + 1]
    for j in range(start + cuda.threadIdx.x, stop, cuda.blockDim.x):
        count = _multiplicity(rows, b, j, start, stop)
        if count > 0:
            dense[rows[b, j], b * span + k] = count


def dense_spikes_by_neuron(rows, row_ptr, k0, k1, span, dense):
    """Spike counts by neuron; see :func:`snnsim.kernels.cpu.dense_spikes_by_neuron`. Two launches."""
    n_tiles, block = tiles(dense.size)
    launch(_clear, min(n_tiles, 1024), block, dense)
    launch(_dense_by_neuron, (k1 - k0, row_ptr.shape[0]), threads(dense.shape[0]), rows, row_ptr, k0, span, dense)


@kernel
def _at_spikes(dense, neurons, spike_ptr, values):
    k, b = cuda.blockIdx.x, cuda.blockIdx.y
    for j in range(spike_ptr[b, k] + cuda.threadIdx.x, spike_ptr[b, k + 1], cuda.blockDim.x):
        values[b, j] = dense[b, k, neurons[b, j]]


def at_spikes(dense, neurons, spike_ptr, values):
    """Entries of a (B, T, N) array at the spikes; see :func:`snnsim.kernels.cpu.at_spikes`."""
    n_samples, n_steps = spike_ptr.shape[0], spike_ptr.shape[1] - 1
    launch(_at_spikes, (n_steps, n_samples), threads(dense.shape[2]), dense, neurons, spike_ptr, values)
