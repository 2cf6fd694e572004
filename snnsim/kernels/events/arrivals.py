"""What arrives at a component of the graph: spikes times connections, as runs of weights in order of time.

A spike of source neuron j acts through *runs*: ``width`` weights that lie side by side are added to as many neurons
that lie side by side. A dense connection has one run a source neuron, a convolution one a kernel position (all
channels of a location), sparse, one-to-one and synapse-wise delayed ones a run a synapse. So every shape is the same
loop.

Neurons of a component are numbered through, population by population. A component without inner connections falls
apart into *units* of equally many neurons that share their arrivals: all neurons, one location, or one neuron.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from snnsim.kernels.events.forward import _ascending
from snnsim.kernels.jit import LEAF, SERIAL

OUTER, ALL = np.int64(0), np.int64(1)
"""Whether arrivals from within a component are meant too: not while it is simulated, since they come out of it."""


class Store(NamedTuple):
    """Spikes of all slabs that a component reads, and its own: flat ``neurons`` and ``times``.

    Entry ``start[s] + b cap[s] + p`` is spike p of sample b in slab s, ``p < counts[s, b]``.
    """

    neurons: np.ndarray
    times: np.ndarray
    start: np.ndarray
    cap: np.ndarray
    counts: np.ndarray


class Wires(NamedTuple):
    """Connections into a component, one entry each but for the last four arrays.

    ``slab`` and ``low <= neuron < high`` say which spikes they take. Source neuron ``j`` (from ``low`` on) owns the
    runs ``ptr[ptr0 + j]:ptr[ptr0 + j + 1]`` of ``weight_at`` and ``target_at``; a run has ``pieces`` of ``width``
    neurons. ``delay_kind``: 0 one delay, 1 one a source neuron, 2 one a weight; they begin at ``delay0`` of ``delays``,
    weights at ``weight0``. ``inner``: from the component itself; ``want``: whether dL/d(arrival time) is asked for.
    """

    slab: np.ndarray
    low: np.ndarray
    high: np.ndarray
    width: np.ndarray
    pieces: np.ndarray
    delay_kind: np.ndarray
    delay0: np.ndarray
    weight0: np.ndarray
    ptr0: np.ndarray
    inner: np.ndarray
    want: np.ndarray
    ptr: np.ndarray
    weight_at: np.ndarray
    target_at: np.ndarray
    delays: np.ndarray


@njit(**LEAF, inline="always")
def delay_slot(wires, c, j, weight):
    """Index of the delay of a run that begins at ``weight`` and comes from source neuron j."""
    kind = wires.delay_kind[c]
    if kind == 0:
        return wires.delay0[c]
    return wires.delay0[c] + (j if kind == 1 else weight - wires.weight0[c])


@njit(**LEAF)
def _visit(b, wires, store, unit_size, duration, inner_too, place, time, weight, target, slot, wire, fill):
    # Counts the arrivals of every unit, or fills them in at their places: connection by connection, spike by spike.
    for c in range(len(wires.slab)):
        if wires.inner[c] and not inner_too:
            continue
        s = wires.slab[c]
        low, high, width = wires.low[c], wires.high[c], wires.width[c]
        begin = store.start[s] + b * store.cap[s]
        for p in range(begin, begin + store.counts[s, b]):
            n = store.neurons[p]
            if n < low or n >= high:
                continue
            j = n - low
            for k in range(wires.ptr[wires.ptr0[c] + j], wires.ptr[wires.ptr0[c] + j + 1]):
                t = store.times[p] + wires.delays[delay_slot(wires, c, j, wires.weight_at[k])]
                if t >= duration:
                    continue
                for piece in range(wires.pieces[c]):
                    at = wires.target_at[k] + piece * width
                    unit = at // unit_size
                    if fill:
                        q = place[unit]
                        time[q], weight[q], slot[q], wire[q] = t, wires.weight_at[k] + piece * width, p, c
                        target[q] = at - unit * unit_size
                    place[unit] += 1


@njit(**SERIAL)
def arrivals(b, wires, store, unit_size, n_units, duration, inner_too):
    """Arrivals of a sample, unit by unit, ascending in time; those at or after the end do not exist.

    Returns
    -------
    bounds : ndarray, (n_units + 1,) int64
        Unit u owns the entries ``bounds[u]:bounds[u + 1]``.
    time : ndarray, float64
    weight, target, slot : ndarray, int64
        First weight, first target neuron within the unit, and the spike's place in the store.
    wire : ndarray, int64
        Connection.
    """
    bounds = np.zeros(n_units + 1, np.int64)
    none, no_time = np.empty(0, np.int64), np.empty(0)
    place = np.zeros(n_units, np.int64)
    _visit(b, wires, store, unit_size, duration, inner_too, place, no_time, none, none, none, none, OUTER)
    for u in range(n_units):
        bounds[u + 1] = bounds[u] + place[u]
        place[u] = bounds[u]
    size = bounds[n_units]
    time, weight, target = np.empty(size), np.empty(size, np.int64), np.empty(size, np.int64)
    slot, wire = np.empty(size, np.int64), np.empty(size, np.int64)
    _visit(b, wires, store, unit_size, duration, inner_too, place, time, weight, target, slot, wire, ALL)
    for u in range(n_units):
        low, high = bounds[u], bounds[u + 1]
        if not _is_ascending(time, low, high):
            order, spare = _ascending(time[low:high]), np.empty(high - low, np.int64)
            own_time = time[low:high].copy()
            for p in range(high - low):
                time[low + p] = own_time[order[p]]
            for column in (weight, target, slot, wire):
                permute(column[low:high], order, spare)
    return bounds, time, weight, target, slot, wire


@njit(**LEAF)
def permute(column, order, spare):
    """Put a column into an order, by way of an array as long."""
    for p in range(len(order)):
        spare[p] = column[order[p]]
    for p in range(len(order)):
        column[p] = spare[p]


@njit(**LEAF)
def _is_ascending(time, low, high):
    for p in range(low + 1, high):
        if time[p] < time[p - 1]:
            return False
    return True


@njit(**LEAF)
def push(heap_time, heap_key, size, time, key):
    """Add ``(time, key)`` to a binary heap of ``size`` entries."""
    k = size
    while k > 0:
        up = (k - 1) // 2
        if heap_time[up] < time or (heap_time[up] == time and heap_key[up] <= key):
            break
        heap_time[k], heap_key[k] = heap_time[up], heap_key[up]
        k = up
    heap_time[k], heap_key[k] = time, key


@njit(**LEAF)
def pop(heap_time, heap_key, size):
    """Remove the least entry of a heap of ``size`` entries."""
    time, key = heap_time[size - 1], heap_key[size - 1]
    size -= 1
    k = 0
    while True:
        down = 2 * k + 1
        if down >= size:
            break
        if down + 1 < size and (
            heap_time[down + 1] < heap_time[down]
            or (heap_time[down + 1] == heap_time[down] and heap_key[down + 1] < heap_key[down])
        ):
            down += 1
        if time < heap_time[down] or (time == heap_time[down] and key <= heap_key[down]):
            break
        heap_time[k], heap_key[k] = heap_time[down], heap_key[down]
        k = down
    heap_time[k], heap_key[k] = time, key
