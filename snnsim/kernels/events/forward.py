"""A spiking layer in continuous time, from its input spikes to its own."""

import math

import numpy as np
from numba import njit, prange

from snnsim.dynamics.events import (
    compose_flow,
    first_crossing,
    flow,
    is_short,
    largest_response,
    maximum_time,
    may_cross,
    may_have_crossed,
    remaining_flow,
    short_flow,
)
from snnsim.kernels.cpu.synapse import add_columns
from snnsim.kernels.jit import LEAF, SERIAL

NO_FLOW = (1.0, 1.0, 0.0)
_BLOCK = 512  # neurons that a sweep takes at a time
_ROW = _BLOCK + 16  # from membrane to charge of a block; no power of two, where addresses would compete


@njit(**LEAF)
def all_within(times, counts, duration):
    """Whether all spike times, (B, cap) of which ``counts[b]`` are filled, lie in [0, duration]."""
    fit = True
    for b in range(len(counts)):
        for j in range(counts[b]):
            fit &= (times[b, j] >= 0) & (times[b, j] <= duration)
    return fit


@njit(parallel=True, cache=True, error_model="numpy")
def find_instants(times_in, counts_in, duration, tau_mem, tau_syn, instants, n_instants, flows):
    """Merge simultaneous input spikes, and compute the flow over each interval, which all neurons share.

    Parameters
    ----------
    times_in : ndarray, (B, cap_in) float64
        Ascending within a sample.
    counts_in : ndarray, (B,) int32
    duration, tau_mem, tau_syn : float
    instants : ndarray, (B, cap_in + 1) int32
        Out: instant m owns the input spikes ``instants[b, m]:instants[b, m + 1]``.
    n_instants : ndarray, (B,) int32
        Out.
    flows : ndarray, (B, cap_in, 4) float64
        Out: ``(a_vv, a_ii, a_vu)`` over the interval that instant m opens, and the largest ``a_vu`` within it.
    """
    peak = maximum_time(0.0, 1.0, tau_mem, tau_syn)
    at_peak = flow(peak, tau_mem, tau_syn)[2]
    for b in prange(len(counts_in)):
        n_instants[b] = _sample_instants(
            times_in[b], counts_in[b], duration, tau_mem, tau_syn, peak, at_peak, instants[b], flows[b]
        )


@njit(**LEAF)
def _sample_instants(times_in, count, duration, tau_mem, tau_syn, peak, at_peak, instants, flows):
    found, last = 0, -math.inf
    for j in range(count):
        instants[found] = j
        found += times_in[j] > last
        last = times_in[j]
    instants[found] = count
    # The last column holds the spans until their flows are known.
    for m in range(found):
        end = times_in[instants[m + 1]] if m + 1 < found else duration
        flows[m, 3] = end - times_in[instants[m]]
    # By series first, as if all were short: a loop in vector registers. Then one by one those that are not.
    quadratic = tau_mem == 2 * tau_syn
    if quadratic:
        for m in range(found):
            flows[m, 0], flows[m, 1], flows[m, 2] = short_flow(flows[m, 3], tau_mem)
    for m in range(found):
        span = flows[m, 3]
        if not (quadratic and is_short(span, tau_mem)):
            flows[m, 0], flows[m, 1], flows[m, 2] = flow(span, tau_mem, tau_syn)
        flows[m, 3] = largest_response(span, flows[m, 2], peak, at_peak)
    return found


@njit(parallel=True, cache=True, error_model="numpy")
def spiking_forward(
    neurons_in,
    times_in,
    instants,
    n_instants,
    flows,
    w,
    neuron,
    duration,
    most,
    neurons,
    times,
    intervals,
    marks,
    counts,
    stalled,
):
    """Spikes of a layer, none missed and none invented.

    Parameters
    ----------
    neurons_in : ndarray, (B, cap_in) int32
    times_in : ndarray, (B, cap_in) float64
    instants, n_instants, flows : ndarray
        From :func:`find_instants`.
    w : ndarray, (N_in, N) float
    neuron : tuple of float
        ``(v_threshold, v_reset, r, tau_mem, tau_syn)``, voltages relative to rest.
    duration : float
    most : int
        Spikes of a sample above which it ends, and those that have not begun do not begin.
    neurons : ndarray, (B, cap) int32
        Out: spikes ordered by time, then neuron. A sample with more than cap spikes runs to its end, or to ``most``,
        without storing the surplus; its count then exceeds cap and the caller runs it again with more room.
    times : ndarray, (B, cap) float64
        Out.
    intervals : ndarray, (B, cap) int32
        Out: the instant that opens the interval of each spike.
    marks : ndarray, (B, cap, 3) float64
        Out: ``a_vv`` and ``a_vu`` from that instant to the spike, and the drive ``r i`` at the spike.
    counts : ndarray, (B,) int64
        Out.
    stalled : ndarray, (B,) int64
        Out: -1, or a neuron whose next spike is too close to tell its time from the last one's, or is one too many; the
        sample ends there.
    """
    exceeded = np.zeros(1, np.bool_)
    for b in prange(len(n_instants)):
        if exceeded[0]:
            counts[b], stalled[b] = 0, -1
            continue
        counts[b], stalled[b] = _sample_forward(
            neurons_in[b],
            times_in[b],
            instants[b],
            n_instants[b],
            flows[b],
            w,
            neuron,
            duration,
            most,
            neurons[b],
            times[b],
            intervals[b],
            marks[b],
        )
        if counts[b] > most:
            exceeded[0] = True


