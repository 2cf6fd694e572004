"""Configuration of a simulation without trials: populations, connections and inputs as tables of a TOML file."""

import dataclasses
import typing
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from snnsim import connections
from snnsim.arguments import made_array, number
from snnsim.config import parse, setting_value
from snnsim.distributions import DISTRIBUTIONS
from snnsim.errors import InputError, check_names, nearest
from snnsim.files.text import read_text
from snnsim.longrun import stimuli
from snnsim.longrun.networks import NETWORKS
from snnsim.network import Network
from snnsim.neurons import MODELS

NEURONS = {kind: made for kind, made in MODELS.items() if made.without_trials}
"""Neurons by the name that a configuration gives them; ``input`` is what sends given spikes."""
CORTICAL = {"lif": {"tau_mem": 10.0, "tau_syn": 0.5, "r": 1.0}}
"""What a table leaves out, where it is not the default of trainings: milliseconds."""
RULES = {
    "dense": connections.Dense,
    "one-to-one": connections.OneToOne,
    "fixed-in-degree": connections.FixedInDegree,
    "fixed-out-degree": connections.FixedOutDegree,
    "fixed-total": connections.FixedTotal,
    "fixed-probability": connections.FixedProbability,
}
INPUTS = {
    "poisson": ("target", "rate", "weight"),
    "poisson-trains": ("source", "rate"),
    "spikes": ("source", "file", "population"),
    "current": ("target", "value", "start", "stop"),
    "noise": ("target", "std", "hold", "mean"),
}
"""Keys of each kind of input."""


@dataclass(frozen=True)
class Run:
    """``[simulation]``: how time passes, and what is recorded.

    Parameters
    ----------
    dt, duration : float
    scheme, impulse, precision : str
    seed : int
    record : tuple of str
    every : int
    time_unit_ms : float
    voltage_unit, current_unit : str
    """

    dt: float = 0.1
    duration: float = 1000.0
    scheme: str = "exact"
    impulse: str = "unit-area"
    precision: str = "float32"
    seed: int = 0
    record: tuple = ("spikes",)
    every: int = 1
    time_unit_ms: float = 1.0
    voltage_unit: str = "mV"
    current_unit: str = "pA"


@dataclass(frozen=True)
class LongConfig:
    """A whole simulation.

    Parameters
    ----------
    run : Run
    populations, connections, inputs : tuple of dict
        Tables as they were read.
    """

    run: Run = field(default_factory=Run)
    populations: tuple = ()
    connections: tuple = ()
    inputs: tuple = ()


TABLES = {"simulation": None, "population": "populations", "connection": "connections", "input": "inputs"}


def is_long(tree):
    """Whether a configuration is one of a simulation without trials: it says for how long."""
    simulation = tree.get("simulation")
    return isinstance(simulation, dict) and "duration" in simulation


def load(source, settings=(), scale=None):
    """Read a configuration.

    Parameters
    ----------
    source : str or Path
        A TOML file, or the name of a shipped network (:data:`snnsim.longrun.networks.NETWORKS`).
    settings : iterable of str
        ``simulation.key=value``, applied after the file.
    scale : float, optional
        Of a shipped network: share of its neurons and synapses.

    Returns
    -------
    LongConfig

    Raises
    ------
    InputError
        For a missing or malformed file, an unknown table or key, or a value of the wrong type.
    """
    if source in NETWORKS:
        return from_tree(NETWORKS[source](1.0 if scale is None else scale), source, settings)
    if scale is not None:
        raise InputError(f"--scale: belongs to {', '.join(NETWORKS)}; {source} is none of them")
    if not Path(source).exists():
        raise InputError(f"{source}: no such file; a TOML file, or one of {', '.join(NETWORKS)}")
    return from_tree(parse(read_text(source), str(source)), str(source), settings)


