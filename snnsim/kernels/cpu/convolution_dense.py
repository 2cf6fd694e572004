"""Convolution as register-blocked products with the places of the pooled map that have a spike, all channels at once.

For many spikes, and for errors at every step; time is in proportion to the places where anything spikes. Patches are
addressed by strides, not copied. Conventions are those of :mod:`~snnsim.kernels.cpu.convolution_events`.
"""

import numpy as np
from numba import njit, prange

from snnsim.kernels.cpu.blocked import (
    BLOCK_ROWS,
    BLOCK_STEPS,
    MOST_VECTORS,
    accumulate_entries,
    accumulate_places,
    accumulate_rows,
    copy_rows,
    lanes,
)
from snnsim.kernels.cpu.convolution_events import pack, unpack
from snnsim.kernels.jit import KERNEL, LEAF, SERIAL

CACHED = 12288
"""Numbers of adjoints and of maps that are taken at a time, so that they stay in the first cache; the order of sums
depends on it."""


@njit(**LEAF)
def _count(tables, rows, j0, j1, image, start, occupied, first):
    """Count the spikes of a step into ``image[start:]``, and mark in ``occupied[first:]`` where there are any."""
    for j in range(j0, j1):
        number = tables.number[rows[j]]
        if number >= 0:
            image[start + number] += 1
            occupied[first + tables.spot[rows[j]]] = 1


@njit(**KERNEL)
def dense_input(sizes, tables, table, rows, row_ptr, k0, k1, delay, add, x):
    """Sum the weights of the spikes that arrive.

    Parameters
    ----------
    sizes, tables, rows, row_ptr, k0, k1, delay, add, x
        As in :func:`~snnsim.kernels.cpu.convolution_events.event_input`.
    table : ndarray, (kernel height, (kernel width + 2 stride) * C_in, padded C_out) float
        Weights, between zeros for a stride on either side.
    """
    wide, channels, width = table.shape[2], sizes.channels, sizes.pooled_width
    n_vectors = wide // lanes(table)
    n_places, n_spots = sizes.out_height * sizes.out_width, sizes.pooled_height * width
    for b in prange(row_ptr.shape[0]):
        step = lanes(table)
        maps = np.zeros(BLOCK_STEPS * n_spots * channels, x.dtype)
        image = np.empty((BLOCK_STEPS, n_places * wide), x.dtype)
        occupied, listed = np.zeros(n_spots, np.uint8), np.empty(n_spots + 1, np.int32)
        begin = np.zeros(n_spots + 1, np.int64)
        if not add:
            for k in range(k0, min(delay, k1)):
                out = x[b, k - k0]
                for n in range(out.shape[0]):
                    out[n] = 0
        for k2 in range(max(k0, delay), k1, BLOCK_STEPS):
            k3 = min(k2 + BLOCK_STEPS, k1)
            for k in range(k2, k3):
                j0, j1 = row_ptr[b, k - delay], row_ptr[b, k - delay + 1]
                _count(tables, rows[b], j0, j1, maps, (k - k2) * n_spots * channels, occupied, 0)
            m = 0
            for spot in range(n_spots):
                listed[m] = spot
                m += occupied[spot]
                begin[spot + 1] = m
                occupied[spot] = 0
            for m in range(BLOCK_STEPS):
                line = image[m]
                for n in range(line.shape[0]):
                    line[n] = 0
            for low in range(0, n_vectors, MOST_VECTORS):
                taken = min(MOST_VECTORS, n_vectors - low)
                for a in range(sizes.kernel_height):  # the weights of a kernel row stay in cache
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
                            first = a * table.shape[1] + (sizes.stride_x - left - y * width) * channels
                            first = first * wide + low * step
                            into = (row * sizes.out_width + column) * wide + low * step
                            accumulate_places(
                                taken, maps, n_spots * channels, channels, listed, j0, j1, table, wide, first,
                                image, into, n_places * wide,
                            )  # fmt: skip
            for k in range(k2, k3):
                unpack(image[k - k2], sizes.filters, wide, add, x[b, k - k0])
            for n in range(maps.shape[0]):
                maps[n] = 0


