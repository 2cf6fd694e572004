"""Readers of files and folders, one module a format; a new one is one file and an entry in :data:`FORMATS`.

A format has ``NAME``, ``DESCRIPTION``, ``matches(path)`` and ``read(path, options)``. A format of single files of
events in class folders (N-MNIST, AEDAT) is a decoder of bytes, in ``folders.DECODERS``.
"""

from pathlib import Path

from snnsim.datasets.formats import arrays, dvs_gesture, folders, recording, shd
from snnsim.datasets.formats.base import Events, Found, Options, Part
from snnsim.errors import InputError

__all__ = ["FORMATS", "Events", "Found", "Options", "Part", "read"]

FORMATS = (dvs_gesture, recording, shd, folders, arrays)
"""In the order in which they are asked whether a path is theirs."""


def read(path, options=None):
    """Read the samples of a file or folder in any of :data:`FORMATS`.

    Parameters
    ----------
    path : str or Path
    options : Options, optional

    Returns
    -------
    Found

    Raises
    ------
    InputError
        If it does not exist, is in no known format, damaged, or does not fit the options.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path}: no such file or folder")
    chosen = next((format for format in FORMATS if format.matches(path)), None)
    if chosen is None:
        known = "; ".join(f"{format.NAME} ({format.DESCRIPTION})" for format in FORMATS)
        raise InputError(f"{path}: in no format that is read, which are {known}")
    options = options or Options()
    if chosen is not recording and options.population != Options.population:
        raise InputError(f"data.population = {options.population!r}: belongs to recordings, which {path} is not")
    return chosen.read(path, options)
