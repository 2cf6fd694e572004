"""A component of neurons without synaptic filter in continuous time: arrivals move membranes, membranes spike.

Between arrivals a membrane moves to where it settles, so it crosses the threshold at most once, in closed form; an
arrival moves it at once, and then it spikes at that very instant. At one instant: spikes of membranes that drift over
the threshold, then releases from the refractory period, then, population by population, all arrivals together and the
spikes that they make. A spike without delay reaches the populations behind at its own instant. What arrives while a
membrane is held is lost. A subtractive reset that leaves a membrane above threshold is followed by another spike.
"""

import math

import numpy as np
from numba import njit, prange

from snnsim.kernels.events.arrivals import OUTER, arrivals, delay_slot, pop, push
from snnsim.kernels.events.graph_forward import FULL, _longer
from snnsim.kernels.interruptible import asked_to_end
from snnsim.kernels.jit import KERNEL, LEAF, SERIAL

CELLS = ("theta", "v_reset", "v0", "tau", "target", "slope", "subtract", "t_ref")
"""Constants of neurons: columns of ``cells`` (N, 8) float64, voltages relative to rest; ``target``: where the membrane
settles; ``slope``: of one without leak, whose tau is inf."""
THETA, V_RESET, V0, TAU, TARGET, SLOPE, SUBTRACT, T_REF = range(8)


@njit(**KERNEL)
def jumping_forward(wires, store, w, cells, populations, duration, sample_times, neurons, times, counts, v_out, came):
    """Spikes of a component, and membranes at given times.

    Parameters
    ----------
    wires : Wires
    store : Store
    w : ndarray, (n_weights,) float
    cells : ndarray, (N, 8) float64
        :data:`CELLS`.
    populations : ndarray, (P + 1,) int64
        First neuron of each population, which follow one another as connections without delay do.
    duration : float
    sample_times : ndarray, (K,) float64
        Ascending; at the instant of a spike or arrival: before it.
    neurons, times : ndarray, (B, cap) int32 and float64
        Out: spikes by time, then neuron.
    counts : ndarray, (B,) int64
        Out: number of spikes; ``FULL`` where there was no room.
    v_out : ndarray, (B, K, N) float64
        Out.
    came : ndarray, (n,) uint8
        Signals, from :func:`snnsim.kernels.interruptible.until_done`; one that asks for an end ends the pass.
    """
    for b in prange(len(counts)):
        counts[b] = _sample(
            np.int64(b), wires, store, w, cells, populations, duration, sample_times, neurons[b], times[b], v_out[b],
            came,
        )  # fmt: skip


@njit(**SERIAL)
def _sample(b, wires, store, w, cells, populations, duration, sample_times, neurons, times, v_out, came):
    size = np.int64(len(cells))
    bounds, time, weight, target, _, wire = arrivals(b, wires, store, size, np.int64(1), duration, OUTER)
    v, since, crossing = np.empty(size), np.zeros(size), np.empty(size)
    for n in range(size):
        v[n] = cells[n, V0]
        crossing[n] = _crossing(v[n], 0.0, cells, n)
    heap_time, heap_key = np.empty(64), np.empty(64, np.int64)
    touched, n_touched = np.empty(size, np.int64), 0
    waiting = np.zeros(size, np.bool_)
    count, heap_size, j, k = 0, np.int64(0), bounds[0], 0
    while True:
        if asked_to_end(came):
            return FULL
        t = duration
        if j < bounds[1]:
            t = min(t, time[j])
        if heap_size > 0:
            t = min(t, heap_time[0])
        for n in range(size):
            t = min(t, crossing[n])
        while k < len(sample_times) and sample_times[k] <= t:
            for n in range(size):
                v_out[k, n] = _membrane(v[n], since[n], sample_times[k], cells, n)
            k += 1
        if t >= duration:
            _in_order(neurons, times, count)
            return count
        begin = count
        for n in range(size):
            if crossing[n] <= t:
                v[n], since[n] = max(_membrane(v[n], since[n], t, cells, n), cells[n, THETA]), t
                count = _spike(n, t, v, since, crossing, cells, neurons, times, count)
        if count > len(times):
            return FULL
        for p in range(len(populations) - 1):
            heap_time, heap_key, heap_size = _send(
                wires, neurons, times, begin, count, duration, heap_time, heap_key, heap_size
            )
            begin = count
            while j < bounds[1] and time[j] <= t:
                n_touched = _arrive(
                    w, weight[j], target[j], wires.width[wire[j]], t, v, since, cells, waiting, touched, n_touched
                )
                j += 1
            while heap_size > 0 and heap_time[0] <= t:
                key = heap_key[0]
                pop(heap_time, heap_key, heap_size)
                heap_size -= 1
                c = key >> 40
                run = key & ((1 << 40) - 1)
                last = run + 1
                if wires.delay_kind[c] != 2:
                    run, last = wires.ptr[wires.ptr0[c] + run], wires.ptr[wires.ptr0[c] + run + 1]
                for r in range(run, last):
                    n_touched = _arrive(
                        w, wires.weight_at[r], wires.target_at[r], wires.width[c], t, v, since, cells, waiting,
                        touched, n_touched,
                    )  # fmt: skip
            left = 0
            touched[:n_touched].sort()
            for q in range(n_touched):
                n = touched[q]
                if n >= populations[p + 1]:  # its turn comes, with what this population sends it now
                    touched[left] = n
                    left += 1
                    continue
                waiting[n] = False
                crossing[n] = _crossing(v[n], since[n], cells, n)
                if v[n] >= cells[n, THETA] and since[n] <= t:
                    count = _spike(n, t, v, since, crossing, cells, neurons, times, count)
            n_touched = left
            if count > len(times):
                return FULL
        heap_time, heap_key, heap_size = _send(
            wires, neurons, times, begin, count, duration, heap_time, heap_key, heap_size
        )


