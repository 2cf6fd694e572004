"""Lazy reader of recordings: trials, spikes and voltages by trial, population, neuron and time window."""

import itertools
import json
from dataclasses import dataclass

import h5py
import numpy as np

from snnsim.errors import InputError
from snnsim.recorded import LayerRecording, Recording
from snnsim.recording import layout
from snnsim.recording.opening import open_file, open_index, recording_directory
from snnsim.recording.runs import reading
from snnsim.recording.superblock import marked
from snnsim.spikes import Spikes

PIECE_BYTES = 32 * 2**20
"""Selections from more than this are read and narrowed piece by piece."""


def open_traces(path):
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
                t, n, trials = self._read_spikes(columns, first, last, edges[first], edges[last], on_grid)
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
            np.concatenate(ids) if ids else np.empty(0, np.int32),
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

    def _read_spikes(self, columns, first, last, begin, end, on_grid):
        rows = slice(int(begin), int(end))
        nodes = columns["node_ids"][rows].astype(np.int32)
        trials = columns["trial_ids"][rows].astype(np.int64)
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
            path = self.directory / name
            file = open_file(path)
            about = file.get("snnsim")
            if about is None or about.attrs.get("run_id") != self.info["run_id"]:
                file.close()
                raise InputError(f"{path}: belongs to another recording than {layout.INDEX} beside it")
            self._files[name] = file
        return self._files[name]

    def _report_grid(self, variable, layer):
        """Return ``(data, first, step, frames, kept)``: first and step in network units, frames a trial, real ones."""
        file = self._report_file(variable)
        group = file.get(f"report/{layer}")
        if group is None or "data" not in group or "mapping/time" not in group:
            raise InputError(f"{file.filename}: lacks /report/{layer}/data or its mapping")
        step, frames = self.info["sample_step"], int(self.info["frames_per_trial"])
        first = float(group["mapping/time"][0]) / self.info["time_unit_ms"]
        duration = self.info["duration"]
        kept = min(frames, int(np.floor((duration - first) / step * (1 + 1e-12) + 1e-9)) + 1)
        if group["data"].shape[0] < len(self) * frames:
            raise InputError(f"{file.filename}: /report/{layer}/data ends before the last of {len(self)} trials")
        return group["data"], first, step, frames, kept

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
            slots = np.flatnonzero(group["counts_trials"][:] == len(self))
            if slots.size == 0:
                raise InputError(f"{self._file.filename}: the spike counts of {layer} do not match its trials")
            return group["counts"][int(slots[0])]

    def to_neo(self, trial=None, layers=None):
        """Neo Block of some trials, one Segment a trial; see `snnsim.recording.neo_block`."""
        from snnsim.recording.neo_block import to_neo

        return to_neo(self, trial, layers)

    # arguments

    def _read_index(self):
        file, path = self._file, self._file.filename
        about = file["snnsim"]
        self.info = {key: _attribute(about.attrs[key]) for key in about.attrs}
        self.config = json.loads(self.info.pop("config"))
        self.provenance = json.loads(self.info.pop("provenance"))
        self.info["record"] = list(self.info["record"])
        complete = int(about["complete"][0])
        self.trials = np.recarray(complete, layout.trial_dtype())
        for name in layout.TRIAL_FIELDS:
            column = about["trials"][name]
            if len(column) < complete:
                raise InputError(f"{path}: /snnsim/trials/{name} ends before the last of {complete} trials")
            self.trials[name] = column[:complete]
        self.populations = {}
        for name, group in sorted(about["populations"].items(), key=lambda item: item[1].attrs["order"]):
            size = int(group.attrs["n_neurons"])
            ids = group["neuron_ids"][:].astype(np.int64) if "neuron_ids" in group else np.arange(size)
            recorded, spiking = bool(group.attrs["recorded"]), bool(group.attrs["spiking"])
            is_input = bool(group.attrs.get("input", name == "input"))
            self.populations[name] = Population(
                name, size, ids, recorded, spiking, json.loads(group.attrs["parameters"]), is_input
            )
            if recorded and "spikes" in self.info["record"]:
                for field in ("timestamps", "node_ids", "trial_ids"):
                    if f"spikes/{name}/{field}" not in file:
                        raise InputError(f"{path}: lacks the group or dataset /spikes/{name}/{field}")

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


def _attribute(value):
    if isinstance(value, h5py.Empty):
        return ""
    return value.item() if isinstance(value, np.generic) else value.tolist() if isinstance(value, np.ndarray) else value
