"""Lazy reader of recordings: trials, spikes and voltages by trial, population, neuron and time window."""

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np

from snnsim.errors import InputError
from snnsim.files.hdf5 import attribute, dataset_of, group_of, json_object, number, reading
from snnsim.recorded import LayerRecording, Recording
from snnsim.recording import layout
from snnsim.recording.opening import checked_info, open_index, open_report, recording_directory
from snnsim.recording.superblock import marked
from snnsim.spikes import Spikes

PIECE_BYTES = 32 * 2**20
"""Selections from more than this are read and narrowed piece by piece."""


def open_traces(path: Any) -> "Traces":
    """Open a recording for reading; nothing large is read before it is asked for.

    Parameters
    ----------
    path : str or Path
        The directory of a recording, or one of its files ``spikes.h5``, ``v.h5``, ``i_syn.h5``.

    Returns
    -------
    Traces

    Raises
    ------
    InputError
        If there is no recording, or it is truncated, not of snnsim, of a newer layout or lacks a group.

    Examples
    --------
    >>> with open_traces("traces/") as traces:  # doctest: +SKIP
    ...     sevens = np.flatnonzero(traces.trials.label == 7)
    ...     spikes = traces.spikes("hidden0", sevens, window=(0, 10))
    ...     v = traces.v("hidden0", trial=0, neurons=[3, 4])
    """
    return Traces(path)


@dataclass(frozen=True)
class Population:
    """One recorded layer.

    Parameters
    ----------
    name : str
    n_neurons : int
    neuron_ids : ndarray, (M,) int64
        Recorded neurons.
    recorded, spiking : bool
    parameters : dict
        Fields of its neuron; empty for an input.
    is_input : bool
        Its spikes come from outside; it has no v and i_syn.
    """

    name: str
    n_neurons: int
    neuron_ids: np.ndarray
    recorded: bool
    spiking: bool
    parameters: dict
    is_input: bool = False


