"""One training over MPI processes: ``python -m tests.benchmarks.distributed``.

Printed: an epoch of the default configuration on one process with all cores, and on as many processes with one thread
each; what is gained by sums that run during the backward pass; the parts of a batch's time, and of a sum over
processes, that the model of docs/scale-out.md is made of; and the model's prediction. Let nothing else run meanwhile.
"""

import argparse
import itertools
import json
import os
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path

import numpy as np

MPIEXEC = Path(sysconfig.get_path("scripts")) / "mpiexec"
COMMAND = (sys.executable, "-c", "from snnsim_cli.main import main; main()")
WEIGHTS = 784 * 400 + 400 * 10
SAMPLES = 60_000
OVERLAPPED = [784, 400, 10], [784, 1000, 1000, 10]
NETWORKS = {"25 Gb Ethernet": (15e-6, 2.5e9), "100 Gb InfiniBand": (2e-6, 11e9)}
"""Assumed: seconds of a message, and bytes a second."""


def launched(n, *command):
    """Standard output of a command on ``n`` processes."""
    launcher = (MPIEXEC, "-n", str(n)) if n > 1 else ()
    return subprocess.run([*launcher, *map(str, command)], capture_output=True, text=True, check=True).stdout


def epoch(n, threads, folder):
    """Seconds of the default configuration's epoch of 55,000 samples, without its evaluation."""
    given = "--epochs", 1, "--json", "--force", "--run-dir", folder
    out = launched(n, *COMMAND, "train", *given, "--threads", threads, "--distributed", "mpi")
    return json.loads(out.splitlines()[-1])["seconds_per_epoch"]


def agreement(precision, micro_batches, folder):
    """Print how far 2 processes are from one after an epoch: relative norm by layer, and test accuracies."""
    from snnsim.models import load_model

    weights, accuracies = [], []
    for n in (1, 2):
        given = "--epochs", 1, "--json", "--force", "--run-dir", folder, "--precision", precision
        given += "--set", f"training.micro_batches={micro_batches}"
        out = launched(n, *COMMAND, "train", *given, "--distributed", "mpi")
        accuracies.append(json.loads(out.splitlines()[-1])["test_accuracy"])
        weights.append([np.array(w, np.float64) for w in load_model(folder / "model.h5")[0].weights])
    off = [np.linalg.norm(a - b) / np.linalg.norm(a) for a, b in zip(*weights, strict=True)]
    found = ", ".join(f"{x:.0e}" for x in off)
    print(
        f"{precision}, {micro_batches} micro-batches: weights of 2 processes off by {found}; test accuracy "
        f"{accuracies[0]:.2%}, {accuracies[1]:.2%}"
    )


def compute(sizes, batches, rounds):
    """Print the seconds of a batch of each size on one thread, the lowest median of some rounds, as JSON."""
    from snnsim.threads import use_threads

    use_threads(1)
    from snnsim import config
    from snnsim.training import Session

    sessions = {size: Session(config.load(None, [f"training.batch_size={size}"])) for size in sizes}
    found = dict.fromkeys(sizes, np.inf)
    for _ in range(rounds):
        for size, session in sessions.items():
            times = []
            for _ in range(batches):
                start = time.perf_counter()
                session.step()
                times.append(time.perf_counter() - start)
            found[size] = min(found[size], float(np.median(times)))
    print(json.dumps(found))


def overlap(layers, batches, rounds):
    """Print the seconds of a batch on the processes that call this, with sums during and after the backward pass."""
    from snnsim.threads import use_threads

    use_threads(1)
    from mpi4py import MPI

    from snnsim import config
    from snnsim.processes import MpiGroup
    from snnsim.training import Session

    class AtTheEnd(MpiGroup):
        def __init__(self, mpi):
            super().__init__(mpi)
            self.later = []

        def add(self, array):
            self.later.append(array)

        def wait(self):
            for array in self.later:
                super().add(array)
            self.later.clear()
            super().wait()

    groups = {kind.__name__: kind(MPI) for kind in (MpiGroup, AtTheEnd)}
    session = Session(config.load(None, [f"network.layers={layers}"]), None, groups["MpiGroup"])
    found = {name: [] for name in groups}
    for _ in range(rounds):
        for name, session.group in groups.items():
            times = []
            for _ in range(batches):
                MPI.COMM_WORLD.Barrier()
                start = time.perf_counter()
                session.step()
                times.append(time.perf_counter() - start)
            found[name].append(float(np.median(times)))
    if MPI.COMM_WORLD.rank == 0:
        print(json.dumps(found))


