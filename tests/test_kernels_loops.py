"""Time loops of a component: as one layer to the bit of the layer's kernels; wired inside, against a dense oracle."""

import numpy as np
import pytest

from snnsim.dynamics import schemes
from snnsim.estimators import exact, literal, surrogate, tssl, tssl_fallback
from snnsim.kernels import cpu
from snnsim.kernels.cpu.loops import backward_of, forward_of
from snnsim.kernels.cpu.wiring import wiring_of
from snnsim.neurons import lif
from tests.kernel_chain import on_one_thread

DT = 0.05
BATCH, STEPS, NEURONS = 3, 40, 21
SETTINGS = {
    exact: exact.Settings(0.9),
    literal: literal.Settings(0.9),
    tssl: tssl.Settings(4.0),
    tssl_fallback: tssl_fallback.Settings(4.0, 0.2),
    surrogate: surrogate.Settings(10.0),
}
OLD_KEPT = {exact: cpu.GRADIENT_EXACT, literal: cpu.GRADIENT_LITERAL}


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    with on_one_thread():
        yield


def constants_of(dtype, reset, scheme=schemes.bilinear):
    coefficients = scheme(DT, 0.8, 0.6, 1.2)
    values = lif.Constants(*coefficients, 0.5, 0.2, reset, 1.2, 0.8, 0.6, DT)
    return lif.Constants(*(v if isinstance(v, int) else dtype(v) for v in values))


def cast(values, dtype):
    return type(values)(*(dtype(v) for v in values))


def drive(dtype, n_neurons=NEURONS, steps=STEPS, seed=0):
    rng = np.random.default_rng(seed)
    x = np.where(rng.random((BATCH, steps, n_neurons)) < 0.3, rng.normal(0.4, 0.8, (BATCH, steps, n_neurons)), 0)
    x[:, :, 4] = 0  # a silent one
    return x.astype(dtype)


def chunks(steps, length):
    return [(k, min(k + length, steps)) for k in range(0, steps, length)]


def empty(dtype):
    return np.empty((0, 0, 0), dtype)


def run_forward(estimator, x, constants, settings, wiring, chunk, cap=None):
    """One component through all steps: states, spike lists, what is kept, traces."""
    dtype, (batch, steps, n) = x.dtype, x.shape
    populations = len(wiring.bounds) - 1
    cap = cap or steps * n
    state = tuple(np.zeros((2, batch, n), dtype))
    neurons, spike_ptr = np.full((batch, cap), -1, np.int32), np.zeros((batch, steps * populations + 1), np.int32)
    kept = tuple(np.full((batch, cap), np.nan, dtype) for _ in estimator.KEPT)
    traces = tuple(np.full((2, batch, steps, n), np.nan, dtype))
    for k0, k1 in chunks(steps, chunk):
        forward_of(lif, estimator)(
            x[:, k0:k1].copy(), constants, settings, wiring, k0, k1, state, empty(dtype), neurons, spike_ptr, kept,
            traces, 0, 1,
        )  # fmt: skip
    return state, neurons, spike_ptr, kept, traces


def run_backward(estimator, lists, constants, settings, wiring, error, dloss_dv, chunk, reach=1, continuous=False):
    """The adjoint through all steps: ``X``, what is passed down, ``h/tau_syn``, states at the start."""
    _, neurons, spike_ptr, kept, traces = lists
    dtype, (batch, steps, n) = traces[0].dtype, traces[0].shape
    names = lif.ADJOINT + estimator.EXTRA
    state = tuple(np.zeros((len(names), batch, n), dtype))
    whole = np.full((3, batch, steps, n), np.nan, dtype)
    later = np.zeros((batch, reach, n), dtype)
    extra = (traces,) if estimator.EVERY_STEP else ()
    for k0, k1 in reversed(chunks(steps, chunk)):
        span = k1 - k0
        adjoint = np.concatenate([np.full((batch, span, n), np.nan, dtype), later], axis=1)
        passed, current = np.full((2, batch, span, n), np.nan, dtype)
        backward_of(lif, estimator)(
            constants, settings, wiring, k0, k1, neurons, spike_ptr, kept, *extra, error, dloss_dv, 0, state, adjoint,
            passed, current if continuous else empty(dtype),
        )  # fmt: skip
        later = adjoint[:, :reach].copy()
        for out, part in zip(whole, (adjoint[:, :span], passed, current), strict=True):
            out[:, k0:k1] = part
    return (*whole, state)


