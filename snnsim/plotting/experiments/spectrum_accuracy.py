"""Accuracy of trained networks against the spectra of their hidden membranes."""

from snnsim.plotting.style import GREY, legend_below, new_figure, step_colours, titled

CAPTIONS = {
    "bands": "Test accuracy of trained 784-400-10 networks against the share of the hidden membranes' power in a "
    "low and in a high band of frequencies per step, a dot a network; lines lead to the dot from the share before "
    "training.",
}


def figures(results):
    """Draw ``bands`` from the results of ``spectrum-accuracy``."""
    figure, axes = new_figure(9, 4.2, 1, 2, sharey=True)
    low, high = results["edges"]
    titles = {"low": f"below {low:g} cycles a step", "high": f"above {high:g} cycles a step"}
    colours = step_colours(len(results["dt"]))
    for axis, (band, title) in zip(axes[0], titles.items(), strict=True):
        for d, dt in enumerate(results["dt"]):
            after, before = 100 * results[band][d], 100 * results[f"before_{band}"][d]
            accuracy = results["accuracy"][d]
            axis.plot([before, after], [accuracy, accuracy], color=GREY, lw=0.5, alpha=0.5)
            axis.plot(after, accuracy, "o", ms=4, color=colours[d], label=f"dt = {dt:g}")
        axis.set_xscale("log")
        axis.xaxis.set_major_formatter("{x:g}")
        axis.xaxis.set_minor_formatter("")
        axis.set_xlabel(f"share of the power {title} (%)")
        r = results["correlation"][band]
        titled(axis, f"correlation {r['all']:+.2f}, within dt {r['within']:+.2f}")
    axes[0, 0].set_ylabel("test accuracy (%)")
    legend_below(figure, axes[0, 0])
    return {"bands": figure}
