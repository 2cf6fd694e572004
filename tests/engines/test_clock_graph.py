"""The clock engine on general graphs beside the serial reference, tensor by tensor."""

import re

import numba
import numpy as np
import pytest

from snnsim.connections import Dense
from snnsim.engines import clock
from snnsim.engines.clock import ClockEngine
from snnsim.errors import InputError
from snnsim.network import Network
from snnsim.parameters import LI, LIF
from tests.graphs import counts, draw, driven, feed_forward, grid_of_counts, recurrent, reference_of
from tests.reference import graph_clock

ROUNDING = 1e-9
"""Relative to a tensor's largest entry: float64 sums in another order, amplified by slopes of up to 1e4."""
DT, STEPS, BATCH = 0.1, 90, 3
KINDS = {"feed-forward": (feed_forward, 0.6, 0.1), "recurrent": (recurrent, 0.9, 0.1), "driven": (driven, 0.5, 0.2)}


def problem(kind, seed=3):
    make, scale, mean = KINDS[kind]
    network = make()
    tensors = draw(network, seed, scale, mean)
    inputs = {"input": counts(seed, BATCH, STEPS, network.sizes["input"], 0.05)}
    if "image" in network.sizes:
        inputs["image"] = np.random.default_rng(seed).uniform(0, 0.4, (BATCH, STEPS, network.sizes["image"]))
    return network, tensors, inputs


def signal_of(network, seed):
    """A random linear functional of the output: derivatives by its membrane or by its spikes, (B, T, C)."""
    return np.random.default_rng(seed).normal(size=(BATCH, STEPS, network.output.size))


def ours(network, tensors, inputs, signal, precision="float64", **options):
    engine = ClockEngine(network, dt=DT, n_steps=STEPS, precision=precision, **options)
    tensors = {name: np.array(w, engine.dtype, order="C") for name, w in tensors.items()}
    given = {name: grid_of_counts(x) if x.dtype.kind == "i" else x for name, x in inputs.items()}
    output = engine.forward(tensors, given)
    if network.readout == "spiking" and not engine.takes_amplitude:
        e = np.zeros(output.times.shape)
        for b, n in enumerate(output.counts):
            steps = np.rint(output.times[b, :n] / DT).astype(int) - 1
            e[b, :n] = signal[b, steps, output.neurons[b, :n]]
        signal = e
    return engine, output, {name: g.copy() for name, g in engine.backward(tensors, signal).items()}


def theirs(network, tensors, inputs, signal, scheme="backward_euler", **options):
    graph, back = reference_of(network, tensors)
    run = graph_clock.run(graph, {name: x.astype(float) for name, x in inputs.items()}, DT, STEPS, scheme)
    of_output = {network.output.name: signal}
    dv, dspike = (of_output, {}) if network.readout == "leaky" else ({}, of_output)
    found, _ = graph_clock.backward(run, dv, dspike, **options)
    return run, {name: bring(found) for name, bring in back.items()}


SCHEMES = ["forward_euler", "exact", "bilinear"]
ESTIMATORS = ["exact", "tssl", "tssl-fallback", "surrogate"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("scheme", "estimator"), [*((s, "exact") for s in SCHEMES), *(("backward_euler", e) for e in ESTIMATORS)]
)
def test_spikes_and_gradients_are_the_reference_s(kind, scheme, estimator):
    network, tensors, inputs = problem(kind)
    signal = signal_of(network, 1)
    gradient, _, fallback = estimator.partition("-")
    engine, output, found = ours(
        network, tensors, inputs, signal, scheme=scheme, gradient=gradient, tssl_fallback=bool(fallback),
        synapse="gather",
    )  # fmt: skip
    run, expected = theirs(
        network, tensors, inputs, signal, scheme, estimator=gradient, sigmoid_fallback=bool(fallback)
    )
    for name, grid in engine.grids().items():
        spikes = inputs["input"] if name == "input" else run.spikes[name]
        assert spikes.sum() > 0, name
        np.testing.assert_array_equal(grid.row_ptr[:, 1:], np.cumsum(spikes.sum(axis=2), axis=1), err_msg=name)
    if network.readout == "leaky":
        v = output.v + network.output.neuron.v_leak
        np.testing.assert_allclose(v, run.v["output"], rtol=0, atol=1e-12 * np.abs(v).max())
    assert sorted(found) == sorted(set(network.learnt()))
    for name, g in found.items():
        size = np.abs(expected[name]).max()
        assert size > 0, name
        np.testing.assert_allclose(g, expected[name], rtol=0, atol=ROUNDING * size, err_msg=name)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("gradient", ["exact", "surrogate"])
