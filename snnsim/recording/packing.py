"""What a trace file stores of the spikes of a batch: one loop over the spikes, one over the runs of equal times."""

from numba import njit


@njit(cache=True, nogil=True)
def count_neurons(neurons, counts):
    """Count the spikes of each neuron.

    Parameters
    ----------
    neurons : (E,) int32 or int64
    counts : (N,) int64
        Raised.

    Returns
    -------
    int
        The first entry that is no neuron; E if all are.
    """
    for e in range(neurons.size):
        n = neurons[e]
        if n < 0 or n >= counts.size:
            return e
        counts[n] += 1
    return neurons.size


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
