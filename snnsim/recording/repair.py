"""Close what a killed run left open: clear HDF5's flag, cut the files to their complete trials."""

import os
import socket

from snnsim.errors import InputError
from snnsim.files.atomic import writing
from snnsim.files.hdf5 import open_hdf5, reading
from snnsim.recording import layout
from snnsim.recording.opening import checked_info, open_index, open_report, recording_directory
from snnsim.recording.superblock import clear_mark, cut_short, marked


def repair(directory):
    """Make a killed recording an ordinary one that every HDF5 reader opens; a whole one is left alone.

    HDF5 marks a file that is open for writing, and refuses it from then on to readers without SWMR. This clears the
    mark in the superblock (as ``h5clear -s`` does) and removes what the killed run had written beyond its last complete
    trial.

    Parameters
    ----------
    directory : str or Path
        Or one of the files of the recording.

    Returns
    -------
    bool
        Whether anything had to be done.

    Raises
    ------
    InputError
        If it is no recording, holds no complete trial, one of its files is a symbolic link or of another recording, or
        the run that writes it is still alive.
    """
    directory = recording_directory(directory)
    paths = [directory / name for name in layout.FILES if (directory / name).exists()]
    with open_index(directory) as file, reading(file.filename):
        about = file["snnsim"]
        info = checked_info(about)
        trials, frames = int(about["complete"][0]), info["frames_per_trial"]
    for path in paths:
        if path.is_symlink():
            raise InputError(f"{path}: a symbolic link; repair changes only files that lie in the recording")
        if path.name != layout.INDEX:
            open_report(path, info["run_id"]).close()
    if any(map(marked, paths)) and _alive(info["host"], info["pid"]):
        raise InputError(
            f"{directory}: process {info['pid']}, which writes this recording, is still running; repair is for killed "
            "runs"
        )
    broken = [path for path in paths if marked(path) or cut_short(path)]
    for path in broken:
        mend(path, trials, frames)
    return bool(broken)


def mend(path, trials, frames):
    """Clear the mark of one file, and cut it to its first ``trials`` trials of ``frames`` frames each.

    Raises
    ------
    InputError
        If it cannot be written, or is not what its index says; nothing is then changed but the mark.
    """
    with writing(path):
        clear_mark(path)
        with open_hdf5(path, "r+") as file, reading(path):
            _cut(file, trials, frames)


def _alive(host, pid):
    if host != socket.gethostname():
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _cut(file, trials, frames):
    about = file["snnsim"]
    for group in file.get("report", {}).values():
        _shorten(group["data"], trials * frames)
        first, _stop, step = group["mapping/time"][:]
        group["mapping/time"][...] = [first, first + trials * frames * step, step]
    for name in layout.TRIAL_FIELDS if "trials" in about else ():
        _shorten(about["trials"][name], trials)
    for name, spikes in file.get("spikes", {}).items():
        group = about["populations"][name]
        rows = int(group["spike_end"][trials - 1]) if trials else 0
        for field in ("spike_end", "on_grid"):
            _shorten(group[field], trials)
        for field in spikes:
            _cut_packed(spikes[field], rows)


def _shorten(dataset, rows):
    if not 0 <= rows <= len(dataset):
        raise InputError(f"{dataset.file.filename}: {dataset.name}: has {len(dataset)} rows, not the {rows} stated")
    dataset.resize(rows, axis=0)


def _cut_packed(dataset, rows):
    """Cut a dataset that may be packed; the chunk that is cut is put back as it was, since HDF5 packs to a loss."""
    first = rows // dataset.chunks[0] * dataset.chunks[0]
    mask, chunk = dataset.id.read_direct_chunk((first,)) if first < rows else (0, b"")
    _shorten(dataset, first)
    if first < rows:
        dataset.resize(rows, axis=0)
        dataset.id.write_direct_chunk((first,), chunk, mask)
