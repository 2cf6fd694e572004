"""Kill what writes, again and again, and count what is lost: ``python -m tests.kill --kills 100``.

Trainings, recordings, sweeps and trainings over MPI are killed with SIGKILL at moments of chance, continued, and
killed again, until so many kills were survived. After each, everything that a process had announced must be there, and
be what an undisturbed run has: epochs and their metrics, trials, points of a sweep. Prints one JSON object; ends with 1
if anything is lost.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np

from snnsim import config, open_traces, training
from snnsim.models import load_model
from snnsim.recording.metrics import read_metrics
from snnsim.recording.repair import repair
from snnsim.recording.runs import load_tree
from snnsim.sweep.table import load_table
from snnsim.threads import use_threads
from tests.command import COMMAND
from tests.recordings import assert_same_spikes, recording

ROOT = Path(__file__).parents[1]
MPIEXEC = Path(sysconfig.get_path("scripts")) / "mpiexec"
SHARES = {"training": 0.4, "recording": 0.4, "sweep": 0.1, "mpi": 0.1}
SETTINGS = (
    "data.dataset=yin-yang", "network.layers=[5,12,3]", "simulation.n_steps=20", "data.limit=400",
    "data.validation=100", "training.batch_size=50", "optimizer.schedule=constant", "training.micro_batches=2",
)  # fmt: skip
EPOCHS, POINTS = 60, 3


class Process:
    """A command in a session of its own, whose announcements are read while it runs."""

    def __init__(self, *command):
        self._process = subprocess.Popen(
            [*map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT,
            start_new_session=True, env={**os.environ, "OMP_WAIT_POLICY": "PASSIVE"},
        )  # fmt: skip
        self.pid, self.lines = self._process.pid, []
        self._reader = threading.Thread(target=lambda: self.lines.extend(self._process.stdout), daemon=True)
        self._reader.start()

    def wait_for(self, start, seconds=120):
        """Wait until a line begins so, or the process has ended."""
        end = time.monotonic() + seconds
        while self._process.poll() is None and not any(line.startswith(start) for line in self.lines):
            if time.monotonic() > end:
                raise TimeoutError(f"no line begins with {start!r}: {self.lines}")
            time.sleep(0.005)

    def kill(self, victim=None):
        """Kill the process and all of its session, or one process of its; wait for the end of all."""
        if victim is None:
            os.killpg(self.pid, signal.SIGKILL)
        else:
            os.kill(victim, signal.SIGKILL)
        return self.end()

    def end(self, seconds=120):
        """Exit code, at its end."""
        code = self._process.wait(seconds)
        self._reader.join(seconds)
        self._process.stdout.close()
        return code

    @property
    def running(self):
        """Whether it has not ended."""
        return self._process.poll() is None


def options(epochs=EPOCHS):
    return [word for value in (*SETTINGS, f"training.epochs={epochs}") for word in ("--set", value)]


def records(found):
    """Records of epochs without what a clock measured."""
    return [{key: value for key, value in record.items() if key != "seconds"} for record in found]


def announced(lines):
    """The highest epoch that a training's lines name as finished."""
    numbers = [int(line.split()[1].rstrip(":")) for line in lines if line.startswith("epoch ") and ": loss" in line]
    return max(numbers, default=0)


class Undisturbed:
    """What runs that nobody kills leave."""

    def __init__(self, folder):
        use_threads(1)
        settings = [*SETTINGS, f"training.epochs={EPOCHS}"]
        self._runs = {}
        for seed in range(POINTS):
            directory = folder / f"undisturbed-{seed}"
            training.train(config.load(None, [*settings, f"training.seed={seed}"]), directory)
            self._runs[seed] = records(read_metrics(directory)), load_model(directory / "model.h5")[0].weights

    def check(self, directory, known, lost, seed=0):
        """Count what a run directory lacks of the epochs that were announced, or has otherwise."""
        expected, weights = self._runs[seed]
        history = json.loads(load_tree(directory / "checkpoint.h5", "checkpoint")["history"])
        lost["epochs"] += max(0, known - len(history))
        for found in (history, read_metrics(directory)):
            lost["metrics"] += records(found) != expected[: len(found)] or len(found) < known
        if (directory / "metrics.jsonl").exists():
            lost["metrics"] += len(read_metrics(directory / "metrics.jsonl")) < known
        if (directory / "result.json").exists():
            lost["metrics"] += records(read_metrics(directory / "metrics.jsonl")) != expected
            model = load_model(directory / "model.h5")[0].weights
            lost["epochs"] += not all(map(np.array_equal, model, weights))
        return len(history)


def kill_trainings(kills, folder, lost, chance, undisturbed, launcher=()):
    """Kill a training, resume and kill it again; begin another where one has ended."""
    directory, known, done = folder / ("mpi" if launcher else "training"), 0, 0
    extra = ("--distributed", "mpi") if launcher else ()
    while done < kills:
        resumes = (directory / "checkpoint.h5").exists()
        how = ("--resume", directory) if resumes else (*options(), "--run-dir", directory, "--force")
        process = Process(*launcher, *COMMAND, "train", *how, *extra, "--threads", 1)
        process.wait_for("yin-yang")
        time.sleep(chance.uniform(0.0, 0.5 if launcher else 0.25))
        victim = chance.choice([None, *ranks(process.pid)]) if launcher else None
        killed = process.running
        if killed:
            process.kill(victim)
            done += 1
        elif process.end() != 0:
            raise RuntimeError("".join(process.lines))
        if (directory / "checkpoint.h5").exists():
            known = undisturbed.check(directory, max(known, announced(process.lines)), lost)
        if (directory / "result.json").exists():
            shutil.rmtree(directory)
            known = 0
    if (directory / "checkpoint.h5").exists():
        training.resume(directory)
        undisturbed.check(directory, EPOCHS, lost)


