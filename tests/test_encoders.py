"""Encoders: rates, order and time, on the grid and off it."""

import numpy as np
import pytest

from snnsim.encoders import ENCODERS, Encoder, draws, next_spike
from snnsim.engines.grid import GridSpikes
from snnsim.errors import InputError
from snnsim.kernels import cpu

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


@pytest.mark.parametrize("kind", ["bytes", "floats"])
def test_rate_per_unit_time_does_not_depend_on_the_step(kind):
    values = np.tile(np.repeat(np.linspace(0, 255, 8), 5).astype(np.uint8), (60, 1))
    values[:, 7:25] = 0  # as of an image, most of which is dark
    given = values if kind == "bytes" else values / 255
    wanted = 10 * 5.0 * values[0].sum() / 255
    for dt in (0.001, 0.01, 0.1, 0.25, 0.5):
        made = encoder("poisson-rate", dt=dt, n_steps=round(5 / dt), max_rate=10.0)
        grid = made.on_grid(given, np.arange(60))
        # The number of a trial is Poisson: its mean over 60 trials has this standard error.
        assert abs(grid.total / 60 - wanted) < 4 * np.sqrt(wanted / 60), dt
        assert grid.row_ptr[:, -1].max() <= made.room(40)


@pytest.mark.parametrize("mean", [1e-5, 0.05, 1.0, 7.0, 60.0])
def test_numbers_of_spikes_are_poisson(mean):
    """Each probability within five standard errors, and the mean and the variance of all."""
    made = encoder("poisson-rate", dt=1.0, n_steps=50, max_rate=100.0)
    values = np.full((40, 100), mean / 100)
    found = dense(made.on_grid(values, np.arange(40))).ravel()
    n = found.size
    k = np.arange(200)
    log = -mean + k * np.log(mean) - np.cumsum(np.log(np.maximum(k, 1)))
    often = np.exp(log) * n > 30
    within(np.bincount(found, minlength=200)[often] / n, np.exp(log)[often], n)
    assert abs(found.mean() - mean) < 5 * np.sqrt(mean / n)
    assert abs(found.var() - mean) < 5 * np.sqrt((mean + 2 * mean**2) / n)


def test_conditional_probabilities_are_those_of_the_distribution():
    from scipy.special import gammainc  # P(number >= k) = gammainc(k, mean)

    for mean in (1e-4, 0.3, 5.0, 100.0):
        n = draws(mean)
        assert gammainc(n, mean) < 2.0**-32 <= (gammainc(n - 1, mean) if n > 1 else 1.0)
        at_least = np.concatenate([[1.0], gammainc(np.arange(1, n + 1), mean)])
        found = next_spike(np.array([0.0, mean]), n)
        np.testing.assert_array_equal(found[:, 0], 0)
        # Where the distribution ends, so does the sum: far out it is known to what is left there.
        reached = at_least[:-1] > 1e-4
        np.testing.assert_allclose(found[reached, 1], (at_least[1:] / at_least[:-1])[reached], rtol=1e-9)
        assert (np.diff(found[:, 1]) <= 0).all()


def test_the_first_of_several_spikes_is_where_it_was_alone():
    made = encoder("poisson-rate", max_rate=8.0)
    several = dense(made.on_grid(images(), IDS, epoch=3))
    alone = np.zeros((7, STEPS * 30), np.int32), np.zeros((7, STEPS + 1), np.int32)
    cpu.encode_poisson(made.drives(images())[0], IDS, 0, 3, STEPS, 1, *alone)
    np.testing.assert_array_equal(several > 0, dense(GridSpikes(*alone, 30)))
    assert several.max() > 2


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("bad", [np.nan, -0.1, 1.5, np.inf, 200])
def test_intensities_out_of_range(name, bad):
    values = np.full((2, 5), 0.5)
    values[1, 2] = bad
    for call in ("on_grid", "in_time"):
        with pytest.raises(InputError, match=f"intensities: {bad:g} among them: floats must lie in 0..1"):
            getattr(encoder(name), call)(values, IDS[:2])


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
        ("rate", {}, f"encoder.name = 'rate': must be one of {ENCODERS.help}"),
        ("poisson", {"max_probability": 1.1}, "encoder.max_probability = 1.1: must lie in 0..1"),
        ("poisson-rate", {"max_rate": np.inf}, "encoder.max_rate = inf: must be a number of at least 0"),
        (
            "poisson-rate",
            {"max_rate": 1001.0},
            "encoder.max_rate = 1001.0: at most 100 spikes a step, 1000 with dt = 0.1",
        ),
        ("latency", {"t_latest": 4.1}, "encoder.t_latest = 4.1: must lie in 0..4, the trial's duration"),
    ],
)
def test_values_out_of_range(name, options, message):
    with pytest.raises(InputError) as error:
        encoder(name, **options)
    assert str(error.value) == message
