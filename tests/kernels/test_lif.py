"""Kernels of LIF layers, forward and backward, against the serial oracle: spikes and membranes to the bit."""

from functools import cache
from itertools import pairwise

import numpy as np
import pytest

from snnsim.kernels import cpu
from tests import one_layer, reference
from tests.kernel_chain import EVERY_STEP, KEPT, Way, backward, forward, on_one_thread, spike_lists

SCHEMES = ("forward_euler", "backward_euler", "exact", "bilinear")
RESETS = ("hard", "subtract", "none")
METHODS = ("exact", "literal", "tssl", "tssl-fallback", "surrogate")
BOUND = {"exact": 0.2, "literal": 0.2, "tssl": 4.0, "tssl-fallback": 4.0, "surrogate": 4.0}  # bites at some spikes
WIDTH = {"exact": 0.0, "literal": 0.0, "tssl": 0.0, "tssl-fallback": 0.2, "surrogate": 10.0}
ROUNDING = 1e-12  # float64; only the sums over neurons, samples and steps are ordered differently
SINGLE = 1e-5  # float32, of the largest entry; what float32 does to some ten steps of a recursion
MARGIN = 1e-4  # of float32 membranes from threshold, ten times their error
SIZES = (9, 8, 6, 4)  # 9 inputs: two groups of four and a rest
BATCH, STEPS, DT = 3, 23, 0.05


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    with on_one_thread():
        yield


@cache
def problem(scheme, reset, leaky=False):
    """Weights on a grid of 2^-12, so that sums of them are exact in any order, and what the oracle makes of them."""
    rng = np.random.default_rng(8)
    weights = [np.round(rng.normal(3.4 / a, 2.4 / np.sqrt(a), (a, b)) * 4096) / 4096 for a, b in pairwise(SIZES)]
    parameters = [
        dict(tau_mem=0.8 + 0.1 * n, tau_syn=0.6 - 0.1 * n, r=1.2, v_threshold=1.0, v_reset=0.2, reset=reset)
        for n in range(len(weights))
    ]
    dense = (rng.random((BATCH, STEPS, SIZES[0])) < 0.3).astype(np.uint8)
    sets = [reference.coefficients(p, DT, scheme) for p in parameters]
    readout = "leaky" if leaky else "spiking"
    theirs = [
        reference.clock_forward(d, weights, parameters, DT, readout=readout, coefficient_sets=sets) for d in dense
    ]
    signal = rng.normal(size=(BATCH, STEPS, SIZES[-1]))
    assert min(reference.threshold_margin(layers) for layers in theirs) > MARGIN
    return weights, parameters, dense, sets, theirs, signal


def run(scheme, reset, method="exact", leaky=False, way=None):
    weights, parameters, dense, sets, _, _ = problem(scheme, reset, leaky)
    return forward(dense, weights, parameters, DT, sets, KEPT[method], BOUND[method], leaky, way)


def stacked(theirs, layer, name):
    return np.stack([getattr(sample[layer], name) for sample in theirs])


def oracle_gradient(theirs, weights, signal, method, continuous, leaky=False):
    timed = method in ("exact", "literal")
    result = []
    for sample, s in zip(theirs, signal, strict=True):
        given = {"dloss_dv": s} if leaky else ({"e": s} if timed else {"amplitude": s})
        result.append(
            reference.clock_backward(
                sample,
                weights,
                method.removesuffix("-fallback"),
                weight_gradient="continuous" if continuous else "discrete",
                max_inverse_slope=BOUND[method],
                tssl_max_inverse_difference=BOUND[method],
                sigmoid_fallback=method == "tssl-fallback",
                sigmoid_width=0.2,
                beta=10.0,
                **given,
            )
        )
    return result


def assert_close(ours, theirs, tolerance=ROUNDING, name=""):
    scale = np.abs(theirs).max()
    assert scale > 0, name
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance * scale, err_msg=name)


def assert_same_gradient(layers, theirs, parameters, method, continuous, tolerance=ROUNDING):
    for n, layer in enumerate(layers):
        assert_close(layer.grad_w, sum(t.grad_w[n] for t in theirs), tolerance, f"grad_w[{n}]")
        kept = np.stack([t.h[n] / parameters[n]["tau_syn"] if continuous else t.X[n] for t in theirs])
        assert_close(layer.adjoint, kept, tolerance, f"adjoint[{n}]")
        e = np.stack([t.e[n] for t in theirs])
        if layer.error.ndim == 2:
            picked = np.full(layer.error.shape, np.nan)
            cpu.at_spikes(e, layer.neurons, layer.spike_ptr, picked)
            known = np.arange(picked.shape[1]) < layer.spike_ptr[:, -1:]
            assert_close(layer.error[known], picked[known], tolerance, f"error[{n}]")
        else:
            assert_close(layer.error, e, tolerance, f"error[{n}]")


