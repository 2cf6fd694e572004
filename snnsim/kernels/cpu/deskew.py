"""Images sheared upright, parallel over samples."""

import numpy as np
from numba import njit, prange

from snnsim.dynamics.image import bilinear


@njit(cache=True)
def _moments(image, columns):
    """Centre of mass ``(y, x)`` of the brightness, and by how many columns its axis leans a row; zeros if black."""
    total = sum_y = sum_x = sum_yy = sum_xy = 0
    for k in range(image.size):
        y, x, value = k // columns, k % columns, np.int64(image[k])
        total += value
        sum_y += value * y
        sum_x += value * x
        sum_yy += value * y * y
        sum_xy += value * x * y
    if total == 0:
        return 0.0, 0.0, 0.0
    # Integers: exact, so that an image within one row is recognised as such.
    spread, together = total * sum_yy - sum_y * sum_y, total * sum_xy - sum_x * sum_y
    return sum_y / total, sum_x / total, together / spread if spread > 0 else 0.0


@njit(parallel=True, cache=True)
def deskew(images, columns, out):
    """Shear each image of a batch, see :func:`snnsim.datasets.deskew.deskewed`.

    Parameters
    ----------
    images : ndarray, (B, rows * columns) uint8
    columns : int
    out : ndarray, (B, rows * columns) uint8
        Overwritten.
    """
    rows = images.shape[1] // columns
    centre_y, centre_x = 0.5 * (rows - 1), 0.5 * (columns - 1)
    for b in prange(images.shape[0]):
        mean_y, mean_x, lean = _moments(images[b], columns)
        # Pixel (y, x) lies at (y + 1, x + 1), zeros around it.
        padded = np.zeros((rows + 3, columns + 3), np.float32)
        for k in range(images.shape[1]):
            padded[k // columns + 1, k % columns + 1] = images[b, k]
        for y in range(rows):
            py = min(max(y + mean_y - centre_y + 1, 0.0), rows + 1.0)
            iy = int(py)
            for x in range(columns):
                px = min(max(x + mean_x - centre_x + lean * (y - centre_y) + 1, 0.0), columns + 1.0)
                ix = int(px)
                ty, tx = np.float32(py - iy), np.float32(px - ix)
                value = bilinear(padded[iy, ix], padded[iy, ix + 1], padded[iy + 1, ix], padded[iy + 1, ix + 1], ty, tx)
                out[b, y * columns + x] = np.uint8(value + np.float32(0.5))
