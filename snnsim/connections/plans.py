"""How the synapses of each shape are enumerated, row by row, so that no matrix of a large network is ever made."""

import numpy as np

from snnsim.connections.dense import Dense
from snnsim.connections.maps import size_of
from snnsim.connections.one_to_one import OneToOne
from snnsim.connections.rules import Drawn, key_of, values_of
from snnsim.connections.sparse import Sparse
from snnsim.errors import InputError
from snnsim.kernels.longrun import wiring


def plan_of(shape, source, target, name, seed):
    """Rows of a connection's shape.

    Parameters
    ----------
    shape : Dense, OneToOne, Sparse or Drawn
    source, target : tuple of int
        Shapes of the populations.
    name : str
    seed : int

    Returns
    -------
    plan : wiring.Rule
    n_rows : int

    Raises
    ------
    InputError
        For other shapes.
    """
    if isinstance(shape, Drawn):
        return shape.plan, shape.n_rows
    n_source, n_target, key = size_of(source), size_of(target), key_of(seed, name)
    pointers, partners = np.zeros(1, np.int64), np.zeros(1, np.int32)
    if isinstance(shape, Dense) and shape.pool is None:
        how, degree = wiring.ALL, [n_target]
    elif isinstance(shape, OneToOne):
        how, degree = wiring.OWN, [1]
    elif isinstance(shape, Sparse):
        how, degree, pointers, partners = wiring.LISTED, np.diff(shape.indptr), shape.indptr, shape.indices
    else:
        raise InputError(f"{name}: {shape!r}: simulations without trials take dense, sparse and drawn connections")
    degree = np.asarray(degree, np.int64)
    return wiring.Rule(True, how, False, n_target, degree, pointers, partners, 0, 0, *key), n_source


def listed(plan, n_rows, n_source, weight, delay):
    """Draw the synapses of a plan as lists.

    Parameters
    ----------
    plan : wiring.Rule
    n_rows, n_source : int
    weight, delay : float or Distribution

    Returns
    -------
    shape : Sparse
    weights, delays : (n,) float64
        In the order of its synapses.
    """
    degrees = np.broadcast_to(plan.degree, (n_rows,))
    begins = np.concatenate([[0], np.cumsum(degrees)])
    cap, size = max(int(degrees.max(initial=0)), 1), int(begins[-1])
    sources, targets = np.empty(size, np.int64), np.empty(size, np.int64)
    weights, delays = np.empty(size), np.empty(size)
    wiring.list_synapses(
        plan, values_of(weight, "weight"), values_of(delay, "delay"), begins, np.empty((3, cap), np.uint32),
        np.zeros(plan.n_partners, np.int64), np.empty(cap, np.int64), sources, targets, weights, delays,
    )  # fmt: skip
    order = np.lexsort((targets, sources))
    pointers = np.concatenate([[0], np.cumsum(np.bincount(sources, minlength=n_source))])
    return Sparse(pointers, targets[order]), weights[order], delays[order]
