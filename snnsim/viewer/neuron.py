"""One neuron: its membrane, current, threshold and spikes in a trial, thinned to what a screen shows."""

from dataclasses import dataclass

import numpy as np

from snnsim.errors import InputError
from snnsim.parameters import neuron_from
from snnsim.recording.membrane import course, from_start, one_of
from snnsim.recording.units import units_of

MOST_SAMPLES = 4000
"""Points of a line that are sent to a browser."""
MOST_BYTES = 256 * 2**20
"""Most of a report that is read for one trial of one neuron."""


@dataclass(frozen=True)
class Close:
    """One neuron in one trial; times in the shown unit, from its start.

    Parameters
    ----------
    v, current, threshold : (ndarray, ndarray) or None
        Times and values.
    spikes, tops : ndarray
        Spikes, and the membrane at them (threshold where v was not recorded).
    reset : float or None
    missing : str
        What is not there and why, in one line; empty if all is.
    """

    v: tuple[np.ndarray, np.ndarray] | None
    current: tuple[np.ndarray, np.ndarray] | None
    threshold: tuple[np.ndarray, np.ndarray] | None
    spikes: np.ndarray
    tops: np.ndarray
    reset: float | None
    missing: str


def close_look(traces, layer, trial, neuron, window=None):
    """Look at one neuron.

    Parameters
    ----------
    traces : snnsim.recording.reader.Traces
    layer : str
    trial, neuron : int
    window : (float, float), optional
        Part of the trial, in the shown unit.

    Returns
    -------
    Close
    """
    population, info = traces.populations[layer], traces.info
    factor, recorded = units_of(info).factor, info["record"]
    span = None
    if window is not None:
        span = max(0.0, window[0] / factor), min(info["duration"], window[1] / factor)
        span = None if span[0] >= span[1] or span == (0.0, info["duration"]) else span
    spikes = np.empty(0)
    if "spikes" in recorded and population.spiking:
        spikes = traces.spikes(layer, [trial], neurons=[neuron], window=span).times
    if population.is_input:
        missing = "" if spikes.size else "silent in this trial"
        return Close(None, None, None, spikes * factor, np.zeros(spikes.size), None, missing)
    parameters = one_of(neuron_from(population.parameters), neuron)
    parts = {"v": None, "i_syn": None}
    lacking = [name for name in parts if name not in recorded]
    threshold, reset, tops = None, None, np.zeros(spikes.size)
    size = info["frames_per_trial"] * len(population.neuron_ids) * 4
    if len(lacking) < 2 and size > MOST_BYTES:
        raise InputError(f"{traces.directory}: a trial of {layer} takes {size >> 20} MiB in a report: too much to show")
    if population.spiking:
        level = float(parameters.v_threshold)
        ends = np.array(span or (0.0, info["duration"]))
        threshold, tops = (ends * factor, np.full(2, level)), np.full(spikes.size, level)
        reset = parameters.v_reset if parameters.reset == "hard" else None
    if "v" in recorded:
        found = course(traces, layer, trial, neuron, span)
        parts["v"] = thinned(found.times * factor, found.v)
        tops = found.tops
        if found.threshold is not None:
            threshold = found.threshold[0] * factor, found.threshold[1]
    if "i_syn" in recorded:
        times = traces.sample_times(span, "i_syn", layer)
        values = traces.i_syn(layer, trial, neurons=[neuron], window=span)[:, 0].astype(float)
        times, values = from_start(traces, trial, times, values, parameters.i0, span)
        parts["i_syn"] = thinned(times * factor, values)
    missing = ""
    if lacking:
        missing = f"{' and '.join(lacking)} not recorded (snnsim simulate RUN --record spikes,v,i_syn records them)"
    return Close(parts["v"], parts["i_syn"], threshold, spikes * factor, tops, reset, missing)


def thinned(times, values, most=MOST_SAMPLES):
    """Fewer points that look the same: first, least, greatest and last of equal stretches.

    Parameters
    ----------
    times, values : ndarray, (K,)
    most : int

    Returns
    -------
    times, values : ndarray
        As they are if there are no more than ``most``.
    """
    n = len(times)
    if n <= most:
        return times, values
    width = -(-4 * n // most)
    starts = np.arange(0, n, width)
    padded = np.concatenate([values, np.full(len(starts) * width - n, values[-1])]).reshape(-1, width)
    inside = [starts, starts + np.argmin(padded, 1), starts + np.argmax(padded, 1), starts + width - 1]
    kept = np.unique(np.minimum(np.concatenate(inside), n - 1))
    return times[kept], values[kept]
