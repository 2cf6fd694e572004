"""What a new user brings along, each in a few lines: it trains, better than chance, and predicts."""

import numpy as np
import pytest

import snnsim as sn
from snnsim.interchange.shd import save_spikes
from tests.use.data import blobs, images, recordings, trains

QUICK = {"lr": 0.02, "seed": 1, "schedule": "constant", "target_rate": 3}
GRID = {"dt": 1.0, "n_steps": 20, "neuron": sn.LIF(tau_mem=10.0, tau_syn=5.0)}


def learns(model, x, y, more=None, epochs=8):
    """Train on all but the last sixth, and predict that."""
    n = len(y) * 5 // 6
    model.fit(x[:n], y[:n], epochs=epochs, batch_size=10, progress=False)
    found = model.predict(x[n:] if more is None else more)
    assert np.mean(found == np.asarray(y)[n:]) > 0.8
    return model


def test_own_arrays():
    x, y = blobs()
    learns(sn.Model("6-12-3", **GRID, **QUICK), x, y)


def test_labels_of_any_kind():
    x, y = blobs()
    names = np.array(["cat", "dog", "eel"])[y]
    model = learns(sn.Model("6-12-3", **GRID, **QUICK), x, names)
    assert model.classes == ("cat", "dog", "eel")
    assert set(model.predict(x)) <= set(names)
    # By any numbers, as well.
    other = sn.Model("6-12-3", **GRID, **QUICK)
    other.fit(x, y * 10 - 10, epochs=1, progress=False)
    assert set(other.predict(x).tolist()) <= {-10, 0, 10}


def test_a_range_of_ones_own():
    x, y = blobs()
    plain = sn.Model("6-12-3", **GRID, **QUICK)
    scaled = sn.Model("6-12-3", range=(-1, 3), **GRID, **QUICK)
    plain.fit(x, y, epochs=1, progress=False)
    scaled.fit(x * 4 - 1, y, epochs=1, progress=False)
    for name, w in plain.tensors.items():
        np.testing.assert_allclose(scaled.tensors[name], w, rtol=1e-4)


def test_own_images_in_every_layout():
    x, y = images()
    model = learns(sn.Model("6x6-4c3-2", **GRID, **QUICK), x, y)
    for other in (x[:, 0], x / np.float64(255)):
        assert (model.predict(other) == model.predict(x)).all()
    assert (sn.Model("36-2", **GRID).predict(x[:, 0]) == sn.Model("36-2", **GRID).predict(x.reshape(90, 36))).all()


def test_colour_images_in_both_orders():
    x, y = images(shape=(3, 6, 6))
    model = learns(sn.Model("3x6x6-4c3-2", **GRID, **QUICK), x, y)
    assert (model.predict(np.moveaxis(x, 1, 3)) == model.predict(x)).all()


def test_spike_trains_as_pairs_and_as_spikes():
    pairs, y = trains()
    model = learns(sn.Model("8-12-2", **GRID, **QUICK), pairs, y)
    assert (model.predict(sn.Spikes.from_trials(pairs, 8, 20.0)) == model.predict(pairs)).all()


def test_counts_and_currents_of_every_step():
    pairs, y = trains()
    counts = sn.Spikes.from_trials(pairs, 8, 20.0).to_dense(1.0, 20)
    model = learns(sn.Model("8-12-2", **GRID, **QUICK), counts, y)
    assert (model.predict(pairs) == model.predict(counts)).all()
    learns(sn.Model("8-12-2", input="current", **GRID, **QUICK), 0.5 * counts, y)


def test_constant_currents():
    x, y = blobs()
    learns(sn.Model("6-12-3", input="current", **GRID, **QUICK), 3 * x - 1, y)


def test_arrays_of_tonic():
    events, y = recordings()
    learns(sn.Model("2x6x6-4c3-2", **GRID, **QUICK), events, y)


