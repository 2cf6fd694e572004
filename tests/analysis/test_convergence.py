from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnsim.analysis import convergence as c
from snnsim.analysis import gradients as g
from snnsim.errors import InputError
from snnsim.parameters import SCHEMES, LIFParameters
from snnsim.spikes import Spikes

STUDY = LIFParameters(v_threshold=1.5, v_reset=1.0)


def spikes(*trials, n=3, duration=10.0):
    return Spikes.from_trials(trials, n, duration)


# Orders


def test_order_of_a_power_law():
    dt = np.array([0.1, 0.03, 0.01, 0.003])
    fit = c.fit_order(dt, 2.5 * dt**1.5)
    assert (fit.order, fit.constant) == (pytest.approx(1.5), pytest.approx(2.5))
    np.testing.assert_allclose(fit.local, 1.5)
    assert fit.standard_error < 1e-12


def test_order_leaves_out_what_is_not_usable():
    fit = c.fit_order([1.0, 0.1, 0.01, 0.001], [1.0, 0.01, 1e-4, 1e-17], floor=1e-15)
    assert fit.order == pytest.approx(2.0)
    assert fit.n_used == 3
    assert np.isnan(fit.local[-1])
    assert np.isnan(c.fit_order([1.0, 0.1], [0.0, np.nan]).order)


# Matching


def test_match_counts_lost_and_added_spikes():
    a = spikes(([1.0, 2.0, 5.0, 4.0], [0, 0, 0, 1]), ([3.0], [2]))
    b = spikes(([1.1, 4.05, 8.0], [0, 1, 0]), ([3.0, 3.2], [2, 0]))
    m = c.match_spikes(a, b, 0.5)
    np.testing.assert_allclose(np.sort(m.errors), [0.0, 0.05, 0.1], atol=1e-12)
    assert sorted(a.times[m.lost]) == [2.0, 5.0]
    assert sorted(b.times[m.added]) == [3.2, 8.0]
    np.testing.assert_array_equal(a.neurons[m.reference_index], b.neurons[m.other_index])


def test_match_does_not_pair_greedily():
    # The nearest pair (1.0, 0.9) first would leave 0.0 and 2.0 without a partner.
    m = c.match_spikes(spikes(([0.0, 1.0], [0, 0])), spikes(([0.9, 2.0], [0, 0])), 2.5)
    np.testing.assert_allclose(m.errors, [0.9, 1.0])


def cheapest(a, b, window):
    """Least cost over all order-preserving assignments, by enumeration."""
    best = np.inf
    for k in range(min(len(a), len(b)) + 1):
        for p in combinations(range(len(a)), k):
            for q in combinations(range(len(b)), k):
                pairs = sum(abs(a[x] - b[y]) for x, y in zip(p, q, strict=True))
                best = min(best, pairs + (len(a) + len(b) - 2 * k) * window / 2)
    return best


train = st.lists(st.integers(0, 40).map(lambda x: x / 4), max_size=5).map(sorted)


@settings(max_examples=60, deadline=None)
@given(train, train, st.sampled_from([0.3, 1.1, 4.2]))
def test_match_has_the_least_cost(a, b, window):
    m = c.match_spikes(spikes((a, [1] * len(a))), spikes((b, [1] * len(b))), window)
    cost = np.abs(m.errors).sum() + (m.lost.size + m.added.size) * window / 2
    assert cost == pytest.approx(cheapest(a, b, window))
    assert m.errors.size + m.lost.size == len(a)
    assert m.errors.size + m.added.size == len(b)
    assert (np.diff(m.reference_index) > 0).all()
    assert (np.diff(m.other_index) > 0).all()
    assert (np.abs(m.errors) <= window).all()


def test_convergence_table_of_a_clock_grid():
    rng = np.random.default_rng(0)
    times = np.cumsum(0.6 + rng.random((2, 300)), axis=1)
    reference = Spikes.from_trials([(t, np.zeros(300, int)) for t in times], 1, 500.0)
    dt = [0.2, 0.1, 0.05, 0.025]
    runs = [Spikes.from_trials([(np.ceil(t / d) * d, np.zeros(300, int)) for t in times], 1, 500.0) for d in dt]
    table = c.convergence_table(reference, runs, dt, window=0.3)
    assert (table.n_matched == 600).all()
    assert (table.n_lost == 0).all()
    # Rounding up to a grid: uniform in [0, dt).
    np.testing.assert_allclose(table.mean_error / dt, 0.5, atol=4 * np.sqrt(1 / 12 / 600))
    np.testing.assert_allclose(table.bias, table.mean_error)
    assert (table.max_error <= dt).all()
    assert table.time_order.order == pytest.approx(1.0, abs=0.05)
    assert np.isnan(table.v_rms).all()


def test_bad_recordings():
    with pytest.raises(InputError, match="trials"):
        c.match_spikes(spikes(([], [])), spikes(([], []), ([], [])), 1.0)
    with pytest.raises(InputError, match="window"):
        c.match_spikes(spikes(([], [])), spikes(([], [])), 0.0)
    with pytest.raises(InputError, match="step sizes"):
        c.convergence_table(spikes(([], [])), [], [0.1], 1.0)


# Voltages


