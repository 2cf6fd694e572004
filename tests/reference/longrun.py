"""A recurrent network on a clock, neuron by neuron and synapse by synapse, in plain NumPy; imports no kernel."""

import numpy as np
from scipy.stats import poisson

from snnsim.dynamics.philox import philox4x32
from tests.reference.coefficients import Neuron, coefficients

POISSON_KEY = 0x9017


def synapses(network, dt):
    """Lists (source population, source, target population, target, weight, steps) of a network without rules."""
    rows = []
    for c in network.connections_by_name.values():
        pre, post = network.populations_by_name[c.source], network.populations_by_name[c.target]
        weights = network.tensors[c.name]
        if hasattr(c.shape, "indptr"):
            sources = np.repeat(np.arange(pre.size), np.diff(c.shape.indptr))
            targets = c.shape.indices
        elif weights.ndim == 1:
            sources = targets = np.arange(pre.size)
        else:
            sources, targets = np.repeat(np.arange(pre.size), post.size), np.tile(np.arange(post.size), pre.size)
        delays = np.asarray(c.delay, float)
        if delays.shape == (pre.size,) and delays.shape != (sources.size,):
            delays = delays[sources]
        steps = np.broadcast_to(np.rint(delays / dt).astype(int).reshape(-1) if delays.ndim else
                                np.rint(delays / dt).astype(int), (sources.size,))  # fmt: skip
        rows += [
            (c.source, int(s), c.target, int(t), float(w), int(d))
            for s, t, w, d in zip(sources, targets, weights.reshape(-1), steps, strict=True)
        ]
    return rows


def poisson_counts(mean, n, step, stream, seed):
    """Poisson numbers of a step: how many cumulated probabilities lie at or below each neuron's random word."""
    words = [philox4x32(k, step // 4, 0, stream, seed, POISSON_KEY)[step % 4] for k in range(n)]
    edges = np.floor(poisson.cdf(np.arange(60), mean) * 2.0**32)
    return np.array([int(np.sum(w >= edges)) for w in words])


def simulate(network, n_steps, dt, *, scheme="exact", drives=(), currents=(), trains=None, v0=None, seed=0):
    """Simulate.

    Parameters
    ----------
    network : Network
        With all weights and delays as arrays; weights are jumps of the current.
    drives : sequence of (population, mean a step, weight, stream)
    currents : sequence of (population, (n_steps,) or (n_steps, N) current)
    trains : dict of str to list of (step, neuron)
    v0 : dict of str to ndarray

    Returns
    -------
    spikes : dict of str to list of (step, neuron)
    v, i : dict of str to (n_steps, N)
        Before the reset, relative to rest; sum of the synaptic currents.
    """
    neurons = {p.name: p for p in network.populations_by_name.values() if not p.is_input}
    rows = synapses(network, dt)
    longest = max((r[5] for r in rows), default=0)
    arriving = {name: np.zeros((n_steps + longest + 1, p.size, 2)) for name, p in neurons.items()}
    out = {}
    for source, s, target, t, w, d in rows:
        out.setdefault((source, s), []).append((target, t, w, d))

    def send(source, s, step):
        for target, t, w, d in out.get((source, s), ()):
            arriving[target][step + d, t, 1 if w < 0 else 0] += w

    for name, given in (trains or {}).items():
        for step, s in given:
            send(name, s, step)
    v = {name: np.zeros(p.size) if v0 is None or name not in v0 else np.array(v0[name], float) - p.neuron.v_leak
         for name, p in neurons.items()}  # fmt: skip
    i, held = (
        {n: np.zeros((p.size, 2)) for n, p in neurons.items()},
        {n: np.zeros(p.size, int) for n, p in neurons.items()},
    )
    steps = {}
    for name, p in neurons.items():
        q = p.neuron
        taus = (q.tau_exc, q.tau_inh) if hasattr(q, "tau_exc") else (q.tau_syn,) * 2
        steps[name] = [
            (tau, coefficients(Neuron(q.tau_mem, tau, q.r, q.v_threshold, q.v_reset, "hard"), dt, scheme))
            for tau in taus
        ]
    spikes, shown, current = {n: [] for n in neurons}, {n: [] for n in neurons}, {n: [] for n in neurons}
    for step in range(n_steps):
        for name, p in neurons.items():
            q = p.neuron
            x = arriving[name][step]
            for population, mean, w, stream in drives:
                if population == name:
                    x[:, 1 if w < 0 else 0] += w * poisson_counts(mean, p.size, step, stream, seed)
            new, a_vv = np.zeros(p.size), 0.0
            for k, (tau, c) in enumerate(steps[name]):
                a_ii, b_i, a_vv, a_vi, b_v = c
                new += a_vi * i[name][:, k] + b_v * tau * x[:, k]
                i[name][:, k] = a_ii * i[name][:, k] + b_i * tau * x[:, k]
            new += a_vv * v[name]
            for population, series in currents:
                if population == name:
                    new += (1 - a_vv) * q.r * series[step]
            free = held[name] == 0
            new = np.where(free, new, v[name])
            held[name] = np.maximum(held[name] - 1, 0)
            fired = free & (new >= q.v_threshold - q.v_leak)
            shown[name].append(new.copy())
            current[name].append(i[name].sum(1))
            v[name] = np.where(fired, q.v_reset - q.v_leak, new)
            held[name][fired] = round(getattr(q, "t_ref", 0.0) / dt)
            spikes[name] += [(step, int(n)) for n in np.flatnonzero(fired)]
        for name in neurons:
            for t, n in spikes[name][::-1]:
                if t != step:
                    break
                send(name, n, step)
    return spikes, {n: np.array(x) for n, x in shown.items()}, {n: np.array(x) for n, x in current.items()}
