"""The loop: what is due is delivered to a block that stays in the cache, its neurons advance, their spikes are listed.

A thread owns some blocks and writes to nothing else. A spike of step k over a delay of D steps arrives in step k + D;
in each step arrivals are added in one order: longest delay first, then by population, then by source neuron. Threads
meet once a window, the least delay between neurons: all that arrives in it was sent before it.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from snnsim.kernels.jit import NOGIL, NOGIL_LEAF
from snnsim.kernels.longrun.drive import GROUP, add_counts, add_counts_each, add_noise, random_words
from snnsim.kernels.longrun.machine import arrive, prefetch, wait_for
from snnsim.kernels.longrun.neurons import TWO_SYNAPSES, add_into, step_lif, step_lif_two

AHEAD = 6
"""Rows whose memory is asked for before they are needed."""
GATHERED = 4096
"""Rows that are found before they are delivered."""


class Synapses(NamedTuple):
    """Compressed synapses; see :mod:`snnsim.kernels.longrun.wiring`.

    Parameters
    ----------
    rows : (NB, S) int64
        Where the row of each source neuron begins.
    offsets : (NB, L) uint16 or uint32
    offsets_at, width : (P_all,) int64
        Where the offsets of each population's first neuron begin, and how many a neuron has.
    targets, weights : (n_synapses,) uint16, float32 or float64
    order : (n, 3) int64
        (steps, population, number of the delay), in the order of delivery.
    early : int
        How many of them lead to spikes of earlier windows than the last.
    """

    rows: np.ndarray
    offsets: np.ndarray
    offsets_at: np.ndarray
    width: np.ndarray
    targets: np.ndarray
    weights: np.ndarray
    order: np.ndarray
    early: int


class State(NamedTuple):
    """States of all neurons, block after block.

    Parameters
    ----------
    v, i : (n,) float32 or float64
    j : (n,) or (1,)
        Inhibitory currents, if any population has them.
    held : (n,) int32
    x, y : (n,), (n,) or (1,)
        Arrivals of the present step.
    shown, drive : (n,)
        Scratch: membranes before the reset; what currents add in this step.
    more, more_y : (4, n), (4, n) or (4, 1)
        Input from outside in four steps.
    flags : (n,) uint8
    """

    v: np.ndarray
    i: np.ndarray
    j: np.ndarray
    held: np.ndarray
    x: np.ndarray
    y: np.ndarray
    shown: np.ndarray
    drive: np.ndarray
    more: np.ndarray
    more_y: np.ndarray
    flags: np.ndarray


class Trains(NamedTuple):
    """Spikes of the last steps and of those that are being made.

    Parameters
    ----------
    neurons : (NB, cap) int32
        Spikes of each block's neurons, by number over all populations.
    ends : (NB, H P + 1) int64
        Where those of each (step, population) end; the first entry is 0.
    inputs : (n,) int32
    input_ends : (H P_in + 1,) int64
        The same of inputs, which belong to no block.
    first_step : int
        Step of the first entry.
    """

    neurons: np.ndarray
    ends: np.ndarray
    inputs: np.ndarray
    input_ends: np.ndarray
    first_step: int


class Outside(NamedTuple):
    """Input that is drawn or calculated, Q Poisson inputs and C currents.

    Parameters
    ----------
    poisson : (Q, 4) int64
        Population, stream, number of draws a step, 1 if means differ between neurons.
    tables : (Q, R, K) uint32
        Thresholds of each step of this piece; R = 1 if they do not change.
    means, factors : (Q or 0, n) float64, (Q, R) float64
        Means of each neuron and draw, and their factor.
    weights : (Q, n)
    currents : (C, 3) int64
        Population; stream; 0 if the amplitude is multiplied by ``series``, else the number of steps for which a normal
        number holds.
    amplitudes : (C, n)
    series : (C, R) float64
    constant : (n,)
        What constant currents add to v in each step.
    seed : int
    """

    poisson: np.ndarray
    tables: np.ndarray
    means: np.ndarray
    factors: np.ndarray
    weights: np.ndarray
    currents: np.ndarray
    amplitudes: np.ndarray
    series: np.ndarray
    constant: np.ndarray
    seed: int


class Samples(NamedTuple):
    """What is kept of membranes and currents.

    Parameters
    ----------
    every, offset : int
        Keep steps for which (step + 1 - offset) is a multiple of ``every``; 0 for none.
    places : (M,) int64
        Places of the neurons, ascending.
    first : (NB + 1,) int64
        Where those of each block begin.
    columns : (M,) int64
    v, i : (K, M) float32 or float64
        Filled.
    """

    every: int
    offset: int
    places: np.ndarray
    first: np.ndarray
    columns: np.ndarray
    v: np.ndarray
    i: np.ndarray


@njit(**NOGIL_LEAF)
def find_rows(rows, offsets, offsets_at, width, start, d, spikes, begin, end, froms, tos, found):
    """Where the synapses of one delay of some spikes lie in a block; returns how many rows are known now."""
    for k in range(begin, end):
        source = np.int64(spikes[k])
        place = offsets_at + (source - start) * width + d
        row = rows[source]
        a, b = row + np.int64(offsets[place]), row + np.int64(offsets[place + 1])
        if b > a:
            froms[found] = a
            tos[found] = b
            found += 1
    return found


@njit(**NOGIL_LEAF)
def add_rows(x, targets, weights, froms, tos, found):
    """Add the weights of some rows to their targets."""
    for k in range(found, found + AHEAD):
        froms[k] = 0
    for k in range(found):
        then = froms[k + AHEAD]
        prefetch(targets, then)
        prefetch(targets, then + 32)
        prefetch(weights, then)
        prefetch(weights, then + 16)
        prefetch(weights, then + 32)
        prefetch(weights, then + 48)
        # Unsigned, so that no place is tested for being counted from the end.
        for s in range(np.uint64(froms[k]), np.uint64(tos[k])):
            x[np.uint64(targets[s])] += weights[s]


@njit(**NOGIL_LEAF)
def add_rows_by_sign(x, y, targets, weights, froms, tos, found):
    """Add positive weights to ``x`` and negative ones to ``y``."""
    for k in range(found):
        for s in range(np.uint64(froms[k]), np.uint64(tos[k])):
            w = weights[s]
            if w < 0:
                y[np.uint64(targets[s])] += w
            else:
                x[np.uint64(targets[s])] += w


@njit(**NOGIL)
def deliver(b, step, order_from, order_to, blocks, synapses, state, trains, two, froms, tos):
    """Deliver to block b what is due in a step, of some of the delays; returns the number of synapses."""
    n_populations = blocks.local.shape[1] - 1
    n_inputs = blocks.start.size - 1 - n_populations
    lo, hi = blocks.first[b], blocks.first[b + 1]
    x = state.x[lo:hi]
    y = state.y[lo:hi] if two else state.y
    rows, offsets, targets, weights = synapses.rows[b], synapses.offsets[b], synapses.targets, synapses.weights
    found = events = 0
    for o in range(order_from, order_to):
        p, d = synapses.order[o, 1], synapses.order[o, 2]
        slot = step - synapses.order[o, 0] - trains.first_step
        if slot < 0:
            continue
        start, at, width = blocks.start[p], synapses.offsets_at[p], synapses.width[p]
        of_input = p >= n_populations
        for other in range(1 if of_input else trains.ends.shape[0]):
            if of_input:
                spikes, ends, cell = trains.inputs, trains.input_ends, slot * n_inputs + p - n_populations
            else:
                spikes, ends, cell = trains.neurons[other], trains.ends[other], slot * n_populations + p
            begin, end = ends[cell], ends[cell + 1]
            while begin < end:
                until = min(end, begin + GATHERED - found)
                found = find_rows(rows, offsets, at, width, start, d, spikes, begin, until, froms, tos, found)
                begin = until
                if found == GATHERED:
                    events += add_all(x, y, targets, weights, two, froms, tos, found)
                    found = 0
    if found:
        events += add_all(x, y, targets, weights, two, froms, tos, found)
    return events


@njit(**NOGIL_LEAF)
def add_all(x, y, targets, weights, two, froms, tos, found):
    """Add the rows that were found, by sign or not; returns the number of synapses."""
    if two:
        add_rows_by_sign(x, y, targets, weights, froms, tos, found)
    else:
        add_rows(x, targets, weights, froms, tos, found)
    events = 0
    for k in range(found):
        events += tos[k] - froms[k]
    return events


@njit(**NOGIL)
def draw_outside(b, step, start_step, stop_step, blocks, state, outside, two, words):
    """Draw the Poisson input of block b for the four steps of a group."""
    lo, group = blocks.first[b], step // GROUP
    for r in range(GROUP):
        for q in range(outside.poisson.shape[0]):
            p = outside.poisson[q, 0]
            a, e = lo + blocks.local[b, p], lo + blocks.local[b, p + 1]
            state.more[r, a:e] = 0
            if two:
                state.more_y[r, a:e] = 0
    for q in range(outside.poisson.shape[0]):
        p, stream = outside.poisson[q, 0], outside.poisson[q, 1]
        a, e = lo + blocks.local[b, p], lo + blocks.local[b, p + 1]
        if e == a:
            continue
        w = words[:, : e - a]
        for draw in range(outside.poisson[q, 2]):
            random_words(w, blocks.cut[p, b], group, draw, stream, outside.seed)
            for r in range(GROUP):
                now = GROUP * group + r
                if now < start_step or now >= stop_step:
                    continue
                weight = outside.weights[q, a:e]
                more = state.more_y[r, a:e] if two and weight[0] < 0 else state.more[r, a:e]
                row = now - start_step
                if outside.poisson[q, 3]:
                    factor = outside.factors[q, row if outside.factors.shape[1] > 1 else 0]
                    add_counts_each(w[r], outside.means[q, a:e], factor, weight, more)
                else:
                    add_counts(w[r], outside.tables[q, row if outside.tables.shape[1] > 1 else 0], weight, more)


@njit(**NOGIL)
def change_drive(b, step, start_step, blocks, state, outside, words):
    """Drive of block b in this step: constant currents, series and noise."""
    lo, hi = blocks.first[b], blocks.first[b + 1]
    for n in range(lo, hi):
        state.drive[n] = outside.constant[n]
    for c in range(outside.currents.shape[0]):
        p, stream, hold = outside.currents[c, 0], outside.currents[c, 1], outside.currents[c, 2]
        a, e = lo + blocks.local[b, p], lo + blocks.local[b, p + 1]
        if e == a:
            continue
        drive, amplitude = state.drive[a:e], outside.amplitudes[c, a:e]
        if hold:
            number = step // hold
            w = words[:, : e - a]
            random_words(w, blocks.cut[p, b], number // GROUP, 0, stream, outside.seed)
            add_noise(w[number % GROUP], amplitude, drive)
        else:
            factor = type(drive[0])(outside.series[c, step - start_step])
            for n in range(e - a):
                drive[n] += factor * amplitude[n]


@njit(**NOGIL)
def step_block(b, step, blocks, state, constants, n_ref, models, two):
    """Advance the neurons of block b by one step."""
    lo, r = blocks.first[b], step % GROUP
    for p in range(models.size):
        a, e = lo + blocks.local[b, p], lo + blocks.local[b, p + 1]
        v, i, held, x, more = state.v[a:e], state.i[a:e], state.held[a:e], state.x[a:e], state.more[r, a:e]
        drive, shown, flags = state.drive[a:e], state.shown[a:e], state.flags[a:e]
        if models[p] == TWO_SYNAPSES:
            j, y, more_y = state.j[a:e], state.y[a:e], state.more_y[r, a:e]
            step_lif_two(v, i, j, held, x, y, more, more_y, drive, shown, flags, constants[p], n_ref[p])
        else:
            if two:
                add_into(x, state.y[a:e])
                add_into(more, state.more_y[r, a:e])
            step_lif(v, i, held, x, more, drive, shown, flags, constants[p], n_ref[p])


@njit(**NOGIL)
def list_spikes(b, slot, blocks, flags, flags8, trains):
    """List who spiked in block b, eight neurons a look, and note where each population's spikes end."""
    lo, hi = blocks.first[b], blocks.first[b + 1]
    local, n_populations = blocks.local[b], blocks.local.shape[1] - 1
    neurons, ends, cell = trains.neurons[b], trains.ends[b], slot * n_populations + 1
    m, p = ends[cell - 1], 0
    for k in range(lo // 8, hi // 8):
        if flags8[k] != np.uint64(0):
            for n in range(8 * k, 8 * k + 8):
                if flags[n]:
                    at = n - lo
                    while at >= local[p + 1]:
                        ends[cell + p] = m
                        p += 1
                    neurons[m] = blocks.start[p] + blocks.cut[p, b] + at - local[p]
                    m += 1
    while p < n_populations:
        ends[cell + p] = m
        p += 1


@njit(**NOGIL)
def keep_samples(b, row, state, samples, two):
    """Keep membranes and currents of block b."""
    for k in range(samples.first[b], samples.first[b + 1]):
        n, column = samples.places[k], samples.columns[k]
        samples.v[row, column] = state.shown[n]
        samples.i[row, column] = state.i[n] + state.j[n] if two else state.i[n]


@njit(**NOGIL)
def advance(
    b_from, b_to, n_threads, counter, start_step, stop_step, window, blocks, synapses, state, trains, outside, samples,
    constants, n_ref, models, two, flags8,
):  # fmt: skip
    """Advance some blocks; every thread calls this with its own.

    Parameters
    ----------
    b_from, b_to : int
        Blocks of this thread.
    n_threads : int
    counter : (8,) int64
        Zero at the start; the threads' barrier.
    start_step, stop_step : int
    window : int
        Steps between meetings.
    blocks, synapses, state, trains, outside, samples
        Of those classes.
    constants : (P, N_CONSTANTS)
    n_ref, models : (P,) int32, int64
    two : bool
        Whether any population has two synapses.
    flags8 : (n // 8,) uint64
        ``state.flags`` eight at a time.

    Returns
    -------
    int
        Synaptic events delivered.
    """
    froms, tos = np.zeros(GATHERED + AHEAD, np.int64), np.zeros(GATHERED + AHEAD, np.int64)
    widest = 1
    for b in range(b_from, b_to):
        for p in range(models.size):
            widest = max(widest, blocks.local[b, p + 1] - blocks.local[b, p])
    words = np.zeros((GROUP, widest), np.uint32)
    n_order, events, meetings = synapses.order.shape[0], 0, 0
    varying = outside.currents.shape[0] > 0
    for step in range(start_step, stop_step):
        meet = step > start_step and (step - start_step) % window == 0
        early = synapses.early if meet else 0
        if meet:
            for b in range(b_from, b_to):
                events += deliver(b, step, 0, early, blocks, synapses, state, trains, two, froms, tos)
            meetings += 1
            wait_for(counter, meetings * n_threads)
        for b in range(b_from, b_to):
            events += deliver(b, step, early, n_order, blocks, synapses, state, trains, two, froms, tos)
            if step % GROUP == 0 or step == start_step:
                draw_outside(b, step, start_step, stop_step, blocks, state, outside, two, words)
            if varying:
                change_drive(b, step, start_step, blocks, state, outside, words)
            step_block(b, step, blocks, state, constants, n_ref, models, two)
            list_spikes(b, step - trains.first_step, blocks, state.flags, flags8, trains)
            if samples.every and (step + 1 - samples.offset) % samples.every == 0:
                keep_samples(b, (step + 1 - samples.offset) // samples.every - 1, state, samples, two)
        if (step + 1 - start_step) % window == 0:
            arrive(counter)
    return events


@njit(**NOGIL)
def spikes_of(p, slot_from, slot_to, blocks, trains, neurons, step_ends):
    """List the spikes of a population, by step and neuron.

    Parameters
    ----------
    p : int
    slot_from, slot_to : int
        Entries of ``trains``.
    neurons : (n,) int32
        Filled with numbers within the population; may be empty to count only.
    step_ends : (slots,) int64
        Filled.
    """
    n_populations, m = blocks.local.shape[1] - 1, 0
    for slot in range(slot_from, slot_to):
        for b in range(trains.ends.shape[0]):
            cell = slot * n_populations + p
            begin, end = trains.ends[b, cell], trains.ends[b, cell + 1]
            if neurons.size:
                for k in range(begin, end):
                    neurons[m + k - begin] = trains.neurons[b, k] - np.int32(blocks.start[p])
            m += end - begin
        step_ends[slot - slot_from] = m