def test_voltage_error_at_common_times():
    fine, coarse = (np.arange(40) + 1) * 0.05, (np.arange(10) + 1) * 0.2
    v = np.sin(fine)[None, :, None] * np.ones((2, 1, 3))
    error = c.voltage_error(fine, v, coarse, np.sin(coarse)[None, :, None] * np.ones((2, 1, 3)) + 0.01)
    np.testing.assert_allclose(error.times, coarse)
    np.testing.assert_allclose(error.rms, 0.01, rtol=1e-9)
    assert (error.total_rms, error.maximum, error.median) == pytest.approx((0.01, 0.01, 0.01))
    with pytest.raises(InputError, match="share no sample time"):
        c.voltage_error(fine, v, fine + 0.01, v)
    with pytest.raises(InputError, match="has none"):
        c.voltage_error(fine, None, fine, v)
    with pytest.raises(InputError, match="trials"):
        c.voltage_error(fine, v, fine, v[:1])


# Gradients


def test_statistics_count_everything_once():
    rng = np.random.default_rng(0)
    a = rng.normal(size=(30, 20))
    a[0, :5] = 0
    a[1, 0], a[1, 1] = np.inf, np.nan
    a[2, 0] = 1e6
    (s,) = g.gradient_statistics([a], n_bins=50, limit=3.0)
    assert (s.shape, s.n_zero, s.n_nonfinite) == ((30, 20), 5, 2)
    assert s.counts.sum() == a.size - 2
    finite = a[np.isfinite(a)]
    assert s.norm == pytest.approx(np.linalg.norm(finite))
    assert s.quantiles[s.quantile_levels == 0.5] == pytest.approx(np.median(finite))
    assert s.max_abs == 1e6
    assert s.n_outliers == 1
    assert s.outlier_energy == pytest.approx(1.0, abs=1e-6)
    with pytest.raises(InputError, match="no finite"):
        g.gradient_statistics([np.full(3, np.nan)])


def test_comparison_of_gradients():
    a = [np.array([[3.0, 4.0]]), np.array([0.0, 1.0])]
    b = [np.array([[-3.0, -4.0]]), np.array([0.0, 2.0])]
    x = g.compare_gradients(a, b)
    np.testing.assert_allclose(x.cosine, [-1, 1, (-25 + 2) / np.sqrt(26 * 29)])
    np.testing.assert_allclose(x.relative_error, [2, 1, np.sqrt((100 + 1) / 26)])
    np.testing.assert_allclose(x.norm_ratio, [1, 2, np.sqrt(29 / 26)])
    np.testing.assert_allclose(x.sign_agreement, [0, 1, 1 / 3])
    zero = g.compare_gradients([np.zeros(3)], [np.ones(3)])
    assert np.isnan(zero.cosine).all()
    assert np.isnan(zero.relative_error).all()
    with pytest.raises(InputError, match="shapes"):
        g.compare_gradients(a, a[:1])


def test_slope_outliers():
    s = g.slope_outliers([1.0, 2.0, 3.0, 94.0], [1e4, 8.0, 2.0])
    np.testing.assert_allclose(s.clamped, [0, 0.25, 0.5])
    np.testing.assert_allclose(s.weight_above, [0, 0.94, 0.97])
    with pytest.raises(InputError, match="no spike"):
        g.slope_outliers([], [1.0])
    with pytest.raises(InputError, match="positive"):
        g.slope_outliers([-1.0], [1.0])


def test_clamp_sweep():
    sweep = g.clamp_sweep(lambda x: [np.minimum([1.0, 10.0, 100.0], x)], [1e3, 10.0])
    np.testing.assert_allclose(sweep.max_abs[:, 0], [100, 10])
    assert sweep.cosine[0, 0] == pytest.approx(1.0)
    assert sweep.cosine[1, 0] < 0.9


@pytest.mark.parametrize("parameters", [STUDY, LIFParameters(tau_mem=0.7, tau_syn=0.7)])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_temporal_kernel_tends_to_the_continuous_one_and_is_not_monotone(parameters, scheme):
    errors = []
    for dt in (0.02, 0.01):
        k = g.temporal_kernel(parameters, dt, scheme, int(6 / dt))
        # From the second step on; the first holds the onset of the kernel, a kink.
        errors.append(np.abs(k.discrete - k.continuous)[2:].max())
    # Moving a spike by a whole step looks half a step ahead, first order; in the bilinear scheme, whose impulses act in
    # the middle of a step, the two halves cancel.
    assert errors[1] == pytest.approx((0.25 if scheme == "bilinear" else 0.5) * errors[0], rel=0.1)
    start = -parameters.r / (parameters.tau_mem * parameters.tau_syn)
    assert k.continuous[0] == pytest.approx(start)
    sign = k.continuous > 0
    assert not sign[k.distance < k.sign_change - 1e-9].any()
    assert sign[k.distance > k.sign_change + 1e-9].all()
    peak = k.distance[np.argmax(k.continuous)]
    assert peak == pytest.approx(k.rebound, abs=0.01)
    assert k.sign_change < k.rebound


def test_temporal_kernel_is_the_derivative_of_a_membrane():
    # Central difference of the closed form by the arrival time of one input of weight one.
    tm, ts, r = STUDY.tau_mem, STUDY.tau_syn, STUDY.r
    k = g.temporal_kernel(STUDY, 0.1, "exact", 30)
    t = k.distance[1:]

    def h(x):
        return r / (tm - ts) * (np.exp(-x / tm) - np.exp(-x / ts))

    np.testing.assert_allclose(k.continuous[1:], -(h(t + 1e-5) - h(t - 1e-5)) / 2e-5, atol=1e-9)
    assert k.sign_change == pytest.approx(tm * ts / (tm - ts) * np.log(tm / ts), rel=1e-10)
