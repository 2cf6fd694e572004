"""Convolution by the places of the pooled map that have spikes: sums of weight rows for one output at a time.

Spikes of a window in one step are one entry with a count (:func:`pool_spikes`), in the order of the map: what an output
sees through a kernel row is one contiguous piece of the list, and its sum stays in registers. For more spikes than
:mod:`~snnsim.kernels.cpu.convolution_events`, whose conventions hold here, too.
"""

import numpy as np
from numba import njit, prange

from snnsim.kernels.cpu.blocked import MOST_VECTORS, gather_rows, lanes, lowest, nonzero, scatter_row
from snnsim.kernels.cpu.convolution_events import error_at, pack, unpack
from snnsim.kernels.jit import KERNEL

PACKED = 2**16
"""Numbers of adjoints that are taken at a time, so that they stay in cache; the order of sums depends on it."""


@njit(**KERNEL)
def pool_spikes(sizes, tables, rows, row_ptr, codes, counts, starts):
    """List the places of the pooled map that have spikes, step by step and in the map's order.

    Parameters
    ----------
    sizes, tables, rows, row_ptr
        As in :func:`~snnsim.kernels.cpu.convolution_events.event_input`.
    codes : ndarray, (B, cap) int32
        Output: numbers ``x * C + c`` of such places in their row.
    counts : ndarray, (B, cap) float
        Output: spikes there.
    starts : ndarray, (B, T, pooled height * pooled width + 1) int32
        Output: sample b has for (y, x) in step k the entries from ``starts[b, k, y * width + x]`` to the next one.
    """
    row_size = sizes.pooled_width * sizes.channels
    n_places = sizes.pooled_height * sizes.pooled_width
    for b in prange(row_ptr.shape[0]):
        step = lanes(counts)
        image = np.zeros(sizes.pooled_height * row_size + step, counts.dtype)
        listed, weighed = codes[b], counts[b]
        m = 0
        for k in range(row_ptr.shape[1] - 1):
            begin = starts[b, k]
            begin[0] = m
            if row_ptr[b, k] == row_ptr[b, k + 1]:
                for place in range(n_places):
                    begin[place + 1] = m
                continue
            for j in range(row_ptr[b, k], row_ptr[b, k + 1]):
                number = tables.number[rows[b, j]]
                if number >= 0:
                    image[number] += 1
            for place in range(n_places):
                begin[place + 1] = 0
            for y in range(sizes.pooled_height):
                for first in range(0, row_size, step):
                    bits = nonzero(image, y * row_size + first)
                    if first + step > row_size:
                        bits &= (1 << (row_size - first)) - 1
                    while bits:
                        code = first + lowest(bits)
                        bits &= bits - 1
                        listed[m] = code
                        weighed[m] = image[y * row_size + code]
                        begin[y * sizes.pooled_width + tables.column[code] + 1] += 1
                        m += 1
            for n in range(image.shape[0]):
                image[n] = 0
            for place in range(n_places):
                begin[place + 1] += begin[place]


@njit(**KERNEL)
def pooled_input(sizes, table, codes, counts, starts, k0, k1, delay, add, x):
    """Sum the weights of the spikes that arrive.

    Parameters
    ----------
    sizes : Sizes
    table : ndarray, (kernel height, kernel width * C_in, padded C_out) float
    codes, counts, starts : ndarray
        From :func:`pool_spikes`.
    k0, k1, delay, add, x
        As in :func:`~snnsim.kernels.cpu.convolution_events.event_input`.
    """
    wide = table.shape[2]
    n_vectors, step = wide // lanes(table), lanes(table)
    n_places, width = sizes.out_height * sizes.out_width, sizes.pooled_width
    for b in prange(starts.shape[0]):
        image = np.empty(n_places * wide, x.dtype)
        listed, weighed = codes[b], counts[b]
        for k in range(k0, k1):
            last = starts.shape[2] - 1
            empty = k < delay or starts[b, k - delay, 0] == starts[b, k - delay, last]
            if add and empty:
                continue
            for n in range(image.shape[0]):
                image[n] = 0
            if not empty:
                begin = starts[b, k - delay]
                for low in range(0, n_vectors, MOST_VECTORS):
                    taken = min(MOST_VECTORS, n_vectors - low)
                    for a in range(sizes.kernel_height):
                        for row in range(sizes.out_height):
                            y = row * sizes.stride_y + a - sizes.padding_y
                            if y < 0 or y >= sizes.pooled_height or begin[y * width] == begin[(y + 1) * width]:
                                continue
                            for column in range(sizes.out_width):
                                left = column * sizes.stride_x - sizes.padding_x
                                x0, x1 = max(left, 0), min(left + sizes.kernel_width, width)
                                if x0 >= x1:
                                    continue
                                j0, j1 = begin[y * width + x0], begin[y * width + x1]
                                if j0 == j1:
                                    continue
                                into = (row * sizes.out_width + column) * wide + low * step
                                first = (a * sizes.kernel_width - left) * sizes.channels * wide + low * step
                                gather_rows(taken, image, into, table, first, wide, listed, weighed, j0, j1)
            unpack(image, sizes.filters, wide, add, x[b, k - k0])


