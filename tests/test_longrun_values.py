"""Values of a configuration of a simulation without trials that cannot be meant are refused, in one line."""

import dataclasses
import tomllib

import numpy as np
import pytest

from snnsim.connections import FixedInDegree
from snnsim.errors import InputError
from snnsim.longrun import config
from snnsim.longrun.running import run
from snnsim.longrun.simulation import LongSimulation
from snnsim.network import Network
from snnsim.parameters import LIF, DeltaLIF
from tests.fuzz import save_cells
from tests.fuzz_tables import LONG

UNIFORM = '{ distribution = "uniform", low = 0.5, high = 1e300 }'
NORMAL = '{ distribution = "normal", mean = %s, std = %s }'
REFUSED = {
    "duration = 2": ("1e300", "nan", "0", "-1", '"2"', "2.05", "1e17", "true"),
    "dt = 0.1": ("1e-300", "nan", "0", "1e300", "3"),
    "every = 2": ("0", "1e3", "2.5", str(2**62)),
    "time_unit_ms = 1.0": ("0", "-1", "nan", "inf", "1e-300"),
    "seed = 3": ("-1", str(2**62), "1.5"),
    "shape = 8": (str(2**40), str(2**62), "0", "[]", '"x"', "1.5"),
    "t_ref = 2": ("1e300", "nan", "-1", "1e9", "inf"),
    "tau_mem = 10.0": ("0", "1e-300", "nan", '"x"'),
    "v_leak = -65": ("1.5", "nan", "-50"),
    "current = 380": ('"x"', "[1, 2]", "nan", "1e300", "true"),
    'v_init = { distribution = "uniform", low = -65, high = -52 }': ("nan", "[1]", '"x"', "-40", "1e300"),
    'delay = { distribution = "uniform", low = 0.5, high = 2.0 }': (
        *("1e8", "1e300", "nan", "-1", '"x"', "[1, 2]", "true", UNIFORM, NORMAL % (1e300, 1)),
    ),
    'weight = { distribution = "clipped", of = { distribution = "normal", mean = -50, std = 10 }, most = 0 }': (
        *("1e300", "nan", '"x"', '["a"]', "[[1], [2, 3]]", "true", "{}", "{ distribution = [] }", NORMAL % ("[1]", 2)),
        *(NORMAL % (1e38, 1e38), NORMAL % (1, "nan"), '{ distribution = "normal" }'),
    ),
    "probability = 0.2": ("0", "2", "nan", '"x"', "[1]"),
    "degree = 2": ("0", "3.0", str(2**62), "50", "true", '"2"'),
    "self_connections = false": ('"no"', "0", "[]"),
    "rate = 0.1": ("1e300", "nan", "-1", "[1]", "inf", "1e8", "true"),
    "hold = 0.5": ("[1]", "nan", "0", "1e300", "inf", '"x"'),
    "std = 20": ("nan", "-1", '"x"', "1e300"),
    "mean = 1.0": ("nan", '"x"', "[1]", "1e300"),
    "start = 0.5": ("nan", '"x"'),
    "stop = 1.5": ("nan", "[1]"),
    "value = 1.0": ("nan", '"x"', "1e300"),
    "factors = [1.0, 0.0]": ("[1.0]", "[nan, 1]", "[-1, 1]", '["a", "b"]', "[1e300, 1]", "3"),
    "times = [0, 1]": ("[nan, 1]", "[1, 0]", "[[0], [1]]"),
    'file = "cells.h5"': ('"/dev/zero"', '"nothing"', "3", "[]", '"."'),
    'population = "cells"': ("3", '"x"', "[]"),
    'neuron = "lif"': ("[]", '"x"', "3"),
    'kind = "noise"': ("[]", '"x"'),
}


@pytest.mark.parametrize("line", REFUSED)
def test_values_that_cannot_be_meant(line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_cells("cells.h5", np.random.default_rng(1), 5)
    assert line in LONG
    for value in REFUSED[line]:
        with pytest.raises(InputError) as error:
            simulate(LONG.replace(line, f"{line.partition(' =')[0]} = {value}", 1))
        assert "\n" not in str(error.value), value


def simulate(text):
    chosen = config.from_tree(tomllib.loads(text))
    network, inputs, initial = config.build(chosen)
    run(network, inputs=inputs, initial=initial, threads=1, **dataclasses.asdict(chosen.run))


def test_a_configuration_of_devices(tmp_path):
    with pytest.raises(InputError, match="/dev/zero: a pipe or device, not an ordinary file"):
        config.load("/dev/zero")


def test_neurons_that_a_clock_cannot_hold():
    for neuron in (DeltaLIF(t_ref=1e12), LIF(t_ref=1e12)):
        network = Network()
        network.population("E", 3, neuron)
        network.connect("E", "E", FixedInDegree(1), weight=1.0, delay=1.0)
        with pytest.raises(InputError, match=r"population E: t_ref = 1e\+12: too many steps of dt = 0.1"):
            LongSimulation(network, dt=0.1)
    with pytest.raises(InputError, match=r"dt = '0\.1': must be a positive number"):
        LongSimulation(network, dt="0.1")
