"""Errors of networks against continuous time, over the step size."""

import numpy as np
from matplotlib.ticker import NullFormatter

from snnsim.plotting.style import (
    BLACK,
    ESTIMATOR_COLOURS,
    PURPLE,
    SCHEME_COLOURS,
    SCHEME_MARKERS,
    SCHEME_NAMES,
    WIDE,
    headed,
    legend_below,
    new_figure,
    titled,
)

COLOURS = SCHEME_COLOURS | {"hybrid": PURPLE}
MARKERS = SCHEME_MARKERS | {"hybrid": "D"}
NAMES = SCHEME_NAMES | {"hybrid": "hybrid"}
FLOOR = 1e-16

CAPTIONS = {
    f"{kind}-{group}": text + f" Random networks of three layers whose spikes {spacing}."
    for group, spacing in (("resolved", "lie at least 0.01 apart"), ("crowded", "crowd"))
    for kind, text in (
        (
            "errors",
            "Errors against the event engine over dt, medians over networks and layers: free membranes of the "
            "first layer with Euler's bound, membranes, spike times, spikes lost and added, loss, weight "
            "gradients; four schemes and the hybrid engine.",
        ),
        (
            "gradients",
            "Cosine of each estimator's gradient with that of continuous time over dt, a column a scheme and a row "
            "a layer: lines are medians over networks, dots networks. Below 0 an estimator ascends the loss.",
        ),
    )
}


def figures(results):
    """Draw ``errors`` and ``gradients`` of the resolved networks, ``crowded-...`` of the others."""
    drawn = {}
    for group in ("resolved", "crowded"):
        drawn[f"errors-{group}"] = errors_figure(results[group])
        drawn[f"gradients-{group}"] = gradients_figure(results[group])
    return drawn


def errors_figure(networks):
    """Errors of membranes, spike times, losses and gradients of every run, over dt.

    Parameters
    ----------
    networks : list of dict
        Fields of :class:`~snnsim.analysis.network_convergence.NetworkConvergence`; medians over networks are drawn.

    Returns
    -------
    Figure
    """
    first = networks[0]
    dt = first["dt"]
    figure, axes = new_figure(WIDE, 6.8, 2, 3)

    def median(key, s):
        values = np.stack([n[key][s] for n in networks])
        return _nanmedian(values.reshape(len(networks), len(dt), -1))

    loss = np.stack([np.abs(n["loss"] - n["loss_reference"]) for n in networks])
    spikes = sum(n["n_reference"].sum() for n in networks)
    for s, run in enumerate(first["runs"]):
        style = {"color": COLOURS[run], "marker": MARKERS[run], "ms": 3.5, "lw": 1.2, "label": NAMES[run]}
        panels = (
            (axes[0, 0], median("free_max", s)),
            (axes[0, 1], median("v_rms", s)),
            (axes[0, 2], median("time_error", s)),
            (axes[1, 1], np.median(loss[:, s], axis=0)),
            (axes[1, 2], median("gradient_error", s)),
        )
        for axis, values in panels:
            axis.plot(dt, np.where(values > FLOOR, values, np.nan), **style)
        for key, sign, face in (("lost", 1, None), ("added", -1, "none")):
            share = 100 * sign * sum(n[key][s].sum(axis=1) for n in networks) / max(spikes, 1)
            axes[1, 0].plot(dt, share, **(style | {"markerfacecolor": face or COLOURS[run]}))
    axes[0, 0].plot(
        dt, np.median([n["euler_bound"] for n in networks], axis=0), color=BLACK, ls="--", lw=1, label="Euler's bound"
    )
    limit = min(first["stability_limit"])
    for axis in (axes[0, 0], axes[0, 1], axes[0, 2], axes[1, 1], axes[1, 2]):
        axis.plot(dt, dt, color=BLACK, lw=0.8, ls=":", label="slope 1")
        axis.set_yscale("log")
    axes[1, 0].axhline(0, color=BLACK, lw=0.8)
    titles = (
        ("Free membranes of the first population", "largest error of v"),
        ("Membranes of all populations", "root mean square error of v"),
        ("Spike times", "mean error"),
        ("Spikes lost (above 0) and added (below)", "% of the spikes"),
        ("Loss", "error"),
        ("Gradients by all tensors", "relative error"),
    )
    for axis, (title, label) in zip(axes.flat, titles, strict=True):
        step_axis(axis, dt)
        titled(axis, title)
        axis.set_ylabel(label)
    if np.isfinite(limit):
        headed(figure, f"Against the event engine; forward Euler is stable below dt = {limit:g}")
    legend_below(figure, axes[0, 0])
    return figure


