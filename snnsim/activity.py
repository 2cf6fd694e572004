"""What keeps hidden neurons active, but not too active: a wanted number of spikes, and the waking of silent ones.

**Rate.** A spike of a neuron with n spikes in a trial, where nu are wanted, adds ``k tau_mem (n - nu)`` to the adjoint
of its membrane. It is no gradient of a loss, since n has no derivative: a spike moves by ``k tau_mem (n - nu)`` times
its slope, which stays bounded at grazing spikes (mlGeNN's form, one sample at a time). With a derivative in every step
(surrogate) it is the gradient of ``k (n - nu)^2/2`` instead.

**Waking.** A neuron that is silent in a whole batch has no spike that could move: its weights grow with the number of
spikes that they see, as those of silent outputs do (:func:`snnsim.losses.push_silent`).
"""

import numpy as np

from snnsim.connections import Dense


def counts_of(neurons, n_spikes, size):
    """Spikes of each neuron in each sample.

    Parameters
    ----------
    neurons : ndarray, (B, cap) int32
        Of each spike; entries from ``n_spikes[b]`` on are not looked at.
    n_spikes : ndarray, (B,) int
    size : int
        Number of neurons N.

    Returns
    -------
    ndarray, (B, N) float64
    """
    batch = len(neurons)
    filled = np.arange(neurons.shape[1]) < n_spikes[:, None]
    at = (np.arange(batch)[:, None] * size + neurons)[filled]
    return np.bincount(at, minlength=batch * size).reshape(batch, size).astype(np.float64)


def excess_of(neurons, n_spikes, size, rate):
    """``k/B (n - nu)`` of each neuron in each sample, (B, N) float64, for ``rate = (k, nu)``."""
    strength, wanted = rate
    return strength / max(len(neurons), 1) * (counts_of(neurons, n_spikes, size) - wanted)


def wake(network, connection, counts, strength, gradient):
    """Take from a weight gradient what wakes the neurons of the target that are silent in a whole batch.

    Parameters
    ----------
    network : Network
    connection : Connection
    counts : dict of str to ndarray, (B, N)
        Spikes of each neuron in each sample, by population.
    strength : float
    gradient : ndarray
        Of the connection's weights; changed in place.
    """
    silent = ~counts[connection.target].any(0)
    seen = counts[connection.source].mean(0) * strength
    if not silent.any() or not seen.any():
        return
    shape = connection.shape
    if isinstance(shape, Dense) and shape.pool is None:
        gradient[:, silent] -= seen[:, None].astype(gradient.dtype)
        return
    source, target = (network.populations_by_name[name].shape for name in (connection.source, connection.target))
    if isinstance(shape, Dense):
        rows = shape.pool.rows(source)
        pooled = np.bincount(rows[rows >= 0], seen[rows >= 0], minlength=len(gradient)) * shape.pool.scale
        gradient[:, silent] -= pooled[:, None].astype(gradient.dtype)
        return
    indptr, post, at = shape.synapses(source, target)
    each = np.repeat(seen, np.diff(indptr)) * silent[post]
    if getattr(shape, "pool", None) is not None:
        each *= shape.pool.scale
    flat = gradient.reshape(-1)
    flat -= np.bincount(at, each, minlength=flat.size).astype(gradient.dtype)
