"""A component of the graph in continuous time, from the spikes that reach it to its own.

One kernel for every shape, delay and neuron. From one arrival to the next all neurons are moved by the closed form, and
those that may have crossed are looked at one by one. A span is cut where a spike found in it could arrive: at the first
crossing and the least inner delay, so with delays of at least a span all spikes are settled neuron by neuron, and
without delay they are taken one by one, in global order.

At one instant: own spikes, then releases from the refractory period, then arrivals.
"""

import math
from typing import NamedTuple

import numpy as np
from numba import njit, prange

from snnsim.dynamics.events import decay, first_crossing, flow, maximum_time
from snnsim.dynamics.graph_events import (
    adaptive_crossing,
    adaptive_flow,
    adaptive_may_have_crossed,
    adaptive_slope,
    response,
)
from snnsim.kernels.events.arrivals import OUTER, arrivals, delay_slot, pop, push
from snnsim.kernels.events.forward import _ascending, list_busy
from snnsim.kernels.interruptible import asked_to_end
from snnsim.kernels.jit import KERNEL, LEAF, SERIAL

BLOCK = 512  # neurons whose state lies in one row
_R = BLOCK + 16  # from one quantity to the next; no power of two, where addresses would compete
_THETA, _LEAST, _MOST, _PULL, _REACH = 6 * _R, 7 * _R, 8 * _R, 9 * _R, 10 * _R
_WIDTH = 11 * _R  # membrane, charge, adaptation (twice, now and then), thresholds

TOO_FAST, FULL = -1, -2
"""Status of a sample whose neurons fire faster than ``plan.least`` allows, and of one whose spikes did not fit."""
_SOME = 16  # spikes a neuron after which their interval tells how fast it fires


CELLS = (
    "theta", "w_reset", "w0", "charge0", "a0", "r", "tau_mem", "tau_syn", "tau_a", "beta", "pull", "jump", "t_ref",
)  # fmt: skip
"""Constants of a component's neurons: columns of ``cells`` (N, 13) float64.

Membranes count from where they settle without input, ``v_leak + r i_ext``. ``pull = r c_a``, ``jump = q``,
``charge0 = tau_syn i0``.
"""
THETA, W_RESET, W0, CHARGE0, A0, R, TAU_MEM, TAU_SYN, TAU_A, BETA, PULL, JUMP, T_REF = range(13)


class Groups(NamedTuple):
    """Neurons that share their flow: group g owns ``ptr[g]:ptr[g + 1]``, unit u the groups ``unit[u]:unit[u + 1]``.

    ``fresh[g]``: its time constants and resistance differ from those of the group before.
    """

    ptr: np.ndarray
    unit: np.ndarray
    fresh: np.ndarray


class Plan(NamedTuple):
    """How a component is gone through.

    ``unit_size`` neurons share their arrivals; ``d_min`` is the least inner delay (inf: none); ``n_bins`` of the hybrid
    engine (0: every crossing is found); ``adaptive`` and ``refractory``: whether any neuron is; ``widest``: whether the
    largest membranes are kept; ``most`` spikes of a sample are counted; ``least``: with inner connections, the mean
    interval between a neuron's spikes below which the component runs away.
    """

    unit_size: int
    n_units: int
    duration: float
    d_min: float
    n_bins: int
    adaptive: bool
    refractory: bool
    widest: bool
    most: int
    least: float


