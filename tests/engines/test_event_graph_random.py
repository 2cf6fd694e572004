"""The event engine on random graphs: the independent reference, its own two orders, identities of time, float32.

Rounding is amplified by every spike on the way to the one that is looked at: by the norm of its time's derivative. Nets
whose amplification is beyond ``WILD``, or with more than ``MOST`` spikes, tell nothing about formulas and are left out.
"""

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from snnsim.connections import OneToOne, Pairs
from snnsim.engines.event_graph import CONSTANTS
from snnsim.engines.outputs import SpikeOutput
from snnsim.network import Network
from snnsim.parameters import ALIF, LI, LIF, AdLIF
from tests.engines.test_event_graph import (
    GRADIENT,
    IDENTITY,
    TIME,
    T,
    adapting,
    case,
    exact,
    expected,
    folded,
    gradients,
    loss_of,
    spikes_in,
    spread,
    train_of,
    values_of,
)

WILD, MOST = 100.0, 60
QUICK = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
KINDS = ("lif", "alif", "adlif")


def neuron(rng, kind, n, refractory):
    t_ref = rng.uniform(0.0, 0.1, n) if refractory else 0.0
    common = spread(rng, n, t_ref=t_ref) if n > 1 else {"t_ref": t_ref, "v_reset": -0.1}
    if kind == "alif":
        return ALIF(beta=rng.uniform(0.1, 0.4), **common, **adapting(rng, n))
    if kind == "adlif":
        return AdLIF(c_a=rng.uniform(0.1, 0.6), **common, **adapting(rng, n))
    return LIF(**common)


def random_net(seed, kinds, refractory, instant, spiking):
    """Up to two inputs and three populations of up to four neurons, joined as it happens, in every shape and delay."""
    rng = np.random.default_rng(seed)
    net, targets = Network(), [f"p{k}" for k in range(len(kinds))]
    inputs = ["input", "second"][: rng.integers(1, 3)]
    for name in inputs:
        net.input(name, int(rng.integers(1, 4)))
    for name, kind in zip(targets, kinds, strict=True):
        size = int(rng.integers(1, 5))
        bias = rng.uniform(-0.1, 0.3, size) if rng.random() < 0.4 else None
        net.population(name, size, neuron(rng, kind, size, refractory), bias=bias, learn_bias=bias is not None)
    net.population("output", 2, LIF(v_reset=-0.1) if spiking else LI(v0=0.1, i0=0.2))
    targets.append("output")
    pairs = [(rng.choice(inputs), targets[0]), (targets[-2], "output")]
    for a in inputs + targets[:-1] + (["output"] if spiking else []):
        pairs += [(a, b) for b in targets if rng.random() < 0.4]
    for a, b in dict.fromkeys((str(a), str(b)) for a, b in pairs):
        connect(rng, net, a, b, instant, 0.5 if a in targets else 1.0)
    return net


def connect(rng, net, a, b, instant, scale):
    pre, post = net.populations_by_name[a].size, net.populations_by_name[b].size
    choice = rng.random()
    if choice < 0.2 and pre == post:
        shape, size = OneToOne(), (pre,)
    elif choice < 0.4:
        keep = np.argwhere(rng.random((pre, post)) < 0.7)
        keep = keep if len(keep) else np.array([[0, 0]])
        shape, size = Pairs(*keep.T), (len(keep),)
    else:
        shape, size = None, (pre, post)
    # Of connections from inputs every source neuron has delays of its own: they tell dL/d(spike time).
    n_delays = [(), (pre,), size][int(rng.integers(1 if a in ("input", "second") else 0, 3))]
    delay = np.zeros(n_delays) if instant and rng.random() < 0.5 else rng.uniform(0.02, 0.3, n_delays)
    weight = scale * rng.normal(0.45, 0.6, size)
    net.connect(a, b, shape, weight=weight, delay=delay if n_delays else float(delay), learn=("weight", "delay"))


def all_tensors(net):
    tensors = dict(net.tensors)
    for p in net.populations_by_name.values():
        if not p.is_input:
            values = values_of(p.neuron, {}, p.name)
            wanted = [c for c in CONSTANTS if c in type(p.neuron).__dataclass_fields__]
            tensors |= {f"{p.name}.{c}": np.broadcast_to(np.asarray(values[c], float), (p.size,)) for c in wanted}
    return tensors


def graphs(spiking):
    return st.builds(
        random_net,
        st.integers(0, 2**32 - 1),
        st.lists(st.sampled_from(KINDS), min_size=1, max_size=3),
        st.booleans(),
        st.booleans(),
        spiking,
    )


def by_source(net, c, values):
    """Sum a number a delay over each source neuron."""
    pre = net.populations_by_name[c.source].size
    if values.ndim == 2:
        return values.sum(1)
    if len(values) == pre:
        return values
    return np.bincount(np.repeat(np.arange(pre), np.diff(c.shape.indptr)), values, pre)


def differentiated(engine, tensors, inputs):
    """Loss and gradients of a run with spikes, few enough to amplify rounding little enough."""
    output = engine.forward(tensors, inputs)
    assume(3 <= sum(engine.spike_totals().values()) <= MOST)
    loss, signal = loss_of(output)
    grads = {name: np.array(grad) for name, grad in engine.backward(tensors, signal).items()}
    assume(max(np.abs(g).max(initial=0.0) for g in grads.values()) < WILD)
    return loss, grads


