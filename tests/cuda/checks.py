"""Every CUDA kernel against the CPU kernels and the serial reference, in Numba's simulator or on a GPU.

``tests/cuda/test_simulator.py`` runs it and the other files of checks in the simulator, with tiny blocks, each in a
process of its own (the simulator must be chosen before Numba is imported); ``python -m tests.gpu`` on the card. Neither
skips anything.
"""

import inspect

import numpy as np
import pytest

from snnsim.errors import InputError
from snnsim.kernels import cpu, cuda
from snnsim.kernels.cpu import dense as cpu_dense
from snnsim.kernels.cuda import compiler, dense, encoding, lif, losses, optimizers, words
from tests import one_layer
from tests.cuda.device import OVERFLOW, layer, off, on, random_lists, somewhere_to_run, words_of  # noqa: F401

F = np.float32

pytestmark = OVERFLOW


def both(name, arguments, outputs):
    """Call the CPU kernel and its CUDA twin on copies; return the outputs of each, by index of the argument."""
    given = [a.copy() if isinstance(a, np.ndarray) else a for a in arguments]
    devices = [on(a) if isinstance(a, np.ndarray) else a for a in arguments]
    one, other = (lif, one_layer) if hasattr(lif, name) else (cuda, cpu)
    mine, theirs = getattr(one, name)(*devices), getattr(other, name)(*given)
    if not outputs:
        return mine, theirs
    return [off(devices[o]) for o in outputs], [given[o] for o in outputs]


def exactly(name, arguments, outputs):
    """Assert equal bits."""
    for a, b in zip(*both(name, arguments, outputs), strict=True):
        np.testing.assert_array_equal(a, b)


def test_same_names_and_signatures():
    for name in cpu.__all__:
        if name == "add_rows":
            continue  # called by kernels only
        theirs, mine = getattr(cpu, name), getattr(cuda, name)
        if callable(theirs):
            signature = inspect.signature(getattr(theirs, "py_func", theirs))
            assert inspect.signature(mine) == signature, name
            assert mine.__doc__, name
        else:
            assert mine == theirs, name
    for name in ("dense_input", "dense_weight_gradient", "dense_error"):
        assert inspect.signature(getattr(dense, name)) == inspect.signature(getattr(cpu_dense, name).py_func), name
    assert set(cuda.__all__) == set(cpu.__all__) - {"add_rows"}


@pytest.mark.parametrize("group", [1, 4])
@pytest.mark.parametrize("n_steps", [7, 37])
def test_encode_poisson(group, n_steps):
    rng = np.random.default_rng(1)
    thresholds = rng.integers(0, 2**32, (2, 38))
    thresholds[:, 3], thresholds[:, 4] = 2**32, 0
    ids = np.array([5, 11])
    cap = n_steps * 40
    rows, row_ptr = np.zeros((2, cap), np.int32), np.zeros((2, n_steps + 1), np.int32)
    (mine, mine_ptr), (theirs, ptr) = both(
        "encode_poisson", (thresholds, ids, 3, 2, n_steps, group, rows, row_ptr), (6, 7)
    )
    np.testing.assert_array_equal(mine_ptr, ptr)
    for b in range(2):
        np.testing.assert_array_equal(mine[b, : ptr[b, -1]], theirs[b, : ptr[b, -1]])


@pytest.mark.parametrize("group", [1, 4])
def test_encode_regular_and_steps(group):
    rng = np.random.default_rng(2)
    thresholds = rng.integers(0, 2**32, (2, 33))
    thresholds[0, :2] = 2**32, 0
    steps = rng.integers(-1, 40, (2, 33))
    for name, values in (("encode_regular", thresholds), ("encode_steps", steps)):
        arrays = np.zeros((2, 35 * 33), np.int32), np.zeros((2, 36), np.int32)
        (mine, mine_ptr), (theirs, ptr) = both(name, (values, 35, group, *arrays), (3, 4))
        np.testing.assert_array_equal(mine_ptr, ptr)
        for b in range(2):
            np.testing.assert_array_equal(mine[b, : ptr[b, -1]], theirs[b, : ptr[b, -1]])


