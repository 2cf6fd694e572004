"""The exact engine on graphs: against the serial reference, central differences, identities and itself.

Mistakes in the adjoint that train unnoticed (cosine above .98) change a gradient by 1e-2 or more here. Central
differences are of the engine's own forward pass, which it confirms.
"""

import numba
import numpy as np
import pytest

from snnsim.connections import Convolution, Dense, OneToOne, Pairs, Pool, Sparse
from snnsim.engines.event import EventEngine
from snnsim.engines.event_graph import CONSTANTS, GraphEventEngine
from snnsim.engines.hybrid_graph import GraphHybridEngine
from snnsim.engines.outputs import SpikeOutput, slab_of_spikes
from snnsim.errors import InputError
from snnsim.network import Network
from snnsim.neurons.matrices import values_of
from snnsim.parameters import ALIF, LI, LIF, AdLIF
from snnsim.spikes import Spikes
from tests.reference import graph as plain
from tests.reference import graph_event as reference

T = 3.0
TIME = 1e-13  # closed forms of a hundred events, each rounded, over slopes of order one
GRADIENT = 1e-10  # two exact adjoints of the same spikes, whose slopes amplify rounding
DIFFERENCES = 1e-6  # of fourth order, step 4e-6: rounding of the loss over the step, 1e-15/1e-6, times the slopes
IDENTITY = 1e-12  # sums of some hundred terms


# --- nets ------------------------------------------------------------------------------------------------------------


def spread(rng, n, **more):
    """Constants that differ from neuron to neuron; time constants of a ratio of 2 and of nearly 1 among them."""
    tau_mem = rng.uniform(0.6, 1.0, n)
    tau_syn = rng.uniform(0.3, 0.6, n)
    tau_mem[0], tau_syn[1] = 2 * tau_syn[0], 1.001 * tau_mem[1]
    return {
        "tau_mem": tau_mem,
        "tau_syn": tau_syn,
        "r": rng.uniform(1.0, 1.4, n),
        "v_threshold": rng.uniform(0.9, 1.1, n),
        "v_reset": rng.uniform(-0.2, 0.2, n),
        "v_leak": rng.uniform(-0.1, 0.1, n),
        "v0": rng.uniform(-0.1, 0.3, n),
        "i0": rng.uniform(-0.1, 0.3, n),
        **more,
    }


def adapting(rng, n):
    return {"tau_a": rng.uniform(0.5, 1.0, n), "q": rng.uniform(0.3, 0.6, n), "a0": rng.uniform(0.0, 0.2, n)}


def recurrent(rng, hidden, output, delays=True, mean=0.35, std=0.6):
    """Two inputs, two populations in a cycle, an autapse each, feedback, a skip; delays of all kinds, learnt."""
    learn = ("weight", "delay") if delays else ("weight",)

    def delay(*shape):
        if not delays:
            return 0.0
        drawn = rng.uniform(0.03, 0.2, shape)
        return drawn if shape else float(drawn)

    def weights(*shape, scale=1.0):
        return scale * rng.normal(mean, std, shape)

    net = Network()
    net.input("input", 4)
    net.input("second", 3)
    net.population("hidden", 4, hidden, bias=rng.normal(0.0, 0.15, 4), learn_bias=True)
    net.population("other", 4, hidden)
    net.population("output", 3, output)
    net.connect("input", "hidden", weight=weights(4, 4), delay=delay(4, 4), learn=learn)
    net.connect("second", "other", weight=weights(3, 4), delay=delay(3), learn=learn)
    net.connect("hidden", "other", weight=weights(4, 4), delay=delay(4), learn=learn)
    net.connect("other", "hidden", weight=weights(4, 4, scale=0.6), delay=delay(), learn=learn)
    net.connect("hidden", "hidden", weight=weights(4, 4, scale=0.6), delay=delay(4, 4), learn=learn)
    net.connect("other", "output", weight=weights(4, 3), delay=delay(4, 3), learn=learn)
    net.connect("input", "output", weight=weights(4, 3), delay=delay(), learn=learn)
    return net


