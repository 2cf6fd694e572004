"""Writing traces: what is written comes back to the bit, files grow, survive a kill and a full disk."""

import os
import re
import resource
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path

import h5py
import libsonata
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnsim import open_traces
from snnsim.errors import InputError
from snnsim.recorded import LayerRecording, Recording
from snnsim.recording import layout
from snnsim.recording.repair import repair
from snnsim.recording.superblock import lookup3
from snnsim.recording.writer import TraceWriter
from snnsim.spikes import Spikes
from tests import ROOT
from tests.recordings import SIZES, assert_same_recording, assert_same_spikes, network, recording

ALL = ("spikes", "v", "i_syn")


def write(path, recordings, record=ALL, net=None, append=None, **options):
    options = {"duration": recordings[0].duration, "dt": 0.01, "scheme": "exact", "record": record, **options}
    with TraceWriter(path, net or network(), **options) as writer:
        for r in recordings:
            writer.append(r, **(append or {}))
    return path


@given(
    n_trials=st.lists(st.integers(0, 4), min_size=1, max_size=3),
    n_steps=st.integers(1, 30),
    rate=st.sampled_from([0.0, 0.05, 0.6]),
    dt=st.sampled_from([0.01, 0.001, 0.1, 0.3, 1 / 3, 1.0]),
    factor=st.sampled_from([1.0, 1000.0, 0.7, 1e-3]),
    seed=st.integers(0, 1000),
)
@settings(max_examples=25, deadline=None)
def test_a_clock_recording_comes_back_to_the_bit(tmp_path_factory, n_trials, n_steps, rate, dt, factor, seed):
    path = tmp_path_factory.mktemp("traces")
    batches = [recording(n, n_steps, dt=dt, rate=rate, seed=seed + k) for k, n in enumerate(n_trials)]
    write(path, batches, dt=dt, time_unit_ms=factor)
    with open_traces(path) as traces:
        assert len(traces) == sum(n_trials)
        assert not traces.growing
        first = 0
        for batch, n in zip(batches, n_trials, strict=True):
            assert_same_recording(batch, traces.recording(slice(first, first + n)))
            first += n


@pytest.mark.parametrize("engine", ["event", "hybrid"])
def test_exact_times_come_back_to_the_bit_after_many_trials(tmp_path, engine):
    batches = [recording(40, on_grid=False, seed=k, v=False) for k in range(5)]
    write(tmp_path, batches, ("spikes",), engine=engine, dt=None, time_unit_ms=0.3)
    with open_traces(tmp_path) as traces:
        for k, batch in enumerate(batches):
            for layer in batch.layers:
                assert_same_spikes(traces.spikes(layer.name, slice(40 * k, 40 * k + 40)), layer.spikes)


def test_times_off_the_grid_in_a_clock_file_keep_the_rounding_of_the_clock_unless_told(tmp_path):
    batch = recording(100, on_grid=False, v=False)
    write(tmp_path / "plain", [batch] * 3, ("spikes",))
    write(tmp_path / "told", [batch] * 3, ("spikes",), off_grid=("input",))
    with open_traces(tmp_path / "plain") as plain, open_traces(tmp_path / "told") as told:
        assert_same_spikes(told.spikes("input", slice(200, 300)), batch["input"].spikes)
        near = plain.spikes("input", slice(200, 300))
        # One rounding of start + time and one of the difference.
        np.testing.assert_allclose(near.times, batch["input"].spikes.times, rtol=0, atol=np.spacing(60.0))


def test_trials_on_and_off_the_grid_in_one_request(tmp_path):
    on, off = recording(2, v=False), recording(2, on_grid=False, v=False)
    write(tmp_path, [on, off], ("spikes",))
    with open_traces(tmp_path) as traces:
        spikes = traces.spikes("hidden0")
        assert_same_spikes(traces.spikes("hidden0", [0, 1]), on["hidden0"].spikes)
        np.testing.assert_array_equal(spikes.trial(1)[0], on["hidden0"].spikes.trial(1)[0])
        np.testing.assert_allclose(spikes.trial(3)[0], off["hidden0"].spikes.trial(1)[0], rtol=0, atol=1e-15)


