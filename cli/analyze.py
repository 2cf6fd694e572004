"""``snnsim analyze``: the analyses of the study on one's own recordings and networks."""

from pathlib import Path
from typing import Annotated

import typer

from . import options as o
from .app import App
from .terminal import bars, console

app = App(help="Spectra, wavelets, gradients, populations, filters and convergence of recordings and networks.")

Recording = Annotated[str, typer.Argument(metavar="FILE", help="Recording: its directory or its spikes.h5.")]
Network = Annotated[
    str | None,
    typer.Argument(
        metavar="CONFIG", help="TOML file, shipped configuration, run directory or model; the defaults without."
    ),
]
Out = Annotated[Path, typer.Option("--out", "-o", metavar="FOLDER", help="For the results file and the figures.")]
Force = Annotated[bool, typer.Option("--force", help="Replace results of the same name in the folder.")]
Layer = Annotated[str | None, typer.Option(metavar="NAME", help="Layer; the first recorded one without.")]
Trials = Annotated[str | None, typer.Option(metavar="0:100", help="Trials to average; all without.")]
Steps = Annotated[str | None, typer.Option("--dts", metavar="0.1,0.01", help="Step sizes.")]
Schemes = Annotated[str, typer.Option(metavar="A,B", help="Clock schemes.")]
Estimators = Annotated[str, typer.Option(metavar="A,B", help="Estimators of the gradient.")]

ALL_SCHEMES = "forward_euler,backward_euler,exact,bilinear"
FOLDER = Path("analysis")


