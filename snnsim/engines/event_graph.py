"""The exact engine on every graph: component by component in continuous time, with the exact gradient."""

from dataclasses import dataclass, field

import numpy as np

from snnsim.activity import excess_of
from snnsim.dynamics.integral import faded
from snnsim.engines.constants import HEAVY, as_shaped, constant_gradients
from snnsim.engines.event import PRECISIONS, EventEngine, most_spikes
from snnsim.engines.graph_tables import cells_of, delay_kind, groups_of, runs_of, unit_size, wires_of
from snnsim.engines.outputs import ScoreOutput, SpikeOutput, VoltageOutput
from snnsim.engines.workspace import Workspace
from snnsim.errors import InputError, check_names
from snnsim.kernels.events.arrivals import Store
from snnsim.kernels.events.backward import add_parts
from snnsim.kernels.events.forward import all_within
from snnsim.kernels.events.graph_backward import N_SUMS, graph_backward
from snnsim.kernels.events.graph_forward import (
    A0,
    BETA,
    FULL,
    JUMP,
    PULL,
    T_REF,
    TAU_A,
    TAU_MEM,
    TAU_SYN,
    THETA,
    TOO_FAST,
    Plan,
    graph_forward,
)
from snnsim.kernels.events.graph_trace import graph_trace
from snnsim.kernels.events.integral import integral_backward, integral_forward
from snnsim.kernels.events.jumping import CELLS as JUMPING
from snnsim.kernels.events.jumping import jumping_forward
from snnsim.kernels.interruptible import until_done
from snnsim.neurons.matrices import values_of
from snnsim.parameters import check_continuous
from snnsim.schedule import components, ordered

READOUTS = ("sampled", "integral", "max")
CONSTANTS = (
    "tau_mem", "tau_syn", "tau_a", "r", "v_threshold", "v_reset", "v_leak", "beta", "c_a", "q", "t_ref", "v0", "i0",
    "a0",
)  # fmt: skip
"""Constants of a neuron that may be tensors, ``population.constant``."""
LEAST_INTERVAL = 5e-3
"""Mean interval between a neuron's spikes, of the least time constant, below which a cycle of the graph runs away."""
_PARTS = 16  # groups of samples whose gradients are summed apart; no number of threads enters


@dataclass
class _Component:
    """Populations that advance together, with the tables of their connections and what a forward pass leaves."""

    names: tuple
    sizes: list
    bases: dict
    connections: list
    kinds: list
    wires: object
    sources: list
    unit: int
    slab: int
    readout: bool
    jumping: bool
    state: dict = field(default_factory=dict)

    @property
    def size(self):
        return sum(self.sizes)


