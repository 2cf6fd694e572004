"""Properties of chained kernels: batches, shifts, causality, silence, and the same bits for any number of threads."""

import hashlib
import os
import subprocess
import sys

import numba
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from snnsim.parameters import LIFParameters, scheme_coefficients
from tests.kernel_chain import EVERY_STEP, KEPT, Way, backward, forward, on_one_thread

SCHEMES = st.sampled_from(["forward_euler", "backward_euler", "exact", "bilinear"])
RESETS = st.sampled_from(["hard", "subtract", "none"])
METHODS = st.sampled_from(["exact", "literal", "tssl", "tssl-fallback", "surrogate"])
SYNAPSES = st.sampled_from(["gather", "pattern", "dense"])
DT = 0.05
quick = settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    with on_one_thread():
        yield


@st.composite
def nets(draw):
    """A net of two layers, a batch of spikes and a way to run it."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n_in, n_hidden, n_out = (draw(st.integers(1, 9)) for _ in range(3))
    batch, steps = draw(st.integers(1, 4)), draw(st.integers(1, 20))
    reset, scheme = draw(RESETS), draw(SCHEMES)
    weights = [rng.normal(2.0 / a, 2.0 / np.sqrt(a), (a, b)) for a, b in ((n_in, n_hidden), (n_hidden, n_out))]
    taus = rng.uniform(0.3, 1.5, 2)
    neuron = dict(tau_mem=taus[0], tau_syn=taus[1], r=1.2, v_threshold=1.0, v_reset=0.1, reset=reset)
    coefficients = scheme_coefficients(LIFParameters(**neuron), DT, scheme)
    dense = (rng.random((batch, steps, n_in)) < draw(st.sampled_from([0.0, 0.2, 0.7]))).astype(np.uint8)
    signal = rng.normal(size=(batch, steps, n_out))
    way = Way(draw(st.integers(1, steps + 2)), draw(SYNAPSES))
    return weights, [neuron] * 2, dense, [coefficients] * 2, signal, draw(METHODS), way


def run(net, dense=None, signal=None, weights=None, way=None):
    own_weights, parameters, own_dense, sets, own_signal, method, own_way = net
    weights = own_weights if weights is None else weights
    layers = forward(
        own_dense if dense is None else dense, weights, parameters, DT, sets, KEPT[method], way=way or own_way
    )
    width = {"surrogate": 10.0, "tssl-fallback": 0.2}.get(method, 0.0)
    signal = own_signal if signal is None else signal
    return backward(layers, weights, signal, method, width=width, way=way or own_way)


@quick
@given(nets(), st.randoms(use_true_random=False))
def test_a_permuted_batch_gives_permuted_results(net, random):
    order = list(range(len(net[2])))
    random.shuffle(order)
    for a, b in zip(run(net), run(net, net[2][order], net[4][order]), strict=True):
        for name in ("v", "i", "spike_ptr", "adjoint"):
            np.testing.assert_array_equal(getattr(a, name)[order], getattr(b, name), err_msg=name)
        np.testing.assert_array_equal(a.dense()[order], b.dense())
        # The sum over samples is ordered otherwise.
        scale = np.abs(a.grad_w).max(initial=1e-300)
        np.testing.assert_allclose(a.grad_w, b.grad_w, rtol=0, atol=1e-11 * scale + 1e-12 * np.abs(a.adjoint).max())


@quick
@given(nets(), st.integers(1, 5))
def test_silent_steps_before_a_trial_only_shift_it(net, shift):
    dense = np.pad(net[2], ((0, 0), (shift, 0), (0, 0)))
    signal = np.pad(net[4], ((0, 0), (shift, 0), (0, 0)))
    steps = net[2].shape[1]
    way = Way(steps + shift, net[-1].synapse)
    for a, b in zip(run(net, way=Way(steps, net[-1].synapse)), run(net, dense, signal, way=way), strict=True):
        for name in ("v", "i"):
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name)[:, shift:], err_msg=name)
            np.testing.assert_array_equal(getattr(b, name)[:, :shift], 0)
        np.testing.assert_array_equal(a.dense(), b.dense()[:, shift:])
        if net[5] not in EVERY_STEP:  # there, a BLAS product of other length: other order of sums
            np.testing.assert_array_equal(a.adjoint, b.adjoint[:, shift:])


@quick
@given(nets(), st.integers(0, 19))
def test_the_future_does_not_change_the_past(net, k):
    steps = net[2].shape[1]
    k = min(k, steps)
    dense = net[2].copy()
    dense[:, k:] = 1 - dense[:, k:]
    for a, b in zip(run(net), run(net, dense), strict=True):
        for name in ("v", "i"):
            np.testing.assert_array_equal(getattr(a, name)[:, :k], getattr(b, name)[:, :k], err_msg=name)
        np.testing.assert_array_equal(a.dense()[:, :k], b.dense()[:, :k])


@quick
@given(nets())
def test_zero_weights_give_no_spikes(net):
    layers = run(net, weights=[np.zeros_like(w) for w in net[0]])
    for layer in layers:
        assert layer.spike_ptr.max() == 0
        assert not layer.v.any()
        assert np.isfinite(layer.grad_w).all()
    if net[5] not in EVERY_STEP:  # no spike, no derivative
        assert not any(layer.grad_w.any() for layer in layers)


@quick
@given(nets())
def test_a_net_without_input_spikes_has_a_zero_gradient(net):
    layers = run(net, np.zeros_like(net[2]))
    for layer in layers:
        assert layer.spike_ptr.max() == 0
        assert not layer.grad_w.any()
        assert np.isfinite(layer.adjoint).all()


def digest(layers):
    text = hashlib.sha256()
    for layer in layers:
        text.update(np.ascontiguousarray(layer.dense()).tobytes())
        for name in ("v", "i", "spike_ptr", "adjoint", "grad_w"):
            text.update(np.ascontiguousarray(getattr(layer, name)).tobytes())
    return text.hexdigest()


def fixed_nets():
    """One net for every method and way of summing, large enough for every thread to own something."""
    rng = np.random.default_rng(11)
    weights = [rng.normal(1.6 / a, 1.5 / np.sqrt(a), (a, b)) for a, b in ((70, 40), (40, 10))]
    neuron = dict(tau_mem=0.8, tau_syn=0.6, r=1.2, v_threshold=1.0, v_reset=0.0, reset="hard")
    coefficients = scheme_coefficients(LIFParameters(**neuron), DT, "backward_euler")
    dense = (rng.random((9, 30, 70)) < 0.3).astype(np.uint8)
    signal = rng.normal(size=(9, 30, 10))
    for method in KEPT:
        for synapse in ("gather", "pattern", "dense"):
            yield weights, [neuron] * 2, dense, [coefficients] * 2, signal, method, Way(8, synapse)


def digests():
    return [digest(run(net)) for net in fixed_nets()]


def test_the_same_bits_on_every_run_and_with_all_threads():
    one = digests()
    assert len(set(one)) > len(one) / 2  # methods differ
    assert digests() == one
    numba.set_num_threads(numba.config.NUMBA_NUM_THREADS)
    try:
        assert digests() == one
    finally:
        numba.set_num_threads(1)


PROGRAM = """
import numba
from tests.kernels.test_properties import digests
for count in (1, 2, 3, 4):
    numba.set_num_threads(count)
    print(count, *digests())
"""


def test_the_same_bits_for_one_to_four_threads_in_another_process():
    environment = os.environ | {"NUMBA_NUM_THREADS": "4", "OMP_WAIT_POLICY": "PASSIVE"}
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True)
    lines = [line.split() for line in done.stdout.splitlines()]
    assert [line[0] for line in lines] == ["1", "2", "3", "4"]
    for line in lines:
        assert line[1:] == digests()
