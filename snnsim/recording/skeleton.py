"""The groups and datasets of a new recording, all there before its first trial: SWMR lets none be added later.

They are made in memory and written by Python: a full disk is then an ordinary error, no half-written HDF5 file.
"""

import json
from contextlib import contextmanager
from dataclasses import dataclass

import h5py
import numpy as np

from snnsim.files.atomic import write_atomic
from snnsim.neurons import settings
from snnsim.recording import layout
from snnsim.recording.columns import PackedColumn, RowColumn, RunColumn, TableColumn
from snnsim.recording.scaleoffset import code_type
from snnsim.recording.space import Space


@dataclass(frozen=True)
class Index:
    """Open ``spikes.h5`` without trials.

    Parameters
    ----------
    file : h5py.File
    space : Space
    columns : dict of (str, str) to Column
        By ``("trials", field)`` and ``(field, population)``.
    complete : h5py.Dataset, (1,)
        Number of trials that readers may trust.
    slots : dict of str to (h5py.Dataset, h5py.Dataset)
        ``counts`` (2, N) and ``counts_trials`` (2,) of each population whose spikes are recorded.
    wanted : dict of str to ndarray, (N,) bool
        Neurons to record of these populations.
    """

    file: h5py.File
    space: Space
    columns: dict
    complete: h5py.Dataset
    slots: dict
    wanted: dict


@dataclass(frozen=True)
class Report:
    """Open report without frames.

    Parameters
    ----------
    file : h5py.File
    space : Space
    columns : dict of str to Column
        By population.
    clocks : list of h5py.Dataset, (3,)
        Start, stop and step, ms, of each population.
    """

    file: h5py.File
    space: Space
    columns: dict
    clocks: list


def create_index(path, network, layers, selection, exact, digits, attributes):
    """Create ``spikes.h5``.

    Parameters
    ----------
    path : Path
    network : Network
    layers : sequence of str
        Populations to record.
    selection : dict of str to ndarray
        Neurons to record, where not all.
    exact : set of str
        Populations that get ``trial_times``.
    digits : int or None
        Decimals of the time stamps of the others, in ms, if they have so few.
    attributes : dict
        Of the group ``/snnsim``.

    Returns
    -------
    Index
    """
    with _draft() as file:
        about = file.create_group("snnsim")
        for key, value in attributes.items():
            about.attrs[key] = value
        columns, slots, wanted = {}, {}, {}
        table = about.create_group("trials")
        for name, kind in layout.TRIAL_FIELDS.items():
            dataset = _extendible(table, name, kind, layout.TRIAL_CHUNK)
            if name in layout.TRIAL_UNITS:
                dataset.attrs["units"] = layout.TRIAL_UNITS[name]
            columns["trials", name] = TableColumn(dataset)
        complete = about.create_dataset("complete", data=np.zeros(1, np.int64))
        for k, name in enumerate(network.populations):
            population = network.populations_by_name[name]
            size = population.size
            group = about.create_group(f"populations/{name}")
            group.attrs["n_neurons"] = size
            group.attrs["order"] = k
            group.attrs["recorded"] = name in layers
            group.attrs["input"] = population.is_input
            group.attrs["spiking"] = population.spiking
            group.attrs["parameters"] = json.dumps({} if population.is_input else settings(network.neuron_of(name)))
            if name in selection:
                group.create_dataset("neuron_ids", data=selection[name].astype(np.uint64))
            if "spikes" not in attributes["record"] or name not in layers:
                continue
            wanted[name] = np.zeros(size, bool)
            wanted[name][selection.get(name, slice(None))] = True
            slots[name] = (
                group.create_dataset("counts", data=np.zeros((2, size), np.int64)),
                group.create_dataset("counts_trials", data=np.zeros(2, np.int64)),
            )
            for field, kind in (("spike_end", np.int64), ("on_grid", np.bool_)):
                columns[field, name] = TableColumn(_extendible(group, field, kind, layout.TRIAL_CHUNK))
            spikes = file.create_group(f"spikes/{name}")
            if name in exact:
                columns["trial_times", name] = _create_exact(spikes, size, attributes["time_unit_ms"])
            columns |= _create_spikes(spikes, name, size, None if name in exact else digits)
        disk, space = _put_on_disk(path, file, columns)
        slots = {name: tuple(disk[dataset.name] for dataset in pair) for name, pair in slots.items()}
        return Index(disk, space, columns, disk[complete.name], slots, wanted)


