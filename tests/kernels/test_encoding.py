"""Spike encoders: every spike from its definition, and the statistics of the random ones."""

import numpy as np
import pytest
from scipy.stats import binomtest, chi2, kstest

from snnsim.dynamics.philox import bernoulli32
from snnsim.kernels import cpu
from tests.kernel_chain import dense_of, grouped, spike_lists

ALWAYS = 2**32
DOUBT = 1e-4  # a test of chance at fixed seeds: it fails for wrong odds, never by chance


def encode(encoder, *given, batch, n_steps, group=1, cap):
    rows, row_ptr = np.full((batch, cap), -1, np.int32), np.full((batch, n_steps + 1), -1, np.int32)
    encoder(*given, n_steps, group, rows, row_ptr)
    return rows, row_ptr


def poisson(thresholds, samples, seed=1, epoch=2, n_steps=50, group=1, cap=None):
    thresholds = np.ascontiguousarray(thresholds, np.int64)
    batch, n = thresholds.shape
    return encode(
        cpu.encode_poisson, thresholds, np.asarray(samples, np.int64), seed, epoch, batch=batch, n_steps=n_steps,
        group=group, cap=cap or n_steps * n,
    )  # fmt: skip


@pytest.mark.parametrize("n_steps", [1, 31, 32, 33, 50, 64, 97])
def test_poisson_spikes_are_the_bits_of_bernoulli_words(n_steps):
    thresholds = np.random.default_rng(0).integers(0, ALWAYS, (3, 11))
    thresholds[:, 0], thresholds[:, 5], thresholds[0, 7] = 0, ALWAYS, 1
    samples = [17, 4, 2**31]
    rows, row_ptr = poisson(thresholds, samples, n_steps=n_steps)
    expected = np.zeros((3, n_steps, 11))
    for b, sample in enumerate(samples):
        for n in range(11):
            for k in range(n_steps):
                word = bernoulli32(int(thresholds[b, n]), n, sample, k // 32, 1, 2)
                expected[b, k, n] = word >> (k % 32) & 1
    np.testing.assert_array_equal(dense_of(rows, row_ptr, 11), expected)
    for b in range(3):  # ordered by step, then neuron
        step = np.repeat(np.arange(n_steps), np.diff(row_ptr[b]))
        assert (np.diff(step * 11 + rows[b, : row_ptr[b, -1]]) > 0).all()


def test_spikes_depend_on_seed_epoch_and_sample_only():
    thresholds = np.full((4, 13), ALWAYS // 3)
    rows, row_ptr = poisson(thresholds, [5, 6, 7, 8])
    other, other_ptr = poisson(thresholds[:2], [7, 5])
    for a, b in ((2, 0), (0, 1)):
        np.testing.assert_array_equal(row_ptr[a], other_ptr[b])
        np.testing.assert_array_equal(rows[a, : row_ptr[a, -1]], other[b, : other_ptr[b, -1]])
    base = dense_of(rows, row_ptr, 13)
    for changed in (dict(seed=2), dict(epoch=3), dict(samples=[1, 2, 3, 4])):
        again = dense_of(*poisson(thresholds, **({"samples": [5, 6, 7, 8]} | changed)), 13)
        assert 0.3 < (again != base).mean() < 0.6  # independent: 4/9


@pytest.mark.parametrize("p", [0.0, 1e-3, 1 / 255, 0.13, 0.5, 254 / 255, 1.0])
def test_poisson_probability(p):
    batch, n, n_steps = 20, 40, 96
    rows, row_ptr = poisson(np.full((batch, n), round(p * ALWAYS)), np.arange(batch), seed=3, n_steps=n_steps)
    dense = dense_of(rows, row_ptr, n)
    assert binomtest(int(dense.sum()), dense.size, p).pvalue > DOUBT
    for axis in ((0, 1), (0, 2), (1, 2)):  # every neuron, every step and every sample by itself
        total = dense.sum(axis=axis)
        chances = [binomtest(int(k), dense.size // total.size, p).pvalue for k in total]
        assert min(chances) > DOUBT / total.size


@pytest.mark.parametrize("p", [1 / 255, 0.13, 0.5, 254 / 255])
def test_neighbours_are_independent(p):
    # Products of neighbours' deviations: independent pairs have mean 0 and standard deviation p (1 - p) each.
    scores = []
    for seed in range(30):
        rows, row_ptr = poisson(np.full((20, 40), round(p * ALWAYS)), np.arange(20), seed=seed, n_steps=96)
        d = (dense_of(rows, row_ptr, 40) - p) / np.sqrt(p * (1 - p))
        pairs = d[:, 1:] * d[:, :-1], d[..., 1:] * d[..., :-1], d[1:] * d[:-1]  # in time, in the layer, in the batch
        scores.append([x.sum() / np.sqrt(x.size) for x in pairs])
    scores = np.array(scores)
    assert chi2.sf((scores**2).sum(axis=0), 30).min() > DOUBT
    assert chi2.cdf((scores**2).sum(axis=0), 30).min() > DOUBT


def test_intervals_are_geometric():
    p = 0.1
    dense = dense_of(*poisson(np.full((10, 50), round(p * ALWAYS)), np.arange(10), n_steps=640), 50)
    gaps = np.concatenate([np.diff(np.flatnonzero(dense[b, :, n])) for b in range(10) for n in range(50)])
    # Uniform once spread over each gap's own probability (a discrete variable has no continuous distribution).
    u = np.random.default_rng(0).random(gaps.size)
    assert kstest(1 - (1 - p) ** (gaps - 1) * (1 - p * u), "uniform").pvalue > DOUBT


@pytest.mark.parametrize("n_steps", [1, 32, 50, 70])
def test_regular_spikes(n_steps):
    p = np.array([[0, 1, ALWAYS // 255, ALWAYS // 7, ALWAYS // 2, ALWAYS // 3 * 2, ALWAYS - 1, ALWAYS]])
    rows, row_ptr = encode(cpu.encode_regular, p, batch=1, n_steps=n_steps, cap=8 * n_steps)
    dense = dense_of(rows, row_ptr, 8)[0]
    # floor((k + 1) p + 1/2) spikes in the first k + 1 steps, in exact integers.
    expected = [[((k + 1) * int(q) + ALWAYS // 2) // ALWAYS for q in p[0]] for k in range(n_steps)]
    np.testing.assert_array_equal(dense.cumsum(axis=0), expected)
    for n, q in enumerate(p[0] / ALWAYS):
        steps = np.flatnonzero(dense[:, n])
        if len(steps) > 1:
            assert set(np.diff(steps)) <= {int(1 / q), int(np.ceil(1 / q))}  # as even as a grid allows


@pytest.mark.parametrize("n_steps", [1, 32, 33, 80])
def test_given_steps(n_steps):
    steps = np.random.default_rng(3).integers(-5, n_steps + 40, (4, 9))
    steps[0, 0], steps[0, 1], steps[1] = 0, n_steps - 1, n_steps
    rows, row_ptr = encode(cpu.encode_steps, steps, batch=4, n_steps=n_steps, cap=9)
    np.testing.assert_array_equal(dense_of(rows, row_ptr, 9), np.arange(n_steps)[None, :, None] == steps[:, None, :])
    assert row_ptr[1, -1] == 0


def every_encoder(group, cap):
    thresholds = np.random.default_rng(4).integers(0, ALWAYS, (3, 14))
    steps = np.random.default_rng(5).integers(0, 45, (3, 14))
    yield "poisson", poisson(thresholds, [1, 2, 3], n_steps=45, group=group, cap=cap)
    yield "regular", encode(cpu.encode_regular, thresholds, batch=3, n_steps=45, group=group, cap=cap)
    yield "steps", encode(cpu.encode_steps, steps, batch=3, n_steps=45, group=group, cap=cap)


def test_patterns_are_the_grouped_spikes():
    for (name, by_neuron), (_, patterns) in zip(every_encoder(1, 700), every_encoder(4, 700), strict=True):
        rows, row_ptr = grouped(*by_neuron)
        np.testing.assert_array_equal(patterns[1], row_ptr, err_msg=name)
        for b in range(3):
            np.testing.assert_array_equal(patterns[0][b, : row_ptr[b, -1]], rows[b, : row_ptr[b, -1]], err_msg=name)


@pytest.mark.parametrize("group", [1, 4])
def test_too_little_room_is_told_and_respected(group):
    for (name, roomy), (_, tight) in zip(every_encoder(group, 700), every_encoder(group, 3), strict=True):
        np.testing.assert_array_equal(tight[1], roomy[1], err_msg=name)  # the room that a second run needs
        assert roomy[1][:, -1].max() > 3
        np.testing.assert_array_equal(tight[0], roomy[0][:, :3], err_msg=name)
        most = int(roomy[1][:, -1].max())
        for other, exact in every_encoder(group, most):
            if other == name:
                for b in range(3):
                    stop = roomy[1][b, -1]
                    np.testing.assert_array_equal(exact[0][b, :stop], roomy[0][b, :stop], err_msg=name)


def test_lists_fit_the_layer_kernels():
    rows, row_ptr = poisson(np.full((2, 9), ALWAYS // 4), [0, 1])
    again, again_ptr = spike_lists(dense_of(rows, row_ptr, 9))
    np.testing.assert_array_equal(again_ptr, row_ptr)
    for b in range(2):
        np.testing.assert_array_equal(again[b, : again_ptr[b, -1]], rows[b, : row_ptr[b, -1]])
