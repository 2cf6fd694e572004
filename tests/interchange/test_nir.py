"""NIR files keep the spikes: in a round trip, in the steps of other tools, and by the equations that NIR states."""

import itertools
import os
import subprocess
import sys

import nir
import numpy as np
import pytest
from snnsim_cli.main import main

from snnsim import InputError, LIFParameters, Network, Spikes, simulate
from snnsim.connections import Convolution, Dense, OneToOne, Pool
from snnsim.interchange.nir import SNNTORCH_STEP, export_nir, from_nir, import_nir, to_nir
from snnsim.models import load_model, save_model
from snnsim.neurons import IF, LI, LIF, DeltaLIF
from tests import ROOT
from tests.recordings import assert_same_spikes

STEPS, DT = 60, 0.1
SCHEMES = ("backward_euler", "forward_euler", "exact", "bilinear")
FIRST = LIFParameters(tau_mem=0.8, tau_syn=0.6, r=1.2, v_threshold=0.9, v_reset=-0.3, v_leak=-0.3)
SECOND = LIFParameters(tau_mem=1.1, tau_syn=0.45, r=0.7, v_threshold=1.3, v_reset=0.2, v_leak=0.1)


def network(parameters=(FIRST, SECOND), readout="spiking", dtype=np.float32, sizes=(20, 15, 5)):
    rng = np.random.default_rng(3)
    shapes = itertools.pairwise(sizes)
    return Network.chain([(rng.normal(size=s) * 0.5 + 0.3).astype(dtype) for s in shapes], parameters, readout)


def dense(n_trials=6, n_inputs=20, seed=0):
    return np.random.default_rng(seed).random((n_trials, STEPS, n_inputs)) < 0.1


def spikes_of(net, scheme="backward_euler", dt=DT, record=("spikes",), **options):
    return simulate(net, Spikes.from_dense(dense(), dt), dt=dt, scheme=scheme, record=record, **options)


def assert_same_dynamics(a, b):
    """Equal spikes in every layer, of which there must be many."""
    for x, y in zip(a.layers, b.layers, strict=True):
        assert_same_spikes(x.spikes, y.spikes)
        if x.v is None:
            assert x.spikes.times.size > 100


def steps_of_tool(nodes, inputs, step, reset_to=None):
    """Spikes (B, T, N) of a tool that decays by ``1 - step/tau``: snnTorch's neurons, Norse's boxes and LIFCell.

    I_k = (1 - step/tau_syn) I + rise * x, v_k = (1 - step/tau_mem) v + R step/tau_mem I_k, a spike where v_k exceeds
    v_threshold, then v = v_reset (or what the tool resets to). ``rise`` is w_in step/tau_syn where a spike is 1 during
    its step, w_in where I jumps by the weight.
    """
    for w, tau_syn, tau_mem, r, leak, threshold, reset, rise in nodes:
        i, v = np.zeros((len(inputs), len(w))), np.full((len(inputs), len(w)), float(leak))
        out = np.zeros((*inputs.shape[:2], len(w)), bool)
        for k in range(inputs.shape[1]):
            x = inputs[:, k] @ np.asarray(w, float).T
            i = x if tau_syn is None else (1 - step / tau_syn) * i + rise * x
            v = v + step / tau_mem * (leak - v + r * i)
            out[:, k] = v > threshold
            v = np.where(out[:, k], reset if reset_to is None else reset_to, v)
        inputs = out
    return inputs


