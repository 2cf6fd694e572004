"""LIF neurons whose threshold adapts; :mod:`snnsim.neurons.adaptive` has their scalars."""

from dataclasses import dataclass
from typing import Any

from snnsim.neurons.lif import LIFParameters


@dataclass(frozen=True, eq=False)
class ALIF(LIFParameters):
    """LIF neurons whose threshold adapts: a spike when ``v - beta a`` reaches ``v_threshold``.

    ``tau_a da/dt = -a``, and ``a`` grows by ``q`` with every own spike. A subtractive reset lowers v by
    ``v_threshold + beta a - v_reset``.

    Parameters
    ----------
    tau_a : float or (N,) array_like
        Time constant of adaptation, > 0.
    beta : float
        Threshold per adaptation, >= 0.
    q : float
        Growth of the adaptation with a spike, >= 0.
    a0 : float
        Initial adaptation, >= 0.

    Other parameters are those of :class:`LIFParameters`; ``reset`` is hard or subtract.
    """

    tau_a: float | Any = 2.0
    beta: float | Any = 0.2
    q: float | Any = 1.0
    a0: float | Any = 0.0

    kind, resets, without_trials = "alif", ("hard", "subtract"), False
