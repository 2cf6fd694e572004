"""The graph oracles against what does not share their formulas: central differences per tensor, each other, scipy."""

import math

import numpy as np
import pytest
from scipy.linalg import expm
from scipy.signal import correlate2d

from tests.reference import clock_backward, clock_forward, event_backward, relative_error, simulate_events
from tests.reference import graph_clock as clock
from tests.reference import graph_event as event
from tests.reference.differences import fourth_order
from tests.reference.graph import Connection, Graph, Input, Population, conv1d, conv2d, one_to_one, pull_back, sparse

SCHEMES = ("forward_euler", "backward_euler", "exact", "bilinear")
ROUNDING = 1e-12  # float64 sums of some hundred terms, ordered differently
SMOOTH = 1e-7  # fourth-order differences with step 1e-4: truncation 1e-16 times the fifth derivative, rounding 1e-12
DT = 0.1
STEPS = 11


def parameters(rng, n, **chosen):
    """Everything different in every neuron, adaptation of both kinds, a bias, a start away from rest."""
    everything = {
        "tau_mem": rng.uniform(0.6, 1.2, n),
        "tau_syn": rng.uniform(0.3, 0.8, n),
        "tau_a": rng.uniform(0.7, 1.5, n),
        "r": rng.uniform(1.0, 1.5, n),
        "v_leak": rng.uniform(-0.1, 0.1, n),
        "v_threshold": rng.uniform(0.7, 1.0, n),
        "v_reset": rng.uniform(-0.2, 0.2, n),
        "i_ext": rng.uniform(0.0, 0.3, n),
        "beta": rng.uniform(0.1, 0.3, n),
        "c_a": rng.uniform(0.1, 0.3, n),
        "q": rng.uniform(0.1, 0.4, n),
        "v0": rng.uniform(-0.1, 0.2, n),
        "i0": rng.uniform(0.0, 0.3, n),
        "a0": rng.uniform(0.0, 0.2, n),
    }
    return everything | chosen


def weights(rng, n_pre, n_post, total, std=0.5):
    return rng.normal(total / n_pre, std / np.sqrt(n_pre), (n_pre, n_post))


def clock_net(rng, reset="hard", t_ref=0.0, leaky=False):
    """Three kinds of input, recurrence, feedback, a skip, a sparse connection, delays on and between grid points."""
    between = rng.uniform(0.0, 2.0, (3, 2)) * DT
    return Graph(
        [
            Input("input", 3),
            Input("filtered", 1, "current"),
            Input("direct", 2, "membrane_current"),
            Population("hidden", 3, reset, **parameters(rng, 3, t_ref=t_ref)),
            Population("output", 2, reset, spiking=not leaky, **parameters(rng, 2, t_ref=t_ref)),
        ],
        [
            Connection("input", "hidden", weights(rng, 3, 3, 2.5), DT * rng.uniform(0.0, 2.0, (3, 3))),
            Connection("filtered", "hidden", weights(rng, 1, 3, 0.5)),
            Connection("direct", "output", weights(rng, 2, 2, 0.3), 0.4 * DT),
            Connection("hidden", "output", weights(rng, 3, 2, 2.5)),
            Connection("hidden", "output", weights(rng, 3, 2, 0.5), between, name="late"),
            Connection("hidden", "hidden", weights(rng, 3, 3, 0.3), 2 * DT),
            Connection("output", "hidden", weights(rng, 2, 3, 0.3), 1.3 * DT),
            Connection("input", "output", *sparse_synapses(rng)),
        ],
    )


def sparse_synapses(rng):
    weight, mask = sparse([0, 1, 2], [1, 0, 1], rng.normal(0.4, 0.3, 3), (3, 2))
    return weight, 1.0 * DT, mask


def clock_inputs(rng, graph, batch=2, n_steps=STEPS):
    drawn = {}
    for name, node in graph.inputs.items():
        shape = batch, n_steps, node.size
        drawn[name] = rng.poisson(0.3, shape) if node.kind == "spikes" else rng.uniform(0.0, 1.0, shape)
    return drawn


def clock_loss(rng, graph, batch=2, n_steps=STEPS, amplitudes=False):
    """A nonlinear function of every membrane and of every spike's time, or of every spike's amplitude."""
    sizes = {name: (batch, n_steps, population.size) for name, population in graph.populations.items()}
    c, d = ({name: rng.normal(size=shape) for name, shape in sizes.items()} for _ in range(2))

    def loss(run):
        value, dv, dspike = 0.0, {}, {}
        for name in sizes:
            v, s, t = run.v[name], run.spikes[name], run.times[name]
            z, there = (s, 1.0) if amplitudes else (np.where(np.isnan(t), 0.0, t), s)
            value += np.sum(c[name] * v + 0.2 * v * v) + np.sum(there * (d[name] * z + 0.3 * z * z))
            dv[name], dspike[name] = c[name] + 0.4 * v, there * (d[name] + 0.6 * z)
        return value, dv, dspike

    return loss


def assert_gradient(graph, gradient, function, tolerance, step, seed=0, skip=("t_ref",), rejected=0):
    """Every tensor, along a random direction in which all its entries move, against fourth-order differences.

    At most ``rejected`` tensors may not be compared, because the order of events changes.
    """
    rng = np.random.default_rng(seed)
    wrong, kinks = {}, []
    for name, tensor in graph.tensors().items():
        if name in skip or name.split(".")[-1] in skip:
            continue
        direction = rng.choice([-1.0, 1.0], tensor.shape) * rng.uniform(0.5, 1.0, tensor.shape)
        if name in graph.connections:
            direction *= graph.connections[name].mask

        def along(h, name=name, tensor=tensor, direction=direction):
            return function(graph.replace(name, tensor + h * direction))

        try:
            expected, found = fourth_order(along, step), np.sum(gradient[name] * direction)
        except OrderChanged:
            kinks.append(name)
            continue
        size = max(np.linalg.norm(gradient[name] * direction), 1e-2)  # tiny ones in absolute terms
        if not abs(found - expected) <= tolerance * size:
            wrong[name] = found, expected
    assert not wrong
    assert len(kinks) <= rejected, kinks


