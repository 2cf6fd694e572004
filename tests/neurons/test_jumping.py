"""Neurons without synaptic filter: the clock against plain NumPy, continuous time against the clock on its grid."""

import numpy as np
import pytest

from snnsim import Network, Spikes, simulate
from snnsim.engines.clock import ClockEngine
from snnsim.engines.event_graph import GraphEventEngine
from snnsim.engines.outputs import slab_of_spikes
from snnsim.errors import InputError
from snnsim.neurons import ALIF, IF, LI, LIF, AdLIF, DeltaLIF
from tests.graphs import counts, grid_of_counts

DT, STEPS, BATCH = 0.125, 80, 3  # a power of two: sums of times on the grid are exact


def network_of(neuron, other=None, seed=0):
    """Two populations in a cycle of delays on the grid, one of them none, and a population behind."""
    rng, network = np.random.default_rng(seed), Network()
    network.input("input", 10)
    network.population("a", 6, neuron(rng, 6))
    network.population("b", 5, (other or neuron)(rng, 5))
    network.population("output", 4, neuron(rng, 4))
    network.connect("input", "a", weight=rng.normal(0.3, 0.4, (10, 6)))
    network.connect("a", "b", weight=rng.normal(0.3, 0.4, (6, 5)))
    network.connect("b", "a", weight=rng.normal(0.1, 0.4, (5, 6)), delay=DT * rng.integers(1, 6, 5))
    network.connect("a", "a", weight=rng.normal(0.1, 0.4, (6, 6)), delay=DT * rng.integers(1, 6, (6, 6)))
    network.connect("b", "output", weight=rng.normal(0.5, 0.4, (5, 4)))
    network.connect("input", "output", weight=rng.normal(0.1, 0.3, (10, 4)), delay=3 * DT)
    return network


def held(steps):
    """Refractory periods of so many steps: the clock holds the last of them to its end, arrivals included."""
    return np.where(steps > 0, (np.asarray(steps) + 0.25) * DT, 0.0)


NEURONS = {
    "lif": lambda rng, n: DeltaLIF(tau_mem=rng.uniform(0.5, 2.0, n), v_leak=0.1, v0=rng.uniform(0, 0.4, n)),
    "held": lambda rng, n: DeltaLIF(tau_mem=1.0, t_ref=held(rng.integers(0, 4, n))),
    "if": lambda rng, n: IF(v_threshold=rng.uniform(0.8, 1.2, n), v_reset=-0.1, t_ref=float(held(1))),
}


@pytest.mark.parametrize("kind", NEURONS)
def test_continuous_time_is_the_clock_where_all_times_lie_on_its_grid(kind):
    network = network_of(NEURONS[kind])
    dense = counts(3, BATCH, STEPS, 10, 0.15)
    spikes = Spikes.from_dense(np.minimum(dense, 1), DT)
    event, hybrid, clock = (
        simulate(network, spikes, engine, dt=DT, scheme="exact", precision="float64", record=("spikes", "v"))
        for engine in ("event", "hybrid", "clock")
    )
    for name in ("a", "b", "output"):
        a, b, c = (recording[name].spikes for recording in (event, hybrid, clock))
        inside = c.times < DT * STEPS  # what happens at the end of the trial is the clock's alone
        assert inside.sum() > 20
        np.testing.assert_array_equal(a.times, c.times[inside])
        np.testing.assert_array_equal(a.neurons, c.neurons[inside])
        np.testing.assert_array_equal(a.times, b.times)
        # A clock's v is that after a step's input, the event engine's that before it: a decay apart, at the next step.
        before = event[name].v[:, 1:]
        after = clock[name].v[:, :-1]
        fired = np.zeros(after.shape, bool)
        step = np.rint(c.times / DT).astype(int) - 1
        trial = np.repeat(np.arange(BATCH), np.diff(c.offsets))
        fired[trial[step < STEPS - 1], step[step < STEPS - 1], c.neurons[step < STEPS - 1]] = True
        neuron = network.populations_by_name[name].neuron
        if kind == "lif":
            reached = neuron.v_leak + (after - neuron.v_leak) * np.exp(-DT / neuron.tau_mem)
            np.testing.assert_allclose(before[~fired], reached[~fired], rtol=0, atol=1e-13)


def test_a_current_drives_membranes_over_their_threshold():
    network = Network()
    network.input("input", 1)
    network.population("a", 2, DeltaLIF(tau_mem=2.0, r=1.5, t_ref=0.25), bias=[1.0, 0.5])
    network.population("b", 1, IF(r=2.0, v_threshold=1.0), bias=[0.7])
    network.connect("input", "a", weight=np.zeros((1, 2)))
    network.connect("a", "b", weight=np.zeros((2, 1)))
    recording = simulate(network, Spikes.from_trials([([], [])], 1, 9.9), "event", record=("spikes",))
    interval = 2.0 * np.log(1.5 / 0.5) + 0.25
    times = recording["a"].spikes.times
    np.testing.assert_allclose(times, interval * np.arange(1, len(times) + 1) - 0.25, rtol=1e-14)
    assert (recording["a"].spikes.neurons == 0).all()
    np.testing.assert_allclose(recording["b"].spikes.times, np.arange(1, 14) / 1.4, rtol=1e-13)


def test_a_subtractive_reset_spikes_until_the_membrane_is_below():
    network = Network()
    network.input("input", 1)
    network.population("output", 1, IF(reset="subtract"))
    network.connect("input", "output", weight=[[2.5]])
    spikes = Spikes.from_trials([([1.0, 2.0], [0, 0])], 1, 5.0)
    times = simulate(network, spikes, "event", record=("spikes",))["output"].spikes.times
    np.testing.assert_array_equal(times, [1.0, 1.0, 2.0, 2.0, 2.0])


