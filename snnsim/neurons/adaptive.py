"""Scalars of neurons that adapt or are held after a spike: of every linear motion of membrane, current and adaptation.

Forward, with the matrix m and the vectors b, d of a scheme (:mod:`snnsim.neurons.matrices`), x the input and u the
current into the membrane:

    v_k = m_vv ~v + m_vi i + m_va ~a + b_v x + d_v u       i_k = m_ii i + b_i x
    a_k = m_av ~v + m_ai i + m_aa ~a + b_a x + d_a u       s_k = [v_k - beta a_k >= v_threshold]
    at a spike: ~v_k by the reset, ~a_k = a_k + q

While the membrane is held, ``held`` steps after a spike, v stays where the reset left it, i and a go on, and there is
no spike. Backward, with ``p`` the transposed matrix times the adjoints of step k + 1:

    g_k = (slope_plus p_v - fall p_a - e)/slope       l_k = p_a - beta g_k       at a spike

where slope is that of ``v - beta a`` over the step, slope_plus is taken at the release, with the current there, and
fall is by how much da/dt is less after the spike, ``(q + coupling (v_threshold - v_reset))/tau_a``; ``pull = r c_a``.
Of a held step ``g_k = 0``, and what its membrane receives goes to the reset.
"""

from typing import NamedTuple

from numba.extending import register_jitable

from snnsim.dynamics import lif

STATE = ("v", "a", "left", "i_syn", "rise")
"""``left``: steps for which the membrane is still held, this one included; ``rise``: dv/dt of a free membrane."""
ADJOINT = ("g", "l", "h", "through", "release")
"""``through``: dL/dv of a held step; ``release``: dL/d(release time), negative, of the last spike."""
JUMPS = 3
LOOKS_BACK = True


class Constants(NamedTuple):
    """Coefficients of a scheme and the neuron's own constants; each a number or (N,) of the arrays' dtype."""

    m_vv: float
    m_vi: float
    m_va: float
    m_ii: float
    m_av: float
    m_ai: float
    m_aa: float
    b_v: float
    b_i: float
    b_a: float
    d_v: float
    d_a: float
    v_threshold: float
    v_reset: float
    reset: int
    beta: float
    q: float
    held: float
    r: float
    pull: float
    fall: float
    tau_mem: float
    tau_syn: float
    tau_a: float
    dt: float


@register_jitable
def step(s, x, c):
    """Membrane, adaptation and current of the next step."""
    v, a, left, i, _ = s
    zero, one = type(v)(0), type(v)(1)
    v_next = c.m_vv * v + c.m_vi * i + c.m_va * a + c.b_v * x
    a_next = c.m_av * v + c.m_ai * i + c.m_aa * a + c.b_a * x
    i_next = c.m_ii * i + c.b_i * x
    left = left - one if left > zero else zero
    v_next = v if left > zero else v_next
    return v_next, a_next, left, i_next, (c.r * i_next - c.pull * a_next - v_next) / c.tau_mem


@register_jitable
def driven(s, u, c):
    """States of a step through which a current u flows into the membrane."""
    v, a, left, i, _ = s
    v_next = v if left > type(v)(0) else v + c.d_v * u
    a_next = a + c.d_a * u
    return v_next, a_next, left, i, (c.r * (i + u) - c.pull * a_next - v_next) / c.tau_mem


@register_jitable
def felt(s, u):
    """States with all current that the membrane feels as one."""
    return s[0], s[1], s[2], s[3] + u, s[4]


@register_jitable
def excess(s, c):
    """How far the membrane is above its threshold."""
    return s[0] - c.beta * s[1] - c.v_threshold


@register_jitable
def fires(s, c):
    """Whether a membrane that is not held has reached its threshold."""
    return (excess(s, c) >= type(s[0])(0)) & (s[2] == type(s[0])(0))


@register_jitable
def jump(s, c):
    """Reset, growth of the adaptation, and the steps to come in which the membrane is held."""
    v, a, _, i, rise = s
    v_next = lif.reset_membrane(v, c.v_threshold + c.beta * a, c.v_reset, c.reset)
    return v_next, a + c.q, c.held + type(v)(1) if c.held > type(v)(0) else type(v)(0), i, rise


