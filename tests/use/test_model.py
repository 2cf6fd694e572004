"""The model against the command line, and what it does besides learning: gradients, activity, files, going on."""

import os
import signal

import numpy as np
import pytest

import snnsim as sn
from snnsim import config, training
from snnsim.datasets import load
from snnsim.errors import InputError
from tests.command import Caller
from tests.use.data import blobs, trains
from tests.use.test_own_data import GRID, QUICK

SETTINGS = (
    "network.layers=784-12-10", "simulation.n_steps=20", "data.validation=60", "optimizer.lr=0.005",
    "training.epochs=2", "encoder.max_probability=0.2",
)  # fmt: skip


@pytest.fixture
def call(monkeypatch, capsys):
    return Caller(monkeypatch, capsys)


@pytest.fixture(scope="module")
def small(small_mnist):
    return load("mnist", small_mnist)


def same(first, second):
    return all((second[name] == w).all() for name, w in first.items()) and first.keys() == second.keys()


def test_the_same_bits_as_the_command(call, small, small_mnist, tmp_path):
    """Data from arrays against `snnsim train`, and a directory against memory."""
    flags = [part for setting in SETTINGS for part in ("--set", setting)]
    code, _, err = call("train", *flags, "--data-dir", small_mnist, "--run-dir", tmp_path / "command")
    assert code == 0, err
    made = sn.Model("784-12-10", n_steps=20, lr=0.005, max_probability=0.2)
    made.fit(small.train_images, small.train_labels, epochs=2, validation=60, progress=False)
    command = sn.load_model(tmp_path / "command")
    assert same(command.tensors, made.tensors)
    keys = [key for key in made.history[0] if key != "seconds"]
    assert [[m[k] for k in keys] for m in command.history] == [[m[k] for k in keys] for m in made.history]
    # The same test samples get the same spikes.
    result = made.evaluate(small.test_images, small.test_labels)
    _, out, _ = call("evaluate", tmp_path / "command", "--data-dir", small_mnist, "--json")
    assert f'"loss": {result.loss}' in out
    # What the command left goes on from Python, and the other way round, to the same bits.
    for model in (made, command):
        model.fit(small.train_images, small.train_labels, epochs=1, validation=60, progress=False)
    assert same(command.tensors, made.tensors)
    assert call("train", "--resume", tmp_path / "command", "--epochs", 3)[0] == 0
    assert same(sn.load_model(tmp_path / "command").tensors, made.tensors)


def test_a_run_directory_from_python(small, tmp_path):
    made = sn.Model("784-12-10", n_steps=20, lr=0.005, max_probability=0.2)
    held = made.fit(
        small.train_images[:200], small.train_labels[:200], epochs=1, validation=0.1, run_dir=tmp_path / "run",
        progress=False,
    )  # fmt: skip
    assert held["val_accuracy"] == sn.load_model(tmp_path / "run").history["val_accuracy"]
    assert {file.name for file in (tmp_path / "run").iterdir()} >= {"config.toml", "metrics.jsonl", "model.h5"}
    with pytest.raises(InputError, match="already holds a run"):
        sn.Model("784-12-10").fit(small.train_images, small.train_labels, run_dir=tmp_path / "run", progress=False)


def test_an_interrupted_training_goes_on(small):
    """Ctrl-C, as in a notebook: what was learnt is kept, and the next call goes on to the bits of one without it."""
    x, y = blobs()
    plain, stopped = sn.Model("6-8-3", **GRID, **QUICK), sn.Model("6-8-3", **GRID, **QUICK)
    plain.fit(x, y, epochs=3, batch_size=10, progress=False)

    class Interrupting(sn.Callback):
        def on_batch_end(self, training, metrics):
            if (training.epoch, training.batch) == (1, 5):
                os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        stopped.fit(x, y, epochs=3, batch_size=10, callbacks=Interrupting(), progress=False)
    assert len(stopped.history) == 1
    assert stopped.predict(x).shape == (120,)
    stopped.fit(x, y, epochs=2, batch_size=10, progress=False)
    assert same(stopped.tensors, plain.tensors)


