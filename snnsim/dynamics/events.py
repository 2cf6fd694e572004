"""A LIF neuron with synaptic filter in continuous time: flow, threshold crossing, jumps and, below each, its adjoint.

Between events (study eqs 6-8), from a state (v, i) and with t counted from it,

    v(t) = a_vv(t) v + a_vi(t) i        i(t) = a_ii(t) i
    a_vv = e^{-t/tau_mem}    a_ii = e^{-t/tau_syn}    a_vi = r tau_syn/(tau_mem - tau_syn) (a_vv - a_ii)

The drive ``u = r i`` stands for the current wherever only its product with the resistance matters. A membrane has at
most one maximum; before it, it is concave, so the first crossing of the threshold is bracketed by the start of an
interval and the maximum (or the interval's end, whichever comes first), and a crossing is neither missed nor invented.
"""

import math

from numba.extending import register_jitable

EPSILON = 2.0**-52
MAX_ITERATIONS = 200
SMALL = 2.0**-4
"""Up to here short series stand for exponential and logarithm: most waits are much shorter than a time constant."""


@register_jitable
def flow(t, tau_mem, tau_syn):
    """``(a_vv, a_ii, a_vu)`` over a time ``t >= 0``; ``a_vi = r a_vu`` (study eqs 6-8).

    ``a_vu`` is ``tau_syn/(tau_mem - tau_syn) (a_vv - a_ii)``, written so that it neither cancels nor divides by zero
    for near or equal time constants (there it is ``t/tau e^{-t/tau}``), and never overflows. One exponential suffices
    where ``tau_mem = 2 tau_syn``, two otherwise.
    """
    if tau_mem == 2 * tau_syn:
        a_vv, loss = decay(t / tau_mem)
        return a_vv, a_vv * a_vv, a_vv * loss
    rate = 1 / tau_syn - 1 / tau_mem
    if rate > 0:
        a_vv, _ = decay(t / tau_mem)
        ratio, loss = decay(rate * t)
        return a_vv, a_vv * ratio, a_vv * (loss / (rate * tau_mem))
    a_ii, _ = decay(t / tau_syn)
    if rate == 0:
        return a_ii, a_ii, a_ii * (t / tau_mem)
    ratio, loss = decay(-rate * t)
    return a_ii * ratio, a_ii, a_ii * (loss / (-rate * tau_mem))


@register_jitable
def short_flow(t, tau_mem):
    """:func:`flow` where ``tau_mem = 2 tau_syn`` and :func:`is_short`; no branch, so that a loop of it vectorises."""
    loss = _short_loss(t / tau_mem)
    a_vv = 1 - loss
    return a_vv, a_vv * a_vv, a_vv * loss


@register_jitable
def is_short(t, tau):
    """Whether a time is so short that a series stands for its exponential."""
    return t / tau <= SMALL


@register_jitable
def decay(x):
    """``(e^{-x}, 1 - e^{-x})`` for ``x >= 0``, both to full relative precision, for at most one exponential."""
    if x <= SMALL:
        loss = _short_loss(x)
        return 1 - loss, loss
    if x > 0.6875:
        kept = math.exp(-x)
        return kept, 1 - kept
    loss = -math.expm1(-x)
    return 1 - loss, loss


@register_jitable
def _short_loss(x):
    # The Taylor series of 1 - e^{-x} as far as it matters up to SMALL, by pairs of terms so that few wait for each
    # other.
    square = x * x
    low = (1 / 2 - x * (1 / 6)) + square * (1 / 24 - x * (1 / 120))
    high = (1 / 720 - x * (1 / 5040)) + square * (1 / 40320 - x * (1 / 362880))
    return x - square * (low + (square * square) * high)


@register_jitable
def _decay_time(loss, ratio):
    """``-ln(1 - loss)``, the inverse of :func:`decay`, to full relative precision.

    Parameters
    ----------
    loss : float
        In [0, 1].
    ratio : float
        ``loss/(2 - loss)``, the hyperbolic tangent of half the result.
    """
    if ratio <= SMALL:
        square = ratio * ratio
        fourth = square * square
        low = (1 / 3 + square * (1 / 5)) + fourth * (1 / 7 + square * (1 / 9))
        return 2 * (ratio + ratio * square * (low + (fourth * fourth) * (1 / 11 + square * (1 / 13))))
    return -math.log1p(-loss)


