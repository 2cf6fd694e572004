"""Weight gradients of the first backward pass: maps, distributions, slopes, estimators, the kernel in time."""

import numpy as np
from matplotlib.colors import SymLogNorm

from snnsim.plotting.style import (
    BLACK,
    DIVERGING,
    ESTIMATOR_COLOURS,
    GREY,
    WIDE,
    headed,
    legend_in,
    new_figure,
    step_colours,
    titled,
)

LAYERS = ("hidden layer", "output layer")

CAPTIONS = {
    "maps": "Gradient of the loss by every weight in the first batch of 50 samples, first seed, for three step sizes; "
    "the colour is logarithmic beyond a tenth of its scale, which differs from map to map.",
    "distributions": "Above: share of the entries that are not zero against their size, with Tukey's outer fence "
    "(the farther of the two, dotted). Below: share of the hidden layer's spikes with a larger inverse slope, and "
    "the norm of the hidden layer's gradient against the bound on it.",
    "estimators": "Norm of the hidden layer's gradient by estimator at 50 steps and at a fixed simulated time, its "
    "cosine with the exact gradient, means over seeds; derivative of a membrane by the time of an input spike "
    "against their distance.",
    "depth": "Kurtosis of the derivative of the loss by what enters a layer at a step, for networks of several "
    "depths and three step sizes, mean over seeds: by layer, and by third of the trial (3 is a normal "
    "distribution's).",
}


def figures(results):
    """Draw ``maps``, ``distributions`` and ``estimators`` from the results of ``gradients``."""
    return {
        "maps": _maps(results),
        "distributions": _distributions(results),
        "estimators": _estimators(results),
        "depth": _depth(results),
    }


def _maps(results):
    dts = results["dt"]
    figure, axes = new_figure(min(WIDE, 3.3 * len(dts)), 6.2, 2, len(dts), height_ratios=(2, 1))
    for d, dt in enumerate(dts):
        for layer, g in enumerate(results["maps"][d]):
            axis = axes[layer, d]
            top = np.quantile(np.abs(g), 0.9995) or 1.0
            # Logarithmic beyond a tenth of the scale: the bulk and the outliers show together.
            norm = SymLogNorm(top / 10, vmin=-top, vmax=top)
            image = axis.imshow(g.T, aspect="auto", cmap=DIVERGING, norm=norm, interpolation="nearest", origin="lower")
            axis.grid(False)
            axis.set_xlabel("input" if layer == 0 else "hidden neuron")
            titled(axis, f"{LAYERS[layer]}, dt = {dt:g}")
            tick = 10.0 ** np.floor(np.log10(top))
            bar = figure.colorbar(image, ax=axis, ticks=[-tick, 0, tick])
            bar.ax.set_yticklabels([f"{-tick:.0e}", "0", f"{tick:.0e}"], fontsize=7)
            bar.ax.minorticks_off()
    axes[0, 0].set_ylabel("hidden neuron")
    axes[1, 0].set_ylabel("output neuron")
    headed(figure, "dL/dw of the first batch")
    return figure


def _distributions(results):
    figure, axes = new_figure(WIDE, 7.0, 2, 2)
    colours = step_colours(len(results["dt"]))
    for layer in (0, 1):
        axis = axes[0, layer]
        for d, dt in enumerate(results["dt"]):
            g = np.abs(results["maps"][d][layer]).ravel()
            g = g[g > 0]
            edges = np.geomspace(max(g.min(), g.max() * 1e-9), g.max(), 90)
            axis.stairs(
                np.histogram(g, edges)[0] / g.size / np.diff(np.log10(edges)), edges, color=colours[d],
                label=f"dt = {dt:g}",
            )  # fmt: skip
            axis.axvline(np.abs(results["statistics"][d][layer]["fences"]).max(), color=colours[d], lw=0.8, ls=":")
        axis.set_xscale("log")
        axis.set_xlabel("|dL/dw|, entries that are not zero")
        axis.set_ylabel("share per decade")
        titled(axis, f"{LAYERS[layer]} (dotted: outliers begin)")
        legend_in(axis)
    slopes, clamp = axes[1]
    for d, dt in enumerate(results["dt"]):
        row = results["slopes"][d]
        slopes.loglog(row["sorted"], row["share"], color=colours[d], label=f"dt = {dt:g}")
        sweep = results["clamp"][d]
        clamp.loglog(sweep["limits"], sweep["norm"][:, 0], "o-", ms=3.5, color=colours[d], label=f"dt = {dt:g}")
    for axis in (slopes, clamp):
        axis.axvline(1e4, color=BLACK, lw=0.8, ls=":")
        axis.text(1e4, 0.98, "the study's ", rotation=90, ha="right", va="top", fontsize=7,
                  transform=axis.get_xaxis_transform())  # fmt: skip
        legend_in(axis)
    slopes.set_xlabel("1/slope at a spike")
    slopes.set_ylabel("share of hidden spikes above")
    titled(slopes, "1/slope of the hidden layer's spikes")
    clamp.set_xlabel("max_inverse_slope")
    clamp.set_ylabel("norm of the hidden layer's gradient")
    titled(clamp, "What the bound on 1/slope does")
    return figure


