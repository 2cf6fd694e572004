"""The neuron in closed form: constant drive, spike trains, phase, energy, and the network as a recurrent one.

Study, sections 2.1, 2.2 and 3.1.
"""

import numpy as np
from scipy import integrate

from snnsim.analysis.drive import kernel_drive
from snnsim.analysis.frequency import damping_ratio, discrete_response
from snnsim.analysis.truncation import closed_form
from snnsim.dynamics.schemes import membrane_response
from snnsim.engines.grid import slab_of_grid
from snnsim.engines.outputs import spikes_of_slab
from snnsim.experiments.base import ANSWER, FAILS, HOLDS, PARTLY, Claim, neuron, verdict
from snnsim.experiments.learning import Session, first_batch, listed, run_config
from snnsim.parameters import LIFParameters

_response = np.vectorize(membrane_response, otypes=[np.float64])


def run(config, context):
    """Compare closed forms with an ODE solver and with the clock's kernel, and a network with a recurrent program.

    Returns
    -------
    dict
        ``constant``: ``times``, ``v`` of the solver, ``error``, ``rate``; ``train``: ``times``, ``v`` of the kernel,
        ``error``, ``free_error``; ``phase``: ``omega``, ``gain`` and ``phase`` of one and of two inputs for each
        weight; ``decay``: ``ratio`` (tau_mem/tau_syn), ``damping``, ``time`` at a fixed natural frequency,
        ``fixed_damping``, ``fixed_time`` at a fixed tau_mem; ``energy``: ``dt``, ``ratio`` of energies, ``gain`` of
        sums; ``network``: ``parameters``, ``rnn_parameters``, ``differences``, ``dt``, ``spikes``, ``distance``.
    """
    parameters = neuron(config)
    context.expect(6)
    return {
        "parameters": config["neuron"],
        "constant": context.part("constant", lambda: _constant(parameters, config["constant"])),
        "train": context.part("train", lambda: _train(parameters, config["train"])),
        "phase": context.part("phase", lambda: _phase(parameters, config["phase"])),
        "decay": context.part("decay", lambda: _decay(parameters, config["decay"])),
        "energy": context.part("energy", lambda: _energy(parameters, config["energy"])),
        "network": context.part("network", lambda: _network(config)),
    }


def _solve(system, start, times):
    return integrate.solve_ivp(
        system, (0, times[-1]), start, method="DOP853", t_eval=times, rtol=1e-12, atol=1e-14
    ).y  # fmt: skip


def _constant(p, table):
    """Membrane under a constant current: equation 1 by an ODE solver, beside equation 3."""
    times = np.linspace(0, table["duration"], table["points"])
    end = p.r * table["current"]
    v = _solve(lambda t, y: (-y + end) / p.tau_mem, [table["start"]], times)[0]
    error = np.abs(v - (end + (table["start"] - end) * np.exp(-times / p.tau_mem))).max()
    rate = np.polyfit(times, np.log(np.abs(v - end)), 1)[0]
    return {"times": times, "v": v, "end": end, "error": error, "rate": -rate}


def _train(p, table):
    """Membrane of a free neuron under a random spike train: equations 6 to 8 beside solver and kernel."""
    dt, n_steps = table["dt"], table["steps"]
    rng = np.random.Generator(np.random.Philox(key=[table["seed"], 0]))
    x = table["weight"] * rng.poisson(table["rate"] * dt, n_steps).astype(float)
    v = kernel_drive(p, dt, "exact")(x[:, None])[:, 0]
    times = dt * np.arange(1, n_steps + 1)
    distance = times[:, None] - times[None, :]
    response = np.where(distance >= 0, _response(np.maximum(distance, 0), p.tau_mem, p.tau_syn), 0.0)
    formula = p.r / p.tau_syn * response @ x
    free = _solve(lambda t, y: [(-y[0] + p.r * y[1]) / p.tau_mem, -y[1] / p.tau_syn], [table["v0"], table["i0"]], times)
    errors = [np.abs(a - b).max() for a, b in zip(free, closed_form(times, table["v0"], table["i0"], p), strict=True)]
    return {
        "times": times, "v": v, "input": x, "error": np.abs(v - formula).max(), "free_error": max(errors),
    }  # fmt: skip


def _phase(p, table):
    """Gain and phase of the response to one spike and to two spikes, by the weight of the later one."""
    dt, n_steps = table["dt"], table["steps"]
    drive, first, second = kernel_drive(p, dt, "exact"), round(table["first"] / dt), round(table["second"] / dt)
    x = np.zeros((n_steps, 2 * len(table["weights"])))
    for k, w in enumerate(table["weights"]):
        x[first, 2 * k] = w
        x[first, 2 * k + 1], x[second, 2 * k + 1] = 1.0, w
    spectrum = np.fft.rfft(drive(x), axis=0)
    omega = 2 * np.pi * np.fft.rfftfreq(n_steps, dt)
    k = int(np.argmin(np.abs(omega - table["omega"])))
    return {
        "omega": omega[k], "weights": np.array(table["weights"]),
        "gain": np.abs(spectrum[k]).reshape(-1, 2), "phase": np.angle(spectrum[k]).reshape(-1, 2),
    }  # fmt: skip


