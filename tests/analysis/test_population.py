import math

import numpy as np
import pytest
from scipy import stats

from snnsim.analysis import discrete_process, distances, moments, monte_carlo, population
from snnsim.dynamics.philox import philox4x32
from snnsim.errors import InputError
from snnsim.kernels.cpu.population import density_change
from snnsim.parameters import SCHEMES, LIFParameters, scheme_coefficients

STUDY = LIFParameters(v_threshold=1.5, v_reset=1.0)
FREE = LIFParameters(reset="none")
RATE, WEIGHT = 5.0, 0.2
# Standard errors by which a sample may miss its expectation: one in 15,000 for a single comparison.
SIGMAS = 4.0


def coarse(parameters=STUDY, model="master", n=40, weight=WEIGHT):
    return population.make_grid(parameters, RATE, weight, n_v=n, n_i=n, model=model, n_sigma=4.0)


# Stationary moments


def test_continuous_moments_by_quadrature_of_campbells_theorem():
    m = moments.stationary_moments(STUDY, RATE, WEIGHT)
    t = (np.arange(400000) + 0.5) * 1e-4
    h_i = np.exp(-t / STUDY.tau_syn) / STUDY.tau_syn
    h_v = STUDY.r / (STUDY.tau_mem - STUDY.tau_syn) * (np.exp(-t / STUDY.tau_mem) - np.exp(-t / STUDY.tau_syn))
    rates = RATE * WEIGHT * np.array([h_v.sum(), h_i.sum()]) * 1e-4
    powers = RATE * WEIGHT**2 * np.array([(h_v**2).sum(), (h_i**2).sum(), (h_v * h_i).sum()]) * 1e-4
    np.testing.assert_allclose(m.as_array(), [*rates, *powers], rtol=1e-7)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_discrete_moments_by_summing_the_impulse_response(scheme):
    dt = 0.1
    a_ii, b_i, a_vv, a_vi, b_v = scheme_coefficients(STUDY, dt, scheme)
    v, i = [b_v], [b_i]
    for _ in range(3000):
        v.append(a_vv * v[-1] + a_vi * i[-1])
        i.append(a_ii * i[-1])
    v, i = np.array(v), np.array(i)
    mean, variance = RATE * WEIGHT * dt, RATE * WEIGHT**2 * dt
    expected = [mean * v.sum(), mean * i.sum(), variance * v @ v, variance * i @ i, variance * v @ i]
    np.testing.assert_allclose(
        moments.discrete_moments(STUDY, RATE, WEIGHT, dt, scheme).as_array(), expected, rtol=1e-11
    )


def test_discrete_moments_tend_to_the_continuous_ones():
    table = moments.moment_table(STUDY, RATE, WEIGHT, [1e-2, 1e-3, 1e-4], list(SCHEMES))
    assert np.abs(table.relative[:, 2]).max() < 2e-4
    # The Euler schemes and the bilinear one keep both means at any step.
    for scheme in ("forward_euler", "backward_euler", "bilinear"):
        np.testing.assert_allclose(table.relative[table.schemes.index(scheme), :, 0], 0, atol=1e-10)
    # First order: an Euler step's variance of the current is off by -+dt/(2 tau_syn).
    k = table.schemes.index("forward_euler")
    assert table.relative[k, 1, 3] == pytest.approx(1e-3 / (2 * STUDY.tau_syn), rel=1e-2)


def test_bilinear_scheme_keeps_the_stationary_moments_at_any_step():
    # (1 - hA) P (1 - hA)^T = (1 + hA) P (1 + hA)^T + dt rate w^2 b b^T  if and only if  A P + P A^T = -rate w^2 b b^T.
    relative = moments.moment_table(STUDY, RATE, WEIGHT, [0.01, 0.5, 5.0], ["bilinear"]).relative
    np.testing.assert_allclose(relative, 0, atol=1e-10)


def test_unstable_scheme_has_no_moments():
    table = moments.moment_table(STUDY, RATE, WEIGHT, [1.3], ["forward_euler", "exact"])
    assert np.isnan(table.discrete[0]).all()
    assert np.isfinite(table.discrete[1]).all()


# Density on a grid


