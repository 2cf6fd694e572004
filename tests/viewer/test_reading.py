"""What the viewer reads and sums up, without Bokeh and without a browser."""

import json
import os
import time

import numpy as np
import pytest

from snnsim.errors import InputError
from snnsim.network import Network
from snnsim.parameters import ALIF, LIFParameters
from snnsim.recording.membrane import course, one_of
from snnsim.recording.reader import open_traces
from snnsim.recording.writer import TraceWriter
from snnsim.viewer.cells import look, shades
from snnsim.viewer.curves import Curves
from snnsim.viewer.maps import mosaic_of
from snnsim.viewer.neuron import close_look, thinned
from snnsim.viewer.source import Follower, Source, place_of
from snnsim.viewer.trials import described, matching, partner
from tests.command import Caller
from tests.recordings import network, recording

DT, UNIT, TRIALS = 0.01, 2.0, 6


def write(folder, made, batches=1, net=None, **options):
    writer = TraceWriter(
        folder, net or network(), duration=made.duration, dt=made.dt, scheme="exact", record=("spikes", "v", "i_syn"),
        time_unit_ms=UNIT, **options,
    )  # fmt: skip
    labels = np.arange(TRIALS) % 3
    with writer:
        writer.append(made, label=labels, prediction=np.where(labels == 1, 2, labels), sample_index=labels + 10)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write(tmp_path_factory.mktemp("view") / "traces", recording(TRIALS, seed=3))


@pytest.fixture
def source(folder):
    opened = read(Source(folder))
    yield opened
    opened.close()


def read(source):
    while source.advance():
        pass
    assert source.error == ""
    return source


# cells


@pytest.mark.parametrize("step", [None, 0.25])
@pytest.mark.parametrize("pixels", [(7, 3), (40, 11), (1000, 1000)])
def test_cells_hold_every_spike_of_the_window_once(step, pixels):
    rng = np.random.default_rng(0)
    times = np.sort(rng.integers(0, 401, 5000)) * 0.25 if step else np.sort(rng.random(5000) * 100)
    rows = rng.integers(0, 23, 5000).astype(np.int32)
    low, high, first, last = 20.0, 71.5, 4, 19
    seen = look(times, rows, (low, high), (first, last), pixels, step, most=10)
    inside = (times >= low) & (times <= high) & (rows >= first) & (rows < last)
    assert seen.total == inside.sum() == seen.counts.sum()
    left, base, width, height = seen.place
    assert left <= low
    assert left + width >= high - 1e-9
    assert seen.counts.shape[1] <= pixels[0] + 1
    assert seen.counts.shape[0] <= max(pixels[1], 1)
    assert (base, height) == (first - 0.5, seen.cell[1] * len(seen.counts))
    # The oracle: a histogram over the edges that the view itself names.
    edges = left + seen.cell[0] * np.arange(seen.counts.shape[1] + 1)
    levels = base + seen.cell[1] * np.arange(len(seen.counts) + 1)
    expected = np.histogram2d(rows[inside], times[inside], (levels, edges))[0]
    np.testing.assert_array_equal(seen.counts, expected)
    if step:
        np.testing.assert_allclose(seen.cell[0] / step, np.rint(seen.cell[0] / step), rtol=1e-12)
        np.testing.assert_allclose((edges / step) % 1, 0.5, atol=1e-9)  # no spike lies on an edge


def test_few_spikes_are_given_one_by_one():
    times, rows = np.array([1.0, 2.0, 2.0, 3.0]), np.array([0, 1, 5, 1], np.int32)
    seen = look(times, rows, (1.5, 3.0), (0, 3), (10, 10), 0.5, most=2)
    assert seen.counts is None
    assert seen.times.tolist() == [2.0, 3.0]
    assert seen.rows.tolist() == [1, 1]
    assert look(times, rows, (1.5, 3.0), (0, 3), (10, 10), 0.5, most=1).counts.sum() == 2