@pytest.mark.parametrize("reset", RESETS)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_membrane_current_and_spikes_to_the_bit(scheme, reset):
    *_, theirs, _ = problem(scheme, reset)
    layers = run(scheme, reset)
    for n, layer in enumerate(layers):
        np.testing.assert_array_equal(layer.x, stacked(theirs, n, "x"))
        np.testing.assert_array_equal(layer.v, stacked(theirs, n, "v"))
        np.testing.assert_array_equal(layer.i, stacked(theirs, n, "i"))
        np.testing.assert_array_equal(layer.dense(), stacked(theirs, n, "spikes"))
        assert layer.spike_ptr[:, -1].min() > 3
    assert np.diff(layers[-1].spike_ptr, axis=1).max() > 1  # several outputs spike in one step


@pytest.mark.parametrize("reset", RESETS)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_what_is_kept_of_each_spike(scheme, reset):
    *_, theirs, _ = problem(scheme, reset)
    seen = {"clamped": 0, "secant": 0, "other": 0}
    for method in ("exact", "tssl"):
        limit = BOUND[method]
        for n, layer in enumerate(run(scheme, reset, method)):
            for b, sample in enumerate(t[n] for t in theirs):
                stop = layer.spike_ptr[b, -1]
                k, m = np.nonzero(sample.spikes)
                np.testing.assert_array_equal(layer.neurons[b, :stop], m)
                rise = sample.v[k, m] - sample.v_before[k, m]
                if method == "tssl":
                    inverse = np.where(rise > 0, np.minimum(1 / np.where(rise > 0, rise, 1), limit), limit)
                    slope = sample.v[k, m] - sample.v_after[k, m]
                else:
                    inverse = np.array(
                        [reference.clock.inverse_slope(sample, *at, limit) for at in zip(k, m, strict=True)]
                    )
                    slope = sample.slope_plus[k, m]
                    seen["other"] += int((rise <= 0).sum())
                np.testing.assert_allclose(layer.inverse[b, :stop], inverse, rtol=4 * np.finfo(float).eps)
                np.testing.assert_array_equal(layer.slope[b, :stop], slope)
                seen["clamped"] += int((inverse == limit).sum())
                seen["secant"] += int((inverse < limit).sum())
    assert seen["secant"] > 20
    assert seen["clamped"] > 0
    # After a hard reset the membrane has to rise to spike; without a reset it also spikes while it falls.
    assert (seen["other"] > 0) == (reset == "none") or reset == "subtract"


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("reset", RESETS)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_gradient(scheme, reset, method):
    weights, parameters, _, _, theirs, signal = problem(scheme, reset)
    layers = run(scheme, reset, method)
    if method == "tssl-fallback":
        assert any((layer.dense().sum(axis=1) == 0).any() for layer in layers)
    for continuous in (False, True):
        backward(layers, weights, signal, method, continuous, WIDTH[method])
        expected = oracle_gradient(theirs, weights, signal, method, continuous)
        assert_same_gradient(layers, expected, parameters, method, continuous)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_gradient_of_a_leaky_readout(scheme, method):
    weights, _, _, _, theirs, signal = problem(scheme, "hard", True)
    layers = run(scheme, "hard", method, leaky=True)
    assert layers[-1].spike_ptr.max() == 0
    assert np.abs(layers[-1].v).max() > 1  # it would have spiked
    np.testing.assert_array_equal(layers[-1].v, stacked(theirs, len(weights) - 1, "v"))
    for continuous in (False, True):
        backward(layers, weights, signal, method, continuous, WIDTH[method], leaky=True)
        expected = oracle_gradient(theirs, weights, signal, method, continuous, leaky=True)
        for n in range(len(weights)):
            assert_close(layers[n].grad_w, sum(t.grad_w[n] for t in expected), name=f"grad_w[{n}]")


