"""Bounds of constants that are learnt."""

import numpy as np

from snnsim.neurons.base import LOGARITHMIC, NOT_NEGATIVE

FACTOR = 20.0
"""How far a learnt time constant may go from its first value, either way."""
MARGIN = 1e-2
"""Of the first distance from reset to threshold, what remains between them."""


def project(neuron, tensors, dt, duration):
    """Bring the constants of a population into their bounds, in place.

    Parameters
    ----------
    neuron : Neuron
        With the first values.
    tensors : dict of str to ndarray
        Constants that are learnt, by their own name.
    dt, duration : float
        Of a step, below which no time constant falls much, and of a trial.
    """
    for name, value in tensors.items():
        if name in LOGARITHMIC:
            first = np.asarray(getattr(neuron, name), float)
            np.clip(value, np.maximum(first / FACTOR, np.minimum(0.6 * dt, first)), first * FACTOR, out=value)
        elif name == "r":
            np.clip(value, np.asarray(neuron.r) / FACTOR, np.asarray(neuron.r) * FACTOR, out=value)
        elif name in NOT_NEGATIVE:
            np.clip(value, 0.0, duration if name == "t_ref" else None, out=value)
    if not neuron.has_threshold:
        return
    gap = MARGIN * (np.asarray(neuron.v_threshold) - np.asarray(neuron.v_reset))
    low = tensors.get("v_reset", np.asarray(neuron.v_reset, float))
    if "v_threshold" in tensors:
        least = np.max(low) if tensors["v_threshold"].ndim == 0 else low
        np.maximum(tensors["v_threshold"], least + np.max(gap), out=tensors["v_threshold"])
    high = tensors.get("v_threshold", np.asarray(neuron.v_threshold, float))
    for name in {"v_reset", "v0"} & tensors.keys():
        most = np.min(high) if tensors[name].ndim == 0 else high
        np.minimum(tensors[name], most - np.max(gap), out=tensors[name])
