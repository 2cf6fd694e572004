"""Streams the trials of a run to SONATA files: flat memory, readable while they grow, whole after a kill."""

import json
import os
import socket
import time
import uuid
from contextlib import suppress
from pathlib import Path

import numpy as np

from snnsim.errors import InputError
from snnsim.files.atomic import writing
from snnsim.recording import layout
from snnsim.recording.circuit import write_circuit, write_simulation
from snnsim.recording.clock import Clock
from snnsim.recording.lock import Lock
from snnsim.recording.options import check_positive, checked_names, checked_neurons, plain
from snnsim.recording.packing import pack_neurons, stamp_runs
from snnsim.recording.provenance import provenance
from snnsim.recording.repair import mend
from snnsim.recording.sampling import Sampling
from snnsim.recording.skeleton import create_index, create_report
from snnsim.recording.space import close
from snnsim.recording.superblock import trim
from snnsim.recording.units import checked_unit

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
    time_unit : {"ms", "s", ""}
        In which times are shown; empty where the network has no unit of time.
    time_unit_ms : float
        Milliseconds a unit of network time; SONATA counts in milliseconds.
    voltage_unit, current_unit : str
        Names that the reports carry and plots show; empty for none.
    report_dtype : dtype
        float32, as SONATA readers expect, or float64 to keep the voltages of a float64 simulation to the bit.
    config : dict, optional
        The resolved configuration; anything that JSON takes.
    seed : int, optional
    flush_seconds : float
        Longest time between commits while trials arrive; 0 commits each batch.
    overwrite : bool
        Replace an older recording in the directory.
    continuous : bool
        Trials are pieces of one long run.

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
        time_unit="ms",
        time_unit_ms=1.0,
        voltage_unit="mV",
        current_unit="nA",
        report_dtype=np.float32,
        config=None,
        seed=None,
        flush_seconds=1.0,
        overwrite=False,
        continuous=False,
    ):
        self.directory = Path(directory)
        self.duration, self.dt, self.factor = float(duration), dt, float(time_unit_ms)
        self.record = checked_names("record", record, layout.VARIABLES)
        self.layers = checked_names("layers", network.populations if layers is None else layers, network.populations)
        if not self.record or not self.layers:
            raise InputError(f"record = {record!r}, layers = {layers!r}: must name at least one each")
        self.trials = self._committed = 0
        check_positive("duration", self.duration)
        check_positive("time_unit_ms", self.factor)
        if not (isinstance(record_every, int | np.integer) and record_every >= 1):
            raise InputError(f"record_every = {record_every!r}: must be a whole number, at least 1")
        sizes = network.sizes
        selection = checked_neurons(neurons, sizes)
        self._reports = [name for name in self.record if name != "spikes"]
        if sample_step is None:
            if dt is None and self._reports:
                raise InputError("sample_step = None: without dt, recording v or i_syn needs a sample_step")
            sample_step = self.duration if dt is None else float(dt) * record_every
        check_positive("sample_step", sample_step)
        self._step = float(sample_step)
        if self._reports and self._step > self.duration * (1 + 1e-9):
            raise InputError(f"sample_step = {self._step:g} (dt * record_every): exceeds a trial of {self.duration:g}")
        self._frames = layout.frames_per_trial(self.duration, self._step)
        self._stride = (self._frames * self._step if self._reports else self.duration) * self.factor
        self._clock = Clock(self.duration * self.factor, self._stride, None if dt is None else float(dt) * self.factor)
        self._flush_seconds, self._last_commit, self._pending = flush_seconds, time.monotonic(), 0
        exact = set(self.layers if engine != "clock" or dt is None else ()) if off_grid is None else set(off_grid)
        checked_names("off_grid", exact, network.populations)

        attributes = {
            "kind": "traces",
            "layout": layout.LAYOUT,
            "run_id": uuid.uuid4().hex,
            "record": list(self.record),
            "duration": self.duration,
            "time_unit": checked_unit(time_unit),
            "time_unit_ms": self.factor,
            "voltage_unit": voltage_unit,
            "current_unit": current_unit,
            "dt": float("nan") if dt is None else float(dt),
            "scheme": scheme or "",
            "engine": engine,
            "record_every": int(record_every),
            "sample_step": self._step,
            "frames_per_trial": self._frames,
            "continuous": bool(continuous),
            "phase": layout.PHASE,
            "seed": "" if seed is None else str(seed),
            "config": json.dumps(config or {}, default=plain),
            "provenance": json.dumps(provenance()),
            "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "pid": os.getpid(),
            "host": socket.gethostname(),
        }
        with writing(self.directory):
            self.directory.mkdir(parents=True, exist_ok=True)
        self._lock, self._files = Lock(self.directory), {}
        try:
            self._make_room(overwrite)
        except BaseException:
            self._lock.release()
            raise
        try:
            with writing(self.directory):
                self._create(network, selection, exact, attributes, np.dtype(report_dtype))
                units = {"v": voltage_unit, "i_syn": current_unit}
                self._simulation = {name: units[name] for name in self._reports}, self._step * self.factor
                write_circuit(self.directory, network)
                write_simulation(self.directory, *self._simulation, stop_ms=0.0)
                for file, space in zip(self._files.values(), self._spaces, strict=True):
                    space.reserve()
                    file.flush()
                    file.swmr_mode = True
        except BaseException:
            self._abandon()
            for name in layout.FILES:  # without a trial: another attempt shall find the place free
                (self.directory / name).unlink(missing_ok=True)
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
        packed = [self._pack(layer, fields["start_time"]) for layer in layers] if self._index.wanted else []
        blocks = [
            (column, self._sampling.block(layer, variable, size, column.dataset.dtype))
            for layer in layers
            for variable in self._reports
            if (column := self._frame_columns.get((variable, layer.name))) is not None
        ]
        try:
            with writing(self.directory):
                for layer, arrays in zip(layers, packed, strict=bool(packed)):
                    self._append_spikes(layer.name, arrays)
                for column, block in blocks:
                    column.append(block)
                    self._pending += block.nbytes
                for name, values in fields.items():
                    self._columns["trials", name].append(values)
                    self._pending += values.nbytes
                self.trials += size
                late = time.monotonic() - self._last_commit >= self._flush_seconds
                if late or self._pending >= PENDING_BYTES:
                    self._commit()
        except BaseException:
            self._abandon()
            raise

    def flush(self):
        """Commit what has been appended: from now on it survives this process."""
        if not self._files:
            raise InputError(f"{self.directory}: this recording is closed")
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
            try:
                with writing(self.directory):
                    while self._files:
                        name, file = self._files.popitem()
                        close(file)
                        trim(self.directory / name)
                    write_simulation(self.directory, *self._simulation, stop_ms=self.trials * self._stride)
            except BaseException:
                self._abandon()
                raise
            self._lock.release()

    # creating

    def _make_room(self, overwrite):
        with writing(self.directory):
            for path in check_place(self.directory, overwrite):
                path.unlink()

    def _create(self, network, selection, exact, attributes, dtype):
        path = self.directory / layout.INDEX
        self._index = create_index(path, network, self.layers, selection, exact, self._clock.digits, attributes)
        self._files[layout.INDEX] = self._index.file
        self._spaces = [self._index.space]
        self._counts = {name: np.zeros(wanted.size, np.int64) for name, wanted in self._index.wanted.items()}
        self._columns = self._index.columns
        elements = {
            k: selection.get(k, np.arange(network.sizes[k]))
            for k in self.layers
            if not network.populations_by_name[k].is_input
        }
        self._sampling = Sampling(self.duration, self._step, self._frames, elements)
        self._frame_columns, self._clocks = {}, []
        for variable in self._reports:
            unit = attributes["voltage_unit" if variable == "v" else "current_unit"]
            path = self.directory / layout.REPORTS[variable]
            report = create_report(path, variable, unit, elements, dtype, self._step * self.factor, attributes)
            self._files[layout.REPORTS[variable]] = report.file
            self._spaces.append(report.space)
            self._frame_columns |= {(variable, name): column for name, column in report.columns.items()}
            self._clocks += report.clocks

    # appending

    def _trial_fields(self, recording, size, sample_index, label, prediction, split, epoch):
        trials = np.arange(self.trials, self.trials + size)
        fields = {"start_time": self._clock.starts(trials), "stop_time": self._clock.stops(trials)}
        given = {"sample_index": sample_index, "label": label, "prediction": prediction, "epoch": epoch}
        for name, value in given.items():
            value = np.asarray(layout.UNKNOWN if value is None else value)
            if value.dtype.kind not in "iu" or value.shape not in ((), (size,)):
                raise InputError(f"{name}: must be one integer or one a trial ({size})")
            fields[name] = np.full(size, value, np.int64)
        if not split.isascii() or len(split) > layout.SPLIT.itemsize:
            raise InputError(f"split = {split!r}: must be at most {layout.SPLIT.itemsize} ASCII characters")
        fields["split"] = np.full(size, split.encode(), layout.SPLIT)
        first = np.full(size, np.nan)
        if recording.layers[-1].name == "output":
            output = recording.layers[-1].spikes
            begin, end = output.offsets[:-1], output.offsets[1:]
            first[end > begin] = output.times[begin[end > begin]] * self.factor
        fields["first_spike"] = first
        return {name: fields[name] for name in layout.TRIAL_FIELDS}

    def _pack(self, layer, starts):
        spikes, wanted = layer.spikes, self._index.wanted[layer.name]
        if len(spikes) != len(starts) or spikes.n_neurons != wanted.size:
            raise InputError(
                f"{layer.name}: {len(spikes)} trials of {spikes.n_neurons} neurons; expected {len(starts)} of "
                f"{wanted.size}"
            )
        (entries, begins), edges, exact = spikes.lists(), spikes.offsets, None
        counts = np.zeros(wanted.size, np.int64)
        codes = np.empty(edges[-1], self._columns["node_ids", layer.name].dtype)
        good = pack_neurons(entries, begins, edges, counts, codes)
        if good < codes.size:
            raise InputError(
                f"{layer.name}: neuron {spikes.neurons[good]} of spike {good}: must lie in 0..{wanted.size - 1}"
            )
        times, ends, trial_runs = spikes.runs()
        if ("trial_times", layer.name) in self._columns:
            exact = spikes.times
        if not wanted.all():
            keep = wanted[spikes.neurons]
            before = np.concatenate([[0], np.cumsum(keep)])
            codes, ends, edges = codes[keep], before[ends], before[edges]
            exact = None if exact is None else exact[keep]
        trials = np.arange(self.trials, self.trials + len(starts) + 1)
        # Beyond this, the clock's rounding could no longer tell grid points apart.
        grid = float(self.dt or 0) if np.spacing(trials[-1] * self._stride) * 64 < (self.dt or 0) * self.factor else 0.0
        stamps, stamp_ends, on_grid = np.empty(times.size), np.empty(times.size, np.int64), np.empty(len(starts), bool)
        runs = stamp_runs(
            times,
            ends,
            trial_runs,
            starts,
            self._clock.starts(trials[1:]),
            self.factor,
            grid,
            self._clock.start_ticks(trials),
            self._clock.step_ticks,
            self._clock.scale,
            self.duration * (1 + 1e-9),
            stamps,
            stamp_ends,
            on_grid,
        )
        if runs < 0:
            raise InputError(
                f"{layer.name}: spike time {times[-1 - runs]:g}: times must ascend within 0..{self.duration:g}"
            )
        return codes, stamps[:runs], stamp_ends[:runs], exact, counts * wanted, edges, on_grid

    def _append_spikes(self, name, arrays):
        codes, stamps, stamp_ends, exact, counts, edges, on_grid = arrays
        columns = self._columns
        row = columns["node_ids", name].rows
        spiking = np.flatnonzero(np.diff(edges))
        columns["timestamps", name].append(stamps, row + stamp_ends)
        columns["node_ids", name].append(codes)
        columns["trial_ids", name].append(self.trials + spiking, row + edges[spiking + 1])
        if exact is not None:
            columns["trial_times", name].append(exact)
        columns["spike_end", name].append(row + edges[1:])
        columns["on_grid", name].append(on_grid)
        self._counts[name] += counts
        self._pending += layout.SPIKE_BYTES * codes.size

    # committing

    def _commit(self):
        """Make all appended trials part of the files: data first, then the count that readers trust."""
        for column in self._frame_columns.values():
            column.flush()
        if self._sampling.phase is not None:
            first, step = self._sampling.phase * self.factor, self._step * self.factor
            for clock in self._clocks:
                clock[...] = [first, first + self.trials * self._frames * step, step]
        for column in self._columns.values():
            column.flush()
        for space in self._spaces:
            space.reserve()
        for name, file in self._files.items():
            if name != layout.INDEX:
                file.flush()
        for name, (counts, trials) in self._index.slots.items():
            # Two slots in turn: one of them always belongs to the trials that `complete` names.
            slot = 1 if int(trials[1]) < int(trials[0]) else 0
            if int(trials[1 - slot]) != self.trials:
                counts[slot] = self._counts[name]
                trials[slot] = self.trials
        self._index.file.flush()
        self._index.complete[0] = self.trials
        self._index.file.flush()
        self._committed, self._pending, self._last_commit = self.trials, 0, time.monotonic()

    def _abandon(self):
        """Close after a failure, cut back to the last commit, as far as the disk lets us."""
        files, self._files = self._files, {}
        # What led here is being raised already and names the cause; what fails here, `repair` can do later.
        for file in files.values():
            with suppress(OSError, RuntimeError):
                close(file)
        for name in files:
            with suppress(InputError):
                mend(self.directory / name, self._committed, self._frames)
        self._lock.release()


def check_place(directory, overwrite):
    """Files of a recording that are in a directory; InputError if there are any, unless they may be overwritten."""
    old = [Path(directory) / name for name in layout.FILES if (Path(directory) / name).exists()]
    if old and not overwrite:
        raise InputError(f"{directory}: already holds a recording ({old[0].name}); --force replaces it")
    return old


def _layer(recording, name):
    try:
        return recording[name]
    except KeyError:
        raise InputError(f"layer {name}: the simulation did not record it") from None
