"""LIF neurons with a synaptic current for positive weights and another for negative ones."""

from dataclasses import dataclass
from typing import Any

from snnsim.errors import InputError
from snnsim.neurons.base import Neuron
from snnsim.neurons.lif import LIFParameters


@dataclass(frozen=True, eq=False)
class TwoSynapseLIF(Neuron):
    """LIF neurons with one synaptic current for positive weights and one for negative, for simulations without trials.

    ``tau_mem dv/dt = -(v - v_leak) + r (i_exc + i_inh)``; each current decays with a time constant of its own.

    Parameters
    ----------
    tau_mem, r, v_threshold, v_reset, v_leak, t_ref, reset
        As of :class:`LIFParameters`, one number each.
    tau_exc, tau_inh : float
        Time constants of the synapses with positive and negative weights, > 0.

    Raises
    ------
    InputError
        If a value is out of range.
    """

    tau_mem: float | Any = 10.0
    tau_exc: float | Any = 0.5
    tau_inh: float | Any = 0.5
    r: float | Any = 1.0
    v_threshold: float | Any = 1.0
    v_reset: float | Any = 0.0
    v_leak: float | Any = 0.0
    t_ref: float | Any = 0.0
    reset: str = "hard"

    kind, continuous, on_clock, without_trials = "two-synapse-lif", False, False, True
    v0 = None

    def __post_init__(self):
        super().__post_init__()
        if self.size is not None:
            raise InputError("two-synapse-lif: takes one number for each parameter, not one a neuron")

    def synapse(self, excitatory: bool) -> LIFParameters:
        """Give the same neuron with one of its synapses, LIFParameters."""
        tau_syn = self.tau_exc if excitatory else self.tau_inh
        return LIFParameters(self.tau_mem, tau_syn, self.r, self.v_threshold, self.v_reset, self.v_leak, self.reset)