class Traces:
    """An open recording; a context manager. Made by `open_traces`.

    Attributes
    ----------
    trials : numpy.recarray, (B,)
        start_time, stop_time and first_spike (ms; on the common clock, first_spike within the trial, NaN if silent),
        sample_index, label, prediction, epoch (-1: unknown), split.
    populations : dict of str to Population
    info : dict
        dt, duration, time_unit_ms, scheme, engine, seed, record, ... as the run wrote them.
    config, provenance : dict
    growing : bool
        The run that writes it has not closed it: it goes on (call `refresh`), or was killed.
    """

    def __init__(self, path):
        self.directory = recording_directory(path)
        self._files, self._index = {}, {}
        self._file = open_index(self.directory)
        self.growing = marked(self._file.filename)
        self._files[layout.INDEX] = self._file
        try:
            with reading(self._file.filename):
                self._read_index()
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        self.close()

    def __len__(self):
        return len(self.trials)

    def __repr__(self):
        sizes = ", ".join(f"{p.name} {p.n_neurons}" for p in self.populations.values())
        state = ", still growing" if self.growing else ""
        return (
            f"<Traces {self.directory}: {len(self)} trials of {self.info['duration']:g}, {sizes}; records "
            f"{', '.join(self.info['record'])}; {self.info['engine']} engine{state}>"
        )

    def close(self):
        """Close the files."""
        for file in self._files.values():
            file.close()
        self._files = {}

    def refresh(self):
        """See what a run that is still writing has committed meanwhile; returns the number of trials."""
        if self.growing:
            for file in self._files.values():
                file.close()
            self._files = {}
            self.__init__(self.directory)
        return len(self)

    # spikes

    def spikes(self, layer, trial=None, *, neurons=None, window=None):
        """Spikes of one population.

        Parameters
        ----------
        layer : str
        trial : int, slice, or sequence of int or bool, optional
            All trials if None.
        neurons : int or sequence of int, optional
        window : (float, float), optional
            Only spikes with ``t0 <= time <= t1``, in network units from the start of the trial.

        Returns
        -------
        Spikes
            One trial an entry, times relative to its start, in network units; equal to the bit to what was
            simulated (for spikes off the grid in a file without trial_times: to the rounding of the clock).

        Raises
        ------
        InputError
            For an unknown or unrecorded population, trial or neuron, or a window outside the trial.
        """
        population = self._population(layer, "spikes")
        chosen = self.chosen(trial)
        window = self._window(window)
        wanted = None if neurons is None else self._wanted(population, neurons)
        with reading(self._file.filename):
            columns, edges, on_grid = self._spike_index(layer)
            times, ids, counts = [], [], np.zeros(len(chosen), np.int64)
            position = 0
            for first, last in _pieces(chosen, edges, PIECE_BYTES // 16):
                t, n, trials = self._read_spikes(columns, first, last, edges, on_grid)
                self._check(layer, population, t, n, trials, edges[first : last + 1] - edges[first], first)
                keep = np.ones(t.size, bool)
                if window is not None:
                    keep &= (window[0] <= t) & (t <= window[1])
                if wanted is not None:
                    keep &= wanted[n]
                if not keep.all():
                    t, n, trials = t[keep], n[keep], trials[keep]
                counts[position : position + last - first] = np.bincount(trials - first, minlength=last - first)
                position += last - first
                times.append(t)
                ids.append(n)
        offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        return Spikes(
            offsets,
            np.concatenate(times) if times else np.empty(0),
            np.concatenate(ids).astype(np.int32) if ids else np.empty(0, np.int32),
            population.n_neurons,
            self.info["duration"],
        )

    def _spike_index(self, layer):
        """``(columns, edges, on_grid)``: datasets; rows where trials begin and end, (B + 1,); trials on the grid."""
        if layer not in self._index:
            group = self._file[f"snnsim/populations/{layer}"]
            ends, on_grid = group["spike_end"][: len(self)], group["on_grid"][: len(self)]
            # HDF5 keeps what it has unpacked as long as a dataset stays open.
            columns = dict(self._file[f"spikes/{layer}"])
            self._index[layer] = columns, np.concatenate([[0], ends]).astype(np.int64), on_grid
        return self._index[layer]

    def _check(self, layer, population, times, nodes, trials, edges, first):
        """Raise InputError unless spikes, read from ``first`` on, are of neurons and trials, and within them."""
        where = f"{self._file.filename}: /spikes/{layer}"
        if nodes.size and not (nodes.min() >= 0 and nodes.max() < population.n_neurons):
            raise InputError(f"{where}: node_ids {nodes.min()}..{nodes.max()}: it has {population.n_neurons} neurons")
        if not np.array_equal(trials, np.repeat(np.arange(first, first + len(edges) - 1), np.diff(edges))):
            raise InputError(f"{where}: trial_ids: are not those of the trials that spike_end says")
        if times.size and not (times.min() >= 0 and times.max() <= self.info["duration"] * (1 + 1e-9)):
            raise InputError(f"{where}: times {times.min()}..{times.max()}: must lie in 0..{self.info['duration']}")

    def _read_spikes(self, columns, first, last, edges, on_grid):
        rows = slice(int(edges[first]), int(edges[last]))
        nodes = columns["node_ids"][rows].astype(np.int64)
        trials = columns["trial_ids"][rows].astype(np.int64)
        if trials.size and not first <= trials.min() <= trials.max() < last:
            raise InputError(f"{self._file.filename}: {columns['trial_ids'].name}: trials that spike_end does not say")
        if "trial_times" in columns:
            return columns["trial_times"][rows], nodes, trials
        times = columns["timestamps"][rows] - self.trials.start_time[trials]
        factor, dt = self.info["time_unit_ms"], self.info["dt"]
        if on_grid[first:last].all():
            times /= dt * factor
            np.rint(times, out=times)
            times *= dt
        else:
            # A trial off the grid knows its times only to the rounding of the common clock.
            exact = on_grid[trials]
            relative = np.clip(times / factor, 0, self.info["duration"])
            times = np.where(exact, np.rint(times / (dt * factor)) * dt, relative)
        return times, nodes, trials

    # voltages and currents

    def v(self, layer, trial=None, *, neurons=None, window=None):
        """Membrane before reset; see `report`."""
        return self.report("v", layer, trial, neurons=neurons, window=window)

    def i_syn(self, layer, trial=None, *, neurons=None, window=None):
        """Synaptic current; see `report`."""
        return self.report("i_syn", layer, trial, neurons=neurons, window=window)

    def report(self, variable, layer, trial=None, *, neurons=None, window=None):
        """Read samples of v or i_syn.

        Parameters
        ----------
        variable : {"v", "i_syn"}
        layer : str
        trial : int, slice, or sequence of int or bool, optional
            All trials if None.
        neurons : int or sequence of int, optional
            All recorded ones if None, in the order of ``populations[layer].neuron_ids``.
        window : (float, float), optional
            Only samples with ``t0 <= time <= t1``, in network units from the start of the trial.

        Returns
        -------
        ndarray, (B, K, M), or (K, M) if ``trial`` is one integer
            Sampled at ``sample_times(window)``.

        Raises
        ------
        InputError
            For an unknown or unrecorded population, variable, trial or neuron, or a window outside the trial.
        """
        population = self._population(layer, variable)
        chosen = self.chosen(trial)
        columns = slice(None) if neurons is None else self._columns(population, neurons)
        data, first, step, frames, kept = self._report_grid(variable, layer)
        low, high = self._frame_range(first, step, kept, window)
        parts = []
        with reading(self._report_file(variable).filename):
            size = frames * data.shape[1] * data.dtype.itemsize
            for begin, end in _pieces(chosen, np.arange(len(self) + 1) * size, PIECE_BYTES):
                block = data[begin * frames : end * frames].reshape(end - begin, frames, -1)
                parts.append(block[:, low:high][:, :, columns])
        width = len(population.neuron_ids) if neurons is None else len(columns)
        values = np.concatenate(parts) if parts else np.empty((0, high - low, width), data.dtype)
        return values[0] if isinstance(trial, int | np.integer) else np.ascontiguousarray(values)

    def sample_times(self, window=None, variable=None, layer=None):
        """Instants of the samples of a trial, (K,) float64, in network units from its start."""
        variable = variable or next((name for name in layout.REPORTS if name in self.info["record"]), None)
        if variable is None:
            raise InputError(f"{self.directory}: records neither v nor i_syn")
        layer = layer or next(name for name, p in self.populations.items() if p.recorded and not p.is_input)
        _data, first, step, _frames, kept = self._report_grid(variable, layer)
        low, high = self._frame_range(first, step, kept, window)
        times, dt = first + np.arange(low, high) * step, self.info["dt"]
        # A clock's samples lie on multiples of dt, to the bit.
        grid = np.rint(times / dt) * dt
        return grid if np.all(np.abs(grid - times) < 1e-6 * dt) else times

    def _report_file(self, variable):
        name = layout.REPORTS[variable]
        if name not in self._files:
            self._files[name] = open_report(self.directory / name, self.info["run_id"])
        return self._files[name]

    def _report_grid(self, variable, layer):
        """Return ``(data, first, step, frames, kept)``: first and step in network units, frames a trial, real ones."""
        file = self._report_file(variable)
        group = group_of(group_of(file, "report"), layer)
        data = dataset_of(group, "data", 2, "f")
        clock = dataset_of(group_of(group, "mapping"), "time", 1, "f")
        step, frames, duration = self.info["sample_step"], self.info["frames_per_trial"], self.info["duration"]
        with reading(file.filename):
            first = float(clock[0]) / self.info["time_unit_ms"]
        if not 0 <= first <= duration * (1 + 1e-9):
            raise InputError(f"{file.filename}: {clock.name}: begins at {first}: must lie in a trial, 0..{duration}")
        kept = min(frames, int(np.floor((duration - first) / step * (1 + 1e-12) + 1e-9)) + 1)
        if data.shape[0] < len(self) * frames:
            raise InputError(f"{file.filename}: /report/{layer}/data ends before the last of {len(self)} trials")
        width = len(self.populations[layer].neuron_ids)
        if data.shape[1] != width:
            raise InputError(f"{file.filename}: {data.name}: has {data.shape[1]} columns for {width} recorded neurons")
        return data, first, step, frames, kept

    def _frame_range(self, first, step, kept, window):
        window = self._window(window)
        if window is None:
            return 0, kept
        times = first + np.arange(kept) * step
        slack = 1e-9 * step
        inside = np.flatnonzero((times >= window[0] - slack) & (times <= window[1] + slack))
        return (int(inside[0]), int(inside[-1]) + 1) if inside.size else (0, 0)

    # whole trials

    def recording(self, trial=None):
        """Everything recorded of some trials, as the simulation returned it.

        Returns
        -------
        Recording
            Layers that were not recorded are missing from it.
        """
        chosen = self.chosen(trial)
        layers = []
        for name, population in self.populations.items():
            if not population.recorded:
                continue
            if "spikes" in self.info["record"]:
                spikes = self.spikes(name, chosen)
            else:
                spikes = Spikes.from_trials([((), ())] * len(chosen), population.n_neurons, self.info["duration"])
            reports = {
                variable: self.report(variable, name, chosen)
                for variable in layout.REPORTS
                if variable in self.info["record"] and not population.is_input
            }
            times = self.sample_times(layer=name) if reports else np.empty(0)
            layers.append(
                LayerRecording(name, spikes, reports.get("v"), reports.get("i_syn"), times, population.neuron_ids)
            )
        info = self.info
        dt = info["dt"] if info["dt"] == info["dt"] else None
        return Recording(tuple(layers), info["engine"], info["duration"], dt, info["scheme"] or None)

    def batches(self, size=100):
        """Yield the indices of the trials in batches of ``size``, to walk through a recording larger than memory."""
        for first in range(0, len(self), size):
            yield np.arange(first, min(first + size, len(self)))

    def spike_counts(self, layer):
        """Spikes of each neuron over all trials, (N,) int64; kept while writing, so nothing is scanned."""
        self._population(layer, "spikes")
        group = self._file[f"snnsim/populations/{layer}"]
        with reading(self._file.filename):
            counts, trials = dataset_of(group, "counts", 2, "iu"), dataset_of(group, "counts_trials", 1, "iu")
            slots = np.flatnonzero(trials[:] == len(self))
            if slots.size == 0 or counts.shape != (2, self.populations[layer].n_neurons) or slots[0] > 1:
                raise InputError(f"{self._file.filename}: the spike counts of {layer} do not match its trials")
            return counts[int(slots[0])]

    def to_neo(self, trial=None, layers=None):
        """Neo Block of some trials, one Segment a trial; see `snnsim.recording.neo_block`."""
        from snnsim.recording.neo_block import to_neo

        return to_neo(self, trial, layers)

    # arguments

    def _read_index(self):
        about = self._file["snnsim"]
        self.info = checked_info(about)
        self.config, self.provenance = (json_object(about, key) for key in ("config", "provenance"))
        self.trials = _read_trials(about)
        self.populations = {}
        groups = about["populations"]
        for name in sorted(groups, key=lambda name: number(group_of(groups, name), "order", whole=True)):
            self.populations[name] = population = _read_population(groups[name], name)
            if population.recorded and "spikes" in self.info["record"]:
                self._check_spikes(groups[name], name)

    def _check_spikes(self, group, name):
        """Raise InputError unless the spikes of a population are there, and as many as its trials say."""
        for field, kinds in (("spike_end", "iu"), ("on_grid", "b")):
            if len(dataset_of(group, field, 1, kinds)) < len(self):
                raise InputError(f"{self._file.filename}: {group.name}/{field} ends before the last trial")
        ends = group["spike_end"][: len(self)]
        rows = group_of(group_of(self._file, "spikes"), name)
        columns = {"timestamps": "f", "node_ids": "iu", "trial_ids": "iu"}
        columns |= {"trial_times": "f"} if "trial_times" in rows else {}
        shortest = min(len(dataset_of(rows, field, 1, kinds)) for field, kinds in columns.items())
        if ends.size and not (ends[0] >= 0 and (np.diff(ends) >= 0).all() and ends[-1] <= shortest):
            raise InputError(
                f"{self._file.filename}: {group.name}/spike_end: must ascend from 0 to at most {shortest} spikes"
            )

    def _population(self, name, variable):
        if name not in self.populations:
            raise InputError(f"layer {name!r}: {self.directory} holds {', '.join(self.populations)}")
        population = self.populations[name]
        if not population.recorded:
            recorded = [p.name for p in self.populations.values() if p.recorded]
            raise InputError(f"layer {name!r}: was not recorded; {self.directory} records {', '.join(recorded)}")
        if variable not in layout.VARIABLES:
            raise InputError(f"variable {variable!r}: must be one of {', '.join(layout.VARIABLES)}")
        if variable not in self.info["record"] or (variable != "spikes" and population.is_input):
            raise InputError(
                f"{variable} of {name}: {self.directory} does not record it, only {', '.join(self.info['record'])}"
            )
        return population

    def chosen_layers(self, layers=None):
        """Names of the recorded populations, list of str; those in ``layers`` if given, each checked."""
        if layers is None:
            return [name for name, p in self.populations.items() if p.recorded]
        names = [layers] if isinstance(layers, str) else list(layers)
        for name in names:
            given = name in self.populations and self.populations[name].is_input
            self._population(name, "spikes" if given else self.info["record"][0])
        return names

    def chosen(self, trial=None):
        """Numbers of the trials that ``trial`` names (int, slice, sequence of int or bool, None: all), (B,) int64."""
        everything = np.arange(len(self))
        if trial is None:
            return everything
        if isinstance(trial, slice):
            return everything[trial]
        chosen = np.atleast_1d(np.asarray(trial))
        if chosen.dtype == bool:
            if chosen.shape != everything.shape:
                raise InputError(f"trials: a mask must have one entry for each of {len(self)} trials")
            return np.flatnonzero(chosen)
        if chosen.size == 0:
            return everything[:0]
        if chosen.ndim != 1 or chosen.dtype.kind not in "iu":
            raise InputError("trials: must be an integer, a slice, or a list of integers or bools")
        low, high = chosen.min(), chosen.max()
        if low < -len(self) or high >= len(self):
            bad = low if low < -len(self) else high
            allowed = f"its trials are 0..{len(self) - 1}" if len(self) else "it holds no complete trial"
            raise InputError(f"trial {bad}: {self.directory}: {allowed}")
        return everything[chosen]

    def _window(self, window):
        if window is None:
            return None
        low, high = window
        duration = self.info["duration"]
        if not 0 <= low <= high <= duration * (1 + 1e-12):
            raise InputError(f"window {low:g}..{high:g}: must lie within a trial, 0..{duration:g}")
        return low, high

    def _wanted(self, population, neurons):
        wanted = np.zeros(population.n_neurons, bool)
        wanted[population.neuron_ids[self._columns(population, neurons)]] = True
        return wanted

    def _columns(self, population, neurons):
        where = {int(n): k for k, n in enumerate(population.neuron_ids)}
        columns = []
        for neuron in np.atleast_1d(np.asarray(neurons)).tolist():
            if neuron not in where:
                what = "was not recorded" if 0 <= neuron < population.n_neurons else "does not exist"
                raise InputError(
                    f"neuron {neuron} of {population.name}: {what}; {len(where)} of {population.n_neurons} are recorded"
                )
            columns.append(where[neuron])
        return columns


def _pieces(chosen, edges, limit):
    """Cut into runs of consecutive trials, ``(first, last + 1)``, in the order asked for, none much above ``limit``.

    ``edges``, (B + 1,), says where each trial begins and ends, in the unit of ``limit``.
    """
    if len(chosen) == 0:
        return []
    group = edges[chosen] // limit
    cuts = np.flatnonzero((np.diff(chosen) != 1) | (np.diff(group) != 0)) + 1
    bounds = np.concatenate([[0], cuts, [len(chosen)]])
    return [(int(chosen[a]), int(chosen[b - 1]) + 1) for a, b in itertools.pairwise(bounds)]


def _read_trials(about):
    """Table of the trials that are whole; InputError if a column of it is missing, too short or of another type."""
    path, table = about.file.filename, group_of(about, "trials")
    complete = int(dataset_of(about, "complete", 1, "iu")[0])
    columns = {}
    for name, kind in layout.TRIAL_FIELDS.items():
        columns[name] = column = dataset_of(table, name, 1, {"f": "f", "i": "iu", "S": "S"}[kind.kind])
        if not 0 <= complete <= len(column):
            raise InputError(f"{path}: /snnsim/trials/{name} ends before the last of {complete} trials")
    trials = np.recarray(complete, layout.trial_dtype())
    for name, column in columns.items():
        trials[name] = column[:complete]
    if not (np.isfinite(trials.start_time).all() and np.isfinite(trials.stop_time).all()):
        raise InputError(f"{path}: /snnsim/trials: start_time and stop_time must be finite")
    return trials


def _read_population(group, name):
    size = number(group, "n_neurons", 1, 2**31, whole=True)
    recorded, spiking = (bool(attribute(group, key)) for key in ("recorded", "spiking"))
    # Older recordings do not say it, but have one input of this name.
    is_input = bool(attribute(group, "input")) if "input" in group.attrs else name == "input"
    rest = recorded, spiking, json_object(group, "parameters"), is_input
    if "neuron_ids" not in group:
        return Population(name, size, np.arange(size), *rest)
    ids = dataset_of(group, "neuron_ids", 1, "iu")[:]
    if ids.size and not (ids.min() >= 0 and ids.max() < size and np.unique(ids).size == ids.size):
        raise InputError(f"{group.file.filename}: {group.name}/neuron_ids: must be different numbers in 0..{size - 1}")
    return Population(name, size, ids.astype(np.int64), *rest)
