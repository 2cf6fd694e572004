"""Time loops of a component, made from a neuron's and an estimator's scalars: forward and, below it, backward.

Shapes: B samples, T steps, N neurons of P populations (:mod:`snnsim.kernels.cpu.wiring`); a call advances the steps
``k0 <= k < k1`` of a batch, its state is carried in arrays between calls. ``neuron`` and ``estimator`` are modules of
:mod:`snnsim.neurons` and :mod:`snnsim.estimators`; ``constants`` and ``settings`` are their named tuples: numbers of
the arrays' dtype or, among constants, one number a neuron. States, what is kept of spikes and adjoints are tuples of
arrays, in the order of the modules' names.
"""

from functools import cache

import numpy as np
from numba import njit, prange

from snnsim.kernels.cpu.flags import WORD, list_flags
from snnsim.kernels.cpu.inside import collect, pull, push_population
from snnsim.kernels.cpu.tuples import flat_of, n_rows, pick, put, rows_of, scratch_like, tell, write_rows
from snnsim.kernels.cpu.vectors import TILE, add_tile_product, dot_table_rows
from snnsim.kernels.cpu.wiring import LANES
from snnsim.kernels.jit import KERNEL


def forward_of(neuron, estimator, wired=False):
    """Make the loop that advances a component and lists its spikes.

    Parameters
    ----------
    neuron, estimator : module
    wired : bool
        Whether there are connections inside: without, there is less to compile, and the wiring only says the bounds.

    Returns
    -------
    callable
        ``forward(x, drive, constants, settings, wiring, k0, k1, state, ring, neurons, spike_ptr, kept, traces, first,
        every)``

        x : ndarray, (B, >= k1 - k0, N) float
            Summed input of each step from outside.
        drive : ndarray, (B or 1, >= k1 - k0 or 1, N) float, or empty
            Current into the membrane in each step; one row stands for all samples or steps.
        k0, k1 : int
        state : tuple of ndarray, (B, N) float
            After step ``k0 - 1`` and its spikes, and on return after step ``k1 - 1``.
        ring : ndarray, (B, R, N) float
            Input from synapses that is under way: that of step k in row ``k % R``, R at least the longest delay + 1.
            Zero before the first call; (0, 0, 0) without synapses.
        neurons : ndarray, (B, cap) int32
            Spikes, ordered by step, population, neuron. A sample with more than cap spikes runs to its end without
            storing the surplus; its ``spike_ptr[b, k1 * P]`` then exceeds cap and the caller runs it again with more.
        spike_ptr : ndarray, (B, T * P + 1) int32
            ``spike_ptr[:, 0]`` is zero.
        kept : tuple of ndarray, (B, cap) float
            Of each spike, ``estimator.KEPT``.
        traces : tuple of ndarray, (B, K, N) float or empty
            States before the spikes of every ``every``-th step, from row ``first`` of all these rows on.
        first, every : int

        To have the states of a chunk again, call it with what was there before the chunk: the same spikes are written.
    """
    return _forward(neuron, estimator.kept(neuron), wired)


