"""The command line around the same things: version, completion, parts of one's own, what has no classes."""

import os
import subprocess
import sys

import pytest

import snnsim
from tests.command import COMMAND, Caller

LOSS = """
import numpy as np


def loss(v, y):
    z, rows = v.mean(axis=1), np.arange(len(y))
    p = np.exp(z - z.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    value = -np.log(p[rows, y])
    p[rows, y] -= 1
    return value, np.repeat(p[:, None], v.shape[1], axis=1) / v.shape[1]


loss.reads = "membrane"
"""


@pytest.fixture
def call(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    return Caller(monkeypatch, capsys)


def test_version(call):
    assert call("--version") == (0, f"snnsim {snnsim.__version__}\n", "")


@pytest.mark.parametrize(("words", "wanted"), [("snnsim tra", {"train"}), ("snnsim train --est", set()),
                                               ("snnsim data ", {"list", "fetch", "verify"})])  # fmt: skip
def test_completion_in_a_shell(words, wanted):
    environment = os.environ | {
        "_SNNSIM_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split(" ")) - 1)
    }  # fmt: skip
    done = subprocess.run(COMMAND, env=environment, capture_output=True, text=True, check=True)
    assert wanted <= set(done.stdout.split())


def test_a_loss_of_ones_own(call, small_mnist, tmp_path):
    """By name, from the directory in which one works; the softmax of the mean membrane is the default loss."""
    (tmp_path / "mine.py").write_text(LOSS)
    flags = ("--layers", "784-6-10", "--steps", 10, "--limit", 100, "--epochs", 1, "--data-dir", small_mnist)
    assert call("train", *flags, "--loss", "mine:loss", "--run-dir", "own")[0] == 0
    assert call("train", *flags, "--run-dir", "plain")[0] == 0
    own, plain = (snnsim.load_model(name) for name in ("own", "plain"))
    assert own.history["train_loss"][0] == pytest.approx(plain.history["train_loss"][0], rel=1e-5)
    # In another process a file that names it runs nothing, until its user does.
    code = "import snnsim; snnsim.load_model('own').evaluate([[0.5] * 784], ['1'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "loss.name = 'mine:loss': named by a file; import mine first" in done.stderr
    done = subprocess.run([sys.executable, "-c", f"import mine; {code}"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert call.refused("train", *flags, "--loss", "mine:nothing").startswith("loss.name = 'mine:nothing': module")
