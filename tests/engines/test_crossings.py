"""First crossings of up to three exponentials beside a dense scan, and adaptation beside an integrator of order 8."""

import math

import numpy as np
import pytest
from numba import njit
from scipy.integrate import solve_ivp

from snnsim.dynamics.graph_events import adaptive_crossing
from snnsim.engines.event_graph import GraphEventEngine
from snnsim.engines.outputs import slab_of_spikes
from snnsim.network import Network
from snnsim.parameters import ALIF, AdLIF
from snnsim.spikes import Spikes

POINTS = 1000
MISSED, LATE, INVENTED, FOUND, HIDDEN = range(5)


@njit(error_model="numpy")
def scanned(states, counts):
    """Count what the finder does wrong, beside ``w - beta a`` on a grid of :data:`POINTS`, by partial fractions.

    A state is (w, u, a, threshold, span, tau_mem, tau_syn, tau_a, beta, pull). Found crossings are judged where they
    are found, too, and by what the scan can see: its grid hides an extremum no higher than the curvature times an
    eighth of its squared spacing.
    """
    for k in range(len(states)):
        w, u, a, theta, span, tau_mem, tau_syn, tau_a, beta, pull = states[k]
        by_syn, by_ada = u * tau_syn / (tau_mem - tau_syn), pull * a * tau_a / (tau_mem - tau_a)
        m, s, z = w + by_syn - by_ada, -by_syn, by_ada - beta * a  # g = m e^{-t/tau_mem} + s e^{-t/tau_syn} + ...
        if m + s + z >= theta:
            continue
        rounding = 1e-12 * (abs(m) + abs(s) + abs(z) + abs(theta))
        h = span / POINTS
        hidden = h * h / 8 * (abs(m) / tau_mem**2 + abs(s) / tau_syn**2 + abs(z) / tau_a**2)
        wait = adaptive_crossing(w, u, a, span, theta, tau_mem, tau_syn, tau_a, beta, pull)
        step_m, step_s, step_z = math.exp(-h / tau_mem), math.exp(-h / tau_syn), math.exp(-h / tau_a)
        e_m, e_s, e_z = m, s, z
        highest, first = m + s + z, -1
        for p in range(1, POINTS + 1):
            e_m, e_s, e_z = e_m * step_m, e_s * step_s, e_z * step_z
            g = e_m + e_s + e_z
            highest = max(highest, g)
            if first < 0 and g >= theta + rounding:
                first = p
        if wait < 0:
            counts[MISSED] += first >= 0
            continue
        counts[FOUND] += 1
        at = m * math.exp(-wait / tau_mem) + s * math.exp(-wait / tau_syn) + z * math.exp(-wait / tau_a)
        counts[LATE] += first >= 0 and first * h < wait - 1e-9 * span
        counts[INVENTED] += wait > span or abs(at - theta) > rounding or highest < theta - hidden - rounding
        counts[HIDDEN] += first < 0


def random_states(rng, n):
    """Thresholds around the reach of the membrane, a quarter each with constant current, ALIF, AdLIF and both alone."""
    kind = rng.integers(0, 4, n)
    taus = rng.uniform(0.3, 2.0, (3, n))
    close = rng.random(n) < 0.2
    taus[1:, close] = taus[0, close] * (1 + rng.normal(0, 0.02, (2, close.sum())))
    a = np.where(kind == 0, 0.0, rng.exponential(1.0, n))
    beta = np.where((kind == 1) | (kind == 3), rng.uniform(0, 1, n), 0.0)
    pull = np.where(kind >= 2, rng.uniform(0, 1, n), 0.0)
    columns = (rng.normal(0, 1, n), rng.normal(0, 2, n), a, rng.normal(0, 0.5, n), rng.exponential(1.5, n))
    return np.ascontiguousarray(np.stack([*columns, *taus, beta, pull], axis=1))


@pytest.mark.parametrize("n", [10_000, pytest.param(1_000_000, marks=pytest.mark.slow)])
def test_first_crossings_are_neither_missed_nor_invented(n):
    counts = np.zeros(5, np.int64)
    scanned(random_states(np.random.default_rng(n), n), counts)
    assert counts[MISSED] == counts[LATE] == counts[INVENTED] == 0
    assert counts[FOUND] > n // 10
    assert counts[HIDDEN] < n // 100  # found between two points of the scan


@pytest.mark.parametrize(
    "neuron",
    [
        ALIF(tau_mem=0.8, tau_syn=0.5, tau_a=1.3, beta=0.3, q=0.5, a0=0.2, v0=0.1, i0=0.4, v_reset=-0.1, t_ref=0.03),
        AdLIF(tau_mem=0.9, tau_syn=0.4, tau_a=0.6, c_a=0.5, q=0.6, a0=0.1, v_leak=0.05),
    ],
    ids=["threshold", "current"],
)
def test_adaptation_is_what_an_integrator_of_order_8_makes_of_the_equations(neuron):
    duration, bias = 4.0, 0.3
    rng = np.random.default_rng(4)
    arrivals, weights = np.sort(rng.uniform(0, 3.5, 14)), rng.normal(0.6, 0.5, 14)
    net = Network()
    net.input("input", 14)
    net.population("output", 1, neuron, bias=bias)
    net.connect("input", "output", weight=weights[:, None])
    inputs = slab_of_spikes(Spikes.from_trials([(arrivals, np.arange(14))], 14, duration))
    slab = GraphEventEngine(net, duration=duration).forward(net.tensors, inputs)
    times = slab.times[0, : slab.counts[0]]
    assert len(times) > 5
    truth = integrated(neuron, bias, arrivals, weights, duration)
    assert len(truth) == len(times)
    assert np.abs(times - truth).max() < 1e-9


def integrated(p, bias, arrivals, weights, duration):
    """Spike times by DOP853 from one event to the next."""
    beta, c_a = getattr(p, "beta", 0.0), getattr(p, "c_a", 0.0)
    state, t, held, spikes = np.array([p.start, p.i0, p.a0]), 0.0, 0.0, []
    stops = [*zip(arrivals, weights, strict=True), (duration, 0.0)]

    def threshold(_, y):
        return y[0] - beta * y[2] - p.v_threshold

    threshold.terminal, threshold.direction = True, 1
    for stop, weight in stops:
        while t < stop:
            free = t >= held

            def slopes(_, y, free=free):
                dv = (p.v_leak - y[0] + p.r * (y[1] + bias - c_a * y[2])) / p.tau_mem
                return [dv if free else 0.0, -y[1] / p.tau_syn, -y[2] / p.tau_a]

            end = stop if free else min(held, stop)
            found = solve_ivp(
                slopes, (t, end), state, "DOP853", events=threshold if free else None, rtol=1e-12, atol=1e-13,
                max_step=0.02,
            )  # fmt: skip
            t, state = found.t[-1], found.y[:, -1]
            if free and found.status == 1:
                t, state = found.t_events[0][0], found.y_events[0][0]
                spikes.append(t)
                state, held = np.array([p.v_reset, state[1], state[2] + p.q]), t + p.t_ref
        state[1] += weight / p.tau_syn
    return np.array(spikes)
