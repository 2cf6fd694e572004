"""Deskewing against SciPy's interpolation, and what it promises: an upright axis in the middle of the image."""

import numpy as np
import pytest
from scipy import ndimage

from snnsim.datasets import load
from snnsim.datasets.deskew import deskewed
from snnsim.errors import InputError
from snnsim.samples import Samples

SHAPE = (20, 26)  # not square


def moments(image):
    y, x = np.mgrid[: image.shape[0], : image.shape[1]]
    weight = image / image.sum()
    cy, cx = (weight * y).sum(), (weight * x).sum()
    return cy, cx, (weight * (y - cy) * (x - cx)).sum(), (weight * (y - cy) ** 2).sum()


def strokes(slants):
    """Blurred strokes that lean by so many columns a row, off the middle."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    distance = x - 14 - np.array(slants)[:, None, None] * (y - 9)
    images = 250 * np.exp(-(distance**2) / 4) * (abs(y - 9) < 6)
    return np.rint(images).astype(np.uint8)


def dataset(images):
    flat, labels = images.reshape(len(images), -1), np.zeros(len(images), np.int64)
    return Samples(flat, labels, (1, *images.shape[1:]), range(10), "made up")


def test_against_scipy():
    images = strokes([-0.6, 0.0, 0.3, 0.8])
    made = deskewed(dataset(images))
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]].astype(float)
    my, mx = (SHAPE[0] - 1) / 2, (SHAPE[1] - 1) / 2
    for image, result in zip(images, made.x, strict=True):
        cy, cx, together, spread = moments(image)
        source = [y + cy - my, x + cx - mx + together / spread * (y - my)]
        exact = ndimage.map_coordinates(image.astype(float), source, order=1, mode="grid-constant", cval=0)
        assert abs(result.reshape(SHAPE) - exact).max() <= 0.51  # rounded to grey levels
        after = moments(result.reshape(SHAPE).astype(float))
        assert after[:2] == pytest.approx((my, mx), abs=0.02)
        assert abs(after[2] / after[3]) < 0.02  # interpolation blurs a little


def test_images_without_an_axis_stay_as_they_are():
    images = np.zeros((3, 5, 7), np.uint8)
    images[1, 2, 1:6] = 200  # one row, in the middle
    images[2, 2, 3] = 9
    np.testing.assert_array_equal(deskewed(dataset(images)).x.reshape(images.shape), images)


def test_only_images():
    with pytest.raises(InputError, match=r"data\.deskew: yin-yang has no images to deskew"):
        deskewed(load("yin-yang").sets().train)
