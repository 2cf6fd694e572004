"""A recording that is followed: read into memory piece by piece, on and on while it grows, and what went wrong said."""

import os
import threading
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from snnsim.errors import InputError
from snnsim.recording.reader import open_traces
from snnsim.recording.units import units_of

MOST_SPIKES = 40_000_000
"""Spikes that are kept in memory, at 12 bytes each."""
PIECE = 1_000_000
"""Spikes that are read at once, about."""

HDF5 = threading.RLock()
"""Held by whoever reads files; one for all, since files are looked at in a forked process before they are opened."""


@dataclass
class Train:
    """Spikes of one population so far.

    Attributes
    ----------
    times : ndarray, float64
        On the common clock, in the shown unit, ascending; those from ``count`` on mean nothing.
    rows : ndarray, int32
        Place of the neuron among the recorded ones.
    count : int
    ends : list of int
        Where each trial ends in them.
    """

    times: np.ndarray = field(default_factory=lambda: np.empty(0))
    rows: np.ndarray = field(default_factory=lambda: np.empty(0, np.int32))
    count: int = 0
    ends: list[int] = field(default_factory=list)

    def append(self, times, rows, offsets):
        """Put the spikes of some trials, which begin at ``offsets``, behind those that are there."""
        self.ends += (self.count + offsets[1:]).tolist()
        end = self.count + len(times)
        if end > len(self.times):
            self.reserve(max(end, self.count + self.count // 4 + 4096))
        self.times[self.count : end], self.rows[self.count : end] = times, rows
        self.count = end

    def reserve(self, size):
        """Make room for so many spikes in all."""
        for name in ("times", "rows"):
            old = getattr(self, name)
            new = np.empty(size, old.dtype)
            new[: self.count] = old[: self.count]
            setattr(self, name, new)

    def arrays(self, trial=None):
        """Give times and rows so far, or those of one trial, counted from the first that is kept."""
        first, last = 0, self.count
        if trial is not None:
            first, last = self.ends[trial - 1] if trial else 0, self.ends[trial]
        return self.times[first:last], self.rows[first:last]


class Source:
    """One recording, by its name on the command line.

    Parameters
    ----------
    path : str or Path
        Of the recording; nothing needs to be there yet.
    trials : (int, int or None)
        First trial that is kept, and the one after the last.

    Attributes
    ----------
    traces : snnsim.recording.reader.Traces or None
        Open once it could be opened; read it with ``HDF5`` held.
    trains : dict of str to Train
        Spikes of the populations that have some.
    loaded : int
        Trials whose spikes are in ``trains``, up to this number.
    error : str
        What is wrong, in one line; empty if nothing is.
    full : bool
        No more spikes are kept.
    version : int
        Raised whenever something of all this has changed.
    """

    def __init__(self, path, trials=(0, None)):
        self.path, self._first, self._last = Path(path), *trials
        self.traces, self.trains, self.loaded = None, {}, self._first
        self.error, self.full, self.version = "", False, 0
        self._state = None

    @property
    def first(self):
        """First trial that is kept."""
        return self._first

    @property
    def trials(self):
        """Table of the trials that are whole and kept or to be kept, or None."""
        return None if self.traces is None else self.traces.trials[: self._last]

    @property
    def units(self):
        """How times are shown, once it is open."""
        return units_of(self.traces.info)

    @property
    def duration(self):
        """Length of a trial in the shown unit."""
        return self.traces.info["duration"] * self.units.factor

    @property
    def step(self):
        """Step of its clock in the shown unit, or None without one."""
        dt = self.traces.info["dt"]
        return dt * self.units.factor if dt == dt else None

    def start(self, trial):
        """Begin of a trial on the common clock, in the shown unit."""
        return float(self.traces.trials.start_time[trial] * self.units.of_ms)

    @property
    def growing(self):
        """Whether more may come."""
        return self.traces is not None and self.traces.growing

    def close(self):
        """Close the files."""
        with HDF5:
            if self.traces is not None:
                self.traces.close()
                self.traces = None

    def advance(self):
        """Do the next piece of work.

        Returns
        -------
        bool
            There is more to do at once.
        """
        try:
            with HDF5:
                return self._advance()
        except InputError as error:
            self.fail(str(error))
            return False

    def _advance(self):
        if self.traces is None:
            return self._open()
        if self.loaded < len(self.trials) and not self.full:
            self._read_piece()
            return True
        if self.traces.growing:
            state = _state(self._files())
            if state != self._state:
                self._state = state
                before = len(self.traces)
                self._again()
                if len(self.traces) != before or not self.traces.growing:
                    self.version += 1
                return len(self.traces) > before
        return False

    def _open(self):
        # A file that could not be opened is tried again when it has changed.
        state = _state(self._files())
        if state == self._state:
            return False
        self._state = state
        self.traces = open_traces(self.path)
        self._prepare()
        self.error = ""
        self.version += 1
        return True

    def _again(self):
        """Open the recording anew, to see what has come; one of another run in its place is read from its start."""
        run = self.traces.info["run_id"]
        traces, self.traces = self.traces, None
        traces.close()
        self.traces = open_traces(self.path)
        if self.traces.info["run_id"] != run:
            self._prepare()
        self.error = ""

    def _prepare(self):
        self.loaded, self.full = self._first, False
        self.trains = {
            name: Train()
            for name, p in self.traces.populations.items()
            if p.recorded and p.spiking and "spikes" in self.traces.info["record"]
        }
        if not self.traces.growing and self._first == 0 and self._last is None:
            for name, train in self.trains.items():
                train.reserve(min(int(self.traces.spike_counts(name).sum()), MOST_SPIKES))

    def _read_piece(self):
        traces, total = self.traces, len(self.trials)
        size = 1
        if self.loaded > self._first:  # as many trials as hold a piece, by those that were read
            size = max(1, int(PIECE * (self.loaded - self._first) / max(self.spikes, 1)))
        end = min(self.loaded + size, total)
        units = self.units
        starts = traces.trials.start_time * units.of_ms
        for name, train in self.trains.items():
            found = traces.spikes(name, slice(self.loaded, end))
            times = found.times * units.factor
            times += np.repeat(starts[self.loaded : end], np.diff(found.offsets))
            ids = traces.populations[name].neuron_ids
            rows = np.zeros(found.n_neurons, np.int32)
            rows[ids] = np.arange(len(ids), dtype=np.int32)
            train.append(times, rows[found.neurons], found.offsets)
        self.loaded = end
        self.full = self.spikes > MOST_SPIKES and end < total
        self.version += 1

    def fail(self, text):
        """Say what is wrong; nothing of the recording is shown until its files change."""
        # What was read of a file that is wrong somewhere is not shown beside what is wrong.
        self.close()
        self.trains = {}
        if text != self.error:
            self.error = text
            self.version += 1

    def _files(self):
        path = self.path
        if path.is_dir():
            return [path / name for name in ("spikes.h5", "v.h5", "i_syn.h5")]
        return [path]

    @property
    def spikes(self):
        """Spikes in memory."""
        return sum(train.count for train in self.trains.values())

    def note(self):
        """One line: what is shown, and what is not yet or not at all."""
        if self.error:
            return self.error
        if self.traces is None:
            return f"{self.path}: being opened"
        shown, total = self.loaded - self._first, len(self.trials) - self._first
        info = self.traces.info
        text = f"{info['engine']} engine, "
        if info["dt"] == info["dt"]:
            text += f"dt = {self.units.text(info['dt'])}, {info['scheme'].replace('_', ' ')}, "
        text += f"{total:,} trial{'s' if total != 1 else ''}, {self.spikes:,} spikes"
        if self.full:
            text += f"; only trials {self._first}..{self.loaded - 1} are in memory (--trials A:B chooses others)"
        elif shown < total:
            text += f"; reading, {100 * shown // max(total, 1)} %"
        elif self.traces.growing:
            text += "; growing"
        return text


def _state(files):
    """Give what changes when files do."""
    found = []
    for path in files:
        try:
            status = os.stat(path)
        except OSError:
            found.append(None)
            continue
        found.append((status.st_ino, status.st_size, status.st_mtime_ns))
    return found


def place_of(path):
    """Tell which recording and which run a path of the command line names.

    Parameters
    ----------
    path : str or Path
        A recording, one of its files, or the directory of a run.

    Returns
    -------
    recording : Path or None
    run : Path or None
        Directory of the run.

    Raises
    ------
    InputError
        If there is nothing of that name.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path}: no such file or directory")
    if path.is_dir() and (path / "config.toml").exists():
        return path / "traces", path
    return path, None


class Follower(threading.Thread):
    """Reads sources on, one after another, until it is stopped.

    Parameters
    ----------
    sources : sequence of Source
    seconds : float
        Between looks at files that grow.
    """

    def __init__(self, sources, seconds=0.4):
        super().__init__(name="snnsim view: reader", daemon=True)
        self._sources, self._seconds, self._end = sources, seconds, threading.Event()

    def run(self):
        """Read on."""
        while not self._end.is_set():
            if not any([source.advance() for source in self._sources]):
                self._end.wait(self._seconds)

    def stop(self):
        """End, and wait for it."""
        self._end.set()
        self.join()
