"""Options that several commands share, and how a configuration is put together from them."""

import functools
import inspect
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from snnsim.tables import KEYS as MEANINGS

Source = Annotated[str | None, typer.Argument(help="TOML file, or name of a shipped configuration (config list).")]
Settings = Annotated[
    list[str] | None, typer.Option("--set", help="table.key=value for anything else; may be repeated.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]
Threads = Annotated[int, typer.Option(help="Threads; 0 for all cores. Results do not depend on it.")]
Target = Annotated[
    str, typer.Option(help="cpu, cuda or auto (cuda where it can be used); cuda never falls back to the CPU.")
]


def of_key(key, *names, **look):
    """Option of a command for a key of the configuration, which says what it means."""
    about = MEANINGS[key]
    unit = ", in the unit of the time constants" if about.unit == "time" else ""
    meaning = about.meaning[0].upper() + about.meaning[1:]
    text = f"{meaning}{unit}{': ' + either(about.named()) if about.choices else ''}."
    return typer.Option(*names, help=text, **look)


def either(names):
    """Write names as "a, b or c"."""
    *first, last = names
    return f"{', '.join(first)} or {last}" if first else last


DataDir = Annotated[Path | None, of_key("data.data_dir")]
Dataset = Annotated[str | None, of_key("data.dataset", metavar="NAME|FILE|FOLDER")]
Layers = Annotated[str | None, of_key("network.layers")]
NeuronName = Annotated[str | None, of_key("network.neuron", "--neuron")]
Engine = Annotated[str | None, of_key("simulation.engine")]
Dt = Annotated[float | None, of_key("simulation.dt", "--dt")]
Steps = Annotated[int | None, of_key("simulation.n_steps")]
Scheme = Annotated[str | None, of_key("simulation.scheme")]
Gradient = Annotated[str | None, of_key("gradient.method")]
LossName = Annotated[str | None, of_key("loss.name", "--loss")]
EncoderName = Annotated[str | None, of_key("encoder.name", "--encoder")]
OptimizerName = Annotated[str | None, of_key("optimizer.name", "--optimizer")]
LearningRate = Annotated[float | None, of_key("optimizer.lr", "--lr")]
BatchSize = Annotated[int | None, of_key("training.batch_size")]
Epochs = Annotated[int | None, of_key("training.epochs")]
Seed = Annotated[int | None, of_key("training.seed")]
Precision = Annotated[str | None, of_key("simulation.precision")]
Limit = Annotated[int | None, of_key("data.limit")]

DATA_FLAGS = {
    "validation": str,
    "leave_out": str,
    "fold": str,
    "sensor": str,
    "crop_start": float,
    "crop": float,
    "bin_channels": int,
    "downsample": int,
    "merge_polarity": bool,
    "stretch": float,
    "jitter": float,
    "drop": float,
    "shift_channels": int,
}
"""Type of the flags of ``[data]``, each named as its key, which :func:`with_data_flags` gives to a command."""


def with_data_flags(command):
    """Add the flags of :data:`DATA_FLAGS` to a command, which takes them as ``**data``, None where not given."""

    @functools.wraps(command)
    def wrapped(**given):
        return command(**given)

    own = [p for p in inspect.signature(command).parameters.values() if p.kind is not p.VAR_KEYWORD]
    added = []
    for name, kind in DATA_FLAGS.items():
        flag = f"--{name.replace('_', '-')}"
        hint = Annotated[kind | None, of_key(f"data.{name}", *([flag] if kind is bool else []))]
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
        chosen.append(f"{key}={config.toml_value(str(value) if isinstance(value, Path) else value)}")
    made = config.load(source, [*chosen, *(settings or [])])
    if made.data.dataset not in datasets() and Path(made.data.dataset).exists():
        # The run will be evaluated from other folders.
        made = replace(made, data=replace(made.data, dataset=str(Path(made.data.dataset).resolve())))
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
