"""Losses of a batch, one block a sample, in the dtype of the arrays: float32 training passes float32 throughout.

Formats as in :mod:`snnsim.kernels.cpu.losses`. A thread owns a class, or the entries it strides over; sums over
classes are taken in order by one thread.
"""

import numpy as np

from snnsim.dynamics.loss import log_sum_exp, softmax_error, van_rossum_kernel, van_rossum_kernel_slope
from snnsim.errors import InputError
from snnsim.kernels.cuda.compiler import MAX_SHARED, cuda, device, kernel, launch, nothing, threads

BLOCK = 128


@device
def _argmax(values, n):
    best = 0
    for c in range(1, n):
        if values[c] > values[best]:
            best = c
    return best


@device
def _cross_entropy(z, n_classes, label, b, loss, prediction):
    # z[:n_classes] are the logits; z[n_classes] becomes their log-sum-exp.
    cuda.syncthreads()
    if cuda.threadIdx.x == 0:
        log_total = log_sum_exp(z[:n_classes])
        z[n_classes] = log_total
        loss[b] = log_total - z[label]
        prediction[b] = _argmax(z, n_classes)
    cuda.syncthreads()


@kernel
def _count_loss(neurons, counts, labels, targets, loss, prediction, d_count, error):
    z = cuda.shared.array(0, d_count.dtype)
    b = cuda.blockIdx.x
    n_classes = d_count.shape[1]
    tid, width = cuda.threadIdx.x, cuda.blockDim.x
    number = d_count.dtype.type
    share, label = number(d_count.shape[0]), labels[b]
    for c in range(tid, n_classes, width):
        spikes = 0
        for j in range(counts[b]):
            spikes += 1 if neurons[b, j] == c else 0
        z[c] = spikes
    if targets.size:
        cuda.syncthreads()
        for c in range(tid, n_classes, width):
            d_count[b, c] = (z[c] - targets[1 if c == label else 0]) / share
        if tid == 0:
            total = number(0)
            for c in range(n_classes):
                miss = z[c] - targets[1 if c == label else 0]
                total += miss * miss / number(2)
            loss[b] = total
            prediction[b] = _argmax(z, n_classes)
    else:
        _cross_entropy(z, n_classes, label, b, loss, prediction)
        for c in range(tid, n_classes, width):
            d_count[b, c] = softmax_error(z[c], z[n_classes], c == label) / share
    if error.size:
        cuda.syncthreads()
        for j in range(tid, counts[b], width):
            error[b, j] = -d_count[b, neurons[b, j]]


def count_loss(neurons, counts, labels, targets, loss, prediction, d_count):
    """Loss of spike counts; see :func:`snnsim.kernels.cpu.count_loss`."""
    count_loss_with_error(neurons, counts, labels, targets, loss, prediction, d_count, nothing(2, d_count.dtype))


def count_loss_with_error(neurons, counts, labels, targets, loss, prediction, d_count, error):
    """:func:`count_loss` and :func:`count_error` in one launch; ``error`` (B, cap) float."""
    _launch(
        _count_loss, d_count.shape, 1, d_count.dtype,
        neurons, counts, labels, targets, loss, prediction, d_count, error,
    )  # fmt: skip


@kernel
def _count_error(neurons, counts, d_count, error):
    b = cuda.blockIdx.x
    for j in range(cuda.threadIdx.x, counts[b], cuda.blockDim.x):
        error[b, j] = -d_count[b, neurons[b, j]]


def count_error(neurons, counts, d_count, error):
    """Error of every output spike for a count loss; see :func:`snnsim.kernels.cpu.count_error`."""
    launch(_count_error, d_count.shape[0], threads(error.shape[1], BLOCK), neurons, counts, d_count, error)


