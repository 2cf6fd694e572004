"""The exact engine: layer by layer in continuous time, with the exact gradient of what it simulated."""

from dataclasses import dataclass

import numpy as np

from snnsim.engines.outputs import SpikeOutput, VoltageOutput
from snnsim.engines.workspace import Workspace
from snnsim.errors import InputError
from snnsim.kernels.events.backward import (
    add_parts,
    first_partition,
    order_by_block,
    partition,
    spiking_backward,
)
from snnsim.kernels.events.forward import all_within, find_instants, spiking_forward
from snnsim.kernels.events.readout import readout_backward, readout_forward
from snnsim.kernels.events.trace import trace
from snnsim.parameters import check_continuous

PRECISIONS = {"float32": np.float32, "float64": np.float64}
MAX_SPIKES, MAX_OF_TRIAL = 2**27, 2**23
"""Spikes of one layer in a batch, for which there is room (about 7 GB), and in a trial, which are found in a second."""


@dataclass
class _Layer:
    """What a layer keeps from its forward for its backward pass; arrays grow and are used again."""

    instants: np.ndarray
    n_instants: np.ndarray
    flows: np.ndarray
    neurons: np.ndarray | None = None
    times: np.ndarray | None = None
    intervals: np.ndarray | None = None
    marks: np.ndarray | None = None
    counts: np.ndarray | None = None


def neuron_constants(p):
    """``(v_threshold, v_reset, r, tau_mem, tau_syn)`` of a layer's parameters, as the kernels take them."""
    return (float(p.threshold), float(p.reset_value), float(p.r), float(p.tau_mem), float(p.tau_syn))


