"""simulate() agrees with the serial reference and between engines; the command streams what it simulates to files."""

import json
import sys
from itertools import pairwise

import numpy as np
import pytest
from snnsim_cli.main import main

from snnsim import InputError, LIFParameters, Network, Spikes, open_traces, simulate
from snnsim.models import save_model
from snnsim.recording.stream import open_writer, record
from snnsim.simulation import trials
from snnsim.simulator import Simulator
from tests.recordings import assert_same_recording, assert_same_spikes
from tests.reference import clock_forward, simulate_events

DT, STEPS = 0.1, 30
HIDDEN = LIFParameters(v_threshold=0.9, v_reset=-0.1, v_leak=-0.2)
OUTPUT = LIFParameters(tau_mem=1.1, tau_syn=0.4, r=0.8)


def network(readout="spiking", dtype=np.float64, sizes=(12, 9, 4)):
    rng = np.random.default_rng(1)
    weights = [(rng.normal(size=s) * 0.5 + 0.35).astype(dtype) for s in pairwise(sizes)]
    return Network.chain(weights, (HIDDEN, OUTPUT), readout)


def inputs(n_trials=4, n_neurons=12, seed=0):
    return Spikes.from_dense(np.random.default_rng(seed).random((n_trials, STEPS, n_neurons)) < 0.15, DT)


@pytest.mark.parametrize("readout", ["spiking", "leaky"])
@pytest.mark.parametrize("scheme", ["backward_euler", "forward_euler", "exact", "bilinear"])
@pytest.mark.parametrize("every", [1, 4])
def test_clock_agrees_with_the_serial_reference(readout, scheme, every):
    net, spikes = network(readout), inputs()
    got = simulate(net, spikes, dt=DT, scheme=scheme, record=("spikes", "v", "i_syn"), record_every=every)
    assert [layer.name for layer in got.layers] == ["input", "hidden0", "output"]
    assert_same_spikes(got["input"].spikes, spikes)
    assert (got.engine, got.dt, got.scheme) == ("clock", DT, scheme)
    total = 0
    for b, trial in enumerate(spikes.to_dense(DT, STEPS)):
        layers = clock_forward(trial.astype(float), net.weights, net.parameters, DT, scheme, readout=readout)
        for found, expected, p in zip(got.layers[1:], layers, net.parameters, strict=True):
            if readout == "spiking" or found.name == "hidden0":
                np.testing.assert_array_equal(found.spikes.to_dense(DT, STEPS)[b], expected.spikes)
                total += int(expected.spikes.sum())
            else:
                assert found.spikes.times.size == 0
            # Sums of some ten inputs in another order, in float64.
            kept = slice(every - 1, None, every)
            np.testing.assert_allclose(found.v[b], expected.v[kept] + p.v_leak, atol=1e-12)
            np.testing.assert_allclose(found.i_syn[b], expected.i[kept], atol=1e-12)
            np.testing.assert_allclose(found.sample_times, (np.arange(STEPS) + 1)[kept] * DT)
    assert total > 100


@pytest.mark.parametrize("readout", ["spiking", "leaky"])
def test_event_engine_agrees_with_the_serial_reference(readout):
    net, spikes = network(readout), inputs(2)
    got = simulate(net, spikes, "event", dt=0.25, record=("spikes", "v", "i_syn"))
    assert got.dt is None
    assert got.duration == spikes.duration
    samples = got["output"].sample_times
    np.testing.assert_allclose(samples, np.arange(1, 13) * 0.25)
    for b in range(2):
        layers = simulate_events(*spikes.trial(b), net.weights, net.parameters, spikes.duration, readout, samples)
        times, neurons = got["hidden0"].spikes.trial(b)
        np.testing.assert_allclose(times, layers[0].times, atol=1e-10)
        np.testing.assert_array_equal(neurons, layers[0].neurons)
        assert times.size > 10


def test_hybrid_engine_makes_the_spikes_of_the_event_engine():
    net, spikes = network(), inputs()
    hybrid = simulate(net, spikes, "hybrid", dt=DT, record=("spikes", "v"))
    event = simulate(net, spikes, "event", dt=DT, record=("spikes", "v"))
    assert hybrid.dt == DT
    # An excursion inside one bin may be missed; with these weights none is.
    assert_same = np.testing.assert_allclose
    for a, b in zip(hybrid.layers[1:], event.layers[1:], strict=True):
        np.testing.assert_array_equal(a.spikes.neurons, b.spikes.neurons)
        assert_same(a.spikes.times, b.spikes.times, atol=1e-9)
        assert_same(a.v, b.v, atol=1e-7)


