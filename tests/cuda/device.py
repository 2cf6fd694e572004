"""What the checks of CUDA code share: where they run, and arrays that go there and back."""

import sys

import numba
import numpy as np
import pytest

from snnsim.kernels.cuda import availability, compiler

# Products of two 32-bit words wrap in int64, here as on the device; NumPy says so for its scalars.
OVERFLOW = pytest.mark.filterwarnings("ignore:.*overflow encountered in scalar multiply:RuntimeWarning")


@pytest.fixture(autouse=True, scope="session")
def somewhere_to_run():
    """Fail without a device; a file of checks imports it."""
    assert compiler.SIMULATED == bool(numba.config.ENABLE_CUDASIM)
    availability.require()
    if compiler.SIMULATED:
        sys.setswitchinterval(1e-4)  # the simulator's barrier polls, and would keep the interpreter for 5 ms each time


def on(array):
    """Device copy."""
    return compiler.to_device(np.ascontiguousarray(array))


def off(array):
    """Host copy."""
    return compiler.to_host(array)


def assert_same(mine, theirs):
    """Equal bits in the simulator; on a GPU, whose exponentials and logarithms end in other bits, nearly so."""
    if compiler.SIMULATED or np.asarray(theirs).dtype.kind != "f":
        np.testing.assert_array_equal(mine, theirs)
    else:
        np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-5 * np.abs(theirs).max(initial=0))


def words_of(rows, row_ptr, n_neurons):
    """Words by neuron of spike lists."""
    n_steps = row_ptr.shape[1] - 1
    result = np.zeros((len(rows), -(-n_steps // 32), n_neurons), np.uint32)
    for b in range(len(rows)):
        for k in range(n_steps):
            for n in rows[b, row_ptr[b, k] : row_ptr[b, k + 1]]:
                result[b, k // 32, n] |= np.uint32(1 << (k % 32))
    return result
