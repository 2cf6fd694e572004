"""The hybrid engine against the event engine, what it cannot see, and its gradient."""

from itertools import pairwise, product

import numba
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from snnsim.engines.event import EventEngine
from snnsim.engines.hybrid import HybridEngine
from snnsim.engines.outputs import slab_of_spikes
from snnsim.errors import InputError
from snnsim.parameters import LIFParameters
from snnsim.spikes import Spikes
from tests import reference

DURATION = 4.0
TAUS = [(0.8, 0.6), (2.0, 1.0), (1.0, 1.0), (0.5, 0.9)]
AGREEMENT = 1e-9  # both are exact between spikes; rounding of some hundred closed forms, amplified by the network
DIFFERENCES = 1e-6  # central differences of step 1e-6: truncation and cancellation both near 1e-8


def parameters(taus=(0.8, 0.6), **changes):
    return LIFParameters(**{"tau_mem": taus[0], "tau_syn": taus[1], "v_reset": -0.2, "v_leak": 0.1, **changes})


def random_case(seed, taus, dt, sizes=(8, 12, 9, 4), batch=2, reset="hard", scale=1.0):
    rng = np.random.default_rng(seed)
    n_steps = round(DURATION / dt)
    p = parameters(taus, reset=reset)
    weights = [scale * rng.normal(0.4, 0.8, pair) for pair in pairwise(sizes)]
    trials = [(rng.uniform(0, 0.7 * DURATION, 20).round(2), rng.integers(0, sizes[0], 20)) for _ in range(batch)]
    inputs = slab_of_spikes(Spikes.from_trials(trials, sizes[0], n_steps * dt))
    n_layers = len(sizes) - 1
    exact = EventEngine((p,) * n_layers, duration=n_steps * dt)
    hybrid = HybridEngine((p,) * n_layers, dt=dt, n_steps=n_steps)
    return exact, hybrid, weights, inputs, rng


@pytest.mark.parametrize("taus", TAUS)
@pytest.mark.parametrize("reset", ["hard", "subtract"])
def test_equals_the_event_engine_where_it_sees_everything(taus, reset):
    compared = 0
    for seed, scale in product(range(6), (0.25, 1.0)):
        exact, hybrid, weights, inputs, rng = random_case(
            seed, taus, 0.1 * taus[1], (8, 12, 4), reset=reset, scale=scale
        )
        truth, output = exact.forward(weights, inputs), hybrid.forward(weights, inputs)
        clear = sum(hybrid.unseen) == 0
        for b in np.flatnonzero(clear):
            for mine, theirs in zip(hybrid.spikes()[1:], exact.spikes()[1:], strict=True):
                count = mine.counts[b]
                assert count == theirs.counts[b]
                np.testing.assert_array_equal(mine.neurons[b, :count], theirs.neurons[b, :count])
                np.testing.assert_allclose(mine.times[b, :count], theirs.times[b, :count], rtol=0, atol=AGREEMENT)
                compared += count
        # The gradient of the samples that agree; the others get none.
        e = np.zeros(truth.times.shape)
        for b in np.flatnonzero(clear):
            e[b, : truth.counts[b]] = rng.normal(size=truth.counts[b])
        mine = np.zeros(output.times.shape)
        shared = min(e.shape[1], mine.shape[1])
        mine[:, :shared] = e[:, :shared]
        for grad, expected in zip(hybrid.backward(weights, mine), exact.backward(weights, e), strict=True):
            np.testing.assert_allclose(grad, expected, rtol=0, atol=AGREEMENT * max(1, np.abs(expected).max()))
    assert compared > 100