@register_jitable
def kept_by_time(before, s, after, c, settings):
    """``1/slope``, at most ``settings.max_inverse``, and ``slope_plus`` of a membrane that is not held."""
    slope = ((s[0] - before[0]) - c.beta * (s[1] - before[1])) / c.dt
    if slope <= type(slope)(0):  # a reset can leave a membrane above threshold
        slope = (c.r * s[3] - c.pull * s[1] - s[0]) / c.tau_mem + c.beta * s[1] / c.tau_a
    inverse = settings.max_inverse
    if slope * settings.max_inverse > type(slope)(1):
        inverse = type(slope)(1) / slope
    return inverse, (c.r * after[3] - c.pull * after[1] - after[0]) / c.tau_mem


@register_jitable
def kept_by_amplitude(before, s, after, c, settings):
    """``1/(rise of v - beta a in the step)``, at most ``settings.max_inverse``, and the reset's size ``v - ~v``."""
    rise = s[0] - before[0] - c.beta * (s[1] - before[1])
    return lif.inverse_difference(rise, type(rise)(0), settings.max_inverse), s[0] - after[0]


@register_jitable
def adjoint_step(a, s, c):
    """``p`` of step k: what its membrane, adaptation and current receive from the steps after it."""
    g, l_, h, through, release = a
    p_v = c.m_vv * g + c.m_av * l_ + through
    p_a = c.m_va * g + c.m_aa * l_
    p_i = c.m_vi * g + c.m_ii * h + c.m_ai * l_
    zero, one = type(g)(0), type(g)(1)
    if s[2] > zero:
        return zero, p_a, p_i, p_v, s[4] * p_v if s[2] == one else release
    return p_v, p_a, p_i, zero, release


@register_jitable
def adjoint_by_time(a, p, e, kept, c):
    """``g_k`` and ``l_k`` at a spike, by its time."""
    p_v, p_a, p_i, through, release = p
    left = release if c.held > type(p_v)(0) else kept[1] * p_v
    g = (left - c.fall * p_a - e) * kept[0]
    return g, p_a - c.beta * g, p_i, through, release


@register_jitable
def adjoint_by_amplitude(a, p, e, kept, c):
    """``g_k`` and ``l_k`` at a spike, by its amplitude."""
    p_v, p_a, p_i, through, release = p
    # Of a membrane that is held at v_reset, no step before the release depends on the spike's amplitude.
    size = type(p_v)(0) if (c.reset == lif.RESET_HARD) & (c.held > type(p_v)(0)) else kept[1]
    f = kept[0] * (e - size * p_v + c.q * p_a)
    moved = p_v if c.reset == lif.RESET_SUBTRACT else type(p_v)(0)
    return f + type(p_v)(lif.reset_gain(c.reset)) * p_v, p_a - c.beta * (f + moved), p_i, through, release


@register_jitable
def adjoint_by_excess(a, d, e, s, c):
    """Add what the spike's amplitude passes on, its own growth of the adaptation included, where v is not held."""
    p_v, p_a, p_i, through, release = a
    f = d * (e + c.q * p_a) if s[2] == type(p_v)(0) else type(p_v)(0)
    return p_v + f, p_a - c.beta * f, p_i, through, release


@register_jitable
def adjoint_by_jump(a, p, e, kept, c):
    """Take ``p_v`` away where the reset is hard; a subtractive reset moves with the threshold."""
    zero = type(p[0])(0)
    g = a[0] + type(p[0])(lif.reset_gain(c.reset) - 1) * p[0]
    return g, a[1] - c.beta * (p[0] if c.reset == lif.RESET_SUBTRACT else zero), a[2], a[3], a[4]


@register_jitable
def adjoint_membrane(a, d):
    """Add what a loss reads of the membrane."""
    return a[0] + d, a[1], a[2], a[3], a[4]


@register_jitable
def adjoint_input(a, c):
    """``X_k``."""
    return c.b_v * a[0] + c.b_a * a[1] + c.b_i * a[2]


@register_jitable
def adjoint_drive(a, c):
    """dL/du of a current into the membrane."""
    return c.d_v * a[0] + c.d_a * a[1]


@register_jitable
def adjoint_current(a, c):
    """``h_k/tau_syn``."""
    return a[2] / c.tau_syn


@register_jitable
def trace_passed(extra, a, now, later, c):
    """Not defined: the gradient as printed is for plain neurons."""
    return later, extra
