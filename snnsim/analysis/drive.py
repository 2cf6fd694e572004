"""Drive the clock engine's own loop with a given input, to measure what it does."""

import numpy as np

from snnsim.estimators import exact
from snnsim.kernels.cpu.loops import forward_of
from snnsim.kernels.cpu.wiring import wiring_of
from snnsim.neurons import lif
from snnsim.parameters import scheme_coefficients


def kernel_drive(parameters, dt, scheme):
    """Free-running neurons in the clock engine's loop, as a function for :mod:`snnsim.analysis.frequency`.

    Parameters
    ----------
    parameters : LIFParameters
        The threshold is put out of reach.
    dt : float
    scheme : str

    Returns
    -------
    callable
        Takes the summed weight that arrives in each step, (T, N) float64, and returns the membrane relative to rest at
        the ends of the steps, (T, N) float64, from rest.
    """
    p = parameters
    constants = lif.Constants(
        *scheme_coefficients(p, dt, scheme), np.inf, float(p.reset_value), p.reset_mode, float(p.r), float(p.tau_mem),
        float(p.tau_syn), float(dt), 0.0,
    )  # fmt: skip

    def drive(x):
        n_steps, n = x.shape
        v_trace, nothing = np.empty((1, n_steps, n)), np.empty((0, 0, 0))
        forward_of(lif, exact)(
            np.ascontiguousarray(x[None]), nothing, constants, exact.Settings(1.0), wiring_of([n], dtype=x.dtype), 0,
            n_steps, (np.zeros((1, n)), np.zeros((1, n))), nothing, np.empty((1, 0), np.int32),
            np.zeros((1, n_steps + 1), np.int32), (np.empty((1, 0)), np.empty((1, 0))), (v_trace, nothing), 0, 1,
        )  # fmt: skip
        return v_trace[0]

    return drive
