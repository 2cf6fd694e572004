"""Kernels between spikes and weights against plain NumPy products and sorts."""

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from snnsim.kernels import cpu
from snnsim.kernels.cpu import dense as dense_kernels
from snnsim.kernels.cpu import synapses
from snnsim.kernels.cpu.synapse import COLUMNS
from tests.kernel_chain import add_weight_gradient, chunks, dense_of, grouped, pattern_table, spike_lists, transposed

ROUNDING = 1e-13  # float64 sums of at most some hundred terms of order one
SINGLE = 1e-5


def spikes(seed=0, batch=4, steps=11, n_in=26, p=0.4):
    """Zeros and ones (B, T, N_in); one sample without spikes, one step in which every neuron spikes."""
    dense = (np.random.default_rng(seed).random((batch, steps, n_in)) < p).astype(np.uint8)
    dense[1] = 0
    dense[2, 3] = 1
    return dense


def grid_weights(seed, n_in, n_out, dtype=np.float64):
    """Multiples of 2^-10 below 4: sums of them are exact in any order, in float32 too."""
    return (np.random.default_rng(seed).integers(-4096, 4096, (n_in, n_out)) / 1024).astype(dtype)


@pytest.mark.parametrize("n_rows", [*range(0, 12), 16, 17, 63])
def test_add_rows(n_rows):
    table = grid_weights(n_rows, 20, 5)
    rows = np.random.default_rng(n_rows).integers(0, 20, n_rows + 6).astype(np.int32)
    out = grid_weights(99, 1, 5)[0]
    expected = out + table[rows[2 : 2 + n_rows]].sum(axis=0)
    cpu.add_rows(out, table, rows, 2, 2 + n_rows)
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("synapse", ["gather", "pattern", "dense"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("n_in", [24, 25, 26, 27])
@pytest.mark.parametrize("n_out", [7, COLUMNS + 3])
def test_synaptic_input(n_out, n_in, dtype, synapse):
    dense = spikes(n_in=n_in)
    weights = grid_weights(1, n_in, n_out, dtype)
    rows, row_ptr = spike_lists(dense)
    for k0, k1 in ((0, 11), (3, 4), (2, 9), (10, 11)):
        x = np.full((4, k1 - k0 + 2, n_out), np.nan, dtype)
        if synapse == "gather":
            cpu.synaptic_input(weights, rows, row_ptr, k0, k1, x)
        elif synapse == "pattern":
            cpu.synaptic_input(pattern_table(weights), *grouped(rows, row_ptr), k0, k1, x)
        else:
            block = np.full((4, k1 - k0 + 2, n_in), np.nan, dtype)
            cpu.dense_spikes(rows, row_ptr, k0, k1, block)
            np.testing.assert_array_equal(block[:, : k1 - k0], dense[:, k0:k1])
            with threadpool_limits(1, "blas"):
                dense_kernels.dense_input(block, weights, k1 - k0, x)
        np.testing.assert_array_equal(x[:, : k1 - k0], dense[:, k0:k1] @ weights.astype(np.float64))
        assert np.isnan(x[:, k1 - k0 :]).all()  # nothing beyond the steps asked for


def test_several_spikes_of_a_neuron_in_a_step_add_up():
    counts = np.random.default_rng(0).poisson(0.8, (3, 6, 10))
    rows, row_ptr = spike_lists(counts)
    weights = grid_weights(2, 10, 3)
    x = np.zeros((3, 6, 3))
    cpu.synaptic_input(weights, rows, row_ptr, 0, 6, x)
    np.testing.assert_array_equal(x, counts @ weights)
    block = np.zeros((3, 6, 10))
    cpu.dense_spikes(rows, row_ptr, 0, 6, block)
    np.testing.assert_array_equal(block, counts)


@pytest.mark.parametrize("n_in", [1, 3, 4, 5, 11])
def test_pattern_table_is_every_subset_sum(n_in):
    weights = grid_weights(3, n_in, 4)
    table = pattern_table(weights)
    for row in range(len(table)):
        group, pattern = divmod(row, cpu.PATTERNS)
        members = [4 * group + j for j in range(4) if pattern >> j & 1 and 4 * group + j < n_in]
        np.testing.assert_array_equal(table[row], weights[members].sum(axis=0))


def test_patterns_and_back():
    dense = spikes(n_in=26)
    rows, row_ptr = spike_lists(dense)
    patterns, pattern_ptr = grouped(rows, row_ptr)
    bits = np.zeros((4, 11, 28), np.int64)
    bits[..., :26] = dense
    value = (bits.reshape(4, 11, 7, 4) << np.arange(4)).sum(axis=-1)
    for b in range(4):
        k, g = np.nonzero(value[b])
        np.testing.assert_array_equal(patterns[b, : pattern_ptr[b, -1]], 16 * g + value[b, k, g])
        np.testing.assert_array_equal(np.diff(pattern_ptr[b]), np.bincount(k, minlength=11))
    again, again_ptr = np.full_like(rows, -1), np.full_like(row_ptr, -1)
    cpu.ungroup_spikes(patterns, pattern_ptr, again, again_ptr)
    np.testing.assert_array_equal(again_ptr, row_ptr)
    np.testing.assert_array_equal(again, rows)


@pytest.mark.parametrize(("k0", "k1"), [(0, 11), (0, 1), (4, 9), (5, 5)])
def test_transpose_is_a_stable_sort_by_row(k0, k1):
    rows, row_ptr = spike_lists(spikes(5))
    span = k1 - k0 + 1
    entries, entry_ptr = transposed(rows, row_ptr, k0, k1, span, 26)
    expected = [[] for _ in range(26)]
    for b in range(4):
        for k in range(k0, k1):
            for j in range(row_ptr[b, k], row_ptr[b, k + 1]):
                expected[rows[b, j]].append(b * span + k - k0)
    np.testing.assert_array_equal(entries, np.concatenate(expected))
    np.testing.assert_array_equal(entry_ptr, np.cumsum([0, *map(len, expected)]))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("synapse", ["gather", "pattern", "dense"])
@pytest.mark.parametrize("n_in", [24, 25, 130])  # 130: more owners than portions, several blocks of a dense product
@pytest.mark.parametrize("n_out", [6, 2 * COLUMNS + 1])
def test_weight_gradient(n_out, n_in, synapse, dtype):
    dense = spikes(7, n_in=n_in)
    adjoint = grid_weights(8, 4 * 11, n_out, dtype).reshape(4, 11, n_out)
    grad_w = np.ones((n_in, n_out), dtype)
    for k0, k1 in chunks(11, 4):
        part = np.full((4, 4, n_out), np.nan, dtype)
        part[:, : k1 - k0] = adjoint[:, k0:k1]
        add_weight_gradient(spike_lists(dense), k0, k1, part, grad_w, synapse)
    np.testing.assert_array_equal(grad_w, 1 + np.einsum("bki,bkn->in", dense, adjoint.astype(np.float64)))


@pytest.mark.parametrize("n_out", [1, 2, 3, 8, 33])
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, ROUNDING), (np.float32, SINGLE)])
def test_spike_error(dtype, tolerance, n_out):
    rng = np.random.default_rng(9)
    rows, row_ptr = spike_lists(spikes(9), spare=2)
    weights, d = rng.normal(size=(26, n_out)).astype(dtype), rng.normal(size=(4, 11, n_out)).astype(dtype)
    error = np.full(rows.shape, np.nan, dtype)
    for k0, k1 in chunks(11, 4):
        cpu.spike_error(weights, np.ascontiguousarray(d[:, k0:k1]), rows, row_ptr, k0, k1, error)
    full = np.einsum("in,bkn->bki", weights.astype(np.float64), d.astype(np.float64))
    for b in range(4):
        step = np.repeat(np.arange(11), np.diff(row_ptr[b]))
        stop = row_ptr[b, -1]
        np.testing.assert_allclose(
            error[b, :stop], full[b, step, rows[b, :stop]], rtol=0, atol=tolerance * np.abs(full).max()
        )
        assert np.isnan(error[b, stop:]).all()


