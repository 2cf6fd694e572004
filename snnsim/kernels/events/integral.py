"""A readout that is integrated over the trial, in closed form: it is not simulated; and its adjoint below it."""

import numpy as np
from numba import njit, prange

from snnsim.dynamics.integral import (
    arrival_integral,
    arrival_integral_slopes,
    faded,
    start_integral,
    start_integral_slope,
)
from snnsim.kernels.events.arrivals import OUTER, arrivals, delay_slot
from snnsim.kernels.events.graph_backward import ENERGY, JUMPS, Q_START, READ, V_START, W_Q
from snnsim.kernels.events.graph_forward import CHARGE0, TAU_MEM, TAU_SYN, W0, R
from snnsim.kernels.jit import KERNEL, LEAF, SERIAL


@njit(**KERNEL)
def integral_forward(wires, store, w, cells, plan, om, y):
    """Integral of each membrane relative to where it settles, weighted with ``e^{-om t}``.

    Parameters
    ----------
    wires, store, w, cells, plan
        As in :func:`snnsim.kernels.events.graph_forward.graph_forward`.
    om : float
    y : ndarray, (B, N) float64
        Out.
    """
    for b in prange(len(y)):
        _integrate(np.int64(b), wires, store, w, cells, plan, om, y[b])


@njit(**SERIAL)
def _integrate(b, wires, store, w, cells, plan, om, y):
    size = len(y)
    bounds, time, weight, target, _, wire = arrivals(
        b, wires, store, plan.unit_size, plan.n_units, plan.duration, OUTER
    )
    for n in range(size):
        charge, _ = arrival_integral(0.0, plan.duration, cells[n, R], cells[n, TAU_MEM], cells[n, TAU_SYN], om)
        y[n] = cells[n, W0] * start_integral(plan.duration, cells[n, TAU_MEM], om) + cells[n, CHARGE0] * charge
    kept = 0.0
    for unit in range(plan.n_units):
        last, before = np.nan, -1
        for j in range(bounds[unit], bounds[unit + 1]):
            for k in range(wires.width[wire[j]]):
                n = unit * plan.unit_size + target[j] + k
                if not _same(cells, n, before) or time[j] != last:
                    kept, _ = arrival_integral(
                        time[j], plan.duration, cells[n, R], cells[n, TAU_MEM], cells[n, TAU_SYN], om
                    )
                    last, before = time[j], n
                y[n] += kept * w[weight[j] + k]


@njit(**SERIAL, inline="always")
def _same(cells, n, m):
    return m >= 0 and (
        (cells[n, R] == cells[m, R])
        & (cells[n, TAU_MEM] == cells[m, TAU_MEM])
        & (cells[n, TAU_SYN] == cells[m, TAU_SYN])
    )


@njit(**KERNEL)
def integral_backward(wires, store, w, cells, plan, constants, om, signal, e, grad_parts, delay_parts, sums):
    """Gradients of the integrals.

    Parameters
    ----------
    wires, store, w, cells, plan, om
        As in :func:`integral_forward`.
    constants : bool
        Whether gradients of time constants and resistance are asked for.
    signal : ndarray, (B, N) float64
        dL/d(integral).
    e, grad_parts, delay_parts, sums
        As in :func:`snnsim.kernels.events.graph_backward.graph_backward`.
    """
    n_parts, batch = len(grad_parts), len(signal)
    for part in prange(n_parts):
        grad_parts[part] = 0
        delay_parts[part] = 0
        sums[part] = 0
        for b in range(batch * part // n_parts, batch * (part + 1) // n_parts):
            _differentiate(
                np.int64(b),
                wires,
                store,
                w,
                cells,
                plan,
                constants,
                om,
                signal[b],
                e,
                grad_parts[part],
                delay_parts[part],
                sums[part],
            )


@njit(**LEAF, inline="always")
def _learn(sums, n, weight, by_mem, by_syn, tau_mem):
    # Where :func:`snnsim.engines.constants.constant_gradients` looks for them.
    sums[ENERGY, n] -= weight * by_mem * tau_mem
    sums[JUMPS, n] += weight * by_syn


@njit(**SERIAL)
def _differentiate(b, wires, store, w, cells, plan, constants, om, signal, e, grad, delay_grad, sums):
    bounds, time, weight, target, slot, wire = arrivals(
        b, wires, store, plan.unit_size, plan.n_units, plan.duration, OUTER
    )
    for n in range(len(signal)):
        charge, _ = arrival_integral(0.0, plan.duration, cells[n, R], cells[n, TAU_MEM], cells[n, TAU_SYN], om)
        sums[V_START, n] += signal[n] * start_integral(plan.duration, cells[n, TAU_MEM], om)
        sums[Q_START, n] += signal[n] * charge
        sums[READ, n] += signal[n] * faded(om, plan.duration)
        if constants:
            r, tau_mem, tau_syn = cells[n, R], cells[n, TAU_MEM], cells[n, TAU_SYN]
            by_mem, by_syn = arrival_integral_slopes(0.0, plan.duration, r, tau_mem, tau_syn, om)
            by_mem = cells[n, CHARGE0] * by_mem + cells[n, W0] * start_integral_slope(plan.duration, tau_mem, om)
            # The initial charge is tau_syn times the initial current.
            _learn(sums, n, signal[n], by_mem, cells[n, CHARGE0] * (charge / tau_syn + by_syn), tau_mem)
    kept, moved, by_mem, by_syn = 0.0, 0.0, 0.0, 0.0
    for unit in range(plan.n_units):
        last, before = np.nan, -1
        for j in range(bounds[unit], bounds[unit + 1]):
            c = wire[j]
            total = 0.0
            for k in range(wires.width[c]):
                n = unit * plan.unit_size + target[j] + k
                if not _same(cells, n, before) or time[j] != last:
                    kept, moved = arrival_integral(
                        time[j], plan.duration, cells[n, R], cells[n, TAU_MEM], cells[n, TAU_SYN], om
                    )
                    last, before = time[j], n
                    if constants:
                        by_mem, by_syn = arrival_integral_slopes(
                            time[j], plan.duration, cells[n, R], cells[n, TAU_MEM], cells[n, TAU_SYN], om
                        )
                if constants:
                    weighted = signal[n] * w[weight[j] + k]
                    sums[W_Q, n] += weighted * kept
                    _learn(sums, n, weighted, by_mem, by_syn, cells[n, TAU_MEM])
                grad[weight[j] + k] += signal[n] * kept
                total += signal[n] * w[weight[j] + k] * moved
            if wires.want[c]:
                e[slot[j]] += total
                delay_grad[delay_slot(wires, c, store.neurons[slot[j]] - wires.low[c], weight[j])] += total
