"""A spiking layer in continuous time on the device: a thread has a neuron of a sample and goes from instant to instant.

Names and signatures are those of :mod:`snnsim.kernels.events.forward`. A block stages the flows of some instants and
its columns of their weights in shared memory, so that the chain of states waits for no global memory. Threads append
spikes through a counter, in any order; a spike then finds its rank in its sample by time, interval and neuron, which
are never all equal: the list is the same in every run.
"""

import math

from numba import int32

from snnsim.dynamics.events import (
    compose_flow,
    first_crossing,
    flow,
    largest_response,
    maximum_time,
    may_cross,
    may_exceed,
    remaining_flow,
)
from snnsim.kernels.cuda.compiler import WARP, cuda, device, empty, kernel, launch, threads, tiles
from snnsim.kernels.cuda.synapse import add_staged

BLOCK = 128
STAGE = 16
"""Instants in shared memory at a time."""
KEPT, STEPS, ENDS = STAGE * BLOCK, 4 * STAGE, STAGE + 1


@kernel
def _find_instants(times_in, counts_in, duration, tau_mem, tau_syn, instants, n_instants, flows):
    found = cuda.shared.array(BLOCK, int32)
    b, tid, width = cuda.blockIdx.x, cuda.threadIdx.x, cuda.blockDim.x
    count = counts_in[b]
    portion = (count + width - 1) // width
    first, last = min(tid * portion, count), min((tid + 1) * portion, count)
    own = 0
    for j in range(first, last):
        own += j == 0 or times_in[b, j] > times_in[b, j - 1]
    found[tid] = own
    cuda.syncthreads()
    place, total = 0, 0
    for t in range(width):
        if t < tid:
            place += found[t]
        total += found[t]
    for j in range(first, last):
        if j == 0 or times_in[b, j] > times_in[b, j - 1]:
            instants[b, place] = j
            place += 1
    if tid == 0:
        instants[b, total] = count
        n_instants[b] = total
    cuda.syncthreads()
    peak = maximum_time(0.0, 1.0, tau_mem, tau_syn)
    _, _, at_peak = flow(peak, tau_mem, tau_syn)
    for m in range(tid, total, width):
        end = times_in[b, instants[b, m + 1]] if m + 1 < total else duration
        span = end - times_in[b, instants[b, m]]
        a_vv, a_ii, a_vu = flow(span, tau_mem, tau_syn)
        flows[b, m, 0] = a_vv
        flows[b, m, 1] = a_ii
        flows[b, m, 2] = a_vu
        flows[b, m, 3] = largest_response(span, a_vu, peak, at_peak)


def find_instants(times_in, counts_in, duration, tau_mem, tau_syn, instants, n_instants, flows):
    """Merge simultaneous input spikes; see :func:`snnsim.kernels.events.forward.find_instants`."""
    launch(
        _find_instants, len(counts_in), threads(times_in.shape[1], BLOCK, WARP), times_in, counts_in, duration,
        tau_mem, tau_syn, instants, n_instants, flows,
    )  # fmt: skip