def test_encoder_without_room_counts_on():
    thresholds = np.full((1, 40), 2**31)
    arrays = np.full((1, 10), -1, np.int32), np.zeros((1, 6), np.int32)
    (mine, mine_ptr), (_, ptr) = both("encode_poisson", (thresholds, np.array([1]), 1, 0, 5, 1, *arrays), (6, 7))
    assert ptr[0, -1] > 10
    np.testing.assert_array_equal(mine_ptr, ptr)
    assert mine.min() >= 0


def test_encoder_words():
    rng = np.random.default_rng(3)
    n_steps, n_in = 37, 35
    table, images, ids = rng.integers(0, 2**32, 256), rng.integers(0, 256, (3, n_in)).astype(np.uint8), np.arange(3) + 7
    chosen = np.array([2, 0])
    rows, row_ptr = on(np.zeros((2, n_steps * n_in), np.int32)), on(np.zeros((2, n_steps + 1), np.int32))
    kept = on(np.zeros((2, 2, n_in), np.uint32))
    encoding.poisson_words(on(images), on(table), on(chosen), on(ids), 1, 0, n_steps, 1, rows, row_ptr, kept)
    theirs, ptr = np.zeros((2, n_steps * n_in), np.int32), np.zeros((2, n_steps + 1), np.int32)
    cpu.encode_poisson(table[images[chosen]], ids[chosen], 1, 0, n_steps, 1, theirs, ptr)
    np.testing.assert_array_equal(off(row_ptr), ptr)
    for b in range(2):
        np.testing.assert_array_equal(off(rows)[b, : ptr[b, -1]], theirs[b, : ptr[b, -1]])
    np.testing.assert_array_equal(off(kept), words_of(off(rows), off(row_ptr), n_in))


def test_population_too_large_for_a_block():
    with pytest.raises(InputError, match="at most"):
        encoding.shared_bytes(encoding.MAX_NEURONS + 1)
    assert encoding.shared_bytes(encoding.MAX_NEURONS) <= compiler.MAX_SHARED


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_synaptic_input(dtype):
    rng = np.random.default_rng(4)
    rows, row_ptr = random_lists(rng, 2, 5, 300, 0.06)  # one step has more entries than fit a stage
    table = rng.standard_normal((300, 35)).astype(dtype)
    exactly("synaptic_input", (table, rows, row_ptr, 1, 4, np.zeros((2, 3, 35), dtype)), (5,))


def test_patterns():
    rng = np.random.default_rng(5)
    weights = rng.standard_normal((10, 33)).astype(F)
    exactly("fold_patterns", (weights, np.zeros((48, 33), F)), (1,))
    rows, row_ptr = random_lists(rng, 3, 6, 10)
    exactly("group_spikes", (rows, row_ptr, np.zeros_like(rows), np.zeros_like(row_ptr)), (2, 3))
    grouped, group_ptr = np.zeros_like(rows), np.zeros_like(row_ptr)
    cpu.group_spikes(rows, row_ptr, grouped, group_ptr)
    exactly("ungroup_spikes", (grouped, group_ptr, np.zeros_like(rows), np.zeros_like(row_ptr)), (2, 3))


@pytest.mark.parametrize("group", [1, 4])
def test_weight_gradient(group):
    rng = np.random.default_rng(6)
    n_in, n_out, n_steps = 11, 35, 9
    rows, row_ptr = random_lists(rng, 3, n_steps, n_in)
    n_rows = n_in
    if group == 4:
        grouped, group_ptr = np.zeros_like(rows), np.zeros_like(row_ptr)
        cpu.group_spikes(rows, row_ptr, grouped, group_ptr)
        rows, row_ptr, n_rows = grouped, group_ptr, 48
    counts, entry_ptr = np.zeros((3, n_rows), np.int32), np.zeros(n_rows + 1, np.int64)
    entries = np.zeros(row_ptr[:, -1].sum(), np.int32)
    exactly("transpose_rows", (rows, row_ptr, 2, 8, 7, counts, entries, entry_ptr), (6, 7))
    cpu.transpose_rows(rows, row_ptr, 2, 8, 7, counts, entries, entry_ptr)
    adjoint = rng.standard_normal((21, n_out)).astype(F)
    grad = rng.standard_normal((n_in, n_out)).astype(F)
    exactly("weight_gradient", (adjoint, entries, entry_ptr, group, grad), (4,))


