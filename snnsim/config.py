"""Configuration of a run, as TOML and as an object: unknown keys are refused with the nearest known one."""

import dataclasses
import json
import tomllib
import types
import typing
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path

from snnsim import blueprint, notation
from snnsim.errors import InputError, nearest
from snnsim.files.text import parse_toml, read_text
from snnsim.keys import comment
from snnsim.neurons import LI, MODELS
from snnsim.registry import ENCODERS, ESTIMATORS, LOSSES, OPTIMIZERS, SCHEDULES, Registry
from snnsim.tables import (
    KEYS,
    LISTS,
    TABLES,
    ConnectionConfig,
    DataConfig,
    EncoderConfig,
    GradientConfig,
    LossConfig,
    NetworkConfig,
    OptimizerConfig,
    PopulationConfig,
    SimulationConfig,
    TrainingConfig,
)


@dataclass(frozen=True)
class Config:
    """A whole run; :func:`load` and :func:`resolve` make valid ones."""

    network: NetworkConfig = field(default_factory=NetworkConfig)
    simulation: SimulationConfig = field(default_factory=SimulationConfig)
    gradient: GradientConfig = field(default_factory=GradientConfig)
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    data: DataConfig = field(default_factory=DataConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    population: tuple[PopulationConfig, ...] = ()
    connection: tuple[ConnectionConfig, ...] = ()


CHOICES = {name: tuple(key.choices) for name, key in KEYS.items() if key.choices}
CHOICES |= {registry.option: registry for registry in (ENCODERS, ESTIMATORS, LOSSES, OPTIMIZERS, SCHEDULES)}
"""Allowed values of every key that is a choice; of a registry, parts of one's own, too."""
READ_MEMBRANES = ("membrane-mean", "membrane-max", "membrane-mse", "membrane-integral")
"""Losses that read the membrane of a readout without spikes."""
CLASSIFY_MEMBRANES = READ_MEMBRANES[:2]

LONGEST = 2**20
"""Bytes of the longest configuration that is read."""


def shipped():
    """Names of the training configurations that come with the package."""
    folder = resources.files("snnsim.configs")
    names = (p.name.removesuffix(".toml") for p in folder.iterdir() if p.name.endswith(".toml"))
    return sorted(n for n in names if not n.startswith("reproduce-"))


def load(source=None, settings=()):
    """Read a configuration and check it.

    Parameters
    ----------
    source : str, Path or Config, optional
        A TOML file, the name of a shipped configuration (:func:`shipped`), or a configuration to change; the defaults
        if None.
    settings : iterable of str
        ``table.key=value`` in TOML notation (a bare word is a string), applied after the file.

    Returns
    -------
    Config

    Raises
    ------
    InputError
        For a missing or malformed file, an unknown table or key, or a value of the wrong type or out of range.
    """
    tree, origin = {}, "configuration"
    if isinstance(source, Config):
        tree = to_tree(source)
    elif source is not None:
        origin = str(source)
        tree = parse(_text(source), origin)
        _allow(tree)
    tree = {table: dict(values) if isinstance(values, dict) else values for table, values in tree.items()}
    for setting in settings:
        key, sign, value = setting.partition("=")
        table, dot, name = key.strip().partition(".")
        if not sign or not dot:
            raise InputError(f"--set {setting}: must read table.key=value, such as simulation.dt=0.05")
        values = tree.setdefault(table, {})
        if isinstance(values, dict):  # else from_tree says that it must be a table
            values[name] = setting_value(value.strip(), f"--set {key.strip()}")
            _allow({table: {name: values[name]}})
    return from_tree(tree, origin)


def _allow(tree):
    """Let parts of one's own that the user named be imported."""
    for key, registry in CHOICES.items():
        table, name = key.split(".")
        values = tree.get(table)
        if isinstance(registry, Registry) and isinstance(values, dict) and isinstance(values.get(name), str):
            registry.allow(values[name])


def known_keys():
    """Every key as ``table.key``."""
    return [f"{table}.{f.name}" for table, factory in TABLES.items() for f in dataclasses.fields(factory)]


def parse_value(key, text, origin):
    """Value of a known ``table.key`` from its text as in ``--set``, in the type that the key has.

    Raises
    ------
    InputError
        For a value of another type; ``origin`` begins the message.
    """
    table, _, name = key.partition(".")
    return _convert(setting_value(text, origin), typing.get_type_hints(TABLES[table])[name], f"{origin}: {key}")


def layers_of(text, origin):
    """Layers from text: sizes as a list where they are all, else the checked notation (``snnsim.notation``).

    Raises
    ------
    InputError
        If it is not of that form; ``origin`` begins the message.
    """
    notation.parse(text, origin)
    sizes = text.split("-")
    return [int(s) for s in sizes] if all(s.isdecimal() for s in sizes) else text


def layers_text(config):
    """Write the network of a configuration in one line: its layers, or its populations."""
    if config.population:
        return ", ".join(f"{p.name} {blueprint.shape_text(p.shape)}" for p in config.population)
    layers = config.network.layers
    return layers if isinstance(layers, str) else "-".join(map(str, layers))


def from_tree(tree, origin="configuration"):
    """Build a checked :class:`Config` of nested dictionaries; ``origin`` begins every message."""
    tables = {}
    for table, values in tree.items():
        if table in LISTS:
            tables[table] = _list(LISTS[table], table, values, origin)
            continue
        if table not in TABLES:
            raise InputError(f"{origin}: unknown table [{table}]{nearest(table, [*TABLES, *LISTS])}")
        if not isinstance(values, dict):
            raise InputError(f"{origin}: {table} = {values!r}: must be a table")
        tables[table] = _table(TABLES[table], table, values, origin)
    config = Config(**tables)
    check(config, origin)
    layers, delay = config.network.layers, config.network.recurrent_delay
    if layers and delay == 0 and not config.population and blueprint.is_recurrent(config):
        # A time from here on, which another step size does not change.
        config = replace(config, network=replace(config.network, recurrent_delay=config.simulation.dt))
    if config.network.layers:  # else it comes with the model
        blueprint.network_of(config, origin)
    return config


def to_tree(config):
    """Nested dictionaries of a :class:`Config`, tuples as lists."""
    tree = dataclasses.asdict(config)
    lists = {table: [_plain(entry) for entry in tree.pop(table)] for table in LISTS}
    return {table: _plain(values) for table, values in tree.items()} | {t: v for t, v in lists.items() if v}


def to_toml(config, comments=False):
    """Text of a :class:`Config` as TOML; :func:`load` reads the same configuration back.

    Parameters
    ----------
    config : Config
    comments : bool
        Whether every key has what it means and may be above it.
    """
    lines = []
    for table, values in to_tree(config).items():
        for entry in values if isinstance(values, list) else [values]:
            lines.append(f"[[{table}]]" if isinstance(values, list) else f"[{table}]")
            for key, value in entry.items():
                lines += [*(comment(KEYS[f"{table}.{key}"]) if comments else ()), f"{key} = {toml_value(value)}"]
            if comments and table in TABLES:
                # What has no value stands there as a comment, so that it is found.
                for key in (f.name for f in dataclasses.fields(TABLES[table]) if f.name not in entry):
                    lines += [*comment(KEYS[f"{table}.{key}"]), f"# {key} ="]
            lines.append("")
    return "\n".join(lines)


def check(config, origin="configuration"):
    """Refuse values out of range; every message names the key, the value and what is allowed."""
    tree = to_tree(config)

    def value(key):
        table, name = key.split(".")
        return tree[table].get(name)  # None is left out there

    for key in known_keys():
        found, allowed, limits = value(key), CHOICES.get(key), KEYS[key].allowed
        if found is None:
            continue
        for one in (found if isinstance(found, list) else [found]) if allowed else ():
            if one not in allowed:
                names = getattr(allowed, "help", ", ".join(allowed))
                raise InputError(f"{origin}: {key} = {found!r}: must be one of {names}{nearest(str(one), allowed)}")
        if limits and found not in limits:
            raise InputError(f"{origin}: {key} = {found}: must {limits}")
    if isinstance(value("data.validation"), str) and value("data.validation") != "auto":
        raise InputError(f"{origin}: data.validation = {value('data.validation')!r}: must be a number, a share or auto")
    duration = config.simulation.dt * config.simulation.n_steps
    if not 0 <= config.encoder.t_latest <= duration * (1 + 1e-9):
        raise InputError(
            f"{origin}: encoder.t_latest = {config.encoder.t_latest}: must lie in 0..{duration:g}, the trial's duration"
        )
    if value("training.batch_size") % value("training.micro_batches"):
        raise InputError(
            f"{origin}: training.batch_size = {value('training.batch_size')}: must be a multiple of "
            f"training.micro_batches = {value('training.micro_batches')}"
        )
    if value("training.seed") >= 2**32:
        raise InputError(f"{origin}: training.seed = {value('training.seed')}: must be below 2**32")
    if config.data.range and not (len(config.data.range) == 2 and config.data.range[0] < config.data.range[1]):
        raise InputError(f"{origin}: data.range = {list(config.data.range)}: must be two numbers in ascending order")
    layers = config.network.layers
    if not isinstance(layers, str) and (len(layers) < 2 or min(layers) < 1):
        raise InputError(f"{origin}: network.layers = {list(layers)}: must be two or more sizes of at least 1")
    engine, loss = config.simulation.engine, config.loss.name
    if readout(config) == "leaky" and not reads_membranes(loss, leaky=True):
        raise InputError(f"{origin}: loss.name = {loss!r}: needs network.readout = spiking")
    if readout(config) == "spiking" and reads_membranes(loss, leaky=False):
        raise InputError(f"{origin}: loss.name = {loss!r}: needs network.readout = leaky")
    if config.loss.label_smoothing and loss not in CLASSIFY_MEMBRANES:
        raise InputError(f"{origin}: loss.label_smoothing = {config.loss.label_smoothing}: loss {loss} has none")
    if config.loss.activity_cost and config.gradient.method not in ("surrogate", "tssl"):
        raise InputError(
            f"{origin}: loss.activity_cost = {config.loss.activity_cost}: needs gradient.method = surrogate or tssl, "
            "since a spike that moves does not change how many there are"
        )
    if config.data.mixup and loss not in CLASSIFY_MEMBRANES:
        raise InputError(f"{origin}: data.mixup = {config.data.mixup}: loss {loss} has none")
    if engine != "clock" and config.gradient.method != "exact":
        raise InputError(
            f"{origin}: gradient.method = {config.gradient.method!r}: engine {engine} has only exact; the others "
            "belong to the clock engine"
        )
    if engine != "clock" and config.training.dropout:
        raise InputError(f"{origin}: training.dropout = {config.training.dropout}: engine {engine} has none")
    if bool(config.population) != bool(config.connection):
        raise InputError(f"{origin}: [[population]] and [[connection]]: a network of its own needs both")


def readout(config):
    """``leaky`` or ``spiking``, with ``auto`` decided by the loss."""
    if config.network.readout != "auto":
        return config.network.readout
    return "leaky" if reads_membranes(config.loss.name) else "spiking"


def reads_membranes(loss, leaky=None):
    """Whether a loss reads membranes; ``leaky`` is what one of one's own is taken to do where the readout is given."""
    if not LOSSES.is_own(loss):
        return loss in READ_MEMBRANES
    return leaky if leaky is not None else getattr(LOSSES.find(loss), "reads", None) == "membrane"


def parts(config):
    """Names of the parts of a configuration that may be one's own, by their registry."""
    o = config.optimizer
    return {LOSSES: config.loss.name, ENCODERS: config.encoder.name, OPTIMIZERS: o.name, SCHEDULES: o.schedule}


FINEST_SINGLE = 1e-4
"""Step, in shortest time constants, below which float32 does not tell a decay from none: ``1 - dv[k+1]/dv[k]`` is
rounded by up to 3e-8/1e-4."""


def precision(config):
    """``float32`` or ``float64``, with ``auto`` decided by the engine and by the step size."""
    s = config.simulation
    if s.precision != "auto":
        return s.precision
    return "float32" if s.engine == "clock" and s.dt >= FINEST_SINGLE * shortest_constant(config) else "float64"


def shortest_constant(config):
    """Shortest time constant that a configuration names, of membranes and synapses."""
    tables = [config.network, *config.population]
    found = [getattr(table, key, None) for table in tables for key in ("tau_mem", "tau_syn")]
    values = [value if isinstance(value, tuple) else (value,) for value in found if value is not None]
    return float(min(map(min, values)))


def neurons(config):
    """Neurons of every layer of ``network.layers``, a tuple of Neuron; the last one is the readout's."""
    layers, network = config.network.layers, config.network
    n_layers = len(notation.parse(layers) if isinstance(layers, str) else layers) - 1
    columns = {}
    for name in neuron_fields():
        value = getattr(network, name)
        if isinstance(value, tuple) and len(value) != n_layers:
            raise InputError(
                f"network.{name} = {list(value)}: must be one value, or one for each of the {n_layers} layers"
            )
        columns[name] = value if isinstance(value, tuple) else (value,) * n_layers
    each = [{name: column[layer] for name, column in columns.items()} for layer in range(n_layers)]
    last = n_layers - 1 if readout(config) == "leaky" else n_layers
    return tuple(neuron_of(LI if layer == last else MODELS[v["neuron"]], v) for layer, v in enumerate(each))


def neuron_fields():
    """Names of what ``[network]`` says of neurons."""
    return ["neuron", *(name for name in dict.fromkeys(name for made in MODELS.values() for name in made.fields())
                        if hasattr(NetworkConfig, name))]  # fmt: skip


def neuron_of(made, values):
    """Neuron of a class from values by name: of those that it has, and that are not None."""
    return made(**{name: values[name] for name in made.fields() if values.get(name) is not None})


def _text(source):
    path = Path(source)
    if path.suffix != ".toml" and str(source) in shipped():
        return (resources.files("snnsim.configs") / f"{source}.toml").read_text()
    try:
        return read_text(path, LONGEST)
    except InputError as error:
        raise InputError(f"{error}; must be a TOML file, or one of {', '.join(shipped())}") from error


def parse(text, origin):
    """Read TOML text to nested dictionaries; ``origin`` begins the message when it is malformed."""
    if len(text) > LONGEST:
        raise InputError(f"{origin}: {len(text)} letters: too long for a configuration, must be at most {LONGEST}")
    return parse_toml(text, origin)


def setting_value(text, origin):
    """Value of text in TOML notation; a bare word is a string."""
    try:
        return parse_toml(f"x = {text}", origin)["x"]
    except InputError as error:
        if isinstance(error.__cause__, tomllib.TOMLDecodeError):
            return text  # a bare word
        raise


def _list(factory, table, entries, origin):
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise InputError(f"{origin}: {table} = {str(entries)[:60]}: must be tables, each below a line [[{table}]]")
    return tuple(_table(factory, table, entry, f"{origin}: {table} {k + 1}") for k, entry in enumerate(entries))


def _plain(values):
    return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items() if v is not None}


