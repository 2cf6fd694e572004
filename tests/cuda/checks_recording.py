"""Recordings made on the device beside those of the CPU, in Numba's simulator or on a GPU."""

from itertools import pairwise

import numpy as np
import pytest

from snnsim import InputError, LIFParameters, Network, Spikes, config, open_traces, simulate
from snnsim.kernels.cpu.unpack import row_words
from snnsim.kernels.cuda import compiler
from snnsim.models import save_model
from snnsim.recording.stream import open_writer, record
from snnsim.simulation import trials
from snnsim.simulator import Simulator
from tests.cuda.device import OVERFLOW, random_lists, somewhere_to_run, words_of  # noqa: F401
from tests.recordings import assert_same_spikes

pytestmark = OVERFLOW

DT = 0.1
LAYERS = "input", "hidden0", "output"


def network(readout, dtype=np.float32, sizes=(6, 5, 3)):
    rng = np.random.default_rng(1)
    weights = [(rng.normal(size=s) * 0.6 + 0.4).astype(dtype) for s in pairwise(sizes)]
    return Network.chain(weights, (LIFParameters(v_leak=-0.2, v_threshold=0.8), LIFParameters(tau_syn=0.4)), readout)


def inputs(n_trials, n_steps):
    dense = np.random.default_rng(0).random((n_trials, n_steps, 6)) < 0.4
    return Spikes.from_dense(dense, DT)


def assert_same_files(mine, theirs, atol=0.0):
    """Spikes, labels and predictions equal; membranes and currents within ``atol``."""
    with open_traces(mine) as a, open_traces(theirs) as b:
        for field in ("label", "prediction", "sample_index", "epoch"):
            np.testing.assert_array_equal(a.trials[field], b.trials[field])
        assert len(a) == len(b)
        for name in LAYERS:
            assert_same_spikes(a.spikes(name), b.spikes(name))
            if name != "input":
                np.testing.assert_allclose(a.v(name), b.v(name), rtol=0, atol=atol)
                np.testing.assert_allclose(a.i_syn(name), b.i_syn(name), rtol=0, atol=atol)
        assert len(b.spikes("hidden0").times) > 5


@pytest.mark.parametrize(
    ("readout", "every", "n_steps", "sizes"),
    [("leaky", 1, 9, (2, 1, 3, 2)), ("leaky", 4, 9, (2, 1)), ("spiking", 3, 67, (1, 1))],
)
def test_files_have_the_bits_of_the_cpu(tmp_path, readout, every, n_steps, sizes):
    """Batches of all sizes in both slots, more than a chunk of steps, and several spikes of an input in a step."""
    spikes = inputs(sum(sizes), n_steps)
    twice = np.repeat(np.arange(len(spikes.times)), 1 + (np.arange(len(spikes.times)) % 5 == 0))
    offsets = np.searchsorted(twice, spikes.offsets)
    spikes = Spikes(offsets, spikes.times[twice], spikes.neurons[twice], 6, spikes.duration)
    ends = np.cumsum((0, *sizes))
    for target in ("cpu", "cuda"):
        simulator = Simulator(
            network(readout), dt=DT, n_steps=n_steps, record=("spikes", "v", "i_syn"), record_every=every,
            synapse="gather", target=target,
        )  # fmt: skip
        batches = ((trials(spikes, a, b), {"label": np.arange(a, b)}) for a, b in pairwise(ends))
        with open_writer(tmp_path / target, simulator) as writer:
            assert record(simulator, writer, batches)[0] == sum(sizes)
    assert_same_files(tmp_path / "cuda", tmp_path / "cpu")


def test_what_was_launched_before_an_error_is_written(tmp_path):
    simulator = Simulator(network("leaky"), dt=DT, n_steps=9, record=("spikes",), target="cuda")
    spikes, other = inputs(2, 9), Spikes(np.zeros(2, np.int64), np.empty(0), np.empty(0, np.int32), 7, 0.9)
    with (
        open_writer(tmp_path / "t", simulator) as writer,
        pytest.raises(InputError, match="input: 7 neurons; the first layer has 6"),
    ):
        record(simulator, writer, [(spikes, {}), (other, {})])
    with open_traces(tmp_path / "t") as traces:
        assert len(traces) == 2


