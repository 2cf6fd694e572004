"""Optimisers against the published rules in plain NumPy, as PyTorch defines them; the norm against exact sums."""

import math

import numpy as np
import pytest

from snnsim.kernels import cpu

STEPS = 6


def tensors(dtype=np.float64, n=5000):
    rng = np.random.default_rng(0)
    return rng.normal(size=n).astype(dtype), rng.normal(size=(STEPS, n)).astype(dtype)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("weight_decay", [0.0, 0.01])
@pytest.mark.parametrize("scale", [1.0, 0.3])
def test_sgd(momentum, weight_decay, scale):
    weights, gradients = tensors()
    ours, velocity = weights.copy(), np.zeros_like(weights)
    buffer = None
    for gradient in gradients:
        cpu.sgd(ours, gradient, velocity, scale, 0.05, momentum, weight_decay)
        # torch.optim.SGD: the first buffer is the gradient itself.
        d = scale * gradient + weight_decay * weights
        buffer = d if buffer is None else momentum * buffer + d
        weights = weights - 0.05 * buffer
        np.testing.assert_allclose(ours, weights, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-12), (np.float32, 1e-5)])
@pytest.mark.parametrize(("weight_decay", "decoupled"), [(0.0, False), (0.01, False), (0.1, True)])
def test_adam_and_adamw(weight_decay, decoupled, dtype, tolerance):
    lr, beta1, beta2, epsilon, clip = 2e-3, 0.9, 0.999, 1e-8, 0.5
    start, gradients = tensors(dtype)
    ours, first, second = start.copy(), np.zeros_like(start), np.zeros_like(start)
    weights, m, s = start.astype(np.float64), np.zeros(start.size), np.zeros(start.size)
    for t, gradient in enumerate(gradients, 1):
        root = math.sqrt(1 - beta2**t)
        cpu.adam(
            ours, gradient, first, second,
            *(dtype(value) for value in (
                clip, lr * root / (1 - beta1**t), beta1, beta2, 1 - beta1, 1 - beta2, epsilon * root,
                0 if decoupled else weight_decay, 1 - lr * weight_decay if decoupled else 1,
            )),
        )  # fmt: skip
        # torch.optim.Adam and AdamW.
        g = clip * gradient.astype(np.float64)
        if decoupled:
            weights = weights * (1 - lr * weight_decay)
        else:
            g = g + weight_decay * weights
        m = beta1 * m + (1 - beta1) * g
        s = beta2 * s + (1 - beta2) * g * g
        weights = weights - lr * (m / (1 - beta1**t)) / (np.sqrt(s / (1 - beta2**t)) + epsilon)
        assert ours.dtype == dtype
        np.testing.assert_allclose(ours, weights, rtol=0, atol=tolerance)


def test_a_weight_without_gradient_stays():
    weights = np.array([1.5, -2.0])
    zero = np.zeros(2)
    cpu.adam(weights, zero, zero.copy(), zero.copy(), 1.0, 1e-3, 0.9, 0.999, 0.1, 1e-3, 1e-8, 0.0, 1.0)
    np.testing.assert_array_equal(weights, [1.5, -2.0])


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("n", [0, 1, 4095, 4096, 4097, 20001])
def test_squared_norm(n, dtype):
    values = np.random.default_rng(n).normal(size=n).astype(dtype)
    exact = math.fsum(float(v) * float(v) for v in values)
    assert cpu.squared_norm(values) == pytest.approx(exact, rel=1e-13)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_squared_norm_of_a_bad_value_is_not_finite(bad):
    values = np.ones(10000)
    values[7777] = bad
    assert not math.isfinite(cpu.squared_norm(values))


def test_squared_norm_of_large_single_precision_values_does_not_overflow():
    assert cpu.squared_norm(np.full(10, 1e30, np.float32)) == pytest.approx(1e61, rel=1e-6)
