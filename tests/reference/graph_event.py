"""Exact simulation of a graph in continuous time, one trial, event by event, and its exact gradient.

Signatures::

    run(graph, inputs, duration) -> Run
        inputs {name: (times, neurons)}; arrivals and releases at or after ``duration`` do not exist.
        Run: times, neurons {node: (S,)} in order of time (inputs: as given); log of events.
    sample(run, population, times) -> v (K, N); at the instant of an arrival: before it
    integral(run, population, tau_w=inf) -> (N,), int_0^duration e^{-t/tau_w} v dt
    maximum(run, population) -> value, time, (N,) each; leaky populations only
    gradients(graph, inputs, duration, loss) -> {tensor: gradient}, all of Graph.tensors(), (N,) or (N_pre, N_post)
        loss(run) -> (value, {population: dloss/dtimes (S,)}, probes), probes a list of
        ("sample", population, times, dloss/dv (K, N)), ("integral", population, tau_w, derivative (N,)),
        ("maximum", population, derivative (N,)).
    backward(run, dtimes, probes) -> gradients, e {node: dL/d(spike time) (S,)}
    flow(x, h, p, held) -> state a time h later, without events
    crossing(x, h, p, above=False) -> first time in [0, h] at which g rises through 0, or None

One order at equal instants: spike, release, arrivals. An arrival changes i, not v: it makes no spike at its instant.

Gradient. Between events a state moves by its closed form, whose derivatives by state and parameters are taken by
complex step and need no formula. With lambda = dL/d(state), an event that maps x to J(x) and comes later by dt changes
the state that follows, at a fixed time, by ``(J' f(x-) - f(x+)) dt``, f = dx/dt:

    arrival   dL/dt = (w/tau_syn) (lambda_i/tau_syn - r/tau_mem lambda_v)   (held: without lambda_v)
    release   rho = dL/dt = -f_v lambda_v
    spike     E = dL/dt = e + rho + (q/tau_a) lambda_a     e: the loss and its arrivals; rho: its release, without
              refractory period at the same instant; dt = -dg/slope_g, g = v - v_threshold - beta a

With reset "none" the membrane after a spike is ``v_threshold + beta a(t)`` instead of v_reset, which adds its parts.
"""

import heapq
from dataclasses import dataclass, field
from itertools import pairwise
from math import exp, expm1, log

import numpy as np
from scipy.optimize import brentq

from tests.reference.graph import FLOW, Graph

TINY = 1e-30  # complex step
NODES, WEIGHTS = np.polynomial.legendre.leggauss(40)  # of integrals over a span, exact to rounding
PRECISE = dict(xtol=1e-300, rtol=4 * np.finfo(float).eps, maxiter=1000)


@dataclass
class Event:
    """What happened to one neuron: the state ``(v, i, a)`` before and after, and whether v is held after."""

    time: float
    kind: str  # "start", "spike", "release", "arrival"
    neuron: tuple  # population, number
    before: tuple
    after: tuple
    held: bool
    what: tuple = ()  # spike: its number; arrival: connection, presynaptic neuron, number of its spike


@dataclass
class Run:
    """What the graph did."""

    graph: Graph
    duration: float
    times: dict = field(default_factory=dict)
    neurons: dict = field(default_factory=dict)
    log: list = field(default_factory=list)
    parameters: dict = field(default_factory=dict)  # of each neuron, floats
    spans: dict = field(default_factory=dict)  # of each neuron: its events, each with the time of the next


def _mean_decay(x):
    """``int_0^1 e^{-x s} ds``."""
    return -expm1(-x) / x if x else 1.0


def _mean_decay_array(x):
    """Of arrays, complex ones too; by its series where the closed form's derivative would lose digits."""
    if not np.iscomplexobj(x):
        there = np.where(x == 0, 1, x)
        return np.where(x == 0, 1, -np.expm1(-there) / there)
    series = 1 + 0 * x
    for n in range(16, 0, -1):
        series = 1 - x / (n + 1) * series
    far = np.abs(x) > 0.5
    large = np.where(far, x, 1)
    return np.where(far, (1 - np.exp(-large)) / large, series)


def flow(x, h, p, held=False, exp=exp, mean_decay=_mean_decay):
    """Closed form; a decay with tau acts by ``int_0^h e^{-(h-s)/tau_mem} e^{-s/tau} ds/tau_mem`` on the membrane."""
    v, i, a = x
    mem = p["tau_mem"]

    def response(tau):
        return exp(-h / mem) * h / mem * mean_decay(h * (1 / tau - 1 / mem))

    if not held:
        rest = p["v_leak"] + p["r"] * p["i_ext"]
        drive = i * response(p["tau_syn"]) - p["c_a"] * a * response(p["tau_a"])
        v = rest + (v - rest) * exp(-h / mem) + p["r"] * drive
    return v, i * exp(-h / p["tau_syn"]), a * exp(-h / p["tau_a"])


