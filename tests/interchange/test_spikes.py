"""Recordings to other formats and event files of others: what goes out is what was simulated, what comes in fits."""

import csv
import json

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnsim import open_traces, read_spikes
from snnsim.errors import InputError
from snnsim.interchange.csv import export_csv
from snnsim.interchange.neo import export_neo
from snnsim.interchange.nwb import export_nwb
from snnsim.interchange.shd import export_shd, save_spikes
from snnsim.recording.writer import TraceWriter
from snnsim.spikes import Spikes
from tests.recordings import assert_same_spikes, network, recording

UNIT = 2.5


@pytest.fixture(scope="module")
def batch():
    return recording(6)


@pytest.fixture(scope="module")
def path(batch, tmp_path_factory):
    path = tmp_path_factory.mktemp("traces")
    options = {"duration": 0.2, "dt": 0.01, "scheme": "exact", "record": ("spikes", "v", "i_syn"), "time_unit_ms": UNIT}
    with TraceWriter(path, network(), config={"lr": 0.1}, **options) as writer:
        writer.append(batch, label=np.arange(6), sample_index=np.arange(6) + 100, split="test")
    return path


@pytest.fixture
def traces(path):
    with open_traces(path) as traces:
        yield traces


# Neo


def test_neo_block_has_a_segment_a_trial(traces, batch):
    neo = pytest.importorskip("neo")
    block = traces.to_neo()
    assert isinstance(block, neo.Block)
    assert len(block.segments) == 6
    for b, segment in enumerate(block.segments):
        assert (segment.annotations["label"], segment.annotations["sample_index"]) == (b, 100 + b)
        assert len(segment.spiketrains) == 30 + 20 + 4
        for train in segment.spiketrains:
            times, neurons = batch[train.annotations["population"]].spikes.trial(b)
            expected = times[neurons == train.annotations["neuron"]] * UNIT
            np.testing.assert_array_equal(train.times.rescale("ms").magnitude, np.minimum(expected, 0.2 * UNIT))
            assert float(train.t_stop.rescale("ms")) == 0.2 * UNIT
        assert {(s.annotations["variable"], s.annotations["population"]) for s in segment.analogsignals} == {
            (v, p) for v in ("v", "i_syn") for p in ("hidden0", "output")
        }
        for signal in segment.analogsignals:
            layer = batch[signal.annotations["population"]]
            np.testing.assert_array_equal(signal.magnitude, getattr(layer, signal.annotations["variable"])[b])
            np.testing.assert_allclose(signal.times.rescale("ms").magnitude, layer.sample_times * UNIT, rtol=1e-12)
            assert signal.units.dimensionality.string == {"v": "mV", "i_syn": "nA"}[signal.annotations["variable"]]
            np.testing.assert_array_equal(signal.array_annotations["neuron"], layer.neuron_ids)


def test_neo_block_of_some_trials_and_layers(traces, batch):
    block = traces.to_neo([4, 1], layers=["output"])
    assert [s.index for s in block.segments] == [4, 1]
    assert {t.annotations["population"] for s in block.segments for t in s.spiketrains} == {"output"}
    np.testing.assert_array_equal(block.segments[0].analogsignals[0].magnitude, batch["output"].v[4])
    with pytest.raises(InputError, match="'nothing'"):
        traces.to_neo(layers=["nothing"])
    with pytest.raises(InputError, match="trial 6"):
        traces.to_neo(6)


@pytest.mark.parametrize("suffix", [".pkl", ".nix"])
def test_neo_files_come_back(traces, batch, tmp_path, suffix):
    neo_io = pytest.importorskip("neo.io")
    if suffix == ".nix":
        pytest.importorskip("nixio")
    out = tmp_path / f"traces{suffix}"
    export_neo(traces, out, trials=slice(0, 2), layers=["output"])
    io = neo_io.PickleIO(str(out)) if suffix == ".pkl" else neo_io.NixIO(str(out), mode="ro")
    block = io.read_block() if suffix == ".nix" else io.read()[0]
    assert len(block.segments) == 2
    for b, segment in enumerate(block.segments):
        times = np.sort(np.concatenate([t.rescale("ms").magnitude for t in segment.spiketrains]))
        np.testing.assert_array_equal(times, np.minimum(batch["output"].spikes.trial(b)[0] * UNIT, 0.2 * UNIT))
        np.testing.assert_array_equal(segment.analogsignals[0].magnitude, batch["output"].v[b])
    if suffix == ".nix":
        io.close()


