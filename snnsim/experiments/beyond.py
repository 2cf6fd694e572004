"""Accuracy against the step size beyond one hidden layer of MNIST (study, section 6, future work 1)."""

import numpy as np
from scipy import stats

from snnsim.experiments.accuracy_vs_dt import worse_than_best
from snnsim.experiments.base import ANSWER, Claim
from snnsim.experiments.learning import Session, run_config, train_curve


def run(config, context):
    """Train every arm (a data set, a depth, a readout) at every step size.

    Returns
    -------
    dict
        ``arms``: names; ``dt`` (D,); by (arms, D, seeds), ``accuracy`` on test samples at the end and ``first`` on the
        training samples of the first epoch, in per cent, and ``rate``: spikes a neuron of the first hidden layer at the
        end.
    """
    arms, dts, seeds = config["arms"], config["dt"], config["seeds"]
    context.expect(len(arms) * len(dts) * len(seeds))
    parts = context.parts(
        {
            f"{arm['name'].replace(' ', '-')}-{dt:g}-{seed}": (_train, config, arm, dt, seed)
            for arm in arms
            for dt in dts
            for seed in seeds
        }
    )
    results = {
        key: np.array(
            [[[parts[f"{a['name'].replace(' ', '-')}-{dt:g}-{s}"][key] for s in seeds] for dt in dts] for a in arms]
        )
        for key in ("accuracy", "first", "rate")
    }
    return results | {"arms": [arm["name"] for arm in arms], "dt": np.array(dts), "samples": config["samples"]}


def _train(config, arm, dt, seed):
    changes = {"network__layers": arm["layers"], "data__dataset": arm["dataset"], "loss__name": arm["loss"]}
    changes["gradient__method"] = arm["gradient"]
    if arm["target_rate"]:
        changes["network__target_rate"] = arm["target_rate"]
    session = Session(
        run_config(
            config["run"], simulation__dt=dt, training__seed=seed, data__limit=config["samples"],
            **changes,
        )
    )  # fmt: skip
    curve = train_curve(session, config["test_samples"])
    seen = curve["test_accuracy"][np.isfinite(curve["test_accuracy"])]
    return {
        "accuracy": 100 * seen[-1],
        "first": 100 * float(np.nanmean(curve["accuracy"][: session.batches])),
        "rate": float(curve["hidden_rate"][len(seen) - 1]),
    }


def claims(results):
    """Answer future work 1 for networks without convolution and recurrence."""
    dts = results["dt"]
    rows = []
    for name, accuracy in zip(results["arms"], results["accuracy"], strict=True):
        best, worse = worse_than_best(accuracy)
        level = [f"{dt:g}" for dt, bad in zip(dts, worse, strict=True) if not bad]
        shown = ", ".join(f"{dt:g}: {row.mean():.1f} ± {row.std():.1f}" for dt, row in zip(dts, accuracy, strict=True))
        rows.append(f"{name}: {shown} (best at {dts[best]:g}; not told apart: {', '.join(level)})")
    order = [stats.spearmanr(results["accuracy"][0].mean(1), a.mean(1)).statistic for a in results["accuracy"][1:]]
    return [
        Claim(
            "Better architectures, and more data sets than MNIST.",
            "section 6, future work 1",
            f"50 steps, exact gradient where no other is said, {results['samples']} training samples; test accuracy "
            "(%) by dt: "
            + "; ".join(rows)
            + f". Rank correlation over dt with {results['arms'][0]}: "
            + ", ".join(f"{name} {x:+.2f}" for name, x in zip(results["arms"][1:], order, strict=True))
            + ".",
            ANSWER,
            "F1",
        )
    ]
