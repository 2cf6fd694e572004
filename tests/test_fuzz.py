"""Some hundred damaged files of every kind; ``python -m tests.fuzz`` makes as many as wanted."""

import subprocess
import sys

import pytest

from tests import ROOT

MUTATIONS = 195  # 15 of each kind


def test_damaged_files_end_in_one_line():
    pytest.importorskip("nir")
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz", "--mutations", str(MUTATIONS)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].startswith(f"{MUTATIONS} mutations, 0 faults, ")
    # Most are refused: the damage is real.
    assert sum(int(line.split()[1]) for line in done.stdout.splitlines() if "refused" in line) > MUTATIONS // 2
