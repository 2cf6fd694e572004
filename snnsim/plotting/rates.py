"""Histograms of firing rates, one panel a layer."""

import numpy as np

from snnsim.errors import InputError
from snnsim.plotting.style import BLACK, GREY, NOTE, PAGE, TEXT, TICK, headed, layer_colours, new_figure, titled
from snnsim.recording.units import units_of


def plot_rates(traces, layers=None, trials=None):
    """Draw how many neurons fire how often.

    Parameters
    ----------
    traces : snnsim.recording.reader.Traces
    layers : sequence of str, optional
        All that spike and were recorded if None.
    trials : int, slice, or sequence of int or bool, optional
        Mean over these; over all if None (nothing is then scanned, however long the recording).

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        If no spikes were recorded, or layers or trials do not exist.
    """
    if "spikes" not in traces.info["record"]:
        raise InputError(f"{traces.directory}: records no spikes, only {', '.join(traces.info['record'])}")
    names = traces.chosen_layers(layers)
    silent = [name for name in names if not traces.populations[name].spiking]
    if layers is not None and silent:
        raise InputError(f"layer {silent[0]}: has no threshold, so no spikes")
    names = [name for name in names if name not in silent]
    count = len(traces.chosen(trials))
    if count == 0:
        raise InputError(f"{traces.directory}: no trials to draw")
    units = units_of(traces.info)
    columns = 2 if len(names) in (2, 4) else min(len(names), 3)
    rows = -(-len(names) // columns)
    width = PAGE if columns == 3 else 0.5 * PAGE * columns
    figure, axes = new_figure(width, 2.7 * rows + 0.3, rows, columns)
    figure.get_layout_engine().set(hspace=0.08)
    colours = layer_colours(traces.populations)
    for axis, name in zip(axes.flat, names, strict=False):
        population = traces.populations[name]
        per_trial = _counts(traces, name, trials)[population.neuron_ids] / count
        _histogram(axis, per_trial, colours[name], count)
        _rate_axis(axis, traces.info["duration"] / units.per, units.rate)
        titled(axis, name, color=colours[name], pad=17)
        # Under the title and above the axis of rates, out of the way of the bars.
        axis.annotate(
            f"mean {per_trial.mean():.3g} (dashed)", (0, 1), (0, 31), xycoords="axes fraction",
            textcoords="offset points", fontsize=NOTE, color=GREY,
        )  # fmt: skip
    for axis in axes[:, 0]:
        axis.set_ylabel("neurons")
    for axis in axes.flat[len(names) :]:
        axis.set_visible(False)
    title = f"mean of {count:,} trial{'s' if count > 1 else ''} of {units.text(traces.info['duration'])}"
    headed(figure, title)
    return figure


def _counts(traces, name, trials):
    if trials is None:
        return traces.spike_counts(name)
    total = np.zeros(traces.populations[name].n_neurons, np.int64)
    chosen = traces.chosen(trials)
    for first in range(0, len(chosen), 100):
        spikes = traces.spikes(name, chosen[first : first + 100])
        total += np.bincount(spikes.neurons, minlength=total.size)
    return total


def _histogram(axis, per_trial, colour, trials):
    """Draw a histogram whose bins hold equally many numbers of spikes, and the silent neurons by themselves at 0."""
    total = np.rint(per_trial * trials).astype(np.int64)
    top = int(total.max(initial=0))
    most = 24 if per_trial.size > 40 else 12
    step = max(1, -(-top // most))  # whole spikes
    edges = (np.arange(0, max(top, 1) + step, step) + 0.5) / trials
    heights, _ = np.histogram(per_trial[per_trial > 0], edges)
    width = edges[1] - edges[0]
    axis.stairs(heights, edges, color=colour, fill=True, alpha=0.8, lw=0)
    silent = int((total == 0).sum())
    high = max(heights.max(initial=0), 1)
    if silent:
        shown = min(silent, 1.25 * high)
        at, clear = edges[0] - 0.75 * width, {"facecolor": "white", "edgecolor": "none", "pad": 0.6}
        axis.bar(at, shown, width, color="#bbbbbb", hatch="////", edgecolor="white", lw=0)
        axis.text(at, shown + 0.05 * high, f" {silent:,} silent", fontsize=NOTE, color=GREY, va="bottom", bbox=clear)
    axis.axvline(per_trial.mean() if per_trial.size else 0.0, color=BLACK, lw=1, ls="--")
    axis.set_xlim(edges[0] - 1.6 * width, edges[-1] + 0.5 * width)
    axis.set_ylim(0, 1.42 * high)
    if top == 0:
        axis.set_yticks([])
        axis.text(0.5, 0.5, "no spikes", ha="center", transform=axis.transAxes, fontsize=TEXT, color=GREY)
    else:
        axis.yaxis.get_major_locator().set_params(integer=True)


def _rate_axis(axis, length, unit):
    """Say the same numbers as rates, above; ``length`` is that of a trial."""
    axis.set_xlabel("spikes per trial")
    unit, scale = ("kHz", 1e-3) if unit == "Hz" and axis.get_xlim()[1] / length >= 2000 else (unit, 1.0)
    rate = axis.secondary_xaxis("top", functions=(lambda n: n / length * scale, lambda f: f * length / scale))
    rate.tick_params(labelsize=TICK)
    rate.set_xlabel(f"firing rate ({unit})", fontsize=TEXT)
