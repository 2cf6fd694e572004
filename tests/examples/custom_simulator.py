"""A recurrent LIF network of one's own: snnsim's scalars inside an @njit time loop."""

import numpy as np
from numba import njit

from snnsim.dynamics.lif import RESET_HARD, fires, reset_membrane, step_membrane, step_synapse
from snnsim.dynamics.schemes import exact


@njit
def simulate(inputs, w_in, w_rec, dt, tau_mem, tau_syn, r, v_threshold, v_reset):
    """Spikes (T, N) of a recurrent layer driven by inputs (T, N_in); its own spikes arrive one step later."""
    a_ii, b_i, a_vv, a_vi, b_v = exact(dt, tau_mem, tau_syn, r)
    n_steps, n = inputs.shape[0], w_rec.shape[0]
    v, i, spikes = np.zeros(n), np.zeros(n), np.zeros((n_steps, n), np.uint8)
    for k in range(n_steps):
        x = inputs[k] @ w_in
        if k > 0:
            for j in range(n):
                if spikes[k - 1, j]:
                    x += w_rec[j]
        for j in range(n):
            v[j] = step_membrane(v[j], i[j], x[j], a_vv, a_vi, b_v)
            i[j] = step_synapse(i[j], x[j], a_ii, b_i)
            if fires(v[j], v_threshold):
                spikes[k, j] = 1
                v[j] = reset_membrane(v[j], v_threshold, v_reset, RESET_HARD)
    return spikes


if __name__ == "__main__":
    rng = np.random.default_rng(0)
    inputs = (rng.random((200, 30)) < 0.1).astype(np.float64)
    w_in, w_rec = rng.normal(0.2, 0.3, (30, 20)), rng.normal(-0.1, 0.2, (20, 20))
    print(simulate(inputs, w_in, w_rec, 0.05, 0.8, 0.6, 1.2, 1.0, 0.0).sum(), "spikes")
