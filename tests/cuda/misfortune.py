"""What a user meets when a training on the card fails: one line, exit code 2, and a checkpoint that still resumes."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

BROKEN = """
import sys
from numba import cuda
from snnsim.kernels.cuda import compiler
from snnsim.training.optimizer_cuda import DeviceOptimizer
from snnsim_cli.main import main

step = DeviceOptimizer.step

@cuda.jit
def write_far_away(out):
    out[1 << 40] = 1

def fails_later(self, lr, loss):
    if self.of.steps == 12:
        compiler.launch(write_far_away, 1, 1, self.device.flat_weights)
    step(self, lr, loss)

DeviceOptimizer.step = fails_later
sys.argv = ["snnsim", *sys.argv[1:]]
main()
"""


def check(report):
    """Make trainings fail in every way that can be brought about on a sound card; results go to ``report``."""
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder, "run")
        small = ("--target", "cuda", "--limit", "1000", "--batch-size", "100")
        trained = _snnsim("train", *small, "--epochs", "1", "--run-dir", run)
        report.check("a small training", trained.returncode == 0, trained.stderr.strip()[-300:] or "done")

        hidden = _snnsim("train", *small, "--run-dir", Path(folder, "none"), CUDA_VISIBLE_DEVICES="-1")
        _check_line(report, "no GPU in sight", hidden, "pip install")

        large = "--batch-size", "60000", "--layers", "784-6000-10", "--steps", "2000"
        full = _snnsim("train", "--target", "cuda", *large, "--run-dir", Path(folder, "full"))
        _check_line(report, "a batch larger than the memory", full, "out of device memory")

        before = _checkpoint(run)
        resumed = "train", "--resume", run, "--target", "cuda", "--epochs", "2"
        broken = _run([sys.executable, "-c", BROKEN, *map(str, resumed)])
        _check_line(report, "a kernel that writes out of bounds", broken, "resume")
        report.check("the checkpoint after it", _checkpoint(run) == before, "as it was")
        again = _snnsim(*resumed)
        report.check("resumed after it", again.returncode == 0, again.stderr.strip()[-300:] or "done")


def _check_line(report, name, ended, expected):
    lines = [line for line in ended.stderr.splitlines() if line.strip()]
    good = ended.returncode == 2 and expected in ended.stderr and "Traceback" not in ended.stderr
    report.check(name, good, f"exit code {ended.returncode}: {' | '.join(lines[-6:])}")


def _checkpoint(run):
    return {p.name: p.read_bytes() for p in sorted(run.glob("*.h5"))}


def _snnsim(*arguments, **environment):
    command = [sys.executable, "-c", "from snnsim_cli.main import main; main()", *map(str, arguments)]
    return _run(command, **environment)


def _run(command, **environment):
    return subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)
