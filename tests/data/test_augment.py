"""Augmentation against an independent serial pipeline (NumPy, SciPy), its statistics, and its invariances."""

import math

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from snnsim.datasets.augment import augment
from snnsim.errors import InputError

SHAPE = (14, 18)  # small, and not square
OPTIONS = {
    "shift": {"shift": 3},
    "rotation": {"rotation_degrees": 40},
    "elastic": {"elastic_alpha": 20, "elastic_sigma": 3},
    "fine elastic": {"elastic_alpha": 4, "elastic_sigma": 1},
    "flip": {"flip": 0.5},
    "all": {"shift": 2, "rotation_degrees": 15, "elastic_alpha": 30, "elastic_sigma": 5, "flip": 0.4},
}


def digits(n, shape=SHAPE, seed=1):
    """Smooth blobs, so that a small error of position is a small error of brightness."""
    rng = np.random.default_rng(seed)
    images = ndimage.gaussian_filter(rng.random((n, *shape)), (0, 1.5, 1.5))
    images = (images - images.min()) / (images.max() - images.min())
    return np.rint(images * 255).astype(np.uint8).reshape(n, -1)


def philox(c0, c1, c2, c3, k0, k1):
    """Philox 4x32-10 in Python's own integers (Salmon et al. 2011, section 3.3)."""
    low = 2**32 - 1
    for _ in range(10):
        a, b = 0xD2511F53 * c0, 0xCD9E8D57 * c2
        c0, c1, c2, c3 = (b >> 32) ^ c1 ^ k0, b & low, (a >> 32) ^ c3 ^ k1, a & low
        k0, k1 = (k0 + 0x9E3779B9) & low, (k1 + 0xBB67AE85) & low
    return c0, c1, c2, c3


def reference(
    image, shape, sample, seed, epoch, shift=0.0, rotation_degrees=0.0, elastic_alpha=0.0, elastic_sigma=4.0, flip=0.0
):
    """The documented deformation of one image in float64; its random numbers are part of the definition."""
    rows, columns = shape

    def words(index, purpose):
        return philox(index, sample, purpose, int.from_bytes(b"auge", "big"), seed, epoch)

    unit = [(2 * w + 1) / 2**32 - 1 for w in words(0, 0)]
    dy, dx, angle = shift * unit[0], shift * unit[1], math.radians(rotation_degrees) * unit[2]
    y, x = np.mgrid[:rows, :columns].astype(float)
    cy, cx = (rows - 1) / 2, (columns - 1) / 2
    source_x = cx + math.cos(angle) * (x - cx) + math.sin(angle) * (y - cy) - dx
    source_y = cy - math.sin(angle) * (x - cx) + math.cos(angle) * (y - cy) - dy
    if elastic_alpha:
        step = max(1, int((elastic_sigma + 1) / 2))
        radius = math.ceil(3 * elastic_sigma / step)
        n_rows, n_columns = (rows - 1) // step + 2 + 2 * radius, (columns - 1) // step + 2 + 2 * radius
        flat = [w for index in range(-(-n_rows * n_columns // 4)) for w in words(index, 1)][: n_rows * n_columns]
        flat = np.array(flat)
        for half, source in ((flat & 0xFFFF, source_y), (flat >> 16, source_x)):
            noise = ((2 * half + 1) / 2**16 - 1).reshape(n_rows, n_columns)
            smooth = ndimage.gaussian_filter(noise, elastic_sigma / step, radius=radius, mode="constant")
            field = smooth[radius:-radius, radius:-radius] * elastic_alpha / step
            source += ndimage.map_coordinates(field, [y / step, x / step], order=1)
    pixels = image.reshape(shape).astype(float)
    if words(0, 0)[3] / 2**32 < flip:
        pixels = pixels[:, ::-1]
    moved = ndimage.map_coordinates(pixels, [source_y, source_x], order=1, mode="grid-constant", cval=0)
    return moved.reshape(-1)


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS.keys())
def test_against_the_serial_reference(options):
    images = digits(6)
    ids = np.array([0, 5, 17, 59999, 2**32 - 1, 3])
    result = augment(images, SHAPE, ids, 1234, 7, **options)
    assert result.dtype == np.uint8
    for b, sample in enumerate(ids.tolist()):
        exact = reference(images[b], SHAPE, sample, 1234, 7, **options)
        # Rounding to integers is half a grey level; float32 positions, good to 4e-6 pixels, add less than 0.01.
        assert abs(result[b] - exact).max() <= 0.51
        moved = abs(result[b].astype(float) - images[b]).max() > 10
        assert moved or options == OPTIONS["flip"]


def test_flips_at_the_given_probability():
    images = digits(1).repeat(4000, axis=0)
    result = augment(images, SHAPE, np.arange(4000), 2, 1, flip=0.3)
    mirrored = images.reshape(-1, *SHAPE)[:, :, ::-1].reshape(images.shape)
    same, turned = (result == images).all(axis=1), (result == mirrored).all(axis=1)
    assert (same ^ turned).all()
    assert abs(turned.mean() - 0.3) < 4 * math.sqrt(0.3 * 0.7 / 4000)
    assert (augment(images[:9], SHAPE, np.arange(9), 2, 1, flip=1.0) == mirrored[:9]).all()


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (6, 1), (14, 18)])
def test_nothing_asked_for_changes_nothing(shape):
    images = np.random.default_rng(0).integers(0, 256, (5, shape[0] * shape[1]), np.uint8)
    np.testing.assert_array_equal(augment(images, shape, np.arange(5), 3, 4), images)


