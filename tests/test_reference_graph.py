"""The graph oracles against what does not share their formulas: central differences per tensor, each other, scipy."""

import numpy as np
import pytest
from scipy.signal import correlate2d

from tests.reference import clock_backward, clock_forward
from tests.reference import graph_clock as clock
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


def assert_gradient(graph, gradient, function, tolerance, step, seed=0, skip=("t_ref",)):
    """Every tensor, along a random direction in which all its entries move, against fourth-order differences."""
    rng = np.random.default_rng(seed)
    wrong = {}
    for name, tensor in graph.tensors().items():
        if name in skip or name.split(".")[-1] in skip:
            continue
        direction = rng.choice([-1.0, 1.0], tensor.shape) * rng.uniform(0.5, 1.0, tensor.shape)
        if name in graph.connections:
            direction *= graph.connections[name].mask

        def along(h, name=name, tensor=tensor, direction=direction):
            return function(graph.replace(name, tensor + h * direction))

        expected, found = fourth_order(along, step), np.sum(gradient[name] * direction)
        size = max(np.linalg.norm(gradient[name] * direction), 1e-2)  # tiny ones in absolute terms
        if not abs(found - expected) <= tolerance * size:
            wrong[name] = found, expected
    assert not wrong


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
