"""Clock-driven network, one sample, and its four gradients, step by step and neuron by neuron."""

from dataclasses import dataclass

import numpy as np

from tests.reference.coefficients import Neuron, coefficients, neurons_of


@dataclass
class ClockLayer:
    """What one layer did; all arrays (T, N) float64 unless noted.

    ``x`` summed weights of arriving spikes, ``v`` before and ``v_after`` after the reset, ``i``, ``spikes`` 0
    or 1, ``slope_minus`` the secant ``(v_k - ~v_{k-1})/dt``, ``slope_plus`` the membrane equation's slope
    after the reset (both given at every step, meant at spikes), ``inputs`` (T, N_in) spike counts.
    """

    x: np.ndarray
    v: np.ndarray
    v_after: np.ndarray
    i: np.ndarray
    spikes: np.ndarray
    slope_minus: np.ndarray
    slope_plus: np.ndarray
    inputs: np.ndarray
    coefficients: tuple
    neuron: Neuron
    dt: float
    area: float
    spiking: bool

    @property
    def v_before(self):
        """``~v_{k-1}``, (T, N): the membrane at the step's begin."""
        return np.vstack([np.zeros((1, self.v.shape[1])), self.v_after[:-1]])


@dataclass
class ClockGradient:
    """Gradients of one sample, one entry a layer; ``e`` entered the layer (time gradient or amplitude)."""

    grad_w: list
    e: list
    g: list
    h: list
    X: list
    e_input: np.ndarray


def clock_forward(
    spikes,
    weights,
    parameters,
    dt,
    scheme="backward_euler",
    impulse="unit-area",
    readout="spiking",
    coefficient_sets=None,
):
    """Run every layer over all steps; see the package's docstring."""
    if readout not in ("spiking", "leaky"):
        raise ValueError(f"readout = {readout!r}")
    neurons = neurons_of(parameters, len(weights))
    s = np.asarray(spikes, np.float64)
    layers = []
    for index, (w, neuron) in enumerate(zip(weights, neurons, strict=True)):
        if coefficient_sets is None:
            coefficient = coefficients(neuron, dt, scheme, impulse)
        else:
            coefficient = tuple(float(c) for c in coefficient_sets[index])
        spiking = index < len(weights) - 1 or readout == "spiking"
        area = dt if impulse == "unit-height" else 1.0
        layers.append(_layer_forward(s, np.asarray(w, np.float64), neuron, coefficient, dt, area, spiking))
        s = layers[-1].spikes
    return layers


def _layer_forward(inputs, w, neuron, coefficient, dt, area, spiking):
    a_ii, b_i, a_vv, a_vi, b_v = coefficient
    shape = len(inputs), w.shape[1]
    x, v, v_after, i, spikes, slope_minus, slope_plus = (np.zeros(shape) for _ in range(7))
    for n in range(shape[1]):
        v_last = i_last = 0.0
        for k in range(shape[0]):
            x[k, n] = sum(inputs[k, j] * w[j, n] for j in np.flatnonzero(inputs[k]))
            v[k, n] = a_vv * v_last + a_vi * i_last + b_v * x[k, n]
            i[k, n] = a_ii * i_last + b_i * x[k, n]
            spikes[k, n] = spiking and v[k, n] >= neuron.v_threshold
            v_after[k, n] = neuron.after_spike(v[k, n]) if spikes[k, n] else v[k, n]
            slope_minus[k, n] = (v[k, n] - v_last) / dt
            slope_plus[k, n] = neuron.slope(v_after[k, n], i[k, n])
            v_last, i_last = v_after[k, n], i[k, n]
    return ClockLayer(x, v, v_after, i, spikes, slope_minus, slope_plus, inputs, coefficient, neuron, dt, area, spiking)


def inverse_slope(layer, k, n, limit):
    """``1/slope_minus``, at most ``limit``; the membrane equation's slope if the secant is not positive."""
    slope = layer.slope_minus[k, n]
    if not slope > 0:
        slope = layer.neuron.slope(layer.v[k, n], layer.i[k, n])
    return limit if slope <= 0 else min(1 / slope, limit)


