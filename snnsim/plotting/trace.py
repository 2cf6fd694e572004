"""Voltage and current traces with threshold, reset and spikes; several recordings laid over each other."""

import numpy as np
from matplotlib.transforms import offset_copy

from snnsim.errors import InputError
from snnsim.parameters import neuron_from
from snnsim.plotting.style import BLACK, CYCLE, GREY, LINE, PAGE, SCHEME_NAMES, TEXT, legend_below, new_figure, titled
from snnsim.recording.membrane import course, from_start, one_of
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
        recorded = [name for name, p in last.populations.items() if p.recorded and not p.is_input]
        if not recorded:
            raise InputError(f"{last.directory}: records no layer but the input, which has no membrane")
        layer = recorded[0]
    neurons = [_liveliest(last, layer, trial, variables[0], window)] if neurons is None else list(neurons)
    rows = [(neuron, variable) for neuron in neurons for variable in variables]
    figure, axes = new_figure(PAGE, 0.9 + 1.9 * len(rows), len(rows), 1, sharex=True)
    labels = labels_of(recordings)
    for axis, (neuron, variable) in zip(axes[:, 0], rows, strict=True):
        for k, (traces, label) in enumerate(zip(recordings, labels, strict=True)):
            look = {"color": CYCLE[k % len(CYCLE)], "label": label, "linewidth": LINE, "alpha": 0.9}
            if variable == "v":
                found = _membrane(axis, traces, layer, trial, neuron, window, look, k)
            else:
                _current(axis, traces, layer, trial, neuron, window, look)
        if variable == "v":
            if any(line.get_marker() == "|" for line in axis.lines):
                axis.plot([], [], "|", ms=5, color=GREY, label="spike")
            _levels(axis, found, units_of(last.info).factor)
            axis.set_ylabel(labelled("v", last.info["voltage_unit"]))
        else:
            axis.set_ylabel(labelled("$i_{\\mathrm{syn}}$", last.info["current_unit"]))
        if variable == variables[0]:
            pad = 6 + (_TICK_SPACING * len(recordings) if variable == "v" else 0)
            titled(axis, f"{layer}, neuron {neuron}", pad=pad)
        axis.grid(False, axis="x")
    units = units_of(last.info)
    if window is None:
        low, high = 0.0, max(t.info["duration"] * units_of(t.info).factor for t in recordings)
    else:
        low, high = window[0] * units.factor, window[1] * units.factor
    margin = 0.01 * (high - low)  # a spike at the very end is whole
    axes[-1, 0].set_xlim(low - margin, high + margin)
    axes[-1, 0].set_xlabel(units.axis, fontsize=TEXT)
    legend_below(figure, axes[0, 0])
    return figure


def _liveliest(traces, layer, trial, variable, window):
    values = traces.report(variable, layer, int(trial), window=window)
    ids = traces.populations[layer].neuron_ids
    if "spikes" in traces.info["record"] and traces.populations[layer].spiking:
        counts = traces.spikes(layer, [int(trial)], window=window).counts()[0][ids]
        if counts.any():
            return int(ids[counts.argmax()])
    return int(ids[np.nanmax(values, axis=0).argmax()]) if values.size else int(ids[0])


def labels_of(recordings):
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
    factor = units_of(traces.info).factor
    found = course(traces, layer, trial, neuron, window)
    axis.plot(found.times * factor, found.v, **look)
    if found.spikes.size:
        axis.plot(found.spikes * factor, found.tops, "o", ms=3.5, mfc=look["color"], mec="white", mew=0.6, zorder=5)
        # Ticks above the panel, one line a recording, so that spikes of several dt can be compared.
        above = offset_copy(axis.get_xaxis_transform(), axis.figure, y=4 + _TICK_SPACING * k, units="points")
        axis.plot(
            found.spikes * factor, np.ones(found.spikes.size), "|", ms=5, color=look["color"], clip_on=False,
            transform=above,
        )  # fmt: skip
    return found


def _current(axis, traces, layer, trial, neuron, window, look):
    values = traces.i_syn(layer, int(trial), neurons=[neuron], window=window)[:, 0].astype(float)
    start = getattr(one_of(neuron_from(traces.populations[layer].parameters), neuron), "i0", 0.0)
    times, values = from_start(traces, trial, traces.sample_times(window, "i_syn", layer), values, start, window)
    axis.plot(times * units_of(traces.info).factor, values, **look)


def _levels(axis, found, factor):
    """Threshold and reset of the recording that is drawn last."""
    if found.threshold is not None:
        times, values = found.threshold
        axis.plot(times * factor, values, color=BLACK, lw=0.9, ls="--", label="threshold", zorder=1)
    if found.reset is not None:
        axis.axhline(found.reset, color=GREY, lw=0.9, ls=":", label="reset", zorder=1)
