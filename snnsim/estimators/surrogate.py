"""SuperSpike's fast sigmoid stands for the spike in every step (Zenke & Ganguli 2018); resets are held fixed."""

from typing import NamedTuple

from numba.extending import register_jitable

from snnsim.dynamics.lif import fast_sigmoid_derivative
from snnsim.estimators.tssl import arriving

__all__ = ["EVERY_STEP", "EXTRA", "KEPT", "Settings", "adjoint_spike", "arriving", "derivative", "kept"]

KEPT = ()
EXTRA = ()
EVERY_STEP = True


class Settings(NamedTuple):
    """Steepness of the fast sigmoid."""

    steepness: float


def kept(neuron):
    """Nothing."""
    return nothing


@register_jitable
def nothing(before, s, after, c, settings):
    """All that is needed is the membrane of every step."""
    return ()


@register_jitable
def derivative(excess, silent, settings):
    """In every step."""
    return fast_sigmoid_derivative(excess, type(excess)(0), settings.steepness)


def adjoint_spike(neuron):
    """By its reset alone."""
    return neuron.adjoint_by_jump
