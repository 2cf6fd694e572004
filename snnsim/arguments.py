"""What callers hand over, as what the code inside takes: harmless input is converted, anything else is one line.

Harmless are lists, other orders in memory, whole numbers, data frames, sparse matrices, one value for all layers. The
libraries whose objects these are need not be there.
"""

import numbers

import numpy as np

from snnsim.errors import InputError

LARGEST = float(np.finfo(np.float64).max)


def number(name, value, least=-np.inf, above=-np.inf):
    """Give a finite real number as a float.

    Parameters
    ----------
    name : str
        Begins the message.
    value : int, float, or an array of one such number
    least, above : float
        It is at least the one, and larger than the other.

    Raises
    ------
    InputError
        If it is anything else, or out of range.
    """
    given = value
    if isinstance(value, np.ndarray | np.generic) and value.ndim == 0:
        value = value.item()
    real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not real or not abs(value) <= LARGEST:
        raise InputError(f"{name} = {given!r}: must be a {_wanted('finite', least, above)}")
    if not (float(value) >= least and float(value) > above):
        raise InputError(f"{name} = {given!r}: must be a {_wanted('', least, above)}")
    return float(value)


def whole(name, value, least=None, most=None):
    """Give a whole number as an int; see :func:`number`. A float that is whole counts."""
    given = value
    if isinstance(value, np.ndarray | np.generic) and value.ndim == 0:
        value = value.item()
    exact = isinstance(value, numbers.Real) and not isinstance(value, bool) and abs(value) < np.inf
    if not exact or int(value) != value:
        raise InputError(f"{name} = {given!r}: must be a whole number{_range(least, most)}")
    if (least is not None and value < least) or (most is not None and value > most):
        raise InputError(f"{name} = {value!r}: must be a whole number{_range(least, most)}")
    return int(value)


def array(name, value, ndim, what):
    """Give numbers as an array, C-contiguous and of the dtype they have.

    Parameters
    ----------
    name : str
    value : array_like
        Or a data frame, a series, a sparse matrix.
    ndim : int
    what : str
        Ends the message: "must be" this.

    Raises
    ------
    InputError
        Unless they are real numbers in that many dimensions; booleans are none.
    """
    if hasattr(value, "toarray"):
        value = value.toarray()
    elif hasattr(value, "to_numpy"):
        value = value.to_numpy()
    try:
        found = np.asarray(value)
    except (TypeError, ValueError) as error:  # lists of unequal lengths, for one
        raise InputError(f"{name}: must be {what}; they make no array") from error
    if found.size == 0 and found.dtype == np.float64 and not hasattr(value, "dtype"):
        found = found.reshape((0,) * ndim) if found.ndim < ndim else found
    if found.ndim != ndim:
        raise InputError(f"{name}: {found.ndim}-d; must be {what}")
    if found.dtype.kind not in "iuf" or found.dtype.itemsize > 8:
        raise InputError(f"{name}: {found.dtype}; must be {what}")
    return np.ascontiguousarray(found, found.dtype.newbyteorder("="))


def made_array(value):
    """Array of a value; of no numbers if it makes none, as lists of unequal lengths do."""
    try:
        return np.asarray(value)
    except (TypeError, ValueError):
        return np.asarray(None)


def one_or_each(name, value, size, least=-np.inf):
    """Give one finite number or ``size`` of them, as float64 of shape () or (size,).

    Raises
    ------
    InputError
        If it is anything else, or below ``least``.
    """
    found = made_array(value)
    good = found.dtype.kind in "iuf" and found.shape in ((), (size,)) and np.isfinite(found).all()
    if not good or not (found >= least).all():
        wanted = "a finite number" if least == -np.inf else f"a number of at least {least:g}"
        given = f" = {value!r}" if found.ndim == 0 else ""
        raise InputError(f"{name}{given}: must be {wanted}, or {size} of them")
    return found.astype(np.float64)


def integers(name, value, what):
    """Give a vector of whole numbers as int64; see :func:`array`. Floats that are whole count."""
    found = array(name, value, 1, what)
    if found.dtype.kind == "f":
        if not (np.isfinite(found).all() and (np.rint(found) == found).all() and (np.abs(found) < 2**62).all()):
            raise InputError(f"{name}: must be {what}")
    elif found.size and found.dtype == np.uint64 and found.max() >= 2**63:
        raise InputError(f"{name}: {found.max()} among them; must be {what}")
    return found.astype(np.int64)


def chosen(name, value, count, of):
    """Give the numbers that a slice, whole numbers, a mask of booleans, or None (all) chooses among ``count``.

    Returns
    -------
    ndarray, (C,) int64
    """
    everything = np.arange(count)
    if value is None or isinstance(value, slice):
        return everything[value or slice(None)]
    found = np.atleast_1d(np.asarray(value))
    if found.dtype == bool:
        if found.shape != (count,):
            raise InputError(f"{name}: a mask must have one entry for each of {count} {of}")
        return np.flatnonzero(found)
    found = integers(name, found, f"a slice, whole numbers or a mask of the {count} {of}")
    if found.size and not (found.min() >= 0 and found.max() < count):
        bad = found[(found < 0) | (found >= count)][0]
        raise InputError(f"{name}: {bad}: must lie in 0..{count - 1}")
    return found


def each(name, value, what):
    """Give a tuple of what a list or another sequence holds; a single array counts by its rows."""
    try:
        return tuple(value)
    except TypeError as error:
        raise InputError(f"{name} = {value!r}: must be {what}") from error


def _wanted(finite, least, above):
    kind = "number" if not finite else f"{finite} number"
    if above == 0:
        return "positive number"
    if least > -np.inf:
        return f"number of at least {least:g}"
    if above > -np.inf:
        return f"number above {above:g}"
    return kind


def _range(least, most):
    if least is not None and most is not None:
        return f" in {least}..{most}"
    return f", at least {least}" if least is not None else ""
