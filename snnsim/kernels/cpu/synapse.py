"""Synaptic input from spike lists, and its two transposes: the weight gradient and the error of presynaptic spikes.

Spikes of a layer in a batch are two arrays: ``rows`` (B, cap) int32 and ``row_ptr`` (B, T + 1) int32; sample b has the
entries ``row_ptr[b, k]:row_ptr[b, k + 1]`` in step k. With ``group = 1`` an entry is the number of a neuron, a row of
the weight matrix. With ``group = 4`` it is ``16 * g + pattern``: the neurons 4g..4g+3 that spike in the step as bits
of ``pattern``, a row of the table that :func:`fold_patterns` makes; one row addition then serves up to four spikes.

A neuron may spike several times in a step. Its number then stands several times in the list, side by side; of patterns,
a group has as many entries, side by side, as the most of its neurons spike, the p-th with those that spike more than p
times.
"""

import numpy as np
from numba import njit, prange

from snnsim.kernels.jit import KERNEL, LEAF

GROUP = 4
PATTERNS = 16
STRANDS = 64
"""Portions into which the weight gradient's owners are dealt out, for balance; no result depends on it."""
COLUMNS = 512
"""Neurons that a pass over a wide layer takes at a time, so that the rows it adds stay in cache; neither does on it."""


@njit(**LEAF)
def add_rows(out, table, rows, start, stop):
    """Add the rows ``rows[start:stop]`` of ``table`` to ``out`` (N,), eight at a time so that ``out`` stays in L1."""
    add_columns(out, table, 0, out.shape[0], rows, start, stop)


@njit(**LEAF)
def add_columns(out, table, low, high, rows, start, stop):
    """:func:`add_rows` for the columns ``low:high`` of the table, to which all of ``out`` belongs."""
    j = start
    while j + 8 <= stop:
        r0, r1 = table[rows[j], low:high], table[rows[j + 1], low:high]
        r2, r3 = table[rows[j + 2], low:high], table[rows[j + 3], low:high]
        r4, r5 = table[rows[j + 4], low:high], table[rows[j + 5], low:high]
        r6, r7 = table[rows[j + 6], low:high], table[rows[j + 7], low:high]
        for n in range(out.shape[0]):
            out[n] += ((r0[n] + r1[n]) + (r2[n] + r3[n])) + ((r4[n] + r5[n]) + (r6[n] + r7[n]))
        j += 8
    while j + 2 <= stop:
        r0, r1 = table[rows[j], low:high], table[rows[j + 1], low:high]
        for n in range(out.shape[0]):
            out[n] += r0[n] + r1[n]
        j += 2
    if j < stop:
        r0 = table[rows[j], low:high]
        for n in range(out.shape[0]):
            out[n] += r0[n]


@njit(**KERNEL)
def synaptic_input(table, rows, row_ptr, k0, k1, x):
    """Sum the weights ``x[b, k - k0]`` of the spikes that arrive in the steps ``k0 <= k < k1``.

    Parameters
    ----------
    table : ndarray, (R, N) float
        Weights, or their pattern table.
    rows, row_ptr : ndarray, (B, cap) int32 and (B, T + 1) int32
    k0, k1 : int
    x : ndarray, (B, >= k1 - k0, N) float
        Output.
    """
    n_out = x.shape[2]
    for low in range(0, n_out, COLUMNS):
        high = min(low + COLUMNS, n_out)
        for b in prange(row_ptr.shape[0]):
            for k in range(k0, k1):
                out = x[b, k - k0, low:high]
                for n in range(out.shape[0]):
                    out[n] = 0
                add_columns(out, table, low, high, rows[b], row_ptr[b, k], row_ptr[b, k + 1])


