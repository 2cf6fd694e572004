"""Spike trains of a batch of trials in continuous time: the currency between engines, recorder and readers."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from snnsim.arguments import array, integers, number, whole
from snnsim.errors import InputError

EXACT = 2.0**-52
ROUNDINGS, SLACK = 16, 1e-9
"""How far from a grid point, in steps, a time counts as that point: so many roundings of the time, and so much more for
times that were cut out of a longer count."""
MOST_NEURONS = 2**31 - 1


@dataclass(frozen=True, eq=False)
class Spikes:
    """Spikes of one population in a batch of trials, each trial starting at time 0.

    Two are equal if all that is listed below is, but for the precision.

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
    precision : float, optional
        Relative rounding of the times; None: that of the dtype in which they are given. Where single or half precision
        cannot say whether a time is a grid point, it counts as one.

    Raises
    ------
    InputError
        If the arrays do not fit each other or times within a trial are not ascending; if a time or a neuron is out of
        range.
    """

    offsets: np.ndarray
    times: np.ndarray
    neurons: np.ndarray
    n_neurons: int
    duration: float
    precision: float | None = None

    def __post_init__(self):
        n_neurons = whole("n_neurons", self.n_neurons, 0, MOST_NEURONS)
        duration = number("duration", self.duration, least=0)
        offsets = integers("offsets", self.offsets, "where trials begin and end, whole numbers")
        times = array("times", self.times, 1, "a list of numbers")
        neurons = integers("neurons", self.neurons, "a list of whole numbers")
        precision = self.precision or rounding_of(times)
        if times.shape != neurons.shape or not offsets.size or offsets[-1] != times.size:
            raise InputError(
                f"spikes: {times.size} times, {neurons.size} neurons and {offsets[-1] if offsets.size else 'no'} "
                "entries in the trials must be equally many"
            )
        if offsets[0] != 0 or (np.diff(offsets) < 0).any():
            raise InputError("offsets: must begin with 0 and ascend")
        times = checked_times(times.astype(np.float64, copy=False), duration, precision, "spikes")
        check_neurons(neurons, n_neurons, "spikes")
        late = times[1:] < times[:-1]
        if late.any():
            begun = offsets[(offsets > 0) & (offsets < times.size)] - 1
            late[begun] = False
            if late.any():
                b = int(np.searchsorted(offsets, np.flatnonzero(late)[0], side="right")) - 1
                raise InputError(f"spikes of trial {b}: times must ascend; Spikes.from_trials sorts them")
        self._set(offsets, times, neurons.astype(np.int32), n_neurons, duration, precision)

    def _set(self, *values):
        vars(self).update(zip(self.__dataclass_fields__, values, strict=True))

    @classmethod
    def trusted(
        cls, offsets: np.ndarray, times: np.ndarray, neurons: np.ndarray, n_neurons: int, duration: float,
        precision: float = EXACT,
    ) -> "Spikes":
        """Make one of arrays that are known to fit, which nothing looks through."""
        made = object.__new__(cls)
        made._set(offsets, times, neurons, n_neurons, duration, precision)
        return made

    def __eq__(self, other):
        if not isinstance(other, Spikes):
            return NotImplemented
        return (
            (self.n_neurons, self.duration) == (other.n_neurons, other.duration)
            and np.array_equal(self.offsets, other.offsets)
            and np.array_equal(self.neurons, other.neurons)
            and np.array_equal(self.times, other.times)
        )

    __hash__ = None

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def trial(self, b: int) -> tuple[np.ndarray, np.ndarray]:
        """Return ``(times, neurons)`` of trial b, as views."""
        window = slice(self.offsets[b], self.offsets[b + 1])
        return self.times[window], self.neurons[window]

    def runs(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
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

    def lists(self) -> tuple[np.ndarray, np.ndarray]:
        """Neurons of each trial as they lie in memory.

        Returns
        -------
        entries : ndarray, int32
        begins : ndarray, (B,) int64
            Entry with which each trial begins; how many it has, ``offsets`` say.
        """
        return self.neurons, self.offsets[:-1]

    def counts(self) -> np.ndarray:
        """Spikes of each neuron in each trial, (B, N) int64."""
        trial = np.repeat(np.arange(len(self)), np.diff(self.offsets))
        flat = np.bincount(trial * self.n_neurons + self.neurons, minlength=len(self) * self.n_neurons)
        return flat.reshape(len(self), self.n_neurons)

    def first_times(self) -> np.ndarray:
        """Time of each neuron's first spike, (B, N) float64; infinite where it is silent."""
        first = np.full((len(self), self.n_neurons), np.inf)
        trial = np.repeat(np.arange(len(self)), np.diff(self.offsets))
        np.minimum.at(first, (trial, self.neurons), self.times)
        return first

    @classmethod
    def from_trials(
        cls, trials: Iterable[Any], n_neurons: int, duration: float, precision: float | None = None,
    ) -> "Spikes":
        """Spikes from an iterable of ``(times, neurons)``, one pair a trial, each sorted here by (time, neuron).

        ``precision`` as of :class:`Spikes`; None: that of the coarsest dtype of the times.

        Raises
        ------
        InputError
            If a neuron is outside [0, n_neurons) or a time outside [0, duration].
        """
        n_neurons, duration = whole("n_neurons", n_neurons, 0, MOST_NEURONS), number("duration", duration, least=0)
        times, neurons, offsets, coarsest = [], [], [0], precision or EXACT
        for b, pair in enumerate(trials):
            name = f"spikes of trial {b}"
            try:
                t, n = pair
            except (TypeError, ValueError) as error:
                raise InputError(f"{name}: must be a pair of times and neurons") from error
            t, n = (
                array(f"{name}: times", t, 1, "a list of numbers"),
                integers(f"{name}: neurons", n, "a list of whole numbers"),
            )
            if t.shape != n.shape:
                raise InputError(f"{name}: {t.size} times and {n.size} neurons must be equally many")
            check_neurons(n, n_neurons, name)
            coarsest = max(coarsest, rounding_of(t))
            t = checked_times(t.astype(np.float64), duration, coarsest, name)
            order = np.lexsort((n, t))
            times.append(t[order])
            neurons.append(n[order].astype(np.int32))
            offsets.append(offsets[-1] + t.size)
        return Spikes.trusted(
            np.array(offsets, np.int64),
            np.concatenate(times) if times else np.empty(0),
            np.concatenate(neurons) if neurons else np.empty(0, np.int32),
            n_neurons,
            duration,
            coarsest,
        )

    @classmethod
    def from_dense(cls, dense: Any, dt: float) -> "Spikes":
        """Spikes from a (B, T, N) array of their numbers; those of step k lie at ``(k + 1) * dt``.

        Raises
        ------
        InputError
            Unless they are whole numbers of at least 0, or booleans.
        """
        dense, dt = np.asarray(dense), number("dt", dt, above=0)
        if dense.dtype != bool:
            dense = array("dense", dense, 3, "numbers of spikes (trials, steps, neurons)")
            if dense.size and not ((dense >= 0) & (dense == np.rint(dense)) & (dense < MOST_NEURONS)).all():
                raise InputError("dense: must be whole numbers of spikes, at least 0")
        elif dense.ndim != 3:
            raise InputError(f"dense: {dense.ndim}-d; must be numbers of spikes (trials, steps, neurons)")
        trial, step, neuron = np.nonzero(dense)
        several = dense[trial, step, neuron].astype(np.int64)
        if (several > 1).any():
            trial, step, neuron = (np.repeat(index, several) for index in (trial, step, neuron))
        offsets = np.concatenate([[0], np.cumsum(np.bincount(trial, minlength=len(dense)))]).astype(np.int64)
        return Spikes.trusted(offsets, (step + 1) * dt, neuron.astype(np.int32), dense.shape[2], dense.shape[1] * dt)

    def to_dense(self, dt: float, n_steps: int) -> np.ndarray:
        """Numbers of spikes on a grid; a spike in ``(k dt, (k + 1) dt]`` belongs to step k.

        Returns
        -------
        ndarray, (B, n_steps, N) uint8
            Wider where a neuron spikes more than 255 times in a step.
        """
        trial = np.repeat(np.arange(len(self)), np.diff(self.offsets))
        steps = grid_steps(self.times, dt, n_steps, self.precision)
        place, several = np.unique((trial * n_steps + steps) * self.n_neurons + self.neurons, return_counts=True)
        dense = np.zeros((len(self), n_steps, self.n_neurons), np.min_scalar_type(int(several.max(initial=0))))
        dense.reshape(-1)[place] = several
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

    def __new__(cls, *given, **fields):
        """With the fields of :class:`Spikes`, as ``dataclasses.replace`` has it, make one of those."""
        return Spikes(**fields) if "offsets" in fields else super().__new__(cls)

    def __init__(self, step_ends, neurons, dt, n_neurons, duration):
        offsets = np.concatenate([[0], step_ends[:, -1]])
        vars(self).update(offsets=offsets, neurons=neurons, n_neurons=n_neurons, duration=duration, precision=EXACT)
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
        vars(self).update(offsets=offsets, n_neurons=n_neurons, duration=duration, precision=EXACT)
        vars(self).update(_step_ends=row_ptr[:, 1:] + offsets[:-1, None], _dt=dt, _rows=rows)

    @cached_property
    def neurons(self):
        """As in :class:`Spikes`."""
        from snnsim.kernels.cpu.unpack import grid_neurons  # data is read without Numba

        neurons = np.empty(self.offsets[-1], np.int32)
        grid_neurons(self._rows, self.offsets, neurons)
        return neurons

    def lists(self):
        """As in :class:`Spikes`."""
        return self._rows.reshape(-1), np.arange(len(self)) * self._rows.shape[1]

    def copy(self):
        """Spikes that do not change with the engine's rows, StepSpikes."""
        return StepSpikes(self._step_ends, self.neurons, self._dt, self.n_neurons, self.duration)


