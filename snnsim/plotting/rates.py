"""Histograms of firing rates, one panel a layer."""

import numpy as np

from snnsim.errors import InputError
from snnsim.plotting.style import BLACK, GREY, PAGE, TEXT, TITLE, layer_colours, new_figure
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
        _histogram(axis, per_trial, colours[name], traces.info["duration"] / units.per, units.rate)
        axis.set_title(name, fontsize=TITLE, loc="left", color=colours[name], pad=17)
        silent = int((per_trial == 0).sum())
        # Under the title and above the axis of rates, out of the way of the bars.
        axis.annotate(
            f"mean {per_trial.mean():.3g} (dashed); {silent} of {per_trial.size} silent", (0, 1), (0, 31),
            xycoords="axes fraction", textcoords="offset points", fontsize=7, color=GREY,
        )  # fmt: skip
    for axis in axes[:, 0]:
        axis.set_ylabel("neurons")
    for axis in axes.flat[len(names) :]:
        axis.set_visible(False)
    title = f"mean of {count:,} trial{'s' if count > 1 else ''} of {units.text(traces.info['duration'])}"
    figure.suptitle(title, fontsize=TITLE, x=0.01, ha="left")
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


def _histogram(axis, per_trial, colour, length, unit):
    top = per_trial.max(initial=0.0)
    active = per_trial[per_trial > 0]
    edges = np.linspace(0, top if top > 0 else 1, 25 if per_trial.size > 40 else 13)
    axis.hist(active, edges, color=colour, alpha=0.8, edgecolor="white", linewidth=0.4)
    mean = per_trial.mean() if per_trial.size else 0.0
    axis.axvline(mean, color=BLACK, lw=1, ls="--")
    axis.set_xlim(0, edges[-1] * 1.03)
    if active.size == 0:
        axis.set_ylim(0, 1)
        axis.set_yticks([])
        axis.text(0.5, 0.5, "no spikes", ha="center", transform=axis.transAxes, fontsize=TEXT, color=GREY)
    else:
        axis.yaxis.get_major_locator().set_params(integer=True)
    axis.set_xlabel("spikes per trial")
    unit, scale = ("kHz", 1e-3) if unit == "Hz" and edges[-1] / length >= 2000 else (unit, 1.0)
    rate = axis.secondary_xaxis("top", functions=(lambda n: n / length * scale, lambda f: f * length / scale))
    rate.tick_params(labelsize=7)
    rate.set_xlabel(f"firing rate ({unit})", fontsize=TEXT)
