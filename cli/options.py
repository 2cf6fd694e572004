"""Options that several commands share, and how a configuration is put together from them."""

import functools
import inspect
import sys
from pathlib import Path
from typing import Annotated

import typer

Source = Annotated[str | None, typer.Argument(help="TOML file, or name of a shipped configuration (config list).")]
Settings = Annotated[
    list[str] | None, typer.Option("--set", help="table.key=value for anything else; may be repeated.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]
Threads = Annotated[int, typer.Option(help="Threads; 0 for all cores. Results do not depend on it.")]
Target = Annotated[
    str, typer.Option(help="cpu, cuda or auto (cuda where it can be used); cuda never falls back to the CPU.")
]
DataDir = Annotated[Path | None, typer.Option(help="Folder with the data set's files.")]
Dataset = Annotated[
    str | None,
    typer.Option(metavar="NAME|FILE|FOLDER", help="A name (snnsim data list), or files of your own (docs/data.md)."),
]
Layers = Annotated[
    str | None, typer.Option(help="From input to output, such as 784-400-10, 128-256r-10 or 28x28-15c5-p2-300-10.")
]
NeuronName = Annotated[
    str | None, typer.Option("--neuron", help="lif, alif, adlif, delta-lif or if; A,B,... for one a layer.")
]
Engine = Annotated[str | None, typer.Option(help="clock, hybrid or event.")]
Dt = Annotated[float | None, typer.Option("--dt", help="Step size, in the unit of the time constants.")]
Steps = Annotated[int | None, typer.Option(help="Steps of a trial.")]
Scheme = Annotated[str | None, typer.Option(help="backward_euler, forward_euler, exact or bilinear.")]
Gradient = Annotated[str | None, typer.Option(help="exact, literal, tssl or surrogate.")]
LossName = Annotated[
    str | None,
    typer.Option(
        "--loss",
        help="membrane-mean, membrane-max, membrane-integral, count-cross-entropy, count-mse, first-spike or "
        "van-rossum.",
    ),
]
EncoderName = Annotated[str | None, typer.Option("--encoder", help="poisson, poisson-rate, regular or latency.")]
OptimizerName = Annotated[str | None, typer.Option("--optimizer", help="adam, adamw or sgd.")]
LearningRate = Annotated[float | None, typer.Option("--lr", help="Learning rate.")]
BatchSize = Annotated[int | None, typer.Option(help="Samples of a batch.")]
Epochs = Annotated[int | None, typer.Option(help="Passes over the training samples.")]
Seed = Annotated[int | None, typer.Option(help="Seed of everything random.")]
Precision = Annotated[str | None, typer.Option(help="float32 or float64.")]
Limit = Annotated[int | None, typer.Option(help="Use only so many samples.")]

DATA_FLAGS = {
    "validation": (str, "Training samples held out to choose the best epoch: a number, a share below 1, or auto."),
    "leave_out": (str, "Test on a group of samples alone, and learn from all others, such as speaker=3."),
    "fold": (str, "Test on one of several parts of the training samples, such as 3/10."),
    "sensor": (str, "Geometry of events, such as 700 or 2x34x34, where files do not say it."),
    "crop_start": (float, "Leave out events before this time, and count from there."),
    "crop": (float, "Leave out events after so much time."),
    "bin_channels": (int, "Join so many neighbouring channels of events."),
    "downsample": (int, "Join so many rows, and columns, of pixels of events."),
    "merge_polarity": (bool, "Join both polarities of events."),
    "stretch": (float, "Learning: stretch or compress the times of a sample by up to this share."),
    "jitter": (float, "Learning: change the time of every event by a Gaussian number of this standard deviation."),
    "drop": (float, "Learning: lose events with this probability."),
    "shift_channels": (int, "Learning: shift all channels of a sample by up to so many."),
}
"""Type and help of the flags of ``[data]``, each named as its key, which :func:`with_data_flags` gives to a command."""


def with_data_flags(command):
    """Add the flags of :data:`DATA_FLAGS` to a command, which takes them as ``**data``, None where not given."""

    @functools.wraps(command)
    def wrapped(**given):
        return command(**given)

    own = [p for p in inspect.signature(command).parameters.values() if p.kind is not p.VAR_KEYWORD]
    added = []
    for name, (kind, text) in DATA_FLAGS.items():
        flag = f"--{name.replace('_', '-')}"
        hint = Annotated[kind | None, typer.Option(*([flag] if kind is bool else []), help=text)]
        added.append(inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=hint))
    wrapped.__signature__ = inspect.Signature([*own, *added])
    wrapped.__annotations__ = {p.name: p.annotation for p in (*own, *added)}
    return wrapped


KEYS = {
    "dataset": "data.dataset",
    "data_dir": "data.data_dir",
    "limit": "data.limit",
    "layers": "network.layers",
    "neuron": "network.neuron",
    "engine": "simulation.engine",
    "dt": "simulation.dt",
    "steps": "simulation.n_steps",
    "scheme": "simulation.scheme",
    "precision": "simulation.precision",
    "gradient": "gradient.method",
    "loss": "loss.name",
    "encoder": "encoder.name",
    "optimizer": "optimizer.name",
    "lr": "optimizer.lr",
    "batch_size": "training.batch_size",
    "epochs": "training.epochs",
    "seed": "training.seed",
    **{name: f"data.{name}" for name in DATA_FLAGS},
}
"""Configuration key of each flag."""
INTENSITIES = ("mnist", "fashion-mnist", "yin-yang")
"""Sets with names that hold intensities."""
PER_STEP = ("poisson", "regular")
"""Encoders whose spikes have a probability per step."""


def configuration(source, settings, flags, encodes=True):
    """Put a configuration together from a file, the flags that were given, and ``--set``; a later one wins.

    Parameters
    ----------
    source : str, Config or None
    settings : list of str or None
    flags : dict
        Values by flag name, None where a flag was not given.
    encodes : bool
        Whether its encoder will be used: where another step size changes the input per unit of time, one line on
        standard error says so.
    """
    from snnsim import config

    chosen = []
    for flag, key in KEYS.items():
        value = flags.get(flag)
        if value is None:
            continue
        if flag == "layers":
            value = config.layers_of(value, "--layers")
        if flag == "neuron" and "," in value:
            value = value.split(",")
        if flag == "validation":
            value = config.setting_value(value, "--validation")
        if flag == "dataset" and Path(value).exists() and value not in datasets():
            value = Path(value).resolve()  # the run will be evaluated from other folders
        chosen.append(f"{key}={config.toml_value(str(value) if isinstance(value, Path) else value)}")
    made = config.load(source, [*chosen, *(settings or [])])
    # What is encoded are the sets of intensities that have names; files may hold spikes.
    encodes = encodes and (chosen or settings) and made.data.dataset in INTENSITIES
    note = per_step_note(config.load(source), made) if encodes else None
    for line in (note, single_note(made)):
        if line:
            print(line, file=sys.stderr)
    return made


def single_note(made):
    """Line that says that float32 was asked for where it does not suffice; None where it does, or was not."""
    from snnsim.config import FINEST_SINGLE, shortest_constant

    s, shortest = made.simulation, shortest_constant(made)
    if s.precision != "float32" or s.dt >= FINEST_SINGLE * shortest:
        return None
    return (
        f"simulation.precision = float32 at simulation.dt = {s.dt:g}: a step's decay, {s.dt / shortest:.0e}, is "
        f"rounded by up to {100 * 2**-25 * shortest / s.dt:.1g} %; float64, which auto takes here, is not"
    )


def datasets():
    """Names of the known data sets."""
    from snnsim.datasets.registry import names

    return names()


def per_step_note(before, after):
    """Line that says how another step size changes the input per unit of time; None if it does not."""
    e = after.encoder
    if e.name not in PER_STEP or after.simulation.dt == before.simulation.dt:
        return None
    was = before.encoder.max_probability if before.encoder.name in PER_STEP else e.max_probability
    if not was:
        return None
    factor = e.max_probability / was * before.simulation.dt / after.simulation.dt
    if abs(factor - 1) < 1e-9:
        return None
    return (
        f"simulation.dt = {after.simulation.dt:g} instead of {before.simulation.dt:g}: encoder {e.name} has a "
        f"probability per step, so there is {factor:g} times the input per unit of time; encoder poisson-rate has a "
        "rate that does not depend on dt"
    )
