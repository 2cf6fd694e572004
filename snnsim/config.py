"""Configuration of a run: one frozen dataclass a TOML table, unknown keys refused with the nearest known one."""

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
from snnsim.neurons import LI, MODELS
from snnsim.registry import ENCODERS, ESTIMATORS, LOSSES, OPTIMIZERS, SCHEDULES, Registry


@dataclass(frozen=True)
class NetworkConfig:
    """``[network]``: layers, neurons, initial weights. Neuron parameters are one value, or a list with one a layer."""

    # Sizes, or a notation such as "28x28-15c5-p2-300r-10"; "" where the network is a model's own.
    layers: tuple[int, ...] | str = (784, 400, 10)
    input: str = "spikes"  # spikes | current: what the encoder's intensities become
    recurrent_delay: float = 0.0  # of layers to themselves; 0 becomes one step of simulation.dt, and stays that time
    recurrent_scale: float = 1.0  # factor of the initial weights inside a cycle
    learn_bias: bool = False  # whether every neuron of a layer learns a constant current
    readout: str = "auto"  # auto (leaky for membrane losses, else spiking) | leaky | spiking
    voltage_unit: str = ""  # of the membrane and its thresholds, such as mV, for files and axes; empty: none
    current_unit: str = ""  # of synaptic currents, such as nA
    tau_mem: float | tuple[float, ...] = 0.8
    tau_syn: float | tuple[float, ...] = 0.6
    r: float | tuple[float, ...] = 1.2
    v_threshold: float | tuple[float, ...] = 1.0
    v_reset: float | tuple[float, ...] = 0.0
    v_leak: float | tuple[float, ...] = 0.0
    reset: str | tuple[str, ...] = "hard"  # hard | subtract | none
    neuron: str | tuple[str, ...] = "lif"  # lif | alif | adlif | delta-lif | if
    t_ref: float | tuple[float, ...] | None = None  # absolute refractory period
    v0: float | tuple[float, ...] | None = None  # initial membrane, else v_leak
    i0: float | tuple[float, ...] | None = None  # initial current
    tau_a: float | tuple[float, ...] | None = None  # of alif and adlif, as those below
    beta: float | tuple[float, ...] | None = None  # threshold per adaptation (alif)
    c_a: float | tuple[float, ...] | None = None  # current per adaptation (adlif)
    q: float | tuple[float, ...] | None = None  # growth of the adaptation with a spike
    a0: float | tuple[float, ...] | None = None  # initial adaptation
    coupling: float | tuple[float, ...] | None = None  # how the membrane drives the adaptation (adlif, clock)
    learn: tuple[str, ...] = ()  # constants of neurons that are learnt, such as tau_mem, v_threshold, bias
    learn_each: bool = True  # whether every neuron learns values of its own
    init: str = "kaiming"  # kaiming | uniform
    init_scale: float = 1.0
    init_mean: float = 0.0  # added to every weight, in units of the initial standard deviation
    target_rate: float = 0.0  # spikes per neuron and trial that the initial weights are scaled to; 0: not scaled


@dataclass(frozen=True)
class PopulationConfig:
    """``[[population]]``: an input, or neurons; what is not said is that of ``[network]``."""

    name: str = ""
    shape: int | tuple[int, ...] = 0
    neuron: str | None = None  # input | lif | alif | adlif | li | delta-lif | if
    tau_mem: float | tuple[float, ...] | None = None  # a number, or one a neuron, like all those below
    tau_syn: float | tuple[float, ...] | None = None
    r: float | tuple[float, ...] | None = None
    v_threshold: float | tuple[float, ...] | None = None
    v_reset: float | tuple[float, ...] | None = None
    v_leak: float | tuple[float, ...] | None = None
    reset: str | None = None  # hard | subtract | none
    t_ref: float | tuple[float, ...] | None = None
    v0: float | tuple[float, ...] | None = None
    i0: float | tuple[float, ...] | None = None
    tau_a: float | tuple[float, ...] | None = None
    beta: float | tuple[float, ...] | None = None
    c_a: float | tuple[float, ...] | None = None
    q: float | tuple[float, ...] | None = None
    a0: float | tuple[float, ...] | None = None
    coupling: float | tuple[float, ...] | None = None
    bias: float | tuple[float, ...] = 0.0  # constant current of every neuron, to begin with
    learn_bias: bool = False
    learn: tuple[str, ...] | None = None
    learn_each: bool | None = None


