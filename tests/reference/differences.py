"""Central differences and comparison of gradients."""

import numpy as np


def central_difference(function, array, step=1e-6, signature=None):
    """``d function/d array`` entry by entry; nan where the perturbation changes ``signature(array)``."""
    array = np.array(array, np.float64)
    result = np.full(array.shape, np.nan)
    same = None if signature is None else signature(array)
    for index in np.ndindex(array.shape):
        ends = []
        changed = False
        for sign in (1, -1):
            moved = array.copy()
            moved[index] += sign * step
            ends.append((function(moved), moved[index]))
            changed |= signature is not None and signature(moved) != same
        if not changed:
            (high, right), (low, left) = ends
            result[index] = (high - low) / (right - left)
    return result


def fourth_order(function, step):
    """Derivative of a function of one number at 0, central differences of fourth order."""
    near, far = (function(h) - function(-h) for h in (step, 2 * step))
    return (8 * near - far) / (12 * step)


def _flat(a, b):
    pairs = list(zip(a, b, strict=True)) if isinstance(a, (list, tuple)) else [(a, b)]
    a = np.concatenate([np.ravel(x) for x, _ in pairs])
    b = np.concatenate([np.ravel(y) for _, y in pairs])
    known = ~(np.isnan(a) | np.isnan(b))
    if not known.any():
        raise ValueError("nothing to compare")
    return a[known], b[known]


def cosine(a, b):
    """Cosine of the angle between two gradients."""
    a, b = _flat(a, b)
    return float(a @ b / np.sqrt((a @ a) * (b @ b)))


def relative_error(a, b):
    """``|a - b|/|b|`` in the maximum norm."""
    a, b = _flat(a, b)
    return float(np.abs(a - b).max() / np.abs(b).max())
