"""A network as a NIR graph."""

from itertools import pairwise

import numpy as np

from snnsim.connections import Convolution, Dense, OneToOne
from snnsim.connections.convolution import nir_kernel
from snnsim.errors import InputError
from snnsim.interchange.nir.neurons import MODELS, SNNTORCH_STEP, equations, node_of, steps
from snnsim.interchange.nir.values import UNITS, library
from snnsim.interchange.nir.ways import channels_first
from snnsim.schedule import components

DIALECTS = ("nir", "norse", "snntorch")


def to_nir(network, *, dialect="nir", dt=None, scheme=None):
    """Express a network as a NIR graph.

    Parameters
    ----------
    network : Network
        Of LIF, LI, DeltaLIF, DeltaLI, IF and Integrator neurons with hard reset.
    dialect : {"nir", "norse", "snntorch"}
        ``nir``: the equations, in seconds, with Dirac impulses. ``norse``, ``snntorch``: what makes Norse (with
        ``from_nir(graph, dt=dt_in_seconds)``) or snnTorch take the very steps of our clock at this dt and scheme;
        voltages are then relative to rest, and the only delays one step from a population to itself.
    dt : float
        Step size in ms; the two dialects need it.
    scheme : {"backward_euler", "exact", "forward_euler"}
        Likewise.

    Returns
    -------
    graph : nir.NIRGraph
    notes : list of str
        How the reader will differ from us, a line each.

    Raises
    ------
    InputError
        For what NIR, or its reader, does not have, or a missing dt.
    """
    nir = library()
    if dialect not in DIALECTS:
        raise InputError(f"dialect {dialect!r}: must be one of {', '.join(DIALECTS)}")
    if dialect != "nir" and (dt is None or scheme is None):
        raise InputError(f"dialect {dialect}: needs dt and scheme, since its reader takes steps")
    network = network.drawn()
    writer = _Writer(nir, network, dialect, dt, scheme)
    metadata = {
        "generator": "snnsim",
        "time_unit_ms": UNITS["s"] if dialect != "snntorch" else float(dt) / SNNTORCH_STEP,
        "spike_convention": "dirac" if dialect == "nir" else "per-step",
        "matched_steps": int(dialect != "nir"),
        **({} if dt is None else {"dt_ms": float(dt)}),
        **({} if scheme is None else {"scheme": scheme}),
    }
    graph = nir.NIRGraph(writer.nodes, writer.edges, metadata=metadata, type_check=network.is_chain)
    return graph, list(dict.fromkeys(writer.notes))


