"""A spiking layer bin by bin with its spikes at their own instants, on the device: a thread has a neuron of a sample.

Names and signatures are those of :mod:`snnsim.kernels.events.hybrid`.
"""

from snnsim.dynamics.events import compose_flow, flow, largest_response, maximum_time, may_exceed, may_hide
from snnsim.kernels.cuda.compiler import WARP, cuda, device, kernel, launch, tiles
from snnsim.kernels.cuda.event_forward import BLOCK, begin, cross, lists_like, order_spikes
from snnsim.kernels.cuda.synapse import add_staged


@device
def _may_hide(charge, v, v_end, start, stop, neurons_in, w, b, n, to_drive, a_ii, crest, response, v_threshold):
    # Upward and downward jumps of a bin apart.
    gained, lost = 0 * v, 0 * v
    for j in range(start, stop):
        weight = w[neurons_in[b, j], n]
        gained += max(weight, 0 * weight)
        lost += min(weight, 0 * weight)
    most = to_drive * (max(charge, 0 * charge) + gained)
    least = to_drive * (min(charge, a_ii * charge) + lost)
    return (
        (most >= v_threshold)
        & may_exceed(v, most, response, v_threshold)
        & may_hide(v_end, least, to_drive * lost, crest, response, v_threshold)
    )


@device
def _replay(
    v, charge, opened, closed, first, last, neurons_in, times_in, instants, flows, peak, at_peak, w, neuron, b, n, most,
    neurons, times, intervals, marks, counts,
):  # fmt: skip
    # One neuron through a bin, piece by piece: from its start to the first instant inside, and so on.
    _, _, r, tau_mem, tau_syn = neuron
    for m in range(first - 1, last):
        start = opened if m < first else times_in[b, instants[b, m]]
        before = (1.0, 1.0, 0.0)
        if m >= first:
            for j in range(instants[b, m], instants[b, m + 1]):
                charge += float(w[neurons_in[b, j], n])
        elif first == 0:
            continue
        else:
            before = flow(opened - times_in[b, instants[b, m]], tau_mem, tau_syn)
        end = times_in[b, instants[b, m + 1]] if m + 1 < last else closed
        if m >= first and m + 1 < last:
            over = flows[b, m, 0], flows[b, m, 1], flows[b, m, 2], flows[b, m, 3]
        else:
            a_vv, a_ii, a_vu = flow(end - start, tau_mem, tau_syn)
            over = a_vv, a_ii, a_vu, largest_response(end - start, a_vu, peak, at_peak)
        drive = r / tau_syn * charge
        v, ok = cross(
            v, drive, over[0] * v + over[2] * drive, start, end, before, over, neuron, b, n, m, most, neurons,
            times, intervals, marks, counts,
        )  # fmt: skip
        if not ok:
            return v, False
        charge *= over[1]
    return v, True


@kernel
def _begin_unseen(unseen):
    b = cuda.grid(1)
    if b < unseen.shape[0]:
        unseen[b] = 0