def test_neo_files_need_a_known_suffix(traces, tmp_path):
    with pytest.raises(InputError, match=r"must be one of \.nix, \.pkl, \.mat"):
        export_neo(traces, tmp_path / "out.h5")


# NWB


def test_nwb_holds_units_trials_and_series(traces, batch, tmp_path):
    pynwb = pytest.importorskip("pynwb")
    out = tmp_path / "traces.nwb"
    export_nwb(traces, out, trials=[0, 2, 3])
    with pynwb.NWBHDF5IO(str(out), "r") as io:
        file = io.read()
        assert json.loads(file.source_script) == {"lr": 0.1}
        trials = file.trials.to_dataframe()
        start = np.array([0, 2, 3]) * 0.2 * UNIT / 1000
        np.testing.assert_allclose(trials.start_time, start, rtol=1e-12)
        assert trials.label.tolist() == [0, 2, 3]
        assert trials.split.tolist() == ["test"] * 3
        units = file.units.to_dataframe()
        assert len(units) == 54
        for row in units.itertuples():
            spikes = batch[row.population].spikes
            expected = [t[n == row.neuron] * UNIT / 1000 + start[k]
                        for k, (t, n) in enumerate(spikes.trial(b) for b in (0, 2, 3))]  # fmt: skip
            np.testing.assert_allclose(row.spike_times, np.concatenate(expected), rtol=1e-12)
        for name in ("hidden0", "output"):
            v = file.acquisition[f"v_{name}"]
            np.testing.assert_array_equal(v.data[:], batch[name].v[[0, 2, 3]].reshape(60, -1))
            assert (v.unit, v.conversion) == ("V", 1e-3)
            assert file.acquisition[f"i_syn_{name}"].conversion == 1e-9
            times = (start[:, None] + batch[name].sample_times * UNIT / 1000).ravel()
            np.testing.assert_allclose(v.timestamps[:], times, rtol=1e-12)


# CSV


def test_csv_brings_every_number_back(traces, batch, tmp_path):
    export_csv(traces, tmp_path / "out", trials=slice(1, 4))
    tables = {}
    for name in ("trials", "spikes", "v", "i_syn"):
        with open(tmp_path / "out" / f"{name}.csv", newline="") as file:
            tables[name] = list(csv.DictReader(file))
    assert [int(row["label"]) for row in tables["trials"]] == [1, 2, 3]
    assert set(tables["trials"][0]) >= {"trial", "start_time_ms", "first_spike_ms", "split"}
    for name in ("input", "hidden0", "output"):
        rows = [r for r in tables["spikes"] if r["population"] == name]
        expected = [batch[name].spikes.trial(b) for b in (1, 2, 3)]
        np.testing.assert_array_equal(
            [float(r["time_ms"]) for r in rows], np.concatenate([t * UNIT for t, _ in expected])
        )
        np.testing.assert_array_equal([int(r["neuron"]) for r in rows], np.concatenate([n for _, n in expected]))
    for variable in ("v", "i_syn"):
        values = np.array([r[variable] for r in tables[variable] if r["population"] == "output"], np.float32)
        expected = getattr(batch["output"], variable)[1:4].transpose(0, 2, 1)
        np.testing.assert_array_equal(values.reshape(expected.shape), expected)


