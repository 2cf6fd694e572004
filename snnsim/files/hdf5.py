"""The one opener of HDF5 files that are read, and how to ask them for values that may be anything."""

import fcntl
import os
import stat
import time
from contextlib import contextmanager, suppress

import h5py
import numpy as np

from snnsim.errors import InputError
from snnsim.files import vetting
from snnsim.files.text import check_ordinary, parse_json

CLOCK_NS = 100_000_000
"""Longer than a tick of the clock that file systems take the time of a change from."""
_VETTED = set()


def open_hdf5(path, mode="r", *, swmr=False, **options):
    """Open an existing HDF5 file of whatever origin.

    Nothing in it leads out of it: external links, external storage, virtual datasets and filters that HDF5 does not
    have itself are refused, and so are groups that lie in two places, sizes that the file cannot hold, and files that
    HDF5 does not survive reading.

    Parameters
    ----------
    path : str or Path
    mode : {"r", "r+"}
        ``r+`` takes no symbolic link for the file.
    swmr : bool
        Read while another process writes.
    **options
        Of `h5py.File`.

    Returns
    -------
    h5py.File

    Raises
    ------
    InputError
        If it does not exist, is no ordinary file, truncated, not HDF5, locked, unreadable or not safe.
    """
    status = check_ordinary(path)
    if status.st_size == 0:
        raise InputError(f"{path}: an empty file, not an HDF5 file")
    if mode == "r+" and stat.S_ISLNK(os.lstat(path).st_mode):
        raise InputError(f"{path}: a symbolic link; name the file itself, which is to be changed")
    with reading(path):
        if not _written_here(status):
            _vet(path, status, swmr)
        return h5py.File(path, mode, swmr=swmr, **options)


def _vet(path, status, swmr):
    """Vet a file, unless the very same was vetted before."""
    changed = max(status.st_mtime_ns, status.st_ctime_ns)
    state = (status.st_dev, status.st_ino, status.st_size, changed, swmr)
    if state not in _VETTED:
        old = time.time_ns() - changed > CLOCK_NS
        vetting.vet(path, status.st_size, swmr)
        if old:  # else it may change once more within the same tick of the system's clock
            _VETTED.add(state)


def _written_here(status):
    """Whether this very process has a file open for writing: then it is its own, and no child may have it half open.

    HDF5 is not asked: it crashes on its list of open files after one that a full disk kept it from closing.
    """
    for name in os.listdir("/dev/fd") if os.path.isdir("/dev/fd") else ():
        with suppress(OSError):  # the one that lists the others is closed by now
            if os.path.samestat(os.fstat(int(name)), status) and fcntl.fcntl(int(name), fcntl.F_GETFL) & os.O_ACCMODE:
                return True
    return False


@contextmanager
def reading(path):
    """Turn whatever is raised while ``path`` is read into an InputError of one line.

    Only reading belongs into the block: h5py answers damage with nearly every exception that there is.
    """
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"{path}: {_reason(error)}") from error


def _reason(error):
    text = " ".join(str(error).split())
    known = {
        "truncated file": "truncated: the file is shorter than its own header says",
        "file signature not found": "not an HDF5 file",
        "already open for": "being written, or left by a killed run (then: snnsim inspect --repair)",
        "unable to lock file": "locked by another program",
    }
    for part, reason in known.items():
        if part in text:
            return reason
    if isinstance(error, vetting.Unsafe):
        return text
    if isinstance(error, MemoryError):
        return f"needs more memory than there is ({text})"
    if getattr(error, "errno", None):
        return os.strerror(error.errno)
    if not isinstance(error, OSError | KeyError):
        text = f"{type(error).__name__}: {text}"
    return f"damaged, or not as expected ({text})"


# Values

_NAMES = {"iu": "whole numbers", "f": "numbers with a point", "b": "true or false", "S": "text"}


def group_of(parent, name):
    """Child group; InputError if there is none of that name."""
    return _child(parent, name, h5py.Group, "group")


