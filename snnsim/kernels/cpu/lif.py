"""A layer of LIF neurons forward in time and, below it, its adjoint backward in time.

Shapes: B samples, T steps, N neurons; a call advances the steps ``k0 <= k < k1`` of a batch, its state is carried in
arrays between calls. ``coefficients`` is ``(a_ii, b_i, a_vv, a_vi, b_v)`` and ``neuron`` is
``(v_threshold, v_reset, r, tau_mem, tau_syn, dt, max_inverse_slope)``, tuples of scalars of the arrays' dtype.
"""

import numpy as np
from numba import njit, prange

from snnsim.dynamics.lif import (
    adjoint_input,
    adjoint_spike,
    adjoint_spike_amplitude,
    adjoint_synapse,
    adjoint_trace,
    fast_sigmoid_derivative,
    fires,
    inverse_difference,
    inverse_slope,
    membrane_slope,
    reset_gain,
    reset_membrane,
    sigmoid_derivative,
    step_membrane,
    step_synapse,
)
from snnsim.kernels.jit import KERNEL

GRADIENT_EXACT, GRADIENT_LITERAL, GRADIENT_TSSL = 0, 1, 2


@njit(**KERNEL)
def lif_forward(
    x, coefficients, neuron, reset, gradient, k0, k1, v, i_syn, neurons, spike_ptr, inverse, slope, v_trace, i_trace,
    every,
):  # fmt: skip
    """Advance a layer and list its spikes.

    Parameters
    ----------
    x : ndarray, (B, >= k1 - k0, N) float
        Summed input weight of each step.
    coefficients, neuron : tuple of float
    reset : int
        :data:`~snnsim.dynamics.lif.RESET_HARD` and its like.
    gradient : int
        What to keep of each spike for the backward pass: ``GRADIENT_EXACT`` and ``GRADIENT_LITERAL`` the clamped
        ``1/slope_minus`` and ``slope_plus``; ``GRADIENT_TSSL`` ``1/(v_k - ~v_{k-1})`` and the jump ``v_k - ~v_k``.
    k0, k1 : int
    v, i_syn : ndarray, (B, N) float
        State after step ``k0 - 1``, and on return after step ``k1 - 1``; v after reset.
    neurons : ndarray, (B, cap) int32
        Spikes, ordered by step, then neuron. A sample with more than cap spikes runs to its end without storing the
        surplus; its ``spike_ptr[b, k1]`` then exceeds cap and the caller runs it again with more room.
    spike_ptr : ndarray, (B, T + 1) int32
        ``spike_ptr[:, 0]`` is zero.
    inverse, slope : ndarray, (B, cap) float
        Kept per spike, see ``gradient``.
    v_trace, i_trace : ndarray, (B, T // every, N) float, or empty
        Membrane before reset and current after every ``every``-th step.
    every : int
    """
    a_ii, b_i, a_vv, a_vi, b_v = coefficients
    v_threshold, v_reset, r, tau_mem, _, dt, max_inverse_slope = neuron
    n_neurons = x.shape[2]
    cap = neurons.shape[1]
    for b in prange(x.shape[0]):
        va, i = v[b], i_syn[b]
        vb = np.empty(n_neurons, x.dtype)
        fired = np.empty(n_neurons, np.int32)
        stored = spike_ptr[b, k0]
        for k in range(k0, k1):
            xk = x[b, k - k0]
            for n in range(n_neurons):
                vb[n] = step_membrane(va[n], i[n], xk[n], a_vv, a_vi, b_v)
                i[n] = step_synapse(i[n], xk[n], a_ii, b_i)
            m = 0
            for n in range(n_neurons):
                fired[m] = n
                m += fires(vb[n], v_threshold)
            if stored + m <= cap:
                for j in range(m):
                    n = fired[j]
                    neurons[b, stored + j] = n
                    after = reset_membrane(vb[n], v_threshold, v_reset, reset)
                    if gradient == GRADIENT_TSSL:
                        inverse[b, stored + j] = inverse_difference(vb[n], va[n], max_inverse_slope)
                        slope[b, stored + j] = vb[n] - after
                    else:
                        inverse[b, stored + j] = inverse_slope(vb[n], va[n], i[n], dt, r, tau_mem, max_inverse_slope)
                        slope[b, stored + j] = membrane_slope(after, i[n], r, tau_mem)
            stored += m
            spike_ptr[b, k + 1] = stored
            for n in range(n_neurons):
                va[n] = vb[n]
            for j in range(m):
                va[fired[j]] = reset_membrane(vb[fired[j]], v_threshold, v_reset, reset)
            if (k + 1) % every == 0:
                row = (k + 1) // every - 1
                if v_trace.size:
                    for n in range(n_neurons):
                        v_trace[b, row, n] = vb[n]
                if i_trace.size:
                    for n in range(n_neurons):
                        i_trace[b, row, n] = i[n]


