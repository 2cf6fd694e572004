"""The clock engine, all layers and gradients, against the serial reference."""

import itertools

import numpy as np
import pytest

from snnsim.engines import clock
from snnsim.engines.clock import CHUNK
from snnsim.engines.dropout import Dropout
from snnsim.engines.grid import GridSpikes
from snnsim.parameters import LIFParameters
from tests import reference
from tests.layers import LayerEngine

# float64 kernels and the reference differ only in the order of sums.
ROUNDING = 1e-9


def grid_spikes(dense):
    """Dense zeros and ones (B, T, N) as spike lists."""
    batch, steps, _ = dense.shape
    ptr = np.zeros((batch, steps + 1), np.int32)
    ptr[:, 1:] = np.cumsum(dense.sum(axis=2), axis=1)
    rows = np.zeros((batch, max(int(ptr[:, -1].max()), 1)), np.int32)
    for b in range(batch):
        rows[b, : ptr[b, -1]] = np.nonzero(dense[b])[1]
    return GridSpikes(rows, ptr, dense.shape[2])


def problem(reset="hard", readout="spiking", steps=CHUNK + 20, seed=0, layers=(13, 9, 7, 4)):
    rng = np.random.default_rng(seed)
    weights = [rng.normal(0.25, 0.6, shape) for shape in itertools.pairwise(layers)]
    parameters = [
        LIFParameters(tau_mem=0.8 + 0.1 * k, tau_syn=0.6, r=1.2, v_threshold=1.0, v_reset=0.1, reset=reset)
        for k in range(len(weights))
    ]
    dense = (rng.random((3, steps, layers[0])) < 0.15).astype(np.uint8)
    return weights, parameters, dense


def engine_gradient(engine, weights, dense, signal):
    output = engine.forward(weights, grid_spikes(dense))
    return [g.copy() for g in engine.backward(weights, signal(output))]


def reference_gradient(weights, parameters, dense, scheme, impulse, readout, dt, **options):
    grads, kept = None, []
    for b in range(len(dense)):
        layers = reference.clock_forward(dense[b], weights, parameters, dt, scheme, impulse, readout)
        kept.append(layers)
        chosen = {k: v[b] if isinstance(v, np.ndarray) else v for k, v in options.items()}
        grad = reference.clock_backward(layers, weights, **chosen)
        grads = grad.grad_w if grads is None else [x + y for x, y in zip(grads, grad.grad_w, strict=True)]
    return grads, kept


def assert_same_gradients(ours, theirs):
    for name, a, b in zip([f"W{k}" for k in range(len(ours))], ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=ROUNDING, atol=ROUNDING * np.abs(b).max(), err_msg=name)
        assert np.abs(b).max() > 0, name


@pytest.mark.parametrize("scheme", ["forward_euler", "backward_euler", "exact", "bilinear"])
@pytest.mark.parametrize("reset", ["hard", "subtract"])
@pytest.mark.parametrize("gradient", ["exact", "literal", "tssl", "tssl-fallback", "surrogate"])
@pytest.mark.parametrize("weight_gradient", ["discrete", "continuous"])
def test_spiking_gradients_agree_with_the_reference(scheme, reset, gradient, weight_gradient):
    weights, parameters, dense = problem(reset)
    dt, impulse = 0.1, "unit-height" if scheme == "exact" else "unit-area"
    if impulse == "unit-height":
        weights = [w * 8 for w in weights]
    kind, _, fallback = gradient.partition("-")
    rng = np.random.default_rng(1)
    field = rng.normal(size=(*dense.shape[:2], weights[-1].shape[1]))
    engine = LayerEngine(
        weights, parameters, dt=dt, n_steps=dense.shape[1], scheme=scheme, impulse=impulse, gradient=kind,
        weight_gradient=weight_gradient, tssl_fallback=bool(fallback), precision="float64", synapse="gather",
        max_inverse_slope=30.0,
    )  # fmt: skip

    def signal(output):
        if engine.takes_amplitude:
            return field
        e = np.zeros(output.times.shape)
        for b in range(len(e)):
            steps = np.rint(output.times[b, : output.counts[b]] / dt).astype(int) - 1
            e[b, : output.counts[b]] = field[b, steps, output.neurons[b, : output.counts[b]]]
        return e

    ours = engine_gradient(engine, weights, dense, signal)
    source = {"amplitude": field} if engine.takes_amplitude else {"e": field}
    theirs, layers = reference_gradient(
        weights, parameters, dense, scheme, impulse, "spiking", dt, gradient=kind, weight_gradient=weight_gradient,
        max_inverse_slope=30.0, sigmoid_fallback=bool(fallback), beta=10.0, **source,
    )  # fmt: skip
    assert min(reference.threshold_margin(k) for k in layers) > ROUNDING
    for index, slab in enumerate(engine.spikes()[1:]):
        for b in range(len(dense)):
            step, neuron = np.nonzero(layers[b][index].spikes)
            np.testing.assert_array_equal(slab.neurons[b, : slab.counts[b]], neuron)
            np.testing.assert_array_equal(np.rint(slab.times[b, : slab.counts[b]] / dt) - 1, step)
    assert_same_gradients(ours, theirs)


