"""A leaky readout's weighted integral over the trial, ``int_0^T e^{-om t} v dt``, in closed form (Nowotny 2022)."""

import math

from numba.extending import register_jitable

SERIES = 0.5
"""Up to this difference of rates times the span a series stands for the difference of two integrals."""


@register_jitable
def faded(rate, span):
    """``int_0^span e^{-rate s} ds``."""
    return -math.expm1(-rate * span) / rate if rate != 0 else span


@register_jitable
def _moment(k, rate, span):
    # int_0^span s^k e^{-rate s} ds for rate >= 0 and k up to 15: by parts, which is stable for long spans, or a series
    # of positive terms.
    x = rate * span
    if x > 30:
        moment, left = faded(rate, span), math.exp(-x)
        for n in range(1, k + 1):
            left *= span
            moment = (n * moment - left) / rate
        return moment
    term = 1.0 / (k + 1)
    total = term
    for n in range(1, 2000):
        term *= x / (k + 1 + n)
        total += term
        if term <= 1e-17 * total:
            break
    return span ** (k + 1) * math.exp(-x) * total


@register_jitable
def arrival_integral(t, duration, r, tau_mem, tau_syn, om):
    """Integral that a unit of weight adds when it arrives at t, and its derivative by t.

    ``K = r/(tau_mem - tau_syn) e^{-om t} [F(1/tau_mem) - F(1/tau_syn)]``, ``F(x) = int_0^{T - t} e^{-(x + om) s} ds``.
    """
    span = duration - t
    x, y = 1 / tau_mem + om, 1 / tau_syn + om
    difference = y - x
    if abs(difference) * span > SERIES:
        kept = (faded(x, span) - faded(y, span)) / difference
        end = (math.exp(-x * span) - math.exp(-y * span)) / difference
    else:
        middle, half = (x + y) / 2, difference / 2
        kept, end, factor = 0.0, 0.0, 1.0
        for k in range(7):
            kept += factor * _moment(2 * k + 1, middle, span)
            end += factor * span ** (2 * k + 1)
            factor *= half * half / ((2 * k + 2) * (2 * k + 3))
        end *= math.exp(-middle * span)
    gain = r / (tau_mem * tau_syn) * math.exp(-om * t)
    # The integrand at the end is what is lost by arriving later.
    return gain * kept, -om * gain * kept - gain * end


@register_jitable
def start_integral(duration, tau_mem, om):
    """Integral that a unit of the initial membrane adds."""
    return faded(1 / tau_mem + om, duration)


@register_jitable
def start_integral_slope(duration, tau_mem, om):
    """Differentiate :func:`start_integral` by ``tau_mem``."""
    return _moment(1, 1 / tau_mem + om, duration) / (tau_mem * tau_mem)


@register_jitable
def arrival_integral_slopes(t, duration, r, tau_mem, tau_syn, om):
    """Differentiate :func:`arrival_integral` by ``tau_mem`` and ``tau_syn``."""
    span = duration - t
    x, y = 1 / tau_mem + om, 1 / tau_syn + om
    difference = y - x
    if abs(difference) * span > SERIES:
        kept = (faded(x, span) - faded(y, span)) / difference
        by_x = (kept - _moment(1, x, span)) / difference
        by_y = (_moment(1, y, span) - kept) / difference
    else:
        middle, half = (x + y) / 2, difference / 2
        kept, by_middle, by_half, factor = 0.0, 0.0, 0.0, 1.0
        for k in range(7):
            moment = _moment(2 * k + 1, middle, span)
            kept += factor * moment
            by_middle -= factor * _moment(2 * k + 2, middle, span)
            following = factor * half / ((2 * k + 2) * (2 * k + 3))
            by_half += (2 * k + 2) * following * _moment(2 * k + 3, middle, span)
            factor = following * half
        by_x, by_y = (by_middle - by_half) / 2, (by_middle + by_half) / 2
    gain = r / (tau_mem * tau_syn) * math.exp(-om * t)
    # The rates are one over the time constants.
    return -gain * (kept + by_x / tau_mem) / tau_mem, -gain * (kept + by_y / tau_syn) / tau_syn
