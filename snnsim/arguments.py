"""What callers hand over, as what the code inside takes: harmless input is converted, anything else is one line.

Harmless are lists, other orders in memory, whole numbers, data frames, sparse matrices, one value for all layers. The
libraries whose objects these are need not be there.
"""

import numbers

import numpy as np

from snnsim.errors import InputError


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
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]
    real = isinstance(value, numbers.Real) and not isinstance(value, bool | np.bool_)
    if not real or not abs(float(value)) < np.inf:
        raise InputError(f"{name} = {given!r}: must be a {_wanted('finite', least, above)}")
    if not (float(value) >= least and float(value) > above):
        raise InputError(f"{name} = {given!r}: must be a {_wanted('', least, above)}")
    return float(value)


def whole(name, value, least=None, most=None):
    """Give a whole number as an int; see :func:`number`. A float that is whole counts."""
    exact = isinstance(value, numbers.Real) and not isinstance(value, bool | np.bool_) and np.isfinite(value)
    if not exact or int(value) != value:
        raise InputError(f"{name} = {value!r}: must be a whole number{_range(least, most)}")
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
    return np.ascontiguousarray(found)


def integers(name, value, what):
    """Give a vector of whole numbers as int64; see :func:`array`. Floats that are whole count."""
    found = array(name, value, 1, what)
    if found.dtype.kind == "f":
        if not (np.isfinite(found).all() and (np.rint(found) == found).all() and (np.abs(found) < 2**62).all()):
            raise InputError(f"{name}: must be {what}")
    elif found.size and found.dtype == np.uint64 and found.max() >= 2**63:
        raise InputError(f"{name}: {found.max()} among them; must be {what}")
    return found.astype(np.int64)


def one_for_each(value, kind, count):
    """Give a tuple with one for each; a single ``value`` of that kind stands for all."""
    return (value,) * count if isinstance(value, kind) else tuple(value)


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