def old_forward(estimator, x, c, settings):
    dtype, (batch, steps, n) = x.dtype, x.shape
    v, i = np.zeros((2, batch, n), dtype)
    neurons, spike_ptr = np.full((batch, steps * n), -1, np.int32), np.zeros((batch, steps + 1), np.int32)
    kept, traces = np.full((2, batch, steps * n), np.nan, dtype), np.full((2, batch, steps, n), np.nan, dtype)
    coefficients = c[:5]
    neuron = (c.v_threshold, c.v_reset, c.r, c.tau_mem, c.tau_syn, c.dt, settings[0])
    code = OLD_KEPT.get(estimator, cpu.GRADIENT_TSSL)
    cpu.lif_forward(
        x, coefficients, neuron, c.reset, code, 0, steps, v, i, neurons, spike_ptr, *kept, *traces, 1
    )  # fmt: skip
    return (v, i), neurons, spike_ptr, tuple(kept), tuple(traces)


def old_backward(estimator, lists, c, settings, error, dloss_dv, continuous):
    _, neurons, spike_ptr, kept, traces = lists
    dtype, (batch, steps, n) = traces[0].dtype, traces[0].shape
    neuron = (c.v_threshold, c.v_reset, c.r, c.tau_mem, c.tau_syn, c.dt, settings[0])
    g, h, carry = np.zeros((3, batch, n), dtype)
    adjoint, passed = np.full((2, batch, steps, n), np.nan, dtype)
    if estimator.EVERY_STEP:
        cpu.surrogate_backward(
            c[:5], neuron, c.reset, settings[-1], estimator is tssl_fallback, continuous, 0, steps, neurons, spike_ptr,
            *kept, traces[0], error, dloss_dv, g, h, adjoint, passed,
        )  # fmt: skip
    else:
        code = OLD_KEPT.get(estimator, cpu.GRADIENT_TSSL)
        cpu.lif_backward(
            c[:5], neuron, c.reset, code, continuous, 0, steps, neurons, spike_ptr, *kept, error, dloss_dv, g, h,
            carry, adjoint, passed,
        )  # fmt: skip
    return adjoint, passed, (g, h)


def assert_equal(ours, theirs):
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("estimator", "dtype"),
    [*((e, np.float64) for e in SETTINGS), (exact, np.float32), (surrogate, np.float32)],
    ids=lambda e: e.__name__.split(".")[-1],
)
def test_a_component_of_one_population_is_a_layer_to_the_bit(estimator, dtype):
    x, settings, wiring = drive(dtype), cast(SETTINGS[estimator], dtype), wiring_of([NEURONS], dtype=dtype)
    rng = np.random.default_rng(1)
    dloss_dv = rng.normal(size=x.shape).astype(dtype)
    for reset in (0, 1, 2):
        c = constants_of(dtype, reset)
        theirs = old_forward(estimator, x, c, settings)
        assert theirs[2][:, -1].min() > 40
        assert (np.diff(theirs[2], axis=1) > 1).any()
        for chunk in (STEPS, 1, 7):
            ours = run_forward(estimator, x, c, settings, wiring, chunk)
            for a, b in zip((*ours[0], *ours[1:3], *ours[4]), (*theirs[0], *theirs[1:3], *theirs[4]), strict=True):
                np.testing.assert_array_equal(a, b)
            if estimator.KEPT:
                assert_equal(ours[3], theirs[3])
            for continuous in (False, True):
                shape = x.shape if estimator.EVERY_STEP else theirs[1].shape
                error = rng.normal(size=shape).astype(dtype)
                signal = dloss_dv if reset == 1 else empty(dtype)
                adjoint, passed, state = old_backward(estimator, theirs, c, settings, error, signal, continuous)
                found = run_backward(estimator, ours, c, settings, wiring, error, signal, chunk, continuous=continuous)
                np.testing.assert_array_equal(found[2 if continuous else 0], adjoint)
                np.testing.assert_array_equal(found[1], passed)
                assert_equal(found[3][:2], state)