@kernel
def _hybrid_forward(
    neurons_in, times_in, instants, n_instants, flows, w, neuron, duration, n_bins, most, neurons, times, intervals,
    marks, counts, stalled, unseen,
):  # fmt: skip
    v_threshold, _, r, tau_mem, tau_syn = neuron
    b, n = cuda.blockIdx.y, cuda.grid(1)
    real = w.dtype.type
    if n >= w.shape[1]:
        return
    dt = duration / n_bins
    threshold, to_drive = real(v_threshold), real(r / tau_syn)
    d_vv, d_ii, d_vu = flow(dt, tau_mem, tau_syn)
    a_vv, a_ii, a_vq, crest = real(d_vv), real(d_ii), real(d_vu * r / tau_syn), real(d_vv + d_vu)
    peak = maximum_time(0.0, 1.0, tau_mem, tau_syn)
    _, _, at_peak = flow(peak, tau_mem, tau_syn)
    response = real(largest_response(dt, d_vu, peak, at_peak))
    v = charge = real(0)
    found = n_instants[b]
    last, hidden = 0, 0
    for k in range(n_bins):
        opened = k * dt
        closed = (k + 1) * dt if k + 1 < n_bins else duration
        first = last
        while last < found and times_in[b, instants[b, last]] <= closed:
            last += 1
        if last == 0:
            continue
        # An input at the end of the bin has no time to act on a membrane.
        inside = last - 1 if last > first and times_in[b, instants[b, last - 1]] == closed else last
        v_end = a_vv * v + a_vq * charge
        charge_end = a_ii * charge
        lost = real(0)
        rest = 1.0, 1.0, 0.0
        for m in range(inside - 1, first - 1, -1):
            if m + 1 < inside:
                rest = compose_flow(flows[b, m, 0], flows[b, m, 1], flows[b, m, 2], rest[0], rest[1], rest[2])
            else:
                rest = flow(closed - times_in[b, instants[b, m]], tau_mem, tau_syn)
            by_v, by_q = real(rest[2] * r / tau_syn), real(rest[1])
            for j in range(instants[b, m], instants[b, m + 1]):
                weight = w[neurons_in[b, j], n]
                v_end += by_v * weight
                charge_end += by_q * weight
                lost += min(weight, real(0))
        if v_end >= threshold:
            end, ok = _replay(
                float(v), float(charge), opened, closed, first, inside, neurons_in, times_in, instants, flows,
                peak, at_peak, w, neuron, b, n, most, neurons, times, intervals, marks, counts,
            )  # fmt: skip
            if not ok:
                cuda.atomic.max(stalled, b, n)
                break
            v_end = real(end)
        elif v_end >= crest * threshold + response * to_drive * lost:
            hidden += _may_hide(
                charge, v, v_end, instants[b, first], instants[b, inside], neurons_in, w, b, n, to_drive, a_ii, crest,
                response, threshold,
            )  # fmt: skip
        if inside < last:
            start, stop = instants[b, inside], instants[b, last]
            charge_end = add_staged(charge_end, w, neurons_in[b, start:stop], stop - start, n)
        v, charge = v_end, charge_end
    if hidden > 0:
        cuda.atomic.add(unseen, b, hidden)


def hybrid_forward(
    neurons_in, times_in, instants, n_instants, flows, w, neuron, duration, n_bins, most, neurons, times, intervals,
    marks, counts, stalled, unseen,
):  # fmt: skip
    """Spikes of a layer, looked for at the ends of bins; see :func:`snnsim.kernels.events.hybrid.hybrid_forward`.

    ``stalled`` as in :func:`snnsim.kernels.cuda.event_forward.spiking_forward`. Four launches.
    """
    lists = neurons, times, intervals, marks
    hybrid_forward_with(
        lists_like(*lists), neurons_in, times_in, instants, n_instants, flows, w, neuron, duration, n_bins, most,
        *lists, counts, stalled, unseen,
    )  # fmt: skip


def hybrid_forward_with(
    raw, neurons_in, times_in, instants, n_instants, flows, w, neuron, duration, n_bins, most, neurons, times,
    intervals, marks, counts, stalled, unseen,
):  # fmt: skip
    """:func:`hybrid_forward` with memory for its lists before they are ordered."""
    begin(counts, stalled)
    n_tiles, block = tiles(len(unseen), BLOCK)
    launch(_begin_unseen, n_tiles, block, unseen)
    n_tiles, block = tiles(w.shape[1], BLOCK, WARP)
    launch(
        _hybrid_forward, (n_tiles, len(counts)), block, neurons_in, times_in, instants, n_instants, flows, w, neuron,
        duration, n_bins, most, *raw, counts, stalled, unseen,
    )  # fmt: skip
    order_spikes(*raw, counts, neurons, times, intervals, marks)
