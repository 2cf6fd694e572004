"""Synapses as lists by source neuron, each with a weight and a delay of its own: input, gradients, and errors.

For what no table of rows serves: sparse wiring, and delays that differ from synapse to synapse. Source neuron i has
the synapses ``indptr[i]:indptr[i + 1]``; synapse s leads to neuron ``targets[s]`` with ``weights[s]``, and a spike of
step k arrives in step ``k + steps[s]`` with the share ``1 - fractions[s]`` and in the next step with the rest (linear
interpolation between grid points). ``reach`` is the largest of ``steps`` plus two.

Spikes are ``neurons (B, cap) int32`` and ``spike_ptr (B, T + 1) int32``. A call sees the arrivals of the steps
``k0 <= k < k1``; called for every chunk of a trial, each arrival is seen once.
"""

import numpy as np
from numba import njit, prange

from snnsim.kernels.cpu.synapse import STRANDS
from snnsim.kernels.jit import KERNEL


@njit(**KERNEL)
def synapse_input(indptr, targets, weights, steps, fractions, reach, neurons, spike_ptr, k0, k1, x):
    """Sum the weights that arrive in the steps ``k0 <= k < k1``.

    Parameters
    ----------
    indptr, targets, weights, steps, fractions
        (N_in + 1,) int64, then (S,) int32, float, int32 and float; see the module.
    reach : int
    neurons, spike_ptr : ndarray
    k0, k1 : int
    x : ndarray, (B, >= k1 - k0, N) float
        Output.
    """
    one = x.dtype.type(1)
    for b in prange(spike_ptr.shape[0]):
        out = x[b]
        for k in range(k1 - k0):
            for n in range(out.shape[1]):
                out[k, n] = 0
        for k in range(max(k0 - reach, 0), k1):
            for j in range(spike_ptr[b, k], spike_ptr[b, k + 1]):
                i = neurons[b, j]
                for s in range(indptr[i], indptr[i + 1]):
                    row = k + steps[s] - k0
                    if 0 <= row < k1 - k0:
                        out[row, targets[s]] += (one - fractions[s]) * weights[s]
                    if fractions[s] != 0 and 0 <= row + 1 < k1 - k0:
                        out[row + 1, targets[s]] += fractions[s] * weights[s]


@njit(**KERNEL)
def synapse_gradient(
    indptr, targets, weights, steps, fractions, adjoint, k0, k1, first, span, entries, entry_ptr, dt, grad, grad_delay
):
    """Add to the gradients of weights and delays, one owner per source neuron.

    Parameters
    ----------
    indptr, targets, weights, steps, fractions
        See the module.
    adjoint : ndarray, (B, >= k1 - k0, N) float
        ``X_k`` in row ``k - k0``.
    k0, k1 : int
    first, span : int
        Entry ``b * span + k - first`` stands for a spike of sample b in step k.
    entries, entry_ptr : ndarray
        Spikes of the steps that can arrive, by source neuron, from
        :func:`~snnsim.kernels.cpu.synapse.transpose_rows`.
    dt : float
        Of the adjoint's dtype.
    grad : ndarray, (S,) float
        Added to: ``sum (1 - f) X_{k + d} + f X_{k + d + 1}``.
    grad_delay : ndarray, (S,) float, or empty
        Added to: ``w sum (X_{k + d + 1} - X_{k + d}) / dt``.
    """
    n_in, rows = indptr.shape[0] - 1, k1 - k0
    one = grad.dtype.type(1)
    zero = grad.dtype.type(0)
    for strand in prange(STRANDS):
        for i in range(strand, n_in, STRANDS):
            for s in range(indptr[i], indptr[i + 1]):
                n, f, shift = targets[s], fractions[s], first + steps[s] - k0
                total, rise = zero, zero
                for e in range(entry_ptr[i], entry_ptr[i + 1]):
                    b = entries[e] // span
                    row = entries[e] - b * span + shift
                    if 0 <= row < rows:
                        total += (one - f) * adjoint[b, row, n]
                        rise -= adjoint[b, row, n]
                    if 0 <= row + 1 < rows:
                        total += f * adjoint[b, row + 1, n]
                        rise += adjoint[b, row + 1, n]
                grad[s] += total
                if grad_delay.size:
                    grad_delay[s] += weights[s] * rise / dt


@njit(**KERNEL)
def synapse_error(
    indptr, targets, weights, steps, fractions, reach, interpolated, neurons, spike_ptr, passed, k0, k1, error
):
    """Add to the derivative by each presynaptic spike what it does in the steps ``k0 <= k < k1``.

    Parameters
    ----------
    indptr, targets, weights, steps, fractions, reach
        See the module.
    interpolated : bool
        Whether a spike acts as it arrives, in two shares (derivative by amplitude), or ``passed`` is taken at
        ``k + steps`` alone (derivative by time: the interpolated function's own).
    neurons, spike_ptr : ndarray
    passed : ndarray, (B, >= k1 - k0, N) float
        ``(X_{k+1} - X_k)/dt``, or ``X_k`` if interpolated.
    k0, k1 : int
    error : ndarray, (B, cap) float
        Added to.
    """
    rows = k1 - k0
    one = error.dtype.type(1)
    for b in prange(spike_ptr.shape[0]):
        for k in range(max(k0 - reach, 0), k1):
            for j in range(spike_ptr[b, k], spike_ptr[b, k + 1]):
                i = neurons[b, j]
                total = error.dtype.type(0)
                for s in range(indptr[i], indptr[i + 1]):
                    row, f = k + steps[s] - k0, fractions[s]
                    if not interpolated:
                        f = error.dtype.type(0)
                    if 0 <= row < rows:
                        total += (one - f) * weights[s] * passed[b, row, targets[s]]
                    if f != 0 and 0 <= row + 1 < rows:
                        total += f * weights[s] * passed[b, row + 1, targets[s]]
                error[b, j] += total


