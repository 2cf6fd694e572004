"""Errors against the step size, Euler's bound over time, stability, first spikes."""

import numpy as np

from snnsim.plotting.style import BLACK, WIDE, legend_below, legend_in, new_figure, scheme_line, step_colours, titled

CAPTIONS = {
    "errors": "Errors of one step, of a free run, and under constant drive against dt, per scheme, with Euler's bound.",
    "bound-and-stability": "Error of forward Euler over time beside its bound; spectral radius of each scheme's "
    "step against dt; norm of a free run of forward Euler on either side of its limit.",
    "first-spikes": "Mean error of the first spike's time of random neurons against dt, per scheme, and shares of "
    "neurons that the clock silences or makes spike.",
}


def figures(results):
    """Draw ``errors``, ``bound-and-stability`` and ``first-spikes`` from the results of ``truncation``."""
    return {
        "errors": _errors(results["study"]),
        "bound-and-stability": _stability(results),
        "first-spikes": _spikes(results["spikes"]),
    }


def _errors(study):
    figure, axes = new_figure(WIDE, 4.0, 1, 3)
    panels = (
        ("local_norm", "Local error of one step", "error of (v, i)"),
        ("global_norm", f"Global error of a free run to t = {study['t_end']:g}", "largest error of (v, i)"),
        ("drive_v", "Error under constant drive", "largest error of v"),
    )
    dt = study["dt"]
    for axis, (key, title, label) in zip(axes[0], panels, strict=True):
        for s, scheme in enumerate(study["schemes"]):
            shown = np.where(study[key][s] > 1e-12, study[key][s], np.nan)
            scheme_line(axis, scheme, dt, shown, markersize=2.5)
        if key == "global_norm":
            axis.plot(dt, study["bound"], color=BLACK, ls="--", lw=1.2, label="Euler's bound")
        axis.set_xscale("log")
        axis.set_yscale("log")
        titled(axis, title)
        axis.set_xlabel("dt")
        axis.set_ylabel(label)
    for axis in axes[0, :2]:
        axis.text(0.97, 0.04, "exact: rounding only", fontsize=8, transform=axis.transAxes, ha="right")
    legend_below(figure, axes[0, 1])
    return figure


def _stability(results):
    study, growth = results["study"], results["growth"]
    figure, axes = new_figure(WIDE, 3.8, 1, 3)
    left, middle, right = axes[0]
    for run, colour in zip(results["course"], step_colours(len(results["course"]))[::-1], strict=True):
        left.semilogy(run["times"][1:], run["norm"][1:], color=colour, label=f"dt = {run['dt']:g}")
        left.semilogy(run["times"][1:], run["bound"][1:], color=colour, ls="--", lw=1)
    left.set_xlabel("time")
    left.set_ylabel("error of (v, i)")
    titled(left, "Forward Euler (lines) and its bound (dashed)")
    legend_in(left)
    for s, scheme in enumerate(study["schemes"]):
        scheme_line(middle, scheme, results["stability"]["dt"], results["stability"]["radius"][s], marker="")
    middle.axhline(1, color=BLACK, lw=0.8)
    middle.axvline(growth["limit"], color=BLACK, lw=0.8, ls=":")
    middle.text(
        growth["limit"], 0.02, f"{growth['limit']:g} ", ha="right", fontsize=8, transform=middle.get_xaxis_transform()
    )
    middle.set_xlabel("dt")
    middle.set_ylabel("spectral radius of one step")
    titled(middle, "Stability: below one")
    legend_in(middle)
    greys = ("#bbbbbb", "#888888", "#555555", BLACK)
    for factor, norm, colour in zip(growth["factors"], growth["norm"], greys, strict=True):
        right.semilogy(norm, color=colour, label=f"{factor:g} of the limit")
    right.set_xlabel("step")
    right.set_ylabel("norm of (v, i)")
    titled(right, "Forward Euler near its limit")
    legend_in(right)
    return figure


def _spikes(spikes):
    figure, axes = new_figure(9.0, 3.8, 1, 2)
    left, right = axes[0]
    dt = spikes["dt"]
    for s, scheme in enumerate(spikes["schemes"]):
        scheme_line(left, scheme, dt, spikes["mean_error"][s])
        scheme_line(right, scheme, dt, 100 * spikes["lost"][s])
        scheme_line(right, scheme, dt, -100 * spikes["added"][s], markerfacecolor="none")
    left.plot(dt, dt / 2, color=BLACK, lw=0.8, ls=":", label="dt/2")
    left.set_xscale("log")
    left.set_yscale("log")
    left.set_xlabel("dt")
    left.set_ylabel("mean error of the first spike's time")
    titled(left, "First spikes against the closed form")
    right.set_xscale("log")
    right.axhline(0, color=BLACK, lw=0.8)
    right.set_xlabel("dt")
    right.set_ylabel("spikes added (below 0), lost (above 0), %")
    titled(right, "Neurons that the clock silences or makes spike")
    legend_below(figure, left)
    return figure
