"""A layer of LIF neurons forward in time and, below it, its adjoint backward in time, on the device.

Forward: one block a sample. 32 steps at a time, each thread first steps its neurons and keeps their spikes as words;
the block turns words by neuron into words by step and counts them, which gives every spike its place in the list; then
each thread steps its neurons again and writes. Backward: a block has a sample and a tile of neurons; from the lists it
rebuilds the words, with which a thread knows in every step whether its neuron spiked, and where in the list. Neither
needs a barrier inside the time loop or an atomic operation on floats.
"""

from numba import int32, int64, uint32, uint64

from snnsim.dynamics.lif import (
    adjoint_input,
    adjoint_spike,
    adjoint_spike_amplitude,
    adjoint_synapse,
    adjoint_trace,
    fast_sigmoid_derivative,
    fires,
    inverse_difference,
    inverse_slope,
    membrane_slope,
    reset_gain,
    reset_membrane,
    sigmoid_derivative,
    step_membrane,
    step_synapse,
)
from snnsim.kernels.cuda.bits import STEPS, scan_segments, start_steps, transpose_words, word_at
from snnsim.kernels.cuda.compiler import WARP, cuda, device, kernel, launch, nothing, threads, tiles
from snnsim.kernels.cuda.encoding import BLOCK, shared_bytes

GRADIENT_EXACT, GRADIENT_LITERAL, GRADIENT_TSSL = 0, 1, 2
"""What is kept of a spike: exact and literal the clamped ``1/slope_minus`` and ``slope_plus``; TSSL-BP
``1/(v_k - ~v_{k-1})`` and the jump ``v_k - ~v_k``."""
TILE = 128
"""Neurons of a block backward."""
SLOTS = TILE


@device
def in_step(field, b, k, n):
    """Entry of a (B, T, N) array; unsigned indices, or Numba would look whether each is negative."""
    return field[uint64(b), uint64(k), uint64(n)]


