"""The page on data: its code and commands run, and its tables name every key and flag that there is."""

import re
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from snnsim_cli.options import DATA_FLAGS

from snnsim.config import DataConfig
from snnsim.datasets import formats
from snnsim.datasets.archives import ARCHIVES
from snnsim.datasets.perturb import Perturbation
from snnsim.datasets.prepare import Preparation
from snnsim.datasets.registry import names
from tests.command import Caller
from tests.data import writers as w
from tests.test_docs import code_blocks, commands, without_prompt

PAGE = Path(__file__).parents[2] / "docs" / "data.md"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where the page's own code has left its file; and somebody's digits, in the layout of SHD."""
    monkeypatch.chdir(tmp_path)
    for language, code in code_blocks(PAGE.read_text()):
        if language == "python":
            exec(compile(code, PAGE.name, "exec"), {})
    (tmp_path / "my-digits").mkdir()
    rng = np.random.default_rng(0)
    for half, n in (("train", 60), ("test", 20)):
        units = [np.minimum(rng.integers(0, 13, 200) + 12 * (k % 10), 127) for k in range(n)]
        samples = [(np.sort(rng.random(200)) * 0.5, u) for u in units]
        w.shd(tmp_path / "my-digits" / f"mine_{half}.h5", samples, np.arange(n) % 10, keys=list("0123456789"))
    return tmp_path


def run(lines, call):
    for line in lines:
        code, _, err = call(*without_prompt(line))
        assert code == 0, f"{line}: {err}"


def test_the_commands_of_the_page_run(folder, monkeypatch, capsys):
    lines = [line for line in commands(PAGE) if "my-digits" not in line]
    assert len(lines) > 8
    call = Caller(monkeypatch, capsys)
    run(lines, call)
    code, out, _ = call("evaluate", "runs/toy", "--json")
    assert code == 0
    assert float(re.search(r'"accuracy": ([\d.]+)', out)[1]) > 0.7
    # Of the person left out alone.
    config = Path("runs/person2/config.toml").read_text()
    assert 'leave_out = "person=2"' in config


@pytest.mark.slow
def test_digits_of_ones_own(folder, monkeypatch, capsys):
    lines = [line for line in commands(PAGE) if "my-digits" in line]
    assert lines
    run(lines, Caller(monkeypatch, capsys))


def test_the_tables_name_every_key_and_flag():
    text = PAGE.read_text()
    named = set(re.findall(r"`(\w+)`", "\n".join(line for line in text.splitlines() if line.startswith("| `"))))
    known = {f.name for f in fields(DataConfig)}
    events = {f.name for kind in (Preparation, Perturbation) for f in fields(kind)}
    events |= {"time_unit", "sensor", "population"}
    assert events <= named
    assert events <= known
    flags = set(re.findall(r"--([a-z-]+)", text))
    assert {name.replace("_", "-") for name in DATA_FLAGS} <= flags
    for name in (*names(), *ARCHIVES):
        assert name in text
    suffixes = {suffix for module in formats.folders.DECODERS for suffix in module.SUFFIXES}
    assert suffixes <= set(re.findall(r"`(\.\w+)`", text))


def test_every_flag_is_a_key_of_its_type():
    import typing

    hints = typing.get_type_hints(DataConfig)
    for name, kind in DATA_FLAGS.items():
        assert kind in (typing.get_args(hints[name]) or (hints[name],)), name
