"""Compressed synapses: drawn by rule in two passes, counted and filled, without a list of pairs and without a sort.

A *row* holds the synapses from one source neuron to the neurons of one block, ordered by delay, within a delay by
connection and then by number. Each synapse is a target (its place in the block, 2 bytes) and a weight; the delays of
a row are offsets: synapses ``offsets[d]`` to ``offsets[d + 1]`` of it take the d-th delay of their source's population.

Every number drawn is a function of (key, row, number of the synapse): who draws it, and how often, does not matter.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from snnsim.dynamics.distributions import CONSTANT, quantile
from snnsim.kernels.jit import NOGIL_LEAF
from snnsim.kernels.longrun.philox import U32, below, philox

DRAWN, DISTINCT, LISTED, ALL, OWN = 0, 1, 2, 3, 4
"""How a row finds its partners: drawn with or without repetition, listed, all of them, or the one of its number."""
PER_DRAW, PER_SYNAPSE, PER_SOURCE = 0, 1, 2
"""Where values come from: a distribution, an array with one a synapse, or one with one a source neuron."""


class Blocks(NamedTuple):
    """How neurons lie in memory: block after block, in each block a piece of every population.

    Parameters
    ----------
    first : (NB + 1,) int64
        Place at which each block begins.
    local : (NB, P + 1) int64
        Where each population's piece begins within its block; last, how many neurons the block has.
    cut : (P, NB + 1) int64
        Neuron of a population with which its piece in each block begins.
    start : (S + 1,) int64
        Number of each population's first neuron over all populations; inputs stand behind the P populations.
    """

    first: np.ndarray
    local: np.ndarray
    cut: np.ndarray
    start: np.ndarray


class Values(NamedTuple):
    """Weights of a connection.

    Parameters
    ----------
    mode : int
    array : (n,) float64
        One a synapse or source; unused where drawn.
    kind : int
        Distribution of :mod:`snnsim.dynamics.distributions`.
    a, b : float
        Its parameters.
    p_low, p_high : float
        Probabilities between which it is cut off.
    low, high : float
        Bounds to which values are moved.
    """

    mode: int
    array: np.ndarray
    kind: int
    a: float
    b: float
    p_low: float
    p_high: float
    low: float
    high: float


class Delays(NamedTuple):
    """Delays of a connection, as numbers of the delays of its source's population.

    Parameters
    ----------
    mode : int
    array : (n,) int32
        One a synapse or source; unused where drawn.
    below : (K,) uint64
        Drawn words below ``below[k]``, and not below ``below[k - 1]``, take the k-th entry of ``index``.
    guide : (1024,) int32
        The least k that a word with so many upper ten bits can take.
    index : (K,) int32
    """

    mode: int
    array: np.ndarray
    below: np.ndarray
    guide: np.ndarray
    index: np.ndarray


class Rule(NamedTuple):
    """Pairs of a connection.

    Parameters
    ----------
    by_source : bool
        Whether a row is a source neuron, or a target neuron.
    how : int
        :data:`DRAWN`, ...
    skip_self : bool
        Whether a neuron is no partner of its own.
    n_partners : int
    degree : (rows,) or (1,) int64
        Partners of each row.
    pointers, partners : (rows + 1,) int64, (n,) int32
        Where they are listed.
    source, target : int
        Numbers of the populations.
    key0, key1 : int
    """

    by_source: bool
    how: int
    skip_self: bool
    n_partners: int
    degree: np.ndarray
    pointers: np.ndarray
    partners: np.ndarray
    source: int
    target: int
    key0: int
    key1: int


@njit(**NOGIL_LEAF)
def degree_of(rule, row):
    """How many partners a row has."""
    return rule.degree[row] if rule.degree.size > 1 else rule.degree[0]


@njit(**NOGIL_LEAF)
def draw_row(rule, row, words, mark, partners):
    """Draw one row: its random words, (3, n) uint32, and its partners.

    Parameters
    ----------
    rule : Rule
    row : int
    words : (3, cap) uint32
        Filled: for the partner, the weight and the delay.
    mark : (n_partners,) int64
        Scratch of the caller; rows that have marked an entry are remembered there.
    partners : (cap,) int64
        Filled.

    Returns
    -------
    int
        How many.
    """
    degree = degree_of(rule, row)
    at, k0, k1 = U32(row), U32(rule.key0), U32(rule.key1)
    for k in range(degree):
        a, b, c, _ = philox(at, U32(k), U32(0), U32(0), k0, k1)
        words[0, k] = a
        words[1, k] = b
        words[2, k] = c
    if rule.how == LISTED:
        begin = rule.pointers[row]
        for k in range(degree):
            partners[k] = rule.partners[begin + k]
        return degree
    if rule.how == OWN:
        partners[0] = row
        return degree
    choices = rule.n_partners - (1 if rule.skip_self else 0)
    if rule.how == DRAWN:
        for k in range(degree):
            partners[k] = below(words[0, k], choices)
    elif rule.how == ALL:
        for k in range(degree):
            partners[k] = k
    else:
        # Floyd's: the k-th draw is from one more; who is there already gives way to the one that is new.
        for k in range(degree):
            last = choices - degree + k
            chosen = below(words[0, k], last + 1)
            if mark[chosen] == row + 1:
                chosen = last
            mark[chosen] = row + 1
            partners[k] = chosen
    if rule.skip_self:
        for k in range(degree):
            partners[k] += partners[k] >= row
    return degree


@njit(**NOGIL_LEAF)
def delay_number(delays, word, synapse, source):
    """Which of its source's delays a synapse takes."""
    if delays.mode == PER_SYNAPSE:
        return np.int64(delays.array[synapse])
    if delays.mode == PER_SOURCE:
        return np.int64(delays.array[source])
    k = np.int64(delays.guide[word >> U32(22)])
    while np.uint64(word) >= delays.below[k]:
        k += 1
    return np.int64(delays.index[k])