@pytest.mark.parametrize("engine", ["clock", "hybrid", "event"])
def test_batches_do_not_change_the_result(engine, monkeypatch):
    net, spikes = network(), inputs(7)
    options = {"dt": DT, "record": ("spikes", "v"), "synapse": "gather"}  # "auto" chooses by the first batch
    whole = simulate(net, spikes, engine, **options)
    monkeypatch.setattr("snnsim.simulation.BATCH", 3)
    assert_same_recording(simulate(net, spikes, engine, **options), whole)


@pytest.mark.parametrize("engine", ["clock", "event"])
def test_what_is_chosen_is_recorded_and_nothing_else(engine):
    net, spikes = network(), inputs()
    whole = simulate(net, spikes, engine, dt=DT, record=("spikes", "v", "i_syn"))
    some = simulate(
        net, spikes, engine, dt=DT, record="v", record_layers=["output", "hidden0"], record_neurons={"hidden0": [7, 2]}
    )
    assert [layer.name for layer in some.layers] == ["hidden0", "output"]
    np.testing.assert_array_equal(some["hidden0"].neuron_ids, [2, 7])
    np.testing.assert_array_equal(some["hidden0"].v, whole["hidden0"].v[:, :, [2, 7]])
    np.testing.assert_array_equal(some["output"].v, whole["output"].v)
    assert some["output"].i_syn is None
    assert some["output"].spikes.times.size == 0
    assert simulate(net, spikes, engine, dt=DT)["output"].v is None


@pytest.mark.parametrize("engine", ["clock", "hybrid", "event"])
def test_results_without_a_copy_are_the_same(engine):
    simulator = Simulator(network(), engine, dt=DT, n_steps=STEPS, record=("spikes", "v", "i_syn"))
    simulator.forward(inputs())
    assert_same_recording(simulator.recording(copy=False), simulator.recording())


def test_results_are_copies():
    simulator = Simulator(network(), dt=DT, n_steps=STEPS, record=("spikes", "v", "i_syn"))
    simulator.forward(inputs())
    first = simulator.recording()
    kept = [(layer.spikes.times.copy(), None if layer.v is None else layer.v.copy()) for layer in first.layers]
    simulator.forward(inputs(seed=1))
    for layer, (times, v) in zip(first.layers, kept, strict=True):
        np.testing.assert_array_equal(layer.spikes.times, times)
        assert v is None or np.array_equal(layer.v, v)


def test_length_of_a_trial():
    net, spikes = network(), inputs()
    assert simulate(net, spikes, dt=DT).duration == pytest.approx(3.0)
    assert simulate(net, spikes, dt=0.7).duration == pytest.approx(3.5)
    assert simulate(net, spikes, dt=DT, n_steps=40).duration == pytest.approx(4.0)
    assert simulate(net, spikes, dt=DT, duration=3.33).duration == pytest.approx(3.4)
    assert simulate(net, spikes, "event", duration=3.33).duration == 3.33
    empty = Spikes.from_trials([], 12, 3.0)
    assert len(simulate(net, empty, dt=DT)["output"].spikes) == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "dt = None: engine clock needs a step size"),
        ({"dt": -1.0}, "dt = -1.0: must be a positive number"),
        ({"engine": "quantum"}, "engine = 'quantum': must be one of clock, hybrid, event"),
        ({"dt": DT, "n_steps": 0}, "n_steps = 0"),
        ({"dt": DT, "n_steps": 30, "duration": 3.0}, "give one of them"),
        ({"dt": DT, "n_steps": 10}, "beyond the last step"),
        ({"dt": DT, "record": ("u",)}, "record = 'u': must be one of spikes, v, i_syn"),
        ({"dt": DT, "record_layers": ["hidden1"]}, "record_layers = 'hidden1': must be one of input, hidden0, output"),
        ({"dt": DT, "record_neurons": {"hidden0": [9]}}, "record_neurons of hidden0: must be some of 0..8"),
        ({"dt": DT, "record_every": 0}, "record_every = 0"),
        ({"dt": DT, "record": "v", "record_every": 31}, "a trial has 30 steps"),
        ({"engine": "event", "record": "v"}, "needs the time between samples"),
        ({"dt": 1.0, "scheme": "forward_euler"}, "forward Euler is stable only for"),
        ({"dt": DT, "precision": "float16"}, "precision = 'float16'"),
    ],
)
def test_options_that_do_not_fit_are_named(options, message):
    with pytest.raises(InputError) as error:
        simulate(network(), inputs(), **options)
    assert message in str(error.value)


