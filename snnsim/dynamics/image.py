"""Scalars of image deformation: centred random numbers, rotation, bilinear interpolation."""

from numba.extending import register_jitable


@register_jitable
def symmetric_integer(word, bits):
    """Map a word of ``bits`` random bits to an odd integer, symmetric about 0, between -2**bits and 2**bits."""
    return 2 * word + 1 - (1 << bits)


@register_jitable
def rotated(u, v, cosine, sine):
    """Rotate the point (u, v) about the origin; returns ``(cosine u + sine v, cosine v - sine u)``."""
    return cosine * u + sine * v, cosine * v - sine * u


@register_jitable
def bilinear(a00, a01, a10, a11, fy, fx):
    """Interpolate between the corners ``a[y][x]`` of a unit cell at fractions ``fy, fx`` in [0, 1]."""
    upper = a00 + fx * (a01 - a00)
    lower = a10 + fx * (a11 - a10)
    return upper + fy * (lower - upper)
