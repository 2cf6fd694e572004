"""Convolution of spike lists, with the pool before it folded in."""

import numpy as np

from snnsim.connections.maps import as_map
from snnsim.engines.ways.base import Way


class ConvolutionWay(Way):
    """:class:`~snnsim.connections.Convolution` with one delay for all."""

    def __init__(self, connection, network, clock, workspace, inner=False):
        super().__init__(connection, network, clock, workspace, inner)
        from snnsim.kernels.cpu.convolution import Convolution, Plan
        from snnsim.kernels.geometry import Geometry

        shape = connection.shape
        channels, height, width = as_map(self.source.shape)
        pool, average = (shape.pool.size, shape.pool.kind == "average") if shape.pool else ((1, 1), True)
        geometry = Geometry(
            channels, height, width, self.target.shape[0], shape.kernel, shape.stride, shape.padding, pool, average
        )
        self._kernels, self._plan = Convolution(geometry, clock.dtype), Plan()

    def begin(self, tensors, spikes, gain=1.0):
        """Take the weights and spikes of a batch."""
        steps, fractions = self.delay(tensors)
        self._step, self._fraction = int(steps), self.clock.dtype.type(fractions)
        self.reach = self._step + 2
        self._gain = self.clock.dtype.type(gain)
        weights = tensors[self.name]
        self._kernels.prepare(weights if gain == 1 else weights * self._gain)
        spikes = self.by_neuron(spikes)
        self._spikes = self._kernels.arrange(spikes.rows, spikes.row_ptr, self._plan)

    def input(self, block, k0, k1, x):
        """Write what arrives in the steps ``k0 <= k < k1`` into ``x`` (B, >= k1 - k0, N)."""
        spikes = self._spikes.of(block)
        self._kernels.input(self._plan.input, spikes, k0, k1, self._step, x)
        if self._fraction:
            late = self.workspace.array("second", x.shape, x.dtype)
            self._kernels.input(self._plan.input, spikes, k0, k1, self._step + 1, late)
            x[:, : k1 - k0] *= 1 - self._fraction
            x[:, : k1 - k0] += self._fraction * late[:, : k1 - k0]

    def gradient(self, block, k0, k1, adjoint, grads):
        """Add to the gradient of the weights."""
        if not self.learns_weight:
            return
        spikes = self._spikes.of(block)
        parts = [(self._step, 1 - self._fraction)]
        if self._fraction:
            parts.append((self._step + 1, self._fraction))
        for step, share in parts:
            factor, out = self._gain * share, grads[self.name]
            if factor != 1:
                out = self.array("unscaled", out.shape)
                out[:] = 0
            self._kernels.gradient(self._plan.gradient, spikes, k0, k1, step, adjoint, out)
            if factor != 1:
                grads[self.name] += factor * out

    def delay_change(self, block, k0, k1, adjoint, grads):
        """Add to the gradient of the delay."""
        if self.learns_delay:
            spikes, change = self._spikes.of(block), self.change(adjoint, k1 - k0)
            found = self.array("found", spikes.rows.shape)
            found[:] = 0
            self._kernels.error_at_spikes(self._plan.error, spikes, k0, k1, self._step, change, found)
            grads[f"{self.name}.delay"] += found.sum(dtype=np.float64)

    def error(self, block, k0, k1, passed, error):
        """Add to the error of each spike of the source."""
        spikes = self._spikes.of(block)
        if not (self.clock.amplitude and self._fraction):
            self._kernels.error_at_spikes(self._plan.error, spikes, k0, k1, self._step, passed, error)
            return
        for step, share in ((self._step, 1 - self._fraction), (self._step + 1, self._fraction)):
            found = self.array("found", spikes.rows.shape)
            found[:] = 0
            self._kernels.error_at_spikes(self._plan.error, spikes, k0, k1, step, passed, found)
            error += share * found

    def error_everywhere(self, block, k0, k1, adjoint, error):
        """Add the derivative by the amplitude of every source neuron in every step of the chunk."""
        span = k1 - k0
        mixed = self.workspace.array("packed", (len(adjoint), span, adjoint.shape[2]), adjoint.dtype)
        np.multiply(adjoint[:, self._step : self._step + span], 1 - self._fraction, out=mixed)
        if self._fraction:
            mixed += self._fraction * adjoint[:, self._step + 1 : self._step + 1 + span]
        self._kernels.error_everywhere(span, mixed, error, add=True)
