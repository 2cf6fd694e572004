"""A graph of spiking populations as plain numbers: the common description of the clock's and the event oracle.

Signatures::

    Input(name, size, kind="spikes")
        kind: "spikes"; on the clock also "current" (a current through the synaptic filter, ``tau_syn di/dt = -i +
        W I``) and "membrane_current" (a current beside i_ext, ``... + r (i + i_ext + W I - c_a a)``).
    Population(name, size, reset="hard", spiking=True, **parameters)
        parameters: numbers or (N,) arrays, see `DEFAULTS`; not spiking: a leaky readout.
    Connection(source, target, weight, delay=0.0, mask=None, name=None)
        weight (N_pre, N_post); delay in units of time, anything that broadcasts to (N_pre, N_post) (per presynaptic
        neuron: (N_pre, 1)); mask (N_pre, N_post) bool, False where there is no synapse; name: "source->target".
    Graph(nodes, connections)     .inputs .populations .connections: dicts by name
        .tensors() -> {"source->target": .., "source->target.delay": .., "name.tau_mem": .., ..}
        .replace(name, array) -> a copy with one tensor changed

    conv2d(kernel, height, width, stride=1, padding=0, pool=1, pooling="average") -> weight (H W C_in, H' W' C_out)
    conv1d(kernel, length, stride=1, padding=0, pool=1, pooling="average") -> weight (L C_in, L' C_out)
        kernel (C_out, C_in, kh, kw) or (C_out, C_in, k); height and width are the source's, before pooling; stride,
        padding, pool: a number or (y, x); neuron (y W + x) C + c.
    one_to_one(values) -> weight, mask;   sparse(pre, post, values, shape) -> weight, mask
    pull_back(unroll, shape, gradient) -> gradient of what was unrolled (a kernel), from that of the dense weight

The neuron, between events and at its spike (``g = v - v_threshold - beta a`` rises through 0)::

    tau_mem dv/dt = -(v - v_leak) + r (i + i_ext - c_a a)      tau_syn di/dt = -i      tau_a da/dt = -a
    a -> a + q;    v -> v_reset ("hard"), v - (v_threshold + beta a - v_reset) ("subtract"), v ("none"), and v stays
    there for t_ref, while i and a go on

In continuous time "hard" and "subtract" are the same. A spike of j at t: ``i_n += w_jn/tau_syn`` at ``t + d_jn``.
"""

from copy import deepcopy
from itertools import product

import numpy as np

DEFAULTS = {
    "tau_mem": 0.8,
    "tau_syn": 0.6,
    "tau_a": 1.0,
    "r": 1.2,
    "v_leak": 0.0,
    "i_ext": 0.0,
    "c_a": 0.0,
    "v_threshold": 1.5,
    "v_reset": 1.0,
    "beta": 0.0,
    "q": 0.0,
    "t_ref": 0.0,
    "v0": None,  # v_leak; its gradient is given apart: add it to v_leak's where it is to follow
    "i0": 0.0,
    "a0": 0.0,
}
FLOW = ("tau_mem", "tau_syn", "tau_a", "r", "v_leak", "i_ext", "c_a")  # what the motion between events depends on


class Input:
    """A source of spikes or currents."""

    def __init__(self, name, size, kind="spikes"):
        if kind not in ("spikes", "current", "membrane_current"):
            raise ValueError(f"kind = {kind!r}")
        self.name, self.size, self.kind = name, size, kind


class Population:
    """Neurons; ``p[parameter]`` is an (N,) array."""

    kind = "spikes"

    def __init__(self, name, size, reset="hard", spiking=True, **parameters):
        if reset not in ("hard", "subtract", "none"):
            raise ValueError(f"reset = {reset!r}")
        self.name, self.size, self.reset, self.spiking = name, size, reset, spiking
        given = DEFAULTS | parameters
        if given.keys() != DEFAULTS.keys():
            raise ValueError(f"unknown parameters {sorted(given.keys() - DEFAULTS.keys())}")
        if given["v0"] is None:
            given["v0"] = given["v_leak"]
        self.p = {key: np.array(np.broadcast_to(value, size), np.float64) for key, value in given.items()}


