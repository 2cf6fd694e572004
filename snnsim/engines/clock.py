"""The clock engine: time in steps of dt, spikes as lists, and the gradient of SCIENCE's folded recursion on any graph.

Forward, components of the network (``snnsim.schedule``) run one after another through the whole trial; backward, all
of them run through one chunk of :data:`CHUNK` steps after another, the last first. Each goes over blocks of samples
(:data:`BLOCK`), so that what is passed from kernel to kernel stays in cache, and the only arrays with a time axis
longer than a chunk (and the longest delay) are lists of spikes: memory grows with the number of spikes, not with
``B * T * N``. Estimators with a derivative at every step keep the states at the borders of chunks and compute a chunk's
again.
"""

from dataclasses import dataclass, field
from types import ModuleType
from typing import NamedTuple

import numpy as np

from snnsim.activity import excess_of
from snnsim.engines.clock_neurons import Cells, Sums, scalars_of
from snnsim.engines.grid import GridSpikes, slab_of_grid
from snnsim.engines.outputs import VoltageOutput
from snnsim.engines.ways import make_way
from snnsim.engines.ways.base import Clock
from snnsim.engines.workspace import Workspace
from snnsim.errors import InputError, check_names
from snnsim.estimators import tssl_fallback as tssl_fallback_estimator
from snnsim.kernels import cpu
from snnsim.kernels.cpu.inside import refill_ring
from snnsim.kernels.cpu.loops import backward_of, forward_of
from snnsim.kernels.cpu.synapses import add_errors, sub_list
from snnsim.kernels.cpu.wiring import longest_delay, wiring_of
from snnsim.parameters import check_on_clock
from snnsim.registry import ESTIMATORS
from snnsim.schedule import check_delays, components

CHUNK = 64
BLOCK, LEAST_BLOCK = 2**19, 16
"""Numbers (samples, steps of a chunk and neurons) of a block, and its fewest samples."""
FADED = 2.0**40
"""States below so many times the smallest normal number are set to zero from chunk to chunk: numbers that decay to less
than a normal one are tens of times slower to compute with."""
FIRST_GUESS = 256
"""Room for spikes in every 16th of so many steps, to begin with: a longer trial need not have more of them."""
GRADIENTS = tuple(ESTIMATORS)
WEIGHT_GRADIENTS = ("discrete", "continuous")
SYNAPSES = ("auto", "gather", "pattern", "dense")
PRECISIONS = {"float32": np.float32, "float64": np.float64}


@dataclass
class _Part:
    """A component: its constants, its ways, and what its forward pass leaves for the backward pass."""

    names: tuple
    bounds: np.ndarray
    spiking: bool
    neuron: ModuleType
    again: bool
    inner: tuple
    incoming: list
    currents: list
    biased: list
    drive: np.ndarray | None = None
    constants: tuple = ()
    cells: dict = field(default_factory=dict)
    sums: dict = field(default_factory=dict)
    wiring: tuple = ()
    reach: int = 1
    cap: int = 0
    neurons: np.ndarray | None = None
    spike_ptr: np.ndarray | None = None
    kept: tuple = ()
    traces: tuple = ()
    borders: np.ndarray | None = None
    error: np.ndarray | None = None

    @property
    def size(self):
        """Number of neurons."""
        return int(self.bounds[-1])

    def span(self, name):
        """First neuron of a population, and the one after its last."""
        at = self.names.index(name)
        return int(self.bounds[at]), int(self.bounds[at + 1])


class LayerConstants(NamedTuple):
    """What the kernels for one layer take: ``(a_ii, b_i, a_vv, a_vi, b_v)``, the neuron, its reset, if it spikes."""

    coefficients: tuple
    neuron: tuple
    reset: int
    spiking: bool