def test_an_empty_window_has_no_spikes():
    seen = look(np.empty(0), np.empty(0, np.int32), (0, 1), (0, 5), (10, 10), 0.1)
    assert (seen.total, len(seen.times)) == (0, 0)


def test_shades_rise_with_the_count_and_nothing_is_clear():
    dark = shades(np.array([[0, 1, 2], [50, 99, 100]], np.uint32)).reshape(-1).astype(int)
    assert dark[0] == 0
    assert dark[-1] == 255
    assert (np.diff(dark) > 0).all()
    assert shades(np.zeros((2, 2), np.uint32)).max() == 0


# a recording, read into memory


def test_a_source_holds_what_the_reader_gives(source, folder):
    with open_traces(folder) as traces:
        for name, train in source.trains.items():
            spikes = traces.spikes(name)
            assert train.count == len(spikes.times)
            for trial in range(TRIALS):
                times, rows = train.arrays(trial)
                own_times, own_neurons = spikes.trial(trial)
                np.testing.assert_allclose(times - traces.trials.start_time[trial], own_times * UNIT, atol=1e-9)
                np.testing.assert_array_equal(rows, own_neurons)
        assert source.note() == f"clock engine, dt = 0.02 ms, exact, {TRIALS} trials, {source.spikes:,} spikes"


def test_trials_can_be_chosen_and_memory_ends(folder, monkeypatch):
    part = read(Source(folder, (2, 4)))
    whole = read(Source(folder))
    for name in part.trains:
        np.testing.assert_array_equal(part.trains[name].arrays(1)[0], whole.trains[name].arrays(3)[0])
    assert part.loaded == 4
    monkeypatch.setattr("snnsim.viewer.source.MOST_SPIKES", 10)
    few = read(Source(folder))
    assert few.full
    assert few.loaded < TRIALS
    assert f"only trials 0..{few.loaded - 1} are in memory" in few.note()
    for opened in (part, whole, few):
        opened.close()


def test_a_growing_recording_appears(tmp_path):
    """After each commit, read by the thread that the server has; the end of the run is seen, too."""
    made = recording(2, seed=1, v=False)
    source = Source(tmp_path)
    follower = Follower([source])
    follower.start()
    try:
        with TraceWriter(tmp_path, network(), duration=made.duration, dt=DT, scheme="exact", flush_seconds=0) as writer:
            for trials in (2, 4, 6):
                writer.append(made)
                begin = time.monotonic()
                while source.loaded < trials and time.monotonic() - begin < 30:
                    time.sleep(0.02)
                assert source.loaded == trials
                assert source.growing
        begin = time.monotonic()
        while source.growing and time.monotonic() - begin < 30:
            time.sleep(0.02)
        assert not source.growing
    finally:
        follower.stop()
    assert source.error == ""
    assert source.spikes == 3 * sum(len(layer.spikes.times) for layer in made.layers)
    source.close()


def test_another_recording_in_its_place_is_read_from_the_start(tmp_path):
    source = Source(tmp_path)
    with TraceWriter(tmp_path, network(), duration=0.2, dt=DT, scheme="exact", flush_seconds=0) as writer:
        writer.append(recording(4, v=False))
        read(source)
        assert source.loaded == 4
    write(tmp_path, recording(TRIALS, seed=8), overwrite=True)
    read(source)
    assert source.loaded == TRIALS
    with open_traces(tmp_path) as traces:
        assert source.trains["input"].count == traces.spike_counts("input").sum()
    source.close()