@njit(**KERNEL)
def lif_backward(
    coefficients, neuron, reset, gradient, continuous, k0, k1, neurons, spike_ptr, inverse, slope, error, dloss_dv,
    g, h, carry, adjoint, spike_adjoint,
):  # fmt: skip
    """Run the adjoint from step ``k1 - 1`` down to ``k0``.

    Parameters
    ----------
    coefficients, neuron : tuple of float
    reset, gradient : int
        As in :func:`lif_forward`.
    continuous : bool
        Put ``h_k/tau_syn`` (eq 40 with the continuous model's coefficient) instead of ``X_k`` into ``adjoint``.
    k0, k1 : int
    neurons, spike_ptr, inverse, slope : ndarray
        From :func:`lif_forward`.
    error : ndarray, (B, cap) float
        ``e``: dL/d(spike time) of every spike; dL/ds with ``GRADIENT_TSSL``.
    dloss_dv : ndarray, (B, T, N) float, or empty
    g, h, carry : ndarray, (B, N) float
        Adjoint state, zero before the first call (``k1 = T``); ``carry`` holds ``X_{k1}`` (literal: ``Z_{k1}``).
    adjoint : ndarray, (B, >= k1 - k0, N) float
        Output for the weight gradient.
    spike_adjoint : ndarray, (B, >= k1 - k0, N) float, or empty
        Output for the presynaptic error: ``(X_{k+1} - X_k)/dt``; literal: ``Z_k``; TSSL: ``X_k``.
    """
    a_ii, b_i, a_vv, a_vi, b_v = coefficients
    tau_syn, dt = neuron[4], neuron[5]
    n_neurons = g.shape[1]
    for b in prange(g.shape[0]):
        gb, hb, cb = g[b], h[b], carry[b]
        for k in range(k1 - 1, k0 - 1, -1):
            for n in range(n_neurons):
                hb[n] = adjoint_synapse(hb[n], gb[n], a_ii, a_vi)
                gb[n] = a_vv * gb[n]
            for j in range(spike_ptr[b, k], spike_ptr[b, k + 1]):
                n = neurons[b, j]
                if gradient == GRADIENT_TSSL:
                    gb[n] = adjoint_spike_amplitude(gb[n], error[b, j], slope[b, j], inverse[b, j], reset)
                else:
                    gb[n] = adjoint_spike(gb[n], error[b, j], slope[b, j], inverse[b, j])
            if dloss_dv.size:
                for n in range(n_neurons):
                    gb[n] += dloss_dv[b, k, n]
            out = adjoint[b, k - k0]
            for n in range(n_neurons):
                out[n] = adjoint_input(gb[n], hb[n], b_v, b_i)
            if spike_adjoint.size:
                line = spike_adjoint[b, k - k0]
                if gradient == GRADIENT_LITERAL:
                    for n in range(n_neurons):
                        cb[n] = adjoint_trace(cb[n], hb[n], a_ii, b_i, tau_syn)
                        line[n] = cb[n]
                elif gradient == GRADIENT_TSSL:
                    for n in range(n_neurons):
                        line[n] = out[n]
                else:
                    for n in range(n_neurons):
                        line[n] = (cb[n] - out[n]) / dt
                        cb[n] = out[n]
            if continuous:
                for n in range(n_neurons):
                    out[n] = hb[n] / tau_syn


@njit(**KERNEL)
def surrogate_backward(
    coefficients, neuron, reset, width, fallback, continuous, k0, k1, neurons, spike_ptr, inverse, slope, v_trace,
    error, dloss_dv, g, h, adjoint, spike_adjoint,
):  # fmt: skip
    """Backpropagation through time with a derivative of the spike at every step, from ``k1 - 1`` down to ``k0``.

    Parameters
    ----------
    width : float
        Of the arrays' dtype: steepness of the fast sigmoid, or width of TSSL-BP's sigmoid if ``fallback``.
    fallback : bool
        False: SuperSpike's fast sigmoid at every step, reset not differentiated. True: TSSL-BP, where neurons that are
        silent in a sample use a sigmoid's derivative and all others the rule of :func:`lif_backward`.
    v_trace : ndarray, (B, T, N) float
        Membrane before reset.
    error : ndarray, (B, T, N) float
        dL/ds of every step.
    coefficients, neuron, reset, continuous, k0, k1, neurons, spike_ptr, inverse, slope, dloss_dv, g, h, adjoint
        As in :func:`lif_backward`.
    spike_adjoint : ndarray, (B, >= k1 - k0, N) float, or empty
        Output for the presynaptic error: ``X_k``.
    """
    a_ii, b_i, a_vv, a_vi, b_v = coefficients
    v_threshold, tau_syn = neuron[0], neuron[4]
    n_neurons = g.shape[1]
    for b in prange(g.shape[0]):
        gb, hb = g[b], h[b]
        p = np.empty(n_neurons, g.dtype)
        silent = np.empty(n_neurons, g.dtype)
        if fallback:
            for n in range(n_neurons):
                silent[n] = 1
            for j in range(spike_ptr[b, spike_ptr.shape[1] - 1]):
                silent[neurons[b, j]] = 0
        for k in range(k1 - 1, k0 - 1, -1):
            vk, ek = v_trace[b, k], error[b, k]
            for n in range(n_neurons):
                hb[n] = adjoint_synapse(hb[n], gb[n], a_ii, a_vi)
                p[n] = a_vv * gb[n]
            if fallback:
                for n in range(n_neurons):
                    gb[n] = p[n] + silent[n] * sigmoid_derivative(vk[n], v_threshold, width) * ek[n]
            else:
                for n in range(n_neurons):
                    gb[n] = p[n] + fast_sigmoid_derivative(vk[n], v_threshold, width) * ek[n]
            for j in range(spike_ptr[b, k], spike_ptr[b, k + 1]):
                n = neurons[b, j]
                if fallback:
                    gb[n] = adjoint_spike_amplitude(p[n], ek[n], slope[b, j], inverse[b, j], reset)
                else:
                    gb[n] += (reset_gain(reset) - 1) * p[n]
            if dloss_dv.size:
                for n in range(n_neurons):
                    gb[n] += dloss_dv[b, k, n]
            out = adjoint[b, k - k0]
            for n in range(n_neurons):
                out[n] = adjoint_input(gb[n], hb[n], b_v, b_i)
            if spike_adjoint.size:
                for n in range(n_neurons):
                    spike_adjoint[b, k - k0, n] = out[n]
            if continuous:
                for n in range(n_neurons):
                    out[n] = hb[n] / tau_syn
