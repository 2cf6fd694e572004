"""A convolution between two populations on the CPU: its four products, with the tables and copies that they need.

Every product can be computed spike by spike (``events``) or as a register-blocked product (``dense``).
"""

import numpy as np

from snnsim.kernels.cpu import convolution_events as events

GROUPS = 8
"""Copies of a weight gradient, one for each portion of the samples, added in order: no result depends on threads."""


class Convolution:
    """Products of a convolution with the spikes of its source population, their transposes included.

    All are for the steps ``k0 <= k < k1`` with step k in row ``k - k0`` of the arrays that have a time axis, and for
    the spikes of step ``k - delay``; before step 0 there are none. Spikes are lists by neuron, ``rows`` (B, cap) and
    ``row_ptr`` (B, T + 1), int32; a neuron may occur several times in a step.

    Parameters
    ----------
    geometry : Geometry
    dtype : dtype
        float32 or float64.
    """

    def __init__(self, geometry, dtype):
        self.geometry, self.dtype = geometry, np.dtype(dtype)
        g = geometry
        self.runs = np.empty((g.channels, g.kernel[0], g.kernel[1] * g.filters), self.dtype)

    def prepare(self, weights):
        """Take the weights, (C_in, kernel height, kernel width, C_out), C-contiguous: call it whenever they change."""
        g = self.geometry
        ordered = self.runs.reshape(g.weight_shape)
        np.multiply(weights[:, :, g.column_order], self.dtype.type(g.scale), out=ordered)

    def input(self, rows, row_ptr, k0, k1, delay, x, add=False):
        """Sum the weights of the spikes that arrive into ``x`` (B, >= k1 - k0, N_out)."""
        g = self.geometry
        events.event_input(g.sizes, g.tables, self.runs, rows, row_ptr, k0, k1, delay, add, x)

    def gradient(self, rows, row_ptr, k0, k1, delay, adjoint, grad):
        """Add the weight gradient of the adjoints (B, >= k1 - k0, N_out) to ``grad`` (C_in, height, width, C_out)."""
        g = self.geometry
        grads = np.zeros((min(GROUPS, max(1, len(row_ptr))), *self.runs.shape), self.dtype)
        events.event_gradient(g.sizes, g.tables, rows, row_ptr, k0, k1, delay, adjoint, grads)
        total = grads[0]
        for portion in grads[1:]:
            total += portion
        grad[:, :, g.column_order] += self.dtype.type(g.scale) * total.reshape(g.weight_shape)

    def error_at_spikes(self, rows, row_ptr, k0, k1, delay, passed, error):
        """Add the derivative by each spike, of the passed rows (B, >= k1 - k0, N_out), to ``error`` (B, cap)."""
        g = self.geometry
        events.event_error(g.sizes, g.tables, self.runs, rows, row_ptr, k0, k1, delay, passed, error)

    def error_everywhere(self, n_steps, passed, error, add=False):
        """Differentiate by an amplitude of every source neuron, row by row of the passed rows (B, >= n_steps, N_out).

        ``error`` (B, >= n_steps, N_in) is overwritten or added to; row k - k0 belongs to the spikes of step k - delay.
        """
        g = self.geometry
        pooled = np.empty((len(passed), n_steps, g.n_pooled), self.dtype)
        events.every_error(g.sizes, g.tables, self.runs, passed, n_steps, pooled)
        events.spread_error(g.tables, pooled, n_steps, add, error)
