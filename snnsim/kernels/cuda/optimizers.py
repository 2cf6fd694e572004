"""Weight updates on the device, elementwise over flat arrays; see :mod:`snnsim.kernels.cpu.optimizers`."""

import math

import numpy as np

from snnsim.kernels.cuda.compiler import cuda, device, empty, kernel, launch, threads, to_host
from snnsim.kernels.cuda.sums import block_sum

BLOCK = 256
MAX_BLOCKS = 512
PORTION = 4096
"""Values that one block squares and sums."""


@kernel
def _sgd(weights, gradient, velocity, scale, lr, momentum, weight_decay):
    for j in range(cuda.grid(1), weights.shape[0], cuda.gridsize(1)):
        u = momentum * velocity[j] + scale * gradient[j] + weight_decay * weights[j]
        velocity[j] = u
        weights[j] -= lr * u


def sgd(weights, gradient, velocity, scale, lr, momentum, weight_decay):
    """SGD with momentum; see :func:`snnsim.kernels.cpu.sgd`."""
    launch(_sgd, *_flat(weights), weights, gradient, velocity, scale, lr, momentum, weight_decay)


@kernel
def _adam(weights, gradient, first, second, scale, lr, beta1, beta2, rest1, rest2, epsilon, decay, decoupled_decay):
    for j in range(cuda.grid(1), weights.shape[0], cuda.gridsize(1)):
        g = scale * gradient[j] + decay * weights[j]
        m = beta1 * first[j] + rest1 * g
        s = beta2 * second[j] + rest2 * (g * g)
        first[j] = m
        second[j] = s
        weights[j] = decoupled_decay * weights[j] - lr * m / (math.sqrt(s) + epsilon)


def adam(weights, gradient, first, second, scale, lr, beta1, beta2, rest1, rest2, epsilon, decay, decoupled_decay):
    """Adam and AdamW; see :func:`snnsim.kernels.cpu.adam`."""
    launch(
        _adam, *_flat(weights), weights, gradient, first, second, scale, lr, beta1, beta2, rest1, rest2, epsilon,
        decay, decoupled_decay,
    )  # fmt: skip


@device
def _clipped(squares, loss, factor, clip_norm, shared, report):
    """Factor of the gradient; 0 if its norm or a loss is not finite. All threads of a block, each block the same.

    ``report``: norm of the gradient and the sum of the losses.
    """
    tid, width = cuda.threadIdx.x, cuda.blockDim.x
    number = shared.dtype.type
    total = number(0)
    for j in range(tid, squares.shape[0], width):
        total += squares[j]
    norm = factor * math.sqrt(block_sum(total, shared))
    total = number(0)
    for j in range(tid, loss.shape[0], width):
        total += loss[j]
    total = block_sum(total, shared)
    if tid == 0 and cuda.blockIdx.x == 0:
        report[0] = norm
        report[1] = total
    if not math.isfinite(norm + total):
        return number(0)
    return factor * clip_norm / norm if number(0) < clip_norm and clip_norm < norm else factor


@kernel
def _clipped_sgd(weights, gradient, velocity, squares, loss, factor, clip_norm, lr, momentum, weight_decay, report):
    shared = cuda.shared.array(BLOCK, weights.dtype)
    scale = _clipped(squares, loss, factor, clip_norm, shared, report)
    if scale > 0:
        for j in range(cuda.grid(1), weights.shape[0], cuda.gridsize(1)):
            u = momentum * velocity[j] + scale * gradient[j] + weight_decay * weights[j]
            velocity[j] = u
            weights[j] -= lr * u


def clipped_sgd(weights, gradient, velocity, squares, loss, factor, clip_norm, lr, momentum, weight_decay, report):
    """:func:`sgd` of a clipped gradient; arguments as of :func:`clipped_adam`."""
    launch(
        _clipped_sgd, *_flat(weights), weights, gradient, velocity, squares, loss, factor, clip_norm, lr, momentum,
        weight_decay, report,
    )  # fmt: skip


@kernel
def _clipped_adam(
    weights, gradient, first, second, squares, loss, factor, clip_norm, lr, beta1, beta2, rest1, rest2, epsilon, decay,
    decoupled_decay, report,
):  # fmt: skip
    shared = cuda.shared.array(BLOCK, weights.dtype)
    scale = _clipped(squares, loss, factor, clip_norm, shared, report)
    if scale > 0:
        for j in range(cuda.grid(1), weights.shape[0], cuda.gridsize(1)):
            g = scale * gradient[j] + decay * weights[j]
            m = beta1 * first[j] + rest1 * g
            s = beta2 * second[j] + rest2 * (g * g)
            first[j] = m
            second[j] = s
            weights[j] = decoupled_decay * weights[j] - lr * m / (math.sqrt(s) + epsilon)


def clipped_adam(
    weights, gradient, first, second, squares, loss, factor, clip_norm, lr, beta1, beta2, rest1, rest2, epsilon, decay,
    decoupled_decay, report,
):  # fmt: skip
    """:func:`adam` of a gradient whose norm is bounded, without waiting for the host.

    Nothing is updated if the norm or a loss is not finite.

    Parameters
    ----------
    weights, gradient, first, second : ndarray, (n,) float
    squares : ndarray, (m,) float
        Sums of squares of the parts of the gradient.
    loss : ndarray, (B,) float
    factor : float
        Of the gradient, > 0.
    clip_norm : float
        Bound of its norm; 0 for none.
    lr, beta1, beta2, rest1, rest2, epsilon, decay, decoupled_decay : float
        As in :func:`adam`.
    report : ndarray, (2,) float
        Output: norm before clipping, and sum of the losses.
    """
    launch(
        _clipped_adam, *_flat(weights), weights, gradient, first, second, squares, loss, factor, clip_norm, lr, beta1,
        beta2, rest1, rest2, epsilon, decay, decoupled_decay, report,
    )  # fmt: skip


def _flat(values):
    block = threads(values.shape[0], BLOCK)
    return min(-(-values.shape[0] // block), MAX_BLOCKS), block


@kernel
def _block_squares(values, parts):
    shared = cuda.shared.array(BLOCK, values.dtype)
    tid, width = cuda.threadIdx.x, cuda.blockDim.x
    first = cuda.blockIdx.x * PORTION
    total = values.dtype.type(0)
    for j in range(first + tid, min(first + PORTION, values.shape[0]), width):
        total += values[j] * values[j]
    total = block_sum(total, shared)
    if tid == 0:
        parts[cuda.blockIdx.x] = total


def n_portions(n):
    """Count the partial sums of :func:`square_portions`."""
    return -(-n // PORTION)


def square_portions(values, parts):
    """Sum the squares of the portions of a flat array, in its dtype; ``parts`` (:func:`n_portions`,) float."""
    launch(_block_squares, parts.shape[0], threads(min(values.shape[0], PORTION), BLOCK), values, parts)


def squared_norm(values):
    """Sum of squares of a flat array; see :func:`snnsim.kernels.cpu.squared_norm`.

    Portions are summed in the array's dtype, their sums in float64 on the host.
    """
    parts = empty(n_portions(values.shape[0]), values.dtype)
    square_portions(values, parts)
    return float(np.add.reduce(to_host(parts), dtype=np.float64))
