"""Masked additions on the device: bit by bit the sums in ascending order, in the simulator or on a GPU."""

import numpy as np
import pytest

from snnsim.kernels.cuda import masked, masked_gradient
from tests.cuda.device import OVERFLOW, off, on, random_lists, somewhere_to_run, words_of  # noqa: F401

pytestmark = OVERFLOW


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("n_in", "n_out"), [(1100, 5), (12, 70)])  # more words than a stage takes; many columns
def test_input(n_in, n_out, dtype):
    rng = np.random.default_rng(40)
    n_samples, n_steps, k1 = 2, 75, 70
    rows, row_ptr = random_lists(rng, n_samples, n_steps, n_in, 0.1)
    bits = words_of(rows, row_ptr, n_in)
    bits[1, 1] = 0  # a sample that is silent for 32 steps
    bits[0, 1, 1000:] = 0  # a stage without a spike
    weights = rng.standard_normal((n_in, n_out)).astype(dtype)
    for k0, last in ((0, 64), (64, k1), (32, k1)):
        x = on(np.full((n_samples, 64, n_out), 7, dtype))
        masked.masked_input(on(weights.reshape(-1)), on(bits), k0, last, x)
        x = off(x)
        for b in range(n_samples):
            for k in range(k0, last):
                expected = np.zeros(n_out, dtype)
                for i in np.flatnonzero(bits[b, k // 32] >> np.uint32(k % 32) & np.uint32(1)):
                    expected += weights[i]
                np.testing.assert_array_equal(x[b, k - k0], expected)
        assert (x[:, last - k0 :] == 7).all()


@pytest.mark.parametrize("fresh", [False, True])
@pytest.mark.parametrize(
    ("n_in", "n_out", "n_samples", "dtype"),
    [
        (3, 5, 1, np.float32),  # one portion
        (5, 3, 9, np.float32),  # some, of different lengths
        (2, 3, 70, np.float32),  # as many as there may be
        (20, 3, 4, np.float64),  # two groups of rows of a narrow layer in the simulator
        (140, 10, 4, np.float32),  # the same on a card; more than one tile of columns in the simulator
        (2, 70, 5, np.float32),  # more than one tile of columns everywhere
        (170, 40, 5, np.float32),  # two groups of rows everywhere
        (90, 40, 3, np.float64),
    ],
)
def test_gradient(fresh, n_in, n_out, n_samples, dtype):
    rng = np.random.default_rng(41)
    n_steps, span = 78, 64
    rows, row_ptr = random_lists(rng, n_samples, n_steps, n_in, 0.3)
    bits = words_of(rows, row_ptr, n_in)
    squares, arrived = (on(np.zeros(masked_gradient.n_squares((n_in, n_out), dtype), t)) for t in (dtype, np.int32))
    for k0, k1 in ((64, n_steps), (0, 64)):
        n_blocks = -(-(k1 - k0) // 32)
        n_words = n_samples * n_blocks
        portions = masked_gradient.n_portions((n_in, n_out), dtype, n_words)
        assert portions == max(1, min(32, n_words // 4))
        adjoint = rng.standard_normal((n_samples * span, n_out)).astype(dtype)
        start = rng.standard_normal((n_in, n_out)).astype(dtype)
        parts = on(np.full((portions, n_in, n_out), np.nan, dtype))
        grad = on(start)
        masked_gradient.masked_gradient(
            on(adjoint.reshape(-1)), on(bits), k0, k1, span, fresh, parts, arrived, grad, squares
        )
        sums = np.zeros((portions, n_in, n_out), dtype)
        for p in range(portions):
            for w in range(n_words * p // portions, n_words * (p + 1) // portions):
                b, q = divmod(w, n_blocks)
                for step in range(min(32, k1 - k0 - 32 * q)):
                    spiking = (bits[b, k0 // 32 + q] >> np.uint32(step) & np.uint32(1)).astype(bool)
                    sums[p, spiking] += adjoint[b * span + 32 * q + step]
        expected = np.zeros_like(start) if fresh else start.copy()
        for part in sums:
            expected += part
        np.testing.assert_array_equal(off(grad), expected)
        assert off(squares).sum() == pytest.approx((expected.astype(np.float64) ** 2).sum(), rel=1e-5)
        assert not off(arrived).any()
