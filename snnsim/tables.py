"""Tables of a configuration: one frozen dataclass each, every key with its meaning, unit, choices and default.

Imports nothing heavy, so that the help of the command line can be made from it.
"""

from dataclasses import dataclass

from snnsim.keys import BELOW_ONE, NOT_NEGATIVE, POSITIVE, SHARE, Range, key, keys_of

NEURONS = {
    "lif": "leaky integrate-and-fire neurons with a synaptic filter",
    "alif": "the same with a threshold that adapts",
    "adlif": "the same with a current of adaptation",
    "delta-lif": "leaky integrate-and-fire neurons whose membrane jumps at a spike",
    "if": "the same without leak",
}
RESETS = {"hard": "v becomes v_reset", "subtract": "v falls by v_threshold - v_reset", "none": "v goes on; clock only"}


@dataclass(frozen=True)
class NetworkConfig:
    """``[network]``: layers, neurons, initial weights. Neuron parameters are one value, or a list with one a layer."""

    layers: tuple[int, ...] | str = key(
        (784, 400, 10), "layers from input to output: sizes, or a notation such as 784-400-10, 128-256r-10 "
        "(r: connected to itself) or 28x28-15c5-p2-300-10 (15 channels of kernels 5 x 5, averages over 2 x 2); "
        "empty where the network is a model's own"
    )  # fmt: skip
    input: str = key(
        "spikes", "what intensities become",
        choices={"spikes": "spikes, by [encoder]", "current": "currents into the membrane; clock only"},
    )  # fmt: skip
    recurrent_delay: float = key(
        0.0, "delay of layers connected to themselves; 0 becomes one step of simulation.dt, and stays that time",
        "time", allowed=NOT_NEGATIVE,
    )  # fmt: skip
    recurrent_scale: float = key(1.0, "factor of the initial weights inside a cycle", allowed=NOT_NEGATIVE)
    learn_bias: bool = key(False, "whether every neuron of a layer learns a constant current")
    readout: str = key(
        "auto", "what the last layer is",
        choices={
            "auto": "leaky for membrane losses, else spiking",
            "leaky": "leaky integrators without threshold",
            "spiking": "neurons as in the other layers",
        },
    )  # fmt: skip
    voltage_unit: str = key("", "unit of the membrane and its thresholds, such as mV, for files and axes; empty: none")
    current_unit: str = key("", "unit of synaptic currents, such as nA; empty: none")
    tau_mem: float | tuple[float, ...] = key(0.8, "time constant of the membrane; positive", "time")
    tau_syn: float | tuple[float, ...] = key(0.6, "time constant of the synaptic current; positive", "time")
    r: float | tuple[float, ...] = key(1.2, "resistance of the membrane; positive", "voltage/current")
    v_threshold: float | tuple[float, ...] = key(1.0, "membrane at which a neuron spikes", "voltage")
    v_reset: float | tuple[float, ...] = key(0.0, "membrane after a spike; below v_threshold", "voltage")
    v_leak: float | tuple[float, ...] = key(0.0, "membrane at rest", "voltage")
    reset: str | tuple[str, ...] = key("hard", "what a spike does to the membrane v", choices=RESETS)
    neuron: str | tuple[str, ...] = key("lif", "neurons of the layers (docs/neurons.md)", choices=NEURONS)
    t_ref: float | tuple[float, ...] | None = key(None, "absolute refractory period", "time")
    v0: float | tuple[float, ...] | None = key(None, "membrane at the start; else at rest", "voltage")
    i0: float | tuple[float, ...] | None = key(None, "synaptic current at the start", "current")
    tau_a: float | tuple[float, ...] | None = key(None, "of alif and adlif: time constant of the adaptation", "time")
    beta: float | tuple[float, ...] | None = key(None, "of alif: threshold per adaptation", "voltage")
    c_a: float | tuple[float, ...] | None = key(None, "of adlif: current per adaptation", "current")
    q: float | tuple[float, ...] | None = key(None, "of alif and adlif: growth of the adaptation with a spike")
    a0: float | tuple[float, ...] | None = key(None, "of alif and adlif: adaptation at the start")
    coupling: float | tuple[float, ...] | None = key(
        None, "of adlif: how the membrane drives the adaptation; clock only", "1/voltage"
    )
    learn: tuple[str, ...] = key((), "constants of neurons that are learnt, such as tau_mem, v_threshold, bias")
    learn_each: bool = key(True, "whether every neuron learns values of its own")
    init: str = key(
        "kaiming", "distribution of the initial weights",
        choices={
            "kaiming": "normal, standard deviation sqrt(2/fan-in)",
            "uniform": "even on [-1/sqrt(fan-in), 1/sqrt(fan-in)]",
        },
    )  # fmt: skip
    init_scale: float = key(1.0, "factor of all initial weights", allowed=POSITIVE)
    init_mean: float = key(
        0.0, "added to every initial weight, in units of their standard deviation", allowed=Range(-1e6, 1e6)
    )
    target_rate: float = key(
        0.0, "firing that the initial weights of each layer are scaled to; 0: not scaled", "spikes a neuron and trial",
        allowed=NOT_NEGATIVE,
    )  # fmt: skip


