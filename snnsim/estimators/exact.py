"""The exact gradient of spike times on the grid (eqs 37-39 folded into the adjoint)."""

from typing import NamedTuple

from numba.extending import register_jitable

KEPT = ("inverse", "slope")
EXTRA = ()
EVERY_STEP = False


class Settings(NamedTuple):
    """Bound of ``1/slope_minus``."""

    max_inverse: float


def kept(neuron):
    """Slopes before and after the spike."""
    return neuron.kept_by_time


def adjoint_spike(neuron):
    """By spike time."""
    return neuron.adjoint_by_time


def passed(neuron):
    """``(X_{k+1} - X_k)/dt``."""
    return difference


@register_jitable
def difference(extra, a, now, later, c):
    """Compare the two steps: a spike that is later by dt meets ``X_{k+1}`` instead of ``X_k``."""
    return (later - now) / c.dt, extra


@register_jitable
def arriving(now, later, fraction):
    """Differentiate by the time of arrival: interpolation has the same slope everywhere between two steps."""
    return later - now


@register_jitable
def scaled(e, dt):
    """Turn a difference between two steps into a derivative by time."""
    return e / dt
