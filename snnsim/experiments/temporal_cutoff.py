"""Dropping the dependence on spikes that lie many steps back: speed, gradient, accuracy (study, limitation 1)."""

import time

import numpy as np

from snnsim.analysis.gradients import compare_gradients
from snnsim.config import neurons
from snnsim.dynamics.lif import RESET_HARD
from snnsim.estimators import exact
from snnsim.experiments.base import Claim, verdict
from snnsim.experiments.explicit import ExplicitEngine, windowed_adjoint
from snnsim.experiments.learning import Session, first_batch, listed, run_config, train_curve
from snnsim.kernels.cpu.loops import backward_of
from snnsim.kernels.cpu.wiring import wiring_of
from snnsim.neurons import lif
from snnsim.parameters import scheme_coefficients


def run(config, context):
    """Differentiate and train with the explicit sum cut off after some steps, beside the folded recursion.

    Returns
    -------
    dict
        ``horizons`` (H,) steps; ``dt``; ``cosine``, ``relative_error`` (D, seeds, H, 2 layers) of the first gradient
        with the complete one; ``steps``, ``seconds`` (``horizons`` and ``seconds`` of the adjoint for each number of
        steps), ``folded_seconds``;
        ``loss``, ``accuracy`` (H, seeds, batches), ``test_accuracy`` (H, seeds, epochs + 1) of trainings at
        ``train_dt``; ``folded_test_accuracy``.
    """
    horizons, dts, seeds = config["horizons"], config["dt"], config["seeds"]
    context.expect(len(dts) * len(seeds) + 1 + (len(horizons) + 1) * len(seeds))
    parts = context.parts(
        {f"train-{h}-{seed}": (_train, config, h, seed) for h in [*horizons, None] for seed in seeds}
        | {f"error-{dt:g}-{seed}": (_errors, config, dt, seed) for dt in dts for seed in seeds}
    )
    results = {"horizons": np.array(horizons), "dt": np.array(dts), "train_dt": config["train_dt"]}
    for key in ("cosine", "relative_error"):
        results[key] = np.array([[parts[f"error-{dt:g}-{seed}"][key] for seed in seeds] for dt in dts])
    results |= context.part("speed", lambda: _speed(config))
    curves = [[parts[f"train-{h}-{seed}"] for seed in seeds] for h in [*horizons, None]]
    for key in ("loss", "accuracy", "test_accuracy"):
        results[key] = np.array([[part[key] for part in row] for row in curves[:-1]])
        results[f"folded_{key}"] = np.array([part[key] for part in curves[-1]])
    results["failures"] = [[part["failure"] for part in row] for row in curves]
    return results


def _explicit(session, horizon):
    s = session.config.simulation
    return ExplicitEngine(
        session.structure, dt=s.dt, n_steps=s.n_steps, scheme=s.scheme, horizon=horizon,
        max_inverse_slope=session.config.gradient.max_inverse_slope,
    )  # fmt: skip


def _gradient(session, engine, inputs, labels):
    output = engine.forward(session.tensors, inputs)
    return [g.copy() for g in engine.backward(session.tensors, session.loss(output, labels).gradient).values()]


def _errors(config, dt, seed):
    session = Session(run_config(config["run"], simulation__dt=dt, training__seed=seed))
    inputs, labels = first_batch(session)
    complete = _gradient(session, session.engine, inputs, labels)
    rows = [
        compare_gradients(complete, _gradient(session, _explicit(session, h), inputs, labels))
        for h in config["horizons"]
    ]
    return {
        "cosine": np.array([row.cosine[:2] for row in rows]),
        "relative_error": np.array([row.relative_error[:2] for row in rows]),
    }


def _speed(config):
    """Seconds of the adjoint of one layer, without the products that both ways share."""
    table = config["speed"]
    parameters = neuron_of(config)
    coefficients = tuple(np.float32(c) for c in scheme_coefficients(parameters, config["train_dt"]))
    batch, n = table["batch"], table["neurons"]
    out = {"steps": np.array(table["steps"]), "seconds": [], "folded_seconds": []}
    for n_steps in table["steps"]:
        rng = np.random.Generator(np.random.Philox(key=[0, n_steps]))
        source = rng.standard_normal((batch, n_steps, n), np.float32)
        gain, adjoint = np.ones_like(source), np.empty_like(source)
        later = np.zeros((batch, n_steps + 1, n), np.float32)  # with the step behind the last
        horizons = [h for h in config["horizons"] if h < n_steps - 1] + [n_steps - 1]
        seconds = [_best(config, windowed_adjoint, coefficients, gain, source, h, adjoint) for h in horizons]
        out["seconds"].append({"horizons": np.array(horizons), "seconds": np.array(seconds)})
        out["folded_seconds"].append(_best(config, _folded, coefficients, source, later))
    return out