@kernel
def _first_spike_loss(neurons, times, counts, labels, duration, tau, loss, prediction, d_first):
    z = cuda.shared.array(0, d_first.dtype)
    b = cuda.blockIdx.x
    n_classes = d_first.shape[1]
    tid, width = cuda.threadIdx.x, cuda.blockDim.x
    label = labels[b]
    for c in range(tid, n_classes, width):
        first = duration
        for j in range(counts[b]):
            if neurons[b, j] == c:
                first = times[b, j]
                break
        z[c] = -first / tau
    _cross_entropy(z, n_classes, label, b, loss, prediction)
    share = tau * d_first.dtype.type(d_first.shape[0])
    for c in range(tid, n_classes, width):
        d_first[b, c] = -softmax_error(z[c], z[n_classes], c == label) / share


def first_spike_loss(neurons, times, counts, labels, duration, tau, loss, prediction, d_first):
    """Cross-entropy over the first spike times; see :func:`snnsim.kernels.cpu.first_spike_loss`."""
    number = np.dtype(d_first.dtype).type
    _launch(
        _first_spike_loss, d_first.shape, 1, d_first.dtype,
        neurons, times, counts, labels, number(duration), number(tau), loss, prediction, d_first,
    )  # fmt: skip


@kernel
def _first_spike_error(neurons, counts, d_first, error):
    b = cuda.blockIdx.x
    tid, width = cuda.threadIdx.x, cuda.blockDim.x
    for j in range(tid, counts[b], width):
        error[b, j] = 0
    cuda.syncthreads()
    for c in range(tid, d_first.shape[1], width):
        for j in range(counts[b]):
            if neurons[b, j] == c:
                error[b, j] = d_first[b, c]
                break


def first_spike_error(neurons, counts, d_first, error):
    """Error of the output spikes for a loss of first spike times; see :func:`snnsim.kernels.cpu.first_spike_error`."""
    launch(_first_spike_error, d_first.shape[0], threads(error.shape[1], BLOCK), neurons, counts, d_first, error)


@kernel
def _first_spike_amplitude(neurons, times, counts, d_first, duration, dt, amplitude):
    b = cuda.blockIdx.x
    n_steps, n_classes = amplitude.shape[1], amplitude.shape[2]
    number = amplitude.dtype.type
    half = dt / number(2)
    for c in range(cuda.threadIdx.x, n_classes, cuda.blockDim.x):
        first, second = duration, duration
        found = 0
        for j in range(counts[b]):
            if neurons[b, j] == c and found < 2:
                if found == 0:
                    first = times[b, j]
                else:
                    second = times[b, j]
                found += 1
        for k in range(n_steps):
            t = number(k + 1) * dt
            gain = number(0)
            if t < first - half:
                gain = t - first
            elif t < first + half:
                gain = first - second
            amplitude[b, k, c] = d_first[b, c] * gain


def first_spike_amplitude(neurons, times, counts, d_first, duration, dt, amplitude):
    """dL/ds on the grid for a loss of first spike times; see :func:`snnsim.kernels.cpu.first_spike_amplitude`."""
    number = np.dtype(amplitude.dtype).type
    launch(
        _first_spike_amplitude, amplitude.shape[0], threads(amplitude.shape[2], BLOCK),
        neurons, times, counts, d_first, number(duration), number(dt), amplitude,
    )  # fmt: skip


