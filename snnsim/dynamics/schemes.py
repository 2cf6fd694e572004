"""The five coefficients of each clock-driven scheme (study eqs 12-14).

One step of length ``dt`` of a LIF neuron with synaptic filter is, for every linear scheme,

    v_k = a_vv * v_{k-1} + a_vi * i_{k-1} + b_v * x_k
    i_k =                  a_ii * i_{k-1} + b_i * x_k

where ``x_k`` is the summed weight of the spikes that arrive in step k, each standing for an impulse of unit area.
Every function returns ``(a_ii, b_i, a_vv, a_vi, b_v)``; times are in one unit, ``r`` is the membrane resistance.
"""

import math

from numba.extending import register_jitable


@register_jitable
def forward_euler(dt, tau_mem, tau_syn, r):
    """Explicit Euler (eq 13); stable for ``dt < 2 * min(tau_mem, tau_syn)``."""
    one = type(dt)(1)
    return one - dt / tau_syn, one / tau_syn, one - dt / tau_mem, r * dt / tau_mem, type(dt)(0)


@register_jitable
def backward_euler(dt, tau_mem, tau_syn, r):
    """Implicit Euler (eq 14), solved for the new state; stable for every ``dt``."""
    one = type(dt)(1)
    a_ii = one / (one + dt / tau_syn)
    a_vv = one / (one + dt / tau_mem)
    b_i = a_ii / tau_syn
    c = a_vv * r * dt / tau_mem
    return a_ii, b_i, a_vv, c * a_ii, c * b_i


@register_jitable
def exact(dt, tau_mem, tau_syn, r):
    """Impulse invariance (eq 12): the closed form of eqs 6-8 over one step, input at its end."""
    return (
        math.exp(-dt / tau_syn),
        type(dt)(1) / tau_syn,
        math.exp(-dt / tau_mem),
        r * membrane_response(dt, tau_mem, tau_syn),
        type(dt)(0),
    )


@register_jitable
def bilinear(dt, tau_mem, tau_syn, r):
    """Trapezoidal rule: ``M (I + h A)`` with ``M = (I - h A)^-1``, ``h = dt/2``; input ``M (0, 1/tau_syn)``."""
    one = type(dt)(1)
    h = dt / type(dt)(2)
    p = one + h / tau_mem
    q = one + h / tau_syn
    c = h * r / (tau_mem * p * q)
    return (one - h / tau_syn) / q, one / (tau_syn * q), (one - h / tau_mem) / p, c + c, c / tau_syn


@register_jitable
def membrane_response(t, tau_mem, tau_syn):
    """Membrane at time ``t`` per unit of ``r * i(0)``, from rest (eq 8).

    ``tau_syn/(tau_mem - tau_syn) * (exp(-t/tau_mem) - exp(-t/tau_syn))``, written so that it neither cancels nor
    divides by zero as ``tau_mem -> tau_syn``, where it is ``t/tau * exp(-t/tau)``.
    """
    one = type(t)(1)
    d = one / tau_syn - one / tau_mem
    span = t if d == type(d)(0) else -math.expm1(-d * t) / d
    return math.exp(-t / tau_mem) * span / tau_mem
