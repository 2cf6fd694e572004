"""Mistakes in gradients that train unnoticed, each made on purpose: a test must fail.

Most of them leave a gradient with a cosine above .98. The package is copied, one line is changed, and the named test is
run on the copy without the compiler.

| mistake | test that fails |
|---|---|
| refractory: slope after the spike instead of at the release | every gradient is the reference's, net `refractory` |
| refractory: lambda_v not cleared while v is held | `refractory` |
| ALIF: slope of v instead of v - threshold | `alif` |
| ALIF: (q/tau_a) lambda_a left out of mu; lambda_a not changed by beta mu | `alif` |
| AdLIF: slope after the spike (or the release) with a before its jump | `adlif` |
| autapse or loop without delay: slopes with i after the arrivals of the spike's instant | `instant` |
| bias left out of the slopes | `refractory` |
| tau_syn: jump term left out | `refractory` |
| arrival time: lambda_v term left out | `refractory` |
| clock: error of a delayed spike from X_{k+1} - X_k | a delayed spike errs by the change at its arrival |
| largest membrane at a kink without the arrival's share | `max` |
| a membrane that falls at first is taken never to cross | a membrane that falls at first crosses later |
| flow of one neuron for all of a unit | `refractory` |
| a reading after the arrivals of its instant | a sample lies before an arrival of its instant |
| partial fractions for nearly equal time constants | equal time constants are the limit |
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
GRAPH = "tests/engines/test_event_graph.py::"
REFERENCE = GRAPH + "test_spikes_readings_and_every_gradient_are_the_references"
CLOCK = "tests/kernels/test_synapse.py::test_a_delayed_spike_errs_by_the_change_at_its_arrival"
BACKWARD, FORWARD = "kernels/events/graph_backward.py", "kernels/events/graph_forward.py"
EQUATIONS = "dynamics/graph_events.py"

MISTAKES = {
    "release": (
        BACKWARD, "(cells[n, W_RESET], marks[s, 2], a,", "(cells[n, W_RESET], marks[s, 0], a,",
        f"{REFERENCE}[refractory]",
    ),
    "held": (
        BACKWARD, "own_track[_V] = 0.0\n", "own_track[_V] = own_track[_V]\n", f"{REFERENCE}[refractory]",
    ),
    "slope of v": (
        EQUATIONS, "rise = gap_slope(w, u, a, tau_mem, tau_a, beta, pull)\n    return max_inverse",
        "rise = adaptive_slope(w, u, a, tau_mem, pull)\n    return max_inverse", f"{REFERENCE}[alif]",
    ),
    "lambda_a in mu": (EQUATIONS, "released - q / tau_a * lambda_a - e", "released - e", f"{REFERENCE}[alif]"),
    "beta mu in lambda_a": (BACKWARD, "track[_A] -= beta * mu", "track[_A] -= 0.0", f"{REFERENCE}[alif]"),
    "jump at the spike": (BACKWARD, "u, a + jump, tau_mem", "u, a, tau_mem", f"{REFERENCE}[adlif]"),
    "jump at the release": (BACKWARD, "(marks[s, 1] + cells[n, JUMP])", "marks[s, 1]", f"{REFERENCE}[adlif]"),
    "arrival before spike": (
        FORWARD, "            if now_t >= plan.duration:\n                break\n",
        "            for s in range(count):\n"
        "                p = neurons[s] - low\n"
        "                if times[s] == now_t:\n"
        "                    gain = cells[neurons[s], R] / cells[neurons[s], TAU_SYN]\n"
        "                    marks[s, 0] = gain * state[p // BLOCK, now + _R + p % BLOCK]\n"
        "            if now_t >= plan.duration:\n                break\n",
        f"{REFERENCE}[instant]",
    ),
    "bias in the slopes": (
        "engines/event_graph.py", "            probes, probe_times = self._probes(component, signal, batch)\n",
        "            probes, probe_times = self._probes(component, signal, batch)\n"
        '            s["cells"] = cells_of(s["values"], [None] * len(names), component.sizes)\n',
        f"{REFERENCE}[refractory]",
    ),
    "jump of i": (BACKWARD, "(rate * rate * kappa - lam_q[m])", "(rate * rate * kappa)", f"{REFERENCE}[refractory]"),
    "lambda_v of an arrival": (
        BACKWARD, "row[n] * (lam_q[n] - pull[n] * lam_v[n])", "row[n] * lam_q[n]", f"{REFERENCE}[refractory]",
    ),
    "delay on the clock": (
        "kernels/cpu/synapses.py", "row, f = k + steps[s] - k0, fractions[s]\n                    if not interpolated:",
        "row, f = k - k0, fractions[s]\n                    if not interpolated:", CLOCK,
    ),
    "kink": (
        BACKWARD, "            if plan.widest:\n", "            if plan.widest and size < 0:\n", f"{REFERENCE}[max]",
    ),
    "falls at first": (
        FORWARD, "elif v_end >= theta or (u >= theta", "elif (v_end >= theta and u > v) or (u >= theta",
        GRAPH + "test_a_membrane_that_falls_at_first_crosses_later",
    ),
    "one flow for all": (BACKWARD, "if groups.fresh[g] or g == g0:", "if g == g0:", f"{REFERENCE}[refractory]"),
    "reading after the arrival": (
        BACKWARD, "(at_start or ev_time[last] > opened)", "(at_start or ev_time[last] >= opened)",
        GRAPH + "test_a_sample_lies_before_an_arrival_of_its_instant",
    ),
    "partial fractions": (
        EQUATIONS, "    return flow(t, tau_mem, tau)[2]\n",
        "    return tau / (tau_mem - tau) * (math.exp(-t / tau_mem) - math.exp(-t / tau))\n",
        GRAPH + "test_equal_time_constants_are_the_limit_of_nearly_equal_ones",
    ),
}  # fmt: skip


def outcome(folder, test):
    """Exit code and output of one test on the package in a folder, without the compiler."""
    options = ("-q", "-x", "-p", "no:cacheprovider", "-W", "ignore", "--rootdir", folder)
    run = subprocess.run(
        [sys.executable, "-m", "pytest", *options, test], cwd=folder, capture_output=True, text=True, check=False,
        env={**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip
    return run.returncode, run.stdout + run.stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A copy of the package beside its tests."""
    folder = tmp_path_factory.mktemp("mistakes")
    shutil.copytree(ROOT / "snnsim", folder / "snnsim", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("tests", "pyproject.toml", "data"):
        (folder / name).symlink_to(ROOT / name)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", MISTAKES)
def test_a_test_fails_where_the_mistake_is_made(folder, name):
    file, right, wrong, test = MISTAKES[name]
    path = folder / "snnsim" / file
    text = path.read_text()
    assert text.count(right) >= 1, f"{file} has changed: {right!r}"
    try:
        path.write_text(text.replace(right, wrong))
        code, said = outcome(folder, test)
    finally:
        path.write_text(text)
    assert code == 1, said[-2000:]
    assert "AssertionError" in said or "assert " in said, said[-2000:]


@pytest.mark.slow
@pytest.mark.parametrize("test", sorted({mistake[-1] for mistake in MISTAKES.values()}))
def test_the_tests_pass_where_no_mistake_is_made(folder, test):
    code, said = outcome(folder, test)
    assert code == 0, said[-2000:]
