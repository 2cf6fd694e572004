"""Long simulations in memory and in files: the same spikes, one clock, going on after a kill."""

import os
import signal
import subprocess
import sys
import time

import libsonata
import numpy as np
import pytest

import snnsim
from snnsim import LIFParameters, Network, Normal, Poisson, open_traces, simulate
from snnsim.errors import InputError
from snnsim.longrun.running import NEXT, STATE, piece_steps
from snnsim.spikes import Spikes

LIF = LIFParameters(tau_mem=10.0, tau_syn=0.5, r=0.04, v_threshold=-50.0, v_reset=-65.0, v_leak=-65.0, t_ref=2.0)
OPTIONS = {
    "dt": 0.1, "inputs": [Poisson("E", 9.0, 110.0)], "initial": {"E": Normal(-58, 3, high=-51)}, "impulse": "unit-jump",
    "seed": 4, "threads": 1,
}  # fmt: skip


def network(n=40):
    made = Network(seed=2)
    made.population("E", n, LIF)
    made.population("I", 10, LIF, bias=390.0)
    made.connect("E", "I", snnsim.FixedInDegree(5), weight=50.0, delay=1.5)
    made.connect("I", "E", snnsim.FixedInDegree(5), weight=Normal(-100, 10), delay=0.8)
    return made


def test_memory_and_files_hold_the_same(tmp_path):
    options = {**OPTIONS, "record": ("spikes", "v", "i_syn"), "record_neurons": {"E": [3, 0]}, "every": 4}
    memory = simulate(network(), duration=400.0, **options)
    with simulate(network(), duration=400.0, output=tmp_path / "a", **options) as traces:
        assert traces.info["continuous"]
        assert len(traces) == 4
        assert list(traces.populations) == ["E", "I"]
        assert traces.populations["E"].parameters["t_ref"] == 2.0
        for name in "EI":
            times = np.concatenate([traces.spikes(name, k).times + 100.0 * k for k in range(4)])
            neurons = np.concatenate([traces.spikes(name, k).neurons for k in range(4)])
            wanted = np.isin(memory[name].spikes.neurons, traces.populations[name].neuron_ids)
            np.testing.assert_allclose(times, memory[name].spikes.times[wanted], rtol=0, atol=1e-9)
            np.testing.assert_array_equal(neurons, memory[name].spikes.neurons[wanted])
            for variable in ("v", "i_syn"):
                found = np.concatenate(list(traces.report(variable, name)))
                np.testing.assert_array_equal(found, getattr(memory[name], variable)[0])
        np.testing.assert_allclose(memory["E"].sample_times[:2], [0.4, 0.8], rtol=1e-12)
        assert (memory["E"].v.max() < -45) & (memory["E"].v.min() > -80)
    # Other readers see one run on one clock.
    spikes = libsonata.SpikeReader(str(tmp_path / "a" / "spikes.h5"))["I"].get_dict()
    np.testing.assert_allclose(spikes["timestamps"], memory["I"].spikes.times, rtol=0, atol=1e-9)
    report = libsonata.ElementReportReader(str(tmp_path / "a" / "v.h5"))["I"]
    assert report.times == pytest.approx((0.4, 400.4, 0.4))


def test_a_run_in_stages_is_the_run_in_one(tmp_path):
    options = {**OPTIONS, "record": ("spikes", "v"), "every": 10}
    whole = simulate(network(), duration=500.0, **options)
    simulate(network(), duration=200.0, output=tmp_path, **options).close()
    for duration in (300.0, 500.0, 500.0):
        simulate(network(), duration=duration, resume=tmp_path, **{**options, "threads": 2}).close()
    with open_traces(tmp_path) as traces:
        assert len(traces) == 5
        for name in "EI":
            np.testing.assert_array_equal(traces.spikes(name).neurons, whole[name].spikes.neurons)
            np.testing.assert_array_equal(np.concatenate(list(traces.v(name))), whole[name].v[0])
    assert sorted(p.name for p in tmp_path.iterdir() if p.name != ".lock") == [
        "circuit_config.json", "nodes.h5", "simulation_config.json", "spikes.h5", STATE, "v.h5"
    ]  # fmt: skip


CHILD = """
import sys
from tests.longrun.test_recording import OPTIONS, network
from snnsim import simulate
where, resume = sys.argv[1:]
place = {"resume": where} if resume == "1" else {"output": where}
simulate(network(), duration=3000.0, state_every=0.0, **place, **OPTIONS).close()
"""