@pytest.mark.parametrize("gradient", ["exact", "literal", "tssl", "surrogate"])
def test_readout_gradients_agree_with_the_reference(gradient):
    weights, parameters, dense = problem()
    dv = np.random.default_rng(2).normal(size=(*dense.shape[:2], weights[-1].shape[1]))
    engine = LayerEngine(
        weights, parameters, "leaky", dt=0.1, n_steps=dense.shape[1], gradient=gradient, precision="float64",
        synapse="gather",
    )  # fmt: skip
    ours = engine_gradient(engine, weights, dense, lambda output: dv)
    theirs, _ = reference_gradient(
        weights, parameters, dense, "backward_euler", "unit-area", "leaky", 0.1, gradient=gradient, beta=10.0,
        dloss_dv=dv,
    )  # fmt: skip
    assert_same_gradients(ours, theirs)


@pytest.mark.parametrize("gradient", ["exact", "surrogate"])
@pytest.mark.parametrize("synapse", ["pattern", "dense", "auto"])
def test_ways_of_summing_agree(synapse, gradient):
    weights, parameters, dense = problem()
    dv = np.random.default_rng(2).normal(size=(*dense.shape[:2], weights[-1].shape[1]))
    results = []
    for way in ("gather", synapse):
        engine = LayerEngine(
            weights, parameters, "leaky", dt=0.1, n_steps=dense.shape[1], precision="float64", synapse=way,
            gradient=gradient,
        )  # fmt: skip
        results.append(engine_gradient(engine, weights, dense, lambda output: dv))
    assert_same_gradients(*results)


@pytest.mark.parametrize("gradient", ["exact", "literal", "tssl-fallback", "surrogate"])
@pytest.mark.parametrize("readout", ["leaky", "spiking"])
@pytest.mark.parametrize("synapse", ["gather", "pattern", "dense"])
def test_blocks_of_samples_change_the_order_of_sums_alone(synapse, readout, gradient, monkeypatch):
    weights, parameters, dense = problem(readout=readout)
    dense = np.concatenate([dense, 1 - dense[:1], dense[::-1, ::-1]])  # seven samples, unlike one another
    results, outputs = [], []
    for least, blocks in ((7, 1), (2, 3)):
        monkeypatch.setattr(clock, "BLOCK", 1)
        monkeypatch.setattr(clock, "LEAST_BLOCK", least)
        engine = LayerEngine(
            weights, parameters, readout, dt=0.1, n_steps=dense.shape[1], precision="float64", synapse=synapse,
            gradient=gradient.removesuffix("-fallback"), tssl_fallback=gradient == "tssl-fallback",
        )  # fmt: skip
        assert len(engine._blocks(len(dense), 9)) == blocks
        output = engine.forward(weights, grid_spikes(dense), trace=[0])
        last = engine.grids()[-1]
        listed = np.arange(last.rows.shape[1]) < last.row_ptr[:, -1:]
        outputs.append([*(x.copy() for x in engine.traces(0)), last.rows[listed], last.row_ptr.copy()])
        by_step = readout == "leaky" or engine.takes_amplitude
        shape = (*dense.shape[:2], 4) if by_step else output.times.shape
        results.append([g.copy() for g in engine.backward(weights, np.random.default_rng(2).normal(size=shape))])
    for whole, parts in zip(*outputs, strict=True):
        np.testing.assert_array_equal(whole, parts)
    assert_same_gradients(*results)


@pytest.mark.parametrize("gradient", ["tssl", "tssl-fallback", "surrogate"])
def test_activity_costs_what_counting_spikes_would(gradient):
    # The cost of a hidden layer's spikes is a loss on that layer as if it were the output.
    weights, parameters, dense = problem()
    options = {
        "dt": 0.1, "n_steps": dense.shape[1], "precision": "float64", "synapse": "gather",
        "gradient": gradient.removesuffix("-fallback"), "tssl_fallback": gradient == "tssl-fallback",
    }  # fmt: skip
    engine = LayerEngine(weights, parameters, "leaky", **options)
    v = engine.forward(weights, grid_spikes(dense)).v
    ours = [g.copy() for g in engine.backward(weights, np.zeros_like(v), activity_cost=0.6)]
    theirs = [np.zeros_like(w) for w in weights]
    for layer in (0, 1):
        n_out = weights[layer].shape[1]
        part = LayerEngine(weights[: layer + 1], parameters[: layer + 1], "spiking", **options)
        part.forward(weights[: layer + 1], grid_spikes(dense))
        each = np.full((*dense.shape[:2], n_out), 0.6 / (len(dense) * n_out))
        for total, grad in zip(theirs, part.backward(weights[: layer + 1], each), strict=False):
            total += grad
    assert_same_gradients(ours[:2], theirs[:2])
    assert not ours[2].any()


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_what_fades_away_ends_at_zero(precision):
    # Denormal numbers make a long trial tens of times slower. In float64 they come after 6,000 steps.
    weights, parameters, dense = problem(steps=16 * CHUNK if precision == "float32" else 120 * CHUNK)
    dense[:, 20:] = 0
    n_steps = dense.shape[1]
    engine = LayerEngine(weights, parameters, "leaky", dt=0.1, n_steps=n_steps, precision=precision)
    weights = [w.astype(engine.dtype) for w in weights]
    v = engine.forward(weights, grid_spikes(dense), trace=[0]).v
    for state in (v, *engine.traces(0)):
        assert state[:, : 2 * CHUNK].any()
        assert not state[:, -CHUNK:].any()
        assert not ((state != 0) & (np.abs(state) < np.finfo(precision).tiny)).any()