def test_input_that_does_not_fit_is_named():
    with pytest.raises(InputError, match="11 neurons"):
        simulate(network(), inputs(n_neurons=11), dt=DT)
    with pytest.raises(InputError, match=r"must be snnsim\.Spikes"):
        simulate(network(), np.zeros((2, 3)), dt=DT)


@pytest.mark.parametrize(("engine", "every"), [("clock", 1), ("clock", 4), ("hybrid", 2), ("event", 3)])
def test_files_hold_what_was_simulated(tmp_path, engine, every):
    """Float32 reports of a float32 clock: to the bit; spikes of every engine: to the bit."""
    net, spikes = network(dtype=np.float32), inputs(7)
    options = {
        "record": ("spikes", "v", "i_syn"), "record_every": every, "record_neurons": {"hidden0": [1, 5, 8]},
        "record_layers": ("hidden0", "output"), "synapse": "gather",
    }  # fmt: skip
    simulator = Simulator(net, engine, dt=DT, n_steps=STEPS, **options)
    batches = ((trials(spikes, k, min(k + 3, 7)), {"label": np.arange(k, min(k + 3, 7))}) for k in range(0, 7, 3))
    with open_writer(tmp_path, simulator) as writer:
        assert record(simulator, writer, batches) == (7, 0, 0)
    expected = simulate(net, spikes, engine, dt=DT, **options)
    with open_traces(tmp_path) as traces:
        np.testing.assert_array_equal(traces.trials.label, np.arange(7))
        got = traces.recording()
        for a, b in zip(got.layers, expected.layers, strict=True):
            np.testing.assert_array_equal(a.v, b.v.astype(np.float32))
            np.testing.assert_array_equal(a.i_syn, b.i_syn.astype(np.float32))
            np.testing.assert_allclose(a.sample_times, b.sample_times, rtol=1e-12)
            np.testing.assert_array_equal(a.neuron_ids, b.neuron_ids)
            for trial in range(7):
                times, neurons = b.spikes.trial(trial)
                kept = np.isin(neurons, b.neuron_ids)
                np.testing.assert_array_equal(a.spikes.trial(trial)[0], times[kept])
                np.testing.assert_array_equal(a.spikes.trial(trial)[1], neurons[kept])


# The command


