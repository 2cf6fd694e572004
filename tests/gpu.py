"""Builds, checks and times everything that needs a GPU, in one call: ``python -m tests.gpu``.

Kernel by kernel against the CPU and the serial reference, whole batches of all engines against the CPU, the same twice,
compute-sanitizer where it is installed, then seconds per epoch and a table of the kernels. Where no GPU can be used it
says why and fails; nothing is skipped.
"""

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

CHECKS = sorted((Path(__file__).parent / "cuda").glob("checks*.py"))
BATCHES = {
    "784-400-10": {},
    "784-400-10, 500 steps": {"n_steps": 500, "others": ("simulation.dt=0.01",)},
    "784-400-10 spiking, first spike": {"others": ("loss.name='first-spike'", "network.init_scale=2.0")},
    "784-400-10 surrogate": {"others": ("gradient.method='surrogate'",)},
    "784-400-10 dense": {"others": ("simulation.synapse='dense'",)},
    "784-1000-1000-10, batch 500": {"layers": (784, 1000, 1000, 10), "batch_size": 500},
}

IN_TIME = ("encoder.name='latency'", "loss.name='first-spike'", "network.target_rate=0.7")
EVENT_BATCHES = {
    "784-400-10 event": ("simulation.engine='event'", *IN_TIME),
    "784-400-10 hybrid": ("simulation.engine='hybrid'", *IN_TIME),
    "784-400-10 event, leaky readout": ("simulation.engine='event'", *IN_TIME[::2], "loss.name='membrane-max'"),
}


def main():
    """Run everything; exit code 1 if a check failed or no GPU can be used."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=0, help="also compare the accuracy after so many epochs")
    parser.add_argument("--no-times", action="store_true", help="only check")
    options = parser.parse_args()

    from snnsim.kernels.cuda import compiler

    found = compiler.availability()
    print(found)
    if not found.usable or compiler.SIMULATED:
        print(f"FAILED: no GPU: {found.missing or 'the simulator is switched on'}", file=sys.stderr)
        return 1

    from tests.cuda import card, timing

    failed = []
    checks = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *CHECKS]
    if subprocess.run(checks, check=False).returncode:
        failed.append("kernel checks")
    report = card.Report([], [])
    for name, given in BATCHES.items():
        card.compare_batch(report, name, card.settings_of(**given))
    card.compare_runs(report, "784-400-10", card.settings_of(), 20)
    for name, settings in EVENT_BATCHES.items():
        chosen = card.settings_of(others=settings)
        card.compare_event_batch(report, name, chosen)
        card.compare_runs(report, name, chosen, 5)
    if options.epochs:
        card.compare_accuracy(report, options.epochs)
    print("\n".join(report.lines))
    failed += report.failures
    failed += sanitize()
    if not options.no_times:
        timing.print_epochs()
        timing.print_event_epochs(EVENT_BATCHES)
        timing.print_kernels()
        timing.print_kernels(batch=500)
    for name in failed:
        print(f"FAILED: {name}", file=sys.stderr)
    print(f"{len(failed)} failures")
    return 1 if failed else 0


def sanitize():
    """Run the kernel checks under compute-sanitizer, for memory and for races; a list of what it found."""
    tool = shutil.which("compute-sanitizer")
    if tool is None:
        print("compute-sanitizer: not installed")
        return []
    found = []
    for what in ("memcheck", "racecheck", "synccheck"):
        command = [tool, "--tool", what, "--error-exitcode", "9", sys.executable, "-m", "pytest", "-q", *CHECKS]
        run = subprocess.run(command, env=os.environ, capture_output=True, text=True, check=False)
        print(f"compute-sanitizer {what}: {'clean' if run.returncode == 0 else 'FAILED'}")
        if run.returncode:
            print(run.stdout[-4000:] + run.stderr[-4000:])
            found.append(f"compute-sanitizer {what}")
    return found


if __name__ == "__main__":
    sys.exit(main())
