"""A network of array kernels chained by hand, chunk of steps by chunk of steps, without any engine.

Each layer runs over all steps before the next one, as an engine does it; the length of the chunks, the way of summing
synaptic input and the room for spikes are the caller's to vary. Shapes as in :mod:`snnsim.kernels.cpu`.
"""

from contextlib import contextmanager
from dataclasses import dataclass, field

import numba
import numpy as np
from threadpoolctl import threadpool_limits

from snnsim.dynamics.lif import RESET_HARD, RESET_NONE, RESET_SUBTRACT
from snnsim.kernels import cpu
from snnsim.kernels.cpu import dense as dense_kernels
from tests import one_layer

RESETS = {"hard": RESET_HARD, "subtract": RESET_SUBTRACT, "none": RESET_NONE}
KEPT = {
    "exact": one_layer.GRADIENT_EXACT,
    "literal": one_layer.GRADIENT_LITERAL,
    "tssl": one_layer.GRADIENT_TSSL,
    "tssl-fallback": one_layer.GRADIENT_TSSL,
    "surrogate": one_layer.GRADIENT_TSSL,
}
EVERY_STEP = ("tssl-fallback", "surrogate")


@contextmanager
def on_one_thread():
    """Keep kernels to one thread: hundreds of tiny calls would wait for each other's threads on a busy machine."""
    before = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        yield
    finally:
        numba.set_num_threads(before)


@dataclass
class Way:
    """How to run: nothing here may change a result by more than the order of a sum."""

    chunk: int = 7
    synapse: str = "gather"
    cap: int | None = None
    dtype: type = np.float64


@dataclass
class Layer:
    """What one layer did; ``adjoint`` and ``error`` are filled by the backward pass."""

    coefficients: tuple
    neuron: tuple
    reset: int
    given: tuple
    v: np.ndarray
    i: np.ndarray
    neurons: np.ndarray
    spike_ptr: np.ndarray
    inverse: np.ndarray
    slope: np.ndarray
    x: np.ndarray
    reruns: int = 0
    adjoint: np.ndarray | None = None
    error: np.ndarray | None = None
    grad_w: np.ndarray | None = field(default=None)

    def dense(self):
        """Spikes as (B, T, N) zeros and ones."""
        return dense_of(self.neurons, self.spike_ptr, self.v.shape[2])


def spike_lists(dense, spare=0):
    """``rows`` (B, cap) and ``row_ptr`` (B, T + 1) int32 of spike counts (B, T, N)."""
    counts = np.asarray(dense).astype(np.int64)
    batch, steps, _ = counts.shape
    row_ptr = np.zeros((batch, steps + 1), np.int32)
    row_ptr[:, 1:] = np.cumsum(counts.sum(axis=2), axis=1)
    rows = np.full((batch, max(int(row_ptr[:, -1].max()), 1) + spare), -1, np.int32)
    for b in range(batch):
        k, n = np.nonzero(counts[b])
        rows[b, : row_ptr[b, -1]] = np.repeat(n, counts[b, k, n])
    return rows, row_ptr


def dense_of(rows, row_ptr, n_rows):
    """Spike lists as counts (B, T, n_rows) float64."""
    batch, steps = len(row_ptr), row_ptr.shape[1] - 1
    dense = np.zeros((batch, steps, n_rows))
    for b in range(batch):
        step = np.repeat(np.arange(steps), np.diff(row_ptr[b]))
        np.add.at(dense[b], (step, rows[b, : row_ptr[b, -1]]), 1)
    return dense


def chunks(n_steps, length):
    return [(k, min(k + length, n_steps)) for k in range(0, n_steps, length)]