def _table(factory, table, values, origin):
    known = typing.get_type_hints(factory)
    converted = {}
    for key, value in values.items():
        if key not in known:
            elsewhere = [f"{t}.{key}" for t, f in TABLES.items() if key in typing.get_type_hints(f)]
            hint = f"; did you mean {elsewhere[0]}?" if elsewhere else nearest(key, known)
            raise InputError(f"{origin}: unknown key {table}.{key}{hint}")
        converted[key] = _convert(value, known[key], f"{origin}: {table}.{key}")
    if converted.get("layers") == "":
        return factory(**converted)
    if isinstance(converted.get("layers"), str):
        layers = layers_of(converted["layers"], f"{origin}: {table}.layers =")
        converted["layers"] = tuple(layers) if isinstance(layers, list) else layers
    return factory(**converted)


_NAMES = {int: "a whole number", float: "a number", bool: "true or false", str: "a string"}


def _convert(value, wanted, name):
    for kind in typing.get_args(wanted) if isinstance(wanted, types.UnionType) else (wanted,):
        if typing.get_origin(kind) is tuple:
            item = typing.get_args(kind)[0]
            if isinstance(value, list | tuple):
                return tuple(_convert(v, item, name) for v in value)
        elif kind is float and isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
        elif isinstance(value, kind) and (kind is bool) == isinstance(value, bool):
            return value
    raise InputError(f"{name} = {value!r}: must be {type_text(wanted)}")


def type_text(wanted):
    """Describe a type of a value in words."""
    kinds = typing.get_args(wanted) if isinstance(wanted, types.UnionType) else (wanted,)
    kinds = [k for k in kinds if k is not types.NoneType]
    return " or ".join(
        f"a list of {_NAMES[typing.get_args(k)[0]].split(' ')[-1]}s" if typing.get_origin(k) is tuple else _NAMES[k]
        for k in kinds
    )


def toml_value(value):
    """Text of a value in TOML notation."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml_value, value)) + "]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return repr(value)
