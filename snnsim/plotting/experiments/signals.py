"""Statistics of the hidden layer's spikes over dt, before and after training."""

from snnsim.plotting.experiments.convergence import step_axis
from snnsim.plotting.style import GREY, WIDE, legend_below, legend_in, new_figure, scheme_line, titled

NAMES = {
    "rate": "rate a neuron",
    "cv": "CV of intervals",
    "lv": "local variation",
    "fano": "Fano factor",
    "correlation": "pairwise correlation",
    "drift": "change of the rate over a trial",
}

CAPTIONS = {
    "statistics": "Statistics of the hidden layer's spikes under long presentations of test samples, per scheme "
    "over dt, after training (filled) and before (open), with standard errors; the lines are continuous time "
    "(solid: after, dashed: before).",
    "intervals": "Density of interspike intervals of the hidden layer in continuous time, before and after training.",
}


def figures(results):
    """Draw ``statistics`` and ``intervals`` from the results of ``signals``."""
    figure, axes = new_figure(WIDE, 6.4, 2, 3)
    dt = results["dt"]
    for axis, (key, title) in zip(axes.flat, NAMES.items(), strict=True):
        for state, line in ((0, "--"), (1, "-")):
            value, error = (results["event"][key][kind][state] for kind in ("value", "error"))
            axis.axhline(value, color=GREY, ls=line, lw=1.2)
            axis.axhspan(value - error, value + error, color=GREY, alpha=0.15, lw=0)
            for s, scheme in enumerate(results["schemes"]):
                look = {} if state else {"markerfacecolor": "none", "label": None}
                scheme_line(axis, scheme, dt, results["clock"][key]["value"][state, s], linestyle=line, **look)
        step_axis(axis, dt)
        titled(axis, title)
    legend_below(figure, axes[0, 0])
    intervals, panel = new_figure(5.5, 3.8)
    for state, (name, line) in enumerate((("before training", "--"), ("after training", "-"))):
        row = results["intervals"][state]
        panel[0, 0].semilogy(
            row["time"], [x if x > 0 else float("nan") for x in row["density"]], color="black", ls=line, label=name
        )
    panel[0, 0].set_xlabel("interval")
    panel[0, 0].set_ylabel("density")
    legend_in(panel[0, 0])
    return {"statistics": figure, "intervals": intervals}
