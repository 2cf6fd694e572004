"""Dropout of hidden neurons in a batch: which are kept, what the next layer gets, and the way of the error back."""

from dataclasses import dataclass

import numpy as np

from snnsim.engines.grid import GridSpikes


@dataclass(frozen=True)
class Dropout:
    """How to drop neurons of a batch.

    Parameters
    ----------
    rate : float
        Probability of being dropped, in [0, 1).
    sample_ids : ndarray, (B,) int64
    seed, epoch : int
        With a sample's number, a layer's and a neuron's they determine whether it is dropped.
    """

    rate: float
    sample_ids: np.ndarray
    seed: int
    epoch: int

    @property
    def gain(self):
        """Factor of the weights above, so that a layer's mean input is what it is without dropout."""
        return 1 / (1 - self.rate)

    def drop(self, layer, spikes):
        """Drop neurons of a layer.

        Parameters
        ----------
        layer : int
        spikes : GridSpikes

        Returns
        -------
        DroppedSpikes
        """
        from snnsim.kernels.cpu import dropout as kernels

        kept = np.empty((len(spikes.rows), spikes.n_neurons), np.bool_)
        kernels.draw_kept(round(self.rate * 2**32), self.sample_ids, layer, self.seed, self.epoch, kept)
        rows, row_ptr = np.empty_like(spikes.rows), np.empty_like(spikes.row_ptr)
        source = np.empty_like(spikes.rows)
        kernels.drop_spikes(kept, spikes.rows, spikes.row_ptr, rows, row_ptr, source)
        return DroppedSpikes(kept, GridSpikes(rows, row_ptr, spikes.n_neurons), source)


@dataclass(frozen=True)
class DroppedSpikes:
    """What dropout left of a layer's spikes.

    Parameters
    ----------
    kept : ndarray, (B, N) bool
    spikes : GridSpikes
    source : ndarray, (B, cap) int32
        Place of each left spike among all.
    """

    kept: np.ndarray
    spikes: GridSpikes
    source: np.ndarray

    def returned(self, error):
        """Error of all spikes, (B, cap), or of every step, (B, T, N), from that of the spikes left."""
        if error.ndim == 3:
            error *= self.kept[:, None, :]
            return error
        from snnsim.kernels.cpu import dropout as kernels

        out = np.empty_like(error)
        kernels.return_error(self.source, self.spikes.row_ptr, error, out)
        return out
