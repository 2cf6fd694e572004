"""Image deformation, parallel over samples: shift, rotation and elastic displacement in one resampling.

Shapes: B samples of ``rows * columns`` pixels; the elastic field lives on a coarse grid of nodes ``step`` pixels
apart, with a margin of R nodes on each side, where ``2 R + 1`` is the number of taps of the Gaussian.

Random numbers: Philox with key (seed, epoch) and counter (index, sample, purpose, STREAM). Spike encoding uses the
same key with small numbers in the last place of the counter (``snnsim.dynamics.philox.bernoulli32``), never STREAM.
"""

import math

import numpy as np
from numba import njit, prange

from snnsim.dynamics.image import bilinear, rotated, symmetric_integer
from snnsim.dynamics.philox import philox4x32

STREAM = 0x61756765
AFFINE, ELASTIC = 0, 1  # third place of the counter

_HALF = np.float32(0.5)
_ZERO = np.float32(0)


@njit(cache=True)
def _displacement(field, noise, smooth, taps, scale, sample, seed, epoch):
    """Fill ``field`` with smooth noise.

    field : (2, n_rows, n_columns) float32, pixels; component 0 along rows' index, 1 along columns' index
    noise : (2, n_rows + 2 R, n_columns + 2 R) float32, scratch
    smooth : (n_rows + 2 R, n_columns) float32, scratch
    taps : (2 R + 1,) float32, weights of the Gaussian
    scale : float32, of the 16-bit noise
    """
    n_rows, n_columns = field.shape[1], field.shape[2]
    wide = noise.shape[2]
    n_nodes = noise.shape[1] * wide
    flat = noise.reshape(2, n_nodes)
    for first in range(0, n_nodes, 4):
        words = philox4x32(first >> 2, sample, ELASTIC, STREAM, seed, epoch)
        for j in range(min(4, n_nodes - first)):
            flat[0, first + j] = np.float32(symmetric_integer(words[j] & 0xFFFF, 16)) * scale
            flat[1, first + j] = np.float32(symmetric_integer(words[j] >> 16, 16)) * scale
    for d in range(2):
        for r in range(noise.shape[1]):
            for c in range(n_columns):
                smooth[r, c] = _ZERO
            for k in range(taps.size):
                for c in range(n_columns):
                    smooth[r, c] += taps[k] * noise[d, r, c + k]
        for r in range(n_rows):
            for c in range(n_columns):
                field[d, r, c] = _ZERO
            for k in range(taps.size):
                for c in range(n_columns):
                    field[d, r, c] += taps[k] * smooth[r + k, c]


@njit(cache=True)
def _resample(image, columns, mirror, padded, field, step, cosine, sine, shift_y, shift_x, out):
    """Write the deformed image.

    image, out : (rows * columns,) uint8
    mirror : bool, whether left and right change places first
    padded : (rows + 3, columns + 3) float32, scratch; pixel (y, x) lies at (y + 1, x + 1), zeros around it
    field : (2, n_rows, n_columns) float32, pixels; empty without elastic displacement
    """
    rows = image.size // columns
    padded[:] = _ZERO
    for y in range(rows):
        for x in range(columns):
            padded[y + 1, x + 1] = np.float32(image[y * columns + (columns - 1 - x if mirror else x)])
    centre_y, centre_x = _HALF * np.float32(rows - 1), _HALF * np.float32(columns - 1)
    inverse = np.float32(1) / np.float32(step)
    for y in range(rows):
        gy = y // step
        fy = np.float32(y - gy * step) * inverse
        for x in range(columns):
            u, v = rotated(np.float32(x) - centre_x, np.float32(y) - centre_y, cosine, sine)
            sx, sy = centre_x + u - shift_x, centre_y + v - shift_y
            if field.size > 0:
                gx = x // step
                fx = np.float32(x - gx * step) * inverse
                f = field[0]
                sy += bilinear(f[gy, gx], f[gy, gx + 1], f[gy + 1, gx], f[gy + 1, gx + 1], fy, fx)
                f = field[1]
                sx += bilinear(f[gy, gx], f[gy, gx + 1], f[gy + 1, gx], f[gy + 1, gx + 1], fy, fx)
            # One pixel beyond the border all is zero: points further out may as well lie there.
            py = min(max(sy + np.float32(1), _ZERO), np.float32(rows + 1))
            px = min(max(sx + np.float32(1), _ZERO), np.float32(columns + 1))
            iy, ix = int(py), int(px)
            ty, tx = py - np.float32(iy), px - np.float32(ix)
            value = bilinear(padded[iy, ix], padded[iy, ix + 1], padded[iy + 1, ix], padded[iy + 1, ix + 1], ty, tx)
            out[y * columns + x] = np.uint8(value + _HALF)


@njit(parallel=True, cache=True)
def augment(images, columns, sample_ids, seed, epoch, flip, shift, radians, step, taps, scale, out):
    """Deform each image of a batch.

    Parameters
    ----------
    images : ndarray, (B, rows * columns) uint8
    columns : int
    sample_ids : ndarray, (B,) int64 in [0, 2**32)
    seed, epoch : int in [0, 2**32)
    flip : int
        ``round(p * 2**32)``, p the probability of a mirror image, left to right.
    shift : float
        Largest shift along each axis, pixels.
    radians : float
        Largest angle.
    step : int
        Pixels between nodes of the elastic field.
    taps : ndarray, (2 R + 1,) float32
        Gaussian weights on the nodes; empty for no elastic displacement.
    scale : float32
        Factor from symmetric 16-bit integers to the noise that is smoothed, pixels.
    out : ndarray, (B, rows * columns) uint8
        Overwritten.
    """
    rows = images.shape[1] // columns
    margin = taps.size - 1
    n_rows = (rows - 1) // step + 2 if taps.size > 0 else 0
    n_columns = (columns - 1) // step + 2 if taps.size > 0 else 0
    for b in prange(images.shape[0]):
        padded = np.empty((rows + 3, columns + 3), np.float32)
        field = np.empty((2, n_rows, n_columns), np.float32)
        if taps.size > 0:
            noise = np.empty((2, n_rows + margin, n_columns + margin), np.float32)
            smooth = np.empty((n_rows + margin, n_columns), np.float32)
            _displacement(field, noise, smooth, taps, scale, sample_ids[b], seed, epoch)
        words = philox4x32(0, sample_ids[b], AFFINE, STREAM, seed, epoch)
        unit = 1 / 4294967296
        shift_y = np.float32(shift * (symmetric_integer(words[0], 32) * unit))
        shift_x = np.float32(shift * (symmetric_integer(words[1], 32) * unit))
        angle = radians * (symmetric_integer(words[2], 32) * unit)
        cosine, sine = np.float32(math.cos(angle)), np.float32(math.sin(angle))
        mirror = words[3] < flip
        _resample(images[b], columns, mirror, padded, field, step, cosine, sine, shift_y, shift_x, out[b])
