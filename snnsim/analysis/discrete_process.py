"""The discrete-time Markov process (v_k, i_k) of a clock against its continuous counterpart, per scheme and step size.

The study leaves open how the two compare (its limitation 4). Without a threshold the answer is closed for the first
two moments (:mod:`snnsim.analysis.moments`). With a threshold it is measured: large samples of both processes under
Poisson input of the same rate, their firing rates and the distances of their densities, beside the distance that two
samples of the continuous process have from each other by chance.
"""

from dataclasses import dataclass

import numpy as np

from snnsim.analysis.distances import histogram_density, l1_distance, sample_distance
from snnsim.analysis.moments import MomentTable, moment_table
from snnsim.analysis.monte_carlo import sample_clock, sample_events


@dataclass(frozen=True)
class ProcessComparison:
    """Discrete against continuous process; arrays over (S schemes, D step sizes), NaN where a scheme is unstable.

    Parameters
    ----------
    schemes : tuple of str, length S
    dt : ndarray, (D,) float64
    moments : MomentTable
        Closed-form stationary moments without threshold.
    n_neurons : int
    duration, rate_from : float
        Length of the runs; firing rates are means from ``rate_from`` on.
    rate_continuous, rate_continuous_error : float
        Firing rate of the continuous process and its standard error.
    rate, rate_error : ndarray, (S, D) float64
        Firing rates of the discrete processes and their standard errors.
    l1_v, l1_i, wasserstein_v, wasserstein_i : ndarray, (S, D) float64
        Distances of the marginals at ``duration`` from the continuous ones.
    floor : ndarray, (4,) float64
        The same four distances between two independent samples of the continuous process: the noise of the measurement.
    v_edges, i_edges : ndarray
        Cells of the L1 distances.
    density_v : ndarray, (S, D, n_v) float64
    density_v_continuous : ndarray, (n_v,) float64
        Marginals of v.
    """

    schemes: tuple
    dt: np.ndarray
    moments: MomentTable
    n_neurons: int
    duration: float
    rate_from: float
    rate_continuous: float
    rate_continuous_error: float
    rate: np.ndarray
    rate_error: np.ndarray
    l1_v: np.ndarray
    l1_i: np.ndarray
    wasserstein_v: np.ndarray
    wasserstein_i: np.ndarray
    floor: np.ndarray
    v_edges: np.ndarray
    i_edges: np.ndarray
    density_v: np.ndarray
    density_v_continuous: np.ndarray


def compare_processes(
    parameters,
    rate,
    weight,
    dt,
    schemes,
    *,
    duration,
    rate_from,
    n_neurons=100_000,
    n_bins=60,
    seed=0,
    progress=None,
):
    """Compare the discrete-time processes of several schemes and step sizes with the continuous process.

    Parameters
    ----------
    parameters : LIFParameters
    rate, weight : float
    dt : sequence of float
        Each is taken as given; the run has ``round(duration/dt)`` steps.
    schemes : sequence of str
    duration, rate_from : float
        ``duration`` should be many time constants; rates are means from ``rate_from`` on.
    n_neurons, n_bins, seed : int
    progress : callable, optional
        Called without arguments after each simulated process, ``2 + len(schemes) * len(dt)`` times.

    Returns
    -------
    ProcessComparison
    """
    progress = (lambda: None) if progress is None else progress
    dt = np.asarray(dt, np.float64)
    reference = sample_events(parameters, rate, weight, duration, n_neurons=n_neurons, seed=seed)
    progress()
    twin = sample_events(parameters, rate, weight, duration, n_neurons=n_neurons, seed=seed + 1)
    progress()
    v_edges = _edges(reference.v[-1], n_bins, None if parameters.reset == "none" else parameters.threshold)
    i_edges = _edges(reference.i[-1], n_bins, None)
    shape = (len(schemes), dt.size)
    table = np.full((6, *shape), np.nan)
    density_v = np.full((*shape, n_bins), np.nan)
    for s, scheme in enumerate(schemes):
        for d, step in enumerate(dt):
            if scheme != "forward_euler" or step < 2 * min(parameters.tau_mem, parameters.tau_syn):
                n_steps = max(round(duration / step), 1)
                sample = sample_clock(
                    parameters, rate, weight, step, n_steps, scheme=scheme, n_neurons=n_neurons, seed=seed + 2
                )
                table[:2, s, d] = sample.mean_rate(rate_from)
                table[2:, s, d] = _distances(reference, sample, v_edges, i_edges)
                density_v[s, d] = histogram_density(sample.v[-1], v_edges)
            progress()
    return ProcessComparison(
        tuple(schemes),
        dt,
        moment_table(parameters, rate, weight, dt, schemes),
        n_neurons,
        float(duration),
        float(rate_from),
        *reference.mean_rate(rate_from),
        *table,
        np.array(_distances(reference, twin, v_edges, i_edges)),
        v_edges,
        i_edges,
        density_v,
        histogram_density(reference.v[-1], v_edges),
    )


def _edges(samples, n_bins, top):
    low, high = np.quantile(samples, [0.0001, 0.9999])
    margin = 0.1 * (high - low)
    return np.linspace(low - margin, high + margin if top is None else top, n_bins + 1)


def _distances(a, b, v_edges, i_edges):
    pairs = ((a.v[-1], b.v[-1], v_edges), (a.i[-1], b.i[-1], i_edges))
    l1 = [_l1(x, y, edges) for x, y, edges in pairs]
    return *l1, *(sample_distance(x, y) for x, y, _ in pairs)


def _l1(x, y, edges):
    # What lies beyond the edges counts as two further cells.
    inner = l1_distance(edges, histogram_density(x, edges), histogram_density(y, edges))
    beyond = abs((x < edges[0]).mean() - (y < edges[0]).mean()) + abs((x > edges[-1]).mean() - (y > edges[-1]).mean())
    return inner + float(beyond)
