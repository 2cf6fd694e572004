"""What of a population's spikes a part of the screen shows: single spikes where they are few, else counts in cells."""

from dataclasses import dataclass

import numpy as np
from numba import njit

MOST_POINTS = 8000
"""Spikes of a part of the screen that are drawn one by one."""


@dataclass(frozen=True)
class View:
    """Part of a raster.

    Parameters
    ----------
    total : int
        Spikes in it.
    times, rows : ndarray, (E,)
        Times and rows of the spikes, where they are few; else None.
    counts : ndarray, (R, C) uint32
        Spikes in each cell, where they are many; else None.
    place : (float, float, float, float)
        Left edge in time, lower row edge, width and height of all cells.
    cell : (float, int)
        Width in time and rows of a cell.
    """

    total: int
    times: np.ndarray | None
    rows: np.ndarray | None
    counts: np.ndarray | None
    place: tuple[float, float, float, float]
    cell: tuple[float, int]


def look(times, rows, window, span, pixels, step=None, most=MOST_POINTS):
    """Sum up the spikes of a window and some rows for so many pixels.

    Cells are whole steps of a clock and whole neurons, so that none holds more of either than another: stripes in
    the picture are in the spikes.

    Parameters
    ----------
    times : ndarray, (E,) float64
        Ascending.
    rows : ndarray, (E,) int32
    window : (float, float)
        Times, both ends included.
    span : (int, int)
        First row, and the one after the last.
    pixels : (int, int)
        Most cells along time and along rows.
    step : float, optional
        Of the clock that the times lie on.
    most : int
        Spikes that are given one by one.

    Returns
    -------
    View
    """
    (low, high), (first, last) = window, span
    begin, end = (int(k) for k in (np.searchsorted(times, low, "left"), np.searchsorted(times, high, "right")))
    left, width, columns = _columns(low, high, pixels[0], step)
    tall = max(1, -(-(last - first) // max(pixels[1], 1)))
    counts = np.zeros((max(1, -(-(last - first) // tall)), columns), np.uint32)
    total = count_spikes(times, rows, begin, end, left, 1 / width, first, last, tall, counts)
    place = (left, first - 0.5, width * columns, float(tall * len(counts)))
    if total > most:
        return View(total, None, None, counts, place, (width, tall))
    t, r = times[begin:end], rows[begin:end]
    shown = (r >= first) & (r < last)
    return View(total, t[shown], r[shown], None, place, (width, tall))


def _columns(low, high, most, step):
    """Left edge, width and number of the columns of cells."""
    length, most = max(high - low, 1e-9), max(most, 1)
    if step is None:
        # The last column takes its right edge, too.
        return low, length / most * (1 + 1e-12), most
    steps = max(1, int(np.ceil(length / step / most)))
    left = (np.floor(low / step + 1e-6) - 0.5) * step
    return left, steps * step, max(1, int(np.ceil((high - left) / (steps * step) - 1e-9)))


@njit(cache=True, nogil=True)
def count_spikes(times, rows, begin, end, left, per_time, first, last, tall, counts):
    """Count spikes ``begin..end`` in cells.

    Parameters
    ----------
    times : (E,) float64
    rows : (E,) int32
    begin, end : int
    left, per_time : float
        Left edge of the first column, and columns a unit of time.
    first, last, tall : int
        First row, the one after the last, and rows of a cell.
    counts : (R, C) uint32
        Raised.

    Returns
    -------
    int
        Spikes that lie in the rows.
    """
    total = 0
    for e in range(begin, end):
        row = rows[e]
        if first <= row < last:
            column = min(max(int((times[e] - left) * per_time), 0), counts.shape[1] - 1)
            counts[(row - first) // tall, column] += 1
            total += 1
    return total


def shades(counts):
    """Darkness of each cell, (R, C) uint8: 0 where no spike is, then by the root of the count from 25 up to 255."""
    top = max(int(counts.max(initial=0)), 1)
    scaled = np.sqrt(counts * np.float32(1 / top))
    scaled *= 230
    scaled += 25
    return np.where(counts == 0, 0, np.rint(scaled)).astype(np.uint8)