@njit(**KERNEL)
def synapse_error_everywhere(indptr, targets, weights, steps, fractions, adjoint, span, error):
    """Add to the derivative by the amplitude of every neuron in every step of a chunk.

    Parameters
    ----------
    indptr, targets, weights, steps, fractions
        See the module.
    adjoint : ndarray, (B, >= span + reach, N) float
        ``X_k`` of the chunk's steps and of those after it, zero at and after the end of the trial.
    span : int
        Steps of the chunk.
    error : ndarray, (B, >= span, N_in) float
        Added to: ``sum w ((1 - f) X_{k + d} + f X_{k + d + 1})``.
    """
    n_in = indptr.shape[0] - 1
    one = error.dtype.type(1)
    for b in prange(error.shape[0]):
        for k in range(span):
            for i in range(n_in):
                total = error.dtype.type(0)
                for s in range(indptr[i], indptr[i + 1]):
                    row, n, f = k + steps[s], targets[s], fractions[s]
                    total += weights[s] * ((one - f) * adjoint[b, row, n] + f * adjoint[b, row + 1, n])
                error[b, k, i] += total


@njit(**KERNEL)
def arrivals(neurons, spike_ptr, steps, rows_of, out_rows, out_ptr, source):
    """List spikes by the step in which they arrive, as rows of a table.

    Parameters
    ----------
    neurons, spike_ptr : ndarray, (B, cap) int32 and (B, T + 1) int32
    steps : ndarray, (N,) int32
        Delay of each source neuron; what arrives at or after T is dropped.
    rows_of : ndarray, (N,) int32
        Row of each source neuron; dropped where negative.
    out_rows, out_ptr : ndarray, (B, cap) int32 and (B, T + 1) int32
        Output.
    source : ndarray, (B, cap) int32
        Output: place of each listed spike in ``neurons``.
    """
    n_steps = spike_ptr.shape[1] - 1
    for b in prange(spike_ptr.shape[0]):
        ptr = out_ptr[b]
        place = np.zeros(n_steps + 1, np.int32)
        for k in range(n_steps):
            for j in range(spike_ptr[b, k], spike_ptr[b, k + 1]):
                at = k + steps[neurons[b, j]]
                if at < n_steps and rows_of[neurons[b, j]] >= 0:
                    place[at + 1] += 1
        ptr[0] = 0
        for k in range(n_steps):
            ptr[k + 1] = ptr[k] + place[k + 1]
            place[k] = ptr[k]
        for k in range(n_steps):
            for j in range(spike_ptr[b, k], spike_ptr[b, k + 1]):
                at = k + steps[neurons[b, j]]
                if at < n_steps and rows_of[neurons[b, j]] >= 0:
                    out_rows[b, place[at]] = rows_of[neurons[b, j]]
                    source[b, place[at]] = j
                    place[at] += 1


@njit(**KERNEL)
def add_errors(part, row_ptr, source, k0, k1, error):
    """Add the errors of the arrivals of the steps ``k0 <= k < k1`` to those of the spikes they came from.

    Parameters
    ----------
    part : ndarray, (B, cap) float
        One entry an arrival.
    row_ptr : ndarray, (B, T + 1) int32
    source : ndarray, (B, cap) int32, or empty
        Place of each arrival's spike; empty: its own.
    k0, k1 : int
    error : ndarray, (B, cap) float
        Added to.
    """
    for b in prange(row_ptr.shape[0]):
        for j in range(row_ptr[b, k0], row_ptr[b, k1]):
            error[b, source[b, j] if source.size else j] += part[b, j]


@njit(**KERNEL)
def sub_list(neurons, spike_ptr, begins, low, high, out_rows, out_ptr, source):
    """Take the spikes of one population out of a component's list.

    Parameters
    ----------
    neurons, spike_ptr : ndarray, (B, cap) int32 and (B, T * begins.size + 1) int32
        Spikes of a component, by step, then population.
    begins : ndarray, (P,) int64
        First neuron of each population.
    low, high : int
        The wanted population has the neurons ``low <= n < high``.
    out_rows, out_ptr, source
        Output, as in :func:`arrivals`.
    """
    n_populations = begins.shape[0]
    which = 0
    while begins[which] != low:
        which += 1
    n_steps = (spike_ptr.shape[1] - 1) // n_populations
    for b in prange(spike_ptr.shape[0]):
        m = 0
        out_ptr[b, 0] = 0
        for k in range(n_steps):
            at = k * n_populations + which
            for j in range(spike_ptr[b, at], spike_ptr[b, at + 1]):
                out_rows[b, m] = neurons[b, j] - low
                source[b, m] = j
                m += 1
            out_ptr[b, k + 1] = m