@dataclass(frozen=True)
class ConnectionConfig:
    """``[[connection]]``: synapses between two populations."""

    source: str = ""
    target: str = ""
    name: str = ""  # source->target if empty
    shape: str = "dense"  # dense | convolution | fixed-in-degree | fixed-probability | one-to-one
    kernel: int | tuple[int, ...] = 0
    stride: int | tuple[int, ...] = 1
    padding: int | tuple[int, ...] = 0
    pool: int | tuple[int, ...] = 0  # window of the source, folded into the connection
    pool_kind: str = "average"  # average | sum
    degree: int = 0
    probability: float = 0.0
    multiple: bool = False  # whether a pair may be joined more than once
    delay: float | tuple[float, ...] = 0.0  # a time, or a range from which delays are drawn evenly
    delays: str = "one"  # one | source | synapse: how many delays there are
    learn: tuple[str, ...] = ("weight",)  # of weight, delay
    init_scale: float = 1.0


@dataclass(frozen=True)
class SimulationConfig:
    """``[simulation]``: how time passes."""

    engine: str = "clock"  # clock | hybrid | event
    scheme: str = "backward_euler"  # backward_euler | forward_euler | exact | bilinear
    dt: float = 0.1
    n_steps: int = 50
    time_unit: str = "auto"  # of dt and all times: ms | s | none | auto (ms where the data has times, else none)
    impulse: str = "unit-area"  # unit-area | unit-height
    precision: str = "auto"  # auto (float32 on the clock unless dt is tiny, float64 otherwise) | float32 | float64
    synapse: str = "auto"  # auto | gather | pattern | dense


@dataclass(frozen=True)
class GradientConfig:
    """``[gradient]``: how the loss is differentiated."""

    method: str = "exact"  # exact | literal | tssl | surrogate
    weight_gradient: str = "discrete"  # discrete | continuous
    max_inverse_slope: float = 1e4
    surrogate_slope: float = 10.0
    tssl_max_inverse: float = 8.0
    tssl_fallback: bool = False
    tssl_width: float = 0.2


@dataclass(frozen=True)
class EncoderConfig:
    """``[encoder]``: intensities to input spikes."""

    name: str = "poisson"  # poisson | poisson-rate | regular | latency
    max_probability: float = 1.0
    max_rate: float = 1.0
    t_latest: float = 0.0
    latency_floor: float = 0.0


@dataclass(frozen=True)
class LossConfig:
    """``[loss]``."""

    name: str = "membrane-mean"
    target_true: float = 15.0
    target_false: float = 3.0
    tau: float = 0.2
    tau_w: float = 0.0  # of membrane-integral: time constant of the weight that an integral has; 0: it has none
    label_smoothing: float = 0.0  # share of the wanted probability that all classes divide (membrane losses)
    silent_push: float = 0.0  # weight of the term that wakes silent outputs that should spike
    activity_cost: float = 0.0  # of one spike in each neuron of a hidden layer (surrogate and tssl)
    rate_strength: float = 0.0  # how strongly hidden neurons are brought to rate_target spikes a trial
    rate_target: float = 1.0
    wake: float = 0.0  # how strongly weights into hidden neurons that are silent in a batch grow


@dataclass(frozen=True)
class OptimizerConfig:
    """``[optimizer]``."""

    name: str = "adam"  # sgd | adam | adamw
    lr: float = 1e-3
    schedule: str = "cosine"  # constant | step | cosine
    decay: float = 0.1  # of step: factor after each interval
    interval: float = 0.5  # of step: share of the run
    final: float = 0.0  # of cosine: final share of lr
    momentum: float = 0.9
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    weight_decay: float = 0.0
    clip_norm: float = 0.0


