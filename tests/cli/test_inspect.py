"""``snnsim inspect``, ``export`` and ``import-spikes``, as a user runs them."""

import json
import os
import re
import resource
import shutil
import subprocess
import sys

import h5py
import numpy as np
import pytest
from snnsim_cli.main import main

from snnsim import open_traces, read_spikes
from snnsim.recording.runs import save_tree
from snnsim.recording.summary import summarise
from snnsim.recording.writer import TraceWriter
from tests import ROOT
from tests.recordings import network, recording


@pytest.fixture(scope="module")
def batch():
    return recording(6, rate=0.03)


@pytest.fixture(scope="module")
def path(batch, tmp_path_factory):
    path = tmp_path_factory.mktemp("traces")
    options = {"duration": 0.2, "dt": 0.01, "scheme": "exact", "record": ("spikes", "v"), "time_unit_ms": 1000.0}
    options |= {"neurons": {"hidden0": [1, 2, 5]}, "config": {"network": {"layers": [30, 20, 4]}}, "seed": 7}
    with TraceWriter(path, network(), **options) as writer:
        writer.append(batch, label=np.arange(6), prediction=[0, 1, 2, 0, 0, 0], split="test")
    return path


@pytest.fixture
def snnsim(monkeypatch, capsys):
    """Run the command in this process: (exit code, standard output, standard error)."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["snnsim", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        captured = capsys.readouterr()
        return end.value.code or 0, captured.out, captured.err

    return run


def assert_bad_input(result, *fragments):
    code, out, err = result
    assert (code, out) == (2, "")
    assert err.startswith("snnsim: error: ")
    assert err.count("\n") == 1
    for fragment in fragments:
        assert fragment in err


def test_summary_of_a_recording_is_that_of_its_spikes(path, batch):
    summary = summarise(path)
    assert summary["kind"] == "traces"
    assert summary["trials"]["count"] == 6
    assert summary["trials"]["splits"] == {"test": 6}
    assert summary["trials"]["accuracy"] == pytest.approx(0.5)
    assert summary["trials"]["clock_ms"] == pytest.approx(1200)
    assert summary["config"] == {"network": {"layers": [30, 20, 4]}}
    rows = {row["name"]: row for row in summary["populations"]}
    for name, ids in (("input", range(30)), ("hidden0", [1, 2, 5]), ("output", range(4))):
        counts = batch[name].spikes.counts().sum(0)[list(ids)]
        row = rows[name]
        assert (row["spikes"], row["silent"]) == (counts.sum(), (counts == 0).sum())
        assert row["rate_hz"] == pytest.approx(counts.mean() / (6 * 0.2))
        assert row["rate_max_hz"] == pytest.approx(counts.max() / (6 * 0.2))
        assert row["recorded"] == len(ids)
    assert rows["hidden0"]["variables"] == ["spikes", "v"]
    silent = batch["output"].spikes
    assert summary["trials"]["without_output_spike"] == np.isinf(silent.first_times().min(1)).sum()


def test_inspect_prints_tables(snnsim, path):
    code, out, err = snnsim("inspect", path)
    assert (code, err) == (0, "")
    for fragment in (
        "traces",
        "exact",
        "hidden0",
        "3 of 20",
        "spikes,v",
        "silent",
        "network.layers",
        "50.00 %",
        "mean Hz",
    ):
        assert fragment in out
    assert "…" not in out
    listed = snnsim("inspect", path / "spikes.h5", "--trials", 2)[1]
    assert "sample_index" in listed
    assert "1000" not in out.split("seed")[0].split("dt")[0]


def test_inspect_json_is_the_summary(snnsim, path):
    code, out, _ = snnsim("inspect", path, "--json", "--trials", 3)
    loaded = json.loads(out)
    trials = loaded.pop("trial_list")
    assert code == 0
    assert loaded == summarise(path)
    assert [t["label"] for t in trials] == [0, 1, 2]


def test_an_empty_recording_has_no_rates(snnsim, tmp_path):
    TraceWriter(tmp_path, network(), duration=0.2, dt=0.01).close()
    loaded = json.loads(snnsim("inspect", tmp_path, "--json")[1])
    assert loaded["trials"]["count"] == 0
    assert loaded["populations"][0]["rate_hz"] is None
    assert snnsim("inspect", tmp_path)[0] == 0


def test_inspect_reads_little_of_a_large_file(tmp_path, monkeypatch):
    big = recording(50, rate=0.3)
    with TraceWriter(tmp_path, network(), duration=0.2, dt=0.01, record=("spikes", "v")) as writer:
        for _ in range(20):
            writer.append(big)
    read = []
    original = h5py.Dataset.__getitem__

    def counting(self, key, *args, **kwargs):
        value = original(self, key, *args, **kwargs)
        read.append(getattr(value, "nbytes", 0))
        return value

    monkeypatch.setattr(h5py.Dataset, "__getitem__", counting)
    summary = summarise(tmp_path)
    assert sum(summary["files"].values()) > 3_000_000
    # 1,000 trials of 80 bytes and three times two slots of counts.
    assert sum(read) < 100_000


def test_a_killed_recording_is_repaired(snnsim, tmp_path):
    code = (
        "import os, sys; from tests.recordings import *; from snnsim.recording.writer import TraceWriter\n"
        "w = TraceWriter(sys.argv[1], network(), duration=0.2, dt=0.01, flush_seconds=0)\n"
        "w.append(recording()); os.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path], check=False)
    out = snnsim("inspect", tmp_path)[1]
    assert "still growing, or its run was killed" in out
    assert_bad_input(snnsim("import-spikes", tmp_path / "spikes.h5", "-o", tmp_path / "x.h5"), "left by a killed run")
    assert snnsim("inspect", tmp_path, "--repair")[1].startswith("repaired\n")
    assert snnsim("inspect", tmp_path, "--repair")[1].startswith("nothing to repair\n")
    assert json.loads(snnsim("inspect", tmp_path, "--json")[1])["growing"] is False


def test_checkpoints_and_runs(snnsim, tmp_path, path):
    save_tree(
        tmp_path / "model.h5", {"weights": [np.zeros((30, 20), np.float32)], "epoch": 3, "text": "x" * 500}, "model"
    )
    out = snnsim("inspect", tmp_path / "model.h5")[1]
    for fragment in ("model", "weights/0", "float32 30 x 20", "epoch", "3", "..."):
        assert fragment in out
    entries = json.loads(snnsim("inspect", tmp_path / "model.h5", "--json")[1])["entries"]
    assert entries["weights/0"] == {"shape": [30, 20], "dtype": "float32"}
    assert entries["epoch"] == 3

    (tmp_path / "config.toml").write_text('[network]\nlayers = [30, 20, 4]\nreset = "hard"\n')
    (tmp_path / "metrics.jsonl").write_text('{"epoch": 0, "loss": 2.5}\n{"epoch": 1, "loss": 1.5}\n{"epoch": 2, "lo')
    with TraceWriter(tmp_path / "traces", network(), duration=0.2, dt=0.01):
        pass
    summary = json.loads(snnsim("inspect", tmp_path, "--json")[1])
    assert summary["kind"] == "run"
    assert summary["contents"] == {"model.h5": "model", "traces": "traces"}
    assert summary["metrics"] == {"records": 2, "first": {"epoch": 0, "loss": 2.5}, "last": {"epoch": 1, "loss": 1.5}}
    out = snnsim("inspect", tmp_path)[1]
    for fragment in ("model.h5", "2 records", "loss", "1.5", "network.reset", "hard"):
        assert fragment in out
    (tmp_path / "metrics.jsonl").write_text('{"epoch": 0\n{"epoch": 1}\n')
    assert_bad_input(snnsim("inspect", tmp_path), "metrics.jsonl: line 1: not JSON")
    (tmp_path / "config.toml").write_text("[network")
    assert_bad_input(snnsim("inspect", tmp_path), "config.toml: not valid TOML")


def test_event_files_of_others(snnsim, tmp_path):
    with h5py.File(tmp_path / "sonata.h5", "w") as file:
        file["spikes/cells/timestamps"], file["spikes/cells/node_ids"] = [1.0, 2.0, 11.0], [0, 1, 2]
    out = snnsim("inspect", tmp_path / "sonata.h5")[1]
    assert "SONATA spikes, not of snnsim" in out
    assert "cells" in out
    # Even by the name of one of ours.
    os.rename(tmp_path / "sonata.h5", tmp_path / "spikes.h5")
    assert json.loads(snnsim("inspect", tmp_path / "spikes.h5", "--json")[1])["populations"] == {"cells": {"spikes": 3}}

    code, out, _ = snnsim("import-spikes", tmp_path / "spikes.h5", "-o", tmp_path / "out.h5", "--trial-length", 10)
    assert code == 0
    assert out == f"{tmp_path / 'out.h5'}: 2 samples of 10 ms, 3 channels, 3 spikes, 1 classes\n"
    out = snnsim("inspect", tmp_path / "out.h5")[1]
    for fragment in ("SHD", "samples", "2", "channels", "3", "0.01 s"):
        assert fragment in out
    spikes, _ = read_spikes(tmp_path / "out.h5")
    assert [spikes.trial(b)[0].tolist() for b in range(2)] == [[1.0, 2.0], [1.0]]
    assert_bad_input(
        snnsim("import-spikes", tmp_path / "spikes.h5", "-o", tmp_path / "out.h5"), "out.h5: exists already; --force"
    )


def test_the_commands_of_the_documentation_run(snnsim, path, tmp_path, monkeypatch):
    for module in ("neo", "nixio", "pynwb"):
        pytest.importorskip(module)
    text = (ROOT / "docs" / "traces.md").read_text()
    commands = re.findall(r"(?:`|^    )snnsim ((?:export|import-spikes|inspect) [^`\n]*)", text, re.MULTILINE)
    assert len(commands) == 6
    shutil.copytree(path, tmp_path / "traces")
    monkeypatch.chdir(tmp_path)
    assert snnsim("export", "traces", "--to", "shd", "-o", "file.h5")[0] == 0
    for command in commands:
        code, _, err = snnsim(*command.split(), *(["--force"] if "-o" in command else []))
        assert (code, err) == (0, ""), command


@pytest.mark.parametrize(("to", "name"), [("csv", "out"), ("shd", "out.h5"), ("neo", "out.pkl"), ("nwb", "out.nwb")])
def test_export(snnsim, path, tmp_path, to, name):
    pytest.importorskip({"neo": "neo", "nwb": "pynwb"}.get(to, "h5py"))
    out = tmp_path / name
    code, text, err = snnsim("export", path, "--to", to, "-o", out, "--trials", "1:3")
    assert (code, err) == (0, "")
    assert text == f"{out}: 2 trials as {to}\n"
    assert out.exists()
    assert [p.name for p in tmp_path.iterdir()] == [name]
    assert_bad_input(snnsim("export", path, "--to", to, "-o", out), "exists already; --force replaces it")
    assert snnsim("export", path, "--to", to, "-o", out, "--force", "--layers", "output", "--trials", "0,5")[0] == 0
    if to == "shd":
        spikes, labels = read_spikes(out, time_unit_ms=1000)
        with open_traces(path) as traces:
            np.testing.assert_allclose(spikes.times, traces.spikes("output", [0, 5]).times, rtol=1e-15)
        assert labels.tolist() == [0, 5]


@pytest.mark.parametrize(
    ("arguments", "fragments"),
    [
        (("inspect", "{tmp}/none"), ("none: no such file or directory",)),
        (("inspect", "{tmp}"), ("neither a recording (spikes.h5) nor a run (config.toml)",)),
        (("inspect", "{tmp}/text"), ("text: not an HDF5 file",)),
        (("inspect", "{tmp}/other.h5"), ("other.h5: no spikes that snnsim reads",)),
        (("inspect", "{tmp}/other.h5", "--repair"), ("other.h5", "no recording")),
        (("inspect", "{tmp}/other.h5", "--trials", "1"), ("other.h5",)),
        (("export", "{path}", "--to", "wav", "-o", "{tmp}/x"), ("--to wav: must be one of nwb, neo, shd, csv",)),
        (
            ("export", "{path}", "--to", "csv", "-o", "{tmp}/x", "--trials", "a"),
            ("--trials a: must look like 7, 0:100",),
        ),
        (("export", "{path}", "--to", "csv", "-o", "{tmp}/x", "--trials", "9"), ("trial 9", "its trials are 0..5")),
        (("export", "{path}", "--to", "csv", "-o", "{tmp}/x", "--layers", "hidden1"), ("layer 'hidden1'",)),
        (("export", "{path}", "--to", "shd", "-o", "{tmp}/x", "--layers", "hidden1"), ("layer 'hidden1'",)),
        (("export", "{path}", "--to", "shd", "-o", "{tmp}/x", "--layers", "input,output"), ("holds one layer",)),
        (("export", "{path}", "--to", "neo", "-o", "{tmp}/x.wav"), ("x.wav: the suffix",)),
        (("export", "{path}", "--to", "csv", "-o", "{tmp}/none/x/y.csv"), ()),
        (("export", "{tmp}/other.h5", "--to", "csv", "-o", "{tmp}/x"), ("other.h5: an HDF5 file, but no recording",)),
        (("import-spikes", "{tmp}/other.h5", "-o", "{tmp}/x.h5"), ("other.h5: no spikes that snnsim reads",)),
        (("import-spikes", "{path}", "-o", "{tmp}/x.h5", "--population", "q"), ("layer 'q'",)),
    ],
)
def test_bad_input_is_one_line(snnsim, path, tmp_path, arguments, fragments):
    (tmp_path / "text").write_text("text " * 200)
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = 1
    result = snnsim(*(a.format(tmp=tmp_path, path=path) for a in arguments))
    if fragments:
        assert_bad_input(result, *fragments)
    else:
        assert result[0] == 0


@pytest.mark.parametrize(("to", "name"), [("csv", "out"), ("shd", "out.h5"), ("neo", "out.pkl"), ("nwb", "out.nwb")])
@pytest.mark.parametrize("limit", [900, 20_000])
def test_a_full_disk_while_exporting(path, tmp_path, to, name, limit):
    pytest.importorskip({"neo": "neo", "nwb": "pynwb"}.get(to, "h5py"))
    command = [sys.executable, "-c", "from snnsim_cli.main import main; main()", "export", path, "--to", to]
    result = subprocess.run(
        [*command, "-o", tmp_path / name],
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
        check=False,
    )
    if result.returncode == 0:
        assert sum(p.stat().st_size for p in tmp_path.rglob("*") if p.is_file()) <= 4 * limit
        return
    assert result.returncode == 2, result.stderr
    assert result.stderr.count("\n") == 1, result.stderr
    assert "cannot be written: File too large" in result.stderr
    assert not [p for p in tmp_path.rglob("*") if ".tmp" in p.name or p.suffix in (".h5", ".pkl", ".nwb")]
