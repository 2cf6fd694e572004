"""Convolution as register-blocked products with the pooled map, whose patches are addressed by strides, not copied.

For many spikes, and for errors at every step. Conventions are those of
:mod:`~snnsim.kernels.cpu.convolution_events`; ``offsets`` are positions in an array, whole blocks of them.
"""

import numpy as np
from numba import njit, prange

from snnsim.kernels.cpu.blocked import BLOCK_ROWS, MOST_VECTORS, accumulate_block, copy_rows, lanes, multiply_block
from snnsim.kernels.cpu.convolution_events import pack, unpack
from snnsim.kernels.jit import KERNEL, LEAF


@njit(**LEAF)
def _fill(framed, rows, j0, j1, image):
    for n in range(image.shape[0]):
        image[n] = 0
    for j in range(j0, j1):
        number = framed[rows[j]]
        if number >= 0:
            image[number] += 1


@njit(**KERNEL)
def dense_input(sizes, tables, table, offsets, rows, row_ptr, k0, k1, delay, add, x):
    """Sum the weights of the spikes that arrive.

    Parameters
    ----------
    sizes, tables, rows, row_ptr, k0, k1, delay, add, x
        As in :func:`~snnsim.kernels.cpu.convolution_events.event_input`.
    table : ndarray, (kernel height, kernel width * C_in, padded C_out) float
    offsets : ndarray, (outputs' places in whole blocks,) int64
        Where the patch of each begins in the framed map.
    """
    wide = table.shape[2]
    n_vectors = wide // lanes(table)
    line = (sizes.pooled_width + 2 * sizes.padding_x) * sizes.channels
    n_inner = sizes.kernel_width * sizes.channels
    for b in prange(row_ptr.shape[0]):
        step = lanes(table)
        framed = np.empty((sizes.pooled_height + 2 * sizes.padding_y) * line, x.dtype)
        image = np.zeros(offsets.shape[0] * wide, x.dtype)
        for k in range(k0, k1):
            if k < delay or row_ptr[b, k - delay] == row_ptr[b, k - delay + 1]:
                if not add:
                    out = x[b, k - k0]
                    for n in range(out.shape[0]):
                        out[n] = 0
                continue
            _fill(tables.framed, rows[b], row_ptr[b, k - delay], row_ptr[b, k - delay + 1], framed)
            for low in range(0, n_vectors, MOST_VECTORS):
                taken = min(MOST_VECTORS, n_vectors - low)
                for place in range(0, offsets.shape[0], BLOCK_ROWS):
                    multiply_block(
                        taken, framed, 0, offsets, place, 1, line, table, low * step, wide, n_inner * wide,
                        image, place * wide + low * step, wide, n_inner, sizes.kernel_height,
                    )  # fmt: skip
            unpack(image, sizes.filters, wide, add, x[b, k - k0])


