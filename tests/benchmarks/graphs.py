"""Recurrence and convolution beside other libraries, in one run: ``python -m tests.benchmarks.graphs``.

The work units are ``peers/spoken.py`` (128-256r-10 on spoken digits) and ``peers/conv.py`` (15C5-P2-40C5-P2-300-10 on
MNIST); every library runs the same file in a process of its own. ``peers/setup.sh VENVS`` makes the rivals'
environments; without them only snnsim is timed.
"""

import argparse
import os
import sys
from pathlib import Path

from tests.benchmarks.train import peer_row

SHARED = Path(__file__).parents[3] / "shared" / "data"
UNITS = {
    # Script, its data, rivals by environment, and the wanted shares of their time: (rival, exact, surrogate).
    "spoken": (
        "spoken.py", "spoken-digits", [("jax", "jax"), *(("torch", n) for n in ("torch-compile", "snntorch"))],
        [("jax", 1 / 4, 1 / 3), ("snntorch", 1 / 10, 1 / 8)],
    ),
    "conv": (
        "conv.py", "mnist", [("torch", n) for n in ("torch-compile", "torch", "snntorch", "spikingjelly")],
        [("the fastest", 0.4, 0.45)],
    ),
}  # fmt: skip
OURS = ("snnsim-exact", "snnsim-surrogate")


def rows(unit, venvs, threads, options):
    """Run every library once; a dictionary of the JSON rows by peer."""
    script, data, rivals, _ = UNITS[unit]
    found = {}
    for python, peer in [(sys.executable, name) for name in OURS] + [
        (Path(venvs) / venv / "bin" / "python", name) for venv, name in (rivals if venvs else [])
    ]:
        if Path(python).exists():
            row = peer_row(python, [script, "--peer", peer, "--data", SHARED / data, "--threads", threads, *options])
            if row is not None:
                found[peer] = row
    return found


def compare(unit, venvs, threads, rounds, options):
    """Print the least time of each library over the rounds, its memory, and what was wanted."""
    best = {}
    for _ in range(rounds):
        for peer, row in rows(unit, venvs, threads, options).items():
            if peer not in best or row["ms_per_batch"] < best[peer]["ms_per_batch"]:
                best[peer] = row
    print(f"\n{unit}, {threads} thread{'s' if threads > 1 else ''}: milliseconds a batch of 50, peak memory, accuracy")
    for peer, row in best.items():
        spikes = ", ".join(f"{name} {count:g}" for name, count in row.get("spikes", {}).items())
        print(
            f"{peer:20}{row['ms_per_batch']:9.2f}{row['peak_mb']:7} MB  {row['test']}"
            + (f"  spikes a trial: {spikes}" if spikes else "")
        )
    others = {peer: row for peer, row in best.items() if peer not in OURS}
    for rival, *wanted in UNITS[unit][3]:
        name = min(others, key=lambda p: others[p]["ms_per_batch"], default=None) if rival == "the fastest" else rival
        if name not in others:
            continue
        for ours, most in zip(OURS, wanted, strict=True):
            if ours in best:
                share = best[ours]["ms_per_batch"] / others[name]["ms_per_batch"]
                memory = best[ours]["peak_mb"] / others[name]["peak_mb"]
                print(f"{ours} of {name}: time {share:.3f} (wanted: at most {most:.3f}), memory {memory:.2f} (0.5)")


def main():
    """Print the tables that the options ask for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--peers", help="folder that peers/setup.sh made")
    parser.add_argument("--units", nargs="+", choices=tuple(UNITS), default=list(UNITS))
    parser.add_argument("--threads", type=int, nargs="+", default=[1])
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=1, help="of spoken")
    parser.add_argument("--batches", type=int, default=40, help="of conv")
    given = parser.parse_args()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.2f}")
    options = {"spoken": ["--epochs", given.epochs], "conv": ["--batches", given.batches, "--eval", 500]}
    for unit in given.units:
        for threads in given.threads:
            compare(unit, given.peers, threads, given.rounds, options[unit])


if __name__ == "__main__":
    main()