@dataclass(frozen=True)
class PopulationConfig:
    """``[[population]]``: an input, or neurons; what is not said is that of ``[network]``."""

    name: str = key("", "name; must be given")
    shape: int | tuple[int, ...] = key(0, "number of neurons, or [channels, length], or [channels, height, width]")
    neuron: str | None = key(
        None, "what it consists of",
        choices={
            "input": "what the encoder gives",
            **NEURONS,
            "li": "leaky integrators without threshold",
            "delta-li": "the same, whose membrane jumps at a spike",
            "integrator": "the same without leak",
        },
    )  # fmt: skip
    tau_mem: float | tuple[float, ...] | None = key(None, "time constant of the membrane; one, or one a neuron", "time")
    tau_syn: float | tuple[float, ...] | None = key(None, "time constant of the synaptic current, likewise", "time")
    r: float | tuple[float, ...] | None = key(None, "resistance of the membrane, likewise", "voltage/current")
    v_threshold: float | tuple[float, ...] | None = key(None, "membrane at which a neuron spikes, likewise", "voltage")
    v_reset: float | tuple[float, ...] | None = key(None, "membrane after a spike, likewise", "voltage")
    v_leak: float | tuple[float, ...] | None = key(None, "membrane at rest, likewise", "voltage")
    reset: str | None = key(None, "what a spike does to the membrane v", choices=RESETS)
    t_ref: float | tuple[float, ...] | None = key(None, "absolute refractory period; one, or one a neuron", "time")
    v0: float | tuple[float, ...] | None = key(None, "membrane at the start, likewise; else at rest", "voltage")
    i0: float | tuple[float, ...] | None = key(None, "synaptic current at the start, likewise", "current")
    tau_a: float | tuple[float, ...] | None = key(None, "time constant of the adaptation, likewise", "time")
    beta: float | tuple[float, ...] | None = key(None, "threshold per adaptation, likewise", "voltage")
    c_a: float | tuple[float, ...] | None = key(None, "current per adaptation, likewise", "current")
    q: float | tuple[float, ...] | None = key(None, "growth of the adaptation with a spike, likewise")
    a0: float | tuple[float, ...] | None = key(None, "adaptation at the start, likewise")
    coupling: float | tuple[float, ...] | None = key(None, "how the membrane drives the adaptation", "1/voltage")
    bias: float | tuple[float, ...] = key(0.0, "constant current of every neuron, to begin with", "current")
    learn_bias: bool = key(False, "whether every neuron learns its constant current")
    learn: tuple[str, ...] | None = key(None, "constants that are learnt; else those of network.learn")
    learn_each: bool | None = key(None, "whether every neuron learns values of its own; else network.learn_each")


