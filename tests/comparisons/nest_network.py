"""A feed-forward network in NEST with precise spike times; run by NEST's own Python interpreter.

``python nest_network.py CASE.npz RESULT.npz``: reads what :mod:`tests.comparisons.spike_times` wrote, simulates, and
writes ``times_l`` and ``neurons_l`` of every layer. Imports nothing of snnsim.
"""

import sys

import nest
import numpy as np


def main(source, target):
    """Simulate one case."""
    case = np.load(source)
    resolution, duration = float(case["resolution"]), float(case["duration"])
    nest.ResetKernel()
    nest.verbosity = nest.VerbosityLevel.ERROR
    nest.resolution = resolution
    neuron = {
        "C_m": float(case["tau_mem"] / case["r"]),
        "tau_m": float(case["tau_mem"]),
        "tau_syn_ex": float(case["tau_syn"]),
        "tau_syn_in": float(case["tau_syn"]),
        "E_L": 0.0,
        "V_m": 0.0,
        "V_th": float(case["v_threshold"]),
        "V_reset": float(case["v_reset"]),
        "t_ref": resolution,  # the least it allows
        "I_e": 0.0,
    }
    # Every connection takes at least one step; a layer's times are read off shifted by the steps to it.
    start = 1.0
    n_inputs = int(case["n_inputs"])
    previous = nest.Create("spike_generator", n_inputs)
    for index in range(n_inputs):
        own = np.sort(case["times"][case["neurons"] == index]) + start
        previous[index].set(spike_times=own, precise_times=True)
    recorders = []
    for layer in range(int(case["n_layers"])):
        weights = case[f"w_{layer}"] / float(case["tau_syn"])
        group = nest.Create(str(case["model"]), weights.shape[1], params=neuron)
        synapse = {"weight": weights.T, "delay": resolution}
        nest.Connect(previous, group, "all_to_all", synapse)
        recorder = nest.Create("spike_recorder")
        nest.Connect(group, recorder, syn_spec={"delay": resolution})
        recorders.append((recorder, group[0].global_id))
        previous = group
    nest.Simulate(start + duration + 10 * resolution + 1.0)
    result = {}
    for layer, (recorder, first) in enumerate(recorders):
        events = recorder.events
        times = np.asarray(events["times"]) - start - (layer + 1) * resolution
        kept = times <= duration
        result[f"times_{layer}"] = times[kept]
        result[f"neurons_{layer}"] = np.asarray(events["senders"])[kept] - first
    np.savez(target, **result)


if __name__ == "__main__":
    main(*sys.argv[1:])
