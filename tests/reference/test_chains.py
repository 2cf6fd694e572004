"""The oracle against what does not share its formulas: closed forms, solve_ivp, central differences, each other."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from tests.reference import (
    bin_spikes,
    central_difference,
    clock_backward,
    clock_forward,
    closed_form,
    coefficients,
    cosine,
    event_backward,
    explicit_backward,
    relative_error,
    simulate_events,
    threshold_margin,
)

SCHEMES = ("forward_euler", "backward_euler", "exact", "bilinear")
RESETS = ("hard", "subtract", "none")
TAUS = ((0.8, 0.6), (0.6, 0.6), (0.5, 1.0), (0.8, 0.4))  # the study's; equal; synapse slower; BATS' ratio 2
ROUNDING = 1e-12  # float64 sums of some hundred terms, ordered differently
DIFFERENCE = 1e-6  # central differences with step 1e-6: truncation 1e-12 times curvature, rounding 1e-16/1e-6


def parameter(tau_mem=0.8, tau_syn=0.6, reset="hard", **other):
    return dict(tau_mem=tau_mem, tau_syn=tau_syn, r=1.2, v_threshold=1.0, v_reset=0.2, reset=reset) | other


def random_weights(rng, sizes, mean=1.6, std=1.2):
    return [rng.normal(mean / a, std / np.sqrt(a), (a, b)) for a, b in pairwise(sizes)]


def clock_case(seed, reset="hard", scheme="backward_euler", readout="spiking", n_steps=30, **options):
    rng = np.random.default_rng(seed)
    weights = random_weights(rng, (6, 5, 4, 3), mean=2.4, std=1.5)
    spikes = rng.poisson(0.25, (n_steps, 6))  # some steps hold two spikes of one input
    layers = clock_forward(spikes, weights, parameter(reset=reset), 0.05, scheme, readout=readout, **options)
    return layers, weights, rng.normal(size=(3, n_steps, 3))


def event_case(seed, sizes, taus, reset="hard", n_inputs=14, duration=2.5):
    rng = np.random.default_rng(seed)
    weights = random_weights(rng, sizes, mean=1.7, std=0.9)
    neurons = rng.integers(0, sizes[0], n_inputs)
    times = np.sort(rng.uniform(0, 0.7 * duration, n_inputs))
    return rng, weights, (times, neurons), parameter(*taus, reset=reset), duration


class SpikeTimeLoss:
    """sum of ``c[n, rank] t + 0.3 t^2`` over output spikes."""

    def __init__(self, rng, n_outputs):
        self.c = rng.normal(size=(n_outputs, 200))

    def _terms(self, layer):
        rank = np.zeros(len(self.c), int)
        for t, n in zip(layer.times, layer.neurons, strict=True):
            yield self.c[n, rank[n]], t
            rank[n] += 1

    def __call__(self, layers):
        return sum(c * t + 0.3 * t * t for c, t in self._terms(layers[-1]))

    def gradient(self, layers):
        return np.array([c + 0.6 * t for c, t in self._terms(layers[-1])])


def spike_counts(layers):
    return [np.bincount(layer.neurons, minlength=10).tolist() for layer in layers]


def assert_event_gradient(loss, weights, inputs, parameters, duration, gradient, **options):
    """Every weight matrix and the input spike times, by name, against central differences."""

    def check(array, result, run, name):
        done = {}  # the loss and the spike counts of one perturbation come from one simulation

        def layers(moved):
            key = moved.tobytes()
            if key not in done:
                done[key] = run(moved)
            return done[key]

        numeric = central_difference(lambda a: loss(layers(a)), array, 1e-6, lambda a: spike_counts(layers(a)))
        assert np.isnan(numeric).mean() < 0.2
        assert relative_error(result, numeric) < DIFFERENCE, name

    times, neurons = inputs
    for index, w in enumerate(weights):

        def with_weights(w, index=index):
            moved = [*weights[:index], w, *weights[index + 1 :]]
            return simulate_events(times, neurons, moved, parameters, duration, **options)

        check(w, gradient.grad_w[index], with_weights, f"grad_w[{index}]")
    check(
        times,
        gradient.e_input,
        lambda t: simulate_events(t, neurons, weights, parameters, duration, **options),
        "e_input",
    )


# Clock, forward


@pytest.mark.parametrize("taus", TAUS)
def test_schemes_solve_their_own_equations(taus):
    p, dt, x = parameter(*taus), 0.07, 1.7
    tau_mem, tau_syn, r = p["tau_mem"], p["tau_syn"], p["r"]
    for scheme in ("forward_euler", "backward_euler", "bilinear"):
        a_ii, b_i, a_vv, a_vi, b_v = coefficients(p, dt, scheme)
        v, i = 0.4, -0.9
        v_new, i_new = a_vv * v + a_vi * i + b_v * x, a_ii * i + b_i * x
        old, new = {"forward_euler": (1, 0), "backward_euler": (0, 1), "bilinear": (0.5, 0.5)}[scheme]
        v_mean, i_mean = old * v + new * v_new, old * i + new * i_new
        assert tau_mem * (v_new - v) / dt == pytest.approx(-v_mean + r * i_mean, rel=ROUNDING)
        assert tau_syn * (i_new - i) / dt == pytest.approx(-i_mean + x / dt, rel=ROUNDING)


@pytest.mark.parametrize("taus", [*TAUS, (0.6, 0.6 + 1e-9)])
def test_exact_scheme_is_the_closed_form(taus):
    p, dt, n_steps, w = parameter(*taus), 0.1, 40, 0.7
    spikes = np.zeros((n_steps, 1))
    spikes[2] = 1
    (layer,) = clock_forward(spikes, [np.array([[w]])], p, dt, "exact", readout="leaky")
    t = (np.arange(n_steps) - 2) * dt
    tau_mem, tau_syn = taus
    i = np.where(t >= 0, w / tau_syn * np.exp(-t / tau_syn), 0)
    if abs(tau_mem - tau_syn) < 1e-6:
        v = p["r"] * i * t / tau_mem  # the limit, off by 1e-9
    else:
        v = p["r"] * w / (tau_mem - tau_syn) * (np.exp(-t / tau_mem) - np.exp(-t / tau_syn)) * (t >= 0)
    tolerance = 1e-9 if 0 < abs(tau_mem - tau_syn) < 1e-6 else 1e-14
    np.testing.assert_allclose(layer.i[:, 0], i, rtol=0, atol=tolerance)
    np.testing.assert_allclose(layer.v[:, 0], v, rtol=0, atol=tolerance)
    events = simulate_events([0.3], [0], [np.array([[w]])], p, 4.0, "leaky", sample_times=(np.arange(40) + 1) * dt)
    np.testing.assert_allclose(events[0].v, layer.v, rtol=0, atol=1e-14)


@pytest.mark.parametrize(
    ("scheme", "instant", "order"),
    [
        ("forward_euler", 1.0, 1),
        ("backward_euler", 1.0, 1),
        ("bilinear", 1.0, 1),  # its input is spread over the step, so it comes half a step early
        ("bilinear", 0.5, 2),
    ],
)
def test_order_of_the_membrane_between_spikes(scheme, instant, order):
    """``instant``: where in its step the impulse lies, as a fraction of dt."""
    p, errors = parameter(), []
    for n_steps in (50, 100, 200):
        dt = 2.0 / n_steps
        spikes = np.zeros((n_steps, 1))
        spikes[0] = 1
        (layer,) = clock_forward(spikes, [np.ones((1, 1))], p, dt, scheme, readout="leaky")
        v = [closed_form(0, 1 / p["tau_syn"], (k + 1 - instant) * dt, p)[0] for k in range(n_steps)]
        errors.append(np.abs(layer.v[:, 0] - v)[n_steps // 10 :].max())
    measured = np.log2(np.divide(errors[:-1], errors[1:]))
    np.testing.assert_allclose(measured, order, atol=0.1)


@pytest.mark.parametrize("reset", RESETS)
def test_reset_threshold_and_rest(reset):
    p = parameter(reset=reset)
    layers, weights, _ = clock_case(3, reset)
    for layer in layers:
        at = layer.spikes == 1
        assert at.any()
        assert np.array_equal(at, layer.v >= 1.0)
        assert np.array_equal(layer.v_after[~at], layer.v[~at])
        after = {"hard": np.full(at.sum(), 0.2), "subtract": layer.v[at] - 0.8, "none": layer.v[at]}[reset]
        assert np.array_equal(layer.v_after[at], after)
    shifted = p | dict(v_threshold=p["v_threshold"] - 65.0, v_reset=p["v_reset"] - 65.0, v_leak=-65.0)
    again = clock_forward(layers[0].inputs, weights, shifted, 0.05)
    assert threshold_margin(layers) > 1e-6
    for a, b in zip(layers, again, strict=True):
        np.testing.assert_allclose(a.v, b.v, atol=1e-10)


def test_unit_height_is_unit_area_of_scaled_weights():
    layers, weights, (e, _, _) = clock_case(4, impulse="unit-height")
    scaled = [0.05 * w for w in weights]
    same = clock_forward(layers[0].inputs, scaled, parameter(), 0.05)
    for a, b in zip(layers, same, strict=True):
        np.testing.assert_allclose(a.v, b.v, rtol=ROUNDING, atol=1e-15)
    stronger = [40 * w for w in weights]
    layers = clock_forward(layers[0].inputs, stronger, parameter(), 0.05, impulse="unit-height")
    same = clock_forward(layers[0].inputs, [2.0 * w for w in weights], parameter(), 0.05)
    assert layers[-1].spikes.any()
    for estimator in ("discrete", "continuous"):
        a = clock_backward(layers, stronger, e=e, weight_gradient=estimator)
        b = clock_backward(same, [2.0 * w for w in weights], e=e, weight_gradient=estimator)
        assert relative_error(a.grad_w, [0.05 * g for g in b.grad_w]) < 1e-10


def test_bin_spikes_takes_the_right_end_of_a_step():
    counts = bin_spikes([0.5, 0.5 + 1e-9, 1.0, 0.25, 0.25], [0, 0, 1, 1, 1], 2, 2, 0.5)
    assert counts.tolist() == [[1, 2], [1, 1]]
    with pytest.raises(ValueError, match="outside"):
        bin_spikes([0.0], [0], 1, 2, 0.5)


# Clock, backward


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("reset", RESETS)
def test_explicit_sum_equals_folded_recursion(scheme, reset):
    layers, weights, (e, dv, di) = clock_case(1, reset, scheme)
    assert all(layer.spikes.any() for layer in layers)
    for limit in (1e4, 0.7):  # the second clamps most slopes
        folded = clock_backward(layers, weights, e=e, dloss_dv=dv, dloss_di=di, max_inverse_slope=limit)
        explicit = explicit_backward(layers, weights, e, dv, di, limit)
        for name in ("grad_w", "e", "X"):
            for a, b in zip(getattr(explicit, name), getattr(folded, name), strict=True):
                assert relative_error(a, b) < 1e-13, name  # rounding: 4e-15 and less was seen
        assert relative_error(explicit.e_input, folded.e_input) < 1e-13


@pytest.mark.parametrize("scheme", SCHEMES)
def test_subthreshold_gradient_is_the_derivative(scheme):
    rng = np.random.default_rng(5)
    w, spikes, dv = rng.normal(size=(4, 3)), rng.poisson(0.3, (20, 4)), rng.normal(size=(20, 3))

    def loss(w):
        (layer,) = clock_forward(spikes, [w], parameter(), 0.1, scheme, readout="leaky")
        return np.sum(dv * layer.v)

    layers = clock_forward(spikes, [w], parameter(), 0.1, scheme, readout="leaky")
    numeric = central_difference(loss, w, 1e-3)  # the loss is linear in w
    for gradient in ("exact", "literal", "tssl", "surrogate"):
        ours = clock_backward(layers, [w], gradient, dloss_dv=dv).grad_w[0]
        assert relative_error(ours, numeric) < 1e-11


def test_literal_time_gradient_is_the_printed_sum():
    """Every ``m >= k`` counts with the decay of the synaptic kernel, ``m = k`` like the others."""
    layers, weights, (e, _, _) = clock_case(6)
    result = clock_backward(layers, weights, "literal", e=e)
    for index in (1, 2):
        layer, h = layers[index], result.h[index]
        a_ii, b_i, *_ = layer.coefficients
        for k in range(len(h)):
            kernel = b_i / 0.6 * a_ii ** np.arange(len(h) - k)
            expected = layers[index - 1].spikes[k] * (weights[index] @ (kernel @ h[k:]))
            np.testing.assert_allclose(result.e[index - 1][k], expected, rtol=ROUNDING, atol=1e-13)


@pytest.mark.parametrize("reset", RESETS)
@pytest.mark.parametrize("gradient", ["exact", "literal", "tssl", "surrogate"])
def test_input_adjoint_is_sensitivity_times_filtered_trace(gradient, reset):
    """``sum_k b_i h_k s_k = sum_m (dL/di_m, direct) r_m`` with the trace ``r_m = a_ii r_{m-1} + b_i s_m``."""
    layers, weights, (loss, _, _) = clock_case(2, reset)
    name = "e" if gradient in ("exact", "literal") else "amplitude"
    result = clock_backward(layers, weights, gradient, **{name: loss}, weight_gradient="continuous")
    for layer, g, h, grad_w in zip(layers, result.g, result.h, result.grad_w, strict=True):
        a_ii, b_i, _, a_vi, _ = layer.coefficients
        trace, expected = np.zeros(layer.inputs.shape[1]), np.zeros((layer.inputs.shape[1], g.shape[1]))
        for m in range(len(g)):
            trace = a_ii * trace + b_i * layer.inputs[m]
            if m + 1 < len(g):
                expected += np.outer(trace, a_vi * g[m + 1])
        assert relative_error(b_i * layer.inputs.T @ h, expected) < ROUNDING
        assert relative_error(grad_w * b_i * layer.neuron.tau_syn, expected) < ROUNDING


def smooth_forward(spikes, w, p, dt, spike_shift, slope, reset_too):
    """Amplitudes of one layer whose spikes are ``s + slope (v - base)``, so that they have a derivative."""
    a_ii, b_i, a_vv, a_vi, b_v = coefficients(p, dt)
    v_after, i = np.zeros(w.shape[1]), np.zeros(w.shape[1])
    base_v, base_s = spike_shift
    amplitudes = []
    for k in range(len(spikes)):
        x = spikes[k] @ w
        v = a_vv * v_after + a_vi * i + b_v * x
        i = a_ii * i + b_i * x
        s = base_s[k] + slope[k] * (v - base_v[k])
        amplitudes.append(s)
        used = s if reset_too else base_s[k]
        if p["reset"] == "hard":
            v_after = (1 - used) * v + used * p["v_reset"]
        else:
            v_after = v - used * {"subtract": p["v_threshold"] - p["v_reset"], "none": 0.0}[p["reset"]]
    return np.array(amplitudes)


@pytest.mark.parametrize("reset", RESETS)
@pytest.mark.parametrize("gradient", ["tssl", "surrogate"])
def test_amplitude_gradients_are_derivatives_of_a_linearised_spike(gradient, reset):
    p, dt, n_steps = parameter(reset=reset), 0.05, 30
    rng = np.random.default_rng(8)
    w, spikes, amplitude = rng.normal(0.5, 0.3, (5, 4)), rng.poisson(0.3, (n_steps, 5)), rng.normal(size=(n_steps, 4))
    layers = clock_forward(spikes, [w], p, dt)
    (layer,) = layers
    assert layer.spikes.any()
    if gradient == "tssl":
        difference = layer.v - layer.v_before
        inverse = np.minimum(1 / np.where(difference > 0, difference, 1e-9), 8.0)
        slope = layer.spikes * inverse
    else:
        slope = 1 / (1 + 10.0 * np.abs(layer.v - 1.0)) ** 2

    def loss(w):
        s = smooth_forward(spikes, w, p, dt, (layer.v, layer.spikes), slope, reset_too=gradient == "tssl")
        return np.sum(amplitude * s)

    ours = clock_backward(layers, [w], gradient, amplitude=amplitude).grad_w[0]
    assert relative_error(ours, central_difference(loss, w, 1e-6)) < 1e-6


def test_tssl_falls_back_on_a_sigmoid_for_silent_neurons():
    layers, weights, (_, amplitude, _) = clock_case(9)
    weights[-1][:, 0] = -1.0
    weights[-1][:, 1] *= 3.0
    layers = clock_forward(layers[0].inputs, weights, parameter(), 0.05)
    silent = ~layers[-1].spikes.any(0)
    assert silent[0]
    assert not silent[1]
    plain = clock_backward(layers, weights, "tssl", amplitude=amplitude)
    fallback = clock_backward(layers, weights, "tssl", amplitude=amplitude, sigmoid_fallback=True)
    assert not plain.g[-1][:, silent].any()
    assert np.array_equal(plain.g[-1][:, ~silent], fallback.g[-1][:, ~silent])
    width, a_vv = 0.2, layers[-1].coefficients[2]

    def sigma(v):
        return 1 / (1 + np.exp(-(v - 1.0) / width))

    v = layers[-1].v[:, 0]
    derivative = (sigma(v + 1e-6) - sigma(v - 1e-6)) / 2e-6
    later = np.append(fallback.g[-1][1:, 0], 0)
    np.testing.assert_allclose(fallback.g[-1][:, 0], a_vv * later + amplitude[:, 0] * derivative, rtol=1e-7, atol=1e-9)


def test_slope_of_a_spike_while_the_membrane_falls():
    """Without reset a neuron fires while it stays above threshold, and its secant can be negative."""
    p, dt = parameter(reset="none"), 0.05
    spikes = np.zeros((40, 1))
    spikes[0], spikes[30] = 9, 9
    layers = clock_forward(spikes, [np.ones((1, 1))], p, dt, "forward_euler")
    (layer,) = layers
    falling, rising = 25, 30  # at 30 the current has jumped, but an explicit scheme's membrane has not felt it yet
    slopes = (p["r"] * layer.i[:, 0] - layer.v[:, 0]) / p["tau_mem"]
    assert layer.spikes[falling] == layer.spikes[rising] == 1
    assert layer.slope_minus[falling, 0] < 0 > slopes[falling]
    assert layer.slope_minus[rising, 0] < 0 < slopes[rising]
    for step, timed, difference in ((falling, 1e4, 8.0), (rising, 1 / slopes[rising], 8.0)):
        loss = np.zeros((40, 1))
        loss[step] = 1.0  # nothing later, so p = 0
        assert clock_backward(layers, [np.ones((1, 1))], e=loss).g[0][step, 0] == pytest.approx(-timed, rel=ROUNDING)
        assert clock_backward(layers, [np.ones((1, 1))], "tssl", amplitude=loss).g[0][step, 0] == difference


def test_a_loss_of_the_wrong_kind_is_refused():
    layers, weights, (loss, _, _) = clock_case(1)
    with pytest.raises(ValueError, match="takes e"):
        clock_backward(layers, weights, "exact", amplitude=loss)
    with pytest.raises(ValueError, match="takes amplitude"):
        clock_backward(layers, weights, "tssl", e=loss)
    with pytest.raises(ValueError, match="gradient"):
        clock_backward(layers, weights, "other", e=loss)


@pytest.mark.parametrize("gradient", ["exact", "literal", "tssl", "surrogate"])
def test_a_silent_net_has_finite_gradients(gradient):
    layers, weights, (loss, _, _) = clock_case(1)
    layers = clock_forward(0 * layers[0].inputs, weights, parameter(), 0.05)
    assert not any(layer.spikes.any() for layer in layers)
    name = "e" if gradient in ("exact", "literal") else "amplitude"
    result = clock_backward(layers, weights, gradient, **{name: loss})
    assert all(not w.any() for w in result.grad_w)  # no presynaptic spike anywhere
    assert all(np.isfinite(g).all() for g in result.g)


# Clock against events


def separated_case(seed):
    """A 3-layer net whose spikes (inputs too) are at least 0.005 apart and cross steeply, and its first-order loss."""
    rng = np.random.default_rng(seed)
    weights = random_weights(rng, (5, 4, 4, 3))
    neurons, times = rng.integers(0, 5, 8), np.sort(rng.uniform(0, 1.0, 8))
    events = simulate_events(times, neurons, weights, parameter(), 1.5)
    everything = np.sort(np.concatenate([times, *(layer.times for layer in events)]))
    assert min(len(layer.times) for layer in events) >= 3
    assert np.diff(everything).min() > 0.005
    assert min(layer.slope_minus.min() for layer in events) > 0.5
    c = rng.normal(size=3)
    gradient = event_backward(events, weights, c[events[-1].neurons] * events[-1].times)
    return weights, (times, neurons), events, c, gradient


@pytest.mark.parametrize("scheme", SCHEMES)
def test_exact_clock_gradient_converges_to_the_event_gradient(scheme):
    weights, (times, neurons), events, c, expected = separated_case(23)
    errors = []
    for dt in (2e-3, 2.5e-4):
        n_steps = round(1.5 / dt)
        layers = clock_forward(bin_spikes(times, neurons, 5, n_steps, dt), weights, parameter(), dt, scheme)
        assert [layer.spikes.sum() for layer in layers] == [len(layer.times) for layer in events]
        e = c * (np.arange(1, n_steps + 1) * dt)[:, None]
        gradient = clock_backward(layers, weights, e=e)
        # a clock's input times are rounded up by as much as dt, so errors fall with dt only on average
        assert all(cosine(a, b) > 0.9999 for a, b in zip(gradient.grad_w, expected.grad_w, strict=True))
        errors.append(max(relative_error(a, b) for a, b in zip(gradient.grad_w, expected.grad_w, strict=True)))
        both = [clock_backward(layers, weights, e=e, weight_gradient=w).grad_w for w in ("discrete", "continuous")]
        assert relative_error(*both) < 30 * dt
    assert errors[0] < 0.05
    assert errors[1] < errors[0] / 3
    assert errors[1] < 0.01


@pytest.mark.parametrize("seed", [23, 151, 176])
def test_literal_gradient_points_the_wrong_way_in_every_second_layer(seed):
    weights, (times, neurons), _, c, _ = separated_case(seed)
    sizes = []
    for dt in (4e-3, 1e-3):
        n_steps = round(1.5 / dt)
        layers = clock_forward(bin_spikes(times, neurons, 5, n_steps, dt), weights, parameter(), dt)
        e = c * (np.arange(1, n_steps + 1) * dt)[:, None]
        exact, literal = (clock_backward(layers, weights, gradient, e=e) for gradient in ("exact", "literal"))
        first, second, last = (cosine(a, b) for a, b in zip(literal.grad_w, exact.grad_w, strict=True))
        assert last == pytest.approx(1, abs=ROUNDING)
        assert second < -0.95
        assert first > 0.8
        sizes.append(np.linalg.norm(literal.grad_w[1]) / np.linalg.norm(exact.grad_w[1]))
    # the printed sum runs over steps without a factor dt, so it grows as 1/dt
    assert sizes[1] / sizes[0] == pytest.approx(4, rel=0.2)


@pytest.mark.parametrize(("delay", "sign"), [(0.1, -1), (1.2, 1)])
def test_literal_sign_depends_on_the_rising_or_falling_kernel(delay, sign):
    """A presynaptic spike moved later delays the next spike while its kernel rises, and hastens it while it falls."""
    dt, n_steps = 1e-3, 1600
    parameters = [parameter(v_reset=-500.0), parameter()]  # so that each hidden neuron fires once
    spikes = np.zeros((n_steps, 2))
    spikes[50, 0] = 1  # the hidden spike whose time is judged
    spikes[50 + round(delay / dt), 1] = 1  # another path makes the output fire
    weights = [np.diag([30.0, 30.0]), np.array([[0.3], [20.0]])]
    layers = clock_forward(spikes, weights, parameters, dt)
    assert layers[0].spikes.sum(0).tolist() == [1, 1]
    hidden, output = (int(np.flatnonzero(layer.spikes[:, 0])[0]) for layer in layers)
    assert (output - hidden) * dt == pytest.approx(delay, abs=0.1)
    e = np.zeros((n_steps, 1))
    e[output] = 1.0
    exact, literal = (clock_backward(layers, weights, gradient, e=e) for gradient in ("exact", "literal"))
    assert np.sign(exact.e[0][hidden, 0] * literal.e[0][hidden, 0]) == sign


# Events


def integrate(times, neurons, w, p, duration):
    """Spikes of one neuron by scipy's solve_ivp, restarted at every input and spike."""

    def system(_, y):
        return [(p["r"] * y[1] - y[0]) / p["tau_mem"], -y[1] / p["tau_syn"]]

    def threshold(_, y):
        return y[0] - p["v_threshold"]

    threshold.terminal, threshold.direction = True, 1
    y, now, found = np.zeros(2), 0.0, []
    for time, weight in [*((t, w[n]) for t, n in zip(times, neurons, strict=True)), (duration, 0.0)]:
        while now < time:
            run = solve_ivp(system, (now, time), y, "DOP853", events=threshold, rtol=1e-13, atol=1e-14, max_step=0.02)
            now, y = run.t[-1], run.y[:, -1].copy()
            if run.status == 1:
                found.append(now)
                y[0] = p["v_reset"] if p["reset"] == "hard" else y[0] - (p["v_threshold"] - p["v_reset"])
        y[1] += weight / p["tau_syn"]
    return np.array(found), y