def sums(sizes, repeats):
    """Print the median seconds of a sum of each number of bytes over the processes that call this, as JSON."""
    from mpi4py import MPI

    from snnsim.processes import join

    found = {}
    with join("mpi") as group:
        for size in sizes:
            array, times = np.ones(size // 4, np.float32), []
            for _ in range(repeats):
                MPI.COMM_WORLD.Barrier()
                start = time.perf_counter()
                group.add(array)
                group.wait()
                times.append(time.perf_counter() - start)
                array[:] = 1
            found[size] = float(np.median(times))
        if group.leads:
            print(json.dumps(found))


def piece(call, n=1):
    """JSON of a function of this module in processes of their own."""
    code = f"from tests.benchmarks import distributed as d; d.{call}"
    return json.loads(launched(n, sys.executable, "-c", code).splitlines()[-1])


def overlaps(rounds):
    """Print what sums during the backward pass gain on 2 processes of one thread: medians of rounds that take turns."""
    for layers in OVERLAPPED:
        found = piece(f"overlap({layers}, 20, {rounds})", 2)
        meanwhile, after = (np.array(found[name]) for name in ("MpiGroup", "AtTheEnd"))
        low, gain, high = np.percentile(1 - meanwhile / after, (25, 50, 75))
        print(
            f"{'-'.join(map(str, layers))}: {1e3 * np.median(meanwhile):.2f} ms a batch with sums during the backward "
            f"pass, {1e3 * np.median(after):.2f} after it: {gain:.1%} less (quartiles {low:.1%}, {high:.1%})"
        )


def by_size(call, n=1):
    """Seconds by size, from a function of this module in processes of their own."""
    return {int(size): seconds for size, seconds in piece(call, n).items()}


def line(points):
    """``(a, b)`` of seconds = a + b * size, by least squares of the relative error."""
    size, seconds = np.array(list(points)), np.array(list(points.values()))
    return np.linalg.lstsq(np.stack([1 / seconds, size / seconds], 1), np.ones(len(size)), rcond=None)[0]


def predicted(n, batch, fixed, per_sample, network):
    """Seconds of a batch on ``n`` nodes: computing, and summing the gradient by halving and doubling."""
    if n == 1:
        return fixed + per_sample * batch
    latency, bandwidth = network
    levels = int(np.log2(n))
    # Nodes beyond the largest power of two send all they have, and are sent the sum.
    beyond = 2 if n > 2**levels else 0
    # Halving and doubling for the gradient, and for loss and counts; whether to stop. The last layer is hidden.
    messages = 2 * (2 * levels + beyond) + levels
    moved = 2 * (1 - 0.5**levels) + beyond
    return fixed + per_sample * batch / n + messages * latency + moved * 4 * WEIGHTS / bandwidth


def prediction(threads, fixed, per_sample):
    """Print the table of up to 100 nodes, with the samples of a node divided over its threads."""
    cases = [(batch, name) for batch in (50, 400, 3200) for name in NETWORKS]
    print(
        f"\npredicted, nodes of {threads} threads: seconds of an epoch of {SAMPLES} samples (times as fast as one node)"
    )
    print(" nodes" + "".join(f"{f'{batch}, {name}':>25}" for batch, name in cases))
    for n in (1, 2, 4, 10, 16, 50, 64, 100):
        cells = ""
        for batch, name in cases:
            one, took = (predicted(m, batch, fixed, per_sample / threads, NETWORKS[name]) for m in (1, n))
            cells += f"{took * SAMPLES / batch:17.2f} ({one / took:5.1f})"
        print(f"{n:6}{cells}")


def main():
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--agreement", action="store_true", help="only compare an epoch of 2 processes with one's")
    parser.add_argument("--overlap", action="store_true", help="only measure sums during and after the backward pass")
    parser.add_argument("--repeats", type=int, default=2, help="epochs of each kind; the fastest counts")
    options = parser.parse_args()
    repeats, cores = options.repeats, os.cpu_count()
    print(f"{cores} cores, load {os.getloadavg()[0]:.2f}")
    with tempfile.TemporaryDirectory() as folder:
        if options.agreement:
            for precision, micro_batches in itertools.product(("float64", "float32"), (1, 2)):
                agreement(precision, micro_batches, Path(folder))
            return
        if options.overlap:
            overlaps(20)
            return
        times = {"one": [], "many": []}
        for _ in range(repeats):
            times["one"].append(epoch(1, cores, folder))
            times["many"].append(epoch(cores, 1, folder))
    one, many = min(times["one"]), min(times["many"])
    print(f"epoch, 1 process of {cores} threads: {one:.2f} s; {cores} processes of 1 thread: {many:.2f} s")
    print(f"{cores} processes are {one / many:.2f} times as fast (wanted: at least 0.85)")
    overlaps(20)
    sizes = [1, 5, 12, 25, 50, 100, 200]
    computing = by_size(f"compute({sizes}, 40, 3)")
    fixed, per_sample = line(computing)
    print("computing on 1 thread, ms a batch: " + ", ".join(f"{n}: {1e3 * s:.2f}" for n, s in computing.items()))
    print(f"  = {1e3 * fixed:.2f} ms + {1e3 * per_sample:.4f} ms a sample")
    for n in sorted({2, cores}):
        adding = by_size(f"sums([64, 4096, 65536, {4 * WEIGHTS}, {16 * WEIGHTS}], 200)", n)
        start, per_byte = line(adding)
        print(f"sum over {n} processes, us: " + ", ".join(f"{b} bytes: {1e6 * s:.0f}" for b, s in adding.items()))
        print(f"  = {1e6 * start:.0f} us + bytes / {1e-9 / per_byte:.1f} GB/s")
    for threads in (1, 16):
        prediction(threads, fixed, per_sample)


if __name__ == "__main__":
    main()