def test_no_epoch_is_no_training():
    x, y = blobs()
    model, plain = sn.Model("6-8-3", **GRID), sn.Model("6-8-3", **GRID)
    model.fit(x, y, epochs=0, progress=False)
    for one in (model, plain):
        one.fit(x, y, epochs=1, progress=False)
    assert same(model.tensors, plain.tensors)


def test_a_data_set_by_name(small_mnist, small):
    made = sn.Model("784-12-10", n_steps=20, data_dir=str(small_mnist), limit=100)
    made.fit("mnist", epochs=1, progress=False)
    assert made.classes == tuple("0123456789")
    assert set(made.predict(small.test_images)) <= set("0123456789")


def test_a_whole_configuration(small_mnist):
    chosen = config.load(None, [*SETTINGS, f"data.data_dir={small_mnist}", "data.limit=100"])
    made = sn.Model(chosen, lr=0.01)
    assert made.config.optimizer.lr == 0.01
    assert made.config.training.epochs == 2
    made.fit("mnist", progress=False)
    assert len(made.history) == 2


@pytest.mark.parametrize("engine", ["clock", "event"])
def test_gradients_of_a_batch(engine):
    """By name, of the mean loss: what a session's step would take; in continuous time against differences."""
    x, y = blobs(12)
    model = sn.Model("6-5-3", engine=engine, dtype="float64", max_inverse_slope=1e12, init_mean=1.0, **GRID, seed=3)
    found = model.gradients(x, y)
    assert {name: g.shape for name, g in found.items()} == {"input->hidden0": (6, 5), "hidden0->output": (5, 3)}
    assert all(np.abs(g).max() > 0 for g in found.values())
    step = 1e-6
    for name, at in (("hidden0->output", (2, 1)), ("input->hidden0", (0, 3))):
        if engine == "clock" and name == "input->hidden0":
            continue  # spikes on a grid do not move by so little
        ends = []
        for sign in (1, -1):
            network = model.network
            tensors = {key: w.copy() for key, w in network.tensors.items()}
            tensors[name][at] += sign * step
            moved = sn.Model(network.with_tensors(tensors), engine=engine, dtype="float64", dt=1.0, n_steps=20, seed=3)
            ends.append(moved.evaluate(x, y).loss)
        assert found[name][at] == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-5, abs=1e-9)


def test_hidden_spikes_and_membranes():
    pairs, y = trains()
    model = sn.Model("8-12-2", **GRID, **QUICK)
    model.fit(pairs, y, epochs=1, progress=False)
    activity = model.simulate(pairs[:7], record=("spikes", "v", "i_syn"))
    assert activity["input"].spikes == sn.Spikes.from_trials([(np.ceil(t), n) for t, n in pairs[:7]], 8, 20.0)
    assert activity["hidden0"].v.shape == activity["hidden0"].i_syn.shape == (7, 20, 12)
    assert activity["output"].v.mean(axis=1).argmax(axis=1).tolist() == model.predict(pairs[:7]).tolist()
    total = model.evaluate(pairs[:7], y[:7]).spikes_per_neuron[0]
    assert activity["hidden0"].spikes.counts().sum() / (7 * 12) == pytest.approx(total)
    with pytest.raises(KeyError):
        activity["hidden9"]


def test_save_and_load(tmp_path):
    x, y = blobs()
    model = sn.Model("6-12-3", **GRID, **QUICK)
    model.fit(x, np.array(["a", "b", "c"])[y], epochs=2, progress=False)
    model.save(tmp_path / "m.h5")
    found = sn.load_model(tmp_path / "m.h5")
    assert same(found.tensors, model.tensors)
    assert found.config == model.config
    assert (found.predict(x) == model.predict(x)).all()
    assert "6-12-3" in repr(found)
    assert "hidden0->output" in str(found)


