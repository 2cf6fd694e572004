"""Slant removed from images: a fixed preparation, the same for training and test, that knows no label."""

from dataclasses import replace

import numpy as np

from snnsim.errors import InputError


def deskewed(samples):
    """Put the brightness's centre of mass in the middle of each image and shear its principal axis upright.

    Rows are moved sideways by ``cov(x, y) / var(y)`` columns a row, so that the covariance of the two coordinates
    under the brightness becomes zero (the deskewing of LeCun et al. 1998, Proc. IEEE 86, section III), with bilinear
    interpolation and zeros from outside the image.

    Parameters
    ----------
    samples : Samples

    Returns
    -------
    Samples

    Raises
    ------
    InputError
        If they are no images of one channel, in bytes.
    """
    from snnsim.kernels.cpu import deskew as kernel

    if samples.spiking or len(samples.shape) != 3 or samples.shape[0] != 1 or samples.x.dtype != np.uint8:
        raise InputError(f"data.deskew: {samples.name} has no images to deskew")
    out = np.empty_like(samples.x)
    kernel.deskew(np.ascontiguousarray(samples.x), samples.shape[2], out)
    return replace(samples, x=out)
