import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.linalg import expm

from snnsim.analysis import first_spike
from snnsim.analysis import truncation as t
from snnsim.analysis.frequency import drive_linear
from snnsim.errors import InputError
from snnsim.parameters import SCHEMES, LIFParameters, scheme_coefficients

STUDY = LIFParameters(v_threshold=1.5, v_reset=1.0)
DT = np.geomspace(2e-4, 4e-2, 8)


@pytest.mark.parametrize("parameters", [STUDY, LIFParameters(tau_mem=0.7, tau_syn=0.7, r=2.0)])
def test_closed_form_is_the_matrix_exponential(parameters):
    times = np.array([0.0, 0.3, 2.0])
    expected = [expm(t.system_matrix(parameters) * x) @ [0.4, 1.5] for x in times]
    np.testing.assert_allclose(np.stack(t.closed_form(times, 0.4, 1.5, parameters), axis=1), expected, rtol=1e-12)


def test_lipschitz_constant_bounds_every_direction_and_is_reached():
    a = t.system_matrix(STUDY)
    angle = np.linspace(0, np.pi, 2001)
    growth = np.linalg.norm(a @ np.stack([np.cos(angle), np.sin(angle)]), axis=0)
    assert growth.max() <= t.lipschitz_constant(STUDY) * (1 + 1e-12)
    assert growth.max() == pytest.approx(t.lipschitz_constant(STUDY), rel=1e-5)


def test_orders_of_the_schemes():
    study = t.truncation_study(STUDY, DT)
    orders = {s: (a.order, b.order, c.order) for s, a, b, c in zip(
        study.schemes, study.local_order, study.global_order, study.drive_order, strict=True
    )}  # fmt: skip
    # Fitted over two decades: the next term of the error changes an order by less than a few percent.
    assert orders["forward_euler"][:2] == pytest.approx((2, 1), abs=0.05)
    assert orders["backward_euler"][:2] == pytest.approx((2, 1), abs=0.05)
    assert orders["bilinear"][:2] == pytest.approx((3, 2), abs=0.05)
    assert study.local_norm[study.schemes.index("exact")].max() < 1e-15
    assert study.global_norm[study.schemes.index("exact")].max() < 1e-13
    # A constant drive is no train of impulses on the grid: collected over a step and entered at its end it is half a
    # step late in the exact scheme (first order); the bilinear scheme lets it act in the middle of the step.
    for scheme, order in {"forward_euler": 1, "backward_euler": 1, "exact": 1, "bilinear": 2}.items():
        assert orders[scheme][2] == pytest.approx(order, abs=0.05)


def test_eulers_error_stays_below_its_bound():
    for dt in (0.4, 0.1, 0.01, 0.001):
        run = t.global_error(dt, 4.0, "forward_euler", STUDY, 0.2, 1.5)
        bound = t.euler_global_bound(run.times, dt, STUDY, 0.2, 1.5)
        assert (run.norm <= bound + 1e-15).all()
        assert run.norm.max() > 0


def test_global_error_against_an_independent_integrator():
    run = t.global_error(0.05, 3.0, "backward_euler", STUDY, 0.0, 2.0)
    reference = solve_ivp(
        lambda _, y: t.system_matrix(STUDY) @ y, (0, 3.0), [0.0, 2.0], t_eval=run.times, rtol=1e-11, atol=1e-12
    )
    y = t.free_run(0.05, 60, "backward_euler", STUDY, 0.0, 2.0)
    np.testing.assert_allclose(np.stack([run.v, run.i], axis=1), y - reference.y.T, atol=1e-9)


