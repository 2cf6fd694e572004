"""The layout of the Heidelberg data sets SHD and SSC (Cramer et al. 2020, doi 10.1109/TNNLS.2020.3044364).

One file has ``/spikes/times`` and ``/spikes/units`` (lists of their own length a sample), ``/labels`` and perhaps
``/extra/keys`` (names of the classes) and ``/extra/speaker``. A folder with a file ``...train.h5``, and perhaps
``...test.h5`` and ``...valid.h5``, is one data set.
"""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from snnsim.datasets.formats.base import Events, Found, Part
from snnsim.errors import InputError
from snnsim.files.hdf5 import dataset_of, datasets_in, group_of, lists_of, number, open_hdf5, reading
from snnsim.recording.events import HIGHEST, LATEST, classes_of, milliseconds

NAME = "SHD, SSC"
DESCRIPTION = "FILE.h5 with spikes/times, spikes/units and labels, or FOLDER with ...train.h5 and ...test.h5"
ENDS = {"train": ("train",), "test": ("test",), "validation": ("valid", "validation")}
BLOCK = 256
"""Samples that are read at a time."""


def matches(path):
    """Whether a path is a file of this layout, or a folder with a file of training samples."""
    if path.is_dir():
        return any(f.stem.endswith("train") for f in path.glob("*.h5"))
    if path.suffix not in (".h5", ".hdf5"):
        return False
    with open_hdf5(path) as file, reading(path):
        return "spikes/times" in file or "spikes/units" in file


def read(path, options):
    """Read all parts; see :func:`snnsim.datasets.formats.read`."""
    files = _files(path) if path.is_dir() else {"train": path}
    opened = {split: _File.opened(file, options) for split, file in files.items()}
    stated = {f.n_units for f in opened.values()} - {None}
    if len(stated) > 1:
        raise InputError(f"{path}: files of {', '.join(map(str, sorted(stated)))} channels: must have equally many")
    if options.sensor and len(options.sensor) != 1:
        raise InputError(f"data.sensor = {'x'.join(map(str, options.sensor))}: {path} has channels, one number")
    size = options.sensor[0] if options.sensor else stated.pop() if stated else 0
    size = size or max(f.highest() for f in opened.values()) + 1
    names = next((f.keys for f in opened.values() if f.keys), None)
    parts = {}
    for split, f in opened.items():
        events = Events(f, f.name, len(f.labels), (size,), f.tick_ms, f.length)
        parts[split] = Part(events, f.labels, f.groups)
    return Found(path.stem, shape=(size,), class_names=names, **parts)


def _files(folder):
    found = {}
    for split, ends in ENDS.items():
        here = sorted(f for f in folder.glob("*.h5") if f.stem.endswith(ends))
        if len(here) > 1:
            raise InputError(f"{folder}: {here[0].name} and {here[1].name} both hold {split} samples; name one file")
        if here:
            found[split] = here[0]
    return found


@dataclass
class _File:
    """One file, of which blocks of samples are read; the last one is kept."""

    path: Path
    labels: np.ndarray
    groups: dict
    keys: tuple | None
    n_units: int | None
    tick_ms: float
    length: float | None
    kept: tuple = field(default=(None, ()), repr=False)

    @classmethod
    def opened(cls, path, options):
        with open_hdf5(path) as file, reading(path):
            labels, names = classes_of(file)
            times, units = lists_of(file, "spikes/times", "iuf"), lists_of(file, "spikes/units", "iu")
            if not times.shape == units.shape == labels.shape:
                raise InputError(
                    f"{path}: {len(times)} times, {len(units)} units and {len(labels)} labels: must be equally many"
                )
            tick_ms = milliseconds(times, None if options.time_unit == "" else options.time_unit)
            n_units = number(file, "n_units", 1, HIGHEST + 1, whole=True, default=0) or None
            length = number(file, "duration", 0, LATEST / tick_ms, default=-1)
            return cls(
                path, labels, _groups(file, len(labels)), _keys(file, labels, names), n_units, tick_ms,
                None if length < 0 else length,
            )  # fmt: skip

    def __call__(self, k):
        block = k // BLOCK
        if self.kept[0] != block:
            chosen = slice(block * BLOCK, (block + 1) * BLOCK)
            with open_hdf5(self.path) as file, reading(self.path):
                self.kept = block, (file["spikes/times"][chosen], file["spikes/units"][chosen])
        times, units = (rows[k % BLOCK] for rows in self.kept[1])
        if times.shape != units.shape:
            raise InputError(f"{self.name(k)}: {times.size} times and {units.size} units: must be equally many")
        return times, units

    def name(self, k):
        return f"{self.path}: sample {k}"

    def highest(self):
        """Highest channel that occurs."""
        with open_hdf5(self.path) as file, reading(self.path):
            units = file["spikes/units"]
            blocks = (units[k : k + BLOCK] for k in range(0, len(units), BLOCK))
            return max((int(row.max()) for block in blocks for row in block if row.size), default=0)


def _keys(file, labels, names):
    """Names of the classes, if the file has enough of them."""
    if names is not None:
        return tuple(names)
    if "extra/keys" not in file:
        return None
    found = dataset_of(file, "extra/keys", 1)[()]
    if found.dtype.kind not in "SUO" or (labels.size and len(found) <= labels.max()):
        raise InputError(f"{file.filename}: /extra/keys: {len(found)} of {found.dtype}: must be a name for each label")
    return tuple(k.decode("utf-8", "replace") if isinstance(k, bytes) else str(k) for k in found.tolist())


def _groups(file, n):
    """Arrays of ``/extra`` with one entry a sample."""
    found = {}
    for name, data in datasets_in(group_of(file, "extra") if "extra" in file else {}).items():
        if data.shape == (n,) and data.dtype.kind in "iuS" and name != "keys":
            values = data[()]
            found[name] = np.char.decode(values, "utf-8") if values.dtype.kind == "S" else values.astype(np.int64)
    return found
