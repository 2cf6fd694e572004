"""Input along the connections inside a component (:mod:`snnsim.kernels.cpu.wiring`), sample by sample."""

from numba import njit, prange

from snnsim.kernels.cpu.vectors import add_table_rows
from snnsim.kernels.jit import KERNEL, LEAF


@njit(**LEAF)
def pull(wiring, p, k, neurons, spike_ptr, part, x):
    """Add to ``x`` (N,) what arrives at population p in step k along dense connections.

    Parameters
    ----------
    wiring : Wiring
    p, k : int
    neurons, spike_ptr : ndarray, (cap,) int32 and (T * P + 1,) int32
        Spikes of a sample up to now; those of a step that found no room do not arrive.
    part : ndarray, (N,) float
        Scratch.
    x : ndarray, (N,) float
    """
    bounds = wiring.bounds
    n_populations = bounds.shape[0] - 1
    low, n_columns = bounds[p], bounds[p + 1] - bounds[p]
    for e in range(wiring.row_target.shape[0]):
        if wiring.row_target[e] != p:
            continue
        source, fraction = wiring.row_source[e], wiring.row_fraction[e]
        base = wiring.row_start[e] - bounds[source] * n_columns
        for late in range(2):
            before = k - wiring.row_delay[e] - late
            if before < 0 or (late and fraction == 0):
                continue
            start, stop = spike_ptr[before * n_populations + source], spike_ptr[before * n_populations + source + 1]
            if start == stop or stop > neurons.shape[0]:
                continue
            if fraction == 0:
                add_table_rows(x, low, n_columns, wiring.table, base, n_columns, neurons, start, stop)
                continue
            for n in range(n_columns):
                part[n] = 0
            add_table_rows(part, 0, n_columns, wiring.table, base, n_columns, neurons, start, stop)
            share = fraction if late else type(fraction)(1) - fraction
            out = x[low : low + n_columns]
            for n in range(n_columns):
                out[n] += share * part[n]


@njit(**LEAF)
def push(indptr, first, target, weight, delay, fraction, spikes, start, stop, low, k, due, ring):
    """Add the synapses of the spikes ``spikes[start:stop]`` of step k to a ring of future input.

    Parameters
    ----------
    indptr : ndarray, int64
        Neuron ``low + i`` has the synapses ``indptr[first + i]:indptr[first + i + 1]``.
    first : int
    target, weight, delay, fraction : ndarray
        Of each synapse; delay in whole steps, fraction of another step.
    spikes : ndarray, int32
    start, stop, low, k : int
    due : int
        What arrives before this step is left out.
    ring : ndarray, (R, N) float
        Input of step k in row ``k % R``.
    """
    size = ring.shape[0]
    now = k % size
    for j in range(start, stop):
        i = first + spikes[j] - low
        for s in range(indptr[i], indptr[i + 1]):
            n, w, f, steps = target[s], weight[s], fraction[s], delay[s]
            row = now + steps
            if row >= size:
                row -= size
            if k + steps >= due:
                ring[row, n] += (type(f)(1) - f) * w
            if f != 0 and k + steps + 1 >= due:
                row += 1
                if row >= size:
                    row -= size
                ring[row, n] += f * w


@njit(**LEAF)
def push_population(wiring, p, spikes, start, stop, k, due, ring):
    """:func:`push` along all connections of synapses that begin at population p."""
    for e in range(wiring.list_source.shape[0]):
        if wiring.list_source[e] == p:
            push(
                wiring.indptr, wiring.list_start[e], wiring.target, wiring.weight, wiring.delay, wiring.fraction,
                spikes, start, stop, wiring.bounds[p], k, due, ring,
            )  # fmt: skip


@njit(**LEAF)
def collect(ring, low, high, k, x):
    """Add the input of step k for the neurons ``low:high`` to ``x`` (N,), and clear it in the ring (R, N)."""
    due, out = ring[k % ring.shape[0], low:high], x[low:high]
    for n in range(out.shape[0]):
        out[n] += due[n]
        due[n] = 0


@njit(**KERNEL)
def refill_ring(wiring, k0, neurons, spike_ptr, ring):
    """Write the ring (B, R, N) as it is before step k0, from the spikes of the steps before."""
    n_populations = wiring.bounds.shape[0] - 1
    for b in prange(ring.shape[0]):
        future = ring[b]
        for row in range(future.shape[0]):
            for n in range(future.shape[1]):
                future[row, n] = 0
        for k in range(max(0, k0 - future.shape[0] + 1), k0):
            for p in range(n_populations):
                start, stop = spike_ptr[b, k * n_populations + p], spike_ptr[b, k * n_populations + p + 1]
                push_population(wiring, p, neurons[b], start, stop, k, k0, future)
