"""Figures of ``snnsim analyze``, from the trees in its results files."""

import numpy as np
from matplotlib.colors import SymLogNorm
from matplotlib.ticker import NullFormatter

from snnsim.plotting.experiments.convergence import errors_figure, gradients_figure, tensors_figure
from snnsim.plotting.step import advice_figure
from snnsim.plotting.style import (
    BLACK,
    BLUE,
    CYCLE,
    DIVERGING,
    ESTIMATOR_COLOURS,
    RED,
    SCHEME_NAMES,
    SEQUENTIAL,
    WIDE,
    colour_bar,
    legend_in,
    new_figure,
    scheme_line,
    titled,
)


def spectrum(results):
    """Welch spectra of a layer: every neuron, their mean, and the filter's shape."""
    figure, axes = new_figure(6.5, 4.5)
    axis = axes[0, 0]
    f = results["frequency"]
    some = np.linspace(0, results["neurons"].shape[1] - 1, min(results["neurons"].shape[1], 60)).astype(int)
    axis.loglog(
        f, np.where(results["neurons"] > 0, results["neurons"], np.nan)[:, some], color=BLUE, alpha=0.12, lw=0.6
    )
    axis.loglog(
        f, results["power"], color=BLUE, lw=1.8, label=f"{results['layer']}, mean of {results['n_trials']} trials"
    )
    axis.loglog(f, results["continuous"], color=BLACK, ls="--", lw=1.2, label="|H|², scaled")
    if "discrete" in results:
        name = SCHEME_NAMES[results["scheme"]]
        axis.loglog(f, results["discrete"], color=RED, ls=":", lw=1.4, label=f"|H_d|², {name}, scaled")
    axis.xaxis.set_minor_formatter(NullFormatter())
    low = results["power"][results["power"] > 0]
    if low.size:
        axis.set_ylim(bottom=0.1 * low.min())
    axis.set_xlabel("cycles per unit of network time")
    axis.set_ylabel("power density of v")
    titled(axis, f"Membranes of {results['layer']}, sampled every {results['dt']:g}")
    legend_in(axis)
    return {"spectrum": figure}


def wavelet(results):
    """Approximation and details of the averaged membranes, and a scalogram."""
    found = results["wavelet"]
    details = found["details"]
    figure, axes = new_figure(WIDE, 6.5, 2, 2)
    panels = ((found["approximation"], "approximation"), (details[0], "details, finest level"))
    for axis, (values, name) in zip(axes[0], panels, strict=True):
        top = np.quantile(np.abs(values), 0.999) or 1.0
        scale = {"cmap": SEQUENTIAL} if name == "approximation" else {"cmap": DIVERGING, "vmin": -top, "vmax": top}
        span = (0, values.shape[1], 0, len(results["trace"]) * results["dt"])
        image = axis.imshow(values, aspect="auto", origin="lower", extent=span, interpolation="nearest", **scale)
        axis.grid(False)
        axis.set_xlabel("neuron")
        axis.set_ylabel("time")
        titled(axis, f"{results['layer']}, mean of {results['n_trials']} trials: {name}")
        colour_bar(figure, image, axis, "membrane v")
    energy, picture = axes[1]
    labels = [f"{low:.3g}-{high:.3g}" for low, high in found["bands"][:-1]]
    energy.bar(np.arange(len(labels)), 100 * np.asarray(results["share"]), color=BLUE)
    energy.set_xticks(np.arange(len(labels)), labels, rotation=45, ha="right")
    energy.set_xlabel("band (cycles per unit of time)")
    energy.set_ylabel("% of the details' energy")
    titled(energy, "Energy of the levels")
    s = results["scalogram"]
    power = np.log10(np.maximum(s["power"], 1e-8 * s["power"].max()))
    image = picture.pcolormesh(s["times"], s["frequencies"], power, cmap=SEQUENTIAL, rasterized=True)
    picture.set_yscale("log")
    picture.grid(False)
    picture.set_xlabel("time")
    picture.set_ylabel("cycles per unit of time")
    titled(picture, f"Neuron {results['neuron']} in the first trial")
    colour_bar(figure, image, picture, "log10 of the wavelet power")
    return {"wavelet": figure}


