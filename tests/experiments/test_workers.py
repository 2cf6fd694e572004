"""Independent parts of an experiment: in this process, or at once in others, with the same bits."""

import sys

import numpy as np
import pytest

from snnsim.errors import InputError
from snnsim.experiments import accuracy_vs_dt, reproduce
from snnsim.experiments.base import Context, load_config, one_by_one
from snnsim.experiments.learning import run_config
from snnsim.experiments.workers import Workers
from snnsim.extras import install_command


@pytest.fixture(scope="module")
def lines():
    return []


@pytest.fixture(scope="module")
def workers(lines):
    with Workers(2, lines.append) as opened:
        yield opened


def small():
    config, _ = load_config("accuracy-vs-dt", quick=True)
    config["run"]["network"]["layers"] = [784, 12, 10]
    config["run"]["simulation"]["n_steps"] = 12
    for mode in accuracy_vs_dt.MODES:
        changes = {
            "dt": [0.1, 0.2],
            "estimators": ["exact", "literal"],
            "samples": 200,
            "test_samples": 50,
            "epochs": 1,
        }
        config[mode] |= changes
    return config | {"seeds": [0]}


def same(a, b):
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a if key != "seconds")
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    return a == b


def test_parts_at_once_are_the_same_bits_and_are_kept(workers, lines, tmp_path):
    config, seen = small(), []
    alone = accuracy_vs_dt.run(config, Context(tmp_path / "alone", config))
    at_once = accuracy_vs_dt.run(config, Context(tmp_path / "at-once", config, seen.append, workers))
    assert same(alone, at_once)
    assert alone["steps"]["curves"]["exact"][0]["loss"].size > 0
    assert lines == ["independent parts run on 2 processes of one thread"]
    assert seen == [k / 13 for k in range(14)]
    # Where one part is missing, one part is computed, here.
    (tmp_path / "at-once" / "ann-0.h5").unlink()

    def only(calls):
        assert list(calls) == ["ann-0"]
        return workers(calls)

    assert same(alone, accuracy_vs_dt.run(config, Context(tmp_path / "at-once", config, run_calls=only)))


def test_a_part_that_fails_ends_the_experiment(workers, tmp_path):
    context = Context(tmp_path, {}, run_calls=workers)
    with pytest.raises(InputError, match=r"unknown table \[netwrok\]; did you mean network\?"):
        context.parts({"good": (dict, [("x", 1)]), "bad": (run_config, {"netwrok": {}})})
    with pytest.raises(RuntimeError, match=r"(?s)worse: Traceback.*KeyError: 'x'"):
        context.parts({"other": (dict, [("x", 2)]), "worse": (dict.__getitem__, {}, "x")})
    assert context.parts({"good": (dict, [("x", 1)])}) == {"good": {"x": 1}}


def test_without_dask_parts_run_one_after_another_and_that_is_said(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "distributed", None)
    lines = []
    with Workers(2, lines.append) as run_calls:
        found = Context(tmp_path, {}, run_calls=run_calls).parts({k: (dict, [("x", k)]) for k in "ab"})
        assert Context(tmp_path, {}, run_calls=run_calls).parts({k: (dict, [("x", k)]) for k in "cd"})
    assert found == {"a": {"x": "a"}, "b": {"x": "b"}}
    (line,) = lines
    assert line.startswith("parts run one after another: dask.distributed cannot be imported")
    assert install_command("dask") in line


def test_reproduce_hands_its_parts_to_the_workers(tmp_path, monkeypatch):
    opened, keys = [], []

    class Fake(Workers):
        def __call__(self, calls):
            opened.append(self)
            keys.extend(calls)
            return one_by_one({key: (dict, [("x", 1)]) for key in calls})

    class Stop(Exception):
        """Past the parts."""

    def stop(parts):
        raise Stop

    monkeypatch.setattr(reproduce, "load_config", lambda name, quick, settings: (small(), 1.0))
    monkeypatch.setattr(reproduce, "Workers", Fake)
    monkeypatch.setattr(accuracy_vs_dt, "_stack", stop)
    with pytest.raises(Stop):
        reproduce.reproduce(["accuracy-vs-dt"], tmp_path, quick=True, workers=3)
    assert len(opened) == 1
    assert len(list((tmp_path / "parts" / "accuracy-vs-dt").iterdir())) == len(keys) == 13


def test_a_longer_axis_costs_only_its_new_parts(tmp_path):
    def run(config):
        seen = []

        def run_calls(calls):
            seen.extend(calls)
            return one_by_one(calls)

        calls = {f"{k}": (dict, [("x", k)]) for k in config["grid"]["dt"]}
        Context(tmp_path, config, run_calls=run_calls).parts(calls, axes=("grid.dt",))
        return seen

    assert run({"grid": {"dt": [1, 2], "epochs": 1}}) == ["1", "2"]
    assert run({"grid": {"dt": [1, 2, 3], "epochs": 1}}) == ["3"]
    assert run({"grid": {"dt": [2], "epochs": 2}}) == ["2"]