def test_fields_of_trials(tmp_path):
    batch = recording(3)
    with TraceWriter(tmp_path, network(), duration=0.2, dt=0.01, time_unit_ms=1000) as writer:
        writer.append(batch, sample_index=[7, 8, 9], label=np.array([1, 2, 3], np.uint8), prediction=2, split="test")
        writer.append(batch, epoch=4)
    with open_traces(tmp_path) as traces:
        trials = traces.trials
    np.testing.assert_allclose(trials.start_time, np.arange(6) * 200.0, rtol=1e-15)
    np.testing.assert_allclose(trials.stop_time - trials.start_time, 200.0, rtol=1e-12)
    assert trials.sample_index.tolist() == [7, 8, 9, -1, -1, -1]
    assert trials.label.tolist() == [1, 2, 3, -1, -1, -1]
    assert trials.prediction.tolist() == [2, 2, 2, -1, -1, -1]
    assert trials.split.tolist() == ["test"] * 3 + [""] * 3
    assert trials.epoch.tolist() == [-1, -1, -1, 4, 4, 4]
    first = batch["output"].spikes.first_times().min(1) * 1000
    np.testing.assert_array_equal(trials.first_spike[:3], np.where(np.isinf(first), np.nan, first))


def test_arrays_that_change_after_they_were_appended(tmp_path):
    labels = np.array([3, 1, 4])
    with TraceWriter(tmp_path, network(), duration=0.2, dt=0.01) as writer:
        writer.append(recording(), label=labels)
        labels[:] = 9
    with open_traces(tmp_path) as traces:
        np.testing.assert_array_equal(traces.trials.label, [3, 1, 4])


def test_what_describes_the_run(tmp_path):
    config = {"network": {"layers": [30, 20, 4]}, "data": Path("x"), "lr": np.float32(0.5)}
    write(tmp_path, [recording()], config=config, seed=3)
    with open_traces(tmp_path) as traces:
        assert traces.config == {"network": {"layers": [30, 20, 4]}, "data": "x", "lr": 0.5}
        info = traces.info
        assert (info["dt"], info["scheme"], info["engine"], info["seed"]) == (0.01, "exact", "clock", "3")
        assert info["layout"] == layout.LAYOUT
        assert "before the reset" in info["phase"]
        assert set(traces.provenance) >= {"python", "numpy", "numba", "h5py", "snnsim"}
        assert traces.populations["hidden0"].parameters["v_threshold"] == 1.5
        assert list(traces.populations) == ["input", "hidden0", "output"]


@pytest.mark.parametrize(("n_steps", "every"), [(20, 4), (20, 3), (5, 4), (7, 7)])
def test_every_kth_sample_lies_at_the_end_of_each_kth_step(tmp_path, n_steps, every):
    fine = recording(3, n_steps)
    write(tmp_path, [fine, fine], record_every=every)
    coarse = fine["hidden0"].v[:, every - 1 :: every]
    with open_traces(tmp_path) as traces:
        np.testing.assert_array_equal(traces.v("hidden0", slice(3, 6)), coarse)
        times = traces.sample_times()
        np.testing.assert_array_equal(times, fine["hidden0"].sample_times[every - 1 :: every])
        starts = traces.trials.start_time
    report = libsonata.ElementReportReader(tmp_path / "v.h5")["hidden0"].get()
    data = np.asarray(report.data)
    clock = np.asarray(report.times)
    # The frames of a trial that it has no sample for are NaN, so that the common clock stays even.
    inside = ~np.isnan(data).any(1)
    assert inside.sum() == 6 * times.size
    np.testing.assert_allclose(clock[inside], (starts[:, None] + times).ravel(), rtol=1e-12)
    np.testing.assert_array_equal(data[inside].reshape(6, times.size, -1)[:3], coarse)


def test_an_engine_that_thins_its_samples_gives_the_same_file(tmp_path):
    fine, coarse = recording(3, 20), recording(3, 20, every=5)
    for layer, thin in zip(fine.layers[1:], coarse.layers[1:], strict=True):
        thin.v[:] = layer.v[:, 4::5]
    write(tmp_path / "fine", [fine], ("v",), record_every=5)
    write(tmp_path / "coarse", [coarse], ("v",), record_every=5)
    with open_traces(tmp_path / "fine") as a, open_traces(tmp_path / "coarse") as b:
        np.testing.assert_array_equal(a.v("output"), b.v("output"))
        np.testing.assert_array_equal(a.sample_times(), b.sample_times())