def _folded(coefficients, source, adjoint):
    """Run the loop of a layer without a spike, whose adjoint is ``source`` filtered."""
    batch, n_steps, n = source.shape
    one, nothing = np.float32(1), np.empty((0, 0, 0), source.dtype)
    constants = lif.Constants(*coefficients, one, np.float32(0), RESET_HARD, one, one, one, one, np.float32(0))
    no_spike, none_kept = np.empty((batch, 0), np.int32), np.empty((batch, 0), source.dtype)
    backward_of(lif, exact)(
        constants, exact.Settings(one), wiring_of([n], dtype=source.dtype), 0, n_steps, no_spike,
        np.zeros((batch, n_steps + 1), np.int32), (none_kept, none_kept), (), none_kept, source, 0,
        tuple(np.zeros((2, batch, n), source.dtype)), adjoint, nothing, nothing, nothing, (),
    )  # fmt: skip


def _best(config, function, *arguments):
    function(*arguments)
    taken = []
    for _ in range(config["repeats"]):
        start = time.perf_counter()
        function(*arguments)
        taken.append(time.perf_counter() - start)
    return min(taken)


def neuron_of(config):
    """Parameters of the hidden layer of the ``[run]`` table."""
    return neurons(run_config(config["run"]))[0]


def _train(config, horizon, seed):
    training = config["train"]
    session = Session(
        run_config(
            config["run"], simulation__dt=config["train_dt"], training__seed=seed, data__limit=training["samples"],
            training__epochs=training["epochs"],
        )
    )  # fmt: skip
    if horizon is not None:
        session.engine = _explicit(session, horizon)
    return train_curve(session, training["test_samples"])


def claims(results):
    """Judge limitation 1."""
    horizons = results["horizons"]
    d = int(np.argmin(np.abs(results["dt"] - results["train_dt"])))
    cosine, error = results["cosine"].mean(axis=1), results["relative_error"].mean(axis=1)
    steps = ", ".join(f"{h}" for h in horizons)
    needed = []
    for k, dt in enumerate(results["dt"]):
        good = np.flatnonzero(cosine[k, :, 0] > 0.99)
        needed.append(
            f"{horizons[good[0]]} at dt = {dt:g}" if good.size else f"more than {horizons[-1]} at dt = {dt:g}"
        )
    times = []
    for n, row, whole in zip(results["steps"], results["seconds"], results["folded_seconds"], strict=True):
        times.append(
            f"{n} steps: {listed(1e3 * row['seconds'], '{:.2g}')} ms for horizons of "
            f"{', '.join(map(str, row['horizons']))}, against {1e3 * whole:.2g} ms of the folded recursion"
        )
    long = results["seconds"][-1]["seconds"]
    folded = results["folded_seconds"][-1]
    final = results["test_accuracy"][:, :, -1]
    mean, whole = 100 * final.mean(axis=1), 100 * results["folded_test_accuracy"][:, -1]
    spread = 100 * final.std(axis=1)
    return [
        Claim(
            "Dropping dependence beyond a number of steps saves time.",
            "limitation 1",
            "Adjoint of a layer, explicit sum cut off: "
            + "; ".join(times)
            + ". A cut-off saves time of the explicit sum; the recursion drops nothing and needs no cut-off.",
            verdict(long[0] < 0.5 * long[-1] and folded > long[0], long[0] < 0.5 * long[-1]),
            "L1",
        ),
        Claim(
            "What does it do to the gradient?",
            "limitation 1, open",
            f"Hidden layer at dt = {results['dt'][d]:g}, horizons {steps}: cosine "
            f"{listed(cosine[d, :, 0], '{:+.2f}')}, "
            f"relative error {listed(error[d, :, 0])}. A cosine of .99 needs (steps): {', '.join(needed)}. The "
            "influence of a "
            "spike changes its sign on the way (at 0.69 here) and passes through resets, so a short horizon keeps "
            "one part "
            "of a sum whose parts cancel.",
            "answered",
            "L1",
        ),
        Claim(
            "What does it do to the accuracy?",
            "limitation 1, open",
            f"Test accuracy at dt = {results['train_dt']:g} after training: "
            + ", ".join(f"{h} steps {m:.1f} ± {s:.1f} %" for h, m, s in zip(horizons, mean, spread, strict=True))
            + f"; complete {whole.mean():.1f} ± {whole.std():.1f} % ({len(whole)} seeds).",
            "answered",
            "L1",
        ),
    ]