def frequency(results):
    """Gain and phase, continuous and on each clock."""
    dts, omega = np.atleast_1d(results["dt"]), results["omega"]
    figure, axes = new_figure(min(WIDE, 3.6 * len(dts)), 5.4, 2, len(dts), sharex="col", sharey="row")
    for d, dt in enumerate(dts):
        gain, phase = axes[:, d]
        gain.loglog(omega, np.abs(results["continuous"]), color=BLACK, lw=2.4, alpha=0.35, label="continuous")
        phase.semilogx(omega, _degrees(results["continuous"]), color=BLACK, lw=2.4, alpha=0.35)
        for s, scheme in enumerate(results["schemes"]):
            h = results["discrete"][d, s]
            inside = np.isfinite(h)
            scheme_line(gain, scheme, omega[inside], np.abs(h[inside]), marker="")
            scheme_line(phase, scheme, omega[inside], _degrees(h[inside]), marker="")
        titled(gain, f"dt = {dt:g}")
        phase.set_xlabel("angular frequency (rad per unit of time)")
        for axis in (gain, phase):
            axis.axvline(np.pi / dt, color=BLACK, lw=0.8, ls=":", label="Nyquist")
    axes[0, 0].set_ylim(0.3 * np.abs(results["continuous"]).min(), 2 * np.abs(results["continuous"]).max())
    axes[0, 0].set_ylabel("gain |v/x|")
    axes[1, 0].set_ylabel("phase (degrees)")
    legend_in(axes[0, 0])
    return {"frequency": figure}


def _degrees(response):
    return np.degrees(np.unwrap(np.angle(response)))


def population(results):
    """Densities of v and i at the end, and the firing rate over time."""
    figure, axes = new_figure(WIDE, 3.6, 1, 3)
    sample = results["sample"]
    for axis, key, name in zip(axes[0], ("v", "i"), ("membrane v", "synaptic current i"), strict=False):
        edges = results["master"][f"{key}_edges"]
        axis.hist(sample[key], edges, density=True, color=BLACK, alpha=0.25, label="sample of neurons")
        for model, colour, style in (("master", BLUE, "-"), ("fokker_planck", RED, "--")):
            m = results[model]
            centres = 0.5 * (m[f"{key}_edges"][1:] + m[f"{key}_edges"][:-1])
            axis.plot(centres, m[key], color=colour, ls=style, lw=1.4, label=model.replace("_", "-"))
        axis.set_xlabel(name)
        axis.set_ylabel("density")
        titled(axis, f"At time {results['duration']:g}")
    legend_in(axes[0, 0])
    rate = axes[0, 2]
    rate.plot(sample["times"], sample["firing_rate"], color=BLACK, alpha=0.35, lw=2)
    for model, colour, style in (("master", BLUE, "-"), ("fokker_planck", RED, "--")):
        rate.plot(results[model]["times"], results[model]["firing_rate"], color=colour, ls=style, lw=1.4)
    rate.set_xlabel("time")
    rate.set_ylabel("spikes per neuron and unit of time")
    titled(rate, f"Firing rate; input rate {results['rate']:g}, weight {results['weight']:g}")
    rate.set_ylim(bottom=0)
    return {"population": figure}


def gradients(results):
    """Draw maps and distributions of the weight gradients of every estimator."""
    names, methods = results["names"], results["estimators"]
    figure, axes = new_figure(min(WIDE, 3.2 * (len(methods) + 1)), 2.9 * len(names), len(names), len(methods) + 1)
    for k, name in enumerate(names):
        histogram = axes[k, -1]
        for m, method in enumerate(methods):
            g = results["maps"][m][k]
            axis = axes[k, m]
            top = np.quantile(np.abs(g), 0.9995) or np.abs(g).max() or 1.0
            norm = SymLogNorm(top / 10, vmin=-top, vmax=top)
            image = axis.imshow(g.T, aspect="auto", cmap=DIVERGING, norm=norm, interpolation="nearest", origin="lower")
            axis.grid(False)
            titled(axis, f"{name}, {method}")
            axis.set_xlabel("from")
            axis.set_ylabel("to")
            tick = 10.0 ** np.floor(np.log10(top))
            bar = colour_bar(figure, image, axis, "dL/dw" if m == len(methods) - 1 else "", ticks=[-tick, 0, tick])
            bar.ax.set_yticklabels([f"{-tick:g}", "0", f"{tick:g}"], fontsize=7)
            bar.ax.minorticks_off()
            size = np.abs(g[g != 0])
            if size.size:
                edges = np.geomspace(max(size.min(), 1e-9 * size.max()), size.max() * 1.0001, 80)
                colour = ESTIMATOR_COLOURS.get(method, CYCLE[m])
                histogram.stairs(np.histogram(size, edges)[0] / size.size, edges, color=colour, label=method)
        histogram.set_xscale("log")
        histogram.set_xlabel("|dL/dw|")
        histogram.set_ylabel("share")
        legend_in(histogram)
    return {"gradients": figure}


