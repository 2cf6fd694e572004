"""Scalars of :mod:`snnsim.dynamics`: the same bits with and without compiling, single precision kept, formulas."""

import importlib
import inspect
import math
import pkgutil

import numba
import numpy as np
import pytest
from scipy.integrate import quad

import snnsim.dynamics
from snnsim.dynamics import lif, loss, philox, schemes
from tests import reference

EPS = np.finfo(float).eps
MODULES = sorted(module.name for module in pkgutil.iter_modules(snnsim.dynamics.__path__))
SINGLE = {"lif", "schemes", "loss"}  # the others run in double precision only
POWERS = {"integral"}  # whole powers, which compiled code multiplies out and Python leaves to libm
INTEGERS = {"philox", "image"}  # modules whose words are integers, tested below and with their kernels


def scalars(module):
    """Public functions of a module of scalars, whose arguments are all floats."""
    found = []
    for name, function in inspect.getmembers(importlib.import_module(f"snnsim.dynamics.{module}"), inspect.isfunction):
        if function.__module__ == f"snnsim.dynamics.{module}" and not name.startswith("_") and name != "log_sum_exp":
            found.append(pytest.param(function, id=f"{module}.{name}"))
    return found


FLOATS = [p for module in MODULES if module not in INTEGERS for p in scalars(module)]


def arguments(function, dtype=float):
    """A few sets of arguments in the order of the signature: reset modes and labels by their kind, positive times."""
    rng = np.random.default_rng(sum(map(ord, function.__name__)))
    sets = []
    for trial in range(12):
        values = []
        for name in inspect.signature(function).parameters:
            if name == "reset":
                values.append(trial % 3)
            elif name == "is_label":
                values.append(trial % 2 == 0)
            elif name == "p" and function.__name__.endswith("quantile"):
                values.append(dtype(rng.uniform(0.001, 0.999)))
            else:
                positive = rng.uniform(0.05, 1.5)
                signed = name in ("v", "i", "x", "e", "p", "g", "h", "distance", "slope_plus") and trial % 4 == 3
                values.append(dtype(-positive if signed else positive))
        sets.append(tuple(values))
    return sets


def flat(value):
    return np.ravel(np.array(value, np.float64))


@pytest.mark.parametrize("function", [p for p in FLOATS if p.id.split(".")[0] in POWERS])
def test_compiled_and_plain_python_differ_by_rounding_of_powers(function):
    compiled = numba.njit(function)
    for values in arguments(function):
        np.testing.assert_allclose(flat(compiled(*values)), flat(function(*values)), rtol=1e-12, err_msg=str(values))


@pytest.mark.parametrize("function", [p for p in FLOATS if p.id.split(".")[0] not in POWERS])
def test_compiled_and_plain_python_give_the_same_bits(function):
    compiled = numba.njit(function)
    for values in arguments(function):
        np.testing.assert_array_equal(flat(compiled(*values)), flat(function(*values)), err_msg=str(values))


@pytest.mark.parametrize("function", [p for p in FLOATS if p.id.split(".")[0] in SINGLE])
def test_single_precision_stays_single(function):
    compiled = numba.njit(function)
    for values in arguments(function, np.float32):
        ours = flat(compiled(*values))
        wide = flat(function(*(float(v) if isinstance(v, np.float32) else v for v in values)))
        # A few operations in float32; differences of near values cancel at most to some hundred roundings.
        np.testing.assert_allclose(ours, wide, rtol=1e-4, atol=1e-5)
    for signature, overload in compiled.overloads.items():
        returned = overload.signature.return_type
        for part in getattr(returned, "types", (returned,)):
            assert part in (numba.float32, numba.boolean, numba.int64), returned
        # The function itself is the first definition in the listing; what boxes its result comes later.
        body = compiled.inspect_llvm(signature).split("\ndefine ")[1].split("\n}")[0]
        assert function.__name__ in body.splitlines()[0]
        assert "double" not in body