@dataclass(frozen=True)
class ConnectionConfig:
    """``[[connection]]``: synapses between two populations."""

    source: str = key("", "name of the population whose spikes it carries; must be given")
    target: str = key("", "name of the population that it leads to; must be given")
    name: str = key("", "name; source->target if empty")
    shape: str = key(
        "dense", "which neurons are joined",
        choices={
            "dense": "all to all",
            "convolution": "shared kernels over a map or a line: kernel, stride, padding",
            "fixed-in-degree": "each target with degree sources, drawn",
            "fixed-probability": "each pair with a probability, drawn",
            "one-to-one": "neuron n with neuron n",
        },
    )  # fmt: skip
    kernel: int | tuple[int, ...] = key(0, "of a convolution: size of its kernels", "neurons")
    stride: int | tuple[int, ...] = key(1, "of a convolution: distance of its windows", "neurons")
    padding: int | tuple[int, ...] = key(0, "of a convolution: silent border around the source", "neurons")
    pool: int | tuple[int, ...] = key(
        0, "window of the source whose neurons act as one (dense and convolution); 0: none", "neurons"
    )
    pool_kind: str = key(
        "average", "what a spike in a window counts", choices={"average": "one over the window's size", "sum": "one"}
    )
    degree: int = key(0, "of fixed-in-degree: sources of each target neuron")
    probability: float = key(0.0, "of fixed-probability: that a pair is joined")
    multiple: bool = key(False, "of fixed-in-degree: whether a pair may be joined more than once")
    delay: float | tuple[float, ...] = key(
        0.0, "time from a spike to its arrival, or a range [least, most] from which delays are drawn evenly", "time"
    )
    delays: str = key(
        "one", "how many delays there are",
        choices={"one": "one for all synapses", "source": "one a source neuron", "synapse": "one a synapse"},
    )  # fmt: skip
    learn: tuple[str, ...] = key(("weight",), "what is learnt: of weight, delay")
    init_scale: float = key(1.0, "factor of its initial weights")


@dataclass(frozen=True)
class SimulationConfig:
    """``[simulation]``: how time passes."""

    engine: str = key(
        "clock", "what makes time pass",
        choices={
            "clock": "steps of dt",
            "hybrid": "spikes at exact times, looked for in bins of dt",
            "event": "from spike to spike, exactly, without steps",
        },
    )  # fmt: skip
    scheme: str = key(
        "backward_euler", "how the clock integrates",
        choices={
            "backward_euler": "implicit, stable with any step",
            "forward_euler": "explicit, stable below twice the smallest time constant",
            "exact": "exponential: exact between spikes on the grid",
            "bilinear": "trapezoidal rule, of second order",
        },
    )  # fmt: skip
    dt: float = key(0.1, "step size (of hybrid: width of a bin)", "time", allowed=POSITIVE)
    n_steps: int = key(
        50, "steps of a trial, whose duration is n_steps * dt in every engine", "steps", allowed=POSITIVE
    )
    time_unit: str = key(
        "auto", "unit of dt and of all times, for data, files and axes",
        choices={"auto": "ms where the data has times, else none", "ms": "", "s": "", "none": ""},
    )  # fmt: skip
    impulse: str = key(
        "unit-area", "what a spike on the clock stands for",
        choices={
            "unit-area": "a Dirac impulse: the current jumps by about w/tau_syn whatever dt is",
            "unit-height": "a pulse of height 1 and length dt: input shrinks with dt",
        },
    )  # fmt: skip
    precision: str = key(
        "auto", "type of the numbers",
        choices={"auto": "float32 on the clock unless dt is tiny, float64 otherwise", "float32": "", "float64": ""},
    )  # fmt: skip
    synapse: str = key(
        "auto", "how the clock sums the input of dense connections; changes speed and rounding",
        choices={
            "auto": "by the activity of the first batch",
            "gather": "rows of the weights, one a spike",
            "pattern": "sixteen-row tables that serve four inputs at once",
            "dense": "a dense product",
        },
    )  # fmt: skip


