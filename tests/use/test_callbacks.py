"""Callbacks: who is called, who may end a training, and what they leave behind."""

import csv
import json

import numpy as np
import pytest
from tensorboardX.proto.event_pb2 import Event

import snnsim as sn
from snnsim.errors import InputError
from tests.use.data import blobs

X, Y = blobs(60)
GRID = {"dt": 1.0, "n_steps": 10, "neuron": sn.LIF(tau_mem=10.0, tau_syn=5.0), "lr": 0.02, "target_rate": 3}


def fit(*callbacks, epochs=3, **options):
    model = sn.Model("6-8-3", **GRID)
    model.fit(X, Y, epochs=epochs, batch_size=10, callbacks=callbacks, progress=False, **options)
    return model


class Diary(sn.Callback):
    """Everything that is called."""

    def __init__(self):
        self.calls = []

    def __getattribute__(self, name):
        if name.startswith("on_"):
            return lambda *values: self.calls.append(name)
        return super().__getattribute__(name)


def test_what_is_called():
    diary = Diary()
    fit(diary, epochs=1, validation=0.5)
    batches = ["on_batch_begin", "on_batch_end"] * 3
    expected = ["on_prepare", "on_begin", *batches, "on_evaluate", "on_epoch_end"]
    assert [call for call in diary.calls if call != "on_trouble"] == [*expected, "on_end"]


def test_a_function_and_a_single_callback():
    seen = []
    model = sn.Model("6-8-3", **GRID)
    model.fit(X, Y, epochs=2, callbacks=lambda training, metrics: seen.append(metrics["epoch"]), progress=False)
    assert seen == [1, 2]
    model.fit(X, Y, epochs=2, callbacks=sn.EarlyStopping("train_loss", patience=9), progress=False)
    assert len(model.history) == 4


def test_true_ends_a_training():
    assert len(fit(lambda training, metrics: metrics["epoch"] == 2, epochs=5).history) == 2

    class Batch:
        def on_batch_end(self, training, metrics):
            assert set(metrics) == {"loss", "accuracy"}
            return training.batch == 4

    # The epoch that it breaks off is closed, and the last one.
    model = fit(Batch(), epochs=5)
    assert len(model.history) == 1
    # Numbers other than True do not end it.
    assert len(fit(lambda training, metrics: 1, epochs=2).history) == 2


def test_early_stopping():
    stopping = sn.EarlyStopping("train_loss", patience=1, min_delta=100.0)
    assert len(fit(stopping, epochs=9).history) == 3  # nothing is better by so much: the first, and one that is waited
    assert len(fit(sn.EarlyStopping("val_accuracy", patience=20), validation=0.2).history) == 3


def test_the_best_epoch_is_kept():
    model = sn.Model("6-8-3", **GRID)
    weights = []
    model.fit(
        X, Y, epochs=4, validation=0.3, progress=False,
        callbacks=lambda training, metrics: weights.append({n: w.copy() for n, w in training.tensors.items()}),
    )  # fmt: skip
    best = int(np.argmax(model.history["val_accuracy"]))
    assert all((weights[best][name] == w).all() for name, w in model.tensors.items())


def test_checkpoints(tmp_path):
    fit(sn.Checkpoint(tmp_path / "at{epoch:02d}.h5", every=2), epochs=5)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["at02.h5", "at04.h5"]
    assert sn.load_model(tmp_path / "at04.h5").predict(X).shape == (60,)
    fit(sn.Checkpoint(tmp_path / "best.h5", best_only=True, monitor="train_loss"), epochs=2)
    assert sn.load_model(tmp_path / "best.h5").classes == (0, 1, 2)
    with pytest.raises(InputError, match=r"path = .*\{loss\}.*: KeyError"):
        fit(sn.Checkpoint(str(tmp_path / "{loss}.h5")))


def test_csv(tmp_path):
    model = fit(sn.CSVLog(tmp_path / "log.csv"), validation=0.2)
    with open(tmp_path / "log.csv") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["val_loss"]) for row in rows] == model.history["val_loss"]
    assert [json.loads(row["spikes_per_neuron"]) for row in rows] == model.history["spikes_per_neuron"]
    model.fit(X, Y, epochs=1, callbacks=sn.CSVLog(tmp_path / "log.csv"), progress=False)
    assert len((tmp_path / "log.csv").read_text().splitlines()) == 5
    with pytest.raises(InputError, match=r"no/log\.csv: cannot be written: No such file"):
        fit(sn.CSVLog(tmp_path / "no" / "log.csv"))


def events(folder):
    """Scalars of TensorBoard's files: records of a length, its checksum, an event, and its checksum."""
    found = {}
    for path in sorted(folder.glob("events.*")):
        data, at = path.read_bytes(), 0
        while at < len(data):
            size = int.from_bytes(data[at : at + 8], "little")
            event = Event.FromString(data[at + 12 : at + 12 + size])
            for value in event.summary.value:
                found.setdefault(value.tag, []).append((event.step, value.simple_value))
            at += size + 16
    return found


def test_tensorboard(tmp_path):
    model = fit(sn.TensorBoardLog(tmp_path, batches=True, weights=True), validation=0.2)
    found = events(tmp_path)
    assert [step for step, _ in found["train_loss"]] == [1, 2, 3]
    np.testing.assert_allclose([v for _, v in found["val_loss"]], model.history["val_loss"], rtol=1e-6)
    assert {"spikes_per_neuron/hidden0", "batch/loss", "lr"} <= set(found)
    assert any(name.startswith("input-") for name in found)  # its name as TensorBoard can have it
    assert len(found["batch/loss"]) == 3 * 5


def test_record(tmp_path):
    record = sn.Record(tmp_path / "traces", slice(2, 4), record=("spikes", "v"))
    fit(record)
    assert record.trials == 20
    with sn.open_traces(tmp_path / "traces") as traces:
        assert traces.v("hidden0", trial=0).shape == (10, 8)
        assert set(traces.trials["epoch"]) == {1}
    with pytest.raises(InputError, match="--record-batches: names none of the 18 batches"):
        fit(sn.Record(tmp_path / "more", slice(90, 99)))


@pytest.mark.parametrize("options", [{"mode": "best"}, {"patience": -1}, {"min_delta": -1.0}])
def test_options_are_looked_at(options):
    with pytest.raises(InputError, match=next(iter(options))):
        sn.EarlyStopping(**options)