@register_jitable
def compose_flow(a_vv, a_ii, a_vu, b_vv, b_ii, b_vu):
    """Flow a followed by flow b, as one flow."""
    return b_vv * a_vv, b_ii * a_ii, b_vv * a_vu + b_vu * a_ii


@register_jitable
def remaining_flow(a_vv, a_ii, a_vu, b_vv, b_ii, b_vu):
    """Flow b undone before flow a: the flow over the rest of a span from those over the whole (a) and a part (b)."""
    c_vv = a_vv / b_vv
    return c_vv, a_ii / b_ii, (a_vu - c_vv * b_vu) / b_ii


@register_jitable
def slope(v, u, tau_mem):
    """``dv/dt`` (study eq 1) with the drive ``u = r i``."""
    return (u - v) / tau_mem


@register_jitable
def maximum_time(v, u, tau_mem, tau_syn):
    """Time of the membrane's maximum after a state (v, u); infinite if there is none ahead.

    ``dv/dt = 0`` where ``(1 - e^{-d t})/d = tau_syn (u - v)/u``, with ``d = 1/tau_syn - 1/tau_mem``.
    """
    if u <= 0 or u <= v:
        return math.inf
    span = tau_syn * ((u - v) / u)
    rate = 1 / tau_syn - 1 / tau_mem
    if rate == 0:
        return span
    if rate * span >= 1:
        return math.inf
    return -math.log1p(-rate * span) / rate


@register_jitable
def largest_response(t, a_vu, peak, a_vu_peak):
    """Largest ``a_vu`` within a time t at whose end it is ``a_vu``; it peaks once, at ``peak``."""
    return a_vu if t <= peak else a_vu_peak


@register_jitable
def may_exceed(v, u, response, v_threshold):
    """Whether a membrane can reach the threshold within a span; false only if it cannot.

    It is at most what it started from plus the largest response to the drive.

    Parameters
    ----------
    v : float
        Membrane at the start.
    u : float
        Drive at the start; with input inside the span, its positive part plus all upward jumps.
    response : float
        Largest ``a_vu(t)`` within the span; or both in other units with the same product.
    v_threshold : float
    """
    return max(v, 0 * v) + response * u >= v_threshold


@register_jitable
def may_cross(v, u, v_end, u_end, response, v_threshold):
    """Whether a membrane that starts below threshold can have crossed it in a span without input.

    It has if it ends at or above threshold; else it can only have made an excursion: at its crest the drive equals the
    membrane, and at the end the membrane comes down.
    """
    return (v_end >= v_threshold) | (may_exceed(v, u, response, v_threshold) & (u >= v_threshold) & (u_end <= v_end))


@register_jitable
def may_have_crossed(v_end, u, u_end, v_threshold, u_least, u_most):
    """Whether :func:`may_cross` can hold, at a price that suits a look at all neurons; false only if it cannot.

    At the end of an excursion the drive is at most the membrane, which is below threshold: the drive has fallen through
    the threshold.

    Parameters
    ----------
    v_end, u, u_end : float
        Membrane at the end; drive at the start and at the end, which may be in another unit.
    v_threshold : float
    u_least, u_most : float
        The threshold in the unit of the drive, a few roundings less and a few roundings more.
    """
    return (v_end >= v_threshold) | ((u >= u_least) & (u_end <= u_most))


@register_jitable
def may_hide(v_end, u_least, u_lost, crest, response, v_threshold):
    """Whether a membrane that ends a span below threshold can have been above it inside; false only if it cannot.

    It comes down only while the drive is below the threshold. At a crest, membrane and drive are at least the
    threshold, and from there the membrane ends no lower than the flow and the response to all downward jumps bring it.

    Parameters
    ----------
    v_end : float
        Membrane at the end, below threshold.
    u_least : float
        A lower bound of the drive within the span.
    u_lost : float
        Sum of the drive's downward jumps, at most zero.
    crest : float
        ``a_vv + a_vu`` over the span: what is left at its end of membrane and drive 1 at its start.
    response : float
        Largest ``a_vu(t)`` within the span.
    v_threshold : float
    """
    return (u_least < v_threshold) & (v_end >= crest * v_threshold + response * u_lost)


