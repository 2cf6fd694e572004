"""Event-driven network, exact in continuous time, and its exact adjoint; neuron by neuron, event by event.

Simultaneous events of one neuron are taken in the order: own spike, sample, inputs (by presynaptic neuron).
So a sample at the instant of an input is not touched by it, and one at the instant of an own spike comes
after the spike.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.optimize import brentq

from tests.reference.coefficients import Neuron, neuron_of, neurons_of


@dataclass
class EventLayer:
    """What one layer did.

    ``times``, ``neurons``, ``slope_minus``, ``slope_plus`` (S,) of its spikes by time, then neuron; ``v`` (K,
    N) at the sample times; ``inputs`` its input's (times, neurons); ``log`` one list a neuron of ``(time,
    kind, index, v, i)`` in order, with kind "input" (index into inputs), "spike" (index into times) or
    "sample", and the state just before it.
    """

    times: np.ndarray
    neurons: np.ndarray
    slope_minus: np.ndarray
    slope_plus: np.ndarray
    v: np.ndarray
    inputs: tuple
    log: list
    neuron: Neuron
    duration: float


@dataclass
class EventGradient:
    """``grad_w`` one (N_in, N_out) a layer; ``e`` one (S,) a layer, dL/d(spike time); ``e_input`` (S_in,)."""

    grad_w: list
    e: list
    e_input: np.ndarray


def _response(t, neuron):
    """``v(t)`` from rest per unit of i(0), ``r/tau_mem e^{-t/tau_mem} int_0^t e^{-d s} ds``."""
    d = 1 / neuron.tau_syn - 1 / neuron.tau_mem
    span = -np.expm1(-d * t) / d if d else t
    return neuron.r / neuron.tau_mem * np.exp(-t / neuron.tau_mem) * span


def closed_form(v, i, t, parameter):
    """State ``(v, i)`` a time ``t`` later, without input and threshold (eqs 6-8)."""
    neuron = neuron_of(parameter)
    return v * np.exp(-t / neuron.tau_mem) + _response(t, neuron) * i, i * np.exp(-t / neuron.tau_syn)


def _extremum(v, i, neuron):
    """Time of the only extremum of v(t), t > 0, or None."""
    if i == 0:
        return None
    relative = v / (neuron.r * i) - 1  # -slope, in units of r i/tau_mem
    d = 1 / neuron.tau_syn - 1 / neuron.tau_mem
    if d == 0:
        t = -relative * neuron.tau_syn
    else:
        argument = relative * neuron.tau_syn * d
        if argument <= -1:
            return None
        t = -np.log1p(argument) / d
    return t if t > 0 else None


def _crossing(v, i, span, neuron):
    """First time in (0, span] at which v(t) comes from below to v_threshold, or None."""

    def excess(t):
        return closed_form(v, i, t, neuron)[0] - neuron.v_threshold

    extremum = _extremum(v, i, neuron)
    ends = [0.0, span] if extremum is None or extremum >= span else [0.0, extremum, span]
    start = v - neuron.v_threshold
    for left, right in pairwise(ends):
        end = excess(right)
        if start < 0 <= end:
            if end == 0:
                return right
            return brentq(excess, left, right, xtol=1e-300, rtol=4 * np.finfo(float).eps, maxiter=1000)
        start = end
    return None


def simulate_events(times, neurons, weights, parameters, duration, readout="spiking", sample_times=()):
    """Spikes of every layer in [0, duration]; see the package's docstring."""
    if readout not in ("spiking", "leaky"):
        raise ValueError(f"readout = {readout!r}")
    times, neurons = np.asarray(times, np.float64), np.asarray(neurons, np.int64)
    samples = np.asarray(sample_times, np.float64)
    for what in (times, samples):
        if len(what) and not (what.min() >= 0 and what.max() <= duration):
            raise ValueError(f"a time lies outside [0, {duration}]")
    layers = []
    for index, (w, neuron) in enumerate(zip(weights, neurons_of(parameters, len(weights)), strict=True)):
        spiking = index < len(weights) - 1 or readout == "spiking"
        layers.append(_layer(times, neurons, np.asarray(w, np.float64), neuron, duration, spiking, samples))
        times, neurons = layers[-1].times, layers[-1].neurons
    return layers


