"""Loss and accuracy per iteration of two optimisers, and the loss along a line."""

from snnsim.plotting.style import BLACK, BLUE, RED, WIDE, legend_below, new_figure, titled

COLOURS = {"adam": BLUE, "l-bfgs": RED}
NAMES = {"adam": "Adam", "l-bfgs": "L-BFGS"}


def figures(results):
    """Draw ``fits`` and ``lines`` from the results of ``optimizers``."""
    return {"fits": _fits(results), "lines": _lines(results)}


def _fits(results):
    n = len(results["names"])
    figure, axes = new_figure(min(WIDE, 2.5 * n), 5.2, 2, n, sharex="col")
    for k, name in enumerate(results["names"]):
        loss, accuracy = axes[:, k]
        for optimizer, run in zip(results["optimizers"], results["runs"][k], strict=True):
            style = {"color": COLOURS[optimizer], "label": NAMES[optimizer], "lw": 1.4}
            loss.plot(run["loss"], **style)
            accuracy.plot(100 * run["accuracy"], **style)
            for axis, values in ((loss, run["loss"]), (accuracy, 100 * run["accuracy"])):
                axis.plot(len(values) - 1, values[-1], "o", ms=4, color=COLOURS[optimizer])
        loss.set_yscale("log")
        titled(loss, "\n".join(name.rsplit(", ", 1)) if len(name) > 24 else name)
        accuracy.set_ylim(-3, 103)
        accuracy.set_xlabel("iteration")
    axes[0, 0].set_ylabel("loss of the batch")
    axes[1, 0].set_ylabel("accuracy on the batch (%)")
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
        axis.plot(line["fine_alpha"], line["fine_loss"], ".-", color=RED, ms=2, lw=0.8, label="loss")
        tangent = line["fine_loss"][0] + line["slope"][0] * line["fine_alpha"]
        axis.plot(line["fine_alpha"], tangent, color=BLACK, lw=1, ls="--", label="what the gradient says")
        titled(axis, name)
        axis.set_xlabel("step along the negative gradient")
        axis.ticklabel_format(useOffset=False, axis="y")
    for axis in axes[:, 0]:
        axis.set_ylabel("loss of the batch")
    legend_below(figure, axes[0, 0])
    return figure
