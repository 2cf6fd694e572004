"""A spiking layer bin by bin with the exact propagator, its spikes at their own instants inside the bins."""

import numpy as np
from numba import njit, prange

from snnsim.dynamics.events import compose_flow, flow, largest_response, maximum_time, may_exceed, may_hide
from snnsim.kernels.cpu.synapse import add_rows
from snnsim.kernels.events.forward import NO_FLOW, cross, list_busy, sort_spikes
from snnsim.kernels.jit import LEAF


@njit(parallel=True, cache=True, error_model="numpy")
def hybrid_forward(
    neurons_in,
    times_in,
    instants,
    n_instants,
    flows,
    w,
    neuron,
    duration,
    n_bins,
    most,
    neurons,
    times,
    intervals,
    marks,
    counts,
    stalled,
    unseen,
):
    """Spikes of a layer, looked for at the ends of bins.

    A membrane at or above threshold at the end of a bin has crossed inside: the bin is then gone through again for
    that neuron, from input instant to input instant, each crossing located by the closed form. An excursion that
    rises above the threshold and falls below it inside one bin is not seen.

    Parameters
    ----------
    neurons_in, times_in, instants, n_instants, flows, w, neuron, duration
        As in :func:`snnsim.kernels.events.forward.spiking_forward`.
    n_bins : int
        Bin k is ``(k dt, (k + 1) dt]`` with ``dt = duration/n_bins``; the first one holds time 0 as well.
    most, neurons, times, intervals, marks, counts, stalled
        As there.
    unseen : ndarray, (B,) int64
        Out: how many times a neuron may have made an excursion inside a bin that was not seen; an upper bound.
    """
    exceeded = np.zeros(1, np.bool_)
    for b in prange(len(n_instants)):
        if exceeded[0]:
            counts[b], stalled[b], unseen[b] = 0, -1, 0
            continue
        counts[b], stalled[b], unseen[b] = _sample_forward(
            neurons_in[b],
            times_in[b],
            instants[b],
            n_instants[b],
            flows[b],
            w,
            neuron,
            duration,
            n_bins,
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
    neurons_in, times_in, instants, n_instants, flows, w, neuron, duration, n_bins, most, neurons, times, intervals,
    marks,
):  # fmt: skip
    v_threshold, _, r, tau_mem, tau_syn = neuron
    size = w.shape[1]
    real = w.dtype.type
    dt = duration / n_bins
    # State at the start and at the end of a bin, by turns: exchanging arrays would count references.
    v, charge = np.zeros((2, size), w.dtype), np.zeros((2, size), w.dtype)
    lost = np.zeros(size, w.dtype)
    inputs = np.empty(len(neurons_in), np.int32)
    by_v, by_q = np.empty(len(inputs), w.dtype), np.empty(len(inputs), w.dtype)
    flagged = np.zeros((size + 7) // 8 * 8, np.uint8)
    above, below = np.empty(len(flagged) + 1, np.int32), np.empty(len(flagged) + 1, np.int32)
    busy = np.empty(len(flagged) // 8 + 1, np.int32)
    own_v, own_charge = np.empty(size), np.empty(size)
    pieces = np.empty((n_instants + 1, 6))
    threshold, to_drive = real(v_threshold), real(r / tau_syn)
    over_dt = flow(dt, tau_mem, tau_syn)
    a_vv, a_ii, a_vq = real(over_dt[0]), real(over_dt[1]), real(over_dt[2] * r / tau_syn)
    crest = real(over_dt[0] + over_dt[2])
    peak = maximum_time(0.0, 1.0, tau_mem, tau_syn)
    at_peak = flow(peak, tau_mem, tau_syn)[2]
    response = real(largest_response(dt, over_dt[2], peak, at_peak))
    count, unseen, last = 0, 0, 0
    for k in range(n_bins):
        now, then = k & 1, 1 - (k & 1)
        opened = k * dt
        closed = (k + 1) * dt if k + 1 < n_bins else duration
        first = last
        while last < n_instants and times_in[instants[last]] <= closed:
            last += 1
        if last == 0:
            continue
        # An input at the end of the bin has no time to act on a membrane.
        inside = last - 1 if last > first and times_in[instants[last - 1]] == closed else last
        _coast(v, charge, now, then, a_vv, a_ii, a_vq)
        if inside > first:
            n_inputs = _weigh(
                closed, first, inside, neurons_in, times_in, instants, flows, r, tau_mem, tau_syn, inputs, by_v, by_q
            )
            _arrive(v[then], charge[then], lost, w, inputs, by_v, by_q, n_inputs)
        _flag(v, then, lost, flagged, crest * threshold, response * to_drive, threshold)
        n_above, n_below = _list_flagged(flagged, v, then, threshold, busy, above, below)
        for p in range(n_below):
            n = below[p]
            unseen += _may_hide(
                v[now, n], charge[now, n], v[then, n], first, inside, neurons_in, instants, w, n, to_drive, a_ii,
                crest, response, threshold,
            )  # fmt: skip
        if n_above:
            before = flow(opened - times_in[instants[first - 1]], tau_mem, tau_syn) if first else NO_FLOW
            _cut_bin(opened, closed, first, inside, times_in, instants, flows, tau_mem, tau_syn, peak, at_peak, pieces)
            for p in range(n_above):
                own_v[p], own_charge[p] = v[now, above[p]], charge[now, above[p]]
            count, stalled = _replay(
                own_v, own_charge, above, n_above, before, first, inside, pieces, neurons_in, instants, w, neuron,
                most, neurons, times, intervals, marks, count,
            )  # fmt: skip
            if stalled >= 0:
                return count, stalled, unseen
            for p in range(n_above):
                v[then, above[p]] = own_v[p]
        if inside < last:
            add_rows(charge[then], w, neurons_in, instants[inside], instants[last])
        if inside > first:
            lost[:] = 0
    sort_spikes(times, neurons, intervals, marks, min(count, len(times)))
    return count, -1, unseen


@njit(**LEAF)
def _coast(v, charge, now, then, a_vv, a_ii, a_vq):
    # All neurons over a bin without input.
    for n in range(v.shape[1]):
        v[then, n] = a_vv * v[now, n] + a_vq * charge[now, n]
        charge[then, n] = a_ii * charge[now, n]


@njit(**LEAF)
def _weigh(closed, first, last, neurons_in, times_in, instants, flows, r, tau_mem, tau_syn, inputs, by_v, by_q):
    # The inputs of a bin, latest instant first, and what a weight of one adds to the state at the bin's end. One
    # exponential: the flow from an instant to the end is that to the next instant, and from there on.
    real = by_v.dtype.type
    rest = flow(closed - times_in[instants[last - 1]], tau_mem, tau_syn)
    count = 0
    for m in range(last - 1, first - 1, -1):
        if m + 1 < last:
            rest = compose_flow(flows[m, 0], flows[m, 1], flows[m, 2], rest[0], rest[1], rest[2])
        for j in range(instants[m], instants[m + 1]):
            inputs[count] = neurons_in[j]
            by_v[count], by_q[count] = real(rest[2] * r / tau_syn), real(rest[1])
            count += 1
    return count


@njit(**LEAF)
def _arrive(v, charge, lost, w, inputs, by_v, by_q, n_inputs):
    # What input spikes add to the state at the end of their bin, and the sum of their downward jumps; four rows at a
    # time, so that a sum stays in registers. One loop an array there: the compiler vectorises a loop only if there are
    # few pairs of arrays that might overlap.
    zero = w.dtype.type(0)
    p = 0
    while p + 4 <= n_inputs:
        r0, r1, r2, r3 = w[inputs[p]], w[inputs[p + 1]], w[inputs[p + 2]], w[inputs[p + 3]]
        a0, a1, a2, a3 = by_v[p], by_v[p + 1], by_v[p + 2], by_v[p + 3]
        for n in range(len(v)):
            v[n] = (((v[n] + a0 * r0[n]) + a1 * r1[n]) + a2 * r2[n]) + a3 * r3[n]
        a0, a1, a2, a3 = by_q[p], by_q[p + 1], by_q[p + 2], by_q[p + 3]
        for n in range(len(v)):
            charge[n] = (((charge[n] + a0 * r0[n]) + a1 * r1[n]) + a2 * r2[n]) + a3 * r3[n]
        for n in range(len(v)):
            lost[n] = (((lost[n] + min(r0[n], zero)) + min(r1[n], zero)) + min(r2[n], zero)) + min(r3[n], zero)
        p += 4
    while p < n_inputs:
        row, a0, a1 = w[inputs[p]], by_v[p], by_q[p]
        for n in range(len(v)):
            v[n] += a0 * row[n]
            charge[n] += a1 * row[n]
            lost[n] += min(row[n], zero)
        p += 1


@njit(**LEAF)
def _flag(v, then, lost, flagged, least, response, v_threshold):
    # Who ends a bin above threshold, or no lower than an excursion may have left it.
    for n in range(len(lost)):
        flagged[n] = v[then, n] >= min(least + response * lost[n], v_threshold)


@njit(**LEAF)
def _list_flagged(flagged, v, then, v_threshold, busy, above, below):
    # Lists without branches that would be hard to predict: an entry is always written, and counts if it is one.
    words = flagged.view(np.int64)
    n_above, n_below = 0, 0
    for p in range(list_busy(words, busy)):
        for n in range(8 * busy[p], min(8 * busy[p] + 8, v.shape[1])):
            is_above = v[then, n] >= v_threshold
            above[n_above] = n
            below[n_below] = n
            n_above += is_above
            n_below += flagged[n] & ~is_above
    return n_above, n_below


@njit(**LEAF)
def _may_hide(v, charge, v_end, first, last, neurons_in, instants, w, n, to_drive, a_ii, crest, response, v_threshold):
    # The same for one neuron, upward and downward jumps apart.
    gained, lost = 0 * v, 0 * v
    for j in range(instants[first], instants[last]):
        weight = w[neurons_in[j], n]
        gained += max(weight, 0 * weight)
        lost += min(weight, 0 * weight)
    most = to_drive * (max(charge, 0 * charge) + gained)
    least = to_drive * (min(charge, a_ii * charge) + lost)
    return (
        (most >= v_threshold)
        & may_exceed(v, most, response, v_threshold)
        & may_hide(v_end, least, to_drive * lost, crest, response, v_threshold)
    )


@njit(**LEAF)
def _cut_bin(opened, closed, first, last, times_in, instants, flows, tau_mem, tau_syn, peak, at_peak, pieces):
    # Start, flow, largest response and end of the pieces of a bin: from its start to the first instant inside, and so
    # on.
    for m in range(first - 1, last):
        piece = pieces[m - first + 1]
        piece[0] = opened if m < first else times_in[instants[m]]
        piece[5] = times_in[instants[m + 1]] if m + 1 < last else closed
        if m >= first and m + 1 < last:
            piece[1], piece[2], piece[3], piece[4] = flows[m, 0], flows[m, 1], flows[m, 2], flows[m, 3]
        else:
            span = piece[5] - piece[0]
            piece[1], piece[2], piece[3] = flow(span, tau_mem, tau_syn)
            piece[4] = largest_response(span, piece[3], peak, at_peak)


@njit(**LEAF)
def _replay(
    v, charge, ids, size, before, first, last, pieces, neurons_in, instants, w, neuron, most, neurons, times,
    intervals, marks, count,
):  # fmt: skip
    # Some neurons through a bin, piece by piece.
    for m in range(first - 1, last):
        if m >= first:
            for j in range(instants[m], instants[m + 1]):
                row = w[neurons_in[j]]
                for p in range(size):
                    charge[p] += row[ids[p]]
        elif first == 0:
            continue
        piece = pieces[m - first + 1]
        over = (piece[1], piece[2], piece[3], piece[4])
        for p in range(size):
            drive = neuron[2] / neuron[4] * charge[p]
            v[p], count, ok = cross(
                v[p], drive, over[0] * v[p] + over[2] * drive, piece[0], piece[5], before if m < first else NO_FLOW,
                over, neuron, ids[p], m, most, neurons, times, intervals, marks, count,
            )  # fmt: skip
            if not ok:
                return count, ids[p]
            charge[p] *= over[1]
    return count, -1
