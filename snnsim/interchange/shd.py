"""Labelled spike trains in the layout of the Heidelberg data sets: out of recordings, and in as training data."""

from typing import Any

import numpy as np

from snnsim.errors import InputError
from snnsim.recording.events import (
    chosen_samples,
    layout_of,
    read_events,
    read_sonata,
    sonata_populations,
    write_events,
)
from snnsim.recording.reader import open_traces
from snnsim.spikes import Spikes

MOST_SAMPLES = 10**7
"""Samples that a SONATA file can be cut into."""


def export_shd(traces, path, trials=None, layer="input"):
    """Write one population of a recording in the SHD layout: ``/spikes/times`` (s), ``/spikes/units``, ``/labels``.

    Parameters
    ----------
    traces : Traces
    path : str or Path
    trials : int, slice, or sequence of int or bool, optional
    layer : str

    Returns
    -------
    int
        Number of samples written.
    """
    chosen, factor = traces.chosen(trials), traces.info["time_unit_ms"] / 1000

    def samples():
        for b in chosen.tolist():
            times, neurons = traces.spikes(layer, b).trial(0)
            yield times * factor, neurons, int(traces.trials.label[b])

    if layer not in traces.populations:
        traces.spikes(layer, 0)
    return write_events(path, samples(), traces.populations[layer].n_neurons, traces.info["duration"] * factor)


def save_spikes(path, spikes, labels, time_unit_ms=1.0):
    """Write labelled spike trains in the SHD layout, for `read_spikes` and everything that reads SHD.

    Parameters
    ----------
    path : str or Path
    spikes : Spikes
    labels : (B,) int
    time_unit_ms : float
        Milliseconds a unit of the times in ``spikes``.
    """
    if len(labels) != len(spikes):
        raise InputError(f"labels: {len(labels)} for {len(spikes)} samples")
    factor = time_unit_ms / 1000
    rows = ((t * factor, n, int(k)) for (t, n), k in zip(map(spikes.trial, range(len(spikes))), labels, strict=True))
    write_events(path, rows, spikes.n_neurons, spikes.duration * factor)


def read_spikes(
    path: Any,
    *,
    time_unit_ms: float = 1.0,
    n_neurons: int | None = None,
    duration: float | None = None,
    samples: Any = None,
    population: str | None = None,
    trial_length: float | None = None,
    time_unit: Any = None,
) -> tuple[Spikes, np.ndarray]:
    """Spike trains and labels of an event file: SHD or SSC layout, SONATA spikes, or a recording of snnsim.

    Parameters
    ----------
    path : str or Path
    time_unit_ms : float
        Milliseconds a unit of network time.
    n_neurons : int, optional
        Number of channels. None: what the file says, or the highest channel that occurs, plus one.
    duration : float, optional
        Length of each sample in network units; later spikes are refused. None: what the file says, or the latest spike
        of all samples.
    samples : slice or sequence of int, optional
        Which samples to read; all if None.
    population : str, optional
        Which population of a SONATA file; may be left out if there is only one.
    trial_length : float, optional
        For SONATA files of others, which know no trials: cut the recording into samples of this length (network units);
        one sample if None. A spike at the very end of a window belongs to it, as in the clock's steps.
    time_unit : str or float, optional
        Unit of the file's times: s, ms, us, ns, or the milliseconds in it. None: what the file says; without that
        seconds for SHD and milliseconds for SONATA, unless the times are whole numbers.

    Returns
    -------
    spikes : Spikes
    labels : (B,) int64
        -1 where the file has none; text is numbered in the order of the alphabet, over all samples of the file.

    Raises
    ------
    InputError
        If the file cannot be read or is of another layout, its unit of time is not known, or neurons or times exceed
        the given limits.
    """
    if not 0 < time_unit_ms < float("inf"):
        raise InputError(f"time_unit_ms = {time_unit_ms}: must be a positive number")
    scale = 1.0 / time_unit_ms
    if trial_length is not None and not 0 < trial_length < float("inf"):
        raise InputError(f"trial_length = {trial_length}: must be a positive number")
    layout = layout_of(path)
    if layout == "recording":
        if trial_length is not None:
            raise InputError(f"{path}: a recording of snnsim has its own trials; trial_length does not apply")
        if time_unit is not None:
            raise InputError(f"{path}: a recording of snnsim says its unit; --time-unit does not apply")
        return _read_recording(path, population, samples, time_unit_ms)
    if layout == "shd":
        if population is not None or trial_length is not None:
            raise InputError(f"{path}: has the SHD layout, to which population and trial_length do not apply")
        times, units, labels, known_n, known_duration = read_events(path, samples, time_unit)
        times = [t * scale for t in times]
        known_duration = None if known_duration is None else known_duration * scale
    else:
        population = _one_population(path, population)
        stamps, nodes = read_sonata(path, population, time_unit)
        times, units, known_duration = _cut(stamps * scale, nodes, trial_length, path)
        kept = chosen_samples(samples, len(times), path)
        times, units = [times[b] for b in kept], [units[b] for b in kept]
        labels, known_n = np.full(len(times), -1, np.int64), None
    highest = max((int(u.max()) for u in units if u.size), default=-1)
    latest = max((float(t.max()) for t in times if t.size), default=0.0)
    n_neurons = n_neurons or known_n or highest + 1
    if highest >= n_neurons:
        raise InputError(f"{path}: channel {highest}: more than the {n_neurons} channels asked for")
    if duration is None:
        duration = latest if known_duration is None else max(known_duration, latest)
    elif latest > duration * (1 + 1e-12):
        raise InputError(f"{path}: a spike at {latest:g}: later than the duration {duration:g}")
    trials = ((np.minimum(t, duration), u) for t, u in zip(times, units, strict=True))
    return Spikes.from_trials(trials, n_neurons, duration), labels