def nodes_of(graph, step):
    """Arguments for :func:`steps_of_tool` out of a graph of ours."""
    chain = [graph.nodes[name] for name in ("hidden0_weights", "hidden0", "output_weights", "output_neurons")]
    return [
        (weights.weight, n.tau_syn, n.tau_mem, n.r, n.v_leak[0], n.v_threshold, n.v_reset[0], n.w_in * step / n.tau_syn)
        for weights, n in zip(chain[::2], chain[1::2], strict=True)
    ]


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("readout", ["spiking", "leaky"])
def test_round_trip_keeps_the_spikes_to_the_bit(tmp_path, scheme, readout):
    net = network(readout=readout)
    assert export_nir(net, tmp_path / "net.nir") == []
    back = import_nir(tmp_path / "net.nir")
    assert back.notes == []
    for mine, theirs in zip(net.parameters, back.network.parameters, strict=True):
        for name in ("tau_mem", "tau_syn", "r", "v_leak"):
            assert getattr(mine, name) == getattr(theirs, name)
    assert back.network.readout == readout
    record = ("spikes", "v", "i_syn")
    one, two = (spikes_of(n, scheme, record=record) for n in (net, back.network))
    for x, y in zip(one.layers, two.layers, strict=True):
        assert_same_spikes(x.spikes, y.spikes)
        assert x.v is None or np.array_equal(x.v, y.v)
    assert one["hidden0"].spikes.times.size > 100


def test_round_trip_in_continuous_time_and_in_double_precision(tmp_path):
    net = network(dtype=np.float64)
    export_nir(net, tmp_path / "net.nir")
    back = import_nir(tmp_path / "net.nir").network
    assert back.dtype == np.float64
    spikes = Spikes.from_dense(dense(), DT)
    assert_same_dynamics(simulate(net, spikes, "event"), simulate(back, spikes, "event"))


def test_file_states_the_equations_of_nir():
    """After one impulse of unit area, v of the file's own equations is v of the exact scheme."""
    net = Network.chain([np.array([[2.0]])], [FIRST], "leaky")
    graph, _ = to_nir(net)
    weights, node = graph.nodes["output_weights"], graph.nodes["output_neurons"]
    assert isinstance(node, nir.CubaLI)
    current = node.w_in[0] * weights.weight[0, 0] / node.tau_syn[0]
    t = np.arange(1, 30) * DT / 1000  # the file counts in seconds
    syn, mem = node.tau_syn[0], node.tau_mem[0]
    expected = node.v_leak[0] + node.r[0] * current * syn / (mem - syn) * (np.exp(-t / mem) - np.exp(-t / syn))
    pulse = np.zeros((1, 30, 1))
    pulse[0, 0, 0] = 1
    recording = simulate(net, Spikes.from_dense(pulse, DT), dt=DT, scheme="exact", record=("v",))
    # 30 steps of rounding in float64.
    np.testing.assert_allclose(recording["output"].v[0, 1:, 0], expected, rtol=1e-13)


@pytest.mark.parametrize("dialect", ["snntorch", "norse"])
@pytest.mark.parametrize("scheme", ["backward_euler", "forward_euler", "exact"])
def test_tools_that_step_make_our_spikes(dialect, scheme):
    """To the bit; the schemes that use the last step's current spike a step a layer later than the tools."""
    net = network(parameters=(FIRST, LIFParameters(tau_mem=1.1, tau_syn=0.45, r=0.7, v_threshold=1.2)))
    graph, notes = to_nir(net, dialect=dialect, dt=DT, scheme=scheme)
    step = SNNTORCH_STEP if dialect == "snntorch" else DT / 1000
    theirs = steps_of_tool(nodes_of(graph, step), dense(), step, reset_to=0.0)
    ours = spikes_of(net.astype(np.float64), scheme)["output"].spikes.to_dense(DT, STEPS)
    delay = 0 if scheme == "backward_euler" else 2
    assert ours.sum() > 100
    np.testing.assert_array_equal(theirs[:, : STEPS - delay], ours[:, delay:])
    assert len(notes) == bool(delay)
    for name in ("hidden0", "output_neurons"):
        node = graph.nodes[name]
        assert not node.v_leak.any()
        if dialect == "snntorch":  # its reader refuses anything else
            np.testing.assert_allclose(node.r, node.tau_mem / SNNTORCH_STEP, rtol=1e-12)


