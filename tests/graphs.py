"""Networks of every kind of connection, and what they are to the serial reference: unrolled by brute force."""

import numpy as np

from snnsim.connections import Convolution, Dense, FixedInDegree, OneToOne, Pool
from snnsim.connections.convolution import from_nir_kernel, nir_kernel
from snnsim.connections.maps import as_map
from snnsim.engines.grid import GridSpikes
from snnsim.network import Network
from snnsim.parameters import LI, LIF
from tests.reference import graph as reference


def counts(seed, batch, n_steps, n_neurons, rate):
    """Spike counts of each step, (B, T, N) int64, some of them 2 and more."""
    return np.random.default_rng(seed).poisson(rate, (batch, n_steps, n_neurons))


def grid_of_counts(dense):
    """Lists of the same spikes, repeated where there are several."""
    row_ptr = np.zeros((len(dense), dense.shape[1] + 1), np.int32)
    np.cumsum(dense.sum(axis=2), axis=1, out=row_ptr[:, 1:])
    rows = np.zeros((len(dense), max(int(row_ptr[:, -1].max()), 1)), np.int32)
    for b, trial in enumerate(dense):
        rows[b, : row_ptr[b, -1]] = np.repeat(np.tile(np.arange(dense.shape[2]), dense.shape[1]), trial.reshape(-1))
    return GridSpikes(rows, row_ptr, dense.shape[2])


def draw(network, seed, scale=0.6, mean=0.1):
    """Random float64 values of all tensors that have none, delays as they are."""
    rng = np.random.default_rng(seed)
    drawn = {}
    for name, shape in network.tensor_shapes().items():
        given = network.tensors.get(name)
        drawn[name] = rng.normal(mean, scale, shape) if given is None else np.array(given, np.float64)
    return drawn


def feed_forward():
    """Convolution, pools, skips, sparse and one to one, each with another kind of delay, on and between grid points."""
    rng = np.random.default_rng(5)
    network = Network()
    network.input("input", (2, 7, 6))
    network.population("map", (3, 3, 4), LIF(tau_mem=0.9))
    network.connect("input", "map", Convolution((3, 2), (2, 2), (0, 1)), delay=0.13, learn=("weight", "delay"))
    network.population("pooled", (4, 1, 1), LIF(tau_syn=0.4, reset="subtract"))
    network.connect("map", "pooled", Convolution(1, pool=Pool(3, "sum")), delay=0.2)
    network.population("hidden", 6, LIF())
    network.connect("map", "hidden", Dense(Pool(2)), delay=0.05, learn=("weight", "delay"))
    network.connect("pooled", "hidden", delay=rng.uniform(0, 0.4, 4), learn=("weight", "delay"))
    network.population("copy", 6, LIF(tau_mem=0.5, v_threshold=0.8))
    network.connect("hidden", "copy", OneToOne(), delay=rng.uniform(0, 0.3, 6), learn=("weight", "delay"))
    network.connect("input", "copy", FixedInDegree(5), delay=0.1)
    network.population("output", 3, LI(tau_mem=1.5))
    network.connect("copy", "output", delay=rng.uniform(0, 0.5, (6, 3)), learn=("weight", "delay"))
    network.connect("hidden", "output")
    network.connect("input", "output", delay=0.3)
    return network


def recurrent():
    """Recurrence, feedback, a skip and a spiking output; delays of all kinds."""
    rng = np.random.default_rng(6)
    network = Network()
    network.input("input", 12)
    network.population("a", 7, LIF())
    network.population("b", 5, LIF(tau_mem=0.6, tau_syn=0.5, r=1.0, v_threshold=0.9, reset="subtract"))
    network.connect("input", "a", delay=0.1)
    network.connect("a", "a", delay=0.1)
    network.connect("a", "b")
    network.connect("b", "a", delay=rng.uniform(0.1, 0.6, 5), learn=("weight", "delay"))
    network.connect("b", "b", FixedInDegree(2), delay=0.25, learn=("weight", "delay"))
    network.connect("input", "b", FixedInDegree(4))
    network.population("output", 4, LIF(v_threshold=0.7))
    network.connect("b", "output", delay=0.17, learn=("weight", "delay"))
    network.connect("a", "output", delay=rng.uniform(0, 0.5, (7, 4)), learn=("weight", "delay"))
    network.connect("output", "output", delay=rng.uniform(0.1, 0.4, (4, 4)), learn=("weight", "delay"))
    return network