@register_jitable
def first_crossing(v, u, span, v_end, v_threshold, tau_mem, tau_syn):
    """First time in [0, span] at which the membrane reaches the threshold, and the flow up to it.

    A maximum that touches the threshold counts (``>=``), as the rounded closed form has it. A state already at or
    above threshold crosses at once.

    Parameters
    ----------
    v, u : float
        Membrane and drive ``r i`` at time 0.
    span : float
        Length of the interval.
    v_end : float
        Membrane at ``span`` if nothing happens before.
    v_threshold : float
        Of any sign: with a constant current, voltages count from where the membrane would settle, and a falling
        membrane can turn and cross later.

    Returns
    -------
    t, a_vv, a_ii, a_vu : float
        Time of the crossing, negative if there is none, and the flow over it.
    """
    if v >= v_threshold:
        return 0 * span, 1 + 0 * span, 1 + 0 * span, 0 * span
    if v_threshold <= 0:
        return _crossing_from_below(v, u, span, v_end, v_threshold, tau_mem, tau_syn)
    if tau_mem == 2 * tau_syn:
        t, a_vv, a_ii, a_vu = _crossing_quadratic(v, u, span, v_threshold, tau_mem)
    else:
        t, a_vv, a_ii, a_vu = _crossing_general(v, u, span, v_end, v_threshold, tau_mem, tau_syn)
    if t < 0 and v_end >= v_threshold:
        t = span
        a_vv, a_ii, a_vu = flow(span, tau_mem, tau_syn)
    return t, a_vv, a_ii, a_vu


@register_jitable
def _crossing_quadratic(v, u, span, v_threshold, tau_mem):
    # With x = e^{-t/tau_mem}: v(x) = (u + v) x - u x^2. Its larger root x and 1 - x, both without cancellation.
    total = u + v
    discriminant = total * total - 4 * u * v_threshold
    none = -1 + 0 * v
    if discriminant < 0 or total < 0 or u < v_threshold:
        return none, none, none, none
    root = math.sqrt(discriminant)
    missing = v_threshold - v
    kept = (total + root) / (2 * u)
    loss = 2 * missing / (u - v + root)
    t = tau_mem * _decay_time(loss, missing / (u - v_threshold + root))
    if not t <= span:
        return none, none, none, none
    return t, kept, kept * kept, kept * loss


@register_jitable
def _crossing_general(v, u, span, v_end, v_threshold, tau_mem, tau_syn):
    # A bracket (low, high] with v(low) < v_threshold <= v(high); the membrane rises through the threshold once in it.
    none = -1 + 0 * span
    high = span
    if v_end < v_threshold:
        high = maximum_time(v, u, tau_mem, tau_syn)
        if high >= span or u * math.exp(-high / tau_syn) < v_threshold:
            return none, none, none, none
    low = 0 * span
    t, v_t, u_t = low, v, u
    a_vv, a_ii, a_vu = 1 + low, 1 + low, low
    rate_mem, rate_syn = 1 / tau_mem, 1 / tau_syn
    rates = rate_mem + rate_syn
    for _ in range(MAX_ITERATIONS):
        first = (u_t - v_t) * rate_mem
        second = (-u_t * rate_syn - first) * rate_mem
        missing = v_threshold - v_t
        # So close that the square of what is missing is below rounding: a tangent, for the flow as well.
        step = missing / first if first > 0 else high
        square = step * step
        near = (square * rates <= EPSILON / 4 * t) & (square * abs(second) <= EPSILON / 2 * t * first)
        if near & (square * (rates * rates) <= EPSILON / 2) & (low < t + step) & (t + step <= high):
            part = step * rate_mem
            return t + step, a_vv - a_vv * part, a_ii - a_ii * (step * rate_syn), a_vu + (a_ii - a_vu) * part
        # The root of the local parabola, which stays well defined where the slope vanishes, and its correction by the
        # third derivative.
        third = (u_t * (rate_syn * rate_syn) - second) * rate_mem
        end_slope = math.sqrt(max(first * first + 2 * second * missing, 0 * span))
        step = 2 * missing / (first + end_slope) if first + end_slope > 0 else high
        bend = third / (6 * end_slope) if end_slope > 0 else 0 * span
        correction = 0 * span
        if 4 * abs(bend) * step * step < 1:
            correction = -bend * (step * step * step)
        t_new = t + (step + correction)
        # What is left is smaller than the correction by the step over the time constants: at last below rounding.
        done = abs(correction * step) * rates <= EPSILON * t_new and correction != 0
        if not low < t_new < high:
            done = False
            t_new = low + (high - low) / 2
            if not low < t_new < high:
                t_new = high
                done = True
        t = t_new
        a_vv, a_ii, a_vu = flow(t, tau_mem, tau_syn)
        v_t = a_vv * v + a_vu * u
        u_t = a_ii * u
        if done or abs(v_threshold - v_t) <= EPSILON * v_threshold:
            return t, a_vv, a_ii, a_vu
        if v_t < v_threshold:
            low = t
        else:
            high = t
    a_vv, a_ii, a_vu = flow(high, tau_mem, tau_syn)
    return high, a_vv, a_ii, a_vu


