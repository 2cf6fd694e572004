"""Statistics of recordings against NumPy and SciPy on whole arrays, and against what is known of Poisson trains."""

import json
import os
import subprocess

import numpy as np
import pytest
from scipy import signal

from snnsim import LIFParameters, Network, PoissonTrains, open_traces, simulate
from snnsim.analysis.statistics import jackknife, statistics_of
from snnsim.errors import InputError
from tests import ROOT
from tests.command import Caller

N, RATE, LENGTH = 40, 0.02, 20_000.0


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Poisson trains of 20 a second for 20 s in 40 inputs; neurons that they drive."""
    network = Network(seed=1)
    network.input("ext", N)
    network.population("A", 5, LIFParameters(tau_mem=10.0, tau_syn=2.0, r=1.0, v_threshold=1.0, t_ref=2.0))
    network.connect("ext", "A", weight=2.0, delay=1.0)
    where = tmp_path_factory.mktemp("statistics") / "traces"
    simulate(network, duration=LENGTH, dt=0.1, inputs=[PoissonTrains("ext", RATE)], seed=5, threads=1,
             impulse="unit-jump", output=where).close()  # fmt: skip
    return where


@pytest.fixture(scope="module")
def found(place):
    with open_traces(place) as traces:
        return statistics_of(traces, window=50.0, lag=20.0, correlated=N)


@pytest.fixture(scope="module")
def trains(place):
    """Steps of each neuron's spikes."""
    made = {}
    with open_traces(place) as traces:
        for name, p in traces.populations.items():
            steps, neurons = [], []
            for k in range(len(traces)):
                t, n = traces.spikes(name, k).trial(0)
                steps.append(np.rint(t / 0.1).astype(int) - 1 + 1000 * k)
                neurons.append(n)
            steps, neurons = np.concatenate(steps), np.concatenate(neurons)
            made[name] = [steps[neurons == n] for n in range(p.n_neurons)]
    return made


def binned(trains, width):
    return np.array([np.bincount(t // width, minlength=int(LENGTH * 10) // width) for t in trains])


@pytest.mark.parametrize("name", ["ext", "A"])
def test_rates_intervals_and_counts_are_numpys(found, trains, name):
    p, own = found["populations"][name], trains[name]
    np.testing.assert_allclose(p["rate"]["values"], [t.size / 20 for t in own], rtol=1e-12)
    gaps = [np.diff(t) / 10 for t in own]
    np.testing.assert_allclose(p["cv"]["values"], [g.std() / g.mean() for g in gaps], rtol=1e-9)
    lv = [3 * np.mean(((g[1:] - g[:-1]) / (g[1:] + g[:-1])) ** 2) for g in gaps]
    np.testing.assert_allclose(p["lv"]["values"], lv, rtol=1e-9)
    counts = binned(own, 500)
    np.testing.assert_allclose(p["fano"]["values"], counts.var(1, ddof=1) / counts.mean(1), rtol=1e-9)
    assert p["fano"]["error"] == pytest.approx((counts.var(1, ddof=1) / counts.mean(1)).std(ddof=1) / np.sqrt(len(own)))
    everything = np.concatenate(gaps)
    density = np.histogram(everything, np.arange(501) - 1e-9)[0] / everything.size
    np.testing.assert_allclose(p["intervals"]["density"], density, rtol=0, atol=1e-12)
    np.testing.assert_allclose(
        p["intervals"]["survival"][[0, 5, 80]], [(everything >= x - 1e-9).mean() for x in (0, 5, 80)]
    )


def test_correlations_spectra_and_covariances_are_numpys(found, trains):
    p = found["populations"]["ext"]
    matrix = np.corrcoef(binned(trains["ext"], 500))
    wanted = matrix[np.triu_indices(N, 1)]
    np.testing.assert_allclose(p["correlation"]["values"], wanted, rtol=0, atol=1e-12)
    assert p["correlation"]["mean"] == pytest.approx(wanted.mean(), abs=1e-12)
    series = binned(trains["ext"], 10).sum(0).astype(float)
    pooled = series[: series.size // 1000 * 1000].reshape(-1, 1000)[:, :999].reshape(-1, 3).sum(1)
    assert p["synchrony"]["value"] == pytest.approx(pooled.var() / pooled.mean(), rel=1e-9)
    f, power = signal.welch(series, 1.0, "hann", 1000, 0, detrend="constant")
    np.testing.assert_allclose(p["spectrum"]["frequency"], f, rtol=1e-12)
    np.testing.assert_allclose(p["spectrum"]["power"][1:], power[1:], rtol=1e-9)
    other = binned(trains["A"], 10).sum(0).astype(float)
    for key, a, b in (("ext|A", series, other), (None, series, series)):
        a, b = a.reshape(-1, 1000), b.reshape(-1, 1000)
        lags = np.arange(-20, 21)
        wanted = [
            np.mean(a[:, max(0, -k) : 1000 - max(0, k)] * b[:, max(0, k) : 1000 + min(0, k)]) - a.mean() * b.mean()
            for k in lags
        ]
        got = found["covariances"][key] if key else p["autocovariance"]
        np.testing.assert_array_equal(got["lag"], lags)
        np.testing.assert_allclose(got["value"], wanted, rtol=0, atol=1e-9)
    # Neurons that the input drives follow it, so they are correlated at positive lags.
    cross = found["covariances"]["ext|A"]
    assert cross["value"][cross["lag"] > 0].max() > 5 * cross["error"].max()


def test_poisson_trains_are_what_they_are_known_to_be(found):
    p = found["populations"]["ext"]
    for name, wanted in (("cv", 1.0), ("lv", 1.0), ("fano", 1.0), ("rate", 20.0)):
        assert abs(p[name]["mean"] - wanted) < 5 * p[name]["error"] + 0.02 * (name in ("cv", "lv")), name
    assert abs(p["correlation"]["mean"]) < 5 * p["correlation"]["error"]
    assert abs(p["synchrony"]["value"] - 1) < 5 * p["synchrony"]["error"]
    hazard = p["intervals"]["hazard"][:60]
    assert np.abs((hazard - 0.0198) / p["intervals"]["hazard_error"][:60]).max() < 5
    level = p["spectrum"]["power"][1:]
    assert abs(level.mean() - 2 * N * RATE) < 5 * level.std() / np.sqrt(level.size)
    assert p["stationarity"]["p"] > 1e-3
    own, others = p["train_autocovariance"], p["train_crosscovariance"]
    assert own["value"][20] == pytest.approx(RATE, rel=0.05)
    assert np.abs(own["value"][:20] / own["error"][:20]).max() < 5
    assert np.abs(others["value"] / others["error"]).max() < 5


def test_a_rate_that_changes_is_not_stationary(tmp_path):
    network = Network()
    network.input("ext", 50)
    network.population("A", 1, LIFParameters())
    trains = PoissonTrains("ext", 0.02, modulation=lambda t: 1 + t / 5000)
    with simulate(network, duration=5000.0, dt=0.5, inputs=[trains], output=tmp_path, threads=1) as traces:
        s = statistics_of(traces, "ext", segment=500.0)["populations"]["ext"]["stationarity"]
    assert s["slope"] == pytest.approx(20 / 5000, abs=5 * s["error"])
    assert s["p"] < 1e-6
    assert abs(s["slope"]) > 5 * s["error"]


def test_jackknife_of_a_mean_is_its_standard_error():
    x = np.random.default_rng(0).normal(size=30)
    value, error = jackknife((x, np.ones(30)), lambda a, b: a / b)
    assert value == pytest.approx(x.mean())
    assert error == pytest.approx(x.std(ddof=1) / np.sqrt(30))


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"layers": ["B"]}, "must be one of ext, A"),
        ({"bin_width": 0.37}, "whole number of 0.37"),
        ({"window": 5000.0}, "must lie between"),
        ({"window": 2.5}, "whole number of 1"),
        ({"lag": 1000.0}, "must lie below a segment"),
        ({"skip": 3e4}, "leaves nothing"),
    ],
)
def test_lengths_that_do_not_fit_are_refused(place, options, match):
    with open_traces(place) as traces, pytest.raises(InputError, match=match):
        statistics_of(traces, **options)


