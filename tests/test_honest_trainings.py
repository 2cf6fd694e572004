"""What a training says of itself: input that changes with the step, layers that are silent, a loss at chance."""

import json
import re

import pytest
from snnsim_cli.options import per_step_note

from snnsim import config
from snnsim.training.run import troubles
from tests.command import Caller
from tests.test_docs import README_COMMANDS, without_prompt

YIN_YANG = ("--dataset", "yin-yang", "--layers", "5-20-3", "--limit", "200", "--epochs", "1")
NOTE = (
    "simulation.dt = 0.05 instead of 0.1: encoder poisson has a probability per step, so there is 2 times the input "
    "per unit of time; encoder poisson-rate has a rate that does not depend on dt"
)


@pytest.fixture
def call(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    return Caller(monkeypatch, capsys)


def notes(call, *words):
    code, _, err = call(*words)
    assert code == 0, err
    return [line for line in err.splitlines() if "input per unit of time" in line]


def test_another_step_size_says_what_it_does_to_the_input(call):
    assert notes(call, "train", *YIN_YANG, "--run-dir", "own") == []
    assert notes(call, "train", *YIN_YANG, "--dt", 0.05, "--steps", 100, "--run-dir", "flag") == [NOTE]
    assert notes(call, "train", *YIN_YANG, "--set", "simulation.dt=0.05", "--run-dir", "set") == [NOTE]
    rate = "--encoder", "poisson-rate", "--set", "encoder.max_rate=10"
    assert notes(call, "train", *YIN_YANG, *rate, "--dt", 0.05, "--steps", 100, "--run-dir", "rate") == []
    assert notes(call, "evaluate", "own", "--dt", 0.05) == [NOTE]
    assert notes(call, "evaluate", "flag") == []
    assert notes(call, "simulate", "own", "--dt", 0.05, "--record-trials", "0:2", "-o", "traces") == [NOTE]
    again = "simulate", "own", "--spikes", "traces", "--population", "input", "--dt", 0.05, "-o", "again"
    assert notes(call, *again) == []  # these spikes are not encoded


@pytest.mark.parametrize(
    ("settings", "factor"),
    [
        (("simulation.dt=0.05",), "2"),
        (("simulation.dt=0.2",), "0.5"),
        (("simulation.dt=0.2", "encoder.name=regular"), "0.5"),
        (("simulation.dt=0.05", "encoder.max_probability=0.5"), None),
        (("simulation.dt=0.05", "encoder.name=latency"), None),
        (("simulation.n_steps=100",), None),
        (("simulation.dt=0.1",), None),
    ],
)
def test_the_factor_of_the_input(settings, factor):
    note = per_step_note(config.load(), config.load(None, settings))
    assert (note is None) == (factor is None)
    assert note is None or f"there is {factor} times the input" in note


def test_a_silent_layer_and_a_loss_at_chance_are_said(call):
    weak = "--set", "network.init_scale=1e-3"
    code, _, err = call("train", *YIN_YANG, "--loss", "count-mse", *weak, "--run-dir", "dead")
    assert code == 0
    said = [line for line in err.splitlines() if line.startswith("epoch 1: ")]
    assert any(re.match(r"epoch 1: layer hidden0 is silent, 0 spikes a neuron and trial", line) for line in said)
    assert any(re.match(r"epoch 1: layer output is silent, 0 spikes", line) for line in said)
    assert any("is chance, loss" in line for line in said)
    learning = "--lr", 0.01, "--set", "training.batch_size=10"
    code, _, err = call("train", *YIN_YANG[:-1], "3", *learning, "--run-dir", "alive")
    assert code == 0
    assert "silent" not in err
    assert "epoch 3: accuracy" not in err  # at first it may be at chance


def test_troubles():
    fine = {"epoch": 2, "spikes_per_neuron": [0.5, 0.01], "train_accuracy": 0.2, "train_loss": 2.0}
    assert troubles(fine, 1000, 10, ["hidden0", "output"]) == []
    assert troubles({**fine, "spikes_per_neuron": [0.5]}, 1000, 10, ["hidden0"]) == []
    silent = {**fine, "spikes_per_neuron": [0.0, 0.004], "train_accuracy": 0.11}
    lines = troubles(silent, 1000, 10, ["hidden0", "output"])
    assert [line.split(",")[0] for line in lines] == [
        "epoch 2: layer hidden0 is silent", "epoch 2: layer output is silent",
        "epoch 2: accuracy 11.0 % on the samples that were learnt from is chance",
    ]  # fmt: skip
    assert troubles({**fine, "train_accuracy": 0.11}, 10**6, 10, ["hidden0", "output"]) == []


@pytest.mark.slow
def test_the_event_training_of_the_readme_learns(call):
    (line,) = [line for line in README_COMMANDS if "--engine event" in line and "train" in line]
    code, out, err = call(*without_prompt(line), "--json")
    assert code == 0, err
    assert json.loads(out)["test_accuracy"] > 0.87  # 89.3 % with seed 0
    assert "silent" not in err
    assert "is chance" not in err