@dataclass(frozen=True)
class DataConfig:
    """``[data]``: what is learnt."""

    dataset: str = "mnist"  # a name (snnsim data list), or a file or folder
    data_dir: str = ""
    validation: int | float | str = "auto"  # training samples held out to choose the best epoch: number, share or auto
    test: int | float = 0.2  # samples to test on where the data has no test set of its own: number or share
    leave_out: str = ""  # test on a group alone, and learn from all others, such as "speaker=3"
    fold: str = ""  # test on this part of the training samples alone, such as "3/10"
    limit: int = 0  # use at most so many training (and test) samples; 0: all
    population: str = "input"  # of a recording, whose spikes are the samples
    time_unit: str | float = ""  # of the files: s, ms, us, ns, or the milliseconds in it; empty: as they say
    sensor: str = ""  # geometry of events, such as 700 or 2x34x34; empty: as files or formats say
    crop_start: float = 0.0  # events: leave out what comes before, and count time from there
    crop: float = 0.0  # events: leave out what comes after so much time; 0: nothing
    bin_channels: int = 1  # events: so many neighbouring channels become one
    downsample: int = 1  # events: so many rows, and columns, of pixels become one
    merge_polarity: bool = False  # events: both polarities become one
    range: tuple[float, ...] = ()  # lowest and highest intensity of own data; else 0..1, or 0..255 of whole numbers
    deskew: bool = False  # shear images upright, those of the test set, too
    mixup: float = 0.0  # augmentation: blend with another sample, its share from Beta(mixup, mixup) (membrane losses)
    flip: float = 0.0  # augmentation: probability of a mirror image, left to right
    shift: float = 0.0  # largest shift, in pixels
    rotation: float = 0.0  # largest rotation, in degrees
    elastic_alpha: float = 0.0  # strength of the elastic distortion, in pixels
    elastic_sigma: float = 4.0
    stretch: float = 0.0  # of events: largest share by which times are stretched or compressed
    jitter: float = 0.0  # of events: standard deviation of a Gaussian change of every time
    drop: float = 0.0  # of events: probability that one is lost
    shift_channels: int = 0  # of events: largest shift of all channels together


@dataclass(frozen=True)
class TrainingConfig:
    """``[training]``."""

    epochs: int = 4
    batch_size: int = 50
    micro_batches: int = 1  # equal parts of a batch that are computed one after another, or in different processes
    seed: int = 0
    dropout: float = 0.0  # probability that a hidden neuron is silent to the next layer for a trial (clock engine)
    ema_decay: float = 0.0  # of an average of the weights over batches, which is evaluated and kept; 0: none


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