class GraphEventEngine:
    """Forward and backward pass of a network in continuous time.

    Spikes are found from the closed form of the membrane: none is missed, none invented. The gradient is the derivative
    of the simulated loss by every tensor; memory grows with the number of spikes. The same bits come out for any number
    of threads.

    Parameters
    ----------
    network : Network
        Its structure and neurons; values of tensors are given with every pass.
    duration : float
        Length of a trial, > 0, in the unit of the time constants.
    n_samples : int
        Times at which a readout is sampled, ``(k + 1) * duration / n_samples``.
    readout : {"sampled", "integral", "max"}
        What is read of an output without threshold: its membrane at the sample times; its integral over the trial,
        ``int e^{-t/tau_w} v dt``; or its largest value.
    tau_w : float
        Time constant of the integral's weight; inf for the plain integral.
    precision : {"float64", "float32"}
        Of weights, states and gradients; spike times are always float64.
    max_inverse_slope : float
        Bound of 1/slope at a spike in the backward pass.
    windows : bool
        Whether spikes of a cycle are settled neuron by neuron as far as its least delay allows; else one by one, in
        global order, which gives the same spikes more slowly.
    layers : bool
        Whether fully connected layers may use their own kernels, which know no ``rate``.

    Notes
    -----
    At one instant: own spike, release from the refractory period, arrivals. Arrivals at or after the end do not exist.
    A delay a synapse costs one event a synapse, where other delays cost one a spike.
    """

    name = "event"

    def __init__(
        self,
        network,
        *,
        duration,
        n_samples=50,
        readout="sampled",
        tau_w=np.inf,
        precision="float64",
        max_inverse_slope=1e4,
        windows=True,
        layers=True,
    ):
        check_names("readout", readout, READOUTS)
        for name, value in (("duration", duration), ("max_inverse_slope", max_inverse_slope), ("tau_w", tau_w)):
            if not value > 0 or (name == "duration" and not value < np.inf):
                raise InputError(f"{name} = {value}: must be a positive number")
        if n_samples < 1:
            raise InputError(f"n_samples = {n_samples}: must be at least 1")
        check_names("precision", precision, PRECISIONS)
        self.network, self.duration, self.readout = network, float(duration), readout
        self.tau_w, self.windows = float(tau_w), bool(windows)
        self.dtype, self.max_inverse_slope = PRECISIONS[precision], float(max_inverse_slope)
        self.sample_times = self.duration * np.arange(1, n_samples + 1) / n_samples
        self.n_bins = 0
        self._workspace, self._caps = Workspace(spare=0.25), {}
        self._check_neurons()
        self._chain = self._chain_engine(precision, n_samples) if layers else None
        self._components, self._inputs = [], [p.name for p in network.inputs]
        self._place = {name: (k, 0) for k, name in enumerate(self._inputs)}
        for group in components(network, instant=True):
            self._components.append(self._component(group))
        self._slabs, self._tensors = {}, {}

    def _check_neurons(self):
        network = self.network
        output = network.output
        for p in network.populations_by_name.values():
            if p.kind != "spikes":
                raise InputError(f"input {p.name}: sends a current; engine {self.name} takes spikes")
            if p.is_input:
                continue
            if not p.spiking and p.name != output.name:
                raise InputError(f"population {p.name}: has no threshold, and is not the output {output.name}")
            try:
                check_continuous(p.neuron)
            except InputError as error:
                raise InputError(f"population {p.name}: {error}") from error

    def _chain_engine(self, precision, n_samples):
        network = self.network
        if not network.is_chain or (network.readout == "leaky" and self.readout != "sampled"):
            return None
        return self._chain_of(precision, n_samples)

    def _chain_of(self, precision, n_samples):
        network = self.network
        return EventEngine(
            network.parameters,
            network.readout,
            duration=self.duration,
            n_samples=n_samples,
            precision=precision,
            max_inverse_slope=self.max_inverse_slope,
        )

    def _component(self, group):
        network = self.network
        names = group.populations
        pops = [network.populations_by_name[name] for name in names]
        sizes = [p.size for p in pops]
        bases = dict(zip(names, np.cumsum([0, *sizes[:-1]]).tolist(), strict=True))
        slab = len(self._inputs) + len(self._components)
        for name in names:
            self._place[name] = (slab, bases[name])
        connections = [c for name in names for c in network.into(name)]
        ends = [(network.populations_by_name[c.source], network.populations_by_name[c.target]) for c in connections]
        kinds = [delay_kind(c, pre) for c, (pre, _) in zip(connections, ends, strict=True)]
        runs = [runs_of(c, *pair, kind) for c, pair, kind in zip(connections, ends, kinds, strict=True)]
        jumping = self._jumps(pops)
        inner = len(names) > 1 or bool(group.inner) or jumping
        unit = unit_size(runs, kinds, sum(sizes), inner)
        sources = sorted({self._place[c.source][0] for c in connections} | {slab})
        slabs = {c.source: (sources.index(self._place[c.source][0]), self._place[c.source][1]) for c in connections}
        wires = wires_of(connections, runs, kinds, network, slabs, bases, unit, set(names))
        readout = len(pops) == 1 and not pops[0].spiking
        return _Component(names, sizes, bases, connections, kinds, wires, sources, unit, slab, readout, jumping)

    @staticmethod
    def _jumps(populations):
        """Whether the membranes of a component jump at an arrival; raises InputError if only some do."""
        found = {p.neuron.filtered: p.name for p in populations}
        if len(found) > 1:
            raise InputError(
                f"populations {found[True]}, {found[False]}: neurons with and without synaptic filter in one cycle: in "
                "continuous time a cycle has one kind"
            )
        return False in found

    def forward(self, tensors, inputs):
        """Simulate a batch.

        Parameters
        ----------
        tensors : dict of str to ndarray
            See :meth:`~snnsim.Network.tensor_shapes`. Constants of neurons may stand beside them, such as
            ``"hidden0.tau_mem"``, one for all or one a neuron, and then go before what the network says; delays that
            are not there are the network's.
        inputs : SpikeOutput or dict of str to SpikeOutput
            Input spikes, by population where there are several; times ascending within a sample, in [0, duration].

        Returns
        -------
        SpikeOutput, VoltageOutput or ScoreOutput
            Its arrays belong to the engine and hold until the next forward pass.

        Raises
        ------
        InputError
            If tensors or spikes do not fit the network, a neuron fires so fast that its spike times cannot be told
            apart, or spikes do not fit in memory.
        """
        self._tensors = self._checked(tensors)
        slabs = self._validated(inputs)
        if self._in_chain():
            output = self._chain.forward([self._tensors[c.name] for c in self.network.connections], *slabs)
            self._slabs = dict(zip(self.network.populations, self._chain.spikes(), strict=False))
            return output
        self._slabs = dict(zip(self._inputs, slabs, strict=True))
        read = None
        for component in self._components:
            made = self._advance(component, slabs)
            read = made if component.readout else read
        if self.network.output.spiking:
            return self._slabs[self.network.output.name]
        return VoltageOutput(read, self.duration) if self.readout == "sampled" else ScoreOutput(read, self.duration)

    def backward(self, tensors, signal, on_tensor=None, rate=None):
        """Differentiate the loss by every tensor that was given, for the batch of the last forward pass.

        Parameters
        ----------
        tensors : dict of str to ndarray
            The same as in the forward pass.
        signal : ndarray
            Spiking output: (B, cap) dL/d(spike time), entries beyond its counts ignored. Readout: (B, K, C) dL/dv at
            the sample times, or (B, C) by the integral or the largest membrane.
        on_tensor : callable, optional
            Called with (name, gradient) as soon as a tensor's gradient is complete, from the output to the input.
        rate : (float, float), optional
            Strength and wanted number of spikes of hidden neurons, ``snnsim.activity``; not with kernels of layers.

        Returns
        -------
        dict of str to ndarray
            By name, in the shapes of the tensors; weights belong to the engine and hold until the next backward pass.
        """
        for p in self.network.populations_by_name.values():
            if not (p.is_input or p.neuron.filtered):
                raise InputError(
                    f"gradient of population {p.name}: {p.neuron.kind} spikes when a spike arrives, whatever its "
                    f"weight, so engine {self.name} has none: use engine clock with surrogate or tssl"
                )
        tensors = self._checked(tensors)
        if self._in_chain():
            names = [c.name for c in self.network.connections]

            def tell(layer, grad):
                if on_tensor is not None:
                    on_tensor(names[layer], grad)

            return dict(zip(names, self._chain.backward([tensors[n] for n in names], signal, tell), strict=True))
        errors = [np.zeros(slab.times.shape) for slab in self._stored]
        grads = {}
        signal = self._placed(np.ascontiguousarray(signal, np.float64), errors)
        for component in reversed(self._components):
            if rate and self.network.output.name not in component.names:
                self._add_rate(component, rate, errors[component.slab])
            found = self._differentiate(component, errors, signal)
            if on_tensor is not None:
                for name, grad in found.items():
                    on_tensor(name, grad)
            grads |= found
        return grads

    def spikes(self):
        """Slabs of the last forward pass by population, inputs first."""
        return self._slabs

    def last_presynaptic(self):
        """Spikes that reached the output by its first connection: ``neurons`` (B, cap) and ``counts`` (B,) int32."""
        slab = self._slabs[self.network.into(self.network.output.name)[0].source]
        return slab.neurons, slab.counts

    def spike_totals(self):
        """Spikes of each population of neurons with a threshold in the last batch, by name."""
        return {name: int(s.counts.sum()) for name, s in self._slabs.items() if name not in self._inputs}

    def trace(self, tensors, population, sample_times, neuron_ids):
        """Sample states in closed form, after a forward pass.

        Parameters
        ----------
        tensors : dict of str to ndarray
            The same as in the forward pass.
        population : str
        sample_times : ndarray, (K,) float64
            Ascending, in [0, duration].
        neuron_ids : ndarray, (M,) int

        Returns
        -------
        v, i_syn, a : ndarray, (B, K, M) float64
            Membrane relative to rest, current and adaptation. At the instant of a spike: membrane and adaptation before
            it; at that of an arrival: the current after it.
        """
        self._tensors = self._checked(tensors)
        slab, low = self._place[population]
        component = self._components[slab - len(self._inputs)]
        if self._in_chain():
            self._stored = [self._slabs[name] for name in self.network.populations if name in self._slabs]
            if len(self._stored) <= slab:
                batch = len(self._stored[0].counts)
                self._stored.append(_no_spikes(batch, component.size, self.duration))
            self._prepare(component)
        s = component.state
        batch = len(self._stored[0].counts)
        if component.jumping:
            v = self._jump(component, batch, sample_times)[..., np.asarray(neuron_ids, np.int64) + low]
            return v, np.zeros_like(v), np.zeros_like(v)
        shape = (batch, len(sample_times), len(neuron_ids))
        v, i_syn, a = np.empty(shape), np.empty(shape), np.empty(shape)
        chosen = np.asarray(neuron_ids, np.int64) + low
        graph_trace(
            s["wires"], self._store(component, batch), component.sources.index(slab), s["w"], s["cells"], s["plan"],
            chosen, np.asarray(sample_times, np.float64), v, i_syn, a,
        )  # fmt: skip
        at = component.names.index(population)
        bias = s["biases"][at]
        if bias is not None:
            v += (s["values"][at]["r"] * bias)[..., np.asarray(neuron_ids)]
        return v, i_syn, a

    def _in_chain(self):
        # Constants among the tensors, or biases, are the general kernels' work.
        return self._chain is not None and len(self._tensors) == len(self.network.connections)

    def _checked(self, tensors):
        shapes = self.network.tensor_shapes()
        missing = [name for name in shapes if name not in tensors and not name.endswith(".delay")]
        if missing:
            raise InputError(f"tensors: {', '.join(missing)} missing")
        kept = {}
        delays = {f"{c.name}.delay": c for c in self.network.connections}
        for name, value in tensors.items():
            value = np.asarray(value)
            population, _, constant = name.rpartition(".")
            if name in delays:
                wanted = np.shape(delays[name].delay)
            elif name in shapes:
                wanted = shapes[name]
            else:
                self._check_constant(name, population, constant, value)
                wanted = value.shape
            if value.shape != wanted:
                raise InputError(f"{name}: shape {value.shape}; must be {wanted}")
            is_weight = name in self.network.connections_by_name
            kept[name] = np.ascontiguousarray(value, self.dtype if is_weight else np.float64).reshape(wanted)
            if name in delays and not (kept[name] >= 0).all():
                raise InputError(f"{name}: {kept[name].min()}: a delay must be at least 0")
        return kept

    def _check_constant(self, name, population, constant, value):
        p = self.network.populations_by_name.get(population)
        if p is None or p.is_input or constant not in CONSTANTS:
            raise InputError(
                f"tensor {name!r}: must be one of {', '.join(self.network.tensor_shapes())}, or a constant"
            )
        if constant not in _fields(p.neuron):
            raise InputError(f"tensor {name!r}: neurons of {population} have no {constant}")
        if value.shape not in ((), (p.size,)):
            raise InputError(f"{name}: shape {value.shape}; must be () or ({p.size},)")
        type(p.neuron)(**{**_fields(p.neuron), constant: value if value.ndim else float(value)})

    def _validated(self, inputs):
        if not isinstance(inputs, dict):
            inputs = {self._inputs[0]: inputs} if len(self._inputs) == 1 else {}
        if set(inputs) != set(self._inputs):
            raise InputError(f"input spikes: for {', '.join(inputs) or 'one'}; must be for {', '.join(self._inputs)}")
        made = []
        for name in self._inputs:
            slab, size = inputs[name], self.network.populations_by_name[name].size
            if slab.n_neurons != size:
                raise InputError(f"input spikes of {name}: {slab.n_neurons} neurons; the population has {size}")
            if made and len(slab.counts) != len(made[0].counts):
                raise InputError(f"input spikes of {name}: {len(slab.counts)} samples, not {len(made[0].counts)}")
            neurons = np.ascontiguousarray(slab.neurons, np.int32)
            times = np.ascontiguousarray(slab.times, np.float64)
            counts = np.ascontiguousarray(slab.counts, np.int32)
            if not all_within(times, counts, self.duration):
                raise InputError(f"input spikes of {name}: times must lie in 0..{self.duration:g}")
            made.append(SpikeOutput(neurons, times, counts, size, self.duration))
        self._stored = list(made)
        return made

    # --- forward ------------------------------------------------------------------------------------------------------

    def _prepare(self, component):
        # Tables of a pass that depend on the tensors.
        tensors, network = self._tensors, self.network
        pops = [network.populations_by_name[name] for name in component.names]
        values = [values_of(p.neuron, tensors, p.name) for p in pops]
        biases = [tensors.get(f"{p.name}.bias") for p in pops]
        cells = cells_of(values, biases, component.sizes)
        delays = self._delays_of(component)
        wires = component.wires._replace(delays=np.concatenate(delays) if delays else np.empty(0))
        w = self._packed(component)
        inner = [d.min(initial=np.inf) for d, is_inner in zip(delays, wires.inner, strict=True) if is_inner]
        d_min = (min(inner) if self.windows else 0.0) if inner else np.inf
        self._check_delays(component, delays)
        unit = component.unit
        plan = Plan(
            unit, component.size // unit, self.duration, float(d_min), self.n_bins,
            bool((cells[:, [BETA, PULL, JUMP, A0]] != 0).any()), bool((cells[:, T_REF] > 0).any()),
            component.readout and self.readout == "max", 0,
            LEAST_INTERVAL * float(cells[:, [TAU_MEM, TAU_SYN]].min()) if inner else 0.0,
        )  # fmt: skip
        component.state = {"cells": cells, "wires": wires, "w": w, "plan": plan, "values": values, "biases": biases}
        component.state["groups"] = groups_of(cells, unit)

    def _advance(self, component, inputs):
        batch = len(inputs[0].counts)
        if component.jumping and component.readout:
            if self.readout != "sampled":
                raise InputError(f"readout = {self.readout!r}: of neurons without synaptic filter only sampled")
            v = self._jump(component, batch, self.sample_times)
            self._stored.append(_no_spikes(batch, component.size, self.duration))
            return v
        if component.jumping:
            return self._jump(component, batch)
        self._prepare(component)
        s = component.state
        wires, w, cells, groups, plan = s["wires"], s["w"], s["cells"], s["groups"], s["plan"]
        if component.readout and self.readout == "integral":
            self._stored.append(_no_spikes(batch, component.size, self.duration))
            return self._integrate(component, batch)
        samples = self.sample_times if component.readout and self.readout == "sampled" else np.empty(0)
        shape = (batch, len(samples), component.size)
        v, slope = np.empty(shape), np.empty(shape)
        best = np.empty((batch, component.size if plan.widest else 0, 3))
        limit = most_spikes(batch)
        cap = 1 if component.readout else min(max(16, self._caps.get(component.slab, component.size)), limit)
        while True:
            neurons = self._workspace.array((component.slab, "neurons"), (batch, cap), np.int32)
            times = self._workspace.array((component.slab, "times"), (batch, cap), np.float64)
            marks = self._workspace.array((component.slab, "marks"), (batch, cap, 3), np.float64)
            counts, unseen = np.empty(batch, np.int64), np.empty(batch, np.int64)
            store = self._store(component, batch)
            # Own spikes that reach the component itself must be there; others are counted first, then there is room.
            plan = plan._replace(most=cap if plan.d_min < np.inf else limit)
            until_done(
                graph_forward, wires, store, w, cells, groups, plan, samples, neurons, times, marks, counts, unseen, v,
                slope, best,
            )  # fmt: skip
            self._check_stalled(component, counts)
            most = int(counts.max(initial=0))
            full = counts.min(initial=0) == FULL
            if not full and most <= cap:
                break
            if most > limit or cap == limit:
                raise InputError(
                    f"{_called(component)}: more than {limit} spikes in a trial, the most allowed in a batch of "
                    f"{batch}; weights must be smaller"
                )
            self._caps[component.slab] = cap = min(2 * cap if full else most + most // 4, limit)
        component.state |= {"marks": marks, "unseen": unseen, "slope": slope, "best": best}
        slab = SpikeOutput(neurons, times, counts.astype(np.int32), component.size, self.duration)
        self._stored.append(slab)
        if component.readout:
            return (best[:, :, 0] if plan.widest else v) + self._shift(component)
        self._spread(component, slab)
        return None

    def _jump(self, component, batch, samples=()):
        """Spikes of a component whose membranes jump; membranes at given times, (B, K, N), if there are any."""
        cells, delays = self._jumping_cells(component), self._delays_of(component)
        zero = [
            (c.source, c.target)
            for c, d in zip(component.connections, delays, strict=True)
            if c.source in component.names and d.min(initial=np.inf) == 0
        ]
        if ordered(component.names, zero) is None:
            raise InputError(
                f"a cycle without delay ({', '.join(f'{a}->{b}' for a, b in zero)}): membranes that jump at an arrival "
                "would spike without end in one instant; give one of its connections a delay"
            )
        wires = component.wires._replace(delays=np.concatenate(delays) if delays else np.empty(0))
        w, samples = self._packed(component), np.asarray(samples, np.float64)
        starts = np.array([*component.bases.values(), component.size], np.int64)
        limit = most_spikes(batch)
        cap = min(max(16, self._caps.get(component.slab, component.size)), limit)
        while True:
            neurons = self._workspace.array((component.slab, "neurons", len(samples)), (batch, cap), np.int32)
            times = self._workspace.array((component.slab, "times", len(samples)), (batch, cap), np.float64)
            counts, v = np.empty(batch, np.int64), np.empty((batch, len(samples), component.size))
            store = self._store(component, batch)
            until_done(
                jumping_forward, wires, store, w, cells, starts, self.duration, samples, neurons, times, counts, v
            )
            if counts.min(initial=0) != FULL:
                break
            if cap == limit:
                raise InputError(
                    f"{_called(component)}: more than {limit} spikes in a trial, the most allowed in a batch of "
                    f"{batch}; weights must be smaller"
                )
            self._caps[component.slab] = cap = min(2 * cap, limit)
        if samples.size:
            return v
        slab = SpikeOutput(neurons, times, counts.astype(np.int32), component.size, self.duration)
        component.state |= {"unseen": np.zeros(batch, np.int64)}
        self._stored.append(slab)
        self._spread(component, slab)
        return None

    def _delays_of(self, component):
        tensors = self._tensors
        return [np.ravel(tensors.get(f"{c.name}.delay", c.delay)).astype(float) for c in component.connections]

    def _jumping_cells(self, component):
        rows = []
        for name, size in zip(component.names, component.sizes, strict=True):
            neuron = self.network.populations_by_name[name].neuron
            v, bias = values_of(neuron, self._tensors, name), self._tensors.get(f"{name}.bias", 0.0)
            one = {
                "theta": v["v_threshold"] - v["v_leak"], "v_reset": v["v_reset"] - v["v_leak"],
                "v0": v["v0"] - v["v_leak"], "tau": v["tau_mem"], "target": v["r"] * bias, "slope": v["r"] * bias,
                "subtract": float(neuron.reset == "subtract"), "t_ref": v["t_ref"],
            }  # fmt: skip
            rows.append(np.stack([np.broadcast_to(np.asarray(one[key], np.float64), (size,)) for key in JUMPING], 1))
        return np.concatenate(rows)

    def _check_delays(self, component, delays):
        """Raise InputError where the engine cannot run these delays; this one runs all."""

    def _check_stalled(self, component, counts):
        least = int(counts.min(initial=0))
        if (counts == TOO_FAST).any():
            raise InputError(
                f"{_called(component)}: neurons fire again within {LEAST_INTERVAL:g} of the least time constant, since "
                "they excite each other without bound; weights must be smaller, or a refractory period longer"
            )
        if least > FULL - 1:
            return
        n = -3 - least
        name = max((name for name in component.names if component.bases[name] <= n), key=component.bases.get)
        raise InputError(
            f"population {name}: neuron {n - component.bases[name]} fires so fast that its spike times cannot be told "
            "apart; weights must be smaller"
        )

    def _packed(self, component):
        parts = []
        for c in component.connections:
            w = self._tensors[c.name].reshape(-1)
            parts.append(w if c.shape.pool is None or c.shape.pool.scale == 1 else w * self.dtype(c.shape.pool.scale))
        return parts[0] if len(parts) == 1 else np.concatenate(parts) if parts else np.empty(0, self.dtype)

    def _store(self, component, batch):
        # The component's own slab is empty until it has been simulated.
        slabs = [self._stored[s] if s < len(self._stored) else None for s in component.sources]
        sizes = [0 if slab is None else slab.times.size for slab in slabs]
        present = [slab for slab in slabs if slab is not None]
        return Store(
            np.concatenate([s.neurons.reshape(-1) for s in present]) if present else np.empty(0, np.int32),
            np.concatenate([s.times.reshape(-1) for s in present]) if present else np.empty(0),
            np.cumsum([0, *sizes[:-1]]).astype(np.int64),
            np.array([0 if slab is None else slab.times.shape[1] for slab in slabs], np.int64),
            np.array([np.zeros(batch) if slab is None else slab.counts for slab in slabs], np.int64),
        )

    def _spread(self, component, slab):
        # A slab for each population of the component.
        if len(component.names) == 1:
            self._slabs[component.names[0]] = slab
            component.state["places"] = None
            return
        component.state["places"] = {}
        filled = np.arange(slab.times.shape[1]) < slab.counts[:, None]
        for name, size in zip(component.names, component.sizes, strict=True):
            low = component.bases[name]
            own = filled & (slab.neurons >= low) & (slab.neurons < low + size)
            counts = own.sum(1)
            places = np.argsort(~own, axis=1, kind="stable")[:, : int(counts.max(initial=0))]
            neurons = np.take_along_axis(slab.neurons, places, 1) - np.int32(low)
            times = np.take_along_axis(slab.times, places, 1)
            self._slabs[name] = SpikeOutput(neurons, times, counts.astype(np.int32), size, self.duration)
            component.state["places"][name] = places

    def _shift(self, component):
        # Where a readout's membrane settles without input, relative to rest.
        bias = component.state["biases"][0]
        return 0.0 if bias is None else component.state["values"][0]["r"] * bias

    def _integrate(self, component, batch):
        s = component.state
        y = np.empty((batch, component.size))
        integral_forward(s["wires"], self._store(component, batch), s["w"], s["cells"], s["plan"], 1 / self.tau_w, y)
        return y + self._shift(component) * faded(1 / self.tau_w, self.duration)

    # --- backward -----------------------------------------------------------------------------------------------------

    def _placed(self, signal, errors):
        # The loss's errors of output spikes, in the slab of the output's component.
        output = self.network.output
        if not output.spiking:
            return signal
        slab, _ = self._place[output.name]
        own = self._slabs[output.name]
        filled = np.arange(own.times.shape[1]) < own.counts[:, None]
        if signal.shape != own.times.shape:
            raise InputError(f"signal: shape {signal.shape}; must be {own.times.shape}, one an output spike")
        component = self._components[slab - len(self._inputs)]
        places = component.state["places"]
        if places is None:
            errors[slab][filled] = signal[filled]
        else:
            rows = np.nonzero(filled)[0]
            errors[slab][rows, places[output.name][filled]] = signal[filled]
        return signal

    def _add_rate(self, component, rate, error):
        """Add to the errors of a component's spikes what brings their number nearer to the wanted one."""
        slab, cells = self._stored[component.slab], component.state["cells"]
        filled = np.arange(slab.times.shape[1]) < slab.counts[:, None]
        excess = excess_of(slab.neurons, slab.counts, component.size, rate)
        neurons, marks = slab.neurons[filled], component.state["marks"][filled]
        c = cells[neurons]
        u, a = marks[:, 0], marks[:, 1]
        falling = u - c[:, PULL] * a - c[:, THETA] - c[:, BETA] * a
        slope = falling / c[:, TAU_MEM] + c[:, BETA] * a / c[:, TAU_A]
        error[filled] -= excess[np.nonzero(filled)[0], neurons] * c[:, TAU_MEM] * slope

    def _differentiate(self, component, errors, signal):
        s, network = component.state, self.network
        batch = len(self._stored[0].counts)
        n_parts = max(1, min(batch, _PARTS))
        names = component.names
        heavy = any(f"{name}.{constant}" in self._tensors for name in names for constant in HEAVY)
        store = self._store(component, batch)
        e = np.concatenate([errors[k].reshape(-1) for k in component.sources])
        grads = self._workspace.array((component.slab, "grads"), (n_parts, s["w"].size), self.dtype)
        delays = np.empty((n_parts, s["wires"].delays.size))
        sums = np.empty((n_parts, N_SUMS, component.size))
        if component.readout and self.readout == "integral":
            integral_backward(
                s["wires"], store, s["w"], s["cells"], s["plan"], heavy, 1 / self.tau_w, signal, e, grads, delays, sums
            )
        else:
            probes, probe_times = self._probes(component, signal, batch)
            graph_backward(
                s["wires"], store, component.sources.index(component.slab), s["w"], s["cells"], s["groups"], s["plan"],
                heavy, self.max_inverse_slope, s["marks"], probes, probe_times, e, grads, delays, sums,
            )  # fmt: skip
        at = 0
        for k in component.sources:
            size = errors[k].size
            errors[k] = e[at : at + size].reshape(errors[k].shape)
            at += size
        found = self._named(component, self._sum(component, grads), _in_order(delays))
        sums = _in_order(sums)
        for name, value, bias in zip(names, s["values"], s["biases"], strict=True):
            p = network.populations_by_name[name]
            wanted = [t for t in self._tensors if t.rpartition(".")[0] == name]
            if wanted:
                low = component.bases[name]
                rest = p.neuron.v0 is None and f"{name}.v0" not in self._tensors
                g = constant_gradients(sums[:, low : low + p.size], value, 0.0 if bias is None else bias, rest)
                found |= {t: as_shaped(g[t.rpartition(".")[2]], self._tensors[t]) for t in wanted}
        return found

    def _probes(self, component, signal, batch):
        if not component.readout:
            return np.empty((batch, 0, 0, 3)), np.empty((batch, 0, 0))
        s = component.state
        if self.readout == "sampled":
            if signal.shape != s["slope"].shape:
                raise InputError(f"signal: shape {signal.shape}; must be {s['slope'].shape}")
            times = np.broadcast_to(self.sample_times[:, None], signal.shape[1:])
            probes = np.stack([signal, s["slope"], np.zeros_like(signal)], -1)
            return probes, np.broadcast_to(times, signal.shape).copy()
        best = s["best"]
        if signal.shape != best.shape[:2]:
            raise InputError(f"signal: shape {signal.shape}; must be {best.shape[:2]}")
        kink = (best[:, :, 2] > 0) & (best[:, :, 1] < self.duration)
        probes = np.stack([signal, best[:, :, 2], kink], -1)[:, None]
        return np.ascontiguousarray(probes), np.ascontiguousarray(best[:, None, :, 1])

    def _sum(self, component, parts):
        if len(parts) == 1:
            return parts[0]
        total = self._workspace.array((component.slab, "grad"), (1, parts.shape[1]), parts.dtype)
        add_parts(parts[:, None], total)
        return total[0]

    def _named(self, component, grad, delays):
        found, at, d = {}, 0, 0
        for c in component.connections:
            shape = tuple(self.network.weight_shape(c))
            size, n = int(np.prod(shape)), np.size(c.delay)
            own = grad[at : at + size].reshape(shape)
            if c.shape.pool is not None and c.shape.pool.scale != 1:
                own *= self.dtype(c.shape.pool.scale)
            found[c.name] = own
            if f"{c.name}.delay" in self._tensors:
                found[f"{c.name}.delay"] = delays[d : d + n].reshape(np.shape(c.delay)).copy()
            at, d = at + size, d + n
        return found


def _called(component):
    return f"population{'s' * (len(component.names) > 1)} {', '.join(component.names)}"


def _no_spikes(batch, size, duration):
    return SpikeOutput(np.empty((batch, 0), np.int32), np.empty((batch, 0)), np.zeros(batch, np.int32), size, duration)


def _fields(neuron):
    return {name: getattr(neuron, name) for name in type(neuron).__dataclass_fields__}


def _in_order(parts):
    total = parts[0].copy()
    for part in parts[1:]:
        total += part
    return total
