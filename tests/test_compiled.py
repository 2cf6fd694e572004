"""Where machine code is kept: without a home, in a read-only place, on a full disk, and from files that are damaged."""

import os
import shutil
import stat
import subprocess
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from snnsim.compiled import guarded

CODE = """
import numpy as np
from snnsim.recording.packing import pack_neurons
counts, codes = np.zeros(4, np.int64), np.empty(2, np.uint32)
print(pack_neurons(np.array([1, 2], np.int32), np.array([0]), np.array([0, 2]), counts, codes))
"""


def run(**environment):
    environment = {**os.environ, **environment}
    done = subprocess.run(
        [sys.executable, "-c", CODE], capture_output=True, text=True, check=False, timeout=120,
        env={name: value for name, value in environment.items() if value is not None},
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "2\n"), done.stderr
    return done.stderr.splitlines()


def test_a_home_that_cannot_be_written_costs_a_note(tmp_path):
    (tmp_path / "file").touch()
    for environment in (
        {"HOME": str(tmp_path / "file"), "XDG_CACHE_HOME": None, "NUMBA_CACHE_DIR": None},
        {"XDG_CACHE_HOME": str(tmp_path / "file"), "NUMBA_CACHE_DIR": None},
        {"NUMBA_CACHE_DIR": str(tmp_path / "file")},
    ):
        (line,) = run(**environment, TMPDIR=str(tmp_path))
        assert line.startswith("snnsim: note: compiled code cannot be kept (")
        assert "each process compiles its own; NUMBA_CACHE_DIR names a folder for it" in line
    assert [path.name for path in tmp_path.iterdir()] == ["file"]  # the temporary ones are gone


def test_no_home_at_all(monkeypatch):
    """As a process of a number that no account has, in a container."""
    from pathlib import Path

    from snnsim import compiled

    def nobody():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", nobody)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("NUMBA_CACHE_DIR", "")
    monkeypatch.delitem(sys.modules, "numba", raising=False)
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    compiled.keep_compiled_code()
    chosen = os.environ["NUMBA_CACHE_DIR"]
    assert stat.S_IMODE(os.stat(chosen).st_mode) == 0o700
    shutil.rmtree(chosen)


def test_damaged_files_are_compiled_again_once(tmp_path):
    cache = {"NUMBA_CACHE_DIR": str(tmp_path)}
    assert run(**cache) == []
    files = sorted(path for path in tmp_path.rglob("*.nb?") if "pack_neurons" in path.name)
    assert [path.suffix for path in files] == [".nbc", ".nbi"]
    for path, damage in zip(files, (lambda data: data[:100], lambda data: data[:50] + b"x" + data[51:]), strict=True):
        path.write_bytes(damage(path.read_bytes()))
        (line,) = run(**cache)
        assert line == f"snnsim: note: {path}: damaged; its kernel is compiled again"
        assert run(**cache) == []


@pytest.fixture
def files(tmp_path):
    from numba.core import caching

    assert caching.IndexDataCacheFile.__name__ == "Guarded"  # since snnsim was imported before Numba
    made = caching.IndexDataCacheFile(str(tmp_path), "name", ("stamp", 1))
    made.save("key", ("code", 1))
    return made


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(suffix=st.sampled_from(["nbi", "1.nbc"]), data=st.data())
def test_any_damage_is_noticed_and_mended(files, tmp_path, suffix, data):
    path = tmp_path / f"name.whole.{suffix}"
    whole = path.read_bytes()
    place = data.draw(st.integers(0, len(whole) - 1))
    if data.draw(st.booleans()):
        path.write_bytes(whole[:place])
    else:
        path.write_bytes(whole[:place] + bytes([whole[place] ^ data.draw(st.integers(1, 255))]) + whole[place + 1 :])
    assert files.load("key") is None
    files.save("key", ("code", 1))
    assert files.load("key") == ("code", 1)


def test_a_full_disk_keeps_nothing_and_stops_nothing(tmp_path, capsys):
    class Full:
        def __init__(self, path, base, stamp):
            self._cache_path, self._index_path = str(tmp_path), str(tmp_path / "index")

        def save(self, key, data):
            raise OSError(28, os.strerror(28))

    guarded(Full)("path", "base", "stamp").save("key", "data")
    assert "compiled code cannot be kept" in capsys.readouterr().err


def test_numba_may_be_loaded_first(tmp_path):
    """And in another process second: what the two keep in one folder does not disturb either."""
    cache = {"NUMBA_CACHE_DIR": str(tmp_path)}
    first = subprocess.run(
        [sys.executable, "-c", f"import numba\n{CODE}"], capture_output=True, text=True, check=False, timeout=120,
        env={**os.environ, **cache},
    )  # fmt: skip
    assert (first.returncode, first.stdout, first.stderr) == (0, "2\n", "")
    assert run(**cache) == []
