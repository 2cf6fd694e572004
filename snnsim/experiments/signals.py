"""Statistics of the spikes of real layers, in continuous time and on clocks, before and after training.

Study, section 6, future work 3; the functions are those of :mod:`snnsim.analysis.statistics`.
"""

from types import SimpleNamespace

import numpy as np

from snnsim.analysis.statistics import statistics_of
from snnsim.engines.outputs import spikes_of_slab
from snnsim.experiments.base import ANSWER, Claim
from snnsim.experiments.learning import Session, listed, run_config, train_curve
from snnsim.samples import taken
from snnsim.simulation import simulate

STATES = ("before", "after")
KINDS = ("value", "error")
KEYS = ("rate", "cv", "lv", "fano", "correlation", "drift")


def run(config, context):
    """Train a network, and play the same input to it before and after on every clock and in continuous time.

    Returns
    -------
    dict
        ``dt`` (D,), ``schemes``; ``event``, ``clock``: for each of :data:`KEYS` ``value`` and ``error``, (2 states,)
        and (2 states, S, D): rate a neuron, coefficient of variation and local variation of intervals, Fano factor of
        counts, mean pairwise correlation, and change of the rate from the second to the last quarter of a trial,
        relative to their mean. ``intervals``: of continuous time, by state, ``time``, ``density``, ``density_error``.
    """
    dts, schemes = config["dt"], config["schemes"]
    context.expect(1 + len(STATES) * (1 + len(dts) * len(schemes)))
    weights = context.part("weights", lambda: _weights(config))
    calls = {}
    for state in STATES:
        calls[f"{state}-event"] = (_play, config, weights[state], "event", None, None)
        for scheme in schemes:
            calls |= {f"{state}-{scheme}-{dt:g}": (_play, config, weights[state], "clock", scheme, dt) for dt in dts}
    parts = context.parts(calls)

    def table(names):
        """Value and error of every statistic, of an array of names of parts."""
        pick = {kind: np.vectorize(lambda name, key, kind=kind: float(parts[name][key][kind])) for kind in KINDS}
        return {key: {kind: pick[kind](names, key) for kind in KINDS} for key in KEYS}

    return {
        "dt": np.array(dts), "schemes": schemes, "trials": config["trials"], "accuracy": weights["accuracy"],
        "event": table(np.array([f"{state}-event" for state in STATES])),
        "clock": table(np.array([[[f"{state}-{s}-{dt:g}" for dt in dts] for s in schemes] for state in STATES])),
        "intervals": [parts[f"{state}-event"]["intervals"] for state in STATES],
    }  # fmt: skip


def _weights(config):
    """Train a network; its initial weights and the trained ones."""
    session = Session(run_config(config["run"], data__limit=config["samples"]))
    before = [w.copy() for w in session.tensors.values()]
    curve = train_curve(session, config["test_samples"])
    return {"before": before, "after": list(session.tensors.values()), "accuracy": float(curve["test_accuracy"][-1])}


def _play(config, weights, engine, scheme, dt):
    """Statistics of the hidden layer under long presentations of test samples."""
    finest, duration, n = config["finest"], config["duration"], config["trials"]
    run = run_config(config["run"], simulation__dt=finest, simulation__n_steps=round(duration / finest))
    session = Session(run)
    test = session.test.first(n)
    spikes = spikes_of_slab(session.encoder.in_time(test.x, test.ids))
    network = session.structure.with_tensors(
        dict(zip(session.tensors, [np.asarray(w, np.float64) for w in weights], strict=True))
    )
    options = (
        {"dt": dt, "n_steps": round(duration / dt), "scheme": scheme} if engine == "clock" else {"duration": duration}
    )
    hidden = simulate(network, spikes, engine, record_layers=("hidden0",), **options)["hidden0"].spikes
    found = statistics_of(
        _Trains(hidden), bin_width=config["bin"], window=config["window"], segment=duration, lag=0.0,
        synchrony_bin=config["bin"], longest=config["longest"], correlated=config["correlated"],
    )["populations"]["hidden0"]  # fmt: skip
    out = {key: {"value": found[key]["mean"], "error": found[key]["error"]} for key in ("rate", "cv", "lv", "fano")}
    out["correlation"] = {"value": found["correlation"]["mean"], "error": found["correlation"]["error"]}
    out["drift"] = _drift(hidden, duration)
    return out | {"intervals": {key: found["intervals"][key] for key in ("time", "density", "density_error")}}


class _Trains:
    """Spikes in memory, as a recording of trials gives them to :func:`~snnsim.analysis.statistics.statistics_of`."""

    directory = "spikes"

    def __init__(self, spikes):
        self._spikes = spikes
        # A unit of 1000 ms: rates come a unit of time.
        self.info = {"record": ("spikes",), "duration": spikes.duration, "time_unit_ms": 1000.0}
        ids = np.arange(spikes.n_neurons)
        layer = SimpleNamespace(n_neurons=ids.size, neuron_ids=ids, recorded=True, spiking=True)
        self.populations = {"hidden0": layer}

    def __len__(self):
        return len(self._spikes)

    def spikes(self, _, chosen):
        """Take a slice of the trials."""
        return taken(self._spikes, np.arange(len(self))[chosen])


def _drift(spikes, duration):
    """Change of the rate from the second to the last quarter of a trial, relative to their mean; its standard error."""
    trial = np.repeat(np.arange(len(spikes)), np.diff(spikes.offsets))
    quarter = np.minimum((4 * spikes.times / duration).astype(int), 3)
    counts = np.bincount(trial * 4 + quarter, minlength=4 * len(spikes)).reshape(-1, 4).astype(float)
    used = counts[:, 1] + counts[:, 3] > 0
    change = 2 * (counts[used, 3] - counts[used, 1]) / (counts[used, 3] + counts[used, 1])
    error = change.std(ddof=1) / np.sqrt(change.size) if change.size > 1 else np.nan
    return {"value": float(change.mean()), "error": float(error)}


def claims(results):
    """Answer future work 3."""
    event, clock, dts = results["event"], results["clock"], results["dt"]
    names = {
        "rate": "rate", "cv": "CV of intervals", "lv": "local variation", "fano": "Fano factor",
        "correlation": "pairwise correlation", "drift": "change of the rate over a trial",
    }  # fmt: skip

    def said(key):
        parts = [
            f"{event[key]['value'][s]:.3g} ± {event[key]['error'][s]:.1g} {state} training"
            for s, state in enumerate(STATES)
        ]
        return f"{names[key]} " + ", ".join(parts)

    def off(key, s):
        scheme = results["schemes"].index("backward_euler")
        return listed(clock[key]["value"][s, scheme], "{:.3g}")

    return [
        Claim(
            "Statistics of the generated signals, in continuous time.",
            "section 6, future work 3",
            f"Hidden layer, {results['trials']} test samples, long presentations (± standard error; test accuracy "
            "of the trained "
            f"network {100 * results['accuracy']:.1f} %): "
            + "; ".join(map(said, KEYS))
            + ". Section 2.4 takes neurons under independent Poisson input of one rate. Real layers see other rates "
            "with every image, which the CV and the Fano factor count, taken over all images; within an image their "
            "intervals are far more regular than a Poisson process, whose local variation is 1.",
            ANSWER,
            "F3",
        ),
        Claim(
            "The same on a clock.",
            "section 6, future work 3",
            f"Backward Euler, dt = {listed(dts, '{:g}')}, after training: "
            + "; ".join(f"{names[key]} {off(key, 1)}" for key in KEYS)
            + ". Every scheme is in the figure.",
            ANSWER,
            "F3",
        ),
    ]