def forward(
    dense, weights, parameters, dt, coefficient_sets, kept=one_layer.GRADIENT_EXACT, bound=1e4, leaky=False, way=None
):
    """Run a batch of dense spikes (B, T, N_in) through the layers; returns one :class:`Layer` each."""
    way = way or Way()
    given = spike_lists(dense)
    layers = []
    for index, (w, p) in enumerate(zip(weights, parameters, strict=True)):
        threshold = np.inf if leaky and index == len(weights) - 1 else p["v_threshold"]
        neuron = (threshold, p["v_reset"], p["r"], p["tau_mem"], p["tau_syn"], dt, bound)
        layer = _run(given, w, _cast(coefficient_sets[index], way), _cast(neuron, way), RESETS[p["reset"]], kept, way)
        layers.append(layer)
        given = layer.neurons, layer.spike_ptr
    return layers


def _cast(values, way):
    return tuple(way.dtype(value) for value in values)


def _run(given, w, coefficients, neuron, reset, kept, way):
    rows, row_ptr = given
    w = np.ascontiguousarray(w, way.dtype)
    batch, steps, n_out = len(row_ptr), row_ptr.shape[1] - 1, w.shape[1]
    table = w
    if way.synapse == "pattern":
        rows, row_ptr = grouped(rows, row_ptr)
        table = pattern_table(w)
    cap = way.cap or max(steps * n_out, 1)
    reruns = -1
    while True:
        reruns += 1
        v, i = np.zeros((2, batch, n_out), way.dtype)
        neurons = np.full((batch, cap), -1, np.int32)
        spike_ptr = np.zeros((batch, steps + 1), np.int32)
        inverse, slope = np.full((2, batch, cap), np.nan, way.dtype)
        v_trace, i_trace, x_trace = np.full((3, batch, steps, n_out), np.nan, way.dtype)
        for k0, k1 in chunks(steps, way.chunk):
            x = np.full((batch, way.chunk, n_out), np.nan, way.dtype)
            if way.synapse == "dense":
                spikes = np.full((batch, way.chunk, w.shape[0]), np.nan, way.dtype)
                cpu.dense_spikes(rows, row_ptr, k0, k1, spikes)
                with threadpool_limits(1, "blas"):
                    dense_kernels.dense_input(spikes, w, k1 - k0, x)
            else:
                cpu.synaptic_input(table, rows, row_ptr, k0, k1, x)
            x_trace[:, k0:k1] = x[:, : k1 - k0]
            one_layer.lif_forward(
                x, coefficients, neuron, reset, kept, k0, k1, v, i, neurons, spike_ptr, inverse, slope, v_trace,
                i_trace, 1,
            )  # fmt: skip
        most = int(spike_ptr[:, -1].max())
        if most <= cap:
            return Layer(
                coefficients, neuron, reset, given, v_trace, i_trace, neurons, spike_ptr, inverse, slope, x_trace,
                reruns,
            )  # fmt: skip
        cap = most


