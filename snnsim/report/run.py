"""What goes into the report of a run, computed or read."""

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from snnsim import config as configuration
from snnsim.errors import InputError
from snnsim.experiments.base import tree
from snnsim.experiments.own import step_of_session
from snnsim.files.atomic import write_atomic
from snnsim.files.text import parse_json, read_text
from snnsim.parameters import SCHEMES
from snnsim.plotting import plot_network, plot_raster, plot_training
from snnsim.plotting.step import advice_figure
from snnsim.recording.metrics import read_metrics
from snnsim.recording.provenance import provenance
from snnsim.recording.reader import open_traces
from snnsim.recording.stream import batch_size, open_writer, record
from snnsim.recording.units import writer_units
from snnsim.report.page import Page
from snnsim.training.evaluation import evaluate
from snnsim.training.parts import simulator_of

FACTORS = (0.25, 0.5, 1, 2, 4)
"""Steps at which the network is evaluated, in steps of its own."""
RECORDED = 40
"""Test samples among which a right and a wrong one are looked for."""


@dataclass(frozen=True)
class AtStep:
    """The network on a clock of another step.

    Parameters
    ----------
    dt : float
    n_steps : int
    result : snnsim.training.Evaluation or None
        None where it could not be run.
    note : str
        Why not, or what else is different.
    """

    dt: float
    n_steps: int
    result: object
    note: str


def report(run, path, session_with, samples=None, step_samples=20, progress=lambda text: None):
    """Write the report of a run.

    Parameters
    ----------
    run : str or Path
        Its directory.
    path : str or Path
        HTML file to write, atomically.
    session_with : callable
        Takes a list of settings (``table.key=value``) and returns a `Session` of the run's network with them.
    samples : int, optional
        Test samples of the evaluations; all if None.
    step_samples : int
        Test samples that are compared with continuous time; 0 leaves the comparison out.
    progress : callable
        Called with a line before each part.

    Raises
    ------
    InputError
        If there is no finished run, or the file cannot be written.
    """
    run = Path(run)
    progress("evaluating")
    session = session_with([])
    config = session.config
    test = session.test.first(samples)
    result = evaluate(session, test)
    page = Page(f"{run.resolve().name}", f"snnsim {provenance()['snnsim']}")
    page.table("", _summary(run, config, session, result))
    page.figure("Network", plot_network(session.network), "Populations as boxes, connections as arrows.")
    records = read_metrics(run)
    if records:
        spiking = list(session.spiking)
        page.figure("Learning curves", plot_training({run.resolve().name: records}, spiking), "")
    _results(page, session, result)
    progress("recording")
    with tempfile.TemporaryDirectory() as folder:
        for title, figure, text in _rasters(session, Path(folder) / "traces"):
            page.figure(title, figure, text)
    _steps(page, session, session_with, samples, result, progress)
    if step_samples:
        progress("comparing with continuous time")
        _advice(page, session, step_samples)
    page.text("Configuration", configuration.to_toml(config))
    page.text("Versions", json.dumps(provenance(), indent=1))
    write_atomic(path, lambda out: out.write(page.html().encode()))


def _summary(run, config, session, result):
    s = config.simulation
    rows = [("run", str(run))]
    if (run / "result.json").exists():
        found = parse_json(read_text(run / "result.json"), str(run / "result.json"))
        rows += [
            (key.replace("_", " "), _number(found[key])) for key in ("epochs", "best_epoch", "seed") if key in found
        ]
    rows += [("data", f"{config.data.dataset}, {len(session.train)} training and {len(session.test)} test samples")]
    clock = "" if s.engine == "event" else f", {s.n_steps} steps of {s.dt:g}, {s.scheme.replace('_', ' ')}"
    rows += [("engine", f"{s.engine}{clock}"), ("gradient", config.gradient.method)]
    if result.accuracy is not None:
        rows.append(("test accuracy", f"{100 * result.accuracy:.2f} % of {result.samples} samples"))
    rows.append(("test loss", f"{result.loss:.4f}"))
    rates = zip(session.spiking, result.spikes_per_neuron, strict=True)
    rows.append(("spikes a neuron and trial", ", ".join(f"{name} {rate:.2f}" for name, rate in rates)))
    return rows


def _number(value):
    return f"{value:g}" if isinstance(value, int | float) else str(value)


