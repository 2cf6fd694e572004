"""Leaky integrate-and-fire neurons with a synaptic filter: what they are, and their scalars for the clock's loops.

:mod:`snnsim.dynamics.lif` has the equations. Those that are held after a spike are advanced by
:mod:`snnsim.neurons.adaptive`.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

from numba.extending import register_jitable

from snnsim.dynamics import lif
from snnsim.neurons.base import Neuron

STATE = ("v", "i_syn")
ADJOINT = ("g", "h")
JUMPS = 1
LOOKS_BACK = False


@dataclass(frozen=True, eq=False)
class LIFParameters(Neuron):
    """Parameters of LIF neurons with synaptic filter (study eqs 1-8).

    ``tau_mem dv/dt = -(v - v_leak) + r i``, ``tau_syn di/dt = -i + sum w delta(t - t_j)``; a spike when ``v`` reaches
    ``v_threshold`` from below. Time constants share the unit of ``dt``; voltages share one unit.

    Parameters
    ----------
    tau_mem, tau_syn : float or (N,) array_like
        Time constants of membrane and synapse, > 0. Every number may be one a neuron.
    r : float
        Membrane resistance, > 0.
    v_threshold, v_reset, v_leak : float
        Threshold, value after a hard reset, and resting value; ``v_reset < v_threshold``.
    reset : {"hard", "subtract", "none"}
        ``hard`` sets v to ``v_reset``, ``subtract`` lowers it by ``v_threshold - v_reset``, ``none`` leaves it.
    t_ref : float
        Time for which the membrane is held after a spike, >= 0.
    v0 : float, optional
        Initial membrane; ``v_leak`` if None.
    i0 : float
        Initial current.

    Raises
    ------
    InputError
        If a value is out of range.
    """

    tau_mem: float | Any = 0.8
    tau_syn: float | Any = 0.6
    r: float | Any = 1.2
    v_threshold: float | Any = 1.0
    v_reset: float | Any = 0.0
    v_leak: float | Any = 0.0
    reset: str = "hard"
    t_ref: float | Any = 0.0
    v0: float | Any | None = None
    i0: float | Any = 0.0

    kind, without_trials = "lif", True

    @property
    def plain(self) -> bool:
        """Whether it is the neuron of the layer kernels: one number each, at rest at first, silent without input."""
        return (
            type(self) is LIFParameters
            and self.size is None
            and self.t_ref == 0
            and self.i0 == 0
            and self.start == self.v_leak < self.v_threshold
        )

    def leaky(self) -> Neuron:
        """Give the same membrane and synapse without a threshold."""
        from snnsim.neurons.li import LI

        return LI(self.tau_mem, self.tau_syn, self.r, self.v_leak, self.v0, self.i0)


LIF = LIFParameters


class Constants(NamedTuple):
    """Coefficients of a scheme and the neuron's own constants; each a number or (N,) of the arrays' dtype."""

    a_ii: float
    b_i: float
    a_vv: float
    a_vi: float
    b_v: float
    v_threshold: float
    v_reset: float
    reset: int
    r: float
    tau_mem: float
    tau_syn: float
    dt: float
    drive: float


@register_jitable
def step(s, x, c):
    """Membrane and current of the next step."""
    v, i = s
    return lif.step_membrane(v, i, x, c.a_vv, c.a_vi, c.b_v), lif.step_synapse(i, x, c.a_ii, c.b_i)


@register_jitable
def driven(s, u, c):
    """States of a step through which a current u flows into the membrane: every scheme tends to ``r u``."""
    return s[0] + c.drive * u, s[1]


@register_jitable
def felt(s, u):
    """States with all current that the membrane feels as one."""
    return s[0], s[1] + u


@register_jitable
def fires(s, c):
    """Whether the membrane has reached the threshold."""
    return lif.fires(s[0], c.v_threshold)


@register_jitable
def jump(s, c):
    """Reset of the membrane."""
    return lif.reset_membrane(s[0], c.v_threshold, c.v_reset, c.reset), s[1]


@register_jitable
def excess(s, c):
    """Membrane above threshold."""
    return s[0] - c.v_threshold


@register_jitable
def kept_by_time(before, s, after, c, settings):
    """``1/slope_minus``, at most ``settings.max_inverse``, and ``slope_plus``."""
    inverse = lif.inverse_slope(s[0], before[0], s[1], c.dt, c.r, c.tau_mem, settings.max_inverse)
    return inverse, lif.membrane_slope(after[0], after[1], c.r, c.tau_mem)


@register_jitable
def kept_by_amplitude(before, s, after, c, settings):
    """``1/(v_k - ~v_{k-1})``, at most ``settings.max_inverse``, and the reset's size ``v_k - ~v_k``."""
    return lif.inverse_difference(s[0], before[0], settings.max_inverse), s[0] - after[0]


@register_jitable
def adjoint_step(a, s, c):
    """``p = dL/d~v_k`` and ``h_k`` from the adjoints of step k + 1."""
    g, h = a
    return c.a_vv * g, lif.adjoint_synapse(h, g, c.a_ii, c.a_vi)


@register_jitable
def adjoint_by_time(a, p, e, kept, c):
    """``g_k`` at a spike, by its time."""
    return lif.adjoint_spike(p[0], e, kept[1], kept[0]), a[1]


@register_jitable
def adjoint_by_amplitude(a, p, e, kept, c):
    """``g_k`` at a spike, by its amplitude."""
    return lif.adjoint_spike_amplitude(p[0], e, kept[1], kept[0], c.reset), a[1]


@register_jitable
def adjoint_by_excess(a, d, e, s, c):
    """Add to the membrane, all that the excess depends on."""
    return a[0] + d * e, a[1]


@register_jitable
def adjoint_by_jump(a, p, e, kept, c):
    """Take ``p`` away where the reset is hard."""
    return a[0] + type(p[0])(lif.reset_gain(c.reset) - 1) * p[0], a[1]


@register_jitable
def adjoint_membrane(a, d):
    """Add what a loss reads of the membrane."""
    return a[0] + d, a[1]


@register_jitable
def adjoint_input(a, c):
    """``X_k``."""
    return lif.adjoint_input(a[0], a[1], c.b_v, c.b_i)


@register_jitable
def adjoint_drive(a, c):
    """dL/du of a current into the membrane."""
    return c.drive * a[0]


@register_jitable
def adjoint_current(a, c):
    """``h_k/tau_syn``."""
    return a[1] / c.tau_syn


@register_jitable
def trace_passed(extra, a, now, later, c):
    """``Z_k`` of the gradient as printed, which is also all that is carried on."""
    z = lif.adjoint_trace(extra[0], a[1], c.a_ii, c.b_i, c.tau_syn)
    return z, (z,)
