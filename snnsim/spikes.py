"""Spike trains of a batch of trials in continuous time: the currency between engines, recorder and readers."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from snnsim.errors import InputError
from snnsim.kernels.cpu.unpack import grid_neurons


@dataclass(frozen=True)
class Spikes:
    """Spikes of one population in a batch of trials, each trial starting at time 0.

    Parameters
    ----------
    offsets : ndarray, (B + 1,) int64
        Trial b owns the entries ``offsets[b]:offsets[b + 1]`` of ``times`` and ``neurons``.
    times : ndarray, (E,) float64
        Spike times in the unit of dt, ascending within a trial, in [0, duration]. A clock-driven spike of step k
        (counted from 0) lies at the end of its step, ``(k + 1) * dt``.
    neurons : ndarray, (E,) int32
        Neuron of each spike, in [0, n_neurons); among equal times ascending.
    n_neurons : int
    duration : float
        Length of a trial.
    """

    offsets: np.ndarray
    times: np.ndarray
    neurons: np.ndarray
    n_neurons: int
    duration: float

    def __post_init__(self):
        if self.times.shape != self.neurons.shape or self.offsets[-1] != self.times.size:
            raise InputError(
                f"spikes: {self.times.size} times, {self.neurons.size} neurons and {self.offsets[-1]} entries in the "
                "trials must be equally many"
            )

    def __len__(self):
        return len(self.offsets) - 1

    def trial(self, b):
        """Return ``(times, neurons)`` of trial b, as views."""
        window = slice(self.offsets[b], self.offsets[b + 1])
        return self.times[window], self.neurons[window]

    def runs(self):
        """Entries that share trial and time, as runs.

        Returns
        -------
        times : ndarray, (R,) float64
        ends : ndarray, (R,) int64
            Entry at which each run ends.
        trial_runs : ndarray, (B + 1,) int64
            Trial b owns the runs ``trial_runs[b]:trial_runs[b + 1]``.
        """
        last = np.ones(self.times.size, bool)
        last[:-1] = self.times[1:] != self.times[:-1]
        last[self.offsets[1:][np.diff(self.offsets) > 0] - 1] = True
        ends = np.flatnonzero(last) + 1
        return self.times[ends - 1], ends, np.searchsorted(ends, self.offsets, side="right")

    def lists(self):
        """Neurons of each trial as they lie in memory.

        Returns
        -------
        entries : ndarray, int32
        begins : ndarray, (B,) int64
            Entry with which each trial begins; how many it has, ``offsets`` say.
        """
        return self.neurons, self.offsets[:-1]

    def counts(self):
        """Spikes of each neuron in each trial, (B, N) int64."""
        trial = np.repeat(np.arange(len(self)), np.diff(self.offsets))
        flat = np.bincount(trial * self.n_neurons + self.neurons, minlength=len(self) * self.n_neurons)
        return flat.reshape(len(self), self.n_neurons)

    def first_times(self):
        """Time of each neuron's first spike, (B, N) float64; infinite where it is silent."""
        first = np.full((len(self), self.n_neurons), np.inf)
        trial = np.repeat(np.arange(len(self)), np.diff(self.offsets))
        np.minimum.at(first, (trial, self.neurons), self.times)
        return first

    @classmethod
    def from_trials(cls, trials, n_neurons, duration):
        """Spikes from an iterable of ``(times, neurons)``, one pair a trial, each sorted here by (time, neuron).

        Raises
        ------
        InputError
            If a neuron is outside [0, n_neurons) or a time outside [0, duration].
        """
        times, neurons, offsets = [], [], [0]
        for b, (t, n) in enumerate(trials):
            t, n = np.asarray(t, np.float64), np.asarray(n, np.int64)
            if n.size and not (0 <= n.min() and n.max() < n_neurons):
                raise InputError(f"spikes of trial {b}: neurons must lie in 0..{n_neurons - 1}")
            if t.size and not (0 <= t.min() and t.max() <= duration):
                raise InputError(f"spikes of trial {b}: times must lie in 0..{duration:g}")
            order = np.lexsort((n, t))
            times.append(t[order])
            neurons.append(n[order].astype(np.int32))
            offsets.append(offsets[-1] + t.size)
        return cls(
            np.array(offsets, np.int64),
            np.concatenate(times) if times else np.empty(0),
            np.concatenate(neurons) if neurons else np.empty(0, np.int32),
            int(n_neurons),
            float(duration),
        )

    @classmethod
    def from_dense(cls, dense, dt):
        """Spikes from a (B, T, N) array of zeros and ones; a one in step k is a spike at ``(k + 1) * dt``."""
        dense = np.asarray(dense)
        trial, step, neuron = np.nonzero(dense)
        offsets = np.concatenate([[0], np.cumsum(np.bincount(trial, minlength=len(dense)))]).astype(np.int64)
        return cls(offsets, (step + 1) * float(dt), neuron.astype(np.int32), dense.shape[2], dense.shape[1] * float(dt))

    def to_dense(self, dt, n_steps):
        """(B, n_steps, N) uint8 counts on a grid; a spike in ``(k dt, (k + 1) dt]`` belongs to step k."""
        dense = np.zeros((len(self), n_steps, self.n_neurons), np.uint8)
        trial = np.repeat(np.arange(len(self)), np.diff(self.offsets))
        np.add.at(dense, (trial, grid_steps(self.times, dt, n_steps), self.neurons), 1)
        return dense


