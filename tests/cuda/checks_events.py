"""CUDA kernels in continuous time against the CPU's and the serial reference, in Numba's simulator or on a GPU."""

import inspect

import numpy as np
import pytest

from snnsim.errors import InputError
from snnsim.kernels.cuda import event_backward, event_forward, event_hybrid, event_readout
from snnsim.kernels.events import backward, forward, hybrid, readout
from tests.cuda.device import OVERFLOW, assert_same, off, on, somewhere_to_run  # noqa: F401

pytestmark = OVERFLOW

DURATION = 4.0
MOST = 10**6
# v_threshold, v_reset, r, tau_mem, tau_syn: the quadratic case, the general one, its mirror, equal time constants
NEURONS = [(0.5, 0.1, 1.2, 1.0, 0.5), (0.5, -0.1, 1.0, 1.0, 0.7), (0.5, 0.0, 1.0, 0.6, 0.9), (0.5, 0.0, 1.0, 0.8, 0.8)]


def test_same_names_and_signatures():
    for theirs, mine, names in (
        (forward, event_forward, ("find_instants", "spiking_forward")),
        (backward, event_backward, ("partition", "order_by_block", "spiking_backward", "add_parts")),
        (hybrid, event_hybrid, ("hybrid_forward",)),
        (readout, event_readout, ("readout_forward", "readout_backward")),
    ):
        for name in names:
            function = getattr(theirs, name)
            signature = inspect.signature(getattr(function, "py_func", function))
            assert inspect.signature(getattr(mine, name)) == signature, name
            assert getattr(mine, name).__doc__, name