@pytest.mark.parametrize("n_out", [3, 10, 70])  # narrow everywhere, narrow on a card, wide everywhere
@pytest.mark.parametrize("fresh", [False, True])
def test_word_gradient(fresh, n_out):
    rng = np.random.default_rng(7)
    # 140 words a neuron in the first chunk, more than a portion, with more groups of eight entries than a round takes.
    n_in, n_steps, n_samples = 2, 70, 70
    rows, row_ptr = random_lists(rng, n_samples, n_steps, n_in, 0.35)
    words_by_neuron = on(words_of(rows, row_ptr, n_in))
    for k0, k1 in ((0, 64), (64, 70)):
        adjoint = rng.standard_normal((n_samples * 64, n_out)).astype(F)
        start = rng.standard_normal((n_in, n_out)).astype(F)
        grad = on(start)
        squares = on(np.zeros(words.n_squares(start.shape), F))
        words.word_gradient(on(adjoint), words_by_neuron, k0, k1, 64, fresh, grad, squares)
        counts, entry_ptr = np.zeros((n_samples, n_in), np.int32), np.zeros(n_in + 1, np.int64)
        entries = np.zeros(rows.size, np.int32)
        cpu.transpose_rows(rows, row_ptr, k0, k1, 64, counts, entries, entry_ptr)
        expected = np.zeros_like(start) if fresh else start.copy()
        cpu.weight_gradient(adjoint, entries, entry_ptr, 1, expected)
        np.testing.assert_array_equal(off(grad), expected)
        assert off(squares).sum() == pytest.approx((expected.astype(np.float64) ** 2).sum(), rel=1e-5)


@pytest.mark.parametrize("n_out", [3, 10, 70])
def test_spike_error(n_out):
    rng = np.random.default_rng(8)
    rows, row_ptr = random_lists(rng, 2, 5, 12)
    weights = rng.standard_normal((12, n_out)).astype(F)
    adjoint = rng.standard_normal((2, 4, n_out)).astype(F)
    (mine,), (theirs,) = both("spike_error", (weights, adjoint, rows, row_ptr, 1, 4, np.zeros(rows.shape, F)), (6,))
    # The CPU leaves the order of an inner product to the compiler: rounding of a few dozen float32 terms.
    np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-5)
    double = [a.astype(np.float64) for a in (weights, adjoint)]
    (mine,), _ = both("spike_error", (*double, rows, row_ptr, 1, 4, np.zeros(rows.shape)), (6,))
    for b in range(2):
        for k in range(1, 4):
            for j in range(row_ptr[b, k], row_ptr[b, k + 1]):
                expected = double[0][rows[b, j]] @ double[1][b, k - 1]
                assert mine[b, j] == pytest.approx(expected, rel=1e-13, abs=1e-13)


def test_dense_spikes_with_multiple_spikes():
    rng = np.random.default_rng(9)
    rows, row_ptr = random_lists(rng, 2, 6, 12)
    rows[0, row_ptr[0, 2] + 1] = rows[0, row_ptr[0, 2]]  # two spikes of a neuron in a step
    exactly("dense_spikes", (rows, row_ptr, 1, 5, np.ones((2, 4, 12), F)), (4,))
    exactly("dense_spikes_by_neuron", (rows, row_ptr, 1, 5, 4, np.ones((12, 8), F)), (5,))
    dense_values = rng.standard_normal((2, 6, 12)).astype(F)
    exactly("at_spikes", (dense_values, rows, row_ptr, np.zeros(rows.shape, F)), (3,))


def test_dense_products():
    rng = np.random.default_rng(10)
    # More rows than a tile, which ends inside a sample, and more columns; on a card in one tile. Sums of 21 products in
    # float64, which BLAS adds in another order: a few dozen roundings of 1e-16.
    a, b = rng.standard_normal((2, 19, 21)), rng.standard_normal((21, 37))
    out = on(np.zeros((2, 19, 37)))
    dense.dense_input(on(a), on(b), 18, out)
    np.testing.assert_allclose(off(out)[:, :18], (a @ b)[:, :18], rtol=1e-13, atol=1e-13)
    assert not off(out)[:, 18].any()
    dense.dense_error(on(a), on(b), 19, out)
    np.testing.assert_allclose(off(out), a @ b, rtol=1e-13, atol=1e-13)
    dense.dense_error_from(on(a), on(b), 16, out, 3)
    np.testing.assert_allclose(off(out)[:, 3:], (a @ b)[:, :16], rtol=1e-13, atol=1e-13)
    grad = rng.standard_normal((19, 37))
    total = on(grad)
    dense.dense_weight_gradient(on(a[0]), on(b), total)
    np.testing.assert_allclose(off(total), grad + a[0] @ b, rtol=1e-13, atol=1e-13)


