"""A recurrent network here, in NEST and in Brian2, spike for spike on one grid.

``python -m tests.comparisons.recurrent --nest PYTHON --brian2 PYTHON`` prints how many spikes agree.
"""

import argparse
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from snnsim import FixedInDegree, LongSimulation, Network, Normal, SpikeTrains, TwoSynapseLIF, Uniform
from tests.reference.longrun import synapses

DT = 0.1
HERE = Path(__file__).parent


def make(n=200, n_steps=10_000, seed=3, tau_inh=0.5, dt=DT):
    """Network, its inputs and first membranes, and the same as arrays for other simulators."""
    rng = np.random.default_rng(seed)
    n_e, n_inputs = n * 4 // 5, 50
    q = TwoSynapseLIF(
        tau_mem=10.0, tau_exc=0.5, tau_inh=tau_inh, r=10.0 / 250.0, v_threshold=-50.0, v_reset=-65.0, v_leak=-65.0,
        t_ref=2.0,
    )  # fmt: skip
    current = rng.uniform(300, 390, n)
    network = Network(seed=seed)
    network.input("ext", n_inputs)
    network.population("E", n_e, q, bias=current[:n_e])
    network.population("I", n - n_e, q, bias=current[n_e:])
    delay = Uniform(0.1, 3.0)
    for target in "EI":
        network.connect("ext", target, FixedInDegree(5), weight=Normal(150, 30, low=0), delay=delay)
        network.connect("E", target, FixedInDegree(20, multiple=True), weight=Normal(60, 10, low=0), delay=delay)
        network.connect("I", target, FixedInDegree(5, multiple=True), weight=Normal(-240, 40, high=0), delay=delay)
    steps = np.sort(rng.integers(0, n_steps, n_steps * n_inputs // 200))
    inputs = rng.integers(0, n_inputs, steps.size)
    # One spike of a neuron a step, as other simulators' generators want it.
    keep = np.unique(steps * n_inputs + inputs)
    steps, inputs = keep // n_inputs, keep % n_inputs
    v0 = rng.uniform(-65, -51, n)
    rows = synapses(network.drawn(), dt)
    place = {"E": 0, "I": n_e, "ext": n}
    case = {
        "dt": dt, "n": n, "n_steps": n_steps, "n_inputs": n_inputs, "input_steps": steps, "input_neurons": inputs,
        "tau_m": q.tau_mem, "C_m": q.tau_mem / q.r, "tau_syn_ex": q.tau_exc, "tau_syn_in": q.tau_inh, "E_L": q.v_leak,
        "V_th": q.v_threshold, "V_reset": q.v_reset, "t_ref": q.t_ref, "v0": v0, "current": current,
        "sources": np.array([place[r[0]] + r[1] for r in rows]),
        "targets": np.array([place[r[2]] + r[3] for r in rows]),
        "weights": np.array([r[4] for r in rows]), "delays": np.array([r[5] for r in rows]),
    }  # fmt: skip
    trains = SpikeTrains("ext", (steps + 1) * dt, inputs)
    return network, [trains], {"E": v0[:n_e], "I": v0[n_e:]}, case


def ours(network, inputs, initial, case):
    """Steps and neurons of all spikes, sorted."""
    simulation = LongSimulation(
        network, dt=float(case["dt"]), inputs=inputs, initial=initial, impulse="unit-jump", precision="float64"
    )
    piece = simulation.run(case["n_steps"])
    steps, neurons = [], []
    for name, first in (("E", 0), ("I", simulation.sizes["E"])):
        found, ends = piece.spikes[name]
        steps.append(np.repeat(np.arange(piece.n_steps), np.diff(ends, prepend=0)))
        neurons.append(found + first)
    steps, neurons = np.concatenate(steps), np.concatenate(neurons)
    order = np.lexsort((neurons, steps))
    return steps[order], neurons[order]


def theirs(python, script, case, wanted=("steps", "neurons")):
    """The same by another simulator."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "case.npz", Path(folder) / "result.npz"
        np.savez(source, **case)
        subprocess.run([python, str(HERE / script), str(source), str(target)], check=True, capture_output=True)
        result = np.load(target)
        return tuple(result[name] for name in wanted)


def agreement(mine, other, n):
    """Spikes here, there, and in both; the first step in which they differ."""
    a, b = mine[0] * n + mine[1], other[0] * n + other[1]
    differing = np.setxor1d(a, b)
    return a.size, b.size, np.intersect1d(a, b).size, int(differing.min() // n) if differing.size else None


def main():
    """Compare."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--nest", help="interpreter with NEST")
    parser.add_argument("--brian2", help="interpreter with Brian2")
    parser.add_argument("--steps", type=int, default=10_000)
    given = parser.parse_args()
    for name, script in (("nest", "nest_recurrent.py"), ("brian2", "brian2_recurrent.py")):
        python = getattr(given, name)
        if not python:
            continue
        for tau_inh in (0.5, 2.0) if name == "nest" else (0.5,):
            network, inputs, initial, case = make(n_steps=given.steps, tau_inh=tau_inh)
            a, b, both, first = agreement(ours(network, inputs, initial, case), theirs(python, script, case), case["n"])
            print(f"{name}, tau_inh {tau_inh}: {a} spikes here, {b} there, {both} the same; first difference: {first}")


if __name__ == "__main__":
    main()