@pytest.mark.parametrize("scheme", SCHEMES)
def test_exact_gradient_of_a_readout_membrane_is_a_central_difference(scheme):
    # Of the last layer's weights: its membrane is a smooth function of them, no spike lies between.
    weights, parameters, dense, sets, _, signal = problem(scheme, "hard", True)
    layers = backward(run(scheme, "hard", leaky=True), weights, signal, leaky=True)

    def loss(last):
        moved = forward(dense, [*weights[:-1], last], parameters, DT, sets, leaky=True)
        return float((moved[-1].v * signal).sum())

    expected = reference.central_difference(loss, weights[-1], step=1e-3)  # linear: no truncation error
    assert_close(layers[-1].grad_w, expected, 1e-10, "grad_w[-1]")


def test_a_loss_of_spike_times_and_of_the_membrane_together():
    scheme, reset = "backward_euler", "hard"
    weights, _, _, _, theirs, signal = problem(scheme, reset)
    dv = np.random.default_rng(1).normal(size=signal.shape)
    layers = run(scheme, reset)
    last, (rows, row_ptr) = layers[-1], layers[-1].given
    error = np.zeros(last.neurons.shape)
    cpu.at_spikes(signal, last.neurons, last.spike_ptr, error)
    g, h, carry = np.zeros((3, BATCH, SIZES[-1]))
    adjoint, spike_adjoint = np.zeros((2, BATCH, STEPS, SIZES[-1]))
    one_layer.lif_backward(
        last.coefficients, last.neuron, last.reset, one_layer.GRADIENT_EXACT, False, 0, STEPS, last.neurons,
        last.spike_ptr, last.inverse, last.slope, error, dv, g, h, carry, adjoint, spike_adjoint,
    )  # fmt: skip
    expected = [
        reference.clock_backward(t, weights, e=s, dloss_dv=d, max_inverse_slope=BOUND["exact"])
        for t, s, d in zip(theirs, signal, dv, strict=True)
    ]
    assert_close(adjoint, np.stack([t.X[-1] for t in expected]))
    passed = np.full(rows.shape, np.nan)
    cpu.spike_error(weights[-1], spike_adjoint, rows, row_ptr, 0, STEPS, passed)
    below = np.full(rows.shape, np.nan)
    cpu.at_spikes(np.stack([t.e[-2] for t in expected]), rows, row_ptr, below)
    known = np.arange(rows.shape[1]) < row_ptr[:, -1:]
    assert_close(passed[known], below[known])
    np.testing.assert_array_equal(carry, adjoint[:, 0])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("chunk", [1, 5, 8, STEPS - 1, STEPS, STEPS + 9])
def test_any_length_of_chunks_gives_the_same_bits(method, chunk):
    scheme, reset = "bilinear", "hard"
    weights, *_, signal = problem(scheme, reset)
    whole, cut = (
        backward(run(scheme, reset, method, way=way), weights, signal, method, width=WIDTH[method], way=way)
        for way in (Way(STEPS), Way(chunk))
    )
    for n, (a, b) in enumerate(zip(whole, cut, strict=True)):
        for name in ("x", "v", "i", "neurons", "spike_ptr", "inverse", "slope"):
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)
        for name in ("adjoint", "error"):
            if method in EVERY_STEP and n < len(whole) - 1:
                # W^T X_k of every step is a BLAS product, whose order of sums depends on the number of its lines.
                assert_close(getattr(b, name), getattr(a, name), name=name)
            else:
                np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)
        # The weight gradient adds chunk after chunk: the same terms in another order.
        assert_close(b.grad_w, a.grad_w)


@pytest.mark.parametrize("synapse", ["pattern", "dense"])
@pytest.mark.parametrize("method", METHODS)
def test_patterns_of_four_and_dense_products_are_other_orders_of_the_same_sums(method, synapse):
    scheme, reset = "backward_euler", "subtract"
    weights, parameters, _, _, theirs, signal = problem(scheme, reset)
    way = Way(chunk=5, synapse=synapse)
    layers = run(scheme, reset, method, way=way)
    for n, layer in enumerate(layers):
        np.testing.assert_array_equal(layer.x, stacked(theirs, n, "x"))  # exact: weights on a grid
        np.testing.assert_array_equal(layer.v, stacked(theirs, n, "v"))
        np.testing.assert_array_equal(layer.dense(), stacked(theirs, n, "spikes"))
    backward(layers, weights, signal, method, width=WIDTH[method], way=way)
    expected = oracle_gradient(theirs, weights, signal, method, False)
    assert_same_gradient(layers, expected, parameters, method, False)


