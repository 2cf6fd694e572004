"""What recording costs a simulation of MNIST, end to end: time beside no recording, peak memory, bytes.

Each case runs in a process of its own: rate-coded MNIST through 784-400-10, 50 steps, streamed as ``snnsim simulate``
does. Run ``python -m tests.benchmarks.simulate --help``.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

CASES = {
    "no recording": None,
    "spikes of hidden and output": {"record": ("spikes",), "record_layers": ("hidden0", "output")},
    "spikes of all layers": {"record": ("spikes",)},
    "all voltages": {"record": ("v",)},
}


def network(session):
    """Initial weights, scaled so that the hidden layer spikes about as often as after training."""
    from snnsim.network import Network

    return Network.chain(session.weights, session.parameters, session.readout)


def run(case, trials, folder):
    """Simulate and record; returns a dictionary of seconds and megabytes."""
    from snnsim import config
    from snnsim.recording.stream import batch_size, open_writer, record
    from snnsim.simulator import Simulator
    from snnsim.training import Session
    from snnsim.training.session import EVALUATION_EPOCH

    session = Session(config.load(None, ["network.target_rate=4"]))
    options = CASES[case] or {"record": ()}
    s = session.config.simulation
    simulator = Simulator(network(session), dt=s.dt, n_steps=s.n_steps, **options)
    size = batch_size(simulator)

    def batches(total):
        for start in range(0, total, size):
            rows = np.arange(start, min(start + size, total)) % len(session.test)
            samples = session.test.values[rows], session.test.ids[rows]
            yield session.encoder.on_grid(*samples, EVALUATION_EPOCH, simulator.input_group), {}

    def simulate(total):
        for inputs, _ in batches(total):
            simulator.forward(inputs)

    def record_into(place, total):
        with open_writer(place, simulator) as writer:
            record(simulator, writer, batches(total))

    # Compiled code is loaded before the clock runs.
    simulate(3 * size)
    if CASES[case] is not None:
        record_into(Path(folder) / "warm", 3 * size)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    if CASES[case] is None:
        simulate(trials)
        written = 0
    else:
        record_into(folder, trials)
        written = sum(path.stat().st_size for path in Path(folder).glob("*.h5"))
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"seconds": seconds, "bytes": written, "peak_mb": peak / 1024, "grown_mb": (peak - before) / 1024}


def plain_write(folder, size):
    """Seconds that writing so many bytes to one file takes, 4 MiB at a time."""
    block = bytes(4 * 2**20)
    start = time.perf_counter()
    with open(Path(folder) / "plain", "wb", buffering=0) as file:
        for _ in range(-(-size // len(block))):
            file.write(block)
    return time.perf_counter() - start


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where to write (a temporary folder)")
    parser.add_argument("--case", choices=CASES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.case:
        print(json.dumps(run(options.case, options.trials, options.folder)))
        return
    print(f"{options.trials} trials; the median of {options.repeats} runs")
    base = None
    for case in CASES:
        found = []
        for _ in range(options.repeats):
            with tempfile.TemporaryDirectory(dir=options.folder) as folder:
                command = [sys.executable, "-m", "tests.benchmarks.simulate", "--case", case, "--folder", folder]
                command += ["--trials", str(options.trials)]
                out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
                found.append(json.loads(out.splitlines()[-1]))
                found[-1]["plain"] = plain_write(folder, found[-1]["bytes"])
        seconds, plain, peak = (statistics.median(f[key] for f in found) for key in ("seconds", "plain", "peak_mb"))
        base = base or (seconds, peak)
        extra = seconds - base[0]
        print(
            f"{case:28s} {seconds:7.2f} s  recording {extra:6.2f} s ({100 * extra / base[0]:5.1f} %)  "
            f"{found[0]['bytes'] / 1e6:7.0f} MB, plain write {plain:5.2f} s  "
            f"peak {peak:5.0f} MB ({peak - base[1]:+.0f})"
        )


if __name__ == "__main__":
    main()