def rounding_of(times):
    """Relative rounding of numbers, by their dtype."""
    return max(float(np.finfo(times.dtype).eps), EXACT) if times.dtype.kind == "f" else EXACT


def checked_times(times, duration, precision, name):
    """Give times that lie in [0, duration]; beyond it by a few roundings counts as its end."""
    if times.size:
        least, most = times.min(), times.max()
        if not (least >= 0 and most <= duration * (1 + 4 * precision)):
            bad = times[~((times >= 0) & (times <= duration * (1 + 4 * precision)))][0]
            raise InputError(f"{name}: {bad:g} among the times; they must lie in 0..{duration:g}")
        if most > duration:
            times = np.minimum(times, duration)
    return times


def check_neurons(neurons, n_neurons, name):
    """Refuse neurons outside [0, n_neurons)."""
    if neurons.size and not (neurons.min() >= 0 and neurons.max() < n_neurons):
        bad = neurons[(neurons < 0) | (neurons >= n_neurons)][0]
        raise InputError(f"{name}: {bad} among the neurons; they must lie in 0..{n_neurons - 1}")


def on_grid(ratio, precision=EXACT):
    """Take times in steps: one that cannot be told from a whole number is that number."""
    near = np.rint(ratio)
    return np.where(np.abs(ratio - near) <= SLACK + near * (precision + ROUNDINGS * EXACT), near, ratio)


def grid_steps(times, dt, n_steps, precision=EXACT):
    """Step in which each time falls: k for ``(k dt, (k + 1) dt]``, and 0 for time 0; (E,) int64.

    A time within a few rounding errors of a grid point counts as that grid point, so that a clock's own spike times
    come back to their own steps; so do times in single precision, whose ``precision`` is 2**-23.

    Raises
    ------
    InputError
        If a time lies beyond ``n_steps * dt``.
    """
    ratio = on_grid(np.asarray(times, np.float64) / dt, precision)
    steps = np.maximum(np.ceil(ratio).astype(np.int64) - 1, 0)
    if steps.size and steps.max() >= n_steps:
        raise InputError(f"spike time {np.max(times):g}: lies beyond the last step at {n_steps} * {dt:g}")
    return steps
