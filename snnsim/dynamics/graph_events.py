"""A LIF neuron that may adapt, in continuous time: flow, crossing, jumps and their adjoints.

Per neuron, with w the membrane relative to where it settles without input, ``v_leak + r i_ext``, u = r i, and a the
adaptation:

    tau_mem dw/dt = -w + u - pull a      tau_syn du/dt = -u      tau_a da/dt = -a      (pull = r c_a)
    spike where w - beta a rises through the threshold: w -> w_reset, held for t_ref; a -> a + q

Formulas continue :mod:`snnsim.dynamics.events`; ``response(t, tau_mem, tau)`` is its ``a_vu`` for a time constant tau.
"""

import math

from numba.extending import register_jitable

from snnsim.dynamics.events import EPSILON, MAX_ITERATIONS, decay, first_crossing, flow, newton_step


@register_jitable
def response(t, tau_mem, tau):
    """Membrane a time t after a unit of drive that decays with tau: ``e^{-t/tau_mem} (t/tau_mem) phi1(x)``."""
    return flow(t, tau_mem, tau)[2]


@register_jitable
def second_response(t, tau_mem, tau):
    """``e^{-t/tau_mem} (t^2/tau_mem) phi2(x)``, ``phi2 = (1 - (1 + x) e^{-x})/x^2``, ``x = t (1/tau - 1/tau_mem)``.

    What the filtered adjoint takes from lambda_v over a time t.
    """
    x = t * (1 / tau - 1 / tau_mem)
    if abs(x) < 0.05:
        phi2 = 0.0
        term = 1.0
        for k in range(9):
            phi2 += term * (k + 1)
            term *= -x / (k + 3)
        return math.exp(-t / tau_mem) * (t * t / tau_mem) * phi2 / 2
    # (e^{-t/tau_mem} - (1 + x) e^{-t/tau})/x^2: neither exponential overflows.
    return (math.exp(-t / tau_mem) - (1 + x) * math.exp(-t / tau)) / (x * x) * (t * t / tau_mem)


@register_jitable
def adaptive_flow(w, u, a, t, tau_mem, tau_syn, tau_a, pull):
    """State ``(w, u, a)`` a time t later."""
    a_vv, a_ii, a_vu = flow(t, tau_mem, tau_syn)
    a_aa, _ = decay(t / tau_a)
    return a_vv * w + a_vu * u - pull * response(t, tau_mem, tau_a) * a, a_ii * u, a_aa * a


@register_jitable
def adaptive_slope(w, u, a, tau_mem, pull):
    """``dw/dt``."""
    return (u - pull * a - w) / tau_mem


@register_jitable
def gap_slope(w, u, a, tau_mem, tau_a, beta, pull):
    """Slope of ``w - beta a``."""
    return adaptive_slope(w, u, a, tau_mem, pull) + beta * a / tau_a


@register_jitable
def adaptive_crossing(w, u, a, span, threshold, tau_mem, tau_syn, tau_a, beta, pull):
    """First time in [0, span] at which ``w - beta a`` reaches the threshold; negative if there is none.

    Three exponentials and a constant: ``e^{t/tau_mem}`` times the slope has one extremum, in closed form, so the slope
    has a zero at most on either side of it, and the zeros cut the span into monotone pieces (Rolle).
    """
    if w - beta * a >= threshold:
        return 0 * span
    if a == 0 or (beta == 0 and pull == 0):
        a_vv, _, a_vu = flow(span, tau_mem, tau_syn)
        return first_crossing(w, u, span, a_vv * w + a_vu * u, threshold, tau_mem, tau_syn)[0]
    # Where the slope times e^{t/tau_mem} is stationary: u(t)/tau_syn = a(t) m.
    m = (beta * (1 - tau_mem / tau_a) + pull) / tau_a
    turn = -1.0
    rate = 1 / tau_syn - 1 / tau_a
    if rate != 0 and m * a != 0:
        ratio = u / (tau_syn * m * a)
        if ratio > 0:
            turn = math.log(ratio) / rate
    left = 0 * span
    start = 0 * span
    for piece in range(3):
        # Ends of the pieces on which the slope has one sign: its zeros before and after the turn, then the span's end.
        right = turn if piece == 0 else span
        if piece == 0 and not 0 < turn < span:
            continue
        if piece < 2:
            end = _slope_zero(w, u, a, left, right, tau_mem, tau_syn, tau_a, beta, pull)
            left = right
            if end < 0:
                continue
        else:
            end = span
        w_t, _, a_t = adaptive_flow(w, u, a, end, tau_mem, tau_syn, tau_a, pull)
        if w_t - beta * a_t >= threshold:
            return _rising_crossing(w, u, a, start, end, threshold, tau_mem, tau_syn, tau_a, beta, pull)
        start = end
    return -1 + 0 * span


