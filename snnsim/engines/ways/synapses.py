"""Lists of single synapses: for sparse wiring, and for delays that differ from synapse to synapse."""

import numpy as np

from snnsim.engines.ways.base import Way
from snnsim.kernels.cpu import synapses as kernels
from snnsim.kernels.cpu.synapse import transpose_rows
from snnsim.kernels.cpu.wiring import Synapses


class SynapsesWay(Way):
    """Any shape, unrolled into lists by source neuron, with any delays."""

    def __init__(self, connection, network, clock, workspace, inner=False):
        super().__init__(connection, network, clock, workspace, inner)
        pool = connection.shape.pool
        self._scale = pool.scale if pool else 1.0
        self._indptr, self._targets, self._places = connection.shape.synapses(self.source.shape, self.target.shape)

    def spread(self, delay):
        """One value a synapse, from those of a delay in any of its shapes."""
        delay = np.asarray(delay)
        if delay.ndim == 1 and delay.size == self.source.size and delay.shape != self._weight_shape:
            return np.repeat(delay, np.diff(self._indptr))
        return np.broadcast_to(delay, self._targets.shape) if delay.ndim == 0 else delay.reshape(-1)[self._places]

    def begin(self, tensors, spikes, gain=1.0):
        """Take the weights, delays and spikes of a batch."""
        self._take(tensors, gain)
        self._spikes = self.by_neuron(spikes)

    def edge(self, tensors, source, target):
        """Give the lists to a component's loop."""
        self._take(tensors, 1.0)
        return Synapses(source, target, self._indptr, self._targets, self.weights, self.steps, self.fractions)

    def _take(self, tensors, gain):
        dtype, w = self.clock.dtype, tensors[self.name]
        self._weight_shape = w.shape
        self._factor = dtype.type(gain * self._scale)
        steps, fractions = self.delay(tensors)
        self.steps = np.ascontiguousarray(self.spread(steps), np.int32)
        self.fractions = np.ascontiguousarray(self.spread(fractions), dtype)
        self.weights = np.ascontiguousarray(w.reshape(-1)[self._places] * self._factor, dtype)
        self.reach = int(self.steps.max(initial=0)) + 2
        self._lists = self._indptr, self._targets, self.weights, self.steps, self.fractions

    def input(self, block, k0, k1, x):
        """Write what arrives in the steps ``k0 <= k < k1`` into ``x`` (B, >= k1 - k0, N)."""
        spikes = self._spikes.of(block)
        kernels.synapse_input(*self._lists, self.reach, spikes.rows, spikes.row_ptr, k0, k1, x)

    def gradient(self, block, k0, k1, adjoint, grads):
        """Add to the gradient of the weights."""
        if self.learns_weight:
            each, _ = self._per_synapse(block, k0, k1, adjoint, False)
            self._collect(each, self._weight_shape, grads[self.name], self._factor)

    def delay_change(self, block, k0, k1, adjoint, grads):
        """Add to the gradient of the delays."""
        if not self.learns_delay:
            return
        _, each = self._per_synapse(block, k0, k1, adjoint, True)
        delay, grad = np.asarray(self.connection.delay), grads[f"{self.name}.delay"]
        if delay.ndim == 0:
            grad += each.sum(dtype=np.float64)
        elif delay.shape == self._weight_shape:
            self._collect(each, delay.shape, grad, 1)
        else:
            owner = np.repeat(np.arange(self.source.size), np.diff(self._indptr))
            grad += np.bincount(owner, each, self.source.size).astype(grad.dtype)

    def _per_synapse(self, block, k0, k1, adjoint, delays):
        """Gradients by the weight and, if wanted, by the delay of each synapse."""
        spikes = self._spikes.of(block)
        first = max(k0 - self.reach, 0)
        batch, span, n_in = len(spikes.row_ptr), k1 - first, self.source.size
        counts = self.workspace.array("row_counts", (batch, n_in), np.int32)
        total = int((spikes.row_ptr[:, k1] - spikes.row_ptr[:, first]).sum())
        entries = self.workspace.array("entries", (total,), np.int32)
        entry_ptr = self.workspace.array("entry_ptr", (n_in + 1,), np.int64)
        transpose_rows(spikes.rows, spikes.row_ptr, first, k1, span, counts, entries, entry_ptr)
        each = self.array("each", self.weights.shape)
        each_delay = self.array("each_delay", self.weights.shape if delays else (0,))
        each[:] = 0
        each_delay[:] = 0
        kernels.synapse_gradient(
            *self._lists, adjoint, k0, k1, first, span, entries, entry_ptr, self.clock.dtype.type(self.clock.dt), each,
            each_delay,
        )  # fmt: skip
        return each, each_delay

    def error(self, block, k0, k1, passed, error):
        """Add to the error of each spike of the source."""
        spikes = self._spikes.of(block)
        kernels.synapse_error(
            *self._lists, self.reach, self.clock.amplitude, spikes.rows, spikes.row_ptr, passed, k0, k1, error
        )

    def error_everywhere(self, block, k0, k1, adjoint, error):
        """Add the derivative by the amplitude of every source neuron in every step of the chunk."""
        kernels.synapse_error_everywhere(*self._lists, adjoint, k1 - k0, error)

    def _collect(self, each, shape, grad, factor):
        """Add what belongs to each weight: several synapses share one in a convolution."""
        found = np.bincount(self._places, each, minlength=grad.size)
        grad += (found * factor).reshape(shape).astype(grad.dtype)