@dataclass(frozen=True)
class GradientConfig:
    """``[gradient]``: how the loss is differentiated."""

    method: str = key(
        "exact", "what stands for the derivative of a spike; hybrid and event have exact alone",
        choices={
            "exact": "of spike times, complete",
            "literal": "of spike times, the study's printed formulas",
            "tssl": "of spike amplitudes, TSSL-BP",
            "surrogate": "a fast sigmoid in every step",
        },
    )  # fmt: skip
    weight_gradient: str = key(
        "discrete", "by which coefficient an input enters the weights' gradient",
        choices={"discrete": "the scheme's own", "continuous": "that of the continuous model"},
    )  # fmt: skip
    max_inverse_slope: float = key(1e4, "bound of 1/slope of the membrane at a spike", "time/voltage", allowed=POSITIVE)
    surrogate_slope: float = key(10.0, "of surrogate: steepness of the fast sigmoid", "1/voltage", allowed=POSITIVE)
    tssl_max_inverse: float = key(8.0, "of tssl: bound of one over the membrane's rise", "1/voltage", allowed=POSITIVE)
    tssl_fallback: bool = key(False, "of tssl: whether neurons that are silent in a sample use a sigmoid")
    tssl_width: float = key(0.2, "of tssl: width of that sigmoid", "voltage", allowed=POSITIVE)


@dataclass(frozen=True)
class EncoderConfig:
    """``[encoder]``: intensities x in [0, 1] to input spikes."""

    name: str = key(
        "poisson", "how an intensity x becomes spikes",
        choices={
            "poisson": "in every step with probability max_probability x",
            "poisson-rate": "a Poisson process of rate max_rate x, whatever dt is",
            "regular": "evenly spaced, max_probability x a step",
            "latency": "one spike at t_latest (1 - x) where x exceeds latency_floor",
        },
        own=True,
    )  # fmt: skip
    max_probability: float = key(1.0, "of poisson and regular: spikes a step at x = 1", allowed=SHARE)
    max_rate: float = key(1.0, "of poisson-rate: spikes per unit of time at x = 1; at most 100 a step", "1/time",
                          allowed=NOT_NEGATIVE)  # fmt: skip
    t_latest: float = key(0.0, "of latency: time of the faintest input's spike; 0: the trial's duration", "time",
                          allowed=NOT_NEGATIVE)  # fmt: skip
    latency_floor: float = key(0.0, "of latency: largest intensity that does not spike", allowed=SHARE)


@dataclass(frozen=True)
class LossConfig:
    """``[loss]``: what training makes small."""

    name: str = key(
        "membrane-mean", "what the output is measured by",
        choices={
            "membrane-mean": "cross-entropy of the softmax of the readout's membrane, its mean over time",
            "membrane-max": "the same of its maximum over time",
            "membrane-mse": "squared distance of the readout's membrane from targets",
            "membrane-integral": "cross-entropy of the softmax of the readout's integral over the trial",
            "count-cross-entropy": "cross-entropy of the softmax of spike counts",
            "count-mse": "squared distance of spike counts from target_true and target_false",
            "first-spike": "cross-entropy of the softmax of minus the first spike's time over tau",
            "van-rossum": "distance from evenly spaced trains of target_true and target_false spikes",
        },
        own=True,
    )  # fmt: skip
    target_true: float = key(15.0, "of count-mse and van-rossum: wanted spikes of the label", "spikes",
                             allowed=NOT_NEGATIVE)  # fmt: skip
    target_false: float = key(3.0, "of count-mse and van-rossum: wanted spikes of the other classes", "spikes",
                              allowed=NOT_NEGATIVE)  # fmt: skip
    tau: float = key(0.2, "time scale of first-spike's softmax and of van-rossum's kernel", "time", allowed=POSITIVE)
    tau_w: float = key(
        0.0, "of membrane-integral: time constant of the weight that falls over the trial; 0: no weight", "time",
        allowed=NOT_NEGATIVE,
    )  # fmt: skip
    label_smoothing: float = key(
        0.0, "of membrane losses: share of the wanted probability that all classes divide", allowed=BELOW_ONE
    )
    silent_push: float = key(0.0, "weight of the term that wakes silent outputs that should spike",
                             allowed=NOT_NEGATIVE)  # fmt: skip
    activity_cost: float = key(0.0, "cost of one spike in each neuron of a hidden layer (surrogate and tssl)",
                               allowed=NOT_NEGATIVE)  # fmt: skip
    rate_strength: float = key(0.0, "how strongly hidden neurons are brought to rate_target; 0: not",
                               allowed=NOT_NEGATIVE)  # fmt: skip
    rate_target: float = key(1.0, "wanted firing of hidden neurons", "spikes a neuron and trial", allowed=NOT_NEGATIVE)
    wake: float = key(0.0, "how strongly weights into hidden neurons that are silent in a batch grow; 0: not",
                      allowed=NOT_NEGATIVE)  # fmt: skip


