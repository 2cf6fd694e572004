"""A recurrent network in Brian2 on its grid; run by an interpreter with Brian2.

``python brian2_recurrent.py CASE.npz RESULT.npz``: reads what :mod:`tests.comparisons.recurrent` wrote, simulates, and
writes ``steps`` and ``neurons``. Imports nothing of snnsim.
"""

import sys

import brian2 as b
import numpy as np


def main(source, target):
    """Simulate one case."""
    case = dict(np.load(source))
    b.prefs.codegen.target = "numpy"
    dt, n = float(case["dt"]), int(case["n"])
    b.defaultclock.dt = dt * b.ms
    # Brian2 counts the step of the spike among those that it holds: one more holds as many steps after it.
    group = b.NeuronGroup(
        n,
        """dv/dt = (e_l - v)/tau_m + (i_syn + current)/c_m : 1 (unless refractory)
        di_syn/dt = -i_syn/tau_s : 1
        current : 1""",
        threshold="v >= v_th", reset="v = v_r", refractory=(float(case["t_ref"]) + dt) * b.ms, method="exact",
        namespace={
            "e_l": float(case["E_L"]), "tau_m": float(case["tau_m"]) * b.ms, "c_m": float(case["C_m"]) * b.ms,
            "tau_s": float(case["tau_syn_ex"]) * b.ms, "v_th": float(case["V_th"]), "v_r": float(case["V_reset"]),
        },
    )  # fmt: skip
    group.v, group.current = case["v0"], case["current"]
    # A step of Brian2 lies between its thresholds at k dt and (k + 1) dt; a spike of step k is sent at its end.
    inputs = b.SpikeGeneratorGroup(int(case["n_inputs"]), case["input_neurons"], case["input_steps"] * dt * b.ms)
    parts = []
    for pre, chosen, shift in ((group, case["sources"] < n, 0), (inputs, case["sources"] >= n, n)):
        synapses = b.Synapses(pre, group, "w : 1", on_pre="i_syn_post += w")
        synapses.connect(i=case["sources"][chosen] - shift, j=case["targets"][chosen])
        synapses.w, synapses.delay = case["weights"][chosen], case["delays"][chosen] * dt * b.ms
        parts.append(synapses)
    monitor = b.SpikeMonitor(group)
    b.Network(group, inputs, *parts, monitor).run(float(case["n_steps"]) * dt * b.ms)
    steps = np.rint(np.asarray(monitor.t / b.ms) / dt).astype(np.int64)
    found = np.asarray(monitor.i)
    order = np.lexsort((found, steps))
    np.savez(target, steps=steps[order], neurons=found[order])


if __name__ == "__main__":
    main(*sys.argv[1:])
