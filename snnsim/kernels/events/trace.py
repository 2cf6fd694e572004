"""Membrane and current of chosen neurons at chosen times, from the spikes of a finished forward pass."""

import numpy as np
from numba import njit, prange

from snnsim.dynamics.events import flow


@njit(parallel=True, cache=True, error_model="numpy")
def trace(
    neurons_in, times_in, counts_in, w, neuron, spiking, neurons, times, counts, column, sample_times, v_out, i_out
):
    """Sample states in closed form.

    At one instant an own spike comes last: a sample there shows the membrane before reset, and the current with all
    input that has arrived.

    Parameters
    ----------
    neurons_in, times_in, counts_in : ndarray, (B, cap_in), (B, cap_in), (B,)
    w : ndarray, (N_in, N) float
    neuron : tuple of float
        ``(v_threshold, v_reset, r, tau_mem, tau_syn)``.
    spiking : bool
    neurons, times, counts : ndarray, (B, cap), (B, cap), (B,)
        The layer's own spikes; ignored for a readout.
    column : ndarray, (N,) int64
        Place of each neuron in the output, or -1.
    sample_times : ndarray, (K,) float64
        Ascending.
    v_out, i_out : ndarray, (B, K, M) float
        Out: relative to rest.
    """
    _, v_reset, r, tau_mem, tau_syn = neuron
    size = v_out.shape[2]
    chosen = np.zeros(size, np.int64)
    for n in range(len(column)):
        if column[n] >= 0:
            chosen[column[n]] = n
    for b in prange(len(counts_in)):
        v, i, since = np.zeros(size), np.zeros(size), np.zeros(size)
        j, s = 0, 0
        own = counts[b] if spiking else 0
        for k in range(len(sample_times)):
            until = sample_times[k]
            while True:
                input_next = times_in[b, j] if j < counts_in[b] else np.inf
                own_next = times[b, s] if s < own else np.inf
                if input_next <= until and input_next <= own_next:
                    for p in range(size):
                        a_vv, a_ii, a_vu = flow(input_next - since[p], tau_mem, tau_syn)
                        v[p] = a_vv * v[p] + r * a_vu * i[p]
                        i[p] = a_ii * i[p] + w[neurons_in[b, j], chosen[p]] / tau_syn
                        since[p] = input_next
                    j += 1
                elif own_next < until:
                    p = column[neurons[b, s]]
                    if p >= 0:
                        _, a_ii, _ = flow(own_next - since[p], tau_mem, tau_syn)
                        v[p] = v_reset
                        i[p] *= a_ii
                        since[p] = own_next
                    s += 1
                else:
                    break
            for p in range(size):
                a_vv, a_ii, a_vu = flow(until - since[p], tau_mem, tau_syn)
                v_out[b, k, p] = a_vv * v[p] + r * a_vu * i[p]
                i_out[b, k, p] = a_ii * i[p]
