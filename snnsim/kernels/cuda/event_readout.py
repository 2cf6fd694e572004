"""A leaky readout in continuous time on the device, and its adjoint: a thread has a neuron of a sample.

Names and signatures are those of :mod:`snnsim.kernels.events.readout`.
"""

import math

import numpy as np
from numba import float64, int32

from snnsim.dynamics.events import adjoint_flow, flow
from snnsim.kernels.cuda.compiler import WARP, cuda, kernel, launch, nothing, tiles
from snnsim.kernels.cuda.event_backward import BLOCK, PARTS, ROWS, SUMS, arrive, block_of, leave_errors
from snnsim.kernels.cuda.synapse import add_staged


@kernel
def _readout_forward(neurons_in, times_in, instants, n_instants, flows, w, neuron, sample_times, v_out):
    _, _, r, tau_mem, tau_syn = neuron
    real = w.dtype.type
    b, n = cuda.blockIdx.y, cuda.grid(1)
    if n < w.shape[1]:
        v = charge = real(0)
        found = n_instants[b]
        k = 0
        first = times_in[b, 0] if found else math.inf
        while k < len(sample_times) and sample_times[k] <= first:
            v_out[b, k, n] = 0
            k += 1
        for m in range(found):
            start, stop = instants[b, m], instants[b, m + 1]
            opened = times_in[b, start]
            closed = times_in[b, stop] if m + 1 < found else math.inf
            charge = add_staged(charge, w, neurons_in[b, start:stop], stop - start, n)
            while k < len(sample_times) and sample_times[k] <= closed:
                s_vv, _, s_vu = flow(sample_times[k] - opened, tau_mem, tau_syn)
                v_out[b, k, n] = real(s_vv) * v + real(s_vu * r / tau_syn) * charge
                k += 1
            v = real(flows[b, m, 0]) * v + real(flows[b, m, 2] * r / tau_syn) * charge
            charge *= real(flows[b, m, 1])


def readout_forward(neurons_in, times_in, instants, n_instants, flows, w, neuron, sample_times, v_out):
    """Membrane of a readout at the sample times; see :func:`snnsim.kernels.events.readout.readout_forward`."""
    n_tiles, block = tiles(w.shape[1], BLOCK, WARP)
    launch(
        _readout_forward, (n_tiles, len(n_instants)), block, neurons_in, times_in, instants, n_instants, flows, w,
        neuron, sample_times, v_out,
    )  # fmt: skip


@kernel
def _readout_backward(
    neurons_in, times_in, instants, n_instants, flows, w, neuron, sample_times, dv, grad_parts, e_parts
):  # fmt: skip
    parts = cuda.shared.array(PARTS, float64)
    sums = cuda.shared.array(SUMS, float64)
    spikes = cuda.shared.array(ROWS, int32)
    _, _, r, tau_mem, tau_syn = neuron
    gain, pull = r / tau_syn, r / tau_mem
    real = w.dtype.type
    n, group = cuda.threadIdx.x, cuda.blockIdx.x
    n_groups, batch = grad_parts.shape[0], n_instants.shape[0]
    inside = n < w.shape[1]
    wanted = e_parts.shape[1] > 0
    if inside:
        for i in range(grad_parts.shape[1]):
            grad_parts[group, i, n] = 0
    for b in range(batch * group // n_groups, batch * (group + 1) // n_groups):
        lambda_v = lambda_q = real(0)
        k = sample_times.shape[0] - 1
        filled = 0
        found = n_instants[b]
        for m in range(found - 1, -1, -1):
            if m + 1 < found:
                lambda_v, lambda_q = adjoint_flow(
                    lambda_v, lambda_q, real(flows[b, m, 0]), real(flows[b, m, 1]), real(gain * flows[b, m, 2])
                )
            opened = times_in[b, instants[b, m]]
            while k >= 0 and sample_times[k] > opened:
                if inside:
                    s_vv, _, s_vu = flow(sample_times[k] - opened, tau_mem, tau_syn)
                    lambda_v = real(lambda_v + real(s_vv) * dv[b, k, n])
                    lambda_q = real(lambda_q + real(s_vu * gain) * dv[b, k, n])
                k -= 1
            filled = arrive(
                instants[b, m], instants[b, m + 1], neurons_in, w, b, n, inside, lambda_v, lambda_q, pull, tau_syn,
                grad_parts, group, e_parts, 0, wanted, parts, sums, spikes, filled,
            )  # fmt: skip
        if wanted:
            leave_errors(parts, sums, spikes, filled, tau_syn, e_parts[0, b])


def readout_backward(neurons_in, times_in, instants, n_instants, flows, w, neuron, sample_times, dv, grad_parts, e_in):
    """Gradient of a readout; see :func:`snnsim.kernels.events.readout.readout_backward`.

    A readout has at most :data:`BLOCK` neurons.
    """
    # As of a layer in one block.
    e_parts = e_in.reshape(1, *e_in.shape) if e_in.size else nothing(3, np.float64)
    launch(
        _readout_backward, grad_parts.shape[0], block_of(w.shape[1]), neurons_in, times_in, instants, n_instants,
        flows, w, neuron, sample_times, dv, grad_parts, e_parts,
    )  # fmt: skip