def test_some_layers_and_neurons(tmp_path):
    batch = recording()
    ids = [3, 7, 19]
    write(tmp_path, [batch], layers=("hidden0", "output"), neurons={"hidden0": ids})
    with open_traces(tmp_path) as traces:
        np.testing.assert_array_equal(traces.v("hidden0"), batch["hidden0"].v[:, :, ids])
        np.testing.assert_array_equal(traces.populations["hidden0"].neuron_ids, ids)
        counts = batch["hidden0"].spikes.counts()
        kept = np.zeros_like(counts)
        kept[:, ids] = counts[:, ids]
        np.testing.assert_array_equal(traces.spikes("hidden0").counts(), kept)
        np.testing.assert_array_equal(traces.spike_counts("hidden0"), kept.sum(0))
        with pytest.raises(InputError, match="'input': was not recorded"):
            traces.spikes("input")
    only = LayerRecording("hidden0", batch["hidden0"].spikes, batch["hidden0"].v[:, :, ids], None,
                          batch["hidden0"].sample_times, np.array(ids))  # fmt: skip
    narrow = Recording((batch["input"], only, batch["output"]), "clock", 0.2, 0.01, "exact")
    write(tmp_path / "narrow", [narrow], ("v",), layers="hidden0", neurons={"hidden0": [7, 19]})
    with open_traces(tmp_path / "narrow") as traces:
        np.testing.assert_array_equal(traces.v("hidden0"), batch["hidden0"].v[:, :, [7, 19]])


def test_a_leaky_readout_has_voltages_and_no_spikes(tmp_path):
    batch = recording()
    none = Spikes.from_trials([((), ())] * 3, SIZES[2], 0.2)
    out = LayerRecording("output", none, *(getattr(batch["output"], k) for k in ("v", "i_syn", "sample_times")),
                         batch["output"].neuron_ids)  # fmt: skip
    leaky = Recording((*batch.layers[:2], out), "clock", 0.2, 0.01, "exact")
    write(tmp_path, [leaky], net=network(readout="leaky"))
    with open_traces(tmp_path) as traces:
        assert_same_recording(traces.recording(), leaky)
        assert not traces.populations["output"].spiking
        assert np.isnan(traces.trials.first_spike).all()


def test_float64_voltages_on_request(tmp_path):
    batch = recording(dtype=np.float64)
    write(tmp_path / "wide", [batch], report_dtype=np.float64)
    write(tmp_path / "narrow", [batch])
    with open_traces(tmp_path / "wide") as wide, open_traces(tmp_path / "narrow") as narrow:
        assert_same_recording(wide.recording(), batch)
        np.testing.assert_array_equal(narrow.v("hidden0"), batch["hidden0"].v.astype(np.float32))