def test_the_command_writes_numbers_and_figures(place, tmp_path, monkeypatch, capsys):
    call = Caller(monkeypatch, capsys)
    code, out, err = call("analyze", "statistics", place, "--out", tmp_path, "--window", "50")
    assert code == 0, err
    assert (tmp_path / "statistics.h5").exists()
    assert (tmp_path / "statistics.png").stat().st_size > 10_000
    assert "ext" in out
    assert "CV" in out
    assert "holds statistics.h5 already" in call.refused("analyze", "statistics", place, "--out", tmp_path)
    code, out, _ = call("analyze", "statistics", place, "--out", tmp_path, "--force", "--json")
    assert code == 0
    assert json.loads(out)["ext"]["rate"] == pytest.approx(20, abs=1)


@pytest.mark.slow
@pytest.mark.skipif("SNNSIM_ELEPHANT_PYTHON" not in os.environ, reason="SNNSIM_ELEPHANT_PYTHON names no interpreter")
def test_elephant_finds_the_same(found, trains, tmp_path):
    own = trains["ext"]
    # Elephant puts a spike at the end of a window into the next one; half a step earlier there is none.
    times = np.concatenate([(t + 0.5) / 10 for t in own])
    neurons = np.repeat(np.arange(N), [t.size for t in own])
    np.savez(tmp_path / "case.npz", times=times, neurons=neurons, n=N, stop=LENGTH, window=50.0)
    script = ROOT / "tests" / "comparisons" / "elephant_statistics.py"
    command = [os.environ["SNNSIM_ELEPHANT_PYTHON"], script, tmp_path / "case.npz", tmp_path / "result.npz"]
    subprocess.run(command, check=True, capture_output=True)
    theirs, p = np.load(tmp_path / "result.npz"), found["populations"]["ext"]
    for name in ("rate", "cv", "lv"):
        np.testing.assert_allclose(p[name]["values"], theirs[name], rtol=1e-9)
    windows = int(LENGTH / 50)
    np.testing.assert_allclose(p["fano"]["values"] * (windows - 1) / windows, theirs["fano"], rtol=1e-9)
    np.testing.assert_allclose(theirs["fano_cut"], theirs["fano"][:3], rtol=1e-9)
    np.testing.assert_allclose(p["correlation"]["values"], theirs["correlation"][np.triu_indices(N, 1)], atol=1e-12)