@njit(**KERNEL)
def fold_patterns(weights, table):
    """Row sums of all 16 spike patterns of each group of four inputs: (N_in, N) to (16 * ceil(N_in / 4), N)."""
    n_in, n_out = weights.shape
    for g in prange(table.shape[0] // PATTERNS):
        base = PATTERNS * g
        for n in range(n_out):
            table[base, n] = 0
        highest = 0
        for pattern in range(1, PATTERNS):
            if pattern == 2 << highest:
                highest += 1
            # The row without the pattern's highest input is there already; an input beyond the last weighs nothing.
            rest, out = table[base + pattern - (1 << highest)], table[base + pattern]
            i = GROUP * g + highest
            if i < n_in:
                w = weights[i]
                for n in range(n_out):
                    out[n] = rest[n] + w[n]
            else:
                for n in range(n_out):
                    out[n] = rest[n]


@njit(**KERNEL)
def group_spikes(neurons, spike_ptr, rows, row_ptr):
    """Spike lists by neuron (``group = 1``, ascending within a step) to pattern rows (``group = 4``)."""
    for b in prange(spike_ptr.shape[0]):
        m = 0
        row_ptr[b, 0] = 0
        for k in range(spike_ptr.shape[1] - 1):
            last, before = -1, -1
            first, at = m, m
            for j in range(spike_ptr[b, k], spike_ptr[b, k + 1]):
                n = neurons[b, j]
                g = n // GROUP
                if g != last:
                    first, last = m, g
                # The p-th spike of a neuron in the step belongs to the p-th entry of its group.
                at = at + 1 if n == before else first
                before = n
                if at == m:
                    rows[b, m] = PATTERNS * g
                    m += 1
                rows[b, at] += 1 << (n - GROUP * g)
            row_ptr[b, k + 1] = m


@njit(**KERNEL)
def ungroup_spikes(rows, row_ptr, neurons, spike_ptr):
    """Spike lists by pattern back to lists by neuron; ``neurons`` has room for four a row."""
    for b in prange(row_ptr.shape[0]):
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


@njit(**KERNEL)
def transpose_rows(rows, row_ptr, k0, k1, span, counts, entries, entry_ptr):
    """Spike lists of the steps ``k0 <= k < k1`` ordered by row instead of by step.

    Parameters
    ----------
    rows, row_ptr : ndarray, (B, cap) int32 and (B, T + 1) int32
    k0, k1 : int
    span : int
        Entry ``b * span + k - k0`` stands for step k of sample b.
    counts : ndarray, (B, R) int32
        Scratch.
    entries : ndarray, (>= E,) int32
        Output: row r has ``entries[entry_ptr[r]:entry_ptr[r + 1]]``, ascending.
    entry_ptr : ndarray, (R + 1,) int64
        Output.
    """
    n_samples, n_rows = counts.shape
    for b in prange(n_samples):
        for r in range(n_rows):
            counts[b, r] = 0
        for j in range(row_ptr[b, k0], row_ptr[b, k1]):
            counts[b, rows[b, j]] += 1
    # From here counts[b, r] becomes the position of the first entry of sample b in row r.
    total = np.zeros(n_rows, np.int32)
    for b in range(n_samples):
        line = counts[b]
        for r in range(n_rows):
            c = line[r]
            line[r] = total[r]
            total[r] += c
    entry_ptr[0] = 0
    for r in range(n_rows):
        entry_ptr[r + 1] = entry_ptr[r] + total[r]
    for b in prange(n_samples):
        for k in range(k0, k1):
            for j in range(row_ptr[b, k], row_ptr[b, k + 1]):
                r = rows[b, j]
                entries[entry_ptr[r] + counts[b, r]] = b * span + k - k0
                counts[b, r] += 1


@njit(**KERNEL)
def weight_gradient(adjoint, entries, entry_ptr, group, grad_w):
    """Add ``sum_{b,k} X_k s_k`` to the weight gradient, one owner per input neuron (or group of four).

    Parameters
    ----------
    adjoint : ndarray, (B * span, N) float
        ``X_k`` of sample b and step k in row ``b * span + k - k0``.
    entries, entry_ptr : ndarray
        From :func:`transpose_rows`.
    group : {1, 4}
        What a row stands for.
    grad_w : ndarray, (N_in, N) float
        Added to.
    """
    n_in, n_out = grad_w.shape
    n_owners = n_in if group == 1 else (n_in + GROUP - 1) // GROUP
    n_strands = STRANDS
    for low in range(0, n_out, COLUMNS):
        high = min(low + COLUMNS, n_out)
        for strand in prange(n_strands):
            # Strided ownership: neighbouring inputs are alike in activity, so each thread gets its share of busy ones.
            total = np.empty(high - low, grad_w.dtype)
            for owner in range(strand, n_owners, n_strands):
                if group == 1:
                    grad = grad_w[owner, low:high]
                    add_columns(grad, adjoint, low, high, entries, entry_ptr[owner], entry_ptr[owner + 1])
                    continue
                for pattern in range(1, PATTERNS):
                    row = PATTERNS * owner + pattern
                    if entry_ptr[row] == entry_ptr[row + 1]:
                        continue
                    for n in range(total.shape[0]):
                        total[n] = 0
                    add_columns(total, adjoint, low, high, entries, entry_ptr[row], entry_ptr[row + 1])
                    for j in range(GROUP):
                        if (pattern >> j) & 1:
                            grad = grad_w[GROUP * owner + j, low:high]
                            for n in range(total.shape[0]):
                                grad[n] += total[n]


@njit(**LEAF, fastmath={"reassoc", "nsz"})
def dot(a, b):
    """Inner product, summed in vector lanes (the one place where the compiler may reorder a sum)."""
    total = a.dtype.type(0)
    for n in range(a.shape[0]):
        total += a[n] * b[n]
    return total


@njit(**KERNEL)
def spike_error(weights, spike_adjoint, neurons, spike_ptr, k0, k1, error):
    """Differentiate the loss by each presynaptic spike: ``(W^T d_k)[i]`` for a spike of neuron i in step k.

    Parameters
    ----------
    weights : ndarray, (N_in, N) float
    spike_adjoint : ndarray, (B, >= k1 - k0, N) float
        ``d_k``: ``(X_{k+1} - X_k)/dt`` for a derivative by spike time.
    neurons, spike_ptr : ndarray, (B, cap) int32 and (B, T + 1) int32
        Presynaptic spikes.
    k0, k1 : int
    error : ndarray, (B, cap) float
        Output, one entry a spike.
    """
    for b in prange(spike_ptr.shape[0]):
        for k in range(k0, k1):
            line = spike_adjoint[b, k - k0]
            for j in range(spike_ptr[b, k], spike_ptr[b, k + 1]):
                error[b, j] = dot(weights[neurons[b, j]], line)


@njit(**KERNEL)
def dense_spikes(rows, row_ptr, k0, k1, dense):
    """Spike lists by neuron of the steps ``k0 <= k < k1`` as counts, (B, >= k1 - k0, N_in) float."""
    for b in prange(row_ptr.shape[0]):
        for k in range(k0, k1):
            line = dense[b, k - k0]
            for i in range(line.shape[0]):
                line[i] = 0
            for j in range(row_ptr[b, k], row_ptr[b, k + 1]):
                line[rows[b, j]] += 1


@njit(**KERNEL)
def dense_spikes_by_neuron(rows, row_ptr, k0, k1, span, dense):
    """As :func:`dense_spikes`, a line a neuron: (N_in, B * span), step k of sample b in column b * span + k - k0."""
    for b in prange(row_ptr.shape[0]):
        for i in range(dense.shape[0]):
            for column in range(b * span, (b + 1) * span):
                dense[i, column] = 0
        for k in range(k0, k1):
            for j in range(row_ptr[b, k], row_ptr[b, k + 1]):
                dense[rows[b, j], b * span + k - k0] += 1


@njit(**KERNEL)
def at_spikes(dense, neurons, spike_ptr, values):
    """Pick ``dense[b, k, n]`` (B, T, N) at every spike: ``values`` (B, cap)."""
    for b in prange(spike_ptr.shape[0]):
        for k in range(spike_ptr.shape[1] - 1):
            for j in range(spike_ptr[b, k], spike_ptr[b, k + 1]):
                values[b, j] = dense[b, k, neurons[b, j]]
