"""Inputs that spike several times in a step: every way of summing gives the same numbers, forward and backward."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from snnsim import InputError, LIFParameters, Network, Spikes, open_traces, simulate
from snnsim.engines.dropout import Dropout
from snnsim.engines.grid import GridSpikes, grid_of_spikes
from snnsim.kernels import cpu
from snnsim.recording.stream import open_writer, record
from snnsim.simulator import Simulator
from tests.kernel_chain import dense_of, spike_lists
from tests.layers import LayerEngine

ROUNDING = 1e-11
"""Of float64 sums in another order, relative to the largest."""
WAYS = "gather", "pattern", "dense"
quick = settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def counts(draw, least_steps=1):
    """Numbers of spikes (B, T, N), up to some hundred of a neuron in a step, most of them none or one."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = draw(st.integers(1, 3)), draw(st.integers(least_steps, 9)), draw(st.integers(1, 11))
    found = rng.poisson(draw(st.sampled_from([0.0, 0.3, 1.5, 4.0])), shape)
    if draw(st.booleans()):
        found[rng.random(shape) < 0.05] = 300
    return found


@quick
@given(counts())
def test_patterns_and_back(found):
    rows, row_ptr = spike_lists(found)
    patterns, pattern_ptr = np.full_like(rows, -1), np.zeros_like(row_ptr)
    cpu.group_spikes(rows, row_ptr, patterns, pattern_ptr)
    batch, steps, n = found.shape
    padded = np.zeros((batch, steps, -(-n // 4), 4), int)
    padded.reshape(batch, steps, -1)[..., :n] = found
    # As many entries of a group as its busiest neuron has spikes, and the p-th says who spikes more than p times.
    np.testing.assert_array_equal(np.diff(pattern_ptr), padded.max(axis=3).sum(axis=2))
    for b in range(batch):
        expected = [
            16 * g + ((padded[b, k, g] > p) << np.arange(4)).sum()
            for k in range(steps) for g in range(padded.shape[2]) for p in range(padded[b, k, g].max())
        ]  # fmt: skip
        np.testing.assert_array_equal(patterns[b, : pattern_ptr[b, -1]], expected)
    again, again_ptr = np.full_like(rows, -1), np.zeros_like(row_ptr)
    cpu.ungroup_spikes(patterns, pattern_ptr, again, again_ptr)
    np.testing.assert_array_equal(again_ptr, row_ptr)
    for b in range(batch):
        np.testing.assert_array_equal(again[b, : row_ptr[b, -1]], rows[b, : row_ptr[b, -1]])


def engine(way, weights, n_steps, readout="leaky", **options):
    parameters = LIFParameters(v_threshold=1.0, v_reset=0.1), LIFParameters(tau_mem=1.1)
    options |= {"dt": 0.1, "n_steps": n_steps, "precision": "float64", "synapse": way}
    return LayerEngine(weights, parameters, readout, **options)


def trained(way, grid, weights, signal, **options):
    """Spikes of the hidden layer, membrane of the output and gradients, copied."""
    made = engine(way, weights, signal.shape[1], **options)
    output = made.forward(weights, grid)
    gradients = [g.copy() for g in made.backward(weights, signal)]
    return [g.row_ptr.copy() for g in made.grids()[:2]], output.v.copy(), gradients


@quick
@given(counts(), st.integers(0, 2**32 - 1), st.booleans(), st.sampled_from(["exact", "tssl", "surrogate"]))
def test_every_way_sums_the_same(found, seed, grouped, method):
    """``auto`` too, whatever batch it decided at, and with input that comes as neurons or as patterns."""
    rng = np.random.default_rng(seed)
    n = found.shape[2]
    weights = [rng.normal(0.05, 0.3, (n, 5)), rng.normal(0.2, 0.5, (5, 3))]
    signal = rng.normal(size=(*found.shape[:2], 3))
    by_neuron = GridSpikes(*spike_lists(found), n)
    rows, row_ptr = np.zeros_like(by_neuron.rows), np.zeros_like(by_neuron.row_ptr)
    cpu.group_spikes(by_neuron.rows, by_neuron.row_ptr, rows, row_ptr)
    given_spikes = GridSpikes(rows, row_ptr, n, 4) if grouped else by_neuron
    pointers, v, gradients = trained("gather", by_neuron, weights, signal, gradient=method)
    for way in (*WAYS, "auto"):
        mine, mine_v, mine_gradients = trained(way, given_spikes, weights, signal, gradient=method)
        for a, b in zip(mine, pointers, strict=True):
            np.testing.assert_array_equal(a, b)
        np.testing.assert_allclose(mine_v, v, rtol=0, atol=ROUNDING * np.abs(v).max(initial=1e-300))
        for a, b in zip(mine_gradients, gradients, strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=ROUNDING * np.abs(b).max(initial=1e-300))


@pytest.mark.parametrize("way", [*WAYS, "auto"])
def test_a_count_is_as_many_inputs(way):
    """An input that spikes c times in a step does what c inputs with its weights do; so does its gradient."""
    rng = np.random.default_rng(4)
    found = rng.poisson(1.2, (3, 8, 6))
    weights = [rng.normal(0.05, 0.3, (6, 5)), rng.normal(0.2, 0.5, (5, 3))]
    signal = rng.normal(size=(3, 8, 3))
    most = found.max()
    apart = np.concatenate([found > p for p in range(most)], axis=2).astype(int)
    wide = [np.tile(weights[0], (most, 1)), weights[1]]
    pointers, v, gradients = trained(way, GridSpikes(*spike_lists(found), 6), weights, signal)
    other_pointers, other_v, other = trained("gather", GridSpikes(*spike_lists(apart), 6 * most), wide, signal)
    np.testing.assert_array_equal(pointers[1], other_pointers[1])
    assert pointers[1][:, -1].min() > 0
    np.testing.assert_allclose(v, other_v, rtol=0, atol=ROUNDING * np.abs(v).max())
    for a, b in zip(gradients, (other[0].reshape(most, 6, 5).sum(axis=0), other[1]), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=ROUNDING * np.abs(b).max())


@pytest.mark.parametrize("way", [*WAYS, "auto"])
def test_one_input_twice_in_a_step(way):
    net = Network.chain([np.array([[60.0]])], [LIFParameters(tau_mem=10.0, tau_syn=5.0, r=1.0)])
    twice = Spikes.from_trials([([1.0, 1.0], [0, 0])], 1, 40.0)
    once = Spikes.from_trials([([1.0], [0])], 1, 40.0)
    found = simulate(net, twice, dt=0.1, synapse=way)["output"].spikes
    double = simulate(Network.chain([np.array([[120.0]])], net.parameters), once, dt=0.1, synapse=way)["output"].spikes
    np.testing.assert_array_equal(found.times, double.times)
    assert len(found.times) > 5


def test_a_batch_without_repetitions_may_decide_the_plan():
    rng = np.random.default_rng(0)
    weights = [rng.normal(0, 0.1, (40, 400)), rng.normal(0, 0.1, (400, 3))]
    single = GridSpikes(*spike_lists(rng.random((30, 60, 40)) < 0.4), 40)
    burst = GridSpikes(*spike_lists(rng.poisson(2.0, (4, 60, 40))), 40)
    made, other = (engine(way, weights, 60) for way in ("auto", "gather"))
    made.forward(weights, single)
    assert made.plan["input->hidden0"] == "pattern"
    found, expected = made.forward(weights, burst).v, other.forward(weights, burst).v
    np.testing.assert_allclose(found, expected, rtol=0, atol=ROUNDING * np.abs(expected).max())


def test_dropout_of_hidden_neurons_leaves_repeated_inputs():
    rng = np.random.default_rng(6)
    found = rng.poisson(1.5, (3, 20, 7))
    weights = [rng.normal(0.05, 0.3, (7, 5)), rng.normal(0.2, 0.5, (5, 3))]
    dropout = Dropout(0.4, np.arange(3), 0, 0)
    grid = GridSpikes(*spike_lists(found), 7)
    outputs = [engine(way, weights, 20).forward(weights, grid, dropout=dropout).v.copy() for way in WAYS]
    for v in outputs[1:]:
        np.testing.assert_allclose(v, outputs[0], rtol=0, atol=ROUNDING * np.abs(outputs[0]).max())


@quick
@given(counts())
def test_dense_and_back(found):
    spikes = Spikes.from_dense(found, 0.1)
    assert len(spikes.times) == found.sum()
    dense = spikes.to_dense(0.1, found.shape[1])
    np.testing.assert_array_equal(dense, found)
    assert dense.dtype == (np.uint8 if found.max() < 256 else np.uint16)
    np.testing.assert_array_equal(spikes.counts(), found.sum(axis=1))
    times, ends, trial_runs = spikes.runs()
    np.testing.assert_array_equal(np.diff(ends, prepend=0), found.sum(axis=2)[found.sum(axis=2) > 0])
    assert trial_runs[-1] == len(times)
    grid = grid_of_spikes(spikes, 0.1, found.shape[1])
    np.testing.assert_array_equal(dense_of(grid.rows, grid.row_ptr, found.shape[2]), found)


@pytest.mark.parametrize("bad", [-1, 0.5, np.nan])
def test_dense_numbers_must_be_whole(bad):
    with pytest.raises(InputError, match="dense: must be whole numbers of spikes, at least 0"):
        Spikes.from_dense(np.full((1, 2, 2), bad), 0.1)


@quick
@given(counts(least_steps=2), st.sampled_from(WAYS))
def test_recordings_keep_every_spike(tmp_path_factory, found, way):
    spikes = Spikes.from_dense(found, 0.5)
    net = Network.chain([np.full((found.shape[2], 2), 0.4)], [LIFParameters()])
    simulator = Simulator(net, dt=0.5, n_steps=found.shape[1], synapse=way)
    path = tmp_path_factory.mktemp("traces") / "t"
    with open_writer(path, simulator) as writer:
        record(simulator, writer, [(spikes, {})])
    with open_traces(path) as traces:
        np.testing.assert_array_equal(traces.spikes("input").to_dense(0.5, found.shape[1]), found)
