"""Units are said once, and stand as said in files, tables, columns and axes; a network without units gets none."""

import numpy as np
import pytest

from snnsim import config
from snnsim.errors import InputError
from snnsim.interchange.csv import export_csv
from snnsim.plotting import plot_raster, plot_rates, plot_trace
from snnsim.recording.reader import open_traces
from snnsim.recording.summary import summarise
from snnsim.recording.units import units_of, writer_units
from snnsim.recording.writer import TraceWriter
from tests.command import Caller
from tests.recordings import network, recording

SAID = {
    "none": ("", 1.0, "", "time", "v", "per unit time", 1.0),
    "ms": ("ms", 1.0, "mV", "time (ms)", "v (mV)", "Hz", 1000.0),
    "s": ("s", 1000.0, "V", "time (s)", "v (V)", "Hz", 1.0),
}
"""Name of the unit in files, its milliseconds, voltage, labels of axes, unit of rates, and one spike a unit of time."""


@pytest.fixture(params=SAID)
def said(request, tmp_path):
    """A recording of each kind, made as the command line makes it."""
    name, ms, volts, *_ = SAID[request.param]
    settings = [f"simulation.time_unit={request.param}", f"network.voltage_unit='{volts}'"]
    units = writer_units(config.load(None, settings), timed=True)
    assert units == {"time_unit": name, "time_unit_ms": ms, "voltage_unit": volts, "current_unit": ""}
    made = recording()
    options = {"duration": made.duration, "dt": made.dt, "scheme": made.scheme, "record": ("spikes", "v"), **units}
    with TraceWriter(tmp_path / "traces", network(), **options) as writer:
        writer.append(made, label=np.arange(3))
    with open_traces(tmp_path / "traces") as traces:
        yield SAID[request.param], traces, made


def test_axes_and_titles(said):
    (name, _, _, time, volts, rate, _), traces, made = said
    figure = plot_raster(traces, trial=0)
    assert figure.axes[-1].get_xlabel() == time
    assert figure.axes[-1].get_xlim()[1] == pytest.approx(made.duration * 1.01)  # as said, not in milliseconds
    assert figure._suptitle.get_text().endswith(f"dt = 0.01 {name}".rstrip())
    figure = plot_trace([traces], layer="hidden0", trial=0)
    assert (figure.axes[-1].get_xlabel(), figure.axes[0].get_ylabel()) == (time, volts)
    figure = plot_rates(traces)
    tops = [axis.get_xlabel() for one in figure.axes for axis in one.child_axes]
    assert set(tops) <= {f"firing rate ({rate})", "firing rate (kHz)"}
    assert name or set(tops) == {f"firing rate ({rate})"}


def test_summary_and_table(said, monkeypatch, capsys):
    (name, _, _, _, _, rate, per), traces, made = said
    summary = summarise(traces.directory)
    row = summary["populations"][0]
    counts = made["input"].spikes.counts().sum(axis=0)
    wanted = counts.mean() / (3 * made.duration) * per
    assert row["rate_hz" if name else "rate"] == pytest.approx(wanted)
    assert ("rate_hz" in row) == bool(name)
    code, out, _ = Caller(monkeypatch, capsys)("inspect", traces.directory)
    assert code == 0
    assert f"mean {rate}" in " ".join(out.split())
    assert ("Hz" in out) == bool(name)
    assert name in ("", "s") or "0.01 ms" in out
    assert name or " ms" not in out


def test_columns_of_csv(said, tmp_path):
    (name, ms, *_), traces, made = said
    export_csv(traces, tmp_path / "csv")
    head, first = (tmp_path / "csv" / "spikes.csv").read_text().splitlines()[:2]
    assert head == ",".join(["trial", "population", "neuron", f"time_{name}" if name else "time"])
    assert float(first.split(",")[3]) == pytest.approx(made["input"].spikes.trial(0)[0][0])
    head, *rows = (tmp_path / "csv" / "trials.csv").read_text().splitlines()
    stop = head.split(",").index(f"stop_time_{name}" if name else "stop_time")
    ends = traces.trials.stop_time / ms
    np.testing.assert_allclose([float(row.split(",")[stop]) for row in rows], ends)


def test_rates_of_statistics(said):
    (name, *_, per), traces, made = said
    from snnsim.analysis.statistics import statistics_of

    found = statistics_of(traces, ["input"], bin_width=0.01, window=0.1, synchrony_bin=0.05, lag=0.1)
    counts = made["input"].spikes.counts().sum(axis=0)
    assert found["populations"]["input"]["rate"]["mean"] == pytest.approx(counts.mean() / (3 * made.duration) * per)
    assert found["time_unit"] == name


def test_auto_is_milliseconds_where_data_has_times():
    default = config.load()
    assert [writer_units(default, timed)["time_unit"] for timed in (False, True)] == ["", "ms"]


def test_a_recording_of_an_earlier_version_has_milliseconds():
    assert units_of({"time_unit_ms": 2.0}).axis == "time (ms)"
    assert units_of({"time_unit_ms": 2.0}).text(3.0) == "6 ms"


def test_unknown_units_are_refused(tmp_path):
    with pytest.raises(InputError, match="time_unit = 'us': must be ms, s, or empty for none"):
        TraceWriter(tmp_path, network(), duration=1.0, dt=0.1, time_unit="us")


def test_trainings_without_units_record_none(tmp_path, small_mnist, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    call = Caller(monkeypatch, capsys)
    options = ("--layers", "784-10-10", "--limit", "20", "--data-dir", small_mnist, "--epochs", "1")
    code, _, err = call("train", *options, "--run-dir", "run", "--record", "spikes", "--record-batches", "0:1")
    assert code == 0, err
    with open_traces("run/traces") as traces:
        assert (traces.info["time_unit"], traces.info["voltage_unit"]) == ("", "")
