"""Arrays by name: a file ``.npz`` of NumPy, or HDF5 with datasets of these names.

``x`` and ``y``, or ``x_train``, ``y_train`` and perhaps ``x_test``, ``y_test``, ``x_validation``, ``y_validation``:

- images or features: (n, D), (n, H, W) or (n, C, H, W), whole numbers in 0..255, booleans, or floats in 0..1, or what
  ``data.range`` says;
- frames that count spikes: (n, T, C, H, W), or (n, T, N) where ``data.sensor = "N"`` tells them from images; a frame
  lasts ``data.time_unit``;
- events as Tonic gives them: a structured array (E,) with fields t, x (and y, p), of all samples one after another, and
  ``offsets`` (n + 1,): sample k has the entries ``offsets[k]:offsets[k + 1]``.

Every other array with one entry a sample is a group, such as ``speaker`` (``speaker_train``, ...).
"""

import zipfile

import numpy as np

from snnsim.connections.maps import described
from snnsim.datasets.formats import structured
from snnsim.datasets.formats.base import Events, Found, Part
from snnsim.errors import InputError
from snnsim.files.hdf5 import datasets_in, open_hdf5, reading
from snnsim.files.text import check_ordinary
from snnsim.recording.events import milliseconds_of

NAME = "arrays"
DESCRIPTION = "FILE.npz or FILE.h5 with x and y, or x_train, y_train, x_test, y_test"
SUFFIXES = (".npz", ".h5", ".hdf5")
SPLITS = ("train", "test", "validation")
LARGEST = 2**36
"""Bytes of the largest array that is read."""


def matches(path):
    """Whether a path is a file that may hold named arrays."""
    return path.suffix in SUFFIXES and not path.is_dir()


def read(path, options):
    """Read all parts; see :func:`snnsim.datasets.formats.read`."""
    arrays = _npz(path) if path.suffix == ".npz" else _hdf5(path)
    return from_arrays(arrays, str(path), options)


def from_arrays(arrays, where, options):
    """Parts out of named arrays.

    Parameters
    ----------
    arrays : dict of str to ndarray
        As above.
    where : str
        Begins every message.
    options : Options

    Returns
    -------
    Found

    Raises
    ------
    InputError
        If arrays are missing, do not fit each other, or hold anything else than described above.
    """
    if "x_train" in arrays:
        if "x" in arrays:
            raise InputError(f"{where}: has both x and x_train: must have one of them")
        splits = {split: f"_{split}" for split in SPLITS if f"x_{split}" in arrays}
    elif "x" in arrays:
        splits = {"train": ""}
    else:
        names = ", ".join(sorted(arrays)[:8]) or "no arrays"
        raise InputError(f"{where}: has {names}: must have x and y, or x_train and y_train")
    given = {split: arrays[f"x{end}"] for split, end in splits.items()}
    sensor = options.sensor
    if not sensor and all(map(structured.is_structured, given.values())):
        sensor = structured.sensor_of(given.values(), where)
    parts, shape = {}, ()
    for split, end in splits.items():
        if f"y{end}" not in arrays:
            raise InputError(f"{where}: has x{end} but no y{end}, the labels")
        labels = _labels(arrays[f"y{end}"], f"{where}: y{end}")
        offsets = arrays.get(f"offsets{end}")
        values, own = _values(given[split], offsets, sensor, options, f"{where}: x{end}")
        if len(values) != len(labels):
            raise InputError(f"{where}: {len(values)} samples in x{end}, {len(labels)} labels in y{end}: must be equal")
        if shape and own != shape:
            raise InputError(f"{where}: x{end} has samples of {described(own)}, the others of {described(shape)}")
        shape = own
        parts[split] = Part(values, labels, _groups(arrays, end, splits.values(), len(labels)))
    return Found(where.rsplit("/", 1)[-1], shape=shape, **parts)


def _values(x, offsets, sensor, options, where):
    if structured.is_structured(x):
        return _events(x, offsets, sensor, options, where)
    if offsets is not None:
        raise InputError(f"{where}: offsets belong to events, an array with fields t and x; this holds {x.dtype}")
    if x.dtype.kind == "O":
        raise InputError(f"{where}: holds objects: must be numbers, or a structured array of events with offsets")
    if x.ndim == 5 or (x.ndim == 3 and len(sensor) == 1):
        return _frames(x, options, where)
    return _intensities(x, options.range, where)


def _intensities(x, limits, where):
    """Intensities (n, D), neurons of maps channels last."""
    if x.ndim not in (2, 3, 4):
        raise InputError(f"{where}: {x.ndim}-d; must be (n, D), (n, H, W) or (n, C, H, W), or frames (n, T, C, H, W)")
    if x.dtype.kind not in "iufb":
        raise InputError(f"{where}: {x.dtype}: must be whole numbers in 0..255, booleans, or floats in 0..1")
    if x.size == 0:
        raise InputError(f"{where}: shape {x.shape}: must hold at least one number")
    x = _scaled(x, limits, where)
    shape = x.shape[1:] if x.ndim != 3 else (1, *x.shape[1:])
    if x.ndim == 4:
        x = x.transpose(0, 2, 3, 1)
    return np.ascontiguousarray(x.reshape(len(x), -1)), tuple(map(int, shape))


