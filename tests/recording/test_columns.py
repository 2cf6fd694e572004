"""Columns of a recording: what HDF5's own filter reads back, whatever the runs, chunks and flushes."""

import io
import shutil

import h5py
import libsonata
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnsim import open_traces
from snnsim.recording import layout, scaleoffset
from snnsim.recording.clock import Clock
from snnsim.recording.columns import PackedColumn, RunColumn
from snnsim.recording.repair import mend
from snnsim.recording.writer import TraceWriter
from snnsim.spikes import RowSpikes, Spikes, StepSpikes
from tests.recordings import assert_same_spikes, network, recording

CHUNK = 64


def dataset(file, dtype, digits):
    return file.create_dataset("x", (0,), dtype, maxshape=(None,), chunks=(CHUNK,), scaleoffset=digits)


def widths(data):
    """Bytes a row of each chunk."""
    return [data.id.get_chunk_info(k).size // data.chunks[0] for k in range(data.id.get_num_chunks())]


def stored(file):
    """What a reader finds; the handle that writes does not see which chunks skip the filter."""
    file.flush()
    with h5py.File(io.BytesIO(file.id.get_file_image())) as copy:
        return copy["x"][:]


@pytest.mark.parametrize(("largest", "size"), [(0, 1), (253, 1), (254, 1), (255, 2), (65534, 2)])
def test_codes_up_to_the_largest_and_never_all_ones(largest, size):
    values = np.linspace(0, largest, CHUNK).astype(np.uint32)
    with h5py.File("x", "w", driver="core", backing_store=False) as file:
        data = dataset(file, np.uint32, 0)
        column = PackedColumn(data, scaleoffset.code_type(largest, data.dtype))
        assert column.dtype.itemsize == size
        column.append(values.astype(f">u{size}").view(column.dtype))
        assert data.id.get_chunk_info(0).size == 21 + size * CHUNK
        np.testing.assert_array_equal(data[:], values)


def test_no_codes_of_more_than_half_the_width():
    assert scaleoffset.code_type(65535, np.dtype("u4")) is None
    assert scaleoffset.code_type(2**32 - 1, np.dtype("f8")) is None


@pytest.mark.parametrize("largest", [253, 65533, 65534, 2**32 - 2, 2**32 - 1, 2**40])
def test_decimals_of_up_to_four_bytes(largest):
    with h5py.File("x", "w", driver="core", backing_store=False) as file:
        data = dataset(file, np.float64, 2)
        values = np.rint(np.linspace(0, largest, CHUNK)) / 100
        RunColumn(data, 2).append(values, np.arange(1, CHUNK + 1))
        assert widths(data)[0] <= 4 or largest > 2**32 - 2
        np.testing.assert_array_equal(stored(file), values)


@pytest.mark.parametrize(
    ("digits", "first", "step", "size"),
    [
        (1, 500_000, 1, 1),
        (1, 500_000, 1000, 2),
        (2, 123_456_789, 20, 2),
        (9, 10**12, 500, 2),
        # Counted from 70, some of these would be read as another double.
        (3, 70_000, 501, 4),
    ],
)
def test_decimals_far_from_zero_are_counted_from_a_whole_number(digits, first, step, size):
    with h5py.File("x", "w", driver="core", backing_store=False) as file:
        data = dataset(file, np.float64, digits)
        values = (first + step * np.arange(CHUNK)) / 10.0**digits
        RunColumn(data, digits).append(values, np.arange(1, CHUNK + 1))
        assert widths(data) == [size]
        np.testing.assert_array_equal(stored(file), values)


def test_chunk_of_the_library_has_the_same_codes(tmp_path):
    values = np.arange(1, CHUNK + 1, dtype=np.uint32) * 4
    with h5py.File(tmp_path / "x.h5", "w") as file:
        data = dataset(file, np.uint32, 8)
        data.resize((CHUNK,))
        data[:] = values
        file.flush()
        theirs = data.id.read_direct_chunk((0,))[1]
        kind = scaleoffset.code_type(250, values.dtype)
        ours, codes = scaleoffset.framed(np.empty(24 + CHUNK, np.uint8), CHUNK, kind, np.uint32(4))
        codes[:] = values - 4
        assert theirs[:13] == ours[:13].tobytes()
        assert theirs[21 : 21 + CHUNK] == ours[21:].tobytes()


@settings(deadline=None, max_examples=150)
@given(
    runs=st.lists(
        st.tuples(st.integers(0, 70_000), st.sampled_from([1, 2, 31, 63, 64, 65, 128, 200])), min_size=1, max_size=25
    ),
    kind=st.sampled_from([("u4", 0), ("f8", 1), ("f8", 3), ("f8", None)]),
    start=st.sampled_from([0, 250, 65_000, 2**31]),
    flushes=st.sets(st.integers(0, 24)),
    spoilt=st.booleans(),
)
def test_runs_are_read_back_to_the_bit(runs, kind, start, flushes, spoilt):
    dtype, digits = kind
    steps, counts = (np.array(x) for x in zip(*runs, strict=True))
    values = start + np.cumsum(steps)
    values = values.astype("u4") if dtype == "u4" else values / 10.0 ** (digits or 1)
    if spoilt and dtype == "f8":
        values[-1] += 1 / 3
    ends = np.cumsum(counts)
    with h5py.File("x", "w", driver="core", backing_store=False) as file:
        data = dataset(file, dtype, digits)
        column = RunColumn(data, digits)
        for k in range(len(values)):
            column.append(values[k : k + 1], ends[k : k + 1])
            if k in flushes:
                column.flush()
                np.testing.assert_array_equal(stored(file), np.repeat(values[: k + 1], counts[: k + 1]))
        column.flush()
        np.testing.assert_array_equal(stored(file), np.repeat(values, counts))


def test_many_runs_at_once_are_the_same_as_one_by_one():
    rng = np.random.default_rng(0)
    counts = rng.integers(1, 40, 300)
    values, ends = np.cumsum(rng.integers(0, 3, 300)) / 10, np.cumsum(counts)
    with h5py.File("x", "w", driver="core", backing_store=False) as file:
        data = dataset(file, "f8", 1)
        column = RunColumn(data, 1)
        column.append(values, ends)
        column.flush()
        np.testing.assert_array_equal(data[:], np.repeat(values, counts))
        assert set(widths(data)[:-1]) <= {1, 2}


def test_a_chunk_that_was_flushed_keeps_its_place_and_size():
    with h5py.File("x", "w", driver="core", backing_store=False) as file:
        data = dataset(file, "u4", 0)
        column = RunColumn(data, 0)
        column.append(np.array([3], np.uint32), np.array([CHUNK // 2]))
        column.flush()
        before = data.id.get_chunk_info(0)
        column.append(np.array([500], np.uint32), np.array([2 * CHUNK + 1]))
        column.flush()
        after = data.id.get_chunk_info(0)
        assert (after.byte_offset, after.size) == (before.byte_offset, before.size)
        assert widths(data) == [2, 1, 2]
        np.testing.assert_array_equal(data[:], np.repeat([3, 500], [CHUNK // 2, 2 * CHUNK + 1 - CHUNK // 2]))


def long_run(path, dt, batches=8, **options):
    """A recording whose spikes fill chunks between commits; returns the batch that it repeats."""
    sizes, n_steps = (300, 270, 4), 20
    batch = recording(40, n_steps, sizes, dt, rate=0.4, v=False)
    with TraceWriter(
        path, network(sizes), duration=n_steps * dt, dt=dt, scheme="exact", flush_seconds=1e9, **options
    ) as writer:
        for _ in range(batches):
            writer.append(batch)
    return batch


@pytest.mark.parametrize(
    ("dt", "unit"), [(0.1, 1.0), (0.01, 5.0), (0.025, 0.3), (1.0, 1.0), (1 / 3, 1.0), (1 / 64, 1.0)]
)
def test_stamps_of_whole_chunks_are_correctly_rounded_decimals(tmp_path, dt, unit):
    batch = long_run(tmp_path, dt, time_unit_ms=unit)
    packs = dt != 1 / 3
    reader = libsonata.SpikeReader(tmp_path / "spikes.h5")
    with h5py.File(tmp_path / "spikes.h5") as file, open_traces(tmp_path) as traces:
        for name in ("input", "hidden0", "output"):
            group, spikes = file["spikes"][name], batch[name].spikes
            trial = (np.arange(8)[:, None] * 40 + np.repeat(np.arange(40), np.diff(spikes.offsets))).ravel()
            step = np.tile(np.rint(spikes.times / dt).astype(int), 8)
            stamps = group["timestamps"][:]
            if packs:
                digits = group["timestamps"].scaleoffset
                ticks = round(dt * unit * 10**digits)
                np.testing.assert_array_equal(stamps, (trial * 20 + step) * ticks / 10.0**digits)
            else:
                assert group["timestamps"].scaleoffset is None
            # dt * unit is rounded once more here than in the file.
            np.testing.assert_allclose(stamps, (trial * 20 + step) * dt * unit, rtol=1e-12)
            assert np.all(np.diff(stamps) >= 0)
            assert np.all(stamps <= traces.trials.stop_time[trial])
            assert np.all(stamps > traces.trials.start_time[trial])
            np.testing.assert_array_equal(group["trial_ids"][:], trial)
            np.testing.assert_array_equal(group["node_ids"][:], np.tile(spikes.neurons, 8))
            if name != "output":
                assert set(widths(group["node_ids"])) == {2}
                assert set(widths(group["trial_ids"])) <= {1, 2}
                assert set(widths(group["timestamps"])) <= ({1, 2, 4} if packs else {8})
            theirs = reader[name].get_dict()
            np.testing.assert_array_equal(theirs["timestamps"], stamps)
            np.testing.assert_array_equal(theirs["node_ids"], np.tile(spikes.neurons, 8))
            assert_same_spikes(traces.spikes(name, slice(40, 80)), spikes)
            np.testing.assert_array_equal(traces.spike_counts(name), 8 * spikes.counts().sum(axis=0))


def test_a_cut_changes_no_bit_of_what_stays(tmp_path):
    long_run(tmp_path, 0.1)
    path = tmp_path / layout.INDEX
    with h5py.File(path) as file:
        before = {(name, field): data[:] for name, group in file["spikes"].items() for field, data in group.items()}
        ends = {name: file[f"snnsim/populations/{name}/spike_end"][159] for name in file["spikes"]}
        assert ends["input"] % layout.spike_chunk(300)
    size = path.stat().st_size
    mend(path, 160, 1)
    assert path.stat().st_size <= size
    with h5py.File(path) as file:
        for (name, field), values in before.items():
            np.testing.assert_array_equal(file[f"spikes/{name}/{field}"][:], values[: ends[name]])


def test_a_growing_file_and_what_a_kill_leaves_of_it(tmp_path):
    sizes, live, dead = (300, 270, 4), tmp_path / "live", tmp_path / "dead"
    batch = recording(40, 20, sizes, 0.1, rate=0.4, v=False)
    with TraceWriter(live, network(sizes), duration=2.0, dt=0.1, scheme="exact", flush_seconds=1e9) as writer:
        for _ in range(3):
            writer.append(batch)
        writer.flush()
        with open_traces(live) as traces:
            assert_same_spikes(traces.spikes("input", slice(80, 120)), batch["input"].spikes)
            for _ in range(4):
                writer.append(batch)
            assert traces.refresh() == 120
            assert_same_spikes(traces.spikes("input", slice(80, 120)), batch["input"].spikes)
            shutil.copytree(live, dead)
            writer.flush()
            assert traces.refresh() == 280
            for first in range(0, 280, 40):
                for name in ("input", "hidden0", "output"):
                    assert_same_spikes(traces.spikes(name, slice(first, first + 40)), batch[name].spikes)
    for mended in (False, True):
        with open_traces(dead) as traces:
            assert (len(traces), traces.growing) == (120, not mended)
            for first in range(0, 120, 40):
                assert_same_spikes(traces.spikes("hidden0", slice(first, first + 40)), batch["hidden0"].spikes)
        mend(dead / layout.INDEX, 120, 1)


def test_a_spike_off_the_grid_amid_a_chunk_that_is_on_the_disk(tmp_path):
    sizes, live, dead = (30, 20, 4), tmp_path / "live", tmp_path / "dead"
    batches = [
        recording(4, 20, sizes, 0.1, v=False, on_grid=grid, seed=k) for k, grid in enumerate((True, False, True))
    ]
    expected = []
    with TraceWriter(live, network(sizes), duration=2.0, dt=0.1, scheme="exact", flush_seconds=0) as writer:
        for batch in batches:
            starts = (writer.trials + np.arange(4)) * 2.0
            spikes = batch["input"].spikes
            expected.append(np.repeat(starts, np.diff(spikes.offsets)) + spikes.times)
            writer.append(batch)
            shutil.copytree(live, dead)
            for _ in range(2):
                with h5py.File(dead / layout.INDEX, swmr=True) as file:
                    stamps = file["spikes/input/timestamps"][:]
                # The file rounds a decimal once, the sum here twice: a few units in the last place.
                np.testing.assert_allclose(stamps, np.concatenate(expected), rtol=1e-15)
                mend(dead / layout.INDEX, writer.trials, 1)
            shutil.rmtree(dead)


def test_spikes_off_the_grid_of_a_clock_keep_their_stamps(tmp_path):
    sizes = (300, 270, 4)
    batch = recording(40, 20, sizes, 0.1, rate=0.4, v=False, on_grid=False)
    batch = type(batch)(batch.layers, "clock", batch.duration, 0.1, "exact")
    with TraceWriter(tmp_path, network(sizes), duration=2.0, dt=0.1, scheme="exact", flush_seconds=1e9) as writer:
        for _ in range(3):
            writer.append(batch)
    mend(tmp_path / layout.INDEX, 100, 1)
    with h5py.File(tmp_path / layout.INDEX) as file:
        stamps, spikes = file["spikes/input/timestamps"][:], batch["input"].spikes
        trial = (np.arange(3)[:, None] * 40 + np.repeat(np.arange(40), np.diff(spikes.offsets))).ravel()
        want = trial * 2.0 + np.tile(spikes.times, 3)
        np.testing.assert_array_equal(stamps, want[: stamps.size])
        assert stamps.size == file["snnsim/populations/input/spike_end"][-1]


def test_clock():
    clock = Clock(5.0, 5.0, 0.1)
    assert (clock.digits, clock.step_ticks) == (1, 1)
    trials = np.arange(10_000)
    np.testing.assert_array_equal(clock.starts(trials + 1), clock.stops(trials))
    np.testing.assert_array_equal(Clock(4.9, 4.9, 0.7).starts(trials), trials * 49 / 10)
    assert Clock(5.0, 5.0, None).digits is None
    assert Clock(1.0, 1.0, 1 / 3).digits is None
    assert Clock(1.0, 1.0, 0.1).digits == 1
    assert Clock(1.0, 1.05, 0.1).digits == 2


@pytest.mark.parametrize("n_trials", [0, 1, 7])
def test_step_spikes_are_spikes(n_trials):
    rng = np.random.default_rng(0)
    dense = rng.random((n_trials, 6, 5)) < 0.3
    plain = Spikes.from_dense(dense, 0.1)
    ends = np.cumsum(dense.sum(axis=2).ravel()).reshape(n_trials, 6)
    steps = StepSpikes(ends, plain.neurons, 0.1, 5, 6 * 0.1)
    assert_same_spikes(steps, plain)
    for spikes in (steps, plain):
        times, stops, trial_runs = spikes.runs()
        counts = np.diff(stops, prepend=0)
        np.testing.assert_array_equal(np.repeat(times, counts), plain.times)
        np.testing.assert_array_equal(np.concatenate([[0], stops])[trial_runs], plain.offsets)


def test_row_spikes_are_step_spikes_until_the_rows_change():
    rng = np.random.default_rng(0)
    dense = rng.random((7, 6, 5)) < 0.3
    plain = Spikes.from_dense(dense, 0.1)
    row_ptr = np.zeros((7, 7), np.int32)
    np.cumsum(dense.sum(axis=2), axis=1, out=row_ptr[:, 1:])
    rows = np.full((7, 40), -1, np.int32)
    rows[np.arange(40) < row_ptr[:, -1:]] = plain.neurons
    spikes = RowSpikes(rows, row_ptr, 0.1, 5, 6 * 0.1)
    entries, begins = spikes.lists()
    for b in range(7):
        np.testing.assert_array_equal(entries[begins[b] :][: row_ptr[b, -1]], plain.trial(b)[1])
    kept = spikes.copy()
    rows[:] = -1
    assert_same_spikes(kept, plain)
    assert np.all(RowSpikes(rows, row_ptr, 0.1, 5, 6 * 0.1).neurons == -1)


@pytest.mark.parametrize(
    ("elements", "frames", "rows"), [(400, 50, 1250), (10, 50, 5000), (400, 7, 700), (400, 2000, 1000), (10**6, 50, 1)]
)
def test_chunks_of_reports_hold_whole_trials(elements, frames, rows):
    assert layout.report_chunk(elements, 4, frames) == rows
    assert rows * elements * 4 <= max(layout.CHUNK_BYTES, elements * 4)
