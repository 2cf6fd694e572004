"""Sweeps: grids, trainings spread over processes that fail, hang and are killed, the table, the command."""

import csv
import json
import os
import signal
import socket
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snnsim import config, training
from snnsim.errors import InputError
from snnsim.extras import install_command
from snnsim.models import load_model
from snnsim.sweep import pool as pools
from snnsim.sweep.grid import parse_grid, point_name, points_of
from snnsim.sweep.pool import Pool, Task
from snnsim.sweep.run import Listener, sweep
from snnsim.sweep.table import METRICS, Row, Table, load_table
from tests.command import Caller, start

SHORT = {"dt": "simulation.dt", "seed": "training.seed", "layers": "network.layers", "gradient": "gradient.method"}
SMALL = ("--layers", "784-10-10", "--steps", "12", "--limit", "200", "--epochs", "1", "--batch-size", "30")
SETTINGS = (
    "network.layers=[784,10,10]", "simulation.n_steps=12", "data.limit=200", "training.epochs=1",
    "training.batch_size=30",
)  # fmt: skip


@pytest.fixture(scope="module")
def pool():
    """Two workers, which outlive most tests; each test may kill them."""
    with Pool(2) as opened:
        yield opened


@pytest.fixture
def base(small_mnist):
    return config.load(None, [*SETTINGS, f"data.data_dir={small_mnist}"])


class Record(Listener):
    """What a sweep did, and something to do while it runs."""

    def __init__(self, meanwhile=lambda names: None):
        self.rows, self._meanwhile = {}, meanwhile

    def started(self, points, done, slots):
        self.before = len(done)

    def running(self, names):
        self._meanwhile(names)

    def ended(self, name, row):
        self.rows[name] = row


def weights(directory):
    return [w.tobytes() for w in load_model(directory / "model.h5")[0].weights]


# Grids


def test_a_grid_has_every_combination_by_readable_names():
    axes = parse_grid(["dt=0.01,0.1", "training.seed=0:2", "gradient=exact,surrogate"], SHORT)
    points = points_of(axes, config.load())
    assert [axis.name for axis in axes] == ["dt", "seed", "gradient"]
    assert len(points) == 8
    assert points[3].name == "dt=0.01,seed=1,gradient=surrogate"
    chosen = points[-1].config
    assert (chosen.simulation.dt, chosen.training.seed, chosen.gradient.method) == (0.1, 1, "surrogate")
    assert config.to_tree(chosen)["network"] == config.to_tree(config.load())["network"]


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("dt=1", (1.0,)),
        ("seed=:3", (0, 1, 2)),
        ("seed=6:0:-3", (6, 3)),
        ("layers=784-20-10,[784, 30, 10]", ((784, 20, 10), (784, 30, 10))),
        ("network.tau_mem=0.8,[0.7, 0.9]", (0.8, (0.7, 0.9))),
        ("gradient.tssl_fallback=true,false", (True, False)),
        ('encoder.name="poisson", latency', ("poisson", "latency")),
    ],
)
def test_values_have_the_type_of_their_key(text, values):
    (axis,) = parse_grid([text], SHORT)
    assert axis.values == values
    assert [type(value) for value in axis.values] == [type(value) for value in values]


@given(st.integers(0, 50), st.integers(1, 60), st.integers(1, 7))
def test_ranges_are_python_slices(first, count, step):
    text = f"seed={first}:{first + count}:{step}"
    assert parse_grid([text], SHORT)[0].values == tuple(range(first, first + count, step))


@given(st.lists(st.floats(1e-300, 1e300), min_size=1, max_size=5, unique=True))
def test_numbers_survive_the_grid_and_have_names_of_their_own(numbers):
    (axis,) = parse_grid(["optimizer.lr=" + ",".join(map(repr, numbers))])
    assert axis.values == tuple(numbers)
    assert len({point.name for point in points_of([axis], config.load())}) == len(numbers)


