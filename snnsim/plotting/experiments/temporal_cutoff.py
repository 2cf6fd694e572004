"""Gradient, time and accuracy against the horizon of the temporal dependence."""

import numpy as np

from snnsim.plotting.style import BLACK, GREY, WIDE, legend_in, new_figure, step_colours, titled

CAPTIONS = {
    "horizon": "Gradient with no dependence beyond a number of steps, beside the complete one, of untrained "
    "networks (mean over seeds): cosine and relative error; time of the adjoint of one layer; test accuracy after "
    "training with such a gradient (mean and standard deviation over seeds; the band is the complete gradient's).",
}


def figures(results):
    """Draw ``horizon`` from the results of ``temporal-cutoff``."""
    horizons = results["horizons"]
    figure, axes = new_figure(WIDE, 7.2, 2, 2)
    cosine, error, seconds, accuracy = axes.flat
    colours = step_colours(len(results["dt"]))
    for d, dt in enumerate(results["dt"]):
        style = {"color": colours[d], "marker": "o", "ms": 4}
        cosine.plot(horizons + 1, results["cosine"][d, :, :, 0].mean(axis=0), label=f"hidden, dt = {dt:g}", **style)
        cosine.plot(horizons + 1, results["cosine"][d, :, :, 1].mean(axis=0), ls="--", **style)
        shown = np.maximum(results["relative_error"][d, :, :, 0].mean(axis=0), 1e-8)
        error.plot(horizons + 1, shown, label=f"dt = {dt:g}", **style)
    cosine.axhline(0, color=BLACK, lw=0.8)
    cosine.set_ylabel("cosine with the complete gradient")
    titled(cosine, "Direction (dashed: output layer)")
    legend_in(cosine)
    error.set_yscale("log")
    error.set_ylabel("relative error")
    titled(error, "Error of the hidden layer's gradient")
    legend_in(error)
    for colour, n, row, whole in zip(
        (BLACK, GREY), results["steps"], results["seconds"], results["folded_seconds"], strict=False
    ):
        seconds.plot(
            row["horizons"] + 1, 1e3 * row["seconds"], "o-", ms=4, color=colour, label=f"explicit sum, {n} steps"
        )
        seconds.axhline(1e3 * whole, color=colour, ls="--", label=f"folded recursion, {n} steps")
    seconds.set_yscale("log")
    seconds.set_ylabel("adjoint of one layer (ms)")
    titled(seconds, "Time (dashed: nothing is dropped)")
    legend_in(seconds)
    final = 100 * results["test_accuracy"][:, :, -1]
    accuracy.errorbar(horizons + 1, final.mean(axis=1), final.std(axis=1), marker="o", ms=4, color=BLACK, capsize=2)
    whole = 100 * results["folded_test_accuracy"][:, -1]
    accuracy.axhline(whole.mean(), color=GREY)
    accuracy.axhspan(whole.mean() - whole.std(), whole.mean() + whole.std(), color=GREY, alpha=0.15, lw=0)
    accuracy.set_ylabel("test accuracy (%)")
    titled(accuracy, f"After training at dt = {results['train_dt']:g} (grey: complete)")
    for axis in axes.flat:
        axis.set_xscale("log", base=2)
        if axis is not seconds:
            axis.set_xticks(horizons + 1, [str(h) for h in horizons])
        axis.set_xlabel("steps back that count" + (", plus 1" if axis is seconds else ""))
    return {"horizon": figure}