def test_libsonata_sees_what_was_simulated(tmp_path):
    batches = [recording(seed=k) for k in range(3)]
    write(tmp_path, batches, time_unit_ms=100.0)
    reader = libsonata.SpikeReader(tmp_path / "spikes.h5")
    assert set(reader.get_population_names()) == {"input", "hidden0", "output"}
    for name in reader.get_population_names():
        population = reader[name]
        assert population.sorting == "by_time"
        stamps = np.array([t for _, t in population.get()])
        nodes = np.array([n for n, _ in population.get()])
        assert np.all(np.diff(stamps) >= 0)
        times = np.concatenate([b[name].spikes.times for b in batches])
        trial = np.concatenate([np.repeat(np.arange(3), np.diff(b[name].spikes.offsets)) + 3 * k
                                for k, b in enumerate(batches)])  # fmt: skip
        np.testing.assert_array_equal(nodes, np.concatenate([b[name].spikes.neurons for b in batches]))
        np.testing.assert_allclose(stamps, trial * 20.0 + times * 100, rtol=1e-14)
    for variable, unit in (("v", "mV"), ("i_syn", "nA")):
        report = libsonata.ElementReportReader(tmp_path / f"{variable}.h5")["hidden0"]
        assert (report.time_units, report.data_units) == ("ms", unit)
        assert report.get_node_ids() == list(range(20))
        # Trial 4, by its window (start, stop] on the common clock.
        window = report.get(tstart=4 * 20.0 + 0.5, tstop=5 * 20.0)
        np.testing.assert_array_equal(window.data, getattr(batches[1]["hidden0"], variable)[1])
        np.testing.assert_allclose(window.times, 80 + (np.arange(20) + 1) * 1.0, rtol=1e-12)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"record": ("spikes", "u")}, r"record = 'u': must be one of spikes, v, i_syn"),
        ({"layers": ()}, r"layers = \(\): must name at least one"),
        ({"layers": ("hidden1",)}, r"layers = 'hidden1': must be one of input, hidden0, output"),
        ({"neurons": {"hidden0": [20]}}, r"neurons of hidden0: must be some of 0\.\.19"),
        ({"neurons": {"hidden9": [0]}}, r"neurons of 'hidden9': must be one of"),
        ({"neurons": {"hidden0": []}}, r"neurons of hidden0"),
        ({"record_every": 0}, r"record_every = 0"),
        ({"record_every": 21, "record": ("v",)}, r"sample_step = 0.21 \(dt \* record_every\): exceeds a trial of 0.2"),
        ({"record_every": 1.5}, r"record_every = 1.5"),
        ({"time_unit_ms": 0}, r"time_unit_ms = 0"),
        ({"duration": -1.0}, r"duration = -1"),
        ({"dt": None, "engine": "event", "record": ("v",)}, r"sample_step"),
        ({"off_grid": ("hidden7",)}, r"off_grid = 'hidden7'"),
        ({"config": {"x": object()}}, r"config: .* cannot be stored"),
    ],
)
def test_options_that_are_wrong(tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        TraceWriter(tmp_path / "traces", network(), **{"duration": 0.2, "dt": 0.01, **options})


def _changed(batch, name, **changes):
    fields = {k: getattr(batch[name], k) for k in ("name", "spikes", "v", "i_syn", "sample_times", "neuron_ids")}
    layer = LayerRecording(**{**fields, **changes})
    layers = tuple(layer if old.name == name else old for old in batch.layers)
    return Recording(layers, batch.engine, batch.duration, batch.dt, batch.scheme)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda b: Recording(b.layers, "clock", 0.3, 0.01, "exact"), "duration = 0.3"),
        (lambda b: Recording(b.layers[1:], "clock", 0.2, 0.01, "exact"), "layer input"),
        (lambda b: _changed(b, "hidden0", v=None), "hidden0: the recording has no v"),
        (lambda b: _changed(b, "hidden0", v=b["hidden0"].v[:, 1:]), "hidden0: v has shape"),
        (lambda b: _changed(b, "hidden0", spikes=b["input"].spikes), "hidden0: 3 trials of 30 neurons"),
        (lambda b: _changed(b, "hidden0", spikes=_reversed(b["hidden0"].spikes)), "times must ascend"),
        (lambda b: _changed(b, "hidden0", sample_times=b["hidden0"].sample_times * 2), "samples every 0.02"),
        (lambda b: _changed(b, "hidden0", neuron_ids=np.arange(1, 21)), "lacks neuron 0"),
    ],
)
def test_a_batch_that_does_not_fit_leaves_the_file_as_it_was(tmp_path, change, message):
    good = recording()
    with TraceWriter(tmp_path, network(), duration=0.2, dt=0.01, record=ALL) as writer:
        writer.append(good)
        with pytest.raises(InputError, match=message):
            writer.append(change(good))
        writer.append(good)
    with open_traces(tmp_path) as traces:
        assert len(traces) == 6
        assert_same_recording(traces.recording([3, 4, 5]), good)


def _reversed(spikes):
    return Spikes.trusted(spikes.offsets, spikes.times[::-1].copy(), spikes.neurons, spikes.n_neurons, spikes.duration)


def test_labels_that_do_not_fit(tmp_path):
    with TraceWriter(tmp_path, network(), duration=0.2, dt=0.01) as writer:
        with pytest.raises(InputError, match=r"label: must be one integer or one a trial \(3\)"):
            writer.append(recording(), label=[1, 2])
        with pytest.raises(InputError, match="prediction: must be one integer"):
            writer.append(recording(), prediction=0.5)
        with pytest.raises(InputError, match="split = 'much"):
            writer.append(recording(), split="much too long a name")
    for late in (lambda: writer.append(recording()), writer.flush):
        with pytest.raises(InputError, match="closed"):
            late()
    writer.close()