@dataclass(frozen=True)
class OptimizerConfig:
    """``[optimizer]``: how gradients change weights."""

    name: str = key(
        "adam", "rule",
        choices={"sgd": "steepest descent with momentum", "adam": "Adam", "adamw": "Adam, weight decay apart from it"},
        own=True,
    )  # fmt: skip
    lr: float = key(1e-3, "learning rate to begin with", allowed=POSITIVE)
    schedule: str = key(
        "cosine", "course of the learning rate over the run",
        choices={
            "constant": "lr throughout",
            "step": "times decay after each interval",
            "cosine": "half a cosine down to final * lr",
        },
        own=True,
    )  # fmt: skip
    decay: float = key(0.1, "of schedule step: factor after each interval", allowed=NOT_NEGATIVE)
    interval: float = key(0.5, "of schedule step: share of the run", allowed=POSITIVE)
    final: float = key(0.0, "of schedule cosine: final share of lr", allowed=SHARE)
    momentum: float = key(0.9, "of sgd", allowed=BELOW_ONE)
    beta1: float = key(0.9, "of adam and adamw: decay of the mean of gradients, each update", allowed=BELOW_ONE)
    beta2: float = key(0.999, "of adam and adamw: decay of the mean of their squares", allowed=BELOW_ONE)
    epsilon: float = key(1e-8, "of adam and adamw: added to the root of that mean", allowed=NOT_NEGATIVE)
    weight_decay: float = key(0.0, "share of the weights added to their gradient (adamw: apart from it)",
                              allowed=NOT_NEGATIVE)  # fmt: skip
    clip_norm: float = key(0.0, "bound of the norm of all gradients together; 0: none", allowed=NOT_NEGATIVE)