def ranks(pid):
    """Processes that a launcher has started and that compute."""
    import psutil

    try:
        found = psutil.Process(pid).children(recursive=True)
        return [child.pid for child in found if "snnsim_cli" in " ".join(child.cmdline())]
    except psutil.NoSuchProcess:
        return []


RECORD = """
import itertools, sys
from tests.recordings import network, recording
from snnsim.recording.writer import TraceWriter

batches = [recording(seed=k) for k in range(7)]
options = {"duration": 0.2, "dt": 0.01, "record": ("spikes", "v"), "flush_seconds": float(sys.argv[2])}
with TraceWriter(sys.argv[1], network(), **options) as writer:
    print("begins", flush=True)
    for k in itertools.count():
        writer.append(batches[k % 7], label=k)
        if not options["flush_seconds"]:
            print(writer.trials, flush=True)
"""


def kill_recordings(kills, folder, lost, chance):
    """Kill a recording; read what it left before and after it is mended."""
    batches = [recording(seed=k) for k in range(7)]
    for k in range(kills):
        directory = folder / f"traces-{k}"
        process = Process(sys.executable, "-c", RECORD, directory, chance.choice([0, 0, 0.05]))
        process.wait_for("begins")
        time.sleep(chance.uniform(0.0, 0.5))
        process.kill()
        numbers = [int(line) for line in process.lines if line.strip().isdigit() and line.endswith("\n")]
        for mended in (False, True):
            try:
                with open_traces(directory) as traces:
                    lost["trials"] += max(0, max(numbers, default=0) - len(traces)) + differing(traces, batches)
            except (ValueError, AssertionError) as error:
                print(f"{directory}: {error}", file=sys.stderr)
                lost["trials"] += max([1, *numbers])
            if not mended:
                repair(directory)
        shutil.rmtree(directory)


def differing(traces, batches):
    """Count the trials that are not what was written."""
    wrong = 0
    for first in range(0, len(traces), 3):
        trials, expected = slice(first, first + 3), batches[first // 3 % 7]
        try:
            assert_same_spikes(traces.spikes("output", trials), expected["output"].spikes)
            np.testing.assert_array_equal(traces.v("hidden0", trials), expected["hidden0"].v)
            assert (traces.trials.label[trials] == first // 3).all()
        except AssertionError:
            wrong += 3
    return wrong


def kill_sweeps(kills, folder, lost, chance, undisturbed):
    """Kill a sweep with its workers, or one of the processes that train; the same command goes on."""
    out, done, known, ended = folder / "sweep", 0, Counter(), set()
    command = (*COMMAND, "sweep", *options(), "--grid", f"seed=0:{POINTS}", "--workers", 2, "--retries", 3, "-o", out)
    while done < kills:
        process = Process(*command)
        process.wait_for(f"{POINTS} points")
        time.sleep(chance.uniform(0.5, 4.0))
        victim = chance.choice([None, *trainers(process.pid)])
        if process.running:
            process.kill(victim)  # of a process that trains, the sweep itself goes on to its end
            done += 1
        ended |= {line.split()[1].rstrip(":") for line in process.lines if ": test " in line}
        rows = load_table(out).rows if (out / "sweep.h5").exists() else {}
        lost["points"] += len(ended - {name for name, row in rows.items() if row.status == "done"})
        for seed in range(POINTS):
            name = f"seed={seed}"
            if (out / name / "checkpoint.h5").exists():
                known[name] = undisturbed.check(out / name, EPOCHS if name in ended else known[name], lost, seed)
        if len(ended) == POINTS:
            shutil.rmtree(out)
            ended, known = set(), Counter()
    shutil.rmtree(out, ignore_errors=True)


def trainers(pid):
    """Processes of a sweep that train."""
    import psutil

    try:
        found = psutil.Process(pid).children(recursive=True)
        return [child.pid for child in found if "snnsim.sweep.serve" in " ".join(child.cmdline())]
    except psutil.NoSuchProcess:
        return []


def main(arguments=None):
    """Kill, count and tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100, help="in all")
    parser.add_argument("--kinds", default=",".join(SHARES), help="of what is killed")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    given = parser.parse_args(arguments)
    kinds = given.kinds.split(",")
    total = sum(SHARES[kind] for kind in kinds)
    left, chance = given.kills, random.Random(given.seed)
    lost, survived = Counter(epochs=0, metrics=0, trials=0, points=0), {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        undisturbed = Undisturbed(folder) if set(kinds) != {"recording"} else None
        for kind in kinds:
            kills = left if kind == kinds[-1] else max(1, round(given.kills * SHARES[kind] / total))
            left -= kills
            if kind == "training":
                kill_trainings(kills, folder, lost, chance, undisturbed)
            elif kind == "mpi":
                kill_trainings(kills, folder, lost, chance, undisturbed, (MPIEXEC, "-n", 2))
            elif kind == "recording":
                kill_recordings(kills, folder, lost, chance)
            else:
                kill_sweeps(kills, folder, lost, chance, undisturbed)
            survived[kind] = kills
            print(f"{kind}: {kills} kills, lost so far: {dict(lost)}", file=sys.stderr, flush=True)
    print(json.dumps({"kills": survived, "lost": dict(lost)}))
    return int(any(lost.values()))


if __name__ == "__main__":
    sys.exit(main())
