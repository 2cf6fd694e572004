"""What an engine's forward pass hands to a loss, and the spike slabs that layers pass on."""

from dataclasses import dataclass

import numpy as np

from snnsim.spikes import Spikes


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


@dataclass(frozen=True)
class ScoreOutput:
    """One number a class of a readout without threshold: its integral over the trial, or its largest membrane.

    Parameters
    ----------
    y : ndarray, (B, C) float64
        Of the membrane relative to rest.
    duration : float
        Length of a trial.
    """

    y: np.ndarray
    duration: float


def slab_of_spikes(spikes):
    """Copy spike trains to a slab.

    Parameters
    ----------
    spikes : snnsim.spikes.Spikes

    Returns
    -------
    SpikeOutput
        ``cap`` is the largest number of spikes of a trial.
    """
    counts = np.diff(spikes.offsets).astype(np.int32)
    cap = int(counts.max(initial=0))
    filled = np.arange(cap) < counts[:, None]
    times = np.zeros((len(counts), cap))
    neurons = np.zeros((len(counts), cap), np.int32)
    times[filled] = spikes.times
    neurons[filled] = spikes.neurons
    return SpikeOutput(neurons, times, counts, spikes.n_neurons, spikes.duration)


def spikes_of_slab(slab):
    """Copy a slab's valid entries to spike trains.

    Parameters
    ----------
    slab : SpikeOutput

    Returns
    -------
    snnsim.spikes.Spikes
    """
    filled = np.arange(slab.times.shape[1]) < slab.counts[:, None]
    offsets = np.concatenate([[0], np.cumsum(slab.counts)]).astype(np.int64)
    times = slab.times[filled].astype(np.float64)
    return Spikes.trusted(offsets, times, slab.neurons[filled], slab.n_neurons, slab.duration)