@njit(cache=True, error_model="numpy")
def _sample_forward(
    neurons_in, times_in, instants, n_instants, flows, w, neuron, duration, most, neurons, times, intervals, marks
):
    size = w.shape[1]
    state = np.zeros((max(1, -(-size // _BLOCK)), 4 * _ROW), w.dtype)
    flagged = np.zeros((size + 7) // 8 * 8, np.uint8)
    busy, candidates = np.empty(len(flagged) // 8 + 1, np.int32), np.empty(len(flagged) + 1, np.int32)
    count, stalled = _advance(
        neurons_in, times_in, instants, n_instants, flows, w, neuron, duration, most, neurons, times, intervals, marks,
        state, flagged, flagged.view(np.int64), busy, candidates,
    )  # fmt: skip
    if stalled < 0:
        sort_spikes(times, neurons, intervals, marks, min(count, len(times)))
    return count, stalled


@njit(**LEAF)
def _advance(
    neurons_in, times_in, instants, n_instants, flows, w, neuron, duration, most, neurons, times, intervals, marks,
    state, flagged, words, busy, candidates,
):  # fmt: skip
    v_threshold, _, r, _, tau_syn = neuron
    size = w.shape[1]
    real = w.dtype.type
    threshold_charge = v_threshold * tau_syn / r
    slack = 4 * np.finfo(w.dtype).eps
    thresholds = (real(v_threshold), real(threshold_charge * (1 - slack)), real(threshold_charge * (1 + slack)))
    count = 0
    for m in range(n_instants):
        opened = times_in[instants[m]]
        closed = times_in[instants[m + 1]] if m + 1 < n_instants else duration
        now = 2 * _ROW * (m & 1)
        then = 2 * _ROW - now
        first, last = instants[m], instants[m + 1] - 1
        a_vv, a_ii, a_vq = real(flows[m, 0]), real(flows[m, 1]), real(flows[m, 2] * r / tau_syn)
        # The first block apart: most layers have no other, and a loop would cost as much as a short layer does.
        high = min(size, _BLOCK)
        _step_block(state[0], now, w, 0, high, neurons_in, first, last, flagged[:high], a_vv, a_ii, a_vq, thresholds)
        for k in range(1, len(state)):
            low, high = k * _BLOCK, min(size, (k + 1) * _BLOCK)
            _step_block(
                state[k], now, w, low, high, neurons_in, first, last, flagged[low:high], a_vv, a_ii, a_vq, thresholds
            )
        over = (flows[m, 0], flows[m, 1], flows[m, 2], flows[m, 3])
        for p in range(_list_flagged(flagged, words, busy, candidates)):
            n = candidates[p]
            own, place = state[n // _BLOCK], n % _BLOCK
            end, count, ok = cross(
                float(own[now + place]),
                r / tau_syn * (own[now + _ROW + place] + w[neurons_in[last], n]),
                float(own[then + place]),
                opened,
                closed,
                NO_FLOW,
                over,
                neuron,
                n,
                m,
                most,
                neurons,
                times,
                intervals,
                marks,
                count,
            )
            if not ok:
                return count, n
            own[then + place] = end
    return count, -1


@njit(**SERIAL, inline="always")
def _step_block(state, now, w, low, high, neurons_in, first, last, flagged, a_vv, a_ii, a_vq, thresholds):
    # Neurons of a block over an interval, and which of them may have crossed. Only with literal distances does the
    # compiler see that no row of the state overlaps another: it then vectorises a loop however short.
    if last > first:
        add_columns(state[now + _ROW : now + _ROW + high - low], w, low, high, neurons_in, first, last)
    row = w[neurons_in[last], low:high]
    if now == 0:
        _sweep(state, 0, 2 * _ROW, row, flagged, a_vv, a_ii, a_vq, thresholds)
    else:
        _sweep(state, 2 * _ROW, 0, row, flagged, a_vv, a_ii, a_vq, thresholds)


@njit(**SERIAL, inline="always")
def _sweep(state, now, then, row, flagged, a_vv, a_ii, a_vq, thresholds):
    v_threshold, q_least, q_most = thresholds
    for n in range(len(row)):
        moved = state[now + _ROW + n] + row[n]
        v_end = a_vv * state[now + n] + a_vq * moved
        charge_end = a_ii * moved
        state[then + n] = v_end
        state[then + _ROW + n] = charge_end
        flagged[n] = may_have_crossed(v_end, moved, charge_end, v_threshold, q_least, q_most)


@njit(**SERIAL, inline="always")
def list_busy(words, busy):
    """List the words that are not zero; without branches, for where they come is not to be predicted."""
    found = 0
    for word in range(len(words)):
        busy[found] = word
        found += words[word] != 0
    return found


@njit(**SERIAL, inline="always")
def _list_flagged(flagged, words, busy, candidates):
    found = 0
    for p in range(list_busy(words, busy)):
        for n in range(8 * busy[p], 8 * busy[p] + 8):
            candidates[found] = n
            found += flagged[n]
    return found


@njit(**LEAF)
def add_row(total, row):
    """``total += row``."""
    for n in range(len(total)):
        total[n] += row[n]


@njit(**SERIAL, inline="always")
def cross(v, drive, v_end, opened, closed, before, over, neuron, n, m, most, neurons, times, intervals, marks, count):
    """List all spikes of one neuron in a span without input.

    Parameters
    ----------
    v, drive : float
        State at ``opened``.
    v_end : float
        Membrane at ``closed`` if there is no spike.
    opened, closed : float
    before, over : tuple of float
        Flow ``(a_vv, a_ii, a_vu)`` from instant m to ``opened``; and from there to ``closed``, with the largest
        ``a_vu`` on the way.
    neuron : tuple of float
    n, m : int
        Neuron, and the instant that opens the interval.
    most : int
        Spikes of the sample above which it ends.
    neurons, times, intervals, marks : ndarray
        Spikes are appended, as far as there is room.
    count : int
        Spikes so far.

    Returns
    -------
    v : float
        Membrane at ``closed``.
    count : int
    ok : bool
        False if a spike's time cannot be told from that of the one before, or there are too many.
    """
    v_threshold, v_reset, _, tau_mem, tau_syn = neuron
    span = closed - opened
    offset, last = 0.0, -math.inf
    a_vv, a_ii, a_vu = 1.0, 1.0, 0.0
    response, end_drive = over[3], over[1] * drive
    while may_cross(v, drive, v_end, end_drive, response, v_threshold):
        wait, b_vv, b_ii, b_vu = first_crossing(v, drive, span - offset, v_end, v_threshold, tau_mem, tau_syn)
        if wait < 0:
            break
        offset += wait
        t = min(opened + offset, closed)
        if t <= last or count > most:
            return v_end, count, False
        last = t
        a_vv, a_ii, a_vu = compose_flow(a_vv, a_ii, a_vu, b_vv, b_ii, b_vu)
        drive *= b_ii
        if count < len(times):
            m_vv, _, m_vu = compose_flow(before[0], before[1], before[2], a_vv, a_ii, a_vu)
            neurons[count] = n
            times[count] = t
            intervals[count] = m
            marks[count, 0] = m_vv
            marks[count, 1] = m_vu
            marks[count, 2] = drive
        count += 1
        v = v_reset
        if offset >= span:
            return v, count, True
        c_vv, _, c_vu = remaining_flow(over[0], over[1], over[2], a_vv, a_ii, a_vu)
        v_end = c_vv * v + c_vu * drive
    return v_end, count, True


@njit(cache=True, error_model="numpy")
def sort_spikes(times, neurons, intervals, marks, count):
    """Sort a sample's spikes by time, in place; they come by interval, then neuron, and equal times keep that order."""
    if count < 2:
        return
    order = _ascending(times[:count])
    own_times, own_neurons, own_intervals = times[:count].copy(), neurons[:count].copy(), intervals[:count].copy()
    own_marks = marks[:count].copy()
    for p in range(count):
        s = order[p]
        times[p], neurons[p], intervals[p] = own_times[s], own_neurons[s], own_intervals[s]
        for k in range(3):
            marks[p, k] = own_marks[s, k]


@njit(cache=True, error_model="numpy")
def _ascending(times):
    # A stable argsort: equally wide buckets, then insertion; a merge sort if the times crowd into few of them.
    size = len(times)
    low, high = times[0], times[0]
    for p in range(size):
        low, high = min(low, times[p]), max(high, times[p])
    if not high > low:
        return np.arange(size, dtype=np.int32)
    n_buckets = 4 * size
    scale = (n_buckets - 1) / (high - low)
    place = np.zeros(n_buckets + 1, np.int32)
    for p in range(size):
        place[int((times[p] - low) * scale) + 1] += 1
    for k in range(n_buckets):
        place[k + 1] += place[k]
    order = np.empty(size, np.int32)
    for p in range(size):
        k = int((times[p] - low) * scale)
        order[place[k]] = p
        place[k] += 1
    moves = 0
    for p in range(1, size):
        s = order[p]
        q = p
        while q > 0 and times[order[q - 1]] > times[s]:
            order[q] = order[q - 1]
            q -= 1
        order[q] = s
        moves += p - q
        if moves > 16 * size:
            return np.argsort(times, kind="mergesort").astype(np.int32)
    return order
