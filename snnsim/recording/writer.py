"""Streams the trials of a run to SONATA files: flat memory, readable while they grow, whole after a kill."""

import json
import os
import socket
import time
import uuid
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import h5py
import numpy as np

from snnsim.errors import InputError
from snnsim.recording import layout
from snnsim.recording.circuit import write_circuit
from snnsim.recording.columns import Column
from snnsim.recording.packing import pack_spikes
from snnsim.recording.provenance import provenance
from snnsim.recording.repair import mend
from snnsim.recording.runs import writing

PENDING_BYTES = 64 * 2**20
"""A commit is due once this much waits."""


class TraceWriter:
    """Records batches of trials into a directory of SONATA files; a context manager.

    Trials lie one after another on one clock. After each commit (`flush_seconds`, or 64 MiB) the files hold all trials
    so far, for any reader that opens them in SWMR mode and also if this process is killed the next moment.

    Parameters
    ----------
    directory : str or Path
        Made if it does not exist.
    network : Network
        Gives populations, sizes and neuron parameters.
    duration : float
        Length of each trial, in network units.
    dt, scheme : float or None, str or None
        Step size and scheme; None for the event engine.
    engine : {"clock", "hybrid", "event"}
    record : sequence of {"spikes", "v", "i_syn"}
    layers : sequence of str, optional
        Populations to record; all if None. v and i_syn exist for all but ``input``.
    neurons : dict of str to sequence of int, optional
        Neurons to record, by population; all where none are named. Narrows spikes, v and i_syn.
    record_every : int
        Keep every so-manieth sample of v and i_syn: those at the ends of steps K, 2 K, ... of each trial.
    sample_step : float, optional
        Time between samples of v and i_syn, in network units; ``dt * record_every`` if None.
    off_grid : sequence of str, optional
        Populations whose spikes need not fall on multiples of dt: their exact times are stored beside the time
        stamps. None: all of them unless the engine is ``clock``.
    time_unit_ms : float
        Milliseconds a unit of network time; SONATA counts in milliseconds.
    voltage_unit, current_unit : str
        Names that the reports carry.
    report_dtype : dtype
        float32, as SONATA readers expect, or float64 to keep the voltages of a float64 simulation to the bit.
    config : dict, optional
        The resolved configuration; anything that JSON takes.
    seed : int, optional
    flush_seconds : float
        Longest time between commits while trials arrive; 0 commits each batch.
    overwrite : bool
        Replace an older recording in the directory.

    Raises
    ------
    InputError
        For options that do not fit together, or a directory that cannot be written or already holds a recording.
    """

    def __init__(
        self,
        directory,
        network,
        *,
        duration,
        dt=None,
        scheme=None,
        engine="clock",
        record=("spikes",),
        layers=None,
        neurons=None,
        record_every=1,
        sample_step=None,
        off_grid=None,
        time_unit_ms=1.0,
        voltage_unit="mV",
        current_unit="nA",
        report_dtype=np.float32,
        config=None,
        seed=None,
        flush_seconds=1.0,
        overwrite=False,
    ):
        self.directory = Path(directory)
        self.duration, self.dt, self.factor = float(duration), dt, float(time_unit_ms)
        self.record = _checked_names("record", record, layout.VARIABLES)
        self.layers = _checked_names("layers", network.populations if layers is None else layers, network.populations)
        self.trials = self._committed = 0
        _check_positive("duration", self.duration)
        _check_positive("time_unit_ms", self.factor)
        if not (isinstance(record_every, int | np.integer) and record_every >= 1):
            raise InputError(f"record_every = {record_every!r}: must be a whole number, at least 1")
        sizes = dict(zip(network.populations, network.layers, strict=True))
        selection = _checked_neurons(neurons, sizes)
        self._reports = [name for name in self.record if name != "spikes"]
        if sample_step is None:
            if dt is None and self._reports:
                raise InputError("sample_step = None: without dt, recording v or i_syn needs a sample_step")
            sample_step = self.duration if dt is None else float(dt) * record_every
        _check_positive("sample_step", sample_step)
        self._step = float(sample_step)
        if self._reports and self._step > self.duration * (1 + 1e-9):
            raise InputError(f"sample_step = {self._step:g} (dt * record_every): exceeds a trial of {self.duration:g}")
        self._frames = layout.frames_per_trial(self.duration, self._step)
        self._stride = (self._frames * self._step if self._reports else self.duration) * self.factor
        self._phase = None
        self._flush_seconds, self._last_commit, self._pending = flush_seconds, time.monotonic(), 0
        exact = set(self.layers if engine != "clock" or dt is None else ()) if off_grid is None else set(off_grid)
        _checked_names("off_grid", exact, network.populations)

        attributes = {
            "kind": "traces",
            "layout": layout.LAYOUT,
            "run_id": uuid.uuid4().hex,
            "record": list(self.record),
            "duration": self.duration,
            "time_unit_ms": self.factor,
            "voltage_unit": voltage_unit,
            "current_unit": current_unit,
            "dt": float("nan") if dt is None else float(dt),
            "scheme": scheme or "",
            "engine": engine,
            "record_every": int(record_every),
            "sample_step": self._step,
            "frames_per_trial": self._frames,
            "phase": layout.PHASE,
            "seed": "" if seed is None else str(seed),
            "config": json.dumps(config or {}, default=_plain),
            "provenance": json.dumps(provenance()),
            "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "pid": os.getpid(),
            "host": socket.gethostname(),
        }
        self._make_room(overwrite)
        self._files = {}
        try:
            with writing(self.directory):
                self._create_index(network, sizes, selection, exact, attributes)
                for variable in self._reports:
                    unit = voltage_unit if variable == "v" else current_unit
                    self._create_report(variable, unit, sizes, selection, np.dtype(report_dtype), attributes)
                units = {"v": voltage_unit, "i_syn": current_unit}
                self._circuit = sizes, {name: units[name] for name in self._reports}, self._step * self.factor
                write_circuit(self.directory, *self._circuit, stop_ms=0.0)
                for file in self._files.values():
                    file.flush()
                    file.swmr_mode = True
        except BaseException:
            self._abandon()
            raise

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        self.close()

    def append(self, recording, *, sample_index=None, label=None, prediction=None, split="", epoch=None):
        """Append a batch of trials.

        Parameters
        ----------
        recording : Recording
        sample_index, label, prediction, epoch : int or (B,) array of int, optional
            -1 where not given.
        split : str
            Such as ``train`` or ``test``; at most 16 ASCII characters.

        Raises
        ------
        InputError
            If the recording does not fit this file (nothing of it is then written), or the disk refuses (all
            trials of earlier commits stay readable, and this writer is closed).
        """
        if not self._files:
            raise InputError(f"{self.directory}: this recording is closed")
        if abs(recording.duration - self.duration) > 1e-9 * self.duration:
            raise InputError(f"duration = {recording.duration:g}: the trials of this recording last {self.duration:g}")
        layers = [_layer(recording, name) for name in self.layers]
        size = len(layers[0].spikes)
        fields = self._trial_fields(recording, size, sample_index, label, prediction, split, epoch)
        packed = [self._pack(layer, fields["start_time"]) for layer in layers] if self._spikes else []
        blocks = [
            (variable, layer.name, self._block(layer, variable, size))
            for variable in self._reports
            for layer in layers
            if layer.name != "input"
        ]
        try:
            with writing(self.directory):
                for layer, arrays in zip(layers, packed, strict=bool(packed)):
                    self._append_spikes(layer.name, arrays)
                for variable, name, block in blocks:
                    self._columns[variable, name].append(block)
                    self._pending += block.nbytes
                for name, values in fields.items():
                    self._columns["trials", name].append(values)
                self.trials += size
                late = time.monotonic() - self._last_commit >= self._flush_seconds
                if late or self._pending >= PENDING_BYTES:
                    self._commit()
        except BaseException:
            self._abandon()
            raise

    def flush(self):
        """Commit what has been appended: from now on it survives this process."""
        try:
            with writing(self.directory):
                self._commit()
        except BaseException:
            self._abandon()
            raise

    def close(self):
        """Commit and close; harmless if already closed."""
        if self._files:
            self.flush()
            files, self._files = self._files, {}
            with writing(self.directory):
                for file in files.values():
                    file.close()
                write_circuit(self.directory, *self._circuit, stop_ms=self.trials * self._stride)

    # creating

    def _make_room(self, overwrite):
        with writing(self.directory):
            self.directory.mkdir(parents=True, exist_ok=True)
            old = [self.directory / name for name in layout.FILES if (self.directory / name).exists()]
            if old and not overwrite:
                raise InputError(f"{self.directory}: already holds a recording ({old[0].name}); choose to overwrite it")
            for path in old:
                path.unlink()

    def _open(self, name):
        file = h5py.File(self.directory / name, "w", libver=("v110", "v110"))
        self._files[name] = file
        file.attrs["magic"] = np.uint32(layout.SONATA_MAGIC)
        file.attrs["version"] = np.array(layout.SONATA_VERSION, np.uint32)
        return file

    def _create_index(self, network, sizes, selection, exact, attributes):
        file = self._open(layout.INDEX)
        about = file.create_group("snnsim")
        for key, value in attributes.items():
            about.attrs[key] = value
        self._columns = {}
        table = about.create_group("trials")
        for name, kind in layout.TRIAL_FIELDS.items():
            column = _extendible(table, name, kind, layout.TRIAL_CHUNK)
            if name in layout.TRIAL_UNITS:
                column.attrs["units"] = layout.TRIAL_UNITS[name]
            self._columns["trials", name] = Column(column)
        self._complete = about.create_dataset("complete", data=np.zeros(1, np.int64))
        self._slots, self._counts, self._wanted = {}, {}, {}
        self._spikes = "spikes" in self.record
        for k, name in enumerate(network.populations):
            group = about.create_group(f"populations/{name}")
            group.attrs["n_neurons"] = sizes[name]
            group.attrs["order"] = k
            group.attrs["recorded"] = name in self.layers
            group.attrs["spiking"] = bool(k == 0 or network.spikes_in(k - 1))
            group.attrs["parameters"] = json.dumps(asdict(network.parameters[k - 1]) if k else {})
            if name in selection:
                group.create_dataset("neuron_ids", data=selection[name].astype(np.uint64))
            if not self._spikes or name not in self.layers:
                continue
            wanted = np.zeros(sizes[name], bool)
            wanted[selection.get(name, slice(None))] = True
            self._wanted[name], self._counts[name] = wanted, np.zeros(sizes[name], np.int64)
            for field, kind in (("spike_end", np.int64), ("on_grid", np.bool_)):
                self._columns[field, name] = Column(_extendible(group, field, kind, layout.TRIAL_CHUNK))
            self._slots[name] = (
                group.create_dataset("counts", data=np.zeros((2, sizes[name]), np.int64)),
                group.create_dataset("counts_trials", data=np.zeros(2, np.int64)),
            )
            spikes = file.create_group(f"spikes/{name}")
            spikes.attrs.create("sorting", 2, dtype=layout.SORTING)
            chunk = layout.spike_chunk(sizes[name])
            columns = {"timestamps": np.float64, "node_ids": np.uint32, "trial_ids": np.uint32}
            if name in exact:
                columns["trial_times"] = np.float64
            for field, kind in columns.items():
                self._columns[field, name] = Column(_extendible(spikes, field, kind, chunk))
            spikes["timestamps"].attrs["units"] = "ms"
            # bmtk looks for the order here, as text, before it looks at the enum of the group.
            spikes["node_ids"].attrs["sorting"] = "by_time"
            if name in exact:
                spikes["trial_times"].attrs["units"] = f"{self.factor:.17g} ms"

    def _create_report(self, variable, unit, sizes, selection, dtype, attributes):
        file = self._open(layout.REPORTS[variable])
        about = file.create_group("snnsim")
        about.attrs["kind"] = "report"
        for key in ("layout", "run_id", "pid", "host"):
            about.attrs[key] = attributes[key]
        self._times = getattr(self, "_times", [])
        self._elements = getattr(self, "_elements", {})
        for name in self.layers:
            if name == "input":
                continue
            ids = selection.get(name, np.arange(sizes[name]))
            self._elements[name] = ids
            group = file.create_group(f"report/{name}")
            chunk = layout.report_chunk(len(ids), dtype.itemsize)
            data = _extendible(group, "data", dtype, chunk, len(ids))
            data.attrs["units"] = unit
            data.attrs["variable"] = variable
            self._columns[variable, name] = Column(data)
            mapping = group.create_group("mapping")
            mapping.create_dataset("node_ids", data=ids.astype(np.uint64)).attrs.create("sorted", 1, dtype=np.uint8)
            mapping.create_dataset("index_pointers", data=np.arange(len(ids) + 1, dtype=np.uint64))
            mapping["index_pointer"] = mapping["index_pointers"]
            mapping.create_dataset("element_ids", data=np.zeros(len(ids), np.uint32))
            mapping.create_dataset("element_pos", data=np.zeros(len(ids)))
            step = self._step * self.factor
            clock = mapping.create_dataset("time", data=np.array([step, step, step]))
            clock.attrs["units"] = "ms"
            self._times.append(clock)

    # appending

    def _trial_fields(self, recording, size, sample_index, label, prediction, split, epoch):
        start = np.arange(self.trials, self.trials + size) * self._stride
        fields = {"start_time": start, "stop_time": start + self.duration * self.factor}
        given = {"sample_index": sample_index, "label": label, "prediction": prediction, "epoch": epoch}
        for name, value in given.items():
            value = np.asarray(layout.UNKNOWN if value is None else value)
            if value.dtype.kind not in "iu" or value.shape not in ((), (size,)):
                raise InputError(f"{name}: must be one integer or one a trial ({size})")
            fields[name] = np.ascontiguousarray(np.broadcast_to(value, size), np.int64)
        if not split.isascii() or len(split) > layout.SPLIT.itemsize:
            raise InputError(f"split = {split!r}: must be at most {layout.SPLIT.itemsize} ASCII characters")
        fields["split"] = np.full(size, split.encode(), layout.SPLIT)
        output = recording.layers[-1].spikes
        begin, end = output.offsets[:-1], output.offsets[1:]
        first = np.full(size, np.nan)
        first[end > begin] = output.times[begin[end > begin]] * self.factor
        fields["first_spike"] = first
        return {name: fields[name] for name in layout.TRIAL_FIELDS}

    def _pack(self, layer, starts):
        spikes, wanted = layer.spikes, self._wanted[layer.name]
        if len(spikes) != len(starts) or spikes.n_neurons != wanted.size:
            raise InputError(
                f"{layer.name}: {len(spikes)} trials of {spikes.n_neurons} neurons; expected {len(starts)} of "
                f"{wanted.size}"
            )
        n = spikes.times.size
        stamps, nodes, trials = np.empty(n), np.empty(n, np.uint32), np.empty(n, np.uint32)
        ends, on_grid = np.empty(len(starts), np.int64), np.empty(len(starts), np.bool_)
        counts = self._counts[layer.name].copy()
        last = self.trials + len(starts)
        # Beyond this, the clock's rounding could no longer tell grid points apart.
        grid = float(self.dt or 0.0) if np.spacing(last * self._stride) * 64 < (self.dt or 0) * self.factor else 0.0
        times, neurons = np.ascontiguousarray(spikes.times, np.float64), np.ascontiguousarray(spikes.neurons)
        kept = pack_spikes(
            times,
            neurons,
            np.ascontiguousarray(spikes.offsets, np.int64),
            starts,
            np.append(starts[1:], last * self._stride),
            self.factor,
            grid,
            wanted,
            self.duration * (1 + 1e-9),
            self.trials,
            stamps,
            nodes,
            trials,
            counts,
            ends,
            on_grid,
        )
        if kept < 0:
            bad = -1 - kept
            raise InputError(
                f"{layer.name}: spike {bad} (neuron {neurons[bad]}, time {times[bad]:g}): times must ascend within "
                f"0..{self.duration:g} and neurons lie in 0..{wanted.size - 1}"
            )
        exact = None
        if ("trial_times", layer.name) in self._columns:
            exact = times if kept == n else times[wanted[neurons]]
        return stamps[:kept], nodes[:kept], trials[:kept], exact, counts, ends, on_grid

    def _append_spikes(self, name, arrays):
        stamps, nodes, trials, exact, counts, ends, on_grid = arrays
        columns = self._columns
        ends += columns["timestamps", name].rows
        columns["timestamps", name].append(stamps)
        columns["node_ids", name].append(nodes)
        columns["trial_ids", name].append(trials)
        if exact is not None:
            columns["trial_times", name].append(exact)
        columns["spike_end", name].append(ends)
        columns["on_grid", name].append(on_grid)
        self._counts[name] = counts
        self._pending += 16 * stamps.size

    def _block(self, layer, variable, size):
        """Rows of a report for a batch: (size * frames, M), NaN where a trial has no sample."""
        values, ids = getattr(layer, variable), self._elements[layer.name]
        if values is None:
            raise InputError(f"{layer.name}: the recording has no {variable}")
        if values.shape != (size, layer.sample_times.size, layer.neuron_ids.size):
            raise InputError(
                f"{layer.name}: {variable} has shape {values.shape}, not trials x samples x neurons = "
                f"{(size, layer.sample_times.size, layer.neuron_ids.size)}"
            )
        values = values[:, self._samples(layer.sample_times)]
        if not np.array_equal(layer.neuron_ids, ids):
            where = {int(n): k for k, n in enumerate(layer.neuron_ids)}
            lacking = [n for n in ids.tolist() if n not in where]
            if lacking:
                raise InputError(f"{layer.name}: the recording lacks neuron {lacking[0]}")
            values = values[:, :, [where[n] for n in ids.tolist()]]
        dtype = self._columns[variable, layer.name].dataset.dtype
        if values.shape[1] == self._frames:
            block = np.ascontiguousarray(values, dtype)
        else:
            block = np.full((size, self._frames, len(ids)), np.nan, dtype)
            block[:, : values.shape[1]] = values
        return block.reshape(size * self._frames, len(ids))

    def _samples(self, times):
        """Which of an engine's samples to keep: a slice; notes the time of the first one in a trial."""
        times = np.asarray(times, np.float64)
        spacing = times[1] - times[0] if times.size > 1 else self._step
        every = max(1, round(self._step / spacing))
        uniform = np.allclose(np.diff(times), spacing, rtol=1e-6, atol=0) if times.size else False
        if not uniform or abs(every * spacing - self._step) > 1e-6 * self._step:
            raise InputError(
                f"samples every {spacing:g}: this recording keeps one every {self._step:g}; the engine must sample "
                "evenly, and this be a multiple of its spacing"
            )
        keep = slice(every - 1, None, every)
        kept = times[keep]
        if kept.size == 0:
            return keep
        phase = float(kept[0])
        if kept.size > self._frames or not -1e-9 <= phase <= self._step * (1 + 1e-9):
            raise InputError(
                f"{kept.size} samples from {phase:g} on: a trial of {self.duration:g} has {self._frames} samples, the "
                f"first within {self._step:g}"
            )
        if self._phase is None:
            self._phase = phase
        elif abs(phase - self._phase) > 1e-9 * self._step:
            raise InputError(f"first sample at {phase:g}: earlier batches have it at {self._phase:g}")
        return keep

    # committing

    def _commit(self):
        """Make all appended trials part of the files: data first, then the count that readers trust."""
        for key, column in self._columns.items():
            if key[0] in layout.REPORTS:
                column.flush()
        if self._phase is not None:
            first, step = self._phase * self.factor, self._step * self.factor
            for clock in self._times:
                clock[...] = [first, first + self.trials * self._frames * step, step]
        for name, file in self._files.items():
            if name != layout.INDEX:
                file.flush()
        for key, column in self._columns.items():
            if key[0] not in layout.REPORTS:
                column.flush()
        for name, (counts, trials) in self._slots.items():
            # Two slots in turn: one of them always belongs to the trials that `complete` names.
            slot = 1 if int(trials[1]) < int(trials[0]) else 0
            if int(trials[1 - slot]) != self.trials:
                counts[slot] = self._counts[name]
                trials[slot] = self.trials
        index = self._files[layout.INDEX]
        index.flush()
        self._complete[0] = self.trials
        index.flush()
        self._committed, self._pending, self._last_commit = self.trials, 0, time.monotonic()

    def _abandon(self):
        """Close after a failure, cut back to the last commit, as far as the disk lets us."""
        files, self._files = self._files, {}
        # What led here is being raised already and names the cause; what fails here, `repair` can do later.
        for file in files.values():
            with suppress(OSError, RuntimeError):
                file.close()
        for name in files:
            with suppress(InputError):
                mend(self.directory / name, self._committed, self._frames)