@register_jitable
def _slope_zero(w, u, a, left, right, tau_mem, tau_syn, tau_a, beta, pull):
    # The zero of the slope of w - beta a between two times, by bisection with secants; negative if there is none.
    x, y, z = adaptive_flow(w, u, a, left, tau_mem, tau_syn, tau_a, pull)
    at_left = gap_slope(x, y, z, tau_mem, tau_a, beta, pull)
    x, y, z = adaptive_flow(w, u, a, right, tau_mem, tau_syn, tau_a, pull)
    at_right = gap_slope(x, y, z, tau_mem, tau_a, beta, pull)
    if not ((at_left < 0 < at_right) or (at_right < 0 < at_left)):
        return -1.0
    for k in range(MAX_ITERATIONS):
        t = left + (right - left) / 2
        if k % 3:
            t = left + (right - left) * (at_left / (at_left - at_right))
            # Not onto the end that it came from: a secant's other end would never move.
            t = min(max(t, left + (right - left) * 1e-3), right - (right - left) * 1e-3)
        if not left < t < right or right - left <= 4 * EPSILON * right:
            break
        x, y, z = adaptive_flow(w, u, a, t, tau_mem, tau_syn, tau_a, pull)
        rise = gap_slope(x, y, z, tau_mem, tau_a, beta, pull)
        if rise == 0:
            return t
        if (rise < 0) == (at_left < 0):
            left, at_left = t, rise
        else:
            right, at_right = t, rise
    return right


@register_jitable
def _rising_crossing(w, u, a, low, high, threshold, tau_mem, tau_syn, tau_a, beta, pull):
    t = high
    for _ in range(MAX_ITERATIONS):
        w_t, u_t, a_t = adaptive_flow(w, u, a, t, tau_mem, tau_syn, tau_a, pull)
        missing = threshold - (w_t - beta * a_t)
        if missing > 0:
            low = t
        else:
            high = t
        t_new = newton_step(t, missing, gap_slope(w_t, u_t, a_t, tau_mem, tau_a, beta, pull), low, high)
        if t_new == t or missing == 0:
            return t
        t = t_new
    return t


@register_jitable
def adaptive_may_have_crossed(z_end, u, u_end, least, slack):
    """Whether ``w - beta a`` can have reached the threshold in a span; false only if it cannot, for beta, pull, a >= 0.

    With the adaptation frozen at its least, its value at the end, threshold and inhibition are lowest, and what remains
    is a membrane without adaptation.

    Parameters
    ----------
    z_end : float
        That membrane at the end, ``w + pull a_end``.
    u, u_end : float
        Drive at the start and at the end.
    least : float
        Its threshold, ``threshold + (beta + pull) a_end``.
    slack : float
        A few roundings of these numbers.
    """
    return (z_end + slack >= least) | ((u + slack >= least) & (u_end <= z_end + slack))


@register_jitable
def spike_inverse_slope(w, u, a, tau_mem, tau_a, beta, pull, max_inverse_slope):
    """``1/slope`` of ``w - beta a`` at a crossing, clamped; i (and u) before arrivals of that instant."""
    rise = gap_slope(w, u, a, tau_mem, tau_a, beta, pull)
    return max_inverse_slope if rise * max_inverse_slope <= 1 else 1 / rise


@register_jitable
def spike_adjoint(released, lambda_a, e, inverse, q, tau_a):
    """``lambda_v`` before an own spike.

    Parameters
    ----------
    released : float
        ``slope_plus lambda_v`` at the release, which is the spike itself without refractory period.
    lambda_a : float
        After the spike.
    e : float
        dL/d(spike time).
    inverse : float
        From :func:`spike_inverse_slope`.
    q, tau_a : float
    """
    return (released - q / tau_a * lambda_a - e) * inverse