def most_spikes(batch):
    """Spikes of a layer in a trial, of so many in a batch, above which a simulation stops."""
    return min(MAX_OF_TRIAL, MAX_SPIKES // max(batch, 1))


def room_for(layer, counts, stalled, cap):
    """Room that a layer's spikes need, after a forward pass that had room for ``cap`` in a sample.

    Parameters
    ----------
    layer : int
    counts : ndarray, (B,) int64
        Spikes of each sample, stored or not.
    stalled : ndarray, (B,) int64
        A neuron that stalled, or -1.
    cap : int

    Returns
    -------
    int
        ``cap`` if they fitted; else more than ``cap``, for another pass.

    Raises
    ------
    InputError
        If a neuron stalled, or the spikes do not fit in memory.
    """
    most, limit = int(counts.max(initial=0)), most_spikes(len(counts))
    if most > limit:
        raise InputError(
            f"layer {layer}: more than {limit} spikes in a trial, the most allowed in a batch of {len(counts)}; "
            "weights must be smaller"
        )
    if stalled.max(initial=-1) >= 0:
        raise InputError(
            f"layer {layer}: neuron {stalled.max()} fires so fast that its spike times cannot be told apart; "
            "weights must be smaller"
        )
    return cap if most <= cap else min(most + most // 4, limit)


class EventEngine:
    """Forward and backward pass of a feed-forward network in continuous time.

    Spikes are found from the closed form of the membrane: none is missed, none invented, also where a membrane only
    touches the threshold (it fires). The gradient is the derivative of the simulated loss by the weights; memory grows
    with the number of spikes. The same bits come out for any number of threads.

    Parameters
    ----------
    parameters : sequence of LIFParameters
        One a layer; ``reset = "hard"`` or ``"subtract"``, which are the same in continuous time.
    readout : {"spiking", "leaky"}
    duration : float
        Length of a trial, > 0, in the unit of the time constants.
    n_samples : int
        Times at which a leaky readout is sampled, ``(k + 1) * duration / n_samples``; ignored by a spiking one.
    precision : {"float64", "float32"}
        Of weights, states and gradients; spike times are always float64.
    max_inverse_slope : float
        Bound of 1/slope at a spike in the backward pass.

    Raises
    ------
    InputError
        If an argument is out of range.
    """

    name = "event"
    takes_amplitude = False

    def __init__(
        self,
        parameters,
        readout="spiking",
        *,
        duration,
        n_samples=50,
        precision="float64",
        max_inverse_slope=1e4,
    ):
        self.parameters = tuple(parameters)
        for layer, p in enumerate(self.parameters):
            try:
                check_continuous(p)
            except InputError as error:
                raise InputError(f"layer {layer}: {error}") from error
            if not p.plain:
                raise InputError(
                    f"layer {layer}: {type(p).__name__}: must be LIF with one number each, at rest at first, v_leak "
                    "below v_threshold, without refractory period or adaptation"
                )
        if readout not in ("spiking", "leaky"):
            raise InputError(f"readout = {readout!r}: must be one of spiking, leaky")
        if not 0 < duration < np.inf:
            raise InputError(f"duration = {duration}: must be a positive number")
        if n_samples < 1:
            raise InputError(f"n_samples = {n_samples}: must be at least 1")
        if precision not in PRECISIONS:
            raise InputError(f"precision = {precision!r}: must be one of {', '.join(PRECISIONS)}")
        if not max_inverse_slope > 0:
            raise InputError(f"max_inverse_slope = {max_inverse_slope}: must be positive")
        self.readout = readout
        self.duration = float(duration)
        self.dtype = PRECISIONS[precision]
        self.max_inverse_slope = float(max_inverse_slope)
        self.sample_times = self.duration * np.arange(1, n_samples + 1) / n_samples
        self._layers = [None] * len(self.parameters)
        self._slabs = ()
        self._workspace, self._caps = Workspace(spare=0.25), {}

    def forward(self, weights, inputs):
        """Simulate a batch.

        Parameters
        ----------
        weights : sequence of ndarray, each (N_in, N_out) float
        inputs : SpikeOutput
            Input spikes, times ascending within a sample, in [0, duration].

        Returns
        -------
        SpikeOutput or VoltageOutput
            Its arrays belong to the engine and hold until the next forward pass.

        Raises
        ------
        InputError
            If a neuron fires so fast that its spike times cannot be told apart, or spikes do not fit in memory.
        """
        weights = [np.ascontiguousarray(w, self.dtype) for w in weights]
        slabs = [self.validated(inputs, weights)]
        for layer, w in enumerate(weights):
            state = self._prepare(layer, slabs[-1])
            if layer == len(weights) - 1 and self.readout == "leaky":
                self._slabs = tuple(slabs)
                return self._read_out(state, slabs[-1], w)
            self._spike(layer, state, slabs[-1], w)
            slabs.append(
                SpikeOutput(state.neurons, state.times, state.counts.astype(np.int32), w.shape[1], self.duration)
            )
        self._slabs = tuple(slabs)
        return slabs[-1]

    def backward(self, weights, gradient, on_layer=None):
        """Differentiate the loss by the weights, for the batch of the last forward pass.

        Parameters
        ----------
        weights : sequence of ndarray
            The same as in the forward pass.
        gradient : ndarray
            Spiking readout: (B, cap) dL/d(spike time) of the output's slab, entries beyond its counts ignored. Leaky
            readout: (B, K, C) dL/dv at the sample times.
        on_layer : callable, optional
            Called with (layer, grad_w) as soon as a layer's gradient is complete, from the last layer to the first.

        Returns
        -------
        list of ndarray
            One (N_in, N_out) a layer; they belong to the engine and hold until the next backward pass.
        """
        weights = [np.ascontiguousarray(w, self.dtype) for w in weights]
        gradient = np.ascontiguousarray(gradient, np.float64)
        grads = [None] * len(weights)
        for layer in range(len(weights) - 1, -1, -1):
            if layer == len(weights) - 1 and self.readout == "leaky":
                grads[layer], gradient = self._readout_backward(layer, weights[layer], gradient)
            else:
                grads[layer], gradient = self._spiking_backward(layer, weights[layer], gradient)
            if on_layer is not None:
                on_layer(layer, grads[layer])
        return grads

    def spikes(self):
        """Slabs of the last forward pass, from the input to the last spiking layer."""
        return self._slabs

    def spike_totals(self):
        """Spikes of each spiking layer in the last batch."""
        return [int(slab.counts.sum()) for slab in self._slabs[1:]]

    def last_presynaptic(self):
        """Spikes that reached the last layer: ``neurons`` (B, cap) int32 and ``counts`` (B,) int32."""
        slab = self._slabs[len(self.parameters) - 1]
        return slab.neurons, slab.counts

    def trace(self, weights, layer, sample_times, neuron_ids):
        """Membrane and current in closed form, after a forward pass.

        Parameters
        ----------
        weights : sequence of ndarray
            The same as in the forward pass.
        layer : int
            0 is the first after the input.
        sample_times : ndarray, (K,) float64
            Ascending, in [0, duration].
        neuron_ids : ndarray, (M,) int

        Returns
        -------
        v, i_syn : ndarray, (B, K, M) float64
            Relative to rest. At the instant of a spike: the membrane before reset; at that of an input: the current
            after it.
        """
        w = np.ascontiguousarray(weights[layer], self.dtype)
        inputs = self._slabs[layer]
        spiking = layer + 1 < len(self._slabs)
        own = self._slabs[layer + 1] if spiking else inputs
        column = np.full(w.shape[1], -1, np.int64)
        column[np.asarray(neuron_ids)] = np.arange(len(neuron_ids))
        shape = (len(inputs.counts), len(sample_times), len(neuron_ids))
        v, i_syn = np.empty(shape), np.empty(shape)
        trace(
            inputs.neurons,
            inputs.times,
            inputs.counts,
            w,
            self._neuron(layer),
            spiking,
            own.neurons,
            own.times,
            own.counts,
            column,
            np.asarray(sample_times, np.float64),
            v,
            i_syn,
        )
        return v, i_syn

    def adopt(self, slabs):
        """Take the slabs of a forward pass that was computed elsewhere, for :meth:`spikes` and :meth:`trace`."""
        self._slabs = tuple(slabs)

    def validated(self, inputs, weights):
        """Give the input's arrays as the kernels take them; raises InputError if it does not fit the network."""
        if len(weights) != len(self.parameters):
            raise InputError(f"network: {len(weights)} weight matrices; the engine has {len(self.parameters)} layers")
        if inputs.n_neurons != weights[0].shape[0]:
            raise InputError(
                f"input spikes: {inputs.n_neurons} neurons; the first layer has {weights[0].shape[0]} inputs"
            )
        neurons = np.ascontiguousarray(inputs.neurons, np.int32)
        times = np.ascontiguousarray(inputs.times, np.float64)
        counts = np.ascontiguousarray(inputs.counts, np.int32)
        if not all_within(times, counts, self.duration):
            raise InputError(f"input spikes: times must lie in 0..{self.duration:g}")
        return SpikeOutput(neurons, times, counts, inputs.n_neurons, self.duration)

    def _neuron(self, layer):
        return neuron_constants(self.parameters[layer])

    def _prepare(self, layer, slab):
        batch, cap = slab.times.shape
        state = _Layer(
            self._workspace.array((layer, "instants"), (batch, cap + 1), np.int32),
            self._workspace.array((layer, "n_instants"), (batch,), np.int32),
            self._workspace.array((layer, "flows"), (batch, cap, 4), np.float64),
        )
        p = self.parameters[layer]
        find_instants(
            slab.times,
            slab.counts,
            self.duration,
            float(p.tau_mem),
            float(p.tau_syn),
            state.instants,
            state.n_instants,
            state.flows,
        )
        self._layers[layer] = state
        return state

    def _spike(self, layer, state, slab, w):
        batch = len(slab.counts)
        cap = max(16, self._caps.get(layer, w.shape[1]))
        while True:
            state.neurons = self._workspace.array((layer, "neurons"), (batch, cap), np.int32)
            state.times = self._workspace.array((layer, "times"), (batch, cap), np.float64)
            state.intervals = self._workspace.array((layer, "intervals"), (batch, cap), np.int32)
            state.marks = self._workspace.array((layer, "marks"), (batch, cap, 3), np.float64)
            state.counts = np.empty(batch, np.int64)
            stalled = np.empty(batch, np.int64)
            self._advance(layer, state, slab, w, stalled)
            needed = room_for(layer, state.counts, stalled, cap)
            if needed == cap:
                return
            self._caps[layer] = cap = needed

    def _advance(self, layer, state, slab, w, stalled):
        spiking_forward(
            slab.neurons,
            slab.times,
            state.instants,
            state.n_instants,
            state.flows,
            w,
            self._neuron(layer),
            self.duration,
            most_spikes(len(state.counts)),
            state.neurons,
            state.times,
            state.intervals,
            state.marks,
            state.counts,
            stalled,
        )

    def _read_out(self, state, slab, w):
        v = np.empty((len(slab.counts), len(self.sample_times), w.shape[1]), self.dtype)
        readout_forward(
            slab.neurons,
            slab.times,
            state.instants,
            state.n_instants,
            state.flows,
            w,
            self._neuron(len(self.parameters) - 1),
            self.sample_times,
            v,
        )
        return VoltageOutput(v, self.duration)

    def _spiking_backward(self, layer, w, e):
        state, slab = self._layers[layer], self._slabs[layer]
        batch, cap = state.times.shape
        width, n_blocks, n_groups = (partition if layer else first_partition)(batch, w.shape[1])
        order = self._workspace.array("order", (batch, cap), np.int32)
        block_ptr = self._workspace.array("block_ptr", (batch, n_blocks + 1), np.int32)
        order_by_block(state.neurons, state.counts, width, n_blocks, order, block_ptr)
        shape_in = slab.times.shape if layer else (0, 0)
        e_parts = self._workspace.array((layer, "e_parts"), (n_blocks, *shape_in), np.float64)
        grad_parts = self._workspace.array((layer, "grad_parts"), (n_groups, *w.shape), self.dtype)
        spiking_backward(
            slab.neurons,
            state.instants,
            state.flows,
            w,
            self._neuron(layer),
            self.max_inverse_slope,
            state.neurons,
            state.intervals,
            state.marks,
            e,
            order,
            block_ptr,
            width,
            grad_parts,
            e_parts,
        )
        return self._total(layer, "grad", grad_parts), self._total(layer, "e", e_parts)

    def _readout_backward(self, layer, w, dv):
        state, slab = self._layers[layer], self._slabs[layer]
        batch = len(slab.counts)
        n_groups = max(1, min(batch, 16))
        grad_parts = self._workspace.array((layer, "grad_parts"), (n_groups, *w.shape), self.dtype)
        e = self._workspace.array((layer, "e"), slab.times.shape if layer else (0, 0), np.float64)
        readout_backward(
            slab.neurons,
            slab.times,
            state.instants,
            state.n_instants,
            state.flows,
            w,
            self._neuron(layer),
            self.sample_times,
            dv,
            grad_parts,
            e,
        )
        return self._total(layer, "grad", grad_parts), e

    def _total(self, layer, what, parts):
        if len(parts) == 1:
            return parts[0]
        total = self._workspace.array((layer, what), parts.shape[1:], parts.dtype)
        add_parts(parts, total)
        return total
