"""A metric of a sweep over one or two axes of its grid, with mean and spread over the others."""

import numpy as np
from matplotlib.ticker import MaxNLocator, NullLocator

from snnsim.errors import InputError, nearest
from snnsim.plotting.style import COLUMN, CYCLE, LEGEND, new_figure, titled
from snnsim.sweep.grid import format_value
from snnsim.sweep.table import DONE, METRICS

MARKERS = "os^Dv<>"
LABELS = {
    "test_accuracy": "test accuracy (%)",
    "test_loss": "test loss",
    "best_val_accuracy": "best validation accuracy (%)",
    "best_epoch": "best epoch",
    "epochs": "epochs",
    "seconds_per_epoch": "seconds per epoch",
}
DECADE, MOST_MARKS = 10, 6
STEPS = ("simulation.dt", "dt")
"""Axes that are logarithmic whatever they span."""
WORDS = str | bool


def plot_sweep(table, metric="test_accuracy", x=None, by=None):
    """Draw a metric against an axis of the grid: means with their spread, and every training as a dot.

    Parameters
    ----------
    table : Table
        Of which rows that failed are left out.
    metric : str
        One of ``METRICS``.
    x : str, optional
        Axis along the figure; the first that has several values if None. Numbers that span a decade or more are
        spaced by their logarithms, words equally.
    by : str, optional
        Axis with a line for each value; one line if None.

    Returns
    -------
    matplotlib.figure.Figure
        Means over the other axes, with the standard deviation of the sample as a band (of words, as a bar).

    Raises
    ------
    InputError
        For an unknown metric or axis, or a table without a finished point.
    """
    if metric not in METRICS:
        raise InputError(f"metric {metric}: must be one of {', '.join(METRICS)}{nearest(metric, METRICS)}")
    axes = list(table.keys)
    rows = [row for row in table.rows.values() if row.status == DONE and np.isfinite(row.metrics[metric])]
    if not rows:
        raise InputError(f"no point of the sweep has a {metric} yet")
    x = x or max(axes, key=lambda name: len({row.values[name] for row in rows}) > 1)
    for name in (x, by):
        if name is not None and name not in axes:
            raise InputError(f"axis {name}: the sweep has {', '.join(axes)}{nearest(name, axes)}")
    if x == by:
        raise InputError(f"axis {x}: stands for the lines, too; choose two axes")
    figure, ((axis,),) = new_figure((1.6 if by else 1.3) * COLUMN, 2.8)
    scale = 100 if metric.endswith("accuracy") else 1
    places = _places(axis, x, [row.values[x] for row in rows])
    groups = _unique(row.values[by] for row in rows) if by else [None]
    for k, group in enumerate(groups):
        chosen = [row for row in rows if by is None or row.values[by] == group]
        shift = 0.5 * ((k + 0.5) / len(groups) - 0.5)  # side by side above the same word
        look = {"color": CYCLE[k % len(CYCLE)], "marker": MARKERS[k % len(MARKERS)]}
        label = None if by is None else format_value(group)
        _line(axis, places, [(row.values[x], scale * row.metrics[metric]) for row in chosen], shift, look, label)
    if by:
        figure.legend(title=by, loc="outside right upper", fontsize=LEGEND, title_fontsize=LEGEND, frameon=False)
    axis.margins(0.06, 0.08)  # markers stay whole
    axis.set_ylabel(LABELS[metric])
    titled(axis, _what(rows, axes, x, by))
    return figure


def _line(axis, places, values, shift, look, label):
    xs = sorted({x for x, _ in values}, key=places.get)
    found = [np.array([y for v, y in values if v == x]) for x in xs]
    at = np.array([places[x] for x in xs], np.float64)
    mean = np.array([y.mean() for y in found])
    spread = np.array([y.std(ddof=1) if y.size > 1 else 0.0 for y in found])
    words = any(isinstance(x, WORDS) for x in xs)
    at = at + shift if words else at
    axis.plot(at, mean, linestyle="none" if words else "-", lw=1.3, ms=5 if words else 4, label=label, **look)
    if spread.any():
        if words:
            axis.errorbar(at, mean, spread, fmt="none", ecolor=look["color"], elinewidth=1.2, capsize=4)
        else:
            axis.fill_between(at, mean - spread, mean + spread, color=look["color"], alpha=0.18, lw=0)
        dots = [(p, y) for p, ys in zip(at, found, strict=True) for y in ys]
        axis.plot(*np.array(dots).T, ".", color=look["color"], ms=3, alpha=0.6)


def _places(axis, name, values):
    """Where each value lies along the axis, whose scale and marks are set."""
    values = _unique(values)
    axis.set_xlabel(name)
    if any(isinstance(v, WORDS) for v in values):
        axis.set_xticks(range(len(values)), [format_value(v) for v in values])
        axis.set_xlim(-0.5, len(values) - 0.5)
        return {value: k for k, value in enumerate(values)}
    if min(values) > 0 and (max(values) >= DECADE * min(values) or (name in STEPS and max(values) > min(values))):
        axis.set_xscale("log")
        if len(values) <= MOST_MARKS:
            axis.set_xticks(values, [format_value(v) for v in values])
            axis.xaxis.set_minor_locator(NullLocator())
    elif all(isinstance(v, int) for v in values):
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    return {value: value for value in values}


def _what(rows, axes, x, by):
    over = [name for name in axes if name not in (x, by) and len({row.values[name] for row in rows}) > 1]
    return f"mean and standard deviation over {', '.join(over)}" if over else "single trainings"


def _unique(values):
    return list(dict.fromkeys(values))
