"""Leaky integrators with synaptic filter; on the clock they are LIF neurons without threshold."""

from dataclasses import dataclass
from typing import Any

from snnsim.neurons.base import Readout
from snnsim.neurons.lif import LIFParameters


@dataclass(frozen=True, eq=False)
class LI(Readout):
    """Leaky integrators with synaptic filter: a readout without threshold.

    Parameters
    ----------
    tau_mem, tau_syn, r : float or (N,) array_like
        As of :class:`LIFParameters`.
    v_leak : float
        Resting value.
    v0, i0 : float
        As of :class:`LIFParameters`.

    Raises
    ------
    InputError
        If a value is out of range.
    """

    tau_mem: float | Any = 0.8
    tau_syn: float | Any = 0.6
    r: float | Any = 1.2
    v_leak: float | Any = 0.0
    v0: float | Any | None = None
    i0: float | Any = 0.0

    kind, without_trials = "li", True

    def __post_init__(self):
        super().__post_init__()
        if self.plain:
            self.spiking()

    def spiking(self) -> LIFParameters:
        """Give the same membrane and synapse with a threshold one above rest."""
        return LIFParameters(self.tau_mem, self.tau_syn, self.r, self.v_leak + 1, self.v_leak, self.v_leak)

    @property
    def plain(self) -> bool:
        """Whether it is the readout of the layer kernels: one number each, at rest at first."""
        return self.size is None and self.i0 == 0 and self.start == self.v_leak
