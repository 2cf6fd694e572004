"""What the checks of CUDA code share: where they run, and arrays that go there and back."""

import sys

import numba
import numpy as np
import pytest

from snnsim.kernels.cuda import availability, compiler
from snnsim.parameters import LIFParameters, scheme_coefficients

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


def random_lists(rng, n_samples, n_steps, n_rows, share=0.3):
    """Spike lists by row, some steps empty, one step of sample 0 full; (rows, row_ptr)."""
    dense = rng.random((n_samples, n_steps, n_rows)) < share
    dense[:, 1] = False
    dense[0, 2] = True
    row_ptr = np.zeros((n_samples, n_steps + 1), np.int32)
    np.cumsum(dense.sum(axis=2), axis=1, out=row_ptr[:, 1:])
    rows = np.full((n_samples, row_ptr[:, -1].max() + 3), -7, np.int32)
    for b in range(n_samples):
        rows[b, : row_ptr[b, -1]] = np.nonzero(dense[b])[1]
    return rows, row_ptr


def layer(reset="hard", dtype=np.float32, dt=0.1):
    """Coefficients and neuron of a test layer."""
    p = LIFParameters(reset=reset, v_reset=0.1)
    coefficients = tuple(dtype(c) for c in scheme_coefficients(p, dt))
    neuron = tuple(dtype(c) for c in (p.threshold, p.reset_value, p.r, p.tau_mem, p.tau_syn, dt, 1e4))
    return p, coefficients, neuron