SETTINGS = (
    "data.dataset='yin-yang'", "data.limit=6", "data.validation=2", "network.layers=[5,6,3]",
    "training.batch_size=2", "training.epochs=1", "simulation.synapse='gather'", "simulation.n_steps=8",
    "simulation.dt=0.2", "optimizer.lr=0.05", "network.init_scale=3.0", "encoder.name='regular'",
)  # fmt: skip


def test_command_records_batches_of_a_training(tmp_path, command):
    """The batches after the first with the weights of their moment, which moved by more than the tolerance."""
    settings = [part for setting in SETTINGS for part in ("--set", setting)]
    for target in ("cpu", "cuda"):
        with compiler.count_launches() as launched:
            command(
                "train", "--run-dir", tmp_path / target, "--target", target, "--record", "spikes,v,i_syn",
                "--record-batches", "0:3", *settings,
            )  # fmt: skip
        assert bool(launched) == (target == "cuda")
    # Losses and inner products of float32 are rounded otherwise on the device (docs/cuda.md).
    assert_same_files(tmp_path / "cuda" / "traces", tmp_path / "cpu" / "traces", atol=1e-4)
    with open_traces(tmp_path / "cuda" / "traces") as traces:
        assert len(traces) == 6


def test_command_simulates(tmp_path, command):
    chosen = config.load(None, [*SETTINGS, "loss.name='count-mse'"])
    net = Network.chain([np.ones((5, 6), np.float32), np.ones((6, 3), np.float32)], config.neurons(chosen), "spiking")
    save_model(tmp_path / "model.h5", net, chosen)
    for target in ("cpu", "cuda"):
        with compiler.count_launches() as launched:
            command(
                "simulate", tmp_path / "model.h5", "-o", tmp_path / target, "--record", "spikes,v,i_syn", "--target",
                target, "--record-trials", "0:2",
            )  # fmt: skip
        assert bool(launched) == (target == "cuda")
    assert_same_files(tmp_path / "cuda", tmp_path / "cpu")


def test_input_as_in_a_training_where_words_can_say_it():
    """``auto`` adds the masked way then, so that what is recorded of a training has its bits."""
    wide = network("leaky", sizes=(6, 40, 3))  # more columns than a card counts as narrow
    once = inputs(2, 40)
    twice = np.repeat(np.arange(len(once.times)), 1 + (np.arange(len(once.times)) == 3))
    offsets = np.searchsorted(twice, once.offsets)
    doubled = Spikes(offsets, once.times[twice], once.neurons[twice], 6, once.duration)
    for spikes, way in ((once, "_masked_input"), (doubled, "_synaptic_input")):
        with compiler.count_launches() as launched:
            found = simulate(wide, spikes, dt=DT, record=("spikes",), target="cuda")
        expected = simulate(wide, spikes, dt=DT, record=("spikes",), synapse="gather")
        assert launched[0] == way
        assert_same_spikes(found["hidden0"].spikes, expected["hidden0"].spikes)
        assert len(found["hidden0"].spikes.times) > 5


@pytest.mark.parametrize("twice", [False, True])
def test_words_of_lists(twice):
    rng = np.random.default_rng(3)
    rows, row_ptr = random_lists(rng, 3, 70, 9)
    if twice:
        rows[1, row_ptr[1, 40] + 1] = rows[1, row_ptr[1, 40]]
    words, repeated = np.full((3, 3, 9), 7, np.uint32), np.empty(3, bool)
    row_words(rows, row_ptr, words, repeated)
    np.testing.assert_array_equal(words, words_of(rows, row_ptr, 9))
    np.testing.assert_array_equal(repeated, [False, twice, False])


def test_no_trials():
    none = Spikes(np.zeros(1, np.int64), np.empty(0), np.empty(0, np.int32), 6, 1.0)
    found = simulate(network("leaky"), none, dt=DT, record=("spikes", "v"), target="cuda")
    assert found["hidden0"].v.shape == (0, 10, 5)
    assert len(found["hidden0"].spikes) == 0
    simulator = Simulator(network("leaky"), dt=DT, n_steps=10, target="cuda")
    simulator.forward(none)
    assert set(simulator.engine.clock.plan.values()) == {None}  # left to the first batch that has trials
