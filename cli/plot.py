"""``snnsim plot``: pictures of recordings, models and runs."""

import sys
from typing import Annotated

import typer

from .app import App

app = App(help="Draw recordings, weights and learning curves as PNG, SVG or PDF.")

Recording = Annotated[str, typer.Argument(metavar="TRACES", help="Recording: its directory or its spikes.h5.")]
Output = Annotated[str, typer.Option("--output", "-o", metavar="OUT", help="Picture: .png, .svg or .pdf.")]
Force = Annotated[bool, typer.Option("--force", help="Replace OUT if it exists.")]
Dpi = Annotated[int, typer.Option(metavar="N", min=30, max=1200, help="Dots per inch.")]
Trial = Annotated[int, typer.Option(metavar="N", help="Trial, from 0.")]
Window = Annotated[str | None, typer.Option(metavar="A:B", help="Part of the trial, in its own unit; all without.")]
Layers = Annotated[str | None, typer.Option(metavar="A,B", help="Layers; all that were recorded without it.")]


@app.command("raster")
def raster(
    path: Recording,
    output: Output,
    trial: Trial = 0,
    layers: Layers = None,
    window: Window = None,
    dpi: Dpi = 300,
    force: Force = False,
):
    """Spikes of a trial, layers stacked from input to output."""
    check_output(output, force)
    from snnsim.plotting import plot_raster
    from snnsim.recording.reader import open_traces

    with open_traces(path) as traces:
        _save(plot_raster(traces, trial, _names(layers), _window(window, traces)), output, dpi)


@app.command("activity")
def activity(
    path: Recording,
    output: Output,
    layers: Layers = None,
    window: Annotated[
        str | None, typer.Option(metavar="800,1000", help="Part of the run; its last fifth, at most 500, without it.")
    ] = None,
    bin_width: Annotated[float, typer.Option("--bin", metavar="TIME", help="Of the rates.")] = 1.0,
    dpi: Dpi = 300,
    force: Force = False,
):
    """Spikes of some neurons of every population of a long run, and the populations' rates."""
    check_output(output, force)
    from snnsim.errors import InputError
    from snnsim.plotting.activity import plot_activity
    from snnsim.recording.reader import open_traces

    try:
        span = None if window is None else tuple(float(part) for part in window.split(","))
    except ValueError:
        span = ()
    if span is not None and len(span) != 2:
        raise InputError(f"--window {window}: must be two times, such as 800,1000")
    with open_traces(path) as traces:
        _save(plot_activity(traces, span, _names(layers), bin_width), output, dpi)


@app.command("trace")
def trace(
    paths: Annotated[
        list[str], typer.Argument(metavar="TRACES...", help="Recordings, laid over each other (several dt).")
    ],
    output: Output,
    trial: Trial = 0,
    layer: Annotated[
        str | None, typer.Option(metavar="NAME", help="Layer; the first after the input without it.")
    ] = None,
    neurons: Annotated[
        str | None, typer.Option(metavar="3,5,8", help="Neurons, a panel each; the most active one without it.")
    ] = None,
    variables: Annotated[str, typer.Option(metavar="v,i_syn", help="What to draw, a panel each.")] = "v",
    window: Window = None,
    dpi: Dpi = 300,
    force: Force = False,
):
    """Membrane (and current) of neurons, with threshold, reset and spikes."""
    check_output(output, force)
    from contextlib import ExitStack

    from snnsim.plotting import plot_trace
    from snnsim.recording.reader import open_traces

    with ExitStack() as stack:
        recordings = [stack.enter_context(open_traces(path)) for path in paths]
        names = tuple(_names(variables) or ())
        figure = plot_trace(
            recordings, trial, layer, _numbers(neurons, "--neurons"), _window(window, recordings[-1]), names
        )
        _save(figure, output, dpi)


@app.command("rates")
def rates(
    path: Recording,
    output: Output,
    layers: Layers = None,
    trials: Annotated[str | None, typer.Option(metavar="0:100", help="Trials to average; all without it.")] = None,
    dpi: Dpi = 300,
    force: Force = False,
):
    """Histograms of firing rates, a panel a layer."""
    check_output(output, force)
    from snnsim.plotting import plot_rates
    from snnsim.recording.reader import open_traces

    from .selection import parse_selection

    with open_traces(path) as traces:
        _save(plot_rates(traces, _names(layers), parse_selection(trials, "--trials")), output, dpi)


@app.command("weights")
def weights(
    path: Annotated[str, typer.Argument(metavar="RUN", help="Run directory, or its model.h5.")],
    output: Output,
    layer: Annotated[
        str, typer.Option(metavar="NAME", help="Connection, such as input->hidden0; or a number, in their order.")
    ] = "0",
    neurons: Annotated[
        str | None,
        typer.Option(metavar="3,5,8", help="Neurons; without it those with the largest weights (of a matrix, all)."),
    ] = None,
    count: Annotated[int, typer.Option(metavar="N", min=1, help="How many neurons.")] = 40,
    shape: Annotated[
        str | None, typer.Option(metavar="28x28", help="Rows x columns of the inputs; square without it.")
    ] = None,
    dpi: Dpi = 300,
    force: Force = False,
):
    """Weights of a connection: pictures of neurons' inputs, kernels of a convolution, or a matrix."""
    check_output(output, force)
    from snnsim.errors import InputError
    from snnsim.models import load_model
    from snnsim.plotting import plot_connection

    from .runs import model_path

    network, _ = load_model(model_path(path))
    names = [c.name for c in network.connections]
    if layer.isdecimal() and int(layer) < len(names):
        layer = names[int(layer)]
    if layer not in names:
        raise InputError(f"--layer {layer}: {path} has {', '.join(names)}, or 0..{len(names) - 1}")
    _save(plot_connection(network, layer, _numbers(neurons, "--neurons"), count, _shape(shape)), output, dpi)


