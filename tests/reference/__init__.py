"""Slow, serial, plain NumPy float64 oracle: it shares no code with the package and imports nothing from it.

Everything works on one sample (one trial). Voltages are relative to ``v_leak``. ``parameters`` is a list with
one entry a layer: a mapping, or any object with attributes, that has ``tau_mem, tau_syn, r, v_threshold,
v_reset`` and optionally ``v_leak`` (0) and ``reset`` ("hard", "subtract" or "none"; "hard"); a single entry
serves every layer. ``weights[l]`` is ``(N_in, N_out)``.

Clock (step k from 0, its spike lies at ``(k + 1) * dt``)::

    coefficients(parameter, dt, scheme="backward_euler", impulse="unit-area") -> (a_ii, b_i, a_vv, a_vi, b_v)
    clock_forward(spikes, weights, parameters, dt, scheme="backward_euler", impulse="unit-area",
                  readout="spiking", coefficient_sets=None) -> list of ClockLayer
        spikes (T, N_in) counts a step.
        ClockLayer: x, v, v_after, i, spikes, slope_minus, slope_plus, each (T, N); inputs (T, N_in);
        coefficients; neuron; dt; area; spiking.
        coefficient_sets: one 5-tuple a layer, used instead of the oracle's own.
    clock_backward(layers, weights, gradient="exact", e=None, amplitude=None, dloss_dv=None, dloss_di=None,
                   weight_gradient="discrete", max_inverse_slope=1e4, tssl_max_inverse_difference=8.0,
                   sigmoid_fallback=False, sigmoid_width=0.2, beta=10.0) -> ClockGradient
        gradient: "exact" | "literal" (loss: e (T, N_out) = dL/d(spike time), read at output spikes only),
        "tssl" | "surrogate" (loss: amplitude (T, N_out) = dL/ds); with each: dloss_dv, dloss_di (T, N_out).
        ClockGradient: grad_w (one (N_in, N_out) a layer); e, g, h, X (one (T, N) a layer); e_input (T, N_in).
    explicit_backward(layers, weights, e=None, dloss_dv=None, dloss_di=None, max_inverse_slope=1e4)
                  -> ClockGradient with g = h = (): "exact" as the O(T^2) sum over kernels
    threshold_margin(layers) -> smallest |v - v_threshold| of all spiking layers
    bin_spikes(times, neurons, n_neurons, n_steps, dt) -> (T, N) counts; step k is (k dt, (k+1) dt]

Events (exact in continuous time)::

    closed_form(v, i, t, neuron) -> (v, i) after a time t without input or threshold
    simulate_events(times, neurons, weights, parameters, duration, readout="spiking", sample_times=())
                  -> list of EventLayer
        EventLayer: times (S,), neurons (S,), slope_minus (S,), slope_plus (S,) sorted by time, then neuron;
        v (K, N) at sample_times; inputs; log. Inputs and spikes lie in [0, duration].
    event_backward(layers, weights, e=None, dloss_dv=None, max_inverse_slope=inf) -> EventGradient
        e (S_out,) = dL/d(spike time) in the order of layers[-1].times, dloss_dv (K, N_out).
        EventGradient: grad_w (one (N_in, N_out) a layer), e (one (S,) a layer), e_input (S_in,).

Helpers::

    central_difference(function, array, step=1e-6, signature=None) -> derivative, entry by entry;
        entries whose perturbation changes signature(array) (say, the spike counts) are nan
    fourth_order(function, step) -> derivative of a function of one number at 0
    cosine(a, b), relative_error(a, b): of two arrays or two lists of arrays, without the entries that are nan
        in either

General graphs, with delays, adaptation and refractory periods, have modules of their own, whose docstrings list their
functions: `graph` (the description), `graph_clock`, `graph_event`.
"""

from tests.reference.clock import (
    ClockGradient,
    ClockLayer,
    bin_spikes,
    clock_backward,
    clock_forward,
    threshold_margin,
)
from tests.reference.coefficients import Neuron, coefficients, neuron_of
from tests.reference.differences import central_difference, cosine, fourth_order, relative_error
from tests.reference.events import EventGradient, EventLayer, closed_form, event_backward, simulate_events
from tests.reference.explicit import explicit_backward

__all__ = [
    "ClockGradient",
    "ClockLayer",
    "EventGradient",
    "EventLayer",
    "Neuron",
    "bin_spikes",
    "central_difference",
    "clock_backward",
    "clock_forward",
    "closed_form",
    "coefficients",
    "cosine",
    "event_backward",
    "explicit_backward",
    "fourth_order",
    "neuron_of",
    "relative_error",
    "simulate_events",
    "threshold_margin",
]
