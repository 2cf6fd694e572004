"""Samples: what a network is given and what it should make of it, as readers make and trainings take them."""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from snnsim.errors import InputError
from snnsim.spikes import Spikes

VALIDATION_IDS, TEST_IDS = 2**30, 2**31
"""First number of a sample that is not learnt from: it shares no random number with one that is."""


@dataclass(frozen=True, eq=False)
class Samples:
    """Samples of one split, checked: their arrays fit each other.

    Parameters
    ----------
    x : ndarray or Spikes
        Intensities (n, D): uint8 stands for 0..1 in steps of 1/255, floats lie in 0..1; an encoder turns them into
        spikes. Or :class:`~snnsim.spikes.Spikes` of n trials and D neurons, times in the unit of dt; they pass as they
        are. Or currents for an input of that kind: (n, D) float for a whole trial, (n, T, D) for every step.
        Neurons of a map are numbered channels last, ``(y W + x) C + c``.
    y : ndarray, Spikes or None
        Class numbers (n,) int64; or what membranes should be, (n, C) float64 at the end of a trial or (n, T, C) at
        the end of every step; or trains that the outputs should have, Spikes of n trials and C neurons.
    shape : tuple of int
        Of one sample: ``(D,)``, ``(C, L)`` or ``(C, H, W)``, as a population has it.
    classes : tuple
        What each class number stands for: any labels, such as strings; empty where y are no classes.
    name : str
        Where they come from, for messages and files.
    ids : ndarray, (n,) int64
        Number that keys a sample's random numbers: from 0 for those that are learnt from (the default), from
        :data:`VALIDATION_IDS` and :data:`TEST_IDS` for others.
    groups : dict of str to ndarray, each (n,)
        What else is known of each sample, such as its speaker.

    Raises
    ------
    InputError
        If lengths, shapes or dtypes do not fit.
    """

    x: object
    y: object = None
    shape: tuple = ()
    classes: tuple = ()
    name: str = "samples"
    ids: np.ndarray | None = None
    groups: dict = field(default_factory=dict)

    def __post_init__(self):
        n = len(self.x)
        set_ = object.__setattr__
        set_(self, "shape", tuple(int(size) for size in self.shape) or (self.n_inputs,))
        if int(np.prod(self.shape)) != self.n_inputs:
            raise InputError(f"{self.name}: {self.n_inputs} inputs do not have the shape {self.shape}")
        set_(self, "ids", np.arange(n) if self.ids is None else np.asarray(self.ids, np.int64))
        set_(self, "classes", tuple(self.classes))
        rest = {"y": self.y, "ids": self.ids} | self.groups
        for name, values in rest.items():
            if values is not None and len(values) != n:
                raise InputError(f"{self.name}: {name} has {len(values)} entries for {n} samples")
        if isinstance(self.x, np.ndarray) and self.x.ndim not in (2, 3):
            raise InputError(f"{self.name}: x is {self.x.ndim}-d; must be (n, inputs) or (n, steps, inputs)")

    def __len__(self) -> int:
        return len(self.x)

    @property
    def n_inputs(self) -> int:
        """Number of input neurons."""
        return self.x.n_neurons if isinstance(self.x, Spikes) else self.x.shape[-1]

    @property
    def spiking(self) -> bool:
        """Whether they are spikes, which no encoder changes."""
        return isinstance(self.x, Spikes)

    @property
    def labelled(self) -> bool:
        """Whether y are class numbers."""
        return isinstance(self.y, np.ndarray) and self.y.dtype.kind == "i"

    @property
    def values(self) -> np.ndarray:
        """The intensities or currents; an InputError for spikes."""
        if self.spiking:
            raise InputError(f"{self.name}: are spikes, not intensities")
        return self.x

    @property
    def labels(self) -> np.ndarray:
        """The class numbers; an InputError where there are none."""
        if not self.labelled:
            raise InputError(f"{self.name}: have no classes")
        return self.y

    def take(self, chosen: Any) -> "Samples":
        """Give those that a slice, an array of numbers or a mask of booleans chooses, in that order."""
        return replace(
            self, x=taken(self.x, chosen), y=taken(self.y, chosen), ids=self.ids[chosen],
            groups={name: np.asarray(values)[chosen] for name, values in self.groups.items()},
        )  # fmt: skip

    def first(self, n: int | None) -> "Samples":
        """Take the first ``n`` samples, or all for None."""
        return self.take(slice(n))

    def numbered(self, begin: int) -> "Samples":
        """Give the samples the numbers from ``begin`` on."""
        return replace(self, ids=begin + np.arange(len(self), dtype=np.int64))


@dataclass(frozen=True, eq=False)
class SampleSets:
    """The splits of a data set; a reader of files makes one.

    Parameters
    ----------
    name : str
    train : Samples
    test, validation : Samples, optional
        None where there is no such split of its own; a training then holds out some of ``train`` if it is told to.
    """

    name: str
    train: Samples
    test: Samples | None = None
    validation: Samples | None = None

    def __post_init__(self):
        for role, other in (("test", self.test), ("validation", self.validation)):
            if other is None:
                continue
            if other.shape != self.train.shape:
                raise InputError(f"{self.name}: {role} samples of shape {other.shape}; train has {self.train.shape}")
            if other.classes != self.train.classes:
                raise InputError(f"{self.name}: {role} samples have other classes than those of train")


def taken(values, chosen):
    """Choose among the first axis of an array, or the trials of :class:`~snnsim.spikes.Spikes`; None stays None."""
    if values is None:
        return None
    if not isinstance(values, Spikes):
        return values[chosen]
    trials = np.arange(len(values))[chosen]
    begin, counts = values.offsets[:-1][trials], np.diff(values.offsets)[trials]
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    entries = np.repeat(begin - offsets[:-1], counts) + np.arange(offsets[-1])
    return Spikes.trusted(
        offsets, values.times[entries], values.neurons[entries], values.n_neurons, values.duration, values.precision
    )