class ClockEngine:
    """Forward and backward pass of a network on a clock.

    Parameters
    ----------
    network : Network
        Structure; tensors are given to each pass.
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
        How fully connected input is summed: rows of single inputs, rows of patterns of four inputs, or a dense product.
        ``auto`` decides a connection's way at the first batch it sees, from its measured activity (:attr:`plan`).

    Attributes
    ----------
    plan : dict of str to str or None
        Way of each connection that has a choice, None while undecided. Part of a checkpoint: it decides the order of
        sums. May be set.

    Raises
    ------
    InputError
        For options out of range, delays that the clock cannot run, or a network beyond what a gradient can do.
    """

    name = "clock"

    def __init__(
        self,
        network,
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
        check_names("gradient", gradient, GRADIENTS)
        check_names("weight_gradient", weight_gradient, WEIGHT_GRADIENTS)
        check_names("precision", precision, PRECISIONS)
        check_names("synapse", synapse, SYNAPSES)
        if n_steps < 1:
            raise InputError(f"n_steps = {n_steps}: must be at least 1")
        if gradient == "literal":
            network.require_chain("gradient = 'literal'")
        self.network = network
        self.dt, self.n_steps, self.duration = float(dt), int(n_steps), float(dt) * int(n_steps)
        self.gradient, self.scheme, self.impulse = gradient, scheme, impulse
        self.dtype = np.dtype(PRECISIONS[precision])
        self.continuous = weight_gradient == "continuous"
        self.fallback = gradient == "tssl"
        # What the kernels for one layer on a GPU take.
        self.width = self.dtype.type(tssl_width if self.fallback else surrogate_slope)
        self._bound = self.dtype.type(tssl_max_inverse if self.takes_amplitude else max_inverse_slope)
        estimator = tssl_fallback_estimator if self.fallback and tssl_fallback else ESTIMATORS.find(gradient)
        self._estimator, self.every_step = estimator, estimator.EVERY_STEP
        given = {
            "max_inverse": tssl_max_inverse if gradient == "tssl" else max_inverse_slope,
            "width": tssl_width,
            "steepness": surrogate_slope,
        }
        self._settings = estimator.Settings(*(self.dtype.type(given[key]) for key in estimator.Settings._fields))
        # The continuous model's coefficient of a unit-height pulse is dt times that of an impulse.
        self.area = self.dtype.type(dt if impulse == "unit-height" else 1)
        self._check_neurons()
        check_delays(network, self.dt, self.duration)
        self._workspace = Workspace()
        self._clock = Clock(self.dt, self.n_steps, self.dtype, self.takes_amplitude, self.every_step, synapse)
        self._parts = [self._part(component) for component in components(network)]
        self._output = network.output.name
        self._spikes, self._dropped = {}, {}

    def _check_neurons(self):
        for p in self.network.populations_by_name.values():
            if p.is_input:
                continue
            check_on_clock(p.neuron, self.dt, self.scheme, f"population {p.name}")

    @property
    def takes_amplitude(self):
        """Whether :meth:`backward` takes dL/ds of every step rather than dL/d(spike time) of the output spikes."""
        return self.gradient in ("tssl", "surrogate")

    @property
    def plan(self):
        """Way of each connection that has a choice."""
        return {way.name: way.plan for way in self._ways() if way.chooses}

    @plan.setter
    def plan(self, plan):
        ways = {way.name: way for way in self._ways() if way.chooses}
        for name, chosen in plan.items():
            if name not in ways:
                raise InputError(f"plan: {name}: no connection that has a choice; there are {', '.join(ways)}")
            ways[name].plan = chosen

    def plan_plainly(self):
        """Decide every open plan for the one that needs no tables."""
        for way in self._ways():
            way.plan = way.plan or way.plainest

    @property
    def takes_patterns(self):
        """Whether the input may come as patterns of four: all its connections take them as they are."""
        ways = [way for way in self._ways() if way.source.is_input]
        return len(self.network.inputs) == 1 and all(getattr(way, "takes_patterns", False) for way in ways)

    def constants(self, name):
        """Neuron's constants of a population, a named tuple of its module of scalars."""
        return self._cast(self._part_of(name).neuron, [self._cells(name, {})])

    def _cells(self, name, tensors):
        population = self.network.populations_by_name[name]
        return Cells(population, tensors, self.dt, self.scheme, self.impulse)

    def _cast(self, module, cells):
        """Constants of populations one after another, of the engine's dtype: numbers where all neurons share them."""
        each = [c.constants(module) for c in cells]
        if all(np.ndim(v) == 0 for one in each for v in one.values()) and all(one == each[0] for one in each):
            columns = each[0]
        else:
            columns = {
                key: np.concatenate([np.broadcast_to(one[key], c.size) for one, c in zip(each, cells, strict=True)])
                for key in each[0]
            }
        return module.Constants(
            *(
                (np.asarray(v, np.int64) if np.ndim(v) else int(v))
                if key == "reset"
                else (np.asarray(v, self.dtype) if np.ndim(v) else self.dtype.type(v))
                for key, v in ((key, columns[key]) for key in module.Constants._fields)
            )
        )

    def layer_constants(self, index):
        """Constants of a chain's layer as the kernels for one layer take them.

        Returns
        -------
        LayerConstants
        """
        population = [p for p in self.network.populations_by_name.values() if not p.is_input][index]
        c, settings = self.constants(population.name), self._settings
        bound = getattr(settings, "max_inverse", None)
        bound = self._bound if bound is None else bound
        neuron = c.v_threshold, c.v_reset, c.r, c.tau_mem, c.tau_syn, c.dt, bound
        return LayerConstants((c.a_ii, c.b_i, c.a_vv, c.a_vi, c.b_v), neuron, c.reset, population.spiking)

    def forward(self, tensors, inputs, trace=(), every=1, dropout=None):
        """Simulate a batch.

        Parameters
        ----------
        tensors : dict of str to ndarray
            By name (:meth:`~snnsim.Network.tensor_shapes`), of the engine's dtype, C-contiguous.
        inputs : GridSpikes, or dict of str to GridSpikes or ndarray
            Spikes of the one input, or of each by name; currents (B, T, N), or (B, N) for a whole trial.
        trace : collection of str
            Populations whose membrane and current are kept, for :meth:`traces`.
        every : int
            Keep them after every ``every``-th step.
        dropout : Dropout, optional
            Of hidden neurons, in training.

        Returns
        -------
        SpikeOutput or VoltageOutput
            Of the output population; its arrays belong to the engine and hold until the next forward pass.

        Raises
        ------
        InputError
            If the input does not fit the network.
        """
        self._spikes, self._dropped = self._given(inputs), {}
        for part in self._parts:
            self._prepare(part, tensors, dropout)
            self._run(part, trace, every)
            self._publish(part)
        last = self._part_of(self._output)
        if not last.spiking:
            return VoltageOutput(last.traces[0], self.duration)
        return slab_of_grid(self._spikes[self._output], self.dt)

    def grids(self, names=None):
        """Spikes of the last forward pass on the grid, by population: of the named ones, or of all."""
        return {
            name: self._by_neuron(name) if spikes.group != 1 else spikes
            for name, spikes in self._spikes.items()
            if isinstance(spikes, GridSpikes) and (names is None or name in names)
        }

    def spikes(self):
        """Slabs of the last forward pass, by population."""
        return {name: slab_of_grid(grid, self.dt) for name, grid in self.grids().items()}

    def spike_totals(self):
        """Spikes in the last batch, by population that is no input and spikes."""
        return {
            name: int(self._spikes[name].row_ptr[:, -1].sum())
            for part in self._parts
            if part.spiking
            for name in part.names
        }

    def traces(self, name):
        """Give ``(v, i_syn)`` of a traced population, (B, T // every, N), relative to rest and before reset."""
        part = self._part_of(name)
        low, high = part.span(name)
        return tuple(part.traces[part.neuron.STATE.index(key)][:, :, low:high] for key in ("v", "i_syn"))

    def last_presynaptic(self):
        """Spikes that reached the output by its first connection: ``neurons`` (B, cap) and ``counts`` (B,) int32."""
        given = self._part_of(self._output).incoming[0].arrived()
        return given.rows, given.row_ptr[:, -1]

    def backward(self, tensors, gradient, on_tensor=None, activity_cost=0.0, rate=None):
        """Differentiate the loss by the tensors that are learnt, for the batch of the last forward pass.

        Parameters
        ----------
        tensors : dict of str to ndarray
            The same as in the forward pass.
        gradient : ndarray
            Leaky readout: (B, T, C) dL/dv. Spiking readout: (B, cap) dL/d(spike time) of the output's slab; if
            :attr:`takes_amplitude`, (B, T, C) dL/ds.
        on_tensor : callable, optional
            Called with (name, gradient) as soon as one is complete.
        activity_cost : float
            Only if :attr:`takes_amplitude`: weight of the term that adds, for each hidden component, the mean number of
            spikes of a neuron in a trial to the loss.
        rate : (float, float), optional
            Strength and wanted number of spikes of hidden neurons, ``snnsim.activity``.

        Returns
        -------
        dict of str to ndarray
            Of every tensor that is learnt; they belong to the engine and hold until the next backward pass.
        """
        self._check_differentiable()
        signal = np.ascontiguousarray(gradient, self.dtype)
        grads = {}
        for name in self.network.learnt():
            grads[name] = self._array((name, "grad"), tensors[name].shape)
            grads[name][...] = 0
        for part in self._parts:
            self._begin_backward(part, signal, activity_cost, rate)
        for k0, k1 in reversed(self._chunks()):
            if self.every_step:
                for name in self.spike_totals():
                    self._error_of(name)[:] = 0
            for part in reversed(self._parts):
                self._collect_errors(part, k0, k1, signal, activity_cost, rate)
                for block in self._blocks(len(part.spike_ptr), part.size):
                    self._step_back(part, block, k0, k1, signal, grads)
                if k0 == 0:
                    self._finish(part, grads, on_tensor)
        return grads

    def _check_differentiable(self):
        for p in self.network.populations_by_name.values():
            if not (p.is_input or p.neuron.filtered or self.takes_amplitude):
                raise InputError(
                    f"gradient = {self.gradient!r} (population {p.name}): {p.neuron.kind} spikes when a spike arrives, "
                    "whatever its weight: use surrogate or tssl"
                )

    def _ways(self):
        return [way for part in self._parts for way in (*part.incoming, *part.currents)]

    def _part_of(self, name):
        return next(part for part in self._parts if name in part.names)

    def _part(self, component):
        network, names = self.network, component.populations
        populations = [network.populations_by_name[name] for name in names]
        bounds = np.concatenate([[0], np.cumsum([p.size for p in populations])]).astype(np.int64)
        neuron = scalars_of(populations)
        again = populations[0].spiking and (self.every_step or neuron.LOOKS_BACK)
        inner = {c.name for c in component.inner}
        outer = [c for name in names for c in network.into(name) if c.name not in inner]
        ways = [make_way(c, network, self._clock, self._workspace) for c in outer]
        incoming = [way for way in ways if way.source.spiking]
        currents = [way for way in ways if not way.source.spiking]
        biased = [name for name in names if network.populations_by_name[name].bias]
        own = tuple(make_way(c, network, self._clock, self._workspace, inner=True) for c in component.inner)
        return _Part(names, bounds, populations[0].spiking, neuron, again, own, incoming, currents, biased)

    def _array(self, key, shape, dtype=None):
        return self._workspace.array(key, shape, self.dtype if dtype is None else dtype)

    def _chunks(self):
        return [(k, min(k + CHUNK, self.n_steps)) for k in range(0, self.n_steps, CHUNK)]

    def _blocks(self, batch, n_out):
        """Equal portions of a batch, as slices; they decide the order of sums, so they depend on sizes alone."""
        wanted = -(-batch * min(CHUNK, self.n_steps) * n_out // BLOCK)
        n_blocks = max(1, min(wanted, batch // LEAST_BLOCK))
        return [slice(batch * k // n_blocks, batch * (k + 1) // n_blocks) for k in range(n_blocks)]

    def _drop_faded(self, *states):
        for state in states:
            state[np.abs(state) < FADED * np.finfo(self.dtype).tiny] = 0

    def _given(self, inputs):
        """Input of every population that comes from outside, checked."""
        wanted = {p.name: p for p in self.network.inputs}
        if not isinstance(inputs, dict):
            if len(wanted) != 1:
                raise InputError(f"input: the network has {len(wanted)} inputs, {', '.join(wanted)}: give each by name")
            inputs = dict.fromkeys(wanted, inputs)
        if set(inputs) != set(wanted):
            raise InputError(f"input: given for {', '.join(inputs)}; the network has {', '.join(wanted)}")
        for name, given in inputs.items():
            if wanted[name].kind == "current":
                self._check_current(wanted[name], given)
                continue
            if given.n_neurons != wanted[name].size:
                raise InputError(f"input: {given.n_neurons} neurons; {name} has {wanted[name].size}")
            if given.row_ptr.shape[1] != self.n_steps + 1:
                raise InputError(f"input: {given.row_ptr.shape[1] - 1} steps; the engine has {self.n_steps}")
        return dict(inputs)

    def _check_current(self, population, given):
        shape = np.shape(given)
        if shape[1:] not in ((population.size,), (self.n_steps, population.size)):
            raise InputError(
                f"input: currents of shape {shape}; {population.name} takes (trials, {population.size}) or (trials, "
                f"{self.n_steps}, {population.size})"
            )

    def _prepare(self, part, tensors, dropout):
        """Give every connection into a component its tensors and spikes."""
        for way in part.incoming:
            spikes, gain = self._spikes[way.source.name], 1.0
            if dropout is not None and not way.source.is_input:
                if way.source.name not in self._dropped:
                    layer = [p.name for p in self.network.populations_by_name.values() if not p.is_input]
                    self._dropped[way.source.name] = dropout.drop(layer.index(way.source.name), spikes)
                spikes, gain = self._dropped[way.source.name].spikes, dropout.gain
            way.begin(tensors, spikes, gain)
        for way in part.currents:
            way.begin(tensors, self._spikes[way.source.name])
        part.drive = self._array((part.names, "bias"), (1, 1, part.size if part.biased else 0))
        part.drive[:] = 0
        for name in part.biased:
            low, high = part.span(name)
            part.drive[0, 0, low:high] = tensors[f"{name}.bias"]
        part.cells = {name: self._cells(name, tensors) for name in part.names}
        # What no tensor gives is the same in every batch.
        given = any(cells.given for cells in part.cells.values())
        if not part.constants or given:
            part.constants = self._cast(part.neuron, part.cells.values())
        if not part.wiring or part.inner:
            part.wiring = self._wired(part, tensors)
        part.reach = max([1, *(way.reach for way in part.incoming), *(self._inner_reach(part))])
        self._tensors = tensors

    def _inner_reach(self, part):
        return [longest_delay(part.wiring) + 2] if part.inner else []

    def _wired(self, part, tensors):
        """Arrange the connections inside a component as its loops take them."""
        edges = []
        for way in part.inner:
            source, target = part.names.index(way.source.name), part.names.index(way.target.name)
            edges.append(way.edge(tensors, source, target))
        return wiring_of(np.diff(part.bounds), edges, self.dtype, transposed=self.every_step)

    def _run(self, part, trace, every):
        """Simulate a component."""
        traced = any(name in trace for name in part.names)
        batch = self._batch()
        n_populations, n = len(part.names), part.size
        names = part.neuron.STATE
        kept, rows = (), 0
        if traced:
            kept, rows = names, self.n_steps // every
        elif self._repeats(part) and self.n_steps <= CHUNK:
            kept, rows, every = names, self.n_steps, 1
        elif not part.spiking:
            kept, rows, every = ("v",), self.n_steps, 1
        part.traces = tuple(
            self._array((part.names, key, "trace"), (batch, rows, n) if key in kept else (0, 0, 0)) for key in names
        )
        cap = max(part.cap, 16, n * min(self.n_steps, FIRST_GUESS) // 16 if part.spiking else 0)
        part.spike_ptr = self._array((part.names, "spike_ptr"), (batch, self.n_steps * n_populations + 1), np.int32)
        while True:
            part.cap = cap
            part.neurons = self._array((part.names, "spikes"), (batch, cap), np.int32)
            part.kept = tuple(self._array((part.names, key), (batch, cap)) for key in self._estimator.KEPT)
            self._advance(part, every)
            most = int(part.spike_ptr[:, -1].max(initial=0))
            if most <= cap:
                return
            cap = most + most // 4

    def _batch(self):
        given = next(iter(self._spikes.values()))
        return len(given.row_ptr) if isinstance(given, GridSpikes) else len(given)

    def _advance(self, part, every):
        part.spike_ptr[:, 0] = 0
        chunks = self._chunks()
        part.borders = self._borders(part, chunks)
        for block in self._blocks(len(part.spike_ptr), part.size):
            state, ring = self._states(part, block)
            x = self._array("x", (len(state[0]), min(CHUNK, self.n_steps), part.size))
            for index, (k0, k1) in enumerate(chunks):
                if k0:
                    self._drop_faded(*state)
                if part.borders is not None:
                    part.borders[index, :, block] = state
                self._sum_input(part, block, k0, k1, x)
                self._loop(part, block, k0, k1, x, state, ring, part.traces, 0, every)

    def _borders(self, part, chunks):
        """Room for the states at the start of each chunk, where they are needed again."""
        if not self._repeats(part):
            return None
        shape = (len(chunks), len(part.neuron.STATE), len(part.spike_ptr), part.size)
        return self._array((part.names, "states"), shape)

    def _repeats(self, part):
        """Whether the backward pass of a component needs the states of every step."""
        return part.again or any(cells.given for cells in part.cells.values())

    def _driven(self, part, block, k0, k1):
        """Sum the current into the membranes of a component: its biases, and what inputs of currents send."""
        drive = part.drive
        for way in part.currents:
            low, high = part.span(way.target.name)
            flows = way.current(block, k0, k1)
            if high - low == part.size:
                drive = flows + drive if drive.size else flows
                continue
            wide = np.zeros((*flows.shape[:2], part.size), self.dtype)
            wide[:, :, low:high] = flows
            drive = wide + drive if drive.size else wide
        return np.ascontiguousarray(drive)

    def _states(self, part, block):
        """States at the start of a trial, and the ring of input that is under way inside a component."""
        size = (block.stop - block.start, part.size)
        depth = longest_delay(part.wiring) + 1 if part.wiring.indptr.size else 0
        state = tuple(self._array(name, size) for name in part.neuron.STATE)
        for index, values in enumerate(state):
            for name, cells in part.cells.items():
                low, high = part.span(name)
                values[:, low:high] = cells.start(part.neuron)[index]
        ring = self._array("ring", (size[0], depth, size[1]) if depth else (0, 0, 0))
        ring[:] = 0
        return state, ring

    def _loop(self, part, block, k0, k1, x, state, ring, traces, first, every):
        forward_of(part.neuron, self._estimator, bool(part.inner))(
            x, self._driven(part, block, k0, k1), part.constants, self._settings, part.wiring, k0, k1, state, ring,
            part.neurons[block], part.spike_ptr[block], tuple(kept[block] for kept in part.kept),
            tuple(trace[block] if len(trace) == len(part.spike_ptr) else trace for trace in traces), first, every,
        )  # fmt: skip

    def _sum_input(self, part, block, k0, k1, x):
        """Sum what the component's connections from outside bring in the steps ``k0 <= k < k1``."""
        alone = len(part.names) == 1
        if not (alone and part.incoming):
            x[:, : k1 - k0] = 0
        for index, way in enumerate(part.incoming):
            if alone and not index:
                way.input(block, k0, k1, x)
                continue
            low, high = part.span(way.target.name)
            more = self._array("more", (len(x), x.shape[1], high - low))
            way.input(block, k0, k1, more)
            x[:, : k1 - k0, low:high] += more[:, : k1 - k0]

    def _publish(self, part):
        """Give the populations of a component their own lists of spikes."""
        if not part.spiking:
            return
        if len(part.names) == 1:
            self._spikes[part.names[0]] = GridSpikes(part.neurons, part.spike_ptr, part.size)
        else:
            for name in part.names:
                low, high = part.span(name)
                rows = self._array((name, "own"), part.neurons.shape, np.int32)
                row_ptr = self._array((name, "own_ptr"), (len(rows), self.n_steps + 1), np.int32)
                source = self._array((name, "own_source"), part.neurons.shape, np.int32)
                sub_list(part.neurons, part.spike_ptr, part.bounds[:-1], low, high, rows, row_ptr, source)
                self._spikes[name] = GridSpikes(rows, row_ptr, high - low)
        for way in part.inner:
            way.begin(self._tensors, self._spikes[way.source.name])

    def _by_neuron(self, name):
        way = next(way for way in self._ways() if way.source.name == name)
        return way.by_neuron(self._spikes[name])

    def _begin_backward(self, part, signal, activity_cost, rate):
        """Zero what the backward pass of a component adds to."""
        batch, n = len(part.spike_ptr), part.size
        adjoints = (*part.neuron.ADJOINT, *self._estimator.EXTRA)
        part.adjoint_state = tuple(self._array((part.names, key), (batch, n)) for key in adjoints)
        part.carried = self._array((part.names, "carried"), (batch, part.reach, n))
        by_time = not self.takes_amplitude
        part.sums = {name: Sums(cells, part.neuron, by_time) for name, cells in part.cells.items() if cells.given}
        for array in (*part.adjoint_state, part.carried):
            array[:] = 0
        if not part.spiking:
            return
        price = self._price(part, activity_cost)
        for name in part.names:
            grid = self._spikes[name]
            if self.every_step:
                self._array((name, "error"), (batch, min(CHUNK, self.n_steps), grid.n_neurons))
            else:
                error = self._array((name, "error"), grid.rows.shape)
                error[:] = price
                if rate and name != self._output:
                    self._add_rate(part, name, rate, error)
            if name in self._dropped:
                self._array((name, "dropped"), grid.rows.shape)[:] = 0
        if len(part.names) > 1 and not self.every_step:
            self._array((part.names, "error"), part.neurons.shape)[:] = 0
        if self._output in part.names and not self.every_step:
            error = self._array((self._output, "error"), self._spikes[self._output].rows.shape)
            if signal.ndim == 3:
                grid = self._spikes[self._output]
                cpu.at_spikes(signal, grid.rows, grid.row_ptr, error)
            else:
                error[:] = signal

    def _add_rate(self, part, name, rate, error):
        """Add to the errors of a population's spikes what brings their number nearer to the wanted one."""
        grid, tau_mem = self._spikes[name], part.cells[name].values["tau_mem"]
        excess = excess_of(grid.rows, grid.row_ptr[:, -1], grid.n_neurons, rate) * tau_mem
        places = np.arange(error.shape[1])[None] if len(part.names) == 1 else self._array(
            (name, "own_source"), part.neurons.shape, np.int32
        )
        filled = np.arange(error.shape[1]) < grid.row_ptr[:, -1:]
        inverse = np.take_along_axis(part.kept[0], np.broadcast_to(np.where(filled, places, 0), error.shape), 1)
        pull = np.take_along_axis(excess, np.where(filled, grid.rows, 0), 1)
        # The loops divide by the slope; an error by amplitude has the other sign.
        error[filled] += ((pull if self.takes_amplitude else -pull)[filled] / inverse[filled]).astype(self.dtype)

    def _price(self, part, activity_cost):
        if self._output in part.names or not activity_cost:
            return self.dtype.type(0)
        return self.dtype.type(activity_cost / (len(part.spike_ptr) * part.size))

    def _collect_errors(self, part, k0, k1, signal, activity_cost, rate):
        """Bring the errors of a component's spikes in a chunk together, as its loop takes them."""
        if not part.spiking:
            return
        span = k1 - k0
        if self.every_step:
            for name in part.names:
                error = self._error_of(name)
                if name in self._dropped:
                    error[:, :span] *= self._dropped[name].kept[:, None, :]
                if name == self._output:
                    error[:, :span] += signal[:, k0:k1]
                price = self._price(part, activity_cost)
                if price:
                    error[:, :span] += price
                if rate and name != self._output:
                    grid = self._spikes[name]
                    error[:, :span] += excess_of(grid.rows, grid.row_ptr[:, -1], grid.n_neurons, rate)[:, None]
            part.error = self._joined(part, span)
            return
        for name in part.names:
            if name in self._dropped:
                dropped = self._dropped[name]
                found = self._array((name, "dropped"), dropped.spikes.rows.shape)
                add_errors(found, dropped.spikes.row_ptr, dropped.source, k0, k1, self._error_of(name))
        if len(part.names) == 1:
            part.error = self._error_of(part.names[0])
            return
        part.error = self._array((part.names, "error"), part.neurons.shape)
        for name in part.names:
            grid, source = self._spikes[name], self._array((name, "own_source"), part.neurons.shape, np.int32)
            error = self._error_of(name)
            add_errors(error, grid.row_ptr, source, k0, k1, part.error)

    def _joined(self, part, span):
        if len(part.names) == 1:
            return self._error_of(part.names[0])
        batch = len(part.spike_ptr)
        joined = self._array((part.names, "error"), (batch, min(CHUNK, self.n_steps), part.size))
        for name in part.names:
            low, high = part.span(name)
            joined[:, :span, low:high] = self._error_of(name)[:, :span]
        return joined

    def _error_of(self, name):
        grid = self._spikes[name]
        if self.every_step:
            return self._array((name, "error"), (len(grid.row_ptr), min(CHUNK, self.n_steps), grid.n_neurons))
        return self._array((name, "error"), grid.rows.shape)

    def _step_back(self, part, block, k0, k1, signal, grads):
        """Run a component's adjoint through a chunk of a block of samples, and what follows of it."""
        span, batch, n = k1 - k0, block.stop - block.start, part.size
        nothing = self._array("nothing", (0, 0, 0))
        adjoint = self._array("adjoint", (batch, min(CHUNK, self.n_steps) + part.reach, n))
        adjoint[:, span : span + part.reach] = part.carried[block]
        state = tuple(values[block] for values in part.adjoint_state)
        if k1 < self.n_steps:
            self._drop_faded(*state)
        below = not self.every_step and any(not way.source.is_input for way in part.incoming)
        passed = self._array("passed", (batch, min(CHUNK, self.n_steps), n)) if below else nothing
        current = self._array("current", (batch, min(CHUNK, self.n_steps), n)) if self.continuous else nothing
        felt = part.currents or any(f"{name}.bias" in grads for name in part.biased)
        membrane = self._array("membrane", (batch, min(CHUNK, self.n_steps), n)) if felt else nothing
        states, dloss_dv, first = (), nothing, k0
        if self._repeats(part):
            states = self._again(part, block, k0, k1)
        elif self.every_step:  # a readout, of whose states nothing is read
            states = tuple(part.traces[0][block] for _ in part.neuron.STATE)
        if part.spiking:
            error = part.error[block]
        else:
            # A readout has no spikes whose error there could be.
            dloss_dv, first = (signal[block, k0:k1].copy(), k0) if part.sums else (signal[block], 0)
            error = self._array("no_error", dloss_dv.shape if self.every_step else (batch, 0))
            error[:] = 0
        told, later = (), ()
        if part.sums:
            later = tuple(values.copy() for values in state)
            shape = batch, min(CHUNK, self.n_steps), n
            told = tuple(self._array(("told", key), shape) for key in part.neuron.ADJOINT)
        backward_of(part.neuron, self._estimator, bool(part.inner))(
            part.constants, self._settings, part.wiring, k0, k1, part.neurons[block], part.spike_ptr[block],
            tuple(kept[block] for kept in part.kept), states, error, dloss_dv, first, state, adjoint, passed, current,
            membrane, told,
        )  # fmt: skip
        for name, sums in part.sums.items():
            self._sum_constants(part, name, sums, block, k0, k1, states, later, told, signal)
            if k0 == 0:
                low, high = part.span(name)
                sums.begin([values[:, low:high] for values in state])
        part.carried[block] = adjoint[:, : part.reach]
        self._follow(part, block, k0, k1, adjoint, passed, current, grads)
        for way in part.currents:
            low, high = part.span(way.target.name)
            way.drive_gradient(block, k0, k1, membrane[:, :, low:high], grads)
        for name in part.biased:
            if f"{name}.bias" in grads:
                low, high = part.span(name)
                found = membrane[:, :span, low:high].sum(axis=(0, 1), dtype=np.float64)
                grads[f"{name}.bias"] += found.astype(self.dtype)

    def _again(self, part, block, k0, k1):
        """States of every step of a chunk, computed from those at its border as in the forward pass."""
        batch, span = block.stop - block.start, min(CHUNK, self.n_steps)
        if all(trace.shape[1] == self.n_steps for trace in part.traces) and self.n_steps <= CHUNK:
            return tuple(trace[block] for trace in part.traces)
        state, ring = self._states(part, block)
        for values, kept in zip(state, part.borders[k0 // CHUNK], strict=True):
            values[:] = kept[block]
        if ring.size:
            refill_ring(part.wiring, k0, part.neurons[block], part.spike_ptr[block], ring)
        traces = tuple(self._array(("again", name), (batch, span, part.size)) for name in part.neuron.STATE)
        x = self._array("x", (batch, span, part.size))
        self._sum_input(part, block, k0, k1, x)
        self._loop(part, block, k0, k1, x, state, ring, traces, k0, 1)
        return traces

    def _sum_constants(self, part, name, sums, block, k0, k1, states, later, told, signal):
        """Sum what the gradients of a population's constants need of a chunk."""
        (low, high), span = part.span(name), k1 - k0
        grid = self._spikes.get(name)
        spikes = np.zeros((block.stop - block.start, span, high - low), bool)
        if part.spiking:
            for at, b in enumerate(range(block.start, block.stop)):
                ends = grid.row_ptr[b, k0 : k1 + 1]
                spikes[at, np.repeat(np.arange(span), np.diff(ends)), grid.rows[b, ends[0] : ends[-1]]] = True
        drive = self._driven(part, block, k0, k1)
        sums.add(
            [values[block, low:high] for values in part.borders[k0 // CHUNK]],
            [values[:, :span, low:high] for values in states],
            [values[:, low:high] for values in later],
            [values[:, :span, low:high] for values in told],
            spikes,
            0 if part.spiking else signal[block, k0:k1],
            drive[:, :span, low:high] if drive.size else 0.0,
        )

    def _follow(self, part, block, k0, k1, adjoint, passed, current, grads):
        """Gradients of the connections into a component, and errors of the spikes that came through them."""
        for way in (*part.incoming, *part.inner):
            low, high = part.span(way.target.name)
            whole = len(part.names) == 1
            rows = adjoint if whole else np.ascontiguousarray(adjoint[:, :, low:high])
            for_weights = rows
            if self.continuous:
                for_weights = current if whole else np.ascontiguousarray(current[:, :, low:high])
            way.gradient(block, k0, k1, for_weights, grads)
            way.delay_change(block, k0, k1, rows, grads)
            if way in part.inner or way.source.is_input:
                continue
            name = way.source.name
            if self.every_step:
                way.error_everywhere(block, k0, k1, rows, self._error_of(name)[block])
                continue
            target = self._error_of(name)
            if name in self._dropped:
                target = self._array((name, "dropped"), self._spikes[name].rows.shape)
            lines = passed if whole else np.ascontiguousarray(passed[:, :, low:high])
            way.error(block, k0, k1, lines, target[block])

    def _finish(self, part, grads, on_tensor):
        """Scale and announce the gradients of a component's connections, biases and constants."""
        found = {}
        for name, sums in part.sums.items():
            found |= part.cells[name].gradients(sums)
        grads |= {name: np.asarray(value, self.dtype) for name, value in found.items()}
        names = [f"{name}.bias" for name in part.biased] + list(found)
        for way in (*part.incoming, *part.inner):
            if self.continuous and way.name in grads:
                grads[way.name] *= self.area
            names += [way.name, f"{way.name}.delay"]
        names += [way.name for way in part.currents]
        if on_tensor is not None:
            for name in names:
                if name in grads:
                    on_tensor(name, grads[name])
