"""Densities, firing rates, and the discrete processes against the continuous one."""

import numpy as np

from snnsim.plotting.style import (
    BLACK,
    GREY,
    PURPLE,
    SCHEME_COLOURS,
    SCHEME_NAMES,
    WIDE,
    colour_bar,
    headed,
    legend_below,
    new_figure,
    scheme_line,
    titled,
)

CAPTIONS = {
    "marginals": "Densities of v and i and firing rates over time in three regimes of Poisson input: master "
    "equation, diffusion approximation, and neurons sampled in continuous time.",
    "density": "Joint density of v and i by the master equation, at the end, per regime.",
    "discrete-process": "Firing rate and density of the discrete processes, per scheme and dt, against continuous "
    "time.",
    "moments": "Stationary moments of v and i of the discrete processes without threshold, relative to continuous "
    "time, per scheme over dt.",
}


def figures(results):
    """Draw ``marginals``, ``density``, ``discrete-process`` and ``moments`` from the results of ``population``."""
    return {
        "marginals": _marginals(results),
        "density": _density(results),
        "discrete-process": _process(results["process"]),
        "moments": _moments(results["moments"]),
    }


def _steps(axis, edges, density, **options):
    axis.stairs(density, edges, **options)


def _marginals(results):
    regimes = results["regimes"]
    figure, axes = new_figure(WIDE, 3.1 * len(regimes) + 0.4, len(regimes), 3)
    last = -1
    for row, regime in zip(axes, regimes, strict=True):
        event, master, diffusion = regime["event"], regime["master"], regime["fokker_planck"]
        title = f"rate {regime['rate']:g}, weight {regime['weight']:g}"
        for axis, key in ((row[0], "v"), (row[1], "i")):
            edges = event[f"{key}_edges"]
            _steps(
                axis, edges, event[key][last], color=BLACK, alpha=0.25, fill=True, label="Monte Carlo, continuous time"
            )
            centres = [0.5 * (m[f"{key}_edges"][1:] + m[f"{key}_edges"][:-1]) for m in (master, diffusion)]
            axis.plot(centres[0], master[key][last], color=PURPLE, lw=1.4, label="master equation")
            axis.plot(centres[1], diffusion[key][last], color=GREY, lw=1.2, ls="--", label="Fokker-Planck")
            axis.set_xlabel("membrane v" if key == "v" else "synaptic current i")
            axis.set_ylabel("density")
            titled(axis, f"{title}, t = {regime['saved_times'][last]:g}")
            heavy = event[key][last] > 1e-4 * event[key][last].max()
            axis.set_xlim(edges[:-1][heavy].min(), edges[1:][heavy].max())
            axis.set_ylim(bottom=0)
        rate = row[2]
        rate.plot(event["times"] - event["times"][0] / 2, event["firing_rate"], color=BLACK, alpha=0.35, lw=3)
        rate.plot(master["times"], master["firing_rate"], color=PURPLE, lw=1.4)
        rate.plot(diffusion["times"], diffusion["firing_rate"], color=GREY, lw=1.2, ls="--")
        rate.set_xlabel("time")
        rate.set_ylabel("spikes per neuron and unit of time")
        titled(rate, "firing rate")
        rate.set_ylim(bottom=0)
    legend_below(figure, axes[0, 0])
    return figure


def _density(results):
    regimes = results["regimes"]
    figure, axes = new_figure(8.5, 3.3 * len(regimes), len(regimes), 2)
    for row, regime in zip(axes, regimes, strict=True):
        top = max(regime[key]["density"].max() for key in ("master", "fokker_planck"))
        heavy = regime["event"]["i"][-1] > 1e-4 * regime["event"]["i"][-1].max()
        for axis, key, name in zip(row, ("master", "fokker_planck"), ("master equation", "Fokker-Planck"), strict=True):
            m = regime[key]
            # The square root shows the tails without losing the peak.
            image = axis.pcolormesh(
                m["v_edges"],
                m["i_edges"],
                np.sqrt(m["density"]),
                cmap="viridis",
                vmin=0,
                vmax=np.sqrt(top),
                rasterized=True,
            )
            axis.grid(False)
            low = regime["event"]["v"][-1] > 1e-4 * regime["event"]["v"][-1].max()
            axis.set_xlim(regime["event"]["v_edges"][:-1][low].min(), m["v_edges"][-1])
            axis.set_ylim(0, regime["event"]["i_edges"][1:][heavy].max())
            axis.set_xlabel("membrane v")
            axis.set_ylabel("synaptic current i")
            titled(axis, f"{name}, rate {regime['rate']:g}, weight {regime['weight']:g}")
        colour_bar(figure, image, row[1], "square root of the density")
    return figure


