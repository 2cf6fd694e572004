"""A recurrent network in NEST on its grid; run by NEST's own Python interpreter.

``python nest_recurrent.py CASE.npz RESULT.npz``: reads what :mod:`tests.comparisons.recurrent` wrote, simulates, and
writes ``steps`` and ``neurons``. Imports nothing of snnsim.
"""

import sys

import nest
import numpy as np


def main(source, target):
    """Simulate one case."""
    case = dict(np.load(source))
    nest.ResetKernel()
    nest.verbosity = nest.VerbosityLevel.ERROR
    dt, n = float(case["dt"]), int(case["n"])
    nest.resolution = dt
    names = ("tau_m", "C_m", "tau_syn_ex", "tau_syn_in", "E_L", "V_th", "V_reset", "t_ref")
    neurons = nest.Create("iaf_psc_exp", n, params={name: float(case[name]) for name in names})
    neurons.V_m = case["v0"]
    neurons.I_e = case["current"]
    generators = nest.Create("spike_generator", int(case["n_inputs"]))
    for k in range(int(case["n_inputs"])):
        # Sent one step early, since every connection takes at least one.
        generators[k].set(spike_times=np.round((case["input_steps"][case["input_neurons"] == k] + 1) * dt, 9))
    everyone = [*neurons.tolist(), *generators.tolist()]
    ids = np.array(everyone)
    nest.Connect(
        ids[case["sources"]], ids[case["targets"]], "one_to_one",
        {"weight": case["weights"], "delay": np.round(case["delays"] * dt, 9)},
    )  # fmt: skip
    recorder = nest.Create("spike_recorder")
    nest.Connect(neurons, recorder)
    nest.Simulate(float(case["n_steps"]) * dt)
    events = recorder.events
    steps = np.rint(np.asarray(events["times"]) / dt).astype(np.int64) - 1
    found = np.asarray(events["senders"]) - ids[0]
    order = np.lexsort((found, steps))
    np.savez(target, steps=steps[order], neurons=found[order])


if __name__ == "__main__":
    main(*sys.argv[1:])
