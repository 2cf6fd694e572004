"""Synaptic input from spike lists, and its two transposes, on the device.

Formats as in :mod:`snnsim.kernels.cpu.synapse`. A block owns one output row and a tile of its columns, two columns a
thread: it stages the list of rows to add in shared memory, so that the inner loop reads neighbouring columns of one row
after another, eight rows in flight. Sums have the CPU's order, and the CPU's bits.
"""

from numba import int32, uint32, uint64

from snnsim.kernels.cuda.bits import GROUP, PATTERNS
from snnsim.kernels.cuda.compiler import SIMULATED, UNIT, cuda, device, kernel, launch, threads, tiles

STAGE = 256
"""Entries of a list in shared memory at a time; a multiple of 8, or sums would change their order."""
REDUCE = 8
PARTS = UNIT * REDUCE
"""Spikes whose inner products a block sums at a time, and the threads that do it."""


@device
def first_column():
    """First of the two columns of this thread; the other lies :data:`UNIT` further.

    One read of a list serves two columns, at addresses that differ by a constant.
    """
    tid = cuda.threadIdx.x
    return 2 * (cuda.blockIdx.x * cuda.blockDim.x + tid) - tid % UNIT


def column_tiles(n, most=256):
    """``(n_tiles, block)`` that cover ``n`` columns, two a thread."""
    return tiles(-(-n // 2), most)


@device
def add_columns(one, two, table, rows, start, stop, n, stage):
    """``one`` and ``two`` plus the columns ``n`` and ``n + UNIT`` of the rows ``rows[start:stop]`` of ``table``.

    Called by all threads of a block.

    Parameters
    ----------
    one, two : float
    table : ndarray, (R, N) float
    rows : ndarray, (>= stop,) int32
    start, stop : int
        The same for the whole block.
    n : int
        This thread's first column; a thread beyond the last one only helps to stage.
    stage : ndarray, (STAGE,) uint32
        Shared memory.

    Returns
    -------
    one, two : float
    """
    tid, width = cuda.threadIdx.x, cuda.blockDim.x
    for first in range(start, stop, STAGE):
        count = min(stop - first, STAGE)
        cuda.syncthreads()
        for j in range(tid, count, width):
            stage[j] = rows[first + j]
        cuda.syncthreads()
        if n + UNIT < table.shape[1]:
            one, two = add_staged_pair(one, two, table, stage, count, n)
        elif n < table.shape[1]:
            one = add_staged(one, table, stage, count, n)
    return one, two


@device
def at(table, row, n):
    """Entry of a table; unsigned indices, or Numba would look whether each is negative."""
    return table[uint64(row), uint64(n)]


@device
def group_at(table, stage, j, n):
    """Sum of column ``n`` of the rows ``stage[j:j + 8]`` of ``table``."""
    a0, a1, a2, a3 = (
        at(table, stage[j], n), at(table, stage[j + 1], n), at(table, stage[j + 2], n), at(table, stage[j + 3], n),
    )  # fmt: skip
    a4, a5, a6, a7 = (
        at(table, stage[j + 4], n), at(table, stage[j + 5], n), at(table, stage[j + 6], n), at(table, stage[j + 7], n),
    )  # fmt: skip
    return ((a0 + a1) + (a2 + a3)) + ((a4 + a5) + (a6 + a7))


@device
def add_staged(out, table, stage, count, n):
    """``out`` plus column ``n`` of the rows ``stage[:count]`` of ``table``, eight at a time, then in pairs."""
    j = 0
    while j + 8 <= count:
        out += group_at(table, stage, j, n)
        j += 8
    while j + 2 <= count:
        out += at(table, stage[j], n) + at(table, stage[j + 1], n)
        j += 2
    if j < count:
        out += at(table, stage[j], n)
    return out


@device
def add_staged_pair(one, two, table, stage, count, n):
    """Do :func:`add_staged` for the columns ``n`` and ``n + UNIT``."""
    j = 0
    while j + 8 <= count:
        one += group_at(table, stage, j, n)
        two += group_at(table, stage, j, n + UNIT)
        j += 8
    while j + 2 <= count:
        one += at(table, stage[j], n) + at(table, stage[j + 1], n)
        two += at(table, stage[j], n + UNIT) + at(table, stage[j + 1], n + UNIT)
        j += 2
    if j < count:
        one += at(table, stage[j], n)
        two += at(table, stage[j], n + UNIT)
    return one, two


@kernel
def _synaptic_input(table, rows, row_ptr, k0, x):
    stage = cuda.shared.array(STAGE, uint32)
    n, k, b = first_column(), cuda.blockIdx.y, cuda.blockIdx.z
    zero = x.dtype.type(0)
    one, two = add_columns(zero, zero, table, rows[b], row_ptr[b, k0 + k], row_ptr[b, k0 + k + 1], n, stage)
    if n < table.shape[1]:
        x[b, k, n] = one
    if n + UNIT < table.shape[1]:
        x[b, k, n + UNIT] = two


def synaptic_input(table, rows, row_ptr, k0, k1, x):
    """Sum the weights of the spikes that arrive in each step; see :func:`snnsim.kernels.cpu.synaptic_input`."""
    n_tiles, block = column_tiles(table.shape[1])
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
            last, before = -1, -1
            first, place = m, m
            for j in range(spike_ptr[b, k], spike_ptr[b, k + 1]):
                n = neurons[b, j]
                g = n // GROUP
                if g != last:
                    first, last = m, g
                place = place + 1 if n == before else first
                before = n
                if place == m:
                    rows[b, m] = PATTERNS * g
                    m += 1
                rows[b, place] += 1 << (n - GROUP * g)
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
            j, stop = row_ptr[b, k], row_ptr[b, k + 1]
            while j < stop:
                g, after = rows[b, j] // PATTERNS, j + 1
                while after < stop and rows[b, after] // PATTERNS == g:
                    after += 1
                for i in range(GROUP):
                    for entry in range(j, after):
                        if (rows[b, entry] >> i) & 1:
                            neurons[b, m] = GROUP * g + i
                            m += 1
                j = after
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
    stage = cuda.shared.array(STAGE, uint32)
    n, owner, n_out = first_column(), cuda.blockIdx.y, grad_w.shape[1]
    one = grad_w[owner, n] if n < n_out else grad_w.dtype.type(0)
    two = grad_w[owner, n + UNIT] if n + UNIT < n_out else grad_w.dtype.type(0)
    one, two = add_columns(one, two, adjoint, entries, entry_ptr[owner], entry_ptr[owner + 1], n, stage)
    if n < n_out:
        grad_w[owner, n] = one
    if n + UNIT < n_out:
        grad_w[owner, n + UNIT] = two


@kernel
def _pattern_gradient(adjoint, entries, entry_ptr, grad_w):
    stage = cuda.shared.array(STAGE, uint32)
    n, owner = first_column(), cuda.blockIdx.y
    n_in, n_out = grad_w.shape
    zero = grad_w.dtype.type(0)
    for pattern in range(1, PATTERNS):
        row = PATTERNS * owner + pattern
        start, stop = entry_ptr[row], entry_ptr[row + 1]
        if start < stop:
            one, two = add_columns(zero, zero, adjoint, entries, start, stop, n, stage)
            for j in range(GROUP):
                if (pattern >> j) & 1 and GROUP * owner + j < n_in:
                    if n < n_out:
                        grad_w[GROUP * owner + j, n] += one
                    if n + UNIT < n_out:
                        grad_w[GROUP * owner + j, n + UNIT] += two


def weight_gradient(adjoint, entries, entry_ptr, group, grad_w):
    """Add ``sum_{b,k} X_k s_k`` to the weight gradient; see :func:`snnsim.kernels.cpu.weight_gradient`."""
    n_in, n_out = grad_w.shape
    n_tiles, block = column_tiles(n_out)
    if group == 1:
        launch(_row_gradient, (n_tiles, n_in), block, adjoint, entries, entry_ptr, grad_w)
    else:
        launch(_pattern_gradient, (n_tiles, -(-n_in // GROUP)), block, adjoint, entries, entry_ptr, grad_w)


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
                total += at(weights, i, n) * spike_adjoint[b, k, n]
        parts[row * lanes + lane] = total
        cuda.syncthreads()
        half = lanes // 2
        while half > 0:
            if lane < half:
                parts[row * lanes + lane] += parts[row * lanes + lane + half]
            cuda.syncthreads()
            half //= 2
        if lane == 0 and j < stop:
            error[b, j] = parts[row * lanes]
        cuda.syncthreads()


@kernel
def _narrow_spike_error(weights, spike_adjoint, neurons, spike_ptr, k0, error):
    k, b = cuda.blockIdx.x, cuda.blockIdx.y
    for j in range(spike_ptr[b, k0 + k] + cuda.threadIdx.x, spike_ptr[b, k0 + k + 1], cuda.blockDim.x):
        i = neurons[b, j]
        total = error.dtype.type(0)
        for n in range(weights.shape[1]):
            total += at(weights, i, n) * spike_adjoint[b, k, n]
        error[b, j] = total


def spike_error(weights, spike_adjoint, neurons, spike_ptr, k0, k1, error):
    """Differentiate the loss by each presynaptic spike; see :func:`snnsim.kernels.cpu.spike_error`.

    A thread has a spike where there are few columns; else several share its inner product, whose parts are added in
    one order.
    """
    grid = k1 - k0, spike_ptr.shape[0]
    given = weights, spike_adjoint, neurons, spike_ptr, k0, error
    if weights.shape[1] <= UNIT:
        launch(_narrow_spike_error, grid, threads(weights.shape[0], 64), *given)
    else:
        launch(_spike_error, grid, (UNIT, 1 if SIMULATED else REDUCE), *given)


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


def clear(array):
    """Set a 2-d array to zero."""
    n_tiles, block = tiles(array.size)
    launch(_clear, min(n_tiles, 1024), block, array)


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
    clear(dense)
    launch(_dense_by_neuron, (k1 - k0, row_ptr.shape[0]), threads(dense.shape[0]), rows, row_ptr, k0, span, dense)


@kernel
def _at_spikes(dense, neurons, spike_ptr, k0, values):
    k, b = cuda.blockIdx.x, cuda.blockIdx.y
    for j in range(spike_ptr[b, k0 + k] + cuda.threadIdx.x, spike_ptr[b, k0 + k + 1], cuda.blockDim.x):
        values[b, j] = dense[b, k, neurons[b, j]]


def at_spikes(dense, neurons, spike_ptr, values):
    """Entries of a (B, T, N) array at the spikes; see :func:`snnsim.kernels.cpu.at_spikes`."""
    at_spikes_from(dense, neurons, spike_ptr, 0, spike_ptr.shape[1] - 1, values)


def at_spikes_from(dense, neurons, spike_ptr, k0, k1, values):
    """:func:`at_spikes` for the steps ``k0 <= k < k1``; that of step k in ``dense[b, k - k0]``."""
    grid = k1 - k0, spike_ptr.shape[0]
    launch(_at_spikes, grid, threads(dense.shape[2]), dense, neurons, spike_ptr, k0, values)