def test_an_older_recording_is_kept_unless_told(tmp_path):
    write(tmp_path, [recording()])
    with pytest.raises(InputError, match="already holds a recording"):
        TraceWriter(tmp_path, network(), duration=0.2, dt=0.01)
    write(tmp_path, [recording(5)], ("spikes",), overwrite=True)
    assert not (tmp_path / "v.h5").exists()
    with open_traces(tmp_path) as traces:
        assert len(traces) == 5


def test_no_trials_at_all(tmp_path):
    TraceWriter(tmp_path, network(), duration=0.2, dt=0.01, record=ALL).close()
    with open_traces(tmp_path) as traces:
        assert len(traces) == 0
        assert traces.spikes("input").times.size == 0
        assert traces.v("hidden0").shape == (0, 20, 20)
        assert traces.spike_counts("input").sum() == 0
        with pytest.raises(InputError, match="holds no complete trial"):
            traces.spikes("input", 0)
    assert libsonata.SpikeReader(tmp_path / "spikes.h5")["input"].get() == []


def test_memory_does_not_grow_with_the_trials(tmp_path):
    batch = recording(50, 20, sizes=(200, 100, 4), rate=0.2)
    net = network((200, 100, 4))
    peaks = []
    with TraceWriter(tmp_path, net, duration=0.2, dt=0.01, record=ALL, flush_seconds=0) as writer:
        writer.append(batch)
        for _ in range(2):
            tracemalloc.start()
            for _ in range(20):
                writer.append(batch)
            peaks.append(tracemalloc.get_traced_memory())
            tracemalloc.stop()
    # What stays allocated after 20 more batches of 1.6 MB is nothing like a batch, and the peak is that of one batch.
    assert peaks[1][0] < 100_000
    assert peaks[1][1] < peaks[0][1] * 1.1


# What happens to a run from outside

GROW = """
import sys
sys.path.insert(0, sys.argv[2])
from tests.recordings import network, recording
from snnsim.recording.writer import TraceWriter

batches = [recording(seed=k) for k in range(7)]
with TraceWriter(sys.argv[1], network(), duration=0.2, dt=0.01, record=("spikes", "v"), flush_seconds=0) as writer:
    k = 0
    while True:
        writer.append(batches[k % 7], label=k)
        k += 1
        print(k, flush=True)
"""


def _start(path):
    root = str(ROOT)
    return subprocess.Popen([sys.executable, "-c", GROW, str(path), root], stdout=subprocess.PIPE, text=True)