def test_names_fit_a_file_system():
    assert "/" not in point_name({"data.data_dir": "/some/where"})
    long = [point_name({f"network.init_{k}": 1 / 3 for k in range(40)} | {"seed": seed}) for seed in (0, 1)]
    assert max(map(len, long)) <= 200
    assert long[0] != long[1]


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        (["dtt=1"], "--grid dtt=1: unknown key dtt; did you mean dt?"),
        (["simulation.dtt=1"], "unknown key simulation.dtt; did you mean simulation.dt?"),
        (["tau_mem=1"], "unknown key tau_mem; did you mean network.tau_mem?"),
        (["dt"], "must read KEY=VALUE,VALUE,... or KEY=START:STOP"),
        (["dt=abc"], "simulation.dt = 'abc': must be a number"),
        (["seed=0.5"], "training.seed = 0.5: must be a whole number"),
        (["seed=5:5"], "an empty range"),
        (["seed=0:1000000000000"], "1000000000000 points: must be at most 100000"),
        (["seed=0:" + "1" * 5000], "must be a whole number of at most 18 digits"),
        (["seed=0:1000", "training.epochs=1:1001"], "1000000 points: must be at most 100000"),
        (["seed=2:"], "a range must read START:STOP"),
        (["seed=1,1"], "1 is given twice"),
        (["seed=1,,2"], "a value is missing"),
        (["dt=1", "simulation.dt=2"], "simulation.dt is given twice"),
        (["layers=784-x"], "x: must be a size"),
        (["dt=0.1,-1"], "dt=-1: simulation.dt = -1.0: must be a positive number"),
        (["gradient=exat"], "did you mean exact?"),
        ([], "--grid: at least one is needed"),
    ],
)
def test_what_a_grid_refuses(grid, message):
    with pytest.raises(InputError) as refused:
        points_of(parse_grid(grid, SHORT), config.load())
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


# Trainings


def test_points_are_runs_and_rows_and_a_second_call_only_adds(pool, base, tmp_path):
    record = Record()
    table = sweep(base, parse_grid(["dt=0.1,0.2", "seed=0:2"], SHORT), tmp_path, pool, listener=record)
    assert (record.before, len(record.rows)) == (0, 4)
    first = load_table(tmp_path)
    assert first == table
    for name, row in first.rows.items():
        result = json.loads((tmp_path / name / "result.json").read_text())
        assert (row.status, row.attempts, row.error) == ("done", 1, "")
        assert row.metrics == {key: result[key] for key in METRICS}
    stamp = (tmp_path / "dt=0.1,seed=1" / "result.json").stat().st_mtime_ns
    # The same bits as a training by itself.
    alone = config.load(base, ["simulation.dt=0.2", "training.seed=1"])
    training.train(alone, tmp_path / "alone")
    assert weights(tmp_path / "alone") == weights(tmp_path / "dt=0.2,seed=1")
    record = Record()
    extended = sweep(base, parse_grid(["dt=0.1", "seed=1:3"], SHORT), tmp_path, pool, listener=record)
    assert record.before == 1
    assert list(record.rows) == ["dt=0.1,seed=2"]
    # The points asked for come first; those of the values left out stay.
    assert list(extended.rows) == ["dt=0.1,seed=1", "dt=0.1,seed=2", "dt=0.1,seed=0", "dt=0.2,seed=0", "dt=0.2,seed=1"]
    assert (tmp_path / "dt=0.1,seed=1" / "result.json").stat().st_mtime_ns == stamp
    assert [p.name for p in tmp_path.glob("*") if not p.is_dir()] == ["sweep.h5"]


def test_a_lost_table_is_made_again_from_the_runs(pool, base, tmp_path):
    axes = parse_grid(["seed=0:2"], SHORT)
    before = sweep(base, axes, tmp_path, pool)
    (tmp_path / "sweep.h5").unlink()
    record = Record()
    assert sweep(base, axes, tmp_path, pool, listener=record) == before
    assert record.rows == {}


def test_another_sweep_needs_another_folder(pool, base, tmp_path):
    axes = parse_grid(["seed=0:1"], SHORT)
    sweep(base, axes, tmp_path, pool)
    with pytest.raises(InputError, match=r"holds a sweep with optimizer.lr = 0.001, not 0.5"):
        sweep(config.load(base, ["optimizer.lr=0.5"]), axes, tmp_path, pool)
    with pytest.raises(InputError, match=r"holds a sweep over seed, not seed, dt; values may be added"):
        sweep(base, parse_grid(["seed=0:1", "dt=0.1"], SHORT), tmp_path, pool)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be made a folder"):
        sweep(base, axes, tmp_path / "file", pool)
    # The data may have moved; a run with the name of a point but another configuration is never continued.
    training.train(config.load(base, ["training.seed=1", "simulation.dt=0.3"]), tmp_path / "seed=1")
    (tmp_path / "seed=1" / "result.json").unlink()
    table = sweep(config.load(base, ["data.data_dir=elsewhere"]), parse_grid(["seed=0:2"], SHORT), tmp_path, pool)
    assert table.rows["seed=0"].status == "done"
    assert "holds a run of another configuration" in table.rows["seed=1"].error


