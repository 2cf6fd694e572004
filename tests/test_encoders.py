"""Encoders: rates, order and time, on the grid and off it."""

import numpy as np
import pytest

from snnsim.encoders import ENCODERS, Encoder
from snnsim.errors import InputError

DT, STEPS = 0.1, 40
IDS = np.arange(7)


def images(batch=7, n=30, seed=0):
    values = np.random.default_rng(seed).integers(0, 256, (batch, n)).astype(np.uint8)
    values[:, 0], values[:, 1] = 0, 255
    return values


def dense(grid):
    """Spikes on the grid as zeros and ones, (B, T, N)."""
    batch, steps = len(grid.rows), grid.row_ptr.shape[1] - 1
    out = np.zeros((batch, steps, grid.n_neurons), int)
    for b in range(batch):
        for k in range(steps):
            for row in grid.rows[b, grid.row_ptr[b, k] : grid.row_ptr[b, k + 1]]:
                if grid.group == 1:
                    out[b, k, row] += 1
                else:
                    for j in range(4):
                        if (row % 16) >> j & 1:
                            out[b, k, row // 16 * 4 + j] += 1
    return out


def encoder(name, **options):
    return Encoder(name, **{"dt": DT, "n_steps": STEPS, **options})


def within(found, expected, trials):
    """Assert that shares lie within five standard errors of probabilities."""
    error = np.sqrt(expected * (1 - expected) / trials)
    assert (np.abs(found - expected) <= 5 * error + 1e-12).all()


def test_poisson_mean_rate():
    values = np.tile(np.linspace(0, 255, 16).astype(np.uint8), (200, 1))
    spikes = dense(encoder("poisson", max_probability=0.6).on_grid(values, np.arange(200)))
    within(spikes.mean(axis=(0, 1)), 0.6 * values[0] / 255, 200 * STEPS)
    assert spikes.max() == 1


def test_rate_per_unit_time_does_not_depend_on_the_step():
    values = np.tile(np.linspace(0, 255, 16).astype(np.uint8), (200, 1))
    for dt in (0.2, 0.1, 0.02):
        steps = round(4 / dt)
        made = encoder("poisson-rate", dt=dt, n_steps=steps, max_rate=1.5)
        p = -np.expm1(-1.5 * dt * values[0] / 255)
        spikes = dense(made.on_grid(values, np.arange(200)))
        within(spikes.mean(axis=(0, 1)), p, 200 * steps)
        # At most one spike a step: at most rate dt / 2 of them are lost.
        assert spikes.sum() / (200 * 4) == pytest.approx(1.5 * (values[0] / 255).sum(), rel=1.5 * dt / 2 + 0.02)


def test_regular_spikes_are_evenly_spread():
    spikes = dense(encoder("regular", max_probability=0.5).on_grid(images(), IDS))
    counts = spikes.sum(axis=1)
    assert (np.abs(counts - 0.5 * STEPS * images() / 255) <= 0.5 + 1e-6).all()
    for k in range(1, STEPS):  # in every prefix of the trial too
        assert (np.abs(spikes[:, :k].sum(axis=1) - 0.5 * k * images() / 255) <= 0.5 + 1e-6).all()


def test_latency_is_one_spike_the_earlier_the_brighter():
    made = encoder("latency", t_latest=3.0, latency_floor=0.2)
    values = images()
    slab = made.in_time(values, IDS)
    for b in range(len(values)):
        neurons, times = slab.neurons[b, : slab.counts[b]], slab.times[b, : slab.counts[b]]
        x = values[b] / 255
        assert sorted(neurons) == np.flatnonzero(x > 0.2).tolist()
        np.testing.assert_allclose(times, 3.0 * (1 - x[neurons]), rtol=0, atol=1e-12)
        assert (np.diff(times) >= 0).all()
        tied = np.diff(times) == 0
        assert (np.diff(neurons)[tied] > 0).all()


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("kind", ["bytes", "floats"])
def test_spikes_in_time_are_the_spikes_on_the_grid(name, kind):
    values = images() if kind == "bytes" else (images() / 255).astype(np.float32)
    made = encoder(name, max_probability=0.4, max_rate=2.0)
    expected = dense(made.on_grid(values, IDS, epoch=2))
    slab = made.in_time(values, IDS, epoch=2)
    found = np.zeros_like(expected)
    for b in range(len(values)):
        times = slab.times[b, : slab.counts[b]]
        assert (np.diff(times) >= 0).all()
        assert times.size == 0 or (times.min() >= 0 and times.max() <= slab.duration)
        # Step k takes what falls into (k dt, (k+1) dt]; the times of grid encoders are the ends of their steps.
        steps = np.maximum(np.ceil(times / DT - 1e-9).astype(int) - 1, 0)
        np.add.at(found[b], (steps, slab.neurons[b, : slab.counts[b]]), 1)
        if name != "latency":
            np.testing.assert_array_equal(times, (steps + 1) * DT)
    assert expected.sum() > 50
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("name", ENCODERS)
def test_patterns_are_the_same_spikes(name):
    made = encoder(name, max_probability=0.4)
    np.testing.assert_array_equal(
        dense(made.on_grid(images(n=31), IDS, group=4))[..., :31], dense(made.on_grid(images(n=31), IDS))
    )


@pytest.mark.parametrize("name", ENCODERS)
def test_a_sample_has_its_spikes_in_any_batch(name):
    made = encoder(name, max_probability=0.4)
    whole = dense(made.on_grid(images(), IDS, epoch=1))
    order = np.array([4, 0, 6])
    np.testing.assert_array_equal(dense(made.on_grid(images()[order], IDS[order], epoch=1)), whole[order])


@pytest.mark.parametrize("name", ["poisson", "poisson-rate"])
def test_seed_epoch_and_sample_decide_the_spikes(name):
    values = np.tile(images(1), (2, 1))
    one = dense(encoder(name, seed=1).on_grid(values, np.array([3, 4]), epoch=1))
    same = dense(encoder(name, seed=1).on_grid(values, np.array([3, 4]), epoch=1))
    np.testing.assert_array_equal(one, same)
    assert (one[0] != one[1]).any()
    assert (one != dense(encoder(name, seed=2).on_grid(values, np.array([3, 4]), epoch=1))).any()
    assert (one != dense(encoder(name, seed=1).on_grid(values, np.array([3, 4]), epoch=2))).any()


def test_nothing_to_encode():
    for name in ENCODERS:
        slab = encoder(name, latency_floor=0.0).in_time(np.zeros((2, 5), np.uint8), IDS[:2])
        assert slab.counts.tolist() == [0, 0]


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("rate", {}, "encoder.name = 'rate': must be one of poisson, poisson-rate, regular, latency"),
        ("poisson", {"max_probability": 1.1}, "encoder.max_probability = 1.1: must lie in 0..1"),
        ("poisson-rate", {"max_rate": np.inf}, "encoder.max_rate = inf: must be a number of at least 0"),
        ("latency", {"t_latest": 4.1}, "encoder.t_latest = 4.1: must lie in 0..4, the trial's duration"),
    ],
)
def test_values_out_of_range(name, options, message):
    with pytest.raises(InputError) as error:
        encoder(name, **options)
    assert str(error.value) == message
