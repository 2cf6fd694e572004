"""A feed-forward network in Brian2, on a clock with exact propagation; run by Brian2's own Python interpreter.

``python brian2_network.py CASE.npz RESULT.npz``: reads what :mod:`tests.comparisons.spike_times` wrote, simulates as
compiled C++, and writes ``times_l`` and ``neurons_l`` of every layer. Imports nothing of snnsim.
"""

import sys
import tempfile

import brian2 as b2
import numpy as np


def main(source, target):
    """Simulate one case."""
    case = np.load(source)
    dt, duration = float(case["resolution"]), float(case["duration"])
    with tempfile.TemporaryDirectory() as build:
        b2.set_device("cpp_standalone", directory=build)
        b2.prefs.devices.cpp_standalone.openmp_threads = 0
        b2.defaultclock.dt = dt * b2.second
        # The step from k dt to (k + 1) dt ends before arrivals of step k are added: they come one step early.
        steps = np.rint(case["times"] / dt).astype(int) - 1
        previous = b2.SpikeGeneratorGroup(int(case["n_inputs"]), case["neurons"], steps * dt * b2.second)
        equations = "dv/dt = (r*u - v)/tau_mem : 1\ndu/dt = -u/tau_syn : 1"
        names = {
            "r": float(case["r"]),
            "tau_mem": float(case["tau_mem"]) * b2.second,
            "tau_syn": float(case["tau_syn"]) * b2.second,
            "v_threshold": float(case["v_threshold"]),
            "v_reset": float(case["v_reset"]),
        }
        network, monitors = b2.Network(previous), []
        for layer in range(int(case["n_layers"])):
            weights = case[f"w_{layer}"] / float(case["tau_syn"])
            group = b2.NeuronGroup(
                weights.shape[1], equations, threshold="v >= v_threshold", reset="v = v_reset", method="exact",
                namespace=names,
            )  # fmt: skip
            synapses = b2.Synapses(previous, group, "w : 1", on_pre="u_post += w")
            synapses.connect()
            synapses.w = weights.reshape(-1)
            monitor = b2.SpikeMonitor(group)
            network.add(group, synapses, monitor)
            monitors.append(monitor)
            previous = group
        network.run(duration * b2.second)
        result = {}
        for layer, monitor in enumerate(monitors):
            result[f"times_{layer}"] = np.asarray(monitor.t / b2.second) + dt
            result[f"neurons_{layer}"] = np.asarray(monitor.i)
        np.savez(target, **result)


if __name__ == "__main__":
    main(*sys.argv[1:])
