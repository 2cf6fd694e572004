"""Convolution on spike lists: input, weight gradient and error, spike by spike.

Lists are those of :mod:`snnsim.kernels.cpu.synapse` (``rows`` (B, cap) and ``row_ptr`` (B, T + 1), int32, ``group =
1``); a neuron may occur several times in a step. All functions are for the steps ``k0 <= k < k1``, whose synaptic
inputs, adjoints or passed rows are the rows ``k - k0`` of an array, and take the spikes of step ``k - delay``; before
step 0 there are none. Weights come as ``runs`` (C_in, kernel height, kernel width * C_out): the pool's factor is in
them, and their columns are in the order :attr:`~snnsim.kernels.geometry.Geometry.column_order`, so that what a spike
adds through a kernel row is one contiguous run of the target's channels-last map.
"""

from numba import njit, prange

from snnsim.kernels.cpu.synapse import dot
from snnsim.kernels.jit import KERNEL, LEAF


@njit(**LEAF)
def add_run(out, run):
    """Add a run to another."""
    for n in range(out.shape[0]):
        out[n] += run[n]


@njit(**KERNEL)
def event_input(sizes, tables, runs, rows, row_ptr, k0, k1, delay, add, x):
    """Sum the weights of the spikes that arrive.

    Parameters
    ----------
    sizes, tables : Sizes and Tables
    runs : ndarray, (C_in, kernel height, kernel width * C_out) float
    rows, row_ptr : ndarray
    k0, k1, delay : int
    add : bool
        Whether to add to ``x`` rather than to overwrite it.
    x : ndarray, (B, >= k1 - k0, N_out) float
        Output.
    """
    filters, width = sizes.filters, sizes.out_width * sizes.filters
    for b in prange(row_ptr.shape[0]):
        for k in range(k0, k1):
            out = x[b, k - k0]
            if not add:
                for n in range(out.shape[0]):
                    out[n] = 0
            if k < delay:
                continue
            for j in range(row_ptr[b, k - delay], row_ptr[b, k - delay + 1]):
                place = tables.place[rows[b, j]]
                if place[0] < 0:
                    continue
                a, n_rows, row = tables.down[place[0]]
                column, n_columns, position = tables.across[place[1]]
                first, size = column * filters, n_columns * filters
                for _ in range(n_rows):
                    start = row * width + first
                    run = runs[place[2], a, position * filters : position * filters + size]
                    add_run(out[start : start + size], run)
                    a += sizes.stride_y
                    row -= 1


@njit(**KERNEL)
def event_gradient(sizes, tables, rows, row_ptr, k0, k1, delay, adjoint, grads):
    """Add ``sum_{b,k} X_k s_{k - delay}`` to gradients by the runs, one for each of a fixed number of sample groups.

    Parameters
    ----------
    sizes, tables, rows, row_ptr, k0, k1, delay
        As in :func:`event_input`.
    adjoint : ndarray, (B, >= k1 - k0, N_out) float
        ``X_k`` in row ``k - k0``.
    grads : ndarray, (G, C_in, kernel height, kernel width * C_out) float
        Added to; group g has an equal, contiguous portion of the samples.
    """
    filters, width = sizes.filters, sizes.out_width * sizes.filters
    n_samples, n_groups = row_ptr.shape[0], grads.shape[0]
    for group in prange(n_groups):
        for b in range(n_samples * group // n_groups, n_samples * (group + 1) // n_groups):
            for k in range(max(k0, delay), k1):
                line = adjoint[b, k - k0]
                for j in range(row_ptr[b, k - delay], row_ptr[b, k - delay + 1]):
                    place = tables.place[rows[b, j]]
                    if place[0] < 0:
                        continue
                    a, n_rows, row = tables.down[place[0]]
                    column, n_columns, position = tables.across[place[1]]
                    first, size = column * filters, n_columns * filters
                    for _ in range(n_rows):
                        start = row * width + first
                        grad = grads[group, place[2], a, position * filters : position * filters + size]
                        add_run(grad, line[start : start + size])
                        a += sizes.stride_y
                        row -= 1


@njit(**LEAF)
def error_at(sizes, tables, runs, y, x, c, line):
    """Inner product of the weights of channel c at (y, x) of the pooled map with a row of the target's map."""
    filters, width = sizes.filters, sizes.out_width * sizes.filters
    a, n_rows, row = tables.down[y]
    column, n_columns, position = tables.across[x]
    first, size = column * filters, n_columns * filters
    total = line.dtype.type(0)
    for _ in range(n_rows):
        start = row * width + first
        total += dot(runs[c, a, position * filters : position * filters + size], line[start : start + size])
        a += sizes.stride_y
        row -= 1
    return total


@njit(**KERNEL)
def event_error(sizes, tables, runs, rows, row_ptr, k0, k1, delay, passed, error):
    """Add the derivative of the loss by each spike: ``(W^T d_k)[i]`` for a spike of neuron i in step ``k - delay``.

    Parameters
    ----------
    sizes, tables, runs, rows, row_ptr, k0, k1, delay
        As in :func:`event_input`.
    passed : ndarray, (B, >= k1 - k0, N_out) float
        ``d_k`` in row ``k - k0``.
    error : ndarray, (B, cap) float
        Added to, one entry a spike.
    """
    for b in prange(row_ptr.shape[0]):
        for k in range(max(k0, delay), k1):
            line = passed[b, k - k0]
            for j in range(row_ptr[b, k - delay], row_ptr[b, k - delay + 1]):
                place = tables.place[rows[b, j]]
                if place[0] >= 0:
                    error[b, j] += error_at(sizes, tables, runs, place[0], place[1], place[2], line)


@njit(**KERNEL)
def spread_error(tables, pooled, n_steps, add, error):
    """Error of every place of the pooled map (B, >= n_steps, n_pooled) to every neuron (B, >= n_steps, N_in)."""
    n_in = error.shape[2]
    for b in prange(error.shape[0]):
        for k in range(n_steps):
            given, out = pooled[b, k], error[b, k]
            for n in range(n_in):
                number = tables.place[n, 3]
                value = given[number] if number >= 0 else given.dtype.type(0)
                out[n] = out[n] + value if add else value


@njit(**KERNEL)
def every_error(sizes, tables, runs, passed, n_steps, pooled):
    """Error ``W^T d_k`` at every place of the pooled map; (B, >= n_steps, N_out) to (B, >= n_steps, n_pooled)."""
    for b in prange(passed.shape[0]):
        for k in range(n_steps):
            number = 0
            for y in range(sizes.pooled_height):
                for x in range(sizes.pooled_width):
                    for c in range(sizes.channels):
                        pooled[b, k, number] = error_at(sizes, tables, runs, y, x, c, passed[b, k])
                        number += 1
