"""Weight updates, elementwise over one tensor seen as a flat array; floats in the tensor's dtype."""

import math

import numpy as np
from numba import njit, prange

from snnsim.kernels.jit import KERNEL, SERIAL

BLOCK = 4096


@njit(**KERNEL)
def sgd(weights, gradient, velocity, scale, lr, momentum, weight_decay):
    """SGD with momentum: ``u = momentum u + g + weight_decay w; w -= lr u``, g the gradient times ``scale``.

    Parameters
    ----------
    weights, gradient, velocity : ndarray, (n,) float
        ``weights`` and ``velocity`` are updated.
    scale, lr, momentum, weight_decay : float
        Of the same dtype.
    """
    for j in prange(weights.shape[0]):
        u = momentum * velocity[j] + scale * gradient[j] + weight_decay * weights[j]
        velocity[j] = u
        weights[j] -= lr * u


@njit(**KERNEL)
def adam(weights, gradient, first, second, scale, lr, beta1, beta2, rest1, rest2, epsilon, decay, decoupled_decay):
    """Adam (Kingma & Ba 2015), and AdamW (Loshchilov & Hutter 2019) by ``decoupled_decay``.

    Parameters
    ----------
    weights, gradient, first, second : ndarray, (n,) float
        ``weights`` and the two moments are updated.
    scale : float
        Factor of the gradient (clipping).
    lr : float
        Step size with the bias correction in it, ``lr sqrt(1 - beta2^t)/(1 - beta1^t)``.
    beta1, beta2, rest1, rest2 : float
        Decay of the moments; ``rest = 1 - beta``.
    epsilon : float
        ``epsilon sqrt(1 - beta2^t)``.
    decay : float
        L2 weight decay, in the gradient.
    decoupled_decay : float
        ``1 - lr * weight_decay``: factor of the weights before the step.
    """
    for j in prange(weights.shape[0]):
        g = scale * gradient[j] + decay * weights[j]
        m = beta1 * first[j] + rest1 * g
        s = beta2 * second[j] + rest2 * (g * g)
        first[j] = m
        second[j] = s
        weights[j] = decoupled_decay * weights[j] - lr * m / (math.sqrt(s) + epsilon)


@njit(**SERIAL, fastmath={"reassoc"})
def _sum_of_squares(values):
    total = 0.0
    for j in range(values.shape[0]):
        value = np.float64(values[j])
        total += value * value
    return total


@njit(**KERNEL)
def _block_squares(values, parts):
    for block in prange(parts.shape[0]):
        parts[block] = _sum_of_squares(values[block * BLOCK : (block + 1) * BLOCK])


def squared_norm(values):
    """Sum of squares of a flat array, in float64 and an order that no thread count changes; not finite if a value is.

    Parameters
    ----------
    values : ndarray, (n,) float

    Returns
    -------
    float
    """
    parts = np.empty((values.shape[0] + BLOCK - 1) // BLOCK)
    _block_squares(values, parts)
    return float(np.add.reduce(parts))