@pytest.mark.parametrize("model", population.MODELS)
@pytest.mark.parametrize(("parameters", "weight"), [(STUDY, WEIGHT), (FREE, WEIGHT), (STUDY, -0.3)])
def test_kernel_without_limiter_is_the_sparse_generator(model, parameters, weight):
    grid = coarse(parameters, model, weight=weight)
    matrix, escape = population.generator(parameters, RATE, weight, grid, model)
    p = np.random.default_rng(0).random(grid.shape)
    change, escaping = np.empty_like(p), np.empty(grid.shape[0])
    drive = (RATE, 0.0, 0.0)
    if model == "fokker-planck":
        drive = (0.0, RATE * weight, RATE * weight**2 / (2 * parameters.tau_syn**2))
    density_change(
        p, change, escaping, *drive, False, grid.as_tuple(), grid.shift, grid.reset_cell >= 0, grid.reset_cell,
        parameters.r, parameters.tau_mem, parameters.tau_syn,
    )  # fmt: skip
    expected = (matrix @ p.ravel()).reshape(grid.shape)
    np.testing.assert_allclose(change, expected, atol=1e-11 * np.abs(expected).max())
    assert escaping.sum() * grid.h_i == pytest.approx(escape @ p.ravel() * grid.h_v * grid.h_i, rel=1e-12, abs=1e-15)


@pytest.mark.parametrize("model", population.MODELS)
def test_generator_is_a_markov_generator(model):
    matrix, _ = population.generator(STUDY, RATE, WEIGHT, coarse(model=model), model)
    off = matrix.copy()
    off.setdiag(0)
    assert off.min() >= 0
    assert np.abs(matrix.sum(axis=0)).max() < 1e-12 * np.abs(matrix.diagonal()).max()


@pytest.mark.parametrize("model", population.MODELS)
@pytest.mark.parametrize("method", population.METHODS)
def test_mass_and_sign_are_kept(model, method):
    e = population.evolve_density(
        STUDY, RATE, WEIGHT, 3.0, model=model, method=method, grid=coarse(model=model), save_times=[0.5, 1.0, 3.0]
    )
    assert e.mass_error < 1e-10
    assert e.minimum >= 0
    assert e.firing_rate.min() >= 0
    assert e.firing_rate[-1] > 0.1
    np.testing.assert_allclose(e.marginal_v.sum(axis=1) * e.grid.h_v, 1, atol=1e-10)
    np.testing.assert_allclose(e.marginal_i.sum(axis=1) * e.grid.h_i, 1, atol=1e-10)


@pytest.mark.parametrize("model", population.MODELS)
def test_free_moments_converge_to_the_closed_form(model):
    errors = []
    for n in (56, 112):
        grid = population.make_grid(FREE, RATE, WEIGHT, n_v=n, n_i=n, model=model)
        e = population.evolve_density(FREE, RATE, WEIGHT, 10.0, model=model, grid=grid, save_times=[1.0, 10.0])
        mean_v, mean_i = moments.transient_mean(e.saved_times[0], FREE, RATE, WEIGHT)
        # Half a cell is what a scheme of first order would miss; the limiter leaves less.
        assert e.moments[0, 0] == pytest.approx(mean_v, abs=0.5 * grid.h_v)
        assert e.moments[0, 1] == pytest.approx(mean_i, abs=0.5 * grid.h_i)
        errors.append(np.abs(e.moments[1] / moments.stationary_moments(FREE, RATE, WEIGHT).as_array() - 1))
    # Means and variances, and at least half of each error gone on a grid twice as fine.
    assert errors[1].max() < 0.03
    assert errors[1].max() < 0.5 * errors[0].max()


def test_fokker_planck_current_is_gaussian():
    grid = population.make_grid(FREE, RATE, WEIGHT, n_v=60, n_i=160, model="fokker-planck")
    e = population.evolve_density(FREE, RATE, WEIGHT, 8.0, model="fokker-planck", grid=grid)
    m = moments.stationary_moments(FREE, RATE, WEIGHT)
    exact = np.diff(stats.norm.cdf(grid.i_edges, m.mean_i, math.sqrt(m.var_i))) / grid.h_i
    assert distances.l1_distance(grid.i_edges, e.marginal_i[-1], exact) < 0.005


