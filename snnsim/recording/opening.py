"""Find and open the files of a recording, also of one that grows or whose run was killed."""

from pathlib import Path

import h5py
import numpy as np

from snnsim.errors import InputError
from snnsim.files.hdf5 import attribute, dataset_of, group_of, number, open_hdf5, reading, text
from snnsim.files.vetting import Unsafe
from snnsim.recording import layout
from snnsim.recording.units import MILLISECONDS

CACHE_BYTES = 16 * 2**20
"""HDF5's cache of each dataset: some chunks, so that trials read one by one read no chunk twice."""


def open_index(directory):
    """Open a recording's ``spikes.h5``, and check that it is of a layout that this version reads."""
    path = directory / layout.INDEX
    file = open_file(path)
    try:
        with reading(path):
            about = file.get("snnsim")
        if not isinstance(about, h5py.Group) or attribute(about, "kind", "") != "traces":
            raise InputError(f"{path}: an HDF5 file, but no recording of snnsim (no group /snnsim of kind traces)")
        version = number(about, "layout", 1, whole=True)
        if version > layout.LAYOUT:
            raise InputError(
                f"{path}: layout version {version}: this snnsim reads versions up to {layout.LAYOUT}; update snnsim"
            )
        for name in ("trials", "populations"):
            group_of(about, name)
        dataset_of(about, "complete", 1, "iu")
    except BaseException:
        file.close()
        raise
    return file


def open_report(path, run_id):
    """Open a report, and check that it belongs to the recording of that number."""
    file = open_file(path)
    try:
        with reading(path):
            about = file.get("snnsim")
        if not isinstance(about, h5py.Group) or attribute(about, "run_id", "") != run_id:
            raise InputError(f"{path}: belongs to another recording than {layout.INDEX} beside it")
    except BaseException:
        file.close()
        raise
    return file


def checked_info(about):
    """Attributes of the group /snnsim of an index but for config and provenance, as dict, each what it must be."""
    path = about.file.filename
    info = {key: attribute(about, key, "") for key in about.attrs if key not in ("config", "provenance")}
    for key in ("engine", "scheme", "run_id", "seed", "host", "created"):
        info[key] = text(about, key)
    for key in ("duration", "sample_step", "time_unit_ms"):
        info[key] = float(number(about, key, np.finfo(np.float64).tiny, np.finfo(np.float64).max))
    info["time_unit"] = text(about, "time_unit", "ms")  # files of version 0.2 and before have milliseconds
    if info["time_unit"] not in MILLISECONDS:
        raise InputError(f"{path}: /snnsim: attribute time_unit = {info['time_unit']!r}: must be ms, s, or empty")
    for key in ("frames_per_trial", "record_every", "pid"):
        info[key] = number(about, key, 0 if key == "pid" else 1, 2**62, whole=True)
    info["dt"] = attribute(about, "dt")
    if not isinstance(info["dt"], float) or info["dt"] <= 0 or info["dt"] == np.inf:
        raise InputError(f"{path}: /snnsim: attribute dt = {info['dt']!r}: must be positive, or NaN without a grid")
    record = attribute(about, "record")
    if not isinstance(record, list) or not record or not set(map(str, record)) <= set(layout.VARIABLES):
        raise InputError(f"{path}: /snnsim: attribute record: must name some of {', '.join(layout.VARIABLES)}")
    info["record"] = record
    return info


def open_file(path):
    """Open one file of a recording, in SWMR mode if a run has it open or was killed while it had."""
    try:
        return open_hdf5(path, rdcc_nbytes=CACHE_BYTES)
    except InputError as error:
        if "already open for" not in str(error.__cause__):
            raise
    try:
        return open_hdf5(path, swmr=True, rdcc_nbytes=CACHE_BYTES)
    except InputError as error:
        if isinstance(error.__cause__, Unsafe):
            raise
        raise InputError(f"{path}: its run has not committed a trial yet, or was killed before it did") from None


def recording_directory(path):
    """Directory of the recording that ``path`` is, or is a file of; InputError if there is none."""
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path}: no such file or directory")
    if path.is_dir():
        if not (path / layout.INDEX).exists():
            raise InputError(f"{path}: holds no recording ({layout.INDEX})")
        return path
    if path.name not in layout.FILES or not (path.parent / layout.INDEX).exists():
        # Let the file itself say what is wrong with it before its name does.
        with open_hdf5(path) as file, reading(path):
            if "snnsim" in file:
                raise InputError(f"{path}: needs its name ({', '.join(layout.FILES)}) and {layout.INDEX} beside it")
        raise InputError(f"{path}: an HDF5 file, but no recording of snnsim")
    return path.parent
