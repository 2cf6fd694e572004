import numpy as np
import pytest
from scipy import signal

from snnsim.analysis import frequency as f
from snnsim.analysis.drive import kernel_drive
from snnsim.errors import InputError
from snnsim.parameters import SCHEMES, LIFParameters, scheme_coefficients

STUDY = LIFParameters(v_threshold=1.5, v_reset=1.0)
OMEGA = np.geomspace(0.05, 20.0, 25)


def drive(dt, scheme):
    return lambda x: f.drive_linear(x, scheme_coefficients(STUDY, dt, scheme))[0]


def test_damping_and_natural_frequency_are_those_of_the_denominator():
    # tau_mem tau_syn s^2 + (tau_mem + tau_syn) s + 1 = (s/w_n)^2 + 2 zeta s/w_n + 1
    zeta, w = f.damping_ratio(0.8, 0.6), f.natural_frequency(0.8, 0.6)
    assert 1 / w**2 == pytest.approx(0.8 * 0.6, rel=1e-14)
    assert 2 * zeta / w == pytest.approx(0.8 + 0.6, rel=1e-14)
    assert f.damping_ratio(0.7, 0.7) == pytest.approx(1.0, rel=1e-15)


def test_continuous_response_agrees_with_scipy():
    _, h = signal.freqs([STUDY.r], np.polymul([STUDY.tau_mem, 1], [STUDY.tau_syn, 1]), OMEGA)
    np.testing.assert_allclose(f.continuous_response(OMEGA, STUDY), h, rtol=1e-12)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_discrete_response_is_the_transform_of_the_impulse_response(scheme):
    dt = 0.05
    n = 2000  # 100 time units: nothing is left of the impulse response
    x = np.zeros((n, 1))
    x[0] = 1.0
    v = drive(dt, scheme)(x)[:, 0]
    transform = (v[None, :] * np.exp(-1j * OMEGA[:, None] * dt * np.arange(n))).sum(1) * dt
    np.testing.assert_allclose(f.discrete_response(OMEGA, STUDY, dt, scheme), transform, rtol=1e-10)


@pytest.mark.parametrize("scheme", ["forward_euler", "backward_euler", "bilinear"])
def test_gain_at_zero_frequency_is_r(scheme):
    assert f.discrete_response(0.0, STUDY, 0.1, scheme) == pytest.approx(STUDY.r, rel=1e-12)


@pytest.mark.parametrize(("scheme", "order"), [("forward_euler", 1), ("backward_euler", 1), ("exact", 2)])
def test_discrete_response_tends_to_the_continuous_one(scheme, order):
    # The bilinear scheme's impulse acts half a step early, so its phase is of order one: the next test.
    error = [
        np.abs(f.discrete_response(3.0, STUDY, dt, scheme) - f.continuous_response(3.0, STUDY)) for dt in (1e-2, 1e-3)
    ]
    assert np.log10(error[0] / error[1]) == pytest.approx(order, abs=0.02)


def test_bilinear_response_is_the_continuous_one_at_the_warped_frequency():
    # Tustin's z-transform of H, whose input is the mean of two steps, (1 + z^-1)/2, instead of one.
    dt = 0.3
    omega = np.linspace(0.1, 0.9 * np.pi / dt, 20)
    digital = omega * dt
    expected = f.continuous_response(f.bilinear_unwarp(digital, dt), STUDY) * 2 / (1 + np.exp(-1j * digital))
    np.testing.assert_allclose(f.discrete_response(omega, STUDY, dt, "bilinear"), expected, rtol=1e-10)
    np.testing.assert_allclose(f.bilinear_warp(f.bilinear_unwarp(digital, dt), dt), digital, rtol=1e-13)


def test_exact_response_is_the_folded_one():
    dt = 0.2
    omega = np.linspace(0.0, np.pi / dt, 9)
    n = 20000
    # The tail of the sum, all real and negative: -r/(tau_mem tau_syn) (dt/2 pi)^2 2 sum_{k>n} 1/k^2.
    tail = -STUDY.r / (STUDY.tau_mem * STUDY.tau_syn) * (dt / (2 * np.pi)) ** 2 * 2 / n
    folded = f.folded_response(omega, STUDY, dt, n) + tail
    np.testing.assert_allclose(folded, f.discrete_response(omega, STUDY, dt, "exact"), atol=1e-9)
    relative = f.aliasing_error(omega, STUDY, dt)
    assert (np.diff(relative) > 0).all()
    assert relative[-1] > 0.5


@pytest.mark.parametrize("scheme", SCHEMES)
def test_sinusoids_measure_the_theoretical_response(scheme):
    dt = 0.1
    omega = np.array([0.2, 1.0, 5.0, 20.0])
    measured = f.measure_sinusoid(drive(dt, scheme), dt, omega, settle=40 * STUDY.tau_mem)
    np.testing.assert_allclose(measured.response, f.discrete_response(omega, STUDY, dt, scheme), rtol=1e-9)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_poisson_trains_measure_the_response_within_their_error(scheme):
    # A short step against the resolution of a segment, away from the lowest bins, which the window smears.
    dt = 0.05
    measured = f.measure_poisson(drive(dt, scheme), dt, 40.0, 0.1, 8192, 40, settle=30, seed=3, n_segment=1024)
    inner = slice(5, -20)  # the window also smears the zero of the bilinear scheme at Nyquist
    theory = f.discrete_response(measured.omega, STUDY, dt, scheme)
    score = np.abs(measured.response - theory)[inner] / measured.standard_error[inner]
    # The modulus of two components of one standard error each has mean square two.
    assert np.mean(score**2) == pytest.approx(2.0, abs=0.6)
    assert measured.coherence[inner].min() > 0.5


def test_counting_spikes_in_a_bin_delays_half_a_step():
    dt = 0.1
    ratio = f.discrete_response(OMEGA, STUDY, dt, "exact", binned=True) / f.discrete_response(OMEGA, STUDY, dt, "exact")
    # The mean of exp(-1j omega s) over a step, by quadrature.
    s = (np.arange(20000) + 0.5) / 20000 * dt
    np.testing.assert_allclose(ratio, np.exp(-1j * OMEGA[:, None] * s).mean(1), rtol=1e-7)


def test_table_leaves_out_what_does_not_exist():
    table = f.frequency_response(STUDY, [0.1, 1.5], list(SCHEMES), OMEGA)
    beyond = OMEGA > np.pi / 1.5
    assert np.isnan(table.discrete[1, :, beyond]).all()
    assert np.isnan(table.discrete[1, list(SCHEMES).index("forward_euler")]).all()
    assert np.isfinite(table.discrete[0]).all()
    assert np.isfinite(table.discrete[1, list(SCHEMES).index("exact"), ~beyond]).all()


def test_frequencies_beyond_nyquist_are_refused():
    with pytest.raises(InputError, match="Nyquist"):
        f.measure_sinusoid(drive(0.1, "exact"), 0.1, [40.0], settle=1)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_engines_kernel_is_the_filter(scheme):
    x = np.random.default_rng(0).random((300, 4))
    expected = f.drive_linear(x, scheme_coefficients(STUDY, 0.1, scheme))[0]
    np.testing.assert_allclose(kernel_drive(STUDY, 0.1, scheme)(x), expected, rtol=1e-12)