@pytest.mark.parametrize("reset", ["hard", "subtract"])
@pytest.mark.parametrize("taus", TAUS)
def test_events_agree_with_solve_ivp(taus, reset):
    _, weights, (times, neurons), p, duration = event_case(11, (4, 2), taus, reset, n_inputs=10, duration=1.5)
    (layer,) = simulate_events(times, neurons, weights, p, duration, sample_times=[duration])
    for n in range(2):
        expected, y = integrate(times, neurons, weights[0][:, n], p, duration)
        assert len(expected) >= 2
        np.testing.assert_allclose(layer.times[layer.neurons == n], expected, rtol=0, atol=1e-9)
        assert layer.v[0, n] == pytest.approx(y[0], abs=1e-9)


@pytest.mark.parametrize("taus", TAUS)
def test_crossing_lies_at_threshold_and_none_is_missed_at_an_extremum(taus):
    p = parameter(*taus, v_reset=-50.0)
    tau_mem, tau_syn = taus
    time = tau_mem if tau_mem == tau_syn else np.log(tau_mem / tau_syn) * tau_mem * tau_syn / (tau_mem - tau_syn)
    peak = closed_form(0, 1 / tau_syn, time, p)[0]
    assert peak > max(closed_form(0, 1 / tau_syn, t, p)[0] for t in (0.999 * time, 1.001 * time))
    for weight, expected in ((1 / peak * (1 + 1e-9), 1), (1 / peak * (1 - 1e-9), 0)):
        (layer,) = simulate_events([0.1], [0], [np.array([[weight]])], p, 4.0)
        assert len(layer.times) == expected
    (layer,) = simulate_events([0.1], [0], [np.array([[1.5 / peak]])], p, 4.0)
    assert closed_form(0, 1.5 / peak / taus[1], layer.times[0] - 0.1, p)[0] == pytest.approx(1, abs=1e-15)


