"""``snnsim train``, ``evaluate`` and ``info`` as they are typed."""

import gzip
import json
import signal
import struct
import time

import pytest

from snnsim.models import load_model
from snnsim.recording.runs import load_tree
from tests.command import Caller, start

KEYS = {"test_accuracy", "best_val_accuracy", "seconds_per_epoch", "run_dir", "seed", "best_epoch", "spikes_per_neuron"}
SMALL = ("--layers", "784-10-10", "--steps", "12", "--limit", "200", "--epochs", "1", "--batch-size", "30")


@pytest.fixture
def call(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    return Caller(monkeypatch, capsys)


@pytest.fixture(scope="module")
def trained(small_mnist, tmp_path_factory):
    """Run directory of a small network."""
    from snnsim import config, training

    directory = tmp_path_factory.mktemp("trained") / "run"
    settings = (
        f"data.data_dir={small_mnist}", "network.layers=[784,20,10]", "simulation.n_steps=20", "training.epochs=3",
        "optimizer.lr=0.01", "encoder.max_probability=0.3", "data.validation=100", "training.batch_size=50",
    )  # fmt: skip
    training.train(config.load(None, settings), directory)
    return directory


def weights(directory):
    return [w.tobytes() for w in load_model(directory / "model.h5")[0].weights]


def test_train_leaves_a_run_directory_and_prints_json(call, small_mnist, tmp_path):
    code, out, err = call("train", *SMALL, "--data-dir", small_mnist, "--seed", 3, "--run-dir", "a", "--json")
    assert code == 0, err
    result = json.loads(out)
    assert result.keys() >= KEYS
    assert (result["run_dir"], result["seed"], result["epochs"]) == ("a", 3, 1)
    assert 0 <= result["test_accuracy"] <= 1
    names = ["checkpoint.h5", "config.toml", "metrics.jsonl", "model.h5", "result.json"]
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == names
    assert json.loads((tmp_path / "a" / "result.json").read_text()) == result
    metrics = json.loads((tmp_path / "a" / "metrics.jsonl").read_text())
    assert (metrics["epoch"], metrics["val_accuracy"]) == (1, result["best_val_accuracy"])
    model = load_tree(tmp_path / "a" / "model.h5", "model")
    assert model["provenance"].keys() >= {"snnsim", "numpy", "numba", "python"}
    assert "seed = 3" in model["config"]
    # Progress goes to standard error, in plain lines where that is no terminal.
    assert "epoch 1: loss" in err
    assert "180 training samples" in err


def test_train_without_json_prints_a_table(call, small_mnist):
    code, out, _ = call("train", *SMALL, "--data-dir", small_mnist)
    assert code == 0
    for words in ("test accuracy", "best validation accuracy", "seconds per epoch", "runs/default-0"):
        assert words in out


@pytest.mark.parametrize("engine", ["clock", "event", "hybrid"])
def test_threads_do_not_change_a_bit(call, small_mnist, tmp_path, engine):
    found = []
    for threads in (1, 2, 4):
        directory = tmp_path / f"{threads}"
        code, _, err = call(
            "train", *SMALL, "--data-dir", small_mnist, "--engine", engine, "--threads", threads, "--run-dir", directory
        )
        assert code == 0, err
        found.append(weights(directory))
    assert found[0] == found[1] == found[2]


def test_a_config_file_names_the_run(call, small_mnist, tmp_path):
    (tmp_path / "study.toml").write_text(f'[data]\ndata_dir = "{small_mnist}"\n[training]\nseed = 5\n')
    code, _, err = call("train", "study.toml", *SMALL, "--set", "optimizer.lr=0.003")
    assert code == 0, err
    text = (tmp_path / "runs" / "study-5" / "config.toml").read_text()
    assert "lr = 0.003" in text
    assert "layers = [784, 10, 10]" in text


def test_an_existing_run_needs_force(call, small_mnist, tmp_path):
    arguments = ("train", *SMALL, "--data-dir", small_mnist, "--run-dir", "a")
    assert call(*arguments)[0] == 0
    before = weights(tmp_path / "a")
    assert "a: already holds a run" in call.refused(*arguments, "--seed", 1)
    assert weights(tmp_path / "a") == before
    assert call(*arguments, "--seed", 1, "--force")[0] == 0
    assert weights(tmp_path / "a") != before


def test_resume_takes_no_other_settings(call, trained):
    for extra in (("--lr", "1"), ("--set", "optimizer.lr=1"), ("--force",), ("--run-dir", "x")):
        assert "continues with the run's own configuration" in call.refused("train", "--resume", trained, *extra)
    assert "no checkpoint.h5 to resume from" in call.refused("train", "--resume", "nowhere")


def test_values_that_are_not_finite_end_with_one_line(call, small_mnist, tmp_path):
    line = call.refused(
        "train", *SMALL, "--data-dir", small_mnist, "--optimizer", "sgd", "--lr", "1e300", "--run-dir", "a"
    )
    assert "is not finite in epoch 1, batch" in line
    assert "optimizer.lr" in line
    assert load_tree(tmp_path / "a" / "checkpoint.h5", "checkpoint")["session"]["batch"] == 0


def test_ctrl_c_ends_with_a_checkpoint_and_says_how_to_resume(call, small_mnist, tmp_path):
    directory = tmp_path / "run"
    process = start(
        "train", *SMALL, "--data-dir", small_mnist, "--epochs", 100000, "--run-dir", directory, "--set",
        "optimizer.schedule=constant",
    )  # fmt: skip
    metrics = directory / "metrics.jsonl"
    deadline = time.monotonic() + 60
    while not metrics.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, ""), err
    last = err.strip().splitlines()[-1]
    assert last.endswith(f"interrupted; continue with: snnsim train --resume {directory}")
    assert "Traceback" not in err
    saved = load_tree(directory / "checkpoint.h5", "checkpoint")["session"]
    assert saved["epoch"] >= 1
    code, out, err = call("train", "--resume", directory, "--epochs", saved["epoch"] + 1, "--json")
    assert code == 0, err
    assert json.loads(out)["epochs"] == saved["epoch"] + 1


