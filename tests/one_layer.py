"""The time loops for one layer, with the arguments of the CUDA kernels of :mod:`snnsim.kernels.cuda.lif`."""

import numpy as np

from snnsim.estimators import exact, literal, surrogate, tssl, tssl_fallback
from snnsim.kernels.cpu.loops import backward_of, forward_of
from snnsim.kernels.cpu.wiring import wiring_of
from snnsim.neurons import lif

GRADIENT_EXACT, GRADIENT_LITERAL, GRADIENT_TSSL = range(3)
ESTIMATORS = exact, literal, tssl


def _constants(coefficients, neuron, reset):
    v_threshold, v_reset, r, tau_mem, tau_syn, dt, bound = neuron
    no_drive = type(dt)(0)
    return lif.Constants(*coefficients, v_threshold, v_reset, reset, r, tau_mem, tau_syn, dt, no_drive), bound


def _settings(estimator, bound):
    """With no width of a sigmoid, which there is not."""
    return estimator.Settings(bound, *[type(bound)(0)] * (len(estimator.Settings._fields) - 1))


def _wiring(n, dtype):
    return wiring_of([n], dtype=dtype), np.empty((0, 0, 0), dtype)


def lif_forward(
    x, coefficients, neuron, reset, gradient, k0, k1, v, i_syn, neurons, spike_ptr, inverse, slope, v_trace, i_trace,
    every,
):  # fmt: skip
    constants, bound = _constants(coefficients, neuron, reset)
    wiring, nothing = _wiring(x.shape[2], x.dtype)
    estimator = ESTIMATORS[gradient]
    forward_of(lif, estimator)(
        x, nothing, constants, _settings(estimator, bound), wiring, k0, k1, (v, i_syn), nothing, neurons, spike_ptr,
        (inverse, slope), (v_trace, i_trace), 0, every,
    )  # fmt: skip


def lif_backward(
    coefficients, neuron, reset, gradient, continuous, k0, k1, neurons, spike_ptr, inverse, slope, error, dloss_dv,
    g, h, carry, adjoint, spike_adjoint,
):  # fmt: skip
    estimator = ESTIMATORS[gradient]
    _, bound = _constants(coefficients, neuron, reset)
    state = (g, h, carry) if estimator.EXTRA else (g, h)
    later = carry if estimator is exact else np.zeros_like(carry)
    first = _backward(
        estimator, _settings(estimator, bound), coefficients, neuron, reset, continuous, k0, k1, neurons, spike_ptr,
        (inverse, slope), (), error, dloss_dv, state, later, adjoint, spike_adjoint,
    )  # fmt: skip
    if estimator is exact:
        carry[:] = first


def surrogate_backward(
    coefficients, neuron, reset, width, fallback, continuous, k0, k1, neurons, spike_ptr, inverse, slope, v_trace,
    error, dloss_dv, g, h, adjoint, spike_adjoint,
):  # fmt: skip
    estimator, settings, kept = surrogate, surrogate.Settings(width), ()
    if fallback:
        _, bound = _constants(coefficients, neuron, reset)
        estimator, settings, kept = tssl_fallback, tssl_fallback.Settings(bound, width), (inverse, slope)
    _backward(
        estimator, settings, coefficients, neuron, reset, continuous, k0, k1, neurons, spike_ptr, kept,
        (v_trace, v_trace), error, dloss_dv, (g, h), np.zeros_like(g), adjoint, spike_adjoint,
    )  # fmt: skip


def _backward(
    estimator, settings, coefficients, neuron, reset, continuous, k0, k1, neurons, spike_ptr, kept, traces, error,
    dloss_dv, state, later, adjoint, spike_adjoint,
):  # fmt: skip
    """Run the loop; returns ``X`` of step ``k0``."""
    (batch, n), span, dtype = state[0].shape, k1 - k0, adjoint.dtype
    constants, _ = _constants(coefficients, neuron, reset)
    wiring, nothing = _wiring(n, dtype)
    rows = np.concatenate([np.full((batch, span, n), np.nan, dtype), later[:, None]], axis=1)
    current = np.empty((batch, span, n), dtype) if continuous else nothing
    backward_of(lif, estimator)(
        constants, settings, wiring, k0, k1, neurons, spike_ptr, kept, traces, error, dloss_dv, 0, state, rows,
        spike_adjoint, current, nothing, (),
    )  # fmt: skip
    adjoint[:, :span] = current if continuous else rows[:, :span]
    return rows[:, 0]