def clock_case(seed, scheme, **options):
    rng = np.random.default_rng(seed)
    graph = clock_net(rng, **options)
    inputs = clock_inputs(rng, graph)
    nominal = clock.run(graph, inputs, DT, STEPS, scheme)
    assert all(nominal.spikes[name].sum() >= 4 for name, p in graph.populations.items() if p.spiking)
    return rng, graph, inputs, nominal


CASES = [  # scheme, reset, steps of refractory period, leaky readout
    ("forward_euler", "hard", 0, False),
    ("backward_euler", "hard", 2, False),
    ("exact", "subtract", 0, True),
    ("bilinear", "none", 1, False),
]
PAIRS = [
    (scheme, reset, n_ref, leaky)
    for scheme in SCHEMES
    for reset in ("hard", "subtract", "none")
    for n_ref, leaky in ((0, False), (2, True))
]
BOTH = [pytest.param(*case) for case in CASES] + [pytest.param(*case, marks=pytest.mark.slow) for case in PAIRS]


@pytest.mark.parametrize(("scheme", "reset", "n_ref", "leaky"), BOTH)
def test_exact_gradient_of_the_clock_is_the_derivative_with_the_pattern_of_spikes_held(scheme, reset, n_ref, leaky):
    rng, graph, inputs, nominal = clock_case(1, scheme, reset=reset, t_ref=n_ref * DT, leaky=leaky)
    loss = clock_loss(rng, graph)
    for name, s in nominal.spikes.items():
        if name in graph.populations:  # none is clamped
            assert np.all(nominal.slope_minus[name][s == 1] > 1e-3)
    gradient, _ = clock.backward(nominal, *loss(nominal)[1:])

    def function(changed):
        return loss(clock.run(changed, inputs, DT, STEPS, scheme, like=nominal))[0]

    assert_gradient(graph, gradient, function, SMOOTH, 1e-4)


@pytest.mark.parametrize(("scheme", "reset", "n_ref", "leaky"), BOTH[1:])
def test_surrogate_gradient_of_the_clock_is_the_derivative_of_a_net_of_sigmoid_spikes(scheme, reset, n_ref, leaky):
    rng, graph, inputs, nominal = clock_case(1, scheme, reset=reset, t_ref=n_ref * DT, leaky=leaky)
    loss = clock_loss(rng, graph, amplitudes=True)

    def sigmoid(u):
        return 1 / (1 + np.exp(-u / 0.3))

    def derivative(u):
        return sigmoid(u) * (1 - sigmoid(u)) / 0.3

    def smooth(changed):
        return clock.run(changed, inputs, DT, STEPS, scheme, like=nominal, spike=sigmoid)

    run = smooth(graph)
    options = dict(estimator="surrogate", surrogate=derivative, detach_reset=False)
    gradient, _ = clock.backward(run, *loss(run)[1:], **options)
    assert_gradient(graph, gradient, lambda changed: loss(smooth(changed))[0], SMOOTH, 1e-4)


CHAIN = [
    ("forward_euler", "hard", "unit-area", {"estimator": "exact"}),
    ("backward_euler", "subtract", "unit-area", {"estimator": "exact", "max_inverse_slope": 3.0}),
    ("bilinear", "none", "unit-area", {"estimator": "exact"}),
    ("exact", "hard", "unit-area", {"estimator": "tssl", "sigmoid_fallback": True}),
    ("backward_euler", "subtract", "unit-height", {"estimator": "tssl"}),
    ("exact", "hard", "unit-area", {"estimator": "surrogate"}),
    ("bilinear", "subtract", "unit-area", {"estimator": "surrogate"}),
    ("exact", "none", "unit-area", {"estimator": "surrogate"}),
]