@settings(max_examples=25, deadline=None)
@given(
    order=st.permutations(range(6)),
    keep=st.integers(1, 6),
    threads=st.integers(1, numba.config.NUMBA_NUM_THREADS),
    seed=st.integers(0, 2**32 - 1),
)
def test_a_sample_is_the_same_in_any_batch_and_with_any_number_of_threads(order, keep, threads, seed):
    images, ids = digits(6), np.array([9, 4, 1000, 7, 0, 12])
    before = numba.get_num_threads()
    whole = augment(images, SHAPE, ids, seed, 2, **OPTIONS["all"])
    part = np.array(order[:keep])
    out = np.full((keep, images.shape[1]), 77, np.uint8)
    try:
        numba.set_num_threads(threads)
        assert augment(images[part], SHAPE, ids[part], seed, 2, out=out, **OPTIONS["all"]) is out
    finally:
        numba.set_num_threads(before)
    np.testing.assert_array_equal(out, whole[part])


def test_seed_epoch_and_sample_each_matter():
    image = digits(1)
    results = [
        augment(image, SHAPE, np.array([sample]), seed, epoch, **options).tobytes()
        for name, options in OPTIONS.items()
        if name != "flip"  # which has two results only
        for sample, seed, epoch in ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1))
    ]
    assert len(set(results)) == len(results)


def displacements(n, axis, **options):
    """How far the content of the middle of a 28 x 28 image moves along an axis, (n, 8, 8): a ramp of brightness."""
    ramp = np.broadcast_to(9 * np.arange(28), (28, 28))
    ramp = (ramp if axis == 1 else ramp.T).astype(np.uint8).reshape(1, -1)
    images = np.repeat(ramp, n, axis=0)
    moved = augment(images, (28, 28), np.arange(n), 11, 0, **options).astype(float) - images
    return moved.reshape(n, 28, 28)[:, 10:18, 10:18] / 9


@pytest.mark.parametrize("axis", [0, 1])
def test_shifts_are_uniform(axis):
    n = 4000
    shifts = displacements(n, axis, shift=3)[:, 0, 0]
    assert abs(shifts).max() <= 3 + 0.06  # a grey level is 1/9 pixel, rounded
    assert abs(shifts.mean()) < 5 * math.sqrt(3 / n)  # variance 3**2 / 3
    counts = np.histogram(shifts, bins=6, range=(-3, 3))[0]
    assert (abs(counts - n / 6) < 5 * math.sqrt(n * 5 / 36) + n * 0.06 / 6).all()


@pytest.mark.parametrize("axis", [0, 1])
def test_elastic_displacement_has_the_documented_size(axis):
    alpha, sigma, n = 20, 4, 1500
    field = displacements(n, axis, elastic_alpha=alpha, elastic_sigma=sigma)
    deviation = alpha / (math.sqrt(3) * 2 * math.sqrt(math.pi) * sigma)  # 0.81 pixels
    # 6 % for interpolation between nodes, and the sampling error of 1500 fields of about one free value each.
    assert 0.94 * (1 - 3 / math.sqrt(2 * n)) < field.std() / deviation < 1 + 3 / math.sqrt(2 * n)
    assert abs(field.mean()) < 5 * deviation / math.sqrt(n)
    # Smoothed noise is correlated over a distance d like exp(-d**2 / (4 sigma**2)).
    near = np.corrcoef(field[:, 3, 2], field[:, 3, 6])[0, 1]
    assert abs(near - math.exp(-(4**2) / (4 * sigma**2))) < 5 / math.sqrt(n)


def test_the_components_are_independent():
    n = 1500
    options = {"shift": 2, "elastic_alpha": 10}
    rows, columns = (displacements(n, axis, **options)[:, 4, 4] for axis in (0, 1))
    assert abs(np.corrcoef(rows, columns)[0, 1]) < 5 / math.sqrt(n)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": np.zeros((2, 12))}, r"images to augment: float64 of shape \(2, 12\): must be uint8"),
        ({"images": np.zeros(12, np.uint8)}, r"shape \(12,\): must be uint8 \(samples, pixels\)"),
        ({"image_shape": (3, 5)}, r"image_shape = \(3, 5\): must have 12 pixels"),
        ({"sample_ids": np.arange(3)}, r"sample_ids of shape \(3,\): must be \(2,\)"),
        ({"sample_ids": np.array([0, -1])}, r"sample_ids: must lie in 0\.\.4294967295"),
        ({"seed": -1}, r"seed = -1: must lie in 0\.\.4294967295"),
        ({"epoch": 2**32}, r"epoch = 4294967296: must lie in"),
        ({"shift": -1}, "shift = -1: must be a number of pixels, 0 or more"),
        ({"shift": math.nan}, "shift = nan: must be"),
        ({"rotation_degrees": 181}, r"rotation_degrees = 181: must lie in 0\.\.180"),
        ({"elastic_alpha": math.inf}, "elastic_alpha = inf: must be"),
        ({"flip": 1.1}, r"flip = 1\.1: must lie in 0\.\.1"),
        ({"elastic_sigma": 0}, r"elastic_sigma = 0: must lie in 0\.5\.\.100 pixels"),
        ({"out": np.zeros((2, 12))}, r"out: float64 of shape \(2, 12\): must be uint8"),
        ({"out": np.zeros((12, 2), np.uint8).T}, r"out: uint8 of shape \(2, 12\): must be .* C-contiguous"),
    ],
)
def test_bad_options_are_refused(change, message):
    arguments = {"images": np.zeros((2, 12), np.uint8), "image_shape": (3, 4), "sample_ids": np.arange(2)}
    with pytest.raises(InputError, match=message):
        augment(**{**arguments, "seed": 0, "epoch": 0, **change})


def test_in_place_is_refused():
    images = digits(2)
    with pytest.raises(InputError, match="out: must not share memory"):
        augment(images, SHAPE, np.arange(2), 0, 0, out=images)
