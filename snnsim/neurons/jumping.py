"""Neurons and readouts without synaptic filter: a spike moves the membrane at once.

These are the plain neurons of snnTorch, SpikingJelly and Sinabs. When they spike is when a spike arrives, which no
weight changes: gradients by spike time do not exist, those by amplitude (``surrogate``, ``tssl``) do.
"""

from dataclasses import dataclass
from typing import Any

from snnsim.neurons.base import Neuron, Readout


@dataclass(frozen=True, eq=False)
class DeltaLIF(Neuron):
    """LIF neurons without a synaptic filter: a spike moves the membrane by its weight.

    ``tau_mem dv/dt = -(v - v_leak) + r i_ext``; what arrives while v is held is lost.

    Parameters
    ----------
    tau_mem, r, v_threshold, v_reset, v_leak, reset, t_ref, v0
        As of :class:`LIFParameters`.

    Raises
    ------
    InputError
        If a value is out of range.
    """

    tau_mem: float | Any = 20.0
    r: float | Any = 1.0
    v_threshold: float | Any = 1.0
    v_reset: float | Any = 0.0
    v_leak: float | Any = 0.0
    t_ref: float | Any = 0.0
    reset: str = "hard"
    v0: float | Any | None = None

    kind, filtered, without_trials = "delta-lif", False, True


@dataclass(frozen=True, eq=False)
class IF(Neuron):
    """Integrate-and-fire neurons without leak and synaptic filter: a spike moves the membrane by its weight.

    ``dv/dt = r i_ext``; what arrives while v is held is lost.

    Parameters
    ----------
    r, v_threshold, v_reset, reset, t_ref
        As of :class:`LIFParameters`; ``r`` is the slope of the membrane per current.
    v0 : float
        Initial membrane.

    Raises
    ------
    InputError
        If a value is out of range.
    """

    r: float | Any = 1.0
    v_threshold: float | Any = 1.0
    v_reset: float | Any = 0.0
    t_ref: float | Any = 0.0
    reset: str = "hard"
    v0: float | Any = 0.0

    kind, filtered = "if", False
    tau_mem, v_leak = float("inf"), 0.0


@dataclass(frozen=True, eq=False)
class DeltaLI(Readout):
    """Leaky integrators without synaptic filter, a readout: a spike moves the membrane by its weight.

    Parameters
    ----------
    tau_mem, r, v_leak, v0
        As of :class:`DeltaLIF`.

    Raises
    ------
    InputError
        If a value is out of range.
    """

    tau_mem: float | Any = 20.0
    r: float | Any = 1.0
    v_leak: float | Any = 0.0
    v0: float | Any | None = None

    kind, filtered = "delta-li", False


@dataclass(frozen=True, eq=False)
class Integrator(Readout):
    """Integrators without leak, a readout: a spike moves the membrane by its weight, ``dv/dt = r i_ext``.

    Parameters
    ----------
    r, v0
        As of :class:`IF`.

    Raises
    ------
    InputError
        If a value is out of range.
    """

    r: float | Any = 1.0
    v0: float | Any = 0.0

    kind, filtered = "integrator", False
    tau_mem, v_leak = float("inf"), 0.0