@pytest.mark.parametrize("taus", [(0.8, 0.6), (0.6, 0.8), (0.5, 0.5), (0.5, 0.5 + 1e-9), (10.0, 0.3)])
@pytest.mark.parametrize("dt", [1e-4, 0.05, 0.5])
@pytest.mark.parametrize("scheme", ["forward_euler", "backward_euler", "exact", "bilinear"])
def test_coefficients(scheme, dt, taus):
    tau_mem, tau_syn = taus
    neuron = dict(tau_mem=tau_mem, tau_syn=tau_syn, r=1.2, v_threshold=1.0, v_reset=0.0)
    ours = getattr(schemes, scheme)(dt, tau_mem, tau_syn, 1.2)
    # The oracle solves 2x2 systems and takes a matrix exponential.
    np.testing.assert_allclose(ours, reference.coefficients(neuron, dt, scheme), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("taus", [(0.8, 0.6), (0.6, 0.8), (0.7, 0.7)])
def test_membrane_response(taus):
    for t in (0.0, 1e-9, 0.3, 4.0):
        v, _ = reference.closed_form(
            0.0, 1.0, t, dict(zip(("tau_mem", "tau_syn"), taus, strict=True), r=1.0, v_threshold=1, v_reset=0)
        )
        assert schemes.membrane_response(t, *taus) == pytest.approx(v, rel=1e-14, abs=1e-300)


def test_threshold_is_reached_from_below_and_by_equality():
    assert lif.fires(1.0, 1.0)
    assert not lif.fires(np.nextafter(1.0, 0), 1.0)
    assert not lif.fires(np.nan, 1.0)


def test_resets():
    assert lif.reset_membrane(1.7, 1.0, 0.2, lif.RESET_HARD) == 0.2
    assert lif.reset_membrane(1.7, 1.0, 0.2, lif.RESET_SUBTRACT) == 1.7 - 0.8
    assert lif.reset_membrane(1.7, 1.0, 0.2, lif.RESET_NONE) == 1.7
    assert [lif.reset_gain(reset) for reset in (lif.RESET_HARD, lif.RESET_SUBTRACT, lif.RESET_NONE)] == [0, 1, 1]


def test_inverse_slope_and_its_clamp():
    rising = dict(v=1.1, v_before=0.9, i=3.0, dt=0.1, r=1.0, tau_mem=0.5)
    assert lif.inverse_slope(**rising, max_inverse_slope=1e4) == pytest.approx(0.1 / 0.2, rel=4 * EPS)
    assert lif.inverse_slope(**rising, max_inverse_slope=0.3) == 0.3
    falling = rising | dict(v_before=1.2)
    assert lif.inverse_slope(**falling, max_inverse_slope=1e4) == pytest.approx(0.5 / (3.0 - 1.1), rel=4 * EPS)
    sinking = falling | dict(i=0.5)
    assert lif.inverse_slope(**sinking, max_inverse_slope=1e4) == 1e4
    level = rising | dict(v_before=1.1, i=1.1)
    assert lif.inverse_slope(**level, max_inverse_slope=1e4) == 1e4
    assert lif.inverse_difference(1.1, 0.6, 8.0) == pytest.approx(2, rel=4 * EPS)
    assert [lif.inverse_difference(1.1, before, 8.0) for before in (1.05, 1.1, 1.3)] == [8.0] * 3


def test_sigmoids_are_derivatives():
    def fast(v):
        return (v - 1.0) / (1 + 10 * abs(v - 1.0))

    def logistic(v):
        return 1 / (1 + math.exp(-(v - 1.0) / 0.2))

    for v in (-1.0, 0.4, 0.99, 1.2, 3.0):
        assert lif.fast_sigmoid_derivative(v, 1.0, 10.0) == pytest.approx(
            (fast(v + 1e-6) - fast(v - 1e-6)) / 2e-6, rel=1e-6
        )
        slope = (logistic(v + 1e-6) - logistic(v - 1e-6)) / 2e-6
        assert lif.sigmoid_derivative(v, 1.0, 0.2) == pytest.approx(slope, rel=1e-6, abs=1e-9)
    assert lif.sigmoid_derivative(-1e6, 1.0, 0.2) == 0  # no overflow


@numba.njit
def _compiled_log_sum_exp(values):
    return loss.log_sum_exp(values)


@pytest.mark.parametrize("values", [[0.0], [1.0, 2.0, 3.0], [-800.0, 900.0], [-1e5, -1e5]])
def test_log_sum_exp(values):
    values = np.array(values)
    expected = np.logaddexp.reduce(values)
    assert loss.log_sum_exp(values) == pytest.approx(expected, rel=4 * EPS)
    assert _compiled_log_sum_exp(values) == loss.log_sum_exp(values)


def test_van_rossum_kernel_is_the_overlap_of_filtered_spikes():
    tau = 0.7
    for d in (-1.3, -0.2, 0.0, 0.4, 2.0):
        overlap, _ = quad(lambda t, d=d: math.exp(-t / tau) * math.exp(-(t + abs(d)) / tau), 0, np.inf)
        assert loss.van_rossum_kernel(d, tau) == pytest.approx(2 / tau * overlap, rel=1e-8)
    for d in (-1.3, -0.2, 0.4, 2.0):
        slope = (loss.van_rossum_kernel(d + 1e-6, tau) - loss.van_rossum_kernel(d - 1e-6, tau)) / 2e-6
        assert loss.van_rossum_kernel_slope(d, tau) == pytest.approx(slope, rel=1e-8)
    assert loss.van_rossum_kernel_slope(0.0, tau) == 0


# Known answers published with Random123 (Salmon et al.), kat_vectors: counter, key, result of philox4x32-10.
KNOWN = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]
_compiled_philox = numba.njit(philox.philox4x32)
_compiled_bernoulli = numba.njit(philox.bernoulli32)


def words(text):
    return [int(word, 16) for word in text.split()]


@pytest.mark.parametrize(("counter", "key", "result"), KNOWN)
def test_philox_known_answers(counter, key, result):
    assert list(philox.philox4x32(*words(counter), *words(key))) == words(result)
    assert list(_compiled_philox(*words(counter), *words(key))) == words(result)


def test_philox_compiled_and_plain():
    rng = np.random.default_rng(0)
    for _ in range(200):
        given = [int(word) for word in rng.integers(0, 2**32, 6)]
        assert tuple(_compiled_philox(*given)) == philox.philox4x32(*given)


@pytest.mark.parametrize("threshold", [-1, 0, 1, 2**31, 2**32 - 1, 2**32, 2**33, 123456789, 3 << 30])
def test_bernoulli_trials_are_comparisons_with_uniform_words(threshold):
    for neuron, sample, block, seed, epoch in ((0, 0, 0, 0, 0), (7, 3, 1, 5, 9), (2**32 - 1,) * 5):
        # Bit 31 - m of the uniform number of trial j is bit j of the m-th word drawn.
        drawn = [w for call in range(8) for w in philox.philox4x32(neuron, sample, block, call, seed, epoch)]
        uniform = [sum((w >> j & 1) << (31 - m) for m, w in enumerate(drawn)) for j in range(32)]
        expected = sum(int(u < threshold) << j for j, u in enumerate(uniform))
        assert philox.bernoulli32(threshold, neuron, sample, block, seed, epoch) == expected
        assert _compiled_bernoulli(threshold, neuron, sample, block, seed, epoch) == expected
