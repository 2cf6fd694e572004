"""TSSL-BP with its rule for neurons that are silent in a sample: a sigmoid's derivative in every step."""

from numba.extending import register_jitable

from snnsim.dynamics.lif import sigmoid_derivative
from snnsim.estimators.tssl import KEPT, Settings, arriving, kept

__all__ = ["EVERY_STEP", "EXTRA", "KEPT", "Settings", "adjoint_spike", "arriving", "derivative", "kept"]

EXTRA = ()
EVERY_STEP = True


@register_jitable
def derivative(excess, silent, settings):
    """Only where the neuron is silent."""
    return silent * sigmoid_derivative(excess, type(excess)(0), settings.width)


def adjoint_spike(neuron):
    """Where there are spikes, as without the rule."""
    return neuron.adjoint_by_amplitude
