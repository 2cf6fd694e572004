"""Reading traces: selections agree with the arrays they select from; every bad file and request is one line."""

import shutil

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import snnsim
from snnsim import open_traces
from snnsim.errors import InputError
from snnsim.recording.writer import TraceWriter
from tests.recordings import assert_same_recording, assert_same_spikes, network, recording

N_TRIALS, N_STEPS, DT = 8, 20, 0.01


@pytest.fixture(scope="module")
def batch():
    return recording(N_TRIALS)


@pytest.fixture(scope="module")
def path(batch, tmp_path_factory):
    path = tmp_path_factory.mktemp("traces")
    with TraceWriter(path, network(), duration=0.2, dt=DT, scheme="exact", record=("spikes", "v", "i_syn")) as writer:
        writer.append(batch, label=np.arange(N_TRIALS) % 3)
    return path


@pytest.fixture
def copy(path, tmp_path):
    return shutil.copytree(path, tmp_path / "copy")


def test_any_file_of_the_recording_opens_it(path, batch):
    for name in ("", "spikes.h5", "v.h5", "i_syn.h5"):
        with open_traces(path / name) as traces:
            assert len(traces) == N_TRIALS
    with open_traces(str(path)) as traces:
        assert_same_recording(traces.recording(), batch)
        assert repr(traces) == (
            f"<Traces {path}: 8 trials of 0.2, input 30, hidden0 20, output 4; records spikes, v, i_syn; clock engine>"
        )


@given(
    trials=st.lists(st.integers(-N_TRIALS, N_TRIALS - 1), max_size=6) | st.just(list(range(N_TRIALS))),
    neurons=st.none() | st.lists(st.integers(0, 19), min_size=1, max_size=5, unique=True),
    window=st.none() | st.tuples(st.integers(0, N_STEPS), st.integers(0, N_STEPS)).map(sorted),
    piece=st.sampled_from([16, 1000, 5000, 2**25]),
)
@settings(max_examples=60, deadline=None)
def test_a_selection_is_that_of_the_arrays(path, batch, trials, neurons, window, piece):
    layer = batch["hidden0"]
    bounds = None if window is None else (window[0] * DT, window[1] * DT)
    with open_traces(path) as traces, pytest.MonkeyPatch.context() as patch:
        patch.setattr("snnsim.recording.reader.PIECE_BYTES", piece)
        spikes = traces.spikes("hidden0", trials, neurons=neurons, window=bounds)
        v = traces.v("hidden0", trials, neurons=neurons, window=bounds)
        i_syn = traces.i_syn("hidden0", trials, neurons=neurons, window=bounds)
        sampled = traces.sample_times(bounds)
    assert len(spikes) == len(trials)
    for k, b in enumerate(trials):
        times, ids = layer.spikes.trial(b % N_TRIALS)
        keep = np.ones(times.size, bool) if neurons is None else np.isin(ids, neurons)
        if bounds is not None:
            keep &= (bounds[0] <= times) & (times <= bounds[1])
        np.testing.assert_array_equal(spikes.trial(k)[0], times[keep])
        np.testing.assert_array_equal(spikes.trial(k)[1], ids[keep])
    # Sample k lies at (k + 1) dt; a window of steps a..b holds the samples a - 1 (if a > 0) to b - 1.
    steps = slice(None) if window is None else slice(max(window[0] - 1, 0), window[1])
    columns = slice(None) if neurons is None else neurons
    np.testing.assert_array_equal(sampled, layer.sample_times[steps])
    np.testing.assert_array_equal(v, layer.v[trials][:, steps][:, :, columns])
    np.testing.assert_array_equal(i_syn, layer.i_syn[trials][:, steps][:, :, columns])


def test_other_ways_to_name_trials(path, batch):
    with open_traces(path) as traces:
        assert traces.v("output", 3).shape == (20, 4)
        assert len(traces.spikes("output", 3)) == 1
        assert traces.v("output", slice(2, None, 2)).shape == (3, 20, 4)
        np.testing.assert_array_equal(traces.v("output", traces.trials.label == 1), batch["output"].v[[1, 4, 7]])
        assert traces.v("output", np.zeros(N_TRIALS, bool)).shape == (0, 20, 4)
        assert [b.tolist() for b in traces.batches(3)] == [[0, 1, 2], [3, 4, 5], [6, 7]]
        assert traces.refresh() == N_TRIALS


def test_spike_counts_are_those_of_the_spikes(path, batch):
    with open_traces(path) as traces:
        for layer in batch.layers:
            np.testing.assert_array_equal(traces.spike_counts(layer.name), layer.spikes.counts().sum(0))


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda t: t.spikes("hidden1"), r"layer 'hidden1': .* holds input, hidden0, output"),
        (lambda t: t.v("input"), r"v of input: .* does not record it"),
        (lambda t: t.report("u", "output"), r"variable 'u': must be one of spikes, v, i_syn"),
        (lambda t: t.spikes("input", 8), r"trial 8: .*: its trials are 0\.\.7"),
        (lambda t: t.spikes("input", [0, -9]), r"trial -9: "),
        (lambda t: t.v("output", 0.5), r"trials: must be"),
        (lambda t: t.v("output", [True]), r"trials: a mask must have one entry for each of 8 trials"),
        (lambda t: t.spikes("input", neurons=30), r"neuron 30 of input: does not exist; 30 of 30 are recorded"),
        (lambda t: t.v("output", neurons=[0, -1]), r"neuron -1 of output: does not exist"),
        (lambda t: t.spikes("input", window=(0, 0.3)), r"window 0\.\.0\.3: must lie within a trial, 0\.\.0\.2"),
        (lambda t: t.v("output", window=(0.1, 0.05)), r"window 0\.1\.\.0\.05"),
        (lambda t: t.v("output", window=(-0.1, 0.05)), r"window -0\.1"),
    ],
)
def test_requests_that_are_wrong(path, ask, message):
    with open_traces(path) as traces, pytest.raises(InputError, match=message) as caught:
        ask(traces)
    assert "\n" not in str(caught.value)


