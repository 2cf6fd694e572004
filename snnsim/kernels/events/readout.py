"""A leaky readout (no threshold) in continuous time, sampled at given instants, and its adjoint below it."""

import numpy as np
from numba import njit, prange

from snnsim.dynamics.events import flow
from snnsim.kernels.cpu.synapse import add_rows
from snnsim.kernels.events.backward import dot_arrivals, flow_back
from snnsim.kernels.events.forward import add_row


@njit(parallel=True, cache=True, error_model="numpy")
def readout_forward(neurons_in, times_in, instants, n_instants, flows, w, neuron, sample_times, v_out):
    """Membrane of a readout at the sample times; a sample at the instant of an input is not touched by it.

    Parameters
    ----------
    neurons_in, times_in, instants, n_instants, flows, w, neuron
        As in :func:`snnsim.kernels.events.forward.spiking_forward`.
    sample_times : ndarray, (K,) float64
        Ascending.
    v_out : ndarray, (B, K, N) float
        Out.
    """
    _, _, r, tau_mem, tau_syn = neuron
    size = w.shape[1]
    real = w.dtype.type
    for b in prange(len(n_instants)):
        v, charge = np.zeros(size, w.dtype), np.zeros(size, w.dtype)
        found = n_instants[b]
        k = 0
        first = times_in[b, 0] if found else np.inf
        while k < len(sample_times) and sample_times[k] <= first:
            v_out[b, k] = 0
            k += 1
        for m in range(found):
            opened = times_in[b, instants[b, m]]
            closed = times_in[b, instants[b, m + 1]] if m + 1 < found else np.inf
            add_rows(charge, w, neurons_in[b], instants[b, m], instants[b, m + 1])
            while k < len(sample_times) and sample_times[k] <= closed:
                s_vv, _, s_vu = flow(sample_times[k] - opened, tau_mem, tau_syn)
                a_vv, a_vq = real(s_vv), real(s_vu * r / tau_syn)
                for n in range(size):
                    v_out[b, k, n] = a_vv * v[n] + a_vq * charge[n]
                k += 1
            a_vv, a_ii, a_vq = real(flows[b, m, 0]), real(flows[b, m, 1]), real(flows[b, m, 2] * r / tau_syn)
            for n in range(size):
                v[n] = a_vv * v[n] + a_vq * charge[n]
                charge[n] *= a_ii


@njit(parallel=True, cache=True, error_model="numpy")
def readout_backward(neurons_in, times_in, instants, n_instants, flows, w, neuron, sample_times, dv, grad_parts, e_in):
    """Gradient of a readout's weights and input spike times.

    Parameters
    ----------
    neurons_in, times_in, instants, n_instants, flows, w, neuron, sample_times
        As in :func:`readout_forward`.
    dv : ndarray, (B, K, N) float64
        dL/d(v at the sample times).
    grad_parts : ndarray, (n_groups, N_in, N) float
        Out: ``grad_w`` of each group of samples.
    e_in : ndarray, (B, cap_in) float64, or with B = 0 if not wanted
        Out: dL/d(spike time) of the input spikes.
    """
    _, _, r, tau_mem, tau_syn = neuron
    n_groups, _, size = grad_parts.shape
    batch = len(n_instants)
    gain = r / tau_syn
    real = w.dtype.type
    for group in prange(n_groups):
        grad = grad_parts[group]
        grad[:] = 0
        lambda_v, lambda_q = np.zeros(size, w.dtype), np.zeros(size, w.dtype)
        for b in range(batch * group // n_groups, batch * (group + 1) // n_groups):
            lambda_v[:] = 0
            lambda_q[:] = 0
            k = len(sample_times) - 1
            found = n_instants[b]
            for m in range(found - 1, -1, -1):
                if m + 1 < found:
                    a_vv, a_ii, a_vq = real(flows[b, m, 0]), real(flows[b, m, 1]), real(gain * flows[b, m, 2])
                    flow_back(lambda_v, lambda_q, a_vv, a_ii, a_vq)
                opened = times_in[b, instants[b, m]]
                while k >= 0 and sample_times[k] > opened:
                    s_vv, _, s_vu = flow(sample_times[k] - opened, tau_mem, tau_syn)
                    a_vv, a_vq = real(s_vv), real(s_vu * gain)
                    for n in range(size):
                        lambda_v[n] += a_vv * dv[b, k, n]
                        lambda_q[n] += a_vq * dv[b, k, n]
                    k -= 1
                for j in range(instants[b, m], instants[b, m + 1]):
                    add_row(grad[neurons_in[b, j]], lambda_q)
                    if len(e_in):
                        e_in[b, j] = dot_arrivals(w[neurons_in[b, j]], lambda_v, lambda_q, r / tau_mem) / tau_syn
