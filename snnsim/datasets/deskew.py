"""Slant removed from images: a fixed preparation, the same for training and test, that knows no label."""

from dataclasses import replace

import numpy as np

from snnsim.errors import InputError


def deskewed(dataset):
    """Put the brightness's centre of mass in the middle of each image and shear its principal axis upright.

    Rows are moved sideways by ``cov(x, y) / var(y)`` columns a row, so that the covariance of the two coordinates
    under the brightness becomes zero (the deskewing of LeCun et al. 1998, Proc. IEEE 86, section III), with bilinear
    interpolation and zeros from outside the image.

    Parameters
    ----------
    dataset : Dataset

    Returns
    -------
    Dataset

    Raises
    ------
    InputError
        If its samples are no images.
    """
    from snnsim.kernels.cpu import deskew as kernel

    if dataset.image_shape is None:
        raise InputError(f"data.deskew: {dataset.name} has no images to deskew")

    def upright(images):
        out = np.empty_like(images)
        kernel.deskew(images, int(dataset.image_shape[1]), out)
        return out

    return replace(dataset, train_images=upright(dataset.train_images), test_images=upright(dataset.test_images))
