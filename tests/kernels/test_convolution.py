"""Convolution on spike lists against an operator that is built neuron by neuron from the definition."""

import os
import subprocess
import sys

import numba
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from snnsim.errors import InputError
from snnsim.kernels.cpu.convolution import Convolution, Plan
from snnsim.kernels.geometry import Geometry
from tests.kernel_chain import on_one_thread

# float64 sums of at most some thousands of terms of order one.
CLOSE = dict(rtol=1e-12, atol=1e-12)
WAYS = ("events", "pooled", "dense")
quick = settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


def operator(g, weights):
    """Matrix (N_in, N_out) of the connection, and the number of the weight in every entry (-1: none)."""
    n_filters, out_height, out_width = g.out_shape
    matrix, index = np.zeros((g.n_in, g.n_out)), np.full((g.n_in, g.n_out), -1)
    numbers = np.arange(weights.size).reshape(weights.shape)
    for row in range(out_height):
        for column in range(out_width):
            for a in range(g.kernel[0]):
                for b in range(g.kernel[1]):
                    y = row * g.stride[0] + a - g.padding[0]
                    x = column * g.stride[1] + b - g.padding[1]
                    if not (0 <= y < g.height // g.pool[0] and 0 <= x < g.width // g.pool[1]):
                        continue
                    for dy in range(g.pool[0]):
                        for dx in range(g.pool[1]):
                            for c in range(g.channels):
                                i = ((y * g.pool[0] + dy) * g.width + x * g.pool[1] + dx) * g.channels + c
                                n = (row * out_width + column) * n_filters
                                matrix[i, n : n + n_filters] = weights[c, a, b]
                                index[i, n : n + n_filters] = numbers[c, a, b]
    if g.average:
        matrix /= g.pool[0] * g.pool[1]
    return matrix, index


def lists(counts):
    """Spike lists by neuron of counts (B, T, N), ascending within a step, a neuron as often as it spikes."""
    batch, steps, n = counts.shape
    per_sample = [[np.repeat(np.arange(n), c) for c in sample] for sample in counts]
    row_ptr = np.zeros((batch, steps + 1), np.int32)
    row_ptr[:, 1:] = counts.sum(2).cumsum(1)
    rows = np.full((batch, int(row_ptr[:, -1].max()) + 3), 2**31 - 1, np.int32)
    for b in range(batch):
        rows[b, : row_ptr[b, -1]] = np.concatenate(per_sample[b])
    return rows, row_ptr


def shifted(counts, delay):
    """Counts that arrive in each step."""
    out = np.zeros_like(counts)
    if delay < counts.shape[1]:
        out[:, delay:] = counts[:, : counts.shape[1] - delay]
    return out


class Case:
    """A geometry with weights, spikes and rows to pass, and what each product must be."""

    def __init__(self, geometry, seed=0, batch=3, steps=5, delay=0, activity=0.3, dtype=np.float64):
        rng = np.random.default_rng(seed)
        self.geometry, self.delay, self.steps, self.dtype = geometry, delay, steps, dtype
        self.weights = rng.normal(size=geometry.weight_shape).astype(dtype)
        self.counts = (rng.random((batch, steps, geometry.n_in)) < activity).astype(int)
        self.counts *= rng.integers(1, 4, self.counts.shape)
        self.rows, self.row_ptr = lists(self.counts)
        self.passed = rng.normal(size=(batch, steps, geometry.n_out)).astype(dtype)
        self.matrix, self.index = operator(geometry, self.weights.astype(float))

    def expected(self):
        arriving = shifted(self.counts, self.delay)
        x = arriving @ self.matrix
        by_pair = np.einsum("bki,bkn->in", arriving, self.passed.astype(float))
        grad = np.zeros(self.weights.size)
        known = self.index >= 0
        np.add.at(grad, self.index[known], by_pair[known] * self.geometry.scale)
        every = self.passed.astype(float) @ self.matrix.T
        later = np.zeros_like(every)  # error of a spike of step k is in row k + delay
        if self.delay < self.steps:
            later[:, : self.steps - self.delay] = every[:, self.delay :]
        at_spikes = np.zeros(self.rows.shape)
        for b, sample in enumerate(self.counts):
            for k, step in enumerate(sample):
                at_spikes[b, self.row_ptr[b, k] : self.row_ptr[b, k + 1]] = np.repeat(later[b, k], step)
        return x, grad.reshape(self.weights.shape), at_spikes, every

    def products(self, way, chunk=None):
        """All four, in chunks of steps."""
        chunk = chunk or self.steps
        conv = Convolution(self.geometry, self.dtype)
        conv.prepare(self.weights)
        spikes = conv.arrange(self.rows, self.row_ptr, Plan(way, way, way))
        batch = len(self.rows)
        x = np.full((batch, self.steps, self.geometry.n_out), np.nan, self.dtype)
        every = np.full((batch, self.steps, self.geometry.n_in), np.nan, self.dtype)
        grad, at_spikes = np.zeros(self.weights.shape, self.dtype), np.zeros(self.rows.shape, self.dtype)
        part = np.full((batch, chunk, self.geometry.n_out), np.nan, self.dtype)
        dense = np.full((batch, chunk, self.geometry.n_in), np.nan, self.dtype)
        for k0 in range(0, self.steps, chunk):
            k1 = min(k0 + chunk, self.steps)
            given = np.full_like(part, np.nan)
            given[:, : k1 - k0] = self.passed[:, k0:k1]
            conv.input(way, spikes, k0, k1, self.delay, part)
            x[:, k0:k1] = part[:, : k1 - k0]
            conv.gradient(way, spikes, k0, k1, self.delay, given, grad)
            conv.error_at_spikes(way, spikes, k0, k1, self.delay, given, at_spikes)
            conv.error_everywhere(k1 - k0, given, dense)
            every[:, k0:k1] = dense[:, : k1 - k0]
        return x, grad, at_spikes, every


GEOMETRIES = {
    "plain": Geometry(3, 7, 6, 4, (3, 2)),
    "pad": Geometry(2, 5, 7, 3, (3, 3), padding=(1, 2)),
    "stride": Geometry(2, 9, 8, 5, (3, 3), stride=(2, 3), padding=(1, 1)),
    "stride beyond the kernel": Geometry(2, 9, 9, 3, (1, 2), stride=(2, 4)),
    "k = 5 and pool 3": Geometry(2, 17, 19, 4, (5, 5), pool=(3, 3)),
    "pool, pad, stride": Geometry(1, 11, 13, 17, (3, 3), stride=(2, 1), padding=(0, 1), pool=(2, 3)),
    "sum": Geometry(3, 8, 8, 4, (2, 2), pool=(2, 2), average=False),
    "one dimension": Geometry(5, 1, 20, 18, (1, 4), stride=(1, 2), padding=(0, 3), pool=(1, 2)),
    "many filters": Geometry(15, 6, 6, 40, (5, 5), padding=(1, 1)),
    "one place": Geometry(3, 4, 4, 5, (4, 4)),
}


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    with on_one_thread():
        yield


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", GEOMETRIES)
@pytest.mark.parametrize(("delay", "chunk"), [(0, None), (2, 3), (7, 2)])
def test_products_are_those_of_the_operator(way, name, delay, chunk):
    case = Case(GEOMETRIES[name], delay=delay)
    for got, wanted in zip(case.products(way, chunk), case.expected(), strict=True):
        np.testing.assert_allclose(got, wanted, **CLOSE)


@st.composite
def geometries(draw):
    size, pool = st.integers(1, 9), st.integers(1, 3)
    height, width = draw(size), draw(size)
    pools = min(draw(pool), height), min(draw(pool), width)
    padding = draw(st.integers(0, 3)), draw(st.integers(0, 3))
    kernel = tuple(
        draw(st.integers(1, min(5, n // p + 2 * q))) for n, p, q in zip((height, width), pools, padding, strict=True)
    )
    return Geometry(
        draw(st.integers(1, 5)), height, width, draw(st.integers(1, 37)), kernel,
        (draw(st.integers(1, 3)), draw(st.integers(1, 3))), padding, pools, draw(st.booleans()),
    )  # fmt: skip


@quick
@given(
    geometries(), st.sampled_from(WAYS), st.integers(0, 2**16), st.integers(0, 4), st.integers(1, 6),
    st.sampled_from([0.0, 0.1, 0.8]),
)  # fmt: skip
def test_any_geometry(geometry, way, seed, delay, chunk, activity):
    case = Case(geometry, seed, 2, 4, delay, activity)
    for got, wanted in zip(case.products(way, chunk), case.expected(), strict=True):
        np.testing.assert_allclose(got, wanted, **CLOSE)


@pytest.mark.parametrize("way", WAYS)
def test_adds_to_what_is_there(way):
    case = Case(GEOMETRIES["pad"])
    conv = Convolution(case.geometry, case.dtype)
    conv.prepare(case.weights)
    spikes = conv.arrange(case.rows, case.row_ptr, Plan(way, way, way))
    x, grad, at_spikes, every = case.expected()
    got = np.ones_like(x), np.ones_like(grad), np.ones_like(at_spikes), np.ones_like(every)
    conv.input(way, spikes, 0, case.steps, 0, got[0], add=True)
    conv.gradient(way, spikes, 0, case.steps, 0, case.passed, got[1])
    conv.error_at_spikes(way, spikes, 0, case.steps, 0, case.passed, got[2])
    conv.error_everywhere(case.steps, case.passed, got[3], add=True)
    for one, wanted in zip(got, (x, grad, at_spikes, every), strict=True):
        np.testing.assert_allclose(one, wanted + 1, **CLOSE)


@pytest.mark.parametrize("way", WAYS)
def test_same_bits_for_any_number_of_threads(way):
    case = Case(GEOMETRIES["many filters"], batch=11)
    before, found = numba.get_num_threads(), []
    for threads in (1, 2, 4):
        numba.set_num_threads(threads)
        found.append(case.products(way, 2))
    numba.set_num_threads(before)
    for other in found[1:]:
        for one, two in zip(found[0], other, strict=True):
            np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("way", WAYS)
def test_linear_in_multiplicity(way):
    """A neuron that is listed twice weighs twice, bit by bit where nothing else is added."""
    geometry = GEOMETRIES["pad"]
    conv = Convolution(geometry, np.float64)
    conv.prepare(np.random.default_rng(0).normal(size=geometry.weight_shape))
    x = np.empty((1, 1, geometry.n_out)), np.empty((1, 1, geometry.n_out))
    for out, number in zip(x, (2, 1), strict=True):
        spikes = np.array([[17, 17]], np.int32), np.array([[0, number]], np.int32)
        conv.input(way, conv.arrange(*spikes, Plan(way, way, way)), 0, 1, 0, out)
    np.testing.assert_array_equal(x[0], 2 * x[1])
    assert x[0].any()


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["many filters", "pool, pad, stride"])
def test_single_precision(way, name):
    case = Case(GEOMETRIES[name], dtype=np.float32)
    for got, wanted in zip(case.products(way, 2), case.expected(), strict=True):
        # Sums of at most 600 terms, rounded to 6e-8 each.
        np.testing.assert_allclose(got, wanted, rtol=2e-5, atol=2e-5 * np.abs(wanted).max())


@pytest.mark.slow
def test_narrower_vectors(tmp_path):
    """The same products as compiled for a processor without AVX-512."""
    own = {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": "", "NUMBA_CACHE_DIR": str(tmp_path)}
    code = "from snnsim.kernels.cpu.blocked import VECTOR_BYTES; assert VECTOR_BYTES == 32"
    tests = ["-m", "pytest", "-q", "-p", "no:cacheprovider", __file__, "-k", "operator"]
    for command in (["-c", code], tests):
        done = subprocess.run([sys.executable, *command], env=os.environ | own, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("way", WAYS)
def test_plan_is_one_of_the_ways(way):
    """Dense spikes are multiplied, few are added one by one, and products that are not taken have no say."""
    geometry = Geometry(15, 24, 24, 40, (5, 5), pool=(2, 2))
    conv = Convolution(geometry, np.float64)
    activity = {"events": 2e-4, "pooled": 0.01, "dense": 0.9}[way]
    counts = (np.random.default_rng(0).random((2, 4, geometry.n_in)) < activity).astype(int)
    assert conv.plan(*lists(counts)).input == way
    assert conv.plan(*lists(counts), ("gradient",))._replace(gradient="") == Plan("events", "", "events")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(kernel=(6, 3)), "kernel = (6, 3): larger than the map's height, 5 + 2 x 0"),
        (dict(pool=(2, 8)), "pool = (2, 8): larger than the map's width of 7"),
        (dict(stride=(0, 1)), "stride = (0, 1): must be at least 1"),
        (dict(padding=(0, -1)), "padding = (0, -1): must be at least 0"),
        (dict(kernel=(3,)), "kernel = (3,): must be two numbers, height and width"),
        (dict(filters=0), "filters = 0: must be at least 1"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(change, message):
    with pytest.raises(InputError) as error:
        Geometry(**(dict(channels=2, height=5, width=7, filters=3, kernel=(3, 3)) | change))
    assert str(error.value) == message
