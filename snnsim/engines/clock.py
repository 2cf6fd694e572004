"""The clock engine: time in steps of dt, spikes as lists, and the gradient of SCIENCE's folded recursion.

Forward and backward run layer by layer, each over blocks of samples (:data:`BLOCK`) and in chunks of :data:`CHUNK`
steps, so that what is passed from kernel to kernel stays in cache, and the only arrays with a time axis longer than a
chunk are lists of spikes: memory grows with the number of spikes, not with ``B * T * N``. Only the methods with a
derivative at every step (``surrogate``, TSSL's fallback) keep every membrane.
"""

from dataclasses import dataclass, replace

import numpy as np

from snnsim.engines.blas import dense_kernels, one_thread
from snnsim.engines.dropout import DroppedSpikes
from snnsim.engines.grid import GridSpikes, slab_of_grid
from snnsim.engines.outputs import VoltageOutput
from snnsim.engines.workspace import Workspace
from snnsim.errors import InputError
from snnsim.kernels import cpu
from snnsim.parameters import scheme_coefficients

CHUNK = 64
BLOCK, LEAST_BLOCK = 2**19, 16
"""Numbers (samples, steps of a chunk and neurons) of a block, and its fewest samples."""
FADED = 2.0**40
"""States below so many times the smallest normal number are set to zero from chunk to chunk: numbers that decay to less
than a normal one are tens of times slower to compute with."""
FIRST_GUESS = 256
"""Room for spikes in every 16th of so many steps, to begin with: a longer trial need not have more of them."""
GRADIENTS = ("exact", "literal", "tssl", "surrogate")
WEIGHT_GRADIENTS = ("discrete", "continuous")
SYNAPSES = ("auto", "gather", "pattern", "dense")
PRECISIONS = {"float32": np.float32, "float64": np.float64}
DENSE_COST = 0.4
PATTERN_COST = 1.2
"""Time of one input's row in a dense product, and of one row of the larger pattern table, in rows of a gather."""
ROW_COST, GROUPING_COST = 80, 70
"""Time to begin a row, and to put one spike into its pattern, in additions of one number."""


@dataclass
class _Layer:
    """Constants of a layer and what its forward pass leaves for the backward pass."""

    coefficients: tuple
    neuron: tuple
    reset: int
    spiking: bool
    gain: float = 1.0
    cap: int = 0
    dropped: DroppedSpikes | None = None
    given: GridSpikes | None = None
    inputs: GridSpikes | None = None
    n_neurons: int = 0
    neurons: np.ndarray | None = None
    spike_ptr: np.ndarray | None = None
    inverse: np.ndarray | None = None
    slope: np.ndarray | None = None
    v_trace: np.ndarray | None = None
    i_trace: np.ndarray | None = None

    @property
    def amplified(self):
        """Coefficients with every weight times :attr:`gain`."""
        a_ii, b_i, a_vv, a_vi, b_v = self.coefficients
        gain = type(b_i)(self.gain)
        return a_ii, gain * b_i, a_vv, a_vi, gain * b_v

    def of(self, block):
        """Take a block of the batch's samples; arrays are views."""

        def kept(trace):
            return trace[block] if trace.size else trace

        return replace(
            self,
            given=self.given.of(block),
            inputs=self.inputs.of(block),
            neurons=self.neurons[block],
            spike_ptr=self.spike_ptr[block],
            inverse=self.inverse[block],
            slope=self.slope[block],
            v_trace=kept(self.v_trace),
            i_trace=kept(self.i_trace),
        )