@cache
def _forward(neuron, keep, wired):
    step, fires, jump, jumps = neuron.step, neuron.fires, neuron.jump, neuron.JUMPS
    driven, felt = neuron.driven, neuron.felt

    @njit(**KERNEL)
    def forward(
        x, drive, constants, settings, wiring, k0, k1, state, ring, neurons, spike_ptr, kept, traces, first, every
    ):  # fmt: skip
        bounds = wiring.bounds
        n_populations = bounds.shape[0] - 1
        (n_samples, span, n_neurons), cap = x.shape, neurons.shape[1]
        (outside,) = flat_of((x,))
        for b in prange(n_samples):
            last = rows_of(state, b)
            # What a spike changes has a place of its own until the spikes are known.
            now = scratch_like(last[:jumps]) + last[jumps:]
            changed, ready = last[:jumps], now[:jumps]
            memory, listed, ends = rows_of(kept, b), neurons[b], spike_ptr[b]
            fired, flags = np.empty(n_neurons, np.int32), np.empty(n_neurons + WORD, np.uint8)
            # With what comes from inside, input is completed in a row that stays in cache.
            total, part = np.empty(n_neurons, x.dtype), np.empty(n_neurons, x.dtype)
            given, u = total if wired else outside, np.zeros(n_neurons, x.dtype)
            stored = ends[k0 * n_populations]
            for k in range(k0, k1):
                row = (b * span + k - k0) * n_neurons
                at = 0 if wired else row
                for p in range(n_populations):
                    low, high = bounds[p], bounds[p + 1]
                    if wired:
                        for n in range(low, high):
                            put(total, n, pick(outside, row + n))
                        pull(wiring, p, k, listed, ends, part, total)
                        if ring.size:
                            collect(ring[b], low, high, k, total)
                    for n in range(low, high):
                        put(now, n, step(pick(last, n), pick(given, at + n), pick(constants, n)))
                    if drive.size:
                        flow = drive[np.intp(b) if drive.shape[0] > 1 else 0, k - k0 if drive.shape[1] > 1 else 0]
                        for n in range(low, high):
                            put(now, n, driven(pick(now, n), pick(flow, n), pick(constants, n)))
                            put(u, n, pick(flow, n))
                    for n in range(low, high):
                        put(flags, n - low, fires(pick(now, n), pick(constants, n)))
                    m = list_flags(flags, high - low, low, fired)
                    if stored + m <= cap:
                        for j in range(m):
                            n = fired[j]
                            put(listed, stored + j, n)
                            s, c = pick(now, n), pick(constants, n)
                            after = felt(jump(s, c), pick(u, n))
                            put(memory, stored + j, keep(pick(last, n), felt(s, pick(u, n)), after, c, settings))
                    if wired and ring.size:
                        push_population(wiring, p, fired, 0, m, k, k, ring[b])
                    stored += m
                    ends[k * n_populations + p + 1] = stored
                    for n in range(low, high):
                        put(changed, n, pick(ready, n))
                    for j in range(m):
                        put(last, fired[j], jump(pick(now, fired[j]), pick(constants, fired[j])))
                if (k + 1) % every == 0:
                    write_rows(traces, b, (k + 1) // every - 1 - first, now)

    return forward


@cache
def backward_of(neuron, estimator, wired=False):
    """Make the loop that runs the adjoint of a component from step ``k1 - 1`` down to ``k0``.

    Parameters
    ----------
    neuron, estimator, wired
        As in :func:`forward_of`.

    Returns
    -------
    callable
        ``backward(constants, settings, wiring, k0, k1, neurons, spike_ptr, kept, traces, error, dloss_dv, first, state,
        adjoint, passed, current, membrane, told)``

        neurons, spike_ptr, kept
            From the loop forward.
        traces : tuple of ndarray, (B, K, N) float, or empty tuple
            States before the spikes of each step, row 0 being step ``first``, in the order of ``neuron.STATE``. All are
            read if ``neuron.LOOKS_BACK``, those that a spike changes if every step has a derivative, else none.
        error : ndarray, (B, cap) float, or (B, K, N) if every step has a derivative
            From outside: dL/d(spike time) or dL/ds of every spike, or dL/ds of every step, row 0 being step ``first``.
            At spikes, on return with what spikes inside add.
        dloss_dv : ndarray, (B, K, N) float, or empty
            Row 0 is step ``first``.
        state : tuple of ndarray, (B, N) float
            Adjoints ``neuron.ADJOINT`` and ``estimator.EXTRA`` of step ``k1``, zero at the end of the trial, and on
            return of step ``k0``.
        adjoint : ndarray, (B, >= k1 - k0 + reach, N) float
            Output: ``X_k`` in row ``k - k0``. Rows from ``k1 - k0`` on hold those of the steps after the chunk, zero
            from the end of the trial on; reach is at least 1, and the longest whole delay inside + 1.
        passed : ndarray, (B, >= k1 - k0, N) float, or empty
            Output: what the spikes of connections from below read.
        current : ndarray, (B, >= k1 - k0, N) float, or empty
            Output: what stands for ``X_k`` with the continuous model's coefficient.
        membrane : ndarray, (B, >= k1 - k0, N) float, or empty
            Output: dL/d(current into the membrane).
        told : tuple of ndarray, (B, >= k1 - k0, N) float, or empty tuple
            Output: the adjoints ``neuron.ADJOINT`` of each step.
    """
    return (_every_step if estimator.EVERY_STEP else _at_spikes)(neuron, estimator, wired)


def _at_spikes(neuron, estimator, wired):
    adjoint_step, adjoint_membrane = neuron.adjoint_step, neuron.adjoint_membrane
    adjoint_input, adjoint_current = neuron.adjoint_input, neuron.adjoint_current
    adjoint_spike, pass_down = estimator.adjoint_spike(neuron), estimator.passed(neuron)
    arriving, scaled, own = estimator.arriving, estimator.scaled, len(neuron.ADJOINT)
    adjoint_drive = neuron.adjoint_drive

    @njit(**KERNEL)
    def backward(
        constants, settings, wiring, k0, k1, neurons, spike_ptr, kept, traces, error, dloss_dv, first, state, adjoint,
        passed, current, membrane, told,
    ):  # fmt: skip
        bounds = wiring.bounds
        n_populations, n_neurons = bounds.shape[0] - 1, adjoint.shape[2]
        levels, n_levels, out_of = flat_of(traces), n_rows(traces), flat_of(told)
        for b in prange(spike_ptr.shape[0]):
            states, memory, errors = rows_of(state, b), rows_of(kept, b), error[b]
            a, extra = states[:own], states[own:]
            line, sums = np.empty(adjoint.shape[2], adjoint.dtype), np.empty(adjoint.shape[2], adjoint.dtype)
            rows, listed, ends = adjoint[b], neurons[b], spike_ptr[b]
            for k in range(k1 - 1, k0 - 1, -1):
                now, later = rows[k - k0], rows[k - k0 + 1]
                for p in range(n_populations - 1, -1, -1):
                    low, high = bounds[p], bounds[p + 1]
                    start, stop = ends[k * n_populations + p], ends[k * n_populations + p + 1]
                    level = (b * n_levels + k - first) * n_neurons
                    for n in range(low, high):
                        put(a, n, adjoint_step(pick(a, n), pick(levels, level + n), pick(constants, n)))
                    if wired and start < stop:
                        for e in range(wiring.row_source.shape[0]):
                            if wiring.row_source[e] == p:
                                there, due = wiring.row_target[e], k - k0 + wiring.row_delay[e]
                                to, n_columns = bounds[there], bounds[there + 1] - bounds[there]
                                near, far, fraction = rows[due], rows[due + 1], wiring.row_fraction[e]
                                for n in range(n_columns):
                                    put(line, n, arriving(pick(near, to + n), pick(far, to + n), fraction))
                                dot_table_rows(
                                    sums, -start, line, n_columns, wiring.table, wiring.row_start[e] - low * n_columns,
                                    n_columns, listed, start, stop,
                                )  # fmt: skip
                                for j in range(start, stop):
                                    errors[j] += scaled(sums[j - start], pick(constants, listed[j]).dt)
                        for e in range(wiring.list_source.shape[0]):
                            if wiring.list_source[e] == p:
                                for j in range(start, stop):
                                    i = wiring.list_start[e] + listed[j] - low
                                    total = adjoint.dtype.type(0)
                                    for s in range(wiring.indptr[i], wiring.indptr[i + 1]):
                                        n, row = wiring.target[s], k - k0 + wiring.delay[s]
                                        value = arriving(rows[row, n], rows[row + 1, n], wiring.fraction[s])
                                        total += wiring.weight[s] * value
                                    errors[j] += scaled(total, pick(constants, listed[j]).dt)
                    for j in range(start, stop):
                        n = listed[j]
                        before = pick(a, n)
                        put(a, n, adjoint_spike(before, before, errors[j], pick(memory, j), pick(constants, n)))
                    if dloss_dv.size:
                        given = dloss_dv[b, k - first]
                        for n in range(low, high):
                            put(a, n, adjoint_membrane(pick(a, n), pick(given, n)))
                    for n in range(low, high):
                        put(now, n, adjoint_input(pick(a, n), pick(constants, n)))
                    if passed.size:
                        out = passed[b, k - k0]
                        for n in range(low, high):
                            value, more = pass_down(
                                pick(extra, n), pick(a, n), pick(now, n), pick(later, n), pick(constants, n)
                            )
                            put(out, n, value)
                            put(extra, n, more)
                    if current.size:
                        out = current[b, k - k0]
                        for n in range(low, high):
                            put(out, n, adjoint_current(pick(a, n), pick(constants, n)))
                    if membrane.size:
                        out = membrane[b, k - k0]
                        for n in range(low, high):
                            put(out, n, adjoint_drive(pick(a, n), pick(constants, n)))
                    tell(out_of, (b * n_rows(told) + k - k0) * n_neurons, low, high, a)

    return backward


def _every_step(neuron, estimator, wired):
    adjoint_step, adjoint_membrane, excess = neuron.adjoint_step, neuron.adjoint_membrane, neuron.excess
    adjoint_input, adjoint_current, by_excess = neuron.adjoint_input, neuron.adjoint_current, neuron.adjoint_by_excess
    adjoint_spike, derivative, arriving = estimator.adjoint_spike(neuron), estimator.derivative, estimator.arriving
    # What arrives inside is a product with all samples of a tile.
    tile, adjoint_drive = TILE if wired else 1, neuron.adjoint_drive
    seen = len(neuron.STATE) if neuron.LOOKS_BACK else neuron.JUMPS

    @njit(**KERNEL)
    def backward(
        constants, settings, wiring, k0, k1, neurons, spike_ptr, kept, traces, error, dloss_dv, first, state, adjoint,
        passed, current, membrane, told,
    ):  # fmt: skip
        bounds = wiring.bounds
        n_populations = bounds.shape[0] - 1
        n_samples, depth, n_neurons = adjoint.shape
        stride = (n_neurons + LANES - 1) // LANES * LANES
        n_tiles = (n_samples + tile - 1) // tile
        # Flat, so that the rows of many samples can be had without an array each.
        a, memory, levels = flat_of(state), flat_of(kept), flat_of(traces[:seen])
        rows, errors, signal, below, h, felt = flat_of((adjoint, error, dloss_dv, passed, current, membrane))
        out_of = flat_of(told)
        for t in prange(n_tiles):
            begin, end = n_samples * t // n_tiles, n_samples * (t + 1) // n_tiles
            before = scratch_like(rows_of(state, 0))
            silent = np.ones(tile * n_neurons, adjoint.dtype)
            total = np.zeros(tile * stride if wired else 0, adjoint.dtype)
            line = np.zeros(tile * n_neurons if wired else 0, adjoint.dtype)
            for b in range(begin, end):
                for j in range(spike_ptr[b, spike_ptr.shape[1] - 1]):
                    silent[(b - begin) * n_neurons + neurons[b, j]] = 0
            for k in range(k1 - 1, k0 - 1, -1):
                for p in range(n_populations - 1, -1, -1):
                    low, high = bounds[p], bounds[p + 1]
                    if wired:
                        for b in range(begin, end):
                            at, to = (b * error.shape[1] + k - first) * n_neurons, (b - begin) * stride - low
                            for n in range(low, high):
                                put(total, to + n, pick(errors, at + n))
                        for e in range(wiring.row_source.shape[0]):
                            if wiring.row_source[e] == p:
                                there, fraction = wiring.row_target[e], wiring.row_fraction[e]
                                n_columns = bounds[there + 1] - bounds[there]
                                for b in range(begin, end):
                                    at = (b * depth + k - k0 + wiring.row_delay[e]) * n_neurons + bounds[there]
                                    to = (b - begin) * n_columns
                                    for n in range(n_columns):
                                        value = arriving(pick(rows, at + n), pick(rows, at + n_neurons + n), fraction)
                                        put(line, to + n, value)
                                add_tile_product(
                                    total, stride, line, n_columns, wiring.table_t, wiring.row_start_t[e],
                                    wiring.row_stride_t[e], end - begin, wiring.row_stride_t[e],
                                )  # fmt: skip
                        for e in range(wiring.list_source.shape[0]):
                            if wiring.list_source[e] == p:
                                for b in range(begin, end):
                                    at, to = (b * depth + k - k0) * n_neurons, (b - begin) * stride - low
                                    for n in range(low, high):
                                        i = wiring.list_start[e] + n - low
                                        for s in range(wiring.indptr[i], wiring.indptr[i + 1]):
                                            due = at + wiring.delay[s] * n_neurons + wiring.target[s]
                                            value = arriving(rows[due], rows[due + n_neurons], wiring.fraction[s])
                                            total[to + n] += wiring.weight[s] * value
                    for b in range(begin, end):
                        start, stop = spike_ptr[b, k * n_populations + p], spike_ptr[b, k * n_populations + p + 1]
                        own, quiet, due = b * n_neurons, (b - begin) * n_neurons, (b * depth + k - k0) * n_neurons
                        level = (b * traces[0].shape[1] + k - first) * n_neurons
                        given, at = errors, (b * error.shape[1] + k - first) * n_neurons
                        if wired:
                            given, at = total, (b - begin) * stride - low
                        for n in range(low, high):
                            c, s = pick(constants, n), pick(levels, level + n)
                            put(before, n, adjoint_step(pick(a, own + n), s, c))
                            d = derivative(excess(s, c), pick(silent, quiet + n), settings)
                            put(a, own + n, by_excess(pick(before, n), d, pick(given, at + n), s, c))
                        for j in range(start, stop):
                            n, c = neurons[b, j], pick(constants, neurons[b, j])
                            values = pick(memory, b * neurons.shape[1] + j)
                            after = adjoint_spike(pick(a, own + n), pick(before, n), given[at + n], values, c)
                            put(a, own + n, after)
                        if signal.size:
                            at = (b * dloss_dv.shape[1] + k - first) * n_neurons
                            for n in range(low, high):
                                put(a, own + n, adjoint_membrane(pick(a, own + n), pick(signal, at + n)))
                        for n in range(low, high):
                            put(rows, due + n, adjoint_input(pick(a, own + n), pick(constants, n)))
                        if below.size:
                            at = (b * passed.shape[1] + k - k0) * n_neurons
                            for n in range(low, high):
                                put(below, at + n, pick(rows, due + n))
                        if h.size:
                            at = (b * current.shape[1] + k - k0) * n_neurons
                            for n in range(low, high):
                                put(h, at + n, adjoint_current(pick(a, own + n), pick(constants, n)))
                        if felt.size:
                            at = (b * membrane.shape[1] + k - k0) * n_neurons
                            for n in range(low, high):
                                put(felt, at + n, adjoint_drive(pick(a, own + n), pick(constants, n)))
                        tell(out_of, (b * n_rows(told) + k - k0) * n_neurons, low, high, rows_of(state, b))

    return backward