def stated_neurons(path, population=None):
    """Read the number of channels that an event file states; None where only its spikes tell.

    Parameters
    ----------
    path : str or Path
    population : str, optional
        Of a recording of snnsim.

    Raises
    ------
    InputError
        If the file cannot be read.
    """
    layout = layout_of(path)
    if layout == "shd":
        return read_events(path, [], "s")[3]
    if layout == "recording" and population is not None:
        with open_traces(path) as traces:
            if population in traces.populations:
                return traces.populations[population].n_neurons
    return None


def _one_population(path, population):
    names = sonata_populations(path)
    if population is None:
        if len(names) != 1:
            raise InputError(f"{path}: has several populations, {', '.join(names)}: choose one")
        return names[0]
    if population not in names:
        raise InputError(f"{path}: population {population!r}: the file has {', '.join(names)}")
    return population


def _read_recording(path, population, samples, time_unit_ms):
    with open_traces(path) as traces:
        if population is None:
            raise InputError(f"{path}: has several populations, {', '.join(traces.populations)}: choose one")
        spikes = traces.spikes(population, samples)
        labels = traces.trials.label[traces.chosen(samples)].copy()
        scale = traces.info["time_unit_ms"] / time_unit_ms
    return Spikes(
        spikes.offsets, spikes.times * scale, spikes.neurons, spikes.n_neurons, spikes.duration * scale
    ), labels


def _cut(times, nodes, length, path):
    """Cut one long train into samples of ``length``; one sample if None."""
    if length is None:
        return [times], [nodes], None
    if times.size and not times[-1] / length <= MOST_SAMPLES:
        raise InputError(
            f"{path}: spikes up to {times[-1]:g}: make more than {MOST_SAMPLES} samples of length {length:g}; "
            "--time-unit or --trial-length must be larger"
        )
    window = np.maximum(np.ceil(times / length - 1e-9).astype(np.int64) - 1, 0)
    edges = np.searchsorted(window, np.arange(1, int(window.max(initial=0)) + 1))
    parts = [np.clip(t, 0.0, length) for t in np.split(times - window * length, edges)]
    return parts, np.split(nodes, edges), length