def dataset_of(parent, name, ndim=None, kinds=None):
    """Child dataset.

    Parameters
    ----------
    parent : h5py.Group
    name : str
    ndim : int, optional
    kinds : {"iu", "f", "b", "S"}, optional
        Letters of `numpy.dtype.kind` that it may have.

    Raises
    ------
    InputError
        If there is none of that name, or it has other dimensions or another type.
    """
    found = _child(parent, name, h5py.Dataset, "dataset")
    where = f"{parent.file.filename}: {found.name}"
    if found.shape is None or (ndim is not None and found.ndim != ndim):
        raise InputError(f"{where}: has shape {found.shape}: must have {ndim} dimensions")
    if kinds is not None and found.dtype.kind not in kinds:
        raise InputError(f"{where}: holds {found.dtype}: must hold {_NAMES[kinds]}")
    return found


def datasets_in(group):
    """Datasets of a group that have a shape, by their names."""
    return {name: item for name, item in group.items() if isinstance(item, h5py.Dataset) and item.shape is not None}


def lists_of(parent, name, kinds):
    """Child dataset of one dimension, each entry of which is a list; see :func:`dataset_of`.

    Raises
    ------
    InputError
        If it is none, or the lists hold other values than those of ``kinds``.
    """
    found = dataset_of(parent, name, 1)
    kind = h5py.check_vlen_dtype(found.dtype)
    if kind is None or kind.kind not in kinds:
        raise InputError(f"{parent.file.filename}: {found.name}: {found.dtype}: must be a list of numbers a sample")
    return found


def _child(parent, name, wanted, what):
    path, place = parent.file.filename, f"{parent.name.rstrip('/')}/{name}"
    with reading(path):
        found = parent.get(name)
        if found is None:
            raise InputError(f"{path}: lacks the {what} {place}")
        if not isinstance(found, wanted):
            raise InputError(f"{path}: {place}: is no {what}")
    return found


def attribute(item, name, default=None):
    """Attribute as a Python number, text, list of them, or None for HDF5's empty value.

    Parameters
    ----------
    item : h5py.Group or h5py.Dataset
    name : str
    default : optional
        Value where there is no such attribute.

    Raises
    ------
    InputError
        If it cannot be read, or is missing and ``default`` is None.
    """
    path = item.file.filename
    with reading(path):
        if name not in item.attrs:
            if default is None:
                raise InputError(f"{path}: {item.name}: lacks the attribute {name}")
            return default
        value = item.attrs[name]
    return _plain(value, f"{path}: {item.name}: attribute {name}")


def _plain(value, where):
    if isinstance(value, h5py.Empty):
        return ""
    if isinstance(value, np.ndarray):
        return [_plain(item, where) for item in value.tolist()]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, bytes):
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError as error:
            raise InputError(f"{where}: not UTF-8 text") from error
    return value


def number(item, name, low=-float("inf"), high=float("inf"), whole=False, default=None):
    """Attribute that must be one number in [low, high], a whole one if ``whole``; InputError otherwise."""
    value = attribute(item, name, default)
    if value is default and default is not None:
        return value
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    kinds = (int,) if whole else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds) or not low <= value <= high:
        what = "a whole number" if whole else "a number"
        raise InputError(
            f"{item.file.filename}: {item.name}: attribute {name} = {_short(value)}: must be {what} in {low}..{high}"
        )
    return value


def text(item, name, default=None):
    """Attribute that must be text; InputError otherwise."""
    value = attribute(item, name, default)
    if not isinstance(value, str):
        raise InputError(f"{item.file.filename}: {item.name}: attribute {name} = {_short(value)}: must be text")
    return value


def json_object(item, name):
    """Attribute that must be the text of a JSON object; dict, or InputError."""
    where = f"{item.file.filename}: {item.name}: attribute {name}"
    value = parse_json(text(item, name), where)
    if not isinstance(value, dict):
        raise InputError(f"{where}: must be a JSON object")
    return value


def _short(value):
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."
