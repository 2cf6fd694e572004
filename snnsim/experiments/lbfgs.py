"""L-BFGS without a line search: full steps along the two-loop direction, as deep-learning frameworks do by default.

Source: Nocedal and Wright, Numerical Optimization, 2nd edition, algorithm 7.4; the first step is ``min(1, 1/|g|_1)``
along the negative gradient, a pair of differences is kept where ``y s > 1e-10``, and ``H_0 = (y s)/(y y)``.
"""

from collections import deque

import numpy as np


def full_steps(value_and_gradient, x, iterations, history=100, rate=1.0):
    """Minimise by full quasi-Newton steps; yields the point after each.

    Ends early at a gradient without an entry above 1e-7, and where a step or the gradient is not finite (that last
    point is yielded, so that whoever looks sees the undefined outcome).

    Parameters
    ----------
    value_and_gradient : callable
        Of a vector, (n,) float64; returns the value and its gradient.
    x : ndarray, (n,) float64
        Where to start; not changed.
    iterations : int
    history : int
        Pairs of differences that are kept.
    rate : float
        Factor of every step.

    Yields
    ------
    ndarray, (n,) float64
    """
    x = x.copy()
    pairs = deque(maxlen=history)
    gradient = value_and_gradient(x)[1]
    for k in range(iterations):
        if not np.abs(gradient).max() > 1e-7:
            return
        direction = -_times_inverse_hessian(pairs, gradient)
        step = rate * direction * (min(1.0, 1.0 / np.abs(gradient).sum()) if k == 0 else 1.0)
        x = x + step
        yield x
        if not np.isfinite(x).all():
            return
        last, gradient = gradient, value_and_gradient(x)[1]
        if not np.isfinite(gradient).all():
            return
        change = gradient - last
        if change @ step > 1e-10:
            pairs.append((step, change))


def _times_inverse_hessian(pairs, gradient):
    """Two-loop recursion: the approximate inverse Hessian of the kept pairs times a vector."""
    q, kept = gradient.copy(), []
    for s, y in reversed(pairs):
        alpha = (s @ q) / (y @ s)
        q -= alpha * y
        kept.append(alpha)
    if pairs:
        s, y = pairs[-1]
        q *= (y @ s) / (y @ y)
    for (s, y), alpha in zip(pairs, reversed(kept), strict=True):
        q += (alpha - (y @ q) / (y @ s)) * s
    return q