def test_resets_at_the_exact_threshold_coincide_and_none_fires_once_a_crossing():
    _, weights, (times, neurons), p, duration = event_case(2, (6, 5, 3), TAUS[0])
    hard, subtract, none = (
        simulate_events(times, neurons, weights, p | dict(reset=r), duration) for r in ("hard", "subtract", "none")
    )
    for a, b in zip(hard, subtract, strict=True):
        assert len(a.times) > 3
        np.testing.assert_allclose(a.times, b.times, rtol=0, atol=1e-12)
    grid = np.linspace(0, duration, 20001)
    free = simulate_events(times, neurons, weights[:1], p, duration, "leaky", sample_times=grid)[0].v
    upward = ((free[:-1] < 1) & (free[1:] >= 1)).sum(0)
    assert np.array_equal(np.bincount(none[0].neurons, minlength=5), upward)


@pytest.mark.parametrize("reset", ["hard", "subtract"])
@pytest.mark.parametrize("taus", TAUS)
@pytest.mark.parametrize("sizes", [(5, 4), (4, 3, 3, 2)])
def test_event_adjoint_is_the_derivative(sizes, taus, reset):
    rng, weights, inputs, p, duration = event_case(21, sizes, taus, reset, n_inputs=10, duration=1.8)
    loss = SpikeTimeLoss(rng, sizes[-1])
    layers = simulate_events(*inputs, weights, p, duration)
    assert min(len(layer.times) for layer in layers) >= 3
    gradient = event_backward(layers, weights, loss.gradient(layers))
    assert_event_gradient(loss, weights, inputs, p, duration, gradient)