def test_a_growing_file_is_read_and_a_killed_one_kept_and_repaired(tmp_path):
    path = tmp_path / "traces"
    batches = [recording(seed=k) for k in range(7)]
    process = _start(path)
    try:
        for line in process.stdout:
            if int(line) == 10:
                break
        with open_traces(path) as traces:
            assert traces.growing
            assert "still growing" in repr(traces)
            before = len(traces)
            assert before >= 30
            with pytest.raises(InputError, match=f"process {process.pid}, which writes"):
                repair(path)
            deadline = time.monotonic() + 30
            while traces.refresh() == before and time.monotonic() < deadline:
                process.stdout.readline()
            assert len(traces) > before
            last = len(traces) // 3 - 1
            expected = batches[last % 7]
            assert_same_spikes(traces.spikes("input", slice(3 * last, 3 * last + 3)), expected["input"].spikes)
            np.testing.assert_array_equal(traces.v("hidden0", slice(3 * last, 3 * last + 3)), expected["hidden0"].v)
    finally:
        process.kill()
        rest = process.stdout.read().split()
        process.wait()
        process.stdout.close()
    committed = int(rest[-1]) * 3 if rest else before

    def check(growing):
        with open_traces(path) as traces:
            assert traces.growing is growing
            assert len(traces) >= committed
            assert len(traces) % 3 == 0
            for first in range(0, len(traces), 3):
                expected, trials = batches[first // 3 % 7], slice(first, first + 3)
                assert_same_spikes(traces.spikes("output", trials), expected["output"].spikes)
                np.testing.assert_array_equal(traces.v("hidden0", trials), expected["hidden0"].v)
            assert traces.trials.label.tolist() == [k // 3 for k in range(len(traces))]
            total = sum(batches[k % 7]["hidden0"].spikes.counts().sum(0) for k in range(len(traces) // 3))
            np.testing.assert_array_equal(traces.spike_counts("hidden0"), total)
            return len(traces), traces.spikes("input").times.size

    n_trials, n_spikes = check(growing=True)
    with pytest.raises(RuntimeError, match="Unable to open file"):
        libsonata.SpikeReader(path / "spikes.h5").get_population_names()
    assert repair(path) is True
    assert repair(path) is False
    assert check(growing=False) == (n_trials, n_spikes)
    assert len(libsonata.SpikeReader(path / "spikes.h5")["input"].get()) == n_spikes
    report = libsonata.ElementReportReader(path / "v.h5")["output"]
    assert len(report.get().times) == n_trials * 20


HALF = """
import os, sys
sys.path.insert(0, sys.argv[2])
from tests.recordings import network, recording
from snnsim.recording.columns import Column
from snnsim.recording.writer import TraceWriter

writer = TraceWriter(sys.argv[1], network(), duration=0.2, dt=0.01, record=("spikes", "v"), flush_seconds=0)
writer.append(recording(seed=0))
flush, left = Column.flush, int(sys.argv[3])

def flush_and_die(column):
    global left
    flush(column)
    column.dataset.file.flush()
    left -= 1
    if left < 0:
        os.kill(os.getpid(), 9)

Column.flush = flush_and_die
writer.append(recording(seed=1))
"""


@pytest.mark.parametrize("column", [0, 1, 2, 9, 12, 16, 24])
def test_a_kill_in_the_middle_of_a_commit_keeps_the_one_before(tmp_path, column):
    path, root = tmp_path / "traces", str(ROOT)
    result = subprocess.run([sys.executable, "-c", HALF, path, root, str(column)], check=False)
    assert result.returncode == -9
    batch = recording(seed=0)
    for mended in (False, True):
        with open_traces(path) as traces:
            assert len(traces) == 3
            for name in traces.populations:
                assert_same_spikes(traces.spikes(name), batch[name].spikes)
                np.testing.assert_array_equal(traces.spike_counts(name), batch[name].spikes.counts().sum(0))
            np.testing.assert_array_equal(traces.v("hidden0"), batch["hidden0"].v)
        assert repair(path) is not mended
    times = [t for _, t in libsonata.SpikeReader(path / "spikes.h5")["input"].get()]
    assert len(times) == batch["input"].spikes.times.size
    report = libsonata.ElementReportReader(path / "v.h5")["hidden0"]
    assert len(report.get().times) == 60
    assert report.times == pytest.approx((0.01, 0.61, 0.01))


def test_a_run_killed_before_its_first_commit_is_repaired_to_nothing(tmp_path):
    path, root = tmp_path / "traces", str(ROOT)
    code = HALF.replace("writer.append(recording(seed=0))", "os.kill(os.getpid(), 9)")
    subprocess.run([sys.executable, "-c", code, path, root, "0"], check=False)
    with open_traces(path) as traces:
        assert len(traces) == 0
    assert repair(path)
    assert libsonata.SpikeReader(path / "spikes.h5")["input"].get() == []


FILL = """
import sys
sys.path.insert(0, sys.argv[2])
from tests.recordings import network, recording
from snnsim.errors import InputError
from snnsim.recording.writer import TraceWriter

batch = recording(50, sizes=(300, 200, 4))
try:
    with TraceWriter(
        sys.argv[1], network((300, 200, 4)), duration=0.2, dt=0.01, record=("spikes", "v"), flush_seconds=0
    ) as writer:
        while True:
            writer.append(batch)
            print(writer.trials, flush=True)
except InputError as error:
    print(error)
    sys.exit(2)
"""


@pytest.mark.parametrize("limit", [3_000_000, 8_000_000, 9_000_001])
def test_a_full_disk_is_one_line_and_loses_nothing_committed(tmp_path, limit):
    path = tmp_path / "traces"
    result = subprocess.run(
        [sys.executable, "-c", FILL, str(path), str(ROOT)],
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    assert (result.returncode, result.stderr) == (2, "")
    *committed, message = result.stdout.splitlines()
    assert message == f"{path}: cannot be written: File too large"
    batch = recording(50, sizes=(300, 200, 4))
    with open_traces(path) as traces:
        assert not traces.growing
        assert len(traces) == int(committed[-1])
        assert len(traces) >= 50
        assert_same_spikes(traces.spikes("input", slice(-50, None)), batch["input"].spikes)
        np.testing.assert_array_equal(traces.v("hidden0", slice(-50, None)), batch["hidden0"].v)
    assert len(libsonata.SpikeReader(path / "spikes.h5")["hidden0"].get()) > 0


def test_a_directory_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written: Not a directory"):
        TraceWriter(tmp_path / "file" / "traces", network(), duration=0.2, dt=0.01)


def test_lookup3_agrees_with_published_values():
    # The driver of Bob Jenkins' lookup3.c: hashlittle of "" and of "Four score and seven years ago", initval 0.
    assert lookup3(b"") == 0xDEADBEEF
    assert lookup3(b"Four score and seven years ago") == 0x17770551


def test_a_configuration_larger_than_an_hdf5_attribute_may_once_be(tmp_path):
    config = {"text": "x" * 200_000}
    write(tmp_path, [recording()], config=config)
    with open_traces(tmp_path) as traces:
        assert traces.config == config


def _documented(text):
    """``{file: {path: dtype}}`` of the tables of docs/traces.md."""
    tables, file = {}, None
    for line in text.splitlines():
        if line.startswith("## `"):
            file = line.split("`")[1]
            tables[file] = {}
        elif file and line.startswith("| `/"):
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            tables[file][cells[0].strip("`")] = cells[1]
    return tables


def test_the_documentation_lists_every_dataset_with_its_dtype(tmp_path):
    tables = _documented((ROOT / "docs" / "traces.md").read_text())
    write(tmp_path, [recording()], off_grid=("hidden0",), neurons={"hidden0": [1, 2]})
    for name, table in {"spikes.h5": "spikes.h5", "v.h5": "v.h5", "i_syn.h5": "v.h5"}.items():
        with h5py.File(tmp_path / name) as file:
            assert dict(_datasets(file)) == tables[table]
            for path, attributes in ATTRIBUTES[table].items():
                assert set(attributes) <= set(file[path].attrs)


KINDS = {"f8": "float64", "f4": "float32", "i8": "int64", "u4": "uint32", "u8": "uint64", "S16": "16-byte text"}


def _datasets(group):
    for name, item in group.items():
        if isinstance(item, h5py.Group):
            yield from _datasets(item)
        else:
            path = re.sub(r"/(input|hidden0|output)\b", "/<population>", f"{group.name}/{name}")
            yield path, "bool" if item.dtype == bool else KINDS[item.dtype.str[1:]]


ATTRIBUTES = {
    "spikes.h5": {"spikes/input": ["sorting"], "spikes/input/timestamps": ["units"], "/": ["magic", "version"]},
    "v.h5": {"report/output/data": ["units", "variable"], "report/output/mapping/time": ["units"]},
}


def test_the_code_of_the_documentation_runs(tmp_path, monkeypatch):
    text = (ROOT / "docs" / "traces.md").read_text()
    batch = recording(10)
    options = {"duration": 0.2, "dt": 0.01, "time_unit_ms": 100.0, "record": ALL}
    with TraceWriter(tmp_path / "traces", network(), **options) as writer:
        writer.append(batch, label=np.arange(10) % 8)
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == 2
    names = {}
    # Trials here are shorter than the documentation's window.
    exec(blocks[0].replace("window=(0, 2.5)", "window=(0, 0.1)"), names)
    exec(blocks[1], names)
    assert len(names["block"].segments) == 10
    np.testing.assert_array_equal(names["v"], batch["hidden0"].v[3][:, [0, 5]])
    np.testing.assert_array_equal(names["frames"].data, batch["hidden0"].v[3])
    np.testing.assert_array_equal(names["t"], batch["hidden0"].sample_times)


def test_nothing_is_left_open(tmp_path):
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else None
    write(tmp_path, [recording()])
    open_traces(tmp_path).close()
    if before is not None:
        assert len(os.listdir("/proc/self/fd")) == before
