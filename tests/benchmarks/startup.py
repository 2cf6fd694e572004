"""How long a user waits: for ``snnsim --help``, and for the first training batch of the default configuration.

The first batch includes starting Python, imports and reading MNIST; cold is with an empty cache of machine code, warm
with a full one. Run ``python -m tests.benchmarks.startup``.
"""

import os
import subprocess
import sys
import tempfile
import time

FIRST_BATCH = """
from snnsim import config
from snnsim.training import Session
Session(config.load(None, [])).step()
"""
REPEATS = 3


def seconds(command, **environment):
    """Seconds that a command takes."""
    start = time.perf_counter()
    subprocess.run(command, env={**os.environ, **environment}, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - start


def main():
    """Print the least of some runs of each."""
    first_batch = [sys.executable, "-c", FIRST_BATCH]
    cold, warm = [], []
    for _ in range(REPEATS):
        with tempfile.TemporaryDirectory() as cache:
            cold.append(seconds(first_batch, NUMBA_CACHE_DIR=cache))
            warm.append(seconds(first_batch, NUMBA_CACHE_DIR=cache))
    program = [sys.executable, "-c", "from snnsim_cli.main import main; main()", "--help"]
    shown = [seconds(program) for _ in range(REPEATS)]
    for name, found in (("snnsim --help", shown), ("first batch, cold", cold), ("first batch, warm", warm)):
        print(f"{name:20}{min(found):6.2f} s (the least of {REPEATS}; the most {max(found):.2f})")


if __name__ == "__main__":
    main()