def _fall(p, share):
    """Time after which the response to an impulse stays below a share of its peak."""
    times = np.linspace(0, 60 * max(p.tau_mem, p.tau_syn), 60_001)
    h = _response(times, p.tau_mem, p.tau_syn)
    return float(times[np.flatnonzero(h >= share * h.max())[-1]])


def _decay(p, table):
    """Time of decay against the damping ratio, at a fixed natural frequency and at a fixed membrane."""
    scale = np.sqrt(p.tau_mem * p.tau_syn)
    out = {"ratio": np.array(table["ratios"]), "natural": 1 / scale}
    for name, fixed in (("", False), ("fixed_", True)):
        neurons = [
            LIFParameters(tau_mem=p.tau_mem, tau_syn=p.tau_mem / ratio, r=p.r)
            if fixed
            else LIFParameters(tau_mem=scale * np.sqrt(ratio), tau_syn=scale / np.sqrt(ratio), r=p.r)
            for ratio in table["ratios"]
        ]
        out[f"{name}damping"] = np.array([damping_ratio(q.tau_mem, q.tau_syn) for q in neurons])
        out[f"{name}time"] = np.array([_fall(q, table["share"]) for q in neurons])
    return out


def _energy(p, table):
    """Energy and sum of an impulse response sampled as ``dt u(n dt)``, relative to the integrals of u^2 and u."""
    tm, ts = float(p.tau_mem), float(p.tau_syn)
    # h = r (exp(-t/tm) - exp(-t/ts))/(tm - ts): its square integrates to r^2/(2 (tm + ts)), itself to r.
    energy, area = p.r**2 / (2 * (tm + ts)), p.r
    ratios, gains = [], []
    for dt in table["dt"]:
        samples = dt * p.r / ts * _response(dt * np.arange(round(table["duration"] / dt)), tm, ts)
        ratios.append((samples**2).sum() / energy)
        gains.append(samples.sum() / area)
    return {"dt": np.array(table["dt"]), "ratio": np.array(ratios), "gain": np.array(gains)}


def _network(config):
    """Hidden spikes of the engine beside those of a recurrent network written out, and of other step sizes."""
    table = config["network"]
    out = {"dt": np.array(table["dt"]), "spikes": [], "distance": []}
    frequencies = np.linspace(0.05, 0.9 * np.pi / max(table["dt"]), 60)
    for dt in table["dt"]:
        session = Session(run_config(config["run"], simulation__dt=dt))
        inputs, _ = first_batch(session)
        session.engine.forward(session.tensors, inputs)
        out["spikes"].append(sum(session.engine.spike_totals().values()) / len(inputs.row_ptr))
        out["distance"].append(discrete_response(frequencies, session.structure.parameters[0], dt, "backward_euler"))
    gains = np.abs(np.array(out["distance"]))
    out["distance"] = np.abs(gains / gains[0] - 1).max(axis=1)
    session = Session(run_config(config["run"], simulation__dt=table["dt"][0], simulation__precision="float64"))
    inputs, _ = first_batch(session, table["samples"])
    session.engine.forward(session.tensors, inputs, trace=("hidden0",))
    found = session.engine.traces("hidden0")[0]
    layers = session.config.network.layers
    out["largest"] = float(np.abs(found - _recurrent(session, inputs, table["dt"][0])).max())
    out["parameters"] = int(sum(w.size for w in session.tensors.values()))
    out["rnn_parameters"] = int(out["parameters"] + sum(n * n for n in layers[1:]))
    return out


def _recurrent(session, inputs, dt):
    """Hidden membranes of backward Euler as an Elman network: a fixed 2 x 2 recurrent matrix for each neuron."""
    p, w = session.structure.parameters[0], next(iter(session.tensors.values())).astype(np.float64)
    x = spikes_of_slab(slab_of_grid(inputs, dt)).to_dense(dt, session.config.simulation.n_steps).astype(np.float64) @ w
    n, n_steps, n_hidden = x.shape
    v, i = np.zeros((n, n_hidden)), np.zeros((n, n_hidden))
    out = np.empty_like(x)
    for k in range(n_steps):
        # Equation 14: implicit in both, solved for the new state.
        i = (i + x[:, k] / p.tau_syn) / (1 + dt / p.tau_syn)
        v = (v + dt * p.r / p.tau_mem * i) / (1 + dt / p.tau_mem)
        out[:, k] = v
        v = np.where(v >= p.threshold, p.reset_value, v)
    return out