def test_explicit_and_implicit_tend_to_each_other():
    gaps = []
    for n in (40, 80):
        grid = coarse(n=n)
        explicit = population.evolve_density(STUDY, RATE, WEIGHT, 6.0, grid=grid)
        implicit = population.evolve_density(STUDY, RATE, WEIGHT, 6.0, grid=grid, method="implicit")
        density, rate = population.stationary_density(STUDY, RATE, WEIGHT, grid)
        # The transient is over after six time units but for a percent.
        assert implicit.firing_rate[-1] == pytest.approx(rate, rel=0.02)
        assert density.min() >= 0
        gaps.append(implicit.firing_rate[-1] / explicit.firing_rate[-1] - 1)
    assert 0 < gaps[1] < 0.65 * gaps[0]


def test_densities_agree_with_monte_carlo():
    sample = monte_carlo.sample_events(STUDY, RATE, WEIGHT, 6.0, n_neurons=200_000, seed=1, save_times=[1.0, 6.0])
    grid = population.make_grid(STUDY, RATE, WEIGHT, n_v=70, n_i=70)
    e = population.evolve_density(STUDY, RATE, WEIGHT, 6.0, grid=grid, save_times=[1.0, 6.0])
    rate, error = sample.mean_rate(4.0)
    late = e.times > 4.0
    # The grid's own error at this size is half a percent (120 cells: 0.2).
    assert e.firing_rate[late].mean() == pytest.approx(rate, abs=SIGMAS * error + 0.005 * rate)
    for k in range(2):
        histogram = distances.histogram_density(sample.v[k], grid.v_edges)
        assert distances.wasserstein_distance(grid.v_edges, e.marginal_v[k], histogram) < 0.01
        histogram = distances.histogram_density(sample.i[k], grid.i_edges)
        assert distances.wasserstein_distance(grid.i_edges, e.marginal_i[k], histogram) < 0.015
    # The diffusion approximation misses the shape that so few and large jumps give, clearly.
    grid = population.make_grid(STUDY, RATE, WEIGHT, n_v=70, n_i=70, model="fokker-planck")
    diffusion = population.evolve_density(STUDY, RATE, WEIGHT, 6.0, grid=grid, model="fokker-planck")
    value, error = sample.moments()
    assert e.moments[-1, 2] == pytest.approx(value[2], rel=0.03)
    assert diffusion.moments[-1, 2] > 1.1 * value[2]


def test_firing_rate_converges_in_second_order():
    rates = []
    for n in (30, 60, 120):
        grid = population.make_grid(STUDY, 3.0, 0.5, n_v=n, n_i=n, n_sigma=5.0)
        e = population.evolve_density(STUDY, 3.0, 0.5, 4.0, grid=grid)
        rates.append(e.firing_rate[e.times > 3.0].mean())
    # A first-order method would halve the difference, a second-order one quarter it.
    assert abs(rates[2] - rates[1]) < abs(rates[1] - rates[0]) / 3
    sample = monte_carlo.sample_events(STUDY, 3.0, 0.5, 4.0, n_neurons=200_000, seed=2)
    rate, error = sample.mean_rate(3.0)
    assert rates[2] == pytest.approx(rate, abs=SIGMAS * error)


def test_rate_that_varies_in_time():
    grid = coarse(FREE)
    e = population.evolve_density(FREE, lambda t: RATE * (1 + 0.0 * t), WEIGHT, 1.0, grid=grid)
    constant = population.evolve_density(FREE, RATE, WEIGHT, 1.0, grid=grid)
    np.testing.assert_array_equal(e.density, constant.density)
    # The mean current obeys di/dt = (rate(t) w - i)/tau_syn; here its forced response to 1 + cos.
    period = 2.0
    w = 2 * np.pi / period
    e = population.evolve_density(FREE, lambda t: 2.5 * (1 + np.cos(w * t)), WEIGHT, 8.0, grid=grid)
    phase = 1 / (1 + 1j * w * FREE.tau_syn)
    assert e.moments[-1, 1] == pytest.approx(2.5 * WEIGHT * (1 + (phase * np.exp(1j * w * 8)).real), abs=0.5 * grid.h_i)