def test_a_point_that_fails_costs_only_itself_and_is_tried_again(pool, base, tmp_path):
    diverging = config.load(base, ["optimizer.name=sgd"])
    axes = parse_grid(["optimizer.lr=1e300,0.01", "seed=0:2"], SHORT)
    table = sweep(diverging, axes, tmp_path, pool, retries=1)
    found = {name: (row.status, row.attempts) for name, row in table.rows.items()}
    assert found == {
        "optimizer.lr=1e+300,seed=0": ("failed", 2),
        "optimizer.lr=1e+300,seed=1": ("failed", 2),
        "optimizer.lr=0.01,seed=0": ("done", 1),
        "optimizer.lr=0.01,seed=1": ("done", 1),
    }
    failed = table.rows["optimizer.lr=1e+300,seed=0"]
    assert "is not finite in epoch 1, batch" in failed.error
    assert all(value != value for value in failed.metrics.values())
    record = Record()
    again = sweep(diverging, axes, tmp_path, pool, retries=0, listener=record)
    assert record.before == 2
    assert again.rows["optimizer.lr=1e+300,seed=1"].attempts == 3
    assert load_table(tmp_path).rows.keys() == again.rows.keys()


def workers(pool):
    """Processes of the two workers, as soon as one that an earlier test killed is back."""
    pool._client.wait_for_workers(2, timeout=60)
    return list(pool._client.run(os.getpid).values())


def children(pids):
    import psutil

    return [child for pid in pids for child in psutil.Process(pid).children()]


@pytest.mark.parametrize("victim", ["worker", "child"])
def test_a_killed_process_loses_nothing_but_its_batches(pool, base, tmp_path, victim):
    longer = config.load(base, ["training.epochs=15", "data.limit=600"])
    axes = parse_grid(["seed=0:3"], SHORT)
    pids, killed = workers(pool), []

    def kill(names):
        # In the middle of a training: some of its epochs are in its checkpoint.
        if not killed and any((tmp_path / name / "metrics.jsonl").exists() for name in names):
            killed.append(pids[0] if victim == "worker" else children(pids)[0].pid)
            os.kill(killed[0], signal.SIGKILL)

    table = sweep(longer, axes, tmp_path, pool, listener=Record(kill))
    assert killed
    assert [row.status for row in table.rows.values()] == ["done"] * 3
    assert sorted(row.attempts for row in table.rows.values()) == [1, 1, 2]
    (interrupted,) = (name for name, row in table.rows.items() if row.attempts == 2)
    training.train(config.load(longer, [f"training.seed={interrupted[-1]}"]), tmp_path / "alone")
    assert weights(tmp_path / "alone") == weights(tmp_path / interrupted)


def test_without_retries_the_end_of_a_process_is_the_reason(pool, tmp_path):
    errors = [task.outcome.error for task in pool.run([Task("a", os.abort, ()), Task("b", os._exit, (3,))])]
    assert sorted(errors) == ["its process ended with code 3", "its process was killed by SIGABRT"]
    victims, begun = workers(pool), tmp_path / "begun"

    def kill(running):
        # Not before a worker has the task: it would only be given to the next one.
        while begun.exists() and victims:
            os.kill(victims.pop(), signal.SIGKILL)

    (task,) = pool.run([Task("c", os.system, (f"touch '{begun}'; sleep 60",))], tick=kill)
    assert task.outcome.error == "its worker died"


def test_a_point_that_takes_too_long_is_stopped_and_its_retry_goes_on(pool, base, tmp_path):
    list(pool.run([Task(f"{k}", training.train, (base, tmp_path / f"warm{k}")) for k in range(2)]))
    endless = config.load(base, ["optimizer.schedule=constant"])
    axes = parse_grid(["training.epochs=1,100000"])
    table = sweep(endless, axes, tmp_path, pool, timeout=3, retries=1)
    done, failed = table.rows.values()
    assert (done.status, done.attempts) == ("done", 1)
    assert (failed.status, failed.attempts, failed.error) == ("failed", 2, "timed out after 3 s")
    directory = tmp_path / "training.epochs=100000"
    epochs = len((directory / "metrics.jsonl").read_text().splitlines())
    time.sleep(0.5)
    assert len((directory / "metrics.jsonl").read_text().splitlines()) == epochs  # nothing goes on behind the back
    assert epochs > 5


def test_an_exception_has_its_traceback(pool):
    (task,) = pool.run([Task("a", json.loads, ("{",))])
    assert task.outcome.error.startswith("JSONDecodeError: Expecting property name")
    assert "Traceback" in task.outcome.details


# The table