@kernel
def _lif_forward(
    x, coefficients, neuron, reset, gradient, k0, k1, v, i_syn, neurons, spike_ptr, inverse, slope, v_trace, i_trace,
    every, from_rest, words, total,
):  # fmt: skip
    shared = cuda.shared.array(0, uint32)
    a_ii, b_i, a_vv, a_vi, b_v = coefficients
    v_threshold, v_reset, r, tau_mem, _, dt, max_inverse_slope = neuron
    b = cuda.blockIdx.x
    tid, width = cuda.threadIdx.x, cuda.blockDim.x
    n_neurons, cap = x.shape[2], neurons.shape[1]
    n_slots = (n_neurons + 31) & ~31
    before, totals = n_slots, 2 * n_slots
    starts = totals + STEPS
    zero = x.dtype.type(0)
    tracing = v_trace.size + i_trace.size > 0
    if from_rest:
        for n in range(tid, n_neurons, width):
            v[b, n] = zero
            i_syn[b, n] = zero
        if tid == 0:
            spike_ptr[b, 0] = 0
    cuda.syncthreads()
    for first in range(k0, k1, STEPS):
        last = min(first + STEPS, k1)
        for n in range(tid, n_slots, width):
            word = 0
            if n < n_neurons:
                va, i = v[b, n], i_syn[b, n]
                for k in range(first, last):
                    xk = in_step(x, b, k - k0, n)
                    vb = step_membrane(va, i, xk, a_vv, a_vi, b_v)
                    i = step_synapse(i, xk, a_ii, b_i)
                    va = vb
                    if fires(vb, v_threshold):
                        word |= 1 << (k - first)
                        va = reset_membrane(vb, v_threshold, v_reset, reset)
                if words.size:
                    words[b, first // STEPS, n] = word
            shared[n] = word
        cuda.syncthreads()
        transpose_words(shared, n_slots)
        scan_segments(shared, before, totals, n_slots, 1)
        start_steps(shared, totals, starts, spike_ptr[b, first])
        for n in range(tid, n_neurons, width):
            va, i = v[b, n], i_syn[b, n]
            bit = 1 << (n & 31)
            for k in range(first, last):
                step = k - first
                xk = in_step(x, b, k - k0, n)
                vb = step_membrane(va, i, xk, a_vv, a_vi, b_v)
                i = step_synapse(i, xk, a_ii, b_i)
                after = vb
                p = (n & ~31) + step
                mask = word_at(shared, p)
                if mask & bit:
                    after = reset_membrane(vb, v_threshold, v_reset, reset)
                    start = word_at(shared, starts + step)
                    if start + word_at(shared, totals + step) <= cap:
                        j = start + word_at(shared, before + p) + cuda.popc(mask & (bit - 1))
                        neurons[b, j] = n
                        if gradient == GRADIENT_TSSL:
                            inverse[b, j] = inverse_difference(vb, va, max_inverse_slope)
                            slope[b, j] = vb - after
                        else:
                            inverse[b, j] = inverse_slope(vb, va, i, dt, r, tau_mem, max_inverse_slope)
                            slope[b, j] = membrane_slope(after, i, r, tau_mem)
                if tracing and (every == 1 or (k + 1) % every == 0):
                    row = k if every == 1 else (k + 1) // every - 1  # a division takes longer than a step
                    if v_trace.size:
                        v_trace[b, row, n] = vb
                    if i_trace.size:
                        i_trace[b, row, n] = i
                va = after
            v[b, n] = va
            i_syn[b, n] = i
        for step in range(tid, last - first, width):
            spike_ptr[b, first + step + 1] = shared[starts + step] + shared[totals + step]
        cuda.syncthreads()
    if total.size and tid == 0 and k1 == spike_ptr.shape[1] - 1:
        cuda.atomic.add(total, 0, int64(spike_ptr[b, k1]))


def lif_forward(
    x, coefficients, neuron, reset, gradient, k0, k1, v, i_syn, neurons, spike_ptr, inverse, slope, v_trace, i_trace,
    every, from_rest=False, words=None, total=None,
):  # fmt: skip
    """Advance a layer and list its spikes.

    Parameters
    ----------
    x : device array, (B, >= k1 - k0, N) float
        Summed input weight of each step.
    coefficients : tuple of float
        ``(a_ii, b_i, a_vv, a_vi, b_v)``, of the arrays' dtype as all scalars.
    neuron : tuple of float
        ``(v_threshold, v_reset, r, tau_mem, tau_syn, dt, bound)``; bound is that of the inverse that is kept.
    reset : int
        :data:`~snnsim.dynamics.lif.RESET_HARD` and its like.
    gradient : int
        What to keep of each spike: :data:`GRADIENT_EXACT` and its like.
    k0, k1 : int
    v, i_syn : device array, (B, N) float
        State after step ``k0 - 1``, and on return after step ``k1 - 1``; v after reset.
    neurons : device array, (B, cap) int32
        Spikes, ordered by step, then neuron. A sample with more than cap spikes runs to its end without storing the
        surplus; its ``spike_ptr[b, k1]`` then exceeds cap.
    spike_ptr : device array, (B, T + 1) int32
        ``spike_ptr[:, 0]`` is zero.
    inverse, slope : device array, (B, cap) float
        Kept per spike.
    v_trace, i_trace : device array, (B, T // every, N) float, or empty
        Membrane before reset and current after every ``every``-th step.
    every : int
    from_rest : bool
        Start with ``v = i_syn = 0`` and no spikes (``k0 = 0``) instead of what the arrays hold.
    words : device array, (B, ceil(T / 32), N) uint32, optional
        Output: bit j of ``words[b, q, n]`` is a spike in step ``32 q + j``; ``k0`` is then a multiple of 32.
    total : device array, (1,) int64, optional
        The batch's spikes are added, once the last step is done.
    """
    words = nothing(3, "uint32") if words is None else words
    total = nothing(1, "int64") if total is None else total
    n_neurons = x.shape[2]
    launch(
        _lif_forward, x.shape[0], threads(n_neurons, BLOCK, WARP), x, coefficients, neuron, reset, gradient, k0, k1, v,
        i_syn, neurons, spike_ptr, inverse, slope, v_trace, i_trace, every, from_rest, words, total,
        shared=shared_bytes(n_neurons),
    )  # fmt: skip


@device
def _rebuild_words(masks, before, n0, n_slots, first, last, b, neurons, spike_ptr):
    """Words by step of the neurons ``n0 <= n < n0 + n_slots``, and where their entries lie in the list.

    ``masks[segment * 32 + step]`` has the neurons that spike, ``before[...]`` the position of the segment's first
    entry.
    """
    tid, width = cuda.threadIdx.x, cuda.blockDim.x
    for p in range(tid, n_slots, width):
        masks[p] = 0
    for step in range(tid, STEPS, width):
        before[step] = 0
    cuda.syncthreads()
    lane = tid & 31
    for k in range(first + tid // 32, last, width // 32):
        for j in range(spike_ptr[b, k] + lane, spike_ptr[b, k + 1], 32):
            m = neurons[b, j] - n0
            if m < 0:
                cuda.atomic.add(before, k - first, 1)
            elif m < n_slots:
                cuda.atomic.or_(masks, (m & ~31) + k - first, uint32(1 << (m & 31)))
    cuda.syncthreads()
    for step in range(tid, last - first, width):
        run = spike_ptr[b, first + step] + before[step]
        for p in range(step, n_slots, STEPS):
            before[p] = run
            run += cuda.popc(word_at(masks, p))
    cuda.syncthreads()


@kernel
def _lif_backward(
    coefficients, neuron, reset, gradient, continuous, k0, k1, neurons, spike_ptr, inverse, slope, error, dloss_dv,
    g, h, carry, adjoint, spike_adjoint, from_rest,
):  # fmt: skip
    masks = cuda.shared.array(SLOTS, uint32)
    before = cuda.shared.array(SLOTS, int32)
    a_ii, b_i, a_vv, a_vi, b_v = coefficients
    tau_syn, dt = neuron[4], neuron[5]
    b = cuda.blockIdx.y
    n0 = cuda.blockIdx.x * cuda.blockDim.x
    n = n0 + cuda.threadIdx.x
    bit = 1 << (n & 31)
    segment = cuda.threadIdx.x & ~31
    inside = n < g.shape[1]
    gn = hn = cn = adjoint.dtype.type(0)
    if inside and not from_rest:
        gn, hn, cn = g[b, n], h[b, n], carry[b, n]
    for block in range((k1 - k0 + STEPS - 1) // STEPS - 1, -1, -1):
        first = k0 + STEPS * block
        last = min(first + STEPS, k1)
        _rebuild_words(masks, before, n0, cuda.blockDim.x, first, last, b, neurons, spike_ptr)
        if inside:
            for k in range(last - 1, first - 1, -1):
                hn = adjoint_synapse(hn, gn, a_ii, a_vi)
                gn = a_vv * gn
                p = segment + k - first
                mask = word_at(masks, p)
                if mask & bit:
                    j = before[p] + cuda.popc(mask & (bit - 1))
                    if gradient == GRADIENT_TSSL:
                        gn = adjoint_spike_amplitude(gn, error[b, j], slope[b, j], inverse[b, j], reset)
                    else:
                        gn = adjoint_spike(gn, error[b, j], slope[b, j], inverse[b, j])
                if dloss_dv.size:
                    gn += in_step(dloss_dv, b, k, n)
                out = adjoint_input(gn, hn, b_v, b_i)
                if spike_adjoint.size:
                    if gradient == GRADIENT_LITERAL:
                        cn = adjoint_trace(cn, hn, a_ii, b_i, tau_syn)
                        spike_adjoint[uint64(b), uint64(k - k0), uint64(n)] = cn
                    elif gradient == GRADIENT_TSSL:
                        spike_adjoint[uint64(b), uint64(k - k0), uint64(n)] = out
                    else:
                        spike_adjoint[uint64(b), uint64(k - k0), uint64(n)] = (cn - out) / dt
                        cn = out
                adjoint[uint64(b), uint64(k - k0), uint64(n)] = hn / tau_syn if continuous else out
        cuda.syncthreads()
    if inside:
        g[b, n] = gn
        h[b, n] = hn
        carry[b, n] = cn


def lif_backward(
    coefficients, neuron, reset, gradient, continuous, k0, k1, neurons, spike_ptr, inverse, slope, error, dloss_dv,
    g, h, carry, adjoint, spike_adjoint, from_rest=False,
):  # fmt: skip
    """Run the adjoint from step ``k1 - 1`` down to ``k0``.

    Parameters
    ----------
    coefficients, neuron, reset, gradient, k0, k1, neurons, spike_ptr, inverse, slope
        As in :func:`lif_forward`.
    continuous : bool
        Put ``h_k/tau_syn`` (eq 40 with the continuous model's coefficient) instead of ``X_k`` into ``adjoint``.
    error : device array, (B, cap) float
        dL/d(spike time) of every spike; dL/ds with :data:`GRADIENT_TSSL`.
    dloss_dv : device array, (B, T, N) float, or empty
    g, h, carry : device array, (B, N) float
        Adjoint state, zero before the first call (``k1 = T``); ``carry`` holds ``X_{k1}`` (literal: ``Z_{k1}``).
    adjoint : device array, (B, >= k1 - k0, N) float
        Output for the weight gradient.
    spike_adjoint : device array, (B, >= k1 - k0, N) float, or empty
        Output for the presynaptic error: ``(X_{k+1} - X_k)/dt``; literal: ``Z_k``; TSSL: ``X_k``.
    from_rest : bool
        Start with zeros in place of what ``g``, ``h``, ``carry`` hold.
    """
    n_tiles, block = tiles(g.shape[1], TILE, WARP)
    launch(
        _lif_backward, (n_tiles, g.shape[0]), block, coefficients, neuron, reset, gradient, continuous, k0, k1,
        neurons, spike_ptr, inverse, slope, error, dloss_dv, g, h, carry, adjoint, spike_adjoint, from_rest,
    )  # fmt: skip


@kernel
def _surrogate_backward(
    coefficients, neuron, reset, width, fallback, continuous, k0, k1, neurons, spike_ptr, inverse, slope, v_trace,
    error, dloss_dv, g, h, adjoint, spike_adjoint, from_rest,
):  # fmt: skip
    masks = cuda.shared.array(SLOTS, uint32)
    before = cuda.shared.array(SLOTS, int32)
    spiking = cuda.shared.array(TILE, int32)
    a_ii, b_i, a_vv, a_vi, b_v = coefficients
    v_threshold, tau_syn = neuron[0], neuron[4]
    b = cuda.blockIdx.y
    tid, n_threads = cuda.threadIdx.x, cuda.blockDim.x
    n0 = cuda.blockIdx.x * n_threads
    n = n0 + tid
    bit = 1 << (n & 31)
    segment = tid & ~31
    inside = n < g.shape[1]
    gn = hn = adjoint.dtype.type(0)
    if inside and not from_rest:
        gn, hn = g[b, n], h[b, n]
    spiking[tid] = 0
    cuda.syncthreads()
    if fallback:
        for j in range(tid, spike_ptr[b, spike_ptr.shape[1] - 1], n_threads):
            m = neurons[b, j] - n0
            if 0 <= m < n_threads:
                spiking[m] = 1
    for block in range((k1 - k0 + STEPS - 1) // STEPS - 1, -1, -1):
        first = k0 + STEPS * block
        last = min(first + STEPS, k1)
        _rebuild_words(masks, before, n0, n_threads, first, last, b, neurons, spike_ptr)
        if inside:
            for k in range(last - 1, first - 1, -1):
                hn = adjoint_synapse(hn, gn, a_ii, a_vi)
                p = a_vv * gn
                e = in_step(error, b, k, n)
                at = segment + k - first
                mask = word_at(masks, at)
                gn = p
                if not fallback:
                    gn += fast_sigmoid_derivative(in_step(v_trace, b, k, n), v_threshold, width) * e
                    if mask & bit and reset_gain(reset) == 0:
                        gn -= p
                elif mask & bit:
                    j = before[at] + cuda.popc(mask & (bit - 1))
                    gn = adjoint_spike_amplitude(p, e, slope[b, j], inverse[b, j], reset)
                elif spiking[tid] == 0:
                    gn += sigmoid_derivative(in_step(v_trace, b, k, n), v_threshold, width) * e
                if dloss_dv.size:
                    gn += in_step(dloss_dv, b, k, n)
                out = adjoint_input(gn, hn, b_v, b_i)
                if spike_adjoint.size:
                    spike_adjoint[uint64(b), uint64(k - k0), uint64(n)] = out
                adjoint[uint64(b), uint64(k - k0), uint64(n)] = hn / tau_syn if continuous else out
        cuda.syncthreads()
    if inside:
        g[b, n] = gn
        h[b, n] = hn


def surrogate_backward(
    coefficients, neuron, reset, width, fallback, continuous, k0, k1, neurons, spike_ptr, inverse, slope, v_trace,
    error, dloss_dv, g, h, adjoint, spike_adjoint, from_rest=False,
):  # fmt: skip
    """Backpropagation through time with a derivative of the spike at every step, from ``k1 - 1`` down to ``k0``.

    Parameters
    ----------
    coefficients, neuron, reset, continuous, k0, k1, neurons, spike_ptr, inverse, slope, dloss_dv, g, h, adjoint
    from_rest
        As in :func:`lif_backward`.
    width : float
        Steepness of the fast sigmoid, or width of TSSL-BP's sigmoid if ``fallback``.
    fallback : bool
        False: SuperSpike's fast sigmoid at every step, reset not differentiated. True: TSSL-BP, where neurons that are
        silent in a sample use a sigmoid's derivative and all others the rule of :func:`lif_backward`.
    v_trace : device array, (B, T, N) float
        Membrane before reset.
    error : device array, (B, T, N) float
        dL/ds of every step.
    spike_adjoint : device array, (B, >= k1 - k0, N) float, or empty
        Output for the presynaptic error: ``X_k``.
    """
    n_tiles, block = tiles(g.shape[1], TILE, WARP)
    launch(
        _surrogate_backward, (n_tiles, g.shape[0]), block, coefficients, neuron, reset, width, fallback, continuous,
        k0, k1, neurons, spike_ptr, inverse, slope, v_trace, error, dloss_dv, g, h, adjoint, spike_adjoint, from_rest,
    )  # fmt: skip