def test_dense_error():
    rng = np.random.default_rng(10)
    adjoint, weights = rng.normal(size=(3, 5, 4)), rng.normal(size=(9, 4))
    error = np.full((3, 5, 9), np.nan)
    with threadpool_limits(1, "blas"):
        dense_kernels.dense_error(adjoint, np.ascontiguousarray(weights.T), 4, error)
    np.testing.assert_allclose(error[:, :4], adjoint[:, :4] @ weights.T, rtol=0, atol=ROUNDING)
    assert np.isnan(error[:, 4:]).all()


def test_dense_spikes_by_neuron():
    dense = spikes(11)
    rows, row_ptr = spike_lists(dense)
    block = np.full((26, 4 * 5), np.nan)
    cpu.dense_spikes_by_neuron(rows, row_ptr, 6, 10, 5, block)
    expected = np.zeros((26, 4, 5))
    expected[:, :, :4] = dense[:, 6:10].transpose(2, 0, 1)
    np.testing.assert_array_equal(block, expected.reshape(26, 20))  # columns beyond the steps are zero


def test_at_spikes():
    dense = spikes(12)
    rows, row_ptr = spike_lists(dense, spare=1)
    values = np.random.default_rng(12).normal(size=dense.shape)
    picked = np.full(rows.shape, np.nan)
    cpu.at_spikes(values, rows, row_ptr, picked)
    for b in range(4):
        np.testing.assert_array_equal(picked[b, : row_ptr[b, -1]], values[b][dense[b] == 1])
        assert np.isnan(picked[b, row_ptr[b, -1] :]).all()


def test_lists_of_the_helper():
    counts = np.random.default_rng(0).poisson(0.5, (3, 7, 5))
    np.testing.assert_array_equal(dense_of(*spike_lists(counts, spare=3), 5), counts)


def test_a_delayed_spike_errs_by_the_change_at_its_arrival():
    """Each synapse passes ``(X_{k+D+1} - X_{k+D})/dt`` of its own delay D; arrivals after the end pass nothing."""
    rng = np.random.default_rng(1)
    batch, n_steps, n_in, n_out = 2, 12, 3, 4
    weights, steps = rng.normal(size=(n_in, n_out)), rng.integers(0, 5, (n_in, n_out))
    neurons = rng.integers(0, n_in, (batch, n_steps)).astype(np.int32)  # one spike a step
    spike_ptr = np.tile(np.arange(n_steps + 1, dtype=np.int32), (batch, 1))
    passed, error = rng.normal(size=(batch, n_steps, n_out)), np.zeros((batch, n_steps))
    indptr, targets = np.arange(0, n_in * n_out + 1, n_out), np.tile(np.arange(n_out, dtype=np.int32), n_in)
    synapses.synapse_error(
        indptr, targets, weights.ravel(), steps.ravel(), np.zeros(n_in * n_out), 5, False, neurons, spike_ptr, passed,
        0, n_steps, error,
    )  # fmt: skip
    padded = np.concatenate([passed, np.zeros((batch, 5, n_out))], axis=1)
    for b, k in np.ndindex(batch, n_steps):
        i = neurons[b, k]
        assert error[b, k] == pytest.approx(sum(weights[i, n] * padded[b, k + steps[i, n], n] for n in range(n_out)))
