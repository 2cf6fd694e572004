"""A recurrent network in NEST, on its grid or with precise spike times; run by NEST's own Python interpreter.

``python nest_recurrent.py CASE.npz RESULT.npz``: reads what :mod:`tests.comparisons.recurrent` or ``recurrent_times``
wrote, simulates, and writes ``steps``, ``times`` and ``neurons``. Imports nothing of snnsim.
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
    precise = "input_times" in case
    model = str(case.get("model", "iaf_psc_exp"))
    neurons = nest.Create(model, n, params={name: float(case[name]) for name in names})
    neurons.V_m = case["v0"]
    neurons.I_e = case["current"]
    generators = nest.Create("spike_generator", int(case["n_inputs"]))
    for k in range(int(case["n_inputs"])):
        chosen = case["input_neurons"] == k
        if precise:
            generators[k].set(spike_times=np.sort(case["input_times"][chosen]), precise_times=True)
        else:
            # Sent one step early, since every connection takes at least one.
            generators[k].set(spike_times=np.round((case["input_steps"][chosen] + 1) * dt, 9))
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
    times = np.asarray(events["times"])
    steps = np.rint(times / dt).astype(np.int64) - 1
    found = np.asarray(events["senders"]) - ids[0]
    order = np.lexsort((found, times))
    np.savez(target, steps=steps[order], times=times[order], neurons=found[order])


if __name__ == "__main__":
    main(*sys.argv[1:])
