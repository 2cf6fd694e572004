"""Float32 and float64 against continuous time as dt goes to zero."""

import numpy as np

from snnsim.plotting.experiments.convergence import step_axis
from snnsim.plotting.style import BLACK, GREY, WIDE, legend_below, legend_in, new_figure, titled

LOOK = (("float32", GREY, "s"), ("float64", BLACK, "o"))

CAPTIONS = {
    "formats": "One untrained network of 784-50-10 neurons on the same input spikes at falling dt, in two number "
    "formats, against the event engine: mean error of hidden spike times, one minus the cosine of the hidden "
    "layer's gradient, and the relative differences between the formats. Right of the dotted line, `auto` takes "
    "float32.",
}


def figures(results):
    """Draw ``formats`` from the results of ``precision``."""
    figure, axes = new_figure(WIDE, 3.8, 1, 3)
    times, gradients, between = axes[0]
    dt = results["dt"]
    for k, (name, colour, marker) in enumerate(LOOK):
        style = {"color": colour, "marker": marker, "ms": 4, "label": name}
        times.loglog(dt, results["time_error"][k], **style)
        gradients.loglog(dt, np.maximum(1 - results["cosine"][k], 1e-16), **style)
    times.loglog(dt, dt / 2, color=BLACK, lw=0.8, ls=":", label="dt/2")
    times.set_ylabel("mean error of spike times")
    titled(times, "Spike times")
    gradients.set_ylabel("1 - cosine")
    titled(gradients, "Gradient of the hidden layer")
    rows = (
        ("v_between", "membranes at the end", "o"),
        ("differing", "spikes in another step (share)", "s"),
        ("gradient_between", "gradient", "^"),
        ("factor", "1 - du[t+dt]/du[t]", "v"),
    )
    for shade, (key, name, marker) in zip(("#000000", "#444444", "#777777", "#aaaaaa"), rows, strict=True):
        values = np.where(results[key] > 0, results[key], np.nan)
        between.loglog(dt, values, color=shade, marker=marker, ms=4, label=name)
    between.set_ylabel("float32 against float64")
    titled(between, "What float32 changes")
    legend_in(between)
    for axis in axes[0]:
        step_axis(axis, dt)
        axis.axvline(results["single"], color=BLACK, lw=0.8, ls=":")
    legend_below(figure, times)
    return {"formats": figure}