LISTS = {"population": PopulationConfig, "connection": ConnectionConfig}
"""Tables of which there may be several."""
TABLES = {f.name: f.default_factory for f in dataclasses.fields(Config) if f.name not in LISTS}
CHOICES = {
    "network.readout": ("auto", "leaky", "spiking"),
    "network.input": ("spikes", "current"),
    "network.init": ("kaiming", "uniform"),
    "network.reset": ("hard", "subtract", "none"),
    "network.neuron": tuple(kind for kind, made in MODELS.items() if made.on_clock and made.has_threshold),
    "simulation.engine": ("clock", "hybrid", "event"),
    "simulation.scheme": ("backward_euler", "forward_euler", "exact", "bilinear"),
    "simulation.impulse": ("unit-area", "unit-height"),
    "simulation.time_unit": ("auto", "ms", "s", "none"),
    "simulation.precision": ("auto", "float32", "float64"),
    "simulation.synapse": ("auto", "gather", "pattern", "dense"),
    "gradient.method": ESTIMATORS,
    "gradient.weight_gradient": ("discrete", "continuous"),
    "encoder.name": ENCODERS,
    "loss.name": LOSSES,
    "optimizer.name": OPTIMIZERS,
    "optimizer.schedule": SCHEDULES,
}
READ_MEMBRANES = ("membrane-mean", "membrane-max", "membrane-mse", "membrane-integral")
"""Losses that read the membrane of a readout without spikes."""
CLASSIFY_MEMBRANES = READ_MEMBRANES[:2]
POSITIVE = (
    "simulation.dt",
    "simulation.n_steps",
    "gradient.max_inverse_slope",
    "gradient.surrogate_slope",
    "gradient.tssl_max_inverse",
    "gradient.tssl_width",
    "loss.tau",
    "optimizer.lr",
    "optimizer.interval",
    "network.init_scale",
    "training.batch_size",
    "training.micro_batches",
    "data.bin_channels",
    "data.downsample",
)
NOT_NEGATIVE = (
    "network.target_rate",
    "network.recurrent_delay",
    "network.recurrent_scale",
    "encoder.max_rate",
    "loss.target_true",
    "loss.target_false",
    "optimizer.decay",
    "optimizer.epsilon",
    "data.mixup",
    "data.shift",
    "data.elastic_alpha",
    "encoder.t_latest",
    "loss.silent_push",
    "loss.activity_cost",
    "loss.rate_strength",
    "loss.rate_target",
    "loss.wake",
    "loss.tau_w",
    "optimizer.weight_decay",
    "optimizer.clip_norm",
    "data.limit",
    "data.crop_start",
    "data.crop",
    "data.jitter",
    "data.shift_channels",
    "training.epochs",
    "training.seed",
)
BETWEEN = {
    "network.init_mean": (-1e6, 1e6),
    "encoder.max_probability": (0, 1),
    "encoder.latency_floor": (0, 1),
    "optimizer.final": (0, 1),
    "data.flip": (0, 1),
    "data.rotation": (0, 180),
    "data.elastic_sigma": (0.5, 100),
}
"""Smallest and largest value."""
BELOW_ONE = (
    "loss.label_smoothing",
    "optimizer.momentum",
    "optimizer.beta1",
    "optimizer.beta2",
    "training.dropout",
    "training.ema_decay",
    "data.stretch",
    "data.drop",
)

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
    """Layers from text: sizes as a list where they are all, else the checked notation (:mod:`snnsim.notation`).

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


def to_toml(config):
    """Text of a :class:`Config` as TOML; :func:`load` reads the same configuration back."""
    lines = []
    for table, values in to_tree(config).items():
        for entry in values if isinstance(values, list) else [values]:
            head = f"[[{table}]]" if isinstance(values, list) else f"[{table}]"
            lines += [head, *(f"{key} = {toml_value(value)}" for key, value in entry.items()), ""]
    return "\n".join(lines)


def check(config, origin="configuration"):
    """Refuse values out of range; every message names the key, the value and what is allowed."""
    tree = to_tree(config)

    def value(key):
        table, name = key.split(".")
        return tree[table][name]

    for key, allowed in CHOICES.items():
        found = value(key)
        for one in found if isinstance(found, list) else [found]:
            if one not in allowed:
                names = getattr(allowed, "help", ", ".join(allowed))
                raise InputError(f"{origin}: {key} = {found!r}: must be one of {names}{nearest(str(one), allowed)}")
    for key in POSITIVE:
        if not 0 < value(key) < float("inf"):
            raise InputError(f"{origin}: {key} = {value(key)}: must be a positive number")
    for key in NOT_NEGATIVE:
        if not 0 <= value(key) < float("inf"):
            raise InputError(f"{origin}: {key} = {value(key)}: must be at least 0")
    for key, (least, most) in BETWEEN.items():
        if not least <= value(key) <= most:
            raise InputError(f"{origin}: {key} = {value(key)}: must lie in {least:g}..{most:g}")
    if isinstance(value("data.validation"), str) and value("data.validation") != "auto":
        raise InputError(f"{origin}: data.validation = {value('data.validation')!r}: must be a number, a share or auto")
    for key in BELOW_ONE:
        if not 0 <= value(key) < 1:
            raise InputError(f"{origin}: {key} = {value(key)}: must lie in [0, 1)")
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
    raise InputError(f"{name} = {value!r}: must be {_describe(wanted)}")


def _describe(wanted):
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
