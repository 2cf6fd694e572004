"""The event and the hybrid engine on a GPU: weights, spikes, adjoints and gradients stay on the device.

A layer's slab of spikes is the next one's input where it is. Of each layer its counts come to the host, with the flags
of neurons that stall: a layer whose spikes did not fit runs again with more room, as on the CPU.
"""

from dataclasses import dataclass

import numpy as np

from snnsim.engines.device import DeviceNetwork, Pool
from snnsim.engines.event import most_spikes, neuron_constants, room_for
from snnsim.engines.outputs import SpikeOutput
from snnsim.kernels.cuda import event_backward, event_forward, event_hybrid, event_readout
from snnsim.kernels.cuda.compiler import nothing, to_device, to_host

SPARE = 0.25
PART_BYTES = 2**28
"""Most memory for weight gradients of groups of samples, before they are summed."""


@dataclass(frozen=True)
class DeviceSlab:
    """Spikes of a population in a batch, on the device; as :class:`snnsim.engines.outputs.SpikeOutput`.

    Parameters
    ----------
    neurons, times : device array, (B, cap) int32 and (B, cap) float64
    counts : device array, (B,) int64
    """

    neurons: object
    times: object
    counts: object


@dataclass
class _Layer:
    """What a layer keeps from its forward for its backward pass."""

    given: DeviceSlab
    instants: object
    n_instants: object
    flows: object
    spikes: DeviceSlab | None = None
    intervals: object = None
    marks: object = None
    counts: np.ndarray | None = None


