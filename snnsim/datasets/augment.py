"""Augmentation of image batches: mirroring, shift, rotation, elastic deformation; a function of (seed, epoch, sample).

The elastic deformation is that of Simard, Steinkraus and Platt (ICDAR 2003): each pixel is displaced by noise,
uniform in [-1, 1] at each pixel, smoothed with a Gaussian of standard deviation sigma and multiplied by alpha. A
component of the displacement has standard deviation ``alpha / (sqrt(3) 2 sqrt(pi) sigma)`` pixels: 1.4 for alpha 34
and sigma 4. The smooth field is computed on nodes (sigma + 1)/2 pixels apart, rounded down, and interpolated linearly
between: in the middle between four nodes that lowers the standard deviation by at most 6 %.
"""

import math

import numpy as np

from snnsim.errors import InputError

_TRUNCATE = 3  # the Gaussian ends at 3 sigma
_MAX_SIGMA = 100


def augment(
    images,
    image_shape,
    sample_ids,
    seed,
    epoch,
    shift=0.0,
    rotation_degrees=0.0,
    elastic_alpha=0.0,
    elastic_sigma=4.0,
    flip=0.0,
    out=None,
):
    """Deform each image of a batch at random, with bilinear interpolation and zeros from outside the image.

    The result for a sample depends on (seed, epoch, sample) and the options alone: not on the batch it is in, on
    its place there, or on the number of threads. The random numbers are independent of those of spike encoding.

    Parameters
    ----------
    images : ndarray, (B, D) uint8
    image_shape : tuple of int
        ``(rows, columns)`` with ``rows * columns = D``.
    sample_ids : ndarray, (B,) int
        Number of each sample in the data set, in [0, 2**32).
    seed, epoch : int
        In [0, 2**32).
    shift : float
        Shift along each axis, uniform in [-shift, shift] pixels.
    rotation_degrees : float
        Angle about the centre, uniform in [-rotation_degrees, rotation_degrees]; at most 180.
    elastic_alpha : float
        Strength of the elastic deformation, pixels; 0 for none.
    elastic_sigma : float
        Smoothness of the elastic deformation, pixels, in [0.5, 100].
    flip : float
        Probability that left and right change places, before all else; in [0, 1].
    out : ndarray, (B, D) uint8, optional
        Array for the result; not ``images`` itself.

    Returns
    -------
    ndarray, (B, D) uint8
        ``out``, or a new array.

    Raises
    ------
    InputError
        If shapes, dtypes or options are not as above.
    """
    from snnsim.kernels.cpu import augment as kernel

    if out is None:
        out = np.empty(images.shape, np.uint8)
    _check_arrays(images, image_shape, sample_ids, out)
    check_options(shift, rotation_degrees, elastic_alpha, elastic_sigma, flip)
    for name, value in (("seed", seed), ("epoch", epoch)):
        if not 0 <= value < 2**32:
            raise InputError(f"{name} = {value}: must lie in 0..{2**32 - 1}")
    step, taps, scale = _gaussian(elastic_alpha, elastic_sigma)
    kernel.augment(
        np.ascontiguousarray(images),
        int(image_shape[1]),
        np.asarray(sample_ids, np.int64),
        int(seed),
        int(epoch),
        round(flip * 2**32),
        float(shift),
        math.radians(rotation_degrees),
        step,
        taps,
        scale,
        out,
    )
    return out


def check_options(shift, rotation_degrees, elastic_alpha, elastic_sigma, flip):
    """Raise :class:`InputError` unless all options are in the ranges that :func:`augment` documents."""
    if not 0 <= shift < math.inf:
        raise InputError(f"augmentation shift = {shift}: must be a number of pixels, 0 or more")
    if not 0 <= rotation_degrees <= 180:
        raise InputError(f"augmentation rotation_degrees = {rotation_degrees}: must lie in 0..180")
    if not 0 <= elastic_alpha < math.inf:
        raise InputError(f"augmentation elastic_alpha = {elastic_alpha}: must be a number of pixels, 0 or more")
    if not 0 <= flip <= 1:
        raise InputError(f"augmentation flip = {flip}: must lie in 0..1")
    if not 0.5 <= elastic_sigma <= _MAX_SIGMA:
        raise InputError(f"augmentation elastic_sigma = {elastic_sigma}: must lie in 0.5..{_MAX_SIGMA} pixels")


def _gaussian(alpha, sigma):
    """Return ``(step, taps, scale)`` of the coarse grid: pixels between nodes, weights, factor of 16-bit noise."""
    if alpha == 0:
        return 1, np.empty(0, np.float32), np.float32(0)
    step = max(1, int((sigma + 1) / 2))  # at most 2/3 of sigma, or one pixel
    radius = math.ceil(_TRUNCATE * sigma / step)
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) * step / sigma) ** 2)
    # A node stands for step * step pixels: the mean of so many independent numbers is 1 / step as large.
    return step, (weights / weights.sum()).astype(np.float32), np.float32(alpha / step / 2**16)


def _check_arrays(images, image_shape, sample_ids, out):
    if images.ndim != 2 or images.dtype != np.uint8:
        raise InputError(f"images to augment: {images.dtype} of shape {images.shape}: must be uint8 (samples, pixels)")
    rows, columns = image_shape
    if rows * columns != images.shape[1] or rows < 1:
        raise InputError(f"image_shape = {tuple(image_shape)}: must have {images.shape[1]} pixels, as the images have")
    if np.shape(sample_ids) != (len(images),):
        raise InputError(f"sample_ids of shape {np.shape(sample_ids)}: must be ({len(images)},), one for each image")
    if len(images) and not (0 <= np.min(sample_ids) and np.max(sample_ids) < 2**32):
        raise InputError(f"sample_ids: must lie in 0..{2**32 - 1}")
    if out.shape != images.shape or out.dtype != np.uint8 or not out.flags.c_contiguous:
        raise InputError(f"out: {out.dtype} of shape {out.shape}: must be uint8 {images.shape}, C-contiguous")
    if np.may_share_memory(out, images):
        raise InputError("out: must not share memory with the images")
