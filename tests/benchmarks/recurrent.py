"""Recurrent networks without learning: wall time, memory and build time here, in NEST and in Brian2, in one run.

Each case runs in a process of its own, peers and this one in turn, so that whatever else the machine does hits all
alike; the wall time of a second of biological time is the difference of two durations, and the least over the rounds
counts.
Run ``python -m tests.benchmarks.recurrent --help``.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PEER = Path(__file__).parent / "peers" / "ei_network.py"


def own(name, scale, threads, seconds, record):
    """Run a shipped network here; returns a dictionary."""
    import resource

    begun = time.perf_counter()
    from snnsim.longrun import config, running
    from snnsim.longrun.simulation import LongSimulation

    chosen = config.load(name, scale=scale)
    network, inputs, initial = config.build(chosen)
    imported = time.perf_counter() - begun
    options = {"dt": chosen.run.dt, "inputs": inputs, "initial": initial, "impulse": chosen.run.impulse, "seed": 1}
    # Compiled code is loaded before the clock runs, as peers' is part of their programs.
    small, its, first = config.build(config.load(name, scale=0.02))
    LongSimulation(small, **{**options, "inputs": its, "initial": first}, threads=threads).run(20)
    begun = time.perf_counter()
    simulation = LongSimulation(network, **options, threads=threads)
    built = time.perf_counter() - begun
    simulation.run(2000)
    spikes, events, begun = 0, simulation.events, time.perf_counter()
    n_steps = round(1000 * seconds / chosen.run.dt)
    if record:
        with tempfile.TemporaryDirectory() as folder:
            done = simulation.step
            layers = tuple(simulation.sizes)
            with running.TraceWriter(
                folder, network, duration=1000 * chosen.run.dt, dt=chosen.run.dt, scheme="exact", continuous=True
            ) as writer:
                while simulation.step < done + n_steps:
                    writer.append(running.recorded(simulation, simulation.run(1000), layers, 1000))
            wall = time.perf_counter() - begun
            written = sum(p.stat().st_size for p in Path(folder).glob("*.h5"))
    else:
        piece = simulation.run(n_steps)
        wall, written = time.perf_counter() - begun, 0
        spikes = sum(ends[-1] for _, ends in piece.spikes.values())
    return {
        "peer": "snnsim", "threads": threads, "neurons": sum(simulation.sizes.values()),
        "synapses": simulation.wired.n_synapses, "synapse_mb": round(simulation.nbytes / 2**20), "import_s": imported,
        "build_s": built, "wall_s": wall, "seconds": seconds, "events": simulation.events - events,
        "spikes": int(spikes), "written_mb": written / 1e6,
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }  # fmt: skip


def floor(threads=1):
    """Nanoseconds that adding one weight takes where everything lies in the cache: the least over many goes."""
    import numpy as np

    from snnsim.kernels.longrun.advance import AHEAD, add_rows

    rng = np.random.default_rng(0)
    x, rows, length = np.zeros(6250, np.float32), 8, 600
    targets = np.sort(rng.integers(0, x.size, (rows, length)), axis=1).astype(np.uint16).reshape(-1)
    weights = rng.normal(size=rows * length + 64).astype(np.float32)
    froms, tos = (np.zeros(rows + AHEAD, np.int64) for _ in range(2))
    froms[:rows] = np.arange(rows) * length
    tos[:rows] = froms[:rows] + length
    best = np.inf
    for _ in range(3000):
        begun = time.perf_counter()
        add_rows(x, targets, weights, froms, tos, rows)
        best = min(best, time.perf_counter() - begun)
    return best / (rows * length) * 1e9


def call(command):
    """Last line of a program's output, read as JSON."""
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{command[0]}: {done.stderr.strip().splitlines()[-1] if done.stderr.strip() else 'failed'}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def compare(given):
    """Run all cases in turn, and print what came of them."""
    pythons = {"nest": given.nest, "brian2": given.brian2}
    here = [sys.executable, "-m", "tests.benchmarks.recurrent", "--network", given.network, "--scale", str(given.scale)]
    for threads in given.threads:
        found = {}
        for _ in range(given.rounds):
            for seconds in given.seconds:
                line = call([*here, "--own", "--threads", threads, "--seconds", seconds])
                found.setdefault(("snnsim", seconds), []).append(line)
                line = call([*here, "--own", "--record", "--threads", threads, "--seconds", seconds])
                found.setdefault(("snnsim, to files", seconds), []).append(line)
                for peer, python in pythons.items():
                    if python:
                        line = call([python, PEER, "--peer", peer, "--threads", threads, "--seconds", seconds])
                        line["wall_s"] = line["rtf"] * seconds
                        found.setdefault((peer, seconds), []).append(line)
        first, last = given.seconds[0], given.seconds[-1]
        factors = {}
        for name in dict.fromkeys(key[0] for key in found):
            least = {s: min(x["wall_s"] for x in found[name, s]) for s in given.seconds}
            span = last - first
            factors[name] = (least[last] - least[first]) / span if span else least[last] / last
            lines = found[name, last]
            print(
                f"{threads} thread{'s' if threads > 1 else ''}  {name:18} {factors[name]:8.3f} s a second, built in "
                f"{min(x['build_s'] for x in lines):6.2f} s, peak {min(x['peak_mb'] for x in lines):5} MB"
            )
        peers = [factors[p] for p in pythons if p in factors]
        if peers:
            print(f"   the faster peer takes {min(peers) / factors['snnsim']:.1f} times as long")
        mine = found["snnsim", last][0]
        each = factors["snnsim"] * threads / (mine["events"] / last) * 1e9
        print(f"   {each:.2f} ns of a thread a synaptic event, everything included; adding from cache {floor():.2f} ns")
    print(f"load of the machine: {', '.join(f'{x:.1f}' for x in os.getloadavg())} on {os.cpu_count()} cores")


def main():
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", default="ei-network", help="a shipped network; peers have ei-network only")
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--seconds", type=float, nargs="+", default=[1.0, 3.0])
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--nest", help="interpreter with NEST")
    parser.add_argument("--brian2", help="interpreter with Brian2")
    parser.add_argument("--own", action="store_true", help="run here, once, and print one JSON line")
    parser.add_argument("--record", action="store_true", help="with --own: record all spikes in files")
    given = parser.parse_args()
    if given.own:
        print(json.dumps(own(given.network, given.scale, given.threads[0], given.seconds[0], given.record)))
    else:
        compare(given)


if __name__ == "__main__":
    main()