class CudaEventEngine(DeviceNetwork):
    """Forward and backward pass in continuous time on the device; the bits do not depend on the order of threads.

    Parameters
    ----------
    engine : EventEngine
        Whose constants and options hold.
    layers : sequence of int
        Sizes from the input to the output.
    batch : int
        Largest batch.
    learns : bool
        Whether :meth:`backward` is wanted.

    Raises
    ------
    InputError
        If the device's memory does not suffice, or a readout that learns does not fit a block.
    """

    def __init__(self, engine, layers, batch, *, learns=True):
        super().__init__(layers, engine.dtype, Pool(batch, SPARE))
        self.engine = engine
        self.error_dtype = np.dtype(np.float64)
        self._leaky = engine.readout == "leaky"
        if self._leaky and learns:
            event_backward.block_of(self.layers[-1])
        self._neurons = [neuron_constants(p) for p in engine.parameters]
        self._sample_times = to_device(engine.sample_times)
        self._caps, self._batch, self._v = {}, [], None
        self._totals = [0] * len(self.weights)

    def upload(self, slab, slot):
        """Copy the input of a batch to the device; there are two slots, so that one can be filled ahead.

        Parameters
        ----------
        slab : SpikeOutput
        slot : int

        Returns
        -------
        DeviceSlab
        """
        size, filled = slab.times.shape
        shape = size, max(filled, 1)
        neurons, times = (
            self.pool.exactly(f"{name} of input {slot}", shape, dtype)
            for name, dtype in (("neurons", np.int32), ("times", np.float64))
        )
        if filled:
            to_device(np.ascontiguousarray(slab.neurons, np.int32), neurons)
            to_device(np.ascontiguousarray(slab.times, np.float64), times)
        counts = self.pool.array(f"counts of input {slot}", size, (), np.int64)
        return DeviceSlab(neurons, times, to_device(slab.counts.astype(np.int64), counts))

    def output(self, n_samples):
        """Spikes of the last layer: neurons (B, cap) int32, ascending in time, and counts (B,)."""
        return self._batch[-1].spikes.neurons, self._batch[-1].spikes.counts

    def output_times(self, n_samples):
        """Give the times of these spikes, (B, cap) float64."""
        return self._batch[-1].spikes.times

    def output_membrane(self, n_samples):
        """Membrane of a readout at the sample times, (B, K, C)."""
        return self._v

    def presynaptic(self, n_samples, inputs):
        """Spikes that reach the last layer: neurons (B, cap) int32 and counts (B,)."""
        return self._batch[-1].given.neurons, self._batch[-1].given.counts

    def take_spikes(self):
        """Spikes of each layer since the last call."""
        counts, self._totals = self._totals, [0] * len(self.weights)
        return counts

    def to_host(self):
        """Copy the spikes of each spiking layer of the last forward pass to slabs on the host."""
        return [
            SpikeOutput(
                to_host(layer.spikes.neurons), to_host(layer.spikes.times), layer.counts.astype(np.int32), n,
                self.engine.duration,
            )
            for layer, n in zip(self._spiking(), self.layers[1:], strict=False)
        ]  # fmt: skip

    def forward(self, inputs):
        """Simulate a batch.

        Parameters
        ----------
        inputs : DeviceSlab

        Raises
        ------
        InputError
            If a neuron stalls, or spikes do not fit in memory.
        """
        self._batch = []
        for index in range(len(self.weights)):
            layer = self._prepare(index, inputs)
            self._batch.append(layer)
            if self._leaky and index == len(self.weights) - 1:
                self._read_out(index, layer)
            else:
                self._spike(index, layer)
                self._totals[index] += int(layer.counts.sum())
                inputs = layer.spikes

    def backward(self, inputs, signal):
        """Differentiate by the weights, into :attr:`gradients` and :attr:`squares`.

        Parameters
        ----------
        inputs : DeviceSlab
            Of the last forward pass.
        signal : device array, float64
            Leaky readout: dL/dv (B, K, C). Spiking readout: dL/d(spike time) (B, cap).
        """
        for index in range(len(self.weights) - 1, -1, -1):
            leaky = self._leaky and index == len(self.weights) - 1
            signal = (self._readout_backward if leaky else self._spiking_backward)(index, self._batch[index], signal)
            self.measure_gradient(index)

    def _spiking(self):
        return self._batch[:-1] if self._leaky else self._batch

    def _array(self, name, index, *shape, dtype=np.float64):
        return self.pool.exactly(f"{name} of layer {index}", shape, dtype)

    def _lists(self, owner, size, cap):
        return [
            self.pool.exactly(f"{name} of {owner}", (size, cap, *more), dtype)
            for name, more, dtype in (
                ("neurons", (), np.int32), ("times", (), np.float64), ("intervals", (), np.int32),
                ("marks", (3,), np.float64),
            )
        ]  # fmt: skip

    def _prepare(self, index, given):
        size, cap = given.times.shape
        layer = _Layer(
            given,
            self._array("instants", index, size, cap + 1, dtype=np.int32),
            self._array("numbers of instants", index, size, dtype=np.int32),
            self._array("flows", index, size, cap, 4),
        )
        event_forward.find_instants(
            given.times, given.counts, self.engine.duration, *self._neurons[index][3:], layer.instants,
            layer.n_instants, layer.flows,
        )  # fmt: skip
        return layer

    def _given(self, index, layer):
        # What the kernels of a layer take first.
        given = layer.given
        return given.neurons, given.times, layer.instants, layer.n_instants, layer.flows, self.weights[index]

    def _spike(self, index, layer):
        size, n = len(layer.given.counts), self.layers[index + 1]
        flags = self._array("counts", index, 2, size, dtype=np.int64)
        cap = max(16, self._caps.get(index, n))
        while True:
            # Spikes in the order of the threads lie in one memory for all layers, which use it one after another.
            raw, lists = self._lists("spikes not yet ordered", size, cap), self._lists(f"layer {index}", size, cap)
            counts, stalled = flags[0], flags[1]
            self._advance(index, layer, raw, lists, counts, stalled)
            layer.counts, stalls = to_host(flags)
            needed = room_for(index, layer.counts, stalls, cap)
            if needed == cap:
                break
            self._caps[index] = cap = needed
        neurons, times, layer.intervals, layer.marks = lists
        layer.spikes = DeviceSlab(neurons, times, counts)

    def _advance(self, index, layer, raw, lists, counts, stalled):
        event_forward.spiking_forward_with(
            raw, *self._given(index, layer), self._neurons[index], self.engine.duration, most_spikes(len(counts)),
            *lists, counts, stalled,
        )  # fmt: skip

    def _read_out(self, index, layer):
        shape = self._sample_times.shape[0], self.layers[-1]
        self._v = self.pool.array("membrane of the readout", len(layer.given.counts), shape, self.dtype)
        event_readout.readout_forward(*self._given(index, layer), self._neurons[index], self._sample_times, self._v)

    def _spiking_backward(self, index, layer, e):
        w, (size, cap) = self.weights[index], layer.spikes.times.shape
        width, n_blocks, _ = event_backward.partition(size, w.shape[1])
        order = self.pool.exactly("order by block", (size, cap), np.int32)
        block_ptr = self.pool.exactly("pointers by block", (size, n_blocks + 1), np.int32)
        event_backward.order_by_block(layer.spikes.neurons, layer.spikes.counts, width, n_blocks, order, block_ptr)
        grad_parts = self._gradient_parts(index, size)
        e_parts = nothing(3, np.float64)
        if index:
            e_parts = self.pool.exactly("error by block", (n_blocks, *layer.given.times.shape), np.float64)
        event_backward.spiking_backward(
            layer.given.neurons, layer.instants, layer.flows, w, self._neurons[index], self.engine.max_inverse_slope,
            layer.spikes.neurons, layer.intervals, layer.marks, e, order, block_ptr, width, grad_parts, e_parts,
        )  # fmt: skip
        event_backward.add_parts(grad_parts, self.gradients[index])
        return self._error(index, layer, e_parts)

    def _readout_backward(self, index, layer, dv):
        e = self._array("error", index, *layer.given.times.shape) if index else nothing(2, np.float64)
        grad_parts = self._gradient_parts(index, len(layer.given.counts))
        event_readout.readout_backward(
            *self._given(index, layer), self._neurons[index], self._sample_times, dv, grad_parts, e
        )
        event_backward.add_parts(grad_parts, self.gradients[index])
        return e

    def _gradient_parts(self, index, size):
        # One a sample as far as memory allows: by sizes alone, so that the sums are always the same.
        n_groups = max(1, min(size, PART_BYTES // (self.weights[index].size * self.dtype.itemsize)))
        return self.pool.exactly("gradients of groups", (n_groups, *self.weights[index].shape), self.dtype)

    def _error(self, index, layer, e_parts):
        if not index:
            return None
        e = self._array("error", index, *layer.given.times.shape)
        event_backward.add_parts(e_parts, e)
        return e


class CudaHybridEngine(CudaEventEngine):
    """The same bin by bin; see :class:`snnsim.engines.hybrid.HybridEngine`."""

    def unseen(self):
        """Copy what :attr:`snnsim.engines.hybrid.HybridEngine.unseen` holds to the host: one (B,) int64 a layer."""
        return [to_host(self._unseen(index, len(layer.counts))) for index, layer in enumerate(self._spiking())]

    def _unseen(self, index, size):
        return self._array("unseen excursions", index, size, dtype=np.int64)

    def _advance(self, index, layer, raw, lists, counts, stalled):
        unseen = self._unseen(index, len(counts))
        event_hybrid.hybrid_forward_with(
            raw, *self._given(index, layer), self._neurons[index], self.engine.duration, self.engine.n_steps,
            most_spikes(len(counts)), *lists, counts, stalled, unseen,
        )  # fmt: skip
