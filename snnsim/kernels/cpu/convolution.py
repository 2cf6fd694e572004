"""A convolution between two populations on the CPU: its four products, with the tables and copies that they need.

Each product has ways that differ in the order of their sums: spike by spike (``events``), by the places of the pooled
map that have spikes (``pooled``), and as a register-blocked product with the whole map (``dense``).
"""

from typing import NamedTuple

import numpy as np

from snnsim.kernels.cpu import convolution_dense as dense
from snnsim.kernels.cpu import convolution_events as events
from snnsim.kernels.cpu import convolution_pooled as pooled
from snnsim.kernels.cpu.blocked import BLOCK_ROWS, padded

GROUPS = 8
"""Copies of a weight gradient, one for each portion of the samples, added in order: no result depends on threads."""
PORTION = 40
"""Rows of passed errors that are taken together, at least."""


class Spikes(NamedTuple):
    """Spikes of a batch as the ways want them.

    Attributes
    ----------
    rows, row_ptr : ndarray, (B, cap) and (B, T + 1) int32
        By neuron.
    codes, counts, starts : ndarray or None
        By places of the pooled map, see :func:`snnsim.kernels.cpu.convolution_pooled.pool_spikes`.
    """

    rows: np.ndarray
    row_ptr: np.ndarray
    codes: np.ndarray | None = None
    counts: np.ndarray | None = None
    starts: np.ndarray | None = None

    def of(self, block):
        """Take some of the samples; arrays are views."""
        return Spikes(*(None if array is None else array[block] for array in self))


class Plan(NamedTuple):
    """Way of each product; it decides the order of sums."""

    input: str = "events"
    gradient: str = "events"
    error: str = "events"