def test_an_excursion_inside_a_bin_is_not_seen_but_counted():
    p = LIFParameters(tau_mem=1.0, tau_syn=0.5, r=1.0)
    # Up for 0.04, then down harder: above threshold only in the middle of the bin (0.1, 0.2].
    spikes = Spikes.from_trials([([0.11, 0.15], [0, 1]), ([0.11], [0])], 2, 1.0)
    weights = [np.array([[16.0], [-40.0]])]
    exact = EventEngine((p,), duration=1.0)
    hybrid = HybridEngine((p,), dt=0.1, n_steps=10)
    assert exact.forward(weights, slab_of_spikes(spikes)).counts[0] == 1
    assert hybrid.forward(weights, slab_of_spikes(spikes)).counts[0] == 0
    assert hybrid.unseen[0].tolist()[0] == 1
    # Bins fine enough to end inside the excursion see it.
    fine = HybridEngine((p,), dt=0.01, n_steps=100)
    assert fine.forward(weights, slab_of_spikes(spikes)).counts[0] == 1
    assert fine.unseen[0].tolist()[0] == 0


@given(seed=st.integers(0, 2**31), taus=st.sampled_from(TAUS), bins=st.integers(2, 40), mean=st.floats(-0.5, 1.5))
@settings(max_examples=60, deadline=None)
def test_nothing_is_missed_without_being_counted(seed, taus, bins, mean):
    rng = np.random.default_rng(seed)
    p = parameters(taus)
    weights = [rng.normal(mean, 2.0, (5, 10))]
    trials = [(rng.uniform(0, DURATION, 15), rng.integers(0, 5, 15)) for _ in range(2)]
    inputs = slab_of_spikes(Spikes.from_trials(trials, 5, DURATION))
    exact = EventEngine((p,), duration=DURATION)
    hybrid = HybridEngine((p,), dt=DURATION / bins, n_steps=bins)
    truth, output = exact.forward(weights, inputs), hybrid.forward(weights, inputs)
    for b in range(2):
        n, m = truth.counts[b], output.counts[b]
        same = n == m and np.allclose(truth.times[b, :n], output.times[b, :m], rtol=0, atol=1e-9)
        assert same or hybrid.unseen[0][b] > 0


@given(seed=st.integers(0, 2**31), taus=st.sampled_from(TAUS), bins=st.integers(2, 60))
@settings(max_examples=30, deadline=None)
def test_gradient_is_the_exact_adjoint_of_the_spikes_found(seed, taus, bins):
    # Central differences of the hybrid's own loss, along one direction in every tensor at once.
    _, hybrid, weights, inputs, rng = random_case(seed, taus, DURATION / bins, (4, 6, 5, 3), batch=1)
    output = hybrid.forward(weights, inputs)
    kept = output.counts[0]
    assume(kept > 0)
    before = [slab.counts.tolist() for slab in hybrid.spikes()]
    order = np.lexsort((output.times[0, :kept], output.neurons[0, :kept]))
    coefficient = rng.normal(size=kept)
    e = np.zeros(output.times.shape)
    e[0, order] = coefficient
    grads = [g.copy() for g in hybrid.backward(weights, e)]
    direction = [rng.normal(size=w.shape) for w in weights]
    slope = sum((g * d).sum() for g, d in zip(grads, direction, strict=True))

    def loss(step):
        moved = hybrid.forward([w + step * d for w, d in zip(weights, direction, strict=True)], inputs)
        assume([slab.counts.tolist() for slab in hybrid.spikes()] == before)
        by_neuron = np.lexsort((moved.times[0, :kept], moved.neurons[0, :kept]))
        return (coefficient * moved.times[0, :kept][by_neuron]).sum()

    wide = (loss(2e-6) - loss(-2e-6)) / 4e-6
    narrow = (loss(1e-6) - loss(-1e-6)) / 2e-6
    assume(abs(wide - narrow) < 1e-7 * max(1.0, abs(slope)))  # resolved by differences of this size at all
    assert abs(narrow - slope) < DIFFERENCES * max(1.0, abs(slope))


