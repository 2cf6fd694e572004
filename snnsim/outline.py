"""A network as text: a table of its populations and one of its connections."""

import numpy as np

from snnsim.connections import Convolution, Dense, OneToOne
from snnsim.connections.maps import described
from snnsim.neurons import settings


def outline(network):
    """Lines that draw a network as two tables.

    Parameters
    ----------
    network : Network

    Returns
    -------
    list of str
    """
    populations = [("population", "shape", "neuron", "parameters")]
    for name in network.populations:
        p = network.populations_by_name[name]
        if p.is_input:
            populations.append((name, described(p.shape), "input", p.kind))
            continue
        neuron = network.neuron_of(name)
        values = {key: v for key, v in settings(neuron).items() if not (key == "reset" and v == "hard")}
        texts = {key: _short(v) + (" (learnt)" if key in p.learn else "") for key, v in values.items()}
        texts |= {key: "(learnt)" for key in sorted(p.learn - texts.keys())}
        if p.bias:
            texts["bias"] = "learnt" if p.learn_bias else "fixed"
        kind = type(neuron).__name__.removesuffix("Parameters")
        populations.append((name, described(p.shape), kind, ", ".join(f"{k} {v}" for k, v in texts.items())))
    connections = [("connection", "shape", "weights", "delay", "learnt")]
    for c in network.connections:
        weights = described(network.weight_shape(c))
        connections.append((c.name, _shape(c.shape), weights, _delay(c.delay), ", ".join(sorted(c.learn)) or "-"))
    return [*_aligned(populations), "", *_aligned(connections)]


def _shape(shape):
    pool = f", pool {described(shape.pool.size)} ({shape.pool.kind})" if shape.pool else ""
    if isinstance(shape, Convolution):
        stride = "" if shape.stride == (1, 1) else f", stride {described(shape.stride)}"
        padding = "" if shape.padding == (0, 0) else f", padding {described(shape.padding)}"
        return f"convolution {described(shape.kernel)}{stride}{padding}{pool}"
    if isinstance(shape, Dense):
        return f"dense{pool}"
    return "one to one" if isinstance(shape, OneToOne) else "sparse"


def _delay(delay):
    if np.ndim(delay) == 0:
        return _short(delay)
    return f"{np.min(delay):.4g} to {np.max(delay):.4g} ({described(np.shape(delay))})"


def _short(value):
    if np.ndim(value):
        return f"{np.min(value):.4g} to {np.max(value):.4g}"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _aligned(rows):
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