@app.command("spectrum")
def spectrum(
    file: Recording,
    layer: Layer = None,
    trials: Trials = None,
    segment: Annotated[int, typer.Option(metavar="N", min=8, help="Samples of a segment.")] = 256,
    out: Out = FOLDER,
    force: Force = False,
):
    """Power spectra of recorded membranes by Welch's method, beside the neuron's filter."""
    _check(out, "spectrum", force)
    from snnsim.experiments.own import spectrum_of_traces
    from snnsim.recording.reader import open_traces

    from .selection import parse_selection

    with open_traces(file) as traces:
        results = spectrum_of_traces(traces, layer, parse_selection(trials, "--trials"), segment)
    _save(out, "spectrum", results)
    f, power = results["frequency"], results["power"]
    edges = [k for k in range(0, len(f), max(len(f) // 8, 1))]
    _table(
        ("cycles per unit of time", "power density", "filter's shape"),
        [(f"{f[k]:.4g}", f"{power[k]:.4g}", f"{results['continuous'][k]:.4g}") for k in edges],
    )


@app.command("wavelet")
def wavelet(
    file: Recording,
    layer: Layer = None,
    trials: Trials = None,
    neuron: Annotated[int | None, typer.Option(metavar="N", help="Of the scalogram; the liveliest without.")] = None,
    name: Annotated[str, typer.Option("--wavelet", help="Discrete wavelet of PyWavelets.")] = "db2",
    level: Annotated[int | None, typer.Option(metavar="N", help="Levels; as many as fit without.")] = None,
    out: Out = FOLDER,
    force: Force = False,
):
    """Wavelet coefficients of recorded membranes, averaged over trials, and a scalogram."""
    _check(out, "wavelet", force)
    from snnsim.experiments.own import wavelet_of_traces
    from snnsim.recording.reader import open_traces

    from .selection import parse_selection

    with open_traces(file) as traces:
        results = wavelet_of_traces(traces, layer, parse_selection(trials, "--trials"), neuron, name, level)
    _save(out, "wavelet", results)
    bands, share = results["wavelet"]["bands"], results["share"]
    _table(
        ("level", "band (cycles per unit of time)", "% of the details' energy"),
        [
            (str(k + 1), f"{b[0]:.4g} - {b[1]:.4g}", f"{100 * s:.3g}")
            for k, (b, s) in enumerate(zip(bands, share, strict=False))
        ],
    )


@app.command("statistics")
def statistics(
    file: Recording,
    layers: Annotated[str | None, typer.Option(metavar="A,B", help="Populations; all with spikes without.")] = None,
    bin_width: Annotated[float, typer.Option("--bin", metavar="TIME", help="Width of a bin.")] = 1.0,
    window: Annotated[float, typer.Option(metavar="TIME", help="Of counts: Fano factor, correlation.")] = 100.0,
    segment: Annotated[float, typer.Option(metavar="TIME", help="Of spectra and covariances.")] = 1000.0,
    lag: Annotated[float, typer.Option(metavar="TIME", help="Longest lag.")] = 100.0,
    skip: Annotated[float, typer.Option(metavar="TIME", help="Left out at the start of a long run.")] = 0.0,
    out: Out = FOLDER,
    force: Force = False,
    json_output: o.Json = False,
):
    """Tabulate rates, intervals, variability, correlations and spectra of spikes, each with its standard error."""
    _check(out, "statistics", force)
    from rich.console import Console
    from rich.progress import Progress

    from snnsim.analysis.statistics import statistics_of
    from snnsim.recording.reader import open_traces

    from .progress import print_json

    with open_traces(file) as traces, Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("reading", total=1.0)
        results = statistics_of(
            traces, None if layers is None else _names(layers), bin_width=bin_width, window=window, segment=segment,
            lag=lag, skip=skip, progress=lambda share: bar.update(task, completed=share),
        )  # fmt: skip
    numbers = {
        name: {key: float(p[key]["mean"]) for key in ("rate", "cv", "lv", "fano", "correlation")}
        | {"synchrony": float(p["synchrony"]["value"]), "neurons": p["neurons"], "spikes": p["spikes"]}
        for name, p in results["populations"].items()
    }
    _save(out, "statistics", results, quiet=json_output)
    if json_output:
        print_json(numbers)
        return

    def form(x, error):
        return f"{x:.4g} ± {error:.2g}"

    rows = []
    for name, p in results["populations"].items():
        means = [form(p[key]["mean"], p[key]["error"]) for key in ("rate", "cv", "lv", "fano", "correlation")]
        synchrony = form(p["synchrony"]["value"], p["synchrony"]["error"])
        rows.append((name, str(p["neurons"]), str(p["spikes"]), *means, synchrony))
    rate = "rate (1/s)" if results["time_unit"] else "rate (per unit time)"
    head = ("population", "neurons", "spikes", rate, "CV", "LV", f"Fano ({window:g})")
    _table((*head, "correlation", "synchrony"), rows)


@app.command("frequency")
def frequency(
    config: Network = None,
    layer: Annotated[int, typer.Option(metavar="N", min=0, help="Layer; 0 is the first after the input.")] = 0,
    dts: Steps = None,
    schemes: Schemes = ALL_SCHEMES,
    settings: o.Settings = None,
    out: Out = FOLDER,
    force: Force = False,
):
    """Tabulate the neuron as a filter: damping, natural frequency, gain and phase, continuous and on clocks."""
    _check(out, "frequency", force)
    from snnsim.experiments.own import checked_schemes, frequency_of_neuron

    chosen, parameters = _neuron(config, layer, settings)
    steps = _numbers(dts, "--dts") or [chosen.simulation.dt]
    results = frequency_of_neuron(parameters, steps, checked_schemes(_names(schemes)))
    _save(out, "frequency", results)
    _table(
        ("damping ratio", "natural frequency", "gain at rest"),
        [(f"{results['damping']:.6g}", f"{results['natural']:.6g}", f"{abs(results['continuous'][0]):.6g}")],
    )


@app.command("population")
def population(
    config: Network = None,
    rate: Annotated[float, typer.Option(help="Input spikes per neuron and unit of time.")] = 75.0,
    weight: Annotated[float, typer.Option(help="Weight of an input spike.")] = 0.02,
    duration: Annotated[float, typer.Option(help="Simulated time.")] = 10.0,
    grid: Annotated[str, typer.Option(metavar="VxI", help="Cells in v and in i.")] = "80x330",
    neurons: Annotated[int, typer.Option(metavar="N", min=100, help="Neurons of the sample.")] = 100_000,
    layer: Annotated[int, typer.Option(metavar="N", min=0, help="Layer; 0 is the first after the input.")] = 0,
    settings: o.Settings = None,
    out: Out = FOLDER,
    force: Force = False,
):
    """Density and firing rate of a population of the neuron under Poisson input, by equation and by sample."""
    _check(out, "population", force)
    from snnsim.errors import InputError
    from snnsim.experiments.own import population_of_neuron

    n_v, sign, n_i = grid.lower().partition("x")
    if not (sign and n_v.isdecimal() and n_i.isdecimal()):
        raise InputError(f"--grid {grid}: must be cells in v x cells in i, such as 80x330")
    chosen, parameters = _neuron(config, layer, settings)
    results = population_of_neuron(
        parameters, rate, weight, duration, int(n_v), int(n_i), neurons, chosen.training.seed
    )  # fmt: skip
    _save(out, "population", results)
    rows = [(name, f"{results[key]['rate']:.5g}", *(f"{m:.4g}" for m in results[key]["moments"][:4])) for name, key in (
        ("master equation", "master"), ("Fokker-Planck", "fokker_planck"), ("sample", "sample"))]  # fmt: skip
    _table(("", "firing rate", "mean v", "mean i", "var v", "var i"), rows)


@app.command("gradients")
def gradients(
    config: Network = None,
    samples: Annotated[int, typer.Option(metavar="N", min=1, help="Training samples.")] = 50,
    estimators: Estimators = "exact",
    settings: o.Settings = None,
    data_dir: o.DataDir = None,
    out: Out = FOLDER,
    force: Force = False,
):
    """Weight gradients of a network's first batch: maps, distributions, outliers, estimators compared."""
    _check(out, "gradients", force)
    from snnsim.experiments.own import gradients_of_session

    session = _session(config, settings, data_dir)
    results = gradients_of_session(session, samples, _names(estimators))
    _save(out, "gradients", results)
    rows = []
    for method, line, cosines in zip(results["estimators"], results["statistics"], results["cosine"], strict=True):
        for s, cosine in zip(line, cosines, strict=True):
            rows.append(
                (method, s["name"], f"{s['norm']:.4g}", f"{s['max_abs']:.4g}", str(s["n_zero"]), str(s["n_outliers"]),
                 f"{100 * s['outlier_energy']:.3g}", f"{cosine:.4f}")
            )  # fmt: skip
    head = (
        "estimator",
        "tensor",
        "norm",
        "largest",
        "zeros",
        "outliers",
        "their energy %",
        f"cosine with {estimators.split(',')[0]}",
    )
    _table(head, rows)


@app.command("convergence")
def convergence(
    config: Network = None,
    samples: Annotated[int, typer.Option(metavar="N", min=1, help="Test samples.")] = 5,
    dts: Steps = None,
    schemes: Schemes = ALL_SCHEMES,
    hybrid: Annotated[bool, typer.Option(help="Include the hybrid engine.")] = True,
    estimators: Annotated[
        str | None, typer.Option(metavar="A,B", help="Estimators beside exact; empty for none, all without.")
    ] = None,
    settings: o.Settings = None,
    data_dir: o.DataDir = None,
    out: Out = FOLDER,
    force: Force = False,
):
    """Errors of any network on clocks and as a hybrid against the event engine, over dt, with fitted orders."""
    _check(out, "convergence", force)
    from rich.progress import TimeRemainingColumn

    from snnsim.experiments.own import checked_schemes, convergence_of_session

    session = _session(config, settings, data_dir)
    step = session.config.simulation.dt
    steps = _numbers(dts, "--dts") or [step, step / 2, step / 5, step / 10, step / 20]
    names = checked_schemes(_names(schemes))
    with bars(TimeRemainingColumn(), transient=True) as bar:
        task = bar.add_task("runs", total=len(steps) * (len(names) + hybrid) + 1)
        results = convergence_of_session(
            session, samples, steps, names, hybrid, None if estimators is None else tuple(_names(estimators)),
            lambda: bar.advance(task),
        )  # fmt: skip
    _save(out, "convergence", results)
    _convergence_table(results)
    _tensors_table(results)


@app.command("step")
def step(
    config: Network = None,
    samples: Annotated[int, typer.Option(metavar="N", min=1, help="Test samples.")] = 20,
    tolerance: Annotated[
        float, typer.Option(metavar="SHARE", help="Of spikes, times, loss, and of one minus the gradient's cosine.")
    ] = 0.01,
    schemes: Schemes = ALL_SCHEMES,
    hybrid: Annotated[bool, typer.Option(help="Include the hybrid engine.")] = True,
    finest: Annotated[float | None, typer.Option(metavar="DT", help="Finest step; min(tau)/500 without.")] = None,
    settings: o.Settings = None,
    data_dir: o.DataDir = None,
    out: Out = FOLDER,
    force: Force = False,
    json_output: o.Json = False,
):
    """Find the largest dt of each scheme that keeps a network and its data within a tolerance of continuous time."""
    _check(out, "step", force)
    from snnsim.experiments.base import tree
    from snnsim.experiments.own import checked_schemes, step_of_session

    from .progress import print_json

    names = checked_schemes(_names(schemes))
    session = _session(config, settings, data_dir)
    with bars(transient=True) as bar:
        task = bar.add_task("event", total=None)
        advice = step_of_session(
            session, samples, tolerance, names, hybrid, finest,
            lambda run, dt: bar.update(task, description=f"{run}, dt = {dt:g}"),
        )  # fmt: skip
    _save(out, "step", tree(advice), quiet=json_output)
    if json_output:
        print_json(_step_numbers(advice))
    else:
        _step_table(advice)


def _step_numbers(advice):
    """Give what the table says as a tree of numbers."""
    import numpy as np

    runs = {}
    for s, run in enumerate(advice.runs):
        dt = advice.largest[s]
        runs[run] = {"dt": None, "next_dt": _number(advice.next_dt[s]), "next_fails": advice.next_fails[s]}
        if np.isfinite(dt):
            d = int(np.searchsorted(advice.dt, dt))
            runs[run] |= {"dt": float(dt), "seconds": advice.seconds[s, d], "memory": advice.memory[s, d]}
            runs[run]["distance"] = advice.at(run, dt)
    name, dt = advice.cheapest
    return {
        "tolerance": advice.tolerance, "duration": advice.duration, "trials": advice.n_trials,
        "spikes": advice.n_spikes, "runs": runs, "cheapest": {"run": name, "dt": _number(dt)},
        "event": {"seconds": advice.event_seconds, "memory": advice.event_memory},
    }  # fmt: skip


def _number(x):
    return float(x) if x == x else None


def _step_table(advice):
    import numpy as np

    def percent(x):
        return f"{100 * x:.2g}"

    rows = []
    for s, run in enumerate(advice.runs):
        dt, stop = advice.largest[s], advice.next_fails[s]
        if np.isfinite(advice.next_dt[s]):
            stop = f"{advice.next_dt[s]:.3g}: {stop}"
        if not np.isfinite(dt):
            tried = advice.dt[np.isfinite(advice.seconds[s])]
            rows.append((run, f"< {tried.min():.3g}" if tried.size else "-", *[""] * 7, stop))
            continue
        d = int(np.searchsorted(advice.dt, dt))
        rows.append(
            (run, f"{dt:.3g}", str(round(advice.duration / dt)), percent(advice.lost[s, d] + advice.added[s, d]),
             percent(advice.shift[s, d]), percent(advice.loss[s, d]), percent(np.nanmax(advice.gradient[s, d])),
             f"{1e3 * advice.seconds[s, d]:.3g}", f"{advice.memory[s, d] / 2**20:.3g}", stop)
        )  # fmt: skip
    rows.append(("event", "-", "-", "0", "0", "0", "0", f"{1e3 * advice.event_seconds:.3g}",
                 f"{advice.event_memory / 2**20:.3g}", ""))  # fmt: skip
    print(
        f"Largest dt within {percent(advice.tolerance)} % of continuous time: {advice.n_trials} trials of "
        f"{advice.duration:g}, {advice.n_spikes} spikes"
    )
    head = ("run", "largest dt", "steps", "spikes %", "times %", "loss %", "1 - cos %", "ms a trial", "MB", "out at")
    _table(head, rows)
    for line in advice.sentences():
        print(line)


def _convergence_table(r):
    import numpy as np

    rows = []
    spikes = max(int(np.sum(r["n_reference"])), 1)

    def form(x, pattern="{:.2e}"):
        return pattern.format(x) if np.isfinite(x) else "-"

    def mean(values):
        return np.mean(values[np.isfinite(values)]) if np.isfinite(values).any() else np.nan

    for s, run in enumerate(r["runs"]):
        for d, dt in enumerate(r["dt"]):
            rows.append(
                (run if d == 0 else "", f"{dt:g}", form(r["free_max"][s, d]), form(mean(r["v_rms"][s, d])),
                 form(mean(r["time_error"][s, d])), f"{100 * r['lost'][s, d].sum() / spikes:.2g}",
                 f"{100 * r['added'][s, d].sum() / spikes:.2g}", form(abs(r["loss"][s, d] - r["loss_reference"][d])),
                 form(mean(r["gradient_error"][s, d])), form(mean(r["gradient_cosine"][s, d]), "{:.4f}"),
                 *(form(mean(c[s, d]), "{:+.2f}") for c in r["estimator_cosine"]))
            )  # fmt: skip
        order = ("", "order", form(r["free_order"][s], "{:.2f}"), form(mean(r["v_order"][s]), "{:.2f}"),
                 form(mean(r["time_order"][s]), "{:.2f}"), "", "", form(r["loss_order"][s], "{:.2f}"),
                 form(mean(r["gradient_order"][s]), "{:.2f}"), "")  # fmt: skip
        rows.append((*order, *("" for _ in r["estimators"])))
    head = ("run", "dt", "free v", "v", "spike time", "lost %", "added %", "loss", "gradient", "cosine")
    _table((*head, *r["estimators"]), rows)
    limits = {run: x for run, x in zip(r["runs"], r["stability_limit"], strict=True) if np.isfinite(x)}
    if np.isfinite(r["euler_bound"]).all():
        bounds = ", ".join(f"{dt:g}: {b:.2g}" for dt, b in zip(r["dt"], r["euler_bound"], strict=True))
        print(f"Euler's bound of the free v at dt = {bounds}")
    print("stable below dt = " + (", ".join(f"{x:g} ({run})" for run, x in limits.items()) or "any"))
    print(
        f"{spikes} spikes, two of them {r['spacing']:.2g} apart at the least; orders fitted to dt <= {r['fit_below']:g}"
    )


def _tensors_table(r):
    """Relative error of the gradient by every tensor, a block of columns at a time."""
    import numpy as np

    names = r["tensors"]
    for first in range(0, len(names), 8):
        rows = []
        for s, run in enumerate(r["runs"]):
            for d, dt in enumerate(r["dt"]):
                errors = r["gradient_error"][s, d, first : first + 8]
                rows.append(
                    (run if d == 0 else "", f"{dt:g}", *(f"{x:.2e}" if np.isfinite(x) else "-" for x in errors))
                )
            orders = r["gradient_order"][s, first : first + 8]
            rows.append(("", "order", *(f"{x:.2f}" if np.isfinite(x) else "-" for x in orders)))
        _table(("gradient by", "dt", *names[first : first + 8]), rows)


def _check(out, name, force):
    from snnsim.errors import InputError

    if out.exists() and not out.is_dir():
        raise InputError(f"--out {out}: is not a folder")
    if (out / f"{name}.h5").exists() and not force:
        raise InputError(f"--out {out}: holds {name}.h5 already; --force replaces it")


def _save(out, name, results, quiet=False):
    from snnsim.errors import InputError
    from snnsim.plotting import analysis
    from snnsim.plotting.style import save_figure
    from snnsim.recording.provenance import provenance
    from snnsim.recording.runs import save_tree

    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--out {out}: cannot be made a folder: {error.strerror}") from error
    path = out / f"{name}.h5"
    save_tree(path, {"name": name, "provenance": provenance(), "results": results}, "analysis")
    say = (lambda _: None) if quiet else print
    say(path)
    for stem, figure in getattr(analysis, name)(results).items():
        picture = out / (f"{name}.png" if stem == name else f"{name}-{stem}.png")
        save_figure(figure, picture, dpi=150)
        say(picture)


def _table(head, rows):
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    for column in head:
        table.add_column(column, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    console(width=200).print(table)


def _names(text):
    return [name.strip() for name in text.split(",") if name.strip()]


def _numbers(text, option):
    from snnsim.errors import InputError

    if text is None:
        return None
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        values = []
    if not values or not all(0 < x < float("inf") for x in values):
        raise InputError(f"{option} {text}: must be positive numbers, such as 0.1,0.01")
    return values


def _is_model(source):
    return source is not None and (Path(source).is_dir() or Path(source).suffix == ".h5")


def _session(source, settings, data_dir):
    """Session of a run or model with its trained network, or of a configuration with its initial one."""
    flags = {"data_dir": data_dir}
    if _is_model(source):
        from .runs import session_of

        return session_of(source, settings, flags)
    from snnsim.training import Session

    return Session(o.configuration(source, settings, flags))


def _neuron(source, layer, settings):
    """Load a configuration, and the neuron parameters of one of its layers."""
    from snnsim import config
    from snnsim.errors import InputError

    if _is_model(source):
        from snnsim.models import load_model
        from snnsim.training.parts import with_network

        from .runs import model_path

        network, trained = load_model(model_path(source))
        chosen = with_network(trained or config.load(), network)
    else:
        chosen = o.configuration(source, settings, {}, encodes=False)
    parameters = config.neurons(chosen)
    if layer >= len(parameters):
        raise InputError(f"--layer {layer}: the network has layers 0..{len(parameters) - 1}")
    return chosen, parameters[layer]