def pattern_table(w):
    table = np.full((-(-w.shape[0] // cpu.GROUP) * cpu.PATTERNS, w.shape[1]), np.nan, w.dtype)
    cpu.fold_patterns(w, table)
    return table


def grouped(rows, row_ptr):
    """Lists by neuron as lists by pattern."""
    patterns, pattern_ptr = np.full_like(rows, -1), np.full_like(row_ptr, -1)
    cpu.group_spikes(rows, row_ptr, patterns, pattern_ptr)
    return patterns, pattern_ptr


def backward(layers, weights, signal, method="exact", continuous=False, width=0.0, leaky=False, way=None):
    """Run the adjoint from the last layer to the first; fills ``adjoint``, ``error`` and ``grad_w`` of the layers.

    ``signal`` (B, T, N_out): dL/d(spike time), dL/ds or, for a leaky readout, dL/dv of every step.
    """
    way = way or Way()
    batch, steps = len(layers[0].spike_ptr), layers[0].spike_ptr.shape[1] - 1
    nothing = np.empty((0, 0, 0), way.dtype)
    every_step = method in EVERY_STEP
    signal = np.ascontiguousarray(signal, way.dtype)
    for index in range(len(layers) - 1, -1, -1):
        layer, w = layers[index], np.ascontiguousarray(weights[index], way.dtype)
        n_in, n_out = w.shape
        silent = leaky and index == len(layers) - 1
        given_rows, given_ptr = layer.given
        g, h, carry = np.zeros((3, batch, n_out), way.dtype)
        layer.grad_w = np.zeros(w.shape, way.dtype)
        layer.adjoint = np.full((batch, steps, n_out), np.nan, way.dtype)
        passed = np.full((batch, steps, n_in) if every_step else given_rows.shape, np.nan, way.dtype)
        error = signal
        if not every_step and error.ndim == 3:
            error = np.full(layer.neurons.shape, np.nan, way.dtype)
            cpu.at_spikes(signal, layer.neurons, layer.spike_ptr, error)
        layer.error = error
        at_spikes = error if error.ndim == 2 else np.empty((batch, 0), way.dtype)
        dloss_dv = signal if silent else nothing
        for k0, k1 in reversed(chunks(steps, way.chunk)):
            adjoint, spike_adjoint = np.full((2, batch, way.chunk, n_out), np.nan, way.dtype)
            if every_step and not silent:
                one_layer.surrogate_backward(
                    layer.coefficients, layer.neuron, layer.reset, way.dtype(width), method == "tssl-fallback",
                    continuous, k0, k1, layer.neurons, layer.spike_ptr, layer.inverse, layer.slope, layer.v,
                    error, dloss_dv, g, h, adjoint, spike_adjoint,
                )  # fmt: skip
            else:
                one_layer.lif_backward(
                    layer.coefficients, layer.neuron, layer.reset, KEPT[method], continuous, k0, k1, layer.neurons,
                    layer.spike_ptr, layer.inverse, layer.slope, at_spikes,
                    dloss_dv, g, h, carry, adjoint, spike_adjoint,
                )  # fmt: skip
            layer.adjoint[:, k0:k1] = adjoint[:, : k1 - k0]
            add_weight_gradient(layer.given, k0, k1, adjoint, layer.grad_w, way.synapse)
            if every_step:
                below = np.full((batch, way.chunk, n_in), np.nan, way.dtype)
                with threadpool_limits(1, "blas"):
                    dense_kernels.dense_error(spike_adjoint, np.ascontiguousarray(w.T), k1 - k0, below)
                passed[:, k0:k1] = below[:, : k1 - k0]
            else:
                cpu.spike_error(w, spike_adjoint, given_rows, given_ptr, k0, k1, passed)
        signal = passed
    return layers


def add_weight_gradient(given, k0, k1, adjoint, grad_w, synapse):
    """Add the steps ``k0 <= k < k1`` to a layer's weight gradient."""
    rows, row_ptr = given
    batch, span, n_out = adjoint.shape
    n_in = grad_w.shape[0]
    if synapse == "dense":
        spikes = np.full((n_in, batch * span), np.nan, adjoint.dtype)
        cpu.dense_spikes_by_neuron(rows, row_ptr, k0, k1, span, spikes)
        adjoint = adjoint.copy()
        adjoint[:, k1 - k0 :] = 0
        with threadpool_limits(1, "blas"):
            dense_kernels.dense_weight_gradient(spikes, adjoint.reshape(batch * span, n_out), grad_w)
        return
    n_rows, group = n_in, 1
    if synapse == "pattern":
        rows, row_ptr = grouped(rows, row_ptr)
        n_rows, group = -(-n_in // cpu.GROUP) * cpu.PATTERNS, cpu.GROUP
    entries, entry_ptr = transposed(rows, row_ptr, k0, k1, span, n_rows)
    cpu.weight_gradient(adjoint.reshape(batch * span, n_out), entries, entry_ptr, group, grad_w)


def transposed(rows, row_ptr, k0, k1, span, n_rows):
    """Lists of the steps ``k0 <= k < k1`` ordered by row: ``entries`` and ``entry_ptr``."""
    counts = np.full((len(row_ptr), n_rows), -1, np.int32)
    entries = np.full(int((row_ptr[:, k1] - row_ptr[:, k0]).sum()), -1, np.int32)
    entry_ptr = np.full(n_rows + 1, -1, np.int64)
    cpu.transpose_rows(rows, row_ptr, k0, k1, span, counts, entries, entry_ptr)
    return entries, entry_ptr
