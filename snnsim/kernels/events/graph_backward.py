"""The adjoint of a component of the graph, from the last event that the loss sees back to the start.

Arrivals of all connections, inner ones too, are known by now: one list in order of time, gone through in reverse. From
one to the one before, all neurons flow back at once; those with events of their own in between (spikes, releases from
the refractory period, instants at which the loss reads the membrane) do so one by one, from event to event. An inner
spike's error is complete when its own turn comes, since its arrivals are later, or at once and then taken before it.
"""

import numpy as np
from numba import njit, prange

from snnsim.dynamics.events import adjoint_flow, decay, flow
from snnsim.dynamics.graph_events import (
    adaptive_slope,
    response,
    second_response,
    spike_adjoint,
    spike_inverse_slope,
)
from snnsim.kernels.events.arrivals import ALL, arrivals, delay_slot, permute
from snnsim.kernels.events.forward import _ascending
from snnsim.kernels.events.graph_forward import (
    BETA,
    JUMP,
    PULL,
    T_REF,
    TAU_A,
    TAU_MEM,
    TAU_SYN,
    THETA,
    W_RESET,
    R,
)
from snnsim.kernels.jit import KERNEL, LEAF, SERIAL

SPIKE, RELEASE, PROBE = 0, 1, 2

# Sums that the gradients of constants are made of, one row each; the names say what is summed over a neuron's events.
(
    MU, RELEASED, ADAPTED, A_MU, RHO, READ, V_START, Q_START, A_START, W_Q, W_KAPPA, JUMPS, KAPPA_V, KAPPA_A,
    KAPPA_START, KAPPA_A_START, KAPPA_V_START, ENERGY, N_SUMS,
) = range(19)  # fmt: skip

# Columns of a neuron's adjoint while it goes from event to event.
_V, _Q, _A, _K, _KA, _KV, _H, _SPENT, _T = range(9)


