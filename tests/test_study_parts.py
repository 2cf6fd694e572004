"""Parts of the study's experiments against closed forms: outliers, L-BFGS, significance, correlations, precision."""

import re
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from snnsim import config as configuration
from snnsim.analysis.gradients import outliers
from snnsim.analysis.wavelet import scalogram
from snnsim.experiments import closed_form, precision, signals, spectrum_accuracy
from snnsim.experiments.accuracy_vs_dt import worse_than_best
from snnsim.experiments.base import Context, load_config
from snnsim.experiments.lbfgs import full_steps
from snnsim.plotting.experiments import closed_form as drawing
from snnsim.plotting.style import save_figure
from snnsim.spikes import Spikes

CLAIMS = [*(f"C{k}" for k in range(1, 30)), "L1", "L2", "L3", "F1", "F2", "F3", "S1", "S2"]


def test_every_numbered_claim_has_a_row_in_the_report():
    text = (Path(__file__).parents[1] / "docs" / "study" / "report.md").read_text()
    rows = re.findall(r"^\| ([CLFS][\d, CLFS]*) \|", text, re.M)
    assert set(CLAIMS) == {number for row in rows for number in row.split(", ")}


def test_outliers_are_those_of_the_distribution():
    rng = np.random.default_rng(0)
    normal = rng.standard_normal(200_000)
    fences, count, energy, kurtosis = outliers(np.concatenate([normal, np.zeros(1000)]))
    # Quartiles of a normal distribution lie at 0.6745: outer fences at 4.72.
    np.testing.assert_allclose(np.abs(fences), 7 * stats.norm.ppf(0.75), rtol=0.02)
    assert count <= 3
    assert abs(kurtosis - 3) < 0.1
    heavy = rng.standard_t(3, 200_000)
    share = 2 * stats.t.sf(7 * stats.t.ppf(0.75, 3), 3)
    fences, count, energy, kurtosis = outliers(heavy)
    assert abs(count / heavy.size - share) < 0.1 * share
    assert energy > 0.1
    assert kurtosis > 10
    assert outliers(np.zeros(4))[1:3] == (0, 0.0)


def test_full_quasi_newton_steps_solve_a_quadratic_and_show_what_is_undefined():
    rng = np.random.default_rng(1)
    a = rng.standard_normal((6, 6))
    a, b = a @ a.T + np.eye(6), rng.standard_normal(6)
    points = list(full_steps(lambda x: (0.5 * x @ a @ x - b @ x, a @ x - b), np.zeros(6), 60))
    np.testing.assert_allclose(points[-1], np.linalg.solve(a, b), atol=1e-6)
    assert len(points) < 60
    # The first step is along the gradient, of length 1/|g|_1 at most.
    np.testing.assert_allclose(points[0], b / max(np.abs(b).sum(), 1))
    undefined = list(full_steps(lambda x: (np.nan, np.full(2, np.nan)), np.ones(2), 5))
    assert undefined == []
    jumps = list(full_steps(lambda x: (0.0, np.array([1.0]) if x[0] > 0 else np.array([np.inf])), np.ones(1), 5))
    assert len(jumps) == 1


def test_a_step_of_the_two_loops_is_that_of_the_whole_matrix():
    """With all pairs kept, the direction is that of BFGS's explicit inverse (Nocedal and Wright, eq 6.17)."""
    rng = np.random.default_rng(2)
    a = rng.standard_normal((5, 5))
    a = a @ a.T + np.eye(5)
    points = [np.ones(5), *full_steps(lambda x: (0.0, a @ x), np.ones(5), 4)]
    steps = np.diff(points, axis=0)
    changes = steps @ a
    s, y = steps[2], changes[2]
    inverse = np.eye(5) * (s @ y) / (y @ y)
    for s, y in zip(steps[:3], changes[:3], strict=True):
        rho = 1 / (y @ s)
        left = np.eye(5) - rho * np.outer(s, y)
        inverse = left @ inverse @ left.T + rho * np.outer(s, s)
    np.testing.assert_allclose(steps[3], -inverse @ (a @ points[3]), rtol=1e-9)


