"""What a trace file stores of the spikes of a batch: one loop over the spikes, one over the runs of equal times."""

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def pack_neurons(entries, begins, offsets, counts, codes):
    """Make what a file stores of the neurons of spikes, and count the spikes of each neuron.

    Parameters
    ----------
    entries : int32 or int64
    begins : (B,) int64
        Where the spikes of each trial begin in ``entries``.
    offsets : (B + 1,) int64
        Where they begin in ``codes``.
    counts : (N,) int64
        Raised.
    codes : (E,) uint8, uint16 or uint32
        Filled; two bytes most significant byte first, others as they are.

    Returns
    -------
    int
        The first spike whose entry is no neuron; E if all are.
    """
    for b in range(begins.size):
        spikes, mine = entries[begins[b] :][: offsets[b + 1] - offsets[b]], codes[offsets[b] : offsets[b + 1]]
        least = most = 0
        for e in range(spikes.size):
            n = spikes[e]
            least, most = min(least, n), max(most, n)
            mine[e] = (n & 255) << 8 | n >> 8 if codes.itemsize == 2 else n
        if least < 0 or most >= counts.size:
            e = 0
            while 0 <= spikes[e] < counts.size:
                e += 1
            return offsets[b] + e
        for e in range(spikes.size):
            counts[np.uint32(spikes[e])] += 1
    return codes.size


@njit(cache=True, nogil=True)
def stamp_runs(
    times, ends, trial_runs, starts, next_starts, factor, dt, start_ticks, step_ticks, scale, duration, stamps,
    stamp_ends, on_grid,
):  # fmt: skip
    """Put the runs of equal times of a batch on the common clock.

    Parameters
    ----------
    times : (R,) float64
        In [0, duration], ascending within a trial, network units.
    ends : (R,) int64
        Spike at which each run ends; empty runs do not count.
    trial_runs : (B + 1,) int64
        Runs of each trial.
    starts, next_starts : (B,) float64, ms
        Start of each trial and of the one after it.
    factor : float
        Milliseconds a unit of network time.
    dt : float
        Grid to test for, network units; 0 for none.
    start_ticks : (B,) int64
    step_ticks, scale : int, float
        Of the :class:`~snnsim.recording.clock.Clock`; a scale of 0 if its instants are no decimals.
    duration : float
    stamps, stamp_ends : (R,) float64 ms, (R,) int64
        Filled with the runs that are not empty.
    on_grid : (B,) bool
        Filled: whether each time of the trial is, to the bit, an integer times dt.

    Returns
    -------
    int
        Runs that are not empty; ``-1 - r`` if run r is out of order or out of range.
    """
    runs = begin = 0
    inverse = 1.0 / dt if dt > 0 else 0.0
    for b in range(trial_runs.size - 1):
        exact = dt > 0
        previous, stamp = 0.0, starts[b]
        for r in range(trial_runs[b], trial_runs[b + 1]):
            if ends[r] == begin:
                continue
            begin = ends[r]
            t = times[r]
            if not previous <= t <= duration:
                return -1 - r
            previous = t
            step = round(t * inverse)
            gridded = dt > 0 and step * dt == t
            exact = exact and gridded
            if gridded and scale > 0:
                at = (start_ticks[b] + step * step_ticks) / scale
            else:
                at = min(starts[b] + t * factor, next_starts[b])
            stamp = max(stamp, at)
            stamps[runs], stamp_ends[runs] = stamp, begin
            runs += 1
        on_grid[b] = exact
    return runs


@njit(cache=True, nogil=True)
def repeat_runs(values, ends, rows):
    """Fill rows with runs of equal values.

    Parameters
    ----------
    values : (R,) unsigned integers
        Any bits of so many bytes.
    ends : (R,) int64
        Row at which each run ends.
    rows : (C,) of the same dtype
        Filled up to the last end.
    """
    begin = 0
    for r in range(ends.size):
        rows[begin : ends[r]] = values[r]
        begin = ends[r]