@njit(**KERNEL)
def dense_gradient(sizes, tables, rows, row_ptr, k0, k1, delay, adjoint, grads):
    """Add ``sum_{b,k} X_k s_{k - delay}`` to gradients, one for each of a fixed number of sample groups.

    Parameters
    ----------
    sizes, tables, rows, row_ptr, k0, k1, delay, adjoint
        As in :func:`~snnsim.kernels.cpu.convolution_events.event_gradient`.
    grads : ndarray, (G, kernel height, kernel width, C_in in whole blocks, padded C_out) float
        Added to; group g has an equal, contiguous portion of the samples. What is added beyond C_in and C_out means
        nothing.
    """
    wide, channels, width = grads.shape[4], sizes.channels, sizes.pooled_width
    n_vectors = wide // lanes(grads)
    n_places, n_spots = sizes.out_height * sizes.out_width, sizes.pooled_height * width
    n_samples, n_groups = row_ptr.shape[0], grads.shape[0]
    portion = max(1, min(k1 - k0, CACHED // (n_places * wide + n_spots * channels)))
    for group in prange(n_groups):
        step = lanes(grads)
        maps = np.zeros(portion * n_spots * channels + BLOCK_ROWS, adjoint.dtype)
        packed, own = np.zeros(portion * n_places * wide, adjoint.dtype), grads[group]
        occupied = np.zeros(portion * n_spots, np.uint8)
        numbers, lines = np.empty(portion * n_spots + 1, np.int32), np.empty(portion * n_spots + 1, np.int32)
        begin = np.zeros(sizes.pooled_height + 1, np.int64)
        segments = np.empty((sizes.out_height, 3), np.int64)
        for b in range(n_samples * group // n_groups, n_samples * (group + 1) // n_groups):
            for k2 in range(max(k0, delay), k1, portion):
                k3 = min(k2 + portion, k1)
                for k in range(k2, k3):
                    j0, j1 = row_ptr[b, k - delay], row_ptr[b, k - delay + 1]
                    _count(tables, rows[b], j0, j1, maps, (k - k2) * n_spots * channels, occupied, (k - k2) * n_spots)
                    pack(adjoint[b, k - k0], sizes.filters, wide, packed, (k - k2) * n_places * wide)
                for right in range(sizes.kernel_width):
                    # Places that an output sees through this kernel column, by row, and the outputs, of a row as high.
                    m = 0
                    for y in range(sizes.pooled_height):
                        for k in range(k3 - k2):
                            for column in range(sizes.out_width):
                                spot = column * sizes.stride_x + right - sizes.padding_x
                                if spot < 0 or spot >= width:
                                    continue
                                spot += k * n_spots + y * width
                                numbers[m] = spot * channels
                                lines[m] = (k * n_places + y * sizes.out_width + column) * wide
                                m += occupied[spot]
                        begin[y + 1] = m
                    for a in range(sizes.kernel_height):
                        n = 0
                        for row in range(sizes.out_height):
                            y = row * sizes.stride_y + a - sizes.padding_y
                            if y < 0 or y >= sizes.pooled_height or begin[y] == begin[y + 1]:
                                continue
                            shift = (row - y) * sizes.out_width * wide
                            if n and segments[n - 1, 1] == begin[y] and segments[n - 1, 2] == shift:
                                segments[n - 1, 1] = begin[y + 1]
                                continue
                            segments[n, 0], segments[n, 1], segments[n, 2] = begin[y], begin[y + 1], shift
                            n += 1
                        if n == 0:
                            continue
                        into = (a * sizes.kernel_width + right) * grads.shape[3] * wide
                        for low in range(0, n_vectors, MOST_VECTORS):
                            for c in range(0, channels, BLOCK_ROWS):
                                accumulate_entries(
                                    min(MOST_VECTORS, n_vectors - low), maps, c, packed, low * step, numbers, lines,
                                    own, into + c * wide + low * step, wide, segments, n,
                                )  # fmt: skip
                for n in range(maps.shape[0]):
                    maps[n] = 0
                for n in range(occupied.shape[0]):
                    occupied[n] = 0


@njit(**SERIAL)
def _errors(sizes, tables, table, passed, first, n_rows, occupied, every, out):
    """Error of rows of ``passed`` (from ``first[r]``) at places of the pooled map: ``out`` (row, place, padded C_in).

    Only where ``occupied`` (row, place) unless ``every``. The last row of ``out`` receives what fills up blocks.
    """
    wide = table.shape[3]
    n_vectors, step = wide // lanes(table), lanes(table)
    filters, line = sizes.filters, sizes.out_width * sizes.filters
    n_spots = sizes.pooled_height * sizes.pooled_width
    room = n_rows + BLOCK_ROWS
    given, targets = np.empty(n_spots * room, np.int64), np.empty(n_spots * room, np.int64)
    numbers = np.empty(n_spots, np.int64)
    for spot in range(n_spots):
        m = spot * room
        for r in range(n_rows):
            given[m], targets[m] = first[r], r * n_spots * wide
            m += 1 if every else occupied[r * n_spots + spot]
        numbers[spot] = m - spot * room
        for j in range(spot * room, m):
            into = out[targets[j] // (n_spots * wide), spot * wide : (spot + 1) * wide]
            for n in range(into.shape[0]):
                into[n] = 0
        for filler in range(m, spot * room + room):
            given[filler], targets[filler] = first[0], n_rows * n_spots * wide
    for n in range(out.shape[1]):
        out[n_rows, n] = 0
    for low in range(0, n_vectors, MOST_VECTORS):
        taken = min(MOST_VECTORS, n_vectors - low)
        for y in range(sizes.pooled_height):
            a, n_down, row = tables.down[y]
            for _ in range(n_down):
                for x in range(sizes.pooled_width):
                    column, n_across, position = tables.across[x]
                    spot = y * sizes.pooled_width + x
                    weights = (a * sizes.kernel_width + position) * filters * wide
                    for block in range(spot * room, spot * room + numbers[spot], BLOCK_ROWS):
                        accumulate_rows(
                            taken, passed, row * line + column * filters, given, block, table, weights + low * step,
                            wide, out, spot * wide + low * step, targets, n_across * filters,
                        )  # fmt: skip
                a += sizes.stride_y
                row -= 1


@njit(**KERNEL)
def dense_error(sizes, tables, table, rows, row_ptr, k0, k1, delay, portion, passed, error):
    """Add the derivative of the loss by each spike, from that by all channels at its place of the pooled map.

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
    n_samples, n_spots = row_ptr.shape[0], sizes.pooled_height * sizes.pooled_width
    low = max(k0, delay)
    n_steps = max(0, k1 - low)
    for part in prange((n_samples + portion - 1) // portion):
        b0, b1 = part * portion, min((part + 1) * portion, n_samples)
        n_rows = (b1 - b0) * n_steps
        if n_rows == 0:
            continue
        first, occupied = np.empty(n_rows, np.int64), np.zeros(n_rows * n_spots, np.uint8)
        out = np.empty((n_rows + 1, n_spots * wide), passed.dtype)
        for r in range(n_rows):
            b, k = b0 + r // n_steps, low + r % n_steps
            first[r] = (b * passed.shape[1] + k - k0) * passed.shape[2]
            for j in range(row_ptr[b, k - delay], row_ptr[b, k - delay + 1]):
                spot = tables.spot[rows[b, j]]
                if spot >= 0:
                    occupied[r * n_spots + spot] = 1
        _errors(sizes, tables, table, passed, first, n_rows, occupied, False, out)
        for r in range(n_rows):
            b, k, values = b0 + r // n_steps, low + r % n_steps, out[r]
            for j in range(row_ptr[b, k - delay], row_ptr[b, k - delay + 1]):
                i = rows[b, j]
                if tables.spot[i] >= 0:
                    error[b, j] += values[tables.spot[i] * wide + tables.place[i, 2]]


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
    n_samples, n_spots = passed.shape[0], sizes.pooled_height * sizes.pooled_width
    for part in prange((n_samples + portion - 1) // portion):
        b0, b1 = part * portion, min((part + 1) * portion, n_samples)
        vectors = wide // lanes(table)
        n_rows = (b1 - b0) * n_steps
        first, nothing = np.empty(n_rows, np.int64), np.empty(0, np.uint8)
        out = np.empty((n_rows + 1, n_spots * wide), passed.dtype)
        for r in range(n_rows):
            first[r] = ((b0 + r // n_steps) * passed.shape[1] + r % n_steps) * passed.shape[2]
        _errors(sizes, tables, table, passed, first, n_rows, nothing, True, out)
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