def forward_arguments(reset, kept, n_samples=2, n_steps=39, n_neurons=37, cap=900, dtype=F):
    rng = np.random.default_rng(11)
    x = rng.standard_normal((n_samples, n_steps, n_neurons)).astype(dtype) + dtype(0.5)
    _, coefficients, neuron = layer(reset, dtype)
    shape = n_samples, n_neurons
    state = [rng.random(shape).astype(dtype) for _ in range(2)]
    spike_ptr = np.zeros((n_samples, n_steps + 1), np.int32)
    lists = [np.zeros((n_samples, cap), t) for t in (np.int32, dtype, dtype)]
    traces = [np.zeros((n_samples, n_steps // 3, n_neurons), dtype) for _ in range(2)]
    return [
        x, coefficients, neuron, {"hard": 0, "subtract": 1, "none": 2}[reset], kept, 0, n_steps, *state, lists[0],
        spike_ptr, *lists[1:], *traces, 3,
    ]  # fmt: skip


@pytest.mark.parametrize(("reset", "kept"), [("hard", 0), ("subtract", 0), ("none", 2), ("subtract", 2)])
def test_lif_forward(reset, kept):
    arguments = forward_arguments(reset, kept)
    outputs = (7, 8, 9, 10, 11, 12, 13, 14)
    mine, theirs = both("lif_forward", arguments, outputs)
    assert theirs[3][:, -1].min() > 30
    for a, b in zip(mine, theirs, strict=True):
        np.testing.assert_array_equal(a, b)


def test_lif_forward_without_room():
    arguments = forward_arguments("hard", 0, cap=40)
    mine, theirs = both("lif_forward", arguments, (9, 10))
    assert theirs[1][:, -1].min() > 40
    for a, b in zip(mine, theirs, strict=True):
        np.testing.assert_array_equal(a, b)


def test_lif_forward_from_rest_with_words():
    arguments = forward_arguments("hard", 0)
    devices = [on(a) if isinstance(a, np.ndarray) else a for a in arguments]
    kept = on(np.zeros((2, 2, 37), np.uint32))
    total = on(np.ones(1, np.int64))
    lif.lif_forward(*devices, True, kept, total)
    arguments[7][:] = arguments[8][:] = 0
    one_layer.lif_forward(*arguments)
    for at in (7, 8, 9, 10, 11, 12):
        np.testing.assert_array_equal(off(devices[at]), arguments[at])
    np.testing.assert_array_equal(off(kept), words_of(arguments[9], arguments[10], 37))
    assert off(total)[0] == 1 + arguments[10][:, -1].sum()


@pytest.mark.parametrize("kept", [0, 1, 2])
@pytest.mark.parametrize("continuous", [False, True])
def test_lif_backward(kept, continuous):
    rng = np.random.default_rng(12)
    forward = forward_arguments("hard" if kept < 2 else "subtract", kept)
    one_layer.lif_forward(*forward)
    _, coefficients, neuron, reset, _, _, n_steps = forward[:7]
    neurons, spike_ptr, inverse, slope = forward[9:13]
    error = rng.standard_normal(neurons.shape).astype(F)
    for dloss_dv in (np.empty((0, 0, 0), F), rng.standard_normal((2, n_steps, 37)).astype(F)):
        state = [rng.standard_normal((2, 37)).astype(F) for _ in range(3)]
        out = [np.zeros((2, 36, 37), F) for _ in range(2)]
        arguments = (
            coefficients, neuron, reset, kept, continuous, 3, n_steps, neurons, spike_ptr, inverse, slope, error,
            dloss_dv, *state, *out,
        )  # fmt: skip
        exactly("lif_backward", arguments, (13, 14, 15, 16, 17))


@pytest.mark.parametrize("fallback", [False, True])
@pytest.mark.parametrize("reset", ["hard", "subtract"])
def test_surrogate_backward(fallback, reset):
    rng = np.random.default_rng(13)
    forward = forward_arguments(reset, 2, dtype=np.float64)
    forward[13] = np.zeros((2, 39, 37))
    forward[14], forward[15] = np.empty((0, 0, 0)), 1
    forward[0][0, :, :9] = -1  # silent neurons
    one_layer.lif_forward(*forward)
    _, coefficients, neuron, mode, _, _, n_steps = forward[:7]
    neurons, spike_ptr, inverse, slope, v_trace = forward[9:14]
    error = rng.standard_normal((2, n_steps, 37))
    state = [rng.standard_normal((2, 37)) for _ in range(2)]
    out = [np.zeros((2, 36, 37)) for _ in range(2)]
    arguments = (
        coefficients, neuron, mode, 0.3, fallback, False, 3, n_steps, neurons, spike_ptr, inverse, slope, v_trace,
        error, np.empty((0, 0, 0)), *state, *out,
    )  # fmt: skip
    for mine, theirs in zip(*both("surrogate_backward", arguments, (15, 16, 17, 18)), strict=True):
        # One exponential a step may differ in its last bit.
        np.testing.assert_allclose(mine, theirs, rtol=1e-12, atol=1e-12)


def output_slab(rng, n_samples=5, n_classes=7, n_steps=12):
    """Spikes of an output layer: (neurons, times, counts, labels); sample 0 is silent."""
    dense_spikes = rng.random((n_samples, n_steps, n_classes)) < 0.2
    dense_spikes[0] = False
    counts = dense_spikes.sum(axis=(1, 2)).astype(np.int32)
    neurons, times = np.zeros((n_samples, counts.max()), np.int32), np.zeros((n_samples, counts.max()))
    for b in range(n_samples):
        step, neuron = np.nonzero(dense_spikes[b])
        neurons[b, : counts[b]], times[b, : counts[b]] = neuron, (step + 1) * 0.1
    return neurons, times, counts, rng.integers(0, n_classes, n_samples)


def close(name, arguments, outputs):
    """Assert equality to the rounding of an exponential and of sums of float64."""
    for mine, theirs in zip(*both(name, arguments, outputs), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("targets", [np.empty(0), np.array([1.0, 4.0])])
def test_count_loss(targets):
    neurons, times, counts, labels = output_slab(np.random.default_rng(14))
    loss, prediction, by_class = np.zeros(5), np.zeros(5, np.int64), np.zeros((5, 7))
    close("count_loss", (neurons, counts, labels, targets, loss, prediction, by_class), (4, 5, 6))
    cpu.count_loss(neurons, counts, labels, targets, loss, prediction, by_class)
    exactly("count_error", (neurons, counts, by_class, np.zeros_like(times)), (3,))
    arrays = [on(a) for a in (neurons, counts, labels, targets, loss, prediction, by_class, np.zeros_like(times))]
    losses.count_loss_with_error(*arrays)
    expected = np.zeros_like(times)
    cpu.count_error(neurons, counts, by_class, expected)
    np.testing.assert_allclose(off(arrays[-1]), expected, rtol=1e-12)


def test_first_spike_loss():
    neurons, times, counts, labels = output_slab(np.random.default_rng(15))
    outputs = np.zeros(5), np.zeros(5, np.int64), np.zeros((5, 7))
    close("first_spike_loss", (neurons, times, counts, labels, 1.2, 0.3, *outputs), (6, 7, 8))
    cpu.first_spike_loss(neurons, times, counts, labels, 1.2, 0.3, *outputs)
    exactly("first_spike_error", (neurons, counts, outputs[2], np.zeros_like(times)), (3,))
    close("first_spike_amplitude", (neurons, times, counts, outputs[2], 1.2, 0.1, np.zeros((5, 12, 7))), (6,))


def test_van_rossum_loss():
    neurons, times, counts, labels = output_slab(np.random.default_rng(16))
    targets, target_counts = np.array([[0.6, 0, 0], [0.2, 0.6, 1.0]]), np.array([1, 3])
    given = neurons, times, counts, labels, targets, target_counts
    outputs = np.zeros(5), np.zeros(5, np.int64), np.zeros_like(times)
    close("van_rossum_loss", (*given, 7, 0.3, *outputs), (8, 9, 10))
    close("van_rossum_amplitude", (*given, 0.1, 0.3, np.zeros((5, 12, 7))), (8,))


@pytest.mark.parametrize("use_max", [False, True])
def test_membrane_loss(use_max):
    rng = np.random.default_rng(17)
    v = rng.integers(-3, 3, (4, 9, 6)) / 4  # ties
    arguments = v, rng.integers(0, 6, 4), use_max, np.zeros(4), np.zeros(4, np.int64), np.zeros_like(v)
    close("membrane_loss", arguments, (3, 4, 5))


def test_silent_outputs():
    rng = np.random.default_rng(18)
    neurons, _, counts, labels = output_slab(rng)
    silent = on(np.zeros(5, np.int64))
    losses.silent_labels(on(neurons), on(counts), on(labels), silent)
    spoke = [labels[b] in neurons[b, : counts[b]] for b in range(5)]
    np.testing.assert_array_equal(off(silent), np.where(spoke, -1, labels))
    grad = rng.standard_normal((40, 7)).astype(F)
    rows, row_ptr = random_lists(rng, 5, 6, 40)
    exactly("silent_drive", (rows, np.ascontiguousarray(row_ptr[:, -1]), off(silent), F(0.1), grad), (4,))


def test_spike_times():
    rows, row_ptr = random_lists(np.random.default_rng(19), 2, 6, 5)
    times = on(np.zeros(rows.shape))
    losses.spike_times(on(row_ptr), 0.25, times)
    for b in range(2):
        expected = np.repeat(np.arange(1, 7), np.diff(row_ptr[b])) * 0.25
        np.testing.assert_array_equal(off(times)[b, : len(expected)], expected)


def test_optimizers():
    rng = np.random.default_rng(20)
    arrays = [rng.standard_normal(101).astype(F) for _ in range(3)]
    second = rng.random(101).astype(F)
    exactly("sgd", (*arrays, *map(F, (0.5, 0.1, 0.9, 0.01))), (0, 2))
    exactly("adam", (*arrays, second, *map(F, (0.5, 0.1, 0.9, 0.999, 0.1, 0.001, 1e-8, 0.01, 0.99))), (0, 2, 3))


@pytest.mark.parametrize("clip_norm", [0.0, 0.25, 1e3])
def test_clipped_updates(clip_norm):
    rng = np.random.default_rng(23)
    weights, gradient, first, second = rng.random((4, 101))
    squares, loss, report = (gradient**2).reshape(1, -1).sum(axis=1), np.ones(3), np.zeros(2)
    norm = 0.5 * np.sqrt((gradient**2).sum())
    scale = 0.5 * (clip_norm / norm if 0 < clip_norm < norm else 1)
    for name, state, values in (
        ("sgd", (first,), (0.1, 0.9, 0.01)),
        ("adam", (first, second), (0.1, 0.9, 0.999, 0.1, 0.001, 1e-8, 0.01, 0.99)),
    ):
        mine = [on(a) for a in (weights, gradient, *state)]
        update, told = getattr(optimizers, f"clipped_{name}"), on(report)
        update(*mine, on(squares), on(loss), 0.5, clip_norm, *values, told)
        theirs = [a.copy() for a in (weights, gradient, *state)]
        getattr(cpu, name)(*theirs, scale, *values)
        for a, b in zip(mine, theirs, strict=True):
            np.testing.assert_allclose(off(a), b, rtol=1e-13)
        assert off(told) == pytest.approx([norm, 3])
        for bad in ((on(squares * np.nan), on(loss)), (on(squares), on(loss * np.inf))):
            kept = off(mine[0]).copy()
            update(*mine, *bad, 0.5, clip_norm, *values, told)
            np.testing.assert_array_equal(off(mine[0]), kept)
            assert not np.isfinite(off(told)).all()


def test_transposed_and_spread():
    rng = np.random.default_rng(24)
    matrix, out = rng.standard_normal((35, 5)), on(np.zeros((5, 35)))
    dense.transposed(on(matrix), out)
    np.testing.assert_array_equal(off(out), matrix.T)
    by_class, field = rng.standard_normal((2, 5)), on(np.zeros((2, 3, 5)))
    losses.spread_steps(on(by_class), field)
    np.testing.assert_array_equal(off(field), np.repeat(by_class[:, None], 3, 1))


def test_squared_norm():
    values = np.random.default_rng(21).standard_normal(5000).astype(F)
    mine, theirs = both("squared_norm", (values,), ())
    assert mine == pytest.approx(theirs, rel=1e-6)  # portions are summed in float32
    values[4321] = np.nan
    assert not np.isfinite(both("squared_norm", (values,), ())[0])
    assert optimizers.n_portions(4097) == 2