def from_tree(tree, origin="configuration", settings=()):
    """Make a configuration of nested dictionaries; ``origin`` begins every message."""
    for table in tree:
        if table not in TABLES:
            raise InputError(f"{origin}: unknown table [{table}]{nearest(table, TABLES)}")
    values = tree.get("simulation", {})
    if not isinstance(values, dict):
        raise InputError(f"{origin}: simulation = {values!r}: must be a table")
    values = dict(values)
    for setting in settings:
        key, sign, text = setting.partition("=")
        table, dot, name = key.strip().partition(".")
        if not sign or not dot or table != "simulation":
            raise InputError(f"--set {setting}: must read simulation.key=value for a simulation without trials")
        values[name] = setting_value(text.strip(), f"--set {key.strip()}")
    hints = typing.get_type_hints(Run)
    for key, value in values.items():
        if key not in hints:
            raise InputError(f"{origin}: unknown key simulation.{key}{nearest(key, hints)}")
        values[key] = _typed(value, hints[key], f"{origin}: simulation.{key}")
    lists = {}
    for table, name in TABLES.items():
        entries = tree.get(table, []) if name else []
        if not isinstance(entries, list) or not all(isinstance(e, dict) for e in entries):
            raise InputError(f"{origin}: {table}: must be tables [[{table}]]")
        if name:
            lists[name] = tuple(entries)
    if not lists["populations"]:
        raise InputError(f"{origin}: has no [[population]]")
    return LongConfig(Run(**values), **lists)


def to_tree(config):
    """Nested dictionaries of a configuration, as a recording keeps them."""
    run = dataclasses.asdict(config.run) | {"record": list(config.run.record)}
    return {"simulation": run, "population": list(config.populations), "connection": list(config.connections),
            "input": list(config.inputs)}  # fmt: skip


def build(config, origin="configuration"):
    """Network, inputs and first membranes of a configuration.

    Returns
    -------
    network : Network
    inputs : list
    initial : dict of str to float or Distribution

    Raises
    ------
    InputError
        For unknown keys, names or values out of range; ``origin`` begins the message.
    """
    try:
        network, initial = Network(seed=config.run.seed), {}
        for table in config.populations:
            _population(network, initial, dict(table))
        for table in config.connections:
            _connection(network, dict(table))
        return network, [_input(dict(table), config.run.time_unit_ms) for table in config.inputs], initial
    except InputError as error:
        raise InputError(f"{origin}: {error}") from error


def _population(network, initial, table):
    name = _taken(table, "name", "[[population]]")
    where = f"population {name}"
    shape, neuron = _taken(table, "shape", where), table.pop("neuron", "lif")
    if neuron == "input":
        _nothing_left(table, where, ())
        network.input(name, _sized(shape))
        return
    check_names(f"{where}: neuron", [neuron], [*NEURONS, "input"])
    first, current = table.pop("v_init", None), table.pop("current", None)
    kind = NEURONS[neuron]
    fields = typing.get_type_hints(kind)
    _nothing_left(table, where, [*fields, "v_init", "current"], fields)
    values = {key: _typed(value, fields[key], f"{where}: {key}") for key, value in table.items()}
    try:
        made = kind(**{**CORTICAL.get(neuron, {}), **values})
    except InputError as error:
        raise InputError(f"{where}: {error}") from error
    network.population(name, _sized(shape), made, bias=current)
    if first is not None:
        initial[name] = _value(first, f"{where}: v_init")


def _connection(network, table):
    source, target = _taken(table, "source", "[[connection]]"), _taken(table, "target", "[[connection]]")
    name = table.pop("name", None)
    where = f"connection {name or f'{source}->{target}'}"
    shape = table.pop("shape", "dense")
    check_names(f"{where}: shape", [shape], RULES)
    weight, delay = _taken(table, "weight", where), table.pop("delay", 0.0)
    rule = RULES[shape]
    fields = {f.name for f in dataclasses.fields(rule)} - {"pool"}
    _nothing_left(table, where, [*fields, "name", "weight", "delay"], fields)
    try:
        made = rule(**table)
    except TypeError:
        raise InputError(f"{where}: {shape} needs {', '.join(sorted(fields))}") from None
    network.connect(
        source,
        target,
        made,
        weight=_value(weight, f"{where}: weight"),
        delay=_value(delay, f"{where}: delay"),
        name=name,
    )


