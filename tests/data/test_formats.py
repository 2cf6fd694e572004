"""Each format of events and arrays, from files that an independent writer made."""

import time

import numpy as np
import pytest
from PIL import Image

from snnsim.datasets import formats
from snnsim.datasets.formats import aedat, nmnist
from snnsim.errors import InputError
from tests.data import writers as w


def number(event, shape):
    """Neuron of an event: channels last, as the documentation has it."""
    _, x, y, p = event
    return (y * shape[2] + x) * shape[0] + p


def assert_events(events, wanted, shape):
    """Same times and neurons, in the order of times."""
    ticks, units = events
    assert ticks.tolist() == [e[0] for e in wanted]
    assert units.tolist() == [number(e, shape) for e in wanted]


@pytest.fixture
def rng():
    return np.random.default_rng(3)


def test_nmnist_folders_with_their_published_split(tmp_path, rng):
    wanted = {}
    for half, count in (("Train", 3), ("Test", 2)):
        for label in (0, 1):
            for k in range(count):
                path = tmp_path / half / str(label) / f"{k:05}.bin"
                path.parent.mkdir(parents=True, exist_ok=True)
                wanted[half, label, k] = w.random_events(rng, 40, (2, 34, 34), 2**23)
                path.write_bytes(w.nmnist(wanted[half, label, k]))
    found = formats.read(tmp_path)
    assert (found.shape, len(found.train), len(found.test)) == ((2, 34, 34), 6, 4)
    assert found.train.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert found.train.values.tick_ms == 1e-3
    for events, key in zip(found.train.values, [("Train", y, k) for y in (0, 1) for k in range(3)], strict=True):
        assert_events(events, wanted[key], found.shape)


def test_nmnist_clock_that_went_through(rng):
    """An event at row 240 adds 2**13 microseconds to all that follow, and is none itself."""
    data = w.nmnist([(5, 1, 2, 0), (9, 0, 240, 0), (3, 4, 5, 1), (7, 0, 240, 1), (1, 6, 7, 1)])
    ticks, units, shape = nmnist.decode(data, (), "file")
    assert ticks.tolist() == [5, 3 + 2**13, 1 + 2**14]
    assert units.tolist() == [number(e, shape) for e in ((0, 1, 2, 0), (0, 4, 5, 1), (0, 6, 7, 1))]


@pytest.mark.parametrize(("write", "suffix"), [(w.aedat2, "aedat"), (w.aedat31, "aedat")], ids=["2", "3.1"])
def test_aedat_in_class_folders(tmp_path, rng, write, suffix):
    wanted = []
    for name in ("cat", "dog"):
        for k in range(2):
            path = tmp_path / name / f"{name}_{k}.{suffix}"
            path.parent.mkdir(exist_ok=True)
            wanted.append(w.random_events(rng, 10, (2, 128, 128)))
            path.write_bytes(write(wanted[-1]))
    found = formats.read(tmp_path)
    assert found.train.labels.tolist() == ["cat", "cat", "dog", "dog"]
    assert found.shape == (2, 128, 128)
    for events, want in zip(found.train.values, wanted, strict=True):
        assert_events(events, want, found.shape)


def test_aedat_4_by_its_library(tmp_path, rng):
    wanted = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        wanted.append(w.random_events(rng, 7, (2, 10, 20)))
        (tmp_path / name / "0.aedat4").write_bytes(w.aedat4(wanted[-1], 20, 10))
    found = formats.read(tmp_path)
    assert found.shape == (2, 10, 20)
    for events, want in zip(found.train.values, wanted, strict=True):
        assert_events(events, [(t - want[0][0], *rest) for t, *rest in want], found.shape)


def test_aedat_31_clock_that_went_through():
    ticks, _, _ = aedat.decode(w.aedat31([(4, 1, 1, 1)], overflow=3), (), "file")
    assert ticks.tolist() == [4 + 3 * 2**31]


def test_aedat_events_out_of_order_are_sorted(rng):
    events = [(30, 1, 2, 0), (10, 3, 4, 1), (20, 5, 6, 0)]
    assert_events(aedat.decode(w.aedat2(events), (), "file")[:2], sorted(events), (2, 128, 128))


def test_dvs_gesture_cuts_samples_by_its_csv(tmp_path, rng):
    events = w.random_events(rng, 60, (2, 128, 128), 1000)
    for user, light in (("user01", "natural"), ("user02", "led"), ("user24", "led")):
        (tmp_path / f"{user}_{light}.aedat").write_bytes(w.aedat31(events))
        text = "class,startTime_usec,endTime_usec\n1,100,400\n11,400,900\n"
        (tmp_path / f"{user}_{light}_labels.csv").write_text(text)
    (tmp_path / "trials_to_train.txt").write_text("user01_natural.aedat\nuser02_led.aedat\n")
    (tmp_path / "trials_to_test.txt").write_text("user24_led.aedat\n")
    found = formats.read(tmp_path)
    assert found.train.labels.tolist() == [0, 10, 0, 10]
    assert found.class_names[10] == "other gestures"
    assert found.train.groups["user"].tolist() == [1, 1, 2, 2]
    assert found.test.groups["light"].tolist() == ["led", "led"]
    for k, (begin, end) in enumerate([(100, 400), (400, 900)] * 2):
        wanted = [(t - begin, *rest) for t, *rest in events if begin <= t < end]
        assert_events(found.train.values.read(k), wanted, found.shape)


