"""Calls of every public CUDA kernel with the arrays of a real network: what is compiled, assembled and timed.

Shapes: 784-400-10, 50 steps. The arrays are NumPy's, whose types are those of device arrays.
"""

import numpy as np

from snnsim.kernels import cuda
from snnsim.kernels.cuda import (
    dense,
    encoding,
    event_backward,
    event_forward,
    event_hybrid,
    event_readout,
    lif,
    losses,
    masked,
    masked_gradient,
    optimizers,
    words,
)
from snnsim.parameters import LIFParameters, scheme_coefficients

EVENTS = (event_forward, event_hybrid, event_backward, event_readout)
MODULES = (encoding, lif, losses, optimizers, words, dense, masked, masked_gradient, cuda.synapse, *EVENTS)


def cases(dtype, n_samples=50, n_steps=50, n_in=784, n_hidden=400, n_classes=10, array=np.zeros):
    """List ``(name, function, arguments)`` for floats of ``dtype``; ``array(shape, dtype)`` makes the arrays."""
    number = np.dtype(dtype).type
    B, T, N, H, C = n_samples, n_steps, n_in, n_hidden, n_classes

    def f(*shape):
        return array(shape, dtype)

    def i(*shape):
        return array(shape, np.int32)

    def long(*shape):
        return array(shape, np.int64)

    p = LIFParameters()
    coefficients = tuple(number(c) for c in scheme_coefficients(p, 0.05))
    neuron = tuple(number(c) for c in (1.0, 0.0, p.r, p.tau_mem, p.tau_syn, 0.05, 1e4))
    bits, hidden_bits = (array((B, -(-T // 32), n), np.uint32) for n in (N, H))
    inputs, input_ptr, spikes, spike_ptr = i(B, T * N), i(B, T + 1), i(B, T * H), i(B, T + 1)
    output, times, counts, labels = i(B, T * C), f(B, T * C), spike_ptr[:, -1], long(B)
    error, by_class, loss, prediction = f(B, T * C), f(B, C), f(B), long(B)
    nothing, x, field = f(0, 0, 0), f(B, T, H), f(B, T, C)
    passed, no_error = f(B, T * H), f(0, 0)
    state = [f(B, H) for _ in range(5)]
    grad, flat = f(N, H), [f(N * H) for _ in range(4)]
    entries, entry_ptr, counters = i(B * T * N), long(N + 1), i(B, N)
    pattern_ptr = long(4 * N + 1)
    trains, train_counts = f(2, 15), long(2)
    forward = (
        x, coefficients, neuron, 0, 0, 0, T, state[0], state[1], spikes, spike_ptr, passed, passed, nothing, nothing, 1
    )  # fmt: skip
    backward = (
        coefficients, neuron, 0, 0, False, 0, T, spikes, spike_ptr, passed, passed, passed, nothing, *state[2:], x, x
    )  # fmt: skip
    surrogate = (
        coefficients, neuron, 0, number(10), False, False, 0, T, spikes, spike_ptr, passed, passed, x, x, nothing,
        state[2], state[3], x, x,
    )  # fmt: skip
    images, table = array((B, N), np.uint8), long(256)
    numbers = array(encoding.counts_shape(B, N), np.uint8)
    squares, report = f(words.n_squares((N, H))), f(2)
    slab = output, times, counts, labels
    return [
        ("encode_poisson", encoding.poisson_words, (
            images, table, labels, labels, 1, 0, T, 1, inputs, input_ptr, bits)),
        ("encode_poisson of thresholds", encoding.poisson_words, (
            long(B, N), long(0), labels, labels, 1, 0, T, 1, inputs, input_ptr, bits)),
        ("encode_poisson_counts", encoding.poisson_counts, (
            images[None], long(9, 256), labels, labels, 1, 0, T, 1, inputs, input_ptr, numbers)),
        ("encode_poisson_counts of thresholds", encoding.poisson_counts, (
            long(9, B, N), long(0, 0), long(0), labels, 1, 0, T, 4, inputs, input_ptr, numbers)),
        ("encode_regular", encoding.regular_words, (images, table, labels, T, 1, inputs, input_ptr, bits)),
        ("encode_steps", encoding.single_words, (images, table, labels, T, 1, inputs, input_ptr, bits)),
        ("synaptic_input", cuda.synaptic_input, (grad, inputs, input_ptr, 0, T, x)),
        ("fold_patterns", cuda.fold_patterns, (grad, f(4 * N, H))),
        ("group_spikes", cuda.group_spikes, (inputs, input_ptr, inputs, input_ptr)),
        ("ungroup_spikes", cuda.ungroup_spikes, (inputs, input_ptr, inputs, input_ptr)),
        ("lif_forward", lif.lif_forward, (*forward, True, hidden_bits, long(1))),
        ("lif_backward", lif.lif_backward, (*backward, True)),
        ("surrogate_backward", lif.surrogate_backward, (*surrogate, True)),
        ("spike_error", cuda.spike_error, (f(H, C), field, spikes, spike_ptr, 0, T, passed)),
        ("spike_error of a hidden layer", cuda.spike_error, (grad, x, inputs, input_ptr, 0, T, f(B, T * N))),
        ("word_gradient", words.word_gradient, (f(B * T, H), bits, 0, T, T, True, grad, squares)),
        ("word_gradient of a readout", words.word_gradient, (
            f(B * T, C), hidden_bits, 0, T, T, True, f(H, C), f(words.n_squares((H, C))))),
        ("masked_input", masked.masked_input, (flat[0], bits, 0, T, x)),
        ("masked_gradient", masked_gradient.masked_gradient, (
            f(B * T * H), bits, 0, T, T, True, *masked_room((N, H), dtype, 2 * B, array))),
        ("masked_gradient of a readout", masked_gradient.masked_gradient, (
            f(B * T * C), hidden_bits, 0, T, T, True, *masked_room((H, C), dtype, 2 * B, array))),
        ("gradient_squares", words.gradient_squares, (grad, squares)),
        ("transpose_rows", cuda.transpose_rows, (inputs, input_ptr, 0, T, T, counters, entries, entry_ptr)),
        ("weight_gradient", cuda.weight_gradient, (f(B * T, H), entries, entry_ptr, 1, grad)),
        ("weight_gradient by pattern", cuda.weight_gradient, (f(B * T, H), entries, pattern_ptr, 4, grad)),
        ("dense_spikes", cuda.dense_spikes, (spikes, spike_ptr, 0, T, x)),
        ("dense_spikes_by_neuron", cuda.dense_spikes_by_neuron, (spikes, spike_ptr, 0, T, T, f(H, B * T))),
        ("at_spikes", cuda.at_spikes, (x, spikes, spike_ptr, passed)),
        ("dense_input", dense.dense_input, (f(B, T, N), grad, T, x)),
        ("dense_weight_gradient", dense.dense_weight_gradient, (f(N, B * T), f(B * T, H), grad)),
        ("count_loss", losses.count_loss_with_error, (
            output, counts, labels, f(0), loss, prediction, by_class, error)),
        ("count_error", cuda.count_error, (output, counts, by_class, error)),
        ("first_spike_loss", cuda.first_spike_loss, (*slab, 2.5, 0.2, loss, prediction, by_class)),
        ("first_spike_error", cuda.first_spike_error, (output, counts, by_class, error)),
        ("first_spike_amplitude", cuda.first_spike_amplitude, (
            output, times, counts, by_class, 2.5, 0.05, field)),
        ("van_rossum_loss", cuda.van_rossum_loss, (
            *slab, trains, train_counts, C, 0.2, loss, prediction, error)),
        ("van_rossum_amplitude", cuda.van_rossum_amplitude, (*slab, trains, train_counts, 0.05, 0.2, field)),
        ("membrane_loss", cuda.membrane_loss, (field, labels, False, loss, prediction, field)),
        ("silent_drive", cuda.silent_drive, (spikes, counts, labels, number(0.1), f(H, C))),
        ("silent_labels", losses.silent_labels, (output, counts, labels, labels)),
        ("spike_times", losses.spike_times, (spike_ptr, 0.05, passed)),
        ("sgd", cuda.sgd, (*flat[:3], *(number(0.1),) * 4)),
        ("adam", cuda.adam, (*flat, *(number(0.1),) * 9)),
        ("clipped_sgd", optimizers.clipped_sgd, (*flat[:3], squares, loss, *(number(0.1),) * 5, report)),
        ("clipped_adam", optimizers.clipped_adam, (*flat, squares, loss, *(number(0.1),) * 10, report)),
        ("spread_steps", losses.spread_steps, (by_class, field)),
        ("transposed", dense.transposed, (grad, f(H, N))),
        ("square_portions", optimizers.square_portions, (flat[0], f(optimizers.n_portions(N * H)))),
        ("lif_backward of a readout", lif.lif_backward, (
            coefficients, neuron, 0, 0, False, 0, T, output, spike_ptr, no_error, no_error, no_error, field,
            *(f(B, C) for _ in range(3)), field, field, True)),
        *event_cases(dtype, B, N, H, C, array),
    ]  # fmt: skip


def masked_room(shape, dtype, n_words, array=np.zeros):
    """Give what :func:`masked_gradient` writes for a gradient: portions, counters, gradient, squares."""
    n_squares = masked_gradient.n_squares(shape, dtype)
    parts = array((masked_gradient.n_portions(shape, dtype, n_words), *shape), dtype)
    return parts, array(n_squares, np.int32), array(shape, dtype), array(n_squares, dtype)


def event_cases(dtype, n_samples, n_in, n_hidden, n_classes, array, cap=2000):
    """Cases in continuous time: one input spike a pixel, as time to first spike has it; times are always float64."""
    B, N, H, C = n_samples, n_in, n_hidden, n_classes

    def i(*shape):
        return array(shape, np.int32)

    def long(*shape):
        return array(shape, np.int64)

    def f(*shape):
        return array(shape, np.float64)

    def real(*shape):
        return array(shape, dtype)

    neuron = (1.0, 0.0, 1.0, 1.0, 0.5)
    width, n_blocks, n_groups = event_backward.partition(B, H)
    given = i(B, N), f(B, N), i(B, N + 1), i(B), f(B, N, 4)
    lists = i(B, cap), f(B, cap), i(B, cap), f(B, cap, 3)
    # Losses of weights of any dtype are evaluated in float64, as spike times are.
    slab, labels, by_class = (*lists[:2], long(B), long(B)), long(B), f(B, C)
    found = real(B), long(B)
    order, block_ptr = i(B, cap), i(B, n_blocks + 1)
    readout = (*given, real(H, C), neuron, f(50))
    return [
        ("find_instants", event_forward.find_instants, (given[1], long(B), 4.0, 1.0, 0.5, *given[2:])),
        ("spiking_forward", event_forward.spiking_forward, (
            *given, real(N, H), neuron, 4.0, 10**6, *lists, long(B), long(B))),
        ("hybrid_forward", event_hybrid.hybrid_forward, (
            *given, real(N, H), neuron, 4.0, 50, 10**6, *lists, long(B), long(B), long(B))),
        ("order_by_block", event_backward.order_by_block, (lists[0], long(B), width, n_blocks, order, block_ptr)),
        ("spiking_backward", event_backward.spiking_backward, (
            given[0], given[2], given[4], real(N, H), neuron, 1e4, lists[0], lists[2], lists[3], f(B, cap), order,
            block_ptr, width, real(n_groups, N, H), f(n_blocks, B, N))),
        ("add_parts", event_backward.add_parts, (real(n_groups, N, H), real(N, H))),
        ("add_parts of errors", event_backward.add_parts, (f(n_blocks, B, N), f(B, N))),
        ("readout_forward", event_readout.readout_forward, (*readout, real(B, 50, C))),
        ("readout_backward", event_readout.readout_backward, (*readout, f(B, 50, C), real(n_groups, H, C), f(B, N))),
        ("count_loss in time", losses.count_loss_with_error, (
            lists[0], long(B), labels, f(2), *found, by_class, f(B, cap))),
        ("first_spike_loss in time", losses.first_spike_loss, (*slab, 4.0, 0.2, *found, by_class)),
        ("first_spike_error in time", losses.first_spike_error, (lists[0], long(B), by_class, f(B, cap))),
        ("van_rossum_loss in time", losses.van_rossum_loss, (
            *slab, f(2, 15), long(2), C, 0.2, *found, f(B, cap))),
        ("membrane_loss in time", losses.membrane_loss, (real(B, 50, C), labels, False, *found, f(B, 50, C))),
        ("silent_labels in time", losses.silent_labels, (lists[0], long(B), labels, labels)),
        ("silent_drive in time", losses.silent_drive, (
            lists[0], long(B), labels, np.dtype(dtype).type(0.1), real(H, C))),
    ]  # fmt: skip
