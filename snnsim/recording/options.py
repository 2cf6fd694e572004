"""Checks of what a recording is asked to hold."""

from pathlib import Path

import numpy as np

from snnsim.errors import InputError


def plain(value):
    """Turn what JSON does not take into what it takes."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    raise InputError(f"config: {value!r} cannot be stored")


def check_positive(name, value):
    """Refuse what is not a positive, finite number."""
    if not 0 < value < float("inf"):
        raise InputError(f"{name} = {value}: must be a positive number")


def checked_names(option, names, allowed):
    """Return ``names`` in the order of ``allowed``, tuple of str; refuse others."""
    names = (names,) if isinstance(names, str) else tuple(names)
    for name in names:
        if name not in allowed:
            raise InputError(f"{option} = {name!r}: must be one of {', '.join(allowed)}")
    return tuple(name for name in allowed if name in names)


def checked_neurons(neurons, sizes):
    """Return the neurons to record of each population that names some, ascending; refuse what does not exist."""
    selection = {}
    for name, ids in (neurons or {}).items():
        if name not in sizes:
            raise InputError(f"neurons of {name!r}: must be one of {', '.join(sizes)}")
        ids = np.unique(np.asarray(ids))
        if ids.size == 0 or ids.dtype.kind not in "iu" or ids[0] < 0 or ids[-1] >= sizes[name]:
            raise InputError(f"neurons of {name}: must be some of 0..{sizes[name] - 1}")
        selection[name] = ids.astype(np.int64)
    return selection
