"""Time per image of one training pass (forward and backward) of the event, hybrid and clock engines.

Latency-coded MNIST through 784-400-10 neurons with BATS' parameters and random weights: the same images and weights
for all, the clock and the hybrid with the same number of steps. Run ``python -m tests.benchmarks.events --help``.
With ``--peers VENVS`` (made by ``peers/setup.sh VENVS``) other libraries' event-driven gradients do the same work.
"""

import argparse
import gzip
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import numba
import numpy as np

from snnsim.engines.clock import GridSpikes
from snnsim.engines.event import EventEngine
from snnsim.engines.hybrid import HybridEngine
from snnsim.engines.outputs import slab_of_spikes
from snnsim.parameters import LIFParameters
from snnsim.spikes import Spikes, grid_steps
from tests.benchmarks.train import peer_row
from tests.layers import LayerEngine

# Environment, script and images in a batch of each rival: PEER_LIMIT seconds are the most that one may take.
RIVALS = [
    ("jax", ["jaxsnn_events.py", "--gradient", "eventprop"], 50),
    ("jax", ["jaxsnn_events.py", "--gradient", "analytical"], 4),
    ("torch", ["exact_adjoint_events.py"], 1),
]
PEER_LIMIT = 300
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


def write_work(folder, parameters, weights, pixels):
    """Function ``work(batch)`` that writes the rivals' work, as ``peers/_events.py`` describes; returns the file.

    Small batches take the images whose output fires most, so that there is a gradient to compare.
    """
    engine = EventEngine(parameters, duration=DURATION)
    fired = engine.forward(weights, slab_of_spikes(latency_spikes(pixels))).counts
    order = np.argsort(-fired, kind="stable")

    def work(batch):
        output = engine.forward(weights, slab_of_spikes(latency_spikes(pixels[order[:batch]])))
        gradients = engine.backward(weights, np.ones(output.times.shape))
        p = parameters[0]
        arrays = {"tau_mem": p.tau_mem, "tau_syn": p.tau_syn, "duration": DURATION}
        arrays["thresholds"] = [p.v_threshold for p in parameters]
        for k in range(2):
            arrays |= {f"weights_{k}": weights[k], f"grad_{k}": gradients[k]}
        for name, slab in zip(("input", "hidden", "output"), engine.spikes(), strict=True):
            cap = slab.counts.max()
            filled = np.arange(cap) < slab.counts[:, None]
            arrays[f"{name}_times"] = np.where(filled, slab.times[:, :cap], np.inf)
            arrays[f"{name}_neurons"] = np.where(filled, slab.neurons[:, :cap], -1)
        path = Path(folder) / f"{batch}.npz"
        np.savez(path, **arrays)
        return path

    return work


def compare(venvs, threads, parameters, weights, pixels):
    """Print one row a rival."""
    print(
        "\nThe same neurons and weights in other libraries. Beside the event engine: largest difference of a neuron's\n"
        "first spike, as a share of the duration; neurons that fire in only one of the two; relative error of each\n"
        "layer's gradient."
    )
    head = f"{'library':25}{'precision':>10}{'batch':>6}{'forward':>10}{'total':>10}{'MB':>7}{'first spike':>13}"
    print(f"{head}{'neurons':>9}   gradients          spikes an image")
    with tempfile.TemporaryDirectory() as folder:
        work = write_work(folder, parameters, weights, pixels)
        for venv, script, batch in RIVALS:
            python = Path(venvs) / venv / "bin" / "python"
            row = peer_row(python, [*script, "--work", work(batch), "--threads", threads], PEER_LIMIT)
            if row is None:
                continue
            layers = row["hidden"], row["output"]
            error = max(layer["first_spike_error"] for layer in layers) / DURATION
            alone = sum(layer["neurons_in_one"] for layer in layers)
            gradients = ", ".join(f"{e:.1e}" for e in row["gradient_error"])
            spikes = ", ".join(f"{layer['spikes']:.1f}" for layer in layers)
            print(
                f"{row['name']:25}{row['precision']:>10}{row['batch']:6}{row['forward_ms']:10.2f}"
                f"{row['total_ms']:10.2f}{row['peak_mb']:7.0f}{error:13.1e}{alone:9}   {gradients:19}{spikes}",
                flush=True,
            )


def main():
    """Print one row an engine, and one a rival."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="data/mnist", help="folder with train-images-idx3-ubyte.gz")
    parser.add_argument("--hidden", type=int, default=400)
    parser.add_argument("--batch", type=int, default=50)
    parser.add_argument("--batches", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--peers", help="folder that peers/setup.sh made")
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
            ("clock, backward Euler", LayerEngine(w, parameters, **clock, precision=precision), grids),
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
    if args.peers:
        compare(args.peers, args.threads, parameters, exact, pixels[0])


if __name__ == "__main__":
    main()
