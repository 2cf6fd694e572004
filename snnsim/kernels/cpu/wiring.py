"""Connections inside a component: populations that one time loop advances together, step by step.

The neurons of a component's P populations are numbered through, population p has ``bounds[p]:bounds[p + 1]``; the
populations stand in an order in which a connection without delay only leads to a later one. Spikes of all of them are
one list: those of population p in step k are entries ``spike_ptr[b, k * P + p]:spike_ptr[b, k * P + p + 1]``.

A delay is D whole steps and a fraction phi in [0, 1) of one: ``x_k = W ((1 - phi) s_{k-D} + phi s_{k-D-1})``. Dense
connections are tables of rows, pulled when their input is due; all others are lists of synapses, pushed at the spike
into a ring of future input.
"""

from typing import NamedTuple

import numpy as np

LANES = 16
"""Columns of a transposed table are filled up to a multiple of this."""


class Rows(NamedTuple):
    """A dense connection: ``weights`` (N_source, N_target)."""

    source: int
    target: int
    weights: np.ndarray
    delay: int
    fraction: float = 0.0


class Synapses(NamedTuple):
    """Synapses by presynaptic neuron.

    ``indptr`` (N_source + 1,); of each synapse ``targets`` counted within the target population, ``weights``, and
    ``delays`` and ``fractions`` of each or of all.
    """

    source: int
    target: int
    indptr: np.ndarray
    targets: np.ndarray
    weights: np.ndarray
    delays: np.ndarray | int
    fractions: np.ndarray | float = 0.0


class Wiring(NamedTuple):
    """What the kernels take: flat arrays, in the order in which input is summed.

    Attributes
    ----------
    bounds : ndarray, (P + 1,) int64
    row_source, row_target, row_delay, row_start : ndarray, (R,) int64
        Of each dense connection, with where its table starts in ``table``.
    row_fraction : ndarray, (R,) float
    table : ndarray, (sum of N_source * N_target,) float
    row_start_t, row_stride_t : ndarray, (R,) int64
        Where its transposed table starts in ``table_t``, and the length of its rows.
    table_t : ndarray, float
        Tables (N_target, N_source), rows filled up with zeros; only gradients with a derivative in every step read it.
    list_source, list_start : ndarray, (S,) int64
        Of each connection of synapses; ``list_start[e] + i`` is the place in ``indptr`` of its source's neuron i.
    indptr : ndarray, (sum of N_source + 1,) int64
        Into the arrays of all synapses.
    target : ndarray, int32
        Neuron of the component.
    weight, fraction : ndarray, float
    delay : ndarray, int32
    """

    bounds: np.ndarray
    row_source: np.ndarray
    row_target: np.ndarray
    row_delay: np.ndarray
    row_start: np.ndarray
    row_fraction: np.ndarray
    table: np.ndarray
    row_start_t: np.ndarray
    row_stride_t: np.ndarray
    table_t: np.ndarray
    list_source: np.ndarray
    list_start: np.ndarray
    indptr: np.ndarray
    target: np.ndarray
    weight: np.ndarray
    delay: np.ndarray
    fraction: np.ndarray


def wiring_of(sizes, connections=(), dtype=np.float32, transposed=False):
    """Arrange the connections inside a component.

    Parameters
    ----------
    sizes : sequence of int
        Neurons of each population.
    connections : sequence of Rows and Synapses
        In the order in which they are summed.
    dtype : dtype
    transposed : bool
        Whether the tables are also wanted transposed.

    Returns
    -------
    Wiring
    """
    bounds = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    rows = [c for c in connections if isinstance(c, Rows)]
    lists = [c for c in connections if isinstance(c, Synapses)]
    starts = _starts([c.weights.size for c in rows])
    strides = np.array([-(-len(c.weights) // LANES) * LANES for c in rows], np.int64)
    starts_t = _starts([transposed * s * c.weights.shape[1] for s, c in zip(strides, rows, strict=True)])
    first = _starts([len(c.targets) for c in lists])[:-1]
    table = np.empty(starts[-1], dtype)
    table_t = np.zeros(starts_t[-1], dtype)
    wiring = Wiring(
        bounds,
        *(_integers(c[place] for c in rows) for place in (0, 1, 3)),
        starts[:-1],
        np.array([c.fraction for c in rows], dtype),
        table,
        starts_t[:-1],
        strides,
        table_t,
        _integers(c.source for c in lists),
        _starts([len(c.indptr) for c in lists])[:-1],
        _joined([c.indptr + s for c, s in zip(lists, first, strict=True)], np.int64),
        _joined([c.targets + bounds[c.target] for c in lists], np.int32),
        _joined([c.weights for c in lists], dtype),
        _joined([np.broadcast_to(c.delays, len(c.targets)) for c in lists], np.int32),
        _joined([np.broadcast_to(c.fractions, len(c.targets)) for c in lists], dtype),
    )
    set_tables(wiring, [c.weights for c in rows])
    return wiring


def set_tables(wiring, weights):
    """Write the weights of the dense connections, in their order, into the tables of a wiring."""
    for e, w in enumerate(weights):
        start, stride = wiring.row_start[e], wiring.row_stride_t[e]
        wiring.table[start : start + w.size] = w.ravel()
        if wiring.table_t.size:
            start = wiring.row_start_t[e]
            wiring.table_t[start : start + stride * w.shape[1]].reshape(-1, stride)[:, : len(w)] = w.T


def longest_delay(wiring):
    """Count the steps from a spike to the last one in which it arrives, at least 0."""
    steps = [wiring.row_delay + (wiring.row_fraction > 0), wiring.delay + (wiring.fraction > 0)]
    return int(max(s.max(initial=0) for s in steps))


def _integers(values):
    return np.array(list(values), np.int64)


def _starts(counts):
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)


def _joined(arrays, dtype):
    return np.concatenate([np.empty(0, dtype), *arrays]).astype(dtype)
