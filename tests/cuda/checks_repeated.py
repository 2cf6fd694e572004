"""Inputs that spike several times in a step, on the device: sums, gradients, encoder, training and recording."""

from itertools import pairwise

import numpy as np
import pytest

from snnsim import LIFParameters, Network, Spikes, config, open_traces
from snnsim.encoders import Encoder
from snnsim.engines import clock, clock_cuda
from snnsim.engines.clock_cuda import CudaClockEngine, DeviceSpikes
from snnsim.engines.grid import GridSpikes
from snnsim.kernels import cpu, cuda
from snnsim.kernels.cuda import compiler, encoding
from snnsim.recording.stream import open_writer, record
from snnsim.simulator import Simulator
from snnsim.training.session import Session
from snnsim.training.session_cuda import CudaSession
from tests.cuda.device import OVERFLOW, off, on, somewhere_to_run  # noqa: F401
from tests.kernel_chain import spike_lists
from tests.layers import LayerEngine

pytestmark = OVERFLOW


def counts(shape=(2, 9, 7), seed=0):
    found = np.random.default_rng(seed).poisson(1.3, shape)
    found[0, 3, 1] = 40
    return found


def assert_lists(mine, mine_ptr, theirs, ptr):
    np.testing.assert_array_equal(off(mine_ptr), ptr)
    for b, count in enumerate(ptr[:, -1]):
        np.testing.assert_array_equal(off(mine)[b, :count], theirs[b, :count])


def test_patterns_rows_and_numbers():
    rows, row_ptr = spike_lists(counts())
    theirs, ptr = np.zeros_like(rows), np.zeros_like(row_ptr)
    cpu.group_spikes(rows, row_ptr, theirs, ptr)
    mine, mine_ptr = on(np.zeros_like(rows)), on(np.zeros_like(row_ptr))
    cuda.group_spikes(on(rows), on(row_ptr), mine, mine_ptr)
    assert_lists(mine, mine_ptr, theirs, ptr)
    again, again_ptr = on(np.zeros_like(rows)), on(np.zeros_like(row_ptr))
    cuda.ungroup_spikes(mine, mine_ptr, again, again_ptr)
    assert_lists(again, again_ptr, rows, row_ptr)
    for given, pointers, n_rows in ((rows, row_ptr, 7), (theirs, ptr, 32)):
        scratch, entries = np.zeros((2, n_rows), np.int32), np.zeros(given.size, np.int32)
        entry_ptr = np.zeros(n_rows + 1, np.int64)
        mine_entries, mine_entry_ptr = on(entries), on(entry_ptr)
        cuda.transpose_rows(on(given), on(pointers), 2, 8, 7, on(scratch), mine_entries, mine_entry_ptr)
        cpu.transpose_rows(given, pointers, 2, 8, 7, scratch, entries, entry_ptr)
        np.testing.assert_array_equal(off(mine_entry_ptr), entry_ptr)
        np.testing.assert_array_equal(off(mine_entries)[: entry_ptr[-1]], entries[: entry_ptr[-1]])
    dense, by_neuron = on(np.zeros((2, 9, 7))), on(np.zeros((7, 18)))
    cuda.dense_spikes(on(rows), on(row_ptr), 0, 9, dense)
    np.testing.assert_array_equal(off(dense), counts())
    cuda.dense_spikes_by_neuron(on(rows), on(row_ptr), 0, 9, 9, by_neuron)
    np.testing.assert_array_equal(off(by_neuron), counts().transpose(2, 0, 1).reshape(7, 18))


@pytest.mark.parametrize("group", [1, 4])
@pytest.mark.parametrize(("rate", "n_steps"), [(1.0, 37), (40.0, 6)])
def test_poisson_numbers(group, rate, n_steps):
    made = Encoder("poisson-rate", dt=0.5, n_steps=n_steps, max_rate=rate, seed=3)
    values = np.random.default_rng(1).integers(0, 256, (2, 38)).astype(np.uint8)
    values[:, 3], values[:, 4] = 255, 0
    ids = np.array([5, 11])
    grid = made.on_grid(values, ids, 2, group)
    for cap in (made.room(38), 10):
        rows, row_ptr = on(np.full((2, cap), -1, np.int32)), on(np.zeros((2, n_steps + 1), np.int32))
        cuda.encode_poisson_counts(on(made.drives(values)), on(ids), 3, 2, n_steps, group, rows, row_ptr)
        np.testing.assert_array_equal(off(row_ptr), grid.row_ptr)
        assert off(row_ptr)[0, -1] > 10  # without room it counts on
        for b, count in enumerate(np.minimum(grid.row_ptr[:, -1], cap)):
            np.testing.assert_array_equal(np.sort(off(rows)[b, :count]) >= 0, True)
            if cap > 10:
                np.testing.assert_array_equal(off(rows)[b, :count], grid.rows[b, :count])
    # Of a data set of 8-bit intensities, chosen samples.
    rows, row_ptr = on(np.full((1, made.room(38)), -1, np.int32)), on(np.zeros((1, n_steps + 1), np.int32))
    table = on(made.drives(np.arange(256, dtype=np.uint8)))
    scratch = on(np.zeros(encoding.counts_shape(1, 38), np.uint8))
    encoding.poisson_counts(
        on(values[None]), table, on(np.array([1])), on(ids), 3, 2, n_steps, group, rows, row_ptr, scratch
    )
    assert_lists(rows, row_ptr, grid.rows[1:], grid.row_ptr[1:])


