"""What recording costs: spikes beside the forward pass of the clock engine, voltages beside a plain write of the bytes.

Input as dense as rate-coded MNIST (13 % of 784 inputs a step), 2 % in layers of 400 and 10, 50 steps, in batches as
``snnsim simulate`` takes them.
The recordings are made up, so that nothing but writing is timed. Run ``python -m tests.benchmarks.recording --help``.
"""

import argparse
import os
import resource
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from snnsim.engines.clock import ClockEngine
from snnsim.engines.grid import grid_of_spikes
from snnsim.network import Network
from snnsim.parameters import LIFParameters
from snnsim.recording.stream import BATCH
from snnsim.recording.writer import TraceWriter
from tests.recordings import network, recording

SIZES, N_STEPS, DT = (784, 400, 10), 50, 0.01
INPUT_RATE, RATE = 0.13, 0.02


def seconds(action, repeats):
    """Median and least of the seconds that ``action`` returns, after one call that does not count."""
    action()
    times = [action() for _ in range(repeats)]
    return statistics.median(times), min(times)


def forward_pass(batch):
    """Call that runs the clock engine on the input spikes of ``batch``, and returns the seconds."""
    rng = np.random.default_rng(0)
    net = Network.chain(
        [rng.normal(0, 0.1, shape).astype(np.float32) for shape in ((784, 400), (400, 10))], [LIFParameters()] * 2
    )
    engine = ClockEngine(net.parameters, dt=DT, n_steps=N_STEPS)
    spikes = grid_of_spikes(batch["input"].spikes, DT, N_STEPS)

    def run():
        start = time.perf_counter()
        engine.forward(net.weights, spikes)
        return time.perf_counter() - start

    return run


def writing(directory, batch, batches, **options):
    """Call that records ``batch`` so many times, and returns the seconds without those to open and close the files."""

    def write():
        with TraceWriter(
            directory, network(SIZES), duration=N_STEPS * DT, dt=DT, scheme="exact", overwrite=True, **options
        ) as writer:
            start = time.perf_counter()
            for _ in range(batches):
                writer.append(batch)
            writer.flush()
            return time.perf_counter() - start

    return write


def writing_nothing(directory):
    """Call that makes a recording without trials, and returns the seconds."""

    def write():
        start = time.perf_counter()
        TraceWriter(directory, network(SIZES), duration=N_STEPS * DT, dt=DT, overwrite=True).close()
        return time.perf_counter() - start

    return write


def plain_write(path, batch, batches):
    """Call that writes the bytes of all voltages, and nothing else, and returns the seconds."""
    blocks = [memoryview(layer.v).cast("B") for layer in batch.layers if layer.v is not None]

    def write():
        with open(path, "wb", buffering=0) as file:
            start = time.perf_counter()
            for _ in range(batches):
                for block in blocks:
                    file.write(block)
            elapsed = time.perf_counter() - start
        os.remove(path)
        return elapsed

    return write


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batches", type=int, default=30, help=f"batches of {BATCH} trials (30)")
    parser.add_argument("--repeats", type=int, default=5, help="repeats of each measurement (5)")
    parser.add_argument("--folder", type=Path, help="where to write (a temporary folder)")
    options = parser.parse_args()
    batch = recording(BATCH, N_STEPS, SIZES, DT, rate=RATE)
    dense = recording(BATCH, N_STEPS, SIZES, DT, rate=INPUT_RATE, v=False)["input"]
    batch = replace(batch, layers=(dense, *batch.layers[1:]))
    trials = options.batches * BATCH
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        folder = Path(folder)
        rows = {
            "forward pass, clock engine": (forward_pass(batch), BATCH),
            "spikes of all layers": (writing(folder / "a", batch, options.batches), trials),
            "spikes without the input": (
                writing(folder / "b", batch, options.batches, layers=("hidden0", "output")),
                trials,
            ),
            "open and close, each run": (writing_nothing(folder / "f"), 1),
            "voltages": (writing(folder / "c", batch, options.batches, record=("v",)), trials),
            "the bytes of the voltages, plain": (plain_write(folder / "d", batch, options.batches), trials),
        }
        for name, (action, count) in rows.items():
            median, least = seconds(action, options.repeats)
            unit = "us" if count == 1 else "us a trial"
            print(f"{name:34s} {1e6 * median / count:8.1f} {unit} (least {1e6 * least / count:.1f})")
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        writing(folder / "e", batch, 10_000 // BATCH)()
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        print(f"peak memory of 10,000 trials beyond that of {trials}: {grown:.1f} MB")


if __name__ == "__main__":
    main()