def gradients_figure(networks):
    """Cosine of every estimator's gradient with that of continuous time, a panel a scheme.

    Parameters
    ----------
    networks : list of dict
        As of :func:`errors_figure`; medians over networks, and each of them, are drawn: a row a tensor, or one row of
        them all where there are more than four.

    Returns
    -------
    Figure
    """
    first = networks[0]
    dt = first["dt"]
    schemes = [run for run in first["runs"] if run != "hybrid"]
    names = first["tensors"]
    panels = {name: [k] for k, name in enumerate(names)} if len(names) <= 4 else {"all": list(range(len(names)))}
    n_rows = len(panels)
    size = min(WIDE, 2.8 * len(schemes)), 2.3 * n_rows + 0.6
    figure, axes = new_figure(*size, n_rows, len(schemes), sharey=True, sharex=True)
    for s, scheme in enumerate(schemes):
        rows = {"exact": np.stack([n["gradient_cosine"][s] for n in networks])}
        for e, name in enumerate(first["estimators"]):
            rows[name] = np.stack([n["estimator_cosine"][e, s] for n in networks])
        for axis, chosen in zip(axes[:, s], panels.values(), strict=True):
            for name, values in rows.items():
                style = {"color": ESTIMATOR_COLOURS[name]}
                drawn = values[:, :, chosen]
                for row in drawn.transpose(0, 2, 1).reshape(-1, len(dt)):
                    axis.plot(dt, row, ls="", marker=".", ms=3, alpha=0.35, **style)
                axis.plot(dt, _nanmedian(drawn), marker="o", ms=3.5, lw=1.3, label=name, **style)
            axis.axhline(0, color=BLACK, lw=0.8)
            step_axis(axis, dt)
            axis.set_ylim(-1.05, 1.05)
        titled(axes[0, s], NAMES[scheme])
        for axis in axes[:-1, s]:
            axis.set_xlabel("")
    for axis, name in zip(axes[:, 0], panels, strict=True):
        axis.set_ylabel(f"cosine, {name}")
    legend_below(figure, axes[0, 0])
    return figure


def tensors_figure(network):
    """Relative error of the gradient by every tensor, a panel a tensor.

    Parameters
    ----------
    network : dict
        Fields of :class:`~snnsim.analysis.network_convergence.NetworkConvergence`.

    Returns
    -------
    Figure
    """
    dt, names = network["dt"], network["tensors"]
    columns = min(4, len(names))
    rows = -(-len(names) // columns)
    figure, axes = new_figure(min(WIDE, 2.9 * columns), 2.4 * rows + 0.6, rows, columns, sharex=True)
    for k, axis in enumerate(axes.flat):
        if k >= len(names):
            axis.set_visible(False)
            continue
        for s, run in enumerate(network["runs"]):
            values = network["gradient_error"][s, :, k]
            axis.plot(
                dt, np.where(values > FLOOR, values, np.nan), color=COLOURS[run], marker=MARKERS[run], ms=3.5, lw=1.2,
                label=NAMES[run],
            )  # fmt: skip
        axis.set_yscale("log")
        step_axis(axis, dt)
        axis.tick_params(labelbottom=k + columns >= len(names))
        axis.set_xlabel("dt" if k + columns >= len(names) else "")
        titled(axis, names[k])
    for axis in axes[:, 0]:
        axis.set_ylabel("relative error")
    headed(figure, "Gradients against the event engine's, tensor by tensor")
    legend_below(figure, axes[0, 0])
    return figure


def step_axis(axis, dt):
    """Make the x axis a logarithmic one of step sizes, each named if they are few."""
    axis.set_xscale("log")
    axis.set_xlabel("dt")
    if len(dt) <= 7:
        axis.set_xticks(dt, [f"{x:g}" for x in dt])
    axis.xaxis.set_minor_formatter(NullFormatter())


def _nanmedian(values):
    """Median over all axes but the second of (K, D, M), NaN where nothing is finite."""
    flat = values.transpose(1, 0, 2).reshape(values.shape[1], -1)
    return np.array([np.median(row[np.isfinite(row)]) if np.isfinite(row).any() else np.nan for row in flat])