def _scaled(x, limits, where):
    """Intensities as uint8 for 0..255, or floats in 0..1."""
    if x.dtype.kind == "b":
        return x.astype(np.uint8) * np.uint8(255)
    whole = x.dtype.kind in "iu"
    low, high = limits or ((0, 255) if whole else (0, 1))
    if not (np.isfinite(x).all() and x.min() >= low and x.max() <= high):
        bad = x[~((x >= low) & (x <= high))][0]
        raise InputError(f"{where}: {bad:g} among them: must lie in {low:g}..{high:g}; data.range says another range")
    if whole and not limits:
        return x.astype(np.uint8)
    kind = np.float32 if x.dtype.kind == "f" and x.dtype.itemsize <= 4 else np.float64
    return x.astype(kind) if not limits else ((x.astype(kind) - low) / (high - low)).astype(kind)


def _frames(x, options, where):
    """Events out of numbers of spikes (n, T, N) or (n, T, C, H, W); those of frame k lie at its end, k + 1."""
    if x.dtype.kind not in "iufb" or (x.dtype.kind == "f" and not (x == np.rint(x)).all()) or (x.size and x.min() < 0):
        raise InputError(f"{where}: {x.dtype} of shape {x.shape}: frames must hold whole numbers of spikes")
    if options.time_unit == "":
        raise InputError(f"{where}: frames: data.time_unit must say how many milliseconds one lasts, such as \"5\"")
    shape = tuple(map(int, x.shape[2:]))
    flat = x.transpose(0, 1, 3, 4, 2) if x.ndim == 5 else x
    flat = flat.reshape(*x.shape[:2], -1)

    def read(k):
        frame, unit = np.nonzero(flat[k])
        several = flat[k][frame, unit].astype(np.int64)
        return np.repeat(frame + 1, several), np.repeat(unit, several)

    tick = milliseconds_of(options.time_unit, f"data.time_unit = {options.time_unit!r}")
    return Events(read, lambda k: f"{where}[{k}]", len(x), shape, tick, float(x.shape[1])), shape


def _events(x, offsets, sensor, options, where):
    if offsets is None:
        raise InputError(f"{where}: events need offsets (n + 1,), where the samples begin and end")
    if offsets.ndim != 1 or offsets.dtype.kind not in "iu" or len(offsets) < 2:
        raise InputError(f"{where}: offsets: {offsets.dtype} of shape {offsets.shape}: must be n + 1 whole numbers")
    if offsets[0] != 0 or offsets[-1] != x.size or (np.diff(offsets.astype(np.int64)) < 0).any():
        raise InputError(f"{where}: offsets: must begin with 0, ascend, and end with {x.size}, the number of events")

    def read(k):
        ticks, units, _ = structured.events_of(x[offsets[k] : offsets[k + 1]], sensor, name(k))
        return ticks, units

    def name(k):
        return f"{where}: sample {k}"

    tick = structured.TICK_MS
    if options.time_unit != "":
        tick = milliseconds_of(options.time_unit, f"data.time_unit = {options.time_unit!r}")
    return Events(read, name, len(offsets) - 1, sensor, tick), sensor


def _labels(y, where):
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim != 1:
        raise InputError(f"{where}: shape {y.shape}: must be one class a sample, not one-hot vectors")
    if y.dtype.kind in "SO":
        y = np.array([v.decode("utf-8", "replace") if isinstance(v, bytes) else str(v) for v in y.tolist()], np.str_)
    if y.dtype.kind == "f":
        if not (np.isfinite(y).all() and (y == np.rint(y)).all()):
            raise InputError(f"{where}: {y.dtype} with fractions: must be classes, whole numbers or text")
        y = y.astype(np.int64)
    if y.dtype.kind not in "iubU":
        raise InputError(f"{where}: {y.dtype}: must be classes, whole numbers or text")
    return y.astype(np.int64) if y.dtype.kind in "iub" else y


def _groups(arrays, end, ends, n):
    """Arrays with one entry a sample, by their names without the split's end."""
    found, special = {}, {"x", "y", "offsets"}
    for name, values in arrays.items():
        stem = name.removesuffix(end) if end else name
        mine = name.endswith(end) if end else not any(e and name.endswith(e) for e in ends)
        if mine and stem not in special and values.shape == (n,) and values.dtype.kind in "iuUSb":
            found[stem] = values.astype(np.str_) if values.dtype.kind in "SU" else values.astype(np.int64)
    return found


def _npz(path):
    size = check_ordinary(path).st_size
    if not zipfile.is_zipfile(path):
        raise InputError(f"{path}: not a file .npz of NumPy")
    try:
        with np.load(path, allow_pickle=False) as file:
            announced = sum(info.file_size for info in file.zip.infolist())
            if announced > LARGEST or announced > 1100 * size + 2**20:
                raise InputError(f"{path}: announces {announced} bytes of arrays: too many for a file of {size} bytes")
            return {name: file[name] for name in file.files}
    except InputError:
        raise
    except ValueError as error:
        if "allow_pickle" in str(error):
            raise InputError(
                f"{path}: holds arrays of Python objects, which are not read: save numbers, or events with offsets"
            ) from error
        raise InputError(f"{path}: not a file .npz of NumPy ({' '.join(str(error).split())})") from error
    except (OSError, EOFError, zipfile.BadZipFile, NotImplementedError, AttributeError) as error:
        raise InputError(f"{path}: not a file .npz of NumPy, or damaged ({' '.join(str(error).split())})") from error


def _hdf5(path):
    with open_hdf5(path) as file, reading(path):
        found = datasets_in(file)
        if sum(data.size * data.dtype.itemsize for data in found.values()) > LARGEST:
            raise InputError(f"{path}: holds more than {LARGEST} bytes of arrays")
        return {name: data[()] for name, data in found.items() if data.ndim}
