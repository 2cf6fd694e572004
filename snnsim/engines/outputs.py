"""What an engine's forward pass hands to a loss, and the spike slabs that layers pass on."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class SpikeOutput:
    """Spikes of the output layer of a batch.

    Parameters
    ----------
    neurons : ndarray, (B, cap) int32
        Neuron of each spike; entries from ``counts[b]`` on are undefined.
    times : ndarray, (B, cap) float64
        Spike times, ascending within a sample, ties by neuron, in the unit of the time constants.
    counts : ndarray, (B,) int32
        Number of valid entries of each sample.
    n_neurons : int
    duration : float
        Length of a trial.
    """

    neurons: np.ndarray
    times: np.ndarray
    counts: np.ndarray
    n_neurons: int
    duration: float


@dataclass(frozen=True)
class VoltageOutput:
    """Membrane of a leaky readout without threshold.

    Parameters
    ----------
    v : ndarray, (B, K, C) float32 or float64
        Relative to rest, sampled at ``(k + 1) * duration / K``.
    duration : float
        Length of a trial.
    """

    v: np.ndarray
    duration: float