@app.command("network")
def network(
    path: Annotated[str, typer.Argument(metavar="RUN", help="Run directory, or its model.h5.")],
    output: Output,
    dpi: Dpi = 300,
    force: Force = False,
):
    """Draw populations and connections of a network, with shapes and delays."""
    check_output(output, force)
    from snnsim.models import load_model
    from snnsim.plotting import plot_network

    from .runs import model_path

    _save(plot_network(load_model(model_path(path))[0]), output, dpi)


@app.command("training")
def training(
    paths: Annotated[list[str], typer.Argument(metavar="RUN...", help="Run directories, or their metrics.jsonl.")],
    output: Output,
    dpi: Dpi = 300,
    force: Force = False,
):
    """Learning curves: loss, accuracy, and how active the layers are."""
    check_output(output, force)
    from pathlib import Path

    from snnsim.errors import InputError
    from snnsim.plotting import plot_training
    from snnsim.recording.metrics import read_metrics

    runs, folders = {}, {}
    for path in paths:
        directory = Path(path) if Path(path).is_dir() else Path(path).parent
        name = directory.resolve().name
        if name in runs:
            name = str(path)
        if name in runs:
            raise InputError(f"{path}: given twice")
        runs[name], folders[name] = read_metrics(path), directory
    # A run in its first epoch has no curve yet; it shall not keep others from theirs.
    for name in [name for name, records in runs.items() if not records] if any(runs.values()) else ():
        print(f"note: {name}: no epoch has been completed yet", file=sys.stderr)
        del runs[name]
    layers = _spiking_layers(folders[next(iter(runs))]) if len(runs) == 1 else None
    _save(plot_training(runs, layers), output, dpi)


@app.command("sweep")
def sweep(
    path: Annotated[str, typer.Argument(metavar="SWEEP", help="Folder of a sweep, or its sweep.h5.")],
    output: Output,
    metric: Annotated[
        str, typer.Option(metavar="NAME", help="test_accuracy, best_val_accuracy, test_loss, seconds_per_epoch, ...")
    ] = "test_accuracy",
    x: Annotated[
        str | None, typer.Option("--x", metavar="AXIS", help="Along the figure; the first that varies without it.")
    ] = None,
    by: Annotated[str | None, typer.Option(metavar="AXIS", help="A line for each of its values.")] = None,
    dpi: Dpi = 300,
    force: Force = False,
):
    """Metric over one or two axes of a grid, with mean and spread over the others."""
    check_output(output, force)
    from snnsim.plotting import plot_sweep
    from snnsim.sweep.table import load_table

    _save(plot_sweep(load_table(path), metric, x, by), output, dpi)


def _spiking_layers(directory):
    """Names of the spiking layers after the input, from the configuration of a run; None without one."""
    from snnsim import config
    from snnsim.blueprint import network_of

    path = directory / "config.toml"
    if not path.exists():
        return None
    loaded = config.load(path)
    network = network_of(loaded)
    spiking = (network.populations_by_name[name] for name in network.populations)
    return [p.name for p in spiking if p.spiking and not p.is_input]


def check_output(output, force):
    """Refuse a picture of another format, or one that exists, before anything is read."""
    from pathlib import Path

    from snnsim.errors import InputError

    if Path(output).suffix.lower() not in (".png", ".svg", ".pdf"):
        raise InputError(f"--output {output}: must end in .png, .svg or .pdf")
    if Path(output).exists() and not force:
        raise InputError(f"--output {output}: exists already; --force replaces it")


def _save(figure, output, dpi):
    from snnsim.plotting import save_figure

    save_figure(figure, output, dpi)
    print(output)


def _names(text):
    return [name.strip() for name in text.split(",")] if text else None


def _numbers(text, option):
    from snnsim.errors import InputError

    if text is None:
        return None
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise InputError(f"{option} {text}: must be whole numbers, such as 3,5,8") from None


def _window(text, traces):
    from snnsim.errors import InputError
    from snnsim.recording.units import units_of

    if text is None:
        return None
    try:
        low, high = (float(part) for part in text.split(":"))
    except ValueError:
        raise InputError(f"--window {text}: must be two times, such as 0:10") from None
    factor = units_of(traces.info).factor
    return low / factor, high / factor


def _shape(text):
    from snnsim.errors import InputError

    if text is None:
        return None
    try:
        rows, columns = (int(part) for part in text.lower().split("x"))
    except ValueError:
        rows = columns = 0
    if rows < 1 or columns < 1:
        raise InputError(f"--shape {text}: must be rows x columns, such as 28x28")
    return rows, columns
