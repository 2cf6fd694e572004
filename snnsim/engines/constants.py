"""Gradients of a population's constants from sums over its neurons' events, in continuous time."""

import numpy as np

from snnsim.kernels.events import graph_backward as k

HEAVY = ("tau_mem", "tau_syn", "tau_a", "r", "c_a")
"""Constants whose gradients need the filtered adjoints as well."""


def constant_gradients(sums, values, bias, rest):
    """Gradient of every constant, one a neuron.

    Parameters
    ----------
    sums : ndarray, (N_SUMS, N) float64
        From :func:`snnsim.kernels.events.graph_backward.graph_backward`.
    values : dict of str to ndarray
        Constants of the population.
    bias : ndarray or float
        Constant current.
    rest : bool
        Whether the membrane starts at ``v_leak``, which then moves its start as well.

    Returns
    -------
    dict of str to ndarray, (N,)
        With ``bias``. What is meaningless for the neuron is there as well.
    """
    v = values
    tau_mem, tau_syn, tau_a, r = v["tau_mem"], v["tau_syn"], v["tau_a"], v["r"]
    g = {
        "v_threshold": -sums[k.MU],
        "v_reset": sums[k.RELEASED],
        "q": sums[k.ADAPTED],
        "beta": -sums[k.A_MU],
        "v0": sums[k.V_START],
        "i0": tau_syn * sums[k.Q_START],
        "a0": sums[k.A_START],
        "t_ref": sums[k.RHO],
    }
    shift = sums[k.MU] - sums[k.RELEASED] - sums[k.V_START] + sums[k.READ]
    g["bias"] = r * shift
    # Losses read membranes relative to rest: what they read does not move with it.
    g["v_leak"] = shift - sums[k.READ] + (sums[k.V_START] if rest else 0.0)
    adapted = v["q"] * sums[k.KAPPA_V] + v["a0"] * sums[k.KAPPA_V_START]
    g["c_a"] = -r / tau_mem * adapted
    g["r"] = (sums[k.W_Q] + bias * g["bias"] + v["i0"] * g["i0"] + v["c_a"] * g["c_a"]) / r
    g["tau_syn"] = sums[k.JUMPS] + v["i0"] * sums[k.KAPPA_START] / tau_syn**2
    kappa_a = v["q"] * sums[k.KAPPA_A] + v["a0"] * sums[k.KAPPA_A_START]
    g["tau_a"] = kappa_a / tau_a**2
    kappa = sums[k.W_KAPPA] + v["i0"] * sums[k.KAPPA_START]
    g["tau_mem"] = -(sums[k.ENERGY] + kappa / tau_syn + kappa_a / tau_a) / tau_mem
    return g


def as_shaped(gradient, value):
    """Gradient of a constant in its shape: one for all takes the sum."""
    return gradient.copy() if np.ndim(value) else np.asarray(gradient.sum())
