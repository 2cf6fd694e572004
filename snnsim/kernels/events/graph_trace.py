"""Membrane, current and adaptation of chosen neurons at chosen times, from the spikes of a finished forward pass."""

import numpy as np
from numba import njit

from snnsim.dynamics.events import decay
from snnsim.dynamics.graph_events import adaptive_flow
from snnsim.kernels.events.arrivals import ALL, arrivals
from snnsim.kernels.events.graph_forward import (
    A0,
    CHARGE0,
    JUMP,
    PULL,
    T_REF,
    TAU_A,
    TAU_MEM,
    TAU_SYN,
    W0,
    W_RESET,
    R,
)
from snnsim.kernels.jit import SERIAL


@njit(**SERIAL)
def graph_trace(wires, store, own, w, cells, plan, chosen, sample_times, v_out, i_out, a_out):
    """Sample states in closed form.

    At one instant an own spike comes last: a sample there shows membrane and adaptation before it, and the current with
    all that has arrived.

    Parameters
    ----------
    wires, store, w, cells, plan
        As in :func:`snnsim.kernels.events.graph_forward.graph_forward`.
    own : int
        The component's slab in the store.
    chosen : ndarray, (M,) int64
        Neurons of the component.
    sample_times : ndarray, (K,) float64
        Ascending.
    v_out, i_out, a_out : ndarray, (B, K, M) float64
        Out: the membrane relative to where it settles without input.
    """
    for b in range(len(v_out)):
        bounds, time, weight, target, _, wire = arrivals(
            np.int64(b), wires, store, plan.unit_size, plan.n_units, plan.duration, ALL
        )
        begin = store.start[own] + b * store.cap[own]
        for m in range(len(chosen)):
            n = chosen[m]
            unit, local = n // plan.unit_size, n % plan.unit_size
            tau_mem, tau_syn, tau_a, pull = cells[n, TAU_MEM], cells[n, TAU_SYN], cells[n, TAU_A], cells[n, PULL]
            v, u, a, now = cells[n, W0], cells[n, R] / tau_syn * cells[n, CHARGE0], cells[n, A0], 0.0
            release = -1.0
            s, end, j = begin, begin + store.counts[own, b], bounds[unit]
            for k in range(len(sample_times)):
                until = sample_times[k]
                while True:
                    while s < end and store.neurons[s] != n:
                        s += 1
                    while j < bounds[unit + 1] and not target[j] <= local < target[j] + wires.width[wire[j]]:
                        j += 1
                    spike = store.times[s] if s < end else np.inf
                    arrival = time[j] if j < bounds[unit + 1] else np.inf
                    t = min(min(spike, arrival), until)
                    if now < release <= t:
                        u *= decay((release - now) / tau_syn)[0]
                        a *= decay((release - now) / tau_a)[0]
                        now = release
                    if release > now:
                        u *= decay((t - now) / tau_syn)[0]
                        a *= decay((t - now) / tau_a)[0]
                    else:
                        v, u, a = adaptive_flow(v, u, a, t - now, tau_mem, tau_syn, tau_a, pull)
                    now = t
                    if spike == t and t < until:
                        v, a, release = cells[n, W_RESET], a + cells[n, JUMP], t + cells[n, T_REF]
                        s += 1
                    elif arrival == t and not (spike == t and t < until):
                        u += cells[n, R] / tau_syn * w[weight[j] + local - target[j]]
                        j += 1
                    else:
                        break
                v_out[b, k, m], i_out[b, k, m], a_out[b, k, m] = v, u / cells[n, R], a
