"""Tiny traces worked out by hand: threshold, resets, when a spike reaches the next layer, what a recorded v is."""

import numpy as np
import pytest

from snnsim.kernels import cpu
from tests.kernel_chain import Way, backward, forward

HALF = [(0.5, 1.0, 0.5, 1.0, 0.0)]  # a_ii, b_i, a_vv, a_vi, b_v: halves and ones, exact in binary
IMMEDIATE = [(0.5, 1.0, 0.5, 1.0, 1.0)]  # b_v = 1: input raises the membrane in its own step


def neuron(reset="hard", v_threshold=1.0, v_reset=0.0):
    return [dict(tau_mem=1.0, tau_syn=1.0, r=1.0, v_threshold=v_threshold, v_reset=v_reset, reset=reset)]


def run(inputs, weights, sets, parameters, **options):
    dense = np.array(inputs, np.uint8)[None, :, None]
    return forward(
        dense, [np.full((1, 1), w) for w in weights], parameters * len(weights), 1.0, sets * len(weights), **options
    )


def test_one_spike_by_hand():
    # i: 1, 1/2, 1/4, 1/8; v = v/2 + previous i: 0, 1, (reset, then) 1/2, 1/2.
    (layer,) = run([1, 0, 0, 0], [1.0], HALF, neuron())
    np.testing.assert_array_equal(layer.x[0, :, 0], [1, 0, 0, 0])
    np.testing.assert_array_equal(layer.i[0, :, 0], [1, 0.5, 0.25, 0.125])
    np.testing.assert_array_equal(layer.v[0, :, 0], [0, 1, 0.5, 0.5])
    np.testing.assert_array_equal(layer.spike_ptr[0], [0, 0, 1, 1, 1])
    # slope_minus = (1 - 0)/dt, slope_plus = (r i - 0)/tau_mem after the reset.
    assert layer.inverse[0, 0] == 1
    assert layer.slope[0, 0] == 0.5


def test_a_membrane_at_threshold_fires_and_one_just_below_does_not():
    for threshold, spikes in ((1.0, 1), (np.nextafter(1.0, 2), 0)):
        (layer,) = run([1, 0], [1.0], HALF, neuron(v_threshold=threshold))
        assert layer.v[0, 1, 0] == 1
        assert layer.spike_ptr[0, -1] == spikes


@pytest.mark.parametrize(
    ("reset", "v", "spikes"),
    [
        # v before reset; drive i = 4, 2, 1, 1/2 of the step before; threshold 1, reset value 1/4.
        ("hard", [0, 4, 2.125, 1.125, 0.625], [0, 1, 1, 1, 0]),  # 1/4 * 1/2 + i
        ("subtract", [0, 4, 3.625, 2.4375, 1.34375], [0, 1, 1, 1, 1]),  # (v - 3/4)/2 + i
        ("none", [0, 4, 4, 3, 2], [0, 1, 1, 1, 1]),  # v/2 + i
    ],
)
def test_reset_modes_and_recorded_membrane_is_before_reset(reset, v, spikes):
    (layer,) = run([1, 0, 0, 0, 0], [4.0], HALF, neuron(reset, v_reset=0.25))
    np.testing.assert_array_equal(layer.v[0, :, 0], v)
    np.testing.assert_array_equal(np.diff(layer.spike_ptr[0]), spikes)


def test_a_spike_reaches_the_next_layer_in_its_own_step():
    layers = run([0, 1, 0], [1.0, 1.0, 1.0], IMMEDIATE, neuron())
    for layer in layers:
        np.testing.assert_array_equal(np.diff(layer.spike_ptr[0]), [0, 1, 1])  # i = 1 drives v over 1 again
    np.testing.assert_array_equal([layer.x[0, :, 0] for layer in layers], [[0, 1, 0], [0, 1, 1], [0, 1, 1]])


def test_input_spikes_of_the_first_step_count():
    (layer,) = run([1, 0], [2.0], IMMEDIATE, neuron(v_threshold=10.0))
    np.testing.assert_array_equal(layer.v[0, :, 0], [2, 3])  # v_0 = x; v_1 = 2/2 + i_0


def test_the_current_passes_a_spike_unchanged():
    (layer,) = run([1, 0, 0], [8.0], HALF, neuron())
    np.testing.assert_array_equal(layer.i[0, :, 0], [8, 4, 2])
    np.testing.assert_array_equal(np.diff(layer.spike_ptr[0]), [0, 1, 1])


