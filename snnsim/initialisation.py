"""Initial weights: Kaiming, uniform, and a data-driven gain that brings each layer to a wanted firing rate."""

import math
from itertools import pairwise

import numpy as np

from snnsim.errors import InputError


def initial_weights(layers, init="kaiming", scale=1.0, mean=0.0, seed=0, dtype=np.float32):
    """Draw the weights of a network.

    Parameters
    ----------
    layers : sequence of int
    init : {"kaiming", "uniform"}
        ``kaiming``: normal with standard deviation ``sqrt(2/N_in)`` (He et al. 2015); ``uniform``: on
        ``[-1/sqrt(N_in), 1/sqrt(N_in)]``.
    scale : float
        Factor of all weights.
    mean : float
        Added to every weight, in units of its standard deviation.
    seed : int
    dtype : dtype

    Returns
    -------
    list of ndarray, each (N_in, N_out), C-contiguous
    """
    weights = []
    for layer, (n_in, n_out) in enumerate(pairwise(layers)):
        rng = np.random.Generator(np.random.Philox(key=[seed, layer]))
        if init == "kaiming":
            deviation = math.sqrt(2 / n_in)
            w = rng.standard_normal((n_in, n_out)) * deviation
        else:
            bound = 1 / math.sqrt(n_in)
            deviation = bound / math.sqrt(3)
            w = rng.uniform(-bound, bound, (n_in, n_out))
        weights.append(np.ascontiguousarray(scale * (w + mean * deviation), dtype))
    return weights


def scale_to_rate(weights, target_rate, mean_rate, n_layers):
    """Scale layer after layer until its neurons spike ``target_rate`` times a trial in the mean.

    Parameters
    ----------
    weights : list of ndarray
        Scaled in place.
    target_rate : float
        Spikes per neuron and trial.
    mean_rate : callable
        ``mean_rate(weights, layer)``: mean spikes per neuron and trial of a layer, measured on a probe batch.
    n_layers : int
        How many layers, from the first, spike.

    Raises
    ------
    InputError
        If no gain between 1e-3 and 1e3 reaches the rate.
    """
    for layer in range(n_layers):
        original = weights[layer].copy()
        low, high, gain = 0.0, math.inf, 1.0
        for _ in range(24):
            weights[layer][:] = original * weights[layer].dtype.type(gain)
            rate = mean_rate(weights, layer)
            if abs(rate - target_rate) <= 0.01 * target_rate:
                break
            low, high = (gain, high) if rate < target_rate else (low, gain)
            if not 1e-3 < gain < 1e3:
                break
            # Twice or half until the rate lies between: neurons that fire in every step would fill the memory.
            gain = 2 * low if high == math.inf else high / 2 if low == 0 else math.sqrt(low * high)
        if abs(rate - target_rate) > 0.2 * target_rate:
            raise InputError(
                f"network.target_rate = {target_rate}: layer {layer} reaches {rate:.3g} spikes a neuron at most"
            )