@pytest.mark.parametrize("bad", ["text", "empty", "foreign", "cut", "damaged"])
def test_what_is_wrong_with_a_file_is_one_line(folder, tmp_path, bad):
    import h5py

    target = tmp_path / "traces"
    target.mkdir()
    path = target / "spikes.h5"
    whole = (folder / "spikes.h5").read_bytes()
    if bad == "foreign":
        with h5py.File(path, "w") as file:
            file["values"] = np.arange(3)
    else:
        path.write_bytes({"text": b"<script>alert(1)</script>\n", "empty": b"", "cut": whole[:5000]}.get(bad, whole))
    if bad == "damaged":
        with h5py.File(path, "r+") as file:
            file["spikes/hidden0/node_ids"][0] = 25
    source = Source(target)
    while source.advance():
        pass
    assert str(target) in source.error
    assert "\n" not in source.note()
    assert source.note() == source.error
    assert source.trains == {}
    before = source.version
    source.advance()
    assert source.version == before  # it is not tried again until it changes
    os.unlink(path)
    write(tmp_path / "good", recording(TRIALS))
    path.write_bytes((tmp_path / "good" / "spikes.h5").read_bytes())
    read(source)
    assert source.spikes > 0
    source.close()


def test_a_run_names_its_recording_and_its_record(tmp_path):
    (tmp_path / "config.toml").write_text("")
    assert place_of(tmp_path) == (tmp_path / "traces", tmp_path)
    with pytest.raises(InputError, match="no such file"):
        place_of(tmp_path / "nothing")


# trials


def test_trials_by_label_and_outcome(source):
    trials = source.trials
    assert matching(trials).tolist() == list(range(TRIALS))
    assert matching(trials, label=1).tolist() == [1, 4]
    assert matching(trials, outcome="wrong").tolist() == [1, 4]
    assert matching(trials, label=2, outcome="correct").tolist() == [2, 5]
    assert matching(trials, outcome="correct", first=3).tolist() == [3, 5]
    assert described(trials[1], 1, source.units).startswith("trial 1, label 1, predicted 2 (wrong)")


def test_partners_show_the_same_sample(source):
    trials = source.trials
    others = trials[[3, 1]].copy()
    assert partner(trials, others, 0) == 0
    assert partner(trials, others, 1) == 1
    assert partner(trials, others, 2) is None  # the sample is not there
    others.sample_index = -1
    assert partner(trials, others, 1) == 1
    assert partner(trials, others, 4) is None


# one neuron


def test_a_neuron_s_membrane_current_threshold_and_spikes(source):
    seen = close_look(source.traces, "hidden0", 2, 5)
    spikes = source.traces.spikes("hidden0", [2], neurons=[5]).times
    np.testing.assert_allclose(seen.spikes, spikes * UNIT)
    v = source.traces.v("hidden0", 2, neurons=[5])[:, 0]
    assert set(np.round(v.astype(float), 6)) <= set(np.round(seen.v[1], 6))
    np.testing.assert_allclose(seen.current[1][1:], source.traces.i_syn("hidden0", 2, neurons=[5])[:, 0])
    assert seen.threshold[1].tolist() == [1.5, 1.5]
    assert seen.reset == 1.0
    assert seen.missing == ""
    part = close_look(source.traces, "hidden0", 2, 5, (0.1, 0.2))
    assert part.v[0].min() >= 0.1 - 1e-9
    assert part.v[0].max() <= 0.2 + 1e-9


def test_what_was_not_recorded_is_said(tmp_path):
    made = recording(1, v=False)
    with TraceWriter(tmp_path, network(), duration=made.duration, dt=DT, scheme="exact") as writer:
        writer.append(made)
    with open_traces(tmp_path) as traces:
        seen = close_look(traces, "hidden0", 0, 3)
        assert seen.v is None
        assert seen.missing.startswith("v and i_syn not recorded (snnsim simulate")
        assert set(seen.tops) <= {1.5}
        assert close_look(traces, "input", 0, 3).threshold is None