def shaped(rng, _, output):
    """Convolution behind a pool, a convolution of stride 2, sparse, one to one and pooled dense connections."""
    net = Network()
    net.input("input", (2, 5, 5))
    pool = Pool(2)
    first = Convolution(2, padding=1, pool=pool)
    net.population("hidden", (3, 3, 3), LIF(t_ref=0.04, v_reset=-0.1))
    net.population("other", (2, 2, 2), LIF(tau_mem=0.7))
    net.population("same", 8, LIF())
    net.population("output", 3, output)
    net.connect(
        "input", "hidden", first, weight=rng.normal(0.6, 0.5, (2, 2, 2, 3)), delay=0.03, learn=("weight", "delay")
    )
    net.connect("hidden", "other", Convolution(2, stride=2, padding=1), weight=rng.normal(0.15, 0.2, (3, 2, 2, 2)))
    net.connect("input", "other", Dense(pool), weight=rng.normal(0.05, 0.1, (8, 8)), delay=rng.uniform(0, 0.1, 50))
    net.connect("other", "same", OneToOne(), weight=rng.normal(0.5, 0.2, 8), delay=rng.uniform(0.0, 0.1, 8))
    pre, post = np.nonzero(rng.random((27, 8)) < 0.2)
    net.connect("hidden", "same", Pairs(pre, post), weight=rng.normal(0.1, 0.2, len(pre)), delay=0.02)
    pre, post = np.nonzero(rng.random((8, 3)) < 0.8)
    late = rng.uniform(0.0, 0.1, len(pre))
    net.connect(
        "same", "output", Pairs(pre, post), weight=rng.normal(0.3, 0.2, len(pre)), delay=late, learn=("weight", "delay")
    )
    return net


# tests/test_mistakes.py lists which mistake each net shows.
NETS = {
    "refractory": (
        lambda rng: recurrent(rng, LIF(**spread(rng, 4, t_ref=np.array([0.05, 0.0, 0.1, 0.02]))), LIF()),
        {},
    ),
    "alif": (
        lambda rng: recurrent(rng, ALIF(beta=0.3, **spread(rng, 4), **adapting(rng, 4)), ALIF(beta=0.2, q=0.5)),
        {},
    ),
    "adlif": (
        lambda rng: recurrent(rng, AdLIF(c_a=0.4, **spread(rng, 4, t_ref=0.05), **adapting(rng, 4)), AdLIF()),
        {},
    ),
    "instant": (lambda rng: recurrent(rng, ALIF(v_reset=-0.1, beta=0.3), LIF(), delays=False, mean=0.22, std=0.5), {}),
    "shapes": (lambda rng: shaped(rng, None, LIF(tau_mem=0.9)), {}),
    "sampled": (lambda rng: recurrent(rng, LIF(**spread(rng, 4)), LI(v0=0.2, i0=0.3)), {"n_samples": 7}),
    "integral": (
        lambda rng: recurrent(rng, LIF(t_ref=0.05), LI(v0=0.2, i0=0.3)),
        {"readout": "integral", "tau_w": 2.0},
    ),
    "max": (lambda rng: recurrent(rng, LIF(t_ref=0.05), LI(v0=0.1)), {"readout": "max"}),
}


