"""Names that people give, terminals that are narrow, and standard streams that are closed or full."""

import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Group
from snnsim_cli.terminal import bars, console

from snnsim import open_traces
from snnsim.training.progress import RunningMean, TimeLeft, training_bar
from tests.command import Caller

SMALL = ("--layers", "784-10-10", "--steps", "12", "--limit", "200", "--epochs", "1", "--batch-size", "30")
NAMES = ["[/x]", "[red]a[/red]", ":smile:", "[link=a]", "two words", "\\[bold]"]


@pytest.fixture
def call(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    return Caller(monkeypatch, capsys)


@pytest.fixture(scope="module")
def trained(small_mnist, tmp_path_factory):
    """Run directory, and a recording of it."""
    from snnsim import config, training

    directory = tmp_path_factory.mktemp("trained") / "run"
    settings = (
        f"data.data_dir={small_mnist}", "network.layers=[784,10,10]", "simulation.n_steps=12", "training.epochs=1",
        "data.limit=200",
    )  # fmt: skip
    training.train(config.load(None, settings), directory)
    return directory


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_shown_as_it_is(call, trained, tmp_path, name):
    """By every command that shows one: brackets are no markup."""
    home = tmp_path / name
    home.parent.mkdir(exist_ok=True, parents=True)
    home.mkdir(parents=True)
    run = home / "run"
    run.symlink_to(trained)
    code, out, err = call("simulate", run, "-o", home / "traces", "--record-trials", "0:2")
    assert (code, err) == (0, ""), err
    assert str(home / "traces") in out
    for command in (("inspect", run), ("inspect", home / "traces")):
        code, out, err = call(*command)
        assert code == 0, err
        assert str(home) in out
    code, out, err = call("data", "list", "--data-dir", home)
    assert code == 0, err
    assert name in call.refused("inspect", home / "nothing")
    code, _, err = call("data", "verify", "mnist", "--data-dir", home)
    assert code == 2
    assert name in err


def test_the_result_of_a_training_names_its_folder(call, small_mnist, tmp_path):
    code, out, err = call("train", *SMALL, "--data-dir", small_mnist, "--run-dir", "[/x][red]")
    assert code == 0, err
    assert "[/x][red]" in out
    assert "run in [/x][red]" in err


def test_a_second_training_takes_the_next_free_folder(call, small_mnist, tmp_path):
    runs = tmp_path / "runs"
    for name in ("default-0", "default-0-2", "default-0-3"):
        code, out, err = call("train", *SMALL, "--data-dir", small_mnist, "--json")
        assert code == 0, err
        assert json.loads(out)["run_dir"] == f"runs/{name}"
    before = (runs / "default-0" / "result.json").stat().st_mtime_ns
    assert json.loads(call("train", *SMALL, "--data-dir", small_mnist, "--json", "--force")[1])["run_dir"] == (
        "runs/default-0"
    )
    assert (runs / "default-0" / "result.json").stat().st_mtime_ns > before


LONG = "n" * 300


@pytest.mark.parametrize(
    "command",
    [
        ("train", "--run-dir", LONG),
        ("train", "--resume", LONG),
        ("train", LONG),
        ("evaluate", LONG),
        ("simulate", "RUN", "-o", LONG),
        ("inspect", LONG),
        ("plot", "raster", LONG, "-o", "x.png"),
        ("plot", "training", LONG, "-o", "x.png"),
        ("plot", "weights", "RUN", "-o", f"{LONG}.png"),
        ("export", "RUN", "--to", "nir", "-o", LONG),
        ("import-nir", LONG, "-o", "x.h5"),
        ("import-spikes", LONG, "-o", "x.h5"),
        ("sweep", "--grid", "seed=0:2", "-o", LONG),
        ("reproduce", "population", "--quick", "--out", LONG),
        ("config", "check", LONG),
        ("data", "verify", "--data-dir", LONG),
    ],
)
def test_a_name_that_is_too_long_is_one_line(call, trained, command):
    assert call.refused(*(trained if word == "RUN" else word for word in command))


@pytest.mark.parametrize(
    "command",
    [
        ("--record", "spikes,q"),
        ("--record", "spikes,"),
        ("--record", "v", "--record-layers", "hidden7"),
        ("--record", "v", "--record-every", "500"),
        ("--record", "v", "--record-batches", "900:950"),
        ("--record", "v", "--record-batches", "3,x"),
    ],
)
def test_what_to_record_is_checked_before_the_run_has_a_folder(call, small_mnist, tmp_path, command):
    assert call.refused("train", *SMALL, "--data-dir", small_mnist, "--run-dir", "a", *command)
    assert not (tmp_path / "a").exists()


def test_a_recording_in_the_way_is_found_before_the_training_begins(call, small_mnist, trained, tmp_path):
    assert call("simulate", trained, "-o", "a/traces", "--record-trials", "0:2")[0] == 0
    line = call.refused("train", *SMALL, "--data-dir", small_mnist, "--run-dir", "a", "--record", "spikes")
    assert line == "a/traces: already holds a recording (spikes.h5); --force replaces it"
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["traces"]
    assert "--force replaces it" in call.refused("simulate", trained, "-o", "a/traces")


def test_csv_into_one_file_has_the_spikes(call, trained, tmp_path):
    assert call("simulate", trained, "-o", "t", "--record", "spikes,v", "--record-trials", "0:3")[0] == 0
    assert call("export", "t", "--to", "csv", "-o", "x.csv")[0] == 0
    assert call("export", "t", "--to", "csv", "-o", "tables")[0] == 0
    assert Path("x.csv").read_bytes() == Path("tables/spikes.csv").read_bytes()
    assert sorted(path.name for path in Path("tables").iterdir()) == ["spikes.csv", "trials.csv", "v.csv"]
    with open_traces("t") as traces:
        assert len(Path("x.csv").read_text().splitlines()) == 1 + sum(
            traces.spikes(name).times.size for name in traces.populations
        )


# --- streams


def shell(line):
    """Run a line of a shell, in which ``snnsim`` is the command."""
    snnsim = f"{sys.executable} -c 'from snnsim_cli.main import main; main()'"
    done = subprocess.run(
        ["bash", "-c", line.replace("snnsim", snnsim)], capture_output=True, text=True, check=False, timeout=60
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize("command", ["config show", "config list", "--help", "train --help", "data list"])
def test_a_full_output_is_one_line(command):
    code, _, err = shell(f"snnsim {command} > /dev/full")
    assert (code, err) == (2, "snnsim: error: standard output: cannot be written: No space left on device\n")


@pytest.mark.parametrize("command", ["config show", "--help", "data list"])
def test_an_output_whose_reader_has_gone_ends_quietly(command):
    """As a process does that SIGPIPE ends; a reader that has enough is no fault."""
    code, out, err = shell(f"{{ sleep 0.7; snnsim {command}; echo $? >&2; }} | true")
    assert (code, out, err) == (0, "", "141\n")


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_no_fault(closed, tmp_path):
    code, out, err = shell(f"snnsim config show {closed}")
    assert code == 0
    assert ("[network]" in out) == (">&-" not in closed.replace("2>&-", ""))
    assert err == ""


def test_no_file_gets_the_number_of_a_closed_stream(trained, tmp_path):
    """Or what is printed would be written into it."""
    code, _, _ = shell(f"snnsim simulate {trained} -o {tmp_path}/t --record-trials 0:2 <&- >&- 2>&-")
    assert code == 0
    with open_traces(tmp_path / "t") as traces:
        assert len(traces) == 2


def test_messages_that_nobody_can_read_stop_nothing(trained, tmp_path):
    code, out, _ = shell(f"snnsim evaluate {trained} --limit 10 --json 2> /dev/full")
    assert code == 0
    assert json.loads(out)["samples"] == 10


# --- help and bars


@pytest.mark.parametrize("command", [(), ("train",), ("plot", "raster"), ("config",), ("import-nir",), ("reproduce",)])
def test_a_flag_is_shown_without_a_type(call, monkeypatch, command):
    monkeypatch.setenv("COLUMNS", "80")
    code, out, _ = call(*command, "--help")
    assert code == 0
    assert "bool" not in out.lower()
    assert max(map(len, out.splitlines())) <= 80


class Fixed:
    """A terminal of 80 columns."""

    def __init__(self, monkeypatch):
        monkeypatch.setenv("COLUMNS", "80")
        monkeypatch.setenv("TERM", "xterm-256color")
        self.console = console()
        self.console.file, self.console._force_terminal = io.StringIO(), True

    def lines(self, bar):
        with self.console.capture() as shown:
            self.console.print(Group(*bar.get_renderables()))
        return [re.sub(r"\x1b\[[0-9;]*m", "", line).rstrip() for line in shown.get().splitlines()]


def test_the_bar_of_a_training_fits_into_80_columns(monkeypatch):
    terminal = Fixed(monkeypatch)
    bar = training_bar(terminal.console)
    numbers = "loss 0.1234  accuracy 98.1 %  spikes/neuron 5.33, 12.70, 3.41, 2.20"
    bar.add_task("validation 10000/10000", total=123456, completed=61728, left="86399 s left", numbers=numbers)
    first, second = terminal.lines(bar)
    assert first.startswith("validation 10000/10000 ━")
    assert first.endswith(" 61728/123456 86399 s left")
    assert second == numbers
    bar.update(0, numbers=numbers * 2)
    assert terminal.lines(bar)[1].endswith("…")
    assert all(len(line) <= 80 for line in terminal.lines(bar))


def test_bars_keep_what_stands_beside_them(monkeypatch):
    from rich.progress import DownloadColumn, TransferSpeedColumn

    terminal = Fixed(monkeypatch)
    bar = bars(DownloadColumn(), TransferSpeedColumn(), made=terminal.console)
    bar.add_task("[t10k]-images-idx3-ubyte.gz", total=26421880, completed=1e7)
    (line,) = terminal.lines(bar)
    assert line.startswith("[t10k]-images-idx3-ubyte.gz ━")
    assert "10.0/26.4 MB" in line


def test_the_running_mean_has_no_bias_at_the_start():
    mean = RunningMean()
    mean.add(3.0)
    assert mean.value == 3.0
    mean.add(1.0)
    assert mean.value == pytest.approx((0.98 * 3 + 1) / 1.98, rel=1e-15)
    for _ in range(2000):
        mean.add(7.0)
    assert mean.value == pytest.approx(7.0, rel=1e-12)


def test_the_time_left_counts_no_compilation():
    left = TimeLeft(100)
    left.note(60.0, 1)  # a minute for the first batch, which compiles
    assert left.text() == ""
    left.note(61.0, 2)
    left.note(62.0, 3)
    assert left.text() == "97 s left"
    resumed = TimeLeft(100)
    resumed.note(10.0, 91)
    resumed.note(12.0, 95)
    assert resumed.text() == "2 s left"