@pytest.mark.parametrize("dialect", ["snntorch", "norse"])
@pytest.mark.parametrize("scheme", ["backward_euler", "forward_euler", "exact"])
def test_files_for_tools_come_back(tmp_path, dialect, scheme):
    net = network()
    notes = export_nir(net, tmp_path / "net.nir", dialect=dialect, dt=DT, scheme=scheme)
    assert any("resets to rest" in note for note in notes)
    back = import_nir(tmp_path / "net.nir")
    assert (back.dt, back.scheme) == (DT, scheme)
    for mine, theirs in zip(net.parameters, back.network.parameters, strict=True):
        assert (mine.tau_mem, mine.tau_syn) == (theirs.tau_mem, theirs.tau_syn)
    for one, two in zip(spikes_of(net, scheme).layers, spikes_of(back.network, scheme).layers, strict=True):
        assert_same_spikes(one.spikes, two.spikes)


def foreign(kind, rise, tau_syn=6.7e-4, per_neuron=False, w_in=1.0):
    """Graph as another tool writes it, in seconds with steps of 1e-4, and the spikes that the tool makes of it."""
    rng = np.random.default_rng(5)
    step, tau, r = 1e-4, 1e-3, 10.0
    nodes, stages = {"input": nir.Input(np.array([20]))}, []
    for k, (n_in, n_out) in enumerate(((20, 15), (15, 5))):
        w = rng.normal(size=(n_out, n_in)) * 0.3 + 0.15
        wide = np.ones(n_out)
        some = np.linspace(0.8, 1.3, n_out) if per_neuron else wide
        threshold, leak, reset = 1.1 * some, 0.0 * wide, 0.0 * wide
        nodes[f"{2 * k}"] = nir.Affine(w, np.zeros(n_out)) if k else nir.Linear(w)
        if kind == "LIF":
            node = nir.LIF(tau=tau * wide, r=r * some[::-1], v_leak=leak, v_threshold=threshold, v_reset=reset)
            stages.append((w, None, tau, node.r, 0.0, threshold, 0.0, None))
        else:
            node = nir.CubaLIF(
                tau_syn=tau_syn * wide, tau_mem=tau * wide, r=r * some[::-1], v_leak=leak, v_threshold=threshold,
                v_reset=reset, w_in=w_in * some**2,
            )  # fmt: skip
            stages.append((w, tau_syn, tau, node.r, 0.0, threshold, 0.0, rise(node, step)))
        nodes[f"{2 * k + 1}"] = node
    nodes["output"] = nir.Output(np.array([5]))
    names = list(nodes)
    graph = nir.NIRGraph(nodes, list(itertools.pairwise(names))[::-1])
    return graph, steps_of_tool(stages, dense(), step)


def same(graph, theirs, **options):
    found = from_nir(graph, dt=DT, match_steps=True, **options)
    net = found.network.astype(np.float64)
    ours = spikes_of(net, found.scheme)["output"].spikes.to_dense(DT, STEPS)
    assert theirs.sum() > 100
    return np.array_equal(ours, theirs)


@pytest.mark.parametrize("per_neuron", [False, True])
def test_files_of_tools_that_step_make_their_spikes(per_neuron):
    """Also where w_in, r and thresholds differ between neurons: those go into the weights."""
    per_step, jump = (lambda n, step: n.w_in * step / n.tau_syn), (lambda n, step: n.w_in)
    assert same(*foreign("CubaLIF", per_step, per_neuron=per_neuron, w_in=6.7), spike_convention="per-step")
    assert same(*foreign("CubaLIF", jump, per_neuron=per_neuron), spike_convention="jump")
    assert same(*foreign("LIF", None, per_neuron=per_neuron), spike_convention="per-step")
    graph, theirs = foreign("CubaLIF", per_step, w_in=6.7)
    assert not same(graph, theirs, spike_convention="jump")