def clock_backward(
    layers,
    weights,
    gradient="exact",
    e=None,
    amplitude=None,
    dloss_dv=None,
    dloss_di=None,
    weight_gradient="discrete",
    max_inverse_slope=1e4,
    tssl_max_inverse_difference=8.0,
    sigmoid_fallback=False,
    sigmoid_width=0.2,
    beta=10.0,
):
    """Gradient of one sample; see the package's docstring.

    ``exact``
        ``g_k = (1-s_k) p + s_k (slope_plus p - e_k)/slope_minus``,
        ``e^{(l-1)}_k = s_k W^T (X_{k+1} - X_k)/dt``.
    ``literal``
        The same ``g_k``; ``e^{(l-1)}_k = s_k W^T Z_k`` with ``Z_k = h_k b_i/tau_syn + a_ii Z_{k+1}``.
    ``tssl``
        ``e_k`` is an amplitude, ``e^{(l-1)}_k = W^T X_k``; at a spike ``g_k = sg (e_k - (v_k - ~v_k) p) +
        keep p`` with ``sg = min(1/(v_k - ~v_{k-1}), limit)`` (the limit where the difference is not positive)
        and keep 0 for the hard reset, 1 otherwise. With ``sigmoid_fallback``, a neuron without a spike in the
        trial has ``g_k = p + e_k sigma'((v_k - v_threshold)/width)/width`` in every step, sigma the logistic
        function.
    ``surrogate``
        Amplitudes as in ``tssl``; in every step ``g_k = sg e_k + (1-s_k) p`` (hard) or ``sg e_k + p``, with
        ``sg = 1/(1 + beta |v_k - v_threshold|)^2``; the reset's dependence on s is left out (detached).

    A leaky readout has ``g_k = p`` with every kind. ``dloss/dv_k`` and ``dloss/di_k`` are added in the last
    layer. Weight gradient: ``discrete`` ``sum X_k s_k``, ``continuous`` ``sum h_k s_k area/tau_syn`` (area:
    1, or dt for unit-height impulses).
    """
    timed = gradient in ("exact", "literal")
    if gradient not in ("exact", "literal", "tssl", "surrogate"):
        raise ValueError(f"gradient = {gradient!r}")
    if weight_gradient not in ("discrete", "continuous"):
        raise ValueError(f"weight_gradient = {weight_gradient!r}")
    if (amplitude is not None) if timed else (e is not None):
        raise ValueError(f"gradient = {gradient!r} takes {'e' if timed else 'amplitude'}")
    zero = np.zeros_like(layers[-1].v)
    into = next((np.asarray(a, np.float64) for a in (e, amplitude) if a is not None), zero)
    if timed:
        into = into * layers[-1].spikes
    dv = zero if dloss_dv is None else np.asarray(dloss_dv, np.float64)
    di = zero if dloss_di is None else np.asarray(dloss_di, np.float64)

    result = ClockGradient([], [], [], [], [], zero)
    for layer, w in zip(reversed(layers), reversed(list(weights)), strict=True):
        w = np.asarray(w, np.float64)
        a_ii, b_i, a_vv, a_vi, b_v = layer.coefficients
        neuron, (n_steps, n_neurons) = layer.neuron, layer.v.shape
        g, h, x_bar, z = (np.zeros((n_steps + 1, n_neurons)) for _ in range(4))  # row T stays 0
        v_before = layer.v_before
        for n in range(n_neurons):
            silent = not layer.spikes[:, n].any()
            for k in range(n_steps - 1, -1, -1):
                p, spike = a_vv * g[k + 1, n], layer.spikes[k, n] == 1
                v, incoming = layer.v[k, n], into[k, n]
                if not layer.spiking:
                    g[k, n] = p
                elif timed:
                    g[k, n] = p
                    if spike:
                        g[k, n] = (layer.slope_plus[k, n] * p - incoming) * inverse_slope(
                            layer, k, n, max_inverse_slope
                        )
                elif gradient == "tssl":
                    g[k, n] = p
                    if spike:
                        difference = v - v_before[k, n]
                        limit = tssl_max_inverse_difference
                        sg = limit if difference <= 0 else min(1 / difference, limit)
                        keep = 0.0 if neuron.reset == "hard" else 1.0
                        g[k, n] = sg * (incoming - (v - layer.v_after[k, n]) * p) + keep * p
                    elif silent and sigmoid_fallback:
                        sigma = 1 / (1 + np.exp(-(v - neuron.v_threshold) / sigmoid_width))
                        g[k, n] = p + incoming * sigma * (1 - sigma) / sigmoid_width
                else:
                    sg = 1 / (1 + beta * abs(v - neuron.v_threshold)) ** 2
                    g[k, n] = sg * incoming + (0.0 if spike and neuron.reset == "hard" else p)
                g[k, n] += dv[k, n]
                h[k, n] = a_ii * h[k + 1, n] + a_vi * g[k + 1, n] + di[k, n]
                x_bar[k, n] = b_v * g[k, n] + b_i * h[k, n]
                z[k, n] = h[k, n] * b_i / neuron.tau_syn + a_ii * z[k + 1, n]
        grad = np.zeros_like(w)
        e_pre = np.zeros_like(layer.inputs)
        for k in range(n_steps):
            factor = x_bar[k] if weight_gradient == "discrete" else h[k] * layer.area / neuron.tau_syn
            grad += np.outer(layer.inputs[k], factor)
            if gradient == "exact":
                e_pre[k] = (layer.inputs[k] > 0) * (w @ (x_bar[k + 1] - x_bar[k])) / layer.dt
            elif gradient == "literal":
                e_pre[k] = (layer.inputs[k] > 0) * (w @ z[k])
            else:
                e_pre[k] = w @ x_bar[k]
        result.grad_w.insert(0, grad)
        result.e.insert(0, into)
        for field, rows in ((result.g, g), (result.h, h), (result.X, x_bar)):
            field.insert(0, rows[:-1])
        into, result.e_input = e_pre, e_pre
        dv = di = np.zeros_like(e_pre)
    return result


def threshold_margin(layers):
    """Smallest distance of a membrane (before reset) to its threshold, over all spiking layers."""
    return min((np.abs(y.v - y.neuron.v_threshold).min() for y in layers if y.spiking), default=np.inf)


def bin_spikes(times, neurons, n_neurons, n_steps, dt):
    """Spike counts (T, N); step k is ``(k dt, (k+1) dt]``, a spike outside all steps is an error."""
    counts = np.zeros((n_steps, n_neurons))
    for t, n in zip(times, neurons, strict=True):
        k = int(np.ceil(t / dt)) - 1
        if not 0 <= k < n_steps:
            raise ValueError(f"spike at {t} lies outside (0, {n_steps * dt}]")
        counts[k, n] += 1
    return counts