def slope_v(x, p):
    """dv/dt of a membrane that is not held."""
    v, i, a = x
    return (p["r"] * (i + p["i_ext"] - p["c_a"] * a) - v + p["v_leak"]) / p["tau_mem"]


def excess(x, p):
    """``g = v - v_threshold - beta a``."""
    return x[0] - p["beta"] * x[2] - p["v_threshold"]


def slope_g(x, p):
    """dg/dt."""
    return slope_v(x, p) + p["beta"] * x[2] / p["tau_a"]


def turning_points(x, h, p):
    """Times in (0, h) at which dg/dt = 0.

    ``(e^{t/tau_mem} g')' e^{-t/tau_mem} = g'' + g'/tau_mem`` has no v: it is a sum of e^{-t/tau_syn} and e^{-t/tau_a},
    with one zero at most, so that e^{t/tau_mem} g' is monotone on either side of it and has one zero there at most.
    """
    by_i = -x[1] * p["r"] / (p["tau_mem"] * p["tau_syn"])
    by_a = x[2] / p["tau_a"] * (p["r"] * p["c_a"] / p["tau_mem"] + p["beta"] * (1 / p["tau_mem"] - 1 / p["tau_a"]))
    cuts, rate = [0.0, h], 1 / p["tau_a"] - 1 / p["tau_syn"]
    if by_i * by_a < 0 and rate:
        zero = log(-by_a / by_i) / rate
        if 0 < zero < h:
            cuts.insert(1, zero)

    def slope(t):
        return slope_g(flow(x, t, p), p)

    return [brentq(slope, *ends, **PRECISE) for ends in pairwise(cuts) if slope(ends[0]) * slope(ends[1]) < 0]


def crossing(x, h, p, above=False):
    """First time in [0, h] at which g rises through 0; ``above``: g starts at or above 0, without a spike."""

    def g(t):
        return excess(flow(x, t, p), p)

    for left, right in pairwise([0.0, *turning_points(x, h, p), h]):
        end = g(right)
        if end >= 0 and not above:
            return left if g(left) >= 0 else brentq(g, left, right, **PRECISE)
        above = above and end >= 0
    return None


class _Neuron:
    """Its state at its own last event, and when it will spike if nothing else happens."""

    def __init__(self, run, key):
        self.run, self.key, self.p = run, key, run.parameters[key]
        self.population = run.graph.populations[key[0]]
        self.x, self.held, self.now, self.above = (self.p["v0"], self.p["i0"], self.p["a0"]), False, 0.0, False
        if self.population.spiking and excess(self.x, self.p) >= 0:
            raise ValueError(f"{key}: starts above threshold")
        self.happens("start", 0.0, self.x)

    def at(self, time):
        """State at ``time``, before anything happens then."""
        h = time - self.now
        if self.above and h > 0:
            ends = [*turning_points(self.x, h, self.p), h]
            self.above = all(excess(flow(self.x, t, self.p), self.p) >= 0 for t in ends)
        return flow(self.x, h, self.p, self.held)

    def happens(self, kind, time, after, before=None, what=()):
        """Log it, and look for the next spike."""
        self.run.log.append(Event(time, kind, self.key, before, after, self.held, what))
        self.x, self.now, self.next = after, time, np.inf
        if self.population.spiking and not self.held:
            wait = crossing(after, self.run.duration - time, self.p, self.above)
            self.next = np.inf if wait is None else time + wait

    def spike(self, number):
        time, p = self.next, self.p
        _, i, a = self.at(time)
        threshold = p["v_threshold"] + p["beta"] * a
        v = threshold if self.population.reset == "none" else p["v_reset"]
        after = v, i, a + p["q"]
        self.above = excess(after, p) >= 0
        if self.above and self.population.reset != "none":
            raise ValueError(f"{self.key}: v_reset is not below threshold")
        self.held = p["t_ref"] > 0
        self.happens("spike", time, after, (threshold, i, a), (number,))

    def release(self, time):
        before = self.at(time)
        self.held, self.above = False, excess(before, self.p) >= 0
        self.happens("release", time, before, before)

    def arrive(self, time, jump, what):
        v, i, a = before = self.at(time)
        self.happens("arrival", time, (v, i + jump, a), before, what)


