"""Accuracy and loss against the step size, beside an ANN of the same shape (study, section 4.1, its Figure 2)."""

import numpy as np
from scipy import stats

from snnsim.experiments.base import ANSWER, Claim, verdict
from snnsim.experiments.learning import Session, run_config, train_curve
from snnsim.experiments.perceptron import Perceptron

MODES = ("steps", "estimators", "time")
LEVEL = 0.05  # of every test
NAMES = {
    "literal": "the formulas as printed",
    "tssl": "TSSL-BP, whose sign differs",
    "surrogate": "a surrogate",
}


def run(config, context):
    """Train at every step size: as the study, with every estimator on fewer samples, and at a fixed simulated time.

    Returns
    -------
    dict
        ``steps``, ``estimators``, ``time``: ``dt`` (D,), ``n_steps`` (D,), ``estimators``, and for each estimator a
        list over dt of ``loss``, ``accuracy`` (seeds, batches) float32, ``test_loss``, ``test_accuracy``,
        ``hidden_rate`` (seeds, epochs + 1), ``seconds`` (seeds, epochs), ``failures``: what stopped each seed, or "";
        ``ann``: the same of the perceptron.
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
    return max(round(config["time"]["duration"] / dt), 1) if mode == "time" else config["run"]["simulation"]["n_steps"]


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


def finals(results, mode, method):
    """Test accuracy (%) at the end of every seed, (D, seeds)."""
    curves = results[mode]["curves"][method]
    return np.array([[100 * a[np.isfinite(a)][-1] for a in curve["test_accuracy"]] for curve in curves])


def early(results, mode, method, batches):
    """Mean training loss and accuracy (%) over the last ten of the first batches, mean over seeds, each (D,)."""
    last = slice(batches - 10, batches)
    curves = results[mode]["curves"][method]
    return [
        factor * np.array([np.mean(curve[key][:, last].astype(np.float64)) for curve in curves])
        for key, factor in (("loss", 1), ("accuracy", 100))
    ]


def greater(a, b):
    """Probability by chance that the mean of ``a`` lies so far above that of ``b``: Welch's t test, one-sided."""
    if min(len(a), len(b)) < 2:
        return 1.0
    squares = np.array([x.var(ddof=1) / len(x) for x in (a, b)])
    difference = a.mean() - b.mean()
    if squares.sum() == 0:
        return 0.0 if difference > 0 else 1.0
    freedom = squares.sum() ** 2 / (squares**2 / [len(a) - 1, len(b) - 1]).sum()
    return float(stats.t.sf(difference / np.sqrt(squares.sum()), freedom))


def worse_than_best(values):
    """Which rows (D, seeds) have a smaller mean than the best, by Welch's t test with Holm's correction.

    Returns
    -------
    best : int
    worse : ndarray, (D,) bool
    """
    best = int(np.argmax(values.mean(axis=1)))
    others = [d for d in range(len(values)) if d != best]
    p = np.array([greater(values[best], values[d]) for d in others])
    worse, order = np.zeros(len(values), bool), np.argsort(p)
    for rank, k in enumerate(order):
        if not p[k] * (len(p) - rank) <= LEVEL:
            break
        worse[others[k]] = True
    return best, worse


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


def _told(results, mode, method):
    """Say which step sizes are best, those that cannot be told from the best included."""
    best, worse = worse_than_best(finals(results, mode, method))
    dts = results[mode]["dt"]
    level = [f"{dts[d]:g}" for d in range(len(dts)) if not worse[d] and d != best]
    ties = f"dt = {', '.join(level)} cannot be told from it" if level else "every other is worse"
    return f"best at dt = {dts[best]:g}; {ties} (Welch's t with Holm's correction, {100 * LEVEL:g} %)"