@register_jitable
def _crossing_from_below(v, u, span, v_end, v_threshold, tau_mem, tau_syn):
    # A threshold at or below where the membrane settles. It rises through it once: up to its maximum, or, if it falls
    # at first, behind its minimum.
    none = -1 + 0 * span
    low, high = 0 * span, span
    if u > v:
        peak = maximum_time(v, u, tau_mem, tau_syn)
        if peak < span:
            high = peak
    else:
        low = minimum_time(v, u, tau_mem, tau_syn)
        if not low < span:
            return none, none, none, none
    a_vv, a_ii, a_vu = flow(high, tau_mem, tau_syn)
    if (v_end if high == span else a_vv * v + a_vu * u) < v_threshold:
        return none, none, none, none
    t = low
    for _ in range(MAX_ITERATIONS):
        a_vv, a_ii, a_vu = flow(t, tau_mem, tau_syn)
        v_t = a_vv * v + a_vu * u
        missing = v_threshold - v_t
        if missing > 0:
            low = t
        else:
            high = t
        t_new = newton_step(t, missing, slope(v_t, a_ii * u, tau_mem), low, high)
        if t_new == t or missing == 0:
            return t, a_vv, a_ii, a_vu
        t = t_new
    return t, a_vv, a_ii, a_vu


@register_jitable
def newton_step(t, missing, rise, low, high):
    """Next guess of a rising crossing in [low, high]: a tangent, or the middle where that leads out; t when done.

    Parameters
    ----------
    t, missing, rise : float
        Guess, what is missing to the threshold there, and the slope there.
    low, high : float
        Where it is still below, and where it is not.
    """
    if rise > 0:
        t_new = t + missing / rise
        if abs(t_new - t) <= EPSILON * abs(t):
            return t
        if low < t_new < high:
            return t_new
    middle = low + (high - low) / 2
    if low < middle < high:
        return middle
    return t if t == high else high


@register_jitable
def minimum_time(v, u, tau_mem, tau_syn):
    """Time of the membrane's minimum after a state (v, u) from which it falls; infinite if there is none ahead."""
    if u >= 0:
        return math.inf
    span = tau_syn * ((u - v) / u)
    rate = 1 / tau_syn - 1 / tau_mem
    if rate == 0:
        return span
    if rate * span >= 1:
        return math.inf
    return -math.log1p(-rate * span) / rate


@register_jitable
def inverse_slope(u, v_threshold, tau_mem, max_inverse_slope):
    """``1/slope_minus`` at a crossing, clamped to ``max_inverse_slope``; a grazing one has slope zero."""
    rise = slope(v_threshold, u, tau_mem)
    if rise * max_inverse_slope <= 1:
        return max_inverse_slope
    return 1 / rise


@register_jitable
def adjoint_flow(lambda_v, lambda_q, a_vv, a_ii, a_vq):
    """``(lambda_v, lambda_q)`` earlier by a flow: its transpose.

    ``lambda_q = lambda_i/tau_syn = dL/d(tau_syn i)`` is what a weight sees, and ``a_vq = a_vi/tau_syn``. In the limit
    of a short flow ``dlambda_v/dt = lambda_v/tau_mem`` and ``dlambda_i/dt = lambda_i/tau_syn - (r/tau_mem) lambda_v``
    (EventProp, Wunderlich & Pehle 2021).
    """
    return a_vv * lambda_v, a_ii * lambda_q + a_vq * lambda_v


@register_jitable
def adjoint_jump(lambda_v, e, u, v_threshold, v_reset, tau_mem, max_inverse_slope):
    """``lambda_v`` before an own spike: ``(slope_plus lambda_v - e)/slope_minus``; ``e`` is dL/d(spike time)."""
    inverse = inverse_slope(u, v_threshold, tau_mem, max_inverse_slope)
    return (slope(v_reset, u, tau_mem) * lambda_v - e) * inverse


@register_jitable
def adjoint_arrival(lambda_v, lambda_q, pull):
    """dL/d(arrival time) of a spike, per unit of ``w/tau_syn``; ``pull = r/tau_mem``."""
    return lambda_q - pull * lambda_v
