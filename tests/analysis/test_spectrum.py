import numpy as np
import pytest
import pywt

from snnsim.analysis import spectrum, wavelet
from snnsim.analysis.frequency import drive_linear
from snnsim.analysis.moments import discrete_moments, stationary_moments
from snnsim.errors import InputError
from snnsim.parameters import SCHEMES, LIFParameters, scheme_coefficients

STUDY = LIFParameters(v_threshold=1.5, v_reset=1.0)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_theoretical_spectrum_integrates_to_the_discrete_variance(scheme):
    dt = 0.1
    n = 20000
    f = (np.arange(n) + 0.5) / n * 0.5 / dt
    total = spectrum.poisson_spectrum(f, STUDY, 20.0, 0.1, dt, scheme).sum() * 0.5 / dt / n
    assert total == pytest.approx(discrete_moments(STUDY, 20.0, 0.1, dt, scheme).var_v, rel=1e-8)


def test_theoretical_spectrum_integrates_to_the_continuous_variance():
    # The tail beyond f_max falls like its third power.
    f = (np.arange(400000) + 0.5) * 1e-4
    total = spectrum.poisson_spectrum(f, STUDY, 20.0, 0.1).sum() * 1e-4
    assert total == pytest.approx(stationary_moments(STUDY, 20.0, 0.1).var_v, rel=1e-5)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_welch_spectrum_of_poisson_driven_membranes(scheme):
    dt, rate, weight = 0.05, 20.0, 0.1
    rng = np.random.default_rng(1)
    x = weight * rng.poisson(rate * dt, (600 + 8192, 60)).astype(float)
    v = drive_linear(x, scheme_coefficients(STUDY, dt, scheme))[0][600:]
    s = spectrum.welch_spectrum(v, dt, 512)
    inner = slice(4, -12)  # the window smears the lowest bins, and the zero of the bilinear scheme at Nyquist
    theory = spectrum.poisson_spectrum(s.frequency[inner], STUDY, rate, weight, dt, scheme)
    score = (s.mean[inner] - theory) / s.standard_error[inner]
    assert np.mean(score**2) == pytest.approx(1.0, abs=0.4)


def test_band_power_of_a_sinusoid():
    dt = 0.01
    v = 3.0 * np.sin(2 * np.pi * 5.0 * np.arange(4096) * dt)
    s = spectrum.welch_spectrum(v, dt, 1024)
    assert spectrum.band_power(s, 4.0, 6.0) == pytest.approx(4.5, rel=1e-3)
    assert spectrum.band_power(s, 10.0, 50.0) < 1e-6


def test_bad_traces():
    with pytest.raises(InputError, match="no voltages"):
        spectrum.welch_spectrum(None, 0.1)
    with pytest.raises(InputError, match="at least 8"):
        spectrum.welch_spectrum(np.zeros((4, 2)), 0.1)
    with pytest.raises(InputError, match="band"):
        spectrum.band_power(spectrum.welch_spectrum(np.ones((64, 1)), 0.1), 6.0, 7.0)


@pytest.mark.parametrize("name", ["haar", "db4", "sym8", "coif2"])
def test_orthogonal_wavelet_keeps_energy(name):
    v = np.random.default_rng(0).normal(size=(96, 5)).cumsum(axis=0)
    d = wavelet.decompose(v, 0.1, name, level=3)
    np.testing.assert_allclose(d.energy.sum(axis=0), d.signal_energy, rtol=1e-12)
    assert d.signal_energy == pytest.approx((v**2).sum(axis=0))


@pytest.mark.parametrize("mode", ["periodization", "symmetric", "zero"])
@pytest.mark.parametrize("n", [96, 50, 77])
def test_reconstruction_and_agreement_with_wavedec(mode, n):
    v = np.random.default_rng(0).normal(size=(n, 3))
    d = wavelet.decompose(v, 0.1, "db2", level=3, mode=mode)
    np.testing.assert_allclose(wavelet.reconstruct(d, n), v, atol=1e-12)
    reference = pywt.wavedec(v, "db2", mode=mode, level=3, axis=0)
    for mine, theirs in zip((d.approximation, *reversed(d.details)), reference, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_a_sinusoid_lies_in_its_band():
    dt = 0.01
    d = wavelet.decompose(np.sin(2 * np.pi * 9.0 * np.arange(1024) * dt), dt, "sym8", level=5)
    k = int(np.argmax(d.detail_share))
    assert d.bands[k, 0] < 9.0 < d.bands[k, 1]
    assert d.detail_share.sum() == pytest.approx(1.0)
    np.testing.assert_allclose(d.bands[:, 1] / (0.5 / dt), [1, 0.5, 0.25, 0.125, 0.0625, 0.03125])
    assert d.bands[-1, 0] == 0.0


def test_scalogram_peaks_at_the_frequency_of_a_sinusoid():
    s = wavelet.scalogram(2.0 + np.sin(2 * np.pi * 4.0 * np.arange(1000) * 0.01), 0.01)
    middle = s.power[:, 300:700].mean(axis=1)
    assert s.frequencies[int(np.argmax(middle))] == pytest.approx(4.0, rel=0.06)  # the spacing of the frequencies
    assert s.power.shape == (64, 1000)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"v": None}, "no voltages"),
        ({"v": np.zeros(3)}, "at least 4"),
        ({"wavelet": "morl"}, "discrete wavelet"),
        ({"mode": "mirror"}, "must be one of"),
        ({"level": 9}, "between 1 and 6"),
    ],
)
def test_bad_wavelet_input(arguments, message):
    with pytest.raises(InputError, match=message):
        wavelet.decompose(**({"v": np.ones((64, 1)), "dt": 0.1} | arguments))
