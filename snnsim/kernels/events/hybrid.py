"""A spiking layer bin by bin with the exact propagator, its spikes at their own instants inside the bins."""

import numpy as np
from numba import njit, prange

from snnsim.dynamics.events import flow, largest_response, maximum_time, may_exceed, may_hide
from snnsim.kernels.cpu.synapse import add_rows
from snnsim.kernels.events.forward import NO_FLOW, cross, sort_spikes

_ABOVE, _HIDDEN = 1, 2


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
    neurons, times, intervals, marks, counts, stalled
        Out: as there.
    unseen : ndarray, (B,) int64
        Out: how many times a neuron may have made an excursion inside a bin that was not seen; an upper bound.
    """
    for b in prange(len(n_instants)):
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
            neurons[b],
            times[b],
            intervals[b],
            marks[b],
        )


@njit(cache=True, error_model="numpy")
def _sample_forward(
    neurons_in, times_in, instants, n_instants, flows, w, neuron, duration, n_bins, neurons, times, intervals, marks
):
    v_threshold, _, r, tau_mem, tau_syn = neuron
    size = w.shape[1]
    real = w.dtype.type
    dt = duration / n_bins
    v, v_end = np.zeros(size, w.dtype), np.zeros(size, w.dtype)
    charge, charge_end = np.zeros(size, w.dtype), np.zeros(size, w.dtype)
    arrived_v, arrived_q = np.zeros(size, w.dtype), np.zeros(size, w.dtype)
    stirred = np.zeros(size, w.dtype)
    flagged = np.zeros((size + 7) // 8 * 8, np.uint8)
    flagged_words = flagged.view(np.int64)
    threshold, to_drive = real(v_threshold), real(r / tau_syn)
    over_dt = flow(dt, tau_mem, tau_syn)
    a_vv, a_ii, a_vq = real(over_dt[0]), real(over_dt[1]), real(over_dt[2] * r / tau_syn)
    crest = real(over_dt[0] + over_dt[2])
    peak = maximum_time(0.0, 1.0, tau_mem, tau_syn)
    at_peak = flow(peak, tau_mem, tau_syn)[2]
    response = real(largest_response(dt, over_dt[2], peak, at_peak))
    pieces = np.empty((n_instants + 1, 5))
    count, unseen = 0, 0
    last = 0
    for k in range(n_bins):
        opened = k * dt
        closed = (k + 1) * dt if k + 1 < n_bins else duration
        first = last
        while last < n_instants and times_in[instants[last]] <= closed:
            last += 1
        if last == 0:
            continue
        quiet = first == last
        for m in range(first, last):
            if times_in[instants[m]] == closed:
                # At the end of the bin: no time to act on a membrane, inside or at the end.
                add_rows(arrived_q, w, neurons_in, instants[m], instants[m + 1])
                continue
            rest = flow(closed - times_in[instants[m]], tau_mem, tau_syn)
            by_v, by_q = real(rest[2] * r / tau_syn), real(rest[1])
            for j in range(instants[m], instants[m + 1]):
                _arrive(arrived_v, arrived_q, stirred, w[neurons_in[j]], by_v, by_q)
        _end_bin(
            v, charge, arrived_v, arrived_q, stirred, v_end, charge_end, flagged, a_vv, a_ii, a_vq, crest, response,
            to_drive, threshold,
        )  # fmt: skip
        any_flagged = False
        for word in range(len(flagged_words)):
            any_flagged |= flagged_words[word] != 0
        if any_flagged:
            before = flow(opened - times_in[instants[first - 1]], tau_mem, tau_syn) if first else NO_FLOW
            _cut_bin(opened, closed, first, last, times_in, instants, flows, tau_mem, tau_syn, peak, at_peak, pieces)
            for word in range(len(flagged_words)):
                if flagged_words[word] == 0:
                    continue
                for n in range(8 * word, min(8 * word + 8, size)):
                    if flagged[n] == _HIDDEN:
                        unseen += _may_hide(
                            v[n], charge[n], v_end[n], first, last, neurons_in, instants, w, n, to_drive, a_ii, crest,
                            response, threshold,
                        )  # fmt: skip
                    elif flagged[n] == _ABOVE:
                        end, count, ok = _replay(
                            float(v[n]), float(charge[n]), closed, before, first, last, pieces, neurons_in, instants,
                            w, neuron, n, neurons, times, intervals, marks, count,
                        )  # fmt: skip
                        if not ok:
                            return count, n, unseen
                        v_end[n] = end
        v, v_end = v_end, v
        charge, charge_end = charge_end, charge
        if not quiet:
            arrived_v[:] = 0
            arrived_q[:] = 0
            stirred[:] = 0
    sort_spikes(times, neurons, intervals, marks, min(count, len(times)))
    return count, -1, unseen


@njit(cache=True, error_model="numpy")
def _arrive(arrived_v, arrived_q, stirred, row, by_v, by_q):
    # One input spike: what it adds to the state at the end of its bin, and the size of its jump.
    for n in range(len(row)):
        arrived_v[n] += by_v * row[n]
        arrived_q[n] += by_q * row[n]
    for n in range(len(row)):
        stirred[n] += abs(row[n])


@njit(cache=True, error_model="numpy")
def _end_bin(
    v, charge, arrived_v, arrived_q, stirred, v_end, charge_end, flagged, a_vv, a_ii, a_vq, crest, response, to_drive,
    v_threshold,
):  # fmt: skip
    # State of all neurons at the end of a bin, who is above threshold, and who may have been in between: at first
    # glance, where all jumps count as upward and as downward.
    for n in range(len(v)):
        v_end[n] = a_vv * v[n] + a_vq * charge[n] + arrived_v[n]
        charge_end[n] = a_ii * charge[n] + arrived_q[n]
    for n in range(len(v)):
        jumps = to_drive * stirred[n]
        drive = to_drive * charge[n]
        hidden = may_exceed(v[n], max(drive, 0 * drive) + jumps, response, v_threshold) & may_hide(
            v_end[n], 0 * drive, -jumps, crest, response, v_threshold
        )
        flagged[n] = _ABOVE if v_end[n] >= v_threshold else (_HIDDEN if hidden else 0)


@njit(cache=True, error_model="numpy")
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


@njit(cache=True, error_model="numpy")
def _cut_bin(opened, closed, first, last, times_in, instants, flows, tau_mem, tau_syn, peak, at_peak, pieces):
    # Start, flow and largest response of the pieces of a bin: from its start to the first instant inside, and so on.
    for m in range(first - 1, last):
        start = opened if m < first else times_in[instants[m]]
        piece = pieces[m - first + 1]
        piece[0] = start
        if m >= first and m + 1 < last:
            piece[1], piece[2], piece[3], piece[4] = flows[m, 0], flows[m, 1], flows[m, 2], flows[m, 3]
        else:
            span = (times_in[instants[m + 1]] if m + 1 < last else closed) - start
            piece[1], piece[2], piece[3] = flow(span, tau_mem, tau_syn)
            piece[4] = largest_response(span, piece[3], peak, at_peak)


@njit(cache=True, error_model="numpy", inline="always")
def _replay(
    v, charge, closed, before, first, last, pieces, neurons_in, instants, w, neuron, n, neurons, times, intervals,
    marks, count,
):  # fmt: skip
    # One neuron through a bin, piece by piece.
    ok = True
    for m in range(first - 1, last):
        if pieces[m - first + 1, 0] == closed:
            break
        if m >= first:
            for j in range(instants[m], instants[m + 1]):
                charge += w[neurons_in[j], n]
        elif first == 0:
            continue
        p = m - first + 1
        over = (pieces[p, 1], pieces[p, 2], pieces[p, 3], pieces[p, 4])
        drive = neuron[2] / neuron[4] * charge
        v, count, ok = cross(
            v, drive, over[0] * v + over[2] * drive, pieces[p, 0], pieces[p + 1, 0] if m + 1 < last else closed,
            before if m < first else NO_FLOW, over, neuron, n, m, neurons, times, intervals, marks, count,
        )  # fmt: skip
        if not ok:
            break
        charge *= over[1]
    return v, count, ok
