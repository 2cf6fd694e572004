"""Dropout: hidden neurons that are silent to the next layer for a whole trial (Srivastava et al. 2014).

Random numbers: Philox with key (seed, epoch) and counter (neuron // 4, sample, layer, STREAM), shared with no encoder
(:func:`snnsim.dynamics.philox.bernoulli32` has small numbers in the last place) and no augmentation.
"""

from numba import njit, prange

from snnsim.dynamics.philox import philox4x32
from snnsim.kernels.jit import KERNEL

STREAM = 0x64726F70


@njit(**KERNEL)
def draw_kept(threshold, sample_ids, layer, seed, epoch, kept):
    """Draw which neurons are kept.

    Parameters
    ----------
    threshold : int
        ``round(p * 2**32)``, p the probability of being dropped.
    sample_ids : ndarray, (B,) int64
    layer, seed, epoch : int
    kept : ndarray, (B, N) bool
        Output.
    """
    n_neurons = kept.shape[1]
    for b in prange(kept.shape[0]):
        for first in range(0, n_neurons, 4):
            words = philox4x32(first >> 2, sample_ids[b], layer, STREAM, seed, epoch)
            for j in range(min(4, n_neurons - first)):
                kept[b, first + j] = words[j] >= threshold


@njit(**KERNEL)
def drop_spikes(kept, neurons, spike_ptr, rows, row_ptr, source):
    """List the spikes of kept neurons.

    Parameters
    ----------
    kept : ndarray, (B, N) bool
    neurons, spike_ptr : ndarray, (B, cap) int32 and (B, T + 1) int32
    rows, row_ptr : ndarray, (B, cap) int32 and (B, T + 1) int32
        Output: the kept spikes.
    source : ndarray, (B, cap) int32
        Output: place of each kept spike in ``neurons``.
    """
    for b in prange(neurons.shape[0]):
        m = 0
        row_ptr[b, 0] = 0
        for k in range(spike_ptr.shape[1] - 1):
            for j in range(spike_ptr[b, k], spike_ptr[b, k + 1]):
                n = neurons[b, j]
                if kept[b, n]:
                    rows[b, m] = n
                    source[b, m] = j
                    m += 1
            row_ptr[b, k + 1] = m


@njit(**KERNEL)
def return_error(source, row_ptr, kept_error, error):
    """Put the error of kept spikes back in their places; dropped ones have none.

    Parameters
    ----------
    source, row_ptr : ndarray
        From :func:`drop_spikes`.
    kept_error, error : ndarray, (B, cap) float
        Input and output.
    """
    for b in prange(source.shape[0]):
        for j in range(error.shape[1]):
            error[b, j] = 0
        for m in range(row_ptr[b, row_ptr.shape[1] - 1]):
            error[b, source[b, m]] = kept_error[b, m]