def test_units_of_time():
    graph, theirs = foreign("CubaLIF", lambda n, step: n.w_in * step / n.tau_syn, w_in=6.7)
    assert same(graph, theirs, spike_convention="per-step", time_unit="s")
    assert same(graph, theirs, spike_convention="per-step", time_unit="1000")
    for node in graph.nodes.values():
        if isinstance(node, nir.CubaLIF):
            node.tau_syn, node.tau_mem = node.tau_syn / 1e-4, node.tau_mem / 1e-4
    assert same(graph, theirs, spike_convention="per-step", time_unit="step")
    found = from_nir(graph, time_unit="ms")
    assert found.network.parameters[0].tau_mem == pytest.approx(10, rel=1e-12)
    assert found.dt is None
    assert any("impulses of unit area" in note for note in found.notes)


def test_the_smaller_dt_the_closer_the_equations_are_to_the_steps():
    graph, _ = foreign("CubaLIF", lambda n, step: n.w_in * step / n.tau_syn, w_in=6.7)
    gaps = []
    for dt in (0.1, 0.01, 0.001):
        p, q = (
            from_nir(graph, dt=dt, spike_convention="per-step", match_steps=match).network.parameters[0]
            for match in (True, False)
        )
        gaps.append(q.tau_mem - p.tau_mem)
    np.testing.assert_allclose(gaps, [0.1, 0.01, 0.001], rtol=1e-9)


def test_linear_nodes_are_multiplied_and_subgraphs_spliced():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(6, 4)), rng.normal(size=(3, 6))
    wide = np.ones(3)
    neurons = nir.CubaLIF(tau_syn=wide, tau_mem=2 * wide, r=wide, v_leak=0 * wide, v_threshold=wide)
    inner = nir.NIRGraph(
        {"input": nir.Input(np.array([3])), "n": neurons, "output": nir.Output(np.array([3]))},
        [("input", "n"), ("n", "output")],
    )
    nodes = {
        "input": nir.Input(np.array([2, 2])),
        "flat": nir.Flatten({"input": np.array([2, 2])}, 0, -1),
        "a": nir.Linear(a),
        "s": nir.Scale(np.arange(6.0)),
        "b": nir.Linear(b),
        "inner": inner,
        "output": nir.Output(np.array([3])),
    }
    names = list(nodes)
    graph = nir.NIRGraph(nodes, list(itertools.pairwise(names)), type_check=False)
    network = from_nir(graph, time_unit="ms").network
    np.testing.assert_allclose(network.weights[0], (b @ np.diag(np.arange(6.0)) @ a).T, rtol=1e-13)
    assert network.parameters[0].tau_mem == 2


def test_leaky_integrators_end_a_network():
    wide = np.ones(3)
    for node in (
        nir.LI(tau=wide, r=wide, v_leak=wide),
        nir.CubaLI(tau_syn=wide, tau_mem=wide, r=wide, v_leak=wide),
    ):
        nodes = {"w": nir.Linear(np.ones((3, 2))), "n": node}
        found = from_nir(nir.NIRGraph(nodes, [("w", "n")]), time_unit="ms")
        assert found.network.readout == "leaky"
        assert found.network.parameters[0].v_leak == 1
        assert found.network.output.neuron.kind == ("delta-li" if isinstance(node, nir.LI) else "li")


def chain(*nodes, extra=()):
    named = {f"n{k}": node for k, node in enumerate(nodes)}
    names = list(named)
    return nir.NIRGraph(named, [*itertools.pairwise(names), *extra], type_check=False)


def cuba(n=2, **changes):
    constants = {"tau_syn": np.ones(n), "tau_mem": np.ones(n), "r": np.ones(n), "v_leak": np.zeros(n)}
    return nir.CubaLIF(**(constants | {"v_threshold": np.ones(n)} | changes))


W = nir.Linear(np.ones((2, 2)))


def conv(**changes):
    given = {"input_shape": (4, 4), "weight": np.ones((1, 1, 3, 3)), "stride": 1, "padding": 0, "dilation": 1}
    return nir.Conv2d(**(given | {"groups": 1, "bias": np.zeros(1)} | changes))