def test_csv_leaves_out_what_is_no_number(tmp_path):
    table = Table("", {"dt": "simulation.dt", "layers": "network.layers"})
    table.rows["a"] = Row({"dt": 0.1, "layers": (784, 10)}, "failed", 2, 'it said "no", twice')
    table.rows["b"] = Row({"dt": 1.0, "layers": (784, 10)}, "done", 1, "", dict.fromkeys(METRICS, 1.0))
    table.save_csv(tmp_path / "t.csv")
    failed, done = csv.DictReader((tmp_path / "t.csv").read_text().splitlines())
    assert failed == dict.fromkeys(METRICS, "") | {
        "dt": "0.1", "layers": "784-10", "status": "failed", "attempts": "2", "error": 'it said "no", twice',
    }  # fmt: skip
    assert (done["dt"], done["best_epoch"], done["error"]) == ("1", "1", "")
    table.save(tmp_path)
    assert load_table(tmp_path / "sweep.h5").columns()[1][0][:2] == [0.1, "784-10"]


# The command


@pytest.fixture
def call(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    return Caller(monkeypatch, capsys)


def test_the_command_trains_on_a_scheduler_and_draws(call, pool, small_mnist, tmp_path):
    command = ("sweep", *SMALL, "--data-dir", small_mnist, "--grid", "dt=0.01,0.1", "--grid", "seed=0:2", "-o", "out")
    address = pool._client.scheduler.address
    code, out, err = call(*command, "--scheduler", address, "--json", "--csv", "t.csv")
    assert code == 0, err
    result = json.loads(out)
    assert (result["sweep"], result["done"], result["failed"]) == ("out", 4, 0)
    assert [p["point"] for p in result["points"]][:2] == ["dt=0.01,seed=0", "dt=0.01,seed=1"]
    assert result["points"][3].keys() >= {"dt", "seed", "test_accuracy", "best_val_accuracy", "seconds_per_epoch"}
    assert len((tmp_path / "t.csv").read_text().splitlines()) == 5
    note, *lines = err.splitlines()
    assert note.startswith("simulation.dt = 0.01 instead of 0.1: encoder poisson has a probability per step")
    # One, where the other worker is still coming back from the test that killed it.
    assert lines[0] in ("4 points, 2 at once, in out", "4 points, 1 at once, in out")
    assert lines[4].startswith("4/4  ")
    # The children of that pool are gone, the workers are not.
    assert len(children(workers(pool))) <= 2
    code, out, err = call(*command, "--scheduler", address)
    assert code == 0
    assert "4 points, 4 of them done before" in err
    assert "0.01" in out
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out", "t.csv"]
    assert call("plot", "sweep", "out", "--by", "seed", "-o", "a.png", "--dpi", 60)[0] == 0
    assert (tmp_path / "a.png").stat().st_size > 5000
    line = call.refused("plot", "sweep", "out", "--x", "sed", "-o", "b.png")
    assert line == "axis sed: the sweep has dt, seed; did you mean seed?"


def test_failed_points_end_the_command_with_1(call, pool, small_mnist):
    code, out, err = call(
        "sweep", *SMALL, "--data-dir", small_mnist, "--optimizer", "sgd", "--grid", "lr=1e300", "-o", "out",
        "--retries", 0, "--scheduler", pool._client.scheduler.address,
    )  # fmt: skip
    assert code == 1
    assert "is not finite" in " ".join(out.split())
    assert err.splitlines()[-1] == "1 of 1 points failed; the same command tries them again"


def test_ctrl_c_leaves_checkpoints_and_says_how_to_continue(small_mnist, tmp_path):
    out = tmp_path / "out"
    process = start(
        "sweep", *SMALL, "--data-dir", small_mnist, "--epochs", 100000, "--set", "optimizer.schedule=constant",
        "--grid", "seed=0:3", "-o", out, new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while not list(out.glob("*/metrics.jsonl")) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to every process
    stdout, err = process.communicate(timeout=60)
    assert (process.returncode, stdout) == (130, ""), err
    assert err.splitlines()[1:] == [f"interrupted; the same command continues the sweep in {out}"]
    assert load_table(out).rows == {}
    assert list(out.glob("*/checkpoint.h5"))


def test_what_the_command_refuses(call, monkeypatch):
    monkeypatch.setattr(pools, "CONNECT_SECONDS", 0.5)
    grid = ("sweep", "--grid", "seed=0:2", "-o", "out")
    assert "unknown key dtt; did you mean dt?" in call.refused("sweep", "--grid", "dtt=1", "-o", "out")
    assert "--seed: stands in --grid, too" in call.refused(*grid, "--seed", 1)
    assert "--timeout 0: must be a positive number" in call.refused(*grid, "--timeout", 0)
    assert "brings its own workers" in call.refused(*grid, "--workers", 2, "--scheduler", "tcp://127.0.0.1:1")
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{closed.getsockname()[1]}"
        line = call.refused(*grid, "--scheduler", address)
    assert line.startswith(f"--scheduler {address}: no Dask scheduler answers there")
    assert "no Dask scheduler answers there" in call.refused(*grid, "--scheduler", "nonsense://1")
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert install_command("dask") in call.refused(*grid)
    assert not Path("out").exists()