@njit(**KERNEL)
def pooled_gradient(sizes, codes, counts, starts, k0, k1, delay, adjoint, grads):
    """Add ``sum_{b,k} X_k s_{k - delay}`` to gradients, one for each of a fixed number of sample groups.

    Parameters
    ----------
    sizes, codes, counts, starts, k0, k1, delay
        As in :func:`pooled_input`.
    adjoint : ndarray, (B, >= k1 - k0, N_out) float
        ``X_k`` in row ``k - k0``.
    grads : ndarray, (G, kernel height, kernel width * C_in, padded C_out) float
        Added to; group g has an equal, contiguous portion of the samples. What is added beyond C_out means nothing.
    """
    wide = grads.shape[3]
    n_vectors = wide // lanes(grads)
    n_places, width = sizes.out_height * sizes.out_width, sizes.pooled_width
    size = n_places * wide
    n_samples, n_groups = starts.shape[0], grads.shape[0]
    portion = max(1, min(k1 - k0, PACKED // size))
    for group in prange(n_groups):
        step = lanes(grads)
        packed, own = np.zeros(portion * size, adjoint.dtype), grads[group]
        for b in range(n_samples * group // n_groups, n_samples * (group + 1) // n_groups):
            listed, weighed = codes[b], counts[b]
            for k2 in range(max(k0, delay), k1, portion):
                k3 = min(k2 + portion, k1)
                for k in range(k2, k3):
                    pack(adjoint[b, k - k0], sizes.filters, wide, packed, (k - k2) * size)
                for low in range(0, n_vectors, MOST_VECTORS):
                    taken = min(MOST_VECTORS, n_vectors - low)
                    for a in range(sizes.kernel_height):  # the gradient of a kernel row stays in cache
                        for k in range(k2, k3):
                            begin = starts[b, k - delay]
                            for row in range(sizes.out_height):
                                y = row * sizes.stride_y + a - sizes.padding_y
                                if y < 0 or y >= sizes.pooled_height or begin[y * width] == begin[(y + 1) * width]:
                                    continue
                                for column in range(sizes.out_width):
                                    left = column * sizes.stride_x - sizes.padding_x
                                    x0, x1 = max(left, 0), min(left + sizes.kernel_width, width)
                                    if x0 >= x1:
                                        continue
                                    j0, j1 = begin[y * width + x0], begin[y * width + x1]
                                    if j0 == j1:
                                        continue
                                    given = (k - k2) * size + (row * sizes.out_width + column) * wide + low * step
                                    first = (a * sizes.kernel_width - left) * sizes.channels * wide + low * step
                                    scatter_row(taken, packed, given, own, first, wide, listed, weighed, j0, j1)


@njit(**KERNEL)
def pooled_error(sizes, tables, runs, rows, row_ptr, codes, starts, k0, k1, delay, passed, error):
    """Add the derivative of the loss by each spike, computed once for each place of the pooled map.

    Parameters
    ----------
    sizes, tables, runs, rows, row_ptr, k0, k1, delay, passed, error
        As in :func:`~snnsim.kernels.cpu.convolution_events.event_error`.
    codes, starts : ndarray
        From :func:`pool_spikes`.
    """
    wide = runs.shape[3]
    n_places, width = sizes.out_height * sizes.out_width, sizes.pooled_width
    for b in prange(row_ptr.shape[0]):
        image = np.zeros(n_places * wide, passed.dtype)
        values = np.empty(sizes.pooled_height * width * sizes.channels, passed.dtype)
        for k in range(max(k0, delay), k1):
            begin = starts[b, k - delay]
            if begin[0] == begin[starts.shape[2] - 1]:
                continue
            pack(passed[b, k - k0], sizes.filters, wide, image, 0)
            for y in range(sizes.pooled_height):
                for j in range(begin[y * width], begin[(y + 1) * width]):
                    code = codes[b, j]
                    x = tables.column[code]
                    value = error_at(sizes, tables, runs, y, x, code - x * sizes.channels, image)
                    values[y * width * sizes.channels + code] = value
            for j in range(row_ptr[b, k - delay], row_ptr[b, k - delay + 1]):
                number = tables.number[rows[b, j]]
                if number >= 0:
                    error[b, j] += values[number]
