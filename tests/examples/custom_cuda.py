"""LIF neurons of one's own on a GPU: snnsim's scalars inside a @cuda.jit kernel, one thread a neuron."""

import numpy as np
from numba import cuda

from snnsim.dynamics.lif import RESET_SUBTRACT, fires, reset_membrane, step_membrane, step_synapse
from snnsim.dynamics.schemes import backward_euler


@cuda.jit
def simulate(x, coefficients, v_threshold, v_reset, spikes):
    """Spikes (T, N) of neurons with summed input weight x (T, N) in each step."""
    n = cuda.grid(1)
    if n < x.shape[1]:
        a_ii, b_i, a_vv, a_vi, b_v = coefficients
        v = i = np.float32(0)
        for k in range(x.shape[0]):
            v = step_membrane(v, i, x[k, n], a_vv, a_vi, b_v)
            i = step_synapse(i, x[k, n], a_ii, b_i)
            spikes[k, n] = fires(v, v_threshold)
            if spikes[k, n]:
                v = reset_membrane(v, v_threshold, v_reset, RESET_SUBTRACT)


def run(x):
    """Launch the kernel on x (T, N) float32; returns the spikes (T, N) uint8."""
    coefficients = tuple(np.float32(c) for c in backward_euler(0.05, 0.8, 0.6, 1.2))
    x_device, spikes = cuda.to_device(x), cuda.to_device(np.zeros(x.shape, np.uint8))
    simulate[-(-x.shape[1] // 32), 32](x_device, coefficients, np.float32(1), np.float32(0), spikes)
    return spikes.copy_to_host()


if __name__ == "__main__":
    print(run(np.random.default_rng(0).normal(0.2, 0.4, (10, 48)).astype(np.float32)).sum(), "spikes")
