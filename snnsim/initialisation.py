"""Initial weights: Kaiming, uniform, and a data-driven gain that brings each population to a wanted firing rate."""

import math
import re
import zlib

import numpy as np

from snnsim.errors import InputError
from snnsim.schedule import components

LAYER = re.compile(r"(?:input|hidden(\d+))->(?:hidden(\d+)|output)")


def initial_tensors(network, init="kaiming", scale=1.0, mean=0.0, recurrent_scale=1.0, seed=0, dtype=np.float32):
    """Draw the weights of a network; random numbers are keyed by the seed and the connection's name.

    Parameters
    ----------
    network : Network
    init : {"kaiming", "uniform"}
        ``kaiming``: normal with standard deviation ``sqrt(2/fan_in)`` (He et al. 2015); ``uniform``: on
        ``[-1/sqrt(fan_in), 1/sqrt(fan_in)]``. The fan-in of a convolution is its kernel times its channels.
    scale : float or dict of str to float
        Factor of all weights, or of each connection's.
    mean : float
        Added to every weight, in units of its standard deviation.
    recurrent_scale : float
        Factor of the weights of connections inside a cycle.
    seed : int
    dtype : dtype

    Returns
    -------
    dict of str to ndarray
        Every tensor of the network, in its order; those that it has already are copied.
    """
    inner = {c.name for component in components(network) for c in component.inner}
    connections = network.connections_by_name
    tensors = {}
    for name, shape in network.tensor_shapes().items():
        if name in network.tensors:
            tensors[name] = np.array(network.tensors[name], dtype, order="C")
            continue
        connection = connections[name]
        source = network.populations_by_name[connection.source].shape
        fan_in = connection.shape.fan_in(source, network.populations_by_name[connection.target].shape)
        factor = (scale[name] if isinstance(scale, dict) else scale) * (recurrent_scale if name in inner else 1.0)
        rng = np.random.Generator(np.random.Philox(key=[seed, _stream(name)]))
        if init == "kaiming":
            deviation = math.sqrt(2 / fan_in)
            w = rng.standard_normal(shape) * deviation
        else:
            bound = 1 / math.sqrt(fan_in)
            deviation = bound / math.sqrt(3)
            w = rng.uniform(-bound, bound, shape)
        tensors[name] = np.ascontiguousarray(factor * (w + mean * deviation), dtype)
    return tensors


def _stream(name):
    """Find a connection's stream of random numbers: that of its layer where it is one of a chain."""
    layer = LAYER.fullmatch(name)
    if layer:
        source = -1 if layer[1] is None else int(layer[1])
        if layer[2] is None or int(layer[2]) == source + 1:
            return source + 1
    return 2**32 + zlib.crc32(name.encode())


def scale_to_rate(network, tensors, target_rate, mean_rate):
    """Scale component after component until its neurons spike ``target_rate`` times a trial in the mean.

    Parameters
    ----------
    network : Network
    tensors : dict of str to ndarray
        Weights are scaled in place.
    target_rate : float
        Spikes per neuron and trial.
    mean_rate : callable
        ``mean_rate(tensors, names)``: mean spikes per neuron and trial of the given populations, measured on a probe
        batch.

    Raises
    ------
    InputError
        If no gain between 1e-3 and 1e3 reaches the rate.
    """
    for component in components(network):
        names = component.populations
        if not network.populations_by_name[names[0]].spiking:
            continue
        weights = [tensors[c.name] for name in names for c in network.into(name)]
        original = [w.copy() for w in weights]
        low, high, gain = 0.0, math.inf, 1.0
        for _ in range(24):
            for w, first in zip(weights, original, strict=True):
                w[...] = first * w.dtype.type(gain)
            rate = mean_rate(tensors, names)
            if abs(rate - target_rate) <= 0.01 * target_rate:
                break
            low, high = (gain, high) if rate < target_rate else (low, gain)
            if not 1e-3 < gain < 1e3:
                break
            # Twice or half until the rate lies between: neurons that fire in every step would fill the memory.
            gain = 2 * low if high == math.inf else high / 2 if low == 0 else math.sqrt(low * high)
        if abs(rate - target_rate) > 0.2 * target_rate:
            raise InputError(
                f"network.target_rate = {target_rate}: {', '.join(names)} reaches {rate:.3g} spikes a neuron at most"
            )