@pytest.mark.parametrize(
    ("gradient", "synapse", "n_steps"),
    [("exact", "auto", 5), ("exact", "gather", 35), ("exact", "dense", 5), ("surrogate", "auto", 5)],
)
def test_gradients_of_the_engine_as_on_the_cpu(gradient, synapse, n_steps, monkeypatch):
    for module in (clock, clock_cuda):
        monkeypatch.setattr(module, "CHUNK", 32)  # what 35 steps exceed
    rng = np.random.default_rng(25)
    n_hidden = compiler.UNIT + 3  # more columns than count as narrow, which the masked way leaves to lists
    sizes = 7, n_hidden, 3
    parameters = [LIFParameters(v_reset=0.1, v_threshold=0.9)] * 2
    weights = [rng.normal(0.1, 0.3, shape) for shape in pairwise(sizes)]
    made = LayerEngine(
        weights, parameters, "leaky", dt=0.1, n_steps=n_steps, gradient=gradient, precision="float64", synapse=synapse
    )
    rows, row_ptr = spike_lists(counts((2, n_steps, 7)))
    made.forward(weights, GridSpikes(rows, row_ptr, 7))
    signal = rng.standard_normal((2, n_steps, 3))
    expected = made.backward(weights, signal)
    hidden = made.grids()[1]
    assert hidden.total > 3
    made.engine.plan = dict.fromkeys(made.plan, None if synapse == "auto" else synapse)
    device = CudaClockEngine(made, sizes, 2)
    for mine, w in zip(device.weights, weights, strict=True):
        compiler.to_device(w, mine)
    inputs = DeviceSpikes(on(rows), on(row_ptr), None)
    device.forward(inputs)
    for _ in range(1 if n_steps > 5 else 2):  # a gradient is written, not added to the one before
        device.backward(inputs, on(signal))
    assert_lists(device.recorded(2)[0][0].rows, device.recorded(2)[0][0].row_ptr, hidden.rows, hidden.row_ptr)
    squares = sum(float(g.ravel() @ g.ravel()) for g in expected)
    assert off(device.squares).sum() == pytest.approx(squares, rel=1e-9)
    for mine, theirs in zip(device.gradients, expected, strict=True):
        np.testing.assert_allclose(off(mine), theirs, rtol=1e-10, atol=1e-12)


def test_training_with_a_rate_as_on_the_cpu():
    given = (
        "data.dataset='yin-yang'", "data.limit=40", "network.layers=[5,7,3]", "training.batch_size=2",
        "simulation.synapse='gather'", "optimizer.lr=0.05", "simulation.n_steps=4", "simulation.dt=0.3",
        "encoder.name='poisson-rate'", "encoder.max_rate=4.0", "network.init_scale=2.0",
    )  # fmt: skip
    sessions = [s(config.load(None, given)) for s in (Session, CudaSession)]
    start = [w.copy() for w in sessions[0].weights]
    theirs, mine = (s.step() for s in sessions)
    assert mine == pytest.approx(theirs, rel=1e-5)
    theirs, mine = (s.state() for s in sessions)
    assert mine["totals"]["spikes"] == theirs["totals"]["spikes"]
    assert sum(theirs["totals"]["spikes"]) > 0
    for a, b, w in zip(mine["tensors"].values(), theirs["tensors"].values(), start, strict=True):
        # As in checks_clock_engine: float32 losses and inner products have another rounding.
        assert np.abs((a - w) - (b - w)).max() <= 1e-4 * np.abs(b - w).max() + 1e-7


def test_recordings_keep_every_spike(tmp_path):
    found = counts((3, 9, 6))
    spikes = Spikes.from_dense(found, 0.1)
    net = Network.chain([np.full((6, 5), 0.1), np.full((5, 2), 0.4)], LIFParameters())
    for target in ("cpu", "cuda"):
        simulator = Simulator(net, dt=0.1, n_steps=9, synapse="gather", target=target)
        with open_writer(tmp_path / target, simulator) as writer:
            record(simulator, writer, [(spikes, {})])
    with open_traces(tmp_path / "cpu") as a, open_traces(tmp_path / "cuda") as b:
        np.testing.assert_array_equal(b.spikes("input").to_dense(0.1, 9), found)
        for name in ("hidden0", "output"):
            assert a.spikes(name) == b.spikes(name)
        assert len(a.spikes("hidden0").times) > 5