def test_a_killed_run_goes_on_to_the_same_bits(tmp_path):
    whole = simulate(network(), duration=3000.0, **OPTIONS)
    place, kills = tmp_path / "killed", 0
    for attempt in range(40):
        child = subprocess.Popen([sys.executable, "-c", CHILD, str(place), "1" if (place / STATE).exists() else "0"])
        begun, steps = time.monotonic(), (place / STATE).stat().st_mtime_ns if (place / STATE).exists() else 0
        # Killed once it has saved a state of its own, a little later each time, until it gets to the end.
        while child.poll() is None and time.monotonic() - begun < 60:
            state = place / STATE
            if kills < 2 and state.exists() and state.stat().st_mtime_ns != steps:
                time.sleep(0.02 * attempt)
                os.kill(child.pid, signal.SIGKILL)
                kills += 1
                break
            time.sleep(0.005)
        if child.wait() == 0:
            break
    assert kills >= 1
    with open_traces(place) as traces:
        assert len(traces) == 30
        assert not traces.growing
        for name in "EI":
            np.testing.assert_array_equal(traces.spikes(name).neurons, whole[name].spikes.neurons)
            times = traces.spikes(name).times
            assert times.size > 100
    assert not (place / NEXT).exists()


def test_a_half_made_continuation_is_finished_or_forgotten(tmp_path):
    simulate(network(), duration=200.0, output=tmp_path, **OPTIONS).close()
    before = (tmp_path / "spikes.h5").read_bytes()
    (tmp_path / NEXT).mkdir()
    (tmp_path / NEXT / "spikes.h5").write_bytes(b"half")
    simulate(network(), duration=200.0, resume=tmp_path, **OPTIONS).close()
    assert not (tmp_path / NEXT).exists()
    assert (tmp_path / "spikes.h5").read_bytes() == before


def test_memory_does_not_grow_with_duration(tmp_path):
    import tracemalloc

    peaks = []
    # What a long run loads once, such as a kernel that packs a full chunk, is no growth.
    simulate(network(), duration=6000.0, output=tmp_path / "first", **OPTIONS).close()
    for duration in (2000.0, 6000.0):
        tracemalloc.start()
        simulate(network(), duration=duration, output=tmp_path / str(duration), **OPTIONS).close()
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # The table of pieces, 100 bytes a piece of 100 ms, is all that grows.
    assert peaks[1] < peaks[0] + 200_000


def test_pieces_divide_the_run():
    assert piece_steps(100_000, 1, 0) == 1000
    assert piece_steps(12_345, 1, 0) == 823
    assert piece_steps(10_007, 1, 0) == 10_007
    assert piece_steps(100_000, 16, 0) % 16 == 0
    assert piece_steps(100_000, 1, 2**20) == 80  # 64 steps fill what it may take
    with pytest.raises(InputError, match="take 1000000, for example"):
        piece_steps(1_000_003, 1, 0)
    with pytest.raises(InputError, match="must divide"):
        piece_steps(1000, 3, 0)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"duration": 10.05}, "whole number of steps"),
        ({"duration": -1.0}, "positive"),
        ({"dt": None}, "needs dt"),
        ({"engine": "event"}, "takes clock"),
        ({"target": "cuda"}, "takes cpu"),
        ({"record": ("w",)}, "record"),
        ({"output": "a", "resume": "b"}, "give one of them"),
        ({"resume": "nowhere"}, "no state to go on from"),
        ({"epochs": 3}, "option = 'epochs'"),
        ({"record_layers": ("X",)}, "record_layers"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, match):
    with pytest.raises(InputError, match=match) as refused:
        simulate(network(), **{"duration": 10.0, **OPTIONS, **options})
    assert "\n" not in str(refused.value)


def test_trials_and_long_runs_do_not_mix():
    chain = Network.chain([np.ones((3, 2))], snnsim.LIF())
    with pytest.raises(InputError, match="seed: belong to a run without trials"):
        simulate(chain, Spikes.from_trials([((), ())], 3, 1.0), dt=0.1, seed=3)
    recurrent = Network()
    recurrent.input("input", 3)
    recurrent.population("output", 2, snnsim.TwoSynapseLIF())
    recurrent.connect("input", "output", weight=1.0)
    with pytest.raises(InputError, match="runs without trials only"):
        simulate(recurrent, Spikes.from_trials([((), ())], 3, 1.0), dt=0.1)


def test_a_recording_of_another_run_is_not_gone_on_with(tmp_path):
    simulate(network(), duration=200.0, output=tmp_path, **OPTIONS).close()
    with pytest.raises(InputError, match="state of another simulation"):
        simulate(network(), duration=300.0, resume=tmp_path, **{**OPTIONS, "seed": 5})
    with pytest.raises(InputError, match="was recorded with record"):
        simulate(network(), duration=300.0, resume=tmp_path, record=("spikes", "v"), **OPTIONS)
    with pytest.raises(InputError, match="already at step 2000"):
        simulate(network(), duration=100.0, resume=tmp_path, **OPTIONS)
    with pytest.raises(InputError, match="pieces of 1000 steps"):
        simulate(network(), duration=210.0, resume=tmp_path, **OPTIONS)
    with pytest.raises(InputError, match="already holds a recording"):
        simulate(network(), duration=100.0, output=tmp_path, **OPTIONS)