def _input(table, time_unit_ms):
    kind = _taken(table, "kind", "[[input]]")
    check_names("[[input]]: kind", [kind], INPUTS)
    end = INPUTS[kind][0]
    where = f"input into {table[end]}" if end in table else "[[input]]"
    course = [table.pop(key, None) for key in ("times", "factors")]
    if course[0] is not None and kind not in ("poisson", "poisson-trains", "current"):
        raise InputError(f"{where}: times, factors: belong to poisson, poisson-trains and current")
    _nothing_left(table, where, [*INPUTS[kind], "kind", "times", "factors"], INPUTS[kind])
    for key in INPUTS[kind][:2]:
        if key not in table:
            raise InputError(f"{where}: lacks {key}")
    if kind == "spikes":
        return _spikes(table, where, time_unit_ms)
    if course[0] is not None or course[1] is not None:
        table["modulation" if kind != "current" else "course"] = Steps.checked(*course, where)
    return stimuli.STIMULI[kind](**table)


def _spikes(table, where, time_unit_ms):
    from snnsim.recording.events import read_sonata, sonata_populations

    path, population = table["file"], table.get("population")
    if not isinstance(path, str):
        raise InputError(f"{where}: file = {path!r}: must be text")
    number("simulation.time_unit_ms", time_unit_ms, above=0)
    names = sonata_populations(path)
    if population is None and len(names) != 1:
        raise InputError(f"{where}: {path}: has populations {', '.join(names)}; give population")
    times, neurons = read_sonata(path, names[0] if population is None else population)
    return stimuli.SpikeTrains(table["source"], times / time_unit_ms, neurons)


@dataclass(frozen=True)
class Steps:
    """A function of time that is constant between given times: ``factors[k]`` from ``times[k]`` on, 0 before.

    Parameters
    ----------
    times, factors : tuple of float
    """

    times: tuple
    factors: tuple

    @classmethod
    def checked(cls, times, factors, where):
        """Make one; InputError unless times rise and there are as many factors."""
        good = isinstance(times, list) and isinstance(factors, list) and len(times) == len(factors) > 0
        good = good and all(made_array(x).dtype.kind in "iuf" and np.isfinite(x).all() for x in (times, factors))
        if not good or made_array(times).ndim != 1 or made_array(factors).ndim != 1 or sorted(times) != times:
            raise InputError(f"{where}: times and factors: must be two lists of equally many numbers, times ascending")
        return cls(tuple(times), tuple(factors))

    def __call__(self, t):
        """Factors at times t, ndarray."""
        at = np.searchsorted(self.times, t, side="right")
        return np.concatenate([[0.0], self.factors])[at]


def _value(value, where):
    """Take a number, a list of numbers, or a table of a distribution."""
    if isinstance(value, list):
        array = made_array(value)
        if array.dtype.kind not in "iuf":
            raise InputError(f"{where} = {value!r}: must be numbers")
        return array.astype(np.float64)
    if not isinstance(value, dict):
        return value
    table = dict(value)
    name = _taken(table, "distribution", where)
    check_names(f"{where}: distribution", [name], DISTRIBUTIONS)
    kind = DISTRIBUTIONS[name]
    fields = [f.name for f in dataclasses.fields(kind)]
    if name == "clipped" and "of" in table:
        table["of"] = _value(table["of"], f"{where}: of")
    _nothing_left(table, where, [*fields, "distribution"], fields)
    try:
        made = kind(**table)
    except TypeError:
        raise InputError(f"{where}: {name} needs {', '.join(fields)}") from None
    return made


def _taken(table, key, where):
    if key not in table:
        raise InputError(f"{where}: lacks {key}")
    return table.pop(key)


def _nothing_left(table, where, allowed, known=()):
    for key in table:
        if key not in known:
            raise InputError(f"{where}: unknown key {key}{nearest(key, allowed)}")


def _sized(shape):
    return tuple(shape) if isinstance(shape, list) else shape


def _typed(value, kind, where):
    if not isinstance(kind, type):  # a number, or one a neuron: the neuron looks at them
        return value
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if kind is tuple and isinstance(value, list | str):
        return (value,) if isinstance(value, str) else tuple(value)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise InputError(f"{where} = {value!r}: must be of type {kind.__name__}")
    return value
