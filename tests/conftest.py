"""What is settled before Numba loads, and a small MNIST."""

import gzip
import os
import struct
from pathlib import Path

import pytest

# Waiting threads must not spin where cores are busy; four threads even on two cores, so that the number can be varied.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("NUMBA_NUM_THREADS", str(max(4, os.cpu_count())))

MNIST = Path(__file__).parents[1] / "data" / "mnist"
N_TRAIN, N_TEST = 600, 150


@pytest.fixture(scope="session", autouse=True)
def _threads():
    # Test processes side by side take a core each; no result depends on it, and tests of that choose for themselves.
    from snnsim.threads import use_threads

    use_threads(1 if "PYTEST_XDIST_WORKER" in os.environ else 0)


@pytest.fixture(scope="session")
def small_mnist(tmp_path_factory):
    """Folder with the first 600 training and 150 test images of MNIST, as plain IDX files."""
    folder = tmp_path_factory.mktemp("small") / "mnist"
    folder.mkdir()
    for half, count in (("train", N_TRAIN), ("t10k", N_TEST)):
        for kind, size in (("images-idx3", 784), ("labels-idx1", 1)):
            name = f"{half}-{kind}-ubyte"
            header = 16 if size > 1 else 8
            with gzip.open(MNIST / f"{name}.gz") as file:
                data = file.read(header + count * size)
            short = data[:4] + struct.pack(">I", count) + data[8:]
            (folder / name).write_bytes(short)
    return folder.parent
