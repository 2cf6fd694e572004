"""Voltage and current traces with threshold, reset and spikes; several recordings laid over each other."""

import numpy as np
from matplotlib.transforms import offset_copy

from snnsim.dynamics.lif import reset_membrane
from snnsim.errors import InputError
from snnsim.neurons import neuron_from
from snnsim.plotting.style import (
    BLACK,
    CYCLE,
    GREY,
    PAGE,
    SCHEME_NAMES,
    TEXT,
    TITLE,
    legend_below,
    new_figure,
)
from snnsim.recording.units import labelled, units_of

_TICK_SPACING = 6
"""Points between the lines of spike ticks above a panel."""


def plot_trace(recordings, trial=0, layer=None, neurons=None, window=None, variables=("v",)):
    """Draw membrane (and current) of some neurons in one trial.

    Parameters
    ----------
    recordings : sequence of Traces
        Laid over each other, such as the same network at several dt.
    trial : int
    layer : str, optional
        The first recorded one after the input if None.
    neurons : sequence of int, optional
        One row of panels each. None: the neuron with the most spikes (with the highest membrane, if none spikes) in
        the last recording.
    window : (float, float), optional
        Part of the trial, in network units.
    variables : sequence of {"v", "i_syn"}
        A panel each.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        If something asked for was not recorded or does not exist.
    """
    recordings = list(recordings)
    if not recordings:
        raise InputError("plot trace: needs a recording")
    last = recordings[-1]
    if layer is None:
        recorded = [name for name, p in last.populations.items() if p.recorded and name != "input"]
        if not recorded:
            raise InputError(f"{last.directory}: records no layer but the input, which has no membrane")
        layer = recorded[0]
    neurons = [_liveliest(last, layer, trial, variables[0], window)] if neurons is None else list(neurons)
    rows = [(neuron, variable) for neuron in neurons for variable in variables]
    figure, axes = new_figure(PAGE, 0.9 + 1.9 * len(rows), len(rows), 1, sharex=True)
    labels = _labels(recordings)
    for axis, (neuron, variable) in zip(axes[:, 0], rows, strict=True):
        for k, (traces, label) in enumerate(zip(recordings, labels, strict=True)):
            look = {"color": CYCLE[k % len(CYCLE)], "label": label, "linewidth": 1.3, "alpha": 0.9}
            if variable == "v":
                _membrane(axis, traces, layer, trial, neuron, window, look, k)
            else:
                _current(axis, traces, layer, trial, neuron, window, look)
        if variable == "v":
            if any(line.get_marker() == "|" for line in axis.lines):
                axis.plot([], [], "|", ms=5, color=GREY, label="spike")
            _levels(axis, last.populations[layer], neuron)
            axis.set_ylabel(labelled("v", last.info["voltage_unit"]))
        else:
            axis.set_ylabel(labelled("$i_{\\mathrm{syn}}$", last.info["current_unit"]))
        if variable == variables[0]:
            pad = 6 + (_TICK_SPACING * len(recordings) if variable == "v" else 0)
            axis.set_title(f"{layer}, neuron {neuron}", fontsize=TITLE, loc="left", pad=pad)
        axis.grid(False, axis="x")
    units = units_of(last.info)
    if window is None:
        axes[-1, 0].set_xlim(0, max(t.info["duration"] * units_of(t.info).factor for t in recordings))
    else:
        axes[-1, 0].set_xlim(window[0] * units.factor, window[1] * units.factor)
    axes[-1, 0].set_xlabel(units.axis, fontsize=TEXT)
    legend_below(figure, axes[0, 0], 6)
    return figure


def _liveliest(traces, layer, trial, variable, window):
    values = traces.report(variable, layer, int(trial), window=window)
    ids = traces.populations[layer].neuron_ids
    if "spikes" in traces.info["record"] and traces.populations[layer].spiking:
        counts = traces.spikes(layer, [int(trial)], window=window).counts()[0][ids]
        if counts.any():
            return int(ids[counts.argmax()])
    return int(ids[np.nanmax(values, axis=0).argmax()]) if values.size else int(ids[0])