class ClockEngine:
    """Forward and backward pass of a feed-forward network on a clock.

    Parameters
    ----------
    parameters : sequence of LIFParameters
        One a layer.
    readout : {"spiking", "leaky"}
    dt : float
    n_steps : int
    scheme : {"backward_euler", "forward_euler", "exact", "bilinear"}
    impulse : {"unit-area", "unit-height"}
    gradient : {"exact", "literal", "tssl", "surrogate"}
        SCIENCE section 3. The first two take derivatives by spike time, the others by spike amplitude.
    weight_gradient : {"discrete", "continuous"}
        Eq 40 with the scheme's own or the continuous model's coefficient.
    max_inverse_slope : float
        Bound of 1/slope at a spike.
    tssl_max_inverse : float
        Bound of TSSL-BP's ``1/(v_k - ~v_{k-1})``.
    tssl_fallback : bool
        Whether neurons that are silent in a sample use TSSL-BP's sigmoid of width ``tssl_width``.
    surrogate_slope : float
        Steepness of the surrogate's fast sigmoid.
    precision : {"float32", "float64"}
    synapse : {"auto", "gather", "pattern", "dense"}
        How synaptic input is summed: rows of single inputs, rows of patterns of four inputs, or a dense product.
        ``auto`` decides a layer's way at the first batch it sees, from its measured activity (:attr:`plan`).

    Attributes
    ----------
    plan : list of str or None
        Way of each layer, None while undecided. Part of a checkpoint: it decides the order of sums.
    """

    name = "clock"

    def __init__(
        self,
        parameters,
        readout="spiking",
        *,
        dt,
        n_steps,
        scheme="backward_euler",
        impulse="unit-area",
        gradient="exact",
        weight_gradient="discrete",
        max_inverse_slope=1e4,
        tssl_max_inverse=8.0,
        tssl_fallback=False,
        tssl_width=0.2,
        surrogate_slope=10.0,
        precision="float32",
        synapse="auto",
    ):
        _one_of("gradient", gradient, GRADIENTS)
        _one_of("weight_gradient", weight_gradient, WEIGHT_GRADIENTS)
        _one_of("precision", precision, PRECISIONS)
        _one_of("synapse", synapse, SYNAPSES)
        _one_of("readout", readout, ("spiking", "leaky"))
        if n_steps < 1:
            raise InputError(f"n_steps = {n_steps}: must be at least 1")
        self.parameters, self.readout = tuple(parameters), readout
        self.dt, self.n_steps, self.duration = float(dt), int(n_steps), float(dt) * int(n_steps)
        self.gradient = gradient
        self.dtype = np.dtype(PRECISIONS[precision])
        self.continuous = weight_gradient == "continuous"
        self.every_step = gradient == "surrogate" or (gradient == "tssl" and tssl_fallback)
        self.fallback = gradient == "tssl"
        self.width = self.dtype.type(tssl_width if self.fallback else surrogate_slope)
        self.kept = cpu.GRADIENT_TSSL if gradient in ("tssl", "surrogate") else GRADIENTS.index(gradient)
        self._layers = []
        for layer, p in enumerate(self.parameters):
            spiking = layer < len(self.parameters) - 1 or readout == "spiking"
            bound = tssl_max_inverse if self.kept == cpu.GRADIENT_TSSL else max_inverse_slope
            neuron = (p.threshold if spiking else np.inf, p.reset_value, p.r, p.tau_mem, p.tau_syn, dt, bound)
            self._layers.append(
                _Layer(
                    tuple(self.dtype.type(c) for c in scheme_coefficients(p, dt, scheme, impulse)),
                    tuple(self.dtype.type(c) for c in neuron),
                    p.reset_mode,
                    spiking,
                )
            )
        # The continuous model's coefficient of a unit-height pulse is dt times that of an impulse.
        self._area = self.dtype.type(dt if impulse == "unit-height" else 1)
        self.plan = [None if synapse == "auto" else synapse] * len(self.parameters)
        self._workspace = Workspace()

    def layer_constants(self, index):
        """Coefficients, neuron, reset mode and whether it spikes, of a layer."""
        return self._layers[index]

    @property
    def area(self):
        """Area of an impulse, a factor of the gradient with the continuous model's coefficient."""
        return self._area

    @property
    def takes_amplitude(self):
        """Whether :meth:`backward` takes dL/ds of every step rather than dL/d(spike time) of the output spikes."""
        return self.gradient in ("tssl", "surrogate")

    def forward(self, weights, inputs, trace=(), every=1, dropout=None):
        """Simulate a batch.

        Parameters
        ----------
        weights : sequence of ndarray, each (N_in, N_out) of the engine's dtype, C-contiguous
        inputs : GridSpikes
        trace : collection of int
            Layers whose membrane and current are kept, for :meth:`traces`.
        every : int
            Keep them after every ``every``-th step.
        dropout : Dropout, optional
            Of hidden neurons, in training.

        Returns
        -------
        SpikeOutput or VoltageOutput
            Its arrays belong to the engine and hold until the next forward pass.

        Raises
        ------
        InputError
            If the input does not fit the network.
        """
        if inputs.n_neurons != weights[0].shape[0]:
            raise InputError(f"input: {inputs.n_neurons} neurons; the first layer has {weights[0].shape[0]} inputs")
        if inputs.row_ptr.shape[1] != self.n_steps + 1:
            raise InputError(f"input: {inputs.row_ptr.shape[1] - 1} steps; the engine has {self.n_steps}")
        for index, (layer, w) in enumerate(zip(self._layers, weights, strict=True)):
            layer.dropped, layer.gain = None, 1.0
            if dropout is not None and index:
                layer.dropped, layer.gain = dropout.drop(index - 1, inputs), dropout.gain
                inputs = layer.dropped.spikes
            layer.given, layer.inputs = inputs, self._arranged(index, inputs, w.shape[1])
            self._run_layer(index, layer, w, index in trace, every)
            inputs = GridSpikes(layer.neurons, layer.spike_ptr, w.shape[1])
        last = self._layers[-1]
        if not last.spiking:
            return VoltageOutput(last.v_trace, self.duration)
        return self._slab(last.neurons, last.spike_ptr, weights[-1].shape[1])

    def spikes(self):
        """Slabs of the last forward pass, from the input to the last spiking layer."""
        return tuple(slab_of_grid(grid, self.dt) for grid in self.grids())

    def grids(self, inputs=True):
        """Spikes of the last forward pass on the grid, by neuron, from the input to the last spiking layer.

        Without ``inputs``, None stands for those of the input, which may have to be rearranged.
        """
        grids = [self._by_neuron(0, self._layers[0].given) if inputs else None]
        for layer in self._layers:
            if layer.spiking:
                grids.append(GridSpikes(layer.neurons, layer.spike_ptr, layer.n_neurons))
        return tuple(grids)

    def spike_totals(self):
        """Spikes of each spiking layer in the last batch."""
        return [int(layer.spike_ptr[:, -1].sum()) for layer in self._layers if layer.spiking]

    def traces(self, layer):
        """``(v, i_syn)`` of a traced layer after a forward pass, (B, T // every, N), relative to rest, before reset."""
        return self._layers[layer].v_trace, self._layers[layer].i_trace

    def last_presynaptic(self):
        """Spikes that reached the last layer: ``neurons`` (B, cap) int32 and ``counts`` (B,) int32."""
        given = self._by_neuron(len(self._layers) - 1, self._layers[-1].given)
        return given.rows, given.row_ptr[:, -1]

    def backward(self, weights, gradient, on_layer=None, activity_cost=0.0):
        """Differentiate the loss by the weights, for the batch of the last forward pass.

        Parameters
        ----------
        weights : sequence of ndarray
            The same as in the forward pass.
        gradient : ndarray
            Leaky readout: (B, T, C) dL/dv. Spiking readout: (B, cap) dL/d(spike time) of the output's slab; if
            :attr:`takes_amplitude`, (B, T, C) dL/ds.
        on_layer : callable, optional
            Called with (layer, grad_w) as soon as a layer's gradient is complete, from the last layer to the first.
        activity_cost : float
            Only if :attr:`takes_amplitude`: weight of the term that adds, for each hidden layer, the mean number of
            spikes of a neuron in a trial to the loss.

        Returns
        -------
        list of ndarray
            One (N_in, N_out) a layer; they belong to the engine and hold until the next backward pass.
        """
        grads = [None] * len(weights)
        signal = np.ascontiguousarray(gradient, self.dtype)
        for index in range(len(weights) - 1, -1, -1):
            grads[index], signal = self._differentiate(index, weights[index], signal)
            if index and activity_cost:
                self._add_cost(activity_cost, self._layers[index - 1], signal)
            if on_layer is not None:
                on_layer(index, grads[index])
        return grads

    def _array(self, key, shape, dtype=None):
        return self._workspace.array(key, shape, self.dtype if dtype is None else dtype)

    def _slab(self, neurons, spike_ptr, n_neurons):
        return slab_of_grid(GridSpikes(neurons, spike_ptr, n_neurons), self.dt)

    def _chunks(self):
        return [(k, min(k + CHUNK, self.n_steps)) for k in range(0, self.n_steps, CHUNK)]

    def _drop_faded(self, begun, *states):
        if begun:
            for state in states:
                state[np.abs(state) < FADED * np.finfo(self.dtype).tiny] = 0

    def _blocks(self, batch, n_out):
        """Equal portions of a batch, as slices; they decide the order of sums, so they depend on sizes alone."""
        wanted = -(-batch * min(CHUNK, self.n_steps) * n_out // BLOCK)
        n_blocks = max(1, min(wanted, batch // LEAST_BLOCK))
        return [slice(batch * k // n_blocks, batch * (k + 1) // n_blocks) for k in range(n_blocks)]

    def _arranged(self, index, inputs, n_out):
        """Input of a layer in the form its plan wants; decides the plan if it is open."""
        if self.plan[index] is None:
            by_neuron = self._by_neuron(index, inputs)
            patterns = self._patterns(index, by_neuron)
            row = n_out + ROW_COST
            tabulating = n_out * inputs.n_neurons * cpu.PATTERNS / cpu.GROUP
            if inputs.group == 1:
                tabulating += GROUPING_COST * by_neuron.total
            costs = {
                "gather": by_neuron.total * row,
                "pattern": PATTERN_COST * patterns.total * row + tabulating,
                "dense": DENSE_COST * len(inputs.row_ptr) * self.n_steps * inputs.n_neurons * row,
            }
            self.plan[index] = min(costs, key=costs.get)
        if self.plan[index] == "pattern":
            return inputs if inputs.group == cpu.GROUP else self._patterns(index, inputs)
        return self._by_neuron(index, inputs)

    def _by_neuron(self, index, inputs):
        if inputs.group == 1:
            return inputs
        cap = int(cpu.GROUP * inputs.row_ptr[:, -1].max(initial=0))
        rows = self._array((index, "neurons"), (len(inputs.row_ptr), cap), np.int32)
        row_ptr = self._array((index, "neuron_ptr"), inputs.row_ptr.shape, np.int32)
        cpu.ungroup_spikes(inputs.rows, inputs.row_ptr, rows, row_ptr)
        return GridSpikes(rows, row_ptr, inputs.n_neurons)

    def _patterns(self, index, inputs):
        rows = self._array((index, "patterns"), inputs.rows.shape, np.int32)
        row_ptr = self._array((index, "pattern_ptr"), inputs.row_ptr.shape, np.int32)
        cpu.group_spikes(inputs.rows, inputs.row_ptr, rows, row_ptr)
        return GridSpikes(rows, row_ptr, inputs.n_neurons, cpu.GROUP)

    def _run_layer(self, index, layer, w, traced, every):
        batch, n_out = len(layer.inputs.row_ptr), w.shape[1]
        layer.n_neurons = n_out
        table = w
        if self.plan[index] == "pattern":
            groups = -(-w.shape[0] // cpu.GROUP)
            table = self._array((index, "table"), (groups * cpu.PATTERNS, n_out))
            cpu.fold_patterns(w, table)
        nothing = self._array("nothing", (0, 0, 0))
        steps_kept = self.n_steps // every
        layer.v_trace = layer.i_trace = nothing
        if traced or not layer.spiking or self.every_step:
            if not traced:
                steps_kept, every = self.n_steps, 1
            layer.v_trace = self._array((index, "v_trace"), (batch, steps_kept, n_out))
        if traced:
            layer.i_trace = self._array((index, "i_trace"), (batch, steps_kept, n_out))
        cap = max(layer.cap, 16, n_out * min(self.n_steps, FIRST_GUESS) // 16 if layer.spiking else 0)
        layer.spike_ptr = self._array((index, "spike_ptr"), (batch, self.n_steps + 1), np.int32)
        while True:
            layer.cap = cap
            layer.neurons = self._array((index, "spikes"), (batch, cap), np.int32)
            layer.inverse = self._array((index, "inverse"), (batch, cap))
            layer.slope = self._array((index, "slope"), (batch, cap))
            self._advance(index, layer, table, every)
            most = int(layer.spike_ptr[:, -1].max(initial=0))
            if most <= cap:
                return
            cap = most + most // 4

    def _advance(self, index, layer, table, every):
        batch, n_out = len(layer.spike_ptr), table.shape[1]
        layer.spike_ptr[:, 0] = 0
        for block in self._blocks(batch, n_out):
            part = layer.of(block)
            n_samples = len(part.spike_ptr)
            v, i_syn = self._array("v", (n_samples, n_out)), self._array("i_syn", (n_samples, n_out))
            v[:] = 0
            i_syn[:] = 0
            x = self._array("x", (n_samples, min(CHUNK, self.n_steps), n_out))
            for k0, k1 in self._chunks():
                self._drop_faded(k0 > 0, v, i_syn)
                self._sum_input(index, part, table, k0, k1, x)
                cpu.lif_forward(
                    x, part.amplified, part.neuron, part.reset, self.kept, k0, k1, v, i_syn, part.neurons,
                    part.spike_ptr, part.inverse, part.slope, part.v_trace, part.i_trace, every,
                )  # fmt: skip

    def _sum_input(self, index, part, table, k0, k1, x):
        rows, row_ptr = part.inputs.rows, part.inputs.row_ptr
        if self.plan[index] == "dense":
            spikes = self._array("dense", (x.shape[0], x.shape[1], table.shape[0]))
            cpu.dense_spikes(rows, row_ptr, k0, k1, spikes)
            with one_thread():
                dense_kernels().dense_input(spikes, table, k1 - k0, x)
        else:
            cpu.synaptic_input(table, rows, row_ptr, k0, k1, x)

    def _differentiate(self, index, w, signal):
        """Gradient of a layer's weights, and the signal for the layer below (None for the first)."""
        layer = self._layers[index]
        grad = self._array((index, "grad"), w.shape)
        grad[:] = 0
        passed = self._signal_below(index, w)
        if layer.spiking and signal.ndim == 3 and not self.every_step:
            error = self._array((index, "error"), layer.neurons.shape)
            cpu.at_spikes(signal, layer.neurons, layer.spike_ptr, error)
            signal = error
        for block in self._blocks(len(layer.spike_ptr), w.shape[1]):
            self._differentiate_block(
                index, layer.of(block), w, signal[block], grad, None if passed is None else passed[block]
            )
        if self.continuous:
            grad *= self._area * self.dtype.type(layer.gain)
        if layer.dropped is not None:
            passed = layer.dropped.returned(passed)
        return grad, passed

    def _differentiate_block(self, index, part, w, signal, grad, passed):
        batch, n_out = len(part.spike_ptr), w.shape[1]
        g, h, carry = (self._array(key, (batch, n_out)) for key in ("g", "h", "carry"))
        for state in (g, h, carry):
            state[:] = 0
        nothing = self._array("nothing", (0, 0, 0))
        dloss_dv, error = (nothing, signal) if part.spiking else (signal, self._array("no_error", (0, 0)))
        span = min(CHUNK, self.n_steps)
        adjoint = self._array("x", (batch, span, n_out))
        spike_adjoint = self._array("spike_adjoint", (batch, span, n_out)) if index else nothing
        for k0, k1 in reversed(self._chunks()):
            self._drop_faded(k1 < self.n_steps, g, h)
            if part.spiking and self.every_step:
                cpu.surrogate_backward(
                    part.amplified, part.neuron, part.reset, self.width, self.fallback, self.continuous, k0, k1,
                    part.neurons, part.spike_ptr, part.inverse, part.slope, part.v_trace, error, dloss_dv, g, h,
                    adjoint, spike_adjoint,
                )  # fmt: skip
            else:
                cpu.lif_backward(
                    part.amplified, part.neuron, part.reset, self.kept, self.continuous, k0, k1, part.neurons,
                    part.spike_ptr, part.inverse, part.slope, error, dloss_dv, g, h, carry, adjoint, spike_adjoint,
                )  # fmt: skip
            self._add_weight_gradient(index, part, k0, k1, adjoint, grad)
            if index:
                self._pass_down(part, w, k0, k1, spike_adjoint, passed)

    def _add_cost(self, activity_cost, layer, signal):
        # At every step, or at the spikes that are listed.
        listed = True if signal.ndim == 3 else np.arange(signal.shape[1]) < layer.spike_ptr[:, -1:]
        each = self.dtype.type(activity_cost / (len(signal) * layer.n_neurons))
        np.add(signal, each, out=signal, where=listed)

    def _signal_below(self, index, w):
        if not index:
            return None
        batch = len(self._layers[index].spike_ptr)
        shape = (batch, self.n_steps, w.shape[0]) if self.every_step else self._layers[index - 1].neurons.shape
        return self._array((index, "passed"), shape)

    def _add_weight_gradient(self, index, part, k0, k1, adjoint, grad):
        batch, span, n_out = adjoint.shape
        rows, row_ptr = part.inputs.rows, part.inputs.row_ptr
        if self.plan[index] == "dense":
            spikes = self._array("dense_t", (grad.shape[0], batch * span))
            cpu.dense_spikes_by_neuron(rows, row_ptr, k0, k1, span, spikes)
            with one_thread():
                dense_kernels().dense_weight_gradient(spikes, adjoint.reshape(batch * span, n_out), grad)
            return
        n_rows = grad.shape[0]
        if part.inputs.group == cpu.GROUP:
            n_rows = -(-n_rows // cpu.GROUP) * cpu.PATTERNS
        counts = self._array("row_counts", (batch, n_rows), np.int32)
        total = int((row_ptr[:, k1] - row_ptr[:, k0]).sum())
        entries = self._array("entries", (total,), np.int32)
        entry_ptr = self._array("entry_ptr", (n_rows + 1,), np.int64)
        cpu.transpose_rows(rows, row_ptr, k0, k1, span, counts, entries, entry_ptr)
        cpu.weight_gradient(adjoint.reshape(batch * span, n_out), entries, entry_ptr, part.inputs.group, grad)

    def _pass_down(self, part, w, k0, k1, spike_adjoint, passed):
        if self.every_step:
            w_t = self._array("weights_t", w.shape[::-1])
            w_t[:] = w.T
            error = self._array("dense", (*spike_adjoint.shape[:2], w.shape[0]))
            with one_thread():
                dense_kernels().dense_error(spike_adjoint, w_t, k1 - k0, error)
            passed[:, k0:k1] = error[:, : k1 - k0]
        else:
            cpu.spike_error(w, spike_adjoint, part.given.rows, part.given.row_ptr, k0, k1, passed)


def _one_of(name, value, allowed):
    if value not in allowed:
        raise InputError(f"{name} = {value!r}: must be one of {', '.join(allowed)}")
