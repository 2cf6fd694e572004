"""Interspike intervals of a recording that is read piece by piece."""

from numba import njit

from snnsim.kernels.jit import NOGIL_LEAF


@njit(**NOGIL_LEAF)
def add_intervals(times, neurons, last, before, sums, counts, histogram, width):
    """Add the intervals that end in this piece to what is known of each neuron.

    Parameters
    ----------
    times, neurons : (E,) float64, int32
        Spikes in order of time.
    last : (N,) float64
        Time of each neuron's last spike, NaN if none; changed.
    before : (N,) float64
        Its last interval, NaN if none; changed.
    sums : (3, N) float64
        Raised: intervals, their squares, and ``((I - I')/(I + I'))**2`` of neighbouring ones.
    counts : (2, N) int64
        Raised: intervals, and neighbouring pairs of them.
    histogram : (H,) int64
        Raised: intervals by their length, the last entry those beyond.
    width : float
        Of an entry.
    """
    for e in range(times.size):
        n, t = neurons[e], times[e]
        interval = t - last[n]
        last[n] = t
        if interval != interval:
            continue
        sums[0, n] += interval
        sums[1, n] += interval * interval
        counts[0, n] += 1
        # An interval on a grid must not fall below its entry by a rounding error.
        entry = int(interval / width * (1 + 1e-9))
        histogram[min(entry, histogram.size - 1)] += 1
        previous = before[n]
        if previous == previous and interval + previous > 0:
            relative = (interval - previous) / (interval + previous)
            sums[2, n] += relative * relative
            counts[1, n] += 1
        before[n] = interval
