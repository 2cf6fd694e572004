"""Spike times of a recurrent network with delays and refractory periods: event and hybrid engine, NEST, Brian2.

``python -m tests.comparisons.recurrent_times --nest PYTHON --brian2 PYTHON`` prints spikes here and there and the
differences of their times. NEST's ``iaf_psc_exp_ps_lossless`` is the event engine's neuron; ``iaf_psc_exp_ps`` looks
for a crossing at the ends of its steps and at arrivals only, as the hybrid engine does with bins of its resolution.
Brian2 is on a clock with exact propagation: its times are late by up to a step and come closer with it.
"""

import argparse

import numpy as np

from snnsim.connections import Pairs
from snnsim.engines.event_graph import GraphEventEngine
from snnsim.engines.hybrid_graph import GraphHybridEngine
from snnsim.engines.outputs import slab_of_spikes
from snnsim.network import Network
from snnsim.parameters import LIF
from snnsim.spikes import Spikes
from tests.comparisons.recurrent import theirs

GRID = 0.1
"""Resolution of NEST, and what all delays and the refractory period are multiples of."""
N, N_INPUTS, DURATION = 60, 20, 60.0
FASTEST = 1e-2
"""Input times are multiples of it, so that Brian2's steps can have them."""


def make(seed=2):
    """Network, input spikes, and the same as arrays for other simulators, times in ms."""
    rng = np.random.default_rng(seed)
    neuron = LIF(tau_mem=10.0, tau_syn=3.0, r=10.0, v_threshold=15.0, v_reset=0.0, t_ref=2.0)
    edges = np.argwhere(rng.random((N + N_INPUTS, N)) < 0.15)
    from_input = edges[:, 0] >= N
    weights = np.where(from_input, rng.normal(9.0, 3.0, len(edges)), rng.normal(1.0, 4.0, len(edges)))
    steps = rng.integers(1, 31, len(edges))
    chosen = np.sort(rng.choice(int(0.9 * DURATION / FASTEST) * N_INPUTS, 260, replace=False))
    input_times, input_neurons = (50 + chosen // N_INPUTS) * FASTEST, chosen % N_INPUTS
    current = rng.uniform(0.0, 1.2, N)
    network = Network()
    network.input("input", N_INPUTS)
    network.population("output", N, neuron, bias=current)
    for name, part, shift in (("output", ~from_input, 0), ("input", from_input, N)):
        pre, post = edges[part, 0] - shift, edges[part, 1]
        network.connect(name, "output", Pairs(pre, post), weight=weights[part], delay=np.round(steps[part] * GRID, 9))
    spikes = Spikes.from_trials([(input_times, input_neurons)], N_INPUTS, DURATION)
    case = {
        "dt": GRID, "n": N, "n_inputs": N_INPUTS, "n_steps": round(DURATION / GRID), "input_times": input_times,
        "input_neurons": input_neurons, "tau_m": neuron.tau_mem, "C_m": neuron.tau_mem / neuron.r, "E_L": 0.0,
        "tau_syn_ex": neuron.tau_syn, "tau_syn_in": neuron.tau_syn, "V_th": neuron.v_threshold, "V_reset": 0.0,
        "t_ref": neuron.t_ref, "v0": np.zeros(N), "current": current, "sources": edges[:, 0], "targets": edges[:, 1],
        "weights": weights / neuron.tau_syn, "delays": steps,
    }  # fmt: skip
    return network, spikes, case


def ours(network, spikes, bins=None):
    """Times and neurons of all spikes by the event engine, or by the hybrid with so many bins."""
    engine = (
        GraphEventEngine(network, duration=DURATION)
        if bins is None
        else GraphHybridEngine(network, dt=DURATION / bins, n_steps=bins)
    )
    slab = engine.forward(network.tensors, slab_of_spikes(spikes))
    return slab.times[0, : slab.counts[0]], slab.neurons[0, : slab.counts[0]]


def in_nest(python, case, model, resolution=GRID):
    """Times and neurons of all spikes by one of NEST's precise models."""
    ratio = round(GRID / resolution)
    changed = {"dt": resolution, "n_steps": case["n_steps"] * ratio, "delays": case["delays"] * ratio, "model": model}
    return theirs(python, "nest_recurrent.py", case | changed, ("times", "neurons"))


def in_brian2(python, case, dt):
    """Times and neurons of all spikes by Brian2 with a step."""
    ratio = round(GRID / dt)
    changed = {
        "dt": dt, "n_steps": case["n_steps"] * ratio, "delays": case["delays"] * ratio,
        "input_steps": np.rint(case["input_times"] / dt).astype(int) - 1,
    }  # fmt: skip
    steps, neurons = theirs(python, "brian2_recurrent.py", case | changed)
    return (steps + 1) * dt, neurons


def compare(mine, other):
    """Spikes here, there, neurons whose counts differ, and the mean and largest difference of the others' times."""
    differing, errors = 0, [np.zeros(0)]
    for n in range(N):
        a, b = (np.sort(times[neurons == n]) for times, neurons in (mine, other))
        if len(a) == len(b):
            errors.append(b - a)
        else:
            differing += 1
    errors = np.abs(np.concatenate(errors))
    return len(mine[0]), len(other[0]), differing, errors.mean(), errors.max()


def main():
    """Compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nest", help="interpreter with NEST")
    parser.add_argument("--brian2", help="interpreter with Brian2")
    given = parser.parse_args()
    network, spikes, case = make()
    exact, hybrid = ours(network, spikes), ours(network, spikes, case["n_steps"])
    print(f"{'':52}{'here':>6}{'there':>7}{'differ':>8}{'mean':>11}{'largest difference':>20}")

    def tell(name, mine, other):
        here, there, differing, mean, worst = compare(mine, other)
        print(f"{name:52}{here:6}{there:7}{differing:8}{mean:11.2g}{worst:20.3g}", flush=True)

    tell("hybrid, bins of 0.1, beside the event engine", exact, hybrid)
    if given.nest:
        for resolution in (0.1, 0.05):
            found = in_nest(given.nest, case, "iaf_psc_exp_ps_lossless", resolution)
            tell(f"NEST iaf_psc_exp_ps_lossless, resolution {resolution:g}", exact, found)
        tell("NEST iaf_psc_exp_ps, beside the hybrid", hybrid, in_nest(given.nest, case, "iaf_psc_exp_ps"))
    for dt in (1e-2, 1e-3) if given.brian2 else ():
        tell(f"Brian2, dt = {dt:g}", exact, in_brian2(given.brian2, case, dt))


if __name__ == "__main__":
    main()