def _process(process):
    figure, axes = new_figure(WIDE, 4.0, 1, 3)
    rate, distance, density = axes[0]
    dt = np.array(process["dt"])
    for s, scheme in enumerate(process["schemes"]):
        off = 100 * (process["rate"][s] / process["rate_continuous"] - 1)
        error = 100 * process["rate_error"][s] / process["rate_continuous"]
        scheme_line(rate, scheme, dt, off)
        rate.errorbar(dt, off, error, color=SCHEME_COLOURS[scheme], ls="", lw=1)
        scheme_line(distance, scheme, dt, process["wasserstein_v"][s])
        d = int(np.argmin(np.abs(dt - 0.3)))
        if np.isfinite(process["density_v"][s, d]).all():
            density.stairs(
                process["density_v"][s, d], process["v_edges"], color=SCHEME_COLOURS[scheme], label=SCHEME_NAMES[scheme]
            )
    rate.axhline(0, color=BLACK, lw=0.8)
    rate.set_xscale("log")
    rate.set_xlabel("dt")
    rate.set_ylabel("off the continuous process's (%)")
    titled(rate, "Firing rate of the discrete process")
    distance.axhline(process["floor"][2], color=BLACK, lw=0.8, ls=":", label="two samples of the continuous process")
    distance.set_xscale("log")
    distance.set_yscale("log")
    distance.set_xlabel("dt")
    distance.set_ylabel("Wasserstein distance")
    titled(distance, "Density of v, from the continuous process's")
    density.stairs(
        process["density_v_continuous"], process["v_edges"], color=BLACK, fill=True, alpha=0.2, label="continuous"
    )
    density.set_xlabel("membrane v, after reset")
    density.set_ylabel("density")
    titled(density, f"Density of v at dt = {dt[np.argmin(np.abs(dt - 0.3))]:g}")
    top = 1.6 * process["density_v_continuous"].max()
    density.set_ylim(0, top)
    density.text(
        0.03,
        0.97,
        "cut: neurons that just fired\nsit at the reset value",
        va="top",
        fontsize=8,
        transform=density.transAxes,
    )
    handles = dict(zip(*reversed(distance.get_legend_handles_labels()), strict=True))
    handles |= {k: v for k, v in zip(*reversed(density.get_legend_handles_labels()), strict=True) if k == "continuous"}
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    return figure


def _moments(moments):
    figure, axes = new_figure(WIDE, 3.8, 1, 4, sharex=True)
    names = (("mean v", 0), ("variance of v", 2), ("variance of i", 3), ("covariance", 4))
    for axis, (name, k) in zip(axes[0], names, strict=True):
        for s, scheme in enumerate(moments["schemes"]):
            dashed = {"linestyle": "--", "linewidth": 2.4, "zorder": 1} if scheme == "bilinear" else {}
            scheme_line(axis, scheme, moments["dt"], 100 * moments["relative"][s, :, k], markersize=0, **dashed)
        axis.axhline(0, color=BLACK, lw=0.8)
        axis.set_xscale("log")
        axis.set_ylim(-60, 60)
        axis.set_xlabel("dt")
        titled(axis, name)
    axes[0, 0].set_ylabel("off the continuous process's (%)")
    headed(figure, "Stationary moments of the discrete processes without threshold (closed form)")
    legend_below(figure, axes[0, 0])
    return figure
