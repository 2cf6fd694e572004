"""The study's eqs 37-39 as printed, for chains of layers (SCIENCE section 3 says what they miss)."""

from snnsim.estimators.exact import EVERY_STEP, KEPT, Settings, adjoint_spike, arriving, kept, scaled

__all__ = ["EVERY_STEP", "EXTRA", "KEPT", "Settings", "adjoint_spike", "arriving", "kept", "passed", "scaled"]

EXTRA = ("z",)


def passed(neuron):
    """``Z_k``."""
    return neuron.trace_passed