def pool(size=2, stride=2):
    return nir.SumPool2d(kernel_size=np.array([size] * 2), stride=np.array([stride] * 2), padding=np.zeros(2, int))


def whole():
    """Every connection and neuron that both have, as a graph."""
    rng = np.random.default_rng(0)
    made = Network()
    made.input("input", (2, 8, 8))
    made.population("map", (3, 6, 6), LIF(v_threshold=rng.uniform(0.8, 1.2, 108)), bias=rng.normal(0, 0.1, 108))
    made.connect("input", "map", Convolution(3), weight=rng.normal(0.2, 0.3, (2, 3, 3, 3)), delay=0.3)
    made.population("dense", 7, LIF(tau_mem=rng.uniform(0.5, 1, 7), v0=0.2, i0=0.1))
    made.connect("map", "dense", Dense(Pool(2)), weight=rng.normal(0.5, 0.5, (27, 7)))
    made.connect("dense", "dense", weight=rng.normal(0, 0.3, (7, 7)), delay=0.1)
    made.population("jump", 8, DeltaLIF(tau_mem=1.5))
    made.connect("dense", "jump", weight=rng.normal(0.3, 0.3, (7, 8)), delay=rng.uniform(0, 0.5, 7))
    made.population("same", 8, IF())
    made.connect("jump", "same", OneToOne(), weight=rng.normal(0.7, 0.1, 8))
    made.population("output", 4, LI(v_leak=-0.2))
    made.connect("same", "output", weight=rng.normal(0.3, 0.3, (8, 4)))
    made.connect("map", "output", weight=rng.normal(0.1, 0.3, (108, 4)))
    return made


def test_a_graph_comes_back_with_its_spikes(tmp_path):
    net = whole()
    notes = export_nir(net, tmp_path / "net.nir")
    assert len(notes) == 3  # a current that became a shift, two initial states
    assert isinstance(nir.read(tmp_path / "net.nir"), nir.NIRGraph)  # its own reader infers and checks all shapes
    back = import_nir(tmp_path / "net.nir")
    assert back.notes == []
    found = back.network
    assert {p.name: p.shape for p in found.populations_by_name.values()} == {
        p.name: p.shape for p in net.populations_by_name.values()
    }
    for c in net.connections:
        theirs = found.connections_by_name[c.name]
        np.testing.assert_allclose(found.tensors[c.name], net.tensors[c.name], rtol=1e-14)
        np.testing.assert_allclose(theirs.delay, c.delay, rtol=1e-14)
        assert theirs.shape == c.shape
    rng = np.random.default_rng(1)
    inputs = Spikes.from_trials([(np.sort(rng.uniform(0, 5, 300)), rng.integers(0, 128, 300))], 128, 6.0)
    one, two = (simulate(n, inputs, "event", dt=0.5, record=("spikes", "v")) for n in (net, found))
    for name in ("map", "dense", "jump", "same"):
        a, b = one[name].spikes, two[name].spikes
        assert a.times.size > 20, name
        np.testing.assert_array_equal(a.neurons, b.neurons)
        np.testing.assert_allclose(a.times, b.times, rtol=1e-11)
    np.testing.assert_allclose(one["output"].v, two["output"].v, rtol=0, atol=1e-11)