def test_chunks_and_recomputed_states_change_no_bit_of_spikes(kind, gradient, monkeypatch):
    network, tensors, inputs = problem(kind)
    signal, results = signal_of(network, 1), []
    for chunk in (STEPS, 17):
        monkeypatch.setattr(clock, "CHUNK", chunk)
        engine, _, grads = ours(network, tensors, inputs, signal, gradient=gradient, synapse="gather")
        results.append((engine.grids(), grads))
    for name, grid in results[0][0].items():
        np.testing.assert_array_equal(grid.row_ptr, results[1][0][name].row_ptr)
    for name, g in results[0][1].items():
        np.testing.assert_allclose(g, results[1][1][name], rtol=0, atol=ROUNDING * np.abs(g).max(), err_msg=name)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("gradient", ["exact", "surrogate"])
def test_any_number_of_threads_and_order_of_connections_gives_the_same_bits(kind, gradient):
    network, tensors, inputs = problem(kind)
    signal, results = signal_of(network, 1), []
    shuffled = network.with_tensors({})
    shuffled.connections_by_name = dict(reversed(network.connections_by_name.items()))
    before = numba.get_num_threads()
    try:
        for threads, same in ((1, network), (2, network), (2, shuffled)):
            numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
            results.append(ours(same, tensors, inputs, signal, "float32", gradient=gradient)[2])
    finally:
        numba.set_num_threads(before)
    for other in results[1:]:
        for name, g in results[0].items():
            np.testing.assert_array_equal(g, other[name], err_msg=name)


def test_a_delay_is_a_time():
    # Half the step: the same delay is twice as many steps, and an input spike acts at the same time.
    for dt, n_steps in ((0.2, 20), (0.1, 40)):
        network = Network()
        network.input("input", 1)
        network.population("output", 1, LI())
        network.connect("input", "output", weight=np.ones((1, 1)), delay=1.0)
        engine = ClockEngine(network, dt=dt, n_steps=n_steps, precision="float64", scheme="exact")
        dense = np.zeros((1, n_steps, 1), int)
        dense[0, round(0.4 / dt) - 1] = 1
        v = engine.forward(network.tensors, grid_of_counts(dense)).v[0, :, 0]
        assert np.flatnonzero(v)[0] == round((0.4 + 1.0) / dt)  # the step after that of the arrival


def test_a_network_without_spikes_has_no_gradient():
    network, tensors, inputs = problem("recurrent")
    silent = {name: w if name.endswith("delay") else 0 * w for name, w in tensors.items()}
    _, output, grads = ours(network, silent, inputs, signal_of(network, 1))
    assert output.counts.sum() == 0
    assert not any(g.any() for g in grads.values())


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (lambda n: n.connect("a", "a"), "a cycle without delay"),
        (lambda n: n.connect("a", "a", delay=0.04), "connection a->a: delay 0.04: closes a cycle"),
        (lambda n: n.connect("a", "a", delay=99.0), "connection a->a: delay 99: must be shorter than the trial"),
        (lambda n: n.connect("a", "b"), "connection a->b: no target 'b'"),
        (lambda n: n.connect("a", "a", delay=-0.1), "delay -0.1: must be a time of at least 0"),
        (lambda n: n.connect("a", "a", delay=[0.1, 0.2]), "delays of shape 2: must be one number"),
        (lambda n: n.connect("output", "a"), "output is a readout without spikes, which sends none"),
        (lambda n: n.connect("a", "input"), "input is an input, which takes none"),
        (lambda n: n.connect("input", "a"), "there is one of that name"),
        (lambda n: n.connect("input", "a", Dense(), weight=np.ones((2, 2)), name="x"), "shape 2x2; must be 4x3"),
    ],
)
def test_what_cannot_be_is_one_line(build, text):
    network = Network()
    network.input("input", 4)
    network.population("a", 3, LIF())
    network.connect("input", "a")
    network.population("output", 2, LI())
    network.connect("a", "output")

    def attempt():
        build(network)
        ClockEngine(network, dt=0.1, n_steps=50)

    with pytest.raises(InputError, match=re.escape(text)):
        attempt()


def test_literal_is_for_chains():
    network, *_ = problem("recurrent")
    with pytest.raises(InputError, match="gradient = 'literal': runs fully connected layers one after another"):
        ClockEngine(network, dt=DT, n_steps=STEPS, gradient="literal")