def test_csv_needs_a_directory(traces, tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(InputError, match="must be a directory"):
        export_csv(traces, tmp_path / "out")


# Event files


def test_shd_export_is_the_layout_of_the_data_sets_and_comes_back(traces, batch, tmp_path):
    out = tmp_path / "events.h5"
    assert export_shd(traces, out, trials=slice(2, 5)) == 3
    with h5py.File(out) as file:
        assert file["labels"][:].tolist() == [2, 3, 4]
        times, neurons = batch["input"].spikes.trial(2)
        np.testing.assert_allclose(file["spikes/times"][0], times * UNIT / 1000, rtol=1e-15)
        np.testing.assert_array_equal(file["spikes/units"][0], neurons)
        assert file["spikes/units"][0].dtype == np.uint16
    spikes, labels = read_spikes(out, time_unit_ms=UNIT)
    assert labels.tolist() == [2, 3, 4]
    assert (spikes.n_neurons, len(spikes)) == (30, 3)
    np.testing.assert_allclose(spikes.duration, 0.2, rtol=1e-15)
    part = batch["input"].spikes
    np.testing.assert_allclose(spikes.times, part.times[part.offsets[2] : part.offsets[5]], rtol=5e-16)
    # Onto the grid they fall exactly where they came from.
    np.testing.assert_array_equal(spikes.to_dense(0.01, 20), part.to_dense(0.01, 20)[2:5])


@given(
    trains=st.lists(
        st.lists(st.tuples(st.integers(0, 10**7).map(lambda k: k / 1e6), st.integers(0, 8)), max_size=5), max_size=5
    ),
    unit=st.sampled_from([1.0, 0.1, 1000.0]),
)
@settings(max_examples=40, deadline=None)
def test_saved_spikes_come_back(trains, unit, tmp_path_factory):
    path = tmp_path_factory.mktemp("events") / "events.h5"
    pairs = [([t for t, _ in train], [n for _, n in train]) for train in trains]
    spikes, labels = Spikes.from_trials(pairs, 9, 10.0), np.arange(len(trains))
    save_spikes(path, spikes, labels, time_unit_ms=unit)
    back, back_labels = read_spikes(path, time_unit_ms=unit)
    np.testing.assert_array_equal(back_labels, labels)
    np.testing.assert_array_equal(back.offsets, spikes.offsets)
    np.testing.assert_array_equal(back.counts(), spikes.counts())
    np.testing.assert_allclose(back.times, spikes.times, rtol=1e-15)
    assert back.n_neurons == 9


def _heidelberg(path, n=4):
    """A file as the data set's authors write it: float16 seconds, uint16 units and labels, extra group."""
    rng = np.random.default_rng(1)
    times = [np.sort(rng.random(k + 3)).astype(np.float16) for k in range(n)]
    units = [rng.integers(0, 700, k + 3).astype(np.uint16) for k in range(n)]
    with h5py.File(path, "w") as file:
        for name, rows, kind in (("times", times, np.float16), ("units", units, np.uint16)):
            dataset = file.create_dataset(f"spikes/{name}", (n,), h5py.vlen_dtype(kind))
            for k, row in enumerate(rows):
                dataset[k] = row
        file["labels"] = np.arange(n, dtype=np.uint16)
        file["extra/speaker"] = np.zeros(n, np.uint16)
    return times, units


def test_heidelberg_files_load(tmp_path):
    path = tmp_path / "shd_train.h5"
    times, units = _heidelberg(path)
    spikes, labels = read_spikes(path, n_neurons=700)
    assert labels.tolist() == [0, 1, 2, 3]
    assert (spikes.n_neurons, len(spikes)) == (700, 4)
    for b in range(4):
        t, n = spikes.trial(b)
        order = np.lexsort((units[b], times[b]))
        np.testing.assert_array_equal(t, times[b][order].astype(np.float64) * 1000)
        np.testing.assert_array_equal(n, units[b][order])
    assert spikes.duration == max(t.max() for t in times).astype(np.float64) * 1000
    one, label = read_spikes(path, n_neurons=700, samples=slice(1, 2), duration=1400.0)
    np.testing.assert_array_equal(one.times, spikes.trial(1)[0])
    assert (label.tolist(), one.duration) == ([1], 1400.0)


def _sonata(path, populations=("cells",), unit="ms"):
    rng = np.random.default_rng(2)
    with h5py.File(path, "w") as file:
        for name in populations:
            group = file.create_group(f"spikes/{name}")
            group["timestamps"] = np.array([1.5, 30.0, 10.0, 20.0, 20.0, 12.5])
            group["node_ids"] = np.array([1, 2, 3, 4, 0, 1], np.uint64)
            if unit:
                group["timestamps"].attrs["units"] = unit
    return rng


def test_sonata_spikes_of_others_load_whole_or_cut(tmp_path):
    path = tmp_path / "spikes.h5"
    _sonata(path)
    spikes, labels = read_spikes(path)
    assert labels.tolist() == [-1]
    assert spikes.times.tolist() == [1.5, 10.0, 12.5, 20.0, 20.0, 30.0]
    assert spikes.neurons.tolist() == [1, 3, 1, 0, 4, 2]
    assert (spikes.n_neurons, spikes.duration) == (5, 30.0)
    cut, labels = read_spikes(path, trial_length=10.0, n_neurons=8)
    # A spike at the end of a window belongs to it: (0, 10], (10, 20], (20, 30].
    assert [cut.trial(b)[0].tolist() for b in range(3)] == [[1.5, 10.0], [2.5, 10.0, 10.0], [10.0]]
    assert (cut.n_neurons, cut.duration, labels.tolist()) == (8, 10.0, [-1] * 3)
    seconds = tmp_path / "seconds.h5"
    _sonata(seconds, unit="s")
    assert read_spikes(seconds)[0].duration == 30_000.0


def test_the_oldest_sonata_spikes_load(tmp_path):
    path = tmp_path / "old.h5"
    with h5py.File(path, "w") as file:
        file["spikes/timestamps"], file["spikes/gids"] = [3.0, 1.0], [0, 1]
    spikes, _ = read_spikes(path)
    assert (spikes.times.tolist(), spikes.neurons.tolist()) == ([1.0, 3.0], [1, 0])


def test_our_own_recordings_load_by_population(path, batch):
    for file in (path, path / "spikes.h5"):
        spikes, labels = read_spikes(file, population="input", time_unit_ms=UNIT)
        assert_same_spikes(spikes, batch["input"].spikes)
        assert labels.tolist() == list(range(6))
    with pytest.raises(InputError, match="has several populations, input, hidden0, output: choose one"):
        read_spikes(path)


def _events(path, change):
    _heidelberg(path)
    with h5py.File(path, "a") as file:
        change(file)


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (lambda f: f.__delitem__("labels"), {}, r"lacks /labels"),
        (lambda f: f.__delitem__("spikes/units"), {}, r"lacks /spikes/units"),
        (lambda f: f.__delitem__("spikes"), {}, r"no spikes that snnsim reads"),
        (lambda f: f["spikes/times"].__setitem__(1, np.zeros(1)), {}, r"sample 1: 1 times and 4 units"),
        (lambda f: f["spikes/times"].__setitem__(0, np.array([-1, 0, 1])), {}, r"sample 0: times: must be"),
        (lambda f: f["spikes/times"].__setitem__(0, np.array([np.nan, 0, 1])), {}, r"sample 0: times: must be finite"),
        (
            lambda f: (f.__delitem__("labels"), f.create_dataset("labels", data=[1])),
            {},
            r"4 times, 4 units and 1 labels",
        ),
        (lambda f: None, {"n_neurons": 10}, r"channel \d+: more than the 10 channels"),
        (lambda f: None, {"duration": 5.0}, r"a spike at \d+.*: later than the duration 5"),
        (lambda f: None, {"population": "x"}, r"to which population and trial_length do not apply"),
        (lambda f: None, {"time_unit_ms": 0}, r"time_unit_ms = 0"),
    ],
)
def test_event_files_that_are_wrong(tmp_path, change, options, message):
    path = tmp_path / "events.h5"
    _events(path, change)
    with pytest.raises(InputError, match=message) as caught:
        read_spikes(path, **options)
    assert "\n" not in str(caught.value)


def test_sonata_files_that_are_wrong(tmp_path, path):
    two = tmp_path / "two.h5"
    _sonata(two, ("a", "b"))
    with pytest.raises(InputError, match="several populations, a, b: choose one"):
        read_spikes(two)
    with pytest.raises(InputError, match="population 'c': the file has a, b"):
        read_spikes(two, population="c")
    with pytest.raises(InputError, match="trial_length = -1"):
        read_spikes(two, population="a", trial_length=-1)
    with pytest.raises(InputError, match="has its own trials"):
        read_spikes(path, population="input", trial_length=1)
    odd = tmp_path / "odd.h5"
    _sonata(odd, unit="fortnights")
    with pytest.raises(InputError, match="unit 'fortnights': must be s, ms, us or ns; --time-unit"):
        read_spikes(odd)
    with h5py.File(two, "a") as file:
        del file["spikes/a/node_ids"]
    with pytest.raises(InputError, match="needs node_ids"):
        read_spikes(two, population="a")
    (tmp_path / "text.h5").write_text("no HDF5 here, only a line of text")
    with pytest.raises(InputError, match="not an HDF5 file"):
        read_spikes(tmp_path / "text.h5")
