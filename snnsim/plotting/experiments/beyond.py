"""Test error over dt for other depths, readouts and data."""

from snnsim.plotting.experiments.convergence import step_axis
from snnsim.plotting.style import legend_in, new_figure, titled

# Shades and markers: colours mean schemes, estimators and step sizes on this page.
LOOKS = (("#000000", "o"), ("#555555", "s"), ("#999999", "^"), ("#555555", "D"), ("#000000", "v"))

CAPTIONS = {
    "arms": "Test error after training against dt at 50 steps (exact gradient where no other is said), mean and "
    "standard deviation over seeds, for one to three hidden layers, a readout of spiking neurons, and another data "
    "set.",
}


def figures(results):
    """Draw ``arms`` from the results of ``beyond``."""
    figure, axes = new_figure(6.5, 4.4)
    axis = axes[0, 0]
    for k, (name, accuracy) in enumerate(zip(results["arms"], results["accuracy"], strict=True)):
        colour, marker = LOOKS[k % len(LOOKS)]
        error = 100 - accuracy
        axis.errorbar(
            results["dt"], error.mean(1), error.std(1), color=colour, marker=marker, ms=4, capsize=2, label=name,
            ls="--" if k >= 3 else "-",
        )  # fmt: skip
    step_axis(axis, results["dt"])
    axis.set_yscale("log")
    axis.yaxis.set_major_formatter("{x:g}")
    axis.yaxis.set_minor_formatter("{x:g}")
    axis.tick_params(axis="y", which="minor", labelsize=7)
    axis.set_ylabel("test error (%)")
    titled(axis, "50 steps")
    legend_in(axis)
    return {"arms": figure}
