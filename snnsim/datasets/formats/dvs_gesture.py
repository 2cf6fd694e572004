"""DVS128-Gesture: recordings in AEDAT 3.1, each with a csv of its gestures (Amir et al. 2017, CVPR).

A line ``class,startTime_usec,endTime_usec`` of ``NAME_labels.csv`` cuts one sample out of ``NAME.aedat``; its times
begin at 0. ``trials_to_train.txt`` and ``trials_to_test.txt`` name the recordings of the published split: users 1 to
23, and 24 to 29. The user and the light are groups.
"""

import re
from dataclasses import dataclass, field

import numpy as np

from snnsim.datasets.formats import aedat
from snnsim.datasets.formats.base import Events, Found, Part
from snnsim.datasets.formats.folders import file_bytes
from snnsim.errors import InputError
from snnsim.files.text import read_text

NAME = "DVS128-Gesture"
DESCRIPTION = "FOLDER/userNN_LIGHT.aedat with userNN_LIGHT_labels.csv, trials_to_train.txt and trials_to_test.txt"
CLASSES = (
    "hand clapping", "right hand wave", "left hand wave", "right arm clockwise", "right arm counter clockwise",
    "left arm clockwise", "left arm counter clockwise", "arm roll", "air drums", "air guitar", "other gestures",
)  # fmt: skip
LISTS = {"train": "trials_to_train.txt", "test": "trials_to_test.txt"}
_HEAD = "class,startTime_usec,endTime_usec"
_NAME = re.compile(r"user(\d+)_(\w+)\.aedat")


def matches(path):
    """Whether a folder has the list of recordings to learn from."""
    return path.is_dir() and (path / LISTS["train"]).exists()


def read(path, options):
    """Read both parts; see :func:`snnsim.datasets.formats.read`."""
    parts, sensor = {}, options.sensor or aedat.SENSOR
    for split, name in LISTS.items():
        if split == "test" and not (path / name).exists():
            continue
        parts[split] = _part(path, name, sensor)
    return Found(path.name, shape=sensor, class_names=CLASSES, **parts)


def _part(folder, list_name, sensor):
    samples, labels, users, lights = [], [], [], []
    for name in read_text(folder / list_name).split():
        known = _NAME.fullmatch(name)
        if known is None or "/" in name:
            raise InputError(f"{folder / list_name}: {name!r}: must be a name such as user01_natural.aedat")
        for label, begin, end in gestures(folder / name.replace(".aedat", "_labels.csv")):
            samples.append((folder / name, begin, end))
            labels.append(label)
            users.append(int(known[1]))
            lights.append(known[2])
    reader = _Cutter(tuple(samples), sensor)
    groups = {"user": np.array(users, np.int64), "light": np.array(lights, np.str_)}
    values = Events(reader, reader.name, len(samples), sensor, aedat.TICK_MS)
    return Part(values, np.array(labels, np.int64), groups)


def gestures(path):
    """Classes (from 0), begins and ends in microseconds of a file of labels; list of (int, int, int)."""
    lines = read_text(path).splitlines()
    if not lines or lines[0].strip().replace(" ", "") != _HEAD:
        raise InputError(f"{path}: must begin with the line {_HEAD}")
    found = []
    for number, line in enumerate(lines[1:], 2):
        if not line.strip():
            continue
        try:
            label, begin, end = (int(word) for word in line.split(","))
        except ValueError:
            raise InputError(f"{path}: line {number}: {line.strip()!r}: must be three whole numbers") from None
        if not 1 <= label <= len(CLASSES):
            raise InputError(f"{path}: line {number}: class {label}: must lie in 1..{len(CLASSES)}")
        if not 0 <= begin < end:
            raise InputError(f"{path}: line {number}: from {begin} to {end}: must end after it begins")
        found.append((label - 1, begin, end))
    return found


@dataclass
class _Cutter:
    """Cuts samples out of recordings; the last recording is kept, since samples of one follow each other."""

    samples: tuple
    sensor: tuple
    kept: tuple = field(default=(None, None), repr=False)

    def __call__(self, k):
        path, begin, end = self.samples[k]
        if self.kept[0] != path:
            ticks, units, _ = aedat.decode(file_bytes(path), self.sensor, str(path))
            self.kept = path, (ticks, units)
        ticks, units = self.kept[1]
        first, last = np.searchsorted(ticks, [begin, end])
        return ticks[first:last] - begin, units[first:last]

    def name(self, k):
        path, begin, end = self.samples[k]
        return f"{path}: {begin}..{end} us"
