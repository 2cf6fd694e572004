"""One step of a LIF neuron with synaptic filter and, directly below each equation, its adjoint.

Forward (study eqs 12-14, one coefficient set per scheme, see :mod:`snnsim.dynamics.schemes`):

    v_k = a_vv ~v_{k-1} + a_vi i_{k-1} + b_v x_k        i_k = a_ii i_{k-1} + b_i x_k
    s_k = [v_k >= v_threshold]                          ~v_k = s_k ? reset(v_k) : v_k

Backward (study eqs 37-39 with the sum over t_m folded into the adjoint, k descending):

    p   = a_vv g_{k+1}                                   dL/d~v_k
    g_k = p + dloss/dv_k                                 without a spike
    g_k = (slope_plus p - e_k)/slope_minus + dloss/dv_k  at a spike; e_k = dL/d(spike time)
    h_k = a_ii h_{k+1} + a_vi g_{k+1}
    X_k = b_v g_k + b_i h_k                              dL/dx_k
"""

import math

from numba.extending import register_jitable

RESET_HARD, RESET_SUBTRACT, RESET_NONE = 0, 1, 2


@register_jitable
def step_membrane(v, i, x, a_vv, a_vi, b_v):
    """Membrane after one step, before the threshold: ``v_k``."""
    return a_vv * v + a_vi * i + b_v * x


@register_jitable
def step_synapse(i, x, a_ii, b_i):
    """Synaptic current after one step: ``i_k``."""
    return a_ii * i + b_i * x


@register_jitable
def fires(v, v_threshold):
    """``s_k = [v_k >= v_threshold]`` (eq 4): a membrane exactly at threshold fires."""
    return v >= v_threshold


@register_jitable
def reset_membrane(v, v_threshold, v_reset, reset):
    """Membrane after a spike, ``~v_k``: ``v_reset``; lower by ``v_threshold - v_reset`` (subtract); ``v`` (none)."""
    if reset == RESET_HARD:
        return v_reset
    if reset == RESET_SUBTRACT:
        return v - (v_threshold - v_reset)
    return v


@register_jitable
def membrane_slope(v, i, r, tau_mem):
    """``dv/dt`` of the membrane equation (eq 1); after a reset it is ``slope_plus``."""
    return (r * i - v) / tau_mem


@register_jitable
def inverse_slope(v, v_before, i, dt, r, tau_mem, max_inverse_slope):
    """``1/slope_minus`` at a spike, clamped to ``max_inverse_slope``.

    ``slope_minus`` is the secant ``(v_k - ~v_{k-1})/dt``. Where a membrane stays above threshold (subtractive or no
    reset) the secant can fail to be positive; then the slope of the membrane equation stands in.
    """
    slope = (v - v_before) / dt
    if slope <= type(slope)(0):
        slope = membrane_slope(v, i, r, tau_mem)
    if slope * max_inverse_slope <= type(slope)(1):
        return max_inverse_slope
    return type(slope)(1) / slope


@register_jitable
def adjoint_spike(p, e, slope_plus, inv_slope):
    """``g_k`` at a spike: the adjoint's jump (eqs 37-39 folded; EventProp's lambda_v^- in the limit dt -> 0)."""
    return (slope_plus * p - e) * inv_slope


@register_jitable
def adjoint_synapse(h, g, a_ii, a_vi):
    """``h_k`` from the adjoints of step k+1."""
    return a_ii * h + a_vi * g


@register_jitable
def adjoint_input(g, h, b_v, b_i):
    """``X_k = dL/dx_k`` from the adjoints of step k."""
    return b_v * g + b_i * h


@register_jitable
def adjoint_trace(z, h, a_ii, b_i, tau_syn):
    """``Z_k = h_k b_i/tau_syn + a_ii Z_{k+1}``: eq 39 as printed, without its impulse term (``literal``)."""
    return h * b_i / tau_syn + a_ii * z


@register_jitable
def inverse_difference(v, v_before, max_inverse):
    """``min(1/(v_k - ~v_{k-1}), max_inverse)``: TSSL-BP's slope (Zhang & Li 2020); the bound where not positive."""
    difference = v - v_before
    if difference * max_inverse <= type(difference)(1):
        return max_inverse
    return type(difference)(1) / difference


@register_jitable
def reset_gain(reset):
    """``d~v_k/dv_k`` at a spike, the spike itself held fixed: 0 for a hard reset, 1 otherwise."""
    return 0 if reset == RESET_HARD else 1


@register_jitable
def adjoint_spike_amplitude(p, e, jump, inverse, reset):
    """``g_k`` at a spike when e is dL/ds and ``ds/dv = inverse`` (TSSL-BP); ``jump = v_k - ~v_k``, the reset's size."""
    return inverse * (e - jump * p) + type(p)(reset_gain(reset)) * p


@register_jitable
def fast_sigmoid_derivative(v, v_threshold, steepness):
    """``1/(1 + steepness |v - v_threshold|)^2``, of the fast sigmoid (SuperSpike, Zenke & Ganguli 2018)."""
    d = type(v)(1) + steepness * abs(v - v_threshold)
    return type(v)(1) / (d * d)


@register_jitable
def sigmoid_derivative(v, v_threshold, width):
    """Slope of the logistic function of ``(v - v_threshold)/width`` in v (TSSL-BP for silent neurons)."""
    z = abs(v - v_threshold) / width
    e = math.exp(-z)
    d = type(v)(1) + e
    return e / (d * d * width)