def test_constant_drive_tends_to_the_closed_form():
    dt, n = 1e-2, 500
    times, error = t.constant_drive_error(dt, n * dt, "backward_euler", STUDY, 1.3)
    reference = solve_ivp(
        lambda _, y: [(-y[0] + STUDY.r * y[1]) / STUDY.tau_mem, (1.3 - y[1]) / STUDY.tau_syn],
        (0, n * dt), [0.0, 0.0], t_eval=np.minimum(times, n * dt), rtol=1e-11, atol=1e-12,
    )  # fmt: skip
    v = drive_linear(np.full((n, 1), 1.3 * dt), scheme_coefficients(STUDY, dt, "backward_euler"))[0][:, 0]
    np.testing.assert_allclose(error, np.append(0.0, v) - reference.y[0], atol=1e-9)
    assert np.abs(error).max() < 0.01


@pytest.mark.parametrize("scheme", SCHEMES)
def test_stability_limit_is_where_a_free_run_starts_to_grow(scheme):
    limit = t.stability_limit(STUDY, scheme)
    if np.isfinite(limit):
        assert (
            t.spectral_radius(STUDY, limit * (1 - 1e-9), scheme)
            < 1
            < t.spectral_radius(STUDY, limit * (1 + 1e-9), scheme)
        )
        assert np.abs(t.free_run(limit * 1.05, 400, scheme, STUDY, 0.0, 1.0)[-1]).max() > 1e3
        assert np.abs(t.free_run(limit * 0.95, 400, scheme, STUDY, 0.0, 1.0)[-1]).max() < 1e-3
    else:
        assert all(t.spectral_radius(STUDY, dt, scheme) < 1 for dt in (0.01, 1.0, 100.0))


@pytest.mark.parametrize("scheme", ["forward_euler", "bilinear"])
def test_oscillation_limit_is_where_the_current_changes_sign(scheme):
    limit = t.oscillation_limit(STUDY, scheme)
    assert (
        t.free_run(limit * 0.99, 1, scheme, STUDY, 0.0, 1.0)[1, 1]
        > 0
        > t.free_run(limit * 1.01, 1, scheme, STUDY, 0.0, 1.0)[1, 1]
    )


def test_unstable_steps_have_no_global_error():
    study = t.truncation_study(STUDY, [0.01, 1.3], schemes=("forward_euler", "backward_euler"))
    assert np.isnan(study.global_norm[0, 1])
    assert np.isfinite(study.global_norm[1]).all()


def test_bad_input():
    with pytest.raises(InputError, match="scheme = 'rk4'"):
        t.update_matrix(STUDY, 0.1, "rk4")
    with pytest.raises(InputError, match="dt = 0"):
        t.update_matrix(STUDY, 0, "exact")


# First spikes


def test_exact_first_spikes_reach_the_threshold():
    i0 = np.linspace(0.5, 12.0, 60)
    spike = first_spike.exact_first_spikes(STUDY, i0, 6.0)
    fine = np.linspace(0, 6.0, 60001)
    v = t.closed_form(fine, 0.0, i0[:, None], STUDY)[0]
    crossed = (v >= STUDY.threshold).any(axis=1)
    np.testing.assert_array_equal(np.isfinite(spike), crossed)
    np.testing.assert_allclose(spike[crossed], fine[(v >= STUDY.threshold).argmax(axis=1)][crossed], atol=1e-4)


def test_first_spike_errors_fall_in_proportion_to_dt():
    study = first_spike.first_spike_study(STUDY, [0.04, 0.02, 0.01, 0.005], ["exact", "bilinear"], n_neurons=600)
    # The exact scheme samples the true membrane: late by a uniform part of a step, and blind only to grazing crossings.
    k = study.schemes.index("exact")
    np.testing.assert_allclose(study.mean_error[k] / study.dt, 0.5, atol=0.1)
    np.testing.assert_allclose(study.bias[k], study.mean_error[k])
    assert (study.added[k] == 0).all()
    assert study.lost[k, 0] < 0.01
    assert study.order[k].order == pytest.approx(1, abs=0.1)
    with pytest.raises(InputError, match="strongest"):
        first_spike.first_spike_study(STUDY, [0.1], ["exact"], strongest=1.0)
