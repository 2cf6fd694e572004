"""Scalars of the losses: softmax, spike-train distance, relaxed first spike; value first, derivative below."""

import math

from numba.extending import register_jitable


@register_jitable
def log_sum_exp(values):
    """``log(sum_c exp(values[c]))`` without overflow."""
    top = values[0]
    for c in range(1, len(values)):
        top = max(top, values[c])
    total = type(top)(0)
    for c in range(len(values)):
        total += math.exp(values[c] - top)
    return top + math.log(total)


@register_jitable
def softmax_error(value, log_total, is_label):
    """Differentiate ``-log softmax`` of the label by one logit: ``p_c - [c is the label]``."""
    return math.exp(value - log_total) - type(value)(1 if is_label else 0)


@register_jitable
def van_rossum_kernel(distance, tau):
    """Overlap of two filtered spikes at a distance, ``exp(-|d|/tau)`` (van Rossum 2001)."""
    return math.exp(-abs(distance) / tau)


@register_jitable
def van_rossum_kernel_slope(distance, tau):
    """Differentiate :func:`van_rossum_kernel` by the distance; 0 at coincidence."""
    zero = type(distance)(0)
    if distance == zero:
        return zero
    k = math.exp(-abs(distance) / tau) / tau
    return -k if distance > zero else k