@njit(**KERNEL)
def dense_gradient(sizes, tables, offsets, rows, row_ptr, k0, k1, delay, adjoint, grads):
    """Add ``sum_{b,k} X_k s_{k - delay}`` to gradients, one for each of a fixed number of sample groups.

    Parameters
    ----------
    sizes, tables, rows, row_ptr, k0, k1, delay, adjoint
        As in :func:`~snnsim.kernels.cpu.convolution_events.event_gradient`.
    offsets : ndarray, (kernel height * kernel width * C_in in whole blocks,) int64
        Where the first output sees each weight's input in the framed map.
    grads : ndarray, (G, weights' rows in whole blocks, padded C_out) float
        Added to; group g has an equal, contiguous portion of the samples. What is added beyond C_out means nothing.
    """
    wide = grads.shape[2]
    n_vectors = wide // lanes(grads)
    line = (sizes.pooled_width + 2 * sizes.padding_x) * sizes.channels
    n_samples, n_groups = row_ptr.shape[0], grads.shape[0]
    for group in prange(n_groups):
        step = lanes(grads)
        framed = np.empty((sizes.pooled_height + 2 * sizes.padding_y) * line, adjoint.dtype)
        image, own = np.zeros(sizes.out_height * sizes.out_width * wide, adjoint.dtype), grads[group]
        for b in range(n_samples * group // n_groups, n_samples * (group + 1) // n_groups):
            for k in range(max(k0, delay), k1):
                if row_ptr[b, k - delay] == row_ptr[b, k - delay + 1]:
                    continue
                _fill(tables.framed, rows[b], row_ptr[b, k - delay], row_ptr[b, k - delay + 1], framed)
                pack(adjoint[b, k - k0], sizes.filters, wide, image, 0)
                for low in range(0, n_vectors, MOST_VECTORS):
                    taken = min(MOST_VECTORS, n_vectors - low)
                    for row in range(0, offsets.shape[0], BLOCK_ROWS):
                        accumulate_block(
                            taken, framed, 0, offsets, row, sizes.stride_x * sizes.channels, sizes.stride_y * line,
                            image, low * step, wide, sizes.out_width * wide,
                            own, row * wide + low * step, wide, sizes.out_width, sizes.out_height,
                        )  # fmt: skip


@njit(**LEAF)
def _products(sizes, tables, table, offsets, passed, out):
    """Error at every place of the pooled map of rows of ``passed``, (rows in whole blocks, places, padded C_in)."""
    wide = table.shape[3]
    n_vectors, step = wide // lanes(table), lanes(table)
    filters, line = sizes.filters, sizes.out_width * sizes.filters
    pitch = sizes.pooled_height * sizes.pooled_width * wide
    for y in range(sizes.pooled_height):
        a, n_rows, row = tables.down[y]
        for x in range(sizes.pooled_width):
            column, n_columns, position = tables.across[x]
            weights = (a * sizes.kernel_width + position) * filters * wide
            place = (y * sizes.pooled_width + x) * wide
            for low in range(0, n_vectors, MOST_VECTORS):
                taken = min(MOST_VECTORS, n_vectors - low)
                for block in range(0, offsets.shape[0], BLOCK_ROWS):
                    multiply_block(
                        taken, passed, row * line + column * filters, offsets, block, 1, -line,
                        table, weights + low * step, wide, sizes.stride_y * sizes.kernel_width * filters * wide,
                        out, block * pitch + place + low * step, pitch, n_columns * filters, n_rows,
                    )  # fmt: skip


@njit(**KERNEL)
def dense_error(sizes, tables, table, rows, row_ptr, k0, k1, delay, portion, passed, error):
    """Add the derivative of the loss by each spike, from that at every place of the pooled map.

    Parameters
    ----------
    sizes, tables, rows, row_ptr, k0, k1, delay, passed, error
        As in :func:`~snnsim.kernels.cpu.convolution_events.event_error`.
    table : ndarray, (kernel height, kernel width, C_out, padded C_in) float
        Columns in the geometry's order.
    portion : int
        Samples that are taken together, to fill blocks of rows. No result depends on it.
    """
    wide = table.shape[3]
    n_samples, n_places = row_ptr.shape[0], sizes.pooled_height * sizes.pooled_width
    first = max(k0, delay)
    n_steps = max(0, k1 - first)
    for part in prange((n_samples + portion - 1) // portion):
        b0, b1 = part * portion, min((part + 1) * portion, n_samples)
        n_rows = (b1 - b0) * n_steps
        offsets = np.zeros((n_rows + BLOCK_ROWS - 1) // BLOCK_ROWS * BLOCK_ROWS, np.int64)
        out = np.empty((offsets.shape[0], n_places * wide), passed.dtype)
        for r in range(n_rows):
            offsets[r] = ((b0 + r // n_steps) * passed.shape[1] + first - k0 + r % n_steps) * passed.shape[2]
        _products(sizes, tables, table, offsets, passed, out)
        for b in range(b0, b1):
            for k in range(first, k1):
                values = out[(b - b0) * n_steps + k - first]
                for j in range(row_ptr[b, k - delay], row_ptr[b, k - delay + 1]):
                    y, x, c = tables.place[rows[b, j]]
                    if y >= 0:
                        error[b, j] += values[(y * sizes.pooled_width + x) * wide + c]


@njit(**KERNEL)
def dense_every_error(sizes, tables, table, pool_y, pool_x, height, width, n_steps, portion, add, passed, error):
    """Differentiate by the amplitude of every source neuron: ``W^T d_k``.

    Parameters
    ----------
    sizes, tables, table, portion, passed
        As in :func:`dense_error`.
    pool_y, pool_x, height, width : int
        Window of the pool, and size of the source's map.
    n_steps : int
        Rows of ``passed`` that are taken.
    add : bool
        Whether to add to ``error`` rather than to overwrite it.
    error : ndarray, (B, >= n_steps, N_in) float
        Output.
    """
    wide, channels = table.shape[3], sizes.channels
    n_samples, n_places = passed.shape[0], sizes.pooled_height * sizes.pooled_width
    for part in prange((n_samples + portion - 1) // portion):
        b0, b1 = part * portion, min((part + 1) * portion, n_samples)
        vectors = wide // lanes(table)
        n_rows = (b1 - b0) * n_steps
        offsets = np.zeros((n_rows + BLOCK_ROWS - 1) // BLOCK_ROWS * BLOCK_ROWS, np.int64)
        out = np.empty((offsets.shape[0], n_places * wide), passed.dtype)
        for r in range(n_rows):
            offsets[r] = ((b0 + r // n_steps) * passed.shape[1] + r % n_steps) * passed.shape[2]
        _products(sizes, tables, table, offsets, passed, out)
        for r in range(n_rows):
            values, into = out[r], error[b0 + r // n_steps, r % n_steps]
            for y in range(height):
                for x in range(width):
                    start = (y * width + x) * channels
                    inside = y // pool_y < sizes.pooled_height and x // pool_x < sizes.pooled_width
                    given = ((y // pool_y) * sizes.pooled_width + x // pool_x) * wide
                    if inside and not add and start + wide <= into.shape[0]:
                        copy_rows(into, start, 0, values, given, 0, 1, vectors)
                        continue
                    for c in range(channels):
                        value = values[given + c] if inside else values.dtype.type(0)
                        into[start + c] = into[start + c] + value if add else value
