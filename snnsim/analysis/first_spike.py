"""First spikes of a neuron after one input, on a clock against their closed-form times (study, section 2.3)."""

from dataclasses import dataclass

import numpy as np

from snnsim.analysis.convergence import OrderFit, fit_order
from snnsim.analysis.truncation import closed_form
from snnsim.dynamics.events import first_crossing
from snnsim.errors import InputError
from snnsim.parameters import scheme_coefficients


def exact_first_spikes(parameters, i0, span):
    """Time of the first spike from ``v = 0`` and a current ``i0``, in closed form; infinite if none within ``span``.

    Parameters
    ----------
    parameters : LIFParameters
    i0 : ndarray, (N,) float64
    span : float

    Returns
    -------
    ndarray, (N,) float64
    """
    p = parameters
    v_end, _ = closed_form(span, 0.0, i0, p)
    neuron = float(p.threshold), float(p.tau_mem), float(p.tau_syn)
    t = np.array([first_crossing(0.0, p.r * i, float(span), v, *neuron)[0] for i, v in zip(i0, v_end, strict=True)])
    return np.where(t >= 0, t, np.inf)


def clock_first_spikes(parameters, i0, span, dt, scheme):
    """Time of the first spike on a clock (at the end of its step); infinite if there is none in ``span``."""
    a_ii, _, a_vv, a_vi, _ = scheme_coefficients(parameters, dt, scheme)
    v, i = np.zeros_like(i0), i0.copy()
    t = np.full(i0.shape, np.inf)
    for k in range(int(np.ceil(span / dt - 1e-9))):
        v, i = a_vv * v + a_vi * i, a_ii * i
        t[(v >= parameters.threshold) & np.isinf(t)] = (k + 1) * dt
    return t


@dataclass(frozen=True)
class FirstSpikeStudy:
    """Errors of first-spike times; axes are (S schemes, D step sizes).

    Parameters
    ----------
    schemes : tuple of str, length S
    dt : ndarray, (D,) float64
    n_spikes : int
        Neurons that spike in continuous time.
    mean_error, rms_error, bias : ndarray, (S, D) float64
        Mean absolute, root mean square and mean signed error of the neurons that spike both ways; NaN where unstable.
    lost, added : ndarray, (S, D) float64
        Neurons that spike only in continuous time, and only on the clock, over ``n_spikes``.
    order : tuple of OrderFit, length S
        Of ``mean_error``.
    """

    schemes: tuple
    dt: np.ndarray
    n_spikes: int
    mean_error: np.ndarray
    rms_error: np.ndarray
    bias: np.ndarray
    lost: np.ndarray
    added: np.ndarray
    order: tuple[OrderFit, ...]


def first_spike_study(parameters, dt, schemes, *, n_neurons=2000, strongest=3.0, span=6.0):
    """Compare first spikes after one input of graded strength.

    Currents are spread evenly from zero to ``strongest`` times the least one that makes the neuron spike, so that
    grazing crossings and neurons that stay silent are among them.

    Returns
    -------
    FirstSpikeStudy

    Raises
    ------
    InputError
        If ``strongest`` is not above one.
    """
    if not strongest > 1:
        raise InputError(f"strongest = {strongest}: must be above 1")
    dt = np.asarray(dt, np.float64)
    times = np.linspace(0.0, 20.0 * max(parameters.tau_mem, parameters.tau_syn), 200001)
    least = parameters.threshold / closed_form(times, 0.0, 1.0, parameters)[0].max()
    i0 = (np.arange(n_neurons) + 0.5) / n_neurons * strongest * least
    exact = exact_first_spikes(parameters, i0, span)
    n_spikes = int(np.isfinite(exact).sum())
    table = np.full((5, len(schemes), dt.size), np.nan)
    for s, scheme in enumerate(schemes):
        for d, step in enumerate(dt):
            if scheme == "forward_euler" and step >= 2 * min(parameters.tau_mem, parameters.tau_syn):
                continue
            t = clock_first_spikes(parameters, i0, span, step, scheme)
            both = np.isfinite(t) & np.isfinite(exact)
            error = t[both] - exact[both] if both.any() else np.array([np.nan])
            table[:3, s, d] = np.abs(error).mean(), np.sqrt((error**2).mean()), error.mean()
            table[3, s, d] = (np.isinf(t) & np.isfinite(exact)).sum() / n_spikes
            table[4, s, d] = (np.isfinite(t) & np.isinf(exact)).sum() / n_spikes
    small = dt <= 0.1 * min(parameters.tau_mem, parameters.tau_syn)
    order = tuple(fit_order(dt[small], row[small]) for row in table[0])
    return FirstSpikeStudy(tuple(schemes), dt, n_spikes, *table, order)