def recurrent(nested):
    """Recurrence as snnTorch and Norse write it, a graph inside; or as a cycle."""
    rng = np.random.default_rng(5)
    w, inner, out = rng.normal(0.3, 0.3, (6, 20)), rng.normal(0, 0.3, (6, 6)), rng.normal(0.4, 0.3, (4, 6))
    size, n = np.array([6]), cuba(6, tau_syn=np.full(6, 6.7e-4), tau_mem=np.full(6, 1e-3), w_in=np.full(6, 6.7))
    last = cuba(4, tau_syn=np.full(4, 6.7e-4), tau_mem=np.full(4, 1e-3), w_in=np.full(4, 6.7))
    n.r, last.r = 10.0 * n.r, 10.0 * last.r
    nodes = {"input": nir.Input(np.array([20])), "w": nir.Linear(w)}
    if nested:
        inside = {"input": nir.Input(size), "lif": n, "w_rec": nir.Linear(inner), "output": nir.Output(size)}
        edges = [("input", "lif"), ("lif", "w_rec"), ("w_rec", "lif"), ("lif", "output")]
        nodes["rec"] = nir.NIRGraph(inside, edges, type_check=False)
        edges = [("input", "w"), ("w", "rec"), ("rec", "v")]
    else:
        nodes |= {"rec": n, "back": nir.Linear(inner)}
        edges = [("input", "w"), ("w", "rec"), ("rec", "back"), ("back", "rec"), ("rec", "v")]
    nodes |= {"v": nir.Linear(out), "last": last, "output": nir.Output(np.array([4]))}
    return nir.NIRGraph(nodes, [*edges, ("v", "last"), ("last", "output")], type_check=False), (w, inner, out)


@pytest.mark.parametrize("nested", [True, False])
def test_recurrence_is_a_step_late_as_tools_have_it(nested):
    graph, (w, inner, out) = recurrent(nested)
    found = from_nir(graph, dt=DT, match_steps=True, spike_convention="per-step")
    assert any("a delay of one step, 0.1 ms" in note for note in found.notes)
    ours = spikes_of(found.network.astype(np.float64), found.scheme)["output"].spikes.to_dense(DT, STEPS)
    inputs = dense()
    i, v, s = np.zeros((3, len(inputs), 6))
    hidden = np.zeros((*inputs.shape[:2], 6))
    step, syn, mem = 1e-4, 6.7e-4, 1e-3
    for k in range(STEPS):
        i = (1 - step / syn) * i + step / syn * 6.7 * (inputs[:, k] @ w.T + s @ inner.T)
        v = v + step / mem * (10 * i - v)
        hidden[:, k] = s = v > 1.0
        v = np.where(s, 0.0, v)
    theirs = steps_of_tool([(out, syn, mem, 10.0, 0.0, 1.0, 0.0, 6.7 * step / syn)], hidden, step)
    assert theirs.sum() > 100
    np.testing.assert_array_equal(ours, theirs)
    assert any("for the event engine" in note for note in from_nir(graph).notes)


def test_recurrence_is_written_as_tools_read_it():
    net = Network()
    net.input("input", 20)
    net.population("hidden", 6, FIRST)
    net.population("output", 4, FIRST)
    rng = np.random.default_rng(0)
    net.connect("input", "hidden", weight=rng.normal(size=(20, 6)))
    net.connect("hidden", "hidden", weight=rng.normal(size=(6, 6)), delay=DT)
    net.connect("hidden", "output", weight=rng.normal(size=(6, 4)))
    graph, _ = to_nir(net, dialect="norse", dt=DT, scheme="backward_euler")
    inside = graph.nodes["hidden"]
    assert sorted(inside.nodes) == ["input", "lif", "output", "w_rec"]
    back = from_nir(graph)
    np.testing.assert_allclose(back.network.connections_by_name["hidden_lif->hidden_lif"].delay, DT)
    with pytest.raises(InputError, match="takes no delays but one of a step"):
        to_nir(net, dialect="norse", dt=2 * DT, scheme="backward_euler")


