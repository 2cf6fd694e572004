"""Neurons on the clock that adapt, are held after a spike, or differ: spikes and every gradient are the reference's."""

import numpy as np
import pytest

from snnsim.engines.clock import ClockEngine
from snnsim.network import Network
from snnsim.neurons import ALIF, LI, LIF, AdLIF
from tests.graphs import counts, draw, grid_of_counts, reference_of
from tests.reference import graph_clock

DT, STEPS, BATCH = 0.1, 90, 3
ROUNDING = 1e-9
CONSTANTS = {
    LIF: ("tau_mem", "tau_syn", "r", "v_threshold", "v_reset", "v_leak", "v0", "i0"),
    ALIF: ("tau_mem", "tau_syn", "tau_a", "r", "v_threshold", "v_reset", "v_leak", "beta", "q", "a0"),
    AdLIF: ("tau_mem", "tau_syn", "tau_a", "r", "v_threshold", "v_reset", "c_a", "q", "v0", "i0", "a0"),
    LI: ("tau_mem", "tau_syn", "r", "i0"),
}


def spread(rng, n, **more):
    return {
        "tau_mem": rng.uniform(0.6, 1.0, n), "tau_syn": rng.uniform(0.3, 0.6, n), "r": rng.uniform(1.0, 1.4, n),
        "v_threshold": rng.uniform(0.9, 1.1, n), "v_reset": rng.uniform(-0.2, 0.2, n),
        "v_leak": rng.uniform(-0.1, 0.1, n), **more,
    }  # fmt: skip


def starts(rng, n):
    return {"v0": rng.uniform(-0.1, 0.3, n), "i0": rng.uniform(-0.1, 0.3, n)}


def adapting(rng, n):
    return {"tau_a": rng.uniform(0.5, 1.0, n), "q": rng.uniform(0.3, 0.6, n), "a0": rng.uniform(0.0, 0.2, n)}


def network_of(kinds, cycle, readout=None):
    """Two hidden populations of neurons and an output; in a cycle, or one behind the other."""
    rng, network = np.random.default_rng(6), Network()
    network.input("input", 12)
    for name, size, neuron in (("a", 7, kinds[0](rng, 7)), ("b", 5, kinds[1](rng, 5))):
        network.population(
            name, size, neuron, bias=rng.normal(0, 0.1, size), learn_bias=True, learn=CONSTANTS[type(neuron)]
        )
    network.connect("input", "a", delay=0.1)
    network.connect("a", "b")
    if cycle:
        network.connect("a", "a", delay=0.1)
        network.connect("b", "a", delay=rng.uniform(0.1, 0.6, 5), learn=("weight", "delay"))
    output = readout or LIF(v_threshold=0.7)
    network.population("output", 4, output, learn=CONSTANTS[type(output)], learn_each=False)
    network.connect("b", "output", delay=0.17, learn=("weight", "delay"))
    return network


KINDS = {
    "held": (
        lambda rng, n: LIF(**spread(rng, n, t_ref=0.1 * rng.integers(0, 4, n)), **starts(rng, n)),
        lambda rng, n: LIF(**spread(rng, n, t_ref=0.2, reset="subtract"), **starts(rng, n)),
    ),
    "alif": (
        lambda rng, n: ALIF(beta=0.3, **spread(rng, n), **adapting(rng, n)),
        lambda rng, n: ALIF(beta=0.2, reset="subtract", **spread(rng, n, t_ref=0.1), **adapting(rng, n)),
    ),
    "adlif": (
        lambda rng, n: AdLIF(c_a=0.4, **spread(rng, n, t_ref=0.1), **starts(rng, n), **adapting(rng, n)),
        lambda rng, n: AdLIF(c_a=0.3, **starts(rng, n), **spread(rng, n), **adapting(rng, n)),
    ),
    "differing": (
        lambda rng, n: LIF(**spread(rng, n), **starts(rng, n)),
        lambda rng, n: LIF(**spread(rng, n, reset="subtract"), **starts(rng, n)),
    ),
}


def compare(network, scheme, estimator, seed=3):
    tensors = draw(network, seed, 0.9, 0.1)
    dense = counts(seed, BATCH, STEPS, 12, 0.05)
    signal = np.random.default_rng(1).normal(size=(BATCH, STEPS, network.output.size))
    gradient, _, fallback = estimator.partition("-")
    engine = ClockEngine(
        network, dt=DT, n_steps=STEPS, precision="float64", scheme=scheme, gradient=gradient,
        tssl_fallback=bool(fallback), synapse="gather",
    )  # fmt: skip
    output = engine.forward(tensors, grid_of_counts(dense))
    graph, back = reference_of(network, tensors)
    run = graph_clock.run(graph, {"input": dense.astype(float)}, DT, STEPS, scheme)
    for name, grid in engine.grids().items():
        spikes = dense if name == "input" else run.spikes[name]
        assert spikes.sum() > 3, name
        np.testing.assert_array_equal(grid.row_ptr[:, 1:], np.cumsum(spikes.sum(axis=2), axis=1), err_msg=name)
    e = signal
    if network.readout == "leaky":
        rest = tensors.get("output.v_leak", network.output.neuron.v_leak)
        np.testing.assert_allclose(output.v + rest, run.v["output"], rtol=0, atol=1e-11 * np.abs(output.v).max())
    elif not engine.takes_amplitude:
        e = np.zeros(output.times.shape)
        for b, n in enumerate(output.counts):
            steps = np.rint(output.times[b, :n] / DT).astype(int) - 1
            e[b, :n] = signal[b, steps, output.neurons[b, :n]]
    found = engine.backward(tensors, e)
    given = ({"output": signal}, {}) if network.readout == "leaky" else ({}, {"output": signal})
    theirs, _ = graph_clock.backward(run, *given, estimator=gradient, sigmoid_fallback=bool(fallback))
    assert sorted(found) == sorted(set(network.learnt()))
    for name, g in found.items():
        wanted = back[name](theirs)
        size = max(np.abs(wanted).max(), 1e-3)
        np.testing.assert_allclose(g, wanted, rtol=0, atol=ROUNDING * size, err_msg=name)
    return found


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("scheme", "estimator"),
    [
        ("forward_euler", "exact"), ("exact", "exact"), ("bilinear", "exact"), ("backward_euler", "tssl"),
        ("exact", "surrogate"), ("backward_euler", "tssl-fallback"),
    ],
)  # fmt: skip
def test_spikes_and_gradients_of_every_tensor_are_the_references(kind, scheme, estimator):
    compare(network_of(KINDS[kind], cycle=True), scheme, estimator)