def test_event_adjoint_of_a_leaky_readout_and_of_mixed_layers():
    rng, weights, inputs, _, duration = event_case(22, (5, 4, 4, 3), TAUS[0], n_inputs=10, duration=1.8)
    parameters = [parameter(0.8, 0.6), parameter(0.5, 0.5, "subtract"), parameter(1.5, 0.4)]
    samples, c = np.linspace(0.3, duration, 9), rng.normal(size=(9, 3))
    options = dict(readout="leaky", sample_times=samples)

    def loss(layers):
        return np.sum(c * layers[-1].v ** 2)

    layers = simulate_events(*inputs, weights, parameters, duration, **options)
    assert len(layers[-1].times) == 0
    gradient = event_backward(layers, weights, dloss_dv=2 * c * layers[-1].v)
    assert_event_gradient(loss, weights, inputs, parameters, duration, gradient, **options)


def test_event_engine_without_spikes():
    _, weights, (times, neurons), p, duration = event_case(2, (6, 5, 3), TAUS[0])
    for arguments in ((times[:0], neurons[:0], weights), (times, neurons, [0 * w for w in weights])):
        layers = simulate_events(*arguments, p, duration, sample_times=[1.0])
        assert [len(layer.times) for layer in layers] == [0, 0]
        gradient = event_backward(layers, weights, np.zeros(0))
        assert all(not w.any() for w in gradient.grad_w)
        assert not gradient.e_input.any()
    silent_output = [weights[0], -np.abs(weights[1])]
    layers = simulate_events(times, neurons, silent_output, p, duration, sample_times=[2.0])
    assert [len(layer.times) > 0 for layer in layers] == [True, False]
    gradient = event_backward(layers, silent_output, np.zeros(0), dloss_dv=np.ones((1, 3)))
    assert all(w.any() for w in gradient.grad_w)


