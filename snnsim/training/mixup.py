"""Mixup: learning from blends of two samples and their labels (Zhang et al. 2018)."""

from dataclasses import dataclass

import numpy as np

_STREAM = 0x6D697875


@dataclass(frozen=True)
class Partners:
    """With which sample each one is blended in an epoch, and how much of it.

    Parameters
    ----------
    others : ndarray, (S,) int64
    shares : ndarray, (S,) float64
        Of the other sample, in [0, 1/2].
    """

    others: np.ndarray
    shares: np.ndarray

    @classmethod
    def drawn(cls, size, alpha, seed, epoch):
        """Draw the partners of all ``size`` training samples.

        Parameters
        ----------
        size : int
        alpha : float
            Shares are distributed as the smaller of two that are Beta(alpha, alpha).
        seed, epoch : int
        """
        random = np.random.Generator(np.random.Philox(key=[seed, (_STREAM << 32) + epoch]))
        others, share = random.integers(size, size=size), random.beta(alpha, alpha, size)
        return cls(others, np.minimum(share, 1 - share))


def blend(values, others, shares):
    """Blend intensities, (B, D) of any real dtype, rounded where they are whole numbers."""
    shares = shares.astype(np.float32)[:, None]
    blended = values + shares * (others.astype(np.float32) - values)
    if values.dtype.kind in "iu":
        np.rint(blended, out=blended)
    return blended.astype(values.dtype)
