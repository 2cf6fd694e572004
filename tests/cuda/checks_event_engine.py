"""The event and the hybrid engine on the device beside the CPU's, in Numba's simulator or on a GPU."""

from itertools import pairwise

import numpy as np
import pytest

from snnsim import InputError, LIFParameters, Network, Spikes, config, open_traces, simulate
from snnsim.engines import make_device_engine
from snnsim.engines.event import EventEngine
from snnsim.engines.hybrid import HybridEngine
from snnsim.engines.outputs import SpikeOutput
from snnsim.kernels.cuda import compiler
from snnsim.training.session import Session
from snnsim.training.session_cuda import CudaSession
from tests.cuda.device import OVERFLOW, assert_same, off, on, somewhere_to_run  # noqa: F401

pytestmark = OVERFLOW

# Of float64 and float32: inner products are summed in another order, and a GPU's exponentials end in other bits.
DOUBLE, SINGLE = (1e-12, 1e-6) if compiler.SIMULATED else (1e-8, 1e-4)
SIZES = 6, 5, 4, 3
DT, N_STEPS = 0.25, 16
EQUAL = LIFParameters(tau_mem=0.8, tau_syn=0.8, v_threshold=0.3)
PLAIN = LIFParameters(v_reset=0.1, v_threshold=0.3)
GENERAL = LIFParameters(tau_mem=1.0, tau_syn=0.7, r=1.2, v_threshold=0.3, reset="subtract")


def engines(name, parameters, readout, precision, n_samples, sizes=SIZES, learns=True):
    common = {"precision": precision, "max_inverse_slope": 1e3}
    if name == "hybrid":
        engine = HybridEngine(parameters, readout, dt=DT, n_steps=N_STEPS, **common)
    else:
        engine = EventEngine(parameters, readout, duration=DT * N_STEPS, n_samples=N_STEPS, **common)
    return engine, make_device_engine(engine, sizes, n_samples, learns=learns)


def weights(dtype, sizes=SIZES, scale=0.7, seed=2):
    rng = np.random.default_rng(seed)
    return [((rng.random(shape) * 0.5 - 0.1) * scale).astype(dtype) for shape in pairwise(sizes)]


