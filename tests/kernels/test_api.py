"""Kernels for other people's simulators: pinned signatures, worked examples, C pointers, and their documentation."""

import ctypes
import os
import re
import subprocess
import sys

import numba
import numpy as np
import pytest
from scipy import LowLevelCallable
from scipy.integrate import quad

from snnsim.dynamics import lif, philox, schemes
from snnsim.kernels import cfunctions
from tests import ROOT, reference
from tests.examples import custom_simulator
from tests.kernel_signatures import LIST, c_functions, public_signatures

PAGE = ROOT / "docs" / "kernels.md"
EXAMPLES = ROOT / "tests" / "examples"
BLOCK = re.compile(r"^```(\w[\w ]*)\n(.*?)^```$", re.M | re.S)
NEURON = dict(tau_mem=0.8, tau_syn=0.6, r=1.2, v_threshold=1.0, v_reset=0.2)
DT = 0.05


def blocks(language):
    return [text for kind, text in BLOCK.findall(PAGE.read_text("utf-8")) if kind == language]


def test_signatures_are_those_of_the_committed_list():
    listed = LIST.read_text("utf-8").splitlines()
    current = public_signatures()
    gone = sorted(set(listed) - set(current))
    assert not gone, f"changed or gone, a break for others: {gone}"
    assert current == listed, "new names: add them by `python -m tests.kernel_signatures`"


def test_documentation_names_every_public_name():
    text = PAGE.read_text("utf-8")
    words = set(re.findall(r"\w+", text))
    assert {re.split(r"[(: ]", line)[0].split(".")[-1] for line in public_signatures()} <= words
    for target in re.findall(r"\]\((\.\./[^)]+)\)", text):
        assert (PAGE.parent / target).resolve().is_file(), target


def test_documentation_shows_the_examples_as_they_are():
    assert (EXAMPLES / "custom_simulator.py").read_text("utf-8") in blocks("python")
    assert blocks("python cuda") == [(EXAMPLES / "custom_cuda.py").read_text("utf-8")]
    for example in EXAMPLES.glob("custom_*.py"):
        assert len(example.read_text("utf-8").splitlines()) < 40, example


@pytest.mark.parametrize("index", range(4))
def test_code_of_the_documentation_runs(index, capsys):
    code = blocks("python")
    assert len(code) == 4
    exec(compile(code[index], f"{PAGE.name}, block {index}", "exec"), {"__name__": "__main__"})
    assert ("spikes" in capsys.readouterr().out) == (index == 0)


def test_custom_simulator_against_a_loop_of_numpy():
    rng = np.random.default_rng(3)
    inputs = (rng.random((60, 12)) < 0.2).astype(np.float64)
    w_in, w_rec = rng.normal(0.4, 0.5, (12, 9)), rng.normal(0, 0.4, (9, 9))
    spikes = custom_simulator.simulate(inputs, w_in, w_rec, DT, *NEURON.values())
    a_ii, b_i, a_vv, a_vi, b_v = reference.coefficients(NEURON, DT, "exact")
    v, i, last = np.zeros((3, 9))
    for k in range(60):
        x = inputs[k] @ w_in + last @ w_rec
        v, i = a_vv * v + a_vi * i + b_v * x, a_ii * i + b_i * x
        assert np.abs(v - 1.0).min() > 1e-6  # a margin from threshold: then spikes agree exactly
        last = (v >= 1.0).astype(float)
        np.testing.assert_array_equal(spikes[k], last)
        v = np.where(last == 1, 0.2, v)
    assert spikes.sum() > 30


CUDA = """
import numpy as np
from tests.examples.custom_cuda import run
from tests.reference import coefficients

x = np.random.default_rng(0).normal(0.2, 0.4, (10, 40)).astype(np.float32)
spikes = run(x)
a_ii, b_i, a_vv, a_vi, b_v = coefficients(dict(tau_mem=0.8, tau_syn=0.6, r=1.2, v_threshold=1, v_reset=0), 0.05)
v, i = np.zeros((2, 40))
for k in range(10):
    v, i = a_vv * v + a_vi * i + b_v * x[k], a_ii * i + b_i * x[k]
    assert np.abs(v - 1).min() > 1e-5
    np.testing.assert_array_equal(spikes[k], v >= 1)
    v = np.where(v >= 1, v - 1, v)
assert spikes.sum() > 5
"""