def test_a_data_set_of_tonic():
    """Tonic's data sets are sequences of (events, label)."""
    pairs = list(zip(*recordings(), strict=True))
    model = sn.Model("2x6x6-2", **GRID, **QUICK)
    model.fit(pairs, epochs=4, progress=False)
    assert model.evaluate(pairs).accuracy > 0.8


def test_arrays_of_channels():
    """Fields t, x, p with p = 1, as of Tonic's SHD."""
    pairs, y = trains()
    events = []
    for t, units in pairs:
        made = np.zeros(len(t), np.dtype([("t", np.int64), ("x", np.int64), ("p", np.int64)]))
        made["t"], made["x"], made["p"] = t * 1000, units, 1
        events.append(made)
    learns(sn.Model("8-12-2", **GRID, **QUICK), events, y)


def test_an_event_file(tmp_path):
    pairs, y = trains()
    save_spikes(tmp_path / "a.h5", sn.Spikes.from_trials(pairs, 8, 20.0), y)
    model = sn.Model("8-12-2", **GRID, **QUICK)
    model.fit(tmp_path / "a.h5", epochs=6, progress=False)
    assert model.evaluate(str(tmp_path / "a.h5")).accuracy > 0.8


def test_batches():
    x, y = blobs()
    whole, parts = sn.Model("6-12-3", **GRID, **QUICK), sn.Model("6-12-3", **GRID, **QUICK)
    whole.fit(x, y, epochs=2, progress=False)
    parts.fit(((x[k : k + 30], y[k : k + 30]) for k in range(0, 120, 30)), epochs=2, progress=False)
    assert all((parts.tensors[name] == w).all() for name, w in whole.tensors.items())


@pytest.mark.parametrize("over_time", [False, True])
def test_regression(over_time):
    x, _ = blobs()
    y = x @ np.linspace(-1, 1, 12).reshape(6, 2)
    y = np.repeat(y[:, None], 20, axis=1) * np.linspace(0, 1, 20)[:, None] if over_time else y
    neuron = sn.LIF(tau_mem=10.0, tau_syn=5.0, v_leak=-0.5, v_reset=-0.5, v_threshold=0.5)
    model = sn.Model("6-20-2", loss="membrane-mse", **{**GRID, "neuron": neuron}, **QUICK)
    history = model.fit(x, y, epochs=12, batch_size=10, validation=0.1, progress=False)
    assert history["train_accuracy"] == [None] * 12
    assert history["val_loss"][-1] < 0.7 * history["val_loss"][0]
    found = model.predict(x)
    assert found.shape == y.shape
    assert ((found - y) ** 2).mean() == pytest.approx(model.evaluate(x, y).loss, rel=1e-5)


def test_target_trains():
    """Outputs learn to spike at given times."""
    pairs = trains()[0][:2] * 10
    goals = sn.Spikes.from_trials([([8.0, 15.0], [0, 1]), ([12.0, 6.0], [0, 1])] * 10, 2, 20.0)
    given = {**QUICK, "lr": 0.1, "target_rate": 1}
    model = sn.Model("8-2", estimator="surrogate", loss="van-rossum", tau=4.0, **GRID, **given)
    history = model.fit(pairs, goals, epochs=20, batch_size=10, progress=False)
    assert history["train_loss"][-1] < 0.7 * history["train_loss"][0]
    made = model.predict(pairs)
    assert isinstance(made, sn.Spikes)
    assert len(made) == 20


def test_constants_of_every_neuron():
    x, y = blobs()
    taus = np.linspace(5, 20, 12)
    neurons = [sn.LIF(tau_mem=taus, tau_syn=5.0), sn.LI(tau_mem=10.0, tau_syn=5.0)]
    model = sn.Model("6-12-3", **{**GRID, "neuron": neurons}, engine="event", **QUICK)
    learns(model, x, y)
    assert (model.network.populations_by_name["hidden0"].neuron.tau_mem == taus).all()
