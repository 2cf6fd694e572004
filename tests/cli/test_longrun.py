"""``snnsim simulate`` of networks without trials."""

import json

import numpy as np
import pytest

from snnsim import open_traces
from snnsim.longrun import config
from snnsim.longrun.networks import NETWORKS
from tests.command import Caller

TOML = """
[simulation]
dt = 0.1
duration = 200
impulse = "unit-jump"
seed = 3

[[population]]
name = "ext"
shape = 20
neuron = "input"

[[population]]
name = "E"
shape = 40
neuron = "two-synapse-lif"
tau_mem = 10
tau_exc = 0.5
tau_inh = 2.0
r = 0.04
v_threshold = -50
v_reset = -65
v_leak = -65
t_ref = 2
current = 380
v_init = { distribution = "uniform", low = -65, high = -52 }

[[connection]]
source = "ext"
target = "E"
shape = "fixed-in-degree"
degree = 5
weight = 60

[[connection]]
source = "E"
target = "E"
shape = "fixed-probability"
probability = 0.2
weight = { distribution = "clipped", of = { distribution = "normal", mean = -50, std = 10 }, most = 0 }
delay = { distribution = "uniform", low = 0.5, high = 2.0 }

[[input]]
kind = "poisson-trains"
source = "ext"
rate = 0.1
times = [0, 100]
factors = [1.0, 0.0]

[[input]]
kind = "noise"
target = "E"
std = 20
"""


@pytest.fixture
def call(monkeypatch, capsys):
    return Caller(monkeypatch, capsys)


def test_a_file_is_simulated_and_gone_on_with(tmp_path, call):
    path, place = tmp_path / "net.toml", tmp_path / "traces"
    path.write_text(TOML)
    code, out, err = call("simulate", path, "-o", place, "--json", "--threads", "1", "--record", "spikes,v",
                          "--record-neurons", "E=0:3", "--record-every", "5")  # fmt: skip
    assert code == 0, err
    result = json.loads(out)
    assert result["duration"] == 200.0
    assert result["rates_hz"]["E"] > 5
    code, out, err = call("simulate", path, "--resume", place, "--duration", "300", "--threads", "2", "--record",
                          "spikes,v", "--record-neurons", "E=0:3", "--record-every", "5")  # fmt: skip
    assert code == 0, err
    assert "300 simulated, spikes a second and neuron: E " in out
    picture = tmp_path / "activity.png"
    assert call("plot", "activity", place, "-o", picture, "--window", "50,150")[0] == 0
    assert picture.stat().st_size > 10_000
    assert "0..300" in call.refused("plot", "activity", place, "-o", picture, "--force", "--window", "50,350")
    assert "two times" in call.refused("plot", "activity", place, "-o", picture, "--force", "--window", "50")
    with open_traces(place) as traces:
        assert len(traces) == 3
        assert traces.v("E").shape == (3, 200, 3)
        # The input is silent from 100 on.
        assert traces.spikes("ext", 0).times.size > 100
        assert traces.spikes("ext", [1, 2]).times.size == 0
        assert traces.config["population"][1]["tau_inh"] == 2.0


def test_spikes_of_a_recording_are_an_input(tmp_path, call):
    path, place = tmp_path / "net.toml", tmp_path / "traces"
    path.write_text(TOML)
    assert call("simulate", path, "-o", place, "--threads", "1")[0] == 0
    given = TOML.replace(
        'kind = "poisson-trains"', f'kind = "spikes"\nfile = "{place / "spikes.h5"}"\npopulation = "ext"'
    )
    path.write_text(given.replace("rate = 0.1\ntimes = [0, 100]\nfactors = [1.0, 0.0]\n", ""))
    assert call("simulate", path, "-o", tmp_path / "again", "--threads", "1")[0] == 0
    with open_traces(place) as one, open_traces(tmp_path / "again") as other:
        for name in ("ext", "E"):
            np.testing.assert_array_equal(one.spikes(name).neurons, other.spikes(name).neurons)
            np.testing.assert_array_equal(one.spikes(name).times, other.spikes(name).times)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_shipped_network_builds(name):
    chosen = config.load(name, scale=0.02)
    network, inputs, initial = config.build(chosen)
    assert len(inputs) == len(network.sizes)
    assert all(len(v.parameters) == 3 for v in initial.values())
    again = config.from_tree(config.to_tree(chosen))
    assert again == chosen


def test_the_numbers_of_the_microcircuit_are_the_published_ones():
    from snnsim.longrun.networks.microcircuit import SIZES, synapse_numbers

    numbers = np.array(synapse_numbers())
    assert sum(SIZES) == 77169
    assert abs(numbers.sum() - 298_880_941) < 100
    degrees = numbers.sum(1) / np.array(SIZES)
    assert 2000 < degrees.min() < degrees.max() < 6000


def test_a_shipped_network_runs(tmp_path, call):
    code, out, err = call(
        "simulate", "microcircuit", "--scale", "0.02", "--duration", "50", "-o", tmp_path, "--seed", "1"
    )
    assert code == 0, err
    assert out.count("L") == 8


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (("degree = 5", "degree = 21"), "in-degree 21 must lie in 1..20"),
        (("degree = 5", "degre = 5"), "unknown key degre; did you mean degree?"),
        (("degree = 5", ""), "fixed-in-degree needs degree"),
        (("tau_inh = 2.0", "tau_in = 2.0"), "unknown key tau_in; did you mean tau_inh?"),
        (("t_ref = 2", "t_ref = -2"), "population E: t_ref = -2: must be a number of at least 0"),
        (('neuron = "two-synapse-lif"', 'neuron = "lf"'), "neuron = 'lf': must be one of lif"),
        (('kind = "noise"', 'kind = "nois"'), "kind = 'nois'"),
        (("std = 20", ""), "input into E: lacks std"),
        (("dt = 0.1", "dt = 'a'"), "simulation.dt = 'a'"),
        (("dt = 0.1", "dtt = 0.1"), "unknown key simulation.dtt; did you mean dt?"),
        (("low = 0.5", "low = 0.01"), "below a step of 0.1"),
        (("factors = [1.0, 0.0]", "factors = [1.0]"), "two lists of equally many numbers"),
        (("[[input]]", "[[inputs]]"), "unknown table [inputs]; did you mean input?"),
        (("v_init = {", "v_init = 1\nx = {"), "unknown key x"),
        (("[simulation]", "[simulation"), "not valid TOML"),
    ],
)
def test_bad_configurations_end_in_one_line(tmp_path, call, change, match):
    path = tmp_path / "net.toml"
    assert change[0] in TOML
    path.write_text(TOML.replace(*change))
    assert match in call.refused("simulate", path, "-o", tmp_path / "traces", "--duration", "10", "--threads", "1")
    assert not (tmp_path / "traces").exists()


@pytest.mark.parametrize(
    ("words", "match"),
    [
        (("microcircuit", "--scale", "2", "-o", "x"), "scale = 2.0: must lie in (0, 1]"),
        (("microcircuit",), "--output: give the directory"),
        (("microcircuit", "-o", "x", "--resume", "y"), "give one of them"),
        (("microcircuit", "-o", "x", "--engine", "event"), "--engine event"),
        (("nothing.toml", "-o", "x", "--duration", "3"), "nothing.toml: no such file; a TOML file, or one of"),
        (("microcircuit", "--scale", "0.01", "-o", "x", "--duration", "0.05"), "whole number of steps"),
        (("ei-network", "-o", "x", "--set", "network.layers=3"), "simulation.key=value"),
    ],
)
def test_bad_options_end_in_one_line(words, match, call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert match in call.refused("simulate", *words)
