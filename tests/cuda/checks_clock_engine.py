"""The clock engine and trainings on the device, beside the serial reference and the CPU's, simulated or on a GPU."""

from itertools import pairwise

import numpy as np
import pytest

from snnsim import config
from snnsim.engines import clock, clock_cuda
from snnsim.engines.clock import ClockEngine
from snnsim.engines.clock_cuda import CudaClockEngine, DeviceSpikes
from snnsim.engines.grid import GridSpikes
from snnsim.kernels import cuda
from snnsim.kernels.cuda import compiler, lif, words
from snnsim.network import Network
from snnsim.parameters import LIFParameters
from snnsim.training.session import Session
from snnsim.training.session_cuda import CudaSession
from tests.cuda.device import (  # noqa: F401
    OVERFLOW,
    assert_same,
    layer,
    off,
    on,
    random_lists,
    somewhere_to_run,
    words_of,
)
from tests.layers import LayerEngine
from tests.reference import clock_backward, clock_forward, threshold_margin

F = np.float32

pytestmark = OVERFLOW


def test_whole_network_against_the_serial_reference():
    rng = np.random.default_rng(22)
    n_steps, sizes, dt = 10, (12, 9, 4), 0.1
    parameters = [LIFParameters(), LIFParameters()]
    spikes = (rng.random((n_steps, 12)) < 0.4).astype(float)
    weights = [rng.random((a, b)) * s for a, b, s in zip(sizes[:-1], sizes[1:], (0.9, 1.3), strict=True)]
    layers = clock_forward(spikes, weights, parameters, dt)
    assert threshold_margin(layers) > 1e-6
    assert all(y.spikes.sum() > 3 for y in layers)
    e = rng.standard_normal((n_steps, 4))
    expected = clock_backward(layers, weights, e=e)

    def lists(array):
        step, neuron = np.nonzero(array)
        return neuron.astype(np.int32)[None], np.searchsorted(step, np.arange(n_steps + 1)).astype(np.int32)[None]

    _, coefficients, neuron = layer(dtype=np.float64, dt=dt)
    neuron = (1.0, 0.0, *neuron[2:])
    inputs, kept = [on(a) for a in lists(spikes)], []
    empty = on(np.empty((0, 0, 0)))
    for w in weights:
        n = w.shape[1]
        x, v, i = on(np.zeros((1, n_steps, n))), on(np.zeros((1, n))), on(np.zeros((1, n)))
        out = [on(np.zeros((1, n_steps * n), t)) for t in (np.int32, float, float)]
        ptr, bits = on(np.zeros((1, n_steps + 1), np.int32)), on(np.zeros((1, 1, n), np.uint32))
        cuda.synaptic_input(on(w), *inputs, 0, n_steps, x)
        lif.lif_forward(
            x, coefficients, neuron, 0, 0, 0, n_steps, v, i, out[0], ptr, *out[1:], empty, empty, 1, True, bits,
            on(np.zeros(1, int)),
        )  # fmt: skip
        kept.append((inputs, out, ptr))
        inputs = [out[0], ptr]
    for reference, (_, out, ptr) in zip(layers, kept, strict=True):
        found, pointers = lists(reference.spikes)
        np.testing.assert_array_equal(off(ptr), pointers)
        np.testing.assert_array_equal(off(out[0])[:, : found.size], found)

    error = on(np.array([[e[k, n] for k, n in zip(*np.nonzero(layers[-1].spikes), strict=True)]]))
    for at in (1, 0):
        w, (inputs, out, ptr) = weights[at], kept[at]
        n = w.shape[1]
        state = [on(np.zeros((1, n))) for _ in range(3)]
        adjoint, spike_adjoint = on(np.zeros((1, n_steps, n))), on(np.zeros((1, n_steps, n)))
        lif.lif_backward(
            coefficients, neuron, 0, 0, False, 0, n_steps, out[0], ptr, *out[1:], error, empty, *state, adjoint,
            spike_adjoint,
        )  # fmt: skip
        grad = on(np.zeros_like(w))
        bits = on(words_of(off(inputs[0]), off(inputs[1]), w.shape[0]))
        words.word_gradient(adjoint.reshape(n_steps, n), bits, 0, n_steps, n_steps, True, grad, on(np.empty(0)))
        # float64 on both sides, in other orders of sums; so are the errors of input spikes below.
        np.testing.assert_allclose(off(grad), expected.grad_w[at], rtol=1e-11, atol=1e-12)
        error = on(np.zeros(off(inputs[0]).shape))
        cuda.spike_error(on(w), spike_adjoint, *inputs, 0, n_steps, error)
    step, source = np.nonzero(spikes)
    np.testing.assert_allclose(off(error)[0], expected.e_input[step, source], rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize(
    ("settings", "launches"),
    [
        (("simulation.n_steps=6", "optimizer.clip_norm=0.05", "training.batch_size=3"), 12),
        (("simulation.n_steps=6", "optimizer.clip_norm=0.05", "simulation.synapse='auto'"), 12),
        (("simulation.n_steps=34", "network.layers=[5,6,7,3]", "simulation.synapse='auto'", "simulation.dt=0.04",
          "network.init_scale=2.0"), 35 if compiler.UNIT < 7 else 32),  # on a card these layers count as narrow
        (("simulation.n_steps=34", "network.layers=[5,2,3]", "training.batch_size=1", "simulation.dt=0.04",
          "network.init_scale=3.0"), 22),
        (("simulation.n_steps=34", "network.layers=[5,6,7,3]", "simulation.synapse='dense'", "simulation.dt=0.04",
          "network.init_scale=2.0"), 56 if compiler.UNIT < 7 else 53),
        (("simulation.n_steps=34", "network.layers=[5,6,7,3]", "gradient.method='surrogate'", "loss.name='count-mse'",
          "simulation.synapse='auto'", "simulation.dt=0.04", "network.init_scale=4.0"), 35),
        (("simulation.n_steps=6", "gradient.method='tssl'", "loss.name='count-mse'", "loss.silent_push=0.1",
          "optimizer.name='sgd'", "network.init_scale=5.0"), 18),
        (("simulation.n_steps=6", "gradient.method='surrogate'", "loss.name='van-rossum'", "encoder.name='latency'",
          "simulation.synapse='dense'", "network.init_scale=6.0", "simulation.dt=0.3"), 24),
        (("simulation.n_steps=8", "gradient.weight_gradient='continuous'", "simulation.impulse='unit-height'",
          "loss.name='first-spike'", "encoder.name='regular'", "network.init_scale=15.0", "simulation.dt=0.3"), 15),
    ],
)  # fmt: skip
def test_training_as_on_the_cpu(settings, launches, monkeypatch):
    for engine in (clock, clock_cuda):
        monkeypatch.setattr(engine, "CHUNK", 32)
    monkeypatch.setattr(clock_cuda, "FIELD", 32 * 7 * 2)  # trials of more than 32 steps take more than one chunk
    given = (
        "data.dataset='yin-yang'", "data.limit=40", "network.layers=[5,7,3]", "training.batch_size=2",
        "simulation.synapse='gather'", "optimizer.lr=0.05",
    )  # fmt: skip
    cpu_session, cuda_session = (s(config.load(None, (*given, *settings))) for s in (Session, CudaSession))
    start = [w.copy() for w in cpu_session.weights]
    for _ in range(2 if launches == 12 else 1):
        theirs = cpu_session.step()
        with compiler.count_launches() as names:
            mine = cuda_session.step()
        assert mine == pytest.approx(theirs, rel=1e-5)
    assert len(names) == launches, " ".join(names)
    states = [s.state() for s in (cuda_session, cpu_session)]
    assert states[0]["totals"]["spikes"] == states[1]["totals"]["spikes"]
    assert sum(states[1]["totals"]["spikes"]) > 0
    for a, b, w in zip(states[0]["tensors"].values(), states[1]["tensors"].values(), start, strict=True):
        # Of the update: float32 losses and inner products have another rounding (docs/cuda.md).
        assert np.abs((a - w) - (b - w)).max() <= 1e-4 * np.abs(b - w).max() + 1e-7
    assert any(np.abs(b - w).max() > 1e-3 for b, w in zip(states[1]["tensors"].values(), start, strict=True))
    test = cpu_session.test.first(3)
    mine, theirs = (s.examine(test.values, test.labels, test.ids) for s in (cuda_session, cpu_session))
    np.testing.assert_allclose(mine[0], theirs[0], rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(mine[1], theirs[1])
    assert mine[2] == theirs[2]


def test_chunks_of_long_trials():
    clock = ClockEngine(Network.of_layers((2, 1, 1), LIFParameters(), "leaky"), dt=0.1, n_steps=200_000)
    device = CudaClockEngine(clock, (2, 1, 1), 1, learns=False)
    chunks = device._chunks(1)
    assert chunks[0][0] == 0
    assert chunks[-1][1] == 200_000
    assert all(k1 - k0 <= 65_535 and k0 % 64 == 0 for k0, k1 in chunks)  # what an axis of the grid takes


@pytest.mark.parametrize(
    ("gradient", "readout", "reset", "options"),
    [
        ("exact", "leaky", "hard", {}),
        ("exact", "spiking", "hard", {"synapse": "auto"}),
        ("tssl", "leaky", "subtract", {"synapse": "auto"}),
        ("literal", "spiking", "hard", {}),
        ("literal", "leaky", "subtract", {"weight_gradient": "continuous", "impulse": "unit-height"}),
        ("tssl", "spiking", "subtract", {}),
        ("tssl", "spiking", "hard", {"tssl_fallback": True, "tssl_width": 0.5}),
        ("surrogate", "spiking", "hard", {}),
        ("surrogate", "spiking", "hard", {"synapse": "auto"}),
        ("surrogate", "leaky", "subtract", {"synapse": "dense"}),
    ],
)
def test_gradients_of_the_engine_as_on_the_cpu(gradient, readout, reset, options):
    """Three layers, two samples: spikes equal, every gradient to the rounding of inner products in float64."""
    rng = np.random.default_rng(25)
    sizes, n_steps, size = (6, 5, 4, 3), 7, 2
    options = {"synapse": "gather", "impulse": "unit-area"} | options
    area = 5 if options["impulse"] == "unit-height" else 1
    parameters = [LIFParameters(reset=reset, v_reset=0.1, v_threshold=0.4)] * 3
    weights = [rng.random(shape) * area for shape in pairwise(sizes)]
    clock = LayerEngine(
        weights, parameters, readout, dt=0.2, n_steps=n_steps, gradient=gradient, precision="float64", **options
    )  # fmt: skip
    rows, row_ptr = random_lists(rng, size, n_steps, sizes[0], 0.5)
    output = clock.forward(weights, GridSpikes(rows, row_ptr, sizes[0]))
    spiking = readout == "spiking"
    steps = not spiking or clock.takes_amplitude
    signal = rng.standard_normal((size, n_steps, sizes[-1]) if steps else output.times.shape)
    expected = clock.backward(weights, signal)

    device = CudaClockEngine(clock, sizes, size)
    for mine, w in zip(device.weights, weights, strict=True):
        compiler.to_device(w, mine)
    inputs = DeviceSpikes(on(rows), on(row_ptr), on(words_of(rows, row_ptr, sizes[0])))
    device.forward(inputs)
    for grid, (spikes, _, _) in zip(clock.grids()[1:], device.recorded(size), strict=False):
        np.testing.assert_array_equal(off(spikes.row_ptr), grid.row_ptr)
        assert grid.total > 4
        for b, count in enumerate(grid.row_ptr[:, -1]):
            np.testing.assert_array_equal(off(spikes.rows)[b, :count], grid.rows[b, :count])
    device.backward(inputs, on(signal))
    squares = sum(float((g / device.area).ravel() @ (g / device.area).ravel()) for g in expected)
    assert off(device.squares).sum() == pytest.approx(squares, rel=1e-9)
    for mine, theirs in zip(device.gradients, expected, strict=True):
        assert np.abs(theirs).max() > 1e-3
        # float64 on both sides; the device adds in another order, and entries near zero are left of larger terms.
        np.testing.assert_allclose(off(mine) * device.area, theirs, rtol=1e-10, atol=1e-12)
