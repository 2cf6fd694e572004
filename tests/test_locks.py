"""One writer a folder: whoever comes second gets one line, and nothing of the first is touched."""

import json
import os
import signal
import subprocess
import sys

import pytest

from snnsim import open_traces
from snnsim.errors import InputError
from snnsim.processes import _check_launcher
from snnsim.recording.lock import NAME, Lock, wait_until_free
from snnsim.recording.repair import repair
from snnsim.recording.writer import TraceWriter
from tests.command import Caller, python, start
from tests.recordings import network, recording

SMALL = ("--layers", "784-10-10", "--steps", "12", "--limit", "200", "--batch-size", "30")


@pytest.fixture
def call(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    return Caller(monkeypatch, capsys)


def test_a_second_one_is_told_who_has_the_folder(tmp_path):
    lock = Lock(tmp_path)
    with pytest.raises(InputError, match=rf"{tmp_path}: in use by process {os.getpid()} on .*; wait for its end"):
        Lock(tmp_path)
    lock.release()
    assert not list(tmp_path.iterdir())
    Lock(tmp_path).release()


def test_a_lock_dies_with_its_process(tmp_path):
    """Also after kill -9, which leaves the file."""
    code = "import os, sys; from snnsim.recording.lock import Lock; lock = Lock(sys.argv[1]); os.kill(os.getpid(), 9)"
    assert python(code, tmp_path).returncode == -signal.SIGKILL
    assert (tmp_path / NAME).exists()
    Lock(tmp_path).release()


def test_a_fork_of_the_owner_frees_nothing(tmp_path):
    code = """
import os, sys
from snnsim.recording.lock import Lock
lock = Lock(sys.argv[1])
child = os.fork()
if child == 0:
    del lock
    os._exit(0)
os.waitpid(child, 0)
try:
    Lock(sys.argv[1])
except ValueError:
    print("held")
"""
    assert python(code, tmp_path).stdout == "held\n"


def test_a_planted_link_is_not_followed(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "precious").write_text("text")
    (tmp_path / "folder" / NAME).symlink_to(tmp_path / "precious")
    with pytest.raises(InputError, match="cannot be written"):
        Lock(tmp_path / "folder")
    assert (tmp_path / "precious").read_text() == "text"


def test_waiting_for_one_that_ends(tmp_path):
    code = (
        "import sys, time; from snnsim.recording.lock import Lock; lock = Lock(sys.argv[1]); print('has it', "
        "flush=True); time.sleep(0.5)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    process.stdout.readline()
    wait_until_free(tmp_path, 30)
    Lock(tmp_path).release()
    process.communicate()
    wait_until_free(tmp_path / "nowhere", 30)  # returns at once


def test_a_live_recording_is_neither_overwritten_nor_repaired(tmp_path):
    options = {"duration": 0.2, "dt": 0.01, "flush_seconds": 0}
    with TraceWriter(tmp_path, network(), **options) as writer:
        writer.append(recording())
        for overwrite in (False, True):
            with pytest.raises(InputError, match="in use by process"):
                TraceWriter(tmp_path, network(), overwrite=overwrite, **options)
        with pytest.raises(InputError, match="is still running"):
            repair(tmp_path)
        writer.append(recording())
    assert len(open_traces(tmp_path)) == 6
    assert not (tmp_path / NAME).exists()
    with pytest.raises(InputError, match=r"already holds a recording .*; --force replaces it"):
        TraceWriter(tmp_path, network(), **options)
    TraceWriter(tmp_path, network(), overwrite=True, **options).close()


def test_a_live_recording_of_another_host_is_not_repaired(tmp_path, monkeypatch):
    """Containers share a folder and have names, and numbers of processes, of their own."""
    with TraceWriter(tmp_path, network(), duration=0.2, dt=0.01, flush_seconds=0) as writer:
        writer.append(recording())
        monkeypatch.setattr("socket.gethostname", lambda: "elsewhere")
        with pytest.raises(InputError, match="in use by process"):
            repair(tmp_path)


def test_training_resuming_and_replacing_a_run_that_is_trained(call, small_mnist, tmp_path):
    """Once a training has its folder, nothing else gets it; a second training into it ends with one line."""
    data = ("--data-dir", small_mnist)
    process = start(
        "train", *SMALL, *data, "--epochs", 100000, "--set", "optimizer.schedule=constant", "--run-dir", tmp_path / "a"
    )
    try:
        for line in process.stderr:
            if line.startswith("epoch 1:"):
                break
        before = (tmp_path / "a" / "config.toml").read_bytes()
        for command in (
            ("train", *SMALL, *data, "--run-dir", "a", "--force"),
            ("train", "--resume", "a"),
        ):
            assert "in use by process" in call.refused(*command)
        assert "already holds a run" in call.refused("train", *SMALL, *data, "--run-dir", "a")
        assert (tmp_path / "a" / "config.toml").read_bytes() == before
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
        assert process.returncode == 143
    finally:
        process.kill()
        process.communicate()
    done = len((tmp_path / "a" / "metrics.jsonl").read_text().splitlines())
    code, out, err = call("train", "--resume", "a", "--epochs", done + 1, "--json")
    assert code == 0, err
    assert json.loads(out)["epochs"] == done + 1


def test_two_trainings_that_begin_at_once_in_a_new_folder(small_mnist, tmp_path):
    """One of them trains; the other one's files are nowhere."""
    both = [
        start("train", *SMALL, "--data-dir", small_mnist, "--epochs", 2, "--seed", k, "--run-dir", tmp_path / "a")
        for k in range(2)
    ]
    ends = [(*process.communicate(timeout=120), process.returncode) for process in both]
    assert sorted(code for *_, code in ends) == [0, 2], ends
    winner = next(k for k, (*_, code) in enumerate(ends) if code == 0)
    loser = ends[1 - winner][1].strip().splitlines()
    assert loser[-1].startswith("snnsim: error: ")
    assert "in use by" in loser[-1] or "already holds a run" in loser[-1]
    assert f"seed = {winner}\n" in (tmp_path / "a" / "config.toml").read_text()
    assert json.loads((tmp_path / "a" / "result.json").read_text())["seed"] == winner
    names = ["checkpoint.h5", "config.toml", "metrics.jsonl", "model.h5", "result.json"]
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == names


def test_a_sweep_and_a_reproduction_have_their_folder_for_themselves(call, tmp_path):
    (tmp_path / "out").mkdir()
    lock = Lock(tmp_path / "out")
    assert "in use by process" in call.refused("reproduce", "frequency-response", "--quick", "--out", "out")
    from snnsim import config
    from snnsim.sweep.grid import parse_grid
    from snnsim.sweep.run import sweep

    with pytest.raises(InputError, match="in use by process"):
        sweep(config.load(), parse_grid(["training.seed=0:2"], {}), tmp_path / "out", pool=None)
    lock.release()


@pytest.mark.parametrize(
    ("size", "rank"), [("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"), ("SLURM_STEP_NUM_TASKS", "SLURM_PROCID")]
)
def test_a_launcher_of_another_mpi_is_refused(small_mnist, tmp_path, size, rank):
    """Such a launcher starts processes that are each alone: several trainings in one folder."""
    command = ("train", *SMALL, "--data-dir", small_mnist, "--distributed", "mpi", "--run-dir", tmp_path / "a")
    first, second = (start(*command, **{size: "2", rank: str(k)}) for k in range(2))
    out, err = first.communicate(timeout=60)
    assert (first.returncode, out) == (2, ""), err
    (line,) = err.splitlines()
    assert f"the launcher started 2 processes ({size}), but the MPI library of mpi4py" in line
    assert second.communicate(timeout=60) == ("", "")
    assert second.returncode == 2
    assert not (tmp_path / "a").exists()


def test_a_launcher_within_another_is_believed(monkeypatch):
    """Under srun of one task for each node, mpiexec starts more: its own number counts."""

    class Mpi:
        class COMM_WORLD:
            size = 4

    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "2")
    monkeypatch.setenv("PMI_SIZE", "4")
    _check_launcher(Mpi)