def claims(results):
    """Judge the statements of sections 2.1, 2.2 and 3.1 that need no spectrum."""
    constant, train, phase = results["constant"], results["train"], results["phase"]
    decay, energy, network = results["decay"], results["energy"], results["network"]
    tau = results["parameters"]["tau_mem"]
    turn = np.ptp(np.unwrap(phase["phase"], axis=0), axis=0)
    dts = listed(energy["dt"], "{:g}")
    longer = bool((np.diff(decay["time"]) > 0).all())
    return [
        Claim(
            "Under a constant current the membrane approaches r i exponentially, with the membrane's time constant.",
            "section 2.1, eq 3",
            f"Equation 1 by an ODE solver of order 8 meets the formula to {constant['error']:.0e}; the fitted rate "
            f"times tau_mem is {constant['rate'] * tau:.9f}.",
            verdict(constant["error"] < 1e-9 and abs(constant["rate"] * tau - 1) < 1e-6),
            "C1",
        ),
        Claim(
            "Weights act on the phase of the response.",
            "section 2.1, eq 5",
            f"At an angular frequency of {phase['omega']:.2f}, weights {listed(phase['weights'], '{:g}')}: with one "
            f"input spike the phase turns by {turn[0]:.0e} and the gain scales with the weight; with two, of which "
            f"one has that weight, the phase of their sum turns by {turn[1]:.2f} rad. A weight sets an amplitude, "
            "the spike's time the phase; weights turn the phase of a sum, by weighing delays against each other.",
            PARTLY if turn[0] < 1e-9 < turn[1] else HOLDS if turn[0] > 1e-9 else FAILS,
            "C2",
        ),
        Claim(
            "The membrane under a spike train is a sum of differences of exponentials.",
            "section 2.1, eqs 6-8",
            f"The clock's kernel (exact scheme, {int((train['input'] > 0).sum())} steps with spikes out of "
            f"{train['times'].size}) meets the sum to {train['error']:.0e}, an ODE solver the terms of the initial "
            f"state to {train['free_error']:.0e}.",
            verdict(train["error"] < 1e-9 and train["free_error"] < 1e-9),
            "C3",
        ),
        Claim(
            "The higher the damping ratio, the longer the decay to zero.",
            "section 2.2",
            f"At the study's natural frequency, damping {listed(decay['damping'], '{:.2f}')}: time until the "
            f"response stays below a hundredth of its peak {listed(decay['time'], '{:.1f}')}. (With tau_mem kept "
            f"and tau_syn shortened instead, damping {listed(decay['fixed_damping'], '{:.2f}')} takes "
            f"{listed(decay['fixed_time'], '{:.1f}')}: there the natural frequency rises, too.)",
            verdict(longer),
            "C5",
        ),
        Claim(
            "Sampling with a factor dt keeps the signal's energy.",
            "section 2.2",
            f"Impulse response sampled as dt u(n dt), dt = {dts}: energy relative to the integral of u^2 "
            f"{listed(energy['ratio'], '{:.4f}')}, sum relative to the integral of u "
            f"{listed(energy['gain'], '{:.4f}')}. The energy is multiplied by dt (a factor sqrt(dt) would keep it); "
            "what the factor dt keeps is the gain at zero frequency.",
            verdict(bool((np.abs(energy["ratio"] - 1) < 0.05).all())),
            "C7",
        ),
        Claim(
            "With backward Euler the network is a recurrent one, of fewer parameters; each dt is another "
            "representation.",
            "section 3.1",
            "Equation 14 written as a recurrent network in NumPy gives the engine's membranes to "
            f"{network['largest']:.0e}. It has {network['parameters']:,} parameters, a recurrent network of the "
            f"same layers {network['rnn_parameters']:,}. The same weights at dt = {listed(network['dt'], '{:g}')}: "
            f"hidden spikes a trial {listed(network['spikes'], '{:.3g}')}, largest difference of the gain from the "
            f"first {listed(100 * network['distance'], '{:.2g}')} % up to 0.9 of the coarsest Nyquist frequency.",
            verdict(network["largest"] < 1e-9 and network["parameters"] < network["rnn_parameters"]),
            "C15",
        ),
        Claim(
            "What was set.",
            "section 4.1",
            "Time constants 0.8 and 0.6, resistance 1.2, threshold 1.5, reset 1, batches of 50, 50 steps whatever "
            "dt is, rate coding, Kaiming's weights, 784-400-10: the settings of every table here, except where its "
            "settings say otherwise. The study does not say its hidden sizes, loss or readout: ours are 400, the "
            "membranes' mean and leaky neurons that do not spike.",
            ANSWER,
            "S1",
        ),
    ]
