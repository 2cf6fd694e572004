"""Labelled spike trains in the HDF5 layout of the Heidelberg data sets (SHD, SSC), and SONATA spikes of others."""

from pathlib import Path

import h5py
import numpy as np

from snnsim.arguments import chosen
from snnsim.errors import InputError
from snnsim.files.hdf5 import attribute, dataset_of, group_of, number, open_hdf5, reading
from snnsim.recording.runs import new_hdf5

MILLISECONDS = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1000.0),
    **dict.fromkeys(("ms", "msec", "msecs", "millisecond", "milliseconds"), 1.0),
    **dict.fromkeys(("us", "usec", "usecs", "µs", "μs", "microsecond", "microseconds"), 1e-3),
    **dict.fromkeys(("ns", "nsec", "nsecs", "nanosecond", "nanoseconds"), 1e-6),
}
"""Milliseconds of a unit of time, by the names that files have for it, in small letters."""
LATEST = 1e15
"""Milliseconds of the latest spike: 30,000 years, whose float64 still tell an eighth of a millisecond."""
HIGHEST = 2**31 - 1
"""Highest number of a channel or neuron: they are int32."""

# Sources: Cramer et al. 2020, doi 10.1109/TNNLS.2020.3044364 (layout of shd_train.h5); SONATA developer guide.


def write_events(path, samples, n_units, duration, extra=None):
    """Write labelled spike trains as ``/spikes/times``, ``/spikes/units`` and ``/labels``, one sample at a time.

    Parameters
    ----------
    path : str or Path
        Replaced atomically.
    samples : iterable of (times, units, label)
        (E,) float64 in seconds from the start of the sample, (E,) int, and int.
    n_units : int
        Number of channels; kept in the attribute ``n_units``, which SHD's own files lack.
    duration : float
        Length of each sample in seconds; kept in the attribute ``duration``.
    extra : dict of str to ndarray, optional
        What else there is to each sample or class, such as ``speaker`` and ``keys``; kept in ``/extra``.

    Returns
    -------
    int
        Number of samples written.

    Raises
    ------
    InputError
        If a unit is outside [0, n_units), or the file cannot be written; an old one is then untouched.
    """
    kind = np.uint16 if n_units <= 2**16 else np.uint32
    n = 0
    with new_hdf5(path) as file:
        file.attrs["n_units"], file.attrs["duration"] = n_units, float(duration)
        spikes = file.create_group("spikes")
        options = {"shape": (0,), "maxshape": (None,), "chunks": (1024,)}
        times = spikes.create_dataset("times", dtype=h5py.vlen_dtype(np.float64), **options)
        units = spikes.create_dataset("units", dtype=h5py.vlen_dtype(kind), **options)
        labels = file.create_dataset("labels", dtype=np.int64, **options)
        times.attrs["units"] = "s"
        for t, u, label in samples:
            u = np.asarray(u)
            if u.size and not 0 <= u.min() <= u.max() < n_units:
                raise InputError(f"{path}: sample {n}: units {u.min()}..{u.max()}: must lie in 0..{n_units - 1}")
            for dataset in (times, units, labels):
                dataset.resize(n + 1, axis=0)
            times[n], units[n], labels[n] = np.asarray(t, np.float64), u.astype(kind), label
            n += 1
        for name, values in (extra or {}).items():
            file[f"extra/{name}"] = values
    return n


def layout_of(path):
    """Which layout a file of spikes has: ``recording`` (of snnsim), ``shd`` or ``sonata``.

    Raises
    ------
    InputError
        If it is neither, or cannot be opened.
    """
    if Path(path).is_dir():
        return "recording"
    with open_hdf5(path) as file, reading(path):
        if "snnsim" in file:
            return "recording"
        spikes = file.get("spikes")
        if isinstance(spikes, h5py.Group):
            if "times" in spikes or "units" in spikes:
                for name in ("spikes/times", "spikes/units", "labels"):
                    if name not in file:
                        raise InputError(f"{path}: lacks /{name}, which the SHD layout needs")
                return "shd"
            if _timed(spikes):
                return "sonata"
    raise InputError(
        f"{path}: no spikes that snnsim reads; needs /spikes/times, /spikes/units and /labels (SHD), or "
        "/spikes/<population>/timestamps and node_ids (SONATA)"
    )


