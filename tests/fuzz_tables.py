"""Configurations with tables of a network, valid ones and others; for :mod:`tests.fuzz`."""

GRAPH = """
[network]
tau_syn = 0.5

[simulation]
dt = 0.1
n_steps = 6

[[population]]
name = "input"
neuron = "input"
shape = 5

[[population]]
name = "hidden"
shape = [2, 3, 2]
tau_mem = 1.0
reset = "hard"
bias = 0.1
learn_bias = true

[[population]]
name = "output"
neuron = "li"
shape = 3

[[connection]]
source = "input"
target = "hidden"
shape = "fixed-in-degree"
degree = 2
multiple = true
name = "in"

[[connection]]
source = "hidden"
target = "hidden"
delay = [0.1, 0.3]
delays = "source"
learn = ["weight", "delay"]

[[connection]]
source = "hidden"
target = "hidden"
name = "local"
shape = "convolution"
kernel = 3
stride = 1
padding = 1
delay = 0.1

[[connection]]
source = "hidden"
target = "output"
shape = "dense"

[data]
dataset = "yin-yang"
validation = 2

[training]
batch_size = 2
seed = 3
"""

LONG = """
[simulation]
dt = 0.1
duration = 2
impulse = "unit-jump"
scheme = "exact"
seed = 3
record = ["spikes", "v"]
every = 2
time_unit_ms = 1.0

[[population]]
name = "ext"
shape = 5
neuron = "input"

[[population]]
name = "E"
shape = 8
neuron = "lif"
tau_mem = 10.0
tau_syn = 0.5
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
degree = 2
weight = 60

[[connection]]
source = "E"
target = "E"
shape = "fixed-probability"
probability = 0.2
self_connections = false
weight = { distribution = "clipped", of = { distribution = "normal", mean = -50, std = 10 }, most = 0 }
delay = { distribution = "uniform", low = 0.5, high = 2.0 }

[[input]]
kind = "spikes"
source = "ext"
file = "cells.h5"
population = "cells"

[[input]]
kind = "poisson"
target = "E"
rate = 0.1
weight = 9
times = [0, 1]
factors = [1.0, 0.0]

[[input]]
kind = "current"
target = "E"
value = 1.0
start = 0.5
stop = 1.5

[[input]]
kind = "noise"
target = "E"
std = 20
hold = 0.5
mean = 1.0
"""

TEXTS = (
    *("3", "-1", "0", str(2**40), str(2**63 - 1), "1.5", "-1e300", "1e300", "1e-300", "nan", "inf", "true", '"text"'),
    *('""', "[]", "[1, 2, 3]", "[[1.0]]", '["a", "b"]', "[nan, inf]", "{}", "{ a = 1 }", "1979-05-27", "[{ a = 1 }]"),
    *('{ distribution = "normal", mean = nan, std = -1 }', '{ distribution = ["normal"] }', '"\\n"', f'"{"a" * 5000}"'),
    *(f"[{', '.join(['0.5'] * 2000)}]", '{ distribution = "clipped", of = { distribution = "clipped" } }', "1e12"),
)


def change_value(text, rng):
    """Another value for one key of a TOML file, or the key gone, double, or under another name."""
    lines = text.splitlines()
    places = [k for k, line in enumerate(lines) if "=" in line]
    k = places[int(rng.integers(len(places)))]
    key, how = lines[k].partition(" =")[0], rng.random()
    value = TEXTS[int(rng.integers(len(TEXTS)))]
    if how < 0.8:
        lines[k] = f"{key} = {value}"
    elif how < 0.9:
        del lines[k]
    else:
        lines[k] = f"{key}x = {value}" if how < 0.95 else f"{lines[places[int(rng.integers(len(places)))]]}\n{lines[k]}"
    return "\n".join(lines) + "\n", f"value {lines[k][:60] if k < len(lines) else key}"
