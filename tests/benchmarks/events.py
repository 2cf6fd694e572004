"""Time per image of one training pass (forward and backward) of the event, hybrid and clock engines.

Latency-coded MNIST through 784-400-10 neurons with BATS' parameters and random weights: the same images and weights
for all, the clock and the hybrid with the same number of steps. Run ``python -m tests.benchmarks.events --help``.
"""

import argparse
import gzip
import time
from itertools import pairwise
from pathlib import Path

import numba
import numpy as np

from snnsim.engines.clock import ClockEngine, GridSpikes
from snnsim.engines.event import EventEngine
from snnsim.engines.hybrid import HybridEngine
from snnsim.engines.outputs import slab_of_spikes
from snnsim.parameters import LIFParameters
from snnsim.spikes import Spikes, grid_steps

WINDOW, DURATION = 0.1, 0.2


def images(folder, count):
    """First training images, (count, 784) uint8."""
    with gzip.open(Path(folder) / "train-images-idx3-ubyte.gz") as file:
        file.read(16)
        return np.frombuffer(file.read(784 * count), np.uint8).reshape(count, 784)


def latency_spikes(pixels):
    """One spike a pixel that is not black, the earlier the brighter."""
    trials = [(WINDOW * (1 - row[row > 0] / 255), np.flatnonzero(row)) for row in pixels]
    return Spikes.from_trials(trials, 784, DURATION)


def on_grid(spikes, n_steps):
    """The same spikes in steps."""
    counts = np.diff(spikes.offsets)
    rows = np.zeros((len(counts), counts.max()), np.int32)
    row_ptr = np.zeros((len(counts), n_steps + 1), np.int32)
    for b in range(len(counts)):
        times, neurons = spikes.trial(b)
        steps = grid_steps(times, DURATION / n_steps, n_steps)
        order = np.lexsort((neurons, steps))
        rows[b, : counts[b]] = neurons[order]
        row_ptr[b, 1:] = np.cumsum(np.bincount(steps, minlength=n_steps))
    return GridSpikes(rows, row_ptr, 784)


def measure(engine, weights, batches, repeats):
    """Median milliseconds an image forward and backward, and mean spikes of each layer."""
    batch = len(batches[0].counts if hasattr(batches[0], "counts") else batches[0].row_ptr)
    forward, backward, spikes = [], [], []
    for repeat in range(repeats + 1):
        for inputs in batches:
            start = time.perf_counter()
            output = engine.forward(weights, inputs)
            middle = time.perf_counter()
            error = np.zeros(output.times.shape, engine.dtype)
            error[np.arange(error.shape[1]) < output.counts[:, None]] = 1
            resumed = time.perf_counter()
            engine.backward(weights, error)
            end = time.perf_counter()
            if repeat:
                forward.append(middle - start)
                backward.append(end - resumed)
                spikes.append(engine.spike_totals())
    scale = 1e3 / batch
    return scale * np.median(forward), scale * np.median(backward), np.mean(spikes, axis=0) / batch


def main():
    """Print one row an engine."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="data/mnist", help="folder with train-images-idx3-ubyte.gz")
    parser.add_argument("--hidden", type=int, default=400)
    parser.add_argument("--batch", type=int, default=50)
    parser.add_argument("--batches", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    numba.set_num_threads(args.threads)

    rng = np.random.default_rng(0)
    sizes = (784, args.hidden, 10)
    exact = [rng.uniform(-1, 1, pair) for pair in pairwise(sizes)]
    common = {"tau_mem": 0.26, "tau_syn": 0.13, "r": 0.13}
    parameters = (LIFParameters(**common, v_threshold=0.2 / 0.26), LIFParameters(**common, v_threshold=1.3 / 0.26))
    other = (
        LIFParameters(**{**common, "tau_mem": 0.22}, v_threshold=0.2 / 0.26),
        LIFParameters(**{**common, "tau_mem": 0.22}, v_threshold=1.3 / 0.26),
    )
    pixels = images(args.data, args.batch * args.batches).reshape(args.batches, args.batch, 784)
    trains = [latency_spikes(batch) for batch in pixels]
    slabs = [slab_of_spikes(spikes) for spikes in trains]
    grids = [on_grid(spikes, args.steps) for spikes in trains]
    clock = {"dt": DURATION / args.steps, "n_steps": args.steps}

    rows = []
    for precision in ("float64", "float32"):
        w = [np.ascontiguousarray(x, precision) for x in exact]
        runs = [
            ("event, tau_mem = 2 tau_syn", EventEngine(parameters, duration=DURATION, precision=precision), slabs),
            ("event, other tau_mem", EventEngine(other, duration=DURATION, precision=precision), slabs),
            ("hybrid", HybridEngine(parameters, **clock, precision=precision), slabs),
            ("clock, backward Euler", ClockEngine(parameters, **clock, precision=precision), grids),
        ]
        for name, engine, inputs in runs:
            rows.append((name, precision, *measure(engine, w, inputs, args.repeats)))
    print(
        f"784-{args.hidden}-10, batch {args.batch}, {args.steps} steps, {args.threads} thread(s); ms an image, median"
    )
    print(f"{'engine':28}{'precision':>10}{'forward':>10}{'backward':>10}{'total':>10}   spikes an image")
    for name, precision, forward, backward, spikes in rows:
        counts = ", ".join(f"{s:.1f}" for s in spikes)
        print(f"{name:28}{precision:>10}{forward:10.4f}{backward:10.4f}{forward + backward:10.4f}   {counts}")


if __name__ == "__main__":
    main()
