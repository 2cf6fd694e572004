"""The integral readout's loss: its derivative by differences, and one value from scores and from fine samples."""

import numpy as np
import pytest

from snnsim import config as configuration
from snnsim.blueprint import network_of
from snnsim.engines.outputs import ScoreOutput, VoltageOutput
from snnsim.errors import InputError
from snnsim.integral_loss import IntegralLoss
from snnsim.training.parts import engine_of, loss_of


def membranes(samples):
    t = 3.0 * np.arange(1, samples + 1) / samples
    phase = np.arange(4)[:, None, None] + np.arange(3)
    return np.sin(phase + t[:, None]) + 0.3 * t[:, None]


@pytest.mark.parametrize("tau_w", [np.inf, 1.3])
def test_the_gradient_is_the_central_difference(tau_w):
    loss, labels = IntegralLoss(tau_w), np.array([0, 2, 1, 1])
    rng = np.random.default_rng(0)
    for made, value in ((VoltageOutput, membranes(20)), (ScoreOutput, rng.normal(size=(4, 3)))):
        found = loss(made(value, 3.0), labels)
        direction = rng.normal(size=value.shape)
        ends = [loss(made(value + h * direction, 3.0), labels).loss.mean() for h in (-1e-5, 1e-5)]
        np.testing.assert_allclose((found.gradient * direction).sum(), (ends[1] - ends[0]) / 2e-5, rtol=1e-8)


def test_fine_samples_are_the_integral():
    fine, coarse = (IntegralLoss(2.0)(VoltageOutput(membranes(n), 3.0), np.array([0, 2, 1, 1])) for n in (4000, 2000))
    t = (np.arange(200_000) + 0.5) * 3.0 / 200_000
    phase = np.arange(4)[:, None, None] + np.arange(3)
    y = ((np.sin(phase + t[:, None]) + 0.3 * t[:, None]) * np.exp(-t / 2)[:, None]).mean(1) * 3.0
    exact = IntegralLoss(2.0)(ScoreOutput(y, 3.0), np.array([0, 2, 1, 1]))
    gaps = [np.abs(one.loss - exact.loss).max() for one in (fine, coarse)]
    assert gaps[0] < 1e-3
    assert gaps[1] == pytest.approx(2 * gaps[0], rel=0.05)  # of the first order, as a clock is
    np.testing.assert_array_equal(fine.prediction, exact.prediction)


def test_configurations_choose_it():
    for engine, readout in (("event", "integral"), ("clock", None)):
        words = ["network.layers=[5, 4, 3]", "loss.name=membrane-integral", "loss.tau_w=2.0"]
        config = configuration.load(None, [*words, f"simulation.engine={engine}"])
        network = network_of(config)
        made = engine_of(config, network)
        assert network.readout == "leaky"
        assert isinstance(loss_of(config, 3, made), IntegralLoss)
        if readout:
            assert (made.readout, made.tau_w) == (readout, 2.0)
    with pytest.raises(InputError, match=r"loss.tau_w = -1.0: must be at least 0"):
        configuration.load(None, ["loss.name=membrane-integral", "loss.tau_w=-1"])
