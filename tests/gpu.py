"""Builds, checks and times everything that needs a GPU, in one call: ``python -m tests.gpu --workers 12``.

Kernel by kernel against the CPU and the serial reference, whole batches of all engines against the CPU, the same twice,
compute-sanitizer where it is installed, what a user meets when things go wrong, then seconds per epoch and a table of
the kernels. Where no GPU can be used it says why and fails; nothing else is skipped.
"""

import argparse
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

CHECKS = sorted((Path(__file__).parent / "cuda").glob("checks*.py"))
GATHER = "simulation.synapse='gather'"
BATCHES = {
    "784-400-10": {},
    "784-400-10 gather": {"others": (GATHER,)},
    "784-400-10 dense": {"others": ("simulation.synapse='dense'",)},
    "784-400-10, 500 steps": {"n_steps": 500, "others": ("simulation.dt=0.01",)},
    "784-400-10 spiking, first spike": {"others": ("loss.name='first-spike'", "network.init_scale=2.0")},
    "784-400-10 surrogate": {"others": ("gradient.method='surrogate'",)},
    "784-1000-1000-10 gather, batch 500": {"layers": (784, 1000, 1000, 10), "batch_size": 500, "others": (GATHER,)},
    "784-1000-1000-10 float64": {"layers": (784, 1000, 1000, 10), "others": ("simulation.precision='float64'",)},
}

OUT_OF_BOUNDS = """
import numpy as np
from numba import cuda
from snnsim.kernels.cuda import compiler

@cuda.jit
def write_behind(out):
    out[out.size + 1] = 1

compiler.launch(write_behind, 1, 1, compiler.empty(1, np.int32))
compiler.synchronize()
"""

IN_TIME = ("encoder.name='latency'", "loss.name='first-spike'", "network.target_rate=0.7")
EVENT_BATCHES = {
    "784-400-10 event": ("simulation.engine='event'", *IN_TIME),
    "784-400-10 hybrid": ("simulation.engine='hybrid'", *IN_TIME),
    "784-400-10 event, leaky readout": ("simulation.engine='event'", *IN_TIME[::2], "loss.name='membrane-max'"),
}
OVERLAPS = [
    ("784-400-10, batch 50", 50, ()),
    ("784-400-10, batch 500", 500, ()),
    ("784-400-10 event, batch 50", 50, EVENT_BATCHES["784-400-10 event"]),
]


def main():
    """Run everything, or the parts asked for; exit code 1 if a check failed or no GPU can be used."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="these parts")
    parser.add_argument("--workers", type=int, default=1, help="processes side by side in checks")
    parser.add_argument("--epochs", type=int, default=4, help="epochs after which accuracies are compared")
    options = parser.parse_args()

    from snnsim.kernels.cuda import availability, compiler

    found = availability.availability()
    print(found, flush=True)
    if not found.usable or compiler.SIMULATED:
        print(f"FAILED: no GPU: {found.missing or 'the simulator is switched on'}", file=sys.stderr)
        return 1
    parts, failed = [part for part in PARTS if part in options.only], []
    while parts:
        beside = parts[:1]
        if options.workers > 1 and parts[0] in TOGETHER:
            beside = [part for part in parts if part in TOGETHER]
        failed += run_together(beside, options) if len(beside) > 1 else PARTS[beside[0]](options)
        parts = parts[len(beside) :]
    for name in failed:
        print(f"FAILED: {name}", file=sys.stderr)
    print(f"{len(failed)} failures")
    return 1 if failed else 0


def run_together(parts, options):
    """Run parts in processes of their own, side by side; prints what each says once it is done."""

    def run(part):
        command = [sys.executable, "-m", "tests.gpu", "--only", part]
        command += ["--workers", str(options.workers), "--epochs", str(options.epochs)]
        return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)

    with ThreadPoolExecutor(len(parts)) as pool:
        ended = list(pool.map(run, parts))
    for part, run in zip(parts, ended, strict=True):
        print(f"\n{part}\n{run.stdout}", flush=True)
    return [part for part, run in zip(parts, ended, strict=True) if run.returncode]


def check_kernels(options):
    """Every kernel and engine on small arrays against the CPU and the serial reference."""
    side_by_side = ("-n", str(options.workers)) if options.workers > 1 else ()
    checks = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *side_by_side, *CHECKS]
    return ["kernel checks"] if subprocess.run(checks, check=False).returncode else []


def check_batches(_options):
    """Whole batches of all engines against the CPU, and the same batches twice."""
    from tests.cuda import card

    report = card.Report([])
    for name, given in BATCHES.items():
        card.compare_batch(report, name, card.settings_of(**given))
    card.compare_runs(report, "784-400-10", card.settings_of(), 20)
    for name, settings in EVENT_BATCHES.items():
        chosen = card.settings_of(others=settings)
        card.compare_event_batch(report, name, chosen)
        card.compare_runs(report, name, chosen, 5)
    return report.failures


def check_accuracy(options):
    """Accuracy after some epochs on CPU and card."""
    from tests.cuda import card

    report = card.Report([])
    card.compare_accuracy(report, options.epochs)
    return report.failures


def check_misfortune(_options):
    """No GPU, too little memory, a kernel that fails: one line, exit code 2, the checkpoint kept."""
    from tests.cuda import card, misfortune

    report = card.Report([])
    misfortune.check(report)
    return report.failures


def sanitize(options):
    """Run the kernel checks under compute-sanitizer, for memory, races and barriers."""
    tool = shutil.which("compute-sanitizer")
    if tool is None:
        print("compute-sanitizer: not installed")
        return []

    def run(job):
        what, checks = job
        command = [tool, "--tool", what, "--error-exitcode", "9", sys.executable, "-m", "pytest", "-q", checks]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    planted = subprocess.run([tool, "--error-exitcode", "9", sys.executable, "-c", OUT_OF_BOUNDS], capture_output=True)
    failed = [] if planted.returncode == 9 else ["compute-sanitizer: a planted write out of bounds was not found"]
    jobs = [(what, checks) for checks in CHECKS for what in ("memcheck", "racecheck", "synccheck")]
    with ThreadPoolExecutor(options.workers) as pool:
        for (what, checks), ended in zip(jobs, pool.map(run, jobs), strict=True):
            name = f"compute-sanitizer {what} of {checks.name}"
            print(f"{'ok    ' if ended.returncode == 0 else 'FAILED'} {name}", flush=True)
            if ended.returncode:
                print(ended.stdout[-4000:] + ended.stderr[-4000:])
                failed.append(name)
    return failed


def print_epochs(_options):
    """Print seconds per epoch."""
    from tests.cuda import timing

    timing.print_epochs()
    timing.print_event_epochs(EVENT_BATCHES)
    timing.print_overlap(OVERLAPS)
    return []


def print_kernels(_options):
    """Print the time of each kernel beside its floor."""
    from tests.cuda import timing

    timing.print_kernels()
    timing.print_kernels(batch=500)
    timing.print_kernels((784, 1000, 1000, 10), batch=500)
    return []


PARTS = {
    "kernels": check_kernels,
    "batches": check_batches,
    "accuracy": check_accuracy,
    "sanitizer": sanitize,
    "misfortune": check_misfortune,
    "epochs": print_epochs,
    "times": print_kernels,
}
TOGETHER = "batches", "accuracy", "sanitizer"
"""Parts that may run side by side, neighbours in PARTS: those before leave compiled code, those after want the card."""


if __name__ == "__main__":
    sys.exit(main())
