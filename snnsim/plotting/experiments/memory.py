"""Bytes of the backward pass against steps and neurons."""

import numpy as np

from snnsim.plotting.style import BLACK, GREY, PURPLE, WIDE, legend_below, new_figure, titled

LOOK = (
    ("explicit sum, O(B T² N²)", BLACK, "s"),
    ("folded, every step kept", PURPLE, "o"),
    ("folded, spikes only", GREY, "^"),
)

CAPTIONS = {
    "bytes": "Bytes held by the backward pass, as the study writes the gradient, folded with every step kept, and "
    "at spikes only, against steps, neurons a layer, and steps at a fixed number of input spikes.",
}


def figures(results):
    """Draw ``bytes`` from the results of ``memory``."""
    figure, axes = new_figure(WIDE, 4.0, 1, 3, sharey=True)
    panels = (
        ("steps", f"{results['steps']['fixed']} neurons a layer, same activity a step", "steps T", (1, 2)),
        ("neurons", f"{results['neurons']['fixed']} steps", "neurons a layer N", (1, 2)),
        ("sparse", f"{results['sparse']['fixed']} neurons a layer, same input spikes a trial", "steps T", (1,)),
    )
    for axis, (key, title, label, slopes) in zip(axes[0], panels, strict=True):
        sweep = results[key]
        for values, (name, colour, marker) in zip(sweep["bytes"], LOOK, strict=True):
            used = np.isfinite(values)
            axis.plot(sweep["sizes"][used], values[used], marker=marker, ms=4, color=colour, label=name)
        axis.set_xscale("log", base=2)
        axis.set_yscale("log")
        titled(axis, title)
        axis.set_xlabel(label)
        for slope in slopes:
            row = sweep["bytes"][0 if slope == 2 else 1]
            anchor = np.flatnonzero(np.isfinite(row))[-1]
            x = sweep["sizes"][max(anchor - 2, 0) : anchor + 1].astype(float)
            axis.plot(x, 2.2 * row[anchor] * (x / x[-1]) ** slope, color=BLACK, lw=0.8, ls=":")
            axis.text(x[0], 2.6 * row[anchor] * (x[0] / x[-1]) ** slope, f"slope {slope}", fontsize=8)
    axes[0, 0].set_ylabel("largest allocation (bytes)")
    legend_below(figure, axes[0, 0])
    return {"bytes": figure}
