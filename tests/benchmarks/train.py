"""Seconds and memory of a training epoch beside other libraries, in one run: ``python -m tests.benchmarks.train``.

Every library trains the work unit of ``peers/_common.py`` (784-400-10, 50 steps, batch 50, Bernoulli-coded MNIST, Adam)
in a process of its own, timed by the same code. ``peers/setup.sh VENVS`` makes the rivals' environments; without them
only snnsim is timed. Also printed: how far the synaptic part is from a plain loop of additions in cache, and how time
and memory grow with steps, batch and neurons (``--scaling``).
"""

import argparse
import functools
import json
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent / "peers"
DATA = Path(__file__).parents[2] / "data" / "mnist"

# Kind of each rival: the target is a share of the fastest of a kind.
RIVALS = [
    ("torch", "eager library", ["snntorch_train.py", "--variant", "tutorial"]),
    ("torch", "eager library", ["spikingjelly_train.py", "--variant", "cuba"]),
    ("torch", "eager library", ["spikingjelly_train.py", "--variant", "lif"]),
    ("torch", "eager library", ["norse_train.py"]),
    ("torch", "eager library", ["sinabs_train.py"]),
    ("torch", "eager library", ["rockpool_train.py"]),
    ("torch", "compiled library", ["spikingjelly_train.py", "--variant", "cuba", "--compile", "1"]),
    ("torch", "compiled library", ["snntorch_train.py", "--variant", "gemm", "--compile", "1"]),
    ("jax", "compiled library", ["spyx_train.py", "--variant", "gemm", "--encoder", "bits"]),
    ("jax", "compiled library", ["jax_train.py", "--encoder", "bits"]),
    ("torch", "dense by hand", ["torch_train.py", "--variant", "fused", "--encoder", "bytes"]),
    ("torch", "dense by hand", ["torch_train.py", "--variant", "compile", "--encoder", "bytes"]),
    ("torch", "sparse by hand", ["torch_train.py", "--variant", "sparse"]),
    ("torch", "sparse by hand", ["torch_train.py", "--variant", "compile-sparse"]),
]
OURS = [["snnsim_train.py", "--gradient", g] for g in ("exact", "surrogate")]
TARGETS = {"snntorch-tutorial": 1 / 8, "eager library": 1 / 6, "compiled library": 1 / 3, "dense by hand": 1 / 3,
           "sparse by hand": 1 / 2}  # fmt: skip


def peer_row(python, script, limit=None):
    """Run one script of ``peers/`` and return its JSON line, or None with its last words on standard error."""
    words = [str(word) for word in script]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    try:
        done = subprocess.run(
            [str(python), "-W", "ignore", *words],
            cwd=HERE,
            env=environment,
            capture_output=True,
            text=True,
            timeout=limit,
        )
    except subprocess.TimeoutExpired:
        print(f"failed: {' '.join(words)}: not done in {limit} s", file=sys.stderr)
        return None
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if not lines:
        print(f"failed: {' '.join(words)}: {done.stderr.strip().splitlines()[-1:]}", file=sys.stderr)
        return None
    return json.loads(lines[-1])


def timed(python, script, threads, batches):
    """Row of one script that trains the work unit."""
    options = ["--data", DATA, "--batches", batches, "--eval", 0, "--threads", threads]
    return peer_row(python, [*script, *options])


def compare(venvs, threads, batches, repeats):
    """Time everything at one thread count and print the table."""
    print(f"\n{threads} thread{'s' if threads > 1 else ''}: seconds per epoch of 60,000 samples, peak memory")
    rows = []
    # The first run fills the kernel cache, so that no compiler's memory is counted as ours.
    for script in OURS:
        timed(sys.executable, script, threads, 10)
    for _ in range(repeats):
        for script in OURS:
            rows.append(("snnsim", timed(sys.executable, script, threads, batches)))
        for venv, kind, script in RIVALS:
            python = Path(venvs) / venv / "bin" / "python" if venvs else None
            if python is not None and python.exists():
                rows.append((kind, timed(python, script, threads, batches)))
    best = {}
    for kind, row in rows:
        if row is not None:
            key = (kind, row["lib"])
            if key not in best or row["sec_per_epoch"] < best[key]["sec_per_epoch"]:
                best[key] = row
    exact, same = best["snnsim", "snnsim-exact"], best["snnsim", "snnsim-surrogate"]
    print(
        f"{'kind':18}{'library':34}{'s/epoch':>9}{'exact/it':>10}{'surr./it':>10}{'MB':>7}{'exact/it':>10}{'busy':>7}"
    )
    for (kind, name), row in best.items():
        print(
            f"{kind:18}{name:34}{row['sec_per_epoch']:9.1f}{exact['sec_per_epoch'] / row['sec_per_epoch']:10.3f}"
            f"{same['sec_per_epoch'] / row['sec_per_epoch']:10.3f}{row['peak_rss_mb']:7.0f}"
            f"{exact['peak_rss_mb'] / row['peak_rss_mb']:10.2f}{row['other_cores_busy']:7.2f}"
        )
    for kind, target in TARGETS.items():
        times = [r["sec_per_epoch"] for (k, name), r in best.items() if kind in (k, name)]
        if times:
            print(
                f"of the fastest {kind}: exact {exact['sec_per_epoch'] / min(times):.3f}, surrogate "
                f"{same['sec_per_epoch'] / min(times):.3f} (wanted: at most {target:.3f})"
            )


