"""SIGTERM and SIGHUP, which batch systems and closed terminals send, end a command as Ctrl-C does: nothing is lost."""

import json
import os
import signal
import sys
import time

import pytest

from snnsim import interrupts, open_traces, training
from snnsim.recording.runs import load_tree
from snnsim.sweep.table import load_table
from tests.command import python, start

SMALL = ("--layers", "784-10-10", "--steps", "12", "--limit", "200", "--batch-size", "30")
ENDLESS = ("--epochs", 100000, "--set", "optimizer.schedule=constant")


def until(found, process, seconds=90):
    deadline = time.monotonic() + seconds
    while not found() and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.02)


def ended(process, number, *more):
    """Exit code, stdout and lines of stderr of a process that gets a signal, perhaps more than once."""
    for each in (number, *more):
        process.send_signal(each)
    out, err = process.communicate(timeout=60)
    assert "Traceback" not in err
    return process.returncode, out, err.splitlines()


@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGHUP", 129)])
def test_a_training_saves_a_checkpoint(small_mnist, tmp_path, name, code):
    directory = tmp_path / "run [1]"
    process = start("train", *SMALL, *ENDLESS, "--data-dir", small_mnist, "--run-dir", directory)
    until((directory / "metrics.jsonl").exists, process)
    number = getattr(signal, name)
    found, out, lines = ended(process, number, number)  # launchers send them twice
    assert (found, out) == (code, ""), lines
    assert lines[-1] == f"interrupted; continue with: snnsim train --resume '{directory}'"
    saved = load_tree(directory / "checkpoint.h5", "checkpoint")["session"]
    done = len((directory / "metrics.jsonl").read_text().splitlines())
    assert saved["epoch"] == done >= 1
    assert training.resume(directory, epochs=done + 1)["epochs"] == done + 1


def test_nohup_is_respected(small_mnist, tmp_path):
    directory = tmp_path / "run"
    code = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\nfrom snnsim_cli.main import main; main()"
    import subprocess

    command = ("train", *SMALL, *ENDLESS, "--data-dir", small_mnist, "--run-dir", directory)
    process = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    until((directory / "metrics.jsonl").exists, process)
    process.send_signal(signal.SIGHUP)
    before = (directory / "metrics.jsonl").read_bytes()
    until(lambda: (directory / "metrics.jsonl").read_bytes() != before, process)
    assert process.poll() is None
    assert ended(process, signal.SIGTERM)[0] == 143


def test_a_terminal_that_is_gone_does_not_keep_a_training_from_its_checkpoint(small_mnist, tmp_path):
    """A hang-up takes standard error away, too."""
    directory = tmp_path / "run"
    reader, writer = os.pipe()
    process = start("train", *SMALL, *ENDLESS, "--data-dir", small_mnist, "--run-dir", directory, stderr=writer)
    os.close(writer)
    until((directory / "metrics.jsonl").exists, process)
    os.close(reader)
    process.send_signal(signal.SIGHUP)
    assert process.wait(60) == 129
    process.stdout.close()
    assert load_tree(directory / "checkpoint.h5", "checkpoint")["session"]["epoch"] >= 1


def test_a_recording_ends_whole(small_mnist, tmp_path):
    config = tmp_path / "long.toml"  # trials of so many steps that a batch is one
    config.write_text(f'[data]\ndata_dir = "{small_mnist}"\nvalidation = 100\n[network]\nlayers = [784, 300, 10]\n')
    process = start("simulate", config, "--steps", 4000, "--dt", 0.01, "--record", "spikes,v", "-o", tmp_path / "t")

    def committed():
        try:
            with open_traces(tmp_path / "t") as traces:
                return len(traces) > 0
        except ValueError:
            return False

    until(committed, process)
    code, out, lines = ended(process, signal.SIGTERM)
    assert (code, out, lines[-1]) == (143, "", "snnsim: error: interrupted"), lines
    with open_traces(tmp_path / "t") as traces:
        assert not traces.growing
        assert 0 < len(traces) < 150
        assert len(traces.v("hidden0", len(traces) - 1)) == 4000
    assert not (tmp_path / "t" / ".lock").exists()


