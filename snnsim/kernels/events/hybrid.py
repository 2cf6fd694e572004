"""A spiking layer bin by bin with the exact propagator, its spikes at their own instants inside the bins."""

import numpy as np
from numba import njit, prange

from snnsim.dynamics.events import flow, largest_response, may_exceed, may_hide
from snnsim.kernels.events.forward import NO_FLOW, cross, sort_segment


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
    zero = real(0)
    dt = duration / n_bins
    v, v_end = np.zeros(size, w.dtype), np.zeros(size, w.dtype)
    charge, charge_end = np.zeros(size, w.dtype), np.zeros(size, w.dtype)
    arrived_v, arrived_q = np.zeros(size, w.dtype), np.zeros(size, w.dtype)
    gained, lost = np.zeros(size, w.dtype), np.zeros(size, w.dtype)
    flagged = np.zeros((size + 7) // 8 * 8, np.uint8)
    flagged_words = flagged.view(np.int64)
    threshold, to_drive = real(v_threshold), real(r / tau_syn)
    over_dt = flow(dt, tau_mem, tau_syn)
    a_vv, a_ii, a_vq = real(over_dt[0]), real(over_dt[1]), real(over_dt[2] * r / tau_syn)
    crest = real(over_dt[0] + over_dt[2])
    response = real(largest_response(dt, over_dt[2], tau_mem, tau_syn))
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
            rest = flow(closed - times_in[instants[m]], tau_mem, tau_syn)
            by_v, by_q = real(rest[2] * r / tau_syn), real(rest[1])
            for j in range(instants[m], instants[m + 1]):
                row = w[neurons_in[j]]
                for n in range(size):
                    weight = row[n]
                    arrived_v[n] += by_v * weight
                    arrived_q[n] += by_q * weight
                    gained[n] += max(weight, zero)
                    lost[n] += min(weight, zero)
        hidden = 0
        for n in range(size):
            end = a_vv * v[n] + a_vq * charge[n] + arrived_v[n]
            v_end[n] = end
            charge_end[n] = a_ii * charge[n] + arrived_q[n]
            above = end >= threshold
            flagged[n] = above
            most = to_drive * (max(charge[n], zero) + gained[n])
            least = to_drive * (min(charge[n], a_ii * charge[n]) + lost[n])
            hidden += (
                (not above)
                & may_exceed(v[n], most, response, threshold)
                & may_hide(end, least, to_drive * lost[n], crest, response, threshold)
            )
        unseen += hidden
        before = flow(opened - times_in[instants[first - 1]], tau_mem, tau_syn) if first else NO_FLOW
        begun = count
        for word in range(len(flagged_words)):
            if flagged_words[word] == 0:
                continue
            for n in range(8 * word, min(8 * word + 8, size)):
                if flagged[n]:
                    end, count, ok = _replay(
                        float(v[n]),
                        float(charge[n]),
                        opened,
                        closed,
                        before,
                        first,
                        last,
                        neurons_in,
                        times_in,
                        instants,
                        flows,
                        w,
                        neuron,
                        n,
                        neurons,
                        times,
                        intervals,
                        marks,
                        count,
                    )
                    if not ok:
                        return count, n, unseen
                    v_end[n] = end
        if count > begun:
            sort_segment(times, neurons, intervals, marks, begun, min(count, len(times)))
        v, v_end = v_end, v
        charge, charge_end = charge_end, charge
        if not quiet:
            arrived_v[:] = 0
            arrived_q[:] = 0
            gained[:] = 0
            lost[:] = 0
    return count, -1, unseen


@njit(cache=True, error_model="numpy")
def _replay(
    v,
    charge,
    opened,
    closed,
    before,
    first,
    last,
    neurons_in,
    times_in,
    instants,
    flows,
    w,
    neuron,
    n,
    neurons,
    times,
    intervals,
    marks,
    count,
):
    # One neuron through a bin, piece by piece: from its start to the first instant inside, and so on to its end.
    _, _, r, tau_mem, tau_syn = neuron
    to_drive = r / tau_syn
    for m in range(first - 1, last):
        if m >= first:
            opened = times_in[instants[m]]
            for j in range(instants[m], instants[m + 1]):
                charge += w[neurons_in[j], n]
        until = times_in[instants[m + 1]] if m + 1 < last else closed
        if m >= first and m + 1 < last:
            a_vv, a_ii, a_vu, response = flows[m, 0], flows[m, 1], flows[m, 2], flows[m, 3]
        else:
            a_vv, a_ii, a_vu = flow(until - opened, tau_mem, tau_syn)
            response = largest_response(until - opened, a_vu, tau_mem, tau_syn)
        drive = to_drive * charge
        v_end = a_vv * v + a_vu * drive
        v, count, ok = cross(
            v,
            drive,
            v_end,
            opened,
            until,
            before if m < first else NO_FLOW,
            (a_vv, a_ii, a_vu, response),
            neuron,
            n,
            m,
            neurons,
            times,
            intervals,
            marks,
            count,
        )
        if not ok:
            return v, count, False
        charge *= a_ii
    return v, count, True