@njit(**LEAF)
def _in_order(neurons, times, count):
    # Spikes of one instant by neuron; all are in order of time.
    for s in range(1, count):
        n, q = neurons[s], s
        while q > 0 and times[q - 1] == times[s] and neurons[q - 1] > n:
            neurons[q] = neurons[q - 1]
            q -= 1
        neurons[q] = n


@njit(**LEAF)
def _membrane(v, since, t, cells, n):
    # A held membrane has a ``since`` to come.
    h = t - since
    if h <= 0:
        return v
    if cells[n, TAU] == math.inf:
        return v + cells[n, SLOPE] * h
    return cells[n, TARGET] + (v - cells[n, TARGET]) * math.exp(-h / cells[n, TAU])


@njit(**LEAF)
def _crossing(v, since, cells, n):
    # When a membrane drifts over its threshold; inf if it does not.
    theta = cells[n, THETA]
    if v >= theta:
        return since
    if cells[n, TAU] == math.inf:
        return since + (theta - v) / cells[n, SLOPE] if cells[n, SLOPE] > 0 else math.inf
    target = cells[n, TARGET]
    return since + cells[n, TAU] * math.log((target - v) / (target - theta)) if target > theta else math.inf


@njit(**LEAF)
def _arrive(w, weight, target, width, t, v, since, cells, waiting, touched, n_touched):
    for m in range(width):
        n = target + m
        if since[n] > t:
            continue
        v[n] = _membrane(v[n], since[n], t, cells, n) + w[weight + m]
        since[n] = t
        if not waiting[n]:
            waiting[n] = True
            touched[n_touched] = n
            n_touched += 1
    return n_touched


@njit(**LEAF)
def _spike(n, t, v, since, crossing, cells, neurons, times, count):
    # One spike, and more while a subtractive reset leaves the membrane at its threshold.
    while True:
        if count < len(times):
            neurons[count], times[count] = n, t
        count += 1
        if cells[n, SUBTRACT] > 0:
            v[n] -= cells[n, THETA] - cells[n, V_RESET]
        else:
            v[n] = cells[n, V_RESET]
        since[n] = t + cells[n, T_REF]
        crossing[n] = _crossing(v[n], since[n], cells, n)
        if v[n] < cells[n, THETA] or cells[n, T_REF] > 0 or count > len(times):
            return count


@njit(**SERIAL)
def _send(wires, neurons, times, begin, count, duration, heap_time, heap_key, heap_size):
    # What spikes send to neurons of the component.
    for s in range(begin, count):
        for c in range(len(wires.slab)):
            n = neurons[s]
            if not wires.inner[c] or n < wires.low[c] or n >= wires.high[c]:
                continue
            source = n - wires.low[c]
            first, stop = wires.ptr[wires.ptr0[c] + source], wires.ptr[wires.ptr0[c] + source + 1]
            if first == stop:
                continue
            by_run = wires.delay_kind[c] == 2
            for run in range(first, stop if by_run else first + 1):
                t = times[s] + wires.delays[delay_slot(wires, c, source, wires.weight_at[run])]
                if t >= duration:
                    continue
                if heap_size == len(heap_time):
                    heap_time, heap_key = _longer(heap_time, heap_key)
                push(heap_time, heap_key, heap_size, t, (c << 40) + (run if by_run else source))
                heap_size += 1
    return heap_time, heap_key, heap_size