def read_events(path, samples=None, time_unit=None):
    """Read labelled spike trains of the SHD layout.

    Parameters
    ----------
    path : str or Path
    samples : slice or sequence of int, optional
        Which samples; all if None.
    time_unit : str or float, optional
        As for :func:`milliseconds`.

    Returns
    -------
    times : list of (E,) float64, milliseconds
    units : list of (E,) int64
    labels : (B,) int64
        Classes. Labels that are text are numbered in the order of the alphabet, over the whole file.
    n_units, duration : int or None, float or None
        As the file says, duration in milliseconds; None in files that do not say it.

    Raises
    ------
    InputError
        If the file cannot be read, its unit of time is not known, or times, units and labels do not belong together.
    """
    with open_hdf5(path) as file, reading(path):
        times, units = (dataset_of(file, f"spikes/{name}") for name in ("times", "units"))
        labels = classes_of(file)[0]
        if not times.shape[:1] == units.shape[:1] == labels.shape:
            counts = [shape[0] if shape else "no" for shape in (times.shape, units.shape, labels.shape)]
            raise InputError(f"{path}: {counts[0]} times, {counts[1]} units and {counts[2]} labels: must be equal")
        factor = milliseconds(times, time_unit)
        n_units = number(file, "n_units", 1, HIGHEST + 1, whole=True, default=0) or None
        duration = number(file, "duration", 0, LATEST / factor, default=-1)
        chosen = chosen_samples(samples, len(labels), path)
        t, u = [], []
        for b in chosen:
            row, ids = np.asarray(times[b]), np.asarray(units[b])
            if row.ndim != 1 or row.shape != ids.shape:
                raise InputError(f"{path}: sample {b}: {row.size} times and {ids.size} units")
            t.append(_checked_times(row, factor, f"{path}: sample {b}: times"))
            u.append(_checked_ids(ids, n_units, f"{path}: sample {b}: units"))
        return t, u, labels[chosen], n_units, None if duration < 0 else duration * factor


def milliseconds(times, time_unit=None):
    """Milliseconds in the unit of a dataset of times.

    Parameters
    ----------
    times : h5py.Dataset
        Its attribute ``units`` names the unit. Without it, spikes/times of SHD are seconds and SONATA's timestamps
        milliseconds, as long as they are no whole numbers, which would have been counted in something smaller.
    time_unit : str or float, optional
        The unit, whatever the file says: s, ms, us, ns, or the milliseconds in it.

    Raises
    ------
    InputError
        If the unit is unknown.
    """
    where = f"{times.file.filename}: {times.name}"
    if time_unit is not None:
        return milliseconds_of(time_unit, f"--time-unit {time_unit}")
    given = attribute(times, "units", "")
    while isinstance(given, list) and len(given) == 1:
        given = given[0]
    if given not in ("", []):
        if not isinstance(given, str) or given.strip().lower() not in MILLISECONDS:
            raise InputError(f"{where}: unit {given!r}: must be s, ms, us or ns; --time-unit overrides it")
        return MILLISECONDS[given.strip().lower()]
    kind = h5py.check_vlen_dtype(times.dtype) or times.dtype
    if kind.kind in "iu":
        raise InputError(f"{where}: whole numbers without a unit; --time-unit says whether they are s, ms, us or ns")
    return 1000.0 if times.name == "/spikes/times" else 1.0


def milliseconds_of(time_unit, where):
    """Milliseconds of a unit, s, ms, us, ns, or their number; ``where`` begins the message of the InputError."""
    known = MILLISECONDS.get(str(time_unit).strip().lower())
    if known is not None:
        return known
    try:
        value = float(time_unit)
    except (TypeError, ValueError):
        value = 0.0
    if not 0 < value < np.inf:
        raise InputError(f"{where}: must be s, ms, us, ns, or the milliseconds of the unit")
    return value


