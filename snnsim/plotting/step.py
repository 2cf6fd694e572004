"""Which step is fine enough: distances from continuous time over dt, costs, and the advice."""

import numpy as np

from snnsim.plotting.experiments.convergence import COLOURS, MARKERS, NAMES, step_axis
from snnsim.plotting.style import BLACK, GREEN, GREY, TEXT, WIDE, headed, legend_below, new_figure, titled

DECADES = 2
"""Decades below the tolerance that are drawn; what is smaller lies on the axis."""


def advice_figure(advice):
    """Draw the advice.

    Parameters
    ----------
    advice : dict
        Fields of :class:`~snnsim.analysis.step.StepAdvice`.

    Returns
    -------
    Figure
    """
    figure, axes = new_figure(WIDE, 6.6, 2, 3)
    dt, tolerance = advice["dt"], 100 * advice["tolerance"]
    worst = _worst(advice["gradient"])
    panels = (
        (axes[0, 0], advice["lost"] + advice["added"], "Spikes lost or added", "% of the spikes"),
        (axes[0, 1], advice["shift"], "Shift of the others", "% of the trial"),
        (axes[0, 2], advice["loss"], "Loss", "error in %"),
        (axes[1, 0], worst, "Gradient by the worst tensor", "1 - cosine, in %"),
    )
    for axis, values, title, label in panels:
        highest = tolerance
        for s, run in enumerate(advice["runs"]):
            known = np.isfinite(values[s])
            _line(axis, run, dt[known], 100 * values[s][known])
            highest = max(highest, 100 * values[s][known].max(initial=0))
        least = tolerance / 10**DECADES
        axis.set_yscale("symlog", linthresh=least, linscale=0.4)
        axis.set_ylim(-0.15 * least, 2 * highest)
        axis.axhspan(-least, tolerance, color=GREEN, alpha=0.08, lw=0)
        axis.axhline(tolerance, color=GREEN, lw=1)
        ticks = [least * 10**k for k in range(int(np.ceil(np.log10(2 * highest / least))))]
        axis.set_yticks([0, *ticks], ["0", *(f"{x:g}" for x in ticks)])
        axis.minorticks_off()
        titled(axis, title)
        axis.set_ylabel(label)
        _steps(axis, advice)
    _costs(axes[1, 1], advice)
    _summary(axes[1, 2], advice)
    headed(
        figure,
        f"Against continuous time: {advice['n_trials']} trials of {advice['duration']:g}, {advice['n_spikes']} spikes; "
        f"green: within {tolerance:g} %",
    )
    legend_below(figure, axes[0, 0])
    return figure


def _worst(gradient):
    known = np.isfinite(gradient).any(axis=2)
    return np.where(known, np.where(np.isfinite(gradient), gradient, -np.inf).max(axis=2, initial=-np.inf), np.nan)


def _line(axis, run, x, y, **options):
    axis.plot(x, y, color=COLOURS[run], marker=MARKERS[run], ms=3.5, lw=1.2, label=NAMES[run], **options)


def _steps(axis, advice):
    """Make the x axis one of steps, with the configuration's own."""
    axis.axvline(advice["own_dt"], color=GREY, ls=":", lw=1, label="dt of the configuration")
    step_axis(axis, advice["dt"])


def _costs(axis, advice):
    for s, run in enumerate(advice["runs"]):
        known = np.isfinite(advice["seconds"][s])
        x, y = advice["dt"][known], 1e3 * advice["seconds"][s][known]
        _line(axis, run, x, y)
        at = x == advice["largest"][s]
        axis.plot(x[at], y[at], ls="", marker="o", ms=9, mfc="none", mec=COLOURS[run], mew=1.4)
    axis.axhline(1e3 * advice["event_seconds"], color=BLACK, ls="--", lw=1.2)
    axis.set_yscale("log")
    low, high = axis.get_ylim()
    axis.set_ylim(low / 1.5, high)
    titled(axis, "Time of a trial (circles: largest dt)")
    axis.set_ylabel("ms a trial")
    axis.text(
        0.02, 0.96e3 * advice["event_seconds"], "event engine", transform=axis.get_yaxis_transform(), ha="left",
        va="top", fontsize=TEXT - 1,
    )  # fmt: skip
    _steps(axis, advice)


def _summary(axis, advice):
    """Draw the steps of every run that are within the tolerance, with the largest one written beside them."""
    runs, dt = advice["runs"], advice["dt"]
    for s, run in enumerate(runs):
        y = len(runs) - 1 - s
        tried = dt[np.isfinite(advice["seconds"][s])]
        largest = advice["largest"][s]
        axis.plot(tried, np.full(tried.size, y), ls="", marker="|", ms=7, color=COLOURS[run], alpha=0.5)
        if np.isfinite(largest):
            axis.plot([tried.min(), largest], [y, y], color=COLOURS[run], lw=5, solid_capstyle="butt")
            d = int(np.argmin(np.abs(dt - largest)))
            text = f"dt = {largest:.3g}, {1e3 * advice['seconds'][s, d]:.3g} ms"
        else:
            text = f"none from {tried.min():.3g} on" if tried.size else "cannot run it"
        axis.text(dt.min(), y + 0.18, f"{NAMES[run]}: {text}", fontsize=TEXT - 1, va="bottom", ha="left")
    axis.set_ylim(-0.6, len(runs) - 0.2)
    axis.set_yticks([])
    axis.spines["left"].set_visible(False)
    titled(axis, "Largest dt within the tolerance")
    _steps(axis, advice)
