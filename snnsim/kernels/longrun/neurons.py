"""One step of a piece of a population: loops over the scalars of :mod:`snnsim.dynamics.lif`."""

import numpy as np
from numba import njit

from snnsim.dynamics.lif import fires, step_membrane, step_synapse
from snnsim.kernels.jit import NOGIL_LEAF

A_II, B_I, A_VV, A_VI, B_V, A_JJ, B_J, A_VJ, B_VJ, THRESHOLD, KEEP, SHIFT = range(12)
"""Constants of a population: a scheme's coefficients, a second synapse's, threshold, and ``~v = keep v + shift``."""
N_CONSTANTS = 12
ONE_SYNAPSE, TWO_SYNAPSES = 0, 1


@njit(**NOGIL_LEAF)
def step_lif(v, i, held, x, more, drive, shown, flags, c, n_ref):
    """Advance neurons with one synapse.

    Parameters
    ----------
    v, i : (n,) float32 or float64
        States; v relative to rest.
    held : (n,) int32
        Steps for which v is still held after a spike.
    x, more : (n,)
        What has arrived in this step over connections, which is cleared, and from outside.
    drive : (n,)
        What currents add to v.
    shown : (n,)
        Filled: membranes before the reset.
    flags : (n,) uint8
        Filled: who spikes.
    c : (N_CONSTANTS,)
    n_ref : int32
    """
    zero, one, none = type(c[0])(0), np.int32(1), np.int32(0)
    a_ii, b_i, a_vv, a_vi, b_v = c[A_II], c[B_I], c[A_VV], c[A_VI], c[B_V]
    threshold, keep, shift = c[THRESHOLD], c[KEEP], c[SHIFT]
    for n in range(v.size):
        arrived = x[n] + more[n]
        x[n] = zero
        free = held[n] <= none
        new = step_membrane(v[n], i[n], arrived, a_vv, a_vi, b_v) + drive[n]
        new = new if free else v[n]
        i[n] = step_synapse(i[n], arrived, a_ii, b_i)
        spike = free & fires(new, threshold)
        shown[n] = new
        v[n] = new * keep + shift if spike else new
        held[n] = n_ref if spike else max(held[n] - one, none)
        flags[n] = np.uint8(spike)


@njit(**NOGIL_LEAF)
def step_lif_two(v, i, j, held, x, y, more, more_y, drive, shown, flags, c, n_ref):
    """Advance neurons with an excitatory and an inhibitory synapse; ``j``, ``y`` and ``more_y`` are the latter's."""
    zero, one, none = type(c[0])(0), np.int32(1), np.int32(0)
    a_ii, b_i, a_vv, a_vi, b_v = c[A_II], c[B_I], c[A_VV], c[A_VI], c[B_V]
    a_jj, b_j, a_vj, b_vj = c[A_JJ], c[B_J], c[A_VJ], c[B_VJ]
    threshold, keep, shift = c[THRESHOLD], c[KEEP], c[SHIFT]
    for n in range(v.size):
        arrived, inhibiting = x[n] + more[n], y[n] + more_y[n]
        x[n] = zero
        y[n] = zero
        free = held[n] <= none
        new = step_membrane(v[n], i[n], arrived, a_vv, a_vi, b_v) + (a_vj * j[n] + b_vj * inhibiting) + drive[n]
        new = new if free else v[n]
        i[n] = step_synapse(i[n], arrived, a_ii, b_i)
        j[n] = step_synapse(j[n], inhibiting, a_jj, b_j)
        spike = free & fires(new, threshold)
        shown[n] = new
        v[n] = new * keep + shift if spike else new
        held[n] = n_ref if spike else max(held[n] - one, none)
        flags[n] = np.uint8(spike)


@njit(**NOGIL_LEAF)
def add_into(x, y):
    """Move what stands in ``y`` into ``x``, for neurons that make no difference between the two."""
    for n in range(x.size):
        x[n] += y[n]
        y[n] = type(y[n])(0)
