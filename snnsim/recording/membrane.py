"""The membrane of one neuron as it is drawn: with the ends of its resets between the samples, and its threshold."""

from dataclasses import dataclass

import numpy as np

from snnsim.dynamics.lif import reset_membrane
from snnsim.parameters import ALIF, neuron_from


@dataclass(frozen=True)
class Course:
    """One neuron in one trial, times in network units from its start.

    Parameters
    ----------
    times, v : ndarray, (K,)
        Samples, and both ends of each reset.
    spikes, tops : ndarray, (E,)
        Spikes, and the membrane at them.
    threshold : (ndarray, ndarray) or None
        Times and values; two points where it is constant; None without a threshold.
    reset : float or None
        Value after a hard reset.
    """

    times: np.ndarray
    v: np.ndarray
    spikes: np.ndarray
    tops: np.ndarray
    threshold: tuple[np.ndarray, np.ndarray] | None
    reset: float | None


def course(traces, layer, trial, neuron, window=None):
    """Membrane, spikes and threshold of a neuron in a trial.

    Parameters
    ----------
    traces : snnsim.recording.reader.Traces
        With v recorded; without spikes there are none, and a threshold that adapts is the one at rest.
    layer : str
    trial, neuron : int
    window : (float, float), optional
        Part of the trial, in network units.

    Returns
    -------
    Course

    Raises
    ------
    InputError
        If v was not recorded, or layer, trial or neuron do not exist.
    """
    population = traces.populations[layer]
    parameters = one_of(neuron_from(population.parameters), neuron)
    times = traces.sample_times(window, "v", layer)
    v = traces.v(layer, int(trial), neurons=[neuron], window=window)[:, 0].astype(float)
    spikes, before = np.empty(0), np.empty(0)
    if "spikes" in traces.info["record"] and population.spiking:
        before = traces.spikes(layer, [int(trial)], neurons=[neuron]).times
        low, high = (0, np.inf) if window is None else window
        spikes = before[(low <= before) & (before <= high)]
    times, v = from_start(traces, trial, times, v, parameters.start, window)
    if not population.spiking:
        return Course(times, v, spikes, np.empty(0), None, None)
    low, high = (0.0, traces.info["duration"]) if window is None else window
    threshold = _threshold(traces, parameters, before, np.array([low, high]))
    level = np.interp(spikes, *threshold)
    times, v, tops = with_resets(times, v, spikes, level, parameters)
    return Course(times, v, spikes, tops, threshold, parameters.v_reset if parameters.reset == "hard" else None)


def one_of(parameters, neuron):
    """Parameters of one neuron of a population."""
    return parameters.of(neuron)


def from_start(traces, trial, times, values, start, window=None):
    """Put the start of the trial before its samples, unless they or the window begin later, or the run began before."""
    goes_on = traces.info.get("continuous", False) and int(trial) % len(traces) > 0
    if times.size and times[0] > 0 and (window is None or window[0] == 0) and not goes_on:
        return np.concatenate([[0.0], times]), np.concatenate([[start], values])
    return times, values


def with_resets(times, v, spikes, level, parameters):
    """Put the two ends of each reset between the samples.

    A clock's sample at its spike is the membrane before the reset. Off the grid, the membrane spikes at threshold.

    Parameters
    ----------
    times, v : ndarray, (K,)
    spikes : ndarray, (E,)
    level : ndarray, (E,)
        Threshold at the spikes.
    parameters : LIFParameters

    Returns
    -------
    times, v : ndarray, (K + 2 E,)
    tops : ndarray, (E,)
        Membrane at the spikes.
    """
    tops = np.array(level, np.float64)
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


def _threshold(traces, parameters, spikes, ends):
    """Threshold between two times: what adapts follows from the neuron's own spikes, of a trial that began at rest."""
    if not isinstance(parameters, ALIF) or traces.info.get("continuous", False) or not spikes.size:
        return ends, np.full(2, float(parameters.v_threshold))
    grid = np.linspace(*ends, 400)
    inside = spikes[(ends[0] <= spikes) & (spikes <= ends[1])]
    times = np.sort(np.concatenate([grid, inside, inside + 1e-9 * (ends[1] - ends[0])]))
    a = parameters.a0 * np.exp(-times / parameters.tau_a)
    for spike in spikes:
        a += np.where(times > spike, parameters.q * np.exp(-(times - spike).clip(0) / parameters.tau_a), 0)
    return times, parameters.v_threshold + parameters.beta * a