def _create_spikes(group, name, size, digits):
    group.attrs.create("sorting", 2, dtype=layout.SORTING)
    chunk = layout.spike_chunk(size)
    stamps = _extendible(group, "timestamps", np.float64, chunk, digits=digits)
    kind = code_type(size - 1, np.dtype(np.uint32))
    nodes = _extendible(group, "node_ids", np.uint32, chunk, digits=None if kind is None else 0)
    trials = _extendible(group, "trial_ids", np.uint32, chunk, digits=0)
    stamps.attrs["units"] = "ms"
    # bmtk looks for the order here, as text, before it looks at the enum of the group.
    nodes.attrs["sorting"] = "by_time"
    return {
        ("timestamps", name): RunColumn(stamps, digits),
        ("node_ids", name): RowColumn(nodes) if kind is None else PackedColumn(nodes, kind),
        ("trial_ids", name): RunColumn(trials, 0),
    }


def _create_exact(group, size, time_unit_ms):
    times = _extendible(group, "trial_times", np.float64, layout.spike_chunk(size))
    times.attrs["units"] = f"{time_unit_ms:.17g} ms"
    return RowColumn(times)


def create_report(path, variable, unit, elements, dtype, step_ms, attributes):
    """Create ``v.h5`` or ``i_syn.h5``.

    Parameters
    ----------
    path : Path
    variable, unit : str
    elements : dict of str to ndarray
        Neurons to record of each population.
    dtype : dtype
    step_ms : float
        Time between frames.
    attributes : dict
        Those of the index, of which a few are repeated to tie the files together.

    Returns
    -------
    Report
    """
    with _draft() as file:
        about = file.create_group("snnsim")
        about.attrs["kind"] = "report"
        frames = attributes["frames_per_trial"]
        for key in ("layout", "run_id", "pid", "host"):
            about.attrs[key] = attributes[key]
        columns, clocks = {}, []
        for name, ids in elements.items():
            group = file.create_group(f"report/{name}")
            data = _extendible(group, "data", dtype, layout.report_chunk(len(ids), dtype.itemsize, frames), len(ids))
            data.attrs["units"] = unit
            data.attrs["variable"] = variable
            columns[name] = RowColumn(data)
            mapping = group.create_group("mapping")
            mapping.create_dataset("node_ids", data=ids.astype(np.uint64)).attrs.create("sorted", 1, dtype=np.uint8)
            mapping.create_dataset("index_pointers", data=np.arange(len(ids) + 1, dtype=np.uint64))
            mapping["index_pointer"] = mapping["index_pointers"]
            mapping.create_dataset("element_ids", data=np.zeros(len(ids), np.uint32))
            mapping.create_dataset("element_pos", data=np.zeros(len(ids)))
            clock = mapping.create_dataset("time", data=np.array([step_ms, step_ms, step_ms]))
            clock.attrs["units"] = "ms"
            clocks.append(clock)
        disk, space = _put_on_disk(path, file, columns)
        return Report(disk, space, columns, [disk[clock.name] for clock in clocks])


_OPTIONS = {
    "libver": ("v110", "v110"),
    "alignment_threshold": layout.ALIGN_FROM,
    "alignment_interval": layout.ALIGN,
}


@contextmanager
def _draft():
    with h5py.File("draft", "w", driver="core", backing_store=False, **_OPTIONS) as file:
        file.attrs["magic"] = np.uint32(layout.SONATA_MAGIC)
        file.attrs["version"] = np.array(layout.SONATA_VERSION, np.uint32)
        yield file


def _put_on_disk(path, draft, columns):
    """Write a draft to the disk, open it there, and let its columns write there; the open file and its space."""
    draft.flush()
    image = draft.id.get_file_image()
    write_atomic(path, lambda out: out.write(image), sync=False)
    file = h5py.File(path, "r+", **_OPTIONS)
    space = Space(file)
    for column in columns.values():
        column.move(file[column.dataset.name], space)
    return file, space


def _extendible(group, name, dtype, chunk, width=None, digits=None):
    tail = () if width is None else (width,)
    # SPACE_ALLOC and fill are left to the direct chunk writes: HDF5 must not write fill values first.
    dcpl = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    dcpl.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    return group.create_dataset(
        name,
        shape=(0, *tail),
        maxshape=(None, *tail),
        dtype=dtype,
        chunks=(chunk, *tail),
        dcpl=dcpl,
        scaleoffset=digits,
    )