def test_a_bias_is_a_constant_input():
    """Behind a synapse it rises with tau_syn, which an initial current makes exact; steps as a tool takes them."""
    rng = np.random.default_rng(2)
    w, b = rng.normal(0.2, 0.3, (5, 20)), rng.normal(0.1, 0.1, 5)
    wide = np.ones(5)
    nodes = {
        "CubaLIF": cuba(5, tau_syn=6.7e-4 * wide, tau_mem=1e-3 * wide, w_in=6.7 * wide, r=10 * wide),
        "LIF": nir.LIF(tau=1e-3 * wide, r=10 * wide, v_leak=0 * wide, v_threshold=wide),
        "IF": nir.IF(r=1e4 * wide, v_threshold=wide),
    }
    for kind, node in nodes.items():
        graph = chain(nir.Input(np.array([20])), nir.Affine(w, b), node, nir.Output(np.array([5])))
        found = from_nir(graph, dt=DT, match_steps=True, spike_convention="per-step")
        ours = spikes_of(found.network.astype(np.float64), found.scheme)["output"].spikes.to_dense(DT, STEPS)
        i, v = np.zeros((2, 6, 5))
        theirs = np.zeros(ours.shape)
        for k, x in enumerate(np.moveaxis(dense(), 1, 0)):
            x = x @ w.T + b
            i = (1 - 1 / 6.7) * i + x if kind == "CubaLIF" else x
            v = v + 0.1 * (10 * i - v) if kind != "IF" else v + x
            theirs[:, k] = v > 1
            v = np.where(v > 1, 0, v)
        assert theirs.sum() > 100
        np.testing.assert_array_equal(ours, theirs, err_msg=kind)


@pytest.mark.parametrize(
    ("graph", "options", "message"),
    [
        (chain(W, cuba(), extra=[("n1", "n0")]), {}, "has none: it is recurrent"),
        (chain(W, W, cuba(), extra=[("n1", "n0")]), {}, "has none: it is recurrent"),
        (chain(W, cuba(v_reset=np.full(2, 1.5))), {}, "v_reset must lie below v_threshold"),
        (chain(W, cuba(tau_syn=np.zeros(2))), {}, "tau_syn = 0: must be positive"),
        (chain(W, cuba(3)), {}, "'n1' (CubaLIF): has 3 neurons, but gets 2 inputs"),
        (chain(nir.Input(np.array([1, 4, 4])), conv(groups=2), cuba()), {}, "groups = 2: snnsim has 1"),
        (chain(nir.Input(np.array([1, 4, 4])), conv(dilation=2), cuba()), {}, "dilation = (2, 2): snnsim has 1"),
        (chain(nir.Input(np.array([1, 4, 4])), conv(), conv(), cuba()), {}, "must come behind neurons, or behind a"),
        (chain(nir.Input(np.array([1, 4, 4])), pool(stride=1), W, cuba()), {}, "windows must lie side by side"),
        (chain(nir.Input(np.array([4])), pool(), W, cuba()), {}, "neurons of shape (channels, height, width)"),
        (chain(conv(input_shape=None), cuba()), {}, "the shape of its input is not given"),
        (chain(W, nir.Threshold(np.ones(2))), {"match_steps": True, "dt": 0.1}, "which the scheme exact alone can"),
        (chain(W, nir.LI(np.ones(2), np.ones(2), np.ones(2)), W, cuba()), {}, "only the last layer may be without"),
        (chain(W, cuba(), W), {}, "must end with neurons"),
        (chain(cuba()), {}, "must come after a Linear or Affine"),
        (chain(W, cuba(), nir.Linear(np.ones((2, 3))), cuba()), {}, "takes 3 inputs, but gets 2"),
        (nir.NIRGraph({"a": W, "b": cuba(), "c": W}, [("a", "b"), ("c", "c")], type_check=False), {},
         "nodes that are not connected"),
        (chain(W, cuba()), {"spike_convention": "per-step"}, "per-step needs dt"),
        (chain(W, cuba()), {"time_unit": "step"}, "step needs dt"),
        (chain(W, cuba()), {"match_steps": True}, "matched steps needs dt"),
        (chain(W, cuba()), {"match_steps": True, "dt": 0.1, "scheme": "exact"}, "has the steps of backward_euler"),
        (chain(W, cuba()), {"match_steps": True, "dt": 2000.0}, "not longer than dt"),
        (chain(W, cuba()), {"time_unit": "minutes"}, "must be s, ms, step, or the milliseconds"),
        (chain(W, cuba()), {"spike_convention": "dirak"}, "must be one of dirac, per-step, jump"),
        (chain(W, cuba()), {"dt": -1.0}, "dt = -1.0: must be a positive number"),
    ],
)  # fmt: skip
def test_what_cannot_be_expressed_is_named(graph, options, message):
    with pytest.raises(InputError) as error:
        from_nir(graph, **options)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("net", "options", "message"),
    [
        (network((FIRST, LIFParameters(reset="subtract"))), {}, "reset = 'subtract' (layer output)"),
        (network(), {"dialect": "brian"}, "must be one of nir, norse, snntorch"),
        (network(), {"dialect": "norse"}, "needs dt and scheme"),
        (network(), {"dialect": "snntorch", "dt": 0.1, "scheme": "bilinear"}, "scheme = 'bilinear'"),
        (network(readout="leaky"), {"dialect": "norse", "dt": 0.1, "scheme": "exact"}, "readout = 'leaky'"),
        (network(), {"dialect": "norse", "dt": 0.5, "scheme": "forward_euler"}, "changes sign in a step"),
    ],
)
def test_what_nir_or_its_readers_lack_is_named(net, options, message):
    with pytest.raises(InputError, match=r".") as error:
        to_nir(net, **options)
    assert message in str(error.value)