class Convolution:
    """Products of a convolution with the spikes of its source population, their transposes included.

    All are for the steps ``k0 <= k < k1`` with step k in row ``k - k0`` of the arrays that have a time axis, and for
    the spikes of step ``k - delay``; before step 0 there are none. A neuron may occur several times in a step.

    Parameters
    ----------
    geometry : Geometry
    dtype : dtype
        float32 or float64.
    """

    def __init__(self, geometry, dtype):
        self.geometry, self.dtype = geometry, np.dtype(dtype)
        g, s = geometry, geometry.sizes
        self._filters, self._channels = (padded(n, self.dtype.itemsize) for n in (g.filters, g.channels))
        self._runs = np.zeros((g.channels, *g.kernel, self._filters), self.dtype)
        self._table = np.zeros((g.kernel[0], g.kernel[1] * g.channels, self._filters), self.dtype)
        self._transposed = np.zeros((*g.kernel, g.filters, self._channels), self.dtype)
        line = (s.pooled_width + 2 * s.padding_x) * s.channels
        y, x = np.divmod(np.arange(s.out_height * s.out_width), s.out_width)
        self._patches = _whole_blocks(y * s.stride_y * line + x * s.stride_x * s.channels)
        a, rest = np.divmod(np.arange(g.kernel[0] * g.kernel[1] * g.channels), g.kernel[1] * g.channels)
        self._weights = _whole_blocks(a * line + rest)

    def prepare(self, weights):
        """Take the weights, (C_in, kernel height, kernel width, C_out), C-contiguous: call it whenever they change."""
        g = self.geometry
        scaled = weights * self.dtype.type(g.scale)
        self._runs[..., : g.filters] = scaled[:, :, g.column_order]
        ordered = self._table.reshape(*g.kernel, g.channels, self._filters)
        ordered[..., : g.filters] = scaled.transpose(1, 2, 0, 3)
        self._transposed[..., : g.channels] = scaled[:, :, g.column_order].transpose(1, 2, 3, 0)

    def arrange(self, rows, row_ptr, plan):
        """Spikes of a batch, (B, cap) and (B, T + 1) int32 by neuron, for the ways of a plan; a :class:`Spikes`."""
        if "pooled" not in plan:
            return Spikes(rows, row_ptr)
        s = self.geometry.sizes
        codes, counts = np.empty(rows.shape, np.int32), np.empty(rows.shape, self.dtype)
        starts = np.empty((len(rows), row_ptr.shape[1] - 1, s.pooled_height * s.pooled_width + 1), np.int32)
        pooled.pool_spikes(s, self.geometry.tables, rows, row_ptr, codes, counts, starts)
        return Spikes(rows, row_ptr, codes, counts, starts)

    def input(self, way, spikes, k0, k1, delay, x, add=False):
        """Sum the weights of the spikes that arrive into ``x`` (B, >= k1 - k0, N_out)."""
        s, tables = self.geometry.sizes, self.geometry.tables
        rows, row_ptr, codes, counts, starts = spikes
        if way == "events":
            events.event_input(s, tables, self._runs, rows, row_ptr, k0, k1, delay, add, x)
        elif way == "pooled":
            pooled.pooled_input(s, self._table, codes, counts, starts, k0, k1, delay, add, x)
        else:
            dense.dense_input(s, tables, self._table, self._patches, rows, row_ptr, k0, k1, delay, add, x)

    def gradient(self, way, spikes, k0, k1, delay, adjoint, grad):
        """Add the weight gradient of the adjoints (B, >= k1 - k0, N_out) to ``grad`` (C_in, height, width, C_out)."""
        g, s, tables = self.geometry, self.geometry.sizes, self.geometry.tables
        rows, row_ptr, codes, counts, starts = spikes
        n_groups = min(GROUPS, max(1, len(row_ptr)))
        if way == "events":
            grads = np.zeros((n_groups, *self._runs.shape), self.dtype)
            events.event_gradient(s, tables, rows, row_ptr, k0, k1, delay, adjoint, grads)
        elif way == "pooled":
            grads = np.zeros((n_groups, *self._table.shape), self.dtype)
            pooled.pooled_gradient(s, codes, counts, starts, k0, k1, delay, adjoint, grads)
        else:
            grads = np.zeros((n_groups, len(self._weights), self._filters), self.dtype)
            dense.dense_gradient(s, tables, self._weights, rows, row_ptr, k0, k1, delay, adjoint, grads)
        total = grads[0]
        for portion in grads[1:]:
            total += portion
        total *= self.dtype.type(g.scale)
        if way == "events":
            grad[:, :, g.column_order] += total[..., : g.filters]
        else:
            total = total.reshape(-1, self._filters)[: g.kernel[0] * g.kernel[1] * g.channels, : g.filters]
            grad += total.reshape(*g.kernel, g.channels, g.filters).transpose(2, 0, 1, 3)

    def error_at_spikes(self, way, spikes, k0, k1, delay, passed, error):
        """Add the derivative by each spike, of the passed rows (B, >= k1 - k0, N_out), to ``error`` (B, cap)."""
        s, tables = self.geometry.sizes, self.geometry.tables
        rows, row_ptr, codes, _, starts = spikes
        if way == "events":
            events.event_error(s, tables, self._runs, rows, row_ptr, k0, k1, delay, passed, error)
        elif way == "pooled":
            pooled.pooled_error(
                s, tables, self._runs, rows, row_ptr, codes, starts, k0, k1, delay, passed, error
            )  # fmt: skip
        else:
            portion = -(-PORTION // (k1 - k0))
            dense.dense_error(s, tables, self._transposed, rows, row_ptr, k0, k1, delay, portion, passed, error)

    def error_everywhere(self, n_steps, passed, error, add=False):
        """Differentiate by an amplitude of every source neuron, row by row of the passed rows (B, >= n_steps, N_out).

        ``error`` (B, >= n_steps, N_in) is overwritten or added to; row k - k0 belongs to the spikes of step k - delay.
        """
        g = self.geometry
        dense.dense_every_error(
            g.sizes, g.tables, self._transposed, *g.pool, g.height, g.width, n_steps, -(-PORTION // n_steps), add,
            passed, error,
        )  # fmt: skip


def _whole_blocks(positions):
    offsets = np.zeros(-(-len(positions) // BLOCK_ROWS) * BLOCK_ROWS, np.int64)
    offsets[: len(positions)] = positions
    return offsets