@pytest.mark.parametrize("method", ["exact", "surrogate"])  # a loop each; the others differ in scalars
def test_single_precision(method):
    scheme, reset = "backward_euler", "hard"
    weights, parameters, _, _, theirs, signal = problem(scheme, reset)
    way = Way(dtype=np.float32)
    layers = backward(run(scheme, reset, method, way=way), weights, signal, method, width=WIDTH[method], way=way)
    for n, layer in enumerate(layers):
        np.testing.assert_array_equal(layer.dense(), stacked(theirs, n, "spikes"))
        assert_close(layer.v, stacked(theirs, n, "v"), SINGLE)
        assert layer.adjoint.dtype == layer.grad_w.dtype == np.float32
    # The slopes of spikes are differences of membranes: their relative error is that of float32 over dt.
    expected = oracle_gradient(theirs, weights, signal, method, False)
    assert_same_gradient(layers, expected, parameters, method, False, SINGLE)


def test_too_little_room_is_told_and_leaves_no_trace():
    scheme, reset = "backward_euler", "hard"
    roomy = run(scheme, reset)
    tight = run(scheme, reset, way=Way(cap=2))
    assert all(layer.reruns == 1 for layer in tight)
    for a, b in zip(roomy, tight, strict=True):
        np.testing.assert_array_equal(a.spike_ptr, b.spike_ptr)
        stop = b.neurons.shape[1]
        assert stop == b.spike_ptr[:, -1].max()
        for name in ("neurons", "inverse", "slope"):
            known = np.arange(stop) < b.spike_ptr[:, -1:]
            np.testing.assert_array_equal(getattr(a, name)[:, :stop][known], getattr(b, name)[known], err_msg=name)


def test_an_overfull_sample_runs_to_its_end_without_writing_past_its_room():
    x = np.full((2, 4, 3), 2.0)
    x[1] = 0
    coefficients, neuron = (0.5, 0.0, 0.0, 0.0, 1.0), (1.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1e4)
    v, i = np.zeros((2, 2, 3))
    backing = np.full((3, 5), -7, np.int32)
    spike_ptr = np.zeros((2, 5), np.int32)
    inverse, slope = np.full((2, 2, 5), -7.0)
    nothing = np.empty((0, 0, 0))
    one_layer.lif_forward(
        x, coefficients, neuron, 0, 0, 0, 4, v, i, backing[:2], spike_ptr, inverse, slope, nothing, nothing, 1
    )  # fmt: skip
    np.testing.assert_array_equal(spike_ptr, [[0, 3, 6, 9, 12], [0, 0, 0, 0, 0]])
    np.testing.assert_array_equal(backing, [[0, 1, 2, -7, -7], [-7] * 5, [-7] * 5])  # whole steps or nothing
    np.testing.assert_array_equal(inverse[0, 3:], -7)


@pytest.mark.parametrize("every", [1, 2, 3, 5])
def test_traces_of_every_kth_step(every):
    weights, parameters, dense, sets, theirs, _ = problem("exact", "hard")
    rows, row_ptr = spike_lists(dense)
    x = np.zeros((BATCH, STEPS, SIZES[1]))
    cpu.synaptic_input(weights[0], rows, row_ptr, 0, STEPS, x)
    p = parameters[0]
    neuron = (p["v_threshold"], p["v_reset"], p["r"], p["tau_mem"], p["tau_syn"], DT, 1e4)
    v, i = np.zeros((2, BATCH, SIZES[1]))
    spike_ptr = np.zeros((BATCH, STEPS + 1), np.int32)
    neurons, inverse, slope = np.zeros((BATCH, 400), np.int32), np.zeros((BATCH, 400)), np.zeros((BATCH, 400))
    v_trace, i_trace = np.full((2, BATCH, STEPS // every, SIZES[1]), np.nan)
    for k0, k1 in ((0, 4), (4, 5), (5, STEPS)):
        one_layer.lif_forward(
            np.ascontiguousarray(x[:, k0:k1]), sets[0], neuron, 0, 0, k0, k1, v, i, neurons, spike_ptr, inverse, slope,
            v_trace, i_trace, every,
        )  # fmt: skip
    kept = slice(every - 1, STEPS // every * every, every)
    np.testing.assert_array_equal(v_trace, stacked(theirs, 0, "v")[:, kept])
    np.testing.assert_array_equal(i_trace, stacked(theirs, 0, "i")[:, kept])
    np.testing.assert_array_equal(v, stacked(theirs, 0, "v_after")[:, -1])
    np.testing.assert_array_equal(i, stacked(theirs, 0, "i")[:, -1])
