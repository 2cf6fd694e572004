import importlib
import re

import numpy as np
import pytest

from snnsim.errors import InputError
from snnsim.experiments import base, catalogue, report, reproduce
from snnsim.recording.runs import load_tree
from tests import ROOT

SMALL = {
    "frequency-response": {"dt": [0.1], "n_steps": 2048, "n_neurons": 8, "n_probe": 4},
    "truncation": {"n_dt": 8, "n_spike_dt": 4, "n_neurons": 100},
}


def shrink(monkeypatch, changes):
    load = base.load_config

    def small(name, quick, settings=()):
        config, seconds = load(name, quick, settings)
        return config | changes[name], seconds

    monkeypatch.setattr(reproduce, "load_config", small)


@pytest.mark.parametrize("entry", catalogue.CATALOGUE, ids=lambda entry: entry.name)
def test_every_experiment_is_complete(entry):
    full, seconds = base.load_config(entry.name, quick=False)
    quick, quick_seconds = base.load_config(entry.name, quick=True)
    assert full.keys() == quick.keys()
    assert full != quick
    assert 0 < quick_seconds < seconds
    assert callable(entry.module().run)
    assert callable(entry.module().claims)
    assert callable(importlib.import_module(f"snnsim.plotting.experiments.{entry.name.replace('-', '_')}").figures)


def test_results_figures_and_report(tmp_path, monkeypatch):
    shrink(monkeypatch, SMALL)
    path = reproduce.reproduce(["truncation", "frequency-response"], tmp_path, quick=True)
    text = path.read_text()
    # The order is the study's, whatever was asked for.
    assert text.index("frequency-response.h5") < text.index("truncation.h5")
    for figure in ("frequency-response-response.png", "truncation-errors.png", "truncation-first-spikes.png"):
        assert (tmp_path / figure).stat().st_size > 10_000
        assert f"]({figure})" in text
    assert text.count("**holds** |") >= 6
    assert "nan" not in text.lower()
    document = load_tree(tmp_path / "truncation.h5", "experiment")
    assert document["config"]["n_dt"] == 8
    assert document["provenance"]["snnsim"]
    assert not (tmp_path / "parts" / "truncation").exists()


def test_results_of_the_same_configuration_are_used_again(tmp_path, monkeypatch):
    shrink(monkeypatch, SMALL)
    reproduce.reproduce(["truncation"], tmp_path, quick=True)
    stamp = (tmp_path / "truncation.h5").stat().st_mtime_ns
    reproduce.reproduce(["truncation"], tmp_path, quick=True)
    assert (tmp_path / "truncation.h5").stat().st_mtime_ns == stamp
    reproduce.reproduce(["truncation"], tmp_path, quick=True, force=True)
    assert (tmp_path / "truncation.h5").stat().st_mtime_ns > stamp
    stamp = (tmp_path / "truncation.h5").stat().st_mtime_ns
    shrink(monkeypatch, {"truncation": {"n_neurons": 101, "n_dt": 8}})
    reproduce.reproduce(["truncation"], tmp_path, quick=True)
    assert (tmp_path / "truncation.h5").stat().st_mtime_ns > stamp


def test_a_stopped_run_goes_on_with_its_parts(tmp_path):
    calls, seen = [], []

    def part(key, stop=False):
        def compute():
            if stop:
                raise KeyboardInterrupt
            calls.append(key)
            return {"x": np.arange(3)}

        return compute

    context = base.Context(tmp_path, {"n": 1}, seen.append)
    context.expect(2)
    context.part("a", part("a"))
    with pytest.raises(KeyboardInterrupt):
        context.part("b", part("b", stop=True))
    again = base.Context(tmp_path, {"n": 1})
    np.testing.assert_array_equal(again.part("a", part("a"))["x"], [0, 1, 2])
    again.part("b", part("b"))
    assert calls == ["a", "b"]
    assert seen == [0.5]
    assert again.resumed
    assert not context.resumed
    base.Context(tmp_path, {"n": 2}).part("a", part("a"))
    assert calls == ["a", "b", "a"]


def test_progress_ends_at_one(tmp_path, monkeypatch):
    shrink(monkeypatch, SMALL)
    fractions = []

    class Watch(reproduce.Silent):
        def experiment(self, entry, fraction):
            fractions.append(fraction)

    reproduce.reproduce(["frequency-response"], tmp_path, quick=True, progress=Watch())
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    assert len(fractions) > 5


def test_bad_input(tmp_path):
    with pytest.raises(InputError, match="experiment 'spectrum': must be one of all, closed-form, frequency-response"):
        reproduce.reproduce(["spectrum"], tmp_path)
    with pytest.raises(InputError, match="figure format 'bmp'"):
        reproduce.reproduce(["truncation"], tmp_path, figure_format="bmp")
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be made a folder"):
        reproduce.reproduce(["truncation"], tmp_path / "file")
    with pytest.raises(ValueError, match="verdict"):
        base.Claim("a", "b", "c", "perhaps")


def test_durations_are_readable():
    assert [report._duration(x) for x in (3.2, 150, 9000)] == [", 3 s", ", 2 min", ", 2.5 h"]
    assert report._duration(float("nan")) == ""


def test_the_report_in_the_docs_is_whole():
    folder = ROOT / "docs" / "study"
    text = (folder / "report.md").read_text()
    for entry in catalogue.CATALOGUE:
        assert f"## {entry.title}" in text
    assert not re.search(r"\bnan\b", text)
    drawn = set(re.findall(r"\((\S+\.png)\)", text))
    assert drawn == {path.name for path in folder.glob("*.png")}
    assert sum(path.stat().st_size for path in folder.iterdir()) < 5e6


@pytest.mark.slow
def test_reproduce_all_quick(tmp_path):
    path = reproduce.reproduce(["all"], tmp_path, quick=True)
    text = path.read_text()
    for entry in catalogue.CATALOGUE:
        assert f"## {entry.title}" in text
        assert list(tmp_path.glob(f"{entry.name}-*.png"))
    assert "nan" not in text.lower()


def test_sizes_of_ones_own(tmp_path, monkeypatch):
    settings = ["n_dt=8", "n_spike_dt=4", "n_neurons=100"]
    text = reproduce.reproduce(["truncation"], tmp_path, quick=True, settings=settings).read_text()
    assert "quick sizes but for `--set n_dt=8`, `--set n_spike_dt=4`, `--set n_neurons=100`" in text
    assert load_tree(tmp_path / "truncation.h5", "experiment")["config"]["n_neurons"] == 100
    for setting, message in (
        ("n_neurons", "must be KEY=VALUE"),
        ("neurons=3", "the experiment has no key neurons"),
        ("neuron=3", "the experiment has no key neuron"),
        ("n_neurons=many", "n_neurons=many"),
        ("n_neurons=[1]", "must be of the kind of 1000, a int"),
        ("neuron.tau_mem.x=1", "the experiment has no key neuron.tau_mem.x"),
    ):
        with pytest.raises(InputError, match=re.escape(message)):
            base.load_config("truncation", True, [setting])
    with pytest.raises(InputError, match="name one experiment"):
        reproduce.reproduce(["truncation", "gradients"], tmp_path, settings=["n_neurons=3"])
