"""Find and open the files of a recording, also of one that grows or whose run was killed."""

from pathlib import Path

from snnsim.errors import InputError
from snnsim.files.hdf5 import open_hdf5
from snnsim.recording import layout

CACHE_BYTES = 16 * 2**20
"""HDF5's cache of each dataset: some chunks, so that trials read one by one read no chunk twice."""


def open_index(directory):
    """Open a recording's ``spikes.h5``, and check that it is of a layout that this version reads."""
    path = directory / layout.INDEX
    file = open_file(path)
    try:
        about = file.get("snnsim")
        if about is None or about.attrs.get("kind") != "traces":
            raise InputError(f"{path}: an HDF5 file, but no recording of snnsim (no group /snnsim of kind traces)")
        if about.attrs["layout"] > layout.LAYOUT:
            raise InputError(
                f"{path}: layout version {about.attrs['layout']}: this snnsim reads versions up to {layout.LAYOUT}; "
                "update snnsim"
            )
        for name in ("trials", "populations", "complete"):
            if name not in about:
                raise InputError(f"{path}: lacks /snnsim/{name}")
    except BaseException:
        file.close()
        raise
    return file


def open_file(path):
    """Open one file of a recording, in SWMR mode if a run has it open or was killed while it had."""
    try:
        return open_hdf5(path, rdcc_nbytes=CACHE_BYTES)
    except InputError as error:
        if "already open for" not in str(error.__cause__):
            raise
    try:
        return open_hdf5(path, swmr=True, rdcc_nbytes=CACHE_BYTES)
    except InputError:
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
        with open_hdf5(path) as file:
            if "snnsim" in file:
                raise InputError(f"{path}: needs its name ({', '.join(layout.FILES)}) and {layout.INDEX} beside it")
        raise InputError(f"{path}: an HDF5 file, but no recording of snnsim")
    return path.parent