@device
def cross(
    v, drive, v_end, opened, closed, before, over, neuron, b, n, m, most, neurons, times, intervals, marks, counts
):  # fmt: skip
    """Append all spikes of one neuron in a span without input; see :func:`snnsim.kernels.events.forward.cross`.

    ``counts[b]`` is the sample's counter, from which each spike draws its place. Returns ``(v, ok)``.
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
        if t <= last:
            return v_end, False
        last = t
        a_vv, a_ii, a_vu = compose_flow(a_vv, a_ii, a_vu, b_vv, b_ii, b_vu)
        drive *= b_ii
        place = cuda.atomic.add(counts, b, 1)
        if place >= most:
            return v_end, False
        if place < times.shape[1]:
            m_vv, _, m_vu = compose_flow(before[0], before[1], before[2], a_vv, a_ii, a_vu)
            neurons[b, place] = n
            times[b, place] = t
            intervals[b, place] = m
            marks[b, place, 0] = m_vv
            marks[b, place, 1] = m_vu
            marks[b, place, 2] = drive
        v = v_reset
        if offset >= span:
            return v, True
        c_vv, _, c_vu = remaining_flow(over[0], over[1], over[2], a_vv, a_ii, a_vu)
        v_end = c_vv * v + c_vu * drive
    return v_end, True


@kernel
def _begin(counts, stalled):
    b = cuda.grid(1)
    if b < counts.shape[0]:
        counts[b] = 0
        stalled[b] = -1


@kernel
def _spiking_forward(
    neurons_in, times_in, instants, n_instants, flows, w, neuron, duration, most, neurons, times, intervals, marks,
    counts, stalled,
):  # fmt: skip
    kept = cuda.shared.array(KEPT, w.dtype)
    steps = cuda.shared.array(STEPS, w.dtype)
    ends = cuda.shared.array(ENDS, int32)
    tid, width, b = cuda.threadIdx.x, cuda.blockDim.x, cuda.blockIdx.y
    n = cuda.blockIdx.x * width + tid
    v_threshold, _, r, _, tau_syn = neuron
    real = w.dtype.type
    inside = n < w.shape[1]
    v = charge = real(0)
    found = n_instants[b]
    for m0 in range(0, found, STAGE):
        staged = min(STAGE, found - m0)
        cuda.syncthreads()
        for s in range(tid, staged + 1, width):
            ends[s] = instants[b, m0 + s]
        for s in range(tid, staged, width):
            steps[4 * s] = real(flows[b, m0 + s, 0])
            steps[4 * s + 1] = real(flows[b, m0 + s, 1])
            steps[4 * s + 2] = real(flows[b, m0 + s, 2] * r / tau_syn)
            steps[4 * s + 3] = real(flows[b, m0 + s, 3] * r / tau_syn)
        cuda.syncthreads()
        if not inside:
            continue
        for s in range(staged):
            kept[s * width + tid] = w[neurons_in[b, ends[s + 1] - 1], n]
        for s in range(staged):
            m, start, last = m0 + s, ends[s], ends[s + 1] - 1
            if last > start:
                charge = add_staged(charge, w, neurons_in[b, start:last], last - start, n)
            charge += kept[s * width + tid]
            v_end = steps[4 * s] * v + steps[4 * s + 2] * charge
            if may_exceed(v, charge, steps[4 * s + 3], real(v_threshold)):
                over = flows[b, m, 0], flows[b, m, 1], flows[b, m, 2], flows[b, m, 3]
                end, ok = cross(
                    float(v), r / tau_syn * float(charge), float(v_end), times_in[b, start],
                    times_in[b, last + 1] if m + 1 < found else duration, (1.0, 1.0, 0.0), over, neuron, b, n, m,
                    most, neurons, times, intervals, marks, counts,
                )  # fmt: skip
                if not ok:
                    cuda.atomic.max(stalled, b, n)
                    inside = False
                    break
                v_end = real(end)
            v = v_end
            charge = steps[4 * s + 1] * charge


@kernel
def _order_spikes(
    raw_neurons, raw_times, raw_intervals, raw_marks, counts, neurons, times, intervals, marks
):  # fmt: skip
    other_times = cuda.shared.array(BLOCK, raw_times.dtype)
    other_intervals = cuda.shared.array(BLOCK, int32)
    other_neurons = cuda.shared.array(BLOCK, int32)
    tid, width, b = cuda.threadIdx.x, cuda.blockDim.x, cuda.blockIdx.y
    count = min(counts[b], raw_times.shape[1])
    s = cuda.blockIdx.x * width + tid
    if cuda.blockIdx.x * width < count:
        mine = min(s, count - 1)
        t, m, n = raw_times[b, mine], raw_intervals[b, mine], raw_neurons[b, mine]
        rank = 0
        for first in range(0, count, width):
            cuda.syncthreads()
            if first + tid < count:
                other_times[tid] = raw_times[b, first + tid]
                other_intervals[tid] = raw_intervals[b, first + tid]
                other_neurons[tid] = raw_neurons[b, first + tid]
            cuda.syncthreads()
            for p in range(min(width, count - first)):
                if other_times[p] < t or (
                    other_times[p] == t
                    and (other_intervals[p] < m or (other_intervals[p] == m and other_neurons[p] < n))
                ):
                    rank += 1
        if s < count:
            neurons[b, rank] = n
            times[b, rank] = t
            intervals[b, rank] = m
            for i in range(3):
                marks[b, rank, i] = raw_marks[b, s, i]


def spiking_forward(
    neurons_in, times_in, instants, n_instants, flows, w, neuron, duration, most, neurons, times, intervals, marks,
    counts, stalled,
):  # fmt: skip
    """Spikes of a layer; see :func:`snnsim.kernels.events.forward.spiking_forward`. Three launches.

    Of several neurons that stall in a sample, ``stalled`` names the one with the largest number.
    """
    lists = neurons, times, intervals, marks
    spiking_forward_with(
        lists_like(*lists), neurons_in, times_in, instants, n_instants, flows, w, neuron, duration, most, *lists,
        counts, stalled,
    )  # fmt: skip


def spiking_forward_with(
    raw, neurons_in, times_in, instants, n_instants, flows, w, neuron, duration, most, neurons, times, intervals,
    marks, counts, stalled,
):  # fmt: skip
    """:func:`spiking_forward` with memory for its lists before they are ordered, as :func:`lists_like` makes it."""
    begin(counts, stalled)
    n_tiles, block = tiles(w.shape[1], BLOCK, WARP)
    launch(
        _spiking_forward, (n_tiles, len(counts)), block, neurons_in, times_in, instants, n_instants, flows, w, neuron,
        duration, most, *raw, counts, stalled,
    )  # fmt: skip
    order_spikes(*raw, counts, neurons, times, intervals, marks)


def begin(counts, stalled):
    """Set the counters of a batch to 0, and the neurons that stall to -1."""
    n_tiles, block = tiles(len(counts), BLOCK)
    launch(_begin, n_tiles, block, counts, stalled)


def lists_like(*arrays):
    """Memory for lists of spikes before they are ordered."""
    return [empty(a.shape, a.dtype) for a in arrays]


def order_spikes(raw_neurons, raw_times, raw_intervals, raw_marks, counts, neurons, times, intervals, marks):
    """Order each sample's spikes by time, then interval, then neuron.

    Parameters
    ----------
    raw_neurons, raw_times, raw_intervals, raw_marks : device array
        In any order.
    counts : device array, (B,) int64
    neurons, times, intervals, marks : device array
        Out.
    """
    n_tiles, block = tiles(times.shape[1], BLOCK, WARP)
    launch(
        _order_spikes, (n_tiles, times.shape[0]), block, raw_neurons, raw_times, raw_intervals, raw_marks, counts,
        neurons, times, intervals, marks,
    )  # fmt: skip
