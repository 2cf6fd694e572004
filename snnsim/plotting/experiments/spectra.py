"""Wavelet coefficients, scalograms and Welch spectra of hidden membranes."""

import numpy as np

from snnsim.plotting.style import (
    BLACK,
    DIVERGING,
    GREY,
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

CAPTIONS = {
    "wavelets": "Discrete wavelet transform of the hidden voltage averaged over a batch of 50 samples, 50 steps, "
    "one column a neuron, untrained network: approximations on one scale, details on one scale.",
    "scalograms": "Membrane of one hidden neuron of an untrained network over 20 units of time, at every step, and "
    "its wavelet power; the same input rate for every dt. Outside the white lines, the cone of influence, the ends "
    "of the trace show.",
    "spectra": "Welch spectra of hidden neurons that spike, mean over neurons, at the same input rate (dotted: "
    "Nyquist frequency of the largest dt), and of neurons without threshold under Poisson input beside theory.",
}


def figures(results):
    """Draw ``wavelets``, ``scalograms`` and ``spectra`` from the results of ``spectra``."""
    return {"wavelets": _wavelets(results), "scalograms": _scalograms(results), "spectra": _spectra(results)}


def _wavelets(results):
    dts = results["dt"]
    figure, axes = new_figure(min(WIDE, 3.5 * len(dts)), 6.4, 2, len(dts))
    # The outermost coefficients see the extension of the trace, not the trace.
    top = max(np.quantile(np.abs(b["wavelet"]["details"][0][1:-1]), 0.999) for b in results["batch"])
    smooth = [b["wavelet"]["approximation"][1:-1] for b in results["batch"]]
    # All but a hundredth of the coefficients: a few neurons go far down.
    low, high = np.quantile(np.concatenate([a.ravel() for a in smooth]), [0.01, 1])
    reach = {"vmin": low, "vmax": high}
    for d, dt in enumerate(dts):
        wavelet = results["batch"][d]["wavelet"]
        rows = ((wavelet["approximation"][1:-1], "approximation"), (wavelet["details"][0][1:-1], "detail"))
        for axis, (values, name) in zip(axes[:, d], rows, strict=True):
            scale = (
                ({"cmap": SEQUENTIAL} | reach)
                if name == "approximation"
                else {"cmap": DIVERGING, "vmin": -top, "vmax": top}
            )
            span = (0, values.shape[1], 2 * dt, (values.shape[0] + 1) * 2 * dt)
            image = axis.imshow(values, aspect="auto", origin="lower", extent=span, interpolation="nearest", **scale)
            axis.grid(False)
            axis.set_xlabel("hidden neuron")
            titled(axis, f"{name}, dt = {dt:g}")
            if d == len(dts) - 1:
                figure.colorbar(image, ax=list(axes[0 if name == "approximation" else 1]), label="coefficient of v")
    for axis in axes[:, 0]:
        axis.set_ylabel("time")
    headed(figure, "Wavelet coefficients of the batch-averaged hidden voltage")
    return figure


def _scalograms(results):
    figure, axes = new_figure(min(WIDE, 3.7 * len(results["time"])), 5.0, 2, len(results["time"]), height_ratios=(1, 2))
    low = min(t["scalogram"]["frequencies"].min() for t in results["time"])
    high = max(t["scalogram"]["frequencies"].max() for t in results["time"])
    top = max(t["scalogram"]["power"].max() for t in results["time"])
    colours = step_colours(len(results["time"]))
    for d, (dt, t) in enumerate(zip(results["time_dt"], results["time"], strict=True)):
        trace, picture = axes[:, d]
        s = t["scalogram"]
        trace.plot(t["trace_times"], t["trace"], color=colours[d], lw=0.6)
        titled(trace, f"one hidden neuron, dt = {dt:g}")
        image = picture.pcolormesh(
            s["times"], s["frequencies"], np.log10(np.maximum(s["power"], 1e-12 * top)), cmap=SEQUENTIAL,
            vmin=np.log10(top) - 6, vmax=np.log10(top), rasterized=True,
        )  # fmt: skip
        end = s["times"][-1]
        for edge in (s["cone"], end - s["cone"]):
            inside = (edge >= 0) & (edge <= end) & (s["cone"] <= end / 2)
            picture.plot(edge[inside], s["frequencies"][inside], color="white", lw=1.2)
        picture.set_yscale("log")
        picture.set_ylim(low, high)
        picture.grid(False)
        picture.set_xlabel("time")
        for axis in (trace, picture):
            axis.set_xlim(0, s["times"][-1])
    for axis in axes[0]:
        axis.set_ylim(
            min(t["trace"].min() for t in results["time"]) - 0.1, 1.05 * max(t["trace"].max() for t in results["time"])
        )
    axes[0, 0].set_ylabel("membrane v")
    axes[1, 0].set_ylabel("cycles per unit of time")
    colour_bar(figure, image, axes[1, -1], "log10 of the wavelet power")
    return figure


def _spectra(results):
    n = len(results["free_dt"])
    figure, axes = new_figure(min(WIDE, 4.0 * (n + 1)), 4.2, 1, n + 1)
    spiking = axes[0, 0]
    colours = step_colours(len(results["time_dt"]))
    for d, (dt, t) in enumerate(zip(results["time_dt"], results["time"], strict=True)):
        spiking.loglog(t["frequency"], t["power"], color=colours[d], lw=1.2, label=f"dt = {dt:g}")
    spiking.axvline(results["cut"], color=BLACK, lw=0.8, ls=":")
    titled(spiking, "Hidden neurons that spike, same input rate")
    legend_in(spiking)
    for k, dt in enumerate(results["free_dt"]):
        axis = axes[0, k + 1]
        for scheme, f in zip(results["schemes"], results["free"][k], strict=True):
            scheme_line(axis, scheme, f["frequency"], f["expected"], marker="")
            pick = np.unique(np.geomspace(1, f["frequency"].size, 24).astype(int)) - 1
            scheme_line(axis, scheme, f["frequency"][pick], f["power"][pick], linestyle="", label=None)
        axis.plot(f["frequency"], f["continuous"], color=GREY, lw=2.4, alpha=0.5, label="continuous")
        axis.set_xscale("log")
        axis.set_yscale("log")
        axis.set_ylim(bottom=0.3 * f["continuous"].min())
        titled(axis, f"Free neurons, dt = {dt:g}: theory, and measured")
    for axis in axes[0]:
        axis.set_xlabel("cycles per unit of time")
    spiking.set_ylabel("power density of v")
    legend_below(figure, axes[0, 1])
    return figure
