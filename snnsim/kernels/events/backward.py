"""The adjoint of a layer in continuous time, from the last spike that the loss sees back to the first input.

Work is split into blocks of columns (neurons) and groups of samples; partial results are added in a fixed order. Where
sums depend on them, their sizes depend on the problem and never on the number of threads.
"""

import numpy as np
from numba import get_num_threads, njit, prange

from snnsim.dynamics.events import adjoint_arrival, adjoint_flow, adjoint_jump
from snnsim.kernels.events.forward import add_row
from snnsim.kernels.jit import LEAF

_COLUMNS = 64
_UNITS = 16
_WIDEST = 512


def partition(batch, size):
    """``(width, n_blocks, n_groups)``: columns of a block, blocks of a layer, and groups of samples."""
    n_blocks = 1 if size <= _COLUMNS else 2 * -(-size // (2 * _COLUMNS))
    width = -(-size // (4 * n_blocks)) * 4
    n_blocks = -(-size // width)
    return width, n_blocks, max(1, min(batch, _UNITS // n_blocks)) if n_blocks < _UNITS // 2 else 1


def first_partition(batch, size):
    """As :func:`partition` for a first layer, where blocks are as wide as the threads allow.

    No error of an input spike is wanted there. That is the only sum over columns: the blocks do not change a bit.
    """
    width, n_blocks, n_groups = partition(batch, size)
    if n_groups == 1:
        n_blocks = max(min(n_blocks, get_num_threads()), -(-size // _WIDEST))
        width = -(-size // (16 * n_blocks)) * 16
    return width, -(-size // width), n_groups


@njit(parallel=True, cache=True, error_model="numpy")
def order_by_block(neurons, counts, width, n_blocks, order, block_ptr):
    """List each sample's spikes block by block, in time order within a block.

    Parameters
    ----------
    neurons : ndarray, (B, cap) int32
    counts : ndarray, (B,) int64
    width, n_blocks : int
    order : ndarray, (B, cap) int32
        Out: indices of spikes.
    block_ptr : ndarray, (B, n_blocks + 1) int32
        Out: block k owns ``order[b, block_ptr[b, k]:block_ptr[b, k + 1]]``.
    """
    for b in prange(len(counts)):
        for k in range(n_blocks + 1):
            block_ptr[b, k] = 0
        if n_blocks == 1:
            block_ptr[b, 1] = counts[b]
            for s in range(counts[b]):
                order[b, s] = s
        else:
            for s in range(counts[b]):
                block_ptr[b, neurons[b, s] // width + 1] += 1
            for k in range(n_blocks):
                block_ptr[b, k + 1] += block_ptr[b, k]
            place = block_ptr[b, :n_blocks].copy()
            for s in range(counts[b]):
                k = neurons[b, s] // width
                order[b, place[k]] = s
                place[k] += 1


@njit(parallel=True, cache=True, error_model="numpy")
def spiking_backward(
    neurons_in,
    instants,
    flows,
    w,
    neuron,
    max_inverse_slope,
    neurons,
    intervals,
    marks,
    e,
    order,
    block_ptr,
    width,
    grad_parts,
    e_parts,
):
    """Gradient of a spiking layer's weights and input spike times.

    Parameters
    ----------
    neurons_in, instants, flows, w, neuron, neurons, intervals, marks
        As in :func:`snnsim.kernels.events.forward.spiking_forward`.
    max_inverse_slope : float
        Bound of ``1/slope_minus``.
    e : ndarray, (B, cap) float64
        dL/d(spike time) of the layer's spikes.
    order, block_ptr : ndarray
        From :func:`order_by_block`.
    width : int
        Columns of a block.
    grad_parts : ndarray, (n_groups, N_in, N) float
        Out: ``grad_w`` of each group of samples.
    e_parts : ndarray, (n_blocks, B, cap_in) float64, or with B = 0 if not wanted
        Out: dL/d(spike time) of the input spikes, from each block of columns.
    """
    n_groups, _, size = grad_parts.shape
    batch, n_blocks = block_ptr.shape[0], block_ptr.shape[1] - 1
    for unit in prange(n_groups * n_blocks):
        group, k = unit // n_blocks, unit % n_blocks
        low, high = k * width, min(size, (k + 1) * width)
        grad = grad_parts[group]
        grad[:, low:high] = 0
        lambda_v, lambda_q = np.zeros(high - low, w.dtype), np.zeros(high - low, w.dtype)
        for b in range(batch * group // n_groups, batch * (group + 1) // n_groups):
            _sample_backward(
                neurons_in[b],
                instants[b],
                flows[b],
                w,
                neuron,
                max_inverse_slope,
                neurons[b],
                intervals[b],
                marks[b],
                e[b],
                order[b, block_ptr[b, k] : block_ptr[b, k + 1]],
                low,
                high,
                lambda_v,
                lambda_q,
                grad,
                e_parts[k, b] if e_parts.shape[1] else e_parts[k].reshape(-1),
            )


@njit(**LEAF)
def _sample_backward(
    neurons_in,
    instants,
    flows,
    w,
    neuron,
    max_inverse_slope,
    neurons,
    intervals,
    marks,
    e,
    order,
    low,
    high,
    lambda_v,
    lambda_q,
    grad,
    e_in,
):
    v_threshold, v_reset, r, tau_mem, tau_syn = neuron
    real = w.dtype.type
    gain = r / tau_syn
    last = len(order) - 1
    while last >= 0 and e[order[last]] == 0:
        last -= 1
    e_in[:] = 0
    if last < 0:
        return
    lambda_v[:] = 0
    lambda_q[:] = 0
    top = intervals[order[last]]
    for m in range(top, -1, -1):
        if m < top:
            flow_back(lambda_v, lambda_q, real(flows[m, 0]), real(flows[m, 1]), real(gain * flows[m, 2]))
        # Own spikes, latest first: the adjoint has flowed to the instant without them; each adds what its jump changes.
        while last >= 0 and intervals[order[last]] == m:
            s = order[last]
            n = neurons[s] - low
            a_vv, a_vu, drive = marks[s, 0], marks[s, 1], marks[s, 2]
            after = lambda_v[n] / a_vv if a_vv > 0 else 0.0
            before = adjoint_jump(after, e[s], drive, v_threshold, v_reset, tau_mem, max_inverse_slope)
            lambda_v[n] = a_vv * before
            lambda_q[n] += gain * a_vu * (before - after)
            last -= 1
        for j in range(instants[m], instants[m + 1]):
            add_row(grad[neurons_in[j], low:high], lambda_q)
        if len(e_in):
            for j in range(instants[m], instants[m + 1]):
                e_in[j] = dot_arrivals(w[neurons_in[j], low:high], lambda_v, lambda_q, r / tau_mem) / tau_syn


@njit(**LEAF, inline="always")
def flow_back(lambda_v, lambda_q, a_vv, a_ii, a_vq):
    """Adjoint of all neurons earlier by a flow."""
    for n in range(len(lambda_v)):
        lambda_v[n], lambda_q[n] = adjoint_flow(lambda_v[n], lambda_q[n], a_vv, a_ii, a_vq)


@njit(**LEAF, fastmath={"reassoc", "contract"})
def dot_arrivals(row, lambda_v, lambda_q, pull):
    """dL/d(arrival time) of a spike whose weights are ``row``, times tau_syn."""
    total = 0.0
    for n in range(len(row)):
        total += row[n] * adjoint_arrival(lambda_v[n], lambda_q[n], pull)
    return total


@njit(parallel=True, cache=True, error_model="numpy")
def add_parts(parts, total):
    """Sum over the first axis in its order: (P, M, K) to (M, K), parallel over M."""
    for m in prange(total.shape[0]):
        for k in range(total.shape[1]):
            total[m, k] = parts[0, m, k]
        for p in range(1, parts.shape[0]):
            for k in range(total.shape[1]):
                total[m, k] += parts[p, m, k]