def leaky(x, beta, reset):
    """SnnTorch's Leaky, by its equations: U = beta U + x, a spike at U >= 1, and a reset of the same step."""
    u, out = np.zeros(x.shape[::2]), np.zeros(x.shape)
    for k in range(x.shape[1]):
        u = beta * u + x[:, k]
        out[:, k] = u >= 1
        u = u - out[:, k] if reset == "subtract" else np.where(out[:, k], 0, u)
    return out


@pytest.mark.parametrize("reset", ["hard", "subtract"])
@pytest.mark.parametrize("neuron", [lambda reset: DeltaLIF(tau_mem=2.0, reset=reset), lambda reset: IF(reset=reset)])
def test_the_clock_takes_the_steps_of_plain_neurons(reset, neuron):
    rng, network = np.random.default_rng(1), Network()
    neuron = neuron(reset)
    network.input("input", 8)
    network.population("hidden", 7, neuron)
    network.population("output", 3, neuron)
    w, z = rng.normal(0.3, 0.4, (8, 7)), rng.normal(0.3, 0.4, (7, 3))
    network.connect("input", "hidden", weight=w)
    network.connect("hidden", "output", weight=z)
    dense = counts(2, BATCH, STEPS, 8, 0.2)
    engine = ClockEngine(network, dt=DT, n_steps=STEPS, precision="float64", scheme="exact", gradient="surrogate")
    output = engine.forward(network.tensors, grid_of_counts(dense))
    beta = np.exp(-DT / 2.0) if neuron.kind == "delta-lif" else 1.0
    hidden = leaky(dense @ w, beta, reset)
    last = leaky(hidden @ z, beta, reset)
    assert last.sum() > 50
    assert output.counts.tolist() == last.sum((1, 2)).astype(int).tolist()
    steps = [np.rint(t[:n] / DT).astype(int) - 1 for t, n in zip(output.times, output.counts, strict=True)]
    for b, n in enumerate(output.counts):
        found = np.zeros((STEPS, 3))
        found[steps[b], output.neurons[b, :n]] = 1
        np.testing.assert_array_equal(found, last[b])
    # The surrogate's gradient by the steps written out: resets held fixed.
    signal = rng.normal(size=(BATCH, STEPS, 3))
    grads = engine.backward(network.tensors, signal)
    d_last = back(dense_v(hidden @ z, last, beta, reset), last, signal, beta, reset)
    np.testing.assert_allclose(grads["hidden->output"], np.einsum("bki,bkj->ij", hidden, d_last), atol=1e-11)
    d_hidden = back(dense_v(dense @ w, hidden, beta, reset), hidden, d_last @ z.T, beta, reset)
    np.testing.assert_allclose(grads["input->hidden"], np.einsum("bki,bkj->ij", dense, d_hidden), atol=1e-11)


def dense_v(x, spikes, beta, reset):
    u, out = np.zeros(x.shape[::2]), np.zeros(x.shape)
    for k in range(x.shape[1]):
        out[:, k] = u = beta * u + x[:, k]
        u = u - spikes[:, k] if reset == "subtract" else np.where(spikes[:, k], 0, u)
    return out


def back(v, spikes, signal, beta, reset):
    g, out = np.zeros(v.shape[::2]), np.zeros(v.shape)
    for k in range(v.shape[1] - 1, -1, -1):
        kept = beta * g * (1 - spikes[:, k] if reset == "hard" else 1)
        out[:, k] = g = kept + signal[:, k] / (1 + 10 * np.abs(v[:, k] - 1)) ** 2
    return out


def event(network):
    engine = GraphEventEngine(network, duration=1.0)
    inputs = slab_of_spikes(Spikes.from_trials([([0.1], [0])], 10, 1.0))
    output = engine.forward(network.tensors, inputs)
    return engine.backward(network.tensors, np.zeros(output.times.shape))


def on_clock(network):
    engine = ClockEngine(network, dt=DT, n_steps=8, precision="float64", gradient="exact")
    output = engine.forward(network.tensors, grid_of_counts(counts(3, 1, 8, 10, 0.15)))
    return engine.backward(network.tensors, np.zeros(output.times.shape))


def without_delay():
    network = network_of(NEURONS["lif"])
    network.connect("b", "b", weight=np.ones((5, 5)))
    return network


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: on_clock(network_of(NEURONS["lif"])), "delta-lif spikes when a spike arrives, whatever its weight"),
        (lambda: event(network_of(NEURONS["if"])), "if spikes when a spike arrives, whatever its weight"),
        (lambda: event(without_delay()), "a cycle without delay (a->b, b->b): membranes that jump"),
        (lambda: event(network_of(NEURONS["lif"], lambda rng, n: LIF())), "with and without synaptic filter in one"),
        (lambda: event(network_of(lambda rng, n: AdLIF(coupling=0.2))), "coupling = 0.2: engines event and hybrid"),
        (lambda: AdLIF(coupling=0.2, t_ref=1.0), "coupling = 0.2: neurons whose membrane drives the adaptation have"),
        (lambda: ALIF(reset="none"), "reset = 'none': must be one of hard, subtract"),
        (lambda: LI(i0=np.inf), "i0"),
    ],
)
def test_what_these_neurons_cannot_do_is_one_line(make, message):
    with pytest.raises(InputError) as error:
        make()
    assert message in str(error.value)
    assert "\n" not in str(error.value)