def test_simultaneous_inputs_do_not_depend_on_their_order():
    _, weights, (times, neurons), p, duration = event_case(2, (6, 5, 3), TAUS[0])
    times = np.round(times, 1)
    a = simulate_events(times, neurons, weights, p, duration)
    b = simulate_events(times[::-1], neurons[::-1], weights, p, duration)
    assert len(np.unique(times)) < len(times)
    for x, y in zip(a, b, strict=True):
        assert np.array_equal(x.times, y.times)
        assert np.array_equal(x.neurons, y.neurons)
    e = np.arange(1.0, 1 + len(a[-1].times))
    x, y = event_backward(a, weights, e), event_backward(b, weights, e)
    assert relative_error(x.grad_w, y.grad_w) < ROUNDING
    assert relative_error(x.e_input, y.e_input[::-1]) < ROUNDING


def test_a_sample_at_the_instant_of_an_input_does_not_see_it():
    layers = simulate_events([0.5, 1.0], [0, 0], [np.ones((1, 1))], parameter(), 2.0, "leaky", sample_times=[1.0])
    gradient = event_backward(layers, [np.ones((1, 1))], dloss_dv=np.ones((1, 1)))
    assert gradient.e_input[0] != 0
    assert gradient.e_input[1] == 0


def test_times_outside_the_trial_are_refused():
    with pytest.raises(ValueError, match="outside"):
        simulate_events([3.0], [0], [np.ones((1, 1))], parameter(), 2.0)