def _labels(recordings):
    """Name what tells the recordings apart: dt, and scheme or engine where they differ."""
    schemes = {t.info["scheme"] for t in recordings}
    engines = {t.info["engine"] for t in recordings}
    labels = []
    for traces in recordings:
        info, parts = traces.info, []
        if info["dt"] == info["dt"]:
            parts.append(f"dt = {units_of(info).text(info['dt'])}")
        if len(engines) > 1 or not parts:
            parts.append(f"{info['engine']} engine")
        if len(schemes) > 1 and info["scheme"]:
            parts.append(SCHEME_NAMES.get(info["scheme"], info["scheme"]))
        labels.append(", ".join(parts))
    if len(set(labels)) < len(labels):
        labels = [f"{label} ({t.directory.name})" for label, t in zip(labels, recordings, strict=True)]
    return labels


def _membrane(axis, traces, layer, trial, neuron, window, look, k):
    factor, population = units_of(traces.info).factor, traces.populations[layer]
    times = traces.sample_times(window, "v", layer)
    v = traces.v(layer, int(trial), neurons=[neuron], window=window)[:, 0].astype(float)
    spikes = np.empty(0)
    if "spikes" in traces.info["record"] and population.spiking:
        spikes = traces.spikes(layer, [int(trial)], neurons=[neuron], window=window).times
    parameters = neuron_from(population.parameters).of(neuron)
    times, v = _from_rest(times, v, parameters.start, window)
    shown_times, shown, tops = _with_resets(times, v, spikes, parameters)
    axis.plot(shown_times * factor, shown, **look)
    if spikes.size:
        axis.plot(spikes * factor, tops, "o", ms=3.5, mfc=look["color"], mec="white", mew=0.6, zorder=5)
        # Ticks above the panel, one line a recording, so that spikes of several dt can be compared.
        above = offset_copy(axis.get_xaxis_transform(), axis.figure, y=4 + _TICK_SPACING * k, units="points")
        axis.plot(
            spikes * factor, np.ones(spikes.size), "|", ms=5, color=look["color"], clip_on=False, transform=above,
        )  # fmt: skip


def _from_rest(times, values, rest, window):
    """Put the start of the trial before the samples, unless they or the window begin later."""
    if times.size and times[0] > 0 and (window is None or window[0] == 0):
        return np.concatenate([[0.0], times]), np.concatenate([[rest], values])
    return times, values


def _with_resets(times, v, spikes, parameters):
    """Put the two ends of each reset between the samples; returns ``(times, v, v at the spikes)``.

    A clock's sample at its spike is the membrane before reset. Off the grid, the membrane spikes at threshold.
    """
    tops = np.full(spikes.size, parameters.v_threshold)
    near = np.searchsorted(times, spikes)
    near = np.clip(near, 0, max(times.size - 1, 0))
    if times.size:
        near = np.where((near > 0) & (np.abs(times[near - 1] - spikes) < np.abs(times[near] - spikes)), near - 1, near)
        step = np.diff(times).min() if times.size > 1 else np.inf
        at_sample = np.abs(times[near] - spikes) <= 1e-6 * step
        tops[at_sample] = v[near[at_sample]]
    after = [
        reset_membrane(top, parameters.v_threshold, parameters.v_reset, parameters.reset_mode) for top in tops.tolist()
    ]
    t = np.concatenate([times, spikes, spikes])
    y = np.concatenate([v, tops, np.array(after, float)])
    rank = np.repeat([0, 1, 2], [times.size, spikes.size, spikes.size])
    order = np.lexsort((rank, t))
    return t[order], y[order], tops


def _current(axis, traces, layer, trial, neuron, window, look):
    values = traces.i_syn(layer, int(trial), neurons=[neuron], window=window)[:, 0].astype(float)
    times, values = _from_rest(traces.sample_times(window, "i_syn", layer), values, 0.0, window)
    axis.plot(times * units_of(traces.info).factor, values, **look)


def _levels(axis, population, neuron):
    if population.spiking:
        of_neuron = neuron_from(population.parameters).of(neuron)
        axis.axhline(of_neuron.v_threshold, color=BLACK, lw=0.9, ls="--", label="threshold", zorder=1)
        if of_neuron.reset == "hard":
            axis.axhline(of_neuron.v_reset, color=GREY, lw=0.9, ls=":", label="reset", zorder=1)