def samples_of_channels(rng, n, size, kind=np.float16):
    out = []
    for _ in range(n):
        e = int(rng.integers(0, 50))
        out.append((np.sort(rng.random(e)).astype(kind), rng.integers(0, size, e)))
    return out


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_shd_folder_is_one_data_set(tmp_path, rng, kind):
    parts = {}
    for half, n in (("train", 300), ("test", 5), ("valid", 4)):
        parts[half] = samples_of_channels(rng, n, 700, kind)
        labels = np.arange(n) % 3
        w.shd(tmp_path / f"ssc_{half}.h5", parts[half], labels, np.arange(n) % 4, ["null", "eins", "zwei"], kind)
    found = formats.read(tmp_path)
    assert found.class_names == ("null", "eins", "zwei")
    assert found.shape == (1 + max(int(u.max()) for rows in parts.values() for _, u in rows if u.size),)
    for split, half in (("train", "train"), ("test", "test"), ("validation", "valid")):
        part = found.parts[split]
        assert part.labels.tolist() == [k % 3 for k in range(len(parts[half]))]
        assert part.groups["speaker"].tolist() == [k % 4 for k in range(len(parts[half]))]
        for (ticks, units), (t, u) in zip(part.values, parts[half], strict=True):
            np.testing.assert_array_equal(ticks, t)
            np.testing.assert_array_equal(units, u)
            assert ticks.dtype == kind


def test_one_shd_file_and_a_stated_number_of_channels(tmp_path, rng):
    w.shd(tmp_path / "mine.h5", samples_of_channels(rng, 6, 20), [0, 1] * 3)
    found = formats.read(tmp_path / "mine.h5", formats.Options(sensor=(64,), time_unit="ms"))
    assert (found.shape, found.train.values.tick_ms, found.test) == ((64,), 1.0, None)


@pytest.mark.parametrize("write", ["npz", "h5"])
def test_arrays_by_name(tmp_path, rng, write):
    import h5py

    arrays = {
        "x_train": rng.integers(0, 256, (6, 3, 4, 5), np.uint8), "y_train": np.arange(6) % 2,
        "x_test": rng.integers(0, 256, (2, 3, 4, 5), np.uint8), "y_test": np.array([0, 1]),
        "speaker_train": np.arange(6) % 3,
    }  # fmt: skip
    path = tmp_path / f"mine.{write}"
    if write == "npz":
        np.savez(path, **arrays)
    else:
        with h5py.File(path, "w") as file:
            for name, array in arrays.items():
                file[name] = array
    found = formats.read(path)
    assert found.shape == (3, 4, 5)
    # Channels last: value (c, y, x) has the number (y W + x) C + c.
    for c, y, x in ((0, 0, 0), (2, 3, 4), (1, 2, 0)):
        np.testing.assert_array_equal(found.train.values[:, (y * 5 + x) * 3 + c], arrays["x_train"][:, c, y, x])
    assert found.train.groups["speaker"].tolist() == [0, 1, 2] * 2
    assert found.test.labels.tolist() == [0, 1]


def test_arrays_of_numbers_in_their_ranges(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.array([[0.0, 0.5], [1.0, 0.25]], np.float16), y=np.array(["b", "a"]))
    found = formats.read(tmp_path / "a.npz")
    assert found.train.values.dtype == np.float32
    assert found.train.labels.tolist() == ["b", "a"]
    np.savez(tmp_path / "b.npz", x=np.array([[True, False], [False, True]]), y=[0.0, 1.0])
    found = formats.read(tmp_path / "b.npz")
    assert found.train.values.tolist() == [[255, 0], [0, 255]]
    assert found.train.labels.dtype == np.int64


