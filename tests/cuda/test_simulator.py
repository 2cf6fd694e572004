"""Run the simulator's checks in a process of its own."""

import os
import re
import subprocess
import sys
from pathlib import Path

CHECKS = Path(__file__).with_name("checks.py")


def test_every_kernel_in_the_simulator():
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(CHECKS)],
        env={**os.environ, "NUMBA_ENABLE_CUDASIM": "1"},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert re.search(r"\d\d passed", run.stdout)
    assert "skipped" not in run.stdout