def run(graph, inputs, duration):
    """Simulate; see the module's docstring."""
    r = Run(graph, float(duration))
    for name, pop in graph.populations.items():
        for n in range(pop.size):
            r.parameters[name, n] = {key: float(value[n]) for key, value in pop.p.items()}
    neurons = {key: _Neuron(r, key) for key in r.parameters}
    queue, count = [], 0

    def send(name, j, time, number):
        nonlocal count
        for c in graph.connections.values():
            for n in np.flatnonzero(c.mask[j]) if c.source == name else ():
                if c.delay[j, n] < 0:
                    raise ValueError(f"{c.name}: a negative delay")
                heapq.heappush(queue, (time + float(c.delay[j, n]), 1, count, (c.target, int(n)), (c.name, j, number)))
                count += 1

    for name in graph.inputs:
        r.times[name], r.neurons[name] = np.array(inputs[name][0], float), np.array(inputs[name][1], int)
        for number, (time, j) in enumerate(zip(r.times[name].tolist(), r.neurons[name].tolist(), strict=True)):
            send(name, j, time, number)
    found = {name: [] for name in graph.populations}
    while True:
        first = min(neurons.values(), key=lambda neuron: neuron.next)
        time = min(first.next, queue[0][0] if queue else np.inf)
        if first.next == time and time <= duration:
            name, n = first.key
            first.spike(len(found[name]))
            if first.held:
                heapq.heappush(queue, (time + first.p["t_ref"], 0, count, first.key, None))
                count += 1
            send(name, n, time, len(found[name]))
            found[name].append((time, n))
        elif time < duration:
            _, kind, _, key, what = heapq.heappop(queue)
            if kind == 0:
                neurons[key].release(time)
            else:
                weight = float(graph.connections[what[0]].weight[what[1], key[1]])
                neurons[key].arrive(time, weight / neurons[key].p["tau_syn"], what)
        else:
            break
    for key in r.parameters:
        events = [event for event in r.log if event.neuron == key]
        r.spans[key] = list(zip(events, [event.time for event in events[1:]] + [r.duration], strict=True))
    for name, spikes in found.items():
        r.times[name] = np.array([time for time, _ in spikes], float)
        r.neurons[name] = np.array([n for _, n in spikes], int)
    return r


def _keys(r, population):
    return [(population, n) for n in range(r.graph.populations[population].size)]


def _inside(event, end, times):
    """Which of ``times`` lie in the span that follows an event (0 belongs to the first)."""
    return [k for k, t in enumerate(times) if event.time < t <= end or (t == event.time and event.kind == "start")]


def sample(r, population, times):
    """Membranes at ``times``."""
    v = np.full((len(times), r.graph.populations[population].size), np.nan)
    for key in _keys(r, population):
        for event, end in r.spans[key]:
            for k in _inside(event, end, times):
                v[k, key[1]] = flow(event.after, times[k] - event.time, r.parameters[key], event.held)[0]
    return v


def _integral_nodes(event, end, tau_w):
    """Times from the event on, and weights, of ``int e^{-t/tau_w} (.) dt`` over a span."""
    h = end - event.time
    nodes = h * (1 + NODES) / 2
    return nodes, h * WEIGHTS / 2 * np.exp(-(event.time + nodes) / tau_w)


def integral(r, population, tau_w=np.inf):
    """Integral of every membrane over the trial, weighted with e^{-t/tau_w}."""
    total = np.zeros(r.graph.populations[population].size)
    for key in _keys(r, population):
        for event, end in r.spans[key]:
            nodes, weight = _integral_nodes(event, end, tau_w)
            v = flow(event.after, nodes, r.parameters[key], event.held, np.exp, _mean_decay_array)[0]
            total[key[1]] += np.sum(weight * v)
    return total


def maximum(r, population):
    """Largest value of every membrane and when it is reached."""
    if r.graph.populations[population].spiking:
        raise ValueError(f"{population} spikes: its membrane's maximum is the threshold")
    best = []
    for key in _keys(r, population):
        p = r.parameters[key] | {"beta": 0.0}
        points = []
        for event, end in r.spans[key]:
            h = end - event.time
            for t in [0.0, *turning_points(event.after, h, p), h]:
                points.append((flow(event.after, t, p)[0], end if t == h else event.time + t))
        best.append(max(points))
    value, time = np.array(best).T
    return value, time


def gradients(graph, inputs, duration, loss):
    """Gradient of ``loss`` by every tensor."""
    r = run(graph, inputs, duration)
    _, dtimes, probes = loss(r)
    return backward(r, dtimes, probes)[0]


def _transport(event, end, p, lam, probed):
    """Back over the span after an event: dL/d(parameters of FLOW), dL/d(state after the event).

    ``probed`` is a list of (times from the event on, weights): the loss contains sum weight v(time).
    """
    size = len(FLOW) + 3
    values = np.array([p[key] for key in FLOW] + list(event.after), complex) + 1j * TINY * np.eye(size)
    moved = dict(zip(FLOW, values[:, : len(FLOW)].T, strict=True))
    times = np.concatenate([[end - event.time], *(t for t, _ in probed)])[:, None]
    states = flow(values[:, len(FLOW) :].T, times, moved, event.held, np.exp, _mean_decay_array)
    v, i, a = (np.broadcast_to(state.imag / TINY, (len(times), size)) for state in states)
    total = lam[0] * v[0] + lam[1] * i[0] + lam[2] * a[0]
    total = total + np.concatenate([np.zeros(0), *(weight for _, weight in probed)]) @ v[1:]
    return total[: len(FLOW)], total[len(FLOW) :]


