"""Whole files at once: nested dictionaries of arrays in HDF5 (models, checkpoints), replaced atomically."""

from contextlib import contextmanager

import h5py
import numpy as np

from snnsim.errors import InputError
from snnsim.files.atomic import replacing, write_atomic
from snnsim.files.digest import check_seal, sealed
from snnsim.files.hdf5 import attribute, number, open_hdf5, reading
from snnsim.files.text import check_ordinary

LAYOUT = 2
"""Version of the tree layout; a file with a larger one is refused. Since 2 a file ends with its digest."""


@contextmanager
def new_hdf5(path):
    """Open a new `h5py.File` that takes the name ``path`` at the end, atomically.

    HDF5 cannot close a file that the disk refuses to take, and takes the process down with it. So it writes through a
    Python file that keeps the first refusal to itself until HDF5 has closed.

    Raises
    ------
    InputError
        If the file cannot be written; an old one at ``path`` is untouched.
    """
    with replacing(path) as temporary, open(temporary, "w+b", buffering=0) as raw:
        sink = _Sink(raw)
        try:
            with h5py.File(sink, "w", libver=("v110", "v110")) as file:
                yield file
        finally:
            if sink.error is not None:
                raise sink.error


class _Sink:
    """File that swallows everything after the first write that failed, and remembers why."""

    def __init__(self, raw):
        self._raw = raw
        self.error = None

    def write(self, data):
        data = memoryview(data)
        done = 0
        while done < len(data) and self.error is None:
            try:
                done += self._raw.write(data[done:])
            except OSError as error:
                self.error = error
        return len(data)

    def read(self, size=-1):
        return self._raw.read(size)

    def readinto(self, buffer):
        view = memoryview(buffer)
        got = self._raw.readinto(view)
        view[got:] = bytes(len(view) - got)
        return len(view)

    def truncate(self, size):
        if self.error is None:
            try:
                self._raw.truncate(size)
            except OSError as error:
                self.error = error
        return size

    def seek(self, offset, whence=0):
        return self._raw.seek(offset, whence)

    def tell(self):
        return self._raw.tell()

    def flush(self):
        self._raw.flush()


def save_tree(path, tree, kind="tree"):
    """Write a nested dictionary to an HDF5 file, atomically.

    Parameters
    ----------
    path : str or Path
    tree : dict
        Keys are strings without ``/``. Values are dictionaries, lists or tuples (read back as lists), arrays
        of numbers, bools or strings, and the scalars bool, int of any size, float, complex, str, bytes, None.
    kind : str
        What the file is, such as ``checkpoint``; `load_tree` can insist on it.

    Raises
    ------
    InputError
        If the file cannot be written; an old file at ``path`` is untouched.
    TypeError, ValueError
        If the tree holds something else.
    """
    # Built in memory and written by Python: a full disk is then an ordinary error, no half-closed HDF5 file.
    with h5py.File("tree", "w", driver="core", backing_store=False, libver="v110", track_order=True) as file:
        file.attrs["snnsim_kind"] = kind
        file.attrs["snnsim_layout"] = LAYOUT
        _put_items(file, tree)
        file.flush()
        image = file.id.get_file_image()
    write_atomic(path, lambda out: out.write(sealed(image)))


def load_tree(path, kind=None):
    """Read what `save_tree` wrote.

    Parameters
    ----------
    path : str or Path
    kind : str, optional
        Refuse a file of another kind.

    Returns
    -------
    dict
        In the order written. Arrays with their dtypes and bits; scalars, and arrays without dimensions, as
        Python scalars; tuples as lists.

    Raises
    ------
    InputError
        If the file does not exist, is truncated, not HDF5, not of snnsim, of another kind or a newer layout, or was
        changed since it was written (files of layout 1 have no digest that would tell).
    """
    with open_tree(path, kind) as file, reading(path):
        return _get(file)


def tree_kind(path):
    """Kind of a file that `save_tree` wrote, without reading its contents; raises like `load_tree`."""
    with open_tree(path) as file:
        return file.attrs["snnsim_kind"]