@pytest.mark.parametrize("names", ["txyp", "txy", "tx"])
def test_structured_arrays_of_events(tmp_path, rng, names):
    samples = [w.random_events(rng, n, (2, 5, 7)) for n in (4, 0, 9)]
    x = w.structured([e for sample in samples for e in sample], names)
    np.savez(tmp_path / "t.npz", x=x, offsets=[0, 4, 4, 13], y=[0, 1, 0])
    shape = {"txyp": (2, 5, 7), "txy": (1, 5, 7), "tx": (7,)}[names]
    found = formats.read(tmp_path / "t.npz", formats.Options(sensor=shape))
    assert (found.shape, found.train.values.tick_ms) == (shape, 1e-3)
    for (ticks, units), sample in zip(found.train.values, samples, strict=True):
        full = (*(1,) * (3 - len(shape)), *shape)
        known = [(t, x, y if "y" in names else 0, p if "p" in names else 0) for t, x, y, p in sample]
        assert ticks.tolist() == [e[0] for e in known]
        assert units.tolist() == [number(e, full) for e in known]
    own = formats.read(tmp_path / "t.npz").shape
    assert own == tuple(1 + max(e["xyp".index(n) + 1] for s in samples for e in s) for n in "pyx" if n in names) or (
        names == "txy" and own[1:] == tuple(1 + max(e["xy".index(n) + 1] for s in samples for e in s) for n in "yx")
    )


def test_structured_arrays_in_class_folders(tmp_path, rng):
    wanted = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        wanted.append(w.random_events(rng, 12, (2, 6, 6)))
        np.save(tmp_path / name / "0.npy", w.structured(wanted[-1]))
    found = formats.read(tmp_path)
    for events, want in zip(found.train.values, wanted, strict=True):
        assert_events(events, want, found.shape)


def test_frames_of_spike_counts(tmp_path, rng):
    x = rng.integers(0, 3, (2, 4, 2, 3, 3))
    np.savez(tmp_path / "f.npz", x=x, y=[0, 1])
    found = formats.read(tmp_path / "f.npz", formats.Options(time_unit="5"))
    assert (found.shape, found.train.values.tick_ms, found.train.values.length) == ((2, 3, 3), 5.0, 4.0)
    for k, (ticks, units) in enumerate(found.train.values):
        counts = np.zeros_like(x[k])
        y_x, c = np.divmod(units, 2)
        np.add.at(counts, (ticks - 1, c, y_x // 3, y_x % 3), 1)
        np.testing.assert_array_equal(counts, x[k])


def test_a_recording_is_a_data_set(tmp_path):
    from snnsim.recording.writer import TraceWriter
    from tests.recordings import network, recording

    made = recording(n_trials=4)
    with TraceWriter(tmp_path / "traces", network(), duration=made.duration, dt=made.dt, time_unit_ms=2.0) as writer:
        writer.append(made, label=[2, 0, 2, 1], split="train")
    found = formats.read(tmp_path / "traces")
    assert (found.shape, found.train.labels.tolist()) == ((30,), [2, 0, 2, 1])
    assert found.class_names == (0, 1, 2, 3)  # as many as outputs, whatever labels there are
    assert found.train.values.tick_ms == 2.0
    for k, (ticks, units) in enumerate(found.train.values):
        np.testing.assert_array_equal(ticks, made["input"].spikes.trial(k)[0])
        np.testing.assert_array_equal(units, made["input"].spikes.trial(k)[1])
    hidden = formats.read(tmp_path / "traces", formats.Options(population="hidden0"))
    assert hidden.shape == (20,)
    with pytest.raises(InputError, match=r"data\.population = 'hidden7': .*traces has input, hidden0, output"):
        formats.read(tmp_path / "traces", formats.Options(population="hidden7"))


def test_images_in_class_folders(tmp_path, rng):
    pixels = {}
    for half in ("train", "test"):
        for name in ("apple", "pear"):
            folder = tmp_path / half / name
            folder.mkdir(parents=True)
            pixels[half, name] = rng.integers(0, 256, (4, 6, 3), np.uint8)
            Image.fromarray(pixels[half, name]).save(folder / "1.png")
    found = formats.read(tmp_path)
    assert (found.shape, found.test.labels.tolist()) == ((3, 4, 6), ["apple", "pear"])
    np.testing.assert_array_equal(found.train.values[1], pixels["train", "pear"].reshape(-1))


def test_decoders_take_ten_million_events_a_second(rng):
    """Measured at a tenth of that, since machines that test are busy."""
    n = 400_000
    t = np.sort(rng.integers(0, 2**23, n)).astype(np.int64)
    x, y, p = rng.integers(0, 34, n), rng.integers(0, 34, n), rng.integers(0, 2, n)
    five = np.stack([x, y, (p << 7) | (t >> 16), (t >> 8) & 255, t & 255], 1).astype(np.uint8).tobytes()
    two = np.stack([(x << 8) | (y << 1) | p, t], 1).astype(">u4").tobytes()
    for decode, data in ((nmnist.decode, five), (aedat.decode, w.AEDAT2.encode() + two)):
        best = np.inf
        for _ in range(3):
            started = time.process_time()
            ticks, _, _ = decode(data, (), "file")
            best = min(best, time.process_time() - started)
        assert len(ticks) == n
        assert n / best > 1e6