class StepSpikes(Spikes):
    """Spikes of a clock, whose times are made when they are asked for.

    Parameters
    ----------
    step_ends : ndarray, (B, T) int64
        Entry of ``neurons`` at which each step of each trial ends.
    neurons : ndarray, (E,) int32
    dt : float
    n_neurons : int
    duration : float
    """

    def __init__(self, step_ends, neurons, dt, n_neurons, duration):
        offsets = np.concatenate([[0], step_ends[:, -1]])
        vars(self).update(offsets=offsets, neurons=neurons, n_neurons=n_neurons, duration=duration)
        vars(self).update(_step_ends=step_ends, _dt=dt)

    @cached_property
    def times(self):
        """Ends of the steps; as in :class:`Spikes`."""
        times, ends, _ = self.runs()
        return np.repeat(times, np.diff(ends, prepend=0))

    def runs(self):
        """One run a step, also where it is empty; as in :class:`Spikes`."""
        n_trials, n_steps = self._step_ends.shape
        times = np.tile(np.arange(1, n_steps + 1) * self._dt, n_trials)
        return times, self._step_ends.reshape(-1), np.arange(n_trials + 1) * n_steps


class RowSpikes(StepSpikes):
    """Spikes of a clock as an engine lists them, whose neurons are copied when they are asked for.

    Parameters
    ----------
    rows : ndarray, (B, cap) int32
        Neurons, ordered by step.
    row_ptr : ndarray, (B, T + 1) int32
        Where the spikes of each step begin in a row.
    dt : float
    n_neurons : int
    duration : float
    """

    def __init__(self, rows, row_ptr, dt, n_neurons, duration):
        offsets = np.concatenate([[0], np.cumsum(row_ptr[:, -1], dtype=np.int64)])
        vars(self).update(offsets=offsets, n_neurons=n_neurons, duration=duration)
        vars(self).update(_step_ends=row_ptr[:, 1:] + offsets[:-1, None], _dt=dt, _rows=rows)

    @cached_property
    def neurons(self):
        """As in :class:`Spikes`."""
        neurons = np.empty(self.offsets[-1], np.int32)
        grid_neurons(self._rows, self.offsets, neurons)
        return neurons

    def lists(self):
        """As in :class:`Spikes`."""
        return self._rows.reshape(-1), np.arange(len(self)) * self._rows.shape[1]

    def copy(self):
        """Spikes that do not change with the engine's rows, StepSpikes."""
        return StepSpikes(self._step_ends, self.neurons, self._dt, self.n_neurons, self.duration)


def grid_steps(times, dt, n_steps):
    """Step in which each time falls: k for ``(k dt, (k + 1) dt]``, and 0 for time 0; (E,) int64.

    A time within a few rounding errors of a grid point counts as that grid point, so that a clock's own spike times
    come back to their own steps.

    Raises
    ------
    InputError
        If a time lies beyond ``n_steps * dt``.
    """
    ratio = np.asarray(times, np.float64) / dt
    near = np.rint(ratio)
    ratio = np.where(np.abs(ratio - near) <= 1e-9 * np.maximum(near, 1), near, ratio)
    steps = np.maximum(np.ceil(ratio).astype(np.int64) - 1, 0)
    if steps.size and steps.max() >= n_steps:
        raise InputError(f"spike time {np.max(times):g}: lies beyond the last step at {n_steps} * {dt:g}")
    return steps