@QUICK
@given(graphs(st.booleans()), st.integers(0, 1000), st.sampled_from(["sampled", "max", "integral"]))
def test_spikes_and_gradients_of_random_graphs_are_the_references(net, seed, readout):
    tensors, inputs = all_tensors(net), spikes_in(np.random.default_rng(seed), net)
    engine = exact(net, readout=readout, n_samples=7)
    _, grads = differentiated(engine, tensors, inputs)
    run, found = expected(net, engine, tensors, inputs, engine.forward(tensors, inputs))
    for name in set(engine.spikes()) - set(inputs):
        times, neurons = train_of(engine.spikes()[name])
        order = np.lexsort((run.neurons[name], run.times[name]))
        assert neurons.tolist() == run.neurons[name][order].tolist()
        assert np.abs(times - run.times[name][order]).max(initial=0) < TIME * T
    for key in tensors:
        if key == f"{net.output.name}.v_leak" and not net.output.spiking:
            continue  # readings are relative to rest here
        truth = folded(net, found, tensors, key)
        assert np.linalg.norm(grads[key] - truth) <= GRADIENT * max(np.linalg.norm(truth), 1e-2), key


@QUICK
@given(graphs(st.just(True)), st.integers(0, 1000))
def test_windows_and_global_order_agree_on_random_graphs(net, seed):
    tensors, inputs = all_tensors(net), spikes_in(np.random.default_rng(seed), net)
    engines = [exact(net, windows=windows) for windows in (True, False)]
    first, second = (differentiated(engine, tensors, inputs)[1] for engine in engines)
    for name in set(engines[0].spikes()) - set(inputs):
        (times, neurons), (others, same) = (train_of(engine.spikes()[name]) for engine in engines)
        assert neurons.tolist() == same.tolist()
        assert np.abs(times - others).max(initial=0) < TIME * T
    for key, grad in first.items():
        assert np.linalg.norm(grad - second[key]) <= IDENTITY * max(1e-1, np.linalg.norm(grad)), key


@QUICK
@given(graphs(st.just(True)), st.integers(0, 1000))
def test_random_graphs_obey_the_shift_and_scale_of_voltages_and_of_time(net, seed):
    """Identities of exact gradients of any loss of spike times; each term's size is its own scale of rounding."""
    rng = np.random.default_rng(seed)
    # One spike an input neuron: its dL/d(time) is then the sum of its delays' gradients.
    once = {p.name: np.sort(rng.uniform(0, 0.5 * T, p.size)) for p in net.inputs}
    inputs = {
        name: SpikeOutput(np.arange(len(t), dtype=np.int32)[None], t[None], np.array([len(t)], np.int32), len(t), T)
        for name, t in once.items()
    }
    outer = {c.name for name in inputs for c in net.out_of(name)}
    tensors = {name: 2 * t if name in outer else t for name, t in all_tensors(net).items()}
    loss, grads = differentiated(exact(net), tensors, inputs)

    def vanish(terms, what):
        assert np.abs(sum(terms)).max() <= IDENTITY * max(1.0, max(np.abs(t).max() for t in terms)), what

    def by_target(c):
        # One number a target neuron.
        product = tensors[c.name] * grads[c.name]
        if product.ndim == 2:
            return product.sum(0)
        target = np.arange(len(product)) if isinstance(c.shape, OneToOne) else c.shape.indices
        return np.bincount(target, product, net.populations_by_name[c.target].size)

    for p in net.populations_by_name.values():
        if p.is_input:
            continue
        own = {name.rpartition(".")[2]: name for name in tensors if name.rpartition(".")[0] == p.name}
        vanish([grads[own[c]] for c in ("v_leak", "v_threshold", "v_reset", "v0")], f"shift of {p.name}")
        scaled = [c for c in ("v_leak", "v_threshold", "v_reset", "v0", "i0", "q", "a0", "bias") if c in own]
        terms = [tensors[own[c]] * grads[own[c]] for c in scaled]
        vanish(terms + [by_target(c) for c in net.into(p.name)], f"scale of {p.name}")
    timed = ("tau_mem", "tau_syn", "tau_a", "t_ref", "delay")
    terms = [
        float((tensors[key] * grad).sum())
        for key, grad in grads.items()
        if key in net.connections_by_name or key.rpartition(".")[2] in timed
    ]
    for name, times in once.items():
        terms += [float((times * by_source(net, c, grads[f"{c.name}.delay"])).sum()) for c in net.out_of(name)]
    vanish([*terms, -loss], "time")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["refractory", "alif", "shapes"])
def test_single_precision_has_the_spikes_and_gradients_of_double(name):
    net, options, tensors, inputs = case(name)
    double, single = exact(net, **options), exact(net, precision="float32", **options)
    grads, found = gradients(double, tensors, inputs), gradients(single, tensors, inputs)
    for p in set(double.spikes()) - set(inputs):
        (times, neurons), (others, same) = train_of(double.spikes()[p]), train_of(single.spikes()[p])
        assert neurons.tolist() == same.tolist()
        assert np.abs(times - others).max() < 1e-4
    for key, grad in grads.items():
        assert np.linalg.norm(found[key] - grad) <= 1e-3 * max(np.linalg.norm(grad), 0.1), key
