"""TSSL-BP (Zhang & Li 2020): the amplitude of a spike has the derivative ``1/(v_k - ~v_{k-1})``."""

from typing import NamedTuple

from numba.extending import register_jitable

KEPT = ("inverse", "size")
EXTRA = ()
EVERY_STEP = False


class Settings(NamedTuple):
    """Bound of ``1/(v_k - ~v_{k-1})``, and the width of the sigmoid of :mod:`snnsim.estimators.tssl_fallback`.

    Both have one type, so that their loops forward are one.
    """

    max_inverse: float
    width: float


def kept(neuron):
    """Rise of the membrane and size of the reset."""
    return neuron.kept_by_amplitude


def adjoint_spike(neuron):
    """By spike amplitude."""
    return neuron.adjoint_by_amplitude


def passed(neuron):
    """``X_k``."""
    return as_it_is


@register_jitable
def as_it_is(extra, a, now, later, c):
    """Read the spike's own step: more of it is more input there."""
    return now, extra


@register_jitable
def arriving(now, later, fraction):
    """Read both steps in which a spike acts, in the proportion of linear interpolation."""
    return (type(now)(1) - fraction) * now + fraction * later


@register_jitable
def scaled(e, dt):
    """Leave the derivative by amplitude as it is."""
    return e
