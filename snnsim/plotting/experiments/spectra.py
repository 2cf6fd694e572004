"""Wavelet coefficients, scalograms and Welch spectra of hidden membranes."""

import numpy as np

from snnsim.plotting.style import (
    BLACK,
    DIVERGING,
    SEQUENTIAL,
    WIDE,
    colour_bar,
    headed,
    legend_below,
    legend_in,
    new_figure,
    scheme_line,
    step_colours,
    titled,
)


def figures(results):
    """Draw ``wavelets``, ``scalograms`` and ``spectra`` from the results of ``spectra``."""
    return {"wavelets": _wavelets(results), "scalograms": _scalograms(results), "spectra": _spectra(results)}


def _wavelets(results):
    dts = results["dt"]
    figure, axes = new_figure(min(WIDE, 3.5 * len(dts)), 6.4, 2, len(dts))
    # The outermost coefficients see the extension of the trace, not the trace.
    top = max(np.quantile(np.abs(b["wavelet"]["details"][0][1:-1]), 0.999) for b in results["batch"])
    for d, dt in enumerate(dts):
        wavelet = results["batch"][d]["wavelet"]
        rows = ((wavelet["approximation"][1:-1], "approximation"), (wavelet["details"][0][1:-1], "detail"))
        for axis, (values, name) in zip(axes[:, d], rows, strict=True):
            scale = {"cmap": SEQUENTIAL} if name == "approximation" else {"cmap": DIVERGING, "vmin": -top, "vmax": top}
            span = (0, values.shape[1], 2 * dt, (values.shape[0] + 1) * 2 * dt)
            image = axis.imshow(values, aspect="auto", origin="lower", extent=span, interpolation="nearest", **scale)
            axis.grid(False)
            axis.set_xlabel("hidden neuron")
            titled(axis, f"{name}, dt = {dt:g}")
            colour_bar(figure, image, axis, "membrane v")
    for axis in axes[:, 0]:
        axis.set_ylabel("time")
    headed(figure, "Wavelet coefficients of the batch-averaged hidden voltage (details on one scale)")
    return figure


def _scalograms(results):
    figure, axes = new_figure(min(WIDE, 3.7 * len(results["time"])), 5.0, 2, len(results["time"]), height_ratios=(1, 2))
    low = min(t["scalogram"]["frequencies"].min() for t in results["time"])
    high = max(t["scalogram"]["frequencies"].max() for t in results["time"])
    top = max(t["scalogram"]["power"].max() for t in results["time"])
    colours = step_colours(results["time_dt"])
    for d, (dt, t) in enumerate(zip(results["time_dt"], results["time"], strict=True)):
        trace, picture = axes[:, d]
        s = t["scalogram"]
        trace.plot(s["times"], t["trace"], color=colours[d], lw=0.6)
        titled(trace, f"one hidden neuron, dt = {dt:g}")
        image = picture.pcolormesh(
            s["times"], s["frequencies"], np.log10(np.maximum(s["power"], 1e-12 * top)), cmap=SEQUENTIAL,
            vmin=np.log10(top) - 6, vmax=np.log10(top), rasterized=True,
        )  # fmt: skip
        picture.set_yscale("log")
        picture.set_ylim(low, high)
        picture.grid(False)
        picture.set_xlabel("time")
        for axis in (trace, picture):
            axis.set_xlim(0, min(20, s["times"][-1]))
    axes[0, 0].set_ylabel("membrane v")
    axes[1, 0].set_ylabel("cycles per unit of time")
    colour_bar(figure, image, axes[1, -1], "log10 of the wavelet power")
    return figure


def _spectra(results):
    n = len(results["free_dt"])
    figure, axes = new_figure(min(WIDE, 4.0 * (n + 1)), 4.2, 1, n + 1)
    spiking = axes[0, 0]
    colours = step_colours(results["time_dt"])
    for dt, t, colour in zip(results["time_dt"], results["time"], colours, strict=True):
        spiking.loglog(t["frequency"], t["power"], color=colour, lw=1.2, label=f"dt = {dt:g}")
    spiking.axvline(results["cut"], color=BLACK, lw=0.8, ls=":", label=f"{results['cut']:g} cycles")
    titled(spiking, "Hidden neurons that spike, same input rate")
    legend_in(spiking)
    for k, dt in enumerate(results["free_dt"]):
        axis = axes[0, k + 1]
        for scheme, f in zip(results["schemes"], results["free"][k], strict=True):
            scheme_line(axis, scheme, f["frequency"], f["expected"], marker="")
            pick = np.unique(np.geomspace(1, f["frequency"].size, 24).astype(int)) - 1
            scheme_line(axis, scheme, f["frequency"][pick], f["power"][pick], linestyle="", label=None)
        axis.plot(f["frequency"], f["continuous"], color=BLACK, lw=2.4, alpha=0.35, label="continuous")
        axis.set_xscale("log")
        axis.set_yscale("log")
        axis.set_ylim(bottom=0.3 * f["continuous"].min())
        titled(axis, f"Free neurons, dt = {dt:g}: theory, and measured")
    for axis in axes[0]:
        axis.set_xlabel("cycles per unit of time")
    spiking.set_ylabel("power density of v")
    legend_below(figure, axes[0, 1])
    return figure
