"""Accuracy and loss over batches and epochs, and against the step size."""

import numpy as np

from snnsim.plotting.experiments.convergence import step_axis
from snnsim.plotting.style import (
    BLACK,
    ESTIMATOR_COLOURS,
    GREY,
    WIDE,
    headed,
    legend_below,
    new_figure,
    step_colours,
    titled,
)

ROWS = (("steps", "50 steps"), ("time", "fixed simulated time"))
PANELS = (("steps", "50 steps, exact"), ("estimators", "50 steps, estimators"), ("time", "fixed simulated time"))

CAPTIONS = {
    "curves": "Training and test curves of 784-400-10 on MNIST with the exact gradient: above, 50 steps whatever "
    "dt is; below, the same simulated time and input rate at every dt. Training curves are running means over a "
    "fortieth of the batches; lines are means over seeds, bands their standard deviation. The ANN has the same "
    "layers, samples and batches.",
    "estimators": "Training loss and accuracy over batches by estimator of the gradient, 50 steps, means over seeds.",
    "summary": "Test error after training against dt, logarithmic, mean and standard deviation over seeds: the "
    "study's size, the estimators on fewer samples, and a fixed simulated time. A cross marks trainings that a "
    "number that is not finite stopped.",
}


def figures(results):
    """Draw ``curves``, ``estimators`` and ``summary`` from the results of ``accuracy-vs-dt``."""
    return {"curves": _curves(results), "estimators": _estimators(results), "summary": _summary(results)}


def _smooth(values, window):
    """Average over complete windows, (T - window + 1,)."""
    return np.convolve(values, np.ones(window) / window, mode="valid")


def _curves(results):
    figure, axes = new_figure(WIDE, 6.4, 2, 4)
    for row, (mode, title) in zip(axes, ROWS, strict=True):
        table = results[mode]
        for dt, colour, curve in zip(
            table["dt"], step_colours(len(table["dt"])), table["curves"]["exact"], strict=True
        ):
            _draw(row, curve, {"color": colour, "label": f"dt = {dt:g}"})
        if mode == "steps":
            _draw(row, results["ann"], {"color": GREY, "label": "ANN", "ls": "--"})
        row[0].set_ylabel(f"{title}\n\nloss")
        for axis, name in zip(
            row, ("training loss", "training accuracy (%)", "test loss", "test accuracy (%)"), strict=True
        ):
            titled(axis, name)
        for axis in row[:2]:
            axis.set_xlabel("batch")
        for axis in row[2:]:
            axis.set_xlabel("epoch")
            axis.xaxis.get_major_locator().set_params(integer=True)
        for axis in (row[0], row[2]):
            axis.set_yscale("log")
    headed(figure, "Exact gradient; lines: mean over seeds, bands: standard deviation")
    legend_below(figure, axes[0, 0])
    return figure


def _draw(row, curve, style):
    window = max(curve["loss"].shape[1] // 40, 1)
    train = [np.array([_smooth(x, window) for x in curve[key].astype(float)]) for key in ("loss", "accuracy")]
    batches = np.arange(train[0].shape[1]) + window
    test = [curve[key].astype(float) for key in ("test_loss", "test_accuracy")]
    epochs = np.arange(test[0].shape[1])
    panels = ((batches, train[0]), (batches, 100 * train[1]), (epochs, test[0]), (epochs, 100 * test[1]))
    for axis, (x, y) in zip(row, panels, strict=True):
        mean, spread = y.mean(axis=0), y.std(axis=0)
        axis.plot(x, mean, lw=1.3, **style)
        axis.fill_between(x, mean - spread, mean + spread, color=style["color"], alpha=0.15, lw=0)


def _final(curve):
    """Last accuracy seen of each seed, in per cent."""
    return np.array([100 * a[np.isfinite(a)][-1] for a in curve["test_accuracy"].astype(float)])


def _summary(results):
    figure, axes = new_figure(WIDE, 4.2, 1, 3)
    ann = 100 - _final(results["ann"])
    for axis, (mode, title) in zip(axes[0], PANELS, strict=True):
        table = results[mode]
        for method in table["estimators"]:
            error = np.array([100 - _final(curve) for curve in table["curves"][method]])
            axis.errorbar(
                table["dt"], error.mean(axis=1), error.std(axis=1), color=ESTIMATOR_COLOURS[method], marker="o", ms=4,
                capsize=2, label=method,
            )  # fmt: skip
            for dt, values, curve in zip(table["dt"], error, table["curves"][method], strict=True):
                if any(curve["failures"]):
                    axis.plot(dt, values.mean(), "x", color=BLACK, ms=9, mew=1.5, label="stopped: not finite")
        if mode == "steps":
            axis.axhline(ann.mean(), color=GREY, ls="--", lw=1.2, label="ANN")
        if mode == "estimators":
            axis.axhline(90, color=GREY, ls=":", lw=0.8, label="chance")
        step_axis(axis, table["dt"])
        axis.set_yscale("log")
        axis.yaxis.set_major_formatter("{x:g}")
        axis.yaxis.set_minor_formatter("{x:g}")
        axis.tick_params(axis="y", which="minor", labelsize=7)
        titled(axis, f"{title}, {results['samples'][mode]} samples")
    axes[0, 0].set_ylabel("test error at the end (%)")
    legend_below(figure, *axes[0])
    return figure


def _estimators(results):
    methods = results["estimators"]["estimators"]
    figure, axes = new_figure(min(WIDE, 3.0 * len(methods)), 6.0, 2, len(methods), sharex=True, sharey="row")
    table = results["estimators"]
    for k, method in enumerate(methods):
        loss_axis, accuracy_axis = axes[:, k]
        for dt, colour, curve in zip(table["dt"], step_colours(len(table["dt"])), table["curves"][method], strict=True):
            window = max(curve["loss"].shape[1] // 40, 1)
            for axis, key, factor in ((loss_axis, "loss", 1), (accuracy_axis, "accuracy", 100)):
                mean = factor * np.array([_smooth(x, window) for x in curve[key].astype(float)]).mean(axis=0)
                axis.plot(np.arange(mean.size) + window, mean, color=colour, lw=1.2, label=f"dt = {dt:g}")
        loss_axis.set_yscale("log")
        titled(loss_axis, method)
        accuracy_axis.set_xlabel("batch")
    axes[0, 0].set_ylabel("training loss, 50 steps")
    axes[1, 0].set_ylabel("training accuracy (%)")
    legend_below(figure, axes[0, 0])
    return figure