def _estimators(results):
    figure, axes = new_figure(WIDE, 7.4, 2, 2)
    norm, timed, cosine, kernel = axes.flat
    colours = step_colours(len(results["dt"]))
    for k, name in enumerate(results["estimators"]):
        style = {"marker": "o", "ms": 4, "color": ESTIMATOR_COLOURS[name], "label": name}
        norm.loglog(results["dt"], results["norm"][:, :, k, 0].mean(axis=1), **style)
        timed.loglog(results["dt"], results["time_norm"][:, :, k, 0].mean(axis=1), **style)
        cosine.semilogx(results["dt"], results["cosine"][:, :, k, 0].mean(axis=1), **style)
        cosine.semilogx(
            results["dt"], results["time_cosine"][:, :, k, 0].mean(axis=1), ls="--", **(style | {"label": None})
        )
    for axis, name in ((norm, "50 steps whatever dt is"), (timed, "fixed simulated time and input rate")):
        axis.set_ylabel("norm of the hidden layer's gradient")
        titled(axis, f"Size: {name}")
        axis.set_xlabel("dt")
    low = min(axis.get_ylim()[0] for axis in (norm, timed))
    high = max(min(axis.get_ylim()[1] for axis in (norm, timed)), 1e4)
    for axis in (norm, timed):
        axis.set_ylim(low, high)
    legend_in(norm)
    cosine.axhline(0, color=BLACK, lw=0.8)
    cosine.set_ylim(-1.05, 1.05)
    cosine.set_ylabel("cosine with the exact gradient")
    titled(cosine, "Direction (dashed: fixed time); below 0 it climbs the loss")
    cosine.set_xlabel("dt")
    for d, dt in reversed(list(enumerate(results["dt"]))):
        row = results["kernel"][d]
        kernel.plot(row["distance"], row["discrete"], color=colours[d], label=f"backward Euler, dt = {dt:g}")
    row = results["kernel"][0]
    kernel.plot(row["distance"], row["continuous"], color=GREY, lw=1.2, ls="--", label="continuous")
    kernel.axhline(0, color=BLACK, lw=0.8)
    for x in (row["sign_change"], row["rebound"]):
        kernel.axvline(x, color=BLACK, lw=0.8, ls=":")
    kernel.set_xlim(0, 6)
    kernel.set_xlabel("time from the input spike")
    kernel.set_ylabel("dv/dt of the input spike, per weight")
    titled(kernel, "Influence of a spike's time: not monotone")
    legend_in(kernel)
    return figure


def _depth(results):
    depths = results["depth_layers"]
    figure, axes = new_figure(min(WIDE, 3.6 * len(depths)), 5.6, 2, len(depths), sharey="row")
    colours = step_colours(len(results["dt"]))
    for column, (n, row) in enumerate(zip(depths, results["depth"], strict=True)):
        by_layer, by_time = axes[:, column]
        for d, (dt, found) in enumerate(zip(results["dt"], row, strict=True)):
            style = {"marker": "o", "ms": 4, "color": colours[d], "label": f"dt = {dt:g}"}
            by_layer.semilogy(np.arange(1, n + 1), np.nanmean(found["kurtosis"], axis=(0, 2)), **style)
            by_time.semilogy((1, 2, 3), np.nanmean(found["kurtosis"][:, :-1], axis=(0, 1)), **style)
        for axis in (by_layer, by_time):
            axis.yaxis.set_major_formatter("{x:g}")
            axis.yaxis.set_minor_formatter("{x:g}")
            axis.axhline(3, color=GREY, lw=0.8, ls=":")
        by_layer.set_xticks(np.arange(1, n + 1))
        by_layer.set_xlabel("layer (the last is the output)")
        titled(by_layer, f"{n} layers of weights")
        by_time.set_xticks((1, 2, 3), ("first", "middle", "last"))
        by_time.set_xlabel("third of the trial, hidden layers")
    for axis in axes[:, 0]:
        axis.set_ylabel("kurtosis")
    legend_in(axes[0, 0])
    return figure