def synaptic_limit():
    """Additions per second of the gather on MNIST spikes, beside the same loop on one row that stays in L1."""
    import time

    import numba
    import numpy as np

    from snnsim.datasets import load
    from snnsim.encoders import Encoder
    from snnsim.kernels import cpu
    from snnsim.kernels.jit import KERNEL

    @numba.njit(**KERNEL)
    def additions(a, b, times):
        for thread in numba.prange(a.shape[0]):
            for _ in range(times):
                for n in range(a.shape[1]):
                    a[thread, n] += b[thread, n]

    def seconds(function):
        function()
        best = np.inf
        for _ in range(20):
            start = time.perf_counter()
            function()
            best = min(best, time.perf_counter() - start)
        return best

    images = load("mnist").train_images[:50]
    encoder = Encoder("poisson", dt=0.1, n_steps=50)
    weights = np.random.default_rng(0).standard_normal((784, 400)).astype(np.float32)
    table = np.empty((784 * cpu.PATTERNS // cpu.GROUP, 400), np.float32)
    x = np.empty((50, 50, 400), np.float32)
    print("\nsynaptic input of 50 MNIST samples, 50 steps, 400 neurons: 1e9 float additions a second")
    for threads in sorted({1, numba.config.NUMBA_NUM_THREADS}):
        numba.set_num_threads(threads)
        lines = np.ones((threads, 400), np.float32), np.ones((threads, 400), np.float32)
        plain = threads * 400 * 20000 / seconds(functools.partial(additions, *lines, 20000))
        print(f"{threads} threads: plain additions in cache {plain / 1e9:.1f}", end="")
        for group in (1, cpu.GROUP):
            spikes = encoder.on_grid(images, np.arange(50), group=group)
            source = weights
            fold = 0.0
            if group == cpu.GROUP:
                source, fold = table, seconds(lambda: cpu.fold_patterns(weights, table))
            took = seconds(functools.partial(cpu.synaptic_input, source, spikes.rows, spikes.row_ptr, 0, 50, x))
            print(
                f"; {'patterns' if group > 1 else 'rows'} {spikes.total * 400 / took / 1e9:.1f} "
                f"({spikes.total / 50:.0f} row additions a sample, {(took + fold) / 50 * 1e3:.4f} ms a sample)",
                end="",
            )
        print()


def scaling(threads):
    """Time and memory of a batch against steps, batch and neurons, each in a process of its own."""
    print("\ngrowth: milliseconds a batch (forward, backward, update), peak MB above an idle process")
    print(f"{'steps':>7}{'batch':>7}{'hidden':>8}{'ms':>9}{'ms/base':>9}{'MB':>8}")
    base = None
    cases = [(t, 50, 400) for t in (50, 100, 200, 400, 800, 1600)]
    cases += [(50, b, 400) for b in (100, 200, 400)] + [(50, 50, n) for n in (800, 1600, 3200)]
    for steps, batch, hidden in cases:
        code = f"from tests.benchmarks.train import one_case; one_case({steps}, {batch}, {hidden}, {threads})"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        ms, mb = map(float, done.stdout.split())
        base = base or ms
        print(f"{steps:7}{batch:7}{hidden:8}{ms:9.2f}{ms / base:9.2f}{mb:8.1f}", flush=True)


def one_case(steps, batch, hidden, threads):
    """Print milliseconds a batch and megabytes of one size: a process of its own, for its own peak memory."""
    import resource
    import time

    import numpy as np

    from snnsim.threads import use_threads

    use_threads(threads)
    from snnsim.encoders import Encoder
    from snnsim.engines.clock import ClockEngine
    from snnsim.initialisation import initial_tensors
    from snnsim.network import Network
    from snnsim.parameters import LIFParameters

    rng = np.random.default_rng(0)

    def prepared(steps, batch, hidden):
        network = Network.of_layers((784, hidden, 10), LIFParameters(), "leaky")
        engine = ClockEngine(network, dt=0.1, n_steps=steps, synapse="pattern")
        encoder = Encoder("poisson", dt=0.1, n_steps=steps, max_probability=0.1)
        weights = initial_tensors(network)
        values = (rng.random((batch, 784)) * 255).astype(np.uint8)
        dv = np.full((batch, steps, 10), 1e-3, np.float32)

        def work():
            engine.forward(weights, encoder.on_grid(values, np.arange(batch), group=4))
            engine.backward(weights, dv)

        return work

    prepared(2, 2, 8)()  # machine code and libraries are in memory from here
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    work = prepared(steps, batch, hidden)
    times = []
    for _ in range(7):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    print(min(times) * 1e3, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)


def main():
    """Print every table that the options ask for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--peers", help="folder that peers/setup.sh made")
    parser.add_argument("--threads", type=int, nargs="+", default=sorted({1, os.cpu_count()}))
    parser.add_argument("--batches", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--scaling", action="store_true", help="also print how time and memory grow")
    arguments = parser.parse_args()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.2f}; 'busy': cores that other processes used meanwhile")
    for threads in arguments.threads:
        compare(arguments.peers, threads, arguments.batches, arguments.repeats)
    synaptic_limit()
    if arguments.scaling:
        scaling(max(arguments.threads))


if __name__ == "__main__":
    main()
