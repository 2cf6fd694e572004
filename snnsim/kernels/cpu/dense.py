"""Dense products between spikes and weights, one BLAS call a sample or a block of inputs.

Callers keep BLAS to one thread; the parallelism, and with it the order of every sum, is ours.
"""

import numpy as np
from numba import njit, prange

from snnsim.kernels.jit import KERNEL

BLOCK = 64


@njit(**KERNEL)
def dense_input(spikes, weights, n_steps, x):
    """Product ``x[b, k] = spikes[b, k] @ weights`` for ``k < n_steps``; (B, K, N_in), (N_in, N), (B, K, N) float."""
    for b in prange(spikes.shape[0]):
        np.dot(spikes[b, :n_steps], weights, x[b, :n_steps])


@njit(**KERNEL)
def dense_weight_gradient(spikes, adjoint, grad_w):
    """Add ``spikes @ adjoint`` to ``grad_w``; (N_in, E), (E, N), (N_in, N) float."""
    n_in = spikes.shape[0]
    for block in prange((n_in + BLOCK - 1) // BLOCK):
        start, stop = BLOCK * block, min(BLOCK * (block + 1), n_in)
        grad_w[start:stop] += np.dot(spikes[start:stop], adjoint)


@njit(**KERNEL)
def dense_error(adjoint, weights_t, n_steps, error):
    """Product ``error[b, k] = adjoint[b, k] @ weights_t`` for ``k < n_steps``; (B, K, N), (N, N_in), (B, K, N_in)."""
    for b in prange(adjoint.shape[0]):
        np.dot(adjoint[b, :n_steps], weights_t, error[b, :n_steps])