def test_grid_is_fitted_to_jump_threshold_and_reset():
    grid = population.make_grid(STUDY, RATE, WEIGHT)
    assert grid.v_edges[-1] == STUDY.threshold
    assert grid.v_edges[grid.reset_cell] == pytest.approx(STUDY.reset_value, abs=1e-12)
    assert grid.shift * grid.h_i == pytest.approx(WEIGHT / STUDY.tau_syn, rel=1e-12)
    assert np.abs(grid.i).min() < 1e-12
    p = population.point_density(grid, 0.31, 0.77)
    np.testing.assert_allclose(population.grid_moments(grid, p)[:2], [0.31, 0.77], rtol=1e-12)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: population.make_grid(STUDY, 500.0, 0.002, n_i=60), "grid too coarse for the jump size"),
        (lambda: population.make_grid(STUDY, RATE, 0.0), "weight = 0"),
        (lambda: population.make_grid(STUDY, RATE, WEIGHT, n_v=4), "at least 8"),
        (lambda: population.make_grid(STUDY, -1.0, WEIGHT), "rate = -1"),
        (lambda: population.make_grid(STUDY, RATE, WEIGHT, model="langevin"), "model = 'langevin'"),
        (lambda: population.evolve_density(STUDY, RATE, WEIGHT, 1.0, grid=coarse(), dt=0.1), "too long for this grid"),
        (lambda: population.evolve_density(STUDY, RATE, WEIGHT, 1.0, method="magic"), "method = 'magic'"),
        (lambda: population.evolve_density(STUDY, RATE, WEIGHT, 1.0, save_times=[2.0]), "save_times"),
        (lambda: population.evolve_density(STUDY, RATE, WEIGHT, 1.0, initial=np.ones((3, 3))), "shape"),
        (lambda: population.evolve_density(STUDY, RATE, WEIGHT, 1.0, grid=coarse(model="fokker-planck")), "no jump"),
        (lambda: monte_carlo.sample_clock(STUDY, RATE, WEIGHT, 1.3, 10, scheme="forward_euler"), "stable only"),
        (lambda: monte_carlo.sample_clock(STUDY, RATE, WEIGHT, 0.1, 10, save_steps=[11]), "save_steps"),
        (lambda: monte_carlo.sample_events(STUDY, RATE, WEIGHT, 1.0, n_neurons=1), "n_neurons = 1"),
        (lambda: monte_carlo.sample_events(STUDY, RATE, WEIGHT, 1.0, seed=-1), "seed = -1"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(InputError, match=message):
        call()


# Monte Carlo


def test_clock_sample_is_the_plain_recursion():
    dt, n_steps = 0.1, 90
    sample = monte_carlo.sample_clock(STUDY, RATE, WEIGHT, dt, n_steps, n_neurons=50, seed=7, save_steps=[10, 90])
    a_ii, b_i, a_vv, a_vi, b_v = scheme_coefficients(STUDY, dt, "backward_euler")
    spikes = np.zeros(n_steps)
    for neuron in range(50):
        v = i = 0.0
        for k in range(n_steps):
            word = philox4x32(neuron, k // 4, 1, 0, 7, 0)[k % 4]
            x = WEIGHT * int(stats.poisson.ppf((word + 0.5) / 2**32, RATE * dt))
            v, i = a_vv * v + a_vi * i + b_v * x, a_ii * i + b_i * x
            if v >= STUDY.v_threshold:
                spikes[k] += 1
                v = STUDY.v_reset
            if k + 1 in (10, 90):
                row = (10, 90).index(k + 1)
                assert sample.v[row, neuron] == pytest.approx(v, abs=1e-12)
                assert sample.i[row, neuron] == pytest.approx(i, abs=1e-12)
    np.testing.assert_array_equal(np.rint(sample.firing_rate * 50 * dt), spikes)
    assert spikes.sum() > 20


def test_event_sample_against_small_exact_steps():
    # Independent of the crossing's closed form: propagate in steps of 1e-4, reset at their ends.
    duration, seed, step = 4.0, 4, 1e-4
    sample = monte_carlo.sample_events(STUDY, RATE, WEIGHT, duration, n_neurons=40, seed=seed, save_times=[duration])
    e_m, e_s = math.exp(-step / STUDY.tau_mem), math.exp(-step / STUDY.tau_syn)
    coupling = STUDY.r * STUDY.tau_syn / (STUDY.tau_mem - STUDY.tau_syn) * (e_m - e_s)
    total = 0
    for neuron in range(40):
        arrivals, t, n = [], 0.0, 0
        while t < duration:
            t -= math.log((philox4x32(neuron, n // 4, 2, 0, seed, 0)[n % 4] + 0.5) / 2**32) / RATE
            arrivals.append(round(t / step))
            n += 1
        v = i = 0.0
        for k in range(round(duration / step)):
            i += arrivals.count(k) * WEIGHT / STUDY.tau_syn if k in arrivals else 0.0
            v, i = e_m * v + coupling * i, e_s * i
            if v >= STUDY.v_threshold:
                total += 1
                v = STUDY.v_reset
        # Times are rounded to the step, so states agree to the step times a slope of a few units.
        assert sample.v[0, neuron] == pytest.approx(v, abs=2e-3)
        assert sample.i[0, neuron] == pytest.approx(i, abs=2e-3)
    assert round(sample.firing_rate.sum() * 40 * duration / 100) == total
    assert total > 8


@pytest.mark.parametrize("scheme", [None, *SCHEMES])
def test_free_sample_has_the_closed_forms_moments(scheme):
    if scheme is None:
        sample = monte_carlo.sample_events(FREE, RATE, WEIGHT, 14.0, n_neurons=100_000, seed=5)
        expected = moments.stationary_moments(FREE, RATE, WEIGHT)
    else:
        sample = monte_carlo.sample_clock(FREE, RATE, WEIGHT, 0.2, 70, scheme=scheme, n_neurons=100_000, seed=5)
        expected = moments.discrete_moments(FREE, RATE, WEIGHT, 0.2, scheme)
    value, error = sample.moments()
    assert np.abs((value - expected.as_array()) / error).max() < SIGMAS
    assert sample.firing_rate.max() == 0


def test_samples_do_not_depend_on_the_number_of_threads():
    import numba

    before = numba.get_num_threads()
    runs = []
    for threads in (1, before):
        numba.set_num_threads(threads)
        runs.append(
            (
                monte_carlo.sample_events(STUDY, RATE, WEIGHT, 2.0, n_neurons=777),
                monte_carlo.sample_clock(STUDY, RATE, WEIGHT, 0.1, 20, n_neurons=777),
            )
        )
    numba.set_num_threads(before)
    for a, b in zip(*runs, strict=True):
        np.testing.assert_array_equal(a.v, b.v)
        np.testing.assert_array_equal(a.firing_rate, b.firing_rate)


def test_arrival_limits_are_the_poisson_distribution():
    limits = monte_carlo.arrival_limits(0.5) / 2**32
    np.testing.assert_allclose(np.diff(limits, prepend=0)[:8], stats.poisson.pmf(np.arange(8), 0.5), atol=3e-10)
    assert limits[-1] == 1


def test_processes_converge_as_dt_falls():
    c = discrete_process.compare_processes(
        STUDY, RATE, WEIGHT, [0.2, 0.02], ["backward_euler", "exact"], duration=6.0, rate_from=3.0, n_neurons=40_000
    )
    error = np.hypot(c.rate_error, c.rate_continuous_error)
    assert (np.abs(c.rate - c.rate_continuous)[:, 0] > SIGMAS * error[:, 0]).all()
    assert (np.abs(c.rate - c.rate_continuous)[:, 1] < np.abs(c.rate - c.rate_continuous)[:, 0]).all()
    assert (c.wasserstein_v[:, 1] < c.wasserstein_v[:, 0]).all()
    assert (c.l1_v[:, 0] > 2 * c.floor[0]).all()
    np.testing.assert_allclose(c.density_v_continuous.sum() * np.diff(c.v_edges)[0], 1, atol=1e-3)


# Distances


def test_distances_of_shifted_boxes():
    edges = np.linspace(0, 4, 401)
    p = ((edges[:-1] >= 0) & (edges[:-1] < 1 - 1e-9)).astype(float)
    q = ((edges[:-1] > 2 - 1e-9) & (edges[:-1] < 3 - 1e-9)).astype(float)
    assert distances.l1_distance(edges, p, q) == pytest.approx(2.0)
    assert distances.wasserstein_distance(edges, p, q) == pytest.approx(2.0)
    assert distances.wasserstein_distance(edges, p, p) == 0


def test_wasserstein_distance_agrees_with_scipy():
    rng = np.random.default_rng(0)
    edges = np.linspace(-6, 6, 1201)
    a, b = rng.normal(size=20000), rng.normal(0.1, 1.3, size=20000)
    gridded = distances.wasserstein_distance(
        edges, distances.histogram_density(a, edges), distances.histogram_density(b, edges)
    )
    assert gridded == pytest.approx(distances.sample_distance(a, b), abs=0.01)  # one cell
    with pytest.raises(InputError, match="values each"):
        distances.l1_distance(edges, np.ones(3), np.ones(3))