class Connection:
    """Dense weights with a delay for each synapse."""

    def __init__(self, source, target, weight, delay=0.0, mask=None, name=None):
        self.source, self.target, self.name = source, target, name or f"{source}->{target}"
        weight = np.array(weight, np.float64)
        self.mask = np.array(np.broadcast_to(True if mask is None else mask, weight.shape))
        self.weight = np.where(self.mask, weight, 0.0)
        self.delay = np.array(np.broadcast_to(delay, weight.shape), np.float64)


class Graph:
    """Inputs, populations and connections by name."""

    def __init__(self, nodes, connections):
        self.inputs = {n.name: n for n in nodes if isinstance(n, Input)}
        self.populations = {n.name: n for n in nodes if isinstance(n, Population)}
        self.connections = {c.name: c for c in connections}
        self.nodes = self.inputs | self.populations
        if len(self.nodes) != len(nodes) or len(self.connections) != len(connections):
            raise ValueError("two nodes or two connections have the same name")
        for c in connections:
            shape = self.nodes[c.source].size, self.populations[c.target].size
            if c.weight.shape != shape:
                raise ValueError(f"{c.name}: weight {c.weight.shape}, populations {shape}")

    def tensors(self):
        """Every number of the graph, by name; parameters (N,), weights and delays (N_pre, N_post)."""
        found = {}
        for name, c in self.connections.items():
            found |= {name: c.weight, f"{name}.delay": c.delay}
        for name, population in self.populations.items():
            found |= {f"{name}.{key}": value for key, value in population.p.items()}
        return found

    def replace(self, name, array):
        """Copy with ``tensors()[name]`` replaced; synapses outside the mask stay absent."""
        other = deepcopy(self)
        tensor = other.tensors()[name]
        tensor[...] = array
        if name in other.connections:
            tensor[~other.connections[name].mask] = 0.0
        return other


def _pair(value):
    return (value, value) if np.ndim(value) == 0 else tuple(value)


def conv2d(kernel, height, width, stride=1, padding=0, pool=1, pooling="average"):
    """Weight matrix of pooling and convolution, by sending every image of one pixel through both."""
    kernel = np.asarray(kernel, np.float64)
    c_out, c_in, kh, kw = kernel.shape
    (sy, sx), (py, px), (qy, qx) = _pair(stride), _pair(padding), _pair(pool)
    rows, columns = height // qy, width // qx
    images = np.eye(height * width * c_in).reshape(-1, height, width, c_in)
    windows = images[:, : rows * qy, : columns * qx].reshape(-1, rows, qy, columns, qx, c_in)
    pooled = {"average": np.mean, "sum": np.sum}[pooling](windows, axis=(2, 4))
    padded = np.pad(pooled, ((0, 0), (py, py), (px, px), (0, 0)))
    shape = (rows + 2 * py - kh) // sy + 1, (columns + 2 * px - kw) // sx + 1
    out = np.zeros((len(images), *shape, c_out))
    for y, x in product(*map(range, shape)):
        patch = padded[:, y * sy : y * sy + kh, x * sx : x * sx + kw]
        out[:, y, x] = np.einsum("mabi,oiab->mo", patch, kernel)
    return out.reshape(len(images), -1)


def conv1d(kernel, length, stride=1, padding=0, pool=1, pooling="average"):
    """Weight matrix of pooling and convolution over one axis."""
    kernel = np.asarray(kernel, np.float64)[:, :, None, :]
    return conv2d(kernel, 1, length, (1, stride), (0, padding), (1, pool), pooling)


def one_to_one(values):
    """Neuron n to neuron n."""
    return np.diag(np.asarray(values, np.float64)), np.eye(len(values), dtype=bool)


def sparse(pre, post, values, shape):
    """Listed synapses only; every pair at most once."""
    weight, mask = np.zeros(shape), np.zeros(shape, bool)
    for j, n, w in zip(pre, post, values, strict=True):
        if mask[j, n]:
            raise ValueError(f"synapse {j}->{n} is listed twice")
        weight[j, n], mask[j, n] = w, True
    return weight, mask


def pull_back(unroll, shape, gradient):
    """Gradient of a kernel of this shape; ``unroll(kernel)`` is linear and ``gradient`` that of its result."""
    result = np.zeros(shape)
    for index in np.ndindex(*shape):
        unit = np.zeros(shape)
        unit[index] = 1.0
        result[index] = np.sum(unroll(unit) * gradient)
    return result
