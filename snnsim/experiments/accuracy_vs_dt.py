"""Accuracy and loss against the step size, beside an ANN of the same shape (study, section 4.1, its Figure 2)."""

import numpy as np

from snnsim.experiments.base import ANSWER, Claim, verdict
from snnsim.experiments.learning import Session, listed, run_config, train_curve
from snnsim.experiments.perceptron import Perceptron

MODES = ("steps", "time")
NAMES = {
    "literal": "the formulas as printed",
    "tssl": "TSSL-BP, whose sign differs",
    "surrogate": "a surrogate",
}


def run(config, context):
    """Train at every step size with every estimator, at a fixed number of steps and at a fixed simulated time.

    Returns
    -------
    dict
        ``steps``, ``time``: ``dt`` (D,), ``n_steps`` (D,), ``estimators``, and for each estimator a list over dt of
        ``loss``, ``accuracy`` (seeds, batches) float32, ``test_loss``, ``test_accuracy``, ``hidden_rate`` (seeds,
        epochs + 1), ``failures``: what stopped each seed, or ""; ``ann``: the same of the perceptron.
    """
    seeds = config["seeds"]
    context.expect(sum(len(config[m]["dt"]) * len(config[m]["estimators"]) * len(seeds) for m in MODES) + len(seeds))
    curves = context.parts(
        {
            f"{mode}-{method}-{dt:g}-{seed}": (_train, config, mode, dt, method, seed)
            for mode in MODES
            for method in config[mode]["estimators"]
            for dt in config[mode]["dt"]
            for seed in seeds
        }
        | {f"ann-{seed}": (_ann, config, seed) for seed in seeds},
        axes=("seeds", *(f"{mode}.{axis}" for mode in MODES for axis in ("dt", "estimators"))),
    )
    results = {"seeds": np.array(seeds), "samples": {m: config[m]["samples"] for m in MODES}}
    for mode in MODES:
        table = config[mode]
        results[mode] = {
            "dt": np.array(table["dt"]),
            "n_steps": np.array([_steps(config, mode, dt) for dt in table["dt"]]),
            "estimators": table["estimators"],
            "curves": {
                method: [_stack([curves[f"{mode}-{method}-{dt:g}-{seed}"] for seed in seeds]) for dt in table["dt"]]
                for method in table["estimators"]
            },
        }
    results["ann"] = _stack([curves[f"ann-{seed}"] for seed in seeds])
    return results


def _steps(config, mode, dt):
    return config["run"]["simulation"]["n_steps"] if mode == "steps" else max(round(config["time"]["duration"] / dt), 1)


def _train(config, mode, dt, method, seed):
    table = config[mode]
    changes = {"simulation__dt": dt, "simulation__n_steps": _steps(config, mode, dt), "gradient__method": method}
    changes |= {"training__seed": seed, "data__limit": table["samples"], "training__epochs": table["epochs"]}
    if mode == "time":
        changes |= {"encoder__name": "poisson-rate", "encoder__max_rate": table["rate"]}
    curve = train_curve(Session(run_config(config["run"], **changes)), table["test_samples"])
    return curve | {key: curve[key].astype(np.float32) for key in ("loss", "accuracy")}


def _ann(config, seed):
    table = config["steps"]
    session = Session(
        run_config(config["run"], training__seed=seed, data__limit=table["samples"], training__epochs=table["epochs"])
    )
    network = Perceptron(session.config.network.layers, seed)
    test = [session.test.values[: table["test_samples"]], session.test.labels[: table["test_samples"]]]
    test[0] = test[0].astype(np.float32) / 255
    size = session.config.training.batch_size
    curve = {"loss": [], "accuracy": [], "test_loss": [], "test_accuracy": []}

    def look():
        for key, value in zip(("test_loss", "test_accuracy"), network.evaluate(*test), strict=True):
            curve[key].append(value)

    look()
    for epoch in range(table["epochs"]):
        order = np.random.Generator(np.random.Philox(key=[seed, 1 + epoch])).permutation(len(session.train))
        for k in range(session.batches):
            chosen = order[k * size : (k + 1) * size]
            x = session.train.values[chosen].astype(np.float32) / 255
            loss, accuracy = network.step(x, session.train.labels[chosen], session.config.optimizer.lr)
            curve["loss"].append(loss)
            curve["accuracy"].append(accuracy)
        look()
    return {key: np.array(values, np.float32) for key, values in curve.items()} | {"failure": ""}


def _stack(parts):
    out = {key: np.stack([part[key] for part in parts]) for key in parts[0] if key != "failure"}
    return out | {"failures": [part["failure"] for part in parts]}


