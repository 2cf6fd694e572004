"""A sweep of small trainings beside the same trainings one after another with all threads.

``python -m tests.benchmarks.sweep`` trains 784-100-10 on MNIST, 50 steps, 24 times: four step sizes, two gradients,
three seeds. Each way trains into a folder of its own, with kernels compiled before; models are compared bit by bit.
"""

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from snnsim.models import load_model
from tests.command import COMMAND

GRID = {"dt": ("0.03", "0.1", "0.2", "0.3"), "gradient": ("exact", "surrogate"), "seed": ("0", "1", "2")}

IN_ONE_PROCESS = """
import itertools, json, sys
from snnsim.threads import use_threads
use_threads(0)
from snnsim import config, training
grid, options, folder = map(json.loads, sys.argv[1:])
keys = {"dt": "simulation.dt", "gradient": "gradient.method", "seed": "training.seed"}
for values in itertools.product(*grid.values()):
    point = dict(zip(grid, values))
    settings = [*options, *(f"{keys[k]}={v}" for k, v in point.items())]
    training.train(config.load(None, settings), folder + "/" + ",".join(f"{k}={v}" for k, v in point.items()))
"""


def points():
    """Names of the points, and their flags."""
    for values in itertools.product(*GRID.values()):
        point = dict(zip(GRID, values, strict=True))
        yield ",".join(f"{k}={v}" for k, v in point.items()), [x for k, v in point.items() for x in (f"--{k}", v)]


def snnsim(*arguments):
    """Run the command, and be quiet about it."""
    subprocess.run([*COMMAND, *map(str, arguments)], check=True, capture_output=True)


def main():
    """Print the times and their ratios."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--limit", type=int, default=5000, help="training and test samples")
    parser.add_argument("--epochs", type=int, default=2)
    arguments = parser.parse_args()
    flags = ["--layers", "784-100-10", "--limit", arguments.limit, "--epochs", arguments.epochs]
    settings = ["network.layers=[784,100,10]", f"data.limit={arguments.limit}", f"training.epochs={arguments.epochs}"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for gradient in GRID["gradient"]:  # compiles what is not compiled yet
            snnsim("train", *flags, "--gradient", gradient, "--run-dir", folder / f"warm-{gradient}")

        def commands():
            for point, chosen in points():
                snnsim("train", *flags, *chosen, "--run-dir", folder / "commands" / point)

        def one_process():
            values = map(json.dumps, (GRID, settings, str(folder / "process")))
            subprocess.run([sys.executable, "-c", IN_ONE_PROCESS, *values], check=True, capture_output=True)

        def sweep():
            grid = [x for key, values in GRID.items() for x in ("--grid", f"{key}={','.join(values)}")]
            snnsim("sweep", *flags, *grid, "-o", folder / "sweep")

        print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.2f}; 24 trainings of 784-100-10, 50 steps, "
              f"{arguments.limit} samples, {arguments.epochs} epochs")  # fmt: skip
        seconds = {}
        for work in (sweep, commands, one_process):
            begun, used = time.perf_counter(), sum(os.times()[2:4])
            work()
            seconds[work] = time.perf_counter() - begun
            busy = sum(os.times()[2:4]) - used
            share = seconds[sweep] / seconds[work]
            words = work.__name__.replace("_", " ")
            print(f"{words:12} {seconds[work]:6.1f} s ({busy:.0f} s of the cores)   the sweep takes {share:.0%} of it")
        for point, _ in points():
            models = [load_model(folder / way / point / "model.h5")[0] for way in ("sweep", "commands", "process")]
            for others in zip(*(m.weights for m in models), strict=True):
                assert len({w.tobytes() for w in others}) == 1, point
    print("the models of all three are the same bits")


if __name__ == "__main__":
    main()