def test_custom_cuda_kernel_in_the_simulator():
    environment = os.environ | {"NUMBA_ENABLE_CUDASIM": "1"}
    subprocess.run([sys.executable, "-W", "error", "-c", CUDA], env=environment, check=True, cwd=ROOT)
    done = subprocess.run(
        [sys.executable, "-W", "error", EXAMPLES / "custom_cuda.py"],
        env=environment, check=True, cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert re.fullmatch(r"\d+ spikes\n", done.stdout)


C_TYPES = {
    "double": "float64",
    "double *": "float64*",
    "int": "int32",
    "int64_t": "int64",
    "uint8_t *": "uint8*",
    "void": "none",
}


def test_declarations_are_the_compiled_signatures():
    declared = {}
    for returned, name, arguments in re.findall(r"^(\w+) (\w+)\((.*?)\);", cfunctions.DECLARATIONS, re.M | re.S):
        parts = [re.fullmatch(r"\s*(\w+ \*?)(\w+)\s*", argument).groups() for argument in arguments.split(",")]
        kinds = ", ".join(C_TYPES[kind.strip()] for kind, _ in parts)
        declared[name] = [argument for _, argument in parts], f"({kinds}) -> {C_TYPES[returned]}"
    functions = c_functions()
    assert declared.keys() == functions.keys()
    for name, function in functions.items():
        names = list(function.__wrapped__.__code__.co_varnames[: function.__wrapped__.__code__.co_argcount])
        assert declared[name] == (names, str(function._sig)), name
    shown = "".join(blocks("c"))
    assert re.search(r"^void step_layer\(.*?\);$", cfunctions.DECLARATIONS, re.M).group() in shown


@pytest.mark.parametrize("name", sorted(set(c_functions()) - {"step_layer", "adjoint_layer", "scheme_coefficients"}))
def test_c_scalars_through_ctypes(name):
    rng = np.random.default_rng(len(name))
    function = c_functions()[name].ctypes
    for trial in range(9):
        if name == "bernoulli32":
            values = (2**30 + trial, *map(int, rng.integers(0, 2**32, 5)))
            assert function(*values) == philox.bernoulli32(*values)
            continue
        if name == "membrane_response_at":
            values = rng.uniform(0.1, 2, 3)
            assert function(3, (ctypes.c_double * 3)(*values)) == schemes.membrane_response(*map(float, values))
            continue
        scalar = schemes.membrane_response if name == "membrane_response" else getattr(lif, name)
        values = [float(v) for v in rng.uniform(0.1, 2, len(function.argtypes))]
        if name == "reset_membrane":
            values[3] = trial % 3
        assert function(*values) == scalar(*values)


def test_division_by_zero_in_c_gives_no_exception():
    assert cfunctions.membrane_slope.ctypes(1.0, 3.0, 1.0, 0.0) == np.inf


@pytest.mark.parametrize(("number", "scheme"), [*enumerate(["forward_euler", "backward_euler", "exact", "bilinear"])])
def test_scheme_coefficients_in_c(number, scheme):
    out = (ctypes.c_double * 5)()
    cfunctions.scheme_coefficients.ctypes(number, DT, 0.8, 0.6, 1.2, out)
    assert tuple(out) == getattr(schemes, scheme)(DT, 0.8, 0.6, 1.2)
    cfunctions.scheme_coefficients.ctypes(4, DT, 0.8, 0.6, 1.2, out)
    assert np.isnan(out).all()


def pointer(array):
    return array.ctypes.data_as(ctypes.POINTER(np.ctypeslib.as_ctypes_type(array.dtype)))


@pytest.mark.parametrize(("number", "reset"), [*enumerate(["hard", "subtract", "none"])])
def test_layer_in_c_forward_and_backward_is_the_oracle(number, reset):
    rng = np.random.default_rng(5)
    steps, n_in, n = 40, 6, 5
    spikes_in = (rng.random((steps, n_in)) < 0.3).astype(float)
    weights = np.round(rng.normal(0.7, 1.0, (n_in, n)) * 1024) / 1024  # sums exact in any order
    neuron = NEURON | dict(reset=reset)
    coefficients = schemes.bilinear(DT, 0.8, 0.6, 1.2)
    (theirs,) = reference.clock_forward(spikes_in, [weights], neuron, DT, coefficient_sets=[coefficients])
    constants = np.array([*coefficients, 1.0, 0.2, number])
    x = spikes_in @ weights
    v, i, before, slopes, inverses = np.zeros(n), np.zeros(n), np.zeros(n), np.zeros((steps, n)), np.zeros((steps, n))
    spikes = np.full((steps, n), 7, np.uint8)
    for k in range(steps):
        before[:] = v
        cfunctions.step_layer.ctypes(pointer(v), pointer(i), pointer(x[k]), pointer(spikes[k]), n, pointer(constants))
        np.testing.assert_array_equal(v, theirs.v_after[k])
        np.testing.assert_array_equal(i, theirs.i[k])
        for m in range(n):
            rise = theirs.v[k, m], before[m], i[m], DT, 1.2, 0.8, 1e4
            inverses[k, m] = cfunctions.inverse_slope.ctypes(*rise)
            slopes[k, m] = cfunctions.membrane_slope.ctypes(v[m], i[m], 1.2, 0.8)
    np.testing.assert_array_equal(spikes, theirs.spikes)
    assert spikes.sum() > 20
    e = rng.normal(size=(steps, n))
    expected = reference.clock_backward([theirs], [weights], e=e)
    g, h, adjoint = np.zeros(n), np.zeros(n), np.zeros((steps, n))
    for k in range(steps - 1, -1, -1):
        cfunctions.adjoint_layer.ctypes(
            pointer(g), pointer(h), pointer(adjoint[k]), pointer(e[k]), pointer(inverses[k]), pointer(slopes[k]),
            pointer(spikes[k]), n, pointer(constants),
        )  # fmt: skip
    scale = np.abs(expected.X[0]).max()
    np.testing.assert_allclose(adjoint, expected.X[0], rtol=0, atol=1e-13 * scale)
    np.testing.assert_allclose(spikes_in.T @ adjoint, expected.grad_w[0], rtol=0, atol=1e-12 * scale)


def test_low_level_callable_of_scipy():
    function = LowLevelCallable(cfunctions.membrane_response_at.ctypes)
    for tau_mem, tau_syn in ((0.8, 0.6), (0.5, 0.5)):
        area, _ = quad(function, 0, np.inf, args=(tau_mem, tau_syn))
        assert area == pytest.approx(tau_syn, rel=1e-8)


@numba.njit
def _called_through_addresses(step, x, constants):
    v, i, spikes, total = np.zeros(x.shape[1]), np.zeros(x.shape[1]), np.zeros(x.shape[1], np.uint8), 0
    for k in range(x.shape[0]):
        step(v.ctypes, i.ctypes, x[k].ctypes, spikes.ctypes, x.shape[1], constants.ctypes)
        total += spikes.sum()
    return total


def test_a_compiled_caller_takes_the_pointer():
    x = np.random.default_rng(6).normal(0.2, 0.4, (50, 8))
    coefficients = schemes.exact(DT, 0.8, 0.6, 1.2)
    constants = np.array([*coefficients, 1.0, 0.2, lif.RESET_HARD])
    (theirs,) = reference.clock_forward(x, [np.eye(8)], NEURON, DT, coefficient_sets=[coefficients])
    assert _called_through_addresses(cfunctions.step_layer.ctypes, x, constants) == theirs.spikes.sum() > 10