@dataclass(frozen=True)
class DataConfig:
    """``[data]``: what is learnt."""

    dataset: str = key("mnist", "data set: a name (snnsim data list), or files of your own (docs/data.md)")
    data_dir: str = key("", "folder with the data set's files; where none is named, the usual places (data where)")
    validation: int | float | str = key(
        "auto", "training samples held out to choose the best epoch: a number (0: the last epoch is kept), a share "
        "below 1, or auto, a tenth and at most 5000"
    )  # fmt: skip
    test: int | float = key(0.2, "samples to test on where the data has no test set of its own: a number, or a share")
    leave_out: str = key("", "test on a group of samples alone, and learn from all others, such as speaker=3")
    fold: str = key("", "test on one of several parts of the training samples, such as 3/10")
    limit: int = key(0, "use at most so many training (and test) samples; 0: all", "samples", allowed=NOT_NEGATIVE)
    population: str = key("input", "of a recording, whose spikes are the samples")
    time_unit: str | float = key(
        "", "unit of the files' times: s, ms, us, ns, or the milliseconds in it; empty: as they say"
    )
    sensor: str = key("", "geometry of events, such as 700 or 2x34x34; empty: as files or formats say")
    crop_start: float = key(0.0, "of events: leave out what comes before, and count time from there", "time",
                            allowed=NOT_NEGATIVE)  # fmt: skip
    crop: float = key(
        0.0, "of events: leave out what comes after so much time; 0: nothing", "time", allowed=NOT_NEGATIVE
    )
    bin_channels: int = key(1, "of events: so many neighbouring channels become one", allowed=POSITIVE)
    downsample: int = key(1, "of events: so many rows, and columns, of pixels become one", allowed=POSITIVE)
    merge_polarity: bool = key(False, "of events: whether both polarities become one channel")
    range: tuple[float, ...] = key(
        (), "lowest and highest intensity of own data; empty: 0 and 1, or 0 and 255 of whole numbers"
    )
    deskew: bool = key(False, "whether images, those of the test set, too, are sheared upright")
    mixup: float = key(
        0.0, "augmentation: blend with another sample, its share from Beta(mixup, mixup) (membrane losses); 0: none",
        allowed=NOT_NEGATIVE,
    )  # fmt: skip
    flip: float = key(0.0, "augmentation: probability of a mirror image, left to right", allowed=SHARE)
    shift: float = key(0.0, "augmentation: largest shift", "pixels", allowed=NOT_NEGATIVE)
    rotation: float = key(0.0, "augmentation: largest rotation", "degrees", allowed=Range(0, 180))
    elastic_alpha: float = key(0.0, "augmentation: strength of the elastic distortion; 0: none", "pixels",
                               allowed=NOT_NEGATIVE)  # fmt: skip
    elastic_sigma: float = key(4.0, "augmentation: smoothness of the elastic distortion", "pixels",
                               allowed=Range(0.5, 100))  # fmt: skip
    stretch: float = key(0.0, "augmentation of events: largest share by which times are stretched or compressed",
                         allowed=BELOW_ONE)  # fmt: skip
    jitter: float = key(0.0, "augmentation of events: standard deviation of a Gaussian change of every time", "time",
                        allowed=NOT_NEGATIVE)  # fmt: skip
    drop: float = key(0.0, "augmentation of events: probability that one is lost", allowed=BELOW_ONE)
    shift_channels: int = key(0, "augmentation of events: largest shift of all channels of a sample together",
                              allowed=NOT_NEGATIVE)  # fmt: skip


@dataclass(frozen=True)
class TrainingConfig:
    """``[training]``: how long, in which portions, from which random numbers."""

    epochs: int = key(4, "passes over the training samples", allowed=NOT_NEGATIVE)
    batch_size: int = key(50, "samples of a batch; one update each", "samples", allowed=POSITIVE)
    micro_batches: int = key(
        1, "equal parts of a batch that are computed one after another, or in different processes", allowed=POSITIVE
    )
    seed: int = key(0, "seed of everything random; below 2**32", allowed=NOT_NEGATIVE)
    dropout: float = key(
        0.0, "probability that a hidden neuron is silent to the next layer for a trial (clock engine)",
        allowed=BELOW_ONE,
    )  # fmt: skip
    ema_decay: float = key(
        0.0, "decay, each batch, of an average of the weights, which is evaluated and kept; 0: none", allowed=BELOW_ONE
    )


TABLES = {
    "network": NetworkConfig,
    "simulation": SimulationConfig,
    "gradient": GradientConfig,
    "encoder": EncoderConfig,
    "loss": LossConfig,
    "optimizer": OptimizerConfig,
    "data": DataConfig,
    "training": TrainingConfig,
}
"""Dataclass of each table."""
LISTS = {"population": PopulationConfig, "connection": ConnectionConfig}
"""Tables of which there may be several."""
KEYS = {f"{table}.{name}": one for table, fields in (TABLES | LISTS).items() for name, one in keys_of(fields).items()}
"""Every key, by ``table.key``."""


def choices(name):
    """Give the allowed values of a key that is a choice."""
    return tuple(KEYS[name].choices)