@pytest.mark.parametrize(("scheme", "reset", "impulse", "options"), CHAIN)
def test_a_chain_is_the_older_reference(scheme, reset, impulse, options):
    rng = np.random.default_rng(4)
    n_steps, dt, sizes = 25, 0.05, (5, 4, 3)
    p = dict(tau_mem=0.8, tau_syn=0.6, r=1.2, v_threshold=1.0, v_reset=0.2)
    w = [weights(rng, 5, 4, 9.0 if impulse == "unit-area" else 200.0, 1.5), weights(rng, 4, 3, 6.0, 1.5)]
    w[1][:, 2] = -0.1  # a silent output
    spikes = rng.poisson(0.3, (n_steps, 5))
    graph = Graph(
        [Input("a", sizes[0]), Population("b", sizes[1], reset, **p), Population("c", sizes[2], reset, **p)],
        [Connection("a", "b", w[0]), Connection("b", "c", w[1])],
    )
    layers = clock_forward(spikes, w, p | {"reset": reset}, dt, scheme, impulse)
    run = clock.run(graph, {"a": spikes[None]}, dt, n_steps, scheme, impulse)
    for layer, name in zip(layers, "bc", strict=True):
        assert layer.spikes.sum() > 5
        assert np.array_equal(run.spikes[name][0], layer.spikes)
        np.testing.assert_allclose(run.v[name][0], layer.v, rtol=ROUNDING, atol=ROUNDING)
        np.testing.assert_allclose(run.i[name][0], layer.i, rtol=ROUNDING, atol=ROUNDING)

    signal, dv = rng.normal(size=(2, n_steps, 3))
    kind = options["estimator"]
    other = {key: value for key, value in options.items() if key != "estimator"}
    into = {"e" if kind == "exact" else "amplitude": signal}
    expected = clock_backward(layers, w, kind, dloss_dv=dv, **into, **other)
    found, adjoints = clock.backward(run, {"c": dv[None]}, {"c": signal[None]}, **options)
    for layer, name in enumerate(("a->b", "b->c")):
        target = expected.grad_w[layer]
        np.testing.assert_allclose(found[name], target, rtol=0, atol=ROUNDING * np.abs(target).max())
    for layer, name in enumerate("bc"):
        np.testing.assert_allclose(adjoints.X[name][0], expected.X[layer], rtol=1e-9, atol=1e-9)
    e_input = expected.e_input * (1 if kind != "exact" else spikes > 0)
    np.testing.assert_allclose(adjoints.e["a"][0], e_input, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_scheme_rests_where_the_currents_say(scheme):
    p = dict(v_threshold=9.0, v_leak=-0.2, i_ext=np.array([0.3, 0.7]))
    nodes = [Input("j", 1, "membrane_current"), Input("k", 1, "current"), Population("n", 2, **p)]
    graph = Graph(nodes, [Connection("j", "n", [[0.5, -0.5]]), Connection("k", "n", [[0.25, 0.5]])])
    inputs = {"j": np.full((1, 400, 1), 2.0), "k": np.full((1, 400, 1), 3.0)}
    v = clock.run(graph, inputs, 0.1, 400, scheme).v["n"][0, -1]
    i = 3.0 * np.array([0.25, 0.5]) * synaptic_gain(scheme, 0.1, 0.6)
    np.testing.assert_allclose(v, -0.2 + 1.2 * (np.array([0.3, 0.7]) + [1.0, -1.0] + i), rtol=1e-10)


def synaptic_gain(scheme, dt, tau):
    """Mean filtered current per current, from the geometric sum of one current's impulses, ``dt/tau`` each."""
    ends = {
        "forward_euler": (1 - dt / tau, 1),
        "backward_euler": (1 / (1 + dt / tau),) * 2,
        "exact": (np.exp(-dt / tau), 1),
    }
    if scheme == "bilinear":  # the membrane sees the mean of i before and after a step
        decay, first = (1 - dt / 2 / tau) / (1 + dt / 2 / tau), 1 / (1 + dt / 2 / tau)
        return dt / tau * first / (1 - decay)
    decay, first = ends[scheme]
    gain = dt / tau * first / (1 - decay)
    if scheme == "exact":  # and here its mean over the step in which it decays, weighted by the membrane's decay
        rate = 1 / 0.8 - 1 / tau
        gain *= np.exp(-dt / 0.8) * np.expm1(rate * dt) / rate / 0.8 / -np.expm1(-dt / 0.8)
    return gain


def test_a_delay_on_the_grid_is_a_shift_and_one_between_grid_points_a_mean():
    rng = np.random.default_rng(0)
    w, s = weights(rng, 3, 2, 9.0), rng.poisson(0.3, (1, 30, 3))

    def x(delay, spikes=s):
        graph = Graph([Input("a", 3), Population("b", 2)], [Connection("a", "b", w, delay)])
        return clock.run(graph, {"a": spikes}, 0.1, 30).x["b"]

    late = np.concatenate([np.zeros((1, 3, 3)), s[:, :-3]], axis=1)
    assert np.array_equal(x(0.3), x(0.0, late))
    np.testing.assert_allclose(x(0.325), 0.75 * x(0.3) + 0.25 * x(0.4), rtol=ROUNDING, atol=ROUNDING)
    np.testing.assert_allclose(x(0.0), np.einsum("bkj,jn->bkn", s, w), rtol=ROUNDING, atol=ROUNDING)
    assert not x(3.0).any()


def test_a_cycle_within_a_step_is_refused():
    nodes = [Input("a", 1), Population("b", 1), Population("c", 1)]
    for delay in (0.0, 0.09):
        edges = [Connection("b", "c", [[1.0]]), Connection("c", "b", [[1.0]], delay)]
        with pytest.raises(ValueError, match="cycle"):
            clock.run(Graph(nodes, edges), {"a": np.zeros((1, 5, 1))}, 0.1, 5)


def test_without_spikes_membrane_losses_still_have_a_gradient():
    p = dict(v_threshold=50.0, beta=0.2, c_a=0.3, q=0.1, a0=0.2)
    nodes = [Input("a", 2), Population("b", 2, **p), Population("c", 2, **p)]
    graph = Graph(
        nodes, [Connection("a", "b", np.eye(2)), Connection("b", "c", np.eye(2)), Connection("c", "b", np.eye(2), 0.1)]
    )
    inputs = {"a": np.ones((1, 8, 2))}

    def loss(run):
        return run.v["b"].sum(), {"b": np.ones((1, 8, 2))}, {}

    for estimator in ("exact", "tssl", "surrogate"):
        gradient = clock.gradients(graph, inputs, 0.1, 8, estimator=estimator, loss=loss)
        assert np.all(gradient["a->b"] > 0)
        for name in ("b->c", "c->b", "b->c.delay", "c->b.delay", "c.tau_mem", "b.v_threshold"):
            assert estimator == "surrogate" or not gradient[name].any()

    def function(changed):
        return loss(clock.run(changed, inputs, 0.1, 8))[0]

    below = graph.replace("a->b.delay", 0.05)
    gradient = clock.gradients(below, inputs, 0.1, 8, loss=loss)
    assert_gradient(below, gradient, function, SMOOTH, 1e-4, skip=("t_ref", "c->b.delay", "b->c.delay"))


@pytest.mark.parametrize(
    ("stride", "padding", "pool", "pooling"),
    [(1, 0, 1, "sum"), (2, 2, 1, "sum"), (1, 1, 2, "average"), (2, 1, 3, "sum")],
)
def test_unrolled_convolution_is_pooling_and_correlation(stride, padding, pool, pooling):
    rng = np.random.default_rng(1)
    height, width, kernel = 8, 7, rng.normal(size=(3, 2, 3, 3))
    image = rng.normal(size=(height, width, 2))
    rows, columns = height // pool, width // pool
    pooled = np.zeros((2, rows, columns))
    for y in range(rows * pool):
        for x in range(columns * pool):
            pooled[:, y // pool, x // pool] += image[y, x] / (pool**2 if pooling == "average" else 1)
    padded = np.pad(pooled, ((0, 0), (padding, padding), (padding, padding)))
    expected = np.array([sum(correlate2d(padded[c], k[c], "valid") for c in range(2)) for k in kernel])
    expected = expected[:, ::stride, ::stride].transpose(1, 2, 0)

    weight = conv2d(kernel, height, width, stride, padding, pool, pooling)
    np.testing.assert_allclose(image.ravel() @ weight, expected.ravel(), rtol=0, atol=ROUNDING)
    gradient = rng.normal(size=weight.shape)
    folded = pull_back(lambda k: conv2d(k, height, width, stride, padding, pool, pooling), kernel.shape, gradient)
    assert np.sum(folded * kernel) == pytest.approx(np.sum(gradient * weight), rel=ROUNDING)


def test_unrolled_convolution_over_one_axis():
    rng = np.random.default_rng(2)
    kernel, line = rng.normal(size=(2, 3, 3)), rng.normal(size=(11, 3))
    pooled = line[:10].reshape(5, 2, 3).mean(1)
    padded = np.pad(pooled, ((1, 1), (0, 0)))
    expected = [[np.sum(kernel[o] * padded[2 * x : 2 * x + 3].T) for o in range(2)] for x in range(3)]
    found = line.ravel() @ conv1d(kernel, 11, stride=2, padding=1, pool=2)
    np.testing.assert_allclose(found, np.ravel(expected), rtol=0, atol=ROUNDING)


def test_one_to_one_and_sparse_weights():
    weight, mask = one_to_one([1.0, 2.0])
    assert np.array_equal(weight, [[1, 0], [0, 2]])
    assert np.array_equal(mask, [[True, False], [False, True]])
    with pytest.raises(ValueError, match="twice"):
        sparse([0, 0], [1, 1], [1.0, 2.0], (2, 2))


DIFFERENCE = 1e-7  # fourth-order differences with step 5e-6 of a loss of size 10 to 100: rounding 1e-15/5e-6 of it
DURATION = 1.6
LIF = dict(beta=0.0, c_a=0.0, q=0.0, a0=0.0, i_ext=0.0)
NEURONS = {
    "lif": LIF,
    "refractory": LIF | {"t_ref": np.array([0.08, 0.15, 0.11])},
    "biased": LIF | {"i_ext": np.array([0.3, 0.2, 0.4])},
    "alif": LIF | {"beta": np.array([0.2, 0.1, 0.4]), "q": np.array([0.3, 0.5, 0.2]), "a0": 0.1},
    "adlif": LIF | {"c_a": np.array([0.2, 0.1, 0.4]), "q": np.array([0.3, 0.5, 0.2]), "a0": 0.1},
    "everything": {"t_ref": np.array([0.08, 0.0, 0.11])},
}
EDGES = {
    "single": [("input", "output", 3.0)],
    "deep": [("input", "hidden", 3.0), ("hidden", "third", 1.8), ("third", "output", 1.8)],
    "loop": [("input", "output", 3.0), ("output", "output", -0.4), ("output", "leaky", 0.6)],
    "recurrent": [("input", "hidden", 3.0), ("hidden", "hidden", -0.4), ("hidden", "output", 2.5)],
    "feedback": [
        ("input", "hidden", 3.0),
        ("hidden", "output", 2.0),
        ("output", "hidden", -0.4),
        ("input", "output", 0.6),
    ],
}
EDGES["all"] = [*EDGES["feedback"], ("hidden", "hidden", -0.3), ("output", "output", -0.3), ("output", "leaky", 0.6)]
EDGES["all"] += [("more", "hidden", 0.5)]


def event_net(rng, edges, neuron, delays, reset="hard"):
    sizes = {"input": 3, "more": 2, "hidden": 3, "third": 3, "output": 2, "leaky": 1}
    nodes = [Input(name, sizes[name]) for name in ("input", "more") if any(name in edge for edge in EDGES[edges])]
    for name, size in list(sizes.items())[2:]:
        if any(name in edge for edge in EDGES[edges]):
            chosen = {key: np.broadcast_to(value, 3)[:size] for key, value in NEURONS[neuron].items()}
            nodes.append(Population(name, size, reset, name != "leaky", **parameters(rng, size, **chosen)))
    connections = []
    for source, target, total in EDGES[edges]:
        shape = sizes[source], sizes[target]
        delay = rng.uniform(0.02, 0.2, shape) if delays else 0.0
        connections.append(Connection(source, target, weights(rng, *shape, total), delay))
    return Graph(nodes, connections)


def event_inputs(rng, duration=DURATION):
    return {
        "input": (np.sort(rng.uniform(0, 0.6 * duration, 7)), rng.integers(0, 3, 7)),
        "more": (np.sort(rng.uniform(0, duration, 3)), rng.integers(0, 2, 3)),
    }


class EventLoss:
    """A nonlinear function of all spike times and, if wanted, of samples, integrals and maxima of membranes."""

    def __init__(self, rng, graph, membranes=True):
        self.spiking = [name for name, p in graph.populations.items() if p.spiking]
        self.leaky = [name for name, p in graph.populations.items() if not p.spiking]
        self.membranes = membranes
        self.c = {name: rng.normal(size=200) for name in graph.populations}
        self.times = np.sort(rng.uniform(0, DURATION, 3))

    def __call__(self, run):
        value, dtimes, probes = 0.0, {}, []
        for name in self.spiking:
            t = run.times[name]
            c = self.c[name][: len(t)]
            value += np.sum(c * t + 0.3 * t * t)
            dtimes[name] = c + 0.6 * t
        for name in run.graph.populations if self.membranes else ():
            size = run.graph.populations[name].size
            c = self.c[name][: 3 * size].reshape(3, size)
            read = [
                ("sample", (self.times,), event.sample(run, name, self.times), c),
                ("integral", (1.3,), event.integral(run, name, 1.3), c[0]),
                ("integral", (np.inf,), event.integral(run, name), c[1]),
            ]
            if name in self.leaky:
                read.append(("maximum", (), event.maximum(run, name)[0], c[2]))
            for kind, what, y, weight in read:
                value += np.sum(weight * y + 0.2 * y * y)
                probes.append((kind, name, *what, weight + 0.4 * y))
        return value, dtimes, probes


class OrderChanged(Exception):
    """The perturbation changed the order of events: the loss has a kink or a jump."""


def order_of_events(run, samples):
    """What happens to every neuron, samples included, in order."""
    found = {key: [(t, "sample", k) for k, t in enumerate(samples)] for key in run.parameters}
    for entry in run.log:
        found[entry.neuron].append((entry.time, entry.kind, entry.what))
    return {key: [what for _, *what in sorted(entries, key=lambda e: e[0])] for key, entries in found.items()}


def event_case(seed, edges, neuron, delays=True, **options):
    rng = np.random.default_rng(seed)
    graph = event_net(rng, edges, neuron, delays, **options)
    inputs = {name: spikes for name, spikes in event_inputs(rng).items() if name in graph.inputs}
    run = event.run(graph, inputs, DURATION)
    loss = EventLoss(rng, graph)
    gradient, _ = event.backward(run, *loss(run)[1:])

    def function(changed):
        moved = event.run(changed, inputs, DURATION)
        if order_of_events(moved, loss.times) != order_of_events(run, loss.times):
            raise OrderChanged
        return loss(moved)[0]

    fixed = [
        name for name, value in graph.tensors().items() if name.endswith((".delay", ".t_ref")) and np.any(value <= 0)
    ]
    return graph, inputs, run, gradient, function, fixed


def assert_joint_gradient(graph, gradient, function, step, seed=0, fixed=()):
    """All tensors moved at once, along a random direction."""
    rng = np.random.default_rng(seed)
    tensors = {name: tensor for name, tensor in graph.tensors().items() if name not in fixed}
    directions = {
        name: rng.choice([-1.0, 1.0], t.shape) * rng.uniform(0.5, 1.0, t.shape) for name, t in tensors.items()
    }

    def along(h):
        changed = graph
        for name, direction in directions.items():
            changed = changed.replace(name, tensors[name] + h * direction)
        return function(changed)

    terms = np.concatenate([np.ravel(gradient[name] * directions[name]) for name in directions])
    assert abs(fourth_order(along, step) - terms.sum()) <= DIFFERENCE * np.linalg.norm(terms)


NETS = [
    ("single", "lif", True),
    ("deep", "lif", True),
    ("recurrent", "lif", True),
    ("feedback", "lif", True),
    ("recurrent", "lif", False),
    ("all", "lif", False),
    ("recurrent", "refractory", True),
    ("recurrent", "biased", True),
    ("recurrent", "alif", True),
    ("feedback", "adlif", True),
    ("all", "everything", True),
    ("all", "everything", False),
]


@pytest.mark.parametrize(("edges", "neuron", "delays"), NETS)
def test_event_gradient_is_the_derivative_of_the_simulated_loss(edges, neuron, delays):
    graph, _, run, gradient, function, fixed = event_case(1, edges, neuron, delays)
    assert all(len(run.times[name]) > 4 for name, p in graph.populations.items() if p.spiking)
    assert_joint_gradient(graph, gradient, function, 5e-6, fixed=fixed)


def test_event_gradient_is_the_derivative_tensor_by_tensor():
    graph, _, run, gradient, function, fixed = event_case(1, "loop", "everything")
    assert len(run.times["output"]) > 4
    assert_gradient(graph, gradient, function, DIFFERENCE, 5e-6, skip=fixed)


EACH = [(*net, "hard") for net in NETS] + [(*net, "none") for net in NETS if net[1] == "lif"]


@pytest.mark.slow
@pytest.mark.parametrize(("edges", "neuron", "delays", "reset"), EACH)
def test_event_gradient_of_every_net_tensor_by_tensor(edges, neuron, delays, reset):
    graph, _, _, gradient, function, fixed = event_case(2, edges, neuron, delays, reset=reset)
    assert_gradient(graph, gradient, function, DIFFERENCE, 5e-6, skip=fixed, rejected=len(gradient) // 4)


def random_state(rng):
    """Parameters and state of a neuron that moves about its threshold; time constants of any ratio, equal ones too."""
    taus = rng.uniform(0.2, 2.0, 3)
    if rng.random() < 0.3:
        taus[rng.integers(3)] = taus[0] * rng.choice([1.0, 1 + 1e-9, 2.0, 0.5])
    p = dict(zip(("tau_mem", "tau_syn", "tau_a"), taus.tolist(), strict=True))
    p |= dict(r=rng.uniform(0.5, 2), v_leak=rng.normal(0, 0.3), i_ext=rng.normal(0.5, 0.7), v_threshold=1.0)
    p |= dict(beta=rng.choice([0.0, rng.uniform(0, 1)]), c_a=rng.choice([0.0, rng.uniform(0, 1)]))
    return p, (rng.normal(0.3, 0.5), rng.normal(0, 2), rng.choice([0.0, rng.uniform(0, 2)]))


def test_closed_form_is_the_matrix_exponential_and_its_derivatives_are_as_good():
    rng = np.random.default_rng(0)
    for _ in range(100):
        p, x = random_state(rng)
        h = rng.uniform(0, 3)
        mem, rest = p["tau_mem"], p["v_leak"] + p["r"] * p["i_ext"]
        system = np.diag([-1 / mem, -1 / p["tau_syn"], -1 / p["tau_a"], 0])
        system[0, 1:] = p["r"] / mem, -p["r"] * p["c_a"] / mem, rest / mem
        expected = expm(h * system) @ [*x, 1]
        np.testing.assert_allclose(event.flow(x, h, p), expected[:3], rtol=0, atol=1e-12)
        p |= dict.fromkeys(("t_ref", "q"), 0.0)
        start = event.Event(0.0, "start", ("a", 0), None, x, False)
        by_parameter, by_state = event._transport(start, h, p, np.array([1.0, 0.5, 0.2]), [])
        by_system = expm(h * system)[:, :3].T @ [1.0, 0.5, 0.2, 0]
        np.testing.assert_allclose(by_state, by_system, rtol=0, atol=1e-12)
        for key, found in zip(event.FLOW, by_parameter, strict=True):

            def along(change, key=key, p=p, x=x, h=h):
                return np.dot([1.0, 0.5, 0.2], event.flow(x, h, p | {key: p[key] + change}))

            assert abs(fourth_order(along, 1e-3 * p["tau_mem"]) - found) < 1e-6 * max(1, abs(found))


def test_crossings_are_those_of_a_dense_scan():
    rng = np.random.default_rng(1)
    crossed = 0
    for _ in range(600):
        p, x = random_state(rng)
        h = rng.uniform(0.1, 4)
        if event.excess(x, p) >= 0:
            continue
        times = np.linspace(0, h, 2001)
        v, _, a = event.flow(x, times, p, False, np.exp, event._mean_decay_array)
        g = v - p["v_threshold"] - p["beta"] * a
        found = event.crossing(x, h, p)
        above = np.flatnonzero(g >= 0)
        if len(above):
            crossed += 1
            assert found is not None
            assert times[above[0] - 1] <= found <= times[above[0]]
            assert abs(event.excess(event.flow(x, found, p), p)) < 1e-13
        elif found is not None:  # an excursion between two points of the scan
            assert g.max() > -1e-5
    assert crossed > 100


def test_events_of_a_chain_are_those_of_the_older_reference():
    rng = np.random.default_rng(3)
    p = dict(tau_mem=0.8, tau_syn=0.6, r=1.2, v_threshold=1.0, v_reset=0.2)
    for reset in ("hard", "subtract", "none"):
        w = [weights(rng, 4, 3, 5.0), weights(rng, 3, 2, 4.0)]
        times, neurons = np.sort(rng.uniform(0, 1.2, 10)), rng.integers(0, 4, 10)
        layers = simulate_events(times, neurons, w, p | {"reset": reset}, 2.0)
        nodes = [Input("a", 4), Population("b", 3, reset, **p), Population("c", 2, reset, **p)]
        graph = Graph(nodes, [Connection("a", "b", w[0]), Connection("b", "c", w[1])])
        run = event.run(graph, {"a": (times, neurons)}, 2.0)
        for layer, name in zip(layers, "bc", strict=True):
            assert len(layer.times) >= (2 if reset == "none" else 5)
            assert np.array_equal(run.neurons[name], layer.neurons)
            np.testing.assert_allclose(run.times[name], layer.times, rtol=0, atol=ROUNDING)
        e = rng.normal(size=len(layers[-1].times))
        expected = event_backward(layers, w, e)
        found, passed = event.backward(run, {"c": e})
        np.testing.assert_allclose(found["a->b"], expected.grad_w[0], rtol=1e-10, atol=1e-10)
        np.testing.assert_allclose(found["b->c"], expected.grad_w[1], rtol=1e-10, atol=1e-10)
        np.testing.assert_allclose(passed["a"], expected.e_input, rtol=1e-10, atol=1e-10)


def test_subtracting_is_resetting_in_continuous_time():
    for neuron in ("everything", "lif"):
        gradients = [event_case(1, "recurrent", neuron, reset=reset)[3] for reset in ("hard", "subtract")]
        for name, tensor in gradients[0].items():
            np.testing.assert_array_equal(tensor, gradients[1][name])


@pytest.mark.parametrize(("neuron", "edges", "reset"), [("everything", "all", "hard"), ("lif", "recurrent", "none")])
def test_shift_and_scaling_identities(neuron, edges, reset):
    rng = np.random.default_rng(1)
    graph = event_net(rng, edges, neuron, True, reset)
    inputs = {name: spikes for name, spikes in event_inputs(rng).items() if name in graph.inputs}
    run = event.run(graph, inputs, DURATION)
    _, dtimes, _ = EventLoss(rng, graph, membranes=False)(run)
    gradient, e = event.backward(run, dtimes)
    values = graph.tensors()

    def scaled(names):
        return {name: values[name] * gradient[name] for name in names}

    size = sum(np.abs(t * gradient[name]).sum() for name, t in values.items())
    for name in graph.populations:  # per neuron: the origin of voltage, and its unit, are free
        shift = sum(gradient[f"{name}.{key}"] for key in ("v_leak", "v_threshold", "v_reset", "v0"))
        assert np.abs(shift).max() < ROUNDING * size
        own = scaled(f"{name}.{key}" for key in ("v_leak", "v_threshold", "v_reset", "v0", "i_ext", "i0", "q", "a0"))
        incoming = scaled(c.name for c in graph.connections.values() if c.target == name)
        total = sum(own.values()) + sum(w.sum(axis=0) for w in incoming.values())
        assert np.abs(total).max() < ROUNDING * size
        drive = scaled(f"{name}.{key}" for key in ("i_ext", "i0", "c_a"))
        drive = sum(drive.values()) + sum(w.sum(axis=0) for w in incoming.values())
        assert np.abs(drive - values[f"{name}.r"] * gradient[f"{name}.r"]).max() < ROUNDING * size
    in_time = [n for n in values if n in graph.connections or n.split(".")[-1] in ("delay", "tau_mem", "tau_syn")]
    in_time += [n for n in values if n.split(".")[-1] in ("tau_a", "t_ref")]
    total = sum(t.sum() for t in scaled(in_time).values()) + sum(np.sum(run.times[n] * e[n]) for n in graph.inputs)
    assert abs(total - sum(np.sum(run.times[n] * dtimes[n]) for n in dtimes)) < ROUNDING * size


def test_an_arrival_at_the_instant_of_a_spike_has_the_derivative_towards_later():
    p = dict(tau_mem=0.8, tau_syn=0.6, r=1.2, v_threshold=1.0, v_reset=0.2)
    graph = Graph([Input("a", 2), Population("b", 1, **p)], [Connection("a", "b", [[3.0], [2.0]])])
    first = event.run(graph, {"a": ([0.1], [0])}, 2.0).times["b"][0]

    def loss(h):
        return event.run(graph, {"a": ([0.1, first + h], [0, 1])}, 2.0).times["b"][:3].sum()

    run = event.run(graph, {"a": ([0.1, first], [0, 1])}, 2.0)
    e = np.zeros(len(run.times["b"]))
    e[:3] = 1.0
    _, passed = event.backward(run, {"b": e})
    h = 1e-6
    later, earlier = (4 * loss(s * h) - loss(2 * s * h) - 3 * loss(0.0) for s in (1, -1))
    assert later / (2 * h) == pytest.approx(passed["a"][1], rel=1e-6)
    assert abs(-earlier / (2 * h) - passed["a"][1]) > 0.1  # a kink


def test_a_maximum_at_an_inhibitory_arrival_moves_with_it():
    nodes = [Input("a", 2), Population("b", 1, spiking=False)]
    graph = Graph(nodes, [Connection("a", "b", [[3.0], [-9.0]], 0.1)])
    inputs = {"a": ([0.1, 0.3], [0, 1])}
    run = event.run(graph, inputs, 2.0)
    value, time = event.maximum(run, "b")
    assert time[0] == 0.4
    np.testing.assert_allclose(value, event.sample(run, "b", np.linspace(0, 2, 2001)).max(axis=0), rtol=1e-12)
    gradient, e = event.backward(run, {}, [("maximum", "b", [1.0])])
    assert e["a"][1] > 0.5
    assert_gradient(
        graph,
        gradient,
        lambda g: event.maximum(event.run(g, inputs, 2.0), "b")[0][0],
        DIFFERENCE,
        5e-6,
        skip=("t_ref",),
    )


def test_without_spikes_event_gradients_are_those_of_the_membranes():
    rng = np.random.default_rng(0)
    graph = event_net(rng, "all", "everything", True)
    for name in graph.populations:
        graph = graph.replace(f"{name}.v_threshold", 50.0)
    inputs = event_inputs(rng)
    loss = EventLoss(rng, graph)
    run = event.run(graph, inputs, DURATION)
    assert not any(len(run.times[name]) for name in graph.populations)
    gradient = event.gradients(graph, inputs, DURATION, loss)
    for key in ("v_threshold", "v_reset", "q", "beta", "t_ref"):
        assert not gradient[f"hidden.{key}"].any()
    assert not gradient["hidden->output"].any()
    assert_joint_gradient(
        graph,
        gradient,
        lambda g: loss(event.run(g, inputs, DURATION))[0],
        1e-4,
        fixed=("leaky.t_ref", "hidden.t_ref", "output.t_ref"),
    )


def spikes_per_step(times, neurons, dt, n_steps, size):
    """Counts (1, T, N): a spike at ``(k + 1) dt`` lies in step k."""
    counts = np.zeros((1, n_steps, size))
    np.add.at(counts[0], (np.rint(times / dt).astype(int) - 1, neurons), 1)
    return counts


def convergence_case(seed, edges="feedback", neuron="everything", duration=1.2):
    """A net whose inputs, delays and refractory periods lie on a grid of 0.01."""
    rng = np.random.default_rng(seed)
    graph = event_net(rng, edges, neuron, True)
    for name, c in graph.connections.items():
        graph = graph.replace(f"{name}.delay", np.maximum(np.round(c.delay, 2), 0.02))
    for name, p in graph.populations.items():
        graph = graph.replace(f"{name}.t_ref", np.round(p.p["t_ref"], 2))
    times, neurons = event_inputs(rng, duration)["input"]
    times = np.maximum(np.round(times, 2), 0.01)
    run = event.run(graph, {"input": (times, neurons)}, duration)
    weight = {name: rng.normal(size=(p.size, 30)) for name, p in graph.populations.items()}
    dtimes = {}
    for name in graph.populations:  # every spike of a neuron, by its rank, has a weight of its own
        n = run.neurons[name]
        dtimes[name] = np.array([weight[name][j, np.sum(n[:s] == j)] for s, j in enumerate(n)])
    gradient, _ = event.backward(run, dtimes)

    def at(dt, scheme):
        n_steps = round(duration / dt)
        counts = spikes_per_step(times, neurons, dt, n_steps, 3)
        clocked = clock.run(graph, {"input": counts}, dt, n_steps, scheme)
        signal = {}
        for name, s in clocked.spikes.items():
            if name in graph.populations:
                assert np.array_equal(s[0].sum(axis=0), np.bincount(run.neurons[name], minlength=s.shape[2]))
                rank = np.cumsum(s[0], axis=0).astype(int) - 1
                signal[name] = s * weight[name][np.arange(s.shape[2]), rank]
        return clock.backward(clocked, {}, signal)[0]

    return run, gradient, at


def kind_of(name):
    return "delay" if name.endswith(".delay") else "weight" if "->" in name else "parameter"


CONVERGENCE = [(scheme, "recurrent", 41, 16.0) for scheme in SCHEMES] + [
    (scheme, "feedback", 4, 32.0) for scheme in SCHEMES
]
CONVERGENCE = [pytest.param(*case, marks=pytest.mark.slow if k != 1 else ()) for k, case in enumerate(CONVERGENCE)]


@pytest.mark.parametrize(("scheme", "edges", "seed", "bound"), CONVERGENCE)
def test_clock_gradient_converges_to_the_event_gradient_in_proportion_to_dt(scheme, edges, seed, bound):
    # Spikes are rounded to steps, so an error is dt times a number that changes from dt to dt: bounded, not constant.
    run, expected, at = convergence_case(seed, edges)
    spikes = np.sort(np.concatenate([run.times["hidden"], run.times["output"]]))
    assert len(spikes) > 8
    assert np.diff(spikes).min() > 0.014
    steps = (1e-2, 2.5e-3, 6.25e-4)
    errors = {kind: [] for kind in ("weight", "delay", "parameter")}
    for dt in steps:
        gradient = at(dt, scheme)
        for kind, values in errors.items():
            names = [name for name in gradient if kind_of(name) == kind]
            values.append(relative_error([gradient[n] for n in names], [expected[n] for n in names]))
    for values in errors.values():
        assert all(error < bound * dt for error, dt in zip(values, steps, strict=True))
        assert values[2] < values[0] / 2


@pytest.mark.parametrize("tau_w", [1.3, np.inf])
def test_integral_of_a_leaky_readout_has_a_closed_form_in_the_time_of_each_spike(tau_w):
    """``K(t)``, what a spike at t of weight one adds to ``int_0^T e^{-s/tau_w} v ds``, and its derivative."""
    mem, syn, r, end, rate = 0.8, 0.6, 1.2, 2.0, 1 / tau_w

    def parts(t):
        return [np.exp(-(1 / tau + rate) * (end - t)) for tau in (mem, syn)], r / (mem - syn) * np.exp(-rate * t)

    def response(t):
        (by_mem, by_syn), scale = parts(t)
        return scale * ((1 - by_mem) / (1 / mem + rate) - (1 - by_syn) / (1 / syn + rate))

    def change(t):
        (by_mem, by_syn), scale = parts(t)
        return -rate * response(t) + scale * (by_syn - by_mem)

    w, times = np.array([[0.5], [-2.0]]), np.array([0.3, 0.7, 1.1])
    leaky = Population("b", 1, spiking=False, tau_mem=mem, tau_syn=syn, r=r)
    run = event.run(Graph([Input("a", 2), leaky], [Connection("a", "b", w, 0.2)]), {"a": (times, [0, 1, 0])}, end)
    arrivals, of = times + 0.2, w[[0, 1, 0], 0]
    np.testing.assert_allclose(event.integral(run, "b", tau_w), of @ response(arrivals), rtol=ROUNDING)
    gradient, e = event.backward(run, {}, [("integral", "b", tau_w, [1.0])])
    np.testing.assert_allclose(e["a"], of * change(arrivals), rtol=1e-11)
    expected = [[response(0.5) + response(1.3)], [response(0.9)]]
    np.testing.assert_allclose(gradient["a->b"], expected, rtol=1e-11)


def gradients_from_events_alone(run, e):
    """Gradients of constants from spikes and arrivals, the filtered adjoints kappa and the Hamiltonian H."""

    def phi(h, tau, mem):
        x = h * (1 / tau - 1 / mem)
        return np.exp(-h / mem) * h / mem * (-np.expm1(-x) / x if x else 1.0)

    def psi(h, tau, mem):
        x = h * (1 / tau - 1 / mem)
        series = sum((-x) ** k * (k + 1) / math.factorial(k + 2) for k in range(12))
        return np.exp(-h / mem) * h**2 / mem * (series if abs(x) < 0.05 else (1 - (1 + x) * np.exp(-x)) / x**2)

    found = {name: np.zeros(t.shape) for name, t in run.graph.tensors().items()}
    for (name, n), spans in run.spans.items():
        p = run.parameters[name, n]
        mem, syn, adapt, r, c_a, q = (p[key] for key in ("tau_mem", "tau_syn", "tau_a", "r", "c_a", "q"))
        l_v = l_i = l_a = k_i = k_a = k_v = hamiltonian = action = s_i = s_a = release = rho = 0.0
        out = dict.fromkeys(run.parameters[name, n], 0.0)
        for entry, end in reversed(spans):
            h = end - entry.time
            action += hamiltonian * h
            k_i = np.exp(-h / syn) * (k_i + h * l_i) + r * l_v * psi(h, syn, mem)
            k_a = np.exp(-h / adapt) * (k_a + h * l_a) - r * c_a * l_v * psi(h, adapt, mem)
            k_v = np.exp(-h / adapt) * k_v + mem * phi(h, adapt, mem) * l_v
            l_i = np.exp(-h / syn) * l_i + r * phi(h, syn, mem) * l_v
            l_a = np.exp(-h / adapt) * l_a - r * c_a * phi(h, adapt, mem) * l_v
            l_v = np.exp(-h / mem) * l_v
            if entry.kind == "arrival":
                w = run.graph.connections[entry.what[0]].weight[entry.what[1], n]
                by_time = w / syn * (l_i / syn - (0 if entry.held else r / mem * l_v))
                found[f"{entry.what[0]}.delay"][entry.what[1], n] += by_time
                hamiltonian += by_time
                out["tau_syn"] += w / syn**2 * (k_i / syn - l_i)
                s_i += w / syn * k_i
            elif entry.kind == "release":
                release, rho, l_v = l_v, -event.slope_v(entry.after, p) * l_v, 0.0
                hamiltonian += rho
            elif entry.kind == "spike":
                if not entry.held:
                    release, rho = l_v, -event.slope_v(entry.after, p) * l_v
                    hamiltonian += rho
                own = e[name][entry.what[0]]
                mu = -(own + rho + q / adapt * l_a) / event.slope_g(entry.before, p)
                hamiltonian -= own + rho
                terms = {"v_threshold": -mu, "v_reset": release, "q": l_a, "beta": -entry.before[2] * mu, "t_ref": rho}
                terms |= {"i_ext": r * (mu - release), "v_leak": mu - release, "tau_a": q * k_a / adapt**2}
                for key, value in (terms | {"c_a": -r / mem * q * k_v}).items():
                    out[key] += value
                s_a += q * k_a
                l_v, l_a, release, rho = mu, l_a - p["beta"] * mu, 0.0, 0.0
        i0, a0 = p["i0"], p["a0"]
        out |= {"v0": l_v, "i0": l_i, "a0": l_a}
        out["i_ext"] -= r * l_v
        out["v_leak"] -= l_v
        out["c_a"] -= r / mem * a0 * k_v
        out["tau_syn"] += i0 * k_i / syn**2
        out["tau_a"] += a0 * k_a / adapt**2
        out["tau_mem"] = -(action + (s_i + i0 * k_i) / syn + (s_a + a0 * k_a) / adapt) / mem
        for key, value in out.items():
            found[f"{name}.{key}"][n] = value
    return found


@pytest.mark.parametrize(("edges", "neuron"), [("feedback", "everything"), ("recurrent", "lif")])
def test_constants_need_events_alone(edges, neuron):
    rng = np.random.default_rng(1)
    graph = event_net(rng, edges, neuron, True)
    graph = graph.replace("hidden.tau_syn", graph.populations["hidden"].p["tau_mem"] * [1.0, 1.001, 0.5])
    inputs = {name: spikes for name, spikes in event_inputs(rng).items() if name in graph.inputs}
    run = event.run(graph, inputs, DURATION)
    gradient, e = event.backward(run, EventLoss(rng, graph, membranes=False)(run)[1])
    found = gradients_from_events_alone(run, e)
    for name, tensor in gradient.items():
        if name not in graph.connections and not name.endswith(".r"):
            np.testing.assert_allclose(
                found[name], tensor, rtol=0, atol=1e-11 * (1 + np.abs(tensor).max()), err_msg=name
            )
