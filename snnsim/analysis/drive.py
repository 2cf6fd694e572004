"""Drive the clock engine's own kernel with a given input, to measure what it does."""

import numpy as np

from snnsim.kernels.cpu.lif import GRADIENT_EXACT, lif_forward
from snnsim.parameters import scheme_coefficients


def kernel_drive(parameters, dt, scheme):
    """Free-running neurons in the clock engine's kernel, as a function for :mod:`snnsim.analysis.frequency`.

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
    coefficients = scheme_coefficients(parameters, dt, scheme)
    p = parameters
    neuron = (np.inf, float(p.reset_value), float(p.r), float(p.tau_mem), float(p.tau_syn), float(dt), 1.0)

    def drive(x):
        n_steps, n = x.shape
        v_trace = np.empty((1, n_steps, n))
        nothing = np.empty((1, 0))
        lif_forward(
            np.ascontiguousarray(x[None]), coefficients, neuron, p.reset_mode, GRADIENT_EXACT, 0, n_steps,
            np.zeros((1, n)), np.zeros((1, n)), np.empty((1, 0), np.int32), np.zeros((1, n_steps + 1), np.int32),
            nothing, nothing, v_trace, np.empty((1, 0, n)), 1,
        )  # fmt: skip
        return v_trace[0]

    return drive