def test_a_sweep_leaves_checkpoints(small_mnist, tmp_path):
    """To every process, as a batch system sends it."""
    out = tmp_path / "out"
    process = start(
        "sweep", *SMALL, *ENDLESS, "--data-dir", small_mnist, "--grid", "seed=0:2", "-o", out, new_session=True
    )
    until(lambda: list(out.glob("*/metrics.jsonl")), process)
    os.killpg(process.pid, signal.SIGTERM)
    stdout, err = process.communicate(timeout=60)
    assert (process.returncode, stdout) == (143, ""), err
    assert err.splitlines()[-1] == f"interrupted; the same command continues the sweep in {out}"
    assert load_table(out).rows == {}
    for run in out.glob("seed=*"):
        if (run / "metrics.jsonl").exists():
            epochs = load_tree(run / "checkpoint.h5", "checkpoint")["session"]["epoch"]
            assert len((run / "metrics.jsonl").read_text().splitlines()) == epochs
    assert not (out / ".lock").exists()


def test_a_reproduction_ends_in_order(tmp_path):
    process = start("reproduce", "population", "--out", tmp_path, "--workers", 1)
    until((tmp_path / ".lock").exists, process)
    code, out, lines = ended(process, signal.SIGTERM)
    assert (code, out, lines[-1]) == (143, "", "snnsim: error: interrupted"), lines
    assert not (tmp_path / ".lock").exists()


def test_held_back_signals_are_told_apart():
    with interrupts.held_back() as came:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)
        assert came == [signal.SIGTERM, signal.SIGINT, signal.SIGTERM]
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    with pytest.raises(interrupts.Interrupted) as stop, interrupts.raised():
        os.kill(os.getpid(), signal.SIGHUP)
    with interrupts.raised():
        with pytest.raises(interrupts.Interrupted):
            os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)  # once more, as launchers send it
        with interrupts.held_back() as came:  # it got lost in a library, since work goes on
            assert came == [signal.SIGTERM, signal.SIGTERM]
    with interrupts.held_back() as came:
        assert came == []
    assert interrupts.exit_code(stop.value) == 129
    assert interrupts.exit_code(KeyboardInterrupt()) == 130
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


FORK = """
import multiprocessing
import numba
import numpy as np
import snnsim

@numba.njit(parallel=True)
def ones(n):
    a = np.zeros(n)
    for k in numba.prange(n):
        a[k] = 1
    return a

@numba.njit
def serial(n):
    return n + 1

def total(n):
    return ones(n).sum()

fork = multiprocessing.get_context("fork")
assert total(4) == 4
with fork.Pool(2) as pool:
    assert pool.map(serial, range(3)) == [1, 2, 3]
    try:
        pool.map(total, range(3))
    except snnsim.InputError as error:
        print(error)
with multiprocessing.get_context("fork").Pool(1) as pool:
    pass
assert total(4) == 4  # here all is well
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the OpenMP of other systems survives a fork")
def test_a_fork_after_a_simulation_says_at_once_that_it_cannot(tmp_path):
    done = python(FORK)
    assert done.stderr == ""
    assert done.stdout.startswith("this process was forked from one that had run kernels")
    assert "multiprocessing.get_context('spawn')" in done.stdout


def test_metrics_that_a_kill_left_out_are_written_again(small_mnist, tmp_path):
    """Killed between the checkpoint of an epoch and its line of metrics."""
    code = """
import os, sys
from snnsim import config, training
from snnsim.training.run import Run

def die(run):
    os.kill(os.getpid(), 9)

Run.write_metrics = die
training.train(config.load(None, sys.argv[2:]), sys.argv[1])
"""
    settings = (f"data.data_dir={small_mnist}", "network.layers=[784,10,10]", "data.limit=200", "training.epochs=2")
    assert python(code, tmp_path / "a", *settings).returncode == -signal.SIGKILL
    assert not (tmp_path / "a" / "metrics.jsonl").exists()
    from snnsim.recording.metrics import read_metrics

    assert [m["epoch"] for m in read_metrics(tmp_path / "a")] == [1]
    training.resume(tmp_path / "a")
    lines = [json.loads(line) for line in (tmp_path / "a" / "metrics.jsonl").read_text().splitlines()]
    assert [m["epoch"] for m in lines] == [1, 2]