@kernel
def _van_rossum_loss(neurons, times, counts, labels, targets, target_counts, n_classes, tau, loss, prediction, error):
    shared = cuda.shared.array(0, error.dtype)  # nearness, then the distance to the own target, of every class
    b = cuda.blockIdx.x
    tid, width = cuda.threadIdx.x, cuda.blockDim.x
    number = error.dtype.type
    two, share = number(2), number(counts.shape[0])
    label, n_spikes = labels[b], counts[b]
    for c in range(tid, n_classes, width):
        to_others = to_label = number(0)
        for which in range(2):
            total = number(0)
            for i in range(n_spikes):
                if neurons[b, i] == c:
                    for j in range(n_spikes):
                        if neurons[b, j] == c:
                            total += van_rossum_kernel(times[b, i] - times[b, j], tau) / two
                    for j in range(target_counts[which]):
                        total -= van_rossum_kernel(times[b, i] - targets[which, j], tau)
            for i in range(target_counts[which]):
                for j in range(target_counts[which]):
                    total += van_rossum_kernel(targets[which, i] - targets[which, j], tau) / two
            if which == 0:
                to_others = total
            else:
                to_label = total
        shared[c] = to_others - to_label
        shared[n_classes + c] = to_label if c == label else to_others
    cuda.syncthreads()
    if tid == 0:
        total = number(0)
        for c in range(n_classes):
            total += shared[n_classes + c]
        loss[b] = total
        prediction[b] = _argmax(shared, n_classes)
    for i in range(tid, n_spikes, width):
        c = neurons[b, i]
        which = 1 if c == label else 0
        slope = number(0)
        for j in range(n_spikes):
            if neurons[b, j] == c:
                slope += van_rossum_kernel_slope(times[b, i] - times[b, j], tau)
        for j in range(target_counts[which]):
            slope -= van_rossum_kernel_slope(times[b, i] - targets[which, j], tau)
        error[b, i] = slope / share


def van_rossum_loss(neurons, times, counts, labels, targets, target_counts, n_classes, tau, loss, prediction, error):
    """Van Rossum distance of each output's train to its target; see :func:`snnsim.kernels.cpu.van_rossum_loss`."""
    number = np.dtype(error.dtype).type
    _launch(
        _van_rossum_loss, (counts.shape[0], n_classes), n_classes, error.dtype, neurons, times, counts, labels, targets,
        target_counts, n_classes, number(tau), loss, prediction, error,
    )  # fmt: skip


@kernel
def _van_rossum_amplitude(neurons, times, counts, labels, targets, target_counts, dt, tau, amplitude):
    b = cuda.blockIdx.x
    n_steps, n_classes = amplitude.shape[1], amplitude.shape[2]
    number = amplitude.dtype.type
    share, label = number(amplitude.shape[0]), labels[b]
    for at in range(cuda.threadIdx.x, n_steps * n_classes, cuda.blockDim.x):
        k = at // n_classes
        c = at - k * n_classes
        which = 1 if c == label else 0
        t = number(k + 1) * dt
        slope = number(0)
        for j in range(counts[b]):
            if neurons[b, j] == c:
                slope += van_rossum_kernel(t - times[b, j], tau)
        for j in range(target_counts[which]):
            slope -= van_rossum_kernel(t - targets[which, j], tau)
        amplitude[b, k, c] = slope / share


def van_rossum_amplitude(neurons, times, counts, labels, targets, target_counts, dt, tau, amplitude):
    """dL/ds on the grid of :func:`van_rossum_loss`; see :func:`snnsim.kernels.cpu.van_rossum_amplitude`."""
    number = np.dtype(amplitude.dtype).type
    launch(
        _van_rossum_amplitude, amplitude.shape[0], threads(amplitude.shape[1] * amplitude.shape[2], BLOCK),
        neurons, times, counts, labels, targets, target_counts, number(dt), number(tau), amplitude,
    )  # fmt: skip


@kernel
def _membrane_loss(v, labels, use_max, loss, prediction, dloss_dv):
    z = cuda.shared.array(0, dloss_dv.dtype)
    b = cuda.blockIdx.x
    n_steps, n_classes = v.shape[1], v.shape[2]
    tid, width = cuda.threadIdx.x, cuda.blockDim.x
    number, real = dloss_dv.dtype.type, v.dtype.type
    label = labels[b]
    for c in range(tid, n_classes, width):
        if use_max:
            top = v[b, 0, c]
            for k in range(1, n_steps):
                if v[b, k, c] > top:
                    top = v[b, k, c]
            z[c] = top
        else:
            total = number(0)
            for k in range(n_steps):
                total += v[b, k, c]
            z[c] = total / number(n_steps)
    _cross_entropy(z, n_classes, label, b, loss, prediction)
    for c in range(tid, n_classes, width):
        d = softmax_error(z[c], z[n_classes], c == label) / number(v.shape[0])
        if use_max:
            found = False
            for k in range(n_steps):
                first = not found and v[b, k, c] == z[c]
                dloss_dv[b, k, c] = real(d) if first else real(0)
                found = found or first
        else:
            d /= number(n_steps)
            for k in range(n_steps):
                dloss_dv[b, k, c] = real(d)


