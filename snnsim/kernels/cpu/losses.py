"""Losses of a batch, sample by sample, in float64: value, prediction, and derivative by what the output layer did.

A spiking output is a slab: ``neurons`` (B, cap) int32, ``times`` (B, cap) float64, ``counts`` (B,) int32. ``error``
(B, cap) is dL/d(spike time). Derivatives are those of the mean over the batch: divided by B.
"""

import numpy as np
from numba import njit, prange

from snnsim.dynamics.loss import log_sum_exp, softmax_error, van_rossum_kernel, van_rossum_kernel_slope
from snnsim.kernels.jit import KERNEL, SERIAL


@njit(**SERIAL)
def _argmax(values):
    best = 0
    for c in range(1, len(values)):
        if values[c] > values[best]:
            best = c
    return best


@njit(**KERNEL)
def count_loss(neurons, counts, labels, targets, loss, prediction, d_count):
    """Loss of spike counts: cross-entropy of their softmax, or mean squared distance from target counts (BATS).

    Parameters
    ----------
    neurons, counts : ndarray
        Output spikes.
    labels : ndarray, (B,) int64
    targets : ndarray, (2,) float64, or empty
        Target counts of the other classes and of the label; empty for cross-entropy.
    loss, prediction : ndarray, (B,) float64 and int64
        Output; the prediction is the class with most spikes, the lowest such class among equals.
    d_count : ndarray, (B, C) float64
        Output: dL/d(count).
    """
    n_samples, n_classes = d_count.shape
    for b in prange(n_samples):
        n = np.zeros(n_classes)
        for j in range(counts[b]):
            n[neurons[b, j]] += 1
        prediction[b] = _argmax(n)
        if targets.size:
            total = 0.0
            for c in range(n_classes):
                miss = n[c] - targets[1 if c == labels[b] else 0]
                total += miss * miss / 2
                d_count[b, c] = miss / n_samples
            loss[b] = total
        else:
            log_total = log_sum_exp(n)
            loss[b] = log_total - n[labels[b]]
            for c in range(n_classes):
                d_count[b, c] = softmax_error(n[c], log_total, c == labels[b]) / n_samples


@njit(**KERNEL)
def count_error(neurons, counts, d_count, error):
    """Error of every output spike for a count loss: ``-dL/d(count)``, taking ``d(count)/dt = -1`` as BATS does."""
    for b in prange(len(counts)):
        for j in range(counts[b]):
            error[b, j] = -d_count[b, neurons[b, j]]


@njit(**KERNEL)
def first_spike_loss(neurons, times, counts, labels, duration, tau, loss, prediction, d_first):
    """Cross-entropy of ``softmax(-t_c/tau)`` over the first spike times; a silent output counts as ``t_c = duration``.

    Parameters
    ----------
    neurons, times, counts : ndarray
        Output spikes, times ascending.
    labels : ndarray, (B,) int64
    duration, tau : float
    loss, prediction : ndarray, (B,) float64 and int64
        Output; the prediction is the class that spikes first.
    d_first : ndarray, (B, C) float64
        Output: dL/d(t_c), of silent outputs too.
    """
    n_samples, n_classes = d_first.shape
    for b in prange(n_samples):
        z = np.full(n_classes, -duration / tau)
        for j in range(counts[b] - 1, -1, -1):
            z[neurons[b, j]] = -times[b, j] / tau
        prediction[b] = _argmax(z)
        log_total = log_sum_exp(z)
        loss[b] = log_total - z[labels[b]]
        for c in range(n_classes):
            d_first[b, c] = -softmax_error(z[c], log_total, c == labels[b]) / (tau * n_samples)


@njit(**KERNEL)
def first_spike_error(neurons, counts, d_first, error):
    """Error of the output spikes for a loss of first spike times: ``dL/d(t_c)`` at each neuron's first, else 0."""
    n_classes = d_first.shape[1]
    for b in prange(len(counts)):
        seen = np.zeros(n_classes, np.bool_)
        for j in range(counts[b]):
            c = neurons[b, j]
            error[b, j] = 0.0 if seen[c] else d_first[b, c]
            seen[c] = True


@njit(**KERNEL)
def first_spike_amplitude(neurons, times, counts, d_first, duration, dt, amplitude):
    """dL/ds on the grid for a loss of first spike times.

    The first time is relaxed to ``sum_k t_k s_k prod_{j<k} (1 - s_j)``: a spike added before the first one moves it
    forward, the first one taken away leaves the second.

    Parameters
    ----------
    neurons, times, counts, d_first
        As in :func:`first_spike_loss`.
    duration, dt : float
    amplitude : ndarray, (B, T, C) float
        Output.
    """
    n_steps, n_classes = amplitude.shape[1:]
    for b in prange(len(counts)):
        for c in range(n_classes):
            first, second = duration, duration
            for j in range(counts[b] - 1, -1, -1):
                if neurons[b, j] == c:
                    first, second = times[b, j], first
            for k in range(n_steps):
                t = (k + 1) * dt
                gain = t - first if t < first - dt / 2 else (first - second if t < first + dt / 2 else 0.0)
                amplitude[b, k, c] = d_first[b, c] * gain