def _layer(times, neurons, w, neuron, duration, spiking, samples):
    order = np.lexsort((neurons, times))
    schedule = [(times[f], "input", int(f)) for f in order] + [(t, "sample", k) for k, t in enumerate(samples)]
    schedule.sort(key=lambda entry: (entry[0], entry[1] == "input"))  # stable
    schedule.append((duration, "end", 0))
    v_samples, log, found = np.zeros((len(samples), w.shape[1])), [], []
    for n in range(w.shape[1]):
        v = i = now = 0.0
        entries = []
        for time, kind, index in schedule:
            while spiking and time > now:
                wait = _crossing(v, i, time - now, neuron)
                if wait is None:
                    break
                i = closed_form(v, i, wait, neuron)[1]
                v, now = neuron.v_threshold, min(now + wait, time)
                after = neuron.after_spike(v)
                entries.append([now, "spike", len(found), v, i])
                found.append((now, n, neuron.slope(v, i), neuron.slope(after, i)))
                v = after
            v, i = closed_form(v, i, time - now, neuron)
            now = time
            entries.append([time, kind, index, v, i])
            if kind == "sample":
                v_samples[index, n] = v
            elif kind == "input":
                i += w[neurons[index], n] / neuron.tau_syn
        log.append(entries)
    found_order = sorted(range(len(found)), key=lambda f: found[f][:2])
    place = {f: rank for rank, f in enumerate(found_order)}
    for entries in log:
        for entry in entries:
            if entry[1] == "spike":
                entry[2] = place[entry[2]]
    columns = [np.array([found[f][c] for f in found_order], t) for c, t in enumerate((float, np.int64, float, float))]
    return EventLayer(*columns, v_samples, (times, neurons), log, neuron, duration)


def event_backward(layers, weights, e=None, dloss_dv=None, max_inverse_slope=np.inf):
    """Derivative of the loss by every weight and every spike time; see the package's docstring.

    Backward in time ``(lambda_v, lambda_i)`` pass a span by the transposed propagator; at an own spike
    ``lambda_v = (slope_plus lambda_v - e)/slope_minus``, at an input ``grad_w += lambda_i/tau_syn`` and
    ``e_pre += w/tau_syn (lambda_i/tau_syn - r/tau_mem lambda_v)``, at a sample ``lambda_v += dloss_dv``.
    """
    into = np.zeros(len(layers[-1].times)) if e is None else np.asarray(e, np.float64)
    if into.shape != layers[-1].times.shape:
        raise ValueError(f"e has shape {into.shape}, the output {len(layers[-1].times)} spikes")
    dv = None if dloss_dv is None else np.asarray(dloss_dv, np.float64)
    result = EventGradient([], [], into)
    for layer, w in zip(reversed(layers), reversed(list(weights)), strict=True):
        w, neuron = np.asarray(w, np.float64), layer.neuron
        grad, e_pre = np.zeros_like(w), np.zeros(len(layer.inputs[0]))
        for n, entries in enumerate(layer.log):
            lambda_v = lambda_i = 0.0
            later = layer.duration
            for time, kind, index, _, _ in reversed(entries):
                span, later = later - time, time
                lambda_i = lambda_i * np.exp(-span / neuron.tau_syn) + _response(span, neuron) * lambda_v
                lambda_v = lambda_v * np.exp(-span / neuron.tau_mem)
                if kind == "spike":
                    slope = layer.slope_minus[index]
                    inverse = max_inverse_slope if slope * max_inverse_slope <= 1 else 1 / slope
                    lambda_v = (layer.slope_plus[index] * lambda_v - into[index]) * inverse
                elif kind == "input":
                    source = layer.inputs[1][index]
                    grad[source, n] += lambda_i / neuron.tau_syn
                    pull = lambda_i / neuron.tau_syn - neuron.r / neuron.tau_mem * lambda_v
                    e_pre[index] += w[source, n] / neuron.tau_syn * pull
                elif kind == "sample" and dv is not None:
                    lambda_v += dv[index, n]
        result.grad_w.insert(0, grad)
        result.e.insert(0, into)
        into, result.e_input, dv = e_pre, e_pre, None
    return result