@pytest.fixture
def snnsim(monkeypatch, capsys):
    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["snnsim", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        return end.value.code, *capsys.readouterr()

    return run


@pytest.fixture(scope="module")
def run_directory(tmp_path_factory):
    """A network for Yin-Yang, which needs no files, with the configuration of its run."""
    from snnsim import config

    directory = tmp_path_factory.mktemp("run")
    settings = ["data.dataset=yin-yang", "network.layers=[5, 20, 3]", "encoder.name=regular", "simulation.n_steps=30"]
    chosen = config.load(None, [*settings, "loss.name=count-mse", "data.limit=300"])
    rng = np.random.default_rng(0)
    weights = [(rng.normal(size=s) + 0.5).astype(np.float32) for s in ((5, 20), (20, 3))]
    save_model(directory / "model.h5", Network.chain(weights, config.neurons(chosen), "spiking"), chosen)
    return directory


def test_command_records_the_samples_that_evaluate_sees(snnsim, run_directory, tmp_path):
    code, out, err = snnsim("simulate", run_directory, "-o", tmp_path / "t", "--record", "spikes,v", "--json")
    assert (code, err) == (0, "")
    result = json.loads(out)
    evaluated = json.loads(snnsim("evaluate", run_directory, "--json")[1])
    assert result["trials"] == evaluated["samples"] == 300
    assert result["accuracy"] == pytest.approx(evaluated["accuracy"], abs=1e-12)
    with open_traces(tmp_path / "t") as traces:
        assert len(traces) == 300
        assert (traces.trials.split == "test").all()
        assert (traces.trials.label == traces.trials.prediction).mean() == pytest.approx(result["accuracy"])
        assert traces.spike_counts("output").sum() / 900 == pytest.approx(evaluated["spikes_per_neuron"][1])
        assert traces.config["data"]["dataset"] == "yin-yang"
        assert traces.v("hidden0", 0).shape == (30, 20)
    code, out, err = snnsim("simulate", run_directory, "-o", tmp_path / "t")
    assert code == 2
    assert "already holds a recording" in err
    assert snnsim("simulate", run_directory, "-o", tmp_path / "t", "--force", "--record-trials", "0:5")[0] == 0


@pytest.mark.parametrize("engine", ["clock", "hybrid", "event"])
def test_command_takes_engines_layers_neurons_and_trials(snnsim, run_directory, tmp_path, engine):
    code, _, err = snnsim(
        "simulate", run_directory, "-o", tmp_path, "--engine", engine, "--record", "v,i_syn,spikes", "--record-trials",
        "7,3", "--record-layers", "hidden0,output", "--record-neurons", "hidden0=0:4", "--record-neurons", "hidden0=9",
        "--record-every", 3, "--dt", 0.05, "--split", "validation",
    )  # fmt: skip
    assert code == 0
    assert err.startswith("simulation.dt = 0.05 instead of 0.1: encoder regular has a probability per step")
    with open_traces(tmp_path) as traces:
        np.testing.assert_array_equal(traces.trials.sample_index, [7, 3])
        np.testing.assert_array_equal(traces.populations["hidden0"].neuron_ids, [0, 1, 2, 3, 9])
        assert traces.i_syn("hidden0").shape == (2, 10, 5)
        assert traces.info["engine"] == engine
        np.testing.assert_allclose(traces.sample_times()[:2], [0.15, 0.3])
        assert not traces.populations["input"].recorded


def test_command_takes_spike_trains_of_a_file(snnsim, run_directory, tmp_path):
    """A recording's own input, in either layout, leads to the same spikes again."""
    first = tmp_path / "first"
    assert snnsim("simulate", run_directory, "-o", first, "--record-trials", "0:6")[0] == 0
    assert snnsim("export", first, "--to", "shd", "-o", tmp_path / "events.h5")[0] == 0
    for source in ((first, "--population", "input"), (tmp_path / "events.h5",)):
        again = tmp_path / "again"
        code, _, err = snnsim("simulate", run_directory, "--spikes", *source, "-o", again, "--force")
        assert (code, err) == (0, "")
        with open_traces(first) as a, open_traces(again) as b:
            np.testing.assert_array_equal(a.trials.label, b.trials.label)
            np.testing.assert_array_equal(a.trials.prediction, b.trials.prediction)
            for layer in ("input", "hidden0", "output"):
                assert_same_spikes(a.spikes(layer), b.spikes(layer))
    assert snnsim("simulate", run_directory, "--spikes", first, "--population", "input", "-o", again, "--force",
                  "--record-trials", "2:4")[0] == 0  # fmt: skip
    with open_traces(again) as b:
        np.testing.assert_array_equal(b.trials.sample_index, [2, 3])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--record", "spikes,u"), "record = 'u': must be one of spikes, v, i_syn"),
        (("--record-layers", "hidden3"), "record_layers = 'hidden3'"),
        (("--record-neurons", "hidden3=0:4"), "--record-neurons hidden3=0:4: layer must be one of"),
        (("--record-neurons", "hidden0=99"), "--record-neurons hidden0=99: hidden0: 99 must lie in 0..19"),
        (("--record-trials", "400:500"), "names none of the 300 samples of the test split"),
        (("--record-trials", "a"), "--record-trials a: must look like"),
        (("--split", "exam"), "--split exam: must be one of"),
        (("--population", "input"), "belong to --spikes"),
        (("--spikes", "none.h5"), "none.h5"),
        (("--engine", "abacus"), "simulation.engine = 'abacus'"),
    ],
)
def test_command_refuses_in_one_line(snnsim, run_directory, tmp_path, arguments, message):
    code, _, err = snnsim("simulate", run_directory, "-o", tmp_path / "t", *arguments)
    assert code == 2
    assert err.startswith("snnsim: error: ")
    assert err.count("\n") == 1
    assert message in err
    assert not (tmp_path / "t").exists()
