"""Folders with one folder a class: files of events (N-MNIST, CIFAR10-DVS and the like), sounds or images."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from snnsim.connections.maps import described
from snnsim.datasets.formats import aedat, aedat4, images, nmnist, sound, structured
from snnsim.datasets.formats.base import Events, Found, Part
from snnsim.errors import InputError
from snnsim.files.text import check_ordinary
from snnsim.recording.events import milliseconds_of

NAME = "class folders"
DESCRIPTION = "FOLDER/[train|test/]CLASS/FILE: events (.bin of N-MNIST, .aedat, .aedat4, .npy), sounds (.wav) or images"
DECODERS = (nmnist, aedat, aedat4, sound, structured)
"""Modules of files of events; one more is one file and an entry here."""
SPLITS = {"train": "train", "training": "train", "test": "test", "testing": "test", "val": "validation",
          "valid": "validation", "validation": "validation"}  # fmt: skip
"""What a folder's name, in small letters, says of the samples in it."""
LARGEST = 2**31
"""Bytes of the largest file that is read."""


def matches(path):
    """Whether a path is a folder of folders with files of a known kind."""
    return path.is_dir() and any(_kind(f) is not None for f in _some_files(path))


def read(path, options):
    """Read all parts; see :func:`snnsim.datasets.formats.read`."""
    found = {}
    for name, folder in _splits(path).items():
        found[name] = _listed(folder)
    kinds = {_kind(f) for files, _ in found.values() for f in files}
    if len(kinds) > 1:
        names = sorted({f.suffix.lower() for files, _ in found.values() for f in files})
        raise InputError(f"{path}: files of several kinds, {', '.join(names)}: must be of one")
    kind = kinds.pop()
    make = _images if kind is images else _events
    parts, shape = {}, ()
    for name, (files, labels) in found.items():
        values, own = make(files, kind, options)
        if shape and own != shape:
            raise InputError(f"{path}: {name} samples of {described(own)}, the others of {described(shape)}")
        parts[name], shape = Part(values, labels), own
    return Found(path.name, shape=shape, **parts)


def file_bytes(path):
    """Contents of an ordinary file that is not too large; InputError otherwise."""
    size = check_ordinary(path).st_size
    if size > LARGEST:
        raise InputError(f"{path}: {size} bytes: must be at most {LARGEST}")
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error


@dataclass(frozen=True)
class _Reader:
    """Reads one file of events after the other."""

    files: tuple
    decoder: object
    sensor: tuple

    def __call__(self, k):
        path = self.files[k]
        data = str(path) if getattr(self.decoder, "PATHS", False) else file_bytes(path)
        ticks, units, shape = self.decoder.decode(data, self.sensor, str(path))
        if self.sensor and shape != self.sensor:
            raise InputError(f"{path}: a sensor of {described(shape)}, the first file has {described(self.sensor)}")
        return ticks, units

    def name(self, k):
        return str(self.files[k])


def _events(files, decoder, options):
    sensor = options.sensor or decoder.SENSOR or _sensor(files, decoder)
    reader, tick = _Reader(tuple(files), decoder, sensor), decoder.TICK_MS
    if options.time_unit != "" and decoder is not structured:
        raise InputError(f"data.time_unit = {options.time_unit!r}: {files[0].name} and its like say their unit")
    if options.time_unit != "":
        tick = milliseconds_of(options.time_unit, f"data.time_unit = {options.time_unit!r}")
    return Events(reader, reader.name, len(files), sensor, tick), sensor


def _sensor(files, decoder):
    """Sensor of files that state theirs, or smallest one that holds all their events."""
    if decoder is structured:
        arrays = (structured.array_of(file_bytes(f), str(f)) for f in files)
        return structured.sensor_of(arrays, str(files[0].parent))
    data = str(files[0]) if getattr(decoder, "PATHS", False) else file_bytes(files[0])
    return decoder.decode(data, (), str(files[0]))[2]


def _images(files, _, options):
    first = images.decode(file_bytes(files[0]), str(files[0]))
    values = np.empty((len(files), first.size), np.uint8)
    for k, path in enumerate(files):
        pixels = images.decode(file_bytes(path), str(path))
        if pixels.shape != first.shape:
            raise InputError(
                f"{path}: {_times(pixels.shape)} pixels, channels: must be {_times(first.shape)} as {files[0].name}"
            )
        values[k] = pixels.reshape(-1)
    height, width, channels = first.shape
    return values, (channels, height, width)


def _times(shape):
    return " x ".join(map(str, shape))


def _splits(path):
    """Folders with folders of classes in them, by the split that they are."""
    named = {}
    for folder in _folders(path):
        split = SPLITS.get(folder.name.lower())
        if split is None:
            continue
        if split in named:
            raise InputError(f"{path}: both {named[split].name} and {folder.name} hold {split} samples")
        named[split] = folder
    others = [f.name for f in _folders(path) if SPLITS.get(f.name.lower()) is None]
    if not named:
        return {"train": path}
    if others:
        beside = ", ".join(f.name for f in named.values())
        raise InputError(f"{path}: {others[0]} stands beside {beside}, and is no such split")
    if "train" not in named:
        raise InputError(f"{path}: has {', '.join(f.name for f in named.values())}, but no folder train")
    return named


def _listed(folder):
    """Files of a folder with one folder a class, in the order of their names, and their classes."""
    files, labels = [], []
    classes = _folders(folder)
    if not classes:
        raise InputError(f"{folder}: has no folders of classes")
    for class_ in classes:
        here = sorted(f for f in class_.iterdir() if f.is_file() and not f.name.startswith("."))
        unknown = next((f for f in here if _kind(f) is None), None)
        if unknown is not None:
            raise InputError(f"{unknown}: no file of events, sound or image: must end in {', '.join(_suffixes())}")
        if not here:
            raise InputError(f"{class_}: has no files, or only folders")
        files += here
        labels += [class_.name] * len(here)
    if all(name.isdecimal() and name.isascii() for name in set(labels)):
        return files, np.array(list(map(int, labels)), np.int64)
    return files, np.array(labels, np.str_)


def _folders(path):
    try:
        return sorted((f for f in path.iterdir() if f.is_dir() and not f.name.startswith(".")), key=lambda f: f.name)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error


def _some_files(path):
    """Look for the first few files at the depths at which samples can lie."""
    for pattern in ("*/*", "*/*/*"):
        for k, f in enumerate(path.glob(pattern)):
            if f.is_file():
                yield f
            if k > 100:
                break


def _suffixes():
    return [s for module in (*DECODERS, images) for s in module.SUFFIXES]


def _kind(path):
    return next((module for module in (*DECODERS, images) if path.suffix.lower() in module.SUFFIXES), None)
