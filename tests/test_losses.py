"""The losses as engines meet them: which array they differentiate by, and what silent outputs get."""

import numpy as np
import pytest
from scipy.special import log_softmax

from snnsim.engines.outputs import SpikeOutput, VoltageOutput
from snnsim.errors import InputError
from snnsim.losses import LOSSES, MEMBRANE_LOSSES, SPIKE_LOSSES, Loss, push_silent

CLASSES, STEPS, DT = 3, 20, 0.1
LABELS = np.array([0, 1, 2])


def loss(name, **options):
    return Loss(name, **{"n_classes": CLASSES, "duration": STEPS * DT, "dt": DT, "n_steps": STEPS, **options})


def spikes():
    """Sample 0: its label twice and a late other; sample 1: only another class; sample 2: nothing."""
    neurons = np.array([[0, 0, 2, 7], [2, 9, 9, 9], [9, 9, 9, 9]], np.int32)
    times = np.array([[0.3, 0.8, 1.5, np.nan], [0.5, np.nan, np.nan, np.nan], [np.nan] * 4])
    return SpikeOutput(neurons, times, np.array([3, 1, 0], np.int32), CLASSES, STEPS * DT)


@pytest.mark.parametrize("name", SPIKE_LOSSES)
def test_spike_losses(name):
    result = loss(name, target_true=2, target_false=0)(spikes(), LABELS)
    assert np.isfinite(result.loss).all()
    assert result.loss.dtype == np.float64
    # van Rossum's distance takes the one spike of class 2 for the better half of a train of two.
    assert result.prediction[:2].tolist() == ([2, 2] if name == "van-rossum" else [0, 2])
    assert result.gradient.shape == (3, 4)
    # Nothing beyond a sample's own spikes.
    assert not result.gradient[[0, 1, 1, 1, 2, 2, 2, 2], [3, 1, 2, 3, 0, 1, 2, 3]].any()
    # Alone and far from the end, a spike where none is wanted costs the same wherever it lies.
    assert (result.gradient[1, 0] != 0) == (name != "van-rossum")
    assert result.silent.tolist() == [-1, 1, 2]


@pytest.mark.parametrize("name", SPIKE_LOSSES)
def test_amplitude_losses_have_a_field(name):
    by_time = loss(name, target_true=2, target_false=0)(spikes(), LABELS)
    by_step = loss(name, target_true=2, target_false=0, amplitude=True)(spikes(), LABELS)
    np.testing.assert_array_equal(by_step.loss, by_time.loss)
    np.testing.assert_array_equal(by_step.prediction, by_time.prediction)
    assert by_step.gradient.shape == (3, STEPS, CLASSES)
    assert np.isfinite(by_step.gradient).all()
    assert by_step.gradient.any()


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
@pytest.mark.parametrize("name", MEMBRANE_LOSSES)
def test_membrane_losses(name, smoothing):
    wanted = (1 - smoothing) * np.eye(CLASSES)[LABELS] + smoothing / CLASSES
    v = np.random.default_rng(0).normal(size=(3, STEPS, CLASSES))
    result = loss(name, label_smoothing=smoothing)(VoltageOutput(v, STEPS * DT), LABELS)
    logits = v.mean(axis=1) if name == "membrane-mean" else v.max(axis=1)
    # Both in float64: sums of a few rounded terms.
    np.testing.assert_allclose(result.loss, -(wanted * log_softmax(logits, axis=1)).sum(axis=1), rtol=1e-12)
    np.testing.assert_array_equal(result.prediction, logits.argmax(axis=1))
    assert result.silent is None
    step = 1e-6
    for at in ((0, 3, 1), (2, 5, 2)):
        up, down = v.copy(), v.copy()
        up[at] += step
        down[at] -= step
        made = loss(name, label_smoothing=smoothing)
        difference = [made(VoltageOutput(x, STEPS * DT), LABELS).loss.mean() for x in (up, down)]
        # Central differences of a mean of order 1: rounding 1e-16 / 1e-6.
        assert result.gradient[at] == pytest.approx((difference[0] - difference[1]) / (2 * step), abs=1e-9)


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
@pytest.mark.parametrize("name", MEMBRANE_LOSSES)
def test_a_blend_s_loss_is_the_blend_of_losses(name, smoothing):
    v = np.random.default_rng(0).normal(size=(3, STEPS, CLASSES))
    made, output = loss(name, label_smoothing=smoothing), VoltageOutput(v, STEPS * DT)
    others, shares = (LABELS + [0, 1, 2]) % CLASSES, np.array([0.3, 0.5, 0.1])
    blended, mine, other = made(output, LABELS, (others, shares)), made(output, LABELS), made(output, others)
    # All in float64, of order one: sums of a few rounded terms.
    np.testing.assert_allclose(blended.loss, (1 - shares) * mine.loss + shares * other.loss, rtol=1e-12)
    share = shares[:, None, None]
    expected = (1 - share) * mine.gradient + share * other.gradient
    np.testing.assert_allclose(blended.gradient, expected, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(blended.prediction, mine.prediction)


@pytest.mark.parametrize("name", ["first-spike", "van-rossum"])
def test_times_are_differentiated(name):
    made, step = loss(name, target_true=2, target_false=0), 1e-6
    result = made(spikes(), LABELS)
    for b, j in ((0, 0), (0, 1), (0, 2), (1, 0)):
        values = []
        for sign in (1, -1):
            moved = spikes()
            moved.times[b, j] += sign * step
            values.append(made(moved, LABELS).loss.mean())
        assert result.gradient[b, j] == pytest.approx((values[0] - values[1]) / (2 * step), abs=1e-8)


def test_count_targets():
    result = loss("count-mse", target_true=3, target_false=1)(spikes(), LABELS)
    # Counts (2, 0, 1), (0, 0, 1), (0, 0, 0) against 3 for the label and 1 for the others.
    np.testing.assert_allclose(result.loss, [(1 + 1 + 0) / 2, (1 + 9 + 0) / 2, (1 + 1 + 9) / 2])


def test_silent_outputs_are_pushed_by_the_spikes_they_received():
    result = loss("first-spike")(spikes(), LABELS)
    presynaptic = (np.array([[0, 1, 0], [3, 3, 1], [2, 0, 0]], np.int32), np.array([3, 3, 1], np.int32))
    grad = np.zeros((4, CLASSES))
    push_silent(result, presynaptic, 0.6, grad)
    expected = np.zeros((4, CLASSES))
    # Sample 1 misses class 1: two spikes of neuron 3, one of neuron 1; sample 2 misses class 2: one of neuron 2.
    expected[3, 1], expected[1, 1], expected[2, 2] = -0.4, -0.2, -0.2
    np.testing.assert_allclose(grad, expected, rtol=1e-12)
    grad[:] = 0
    push_silent(result, presynaptic, 0.0, grad)
    assert not grad.any()
    push_silent(loss("membrane-mean")(VoltageOutput(np.zeros((3, 4, CLASSES)), 1.0), LABELS), presynaptic, 1.0, grad)
    assert not grad.any()


def test_what_is_refused():
    with pytest.raises(InputError, match=r"loss\.name = 'mse': must be one of " + ", ".join(LOSSES)):
        loss("mse")
    with pytest.raises(InputError, match=r"loss\.tau = 0: must be positive"):
        loss("first-spike", tau=0)