def spikes_in(rng, net, batch=1, count=8):
    return {
        p.name: slab_of_spikes(
            Spikes.from_trials(
                [
                    (rng.uniform(0, 0.7 * T, count * p.size // 4), rng.integers(0, p.size, count * p.size // 4))
                    for _ in range(batch)
                ],
                p.size,
                T,
            )
        )
        for p in net.inputs
    }


def case(name, seed=1, constants=True):
    """Net, engine's options, tensors with every constant, and input spikes."""
    make, options = NETS[name]
    rng = np.random.default_rng(seed)
    net = make(rng)
    tensors = dict(net.tensors)
    if constants:
        for p in net.populations_by_name.values():
            if not p.is_input:
                wanted = [c for c in CONSTANTS if c in type(p.neuron).__dataclass_fields__]
                values = values_of(p.neuron, {}, p.name)
                tensors |= {f"{p.name}.{c}": np.broadcast_to(np.asarray(values[c], float), (p.size,)) for c in wanted}
    return net, options, tensors, spikes_in(rng, net)


def exact(net, **options):
    return GraphEventEngine(net, duration=T, max_inverse_slope=np.inf, **options)


def loss_of(output):
    """Every spike time, weighted by its neuron and its rank, or every number read; and its derivative."""
    rng = np.random.default_rng(5)
    if not isinstance(output, SpikeOutput):
        read = output.v if hasattr(output, "v") else output.y
        weights = rng.normal(size=read.shape)
        return float((weights * read).sum()), weights
    coefficients = rng.normal(size=(output.n_neurons, 500))
    loss, e = 0.0, np.zeros(output.times.shape)
    for b in range(len(output.counts)):
        rank = np.zeros(output.n_neurons, int)
        for s in range(output.counts[b]):
            n = output.neurons[b, s]
            e[b, s] = coefficients[n, rank[n]]
            loss += e[b, s] * output.times[b, s]
            rank[n] += 1
    return loss, e


def train_of(slab, b=0):
    return slab.times[b, : slab.counts[b]], slab.neurons[b, : slab.counts[b]]


def gradients(engine, tensors, inputs):
    _, signal = loss_of(engine.forward(tensors, inputs))
    return {name: np.array(grad) for name, grad in engine.backward(tensors, signal).items()}


# --- the reference's description of a net ----------------------------------------------------------------------------


def pooled(pool, shape, rows):
    """Matrix of a pool and dense weights behind it, by hand."""
    c_in, height, width = shape
    matrix = np.zeros((c_in * height * width, rows))
    high, wide = pool.size
    for y in range(height // high * high):
        for x in range(width // wide * wide):
            for c in range(c_in):
                matrix[(y * width + x) * c_in + c, ((y // high) * (width // wide) + x // wide) * c_in + c] = pool.scale
    return matrix


def unrolled(net, connection):
    """Function from a connection's weights to a dense matrix and a mask."""
    pre, post = (net.populations_by_name[name] for name in (connection.source, connection.target))
    shape = connection.shape
    if isinstance(shape, Convolution):
        _, height, width = pre.shape
        pool = shape.pool.size if shape.pool else 1
        return lambda w: (
            plain.conv2d(np.transpose(w, (3, 0, 1, 2)), height, width, shape.stride, shape.padding, pool),
            None,
        )
    if isinstance(shape, Sparse):
        source = np.repeat(np.arange(pre.size), np.diff(shape.indptr))
        return lambda w: plain.sparse(source, shape.indices, w, (pre.size, post.size))
    if isinstance(shape, OneToOne):
        return plain.one_to_one
    if shape.pool:
        return lambda w: (pooled(shape.pool, pre.shape, len(w)) @ w, None)
    return lambda w: (w, None)


def delay_matrix(net, connection, tensors):
    """Delays as the reference takes them."""
    delay = np.asarray(tensors.get(f"{connection.name}.delay", connection.delay))
    pre, post = (net.populations_by_name[name] for name in (connection.source, connection.target))
    if delay.shape == (pre.size,):
        return delay[:, None]
    if delay.ndim == 1:
        return plain.sparse(
            np.repeat(np.arange(pre.size), np.diff(connection.shape.indptr)),
            connection.shape.indices,
            delay,
            (pre.size, post.size),
        )[0]
    return delay


def described(net, tensors):
    nodes, connections = [], []
    for p in net.populations_by_name.values():
        if p.is_input:
            nodes.append(plain.Input(p.name, p.size))
            continue
        values = values_of(p.neuron, tensors, p.name)
        del values["coupling"]
        spiking = not isinstance(p.neuron, LI)
        if not spiking:
            values |= {"v_threshold": 1e9, "v_reset": 0.0}
        values["i_ext"] = tensors.get(f"{p.name}.bias", 0.0)
        nodes.append(plain.Population(p.name, p.size, spiking=spiking, **values))
    for c in net.connections:
        weight, mask = unrolled(net, c)(tensors[c.name])
        connections.append(
            plain.Connection(c.source, c.target, weight, delay_matrix(net, c, tensors), mask=mask, name=c.name)
        )
    return plain.Graph(nodes, connections)


def folded(net, found, tensors, name):
    """The reference's gradient in the shape of a tensor."""
    if name in net.connections_by_name:
        c = net.connections_by_name[name]
        if isinstance(c.shape, Dense) and c.shape.pool is None:
            return found[name]
        unroll = unrolled(net, c)
        return plain.pull_back(lambda w: unroll(w)[0], np.shape(tensors[name]), found[name])
    owner, _, what = name.rpartition(".")
    if what == "delay":
        c = net.connections_by_name[owner]
        grad, shape = found[name], np.shape(tensors[name])
        if grad.shape == shape:
            return grad
        if shape == ():
            return grad.sum()
        if shape == (grad.shape[0],):
            return grad.sum(1)
        return grad[np.repeat(np.arange(grad.shape[0]), np.diff(c.shape.indptr)), c.shape.indices]
    return found[f"{owner}.i_ext" if what == "bias" else name]


def expected(net, engine, tensors, inputs, output):
    """The reference's run, and its gradients of the loss of the engine's output."""
    graph = described(net, tensors)
    name = net.output.name

    def loss(run):
        _, signal = loss_of(output)
        if isinstance(output, SpikeOutput):
            return 0.0, {name: signal[0, : output.counts[0]]}, []
        probe = {
            "sampled": ("sample", name, engine.sample_times, signal[0]),
            "integral": ("integral", name, engine.tau_w, signal[0]),
            "max": ("maximum", name, signal[0]),
        }[engine.readout]
        return 0.0, {}, [probe]

    trains = {key: train_of(slab) for key, slab in inputs.items()}
    found = reference.gradients(graph, trains, T, loss)
    return reference.run(graph, trains, T), found


@pytest.mark.parametrize("name", NETS)
def test_spikes_readings_and_every_gradient_are_the_references(name):
    net, options, tensors, inputs = case(name)
    engine = exact(net, **options)
    output = engine.forward(tensors, inputs)
    _, signal = loss_of(output)
    grads = engine.backward(tensors, signal)
    run, found = expected(net, engine, tensors, inputs, output)
    for p in net.populations_by_name.values():
        if p.spiking and not p.is_input:
            times, neurons = train_of(engine.spikes()[p.name])
            assert len(times) >= 3, f"{p.name}: silent"
            order = np.lexsort((run.neurons[p.name], run.times[p.name]))
            assert neurons.tolist() == run.neurons[p.name][order].tolist(), p.name
            assert np.abs(times - run.times[p.name][order]).max() < TIME * T, p.name
    if not isinstance(output, SpikeOutput):
        rest = np.asarray(tensors[f"{net.output.name}.v_leak"])
        if engine.readout == "sampled":
            truth = reference.sample(run, net.output.name, engine.sample_times) - rest
        elif engine.readout == "max":
            truth = reference.maximum(run, net.output.name)[0] - rest
        else:
            weight = engine.tau_w * -np.expm1(-T / engine.tau_w)
            truth = reference.integral(run, net.output.name, engine.tau_w) - rest * weight
        assert np.abs((output.v if engine.readout == "sampled" else output.y)[0] - truth).max() < 10 * TIME
    for key in tensors:
        truth = folded(net, found, tensors, key)
        if key == f"{net.output.name}.v_leak" and not net.output.spiking:
            continue  # readings are relative to rest here, and not there: central differences tell
        assert np.linalg.norm(grads[key] - truth) <= GRADIENT * max(np.linalg.norm(truth), 1e-3), key


@pytest.mark.parametrize("name", NETS)
def test_every_gradient_is_the_central_difference(name):
    net, options, tensors, inputs = case(name, seed=4 if name in ("refractory", "sampled") else 2)
    check_differences(lambda: exact(net, **options), tensors, inputs)


def test_releases_beside_arrivals_are_kinks_and_no_faults():
    # A release 3e-5 after an arrival: within a stencil of 4e-6, which later spikes amplify, the order changes, and the
    # difference is 2e-4 off. A narrower stencil sees the derivative, and so does the reference's adjoint.
    net, options, tensors, inputs = case("refractory", seed=2)
    engine = exact(net, **options)
    output = engine.forward(tensors, inputs)
    grad = engine.backward(tensors, loss_of(output)[1])["hidden.t_ref"]
    _, found = expected(net, engine, tensors, inputs, output)
    assert np.abs(grad - found["hidden.t_ref"]).max() < GRADIENT
    check_differences(lambda: exact(net, **options), tensors, inputs, step=1e-6, only=("hidden.t_ref",))


def check_differences(make, tensors, inputs, step=4e-6, most=4, only=None):
    engine = make()
    grads = gradients(engine, tensors, inputs)
    probe, rng = make(), np.random.default_rng(0)

    def value(changed):
        loss, _ = loss_of(probe.forward(changed, inputs))
        seen = [n.tolist() for n in getattr(probe, "unseen", [])]
        return loss, {name: slab.counts.tolist() for name, slab in probe.spikes().items()}, seen

    same = value(tensors)[1:]
    compared = 0
    for name, tensor in tensors.items():
        if only is not None and name not in only:
            continue
        chosen = rng.permutation(list(np.ndindex(np.shape(tensor))))[:most] if np.ndim(tensor) else [()]
        numeric, exact_ones = [], []
        for index in map(tuple, chosen):
            if name.endswith((".t_ref", ".a0")) and tensor[index] == 0:
                continue  # at a bound
            losses = []
            for k in (-2, -1, 1, 2):
                moved = np.array(tensor, float)
                moved[index] += k * step
                losses.append(value({**tensors, name: moved}))
            if all(entry[1:] == same for entry in losses):
                far_low, low, high, far_high = (entry[0] for entry in losses)
                numeric.append((far_low - 8 * low + 8 * high - far_high) / (12 * step))
                exact_ones.append(grads[name][index])
        if numeric:
            compared += 1
            error = np.linalg.norm(np.subtract(numeric, exact_ones))
            assert error <= DIFFERENCES * max(np.linalg.norm(numeric), 0.1), f"{name}: {numeric} {exact_ones}"
    assert compared > 0.8 * len(only or tensors)


@pytest.mark.parametrize("name", ["refractory", "alif", "adlif"])
def test_windows_and_global_order_agree(name):
    net, options, tensors, inputs = case(name, seed=3)
    engines = [exact(net, windows=windows, **options) for windows in (True, False)]
    first, second = (gradients(engine, tensors, inputs) for engine in engines)
    for p in net.populations_by_name:
        (times, neurons), (others, same) = (train_of(engine.spikes()[p]) for engine in engines)
        assert neurons.tolist() == same.tolist()
        assert np.abs(times - others).max(initial=0) < TIME * T
    for key, grad in first.items():
        assert np.linalg.norm(grad - second[key]) <= 1e-12 * max(1e-3, np.linalg.norm(grad)), key


@pytest.mark.parametrize("name", ["refractory", "shapes", "sampled"])
def test_the_same_bits_for_any_threads_and_any_company(name):
    net, options, tensors, _ = case(name)
    inputs = spikes_in(np.random.default_rng(7), net, batch=5)
    inputs["input"].counts[3] = 0
    before, results = numba.get_num_threads(), []
    try:
        for threads in sorted({1, 2, numba.config.NUMBA_NUM_THREADS}):
            numba.set_num_threads(threads)
            engine = exact(net, **options)
            output = engine.forward(tensors, inputs)
            grads = engine.backward(tensors, loss_of(output)[1])
            trains = [a.tolist() for s in engine.spikes().values() for b in range(5) for a in train_of(s, b)]
            results.append((trains, {key: grad.tobytes() for key, grad in grads.items()}))
    finally:
        numba.set_num_threads(before)
    assert all(result == results[0] for result in results)
    alone = {key: SpikeOutput(s.neurons[2:3], s.times[2:3], s.counts[2:3], s.n_neurons, T) for key, s in inputs.items()}
    single = exact(net, **options)
    single.forward(tensors, alone)
    for p in net.populations_by_name:
        if p in single.spikes():
            assert [a.tolist() for a in train_of(single.spikes()[p])] == [
                a.tolist() for a in train_of(engine.spikes()[p], 2)
            ]


@pytest.mark.parametrize("name", ["refractory", "shapes", "integral"])
def test_a_silent_net_has_no_spikes_and_no_gradient(name):
    net, options, tensors, inputs = case(name, constants=False)
    tensors = {key: t if key.endswith("delay") else 0 * t for key, t in tensors.items()}
    engine = exact(net, **options)
    grads = gradients(engine, tensors, inputs)
    assert sum(engine.spike_totals().values()) == 0
    assert all(np.isfinite(grad).all() for grad in grads.values())
    assert all(not grad.any() for key, grad in grads.items() if "output" not in key)


def test_gradients_of_constants_obey_the_shift_and_scale_of_voltages_and_of_time():
    net, _, tensors, inputs = case("alif", seed=4)
    engine = exact(net)
    output = engine.forward(tensors, inputs)
    _, signal = loss_of(output)
    grads = engine.backward(tensors, signal)
    for p in ("hidden", "other", "output"):
        parts = [grads[f"{p}.{c}"] for c in ("v_leak", "v_threshold", "v_reset", "v0")]
        assert np.abs(sum(parts)).max() <= IDENTITY * np.abs(parts).max(), p
    # Voltages, currents and adaptation times a number: nothing changes, neuron by neuron.
    for p in ("hidden", "other", "output"):
        kinds = ["v_leak", "v_threshold", "v_reset", "v0", "i0", "q", "a0"]
        terms = [tensors[f"{p}.{c}"] * grads[f"{p}.{c}"] for c in kinds]
        terms += [(tensors[c.name] * grads[c.name]).sum(0) for c in net.into(p)]
        if f"{p}.bias" in tensors:
            terms.append(tensors[f"{p}.bias"] * grads[f"{p}.bias"])
        assert np.abs(sum(terms)).max() <= IDENTITY * np.abs(terms).max(), p
    # Time times a number: the loss, linear in output spike times, is multiplied with it; input times move as well.
    total = 0.0
    for key, grad in grads.items():
        if (
            key.rpartition(".")[2] in ("tau_mem", "tau_syn", "tau_a", "t_ref", "delay")
            or key in net.connections_by_name
        ):
            total += float((tensors[key] * grad).sum())
    moved = 0.0
    for name, slab in inputs.items():
        later = SpikeOutput(slab.neurons, slab.times * (1 + 1e-5), slab.counts, slab.n_neurons, T)
        sooner = SpikeOutput(slab.neurons, slab.times * (1 - 1e-5), slab.counts, slab.n_neurons, T)
        ends = [loss_of(exact(net).forward(tensors, {**inputs, name: s}))[0] for s in (later, sooner)]
        moved += (ends[0] - ends[1]) / 2e-5
    loss, _ = loss_of(output)
    assert total + moved == pytest.approx(loss, rel=1e-7)  # differences of the input's times limit it


# --- what else the engine promises -----------------------------------------------------------------------------------


def chain_net(rng, output=None):
    net = Network.chain([rng.normal(0.4, 0.8, (4, 5)), rng.normal(0.4, 0.8, (5, 3))], LIF(v_reset=-0.1), "spiking")
    return net


def test_a_chain_runs_on_the_layer_kernels_and_the_general_ones_agree():
    rng = np.random.default_rng(1)
    net = chain_net(rng)
    inputs = spikes_in(rng, net, batch=3, count=14)["input"]
    layers = EventEngine(net.parameters, duration=T)
    slab = layers.forward(net.weights, inputs)
    engine = GraphEventEngine(net, duration=T)
    output = engine.forward(net.tensors, inputs)
    for b in range(3):
        assert [a.tobytes() for a in train_of(output, b)] == [a.tobytes() for a in train_of(slab, b)]
    _, signal = loss_of(output)
    kept = [np.array(g) for g in layers.backward(net.weights, signal)]
    grads = engine.backward(net.tensors, signal)
    assert [grads[c.name].tobytes() for c in net.connections] == [g.tobytes() for g in kept]
    tensors = {**net.tensors, "output.v_threshold": np.array(1.0)}
    general = GraphEventEngine(net, duration=T)
    same = general.forward(tensors, inputs)
    assert same.counts.tolist() == output.counts.tolist()
    for b in range(3):
        assert np.abs(train_of(same, b)[0] - train_of(output, b)[0]).max() < TIME * T
    found = general.backward(tensors, loss_of(same)[1])
    for name, grad in zip(net.tensors, kept, strict=True):
        assert np.linalg.norm(found[name] - grad) < GRADIENT * np.linalg.norm(grad)


@pytest.mark.parametrize("name", ["adlif", "shapes"])
def test_traces_are_the_references(name):
    net, options, tensors, inputs = case(name)
    engine = exact(net, **options)
    engine.forward(tensors, inputs)
    run = reference.run(described(net, tensors), {key: train_of(s) for key, s in inputs.items()}, T)
    times = np.linspace(0.013, T, 41)
    v, _, _ = engine.trace(tensors, "hidden", times, [0, 3, 2])
    truth = reference.sample(run, "hidden", times)[:, [0, 3, 2]]
    rest = np.broadcast_to(tensors["hidden.v_leak"], (net.populations_by_name["hidden"].size,))[[0, 3, 2]]
    assert np.abs(v[0] + rest - truth).max() < 10 * TIME


def test_a_sample_lies_before_an_arrival_of_its_instant():
    net = Network()
    net.input("input", 1)
    net.population("output", 1, LI(v0=0.3))
    net.connect("input", "output", weight=np.ones((1, 1)), delay=0.25, learn=("weight", "delay"))
    inputs = slab_of_spikes(Spikes.from_trials([([0.25], [0])], 1, T))
    tensors = {**net.tensors, "output.tau_syn": np.array(0.6)}
    engine = exact(net, n_samples=6)
    output = engine.forward(tensors, inputs)
    assert output.v[0, 0, 0] == pytest.approx(0.3 * np.exp(-0.5 / 0.8))
    grads = engine.backward(tensors, np.eye(6)[None, 0, :, None])
    assert not any(grad.any() for grad in grads.values())


def test_a_membrane_that_falls_at_first_crosses_later():
    net = Network()
    net.input("input", 1)
    net.population("output", 1, LIF(v0=0.9, v_reset=-9.0), bias=1.3)
    net.connect("input", "output", weight=np.full((1, 1), -1.5))
    inputs = slab_of_spikes(Spikes.from_trials([([0.1], [0])], 1, T))
    times, _ = train_of(exact(net).forward(net.tensors, inputs))
    assert len(times) == 1
    t = times[0] - 0.1
    slow, fast = np.exp(-t / 0.8), np.exp(-t / 0.6)
    rest = 1.2 * 1.3
    start = rest + (0.9 - rest) * np.exp(-0.1 / 0.8)
    v = rest + (start - rest) * slow - 1.2 * 1.5 / 0.6 * 0.6 / 0.2 * (slow - fast)
    assert times[0] > 0.5
    assert v == pytest.approx(1.0, abs=1e-12)


def test_equal_time_constants_are_the_limit_of_nearly_equal_ones():
    rng = np.random.default_rng(3)
    net = recurrent(rng, ALIF(tau_syn=0.8, tau_a=0.8, beta=0.2, q=0.4, t_ref=0.02), AdLIF(tau_syn=0.8, tau_a=0.8))
    inputs, found = spikes_in(rng, net), []
    for factor in (1.0, 1 + 1e-9):
        names = [f"{p}.{tau}" for p in ("hidden", "other", "output") for tau in ("tau_syn", "tau_a")]
        found.append(gradients(exact(net), {**net.tensors, **{n: np.array(0.8 * factor) for n in names}}, inputs))
    for name, grad in found[0].items():
        assert np.abs(grad - found[1][name]).max() <= 1e-5 * max(np.abs(grad).max(), 1.0), name


def test_gradients_arrive_tensor_by_tensor_from_the_output_on():
    net, _, tensors, inputs = case("refractory")
    engine = exact(net)
    _, signal = loss_of(engine.forward(tensors, inputs))
    told = []
    grads = engine.backward(tensors, signal, lambda name, grad: told.append(name))
    assert sorted(told) == sorted(tensors) == sorted(grads)
    assert told[0] in {"input->output", "other->output"}


def test_hybrid_gradients_are_its_own_central_differences_and_bins_must_fit_the_cycles():
    net, _, tensors, inputs = case("adlif", seed=2)
    check_differences(
        lambda: GraphHybridEngine(net, dt=T / 120, n_steps=120, max_inverse_slope=np.inf), tensors, inputs
    )
    with pytest.raises(InputError, match="bins must be no longer than the delays that close a cycle"):
        GraphHybridEngine(net, dt=T / 4, n_steps=4).forward(tensors, inputs)


def test_a_hybrid_of_fine_bins_has_the_exact_spikes():
    net, _, tensors, inputs = case("refractory", seed=2)
    fine, engine = GraphHybridEngine(net, dt=T / 3000, n_steps=3000), exact(net)
    fine.forward(tensors, inputs)
    engine.forward(tensors, inputs)
    for p in ("hidden", "other", "output"):
        (times, neurons), (truth, same) = train_of(fine.spikes()[p]), train_of(engine.spikes()[p])
        assert neurons.tolist() == same.tolist()
        assert np.abs(times - truth).max() < TIME * T


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: {**t, "hidden.tau": np.array(1.0)}, "tensor 'hidden.tau': must be one of"),
        (lambda t: {**t, "hidden.beta": np.array(1.0)}, "neurons of hidden have no beta"),
        (lambda t: {**t, "hidden.tau_mem": np.array(-1.0)}, "tau_mem = -1.0: must be a positive number"),
        (lambda t: {**t, "hidden.tau_mem": np.ones(3)}, r"shape \(3,\); must be \(\) or \(4,\)"),
        (lambda t: {**t, "other->hidden.delay": np.array(-0.1)}, "a delay must be at least 0"),
        (lambda t: {k: v for k, v in t.items() if k != "input->hidden"}, "input->hidden missing"),
        (lambda t: {**t, "input->hidden": np.ones((4, 3))}, r"input->hidden: shape \(4, 3\)"),
    ],
)
def test_tensors_that_do_not_fit_are_refused_in_one_line(change, message):
    net, _, tensors, inputs = case("refractory", constants=False)
    with pytest.raises(InputError, match=message):
        exact(net).forward(change(tensors), inputs)


def test_a_neuron_that_excites_itself_without_delay_or_end_is_refused():
    net = Network()
    net.input("input", 1)
    net.population("output", 2, LIF())
    net.connect("input", "output", weight=np.full((1, 2), 3.0))
    net.connect("output", "output", weight=np.full((2, 2), 1e18))
    inputs = slab_of_spikes(Spikes.from_trials([([0.1], [0])], 1, T))
    with pytest.raises(InputError, match=r"population output: neuron . fires so fast"):
        GraphEventEngine(net, duration=T).forward(net.tensors, inputs)