def membrane_loss(v, labels, use_max, loss, prediction, dloss_dv):
    """Cross-entropy of a readout's membrane; see :func:`snnsim.kernels.cpu.membrane_loss`.

    It is evaluated in the dtype of ``dloss_dv``, whose entries are rounded to that of ``v``.
    """
    shape = v.shape[0], v.shape[2]
    _launch(_membrane_loss, shape, 1, dloss_dv.dtype, v, labels, use_max, loss, prediction, dloss_dv)


@kernel
def _silent_drive(neurons, spike_counts, targets, push, grad_w):
    # A block owns a class, a thread every blockDim-th neuron.
    c = cuda.blockIdx.x
    tid, width = cuda.threadIdx.x, cuda.blockDim.x
    for b in range(targets.shape[0]):
        if targets[b] == c:
            for j in range(spike_counts[b]):
                i = neurons[b, j]
                if i % width == tid:
                    grad_w[i, c] -= push


def silent_drive(neurons, spike_counts, targets, push, grad_w):
    """Push outputs that should have spiked and did not; see :func:`snnsim.kernels.cpu.silent_drive`."""
    launch(_silent_drive, grad_w.shape[1], threads(grad_w.shape[0]), neurons, spike_counts, targets, push, grad_w)


@kernel
def _silent_labels(neurons, counts, labels, silent):
    b = cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x
    if b < labels.shape[0]:
        label = labels[b]
        for j in range(counts[b]):
            if neurons[b, j] == label:
                label = -1
                break
        silent[b] = label


def silent_labels(neurons, counts, labels, silent):
    """``silent[b]``: the label where its output did not spike, else -1; (B,) int64."""
    block = threads(labels.shape[0], BLOCK)
    launch(_silent_labels, -(-labels.shape[0] // block), block, neurons, counts, labels, silent)


@kernel
def _spike_times(spike_ptr, dt, times):
    b, k = cuda.blockIdx.y, cuda.blockIdx.x
    t = times.dtype.type(k + 1) * dt
    for j in range(spike_ptr[b, k] + cuda.threadIdx.x, spike_ptr[b, k + 1], cuda.blockDim.x):
        times[b, j] = t


def spike_times(spike_ptr, dt, times):
    """Time of every spike of a list by step, the end of its step: ``times`` (B, cap) float."""
    n_samples, n_steps = spike_ptr.shape[0], spike_ptr.shape[1] - 1
    launch(_spike_times, (n_steps, n_samples), threads(32), spike_ptr, np.dtype(times.dtype).type(dt), times)


@kernel
def _spread_steps(by_class, field):
    b, k = cuda.blockIdx.y, cuda.blockIdx.x
    for c in range(cuda.threadIdx.x, by_class.shape[1], cuda.blockDim.x):
        field[b, k, c] = by_class[b, c]


def spread_steps(by_class, field):
    """Copy ``by_class`` (B, C) to every step of ``field`` (B, T, C)."""
    n_samples, n_steps, n_classes = field.shape
    launch(_spread_steps, (n_steps, n_samples), threads(n_classes, BLOCK), by_class, field)


def _launch(function, shape, slots, dtype, *arguments):
    # One block a sample, with (n_classes + slots) numbers of shared memory.
    n_samples, n_classes = shape
    shared = (n_classes + slots) * np.dtype(dtype).itemsize
    if shared > MAX_SHARED:
        raise InputError(f"target = 'cuda': a loss over {n_classes} classes does not fit a block's shared memory")
    launch(function, n_samples, threads(n_classes, BLOCK), *arguments, shared=shared)