def inputs(n_samples=3, n_in=SIZES[0], cap=12, seed=1):
    """Slab with simultaneous spikes, some at the end of a bin, and an empty sample."""
    rng = np.random.default_rng(seed)
    counts = np.array([cap - 3, 0, cap, *[cap // 2] * n_samples][:n_samples], np.int32)
    times = np.sort(np.round(rng.random((n_samples, cap)) * 30) / 10 + 0.05, axis=1)
    return SpikeOutput(
        rng.integers(0, n_in, (n_samples, cap)).astype(np.int32), times, counts, n_in, DT * N_STEPS
    )  # fmt: skip


def set_weights(device, given):
    for mine, theirs in zip(given, device.weights, strict=True):
        compiler.to_device(mine, theirs)


def assert_same_slabs(mine, theirs):
    for a, b in zip(mine, theirs, strict=True):
        np.testing.assert_array_equal(a.counts, b.counts)
        for s, count in enumerate(b.counts):
            np.testing.assert_array_equal(a.neurons[s, :count], b.neurons[s, :count])
            assert_same(a.times[s, :count], b.times[s, :count])


def compare(engine, device, given, slab, error=DOUBLE):
    """Forward and backward: spikes and the last layer's gradient bit for bit, the others to an inner product."""
    set_weights(device, given)
    output = engine.forward(given, slab)
    uploaded = device.upload(slab, 0)
    device.forward(uploaded)
    assert_same_slabs(device.to_host(), engine.spikes()[1:])
    leaky = engine.readout == "leaky"
    if leaky:
        assert_same(off(device.output_membrane(len(slab.counts))), output.v)
        signal = np.random.default_rng(3).standard_normal(output.v.shape)
    else:
        signal = np.random.default_rng(3).standard_normal(off(device.output_times(len(slab.counts))).shape)
    expected = engine.backward(given, signal if leaky else signal[:, : output.times.shape[1]])
    device.backward(uploaded, on(signal))
    for mine, theirs in zip(device.gradients, expected, strict=True):
        np.testing.assert_allclose(off(mine), theirs, rtol=error, atol=error * np.abs(theirs).max())
    assert_same(off(device.gradients[-1]), expected[-1])
    squares = sum(float((g.astype(np.float64) ** 2).sum()) for g in expected)
    assert off(device.squares).sum(dtype=np.float64) == pytest.approx(squares, rel=1e-4)
    return expected


@pytest.mark.parametrize(
    ("name", "readout", "parameters", "precision"),
    [
        ("event", "spiking", (PLAIN, GENERAL, PLAIN), "float64"),
        ("event", "leaky", (GENERAL, EQUAL, GENERAL), "float64"),
        ("event", "spiking", (PLAIN, PLAIN, PLAIN), "float32"),
        ("hybrid", "spiking", (GENERAL, PLAIN, EQUAL), "float64"),
        ("hybrid", "leaky", (PLAIN, PLAIN, EQUAL), "float32"),
    ],
)
def test_forward_and_backward_as_on_the_cpu(name, readout, parameters, precision):
    engine, device = engines(name, parameters, readout, precision, 3)
    expected = compare(
        engine, device, weights(engine.dtype), inputs(), DOUBLE if precision == "float64" else 10 * SINGLE
    )
    assert all(total > 5 for total in engine.spike_totals())
    assert all(np.abs(g).max() > 1e-3 for g in expected)
    assert device.take_spikes()[: len(engine.spike_totals())] == engine.spike_totals()
    assert device.take_spikes() == [0, 0, 0]
    if name == "hybrid":
        for mine, theirs in zip(device.unseen(), engine.unseen, strict=True):
            np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("name", ["event", "hybrid"])
def test_room_for_spikes_grows_and_is_kept(name):
    """Few spikes, then more than the room, then few again in a batch of another size."""
    sizes = 6, 2, 2
    engine, device = engines(name, (PLAIN, PLAIN), "spiking", "float64", 3, sizes)
    for scale, n_samples in ((1.0, 3), (3.0, 3), (1.0, 2)):
        given = [w * s for w, s in zip(weights(np.float64, sizes, 1.0), (scale, 0.3), strict=True)]
        compare(engine, device, given, inputs(n_samples))
        assert (max(slab.counts.max() for slab in engine.spikes()[1:]) > 20) == (scale > 1)
    with compiler.count_launches() as launched:
        device.forward(device.upload(inputs(), 0))
    assert len(launched) == (8 if name == "event" else 10)  # instants, counters, states, order: no pass was repeated


@pytest.mark.parametrize("readout", ["spiking", "leaky"])
def test_no_spikes(readout):
    """None in the hidden layer, then none in the input."""
    engine, device = engines("event", (PLAIN, PLAIN), readout, "float64", 2, (6, 5, 3))
    silent = weights(np.float64, (6, 5, 3), 0.01)
    for slab in (inputs(2), inputs(2, cap=0)):
        for gradient in compare(engine, device, silent, slab):
            assert not gradient.any()
    assert engine.spike_totals()[0] == 0


def test_stalled_neurons_end_in_one_line():
    engine, device = engines("event", (PLAIN,), "spiking", "float64", 3, (6, 2))
    given = [np.full((6, 2), 1e30) * [1e-31, 1]]
    set_weights(device, given)
    messages = []
    for forward in (lambda: engine.forward(given, inputs()), lambda: device.forward(device.upload(inputs(), 0))):
        with pytest.raises(InputError, match="layer 0: neuron 1 fires so fast") as error:
            forward()
        messages.append(str(error.value))
    assert messages[0] == messages[1]


def test_gradients_of_groups_of_samples(monkeypatch):
    """Less memory than one gradient a sample: other sums, the same gradient."""
    monkeypatch.setattr("snnsim.engines.event_cuda.PART_BYTES", 2 * 6 * 5 * 8)
    engine, device = engines("event", (PLAIN,), "spiking", "float64", 5, (6, 5))
    given, slab = weights(np.float64, (6, 5)), inputs(5)
    output = engine.forward(given, slab)
    set_weights(device, given)
    uploaded = device.upload(slab, 0)
    device.forward(uploaded)
    signal = np.random.default_rng(3).standard_normal(output.times.shape)
    device.backward(uploaded, on(signal))
    np.testing.assert_allclose(off(device.gradients[0]), engine.backward(given, signal)[0], rtol=DOUBLE, atol=DOUBLE)


def test_a_readout_that_is_too_wide_is_refused():
    with pytest.raises(InputError, match="at most"):
        engines("event", (PLAIN,), "leaky", "float64", 1, (3, 200))


GIVEN = (
    "data.dataset='yin-yang'", "data.limit=40", "network.layers=[5,7,3]", "training.batch_size=2",
    "optimizer.lr=0.05", "simulation.n_steps=8", "simulation.dt=0.5", "encoder.name='latency'",
    "network.init_scale=6.0", "simulation.precision='float32'",
)  # fmt: skip
TRAININGS = [
    ("simulation.engine='event'", "loss.name='first-spike'", "loss.silent_push=0.1"),
    ("simulation.engine='event'", "loss.name='count-cross-entropy'", "optimizer.clip_norm=0.05"),
    ("simulation.engine='event'", "loss.name='count-mse'", "optimizer.name='sgd'", "optimizer.lr=5e-5"),
    ("simulation.engine='event'", "loss.name='van-rossum'", "encoder.name='regular'", "network.init_scale=4.0"),
    ("simulation.engine='event'", "loss.name='membrane-mean'", "network.tau_syn=1.0", "network.tau_mem=1.0"),
    ("simulation.engine='event'", "loss.name='membrane-max'"),
    ("simulation.engine='hybrid'", "loss.name='first-spike'", "encoder.name='poisson'", "network.init_scale=3.0"),
    ("simulation.engine='hybrid'", "loss.name='membrane-max'", "simulation.precision='float64'"),
    ("simulation.engine='event'", "loss.name='first-spike'", "simulation.precision='float64'"),
]


@pytest.mark.parametrize("settings", TRAININGS, ids=lambda s: " ".join(s[:2]).replace("'", ""))
def test_training_as_on_the_cpu(settings):
    chosen = config.load(None, (*GIVEN, *settings))
    cpu_session, cuda_session = Session(chosen), CudaSession(chosen)
    double = cpu_session.dtype == np.float64
    start = [w.copy() for w in cpu_session.weights]
    for _ in range(2):
        theirs = cpu_session.step()
        with compiler.count_launches() as launched:
            mine = cuda_session.step()
        assert mine == pytest.approx(theirs, rel=DOUBLE if double else 10 * SINGLE)
    assert len(launched) == 20 or settings is not TRAININGS[-1], launched
    states = [s.state() for s in (cuda_session, cpu_session)]
    assert states[0]["totals"]["spikes"] == states[1]["totals"]["spikes"]
    assert sum(states[1]["totals"]["spikes"]) > 10
    for a, b, w in zip(states[0]["tensors"].values(), states[1]["tensors"].values(), start, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=DOUBLE if double else SINGLE)
        assert np.abs(b - w).max() > 1e-3
    test = cpu_session.test.first(3)
    mine, theirs = (s.examine(test.values, test.labels, test.ids) for s in (cuda_session, cpu_session))
    np.testing.assert_allclose(mine[0], theirs[0], rtol=1e-5)
    np.testing.assert_array_equal(mine[1], theirs[1])
    assert mine[2] == theirs[2]


def test_a_training_goes_on_on_the_other_target():
    """A batch on each target, from the state of the other, as two batches on the CPU; and the same device run twice."""
    chosen = config.load(None, (*GIVEN, *TRAININGS[0], "simulation.precision='float64'"))
    ends = []
    for first, second in (
        (Session, Session), (CudaSession, Session), (Session, CudaSession), (CudaSession, CudaSession),
        (CudaSession, CudaSession),
    ):  # fmt: skip
        session = first(chosen)
        session.step()
        state = session.state()
        session = second(chosen)
        session.load_state(state, "checkpoint")
        session.step()
        ends.append(session.state())
    for end in ends[1:]:
        for name in ("first", "second"):
            for a, b in zip(*(e["optimizer"][name].values() for e in (end, ends[0])), strict=True):
                np.testing.assert_allclose(a, b, rtol=1e3 * DOUBLE, atol=DOUBLE)
        for a, b in zip(end["tensors"].values(), ends[0]["tensors"].values(), strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=DOUBLE)
    for a, b in zip(ends[3]["tensors"].values(), ends[4]["tensors"].values(), strict=True):
        np.testing.assert_array_equal(a, b)


def network(readout):
    return Network.chain(weights(np.float32, (6, 5, 3), 1.0), (PLAIN, GENERAL), readout)


@pytest.mark.parametrize(("engine", "readout"), [("event", "spiking"), ("event", "leaky"), ("hybrid", "leaky")])
def test_recordings_as_on_the_cpu(engine, readout):
    slab = inputs()
    trials = [(slab.times[b, :n], slab.neurons[b, :n]) for b, n in enumerate(slab.counts)]
    spikes = Spikes.from_trials(trials, 6, DT * N_STEPS)
    options = {"dt": DT, "duration": DT * N_STEPS, "record": ("spikes", "v", "i_syn"), "record_every": 2}
    theirs = simulate(network(readout), spikes, engine, **options)
    with compiler.count_launches() as launched:
        mine = simulate(network(readout), spikes, engine, target="cuda", **options)
    assert launched
    for a, b in zip(mine.layers, theirs.layers, strict=True):
        np.testing.assert_array_equal(a.spikes.offsets, b.spikes.offsets)
        np.testing.assert_array_equal(a.spikes.neurons, b.spikes.neurons)
        assert_same(a.spikes.times, b.spikes.times)
        if a.name != "input":
            assert_same(a.v, b.v)
            assert_same(a.i_syn, b.i_syn)
    assert len(theirs["hidden0"].spikes.times) > 10


def test_input_that_does_not_fit_and_no_trials():
    spikes = Spikes(np.zeros(2, np.int64), np.empty(0), np.empty(0, np.int32), 7, 4.0)
    with pytest.raises(InputError, match="7 neurons; the first layer has 6"):
        simulate(network("leaky"), spikes, "event", target="cuda")
    none = Spikes(np.zeros(1, np.int64), np.empty(0), np.empty(0, np.int32), 6, 4.0)
    assert len(simulate(network("spiking"), none, "event", target="cuda")["output"].spikes) == 0


def test_commands(tmp_path, command):
    """A training of an epoch with a recording, and a simulation, as on the CPU."""
    settings = (
        *GIVEN, *TRAININGS[0], "data.limit=6", "data.validation=2", "training.epochs=1",
        "simulation.precision='float64'",
    )  # fmt: skip
    flags = [part for setting in settings for part in ("--set", setting)]
    for target in ("cpu", "cuda"):
        with compiler.count_launches() as launched:
            command(
                "train", "--run-dir", tmp_path / target, "--target", target, "--record", "spikes", "--record-batches",
                "0:2", *flags,
            )  # fmt: skip
            command("evaluate", tmp_path / target, "--target", target)
            command(
                "simulate", tmp_path / target, "-o", tmp_path / f"{target}-again", "--target", target, "--record",
                "spikes,v", "--record-trials", "0:2",
            )  # fmt: skip
        assert bool(launched) == (target == "cuda")
    for place in ("{}/traces", "{}-again"):
        with (
            open_traces(tmp_path / place.format("cuda")) as mine,
            open_traces(tmp_path / place.format("cpu")) as theirs,
        ):
            np.testing.assert_array_equal(mine.trials["prediction"], theirs.trials["prediction"])
            for name in ("input", "hidden0", "output"):
                np.testing.assert_array_equal(mine.spikes(name).neurons, theirs.spikes(name).neurons)
                # After an update, whose gradients are rounded otherwise.
                np.testing.assert_allclose(mine.spikes(name).times, theirs.spikes(name).times, rtol=1e-9)
            assert len(theirs.spikes("hidden0").times) > 5
