"""The clock engine on a GPU: weights, states, spikes and gradients stay on the device.

The arithmetic is that of :class:`snnsim.engines.clock.ClockEngine`; with ``synapse`` as ``gather`` sums have its order,
too, in the same chunks of steps. Instead of growing, lists of spikes have room for every neuron in every step.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from snnsim.engines.clock import CHUNK
from snnsim.engines.device import DeviceNetwork, Pool
from snnsim.errors import InputError
from snnsim.kernels import cuda
from snnsim.kernels.cuda import dense, encoding, lif, losses, masked, masked_gradient, synapse, words
from snnsim.kernels.cuda.bits import STEPS
from snnsim.kernels.cuda.compiler import UNIT, empty, nothing, synchronize, to_device, to_host

FIELD = 2**26
"""Numbers of a field (samples, steps, neurons) above which trials are cut into chunks of steps."""
LONGEST = 2**16 - CHUNK
"""Most steps of a chunk: some kernels have a block a step along an axis of the grid, which takes 65,535."""
KEPT = {
    "exact": lif.GRADIENT_EXACT,
    "literal": lif.GRADIENT_LITERAL,
    "tssl": lif.GRADIENT_TSSL,
    "surrogate": lif.GRADIENT_TSSL,
}


@dataclass(frozen=True)
class DeviceSpikes:
    """Spikes of a population in a batch, on the device: listed by step, and as words by neuron.

    Parameters
    ----------
    rows, row_ptr : device array, (B, cap) int32 and (B, T + 1) int32
    words : device array, (B, ceil(T / 32), N) uint32
        None where a neuron may spike twice in a step, which a word cannot say, or where none are wanted: a layer then
        gathers what it adds, forward and backward, from lists.
    """

    rows: object
    row_ptr: object
    words: object


@dataclass
class _Layer:
    """Arrays of a layer for one size of batch."""

    spikes: DeviceSpikes
    inverse: object
    slope: object
    error: object
    v: object
    i_syn: object
    v_trace: object
    i_trace: object
    every: int
    g: object
    h: object
    carry: object
    x: object
    spike_adjoint: object
    rows: object  # x as (B * span, N): gather, dense
    flat: object  # x as (B * span * N,): masked
    total: object


class CudaClockEngine(DeviceNetwork):
    """Forward and backward pass on the device.

    Parameters
    ----------
    clock : ClockEngine
        Whose constants and options hold.
    layers : sequence of int
        Sizes from the input to the output.
    batch : int
        Largest batch.
    learns : bool
        Whether :meth:`backward` is wanted; without it there is no memory for adjoints.
    trace : collection of int
        Layers whose membrane and current are kept.
    every : int
        Keep them after every ``every``-th step.

    Attributes
    ----------
    plan : list of {"masked", "gather", "dense"}
        How each layer sums its input. ``auto`` is ``masked``, which gathers where a layer has at most 32 columns or its
        input no words.

    Raises
    ------
    InputError
        If the device's memory does not suffice, a layer does not fit a block, or ``synapse`` is ``pattern``.
    """

    def __init__(self, clock, layers, batch, *, learns=True, trace=(), every=1):
        clock.network.require_chain("target = 'cuda'")
        if "pattern" in clock.plan.values():
            raise InputError("simulation.synapse = 'pattern': with target = 'cuda' must be one of auto, gather, dense")
        self.plan = [way or "masked" for way in clock.plan.values()]
        n_squares = [
            masked_gradient.n_squares(shape, clock.dtype) if way == "masked" else words.n_squares(shape)
            for way, shape in zip(self.plan, pairwise(layers), strict=True)
        ]
        super().__init__(layers, clock.dtype, Pool(batch), n_squares)
        self.clock, self.kept = clock, KEPT[clock.gradient]
        self._learns, self._trace, self._every = learns, frozenset(trace), every
        self.n_steps = clock.n_steps
        for n in self.layers:
            encoding.shared_bytes(n)
        self._totals = [empty(1, np.int64) for _ in self.weights]
        self._arrived = [to_device(np.zeros(squares.size, np.int32)) for squares in self._squares]
        self.take_spikes()
        self._batches, self._inputs = {}, {}

    @property
    def area(self):
        """Factor of the gradient that :meth:`backward` leaves to the optimiser."""
        return float(self.clock.area) if self.clock.continuous else 1.0

    def inputs(self, n_samples, slot, room=None):
        """Where an encoder puts the input of a batch; there are two slots, so that one can be filled ahead.

        With ``room``, for so many spikes a sample, of an encoder whose neurons may spike several times in a step: no
        words then.
        """
        if (n_samples, slot) not in self._inputs:
            self._inputs[n_samples, slot] = self._spikes(f"input {slot}", n_samples, self.layers[0], room)
        return self._inputs[n_samples, slot]

    def output(self, n_samples):
        """Spikes of the last layer: neurons (B, cap) int32, ascending in time, and counts (B,)."""
        return _listed(self._batch(n_samples)[-1].spikes)

    def output_times(self, n_samples):
        """Give the times of these spikes, (B, cap) float."""
        spikes = self._batch(n_samples)[-1].spikes
        times = self.pool.array("times", n_samples, spikes.rows.shape[1:], self.dtype)
        losses.spike_times(spikes.row_ptr, self.clock.dt, times)
        return times

    def output_membrane(self, n_samples):
        """Membrane of a readout, (B, T, C)."""
        return self._batch(n_samples)[-1].v_trace

    def recorded(self, n_samples):
        """List what each layer did: its :class:`DeviceSpikes` (None for a readout), membrane and current.

        The latter two are (B, K, N), and empty where they are not kept.
        """
        return [
            (layer.spikes if self.clock.layer_constants(index).spiking else None, layer.v_trace, layer.i_trace)
            for index, layer in enumerate(self._batch(n_samples))
        ]

    def presynaptic(self, n_samples, inputs):
        """Spikes that reach the last layer: neurons (B, cap) int32 and counts (B,)."""
        return _listed(self._batch(n_samples)[-2].spikes if len(self.weights) > 1 else inputs)

    def take_spikes(self):
        """Spikes of each layer since the last call; waits for the device."""
        synchronize()
        counts = []
        for total in self._totals:
            counts.append(int(to_host(total)[0]))
            to_device(np.zeros(1, np.int64), total)
        return counts

    def forward(self, inputs):
        """Simulate a batch.

        Parameters
        ----------
        inputs : DeviceSpikes
        """
        n_samples = inputs.row_ptr.shape[0]
        chunks = self._chunks(n_samples)
        for index, layer in enumerate(self._batch(n_samples)):
            constants = self.clock.layer_constants(index)
            for k0, k1 in chunks:
                self._sum_input(index, inputs, k0, k1, layer.x)
                lif.lif_forward(
                    layer.x, constants.coefficients, constants.neuron, constants.reset, self.kept, k0, k1,
                    layer.v, layer.i_syn, layer.spikes.rows, layer.spikes.row_ptr, layer.inverse, layer.slope,
                    layer.v_trace, layer.i_trace, layer.every, k0 == 0, layer.spikes.words, layer.total,
                )  # fmt: skip
            inputs = layer.spikes

    def backward(self, inputs, signal):
        """Differentiate by the weights, into :attr:`gradients` and :attr:`squares`.

        Parameters
        ----------
        inputs : DeviceSpikes
            Of the last forward pass.
        signal : device array
            Leaky readout: dL/dv (B, T, C). Spiking readout: dL/d(spike time) (B, cap), or dL/ds (B, T, C) where the
            clock engine takes amplitudes.
        """
        n_samples = inputs.row_ptr.shape[0]
        clock, batch, chunks = self.clock, self._batch(n_samples), self._chunks(n_samples)[::-1]
        empty_3d = nothing(3, self.dtype)
        for index in range(len(batch) - 1, -1, -1):
            layer, constants = batch[index], clock.layer_constants(index)
            given = batch[index - 1].spikes if index else inputs
            dloss_dv, error = (empty_3d, signal) if constants.spiking else (signal, nothing(2, self.dtype))
            if constants.spiking and error.ndim == 3 and not clock.every_step:
                cuda.at_spikes(error, layer.spikes.rows, layer.spikes.row_ptr, layer.error)
                error = layer.error
            for k0, k1 in chunks:
                lists = layer.spikes.rows, layer.spikes.row_ptr, layer.inverse, layer.slope
                if constants.spiking and clock.every_step:
                    lif.surrogate_backward(
                        constants.coefficients, constants.neuron, constants.reset, clock.width, clock.fallback,
                        clock.continuous, k0, k1, *lists, layer.v_trace, error, dloss_dv, layer.g, layer.h, layer.x,
                        layer.spike_adjoint, k1 == self.n_steps,
                    )  # fmt: skip
                else:
                    lif.lif_backward(
                        constants.coefficients, constants.neuron, constants.reset, self.kept, clock.continuous, k0,
                        k1, *lists, error, dloss_dv, layer.g, layer.h, layer.carry, layer.x, layer.spike_adjoint,
                        k1 == self.n_steps,
                    )  # fmt: skip
                self._add_gradient(index, layer, given, k0, k1)
                if index:
                    self._pass_down(index, layer, given, k0, k1, batch[index - 1].error)
            signal = batch[index - 1].error if index else None

    def _span(self, n_samples):
        """Give the steps of a chunk."""
        span = CHUNK  # the CPU's, on which the order of its sums depends
        if "gather" not in self.plan:
            span *= max(FIELD // (max(n_samples, 1) * max(self.layers) * CHUNK), 1)
        return min(span, LONGEST, self.n_steps)

    def _chunks(self, n_samples):
        span = self._span(n_samples)
        return [(k, min(k + span, self.n_steps)) for k in range(0, self.n_steps, span)]

    def _field(self, name, *shape):
        """Array in one memory for all layers, which use it one after another, and for batches of all sizes."""
        trials = self.pool.batch * max(self.layers)
        room = trials * min(CHUNK, self.n_steps)
        if "gather" not in self.plan:
            room = min(max(FIELD, room), trials * self.n_steps)
        self.pool.exactly(name, (room,), self.dtype)  # reserved at once: memory that grew later would be another
        return self.pool.exactly(name, shape, self.dtype)

    def _spikes(self, name, n_samples, n_neurons, room=None):
        def array(what, shape, dtype):
            return self.pool.array(f"{what} of {name}", n_samples, shape, dtype)

        rows = array("spikes", (self.n_steps * n_neurons if room is None else room,), np.int32)
        row_ptr = array("pointers", (self.n_steps + 1,), np.int32)
        once = room is None
        words = array("words", (-(-self.n_steps // STEPS), n_neurons), np.uint32) if once else None
        return DeviceSpikes(rows, row_ptr, words)

    def _batch(self, n_samples):
        if n_samples not in self._batches:
            self._batches[n_samples] = [self._layer(index, n_samples) for index in range(len(self.weights))]
        return self._batches[n_samples]

    def _layer(self, index, n_samples):
        n, span = self.layers[index + 1], self._span(n_samples)
        spiking = self.clock.layer_constants(index).spiking

        def array(name, *shape, dtype=self.dtype):
            return self.pool.array(f"{name} of layer {index}", n_samples, shape, dtype)

        def adjoint(name, *shape):
            return array(name, *shape) if self._learns else nothing(len(shape) + 1, self.dtype)

        cap = (self.n_steps * n,)
        traced = index in self._trace
        every = self._every if traced else 1
        keep = traced or not spiking or self.clock.every_step
        kept = self.n_steps // every, n
        x, spike_adjoint = self._field("synaptic input", n_samples, span, n), nothing(3, self.dtype)
        if index and self._learns:
            spike_adjoint = self._field("adjoint for spikes", n_samples, span, n)
        return _Layer(
            spikes=self._spikes(f"layer {index}", n_samples, n),
            inverse=array("inverse slopes", *cap),
            slope=array("slopes", *cap),
            error=adjoint("error", *((self.n_steps, n) if self.clock.every_step else cap)),
            v=array("membrane", n),
            i_syn=array("current", n),
            v_trace=array("membranes", *kept) if keep else nothing(3, self.dtype),
            i_trace=array("currents", *kept) if traced else nothing(3, self.dtype),
            every=every,
            g=adjoint("adjoint of the membrane", n),
            h=adjoint("adjoint of the current", n),
            carry=adjoint("last adjoint", n),
            x=x,
            spike_adjoint=spike_adjoint,
            rows=x.reshape(n_samples * span, n),
            flat=x.reshape(n_samples * span * n),
            total=self._totals[index],
        )

    def _sum_input(self, index, inputs, k0, k1, x):
        if self.plan[index] == "dense":
            spikes = self._field("dense", *x.shape[:2], self.layers[index])
            cuda.dense_spikes(inputs.rows, inputs.row_ptr, k0, k1, spikes)
            dense.dense_input(spikes, self.weights[index], k1 - k0, x)
        elif self.plan[index] == "masked" and x.shape[2] > UNIT and inputs.words is not None:
            masked.masked_input(self.flat_by_layer[index], inputs.words, k0, k1, x)
        else:
            cuda.synaptic_input(self.weights[index], inputs.rows, inputs.row_ptr, k0, k1, x)

    def _add_gradient(self, index, layer, given, k0, k1):
        n_samples, span = layer.x.shape[:2]
        gradient, fresh = self.gradients[index], k1 == self.n_steps  # chunks go backward
        squares = self._squares[index] if k0 == 0 else nothing(1, self.dtype)
        if self.plan[index] != "dense" and given.words is None:
            self._gather_gradient(index, layer, given, k0, k1, fresh)
        elif self.plan[index] == "masked":
            portions = masked_gradient.n_portions(gradient.shape, self.dtype, n_samples * -(-span // STEPS))
            parts = self.pool.exactly("parts of the gradient", (portions, *gradient.shape), self.dtype)
            masked_gradient.masked_gradient(
                layer.flat, given.words, k0, k1, span, fresh, parts, self._arrived[index], gradient, squares
            )
        elif self.plan[index] == "gather":
            words.word_gradient(layer.rows, given.words, k0, k1, span, fresh, gradient, squares)
        else:
            spikes = self._field("dense", self.layers[index], n_samples * span)
            cuda.dense_spikes_by_neuron(given.rows, given.row_ptr, k0, k1, span, spikes)
            dense.dense_gradient(spikes, layer.rows, not fresh, gradient)
            if k0 == 0:
                self.measure_gradient(index)

    def _gather_gradient(self, index, layer, given, k0, k1, fresh):
        gradient, (n_samples, span) = self.gradients[index], layer.x.shape[:2]
        n_in = gradient.shape[0]
        counts = self.pool.exactly("spikes by row", (n_samples, n_in), np.int32)
        entries = self.pool.exactly("entries by row", (given.rows.size,), np.int32)
        entry_ptr = self.pool.exactly("pointers by row", (n_in + 1,), np.int64)
        if fresh:
            synapse.clear(gradient)
        cuda.transpose_rows(given.rows, given.row_ptr, k0, k1, span, counts, entries, entry_ptr)
        cuda.weight_gradient(layer.rows, entries, entry_ptr, 1, gradient)
        if k0 == 0:
            self.measure_gradient(index)

    def _pass_down(self, index, layer, given, k0, k1, passed):
        w, every_step = self.weights[index], self.clock.every_step
        if not every_step and (self.plan[index] == "gather" or w.shape[1] <= UNIT):
            cuda.spike_error(w, layer.spike_adjoint, given.rows, given.row_ptr, k0, k1, passed)
            return
        w_t = self.pool.exactly(f"transposed weights {index}", w.shape[::-1], self.dtype)
        if k1 == self.n_steps:  # chunks go backward
            dense.transposed(w, w_t)
        if every_step:
            dense.dense_error_from(layer.spike_adjoint, w_t, k1 - k0, passed, k0)
        else:
            error = self._field("dense", *layer.x.shape[:2], w.shape[0])
            dense.dense_error(layer.spike_adjoint, w_t, k1 - k0, error)
            synapse.at_spikes_from(error, given.rows, given.row_ptr, k0, k1, passed)


def _listed(spikes):
    return spikes.rows, spikes.row_ptr[:, -1]
