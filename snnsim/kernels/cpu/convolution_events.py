"""Convolution spike by spike: each adds, or takes, one contiguous run of the target's map for each kernel row.

For few spikes. Lists are those of :mod:`snnsim.kernels.cpu.synapse` (``rows`` (B, cap) and ``row_ptr`` (B, T + 1),
int32, by neuron); a neuron may occur several times in a step. All functions are for the steps ``k0 <= k < k1``, whose
synaptic inputs, adjoints or passed rows are the rows ``k - k0`` of an array, and take the spikes of step ``k - delay``;
before step 0 there are none. Weights come as ``runs`` (C_in, kernel height, kernel width, padded C_out): the pool's
factor is in them, and their columns are in the order :attr:`~snnsim.kernels.geometry.Geometry.column_order`.
"""

import numpy as np
from numba import njit, prange

from snnsim.kernels.cpu.blocked import add_run, copy_rows, dot_rows, lanes
from snnsim.kernels.jit import KERNEL, LEAF


@njit(**LEAF)
def pack(line, filters, wide, out, start):
    """Copy a map (places * filters,) to rows of ``wide`` numbers, of which those beyond the filters mean nothing."""
    n_places = line.shape[0] // filters
    whole = max(0, (line.shape[0] - wide) // filters + 1) if line.shape[0] >= wide else 0
    copy_rows(out, start, wide, line, 0, filters, whole, wide // lanes(line))
    for place in range(whole, n_places):
        for n in range(filters):
            out[start + place * wide + n] = line[place * filters + n]


@njit(**LEAF)
def unpack(rows, filters, wide, add, out):
    """Copy or add rows of ``wide`` numbers to a map (places * filters,)."""
    n_places = out.shape[0] // filters
    whole = 0
    if not add and out.shape[0] >= wide:
        whole = max(0, (out.shape[0] - wide) // filters + 1)
        copy_rows(out, 0, filters, rows, 0, wide, whole, wide // lanes(out))
    for place in range(whole, n_places):
        row, into = rows[place * wide : place * wide + filters], out[place * filters : (place + 1) * filters]
        for n in range(filters):
            into[n] = into[n] + row[n] if add else row[n]


@njit(**KERNEL)
def event_input(sizes, tables, runs, rows, row_ptr, k0, k1, delay, add, x):
    """Sum the weights of the spikes that arrive.

    Parameters
    ----------
    sizes, tables : Sizes and Tables
    runs : ndarray, (C_in, kernel height, kernel width, padded C_out) float
    rows, row_ptr : ndarray
    k0, k1, delay : int
    add : bool
        Whether to add to ``x`` rather than to overwrite it.
    x : ndarray, (B, >= k1 - k0, N_out) float
        Output.
    """
    wide = runs.shape[3]
    vectors, run_size = wide // lanes(runs), sizes.kernel_width * wide
    n_places = sizes.out_height * sizes.out_width
    for b in prange(row_ptr.shape[0]):
        image = np.empty(n_places * wide, x.dtype)
        for k in range(k0, k1):
            j0, j1 = 0, 0
            if k >= delay:
                j0, j1 = row_ptr[b, k - delay], row_ptr[b, k - delay + 1]
            if add and j0 == j1:
                continue
            for n in range(image.shape[0]):
                image[n] = 0
            for j in range(j0, j1):
                place = tables.place[rows[b, j]]
                if place[0] < 0:
                    continue
                a, n_rows, row = tables.down[place[0]]
                column, n_columns, position = tables.across[place[1]]
                into = (row * sizes.out_width + column) * wide
                run = (place[2] * sizes.kernel_height + a) * run_size + position * wide
                for _ in range(n_rows):
                    add_run(image, into, runs, run, n_columns * vectors)
                    into -= sizes.out_width * wide
                    run += sizes.stride_y * run_size
            unpack(image, sizes.filters, wide, add, x[b, k - k0])


@njit(**KERNEL)
def event_gradient(sizes, tables, rows, row_ptr, k0, k1, delay, adjoint, grads):
    """Add ``sum_{b,k} X_k s_{k - delay}`` to gradients by the runs, one for each of a fixed number of sample groups.

    Parameters
    ----------
    sizes, tables, rows, row_ptr, k0, k1, delay
        As in :func:`event_input`.
    adjoint : ndarray, (B, >= k1 - k0, N_out) float
        ``X_k`` in row ``k - k0``.
    grads : ndarray, (G, C_in, kernel height, kernel width, padded C_out) float
        Added to; group g has an equal, contiguous portion of the samples. What is added beyond C_out means nothing.
    """
    wide = grads.shape[4]
    vectors, run_size = wide // lanes(grads), sizes.kernel_width * wide
    n_places = sizes.out_height * sizes.out_width
    n_samples, n_groups = row_ptr.shape[0], grads.shape[0]
    for group in prange(n_groups):
        image, own = np.zeros(n_places * wide, adjoint.dtype), grads[group]
        for b in range(n_samples * group // n_groups, n_samples * (group + 1) // n_groups):
            for k in range(max(k0, delay), k1):
                j0, j1 = row_ptr[b, k - delay], row_ptr[b, k - delay + 1]
                if j0 == j1:
                    continue
                pack(adjoint[b, k - k0], sizes.filters, wide, image, 0)
                for j in range(j0, j1):
                    place = tables.place[rows[b, j]]
                    if place[0] < 0:
                        continue
                    a, n_rows, row = tables.down[place[0]]
                    column, n_columns, position = tables.across[place[1]]
                    given = (row * sizes.out_width + column) * wide
                    run = (place[2] * sizes.kernel_height + a) * run_size + position * wide
                    for _ in range(n_rows):
                        add_run(own, run, image, given, n_columns * vectors)
                        given -= sizes.out_width * wide
                        run += sizes.stride_y * run_size


@njit(**LEAF)
def error_at(sizes, tables, runs, y, x, c, image):
    """Inner product of the weights of channel c at (y, x) of the pooled map with a packed row of the target's map."""
    wide = runs.shape[3]
    run_size = sizes.kernel_width * wide
    a, n_rows, row = tables.down[y]
    column, n_columns, position = tables.across[x]
    return dot_rows(
        runs, (c * sizes.kernel_height + a) * run_size + position * wide, sizes.stride_y * run_size,
        image, (row * sizes.out_width + column) * wide, -sizes.out_width * wide,
        n_columns * (wide // lanes(runs)), n_rows,
    )  # fmt: skip


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
    wide = runs.shape[3]
    n_places = sizes.out_height * sizes.out_width
    for b in prange(row_ptr.shape[0]):
        image = np.zeros(n_places * wide, passed.dtype)
        for k in range(max(k0, delay), k1):
            j0, j1 = row_ptr[b, k - delay], row_ptr[b, k - delay + 1]
            if j0 == j1:
                continue
            pack(passed[b, k - k0], sizes.filters, wide, image, 0)
            for j in range(j0, j1):
                place = tables.place[rows[b, j]]
                if place[0] >= 0:
                    error[b, j] += error_at(sizes, tables, runs, place[0], place[1], place[2], image)