@pytest.fixture
def snnsim(monkeypatch, capsys):
    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["snnsim", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        return end.value.code, *capsys.readouterr()

    return run


def test_commands(tmp_path, snnsim):
    net = network()
    save_model(tmp_path / "model.h5", net)
    file, back = tmp_path / "net.nir", tmp_path / "back.h5"
    code, out, err = snnsim("export", tmp_path, "--to", "nir", "-o", file)
    assert (code, err) == (0, "")
    assert "20-15-5 as nir" in out
    assert isinstance(nir.read(file), nir.NIRGraph)
    assert snnsim("import-nir", file, "-o", back, "--dt", DT, "--scheme", "exact")[0] == 0
    loaded, config = load_model(back)
    assert (config.simulation.dt, config.simulation.scheme, config.network.layers) == (DT, "exact", (20, 15, 5))
    assert_same_dynamics(spikes_of(net), spikes_of(loaded))
    code, _, err = snnsim(
        "export", tmp_path, "--to", "nir", "-o", file, "--dialect", "norse", "--dt", 0.1, "--scheme", "exact", "--force"
    )
    assert code == 0
    assert err.count("note: ") == 2


@pytest.mark.parametrize("content", [b"", b"no HDF5", None])
def test_bad_files_end_in_one_line(tmp_path, snnsim, content):
    path = tmp_path / "bad.nir"
    if content is not None:
        path.write_bytes(content)
    code, _, err = snnsim("import-nir", path, "-o", tmp_path / "model.h5")
    assert code == 2
    assert err.startswith(f"snnsim: error: {path}")
    assert err.count("\n") == 1
    assert not (tmp_path / "model.h5").exists()


@pytest.mark.slow
def test_snntorch_and_norse_classify_as_we_do():
    """The comparison script on few images; SNNSIM_PEER_PYTHON names an interpreter that has both tools."""
    python = os.environ.get("SNNSIM_PEER_PYTHON")
    if python is None:
        pytest.importorskip("snntorch")
        pytest.importorskip("norse")
    script = ROOT / "tests" / "comparisons" / "nir_peers.py"
    arguments = ["--images", "100", "--batches", "100", "--peer-python", python or sys.executable]
    done = subprocess.run([sys.executable, script, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    matched = [line for line in done.stdout.splitlines() if "none: the same steps" in line]
    assert len(matched) == 2
    for line in matched:
        decisions, counts, ours, _ = map(int, line.split("none:")[0].split()[-4:])
        assert (decisions, counts) == (0, 0)
        assert ours > 100
