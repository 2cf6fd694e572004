"""The network that a configuration describes: by its layers, or by its populations and connections."""

import zlib

import numpy as np

from snnsim import notation
from snnsim.connections import Convolution, Dense, FixedInDegree, FixedProbability, OneToOne, Pool
from snnsim.connections.maps import described
from snnsim.connections.rules import Rule
from snnsim.errors import InputError, check_names
from snnsim.network import Network, layer_names
from snnsim.neurons import MODELS
from snnsim.parameters import check_continuous, check_on_clock
from snnsim.schedule import check_delays
from snnsim.tables import choices


def network_of(config, origin="configuration"):
    """Structure of a configuration's network, without weights.

    Parameters
    ----------
    config : Config
    origin : str
        Begins every message.

    Returns
    -------
    Network

    Raises
    ------
    InputError
        If its parts do not fit together.
    """
    s = config.simulation
    try:
        network = _of_graph(config) if config.population else _of_layers(config)
        for p in network.populations_by_name.values():
            if p.is_input:
                continue
            if s.engine == "clock":
                check_on_clock(p.neuron, s.dt, s.scheme, f"population {p.name}")
            else:
                check_continuous(p.neuron)
        check_delays(network, None if s.engine == "event" else s.dt, s.dt * s.n_steps)
        return network
    except InputError as error:
        text = str(error)
        raise InputError(text if text.startswith(origin) else f"{origin}: {text}") from error


def is_recurrent(config):
    """Whether a layer of ``network.layers`` is connected to itself."""
    layers = config.network.layers
    return isinstance(layers, str) and any(layer.recurrent for layer in notation.parse(layers))


def shape_text(shape):
    """Text of a population's shape in a configuration."""
    return str(shape) if isinstance(shape, int) else described(shape)


def _of_layers(config):
    from snnsim.config import neurons, readout

    c = config.network
    if not c.layers:
        raise InputError("network.layers = '': the network comes with a model; give its file")
    text = c.layers if isinstance(c.layers, str) else "-".join(map(str, c.layers))
    layers = notation.parse(text, "network.layers =")
    names = layer_names(len(layers) - 1)
    network = Network(seed=config.training.seed)
    network.input(names[0], layers[0].shape, c.input)
    for k, (layer, neuron) in enumerate(zip(layers[1:], neurons(config), strict=True)):
        last = k == len(layers) - 2
        learn = tuple(name for name in c.learn if name in ("bias", *neuron.constants()))
        network.population(
            names[k + 1], layer.shape, neuron, learn_bias=c.learn_bias, learn=learn, learn_each=c.learn_each
        )
        network.connect(names[k], names[k + 1], layer.connection)
        if layer.recurrent:
            if last and readout(config) == "leaky":
                raise InputError(f"network.layers = {text}: a readout without spikes cannot be connected to itself")
            network.connect(names[k + 1], names[k + 1], delay=c.recurrent_delay or config.simulation.dt)
    check_names("network.learn", c.learn, sorted({"bias"}.union(*(n.constants() for n in neurons(config)))))
    return network


def _of_graph(config):
    network = Network(seed=config.training.seed)
    for entry in config.population:
        _add_population(network, entry, config)
    for entry in config.connection:
        _add_connection(network, entry, config)
    return network


def _add_population(network, entry, config):
    from snnsim.config import neuron_fields, neuron_of

    where, common = f"population {entry.name!r}", config.network
    kind = _one(where, "neuron", entry.neuron, common.neuron)
    check_names(f"{where}: neuron", kind, choices("population.neuron"))
    if kind == "input":
        network.input(entry.name, entry.shape, common.input)
        return
    made = MODELS[kind]
    wrong = [name for name in neuron_fields()[1:] if getattr(entry, name) is not None and name not in made.fields()]
    if wrong:
        raise InputError(f"{where}: {wrong[0]}: {kind} has {', '.join(made.fields())}")
    values = {name: _one(where, name, getattr(entry, name), getattr(common, name)) for name in neuron_fields()[1:]}
    learn = entry.learn
    if learn is None:
        learn = tuple(name for name in common.learn if name in ("bias", *made.constants()))
    each = common.learn_each if entry.learn_each is None else entry.learn_each
    learn_bias = entry.learn_bias or common.learn_bias
    bias = entry.bias if np.any(entry.bias) or learn_bias or "bias" in learn else None
    network.population(entry.name, entry.shape, neuron_of(made, values), bias, learn_bias, learn, each)


def _one(where, name, own, common):
    """Value of a population, else the network's, which must then be one for all."""
    if own is None and isinstance(common, tuple):
        raise InputError(f"{where}: network.{name} = {list(common)}: must be one value beside [[population]]")
    return common if own is None else own


def _add_connection(network, entry, config):
    name = entry.name or f"{entry.source}->{entry.target}"
    where = f"connection {name}"
    check_names(f"{where}: shape", entry.shape, choices("connection.shape"))
    check_names(f"{where}: delays", entry.delays, choices("connection.delays"))
    pool = Pool(entry.pool, entry.pool_kind) if entry.pool else None
    shape = {
        "dense": lambda: Dense(pool),
        "convolution": lambda: Convolution(entry.kernel, entry.stride, entry.padding, pool),
        "fixed-in-degree": lambda: FixedInDegree(entry.degree, entry.multiple),
        "fixed-probability": lambda: FixedProbability(entry.probability),
        "one-to-one": OneToOne,
    }[entry.shape]()
    delay = entry.delay
    if isinstance(delay, tuple) or entry.delays != "one":
        source, target = network.ends(entry.source, entry.target, where)
        n_delays = (source.size,)
        if entry.delays != "source":
            same = {"same": source is target} if isinstance(shape, Rule) else {}
            made = shape.resolved(source.shape, target.shape, where, config.training.seed, **same)
            n_delays = made.weight_shape(source.shape, target.shape, where)
        delay = _drawn(delay, entry.delays, n_delays, name, config.training.seed)
    network.connect(entry.source, entry.target, shape, delay=delay, learn=entry.learn, name=name)


def _drawn(delay, delays, shape, name, seed):
    """Delays, drawn evenly from a range; random numbers are keyed by the seed and the connection's name."""
    low, high = delay if isinstance(delay, tuple) and len(delay) == 2 else (delay, delay)
    if isinstance(low, tuple) or not 0 <= low <= high:
        raise InputError(f"connection {name}: delay = {delay}: must be a time, or two in ascending order")
    if delays == "one":
        raise InputError(f"connection {name}: delay = {delay}: a range needs delays = source or synapse")
    rng = np.random.Generator(np.random.Philox(key=[seed, 2**40 + zlib.crc32(name.encode())]))
    return rng.uniform(low, high, shape)