def test_the_threshold_of_a_neuron_that_adapts_follows_its_spikes(tmp_path):
    neuron = ALIF(tau_a=0.5, beta=0.3, q=1.0, a0=0.2, v_threshold=1.5, v_reset=1.0)
    net = Network.chain([np.zeros((30, 20), np.float32), np.zeros((20, 4), np.float32)], [neuron, LIFParameters()])
    made = recording(TRIALS, seed=2)
    write(tmp_path / "t", made, net=net)
    with open_traces(tmp_path / "t") as traces:
        found = course(traces, "hidden0", 1, 7)
    own = made["hidden0"].spikes.trial(1)
    own = own[0][own[1] == 7]
    assert own.size
    at, level = found.threshold
    for t, value in zip(at[::37], level[::37], strict=True):
        a = 0.2 * np.exp(-t / 0.5) + np.exp(-(t - own[own < t]) / 0.5).sum()
        assert value == pytest.approx(1.5 + 0.3 * a, abs=1e-6)


def test_parameters_of_one_neuron():
    many = LIFParameters(v_threshold=[1.0, 2.0, 3.0], v_reset=0.5)
    assert one_of(many, 1) == LIFParameters(v_threshold=2.0, v_reset=0.5)


def test_thinned_lines_keep_their_ends_and_extremes():
    rng = np.random.default_rng(0)
    t, y = np.arange(100_003) * 0.1, rng.standard_normal(100_003).cumsum()
    a, b = thinned(t, y, 400)
    assert len(a) <= 500
    assert (a[0], a[-1], b.min(), b.max()) == (t[0], t[-1], y.min(), y.max())
    assert thinned(t[:10], y[:10], 400)[0] is not None
    assert len(thinned(t[:10], y[:10], 400)[0]) == 10


# maps


def test_maps_stand_where_nodes_say(tmp_path):
    net = Network()
    net.input("input", (2, 3, 4))
    net.population("output", 4, LIFParameters())
    net.connect("input", "output")
    net.set("input->output", np.zeros((24, 4), np.float32))
    made = recording(1, sizes=(24, 4), v=False)
    with TraceWriter(tmp_path, net, duration=made.duration, dt=DT, scheme="exact", layers=["input"]) as writer:
        writer.append(made)
    with open_traces(tmp_path) as traces:
        mosaic = mosaic_of(traces, "input")
        assert mosaic_of(traces, "output") is None
    picture = mosaic.picture(np.arange(24))
    for neuron in range(24):  # channels last, as a population's neurons are counted
        (y, x), c = divmod(neuron // 2, 4), neuron % 2
        found = np.argwhere(picture == neuron)[0]
        assert mosaic.describe(*found) == (c, y, x)
    assert np.isnan(picture).sum() == picture.size - 24


# a run


def test_epochs_appear_as_they_are_written(tmp_path):
    curves = Curves(tmp_path)
    curves.advance()
    assert curves.records == []
    lines = [json.dumps({"epoch": k, "train_loss": 1 / (k + 1), "val_accuracy": None}) + "\n" for k in range(3)]
    (tmp_path / "metrics.jsonl").write_text("".join(lines[:2]))
    curves.advance()
    assert curves.epochs == [0, 1]
    assert curves.column("train_loss") == [1.0, 0.5]
    assert np.isnan(curves.column("val_accuracy")).all()
    (tmp_path / "metrics.jsonl").write_text("".join(lines) + '{"epo')
    curves.advance()
    assert curves.epochs == [0, 1, 2]
    (tmp_path / "metrics.jsonl").write_text("no json\n" + lines[0])
    curves.advance()
    assert "line 1" in curves.error


def test_the_command_refuses_what_it_cannot_show(tmp_path, monkeypatch, capsys):
    call = Caller(monkeypatch, capsys)
    assert "no such file" in call.refused("view", tmp_path / "none")
    assert "but not 3" in call.refused("view", tmp_path, tmp_path, tmp_path)
    for text in ("5", "3:3", "-1:4", "a:b"):
        assert f"--trials {text}: must be A:B" in call.refused("view", tmp_path, "--trials", text)