@njit(**KERNEL)
def van_rossum_loss(neurons, times, counts, labels, targets, target_counts, n_classes, tau, loss, prediction, error):
    """Van Rossum distance of each output's train to its target train.

    ``D = 1/2 (sum K(t_i - t_j) - 2 sum K(t_i - g_j) + sum K(g_i - g_j))`` with ``K(d) = exp(-|d|/tau)``, summed over
    the outputs (van Rossum 2001, in closed form).

    Parameters
    ----------
    neurons, times, counts, labels
        As in :func:`first_spike_loss`.
    targets, target_counts : ndarray, (2, M) float64 and (2,) int64
        Target trains of the other classes and of the label.
    n_classes : int
    tau : float
    loss, prediction : ndarray, (B,) float64 and int64
        Output; the prediction is the class whose train is nearest to the label's target, relative to the other one.
    error : ndarray, (B, cap) float64
        Output.
    """
    n_samples = len(counts)
    for b in prange(n_samples):
        nearness = np.empty(n_classes)
        loss[b] = 0.0
        for c in range(n_classes):
            own = np.zeros(2)
            for which in range(2):
                total = 0.0
                goals = targets[which, : target_counts[which]]
                for i in range(counts[b]):
                    if neurons[b, i] != c:
                        continue
                    for j in range(counts[b]):
                        if neurons[b, j] == c:
                            total += van_rossum_kernel(times[b, i] - times[b, j], tau) / 2
                    for j in range(len(goals)):
                        total -= van_rossum_kernel(times[b, i] - goals[j], tau)
                for i in range(len(goals)):
                    for j in range(len(goals)):
                        total += van_rossum_kernel(goals[i] - goals[j], tau) / 2
                own[which] = total
            nearness[c] = own[0] - own[1]
            loss[b] += own[1 if c == labels[b] else 0]
        prediction[b] = _argmax(nearness)
        for i in range(counts[b]):
            c = neurons[b, i]
            which = 1 if c == labels[b] else 0
            slope = 0.0
            for j in range(counts[b]):
                if neurons[b, j] == c:
                    slope += van_rossum_kernel_slope(times[b, i] - times[b, j], tau)
            for j in range(target_counts[which]):
                slope -= van_rossum_kernel_slope(times[b, i] - targets[which, j], tau)
            error[b, i] = slope / n_samples


@njit(**KERNEL)
def van_rossum_amplitude(neurons, times, counts, labels, targets, target_counts, dt, tau, amplitude):
    """dL/ds on the grid of :func:`van_rossum_loss`, ``sum_j K(t_k - t_j) - sum_j K(t_k - g_j)``; (B, T, C) float."""
    n_samples, n_steps, n_classes = amplitude.shape
    for b in prange(n_samples):
        for c in range(n_classes):
            which = 1 if c == labels[b] else 0
            for k in range(n_steps):
                t = (k + 1) * dt
                slope = 0.0
                for j in range(counts[b]):
                    if neurons[b, j] == c:
                        slope += van_rossum_kernel(t - times[b, j], tau)
                for j in range(target_counts[which]):
                    slope -= van_rossum_kernel(t - targets[which, j], tau)
                amplitude[b, k, c] = slope / n_samples


# Serial: its work is a trifle beside the layer's that made v, and a parallel loop takes a second longer to compile.
@njit(**SERIAL)
def membrane_loss(v, labels, use_max, loss, prediction, dloss_dv):
    """Cross-entropy of the softmax of a readout's membrane, its mean or its maximum over time.

    Parameters
    ----------
    v : ndarray, (B, T, C) float
    labels : ndarray, (B,) int64
    use_max : bool
    loss, prediction : ndarray, (B,) float64 and int64
        Output.
    dloss_dv : ndarray, (B, T, C) float
        Output; for the maximum at its first step only.
    """
    n_samples, n_steps, n_classes = v.shape
    for b in range(n_samples):
        z = np.empty(n_classes)
        where = np.zeros(n_classes, np.int64)
        if use_max:
            for c in range(n_classes):
                for k in range(1, n_steps):
                    if v[b, k, c] > v[b, where[c], c]:
                        where[c] = k
                z[c] = v[b, where[c], c]
        else:
            for c in range(n_classes):
                z[c] = 0
            for k in range(n_steps):
                for c in range(n_classes):
                    z[c] += v[b, k, c]
            for c in range(n_classes):
                z[c] /= n_steps
        prediction[b] = _argmax(z)
        log_total = log_sum_exp(z)
        loss[b] = log_total - z[labels[b]]
        for c in range(n_classes):
            d = softmax_error(z[c], log_total, c == labels[b]) / n_samples
            if use_max:
                for k in range(n_steps):
                    dloss_dv[b, k, c] = 0
                dloss_dv[b, where[c], c] = d
            else:
                for k in range(n_steps):
                    dloss_dv[b, k, c] = d / n_steps


@njit(**KERNEL)
def silent_drive(neurons, spike_counts, targets, push, grad_w):
    """Push outputs that should have spiked and did not: add ``-push * n_i`` to the gradient of their weights.

    It is the derivative of ``-push * sum_i w_ic n_i``, the drive that output c received from the ``n_i`` spikes of
    neuron i, and stands in where a silent output leaves a loss of spike times without a derivative.

    Parameters
    ----------
    neurons, spike_counts : ndarray, (B, cap) int32 and (B,) int
        Spikes of the layer before the output.
    targets : ndarray, (B,) int64
        Silent output to push, or -1.
    push : float
        Of the gradient's dtype.
    grad_w : ndarray, (N_in, C) float
        Added to.
    """
    for c in prange(grad_w.shape[1]):
        for b in range(len(targets)):
            if targets[b] == c:
                for j in range(spike_counts[b]):
                    grad_w[neurons[b, j], c] -= push