def classes_of(file):
    """Classes of the samples of an open file in the SHD layout.

    Returns
    -------
    classes : (B,) int64
    names : list of str, or None
        Of the classes, if they are text.

    Raises
    ------
    InputError
        If /labels holds no class for each sample, such as one-hot vectors.
    """
    labels = dataset_of(file, "labels")
    where = f"{file.filename}: /labels"
    if labels.ndim not in (1, 2) or (labels.ndim == 2 and labels.shape[1] != 1):
        shape = " x ".join(map(str, labels.shape)) or "one value"
        raise InputError(f"{where}: {shape}: must be one class a sample, a whole number or text, not one-hot vectors")
    values = labels[()].reshape(-1)
    kind = values.dtype.kind
    if kind in "OSU":
        text = [_text(value, where) for value in values]
        names, classes = np.unique(np.array(text, np.str_), return_inverse=True)
        return classes.astype(np.int64), names.tolist()
    if kind not in "iufb" or (kind == "f" and not (values == np.rint(values)).all()):
        raise InputError(f"{where}: holds {values.dtype}: must be whole numbers or text")
    if values.size and not (values.min() >= -1 and values.max() <= HIGHEST):
        raise InputError(f"{where}: {values.min()}..{values.max()}: must be classes from 0, or -1 where unknown")
    return values.astype(np.int64), None


def _text(value, where):
    if isinstance(value, bytes):
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError as error:
            raise InputError(f"{where}: not UTF-8 text") from error
    if not isinstance(value, str):
        raise InputError(f"{where}: holds {type(value).__name__}: must be whole numbers or text")
    return value


def _checked_times(times, factor, where):
    """Return times in milliseconds, float64; InputError unless they are numbers from 0 to LATEST."""
    if times.dtype.kind not in "iuf":
        raise InputError(f"{where}: {times.dtype}: must be numbers")
    times = times.astype(np.float64) * factor
    if times.size and not (times.min() >= 0 and times.max() <= LATEST):
        raise InputError(f"{where}: must be finite and not negative, and at most {LATEST:g} ms")
    return times


def _checked_ids(ids, size, where):
    """Return numbers of channels or neurons as int64; InputError unless they lie below ``size`` (None: int32's end)."""
    if ids.dtype.kind not in "iu":
        raise InputError(f"{where}: {ids.dtype}: must be whole numbers")
    highest = HIGHEST if size is None else size - 1
    if ids.size and not (ids.min() >= 0 and ids.max() <= highest):
        raise InputError(f"{where}: {ids.min()}..{ids.max()}: must lie in 0..{highest}")
    return ids.astype(np.int64)


def chosen_samples(samples, count, path):
    """Numbers of the samples that a slice, int or bool, or None (all) names among ``count``; list of int."""
    return chosen(f"{path}: samples", samples, count, "samples of the file").tolist()


def sonata_populations(path):
    """Names of the populations of a SONATA spike file; ``""`` for one of the oldest kind, without populations."""
    with open_hdf5(path) as file, reading(path):
        return list(_timed(group_of(file, "spikes")))


def sonata_counts(path):
    """Spikes of each population of a SONATA spike file, dict of str to int, named as by :func:`sonata_populations`."""
    with open_hdf5(path) as file, reading(path):
        found = _timed(group_of(file, "spikes"))
        return {name: int(dataset_of(group, "timestamps", 1).shape[0]) for name, group in found.items()}


def _timed(spikes):
    """Find the groups with timestamps, by the names of their populations."""
    if "timestamps" in spikes:
        return {"": spikes}
    return {name: group for name, group in spikes.items() if isinstance(group, h5py.Group) and "timestamps" in group}


def read_sonata(path, population, time_unit=None):
    """Spikes of one population of any SONATA file.

    Parameters
    ----------
    path : str or Path
    population : str
        ``""`` for a file without populations.
    time_unit : str or float, optional
        As for :func:`milliseconds`.

    Returns
    -------
    times : (E,) float64
        Milliseconds, ascending.
    nodes : (E,) int64

    Raises
    ------
    InputError
        If the population is missing or incomplete, its times or nodes are none, or its unit of time is not known.
    """
    with open_hdf5(path) as file, reading(path):
        populations = _timed(group_of(file, "spikes"))
        if population not in populations:
            raise InputError(f"{path}: population {population!r}: the file has {', '.join(populations)}")
        group = populations[population]
        ids = next((name for name in ("node_ids", "gids") if name in group), None)
        stamps = dataset_of(group, "timestamps", 1)
        if ids is None or dataset_of(group, ids, 1).shape != stamps.shape:
            raise InputError(f"{path}: {group.name}: needs node_ids, one for each of timestamps")
        scale = milliseconds(stamps, time_unit)
        times = _checked_times(stamps[:], scale, f"{path}: {stamps.name}")
        nodes = _checked_ids(group[ids][:], None, f"{path}: {group.name}/{ids}")
    order = np.lexsort((nodes, times))
    return times[order], nodes[order]