@njit(**KERNEL)
def graph_forward(
    wires, store, w, cells, groups, plan, sample_times, neurons, times, marks, counts, unseen, v_out, s_out, best, came
):
    """Spikes of a component, or membranes of a readout.

    Parameters
    ----------
    wires : Wires
    store : Store
    w : ndarray, (n_weights,) float
        Weights of all connections, pools included.
    cells : ndarray, (N, 13) float64
        Constants of the neurons, :data:`CELLS`.
    groups : Groups
    plan : Plan
    sample_times : ndarray, (K,) float64
        Ascending; a sample at the instant of an arrival is not touched by it.
    neurons, times : ndarray, (B, cap) int32 and float64
        Out: spikes by time, then neuron.
    marks : ndarray, (B, cap, 3) float64
        Out: drive ``r i`` and adaptation at a spike, before arrivals of that instant, and the drive at the release.
    counts : ndarray, (B,) int64
        Out: number of spikes; ``TOO_FAST``; ``FULL`` where there was no room; ``-3 - n`` where neuron n cannot tell its
        spikes apart. Without inner connections spikes are counted on, without room, up to ``plan.most``. Once one
        sample ends so, those that have not begun do not begin.
    unseen : ndarray, (B,) int64
        Out: upper bound of the excursions that the hybrid engine did not see.
    v_out, s_out : ndarray, (B, K, N) float64
        Out: membrane at the sample times, and its slope.
    best : ndarray, (B, N, 3) float64
        Out, if ``plan.widest``: largest membrane, its time, and the slope before it: 0, but where an arrival or the
        end stops its rise.
    came : ndarray, (n,) uint8
        Signals, from :func:`snnsim.kernels.interruptible.until_done`; one that asks for an end ends the pass.
    """
    ended = np.zeros(1, np.bool_)
    for b in prange(len(counts)):
        if ended[0]:
            counts[b], unseen[b] = 0, 0
            continue
        counts[b], unseen[b] = _sample_forward(
            np.int64(b), wires, store, w, cells, groups, plan, sample_times, neurons[b], times[b], marks[b],
            v_out[b], s_out[b], best[b], came,
        )  # fmt: skip
        if counts[b] < 0 or counts[b] > plan.most:
            ended[0] = True