def _probed(probes, peaks, event, end):
    """What ``_transport`` needs of the probes, and the density of integrals at the span's begin."""
    name, n = event.neuron
    found, density = [], 0.0
    for kind, population, *rest in probes:
        if population != name:
            continue
        if kind == "sample":
            times, by_v = rest
            inside = _inside(event, end, times)
            found.append((np.array([times[k] - event.time for k in inside]), np.array([by_v[k][n] for k in inside])))
        elif kind == "integral":
            tau_w, by_integral = rest
            nodes, weight = _integral_nodes(event, end, tau_w)
            found.append((nodes, by_integral[n] * weight))
            density += by_integral[n] * np.exp(-event.time / tau_w)
        elif kind == "maximum":
            if _inside(event, end, [peaks[name][n]]):
                found.append((np.array([peaks[name][n] - event.time]), np.array([rest[0][n]])))
        else:
            raise ValueError(f"probe {kind!r}")
    return found, density


def _kink(probes, peaks, event, p):
    """What a maximum that sits on an arrival adds to dL/d(arrival time)."""
    name, n = event.neuron
    if name not in peaks or peaks[name][n] != event.time:
        return 0.0
    weights = [by_value[n] for kind, population, *_, by_value in probes if kind == "maximum" and population == name]
    return sum(weights) * slope_v(event.before, p)


def backward(r, dtimes, probes=()):
    """Exact gradient; see the module's docstring."""
    graph = r.graph
    grads = {name: np.zeros(tensor.shape) for name, tensor in graph.tensors().items()}
    e = {name: np.zeros(len(times)) for name, times in r.times.items()}
    for name, by_time in dtimes.items():
        e[name] += by_time
    lam = {key: np.zeros(3) for key in r.parameters}
    later = {key: r.duration for key in r.parameters}
    released = {key: (0.0, 0.0) for key in r.parameters}  # lambda_v at the release, dL/d(its time)
    peaks = {population: maximum(r, population)[1] for kind, population, *_ in probes if kind == "maximum"}
    for event in reversed(r.log):
        key = name, n = event.neuron
        p = r.parameters[key]

        def add(parameter, value, name=name, n=n):
            grads[f"{name}.{parameter}"][n] += value

        probed, density = _probed(probes, peaks, event, later[key])
        by_flow, (l_v, l_i, l_a) = _transport(event, later[key], p, lam[key], probed)
        for parameter, value in zip(FLOW, by_flow, strict=True):
            add(parameter, value)
        if event.kind == "spike":
            if event.held:
                at_release, rho = released[key]
                released[key] = 0.0, 0.0
            else:
                at_release, rho, l_v = l_v, -slope_v(event.after, p) * l_v, 0.0
            moved = e[name][event.what[0]] + rho + p["q"] / p["tau_a"] * l_a
            moved += density * (event.before[0] - event.after[0])
            v_after = l_v + at_release  # dL/d(the membrane after the reset)
            to_threshold, a = 0.0, event.before[2]
            if graph.populations[name].reset == "none":
                moved -= v_after * p["beta"] * a / p["tau_a"]
                to_threshold = v_after
            else:
                add("v_reset", v_after)
            by_g = -moved / slope_g(event.before, p)
            to_threshold -= by_g
            add("v_threshold", to_threshold)
            add("beta", a * to_threshold)
            add("q", l_a)
            add("t_ref", rho)
            l_v, l_a = by_g, l_a + p["beta"] * to_threshold
        elif event.kind == "release":
            released[key] = l_v, -slope_v(event.after, p) * l_v
            l_v = 0.0
        elif event.kind == "arrival":
            connection, j, number = event.what
            c, tau = graph.connections[connection], p["tau_syn"]
            by_time = c.weight[j, n] / tau * (l_i / tau - (0.0 if event.held else p["r"] / p["tau_mem"] * l_v))
            by_time += _kink(probes, peaks, event, p)
            grads[connection][j, n] += l_i / tau
            grads[f"{connection}.delay"][j, n] += by_time
            e[c.source][number] += by_time
            add("tau_syn", -c.weight[j, n] / tau**2 * l_i)
        elif event.kind == "start":
            for parameter, value in (("v0", l_v), ("i0", l_i), ("a0", l_a)):
                add(parameter, value)
        lam[key], later[key] = np.array([l_v, l_i, l_a]), event.time
    return grads, e
