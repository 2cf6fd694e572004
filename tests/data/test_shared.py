"""From the command line, without a script: real speech and real events, learnt, evaluated, left out and recorded."""

import json
import os
from pathlib import Path

import pytest

from snnsim.recording.reader import open_traces
from tests.command import Caller

SHARED = Path(os.environ.get("SNNSIM_SHARED_DATA", Path(__file__).parents[3] / "shared" / "data"))
pytestmark = pytest.mark.skipif(
    not (SHARED / "spoken-digits").is_dir(), reason=f"{SHARED}: real data beside the checkout is absent"
)
SPEECH = (
    "--layers", "128-20r-10", "--dt", "10", "--steps", "60", "--crop", "600", "--precision", "float64",
    "--set", "network.tau_mem=20", "--set", "network.tau_syn=10", "--set", "network.r=10", "--lr", "0.01",
    "--set", "network.target_rate=3", "--set", "network.recurrent_scale=0.3",
)  # fmt: skip


@pytest.fixture
def call(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def run(*words):
        code, out, err = Caller(monkeypatch, capsys)(*words, "--json")
        assert code == 0, err
        return json.loads(out)

    return run


def test_spoken_digits_are_learnt_evaluated_and_recorded(call):
    data = ("--dataset", SHARED / "spoken-digits")
    result = call("train", *data, *SPEECH, "--epochs", "1", "--limit", "120", "--run-dir", "run",
                  "--record", "spikes", "--record-batches", "0:2")  # fmt: skip
    assert result["recorded_trials"] == 100
    assert call("evaluate", "run")["accuracy"] == result["test_accuracy"]
    recorded = call("simulate", "run", "-o", "traces", "--record", "spikes,v", "--record-trials", "0:4")
    assert recorded["trials"] == 4
    with open_traces("traces") as traces:
        assert traces.info["time_unit"] == "ms"
        assert traces.spikes("input", 0).times.size > 100
        assert traces.spikes("input", 0).times.max() <= 600
    assert call("inspect", "traces")["info"]["time_unit"] == "ms"
    # The recording of the training is a data set again: its input spikes, and the labels of its trials.
    of_recording = call("evaluate", "run", "--dataset", "run/traces", "--split", "train", "--set", "data.test=1",
                        "--set", "data.limit=0")  # fmt: skip
    assert of_recording["samples"] == 90  # a tenth is held out, and one is for testing


def test_a_speaker_is_left_out(call):
    data = ("--dataset", "spoken-digits", "--data-dir", SHARED)
    few = ("--epochs", "1", "--limit", "60", "--run-dir", "run")
    assert call("train", *data, *SPEECH, *few, "--leave-out", "speaker=3")["epochs"] == 1
    swept = call("sweep", *data, *SPEECH, *few[:4], "--grid", "leave_out=speaker=0,speaker=1", "-o", "out",
                 "--workers", "1")  # fmt: skip
    assert [point["leave_out"] for point in swept["points"]] == ["speaker=0", "speaker=1"]


def test_events_of_pixels_are_learnt_by_a_convolution(call):
    result = call(
        "train", "--dataset", SHARED / "nmnist-small", "--layers", "2x9x9-4c3-p2-10", "--downsample", "4", "--dt", "20",
        "--steps", "16", "--crop", "320", "--precision", "float64", "--epochs", "1", "--limit", "100",
        "--set", "network.tau_mem=40", "--set", "network.tau_syn=20", "--set", "network.r=10", "--run-dir", "run",
    )  # fmt: skip
    assert call("evaluate", "run")["accuracy"] == result["test_accuracy"]


@pytest.mark.slow
def test_the_shipped_configuration_learns(call):
    """Six of its thirty epochs; the whole run reaches 94.7 %."""
    result = call("train", "spoken-digits", "--data-dir", SHARED, "--epochs", "6", "--run-dir", "run")
    assert result["test_accuracy"] > 0.8