class _Writer:
    """Nodes and edges of a network."""

    def __init__(self, nir, network, dialect, dt, scheme):
        self._nir, self._network, self._dialect, self._dt, self._scheme = nir, network, dialect, dt, scheme
        self.nodes, self.edges, self.notes = {}, [], []
        # A matrix gives a list of neurons, of which NIR makes no map again.
        self._flat = {c.target for c in network.connections if not isinstance(c.shape, Convolution | OneToOne)}
        inner = {c.name for part in components(network, instant=True) for c in part.inner}
        for p in network.populations_by_name.values():
            if p.kind != "spikes":
                raise InputError(f"input {p.name}: sends a current, which NIR has no word for")
            if p.is_input:
                self.nodes[p.name] = nir.Input({"input": np.array(p.shape)})
                continue
            own = [c for c in network.into(p.name) if c.source == p.name]
            for c in network.into(p.name):
                if dialect != "nir" and (c.delayed or c.name in inner) and not (c in own and self._of_a_step(c)):
                    raise InputError(
                        f"connection {c.name}: {dialect} takes no delays but one of a step from neurons to themselves; "
                        "use the dialect nir"
                    )
            recurrent = own if dialect != "nir" else []
            for c in network.into(p.name):
                if c not in recurrent:
                    self._connect(c)
            self._add_neurons(p, recurrent)
        output = network.output
        self.nodes["output"] = nir.Output({"output": np.array(self._shape(output))})
        self.edges.append((self._name(output.name), "output"))

    def _of_a_step(self, connection):
        return np.ndim(connection.delay) == 0 and abs(connection.delay - self._dt) <= 1e-9 * self._dt

    def _name(self, population):
        # NIR's tools expect "output" to be the graph's Output.
        return f"{population}_neurons" if population == "output" else population

    def _add_neurons(self, p, recurrent):
        neuron, where = self._network.neuron_of(p.name), f"(layer {p.name})"
        if type(neuron) not in MODELS.values():
            raise InputError(f"neuron {neuron.kind} {where}: NIR has none")
        if np.any(np.asarray(getattr(neuron, "t_ref", 0.0)) > 0):
            raise InputError(f"t_ref = {neuron.t_ref} {where}: NIR's neurons have no refractory period")
        if p.spiking and neuron.reset != "hard":
            raise InputError(f"reset = {neuron.reset!r} {where}: NIR's neurons have only the hard reset")
        if self._dialect != "nir" and not p.spiking:
            raise InputError(f"readout = 'leaky': {self._dialect} reads no leaky readout from NIR; use the dialect nir")
        bias = self._network.tensors[f"{p.name}.bias"] if p.bias else None
        start = {}
        if self._dialect == "nir":
            constants = self._with_where(where, equations, neuron, p.size, bias)
            if bias is not None and np.any(bias):
                self.notes.append(f"constant currents {where} became a shift of v_leak")
                start["v0"] = neuron.start
        else:
            if bias is not None and np.any(bias):
                raise InputError(f"a constant current {where}: {self._dialect} has none; use the dialect nir")
            constants = steps(neuron, p.size, self._dialect, self._dt, self._scheme, self.notes)
        if np.any(np.asarray(neuron.start) != np.asarray(neuron.v_leak)):
            start["v0"] = neuron.start
        if np.any(np.asarray(getattr(neuron, "i0", 0.0)) != 0):
            start["i0"] = neuron.i0
        order = channels_first(p.shape)
        constants = {key: value[order].reshape(self._shape(p)) for key, value in constants.items()}
        node = node_of(self._nir, neuron, constants)
        if start:
            self.notes.append(f"an initial state {where}, which only snnsim reads")
            node.metadata = {key: self._in_file(value, p) for key, value in start.items()}
        self.nodes[self._name(p.name)] = self._recurrent(p, node, recurrent) if recurrent else node

    def _in_file(self, value, p):
        value = np.broadcast_to(np.asarray(value, float), p.size)
        return value[channels_first(p.shape)].reshape(self._shape(p))

    def _shape(self, p):
        return (p.size,) if p.name in self._flat else p.shape

    def _with_where(self, where, function, *arguments):
        try:
            return function(*arguments)
        except InputError as error:
            raise InputError(f"{error} {where}") from error

    def _recurrent(self, p, node, connections):
        """Write neurons that are connected to themselves as a graph inside, as snnTorch and Norse have them."""
        nir, size = self._nir, np.array([p.size])
        if len(connections) > 1 or not isinstance(connections[0].shape, Dense) or connections[0].shape.pool:
            raise InputError(f"connection {connections[0].name}: {self._dialect} takes one fully connected to itself")
        w = nir.Linear(np.ascontiguousarray(self._network.tensors[connections[0].name].T))
        inside = {"input": nir.Input({"input": size}), "lif": node, "w_rec": w, "output": nir.Output({"output": size})}
        edges = [("input", "lif"), ("lif", "w_rec"), ("w_rec", "lif"), ("lif", "output")]
        return nir.NIRGraph(inside, edges, type_check=False)

    def _connect(self, c):
        nir, network = self._nir, self._network
        source, target = network.populations_by_name[c.source], network.populations_by_name[c.target]
        chain, base = [], self._free(f"{self._name(c.target) if c.target != 'output' else 'output'}_weights")
        delay = np.asarray(network.tensors.get(f"{c.name}.delay", c.delay), float)
        if np.any(delay > 0):
            if delay.shape not in ((), (source.size,)):
                raise InputError(f"connection {c.name}: a delay a synapse, of which NIR has no word")
            wide = np.broadcast_to(delay, source.size)[channels_first(source.shape)].reshape(self._shape(source))
            chain.append((f"{base}_delay", nir.Delay(wide / UNITS["s"])))
        shape, w = c.shape, network.tensors[c.name]
        mapped = isinstance(shape, Convolution) or getattr(shape, "pool", None) is not None
        if c.source in self._flat and len(source.shape) > 1 and mapped:
            raise InputError(f"connection {c.name}: from a map that a matrix leads to, of which NIR has no word")
        if getattr(shape, "pool", None) is not None:
            kind = nir.SumPool2d if shape.pool.kind == "sum" else nir.AvgPool2d
            size = np.array(shape.pool.size)
            chain.append((f"{base}_pool", kind(kernel_size=size, stride=size, padding=np.zeros(2, int))))
        seen = source.shape if getattr(shape, "pool", None) is None else shape.pool.output(source.shape, c.name)
        if isinstance(shape, Convolution):
            chain.append((base, self._convolution(shape, seen, w)))
        elif isinstance(shape, OneToOne):
            scale = np.empty_like(w)
            scale[:] = w[channels_first(source.shape)]
            chain.append((base, nir.Scale(scale.reshape(self._shape(source)))))
        else:
            dense = w if isinstance(shape, Dense) else self._listed(shape, source, target, w)
            if len(seen) > 1 and c.source not in self._flat:
                chain.append((f"{base}_flat", nir.Flatten({"input": np.array(seen)}, 0, -1)))
            dense = dense[channels_first(seen)][:, channels_first(target.shape)]
            chain.append((base, nir.Linear(np.ascontiguousarray(dense.T))))
        names = [self._name(c.source), *(name for name, _ in chain), self._name(c.target)]
        self.nodes |= dict(chain)
        self.edges += list(pairwise(names))

    def _free(self, name):
        while name in self.nodes:
            name += "_"
        return name

    def _convolution(self, shape, seen, w):
        nir, kernel = self._nir, np.ascontiguousarray(nir_kernel(w))
        bias = np.zeros(len(kernel), kernel.dtype)
        if len(seen) == 2:
            return nir.Conv1d(
                input_shape=seen[1], weight=np.ascontiguousarray(kernel[:, :, 0]), stride=shape.stride[1],
                padding=shape.padding[1], dilation=1, groups=1, bias=bias,
            )  # fmt: skip
        return nir.Conv2d(
            input_shape=seen[1:], weight=kernel, stride=shape.stride, padding=shape.padding, dilation=(1, 1), groups=1,
            bias=bias,
        )  # fmt: skip

    def _listed(self, shape, source, target, w):
        """Weights of listed synapses as a matrix (N_source, N_target)."""
        indptr, post, at = shape.synapses(source.shape, target.shape)
        dense = np.zeros((source.size, target.size), w.dtype)
        np.add.at(dense, (np.repeat(np.arange(source.size), np.diff(indptr)), post), w[at])
        return dense