def test_more_spikes_than_room_are_kept_by_a_second_pass():
    weights, parameters, dense = problem()
    weights = [np.abs(w) * 4 for w in weights]
    engine = LayerEngine(weights, parameters, dt=0.1, n_steps=dense.shape[1], precision="float64")
    output = engine.forward(weights, grid_spikes(dense))
    layers = reference.clock_forward(dense[0], weights, parameters, 0.1, "backward_euler")
    assert output.counts[0] == layers[-1].spikes.sum() > weights[-1].shape[1] * dense.shape[1] // 16


def test_float32_agrees_to_its_rounding():
    weights, parameters, dense = problem(steps=30)
    grads = []
    for precision in ("float32", "float64"):
        engine = LayerEngine(weights, parameters, "leaky", dt=0.1, n_steps=30, precision=precision, synapse="gather")
        typed = [w.astype(precision) for w in weights]
        dv = np.full((3, 30, 4), 0.1)
        grads.append(engine_gradient(engine, typed, dense, lambda output, dv=dv: dv))
    for a, b in zip(*grads, strict=True):
        assert a.dtype == np.float32
        # 30 steps of float32 (6e-8 each), amplified by 1/slope of a few hundred.
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5 * np.abs(b).max())


def test_silent_network_has_no_gradient_and_no_spikes():
    weights, parameters, dense = problem()
    engine = LayerEngine(weights, parameters, dt=0.1, n_steps=dense.shape[1], precision="float64")
    output = engine.forward([w * 0 for w in weights], grid_spikes(dense))
    assert output.counts.sum() == 0
    grads = engine.backward(weights, np.zeros(output.times.shape))
    assert all((g == 0).all() for g in grads)


@pytest.mark.parametrize("weight_gradient", ["discrete", "continuous"])
@pytest.mark.parametrize("gradient", ["exact", "literal", "tssl", "surrogate"])
def test_dropout_is_a_sample_s_own_weights_without_rows(gradient, weight_gradient):
    # Dropping a neuron in one sample takes its row out of the weights above it, and all others grow by 1/(1 - rate).
    weights, parameters, dense = problem(layers=(13, 30, 20, 4))
    dropout = Dropout(0.4, np.array([3, 11, 7]), seed=5, epoch=2)
    engine = LayerEngine(
        weights, parameters, "leaky", dt=0.1, n_steps=dense.shape[1], precision="float64", gradient=gradient,
        weight_gradient=weight_gradient,
    )  # fmt: skip
    output = engine.forward(weights, grid_spikes(dense), dropout=dropout)
    v, signal = output.v.copy(), np.random.default_rng(1).normal(size=output.v.shape)
    ours = [g.copy() for g in engine.backward(weights, signal)]
    masks = [np.ones((3, 13), bool), *(engine._dropped[name].kept for name in ("hidden0", "hidden1"))]
    assert all(0 < m.mean() < 1 for m in masks[1:])
    theirs = [np.zeros_like(w) for w in weights]
    for b in range(3):
        factors = [m[b][:, None] * (1 if layer == 0 else 1 / 0.6) for layer, m in enumerate(masks)]
        own = [w * f for w, f in zip(weights, factors, strict=True)]
        # The gain multiplies the coefficients here and the weights there: the roundings differ.
        np.testing.assert_allclose(
            engine.forward(own, grid_spikes(dense[b : b + 1])).v[0], v[b], rtol=1e-12, atol=1e-12
        )
        for total, grad, f in zip(theirs, engine.backward(own, signal[b : b + 1]), factors, strict=True):
            total += grad * f
    assert_same_gradients(ours, theirs)


def test_dropout_drops_at_its_rate_and_is_drawn_anew():
    spikes = GridSpikes(np.zeros((200, 1), np.int32), np.zeros((200, 2), np.int32), 501)
    ids = np.arange(200)
    drawn = {}
    for layer, seed, epoch in itertools.product((0, 1), repeat=3):
        kept = Dropout(0.3, ids, seed, epoch).drop(layer, spikes).kept
        # Standard deviation of the mean of 100,200 draws.
        assert abs(kept.mean() - 0.7) < 5 * np.sqrt(0.21 / kept.size)
        drawn[layer, seed, epoch] = kept
    for a, b in itertools.combinations(drawn.values(), 2):
        assert abs((a == b).mean() - 0.58) < 0.02
    shuffled = Dropout(0.3, ids[::-1], 0, 0).drop(0, spikes).kept
    np.testing.assert_array_equal(shuffled[::-1], drawn[0, 0, 0])