@pytest.mark.parametrize("loss", ["membrane-mse", "van-rossum"])
def test_what_predict_gives_is_kept_in_the_file(loss, tmp_path):
    pairs, _ = trains(n=10)
    model = sn.Model("8-2", loss=loss, **GRID)
    goals = [([5.0], [1])] * 10 if loss == "van-rossum" else np.zeros((10, 2))
    model.fit(pairs, goals, epochs=1, progress=False)
    model.save(tmp_path / "m.h5")
    mine, theirs = model.predict(pairs), sn.load_model(tmp_path / "m.h5").predict(pairs)
    assert np.array_equal(mine, theirs) if loss == "membrane-mse" else mine == theirs


def test_a_network_of_ones_own(tmp_path):
    """Recurrence, delays and a given weight: what a network has is kept, what it lacks is drawn."""
    network = sn.Network(seed=1)
    network.input("sensors", 8)
    network.population("hidden", 12, sn.LIF(tau_mem=10.0, tau_syn=5.0), learn_bias=True)
    network.population("decision", 2, sn.LI(tau_mem=20.0, tau_syn=5.0))
    network.connect("sensors", "hidden", delay=np.linspace(0, 3, 8), learn=("weight", "delay"))
    network.connect("hidden", "hidden", delay=2.0)
    network.connect("hidden", "decision", weight=np.full((12, 2), 0.25))
    pairs, y = trains()
    model = sn.Model(network, dt=1.0, n_steps=20, lr=0.05, init_scale=4, seed=1)
    assert (model.tensors["hidden->decision"] == 0.25).all()
    model.fit(pairs, y, epochs=6, batch_size=10, progress=False)
    assert model.evaluate(pairs, y).accuracy > 0.8
    assert set(model.gradients(pairs, y)) == {
        "sensors->hidden", "sensors->hidden.delay", "hidden->hidden", "hidden->decision", "hidden.bias"
    }  # fmt: skip
    model.save(tmp_path / "m.h5")
    found = sn.load_model(tmp_path / "m.h5")
    assert (found.predict(pairs) == model.predict(pairs)).all()
    found.fit(pairs, y, epochs=1, progress=False)


def test_a_sweep_from_python():
    x, y = blobs()
    accuracy = {}
    for dt in (1.0, 2.0):
        model = sn.Model("6-12-3", **{**GRID, "dt": dt, "n_steps": int(20 / dt)}, encoder="poisson-rate", **QUICK)
        accuracy[dt] = max(model.fit(x, y, epochs=4, batch_size=10, validation=0.2, progress=False)["val_accuracy"])
    assert min(accuracy.values()) > 0.5


def test_samples_made_by_hand():
    x, y = blobs()
    train, test = (sn.Samples(x[part], y[part], classes=range(3)) for part in (slice(90), slice(90, None)))
    sets = sn.SampleSets("mine", train, test)
    model = sn.Model("6-12-3", validation=10, **GRID, **QUICK)
    model.fit(sets, epochs=1, progress=False)
    assert model.config.data.dataset == "mine"
    assert model.history["val_accuracy"][0] is not None


def test_held_out_classes_are_told():
    x, y = blobs()
    order = np.argsort(y, kind="stable")
    with pytest.warns(UserWarning, match="the last 12 samples, which are held out, lack class 0, 1; shuffle x and y"):
        sn.Model("6-3", **GRID).fit(x[order], y[order], epochs=0, validation=0.1, progress=False)


def test_training_is_the_same_call_underneath(tmp_path):
    """`training.train` is what both use."""
    x, y = blobs()
    model = sn.Model("6-3", **GRID)
    sets = sn.SampleSets("own data", sn.Samples(x, y, classes=range(3)))
    result = training.train(config.load(model.config, ["training.epochs=1", "data.validation=0"]), tmp_path, sets=sets)
    assert result["test_accuracy"] is None
    model.fit(x, y, epochs=1, progress=False)
    assert same(sn.load_model(tmp_path).tensors, model.tensors)