def tree_entries(path):
    """List what is in a file that `save_tree` wrote, with shapes instead of arrays; raises like `load_tree`.

    Returns
    -------
    dict of str to object
        ``"weights/0"`` to ``{"shape": [784, 400], "dtype": "float32"}``, or to the scalar or string itself.
    """
    entries = {}

    def visit(name, item):
        if isinstance(item, h5py.Dataset):
            array = item.shape is not None and (item.ndim > 0 and item.attrs.get("type") not in ("str", "bytes", "int"))
            value = {"shape": list(item.shape), "dtype": str(item.dtype)} if array else _get(item)
            entries[name] = value.hex() if isinstance(value, bytes) else value

    with open_tree(path) as file, reading(path):
        file.visititems(visit)
    return entries


@contextmanager
def open_tree(path, kind=None):
    """Open a file that `save_tree` wrote, of that kind if one is given; raises like `load_tree`."""
    check_ordinary(path)
    whole = check_seal(path)
    with open_hdf5(path) as file:
        found, layout = attribute(file, "snnsim_kind", ""), number(file, "snnsim_layout", 0, whole=True, default=0)
        if not found or not isinstance(found, str) or not layout:
            raise InputError(f"{path}: an HDF5 file, but not written by snnsim (no attribute snnsim_kind)")
        if layout > LAYOUT:
            raise InputError(
                f"{path}: layout version {layout}: this snnsim reads versions up to {LAYOUT}; update snnsim"
            )
        if layout > 1 and not whole:
            raise InputError(f"{path}: damaged or changed since it was written: its last line, a SHA-256, is missing")
        if kind is not None and found != kind:
            raise InputError(f"{path}: holds a {found}, not a {kind}")
        yield file


def _put_items(group, tree):
    for key, value in tree.items():
        if not isinstance(key, str) or not key or "/" in key or key == ".":
            raise ValueError(f"key {key!r}: must be a string without '/'")
        _put(group, key, value)


def _put(group, key, value):
    if isinstance(value, dict):
        _put_items(group.create_group(key, track_order=True), value)
    elif isinstance(value, list | tuple):
        child = group.create_group(key, track_order=True)
        child.attrs["type"] = "list"
        _put_items(child, {str(k): item for k, item in enumerate(value)})
    elif value is None:
        group.create_dataset(key, data=h5py.Empty("u1"))
    elif isinstance(value, str):
        _typed(group, key, np.frombuffer(value.encode("utf-8"), np.uint8), "str")
    elif isinstance(value, bytes):
        _typed(group, key, np.frombuffer(value, np.uint8), "bytes")
    elif isinstance(value, int) and not isinstance(value, bool) and not -(2**63) <= value < 2**63:
        _typed(group, key, np.frombuffer(str(value).encode(), np.uint8), "int")
    else:
        array = np.asarray(value)
        if array.dtype.kind == "U":
            dataset = group.create_dataset(key, data=array.astype(object), dtype=h5py.string_dtype())
            dataset.attrs["type"] = "strings"
        elif array.dtype.kind in "biufc":
            group.create_dataset(key, data=array)
        else:
            raise TypeError(f"{group.name}/{key}: a {type(value).__name__} cannot be stored")


def _typed(group, key, data, name):
    # Text as bytes with its type beside it: HDF5's own strings would end at a NUL and cannot be empty.
    group.create_dataset(key, data=data, shape=data.shape).attrs["type"] = name


def _get(item):
    if isinstance(item, h5py.Group):
        if item.attrs.get("type") == "list":
            return [_get(item[str(k)]) for k in range(len(item))]
        return {key: _get(child) for key, child in item.items()}
    kind = item.attrs.get("type")
    if item.shape is None:
        return None
    if kind == "strings":
        return item.asstr()[()].astype(str)
    if kind in ("str", "bytes", "int"):
        data = item[()].tobytes()
        return {"str": bytes.decode, "bytes": bytes, "int": int}[kind](data)
    value = item[()]
    return value.item() if item.shape == () else value
