"""A loss, an encoder, an optimiser, a schedule of one's own: a few lines each; they train, are saved and found."""

import sys

import numpy as np
import pytest

import snnsim as sn
from snnsim import config
from snnsim.errors import InputError
from snnsim.losses import Loss
from snnsim.models import save_model
from snnsim.registry import LOSSES
from snnsim.training import Session
from tests.use.data import blobs, trains
from tests.use.test_own_data import GRID, QUICK


class Hinge:
    """Multi-class hinge on the mean membrane (Crammer & Singer 2001)."""

    reads = "membrane"

    def __init__(self, margin=1.0):
        self.margin = margin

    def __call__(self, v, y):
        z, rows = v.mean(axis=1), np.arange(len(y))
        far = z - z[rows, y][:, None] + self.margin
        far[rows, y] = -np.inf
        worst = far.argmax(axis=1)
        value = np.maximum(far[rows, worst], 0)
        slope = np.zeros_like(z)
        slope[rows, worst] += value > 0
        slope[rows, y] -= value > 0
        return value, np.repeat(slope[:, None], v.shape[1], axis=1) / v.shape[1]


class Squares:
    """Squared distance from four spikes of the label, none of others."""

    reads = "counts"

    def __call__(self, counts, y):
        miss = counts - 4.0 * (np.arange(counts.shape[1]) == y[:, None])
        return (miss**2).sum(axis=1), 2 * miss


class Early:
    """The label's spikes early, the others' late, weighed by time."""

    reads = "spikes"

    def __call__(self, spikes, y):
        of = np.repeat(np.arange(len(spikes)), np.diff(spikes.offsets))
        sign = np.where(spikes.neurons == y[of], 1.0, -1.0)
        value = np.bincount(of, sign * spikes.times**2 / 100, len(spikes))
        return value, sign * spikes.times / 50


def two_bursts(x, rng):
    """Two spikes of every bright input, jittered."""
    (bright,) = np.nonzero(x > 0.4)
    return np.sort(rng.uniform(0, 20, 2 * bright.size)), np.tile(bright, 2)


def signed(w, g, lr, step, mean):
    """The sign of a running mean of gradients."""
    mean *= 0.9
    mean += 0.1 * g
    w -= lr * np.sign(mean)


def falling(progress):
    return 1 - progress


@pytest.mark.parametrize("loss", [Hinge, Squares, Early])
def test_derivatives_of_own_losses(loss):
    assert sn.check_gradient(loss(), [0, 2, 1]) < 1e-6


def test_a_wrong_derivative_is_found():
    class Wrong(Squares):
        def __call__(self, counts, y):
            value, slope = super().__call__(counts, y)
            return value, slope / 2

    with pytest.raises(InputError, match=r"^loss: derivative -?[\d.]+ at \[\d, \d\]; central differences give"):
        sn.check_gradient(Wrong(), [0, 1])


@pytest.mark.parametrize(
    "parts",
    [
        {"loss": Hinge(0.5), "encoder": two_bursts, "optimizer": signed, "schedule": falling, "lr": 0.01},
        {"loss": Squares(), "estimator": "surrogate", "lr": 0.05, "target_rate": 0},
        {"loss": Hinge, "optimizer": sn.SGD(momentum=0.5), "lr": 0.1},
    ],
)
def test_own_parts_train(parts):
    x, y = blobs()
    model = sn.Model("6-12-3", **{**GRID, **QUICK, **parts})
    model.fit(x[:90], y[:90], epochs=8, batch_size=10, progress=False)
    assert model.evaluate(x[90:], y[90:]).accuracy > 0.6


def test_a_loss_of_spike_times_in_continuous_time():
    pairs, y = trains(n=20)
    model = sn.Model("8-2", engine="event", loss=Early(), **{**GRID, **QUICK, "lr": 0.001})
    history = model.fit(pairs, y, epochs=3, batch_size=10, progress=False)
    assert history["train_loss"][-1] < history["train_loss"][0]
    with pytest.raises(InputError, match="differentiates by spike times; gradient"):
        sn.Model("8-2", estimator="surrogate", loss=Early(), **GRID).gradients(pairs, y)


