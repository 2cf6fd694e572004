"""Rate regularisation and waking: what they add to gradients, in every engine, and that they do what they are for."""

import numpy as np
import pytest

from snnsim.activity import counts_of, wake
from snnsim.connections import Convolution, Dense, OneToOne, Pool
from snnsim.engines.clock import ClockEngine
from snnsim.engines.event_graph import GraphEventEngine
from snnsim.engines.grid import GridSpikes
from snnsim.engines.outputs import slab_of_spikes
from snnsim.network import Network
from snnsim.neurons import ALIF, LIF
from snnsim.spikes import Spikes
from tests.graphs import grid_of_counts

DT, STEPS, BATCH = 0.05, 60, 4
NU, K = 3.0, 0.7


def network_of(neuron, seed=0):
    rng, network = np.random.default_rng(seed), Network()
    network.input("input", 6)
    network.population("hidden", 5, neuron)
    network.population("output", 2, LIF())
    network.connect("input", "hidden", weight=rng.normal(1.2, 0.6, (6, 5)))
    network.connect("hidden", "output", weight=np.zeros((5, 2)))
    return network


def spikes():
    rng = np.random.default_rng(1)
    trials = [(np.sort(rng.uniform(0, 0.9 * DT * STEPS, 25)), rng.integers(0, 6, 25)) for _ in range(BATCH)]
    return Spikes.from_trials(trials, 6, DT * STEPS)


@pytest.mark.parametrize("neuron", [LIF(), ALIF(beta=0.3, t_ref=0.1)])
def test_the_rate_is_the_time_error_it_is_said_to_be(neuron):
    """``e = -k (n - nu) tau_mem slope``, of a population that is the output."""
    network = network_of(neuron)
    engine = GraphEventEngine(network, duration=DT * STEPS, layers=False, max_inverse_slope=np.inf)
    inputs = slab_of_spikes(spikes())
    output = engine.forward(network.tensors, inputs)
    zero = np.zeros(output.times.shape)
    found = engine.backward(network.tensors, zero, rate=(K, NU))["input->hidden"].copy()
    assert not engine.backward(network.tensors, zero)["input->hidden"].any()
    # The hidden population alone, as an output whose spikes have these errors.
    alone = Network()
    alone.input("input", 6)
    alone.population("output", 5, neuron)
    alone.connect("input", "output", weight=network.tensors["input->hidden"])
    other = GraphEventEngine(alone, duration=DT * STEPS, layers=False, max_inverse_slope=np.inf)
    slab = other.forward(alone.tensors, inputs)
    counts = counts_of(slab.neurons, slab.counts, 5)
    assert counts.max() > NU
    e = np.zeros(slab.times.shape)
    for b in range(BATCH):
        times = slab.times[b, : slab.counts[b]]
        v, i, a = (x[b] for x in other.trace(alone.tensors, "output", times, np.arange(5)))
        for s, n in enumerate(slab.neurons[b, : slab.counts[b]]):
            slope = (neuron.r * i[s, n] - v[s, n]) / neuron.tau_mem
            if isinstance(neuron, ALIF):
                slope += neuron.beta * a[s, n] / neuron.tau_a
            e[b, s] = -K / BATCH * (counts[b, n] - NU) * neuron.tau_mem * slope
    np.testing.assert_allclose(found, other.backward(alone.tensors, e)["input->output"], rtol=1e-9, atol=1e-12)


def clock_engine(network, gradient):
    return ClockEngine(network, dt=DT, n_steps=STEPS, precision="float64", gradient=gradient, scheme="exact")


@pytest.mark.parametrize("gradient", ["exact", "surrogate"])
def test_steps_along_the_gradient_bring_the_wanted_rate(gradient):
    network = network_of(LIF())
    tensors = dict(network.tensors)
    engine = clock_engine(network, gradient)
    grid = grid_of_counts(spikes().to_dense(DT, STEPS).astype(int))
    means = []
    for _ in range(40):
        output = engine.forward(tensors, grid)
        means.append(engine.spike_totals()["hidden"] / (5 * BATCH))
        shape = output.times.shape if gradient == "exact" else (BATCH, STEPS, 2)
        found = engine.backward(tensors, np.zeros(shape), rate=(1.0, NU))["input->hidden"]
        tensors["input->hidden"] = tensors["input->hidden"] - 0.05 * found
    assert abs(means[0] - NU) > 1.0
    assert abs(means[-1] - NU) < 0.5 * abs(means[0] - NU)


@pytest.mark.parametrize(
    "shape", [Dense(), Dense(Pool(2)), Convolution(2), Convolution(1, pool=Pool(2)), OneToOne()], ids=str
)
def test_waking_is_the_gradient_of_what_silent_neurons_see(shape):
    """``-strength`` times the summed input of neurons that are silent in the whole batch, by every weight."""
    rng, network = np.random.default_rng(0), Network()
    network.input("input", (2, 4, 4))
    target = 32 if isinstance(shape, OneToOne) else 7
    if isinstance(shape, Convolution):
        target = (3, 2, 2) if shape.pool else (3, 3, 3)
    network.population("hidden", target, LIF())
    c = network.connect("input", "hidden", shape, weight=None)
    w = rng.normal(size=network.weight_shape(c))
    size = network.sizes["hidden"]
    counts = {"input": rng.integers(0, 3, (2, 32)).astype(float), "hidden": np.zeros((2, size))}
    counts["hidden"][0, ::2] = 1
    found = np.zeros(w.shape)
    wake(network, c, counts, 0.5, found)
    silent = ~counts["hidden"].any(0)

    def seen(weights):
        """Mean input of the silent neurons, by a clock's first step."""
        made = network.with_tensors({"input->hidden": weights})
        engine = clock_engine(made, "exact")
        total = 0.0
        for b in range(2):
            rows = np.repeat(np.arange(32), counts["input"][b].astype(int)).astype(np.int32)[None]
            row_ptr = np.zeros((1, STEPS + 1), np.int32)
            row_ptr[:, 1:] = rows.shape[1]
            engine.forward(made.tensors, GridSpikes(rows, row_ptr, 32), trace=("hidden",))
            total += engine.traces("hidden")[1][0, 0][silent].sum() * LIF().tau_syn / 2
        return total

    direction = rng.normal(size=w.shape)
    step = 1e-3  # the first step's current is linear in the weights
    expected = -0.5 * (seen(w + step * direction) - seen(w - step * direction)) / (2 * step)
    np.testing.assert_allclose((found * direction).sum(), expected, rtol=1e-9)
