"""Where the disk ends: one line, nothing committed is lost, and the process lives to its end."""

import json
import os
import subprocess
import sys

import pytest

from snnsim import open_traces
from snnsim.recording.repair import repair
from snnsim.recording.writer import TraceWriter
from tests import ROOT
from tests.command import python
from tests.full_disk import tmpfs
from tests.recordings import network, recording

SIZES = {"tmpfs": (4, 8, 16, 24, 32, 48, 64, 96, 128, 640, 768, 1024), "limit": (4, 24, 64, 128, 400, 600)}


@pytest.mark.parametrize("kind", SIZES)
def test_no_writer_of_hdf5_dies_or_loses_what_it_committed(tmp_path, kind):
    if kind == "tmpfs":
        try:
            with tmpfs(tmp_path, 64):
                pass
        except OSError as error:
            pytest.skip(f"no file system can be mounted here: {error}")
    command = [sys.executable, "-m", "tests.full_disk", str(tmp_path), kind, *map(str, SIZES[kind])]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    cases = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(cases) == 4 * len(SIZES[kind])
    full = {"tmpfs": "No space left on device", "limit": "File too large"}[kind]
    for case in cases:
        assert case["code"] in (0, 2), case
        # A commit that was cut off between its last byte and its announcement may be there, too.
        assert case["committed"] <= case["read"], case
        if case["code"] == 2:
            (line,) = case["stderr"].splitlines()
            assert line.startswith("snnsim: error: "), case
            assert line.endswith(f"cannot be written: {full}"), case
        else:
            assert case["stderr"] == "", case
    codes = {name: {case["code"] for case in cases if case["file"] == name} for name in ("tree", "events", "nir")}
    assert all(found == {0, 2} for found in codes.values()), codes
    assert any(0 < case["committed"] < 90 for case in cases if case["file"] == "traces") or kind == "limit"


REFUSES = """
import os, sys
sys.path.insert(0, sys.argv[2])
from snnsim.errors import InputError
from snnsim.recording.writer import TraceWriter
from tests.recordings import network, recording

writer = TraceWriter(sys.argv[1], network(), duration=0.2, dt=0.01, record=("spikes", "v"), flush_seconds=0)
for k in range(5):
    writer.append(recording(seed=k))
full = os.open("/dev/full", os.O_RDWR)
for file in writer._files.values():
    os.dup2(full, file.id.get_vfd_handle())
try:
    getattr(writer, sys.argv[3])(*[recording(seed=9)] * (sys.argv[3] == "append"))
except InputError as error:
    print(error)
"""


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize("method", ["append", "flush", "close"])
def test_a_disk_that_breaks_its_promise_costs_no_commit(tmp_path, method):
    """Space was there, and the write fails all the same: nothing of HDF5 may reach the disk, or end the process."""
    done = python(REFUSES, tmp_path / "t", ROOT, method)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{tmp_path / 't'}: cannot be written: No space left on device\n"
    with open_traces(tmp_path / "t") as traces:
        assert len(traces) == 15


def test_a_recording_that_could_not_begin_leaves_its_place_free(tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError(28, os.strerror(28))

    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", full, raising=False)
        with pytest.raises(ValueError, match="No space left on device"):
            TraceWriter(tmp_path, network(), duration=0.2, dt=0.01)
    with TraceWriter(tmp_path, network(), duration=0.2, dt=0.01) as writer:
        writer.append(recording())
    assert len(open_traces(tmp_path)) == 3


def test_repair_on_a_full_disk_touches_nothing(tmp_path, monkeypatch):
    code = REFUSES.split("full =")[0] + "os.kill(os.getpid(), 9)"
    python(code, tmp_path / "t", ROOT)

    def files():
        # The lock that the killed process left is taken, and no part of the recording.
        return {path.name: path.read_bytes() for path in (tmp_path / "t").iterdir() if path.name != ".lock"}

    before = files()

    def full(*arguments):
        raise OSError(28, os.strerror(28))

    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", full, raising=False)
        with pytest.raises(ValueError, match="No space left on device"):
            repair(tmp_path / "t")
    assert files() == before
    assert repair(tmp_path / "t")
    with open_traces(tmp_path / "t") as traces:
        assert len(traces) == 15
        assert not traces.growing
