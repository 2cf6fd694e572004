"""The one loop over all spikes of a batch: what a trace file stores of each, computed in a single pass."""

from numba import njit


@njit(cache=True, nogil=True)
def pack_spikes(
    times, neurons, offsets, starts, next_starts, factor, dt, wanted, duration, first_trial, stamps, nodes, trials,
    counts, ends, on_grid,
):  # fmt: skip
    """Put the spikes of a batch on the common clock and count them.

    Parameters
    ----------
    times : (E,) float64
        In [0, duration], ascending within a trial, network units.
    neurons : (E,) int32 or int64
    offsets : (B + 1,) int64
    starts, next_starts : (B,) float64, ms
        Start of each trial and of the one after it.
    factor : float
        Milliseconds a unit of network time.
    dt : float
        Grid to test for, network units; 0 for none.
    wanted : (N,) bool
        Neurons to keep.
    duration : float
    first_trial : int
        Number of the first trial of the batch in the file.
    stamps, nodes, trials : (E,) float64 ms, uint32, uint32
        Filled up to the returned count.
    counts : (N,) int64
        Raised by each kept spike.
    ends : (B,) int64
        Filled: kept spikes up to the end of each trial of the batch.
    on_grid : (B,) bool
        Filled: whether each time of the trial is, to the bit, an integer times dt.

    Returns
    -------
    int
        Kept spikes; ``-1 - e`` if entry e is out of order or out of range.
    """
    kept = 0
    inverse = 1.0 / dt if dt > 0 else 0.0
    for b in range(offsets.size - 1):
        exact = dt > 0
        previous = 0.0
        for e in range(offsets[b], offsets[b + 1]):
            t = times[e]
            n = neurons[e]
            if not previous <= t <= duration or n < 0 or n >= wanted.size:
                return -1 - e
            previous = t
            if not wanted[n]:
                continue
            exact = exact and round(t * inverse) * dt == t
            stamps[kept] = min(starts[b] + t * factor, next_starts[b])
            nodes[kept] = n
            trials[kept] = first_trial + b
            counts[n] += 1
            kept += 1
        ends[b] = kept
        on_grid[b] = exact
    return kept