@pytest.fixture
def broken(small_mnist, tmp_path):
    """Make a folder like the small MNIST, with one file changed by a function of its bytes (None: missing)."""

    def make(name, change):
        folder = tmp_path / "mnist"
        folder.mkdir()
        for path in (small_mnist / "mnist").iterdir():
            data = path.read_bytes()
            if path.name == name:
                data = change(data)
            if data is not None:
                (folder / path.name).write_bytes(data)
        return tmp_path

    return make


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("train-images-idx3-ubyte", lambda d: None, "no such file"),
        ("train-images-idx3-ubyte", lambda d: d[:1000], "truncated, 984 bytes of data"),
        ("train-labels-idx1-ubyte", lambda d: d[:5], "truncated, 5 bytes where the header alone has 8"),
        ("train-labels-idx1-ubyte", lambda d: b"", "truncated"),
        ("t10k-images-idx3-ubyte", lambda d: b"\0\0\x08\x01" + d[4:], "magic number 0x00000801: must be 0x00000803"),
        ("t10k-labels-idx1-ubyte", lambda d: d + b"x", "too long"),
        ("train-labels-idx1-ubyte", lambda d: d[:4] + struct.pack(">I", 599) + d[8:-1], "599 labels"),
        ("train-labels-idx1-ubyte", lambda d: d[:-1] + b"\x0b", "label 11 of sample 599: must lie in 0..9"),
        ("train-images-idx3-ubyte", lambda d: gzip.compress(d)[:-9], "truncated gzip file"),
    ],
)
def test_bad_data_files_end_with_one_line(call, broken, name, change, message):
    line = call.refused("train", *SMALL, "--data-dir", broken(name, change), "--run-dir", "a")
    assert message in line
    assert name in line


def test_evaluate_prints_json(call, trained):
    code, out, err = call("evaluate", trained, "--json")
    assert code == 0, err
    result = json.loads(out)
    assert result["samples"] == 150 == sum(map(sum, result["confusion"]))
    assert result["accuracy"] == json.loads((trained / "result.json").read_text())["test_accuracy"]
    assert result["accuracy"] > 0.4
    assert len(result["spikes_per_neuron"]) == 1


def test_evaluate_prints_a_confusion_matrix(call, trained):
    code, out, _ = call("evaluate", trained)
    assert code == 0
    assert "test: 150 samples, accuracy" in out
    assert "samples of class (row) taken for class (column)" in out


@pytest.mark.parametrize(
    "changes",
    [
        ("--scheme", "exact"),
        ("--scheme", "bilinear"),
        ("--engine", "event"),
        ("--engine", "hybrid"),
        ("--dt", "0.05", "--steps", "40", "--set", "encoder.max_probability=0.15"),
        ("--seed", "9"),
    ],
)
def test_a_trained_network_works_with_another_scheme_engine_or_step(call, trained, changes):
    code, out, err = call("evaluate", trained, *changes, "--json")
    assert code == 0, err
    original = json.loads((trained / "result.json").read_text())["test_accuracy"]
    # 150 samples: a standard error of 4 % in each accuracy; and steps of a sixth of a time constant change the network.
    assert json.loads(out)["accuracy"] == pytest.approx(original, abs=0.2)


def test_evaluate_keeps_to_the_split_of_the_run(call, trained):
    """With --limit the validation samples are still held-out ones."""
    whole = json.loads(call("evaluate", trained, "--split", "validation", "--json")[1])
    assert whole["samples"] == 100
    first = json.loads(call("evaluate", trained, "--split", "validation", "--limit", "100", "--json")[1])
    assert {**whole, "run": ""} == {**first, "run": ""}
    assert json.loads(call("evaluate", trained, "--split", "train", "--limit", 40, "--json")[1])["samples"] == 40


def test_what_evaluate_refuses(call, trained, tmp_path):
    assert "--split tests: must be one of" in call.refused("evaluate", trained, "--split", "tests")
    assert "--limit 0: must be at least 1" in call.refused("evaluate", trained, "--limit", 0)
    assert "no model.h5" in call.refused("evaluate", tmp_path)
    assert "no such file" in call.refused("evaluate", tmp_path / "none.h5")
    assert "holds a checkpoint, not a model" in call.refused("evaluate", trained / "checkpoint.h5")
    line = call.refused("evaluate", trained, "--set", "network.layers=[784,30,10]")
    assert "network.layers = 784-30-10: the network of" in line
    assert call.refused("evaluate", trained, "--scheme", "eulr").startswith("configuration: simulation.scheme = 'eulr'")
    cut = tmp_path / "model.h5"
    cut.write_bytes((trained / "model.h5").read_bytes()[:3000])
    assert "truncated" in call.refused("evaluate", cut)


def test_info_shows_versions_threads_and_cuda(call):
    code, out, _ = call("info", "--json")
    facts = json.loads(out)
    assert code == 0
    assert facts.keys() >= {"snnsim", "python", "numba", "numpy", "threads", "threading_layer", "cuda", "cores"}
    code, text, _ = call("info")
    assert all(key in text for key in facts)
