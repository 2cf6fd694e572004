"""Raster of the spikes of a trial, layers stacked from input to output; a leaky readout by its membranes."""

import numpy as np

from snnsim.errors import InputError
from snnsim.plotting.style import DOT, PAGE, TEXT, headed, layer_colours, new_figure, side_note
from snnsim.recording.units import labelled, units_of

_TICKS = 60
"""Layers of at most so many neurons show each spike as a tick as high as its row."""


def plot_raster(traces, trial=0, layers=None, window=None):
    """Draw the spikes of one trial.

    Parameters
    ----------
    traces : snnsim.recording.reader.Traces
    trial : int
    layers : sequence of str, optional
        All that were recorded if None; a readout without threshold shows its membranes, if they were.
    window : (float, float), optional
        Part of the trial, in network units.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        If no spikes were recorded, or trial, layers or window do not exist.
    """
    if "spikes" not in traces.info["record"]:
        raise InputError(f"{traces.directory}: records no spikes, only {', '.join(traces.info['record'])}")
    names = traces.chosen_layers(layers)
    shown = [name for name in names if traces.populations[name].spiking or "v" in traces.info["record"]]
    if layers is not None and len(shown) < len(names):
        raise InputError(f"layer output: has no threshold, so no spikes, and {traces.directory} does not record its v")
    names = shown
    units, duration = units_of(traces.info), traces.info["duration"]
    sizes = [len(traces.populations[name].neuron_ids) for name in names]
    heights = [_height(n) if traces.populations[name].spiking else 1.3 for name, n in zip(names, sizes, strict=True)]
    total = sum(heights) + 0.75
    figure, axes = new_figure(PAGE, total, len(names), 1, sharex=True, height_ratios=heights)
    colours = layer_colours(traces.populations)
    for axis, name in zip(axes[:, 0], names, strict=True):
        if traces.populations[name].spiking:
            _spikes(axis, traces, name, int(trial), window, colours[name])
        else:
            _membranes(axis, traces, name, int(trial), window, colours[name])
        if axis is not axes[-1, 0]:
            axis.tick_params(bottom=False)
            axis.spines["bottom"].set_visible(False)
    low, high = (0, duration) if window is None else window
    margin = 0.01 * (high - low)
    axes[-1, 0].set_xlim((low - margin) * units.factor, (high + margin) * units.factor)
    axes[-1, 0].set_xlabel(units.axis, fontsize=TEXT)
    headed(figure, _title(traces, int(trial)))
    figure.align_ylabels(axes[:, 0])
    return figure


def _height(n):
    return 0.45 + 0.085 * min(n, 400) ** 0.5 if n > _TICKS else 0.45 + 0.03 * n


def _spikes(axis, traces, name, trial, window, colour):
    population = traces.populations[name]
    ids = population.neuron_ids
    row = np.full(population.n_neurons, -1)
    row[ids] = np.arange(ids.size)
    spikes = traces.spikes(name, [trial], window=window)
    times, rows = spikes.times * units_of(traces.info).factor, row[spikes.neurons]
    if ids.size <= _TICKS:
        axis.vlines(times, rows - 0.42, rows + 0.42, color=colour, linewidth=0.9)
    else:
        # A picture inside vector formats: ten thousand paths would make them slow to open.
        axis.scatter(times, rows, s=DOT, color=colour, marker="o", linewidths=0, rasterized=True)
    axis.set_ylim(ids.size - 0.4, -0.6)
    axis.grid(False)
    _label_rows(axis, ids, 4 if ids.size < 10 else 6)
    axis.set_ylabel(f"{name}\nneuron", color=colour)
    silent = np.setdiff1d(np.arange(ids.size), rows)
    _mark(axis, silent)
    side_note(
        axis, f"{times.size:,} spike{'s' if times.size != 1 else ''}\n{silent.size:,} of {ids.size:,} silent", colour
    )


def _mark(axis, silent):
    """Mark rows without a spike by a grey strip at the right end of the panel."""
    if silent.size:
        breaks = np.flatnonzero(np.diff(silent) > 1)
        first, last = silent[np.r_[0, breaks + 1]], silent[np.r_[breaks, silent.size - 1]]
        place = axis.get_yaxis_transform()
        axis.vlines(
            np.full(first.size, 1.004), first - 0.5, last + 0.5, "#bbbbbb", lw=3, transform=place, clip_on=False
        )


def _membranes(axis, traces, name, trial, window, colour):
    """Draw the membranes of a readout without threshold, that of the prediction in colour."""
    ids = traces.populations[name].neuron_ids
    times = traces.sample_times(window, "v", name) * units_of(traces.info).factor
    v = traces.v(name, trial, window=window)
    predicted = np.flatnonzero(ids == traces.trials[trial].prediction)
    best = int(predicted[0]) if predicted.size else int(np.argmax(v[-1])) if len(v) else 0
    others = np.arange(len(ids)) != best
    axis.plot(times, v[:, others], color="#aaaaaa", linewidth=0.8)
    axis.plot(times, v[:, best], color=colour, linewidth=1.4)
    axis.grid(False, axis="x")
    axis.set_ylabel(f"{name}\n{labelled('v', traces.info['voltage_unit'])}", color=colour)
    what = "the prediction" if predicted.size else "highest at the end"
    side_note(axis, f"neuron {ids[best]}:\n{what}", colour)


def _label_rows(axis, ids, most):
    """Few row labels, at neuron numbers that exist."""
    n = ids.size
    step = next(s for s in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 10**6) if n / s <= most)
    rows = np.arange(0, n, step)
    axis.set_yticks(rows, [str(ids[r]) for r in rows])


def _title(traces, trial):
    record = traces.trials[trial]
    parts = [f"trial {trial % len(traces)}"]
    if record.label >= 0:
        parts.append(f"label {record.label}")
    if record.prediction >= 0:
        parts.append(f"prediction {record.prediction}")
    parts.append(f"{traces.info['engine']} engine")
    if traces.info["dt"] == traces.info["dt"]:
        parts.append(f"dt = {units_of(traces.info).text(traces.info['dt'])}")
    return ", ".join(parts)