def test_gradient_of_one_spike_by_hand():
    # Of the spike in step 1 of the trace above, dL/dt = 1. g_1 = -e/slope_minus = -1, h_1 = 0, h_0 = a_vi g_1 = -1,
    # X = b_i h = (-1, 0, 0, 0): a larger weight makes the spike come earlier by X_0.
    layers = run([1, 0, 0, 0], [1.0], HALF, neuron())
    signal = np.array([0.0, 1, 0, 0]).reshape(1, 4, 1)
    (layer,) = backward(layers, [np.ones((1, 1))], signal)
    np.testing.assert_array_equal(layer.adjoint[0, :, 0], [-1, 0, 0, 0])
    assert layer.grad_w == -1


def test_error_of_a_presynaptic_spike_by_hand():
    # The first layer spikes in step 1, the second in step 2: g_2 = -1, g_1 = -1/2; h_1 = g_2 = -1, h_0 = h_1/2 + g_1.
    # Moved one step later, the presynaptic spike loses X_1 and gains X_2, dL/dt = w (X_2 - X_1)/dt = 1: the later it
    # comes, the later comes the output spike. For the first layer's weight: -1, as in the trace of one spike.
    layers = run([1, 0, 0, 0], [1.0, 1.0], HALF, neuron())
    np.testing.assert_array_equal(np.diff(layers[1].spike_ptr[0]), [0, 0, 1, 0])
    signal = np.array([0.0, 0, 1, 0]).reshape(1, 4, 1)
    backward(layers, [np.ones((1, 1))] * 2, signal)
    np.testing.assert_array_equal(layers[1].adjoint[0, :, 0], [-1, -1, 0, 0])
    assert layers[0].error[0, 0] == 1
    assert layers[0].grad_w == -1


def test_two_spikes_of_a_neuron_by_hand():
    # i = 4, 2, 1; v = 0, 4, 2 | spikes in steps 1 and 2 with slope_minus 4 and 2; slope_plus = i = 2 and 1.
    # dL/dt of the second = 1: g_2 = -1/2, p_1 = -1/4, g_1 = slope_plus p/slope_minus = 2 (-1/4)/4 = -1/8,
    # h_1 = a_vi g_2 = -1/2, h_0 = h_1/2 + g_1 = -3/8.
    layers = run([1, 0, 0], [4.0], HALF, neuron())
    (layer,) = backward(layers, [np.ones((1, 1))], np.array([0.0, 0, 1]).reshape(1, 3, 1))
    np.testing.assert_array_equal(layer.v[0, :, 0], [0, 4, 2])
    np.testing.assert_array_equal(layer.inverse[0, :2], [0.25, 0.5])
    np.testing.assert_array_equal(layer.slope[0, :2], [2, 1])
    np.testing.assert_array_equal(layer.adjoint[0, :, 0], [-0.375, -0.5, 0])
    assert layer.grad_w == -0.375


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_golden_trace_in_both_precisions(dtype):
    (layer,) = run([1, 0, 1, 0], [1.5], IMMEDIATE, neuron("subtract"), way=Way(chunk=3, dtype=dtype))
    # x = 3/2, 0, 3/2, 0; i = 3/2, 3/4, 15/8, 15/16; v = 3/2 | (1/2)/2 + 3/2 = 7/4 | (3/4)/2 + 3/4 + 3/2 = 21/8
    # | (13/8)/2 + 15/8 = 43/16.
    np.testing.assert_array_equal(layer.i[0, :, 0], [1.5, 0.75, 1.875, 0.9375])
    np.testing.assert_array_equal(layer.v[0, :, 0], [1.5, 1.75, 2.625, 2.6875])
    np.testing.assert_array_equal(layer.spike_ptr[0], [0, 1, 2, 3, 4])


def test_neurons_that_fire_together_are_listed_in_order():
    dense = np.ones((1, 2, 1), np.uint8)
    weights = np.array([[2.0, 0.0, 1.0, 3.0]])
    (layer,) = forward(dense, [weights], neuron(), 1.0, IMMEDIATE)
    np.testing.assert_array_equal(layer.spike_ptr[0], [0, 3, 6])
    np.testing.assert_array_equal(layer.neurons[0, :6], [0, 2, 3, 0, 2, 3])


def test_poisson_spikes_of_a_seed_are_pinned():
    rows, row_ptr = np.zeros((1, 64), np.int32), np.zeros((1, 9), np.int32)
    cpu.encode_poisson(np.full((1, 5), 2**30), np.array([3]), 42, 0, 8, 1, rows, row_ptr)
    assert row_ptr[0].tolist() == PINNED_PTR
    assert rows[0, : row_ptr[0, -1]].tolist() == PINNED_ROWS


PINNED_PTR = [0, 0, 1, 4, 4, 6, 8, 9, 10]
PINNED_ROWS = [2, 1, 2, 4, 1, 2, 3, 4, 2, 1]