@njit(**KERNEL)
def graph_backward(
    wires, store, own, w, cells, groups, plan, constants, max_inverse_slope, marks, probes, probe_times, e, grad_parts,
    delay_parts, sums,
):  # fmt: skip
    """Gradients of a component's weights, delays and constants, and errors of the spikes that reached it.

    Parameters
    ----------
    wires, store, w, cells, groups, plan, marks
        As in :func:`snnsim.kernels.events.graph_forward.graph_forward`.
    own : int
        The component's slab in the store.
    constants : bool
        Whether what only gradients of time constants, resistances and ``c_a`` need is summed as well.
    max_inverse_slope : float
        Bound of 1/slope at a spike.
    probes : ndarray, (B, P, N, 3) float64
        dL/dv where the loss reads the membrane, the slope there, and whether an arrival of that instant carries the
        reading with it.
    probe_times : ndarray, (B, P, N) float64
        When; negative: not at all.
    e : ndarray, float64, as the store's times
        In: dL/d(spike time) from elsewhere. Out: with what this component's arrivals add.
    grad_parts, delay_parts, sums : ndarray, (n_parts, n_weights), (n_parts, n_delays), (n_parts, N_SUMS, N)
        Out: sums over each group of samples.
    """
    n_parts = len(grad_parts)
    batch = store.counts.shape[1]
    for part in prange(n_parts):
        grad_parts[part] = 0
        delay_parts[part] = 0
        sums[part] = 0
        for b in range(batch * part // n_parts, batch * (part + 1) // n_parts):
            _sample_backward(
                np.int64(b), wires, store, own, w, cells, groups, plan, constants, max_inverse_slope, marks[b],
                probes[b], probe_times[b], e, grad_parts[part], delay_parts[part], sums[part],
            )  # fmt: skip


@njit(**SERIAL)
def _sample_backward(
    b, wires, store, own, w, cells, groups, plan, constants, max_inverse_slope, marks, probes, probe_times, e, grad,
    delay_grad, sums,
):  # fmt: skip
    size = plan.unit_size
    begin, count = store.start[own] + b * store.cap[own], store.counts[own, b]
    own_neurons, own_times = store.neurons[begin : begin + count], store.times[begin : begin + count]
    ev_bounds, ev_time, ev_kind, ev_neuron, ev_index = _events(own_neurons, own_times, probe_times, cells, plan)
    bounds, time, weight, target, slot, wire = arrivals(b, wires, store, size, plan.n_units, plan.duration, ALL)
    real = w.dtype.type
    lam_v, lam_q = np.empty(size, w.dtype), np.empty(size, w.dtype)
    pull, syn_rate = np.empty(size, w.dtype), np.empty(size, w.dtype)
    wide = np.empty((6, size if (plan.adaptive or constants) else 0))
    track, touched, mark = np.empty((size, 9)), np.empty(size, np.int64), np.zeros(size, np.uint8)
    rho = np.zeros(count)
    for unit in range(plan.n_units):
        low = unit * size
        # Events after the last one that the loss sees change nothing.
        last, top = ev_bounds[unit + 1] - 1, ev_bounds[unit]
        while last >= top:
            if ev_kind[last] == PROBE or (ev_kind[last] == SPIKE and e[begin + ev_index[last]] != 0):
                break
            last -= 1
        if last < top:
            continue
        lam_v[:] = 0
        lam_q[:] = 0
        wide[:] = 0
        for n in range(size):
            pull[n] = real(cells[low + n, R] / cells[low + n, TAU_MEM])
            syn_rate[n] = real(1 / cells[low + n, TAU_SYN])
        closed = ev_time[last]
        j = bounds[unit + 1] - 1
        while j >= bounds[unit] and time[j] > closed:
            j -= 1
        while True:
            opened = time[j] if j >= bounds[unit] else 0.0
            at_start = j < bounds[unit]
            n_touched = 0
            while last >= top and (at_start or ev_time[last] > opened):
                n, s = ev_neuron[last], ev_index[last]
                m = n - low
                if mark[m] == 0:
                    mark[m] = 1
                    touched[n_touched] = m
                    n_touched += 1
                    _load(track[m], lam_v[m], lam_q[m], wide, m, closed, plan.adaptive or constants)
                own_track = track[m]
                _back(own_track, ev_time[last], cells, n, plan.adaptive, constants)
                if ev_kind[last] == PROBE:
                    own_track[_V] += probes[s, n, 0]
                    own_track[_H] += probes[s, n, 0] * probes[s, n, 1]
                    sums[READ, n] += probes[s, n, 0]
                elif ev_kind[last] == RELEASE:
                    a = (marks[s, 1] + cells[n, JUMP]) * decay(cells[n, T_REF] / cells[n, TAU_A])[0]
                    rise = adaptive_slope(cells[n, W_RESET], marks[s, 2], a, cells[n, TAU_MEM], cells[n, PULL])
                    rho[s] = -rise * own_track[_V]
                    sums[RELEASED, n] += own_track[_V]
                    sums[RHO, n] += rho[s]
                    own_track[_V] = 0.0
                    own_track[_H] += rho[s]
                else:
                    _spike_back(own_track, cells, n, marks[s], e[begin + s], rho[s], max_inverse_slope, sums)
                last -= 1
            for p in range(n_touched):
                _back(track[touched[p]], opened, cells, low + touched[p], plan.adaptive, constants)
            _flow_back(
                lam_v, lam_q, wide, closed - opened, cells, groups, groups.unit[unit], groups.unit[unit + 1], low,
                plan.adaptive, constants,
            )  # fmt: skip
            for p in range(n_touched):
                m = touched[p]
                mark[m] = 0
                lam_v[m], lam_q[m] = track[m, _V], track[m, _Q]
                if plan.adaptive or constants:
                    for k in range(5):
                        wide[k, m] = track[m, _A + k]
                    wide[5, m] = track[m, _SPENT]
            if at_start:
                break
            closed = opened
            first = j
            while j >= bounds[unit] and time[j] == opened:
                c, q, p = wire[j], target[j], weight[j]
                width = wires.width[c]
                _add(grad[p : p + width], lam_q[q : q + width])
                if wires.want[c]:
                    total = _dot_arrivals(
                        w[p : p + width], lam_v[q : q + width], lam_q[q : q + width], pull[q : q + width],
                        syn_rate[q : q + width],
                    )  # fmt: skip
                    e[slot[j]] += total
                    delay_grad[delay_slot(wires, c, store.neurons[slot[j]] - wires.low[c], p)] += total
                if constants:
                    _arrive(wide, w[p : p + width], lam_v, lam_q, q, low, cells, sums)
                j -= 1
            if plan.widest:
                _give_kinks(
                    first, j, opened, weight, target, slot, wire, wires, store, w, probes, probe_times, low, e,
                    delay_grad,
                )  # fmt: skip
        for n in range(size):
            sums[V_START, low + n] += lam_v[n]
            sums[Q_START, low + n] += lam_q[n]
            if plan.adaptive or constants:
                sums[A_START, low + n] += wide[0, n]
                sums[KAPPA_START, low + n] += wide[1, n]
                sums[KAPPA_A_START, low + n] += wide[2, n]
                sums[KAPPA_V_START, low + n] += wide[3, n]
                sums[ENERGY, low + n] += wide[5, n]


@njit(**SERIAL)
def _events(own_neurons, own_times, probe_times, cells, plan):
    # Spikes, releases and readings of every unit, in order of time: at one instant a neuron's release comes after its
    # spike, and readings last, before arrivals.
    size, n_units = plan.unit_size, plan.n_units
    room = len(own_times) * (2 if plan.refractory else 1) + probe_times.size
    time, kind, index = np.empty(room), np.empty(room, np.int64), np.empty(room, np.int64)
    neuron = np.empty(room, np.int64)
    found = 0
    for s in range(len(own_times)):
        n = own_neurons[s]
        time[found], kind[found], neuron[found], index[found] = own_times[s], SPIKE, n, s
        found += 1
        if cells[n, T_REF] > 0 and own_times[s] + cells[n, T_REF] < plan.duration:
            time[found], kind[found], neuron[found], index[found] = own_times[s] + cells[n, T_REF], RELEASE, n, s
            found += 1
    for p in range(probe_times.shape[0]):
        for n in range(probe_times.shape[1]):
            if probe_times[p, n] >= 0:
                time[found], kind[found], neuron[found], index[found] = probe_times[p, n], PROBE, n, p
                found += 1
    bounds = np.zeros(n_units + 1, np.int64)
    if found == 0:
        return bounds, time, kind, neuron, index
    order = _ascending(time[:found])
    if n_units > 1:
        for p in range(found):
            bounds[neuron[p] // size + 1] += 1
        for u in range(n_units):
            bounds[u + 1] += bounds[u]
        place, sorted_order = bounds[:-1].copy(), np.empty(found, np.int32)
        for p in range(found):
            u = neuron[order[p]] // size
            sorted_order[place[u]] = order[p]
            place[u] += 1
        order = sorted_order
    else:
        bounds[1] = found
    own_time, spare = time[:found].copy(), np.empty(found, np.int64)
    for p in range(found):
        time[p] = own_time[order[p]]
    for column in (kind, neuron, index):
        permute(column[:found], order, spare)
    return bounds, time, kind, neuron, index


@njit(**LEAF)
def _load(track, lambda_v, lambda_q, wide, m, closed, has_wide):
    track[_V], track[_Q], track[_T] = lambda_v, lambda_q, closed
    for k in range(5):
        track[_A + k] = wide[k, m] if has_wide else 0.0
    track[_SPENT] = wide[5, m] if has_wide else 0.0


@njit(**LEAF)
def _back(track, t, cells, n, adaptive, constants):
    # One neuron's adjoint earlier, to time t.
    h = track[_T] - t
    track[_T] = t
    tau_mem, tau_syn, tau_a = cells[n, TAU_MEM], cells[n, TAU_SYN], cells[n, TAU_A]
    a_vv, a_ii, a_vu = flow(h, tau_mem, tau_syn)
    lambda_v, lambda_q = track[_V], track[_Q]
    if constants:
        track[_K] = filtered(track[_K], tau_syn * lambda_q, lambda_v, h, a_ii, cells[n, R], tau_mem, tau_syn)
        track[_SPENT] += track[_H] * h
    track[_V], track[_Q] = adjoint_flow(lambda_v, lambda_q, a_vv, a_ii, cells[n, R] / tau_syn * a_vu)
    if adaptive:
        a_aa, _ = decay(h / tau_a)
        a_va = response(h, tau_mem, tau_a)
        if constants:
            track[_KA] = filtered(track[_KA], track[_A], lambda_v, h, a_aa, -cells[n, PULL], tau_mem, tau_a)
            track[_KV] = a_aa * track[_KV] + tau_mem * a_va * lambda_v
        track[_A] = a_aa * track[_A] - cells[n, PULL] * a_va * lambda_v


@njit(**LEAF, inline="always")
def filtered(kappa, lambda_x, lambda_v, h, kept, gain, tau_mem, tau):
    """Take a filtered adjoint earlier by h: ``dkappa/dt = kappa/tau - lambda_x``, ``kept = e^{-h/tau}``."""
    return kept * (kappa + h * lambda_x) + gain * lambda_v * second_response(h, tau_mem, tau)


@njit(**LEAF)
def _spike_back(track, cells, n, mark, e, rho, max_inverse_slope, sums):
    tau_mem, tau_a, beta, pull, jump = (
        cells[n, TAU_MEM],
        cells[n, TAU_A],
        cells[n, BETA],
        cells[n, PULL],
        cells[n, JUMP],
    )
    u, a = mark[0], mark[1]
    inverse = spike_inverse_slope(cells[n, THETA] + beta * a, u, a, tau_mem, tau_a, beta, pull, max_inverse_slope)
    released = -rho
    if not cells[n, T_REF] > 0:
        released = adaptive_slope(cells[n, W_RESET], u, a + jump, tau_mem, pull) * track[_V]
        sums[RELEASED, n] += track[_V]
        sums[RHO, n] -= released
    mu = spike_adjoint(released, track[_A], e, inverse, jump, tau_a)
    sums[MU, n] += mu
    sums[ADAPTED, n] += track[_A]
    sums[A_MU, n] += a * mu
    sums[KAPPA_A, n] += track[_KA]
    sums[KAPPA_V, n] += track[_KV]
    track[_V] = mu
    track[_A] -= beta * mu
    track[_H] -= e + rho


@njit(**LEAF)
def _flow_back(lam_v, lam_q, wide, span, cells, groups, g0, g1, low, adaptive, constants):
    real = lam_v.dtype.type
    a_vv, a_ii, a_vu, a_aa, a_va = 1.0, 1.0, 0.0, 1.0, 0.0
    for g in range(g0, g1):
        n = groups.ptr[g]
        first, last = n - low, groups.ptr[g + 1] - low
        if groups.fresh[g] or g == g0:
            a_vv, a_ii, a_vu = flow(span, cells[n, TAU_MEM], cells[n, TAU_SYN])
            if adaptive:
                a_aa, _ = decay(span / cells[n, TAU_A])
                a_va = response(span, cells[n, TAU_MEM], cells[n, TAU_A])
        if adaptive or constants:
            _wide_back(lam_v, lam_q, wide, span, cells, low, first, last, a_ii, a_aa, a_va, adaptive, constants)
        _rows_back(
            lam_v[first:last], lam_q[first:last], real(a_vv), real(a_ii), real(cells[n, R] / cells[n, TAU_SYN] * a_vu)
        )


@njit(**LEAF)
def _rows_back(lam_v, lam_q, a_vv, a_ii, a_vq):
    for n in range(len(lam_v)):
        lam_v[n], lam_q[n] = adjoint_flow(lam_v[n], lam_q[n], a_vv, a_ii, a_vq)


@njit(**LEAF)
def _wide_back(lam_v, lam_q, wide, span, cells, low, first, last, a_ii, a_aa, a_va, adaptive, constants):
    # Adjoint of the adaptation, filtered adjoints, and the time integral of the conserved quantity.
    n = low + first
    tau_mem, tau_syn, tau_a, r = cells[n, TAU_MEM], cells[n, TAU_SYN], cells[n, TAU_A], cells[n, R]
    second = r * second_response(span, tau_mem, tau_syn) if constants else 0.0
    second_a = second_response(span, tau_mem, tau_a) if constants and adaptive else 0.0
    for m in range(first, last):
        v, a = lam_v[m], wide[0, m]
        if constants:
            wide[1, m] = a_ii * (wide[1, m] + span * tau_syn * lam_q[m]) + second * v
            wide[5, m] += wide[4, m] * span
        if adaptive:
            pull = cells[low + m, PULL]
            if constants:
                wide[2, m] = a_aa * (wide[2, m] + span * a) - pull * second_a * v
                wide[3, m] = a_aa * wide[3, m] + tau_mem * a_va * v
            wide[0, m] = a_aa * a - pull * a_va * v


@njit(**LEAF)
def _add(total, row):
    for n in range(len(total)):
        total[n] += row[n]


@njit(**LEAF, fastmath={"reassoc", "contract"})
def _dot_arrivals(row, lam_v, lam_q, pull, syn_rate):
    # dL/d(arrival time): for each synapse (w/tau_syn)(lambda_i/tau_syn - (r/tau_mem) lambda_v).
    total = row.dtype.type(0)
    for n in range(len(row)):
        total += row[n] * (lam_q[n] - pull[n] * lam_v[n]) * syn_rate[n]
    return total


@njit(**LEAF)
def _arrive(wide, row, lam_v, lam_q, q, low, cells, sums):
    for k in range(len(row)):
        m, n = q + k, low + q + k
        rate, weight = 1 / cells[n, TAU_SYN], float(row[k])
        kappa = wide[1, m]
        sums[W_Q, n] += weight * lam_q[m]
        sums[W_KAPPA, n] += weight * rate * kappa
        sums[JUMPS, n] += weight * rate * (rate * rate * kappa - lam_q[m])
        wide[4, m] += weight * rate * (lam_q[m] - cells[n, R] / cells[n, TAU_MEM] * lam_v[m])


@njit(**LEAF)
def _give_kinks(
    first, after, opened, weight, target, slot, wire, wires, store, w, probes, probe_times, low, e, delay_grad
):  # fmt: skip
    # A largest membrane that an arrival ends moves with that arrival: the first of its instant that pulls down.
    for p in range(probe_times.shape[0]):
        for j in range(after + 1, first + 1):
            c, q = wire[j], target[j]
            for k in range(wires.width[c]):
                n = low + q + k
                if probe_times[p, n] == opened and probes[p, n, 2] > 0 and w[weight[j] + k] < 0:
                    total = probes[p, n, 0] * probes[p, n, 1]
                    e[slot[j]] += total
                    delay_grad[delay_slot(wires, c, store.neurons[slot[j]] - wires.low[c], weight[j])] += total
                    probes[p, n, 2] = 0.0