@njit(**NOGIL_LEAF)
def weight_of(values, word, synapse, source):
    """Weight of a synapse."""
    if values.mode == PER_SYNAPSE:
        return values.array[synapse]
    if values.mode == PER_SOURCE:
        return values.array[source]
    if values.kind == CONSTANT:
        return values.a
    p = values.p_low + (np.float64(word) + 0.5) * 2.0**-32 * (values.p_high - values.p_low)
    return min(max(quantile(values.kind, values.a, values.b, p), values.low), values.high)


@njit(**NOGIL_LEAF)
def block_of(cut, target, neuron):
    """Block that holds a neuron of a population."""
    b = 0
    while neuron >= cut[target, b + 1]:
        b += 1
    return b


@njit(**NOGIL_LEAF)
def count_synapses(rule, delays, blocks, row_from, row_to, width, offsets_at, offsets, words, mark, partners):
    """First pass: raise ``offsets[block, place of the row + 1 + delay]`` by one for every synapse of some rows.

    Parameters
    ----------
    row_from, row_to : int
        Rows of the rule to draw.
    width : int
        Entries of ``offsets`` that a source of this population has: its delays and one.
    offsets_at : int
        Where those of the population's first neuron begin.
    offsets : (NB, L) uint16 or uint32
    words, mark, partners
        Scratch; see :func:`draw_row`.
    """
    for row in range(row_from, row_to):
        degree = draw_row(rule, row, words, mark, partners)
        begin = rule.pointers[row] if rule.pointers.size > 1 else row * degree
        for k in range(degree):
            source = row if rule.by_source else partners[k]
            target = partners[k] if rule.by_source else row
            d = delay_number(delays, words[2, k], begin + k, source)
            offsets[block_of(blocks.cut, rule.target, target), offsets_at + source * width + d + 1] += 1


@njit(**NOGIL_LEAF)
def make_offsets(offsets, offsets_at, width, source_from, source_to, first, rows):
    """Turn counts into running places, from which the second pass goes on; note the length of each row.

    Afterwards ``offsets[b, place + 1 + d]`` is where the synapses of delay d begin, and once all are filled where they
    end.

    Parameters
    ----------
    offsets : (NB, L)
    offsets_at, width : int
        As of :func:`count_synapses`.
    source_from, source_to : int
        Neurons of the population.
    first : int
        Number of the population's first neuron over all.
    rows : (NB, S) int64
        Filled with the lengths of the population's rows.
    """
    for b in range(offsets.shape[0]):
        for source in range(source_from, source_to):
            place, total = offsets_at + source * width, 0
            for d in range(1, width):
                number = np.int64(offsets[b, place + d])
                offsets[b, place + d] = total
                total += number
            rows[b, first + source] = total


@njit(**NOGIL_LEAF)
def fill_synapses(
    rule, values, delays, blocks, row_from, row_to, width, offsets_at, offsets, rows, words, mark, partners, targets,
    weights,
):  # fmt: skip
    """Second pass: draw the same rows again, and put each synapse in its place.

    Parameters
    ----------
    rows : (NB, S) int64
        Where the row of each source neuron begins.
    targets, weights : (n_synapses,) uint16, float32 or float64
        Filled.
    """
    for row in range(row_from, row_to):
        degree = draw_row(rule, row, words, mark, partners)
        begin = rule.pointers[row] if rule.pointers.size > 1 else row * degree
        for k in range(degree):
            source = row if rule.by_source else partners[k]
            target = partners[k] if rule.by_source else row
            d = delay_number(delays, words[2, k], begin + k, source)
            b = block_of(blocks.cut, rule.target, target)
            cell = offsets_at + source * width + d + 1
            place = rows[b, blocks.start[rule.source] + source] + np.int64(offsets[b, cell])
            offsets[b, cell] += 1
            targets[place] = blocks.local[b, rule.target] + target - blocks.cut[rule.target, b]
            weights[place] = weight_of(values, words[1, k], begin + k, source)


@njit(**NOGIL_LEAF)
def list_synapses(rule, values, times, begins, words, mark, partners, sources, targets, weights, delays):
    """List the synapses of a rule one row after another, for engines that want lists.

    Parameters
    ----------
    rule : Rule
    values, times : Values
        Of weights and of delays.
    begins : (rows + 1,) int64
        Where each row begins.
    words, mark, partners
        Scratch; see :func:`draw_row`.
    sources, targets : (n,) int64
        Filled.
    weights, delays : (n,) float64
        Filled.
    """
    for row in range(begins.size - 1):
        degree = draw_row(rule, row, words, mark, partners)
        for k in range(degree):
            place = begins[row] + k
            source = row if rule.by_source else partners[k]
            sources[place] = source
            targets[place] = partners[k] if rule.by_source else row
            weights[place] = weight_of(values, words[1, k], place, source)
            delays[place] = weight_of(times, words[2, k], place, source)