def test_only_what_differs_significantly_is_worse():
    best, worse = worse_than_best(np.array([[90.0, 90.2, 89.9], [94.9, 94.8, 95.0], [94.7, 95.0, 94.8]]))
    assert best == 1
    assert worse.tolist() == [True, False, False]


def test_correlation_within_step_sizes_forgets_what_dt_does():
    rng = np.random.default_rng(3)
    offsets = np.arange(4)[:, None]
    x, y = rng.standard_normal((4, 30)), rng.standard_normal((4, 30))
    r, p = spectrum_accuracy.correlations(x + 10 * offsets, y + 10 * offsets, 499)
    assert r["all"] > 0.9
    assert abs(r["within"]) < 0.25
    assert p > 0.01
    r, p = spectrum_accuracy.correlations(x + 10 * offsets, x - 10 * offsets, 499)
    assert r["all"] < 0
    assert r["within"] == pytest.approx(1)
    assert p == pytest.approx(1 / 500)


def test_closed_forms_hold(tmp_path):
    config, _ = load_config("closed-form", quick=True)
    config["run"]["network"]["layers"] = [784, 12, 10]
    results = closed_form.run(config, Context(tmp_path, config))
    verdicts = {claim.number: claim.verdict for claim in closed_form.claims(results)}
    assert verdicts == {
        "C1": "holds", "C2": "holds in part", "C3": "holds", "C5": "holds", "C7": "does not hold", "C15": "holds",
        "S1": "answered",
    }  # fmt: skip
    np.testing.assert_allclose(results["energy"]["ratio"], results["energy"]["dt"], rtol=0.05)
    save_figure(drawing.figures(results)["neuron"], tmp_path / "neuron.png", dpi=40)


def test_float64_where_float32_does_not_tell_a_decay_from_none(capsys):
    tiny = configuration.load(None, ["simulation.dt=1e-6", "network.tau_mem=0.8", "network.tau_syn=0.6"])
    assert configuration.precision(tiny) == "float64"
    assert configuration.precision(configuration.load(None, ["simulation.dt=1e-3"])) == "float32"
    from snnsim_cli.options import configuration as of_flags

    of_flags(None, ["simulation.dt=1e-6"], {"precision": "float32"}, encodes=False)
    assert "a step's decay, 2e-06, is rounded" in capsys.readouterr().err
    of_flags(None, ["simulation.dt=1e-6"], {}, encodes=False)
    assert capsys.readouterr().err == ""


def test_spikes_are_matched_by_neuron_and_order():
    lost, added, error = precision._match([np.array([1.0, 2.0]), np.array([])], [np.array([1.1]), np.array([5.0])])
    assert (lost, added) == (0.5, 0.5)
    assert error == pytest.approx(0.1)
    assert precision._match([np.array([1.0])], [np.array([1.1])], 0.05)[:2] == (1.0, 1.0)


def test_drift_of_a_rate():
    times = [0.3, 0.3, 0.8, 0.8, 0.8, 0.8, 0.8, 0.8]
    steady = [0.3, 0.8]
    trials = [(np.array(t), np.zeros(len(t), int)) for t in (times, steady)]
    found = signals._drift(Spikes.from_trials(trials, 1, 1.0), 1.0)
    # Two and six spikes: twice their difference over their sum is 1.
    assert found["value"] == pytest.approx(0.5)
    assert found["error"] == pytest.approx(0.5)


def test_the_cone_of_influence_is_where_an_edge_shows():
    dt, n = 0.01, 2000
    s = scalogram(np.r_[np.zeros(n // 2), np.ones(n // 2)], dt, n_frequencies=24)
    middle = n // 2
    for f in range(8, 16):
        reach = round(s.cone[f] / dt)
        # A jump's power one cone away has fallen to about exp(-2) of its largest.
        assert 0.05 < s.power[f, middle + reach] / s.power[f, middle - 2 : middle + 3].max() < 0.3
