"""Scalars of a conservative finite-volume step for a density that drifts, spreads and jumps (study eqs 30-36).

A cell holds the mean density of its interval; what leaves it through a face enters its neighbour, so mass is kept. The
density at a face is that of the cell upwind of it, corrected by half a limited slope (van Leer 1974, 1979): second
order where the density is smooth, and never below zero under the step bound of :func:`outflow_rate`.
"""

from numba.extending import register_jitable


@register_jitable
def limited_slope(left, centre, right):
    """Van Leer's harmonic mean of the two differences across a cell, zero at an extremum; in units of one cell."""
    a = centre - left
    b = right - centre
    product = a * b
    if product > 0:
        return 2 * product / (a + b)
    return 0 * centre


@register_jitable
def boundary_slope(inner, outer):
    """Slope of the outermost cell from its one neighbour, limited so that its face stays within [0, 2 outer]."""
    return max(min(outer - inner, 2 * outer), -2 * outer)


@register_jitable
def face_density(velocity, upwind, slope):
    """Density at the face that a cell's content leaves through: its upper one if it moves up, else its lower one."""
    if velocity > 0:
        return upwind + slope / 2
    return upwind - slope / 2


@register_jitable
def diffusive_flux(diffusion, left, right, width):
    """Fick's flux through a face, from the difference of the neighbouring cells."""
    return diffusion * (left - right) / width


@register_jitable
def membrane_drift(v, i, r, tau_mem):
    """Velocity of v in the (v, i) plane: ``(r i - v)/tau_mem`` (eq 1)."""
    return (r * i - v) / tau_mem


@register_jitable
def synapse_drift(i, mean, tau_syn):
    """Velocity of i: ``(mean - i)/tau_syn``; ``mean = 0`` between jumps, ``rate * weight`` in the diffusion limit."""
    return (mean - i) / tau_syn


@register_jitable
def outflow_rate(speed_v, width_v, speed_i, width_i, diffusion, jump_rate):
    """Upper bound of the rate at which a cell loses its density; an explicit step below its inverse keeps p >= 0."""
    return 2 * speed_v / width_v + 2 * speed_i / width_i + 2 * diffusion / (width_i * width_i) + jump_rate