def _extendible(group, name, dtype, chunk, width=None):
    tail = () if width is None else (width,)
    # SPACE_ALLOC and fill are left to the direct chunk writes: HDF5 must not write fill values first.
    dcpl = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    dcpl.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    return group.create_dataset(
        name, shape=(0, *tail), maxshape=(None, *tail), dtype=dtype, chunks=(chunk, *tail), dcpl=dcpl
    )


def _layer(recording, name):
    try:
        return recording[name]
    except KeyError:
        raise InputError(f"layer {name}: the simulation did not record it") from None


def _plain(value):
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    raise InputError(f"config: {value!r} cannot be stored")


def _check_positive(name, value):
    if not 0 < value < float("inf"):
        raise InputError(f"{name} = {value}: must be a positive number")


def _checked_names(option, names, allowed):
    names = (names,) if isinstance(names, str) else tuple(names)
    for name in names:
        if name not in allowed:
            raise InputError(f"{option} = {name!r}: must be one of {', '.join(allowed)}")
    return tuple(name for name in allowed if name in names)


def _checked_neurons(neurons, sizes):
    selection = {}
    for name, ids in (neurons or {}).items():
        if name not in sizes:
            raise InputError(f"neurons of {name!r}: must be one of {', '.join(sizes)}")
        ids = np.unique(np.asarray(ids))
        if ids.size == 0 or ids.dtype.kind not in "iu" or ids[0] < 0 or ids[-1] >= sizes[name]:
            raise InputError(f"neurons of {name}: must be some of 0..{sizes[name] - 1}")
        selection[name] = ids.astype(np.int64)
    return selection