def test_the_same_parts_by_name_from_a_configuration():
    """What Python takes as objects, a configuration takes as package.module:Name."""
    here = __name__
    x, y = blobs()
    made = sn.Model("6-12-3", loss=f"{here}:Hinge", encoder=f"{here}:two_bursts", optimizer=f"{here}:signed", **GRID)
    other = sn.Model("6-12-3", loss=Hinge, encoder=two_bursts, optimizer=signed, **GRID)
    for model in (made, other):
        model.fit(x, y, epochs=1, progress=False)
    assert made.config == other.config
    assert all((other.tensors[name] == w).all() for name, w in made.tensors.items())
    chosen = config.load(None, [f"loss.name={here}:Hinge", "data.limit=20", "network.layers=784-4-10"])
    assert config.readout(chosen) == "leaky"
    assert np.isfinite(Session(chosen).step()[0])


def test_a_file_with_parts_of_ones_own(tmp_path):
    x, y = blobs()
    model = sn.Model("6-3", loss=Hinge(2.0), optimizer=signed, **GRID)
    model.fit(x, y, epochs=1, progress=False)
    model.save(tmp_path / "m.h5")
    found = sn.load_model(tmp_path / "m.h5")
    assert found.evaluate(x, y).loss == model.evaluate(x, y).loss
    # An object with settings of its own has no name that another process could find: it is to be given again.
    LOSSES._given.clear()
    with pytest.raises(InputError, match=r"Hinge#\d': was given as an object; give it again"):
        sn.load_model(tmp_path / "m.h5").evaluate(x, y)
    found = sn.load_model(tmp_path / "m.h5", loss=Hinge(2.0))
    assert found.evaluate(x, y).loss == model.evaluate(x, y).loss


def test_a_file_runs_nothing_that_its_user_did_not_name(tmp_path, monkeypatch):
    (tmp_path / "stranger.py").write_text("open('ran', 'w')\ndef loss(v, y): pass\nloss.reads = 'membrane'\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    model = sn.Model("6-3", loss="membrane-mean", **GRID)
    tree = config.to_tree(model.config)
    tree["loss"]["name"], tree["network"]["readout"] = "stranger:loss", "leaky"
    save_model("m.h5", model.network, config.from_tree(tree))
    with pytest.raises(InputError, match=r"loss\.name = 'stranger:loss': named by a file; import stranger first"):
        sn.load_model("m.h5").predict(np.zeros((1, 6)))
    assert not (tmp_path / "ran").exists()
    assert "stranger" not in sys.modules


@pytest.mark.parametrize("amplitude", [False, True])
def test_the_distance_to_given_trains_against_differences(amplitude):
    """dL/dt of every spike, and dL/ds as the change of the distance to first order in a spike added."""
    from snnsim.engines.outputs import slab_of_spikes

    rng = np.random.default_rng(5)
    draw = [(np.sort(rng.uniform(1, 19, 6)), rng.integers(0, 2, 6)) for _ in range(3)]
    goals = sn.Spikes.from_trials([(np.sort(rng.uniform(1, 19, 4)), rng.integers(0, 2, 4)) for _ in range(3)], 2, 20.0)
    loss = Loss("van-rossum", n_classes=2, duration=20.0, dt=0.5, n_steps=40, tau=3.0, amplitude=amplitude)

    def value(trials):
        return loss(slab_of_spikes(sn.Spikes.from_trials(trials, 2, 20.0)), goals)

    found = value(draw).gradient
    if amplitude:
        # D = 1/2 |s - g|^2 in the kernel's inner product: adding one whole spike changes it by dD/ds + 1/2.
        for k, c in ((3, 0), (17, 1)):
            more = [(np.append(draw[0][0], (k + 1) * 0.5), np.append(draw[0][1], c)), *draw[1:]]
            change = value(more).loss[0] - value(draw).loss[0]
            assert found[0, k, c] * 3 == pytest.approx(change - 0.5, rel=1e-9)
        return
    for b in range(3):
        for j in range(6):
            ends = []
            for sign in (1, -1):
                moved = [(t.copy(), n) for t, n in draw]
                moved[b][0][j] += sign * 1e-6
                ends.append(value(moved).loss[b])
            assert found[b, j] * 3 == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-6, abs=1e-9)