@pytest.mark.parametrize("taus", [(0.8, 0.6), (2.0, 1.0)])
def test_every_tensor_against_central_differences(taus):
    _, hybrid, weights, inputs, _ = random_case(3, taus, 0.05, (5, 6, 3), batch=2)
    first = hybrid.forward(weights, inputs)
    e = np.zeros(first.times.shape)
    for b in range(2):
        e[b, : first.counts[b]] = 1 + first.neurons[b, : first.counts[b]]
    assert (first.counts > 0).all()
    grads = [g.copy() for g in hybrid.backward(weights, e)]
    for layer, grad in enumerate(grads):

        def moved(w, layer=layer):
            return [*weights[:layer], w, *weights[layer + 1 :]]

        def loss(w, moved=moved):
            output = hybrid.forward(moved(w), inputs)
            valid = np.arange(output.times.shape[1]) < output.counts[:, None]
            return float((1 + output.neurons[valid]) @ output.times[valid])

        def counts(w, moved=moved):
            hybrid.forward(moved(w), inputs)
            return [slab.counts.tolist() for slab in hybrid.spikes()]

        numeric = reference.central_difference(loss, weights[layer], signature=counts)
        assert np.isfinite(numeric).mean() > 0.9
        assert reference.relative_error(grad, numeric) < DIFFERENCES, f"grad_w[{layer}]"


def test_a_leaky_readout_is_sampled_at_the_ends_of_bins():
    rng = np.random.default_rng(0)
    p, w = parameters(), [rng.normal(0.4, 0.8, (8, 3))]
    inputs = slab_of_spikes(Spikes.from_trials([(rng.uniform(0, 2, 20), rng.integers(0, 8, 20))], 8, 2.0))
    hybrid = HybridEngine((p,), "leaky", dt=0.1, n_steps=20)
    exact = EventEngine((p,), "leaky", duration=2.0, n_samples=20)
    np.testing.assert_array_equal(hybrid.forward(w, inputs).v, exact.forward(w, inputs).v)


def test_inputs_at_the_edges_of_bins_and_of_the_trial():
    p = parameters(v_leak=0.0)
    weights = [np.array([[5.0]])]
    times = [0.0, 0.3, 0.5, 1.0, 2.0]
    inputs = slab_of_spikes(Spikes.from_trials([(times, [0] * 5)], 1, 2.0))
    hybrid, exact = HybridEngine((p,), dt=0.1, n_steps=20), EventEngine((p,), duration=2.0)
    mine, truth = hybrid.forward(weights, inputs), exact.forward(weights, inputs)
    assert mine.counts[0] == truth.counts[0] > 5
    np.testing.assert_allclose(mine.times[0, : mine.counts[0]], truth.times[0, : truth.counts[0]], rtol=1e-12)


def test_any_number_of_threads_gives_the_same_bits():
    before = numba.get_num_threads()
    results = []
    try:
        for threads in sorted({1, min(2, numba.config.NUMBA_NUM_THREADS)}):
            numba.set_num_threads(threads)
            _, hybrid, weights, inputs, _ = random_case(1, (0.8, 0.6), 0.05, (8, 90, 20, 4), batch=5)
            output = hybrid.forward(weights, inputs)
            grads = hybrid.backward(weights, np.ones(output.times.shape))
            results.append((output.times[0, : output.counts[0]].copy(), [g.copy() for g in grads]))
    finally:
        numba.set_num_threads(before)
    assert len(results[0][0]) > 10
    for times, grads in results[1:]:
        np.testing.assert_array_equal(times, results[0][0])
        for grad, first in zip(grads, results[0][1], strict=True):
            np.testing.assert_array_equal(grad, first)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dt": 0.0}, "dt = 0.0: must be a positive number"),
        ({"n_steps": 0}, "n_steps = 0: must be at least 1"),
        ({"parameters": (parameters(reset="none"),)}, "layer 0: reset = 'none': engines event and hybrid"),
    ],
)
def test_bad_arguments_are_named(changes, message):
    with pytest.raises(InputError, match=message):
        HybridEngine(**{"parameters": (parameters(),), "dt": 0.1, "n_steps": 10, **changes})