def summary(results, mode, method):
    """Mean and standard deviation over seeds of the test accuracy (%), for each dt, at the end.

    A seed whose training was stopped counts with the accuracy of its last evaluation.

    Returns
    -------
    ndarray, (2, D)
    """
    rows = []
    for curve in results[mode]["curves"][method]:
        values = []
        for accuracy in curve["test_accuracy"]:
            seen = accuracy[np.isfinite(accuracy)]
            values.append(100 * seen[-1])
        rows.append((np.mean(values), np.std(values)))
    return np.array(rows).T


def early(results, mode, method, batches):
    """Training loss over the first batches relative to the start, mean over seeds, for each dt (NaN: it diverged)."""
    found = []
    for curve in results[mode]["curves"][method]:
        loss = curve["loss"].astype(np.float64)
        found.append(np.mean(loss[:, batches - 10 : batches]) / np.mean(loss[:, :3]))
    return np.array(found)


def _outcome(results, mode, method):
    mean, spread = summary(results, mode, method)
    parts = [f"{dt:g}: {m:.1f} ± {s:.1f}" for dt, m, s in zip(results[mode]["dt"], mean, spread, strict=True)]
    return ", ".join(parts)


def _troubles(results):
    found = []
    for mode in MODES:
        for method in results[mode]["estimators"]:
            for dt, curve in zip(results[mode]["dt"], results[mode]["curves"][method], strict=True):
                stopped = [f for f in curve["failures"] if f]
                silent = (curve["hidden_rate"][:, 0] == 0).any()
                if stopped:
                    words = "a number that is not finite stopped"
                    found.append(
                        f"{method} at dt = {dt:g} ({mode}): {words} {len(stopped)} of {len(curve['failures'])}"
                    )
                if silent:
                    found.append(f"dt = {dt:g} ({mode}): hidden layer silent at first")
    return "; ".join(dict.fromkeys(found)) or "none"


def claims(results):
    """Judge the statements of section 4.1."""
    steps = results["steps"]
    dts = steps["dt"]
    mean = summary(results, "steps", "exact")[0]
    first = early(results, "steps", "exact", min(50, steps["curves"]["exact"][0]["loss"].shape[1]))
    best, fastest = int(np.argmax(mean)), int(np.nanargmin(first))
    ann = 100 * results["ann"]["test_accuracy"][:, -1]
    time_mean = summary(results, "time", "exact")[0]
    # From coarse to fine; the steps are listed from fine to coarse.
    smaller_is_better = bool((np.diff(first[fastest:]) > 0).all()) and fastest < len(dts) - 1
    size = results["samples"]
    return [
        Claim(
            "The smaller dt, the better it trains early.",
            "section 4.1, Figure 2",
            f"50 steps, exact gradient, {size['steps']} training samples, {len(results['seeds'])} seeds: loss after "
            "the "
            "first batches relative to the start "
            + ", ".join(f"dt = {dt:g}: {x}" for dt, x in zip(dts, listed(first).split(", "), strict=True))
            + ".",
            verdict(fastest == 0 and smaller_is_better, smaller_is_better),
        ),
        Claim(
            "It is not monotone: with too short a simulated range it gets worse.",
            "section 4.1, Figure 2",
            f"Test accuracy (%) after training, 50 steps, exact gradient: {_outcome(results, 'steps', 'exact')}. "
            f"Best at dt = {dts[best]:g}.",
            verdict(0 < best < len(dts) - 1, best > 0),
        ),
        Claim(
            "Is it the range or the resolution?",
            "open",
            f"At a fixed simulated time and input rate ({size['time']} training samples): "
            f"{_outcome(results, 'time', 'exact')}. Here the range is the same and only the resolution changes: the "
            f"spread over dt is {np.ptp(time_mean):.1f} points, against {np.ptp(mean):.1f} at a fixed number of steps.",
            ANSWER,
        ),
        Claim(
            "The printed gradient trains the network.",
            "section 3, eqs 37-39",
            "Test accuracy (%) with "
            + "; ".join(
                f"{NAMES[method]}: {_outcome(results, 'steps', method)}"
                for method in results["steps"]["estimators"]
                if method != "exact"
            )
            + ". Chance is 10.",
            verdict(
                bool((summary(results, "steps", "literal")[0] > 80).all()),
                bool((summary(results, "steps", "literal")[0] > 50).any()),
            ),
        ),
        Claim(
            "An ANN of the same shape, for comparison.",
            "section 4.1",
            f"784-400-10 with rectifiers, same samples, batches and Adam: {ann.mean():.1f} ± {ann.std():.1f} %; the "
            f"network of spikes at its best dt {mean[best]:.1f} %. Trainings that went wrong: {_troubles(results)}.",
            ANSWER,
        ),
    ]