def driven():
    """Two inputs, spikes and currents; biases; a convolution of the currents."""
    network = Network()
    network.input("input", 8)
    network.input("image", (1, 4, 4), "current")
    network.population("map", (2, 3, 3), LIF(v_leak=0.1), bias=0.2, learn_bias=True)
    network.connect("image", "map", Convolution(2))
    network.connect("input", "map")
    network.population("hidden", 5, LIF(reset="subtract"), bias=[0.3, -0.1, 0.2, 0.0, 0.1], learn_bias=True)
    network.connect("map", "hidden", delay=0.1)
    network.connect("hidden", "hidden", delay=0.2)
    network.connect("image", "hidden")
    network.population("output", 3, LI(v_leak=-0.2), bias=0.1, learn_bias=True)
    network.connect("hidden", "output")
    return network


def reference_of(network, tensors):
    """The same network as a graph of the reference, and what brings its gradients back to the tensors' shapes.

    Returns
    -------
    graph : reference.Graph
    back : dict of str to callable
        ``back[name](gradients)`` is the gradient of a tensor, from those of the graph's.
    """
    nodes, edges, back = [], [], {}
    for p in network.populations_by_name.values():
        if p.is_input:
            kind = "spikes" if p.kind == "spikes" else "membrane_current"
            nodes.append(reference.Input(p.name, p.size, kind))
            continue
        values = {key: v for key, v in p.neuron.numbers().items() if key != "coupling"}
        for constant in p.learn:
            name = f"{p.name}.{constant}"
            values[constant] = tensors[name]
            back[name] = lambda grads, name=name: _summed(grads[name], tensors[name])
            if constant == "v_leak" and p.neuron.v0 is None and "v0" not in p.learn:  # rest moves the start with it
                back[name] = lambda grads, name=name: _summed(
                    grads[name] + grads[name.replace("v_leak", "v0")], tensors[name]
                )
        if p.bias:
            values["i_ext"] = tensors[f"{p.name}.bias"]
            back[f"{p.name}.bias"] = lambda grads, name=p.name: grads[f"{name}.i_ext"]
        reset = p.neuron.reset if p.spiking else "none"
        nodes.append(reference.Population(p.name, p.size, reset, p.spiking, **values))
    for c in network.connections:
        edges.append(_edge(network, c, tensors, back))
    return reference.Graph(nodes, edges), back


def _summed(gradient, value):
    return gradient if np.ndim(value) else gradient.sum()


def _edge(network, c, tensors, back):
    source, target = network.populations_by_name[c.source], network.populations_by_name[c.target]
    w = tensors[c.name]
    delay = tensors.get(f"{c.name}.delay", np.asarray(c.delay))
    mask = None
    if isinstance(c.shape, Dense):
        pool = _pooling(c.shape.pool, source)
        weight = pool @ w
        back[c.name] = lambda grads: pool.T @ grads[c.name]
    elif isinstance(c.shape, Convolution):
        _, height, width = as_map(source.shape)
        size, kind = (c.shape.pool.size, c.shape.pool.kind) if c.shape.pool else ((1, 1), "average")

        def unroll(kernel):
            return reference.conv2d(kernel, height, width, c.shape.stride, c.shape.padding, size, kind)

        weight = unroll(nir_kernel(w))
        shape = nir_kernel(w).shape
        back[c.name] = lambda grads: from_nir_kernel(reference.pull_back(unroll, shape, grads[c.name]))
    else:
        indptr, post, _ = c.shape.synapses(source.shape, target.shape)
        pre = np.repeat(np.arange(source.size), np.diff(indptr))
        weight, mask = reference.sparse(pre, post, w, (source.size, target.size))
        back[c.name] = lambda grads: grads[c.name][pre, post]
        if delay.shape == w.shape and delay.size != source.size:
            each = np.zeros_like(weight)
            each[pre, post] = delay
            delay = each
    if "delay" in c.learn:
        gather = {0: np.sum, 1: lambda g: g.sum(axis=1), 2: lambda g: g}[np.ndim(tensors[f"{c.name}.delay"])]
        back[f"{c.name}.delay"] = lambda grads: gather(grads[f"{c.name}.delay"])
    if np.ndim(delay) == 1:
        delay = delay[:, None]
    return reference.Connection(c.source, c.target, weight, delay, mask, c.name)


def _pooling(pool, source):
    if pool is None:
        return np.eye(source.size)
    channels, height, width = as_map(source.shape)
    kernel = np.eye(channels)[:, :, None, None]
    return reference.conv2d(kernel, height, width, pool=pool.size, pooling=pool.kind)
