"""A network out of a NIR graph: populations are its neurons, connections the ways between them through linear nodes."""

from dataclasses import dataclass, field

import numpy as np

from snnsim.connections import Convolution, Dense, OneToOne
from snnsim.errors import InputError
from snnsim.interchange.nir.neurons import MODELS, NeuronNode
from snnsim.interchange.nir.values import CONVENTIONS, number_of, text_of, unit_of
from snnsim.interchange.nir.ways import KINDS, Way, channels_first
from snnsim.network import Network, layer_names

MOST_WAYS = 10_000
"""Ways between neurons that a graph may have."""


@dataclass(frozen=True)
class Imported:
    """What a NIR file holds, in our terms.

    Parameters
    ----------
    network : Network
    dt : float or None
        Step size that belongs to it, in ms; None if neither the file nor the caller says.
    scheme : str or None
    notes : list of str
        What a reader should know, a line each.
    """

    network: Network
    dt: float | None
    scheme: str | None
    notes: list = field(default_factory=list)


def from_nir(
    graph, *, dt=None, scheme=None, time_unit=None, spike_convention=None, match_steps=None, origin="NIR graph"
):
    """Read a network out of a NIR graph.

    Parameters
    ----------
    graph : nir.NIRGraph
        Of neurons (CubaLIF, LIF, IF, Threshold; at the end also CubaLI, LI, I), joined by Linear, Affine, Scale,
        Conv1d, Conv2d, SumPool2d, AvgPool2d, Flatten and Delay; with branches, cycles and graphs inside.
    dt : float, optional
        Step size in ms; needed for ``per-step``, ``step`` and matched steps, and where a cycle has no delay: it then
        gets one of a step.
    scheme : str, optional
        Scheme that the network is meant for.
    time_unit : {"s", "ms", "step"} or float, optional
        Unit of the file's time constants, or the milliseconds in it. None: what the file says if it is of ours, else
        seconds.
    spike_convention : {"dirac", "per-step", "jump"}, optional
        What a spike stands for (:mod:`snnsim.interchange.nir`). None: what the file says if it is of ours, else
        ``dirac``.
    match_steps : bool, optional
        Keep the steps of a tool that decays by ``1 - dt/tau``, rather than its time constants: they become smaller by
        dt, and the scheme backward Euler. None: what the file says if it is of ours, else False.
    origin : str
        Begins every message.

    Returns
    -------
    Imported

    Raises
    ------
    InputError
        For nodes or parameters that snnsim does not have, or an option that is missing.
    """
    said = graph.metadata if text_of(graph.metadata.get("generator", "")) == "snnsim" else {}
    if dt is None and "dt_ms" in said:
        dt = number_of(said["dt_ms"], f"{origin}: dt_ms")
    if dt is not None and not 0 < dt < np.inf:
        raise InputError(f"dt = {dt}: must be a positive number")
    convention = spike_convention or text_of(said.get("spike_convention", "dirac"))
    if convention not in CONVENTIONS:
        raise InputError(f"spike_convention = {convention!r}: must be one of {', '.join(CONVENTIONS)}")
    if match_steps is None:
        match_steps = bool(number_of(said.get("matched_steps", 0), f"{origin}: matched_steps"))
    meant = text_of(said["scheme"]) if "scheme" in said else None
    if match_steps:
        meant = meant or "backward_euler"
        if scheme not in (None, meant):
            raise InputError(f"scheme = {scheme!r}: {origin} has the steps of {meant}, to be kept by matched steps")
    scheme = scheme or meant
    if dt is None:
        for what, needed in (
            ("per-step", convention == "per-step"),
            ("step", time_unit == "step"),
            ("matched steps", match_steps),
        ):
            if needed:
                raise InputError(f"{origin}: {what} needs dt, the step in ms")
    notes = []
    if not said and spike_convention is None:
        notes.append("spikes are taken as impulses of unit area; a tool that steps writes per-step")
    options = unit_of(time_unit, dt, said), convention, dt, scheme if match_steps else None
    network = _Reader(graph, origin, options, notes).network()
    kinds = {p.neuron.kind for p in network.populations_by_name.values() if not p.is_input}
    if match_steps and scheme != "backward_euler" and kinds & {"lif", "li"}:
        notes.append(f"steps of {scheme}: in the tool that the file is for, each layer spikes a step earlier")
    return Imported(network, dt, scheme, notes)


