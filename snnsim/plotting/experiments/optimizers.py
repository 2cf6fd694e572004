"""Loss and accuracy per iteration of two optimisers, and the loss along a line."""

import numpy as np

from snnsim.plotting.style import BLACK, TITLE, WIDE, legend_below, new_figure, titled

# Greys and a yellow: blue, red, green and orange are schemes on this page.
COLOURS = {"adam": BLACK, "l-bfgs": "#888888", "l-bfgs-full": "#C4A000"}
NAMES = {"adam": "Adam", "l-bfgs": "L-BFGS, line search", "l-bfgs-full": "L-BFGS, full steps"}

CAPTIONS = {
    "fits": "Loss and accuracy on one batch of 50 samples, fitted again and again, over the iterations of Adam and "
    "of L-BFGS with a line search and with full steps; a dot marks where a fit ended. Losses that are not finite "
    "have no point.",
    "lines": "The loss of the batch along its negative gradient at the initial weights, and the tangent that the "
    "gradient says.",
}


def figures(results):
    """Draw ``fits`` and ``lines`` from the results of ``optimizers``."""
    return {"fits": _fits(results), "lines": _lines(results)}


def _fits(results):
    n = len(results["names"])
    columns = (n + 1) // 2
    figure, axes = new_figure(min(WIDE, 2.4 * columns), 9.2, 4, columns)
    for axis in axes[2:, n - columns :].flat:
        axis.set_visible(False)
    for k, name in enumerate(results["names"]):
        loss, accuracy = axes[2 * (k // columns) : 2 * (k // columns) + 2, k % columns]
        for optimizer, run in zip(results["optimizers"], results["runs"][k], strict=True):
            style = {"color": COLOURS[optimizer], "label": NAMES[optimizer], "lw": 1.4}
            loss.plot(run["loss"], **style)
            accuracy.plot(100 * run["accuracy"], **style)
            for axis, values in ((loss, run["loss"]), (accuracy, 100 * run["accuracy"])):
                seen = np.flatnonzero(np.isfinite(values))[-1]
                axis.plot(seen, values[seen], "o", ms=4, color=COLOURS[optimizer])
        loss.set_yscale("log")
        loss.set_title("\n".join(name.rsplit(", ", 1)) if len(name) > 24 else name, fontsize=TITLE - 1)
        accuracy.set_ylim(-3, 103)
        accuracy.set_xlabel("iteration")
    for row in (0, 2):
        axes[row, 0].set_ylabel("loss of the batch")
        axes[row + 1, 0].set_ylabel("accuracy (%)")
    legend_below(figure, axes[0, 0])
    return figure


def _lines(results):
    n = len(results["names"])
    rows = (n + 2) // 3
    figure, axes = new_figure(WIDE, 3.2 * rows, rows, 3)
    for axis in axes.flat[n:]:
        axis.set_visible(False)
    for k, (axis, name) in enumerate(zip(axes.flat, results["names"], strict=False)):
        line = results["lines"][k]
        axis.plot(line["fine_alpha"], line["fine_loss"], ".-", color=BLACK, ms=2, lw=0.8, label="loss")
        tangent = line["fine_loss"][0] + line["slope"][0] * line["fine_alpha"]
        axis.plot(line["fine_alpha"], tangent, color="#888888", lw=1, ls="--", label="what the gradient says")
        titled(axis, name)
        axis.set_xlabel("step along the negative gradient")
        axis.ticklabel_format(useOffset=False, axis="y")
    for axis in axes[:, 0]:
        axis.set_ylabel("loss of the batch")
    legend_below(figure, axes[0, 0])
    return figure