def inputs(seed=1, n_samples=3, n_in=9, cap=24):
    """Slab with simultaneous spikes, a spike at 0, one at the end of a bin and an empty sample."""
    rng = np.random.default_rng(seed)
    counts = np.array([cap - 3, 0, cap, *[cap // 2] * n_samples][:n_samples], np.int32)
    times = np.sort(np.round(rng.random((n_samples, cap)) * 30) / 10 + 0.05, axis=1)
    times[0, 0], times[2, 5] = 0, 1.0
    times.sort(axis=1)
    return rng.integers(0, n_in, (n_samples, cap)).astype(np.int32), times, counts


def arranged(neurons_in, times_in, counts_in, neuron):
    """Instants and flows of the CPU."""
    n_samples, cap = times_in.shape
    out = np.zeros((n_samples, cap + 1), np.int32), np.zeros(n_samples, np.int32), np.zeros((n_samples, cap, 4))
    forward.find_instants(times_in, counts_in, DURATION, *neuron[3:], *out)
    return neurons_in, times_in, *out


def lists(n_samples, cap):
    return (
        np.zeros((n_samples, cap), np.int32), np.zeros((n_samples, cap)), np.zeros((n_samples, cap), np.int32),
        np.zeros((n_samples, cap, 3)), np.zeros(n_samples, np.int64), np.zeros(n_samples, np.int64),
    )  # fmt: skip


def both(mine, theirs, given, out):
    """Call the CUDA kernel and its twin; the outputs of both."""
    devices = [on(a) for a in out]
    mine(*[on(a) if isinstance(a, np.ndarray) else a for a in given], *devices)
    expected = [a.copy() for a in out]
    theirs(*given, *expected)
    return [off(a) for a in devices], expected


def assert_same_lists(mine, theirs):
    """Equal bits as far as the lists are filled; the whole of everything else."""
    counts = theirs[4]
    for a, b in zip(mine[4:], theirs[4:], strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(mine[:4], theirs[:4], strict=True):
        for s, count in enumerate(counts):
            assert_same(a[s, :count], b[s, :count])


@pytest.mark.parametrize("neuron", NEURONS)
def test_find_instants(neuron):
    _, times_in, counts_in = inputs()
    out = np.zeros((3, 25), np.int32), np.zeros(3, np.int32), np.zeros((3, 24, 4))
    mine, theirs = both(
        event_forward.find_instants, forward.find_instants, (times_in, counts_in, DURATION, *neuron[3:]), out
    )
    assert 0 == theirs[1][1] < theirs[1][0] < counts_in[0]  # an empty sample, and simultaneous spikes
    for a, b in zip(mine, theirs, strict=True):
        assert_same(a, b)


def weights(dtype=np.float64, n_in=9, n_out=7, seed=2):
    return (np.random.default_rng(seed).random((n_in, n_out)) * 0.5 - 0.1).astype(dtype)


@pytest.mark.parametrize(("neuron", "dtype"), [*((neuron, np.float64) for neuron in NEURONS), (NEURONS[0], np.float32)])
def test_spiking_forward(neuron, dtype):
    given = *arranged(*inputs(), neuron), weights(dtype), neuron, DURATION, MOST
    mine, theirs = both(event_forward.spiking_forward, forward.spiking_forward, given, lists(3, 120))
    assert theirs[4].max() > 20
    assert (theirs[4] <= 120).all()
    assert_same_lists(mine, theirs)


def test_spiking_forward_in_several_blocks_and_stages():
    neuron = NEURONS[0]
    slab = inputs(cap=40)
    given = *arranged(*slab, neuron), weights(n_out=35), neuron, DURATION, MOST
    assert given[3][2] > event_forward.STAGE
    mine, theirs = both(event_forward.spiking_forward, forward.spiking_forward, given, lists(3, 700))
    assert_same_lists(mine, theirs)


def test_many_simultaneous_inputs_in_the_order_of_the_cpu():
    neurons_in, _, counts_in = inputs()
    times_in = np.repeat([[0.5, 1.5]], 12, axis=1).repeat(3, axis=0)
    given = *arranged(neurons_in, times_in, counts_in, NEURONS[1]), weights() / 2, NEURONS[1], DURATION, MOST
    mine, theirs = both(event_forward.spiking_forward, forward.spiking_forward, given, lists(3, 200))
    assert theirs[4].max() > 5
    assert_same_lists(mine, theirs)


def test_spiking_forward_without_room_counts_on():
    given = *arranged(*inputs(), NEURONS[0]), weights(), NEURONS[0], DURATION, MOST
    mine, theirs = both(event_forward.spiking_forward, forward.spiking_forward, given, lists(3, 10))
    assert theirs[4].max() > 10
    np.testing.assert_array_equal(mine[4], theirs[4])


@pytest.mark.parametrize("name", ["spiking", "hybrid"])
def test_a_sample_ends_with_a_spike_too_many(name):
    bins = () if name == "spiking" else (8,)
    given = *arranged(*inputs(), NEURONS[0]), weights(), NEURONS[0], DURATION, *bins
    out = *lists(3, 120), *((np.zeros(3, np.int64),) if bins else ())
    module, theirs = (event_forward, forward) if name == "spiking" else (event_hybrid, hybrid)
    found = [
        both(getattr(module, f"{name}_forward"), getattr(theirs, f"{name}_forward"), (*given, most), out)
        for most in (MOST, 12)
    ]
    whole, cut = (theirs[4] for _, theirs in found)
    assert whole.max() > 20
    assert (cut <= 13).all()
    assert cut.max() == 13
    mine = found[1][0][4]
    np.testing.assert_array_equal(mine > 12, whole > 12)
    assert mine.max() <= 12 + 7  # each thread of a sample may list one more


def test_stalled_neurons_are_named():
    neuron = NEURONS[0]
    neurons_in, times_in, counts_in = inputs()
    slab = neurons_in, times_in + 0.5, counts_in  # near time 0 any two spikes can be told apart
    given = *arranged(*slab, neuron), np.full((9, 2), 1e30) * [1e-31, 1], neuron, DURATION, MOST
    mine, theirs = both(event_forward.spiking_forward, forward.spiking_forward, given, lists(3, 50))
    np.testing.assert_array_equal(theirs[5], [1, -1, 1])
    np.testing.assert_array_equal(mine[5], theirs[5])


def test_equal_times_are_ordered_by_interval_then_neuron():
    raw = (
        np.array([[3, 1, 2, 0, 1]], np.int32), np.array([[1.0, 1, 0.5, 1, 1]]), np.array([[4, 4, 0, 5, 3]], np.int32),
        np.arange(15.0).reshape(1, 5, 3),
    )  # fmt: skip
    out = [on(np.zeros_like(a)) for a in raw]
    event_forward.order_spikes(*map(on, raw), on(np.array([5])), *out)
    for a, b in zip(out, raw, strict=True):
        np.testing.assert_array_equal(off(a)[0], b[0, [2, 4, 1, 0, 3]])


@pytest.mark.parametrize(("neuron", "n_bins"), [(NEURONS[0], 8), (NEURONS[1], 3), (NEURONS[2], 40)])
def test_hybrid_forward(neuron, n_bins):
    given = *arranged(*inputs(), neuron), weights(), neuron, DURATION, n_bins, MOST
    out = *lists(3, 120), np.zeros(3, np.int64)
    mine, theirs = both(event_hybrid.hybrid_forward, hybrid.hybrid_forward, given, out)
    assert theirs[4].max() > 10
    assert_same_lists(mine, theirs)


def test_hybrid_forward_counts_what_it_does_not_see():
    neuron = NEURONS[1]
    given = *arranged(*inputs(), neuron), weights() * [1, -1, 1, -1, 1, -1, 0.4], neuron, DURATION, 2, MOST
    mine, theirs = both(event_hybrid.hybrid_forward, hybrid.hybrid_forward, given, (*lists(3, 120), np.zeros(3, int)))
    assert theirs[6].sum() > 0
    assert_same_lists(mine, theirs)


@pytest.mark.parametrize(
    ("neuron", "dtype", "n_groups", "wanted"),
    [(NEURONS[0], np.float64, 3, True), (NEURONS[2], np.float64, 2, False), (NEURONS[1], np.float32, 1, True)],
)
def test_spiking_backward(neuron, dtype, n_groups, wanted):
    slab, w, cap, width, n_blocks = inputs(), weights(dtype), 120, 4, 2
    given = arranged(*slab, neuron)
    neurons, times, intervals, marks, counts, stalled = lists(3, cap)
    forward.spiking_forward(*given, w, neuron, DURATION, MOST, neurons, times, intervals, marks, counts, stalled)
    out = np.zeros((3, cap), np.int32), np.zeros((3, n_blocks + 1), np.int32)
    mine, (order, block_ptr) = both(
        event_backward.order_by_block, backward.order_by_block, (neurons, counts, width, n_blocks), out
    )
    np.testing.assert_array_equal(mine[0], order)
    np.testing.assert_array_equal(mine[1], block_ptr)

    e = np.random.default_rng(3).standard_normal((3, cap))
    e[0, counts[0] - 5 :] = 0
    parts = np.ones((n_groups, *w.shape), dtype), np.ones((n_blocks, 3, 24) if wanted else (n_blocks, 0, 0))
    arguments = (
        given[0], given[2], given[4], w, neuron, 1e3, neurons, intervals, marks, e, order, block_ptr, width,
    )  # fmt: skip
    (grad, errors), (theirs, expected) = both(
        event_backward.spiking_backward, backward.spiking_backward, arguments, parts
    )
    assert np.abs(theirs).max() > 0.1
    assert_same(grad, theirs)
    # The CPU leaves the order of an inner product to the compiler.
    np.testing.assert_allclose(errors, expected, rtol=1e-12, atol=1e-12)
    (total,), (sums,) = both(event_backward.add_parts, backward.add_parts, (theirs,), (np.ones_like(w),))
    np.testing.assert_array_equal(total, sums)


@pytest.mark.parametrize(("neuron", "wanted"), [(NEURONS[0], True), (NEURONS[2], False), (NEURONS[3], True)])
def test_readout(neuron, wanted):
    given = *arranged(*inputs(), neuron), weights(), neuron, np.arange(1, 8) * 0.5
    mine, theirs = both(event_readout.readout_forward, readout.readout_forward, given, (np.ones((3, 7, 7)),))
    assert_same(mine[0], theirs[0])
    assert np.abs(theirs[0]).max() > 0.5
    dv = np.random.default_rng(4).standard_normal((3, 7, 7))
    out = np.ones((2, 9, 7)), np.zeros((3, 24) if wanted else (0, 0))
    (grad, e), (expected, errors) = both(event_readout.readout_backward, readout.readout_backward, (*given, dv), out)
    assert_same(grad, expected)
    # The CPU leaves the order of an inner product to the compiler.
    np.testing.assert_allclose(e, errors, rtol=1e-12, atol=1e-12)


def test_layers_too_wide_for_a_block():
    with pytest.raises(InputError, match="at most"):
        event_backward.block_of(event_backward.BLOCK + 1)
    width, n_blocks, n_groups = event_backward.partition(5, 1000)
    assert n_groups == 5
    assert width * (n_blocks - 1) < 1000 <= width * n_blocks
    assert event_backward.block_of(width) >= width