class _Reader:
    """Turns a graph into a network."""

    def __init__(self, graph, origin, options, notes):
        self.origin, self.options, self.notes = origin, options, notes
        self.nodes, edges = {}, []
        self._take(graph, "", edges)
        self.edges = list(dict.fromkeys(edges))
        self.following = {name: [] for name in self.nodes}
        for a, b in self.edges:
            self.following[a].append(b)
        self._contract()
        self.neurons = [name for name, node in self.nodes.items() if self._kind(name) in MODELS]
        self.sources = self._sources()
        self.shapes, self.found = {}, {}

    def _kind(self, name):
        return type(self.nodes[name]).__name__

    def _where(self, name):
        return f"{self.origin}: node {name!r}"

    def _take(self, graph, prefix, edges):
        """Nodes and edges of a graph and those inside it, by names that say where they are."""
        for name, node in graph.nodes.items():
            kind = type(node).__name__
            if kind == "NIRGraph":
                self._take(node, f"{prefix}{name}.", edges)
            elif kind not in (*KINDS, *MODELS, "Input", "Output"):
                raise InputError(
                    f"{self.origin}: node {prefix + name!r} ({kind}): snnsim cannot express it; it has "
                    f"{', '.join((*KINDS, *MODELS))}"
                )
            else:
                self.nodes[prefix + name] = node
        for a, b in graph.edges:
            a, b = (self._end(graph, prefix, str(end), last) for end, last in ((a, True), (b, False)))
            edges.append((a, b))

    def _end(self, graph, prefix, name, last):
        """Name of the node at an edge's end: of a graph inside, its output or its input."""
        if name not in graph.nodes:
            raise InputError(f"{self.origin}: an edge names the node {prefix + name!r}, which does not exist")
        node = graph.nodes[name]
        if type(node).__name__ != "NIRGraph":
            return prefix + name
        wanted = "Output" if last else "Input"
        ends = [n for n, child in node.nodes.items() if type(child).__name__ == wanted]
        if len(ends) != 1:
            raise InputError(
                f"{self.origin}: node {prefix + name!r}: a graph inside must have one {wanted}, not {len(ends)}"
            )
        return f"{prefix}{name}.{ends[0]}"

    def _contract(self):
        """Remove the inputs and outputs of graphs inside, which pass on what comes."""
        for name in [n for n in self.nodes if "." in n and self._kind(n) in ("Input", "Output")]:
            before = [a for a in self.following if name in self.following[a]]
            for a in before:
                at = self.following[a].index(name)
                self.following[a][at : at + 1] = self.following[name]
            del self.following[name], self.nodes[name]

    def _sources(self):
        """Names of what is an input: the nodes of that kind, or whatever nothing leads to."""
        targets = {b for ends in self.following.values() for b in ends}
        inputs = [name for name in self.nodes if self._kind(name) == "Input"]
        starts = [name for name in self.nodes if name not in targets and self._kind(name) != "Input"]
        if not inputs and len(starts) != 1:
            what = "none: it is recurrent" if not starts else ", ".join(map(repr, starts))
            raise InputError(f"{self.origin}: must have one node without input; has {what}")
        if inputs and starts:
            raise InputError(f"{self.origin}: node {starts[0]!r}: is not connected to an input")
        if not inputs and self._kind(starts[0]) in MODELS:
            raise InputError(f"{self._where(starts[0])} ({self._kind(starts[0])}): must come after a Linear or Affine")
        return inputs or starts

    def network(self):
        """Read the network."""
        if not self.neurons:
            raise InputError(f"{self.origin}: must end with neurons ({', '.join(MODELS)})")
        ways = self._ways()
        lost = [name for name in self.nodes if name not in self._reached and self._kind(name) != "Output"]
        if lost:
            raise InputError(f"{self.origin}: has nodes that are not connected to its input: {', '.join(lost)}")
        names = self._names(ways)
        self._made = {name: self._neuron(name) for name in self.neurons}
        closing = self._closing(ways)
        return self._chain(ways, closing) or self._graph(ways, names, closing)

    def _ways(self):
        """Ways from inputs and neurons through linear nodes to neurons, those that are known first."""
        ways, done, waiting = [], set(), list(self.sources)
        self._reached = set(self.sources)
        for name in self.sources:
            self.shapes[name] = self._input_shape(name)
        while waiting:
            name = waiting.pop(0)
            if name in done:
                continue
            done.add(name)
            first = [name] if self._kind(name) in KINDS else self.following[name]
            stack = [(node, ()) for node in reversed(first)]
            while stack:
                node, passed = stack.pop()
                self._reached.add(node)
                kind = self._kind(node)
                if kind in MODELS:
                    way = Way(name, node, self.shapes[name], [(n, self.nodes[n]) for n in passed], self.origin)
                    self._settle(node, way)
                    way.reach(self.shapes[node])
                    ways.append(way)
                    waiting.append(node)
                elif kind == "Output":
                    if passed:
                        raise InputError(f"{self.origin}: must end with neurons ({', '.join(MODELS)})")
                elif node in passed:
                    raise InputError(f"{self._where(node)} ({kind}): a cycle without neurons")
                else:
                    if not self.following[node]:
                        raise InputError(f"{self.origin}: must end with neurons ({', '.join(MODELS)})")
                    stack += [(n, (*passed, node)) for n in reversed(self.following[node])]
                if len(ways) + len(stack) > MOST_WAYS:
                    raise InputError(f"{self.origin}: over {MOST_WAYS} ways between neurons")
        return ways

    def _input_shape(self, name):
        node = self.nodes[name]
        if self._kind(name) != "Input":
            return None
        shape = (node.input_type or {}).get("input")
        return None if shape is None or np.ndim(shape) != 1 else tuple(int(n) for n in np.ravel(shape)) or None

    def _settle(self, name, way):
        """Find the shape of neurons: of their constants, or of what reaches them."""
        own = [np.shape(v) for v in vars(self.nodes[name]).values() if isinstance(v, np.ndarray)]
        own = self.shapes.get(name) or max(own, key=lambda s: int(np.prod(s)), default=())
        given = way.shape
        if given is not None and int(np.prod(own)) > 1 and np.prod(own) != np.prod(given):
            raise InputError(
                f"{self._where(name)} ({self._kind(name)}): has {int(np.prod(own))} neurons, but gets "
                f"{int(np.prod(given))} inputs"
            )
        if name in self.shapes:
            return
        self.shapes[name] = own if int(np.prod(own)) > 1 or given is None else given
        if given is not None and np.prod(given) == np.prod(self.shapes[name]) and len(given) > len(self.shapes[name]):
            self.shapes[name] = given
        if self.shapes[name] == ():
            self.shapes[name] = (1,)

    def _names(self, ways):
        """Our name of every node that is a population."""
        names = {}
        last = [n for n in self.neurons if any(self._kind(b) == "Output" for b in self.following[n])]
        last = last or [n for n in self.neurons if not any(way.source == n for way in ways)]
        if len(last) > 1:
            raise InputError(f"{self.origin}: {', '.join(last)}: must have one output")
        for name in (*self.sources, *self.neurons):
            text = "input" if self._kind(name) in KINDS else "".join("_" if c in "./>" else c for c in name)
            if [name] == last:
                text = "output"
            while text in names.values():
                text += "_"
            names[name] = text
        return names

    def _neuron(self, name):
        return NeuronNode(self.nodes[name], channels_first(self.shapes[name]), self._where(name)).ours(*self.options)

    def _closing(self, ways):
        """Ways that close a cycle without delay: in a cycle, and back to neurons that come no later."""
        place = {name: k for k, name in enumerate(dict.fromkeys(w.target for w in ways))}
        reached = {name: {name} for name in place}
        for _ in place:
            for w in ways:
                if w.source in place:
                    reached[w.source] |= reached[w.target]
        back = [
            w
            for w in ways
            if w.source in reached.get(w.target, ()) and place[w.target] <= place[w.source] and not w.delayed
        ]
        dt = self.options[2]
        if back and dt is not None:
            self.notes.append(f"connections that close a cycle got a delay of one step, {dt:g} ms, as tools have it")
        elif back:
            self.notes.append("cycles without delay: for the event engine; with dt they get a delay of one step")
        return {id(w) for w in back}

    def _chain(self, ways, closing):
        """Make fully connected layers one after another; None if the graph is something else."""
        layers = [self._made[way.target] for way in ways]
        before = [self.sources[0], *(way.target for way in ways)]
        plain = all(way.source == at for way, at in zip(ways, before, strict=False))
        if closing or len(self.sources) > 1 or not plain or len(ways) != len(self.neurons):
            return None
        if any(way.delayed or way.kind not in ("dense", "one") or np.any(way.bias) for way in ways):
            return None
        if any(not neuron.has_threshold for neuron, *_ in layers[:-1]):
            self._no_threshold(next(way.target for way in ways if not self._made[way.target][0].has_threshold))
        weights = [way.weights() for way in ways]
        # The input is a list here, in the order of the file.
        weights[0] = weights[0][channels_first(ways[0].source_shape or (len(weights[0]),))]
        weights = [
            w if np.all(gain == 1) else (w * gain).astype(w.dtype)
            for w, (_, gain, *_) in zip(weights, layers, strict=True)
        ]
        dtype = np.float64 if all(w.dtype == np.float64 for w in weights) else np.float32
        names = layer_names(len(ways))
        network = Network()
        network.input(names[0], len(weights[0]))
        for k, (w, (neuron, *_)) in enumerate(zip(weights, layers, strict=True)):
            network.population(names[k + 1], w.shape[1], neuron)
            network.connect(names[k], names[k + 1], weight=np.ascontiguousarray(w, dtype))
        return network

    def _no_threshold(self, name):
        raise InputError(f"{self._where(name)} ({self._kind(name)}): only the last layer may be without threshold")

    def _graph(self, ways, names, closing):
        network, dt = Network(), self.options[2]
        for name in self.sources:
            shape = self.shapes[name] or next(way.source_shape for way in ways if way.source == name)
            network.input(names[name], shape)
        order = list(dict.fromkeys(way.target for way in ways))
        for name in order:
            neuron, _, bias, i0 = self._made[name]
            given = sum(way.bias for way in ways if way.target == name)
            current = None
            if np.any(given):
                current = bias * given
                if np.any(i0):
                    start = np.asarray(neuron.i0) + i0 * given
                    neuron = neuron.with_numbers({"i0": start})
            network.population(names[name], self.shapes[name], neuron, current)
        for way in ways:
            if way.source in self._made and not self._made[way.source][0].has_threshold:
                self._no_threshold(way.source)
            gain, delay = self._made[way.target][1], way.delay(self.options[0])
            if id(way) in closing and dt is not None:
                delay = dt
            shape, weight = self._shape(way, gain)
            name = f"{names[way.source]}->{names[way.target]}"
            while name in network.connections_by_name:
                name += "_"
            network.connect(names[way.source], names[way.target], shape, weight=weight, delay=delay, name=name)
        return network

    def _shape(self, way, gain):
        if way.kind == "one":
            return OneToOne(), way.scale * gain
        if way.kind == "dense":
            weights = way.weights()
            return Dense(way.pool), np.ascontiguousarray(weights * gain, weights.dtype)
        channels = gain.reshape(-1, way.shape[0])  # neurons of a map are numbered channels last
        if np.ptp(channels, axis=0).any():
            raise InputError(f"{self._where(way.target)}: constants that differ within a channel behind a convolution")
        return Convolution(way.kernel.shape[1:3], way.stride, way.padding, way.pool), np.ascontiguousarray(
            way.kernel * channels[0], way.kernel.dtype
        )
