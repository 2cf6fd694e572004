"""Spike times of the event engine beside NEST's precise neurons and Brian2.

The interpreters of the two come from the environment: ``SNNSIM_NEST_PYTHON`` and ``SNNSIM_BRIAN2_PYTHON``. Run
``python -m tests.comparisons.spike_times``; the ``slow`` test of the same name asserts what this prints.

NEST's ``iaf_psc_exp_ps`` and ``iaf_psc_exp_ps_lossless`` are exact between events and locate a crossing inside a step,
so that times must agree to rounding. But their neurons are refractory for at least a step: only networks whose neurons
fire at most once (a reset far below rest) can agree; with more spikes the difference falls with the step. The former
model looks for a crossing at the ends of steps and at arrivals only, and can miss an excursion in between. Brian2 is on
a clock: a spike lies at the end of its step, a layer is late by up to a step, the next by what its input is late and a
step more; the difference falls in proportion to the step.
"""

import argparse
import os
import subprocess
import tempfile
from itertools import pairwise
from pathlib import Path

import numpy as np

from snnsim.engines.event import EventEngine
from snnsim.engines.outputs import slab_of_spikes
from snnsim.parameters import LIFParameters
from snnsim.spikes import Spikes

FOLDER = Path(__file__).parent


def random_case(seed=1, sizes=(40, 100, 80, 30), duration=4.0, tau_mem=0.8, tau_syn=0.6, v_reset=0.0, scale=1.0):
    """Random network of 210 neurons in three layers, with input times on a grid of 0.01."""
    rng = np.random.default_rng(seed)
    weights = [scale * rng.normal(0.05, 0.5, pair) * np.sqrt(10 / pair[0]) for pair in pairwise(sizes)]
    instants = int(75 * duration)
    chosen = np.sort(rng.choice(instants * sizes[0], 200, replace=False))
    case = {
        "tau_mem": tau_mem, "tau_syn": tau_syn, "r": 1.2, "v_threshold": 1.0, "v_reset": v_reset,
        "duration": duration, "times": (1 + chosen // sizes[0]) / 100, "neurons": chosen % sizes[0],
        "n_inputs": sizes[0], "n_layers": len(weights),
    }  # fmt: skip
    return case | {f"w_{layer}": w for layer, w in enumerate(weights)}


def exact_spikes(case):
    """``(times, neurons)`` of every layer by the event engine."""
    names = ("tau_mem", "tau_syn", "r", "v_threshold", "v_reset")
    parameters = LIFParameters(**{name: float(case[name]) for name in names})
    engine = EventEngine((parameters,) * case["n_layers"], duration=case["duration"])
    inputs = Spikes.from_trials([(case["times"], case["neurons"])], case["n_inputs"], case["duration"])
    engine.forward([case[f"w_{layer}"] for layer in range(case["n_layers"])], slab_of_spikes(inputs))
    return [(slab.times[0, : slab.counts[0]], slab.neurons[0, : slab.counts[0]]) for slab in engine.spikes()[1:]]


def peer_spikes(python, script, case, **options):
    """``(times, neurons)`` of every layer by another simulator, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "case.npz", Path(folder) / "result.npz"
        np.savez(source, **case, **options)
        run = subprocess.run(
            [python, FOLDER / script, source, target], capture_output=True, text=True, check=False, cwd=folder
        )
        if run.returncode:
            raise RuntimeError(f"{script}: {run.stderr.strip()[-2000:]}")
        result = np.load(target)
        return [(result[f"times_{layer}"], result[f"neurons_{layer}"]) for layer in range(case["n_layers"])]


def compare(exact, other):
    """For every layer: spikes here, spikes there, neurons whose counts differ, and the largest difference in time.

    Spikes are paired by neuron and rank; neurons with other counts are left out of the difference.
    """
    rows = []
    for (times, neurons), (peer_times, peer_neurons) in zip(exact, other, strict=True):
        worst, differing = 0.0, 0
        for n in np.union1d(neurons, peer_neurons):
            mine, theirs = np.sort(times[neurons == n]), np.sort(peer_times[peer_neurons == n])
            if len(mine) != len(theirs):
                differing += 1
            else:
                worst = max(worst, np.abs(mine - theirs).max())
        rows.append((len(times), len(peer_times), differing, worst))
    return rows


def main():
    """Print one row a layer and peer."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    once, often = random_case(v_reset=-1e6, scale=4.0), random_case(scale=0.6)
    print(f"{'peer':42}{'layer':>6}{'spikes':>8}{'theirs':>8}{'differing':>10}{'largest difference':>20}")
    nest, brian2 = os.environ.get("SNNSIM_NEST_PYTHON"), os.environ.get("SNNSIM_BRIAN2_PYTHON")
    runs = []
    if nest:
        for model in ("iaf_psc_exp_ps_lossless", "iaf_psc_exp_ps"):
            options = {"model": model, "resolution": 0.01}
            runs.append((f"NEST {model}, one spike", once, nest, "nest_network.py", options))
        for dt in (1e-2, 1e-3):
            options = {"model": "iaf_psc_exp_ps_lossless", "resolution": dt}
            runs.append((f"NEST, refractory {dt:g}", often, nest, "nest_network.py", options))
    if brian2:
        for dt in (1e-3, 1e-4, 1e-5, 1e-6):
            runs.append((f"Brian2, dt = {dt:g}", often, brian2, "brian2_network.py", {"resolution": dt}))
    for name, case, python, script, options in runs:
        exact = exact_spikes(case)
        for layer, row in enumerate(compare(exact, peer_spikes(python, script, case, **options))):
            print(f"{name:42}{layer:>6}{row[0]:>8}{row[1]:>8}{row[2]:>10}{row[3]:>20.3g}")


if __name__ == "__main__":
    main()
