"""Text that was made to do harm: pipes, devices, numbers and nesting without end, in one line and before memory."""

import os
import sys

import pytest

from snnsim import config
from snnsim.datasets.idx import read_idx
from snnsim.errors import InputError
from snnsim.files.hdf5 import open_hdf5
from snnsim.files.text import parse_json, parse_toml, read_text
from snnsim.recording.metrics import read_metrics
from snnsim.recording.summary import summarise
from tests.command import Caller

DEEP = 100_000


@pytest.fixture
def call(monkeypatch, capsys):
    return Caller(monkeypatch, capsys)


@pytest.mark.parametrize("read", [config.load, lambda p: read_idx(p, 1), open_hdf5, read_metrics, read_text, summarise])
def test_pipes_and_devices_are_no_files(read, tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in (pipe, "/dev/zero"):
        with pytest.raises(InputError, match=f"{path}: a pipe or device, not an ordinary file"):
            read(path)


def test_a_long_file_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "long.toml"
    with open(path, "wb") as file:
        file.truncate(2**40)
    for read in (config.load, read_metrics):
        with pytest.raises(InputError, match=f"{path}: {2**40} bytes: too long"):
            read(path)


@pytest.mark.parametrize(
    "text", ["x = " + "1" * 5000, "x = " + "[" * DEEP, "x" + ".x" * DEEP + " = 1", "x = " + "{x=" * DEEP]
)
def test_toml_without_end(text, tmp_path):
    with pytest.raises(InputError, match="origin: not valid TOML") as refused:
        parse_toml(text, "origin")
    assert len(str(refused.value)) < 200
    path = tmp_path / "study.toml"
    path.write_text(f"[network]\n{text}\n")
    with pytest.raises(InputError, match=f"{path}: not valid TOML"):
        config.load(path)
    with pytest.raises(InputError, match=r"--set network.x: not valid TOML"):
        config.load(None, [f"network.x={{{text}}}"])


@pytest.mark.parametrize("text", ["1" * 5000, "[" * DEEP, '{"x":' * DEEP, "{", "", "\ud800"])
def test_json_without_end(text):
    with pytest.raises(InputError, match="origin: not JSON") as refused:
        parse_json(text, "origin")
    assert len(str(refused.value)) < 200


@pytest.mark.parametrize("error", [MemoryError("1 TiB"), RecursionError()])
def test_no_memory_and_no_stack_are_one_line_anywhere(call, monkeypatch, error):
    def fail(*_):
        raise error

    monkeypatch.setattr(config, "load", fail)
    assert "memory" in (message := call.refused("config", "show")) or "nested" in message


def test_sizes_of_layers_without_end():
    with pytest.raises(InputError, match="must be a size"):
        config.layers_of("784-" + "1" * sys.get_int_max_str_digits() + "1", "layers")