def convergence(results):
    """Errors over dt, those of every gradient tensor, and cosines of the estimators."""
    drawn = {"errors": errors_figure([results]), "tensors": tensors_figure(results)}
    if any(run != "hybrid" for run in results["runs"]):
        drawn["gradients"] = gradients_figure([results])
    return drawn


def step(results):
    """Draw distances from continuous time over dt, what a trial costs, and the largest step of every run."""
    return {"step": advice_figure(results)}


def statistics(results):
    """Statistics of spike trains: distributions over neurons, interval densities, hazards, spectra, covariances."""
    figure, axes = new_figure(WIDE, 9.5, 3, 3)
    populations = results["populations"]
    colours = {name: CYCLE[k % len(CYCLE)] for k, name in enumerate(populations)}
    # Results of version 0.2 and before have milliseconds.
    rate = "spikes a second" if results.get("time_unit", "ms") else "spikes per unit time"
    panels = (("rate", rate), ("cv", "CV of intervals"), ("fano", f"Fano factor ({results['window']:g})"))
    for axis, (key, label) in zip(axes[0], panels, strict=True):
        for name, p in populations.items():
            values = np.sort(p[key]["values"][np.isfinite(p[key]["values"])])
            if values.size:
                share = np.arange(1, values.size + 1) / values.size
                axis.step(values, share, where="post", color=colours[name], lw=1.2, label=name)
        axis.set_xlabel(label)
        axis.set_ylabel("share of neurons")
    legend_in(axes[0, 0])
    curves = (
        ("intervals", "time", "density", "interval density", "interval", "log"),
        ("intervals", "time", "hazard", "hazard", "time since the last spike", "linear"),
        ("spectrum", "frequency", "power", "power density of the rate", "cycles per unit of time", "log"),
    )
    for axis, (group, x, y, label, below, scale) in zip(axes[1], curves, strict=True):
        for name, p in populations.items():
            part = p[group]
            error = part.get(f"{y}_error", part.get("error"))
            good = np.isfinite(part[y]) & (part[y] > 0)
            # Where errors are as large as values, a hazard is only noise.
            if y == "hazard":
                good &= error < 0.5 * part[y]
            axis.plot(part[x][good], part[y][good], color=colours[name], lw=1.0)
            low, high = (part[y] - error)[good], (part[y] + error)[good]
            axis.fill_between(part[x][good], np.maximum(low, 1e-12) if scale == "log" else low, high,
                              color=colours[name], alpha=0.25, lw=0)  # fmt: skip
        axis.set_yscale(scale)
        axis.set_xlabel(below)
        axis.set_ylabel(label)
    axes[1, 2].set_xscale("log")
    axis = axes[2, 0]
    for name, p in populations.items():
        part = p["autocovariance"]
        centre = part["lag"] != 0
        scale = p["neurons"] ** 2
        axis.plot(part["lag"][centre], part["value"][centre] / scale, color=colours[name], lw=1.0)
    axis.set_xlabel("lag")
    axis.set_ylabel("covariance of rates a neuron")
    axis = axes[2, 1]
    for name, p in populations.items():
        values = p["correlation"]["values"]
        if values.size:
            axis.hist(values, bins=60, histtype="step", density=True, color=colours[name], lw=1.2)
    axis.set_xlabel(f"correlation of counts ({results['window']:g})")
    axis.set_ylabel("density of pairs")
    axis = axes[2, 2]
    for name, p in populations.items():
        axis.plot(p["stationarity"]["time"], p["stationarity"]["rate"], color=colours[name], marker=".", lw=1.0)
    highest = max((np.max(p["stationarity"]["rate"], initial=0) for p in populations.values()), default=0)
    axis.set_ylim(0, 1.15 * max(highest, 1e-9))  # no point lies on the border
    axis.set_xlabel("time")
    axis.set_ylabel(rate)
    return {"statistics": figure}
