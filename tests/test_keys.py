"""What keys of a configuration say of themselves, and where that is shown."""

import dataclasses
import re
import tomllib
from importlib import metadata

import pytest

from snnsim import config, extras, registry, tables
from snnsim.keys import POSITIVE, Range, comment
from tests.command import Caller


@pytest.fixture
def call(monkeypatch, capsys):
    return Caller(monkeypatch, capsys)


def test_every_key_says_what_it_means():
    fields = [f for table in (tables.TABLES | tables.LISTS).values() for f in dataclasses.fields(table)]
    assert len(fields) == len(tables.KEYS)
    for name, key in tables.KEYS.items():
        assert key.meaning, name
        assert not key.meaning.endswith("."), name
    assert {f.name for f in dataclasses.fields(config.Config)} == {*tables.TABLES, *tables.LISTS}


def test_choices_are_those_of_the_parts():
    for parts in (registry.ENCODERS, registry.ESTIMATORS, registry.LOSSES, registry.OPTIMIZERS, registry.SCHEDULES):
        assert set(tables.choices(parts.option)) == set(parts)
        assert tables.KEYS[parts.option].own == ("package.module:Name" in parts)


@pytest.mark.parametrize(
    ("allowed", "inside", "outside", "text"),
    [
        (POSITIVE, (1e-9, 5), (0, -1, float("inf"), float("nan")), "be a positive number"),
        (Range(0), (0, 5), (-1, float("inf")), "be at least 0"),
        (Range(0, 1), (0, 1), (-0.1, 1.1), "lie in 0..1"),
        (Range(0, 1, below=True), (0, 0.9), (1, float("nan")), "lie in [0, 1)"),
    ],
)
def test_ranges(allowed, inside, outside, text):
    assert all(value in allowed for value in inside)
    assert not any(value in allowed for value in outside)
    assert str(allowed) == text


def test_config_show_explains_every_key(call):
    code, out, _ = call("config", "show")
    assert code == 0
    assert config.from_tree(tomllib.loads(out)) == config.load()
    lines = out.splitlines()
    for name in config.known_keys():
        table, key = name.split(".")
        begins = (f"{key} = ", f"# {key} =")
        at = next(k for k, line in enumerate(lines) if line.startswith(begins) and f"[{table}]" in lines[:k])
        told = comment(tables.KEYS[name])
        assert lines[at - len(told) : at] == told


def test_help_comes_from_the_keys(call, monkeypatch):
    monkeypatch.setenv("COLUMNS", "400")
    code, out, _ = call("train", "--help")
    assert code == 0
    words = " ".join(out.replace("│", " ").split()).lower()
    for name in ("simulation.engine", "loss.name", "encoder.name", "training.epochs"):
        assert tables.KEYS[name].meaning.lower() in words
        assert all(choice in words for choice in tables.KEYS[name].choices)


def test_version(call):
    assert call("--version") == (0, f"snnsim {metadata.version('snnsim')}\n", "")


def test_completion(monkeypatch, capsys):
    monkeypatch.setenv("_SNNSIM_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "snnsim plot r")
    monkeypatch.setenv("COMP_CWORD", "2")
    code, out, _ = Caller(monkeypatch, capsys)()
    assert (code, out.split()) == (0, ["raster", "rates"])


def test_extras_that_are_named_exist():
    root = extras.CHECKOUT
    texts = [path.read_text() for path in (root / "snnsim").rglob("*.py")]
    named = {extra for text in texts for extra in re.findall(r"""install_command\(['"]([\w-]+)""", text)}
    assert named
    assert named <= set(tomllib.loads((root / "pyproject.toml").read_text())["project"]["optional-dependencies"])


def test_the_command_that_installs_an_extra(monkeypatch, tmp_path):
    assert extras.install_command("dask") == f'pip install -e "{extras.CHECKOUT}[dask]"'
    monkeypatch.setattr(extras, "CHECKOUT", tmp_path)
    told = ['neo>=0.13; extra == "interchange"', "numpy>=2", "numba-cuda[cu13]<1; extra == 'cuda13'"]
    monkeypatch.setattr(metadata, "requires", lambda name: told)
    assert extras.install_command("interchange") == 'pip install "neo>=0.13"'
    assert extras.install_command("cuda13") == 'pip install "numba-cuda[cu13]<1"'