def claims(results):
    """Judge the statements of section 4.1, and conclusion 1 of section 5."""
    steps = results["steps"]
    dts, size, n_seeds = steps["dt"], results["samples"], len(results["seeds"])
    final = finals(results, "steps", "exact")
    best, worse = worse_than_best(final)
    batches = min(50, steps["curves"]["exact"][0]["loss"].shape[1])
    loss, accuracy = early(results, "steps", "exact", batches)
    fastest = int(np.nanargmax(accuracy))
    falls = bool((np.diff(accuracy[fastest:]) < 0).all()) and fastest < len(dts) - 1
    ann = 100 * results["ann"]["test_accuracy"][:, -1]
    ann_better, ann_worse = (greater(*pair) <= LEVEL for pair in ((ann, final[best]), (final[best], ann)))
    spread = {mode: np.ptp(summary(results, mode, "exact")[0]) for mode in ("steps", "time")}
    seconds = np.nanmean([np.nanmean(curve["seconds"]) for curve in steps["curves"]["exact"]])
    literal = summary(results, "estimators", "literal")[0]

    def by_dt(values, form="{:.2f}"):
        return ", ".join(f"{dt:g}: {form.format(x)}" for dt, x in zip(dts, values, strict=True))

    return [
        Claim(
            "Smaller steps train better early.",
            "section 4.1, Figure 2; section 5, conclusion 1",
            f"50 steps, exact gradient, {size['steps']} training samples, {n_seeds} seeds. Accuracy (%) of batches "
            f"{batches - 9} to {batches}: {by_dt(accuracy, '{:.0f}')}; their loss, which starts at another value "
            f"for each dt: {by_dt(loss)}.",
            verdict(fastest == 0 and falls, falls),
            "C19",
        ),
        Claim(
            "Smaller steps generally end better, but not monotonically: with a very small one only a narrow range "
            "is simulated.",
            "section 5, conclusion 1",
            f"Test accuracy (%) after training: {_outcome(results, 'steps', 'exact')}; "
            f"{_told(results, 'steps', 'exact')}.",
            verdict(bool(worse[0]) and bool(worse[best + 1 :].all()), bool(worse[0])),
            "C24",
        ),
        Claim(
            "Is it the range or the resolution?",
            "open",
            f"At a fixed simulated time and a true input rate ({size['time']} training samples): "
            f"{_outcome(results, 'time', 'exact')}; {_told(results, 'time', 'exact')}. Here the range is the same, "
            f"and the input per unit of time: the spread over dt is {spread['time']:.1f} points, against "
            f"{spread['steps']:.1f} at a fixed number of steps.",
            ANSWER,
            "C24",
        ),
        Claim(
            "The printed gradient trains the network.",
            "section 3.2, eqs 37-39",
            f"{size['estimators']} training samples, test accuracy (%) with "
            + "; ".join(
                f"{NAMES.get(method, 'the exact gradient')}: {_outcome(results, 'estimators', method)}"
                for method in results["estimators"]["estimators"]
            )
            + f". Chance is 10. Trainings that went wrong: {_troubles(results)}.",
            verdict(bool((literal > 80).all()), bool((literal > 50).any())),
            "C16",
        ),
        Claim(
            "The network is less competitive than an ANN of the same layers and shapes.",
            "section 4.1",
            f"784-400-10 with rectifiers, same samples, batches and Adam: {ann.mean():.1f} ± {ann.std():.1f} %; the "
            f"network of spikes at its best dt {final[best].mean():.1f} ± {final[best].std():.1f} %. "
            + (
                "The ANN is better"
                if ann_better
                else "The network of spikes is better"
                if ann_worse
                else "They cannot be told apart"
            )
            + f" (Welch's t, {100 * LEVEL:g} %).",
            verdict(bool(ann_better)),
            "C18",
        ),
        Claim(
            "Training takes two hours an epoch, so that popular architectures are out of reach.",
            "section 6, future work 2",
            f"An epoch of {size['steps']} samples, mean of all dt: {seconds:.1f} s on one thread, beside whatever "
            "else the machine did.",
            ANSWER,
            "F2",
        ),
    ]
