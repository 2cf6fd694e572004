"""LIF neurons with a current of adaptation; :mod:`snnsim.neurons.adaptive` has their scalars."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from snnsim.errors import InputError
from snnsim.neurons.lif import LIFParameters


@dataclass(frozen=True, eq=False)
class AdLIF(LIFParameters):
    """LIF neurons with a current of adaptation: ``tau_mem dv/dt = -(v - v_leak) + r (i - c_a a)``.

    ``tau_a da/dt = -a + coupling (v - v_leak)``, and ``a`` grows by ``q`` with every own spike.

    Parameters
    ----------
    tau_a : float or (N,) array_like
        Time constant of adaptation, > 0.
    c_a : float
        Current per adaptation, >= 0.
    q : float
        Growth of the adaptation with a spike, >= 0.
    a0 : float
        Initial adaptation, >= 0.
    coupling : float
        How the membrane drives the adaptation below threshold; other than 0 on the clock only, and without ``t_ref``.

    Other parameters are those of :class:`LIFParameters`; ``reset`` is hard or subtract.
    """

    tau_a: float | Any = 2.0
    c_a: float | Any = 0.2
    q: float | Any = 1.0
    a0: float | Any = 0.0
    coupling: float | Any = 0.0

    kind, resets, without_trials = "adlif", ("hard", "subtract"), False

    def __post_init__(self):
        super().__post_init__()
        if np.any(np.asarray(self.coupling) != 0) and np.any(np.asarray(self.t_ref) > 0):
            raise InputError(f"coupling = {self.coupling}: neurons whose membrane drives the adaptation have no t_ref")
