"""Losses against SciPy and plain formulas; their derivatives against central differences."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import log_softmax

from snnsim.kernels import cpu
from tests.reference import central_difference

EXACT = 1e-12  # float64, a different order of sums
DIFFERENCE = 1e-6  # central differences in float64
BATCH, CLASSES, DURATION, DT, TAU = 5, 4, 3.0, 0.1, 0.7
LABELS = np.array([2, 0, 3, 1, 2])


def slab(seed=0, grid=False, at_most=9):
    """Output spikes: ascending times, one sample silent, one with a single spike, class 3 silent in sample 2."""
    rng = np.random.default_rng(seed)
    cap = at_most + 2
    neurons, times = np.full((BATCH, cap), -1, np.int32), np.full((BATCH, cap), np.nan)
    counts = np.array([at_most, 0, at_most - 1, 1, at_most - 3], np.int32)
    for b, n in enumerate(counts):
        if grid:  # at most one spike of a neuron a step
            classes = 3 if b == 2 else CLASSES
            place = np.sort(rng.choice(30 * classes, n, replace=False))
            times[b, :n], neurons[b, :n] = (place // classes + 1) * DT, place % classes
        else:
            times[b, :n] = np.sort(rng.uniform(0, DURATION, n))
            neurons[b, :n] = rng.integers(0, 3 if b == 2 else CLASSES, n)
    return neurons, times, counts


def trains(neurons, times, counts):
    return [[times[b, : counts[b]][neurons[b, : counts[b]] == c] for c in range(CLASSES)] for b in range(len(counts))]


def results():
    return np.full(BATCH, np.nan), np.full(BATCH, -1, np.int64)


@pytest.mark.parametrize("targets", [[], [1.0, 4.0]])
def test_count_loss(targets):
    neurons, times, counts = slab()
    targets = np.array(targets)
    loss, prediction = results()
    d_count = np.full((BATCH, CLASSES), np.nan)
    cpu.count_loss(neurons, counts, LABELS, targets, loss, prediction, d_count)
    n = np.array([[len(train) for train in row] for row in trains(neurons, times, counts)], float)

    def value(n):
        if targets.size:
            goal = np.where(np.arange(CLASSES) == LABELS[:, None], targets[1], targets[0])
            return ((n - goal) ** 2 / 2).sum(axis=1)
        return -log_softmax(n, axis=1)[np.arange(BATCH), LABELS]

    np.testing.assert_allclose(loss, value(n), rtol=EXACT)
    np.testing.assert_array_equal(prediction, n.argmax(axis=1))  # the lowest among equals, as argmax
    np.testing.assert_allclose(d_count, central_difference(lambda m: value(m).mean(), n), rtol=DIFFERENCE, atol=1e-9)
    error = np.full(neurons.shape, np.nan)
    cpu.count_error(neurons, counts, d_count, error)
    for b in range(BATCH):
        np.testing.assert_array_equal(error[b, : counts[b]], -d_count[b, neurons[b, : counts[b]]])
        assert np.isnan(error[b, counts[b] :]).all()


def first_times(neurons, times, counts):
    return np.array([[train[0] if len(train) else DURATION for train in row] for row in trains(neurons, times, counts)])


def first_spike(neurons, times, counts):
    loss, prediction = results()
    d_first = np.full((BATCH, CLASSES), np.nan)
    cpu.first_spike_loss(neurons, times, counts, LABELS, DURATION, TAU, loss, prediction, d_first)
    return loss, prediction, d_first


def test_first_spike_loss():
    given = slab(1)
    loss, prediction, d_first = first_spike(*given)
    first = first_times(*given)

    def value(t):
        return -log_softmax(-t / TAU, axis=1)[np.arange(BATCH), LABELS]

    np.testing.assert_allclose(loss, value(first), rtol=EXACT)
    np.testing.assert_array_equal(prediction, first.argmin(axis=1))
    np.testing.assert_allclose(
        d_first, central_difference(lambda t: value(t).mean(), first), rtol=DIFFERENCE, atol=1e-9
    )


def test_first_spike_error_is_the_derivative_by_every_spike_time():
    neurons, times, counts = slab(2)
    _, _, d_first = first_spike(neurons, times, counts)
    error = np.full(neurons.shape, np.nan)
    cpu.first_spike_error(neurons, counts, d_first, error)
    for b in range(BATCH):
        for j in range(counts[b]):
            ends = []
            for step in (1e-6, -1e-6):
                moved = times.copy()
                moved[b, j] += step
                ends.append(first_spike(neurons, moved, counts)[0].mean())
            assert error[b, j] == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=DIFFERENCE, abs=1e-9)
        assert np.isnan(error[b, counts[b] :]).all()


def on_grid(neurons, times, counts, n_steps):
    s = np.zeros((BATCH, n_steps, CLASSES))
    for b in range(BATCH):
        for j in range(counts[b]):
            s[b, round(times[b, j] / DT) - 1, neurons[b, j]] = 1
    return s


def test_first_spike_amplitude_is_the_derivative_of_the_relaxed_time():
    neurons, times, counts = slab(3, grid=True, at_most=14)
    n_steps = 30
    d_first = np.random.default_rng(3).normal(size=(BATCH, CLASSES))
    amplitude = np.full((BATCH, n_steps, CLASSES), np.nan)
    cpu.first_spike_amplitude(neurons, times, counts, d_first, DURATION, DT, amplitude)

    def relaxed(s):
        """``sum_k t_k s_k prod_{j<k} (1 - s_j)``, and the duration where no spike is."""
        before = np.cumprod(1 - s, axis=1)
        earlier = np.concatenate([np.ones_like(s[:, :1]), before[:, :-1]], axis=1)
        t = (np.arange(n_steps) + 1)[:, None] * DT
        return (t * s * earlier).sum(axis=1) + DURATION * before[:, -1]

    s = on_grid(neurons, times, counts, n_steps)
    np.testing.assert_allclose(relaxed(s), first_times(neurons, times, counts), rtol=EXACT)
    # Linear in every single entry: any step gives its derivative.
    expected = central_difference(lambda s: float((d_first * relaxed(s)).sum()), s, step=0.5)
    np.testing.assert_allclose(amplitude, expected, rtol=0, atol=1e-12)


TARGETS = np.array([[0.4, 2.2, np.nan], [0.3, 1.1, 1.9]])
TARGET_COUNTS = np.array([2, 3])


def goal_of(c, label):
    which = int(c == label)
    return TARGETS[which, : TARGET_COUNTS[which]]


def van_rossum(neurons, times, counts):
    loss, prediction = results()
    error = np.full(neurons.shape, np.nan)
    cpu.van_rossum_loss(neurons, times, counts, LABELS, TARGETS, TARGET_COUNTS, CLASSES, TAU, loss, prediction, error)
    return loss, prediction, error


def distance(train, goal):
    """``1/tau int (f - g)^2 dt`` of the trains filtered by ``exp(-t/tau)``, by quadrature between their spikes."""

    def difference(t):
        return sum(np.exp(-(t - s) / TAU) for s in train if s <= t) - sum(
            np.exp(-(t - s) / TAU) for s in goal if s <= t
        )

    knots = sorted({0.0, *map(float, train), *map(float, goal)}) + [DURATION + 30 * TAU]
    parts = [quad(lambda t: difference(t) ** 2, a, b, epsabs=1e-12, epsrel=1e-10)[0] for a, b in pairwise(knots)]
    return sum(parts) / TAU


def test_van_rossum_loss_is_the_integral_of_the_filtered_difference():
    given = slab(4, at_most=7)
    loss, prediction, _ = van_rossum(*given)
    for b, row in enumerate(trains(*given)):
        expected = sum(distance(row[c], goal_of(c, LABELS[b])) for c in range(CLASSES))
        assert loss[b] == pytest.approx(expected, rel=1e-8, abs=1e-9)
        nearness = [distance(row[c], TARGETS[0, :2]) - distance(row[c], TARGETS[1]) for c in range(CLASSES)]
        assert nearness[prediction[b]] == pytest.approx(max(nearness), abs=1e-8)


def test_van_rossum_error_is_the_derivative_by_every_spike_time():
    neurons, times, counts = slab(5)
    *_, error = van_rossum(neurons, times, counts)
    for b in range(BATCH):
        for j in range(counts[b]):
            ends = []
            for step in (1e-6, -1e-6):
                moved = times.copy()
                moved[b, j] += step
                ends.append(van_rossum(neurons, moved, counts)[0].mean())
            assert error[b, j] == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-5, abs=1e-8)
        assert np.isnan(error[b, counts[b] :]).all()


def test_the_target_itself_is_at_distance_zero():
    neurons, times, counts = np.zeros((1, 6), np.int32), np.zeros((1, 6)), np.array([3], np.int32)
    times[0, :3] = TARGETS[1]
    loss, prediction, error = np.full(1, np.nan), np.full(1, -1), np.full((1, 6), np.nan)
    label = np.zeros(1, np.int64)
    cpu.van_rossum_loss(neurons, times, counts, label, TARGETS, TARGET_COUNTS, 1, TAU, loss, prediction, error)
    assert loss[0] == pytest.approx(0, abs=1e-14)
    np.testing.assert_allclose(error[0, :3], 0, atol=1e-14)


def test_van_rossum_amplitude():
    neurons, times, counts = slab(6, grid=True)
    n_steps = 30
    amplitude = np.full((BATCH, n_steps, CLASSES), np.nan)
    cpu.van_rossum_amplitude(neurons, times, counts, LABELS, TARGETS, TARGET_COUNTS, DT, TAU, amplitude)
    t = (np.arange(n_steps) + 1) * DT
    kernel = np.exp(-np.abs(t[:, None] - t) / TAU)

    def value(s):
        total = 0.0
        for b in range(BATCH):
            for c in range(CLASSES):
                goal = goal_of(c, LABELS[b])
                cross = np.exp(-np.abs(t[:, None] - goal) / TAU).sum(axis=1)
                own = np.exp(-np.abs(goal[:, None] - goal) / TAU).sum()
                total += s[b, :, c] @ kernel @ s[b, :, c] / 2 - s[b, :, c] @ cross + own / 2
        return total / BATCH

    s = on_grid(neurons, times, counts, n_steps)
    loss, _, _ = van_rossum(neurons, times, counts)
    assert loss.mean() == pytest.approx(value(s), rel=EXACT)
    direction = np.random.default_rng(6).normal(size=s.shape)
    slope = (value(s + direction) - value(s - direction)) / 2  # quadratic: exact for any step
    assert (amplitude * direction).sum() == pytest.approx(slope, rel=1e-10)
    for where in ((0, 3, 2), (1, 29, 0), (4, 11, 1)):
        moved = np.zeros_like(s)
        moved[where] = 1
        assert amplitude[where] == pytest.approx((value(s + moved) - value(s - moved)) / 2, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("use_max", [False, True])
def test_membrane_loss(use_max):
    v = np.random.default_rng(7).normal(size=(BATCH, 12, CLASSES))
    v[0] = 0.25  # all equal: the first step, the lowest class
    loss, prediction = results()
    dloss_dv = np.full(v.shape, np.nan)
    cpu.membrane_loss(v, LABELS, use_max, loss, prediction, dloss_dv)

    def value(v):
        z = v.max(axis=1) if use_max else v.mean(axis=1)
        return -log_softmax(z, axis=1)[np.arange(BATCH), LABELS]

    np.testing.assert_allclose(loss, value(v), rtol=EXACT)
    np.testing.assert_array_equal(prediction, (v.max(axis=1) if use_max else v.mean(axis=1)).argmax(axis=1))
    expected = central_difference(lambda v: value(v).mean(), v)
    start = int(use_max)  # where all steps are equal, the maximum has no derivative
    np.testing.assert_allclose(dloss_dv[start:], expected[start:], rtol=DIFFERENCE, atol=1e-9)
    if use_max:
        assert (dloss_dv[0, 1:] == 0).all()
        softmax = np.where(np.arange(CLASSES) == LABELS[0], -0.75, 0.25) / BATCH
        np.testing.assert_allclose(dloss_dv[0, 0], softmax, rtol=EXACT)


def test_silent_drive():
    neurons, _, counts = slab(8)
    targets = np.array([1, 0, -1, 1, 3])
    grad_w = np.ones((CLASSES, 5))
    cpu.silent_drive(neurons, counts, targets, 0.25, grad_w)
    expected = np.ones((CLASSES, 5))
    for b, c in enumerate(targets):
        if c >= 0:
            expected[:, c] -= 0.25 * np.bincount(neurons[b, : counts[b]], minlength=CLASSES)
    np.testing.assert_array_equal(grad_w, expected)
