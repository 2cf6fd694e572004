"""Labelled spike trains in the HDF5 layout of the Heidelberg data sets (SHD, SSC), and SONATA spikes of others."""

from pathlib import Path

import h5py
import numpy as np

from snnsim.arguments import chosen
from snnsim.errors import InputError
from snnsim.recording.runs import new_hdf5, open_hdf5, reading

# Sources: Cramer et al. 2020, doi 10.1109/TNNLS.2020.3044364 (layout of shd_train.h5); SONATA developer guide.


def write_events(path, samples, n_units, duration):
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

    Returns
    -------
    int
        Number of samples written.
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
            for dataset in (times, units, labels):
                dataset.resize(n + 1, axis=0)
            times[n], units[n], labels[n] = np.asarray(t, np.float64), np.asarray(u, kind), label
            n += 1
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
            if "timestamps" in spikes or any("timestamps" in g for g in spikes.values() if isinstance(g, h5py.Group)):
                return "sonata"
    raise InputError(
        f"{path}: no spikes that snnsim reads; needs /spikes/times, /spikes/units and /labels (SHD), or "
        "/spikes/<population>/timestamps and node_ids (SONATA)"
    )


def read_events(path, samples=None):
    """Read labelled spike trains of the SHD layout.

    Parameters
    ----------
    path : str or Path
    samples : slice or sequence of int, optional
        Which samples; all if None.

    Returns
    -------
    times : list of (E,) float64, seconds
    units : list of (E,) int64
    labels : (B,) int64
    n_units, duration : int or None, float or None
        As the file says; None in files that are not of snnsim.

    Raises
    ------
    InputError
        If the file cannot be read, or times, units and labels do not belong together.
    """
    with open_hdf5(path) as file, reading(path):
        times, units, labels = file["spikes/times"], file["spikes/units"], file["labels"]
        if not len(times) == len(units) == len(labels):
            raise InputError(f"{path}: {len(times)} times, {len(units)} units and {len(labels)} labels: must be equal")
        wanted = chosen_samples(samples, len(labels), path)
        t = [np.asarray(times[b], np.float64) for b in wanted]
        u = [np.asarray(units[b], np.int64) for b in wanted]
        for b, row, ids in zip(wanted, t, u, strict=True):
            if row.shape != ids.shape:
                raise InputError(f"{path}: sample {b}: {row.size} times and {ids.size} units")
            if row.size and not (np.isfinite(row).all() and row.min() >= 0 and ids.min() >= 0):
                raise InputError(f"{path}: sample {b}: times and units must not be negative")
        n_units = int(file.attrs["n_units"]) if "n_units" in file.attrs else None
        duration = float(file.attrs["duration"]) if "duration" in file.attrs else None
        return t, u, labels[:].astype(np.int64)[wanted], n_units, duration


def chosen_samples(samples, count, path):
    """Numbers of the samples that a slice, int or bool, or None (all) names among ``count``; list of int."""
    return chosen(f"{path}: samples", samples, count, "samples of the file").tolist()


def sonata_populations(path):
    """Names of the populations of a SONATA spike file; ``""`` for one of the oldest kind, without populations."""
    with open_hdf5(path) as file, reading(path):
        spikes = file["spikes"]
        if "timestamps" in spikes:
            return [""]
        return [name for name, group in spikes.items() if isinstance(group, h5py.Group) and "timestamps" in group]


def read_sonata(path, population):
    """Spikes of one population of any SONATA file.

    Parameters
    ----------
    path : str or Path
    population : str
        ``""`` for a file without populations.

    Returns
    -------
    times : (E,) float64
        Milliseconds, ascending.
    nodes : (E,) int64

    Raises
    ------
    InputError
        If the population is missing or incomplete, or its unit is neither ms nor s.
    """
    with open_hdf5(path) as file, reading(path):
        spikes = file["spikes"]
        if population and population not in spikes:
            raise InputError(f"{path}: population {population!r}: the file has {', '.join(sonata_populations(path))}")
        group = spikes[population] if population else spikes
        ids = next((name for name in ("node_ids", "gids") if name in group), None)
        if ids is None or group[ids].shape != group["timestamps"].shape:
            raise InputError(f"{path}: {group.name}: needs node_ids, one for each of timestamps")
        times, nodes = group["timestamps"][:].astype(np.float64), group[ids][:].astype(np.int64)
        unit = group["timestamps"].attrs.get("units", "ms")
        unit = unit.decode() if isinstance(unit, bytes) else str(unit)
        scale = {"ms": 1.0, "milliseconds": 1.0, "s": 1000.0, "seconds": 1000.0}.get(unit)
        if scale is None:
            raise InputError(f"{path}: {group.name}/timestamps: unit {unit!r}: must be ms or s")
    order = np.lexsort((nodes, times))
    return times[order] * scale, nodes[order]
