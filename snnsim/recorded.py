"""What a simulation returns: spikes, membranes and currents of the layers of a network."""

from dataclasses import dataclass

import numpy as np

from snnsim.spikes import Spikes


@dataclass(frozen=True)
class LayerRecording:
    """What one layer did in a batch of trials.

    Parameters
    ----------
    name : str
        Population: ``input``, ``hidden0``, ..., ``output``.
    spikes : Spikes
        Empty for a leaky readout.
    v, i_syn : ndarray or None, (B, K, M) float32 or float64
        Membrane before reset and synaptic current of the recorded neurons at ``sample_times``; None if not recorded.
    sample_times : ndarray, (K,) float64
        Instants of ``v`` and ``i_syn``; a clock's step k (from 0) is sampled at its end, ``(k + 1) * dt``.
    neuron_ids : ndarray, (M,) int64
        Neurons of the last axis of ``v`` and ``i_syn``.
    """

    name: str
    spikes: Spikes
    v: np.ndarray | None
    i_syn: np.ndarray | None
    sample_times: np.ndarray
    neuron_ids: np.ndarray


@dataclass(frozen=True)
class Recording:
    """What a network did in a batch of trials.

    Parameters
    ----------
    layers : tuple of LayerRecording
        From ``input`` to ``output``; those that were recorded.
    engine : {"clock", "hybrid", "event"}
    duration : float
        Length of a trial, in the unit of the time constants.
    dt : float or None
        Step size; None for the event engine.
    scheme : str or None
    """

    layers: tuple
    engine: str
    duration: float
    dt: float | None
    scheme: str | None

    def __getitem__(self, name: str) -> LayerRecording:
        """Layer by population name."""
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise KeyError(name)


def joined(parts):
    """Join recordings of the same network, one after another, to one."""
    if len(parts) == 1:
        return parts[0]
    layers = []
    for same in zip(*(part.layers for part in parts), strict=True):
        first = same[0]
        counts = np.concatenate([np.diff(layer.spikes.offsets) for layer in same])
        spikes = Spikes(
            np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
            np.concatenate([layer.spikes.times for layer in same]),
            np.concatenate([layer.spikes.neurons for layer in same]),
            first.spikes.n_neurons,
            first.spikes.duration,
        )
        v, i_syn = (
            None if getattr(first, key) is None else np.concatenate([getattr(layer, key) for layer in same])
            for key in ("v", "i_syn")
        )
        layers.append(LayerRecording(first.name, spikes, v, i_syn, first.sample_times, first.neuron_ids))
    p = parts[0]
    return Recording(tuple(layers), p.engine, p.duration, p.dt, p.scheme)