def test_a_variable_that_was_not_recorded(tmp_path, batch):
    with TraceWriter(tmp_path, network(), duration=0.2, dt=DT) as writer:
        writer.append(batch)
    with open_traces(tmp_path) as traces:
        with pytest.raises(InputError, match=r"v of hidden0: .* does not record it, only spikes"):
            traces.v("hidden0")
        with pytest.raises(InputError, match="records neither v nor i_syn"):
            traces.sample_times()


def _edit(change):
    def edited(copy):
        with h5py.File(copy / "spikes.h5", "a") as file:
            change(file)

    return edited


def _truncate(copy):
    whole = (copy / "spikes.h5").read_bytes()
    (copy / "spikes.h5").write_bytes(whole[: len(whole) * 2 // 3])


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_truncate, r"spikes\.h5: truncated"),
        (lambda c: (c / "spikes.h5").write_bytes(b""), r"spikes\.h5: an empty file"),
        (lambda c: (c / "spikes.h5").write_text("text" * 100), r"spikes\.h5: not an HDF5 file"),
        (lambda c: (c / "spikes.h5").unlink(), r"copy: holds no recording \(spikes\.h5\)"),
        (
            _edit(lambda f: f["snnsim"].attrs.modify("layout", 2)),
            r"layout version 2: this snnsim reads versions up to 1",
        ),
        (_edit(lambda f: f.__delitem__("snnsim")), r"no recording of snnsim"),
        (_edit(lambda f: f.__delitem__("snnsim/trials")), r"lacks the group /snnsim/trials"),
        (_edit(lambda f: f.__delitem__("snnsim/trials/label")), r"spikes\.h5: .*label"),
        (_edit(lambda f: f.__delitem__("snnsim/complete")), r"lacks the dataset /snnsim/complete"),
        (_edit(lambda f: f.__delitem__("spikes/hidden0")), r"lacks the group /spikes/hidden0"),
        (_edit(lambda f: f.__delitem__("spikes/input/node_ids")), r"lacks the dataset /spikes/input/node_ids"),
        (_edit(lambda f: f["snnsim/trials/epoch"].resize(5, 0)), r"/snnsim/trials/epoch ends before the last of 8"),
        (_edit(lambda f: f["snnsim"].attrs.__delitem__("config")), r"spikes\.h5: .*config"),
    ],
)
def test_files_that_are_wrong(copy, spoil, message):
    spoil(copy)
    with pytest.raises(InputError, match=message) as caught:
        open_traces(copy)
    assert "\n" not in str(caught.value)


def test_reports_that_are_wrong(copy, path):
    (copy / "i_syn.h5").unlink()
    with h5py.File(copy / "v.h5", "a") as file:
        file["report/output/data"].resize(100, 0)
        del file["report/hidden0/mapping/time"]
    with open_traces(copy) as traces:
        with pytest.raises(InputError, match=r"i_syn\.h5: no such file"):
            traces.i_syn("output")
        with pytest.raises(InputError, match=r"/report/output/data ends before the last of 8 trials"):
            traces.v("output")
        with pytest.raises(InputError, match=r"lacks the dataset /report/hidden0/mapping/time"):
            traces.v("hidden0")
    with h5py.File(copy / "v.h5", "a") as file:
        file["snnsim"].attrs["run_id"] = "other"
    with open_traces(copy) as traces, pytest.raises(InputError, match=r"v\.h5: belongs to another recording"):
        traces.v("output")


def test_paths_that_are_no_recording(tmp_path, path):
    with pytest.raises(InputError, match="no such file or directory"):
        open_traces(tmp_path / "none")
    with pytest.raises(InputError, match="holds no recording"):
        open_traces(tmp_path)
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = 1
    with pytest.raises(InputError, match=r"other\.h5: an HDF5 file, but no recording of snnsim"):
        open_traces(tmp_path / "other.h5")
    shutil.copy(path / "v.h5", tmp_path / "alone.h5")
    with pytest.raises(InputError, match=r"alone\.h5: needs its name .* and spikes\.h5 beside it"):
        open_traces(tmp_path / "alone.h5")


def test_a_large_file_is_not_read_to_open_or_to_select(tmp_path, monkeypatch):
    batch = recording(50, rate=0.3, v=False)
    with TraceWriter(tmp_path, network(), duration=0.2, dt=DT) as writer:
        for _ in range(40):
            writer.append(batch)
    read = []
    original = h5py.Dataset.__getitem__

    def counting(self, key, *args, **kwargs):
        value = original(self, key, *args, **kwargs)
        read.append(getattr(value, "nbytes", 0))
        return value

    monkeypatch.setattr(h5py.Dataset, "__getitem__", counting)
    with open_traces(tmp_path) as traces:
        total = traces.spike_counts("input").sum() * 16
        assert_same_spikes(traces.spikes("input", slice(1000, 1050)), batch["input"].spikes)
    assert total > 5_000_000
    # The table of 2,000 trials, and 50 trials of spikes.
    assert sum(read) < 400_000


def test_public_names_are_lazy_and_complete():
    assert {"open_traces", "read_spikes", "Spikes", "Network"} <= set(dir(snnsim))
    for name in snnsim.__all__:
        assert getattr(snnsim, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = snnsim.nothing