def _results(page, session, result):
    if result.confusion is not None:
        names = [str(name) for name in session.train.classes or range(len(result.confusion))]
        text = "Test samples of class (row) that were taken for class (column)."
        page.confusion("Confusion", names, result.confusion, text)


def _rasters(session, folder):
    """Rasters of the first test sample that was right and the first that was wrong."""
    split = session.test.first(RECORDED)
    rows = np.arange(len(split))
    names = [p.name for p in session.network.populations_by_name.values()]
    simulator = simulator_of(session.config, session.network, record=("spikes", "v"), record_layers=names)

    def batches():
        size = batch_size(simulator)
        for start in range(0, len(rows), size):
            chosen = rows[start : start + size]
            taken = split.take(chosen)
            inputs = session.given.to(simulator, taken.x, taken.ids)
            yield inputs, {"label": taken.labels if taken.labelled else -1, "sample_index": chosen, "split": "test"}

    def predict(output, labels):
        return session.loss(output, labels).prediction

    options = {"config": configuration.to_tree(session.config), **writer_units(session.config, split.spiking)}
    with open_writer(folder, simulator, **options) as writer:
        record(simulator, writer, batches(), predict)
    with open_traces(folder) as traces:
        trials = traces.trials
        known = (trials.label >= 0) & (trials.prediction >= 0)
        right = np.flatnonzero(known & (trials.label == trials.prediction))
        wrong = np.flatnonzero(known & (trials.label != trials.prediction))
        chosen = [("A sample that it gets right", right), ("A sample that it gets wrong", wrong)]
        chosen = chosen if known.any() else [("A sample", np.arange(1))]
        drawn = [(title, plot_raster(traces, int(found[0])), "") for title, found in chosen if found.size]
    return drawn


def _steps(page, session, session_with, samples, own, progress):
    """Evaluate at other steps: the same network and trial, and the same input per unit of time where it can be."""
    s = session.config.simulation
    if s.engine == "event":
        page.paragraph("What dt does to it", "The event engine has no step.")
        return
    found = []
    for factor in FACTORS:
        n_steps = max(1, round(s.n_steps / factor))
        dt = s.dt * s.n_steps / n_steps
        progress(f"evaluating at dt = {dt:g}")
        settings, note = _same_input(session.config, factor)
        if factor == 1:
            found.append(AtStep(dt, n_steps, own, "its own"))
            continue
        try:
            other = session_with([f"simulation.dt={dt!r}", f"simulation.n_steps={n_steps}", *settings])
            found.append(AtStep(dt, n_steps, evaluate(other, other.test.first(samples)), note))
        except InputError as error:
            found.append(AtStep(dt, n_steps, None, str(error)))
    head = ("dt", "steps", "accuracy (%)", "loss", *(f"spikes a neuron, {name}" for name in session.spiking), "")
    rows = []
    for at in found:
        values = ["-"] * (2 + len(session.spiking))
        if at.result is not None:
            accuracy = "-" if at.result.accuracy is None else f"{100 * at.result.accuracy:.2f}"
            values = [accuracy, f"{at.result.loss:.4f}", *(f"{rate:.2f}" for rate in at.result.spikes_per_neuron)]
        rows.append((f"{at.dt:g}", str(at.n_steps), *values, at.note))
    page.paragraph("What dt does to it", "The trained network on clocks of other steps, each trial as long as before.")
    page.grid(head, rows)


def _same_input(config, factor):
    """Give settings that keep the input per unit of time where the encoder counts by steps, and what is said of it."""
    e = config.encoder
    if e.name not in ("poisson", "regular"):
        return [], ""
    probability = e.max_probability * factor
    if probability <= 1:
        return [f"encoder.max_probability={probability!r}"], "same input per unit of time"
    return [], f"{1 / factor:g} times the input per unit of time: the encoder's probability per step is at most 1"


def _advice(page, session, samples):
    title = "Against continuous time"
    try:
        advice = step_of_session(session, samples, 0.01, tuple(SCHEMES), True, None, lambda run, dt: None)
    except InputError as error:
        page.paragraph(title, f"Not compared: {error}")
        return
    page.figure(
        title, advice_figure(tree(advice)),
        f"The same input spikes on clocks and in the event engine, {advice.n_trials} test samples: how far each scheme "
        "is from continuous time at each step, and the largest step that stays within 1 %.",
    )  # fmt: skip
