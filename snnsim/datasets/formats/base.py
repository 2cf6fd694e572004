"""What every reader gives: samples of a split with labels and groups, and the geometry of one sample."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from snnsim.connections.maps import size_of
from snnsim.errors import InputError


@dataclass(frozen=True)
class Events:
    """Events of the samples of a split, read one sample at a time.

    Parameters
    ----------
    read : callable
        ``read(k)`` gives ``(ticks, units)`` of sample k: (E,) of any real dtype, and (E,) whole numbers in [0, N) of a
        population of shape ``shape``: ``(y * W + x) * C + c`` of a map.
    name : callable
        ``name(k)`` is what messages call sample k: its file, or a file and a number.
    count : int
    shape : tuple of int
        ``(N,)`` or ``(C, H, W)``.
    tick_ms : float or None
        Milliseconds of a tick; None where nothing says it.
    length : float or None
        Ticks of a sample, where the file states them.
    """

    read: Callable[[int], tuple[np.ndarray, np.ndarray]]
    name: Callable[[int], str]
    count: int
    shape: tuple[int, ...]
    tick_ms: float | None
    length: float | None = None

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        return map(self.read, range(self.count))


@dataclass(frozen=True)
class Part:
    """Samples of one split, as files have them.

    Parameters
    ----------
    values : ndarray or Events
        Intensities (n, D), uint8 or float, neurons of a map numbered as in :class:`Events`; or events.
    labels : ndarray, (n,)
        Whole numbers or text.
    groups : dict of str to ndarray
        Of each sample, such as its speaker; whole numbers or text.
    """

    values: np.ndarray | Events
    labels: np.ndarray
    groups: dict[str, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Found:
    """What a file or folder holds.

    Parameters
    ----------
    name : str
        For messages and titles.
    train : Part
    test, validation : Part or None
        Where the files have them.
    shape : tuple of int
        Of one sample.
    class_names : tuple of str, optional
        Where the files name them: label k is the k-th.
    """

    name: str
    train: Part
    test: Part | None = None
    validation: Part | None = None
    shape: tuple[int, ...] = ()
    class_names: tuple[str, ...] | None = None

    def __post_init__(self):
        if not len(self.train):
            raise InputError(f"{self.name}: has no samples to learn from")
        for part in self.parts.values():
            if len(part.values) != len(part):
                raise InputError(f"{self.name}: {len(part.values)} samples, {len(part)} labels: must be equally many")

    @cached_property
    def parts(self) -> dict[str, Part]:
        """Splits that there are, by name."""
        named = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: part for name, part in named.items() if part is not None}

    @property
    def size(self) -> int:
        """Neurons of one sample."""
        return size_of(self.shape)


@dataclass(frozen=True)
class Options:
    """What a user says about files that do not say it themselves.

    Parameters
    ----------
    time_unit : str or float
        s, ms, us, ns, or the milliseconds of a tick; empty: as the files, or their format, say.
    sensor : tuple of int
        ``(N,)`` or ``(C, H, W)`` of events; empty: as the files, or their format, say.
    population : str
        Of a recording, whose spikes are the samples.
    range : tuple of float
        Lowest and highest intensity of arrays; empty: 0..1 of floats, 0..255 of whole numbers.
    """

    time_unit: str | float = ""
    sensor: tuple[int, ...] = ()
    population: str = "input"
    range: tuple[float, ...] = ()


def units_of(x, y, p, shape, where):
    """Numbers of the neurons of events on a map.

    Parameters
    ----------
    x, y, p : ndarray, (E,) whole numbers
        Column, row and polarity (channel).
    shape : (C, H, W)
    where : str
        Begins the message.

    Returns
    -------
    ndarray, (E,) int32

    Raises
    ------
    InputError
        If an event lies outside the map.
    """
    channels, height, width = shape
    for name, values, size in (("x", x, width), ("y", y, height), ("p", p, channels)):
        if values.size and not (values.min() >= 0 and values.max() < size):
            bad = values.min() if values.min() < 0 else values.max()
            raise InputError(
                f"{where}: an event with {name} = {bad}: must lie in 0..{size - 1} of a sensor of "
                f"{channels}x{height}x{width}; data.sensor names another"
            )
    units = y.astype(np.int32)
    units *= width
    units += x
    units *= channels
    units += p.astype(np.int32)
    return units