@njit(**SERIAL)
def _sample_forward(
    b, wires, store, w, cells, groups, plan, sample_times, neurons, times, marks, v_out, s_out, best, came
):  # fmt: skip
    bounds, time, weight, target, _, wire = arrivals(
        b, wires, store, plan.unit_size, plan.n_units, plan.duration, OUTER
    )
    size = plan.unit_size
    state = np.zeros((max(1, -(-size // BLOCK)), _WIDTH), w.dtype)
    flagged = np.zeros((size + 7) // 8 * 8, np.uint8)
    busy, candidates = np.empty(len(flagged) // 8 + 1, np.int32), np.empty(len(flagged) + 1, np.int32)
    release, last, spike_of = np.empty(size), np.empty(size), np.empty(size, np.int64)
    held, first = np.empty(size + 1, np.int32), np.empty(size)
    flows = np.empty((len(groups.ptr), 5))
    heap_time, heap_key = np.empty(64), np.empty(64, np.int64)
    # Numba compiles a function anew for an argument that is a literal: hence the numbers of NumPy.
    count, unseen, none = np.int64(0), np.int64(0), np.int64(0)
    seen, seen_at = none, 0.0
    for unit in range(plan.n_units):
        low = unit * size
        g0, g1 = groups.unit[unit], groups.unit[unit + 1]
        _rest(state, cells, low, size, release, last)
        heap_size, n_held, j, k, bin_ = none, none, bounds[unit], none, 1
        end = bounds[unit + 1]
        now_t, now = 0.0, none
        if plan.widest:
            for n in range(size):
                best[low + n, 0], best[low + n, 1], best[low + n, 2] = cells[low + n, W0], 0.0, 0.0
        while k < len(sample_times) and sample_times[k] <= 0:
            _sample(state, now, 0.0, cells, groups, g0, g1, low, v_out, s_out, k)
            k += 1
        while True:
            while j < end and time[j] <= now_t:
                _add_run(state, now + _R, w, weight[j], target[j], wires.width[wire[j]])
                j += 1
            while heap_size > 0 and heap_time[0] <= now_t:
                key = heap_key[0]
                pop(heap_time, heap_key, heap_size)
                heap_size -= 1
                c = key >> 40
                run = key & ((1 << 40) - 1)
                if wires.delay_kind[c] == 2:
                    _add_run(state, now + _R, w, wires.weight_at[run], wires.target_at[run], wires.width[c])
                else:
                    for p in range(wires.ptr[wires.ptr0[c] + run], wires.ptr[wires.ptr0[c] + run + 1]):
                        _add_run(state, now + _R, w, wires.weight_at[p], wires.target_at[p], wires.width[c])
            if now_t >= plan.duration:
                break
            if asked_to_end(came):
                return FULL, unseen
            closed = plan.duration
            if j < end:
                closed = min(closed, time[j])
            if heap_size > 0:
                closed = min(closed, heap_time[0])
            if plan.n_bins > 0:
                while bin_ < plan.n_bins and plan.duration / plan.n_bins * bin_ <= now_t:
                    bin_ += 1
                if bin_ < plan.n_bins:
                    closed = min(closed, plan.duration / plan.n_bins * bin_)
            then = 3 * _R - now
            _step(state, now, then, closed - now_t, cells, groups, g0, g1, low, flagged, flows, plan.adaptive)
            n_candidates = _candidates(flagged, busy, candidates, release, held, n_held)
            mode = _SEARCH
            if n_candidates > 0 and closed - now_t > plan.d_min:
                earliest = math.inf
                for p in range(n_candidates):
                    n = candidates[p]
                    _, first[p], _ = _settle(
                        state[n // BLOCK], now, then, n % BLOCK, low + n, n, now_t, closed, cells, plan, release,
                        last, spike_of, neurons, times, marks, count, _LOOK,
                    )  # fmt: skip
                    earliest = min(earliest, first[p])
                if earliest + plan.d_min < closed:
                    closed = earliest + plan.d_min
                    then = 3 * _R - now
                    _step(state, now, then, closed - now_t, cells, groups, g0, g1, low, flagged, flows, plan.adaptive)
                    if plan.d_min == 0:
                        mode = _MOVE
                    else:
                        n_candidates = _candidates(flagged, busy, candidates, release, held, n_held)
            found = count
            n_held = none
            for p in range(n_candidates):
                n = candidates[p]
                how = _FORCE if mode == _MOVE and first[p] <= closed else mode
                count, _, status = _settle(
                    state[n // BLOCK], now, then, n % BLOCK, low + n, n, now_t, closed, cells, plan, release, last,
                    spike_of, neurons, times, marks, count, how,
                )  # fmt: skip
                if status < 0:
                    return -3 - (low + n), unseen
                if count > plan.most:
                    fast = _too_fast(count - found, p + 1, closed - now_t, plan.least)
                    return TOO_FAST if fast else FULL if plan.d_min < math.inf else count, unseen
                unseen += status
                if release[n] > closed:
                    held[n_held] = n
                    n_held += 1
            if plan.d_min < math.inf:
                if _too_fast(count - seen, size, closed - seen_at, plan.least):
                    return TOO_FAST, unseen
                if count - seen >= _SOME * size:
                    seen, seen_at = count, closed
                for s in range(found, count):
                    for c in range(len(wires.slab)):
                        n = neurons[s]
                        if not wires.inner[c] or n < wires.low[c] or n >= wires.high[c]:
                            continue
                        source = n - wires.low[c]
                        begin, stop = wires.ptr[wires.ptr0[c] + source], wires.ptr[wires.ptr0[c] + source + 1]
                        if begin == stop:
                            continue
                        by_run = wires.delay_kind[c] == 2
                        for run in range(begin, stop if by_run else begin + 1):
                            t = times[s] + wires.delays[delay_slot(wires, c, source, wires.weight_at[run])]
                            if t >= plan.duration:
                                continue
                            if heap_size == len(heap_time):
                                heap_time, heap_key = _longer(heap_time, heap_key)
                            push(heap_time, heap_key, heap_size, t, (c << 40) + (run if by_run else source))
                            heap_size += 1
            while k < len(sample_times) and sample_times[k] <= closed:
                _sample(state, now, sample_times[k] - now_t, cells, groups, g0, g1, low, v_out, s_out, k)
                k += 1
            if plan.widest:
                _widest(state, now, then, now_t, closed, cells, low, size, best)
            now_t, now = closed, then
    if count <= len(times):
        _order(neurons, times, marks, count)
    return count, unseen


@njit(**LEAF, inline="always")
def _too_fast(spikes, n_neurons, span, least):
    return spikes >= _SOME * n_neurons and span * n_neurons < spikes * least


_SEARCH, _LOOK, _MOVE, _FORCE = np.arange(4)


@njit(**SERIAL)
def _longer(heap_time, heap_key):
    size = len(heap_time)
    longer_time, longer_key = np.empty(2 * size), np.empty(2 * size, np.int64)
    for p in range(size):
        longer_time[p], longer_key[p] = heap_time[p], heap_key[p]
    return longer_time, longer_key


@njit(**LEAF)
def _rest(state, cells, low, size, release, last):
    real = state.dtype.type
    slack = 4 * np.finfo(state.dtype).eps
    for n in range(size):
        row, p, m = state[n // BLOCK], n % BLOCK, low + n
        row[p], row[_R + p], row[2 * _R + p] = real(cells[m, W0]), real(cells[m, CHARGE0]), real(cells[m, A0])
        row[3 * _R + p] = row[p]
        theta, to_charge = cells[m, THETA], cells[m, TAU_SYN] / cells[m, R]
        row[_THETA + p] = real(theta)
        # What the drive is compared with, in its own unit, a few roundings less and more.
        row[_LEAST + p] = real((theta - slack * abs(theta)) * to_charge) if theta < math.inf else real(math.inf)
        row[_MOST + p] = real((theta + slack * abs(theta)) * to_charge) if theta < math.inf else real(-math.inf)
        row[_PULL + p] = real(cells[m, PULL])
        row[_REACH + p] = real(cells[m, BETA] + cells[m, PULL])
        release[n], last[n] = -math.inf, -math.inf


@njit(**LEAF)
def _add_run(state, offset, w, weight, target, width):
    # Into the charges of some neurons, block by block.
    done = 0
    while done < width:
        n = target + done
        p = n % BLOCK
        size = min(width - done, BLOCK - p)
        _add(state[n // BLOCK, offset + p : offset + p + size], w[weight + done : weight + done + size])
        done += size


@njit(**LEAF)
def _add(total, row):
    for n in range(len(total)):
        total[n] += row[n]


@njit(**LEAF)
def _step(state, now, then, span, cells, groups, g0, g1, low, flagged, flows, adaptive):
    # All neurons of a unit over a span, and which of them may have crossed.
    real = state.dtype.type
    a_vv, a_ii, a_vu, a_aa, a_va = 1.0, 1.0, 0.0, 1.0, 0.0
    for g in range(g0, g1):
        n = groups.ptr[g]
        if groups.fresh[g] or g == g0:
            a_vv, a_ii, a_vu = flow(span, cells[n, TAU_MEM], cells[n, TAU_SYN])
            if adaptive:
                a_aa, _ = decay(span / cells[n, TAU_A])
                a_va = response(span, cells[n, TAU_MEM], cells[n, TAU_A])
        gain = cells[n, R] / cells[n, TAU_SYN]
        block, first = (n - low) // BLOCK, (n - low) % BLOCK
        last = first + groups.ptr[g + 1] - n
        row, size = state[block, first:], last - first
        flag = flagged[block * BLOCK + first : block * BLOCK + last]
        if adaptive:
            moves = real(a_vv), real(a_ii), real(a_vu * gain), real(gain), real(a_aa), real(a_va)
            if now == 0:
                _sweep_adaptive(row, 0, 3 * _R, size, flag, moves)
            else:
                _sweep_adaptive(row, 3 * _R, 0, size, flag, moves)
        elif now == 0:
            _sweep(row, 0, 3 * _R, size, flag, real(a_vv), real(a_ii), real(a_vu * gain))
        else:
            _sweep(row, 3 * _R, 0, size, flag, real(a_vv), real(a_ii), real(a_vu * gain))


@njit(**SERIAL, inline="always")
def _sweep(row, now, then, size, flag, a_vv, a_ii, a_vq):
    # Only with literal distances, and places that cannot be negative, does the compiler use vector registers.
    for n in range(size):
        charge = row[now + _R + n]
        v_end = a_vv * row[now + n] + a_vq * charge
        charge_end = a_ii * charge
        row[then + n] = v_end
        row[then + _R + n] = charge_end
        flag[n] = (v_end >= row[_THETA + n]) | ((charge >= row[_LEAST + n]) & (charge_end <= row[_MOST + n]))


@njit(**SERIAL, inline="always")
def _sweep_adaptive(row, now, then, size, flag, moves):
    a_vv, a_ii, a_vq, gain, a_aa, a_va = moves
    slack = row.dtype.type(8 * np.finfo(row.dtype).eps)
    for n in range(size):
        v, charge, a = row[now + n], row[now + _R + n], row[now + 2 * _R + n]
        pull = row[_PULL + n]
        a_end = a_aa * a
        z_end = a_vv * (v + pull * a_end) + a_vq * charge
        v_end = a_vv * v + a_vq * charge - pull * a_va * a
        charge_end = a_ii * charge
        row[then + n], row[then + _R + n], row[then + 2 * _R + n] = v_end, charge_end, a_end
        least = row[_THETA + n] + row[_REACH + n] * a_end
        flag[n] = adaptive_may_have_crossed(
            z_end, gain * charge, gain * charge_end, least, slack * (abs(least) + abs(z_end) + abs(v))
        )


@njit(**LEAF)
def _candidates(flagged, busy, candidates, release, held, n_held):
    # Neurons to look at: held ones, and free ones that may have crossed; ascending but for the held.
    for p in range(n_held):
        candidates[p] = held[p]
        flagged[held[p]] = 0
    found = n_held
    for p in range(list_busy(flagged.view(np.int64), busy)):
        for n in range(8 * busy[p], 8 * busy[p] + 8):
            candidates[found] = n
            found += flagged[n]
    return found


@njit(**LEAF, inline="always")
def _kept(a, wait, tau_a):
    return a * decay(wait / tau_a)[0] if a != 0 else a


@njit(**LEAF)
def _settle(
    row, now, then, p, n, local, opened, closed, cells, plan, release, last, spike_of, neurons, times, marks, count,
    mode,
):  # fmt: skip
    # One neuron over a span: lists its spikes (or tells the first: _LOOK; none: _MOVE; one at the end: _FORCE), and
    # writes its state at the end. Returns the number of spikes, the first one's time, and the excursions that a bin may
    # hide; -1 if a spike's time cannot be told from that of the one before.
    theta, w_reset, tau_mem, tau_syn = cells[n, THETA], cells[n, W_RESET], cells[n, TAU_MEM], cells[n, TAU_SYN]
    tau_a, beta, pull = cells[n, TAU_A], cells[n, BETA], cells[n, PULL]
    v, u, a = float(row[now + p]), cells[n, R] / tau_syn * float(row[now + _R + p]), 0.0
    if plan.adaptive:
        a = float(row[now + 2 * _R + p])
    t, unseen = opened, 0
    v_end, known = float(row[then + p]), True
    if release[local] > opened:
        if release[local] > closed:
            row[then + p] = w_reset
            return count, math.inf, 0
        wait = release[local] - opened
        u *= decay(wait / tau_syn)[0]
        a = _kept(a, wait, tau_a)
        v, t, known = w_reset, release[local], False
        if mode != _LOOK:
            if spike_of[local] < len(times):
                marks[spike_of[local], 2] = u
            release[local] = -math.inf
    while True:
        span = closed - t
        if not known:
            if plan.adaptive:
                v_end = adaptive_flow(v, u, a, span, tau_mem, tau_syn, tau_a, pull)[0]
            else:
                a_vv, _, a_vu = flow(span, tau_mem, tau_syn)
                v_end = a_vv * v + a_vu * u
        known = False
        wait = -1.0
        if mode == _FORCE:
            wait = span
        elif mode != _MOVE:
            end = v_end - beta * _kept(a, span, tau_a)
            if plan.n_bins > 0 and end < theta:
                unseen += plan.adaptive or (u >= theta and decay(span / tau_syn)[0] * u <= v_end)
            elif plan.adaptive:
                wait = adaptive_crossing(v, u, a, span, theta, tau_mem, tau_syn, tau_a, beta, pull)
            elif v_end >= theta or (u >= theta and decay(span / tau_syn)[0] * u <= v_end):
                wait = first_crossing(v, u, span, v_end, theta, tau_mem, tau_syn)[0]
        if wait < 0:
            row[then + p] = v_end
            if plan.adaptive:
                row[then + 2 * _R + p] = _kept(a, span, tau_a)
            return count, math.inf, unseen
        t = min(t + wait, closed)
        if mode == _LOOK:
            return count, t, 0
        if t <= last[local]:
            return count, t, -1
        last[local] = t
        u *= decay(wait / tau_syn)[0]
        a = _kept(a, wait, tau_a)
        if count < len(times):
            neurons[count], times[count] = n, t
            marks[count, 0], marks[count, 1], marks[count, 2] = u, a, u
        count += 1
        if count > plan.most:
            return count, t, unseen
        a += cells[n, JUMP]
        v = w_reset
        if mode == _FORCE:
            mode = _MOVE
        if cells[n, T_REF] > 0:
            until = t + cells[n, T_REF]
            spike_of[local] = count - 1
            if until > closed:
                release[local] = until
                row[then + p] = w_reset
                if plan.adaptive:
                    row[then + 2 * _R + p] = _kept(a, closed - t, tau_a)
                return count, t, unseen
            u *= decay((until - t) / tau_syn)[0]
            a = _kept(a, until - t, tau_a)
            t = until
            if count - 1 < len(times):
                marks[count - 1, 2] = u
        elif t >= closed:
            row[then + p] = v
            if plan.adaptive:
                row[then + 2 * _R + p] = a
            return count, t, unseen


@njit(**LEAF)
def _sample(state, now, span, cells, groups, g0, g1, low, v_out, s_out, k):
    a_vv, a_ii, a_vu = 1.0, 1.0, 0.0
    for g in range(g0, g1):
        if groups.fresh[g] or g == g0:
            a_vv, a_ii, a_vu = flow(span, cells[groups.ptr[g], TAU_MEM], cells[groups.ptr[g], TAU_SYN])
        for n in range(groups.ptr[g], groups.ptr[g + 1]):
            row, p = state[(n - low) // BLOCK], (n - low) % BLOCK
            u = cells[n, R] / cells[n, TAU_SYN] * float(row[now + _R + p])
            v_out[k, n] = a_vv * float(row[now + p]) + a_vu * u
            s_out[k, n] = adaptive_slope(v_out[k, n], a_ii * u, 0.0, cells[n, TAU_MEM], 0.0)


@njit(**LEAF)
def _widest(state, now, then, opened, closed, cells, low, size, best):
    # Largest membrane of each neuron so far: inside the span, or at its end, where an arrival may end its rise.
    for p in range(size):
        n = low + p
        row, q = state[p // BLOCK], p % BLOCK
        v_end, to_drive = float(row[then + q]), cells[n, R] / cells[n, TAU_SYN]
        u, u_end = to_drive * float(row[now + _R + q]), to_drive * float(row[then + _R + q])
        if v_end > best[n, 0]:
            best[n, 0], best[n, 1] = v_end, closed
            best[n, 2] = adaptive_slope(v_end, u_end, 0.0, cells[n, TAU_MEM], 0.0)
        if u > row[now + q] and u_end < v_end:
            wait = maximum_time(float(row[now + q]), u, cells[n, TAU_MEM], cells[n, TAU_SYN])
            if wait < closed - opened:
                top = u * decay(wait / cells[n, TAU_SYN])[0]
                if top > best[n, 0]:
                    best[n, 0], best[n, 1], best[n, 2] = top, opened + wait, 0.0


@njit(**SERIAL)
def _order(neurons, times, marks, count):
    # By time, then neuron.
    if count < 2:
        return
    order = _ascending(times[:count])
    for p in range(1, count):
        s, q = order[p], p
        while q > 0 and times[order[q - 1]] == times[s] and neurons[order[q - 1]] > neurons[s]:
            order[q] = order[q - 1]
            q -= 1
        order[q] = s
    own_neurons, own_times, own_marks = neurons[:count].copy(), times[:count].copy(), marks[:count].copy()
    for p in range(count):
        s = order[p]
        neurons[p], times[p] = own_neurons[s], own_times[s]
        for k in range(3):
            marks[p, k] = own_marks[s, k]
