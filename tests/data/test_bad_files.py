"""Whatever is wrong with a file, folder or label: one clear line that names it, from reading to the command line."""

import struct
from pathlib import Path

import h5py
import numpy as np
import pytest

from snnsim import config
from snnsim.datasets.sets import sample_sets
from snnsim.errors import InputError
from tests.command import Caller
from tests.data import writers as w

X, Y = np.zeros((4, 3)), np.array([0, 1, 0, 1])
EVENTS = w.structured([(5, 1, 2, 0), (9, 2, 2, 1)])
HEAD_OF_12 = struct.pack("<HHIIIIII", 1, 1, 12, 4, 0, 1, 1, 1)
CSV = "class,startTime_usec,endTime_usec\n"


def npz(**arrays):
    return lambda path: np.savez(path / "a.npz", **arrays)


def file(name, data):
    def write(path):
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data if isinstance(data, bytes) else data.encode())

    return write


def files(**named):
    def write(path):
        for name, data in named.items():
            file(name.replace("__", "/").replace("_dot_", "."), data)(path)

    return write


def folders(*names):
    def write(path):
        for name in names:
            (path / name).mkdir(parents=True)

    return write


def shd(change=None, **options):
    def write(path):
        samples = [([0.1, 0.2], [1, 2]), ([0.3], [0])]
        w.shd(path / "a_train.h5", samples, options.pop("labels", [0, 1]), **options)
        if change:
            with h5py.File(path / "a_train.h5", "r+") as opened:
                change(opened)

    return write


def both(*writers):
    def write(path):
        for one in writers:
            one(path)

    return write


def set_sample(name, k, values):
    def change(opened):
        opened[f"spikes/{name}"][k] = values

    return change


def two_heidelberg(path):
    for name, units in (("a_train.h5", 10), ("a_test.h5", 20)):
        w.shd(path / name, [([0.1], [1]), ([0.2], [2])], [0, 1])
        with h5py.File(path / name, "r+") as opened:
            opened.attrs["n_units"] = units


def gesture(csv=CSV + "1,10,50\n", names="user01_led.aedat\n", aedat=None):
    return files(
        trials_to_train_dot_txt=names, user01_led_labels_dot_csv=csv,
        user01_led_dot_aedat=w.aedat31([(20, 1, 1, 1)]) if aedat is None else aedat,
    )  # fmt: skip


EVENT = w.nmnist([(5, 1, 2, 1)])
BAD = {
    # name: (what writes it, path below the folder, settings, what the line says)
    "no such file": (folders("x"), "b.npz", (), "dataset '{path}': must be one of mnist, .* or a file or folder"),
    "unknown name": (folders("x"), None, ("data.dataset=shdd",), "dataset 'shdd': must be one of mnist"),
    "named set that is not there": (
        folders("x"), None, ("data.dataset=shd",), "dataset shd: not found in .*data fetch shd",
    ),
    "unknown kind of file": (file("a.txt", "x"), "a.txt", (), r"a\.txt: in no format that is read"),
    "empty folder": (folders("x"), "x", (), "x: in no format that is read"),
    "folder beside a name": (
        npz(x=X, y=Y), "a.npz", ("data.data_dir={folder}",), "data.data_dir = .*belongs to a set with a name",
    ),
    # arrays
    "no npz": (file("a.npz", b"PK no zip"), "a.npz", (), r"a\.npz: not a file \.npz of NumPy"),
    "text as npz": (file("a.npz", "1 2 3"), "a.npz", (), r"a\.npz: not a file \.npz"),
    "npz of objects": (npz(x=np.array([[1], [2, 3]], dtype=object), y=Y), "a.npz", (), "arrays of Python objects"),
    "no x": (npz(data=X, y=Y), "a.npz", (), "has data, y: must have x and y, or x_train and y_train"),
    "no y": (npz(x=X), "a.npz", (), "has x but no y, the labels"),
    "no y_test": (npz(x_train=X, y_train=Y, x_test=X), "a.npz", (), "has x_test but no y_test"),
    "x and x_train": (npz(x=X, x_train=X, y=Y, y_train=Y), "a.npz", (), "both x and x_train"),
    "unequal": (npz(x=X, y=Y[:3]), "a.npz", (), "4 samples in x, 3 labels in y: must be equal"),
    "one-hot labels": (npz(x=X, y=np.eye(4)), "a.npz", (), "y: shape .4, 4.: must be one class a sample, not one-hot"),
    "labels with fractions": (npz(x=X, y=Y + 0.5), "a.npz", (), "y: float64 with fractions: must be classes"),
    "negative label": (npz(x=X, y=Y - 1), "a.npz", (), "label -1: must be a class, 0 or more"),
    "one class": (npz(x=X, y=Y * 0), "a.npz", (), "has the one class 0: must have two or more"),
    "float beyond 1": (npz(x=X + 2, y=Y), "a.npz", (), r"x: 2 among them: must lie in 0\.\.1; data\.range"),
    "whole numbers beyond 255": (
        npz(x=np.full((4, 3), 300), y=Y), "a.npz", (), r"300 among them: must lie in 0\.\.255",
    ),
    "beyond its range": (npz(x=X + 5, y=Y), "a.npz", ("data.range=[0, 4]",), r"5 among them: must lie in 0\.\.4"),
    "not a number": (npz(x=X * np.nan, y=Y), "a.npz", (), "x: nan among them"),
    "complex": (npz(x=X * 1j, y=Y), "a.npz", (), "x: complex128: must be whole numbers"),
    "one dimension": (npz(x=X[:, 0], y=Y), "a.npz", (), "x: 1-d; must be"),
    "no samples": (npz(x=X[:0], y=Y[:0]), "a.npz", (), r"x: shape \(0, 3\): must hold at least one number"),
    "test of another shape": (
        npz(x_train=X, y_train=Y, x_test=X[:, :2], y_test=Y), "a.npz", (),
        "x_test has samples of 2, the others of 3",
    ),
    "frames without a unit": (npz(x=np.zeros((4, 2, 1, 2, 2)), y=Y), "a.npz", (), "frames: data.time_unit must say"),
    "frames with fractions": (
        npz(x=np.full((4, 2, 1, 2, 2), 0.5), y=Y), "a.npz", ("data.time_unit=1",), "whole numbers of spikes",
    ),
    "events without offsets": (npz(x=EVENTS, y=Y[:1]), "a.npz", (), "events need offsets"),
    "offsets that do not fit": (
        npz(x=EVENTS, y=Y[:2], offsets=[0, 1, 5]), "a.npz", (), "offsets: must begin with 0, ascend, and end with 2",
    ),
    "offsets of intensities": (npz(x=X, y=Y, offsets=[0, 1]), "a.npz", (), "offsets belong to events"),
    "fields of something else": (
        npz(x=np.zeros(2, [("a", int)]), y=Y[:2], offsets=[0, 1, 2]), "a.npz", (),
        "fields a: events must have t and x",
    ),
    "events beyond the sensor": (
        npz(x=EVENTS, y=Y[:2], offsets=[0, 1, 2]), "a.npz", ("data.sensor=2x2x2",),
        r"an event with [xy] = 2: must lie in 0\.\.1",
    ),
    "sensor in words": (
        npz(x=EVENTS, y=Y[:2], offsets=[0, 1, 2]), "a.npz", ("data.sensor=large",),
        "data.sensor = 'large': must be channels",
    ),
    "unit of time in words": (
        npz(x=EVENTS, y=Y[:2], offsets=[0, 1, 2]), "a.npz", ("data.time_unit=ticks",),
        "data.time_unit = 'ticks': must be s, ms",
    ),
    "hdf5 of something else": (
        lambda p: h5py.File(p / "a.h5", "w").close(), "a.h5", (), "has no arrays: must have x and y",
    ),
    "no hdf5": (file("a.h5", "x" * 100), "a.h5", (), r"a\.h5: not an HDF5 file"),
    # SHD
    "no labels": (shd(lambda f: f.__delitem__("labels")), "", (), "lacks the dataset /labels"),
    "no units": (shd(lambda f: f.__delitem__("spikes/units")), "", (), "lacks the dataset /spikes/units"),
    "fewer labels": (shd(labels=[0]), "", (), "2 times, 2 units and 1 labels: must be equally many"),
    "units of another length": (
        shd(set_sample("units", 0, [1])), "", (), "sample 0: 2 times and 1 units: must be equally many",
    ),
    "negative time": (shd(set_sample("times", 1, [-0.5])), "", (), "sample 1: -0.5 among the times"),
    "time that is none": (shd(set_sample("times", 1, [np.nan])), "", (), "sample 1: nan among the times"),
    "channel beyond": (
        shd(lambda f: f.attrs.__setitem__("n_units", 2)), "", (), r"sample 0: channel 2: must lie in 0\.\.1",
    ),
    "names too few": (shd(keys=["only"]), "", (), "/extra/keys: 1 of"),
    "two training files": (
        both(shd(), lambda p: (p / "b_train.h5").write_bytes((p / "a_train.h5").read_bytes())), "", (),
        "both hold train samples",
    ),
    "channels that differ": (two_heidelberg, "", (), "files of 10, 20 channels: must have equally many"),
    "map of channels": (shd(), "", ("data.sensor=2x3x3",), "data.sensor = 2x3x3: .* has channels, one number"),
    "fewer pixels of channels": (
        shd(), "", ("data.downsample=2",), "data.downsample: .* has channels, 3, and no map of pixels",
    ),
    "truncated hdf5": (
        both(shd(), lambda p: (p / "a_train.h5").write_bytes((p / "a_train.h5").read_bytes()[:2000])), "", (),
        "a_train.h5: (truncated|damaged)",
    ),
    # class folders
    "cut off": (
        files(a__1_dot_bin=EVENT[:4], b__1_dot_bin=EVENT), "", (), "4 bytes: must be a multiple of the 5 bytes",
    ),
    "beyond 34 x 34": (
        files(a__1_dot_bin=w.nmnist([(5, 40, 2, 1)]), b__1_dot_bin=EVENT), "", (),
        r"an event with x = 40: must lie in 0\.\.33",
    ),
    "other file in a class": (
        files(a__1_dot_bin=EVENT, a__note_dot_txt="x", b__1_dot_bin=EVENT), "", (),
        "note.txt: no file of events, sound or image",
    ),
    "empty class": (both(files(a__1_dot_bin=EVENT), folders("b")), "", (), "b: has no files"),
    "two kinds": (files(a__1_dot_bin=EVENT, b__1_dot_aedat=w.aedat2([])), "", (), "files of several kinds"),
    "train and Train": (
        files(train__a__1_dot_bin=EVENT, training__b__1_dot_bin=EVENT), "", (), "both .* hold train samples",
    ),
    "beside train": (files(train__a__1_dot_bin=EVENT, more__b__1_dot_bin=EVENT), "", (), "more stands beside train"),
    "test alone": (files(test__a__1_dot_bin=EVENT), "", (), "has test, but no folder train"),
    "unit of N-MNIST": (
        files(a__1_dot_bin=EVENT, b__1_dot_bin=EVENT), "", ("data.time_unit=ms",),
        "data.time_unit = 'ms': .* say their unit",
    ),
    "bins of pixels": (
        files(a__1_dot_bin=EVENT, b__1_dot_bin=EVENT), "", ("data.bin_channels=2",),
        "data.bin_channels = 2: .* has a map of pixels",
    ),
    "no aedat": (files(a__1_dot_aedat=b"x", b__1_dot_aedat=b"y"), "", (), r"a/1\.aedat: no AEDAT file"),
    "aedat of version 1": (
        files(a__1_dot_aedat=b"#!AER-DAT1.0\n", b__1_dot_aedat=b"#!AER-DAT1.0\n"), "", (),
        r"AEDAT 1\.0: must be 2\.0, 3\.0 or 3\.1",
    ),
    "aedat cut off": (
        files(a__1_dot_aedat=w.aedat2([(1, 2, 3, 0)])[:-3], b__1_dot_aedat=w.aedat2([])), "", (),
        "must be a multiple of the 8 bytes",
    ),
    "packet cut off": (
        files(a__1_dot_aedat=w.aedat31([(1, 2, 3, 0)])[:-9], b__1_dot_aedat=w.aedat31([])), "", (),
        "truncated, or damaged: a packet of",
    ),
    "events of 12 bytes": (
        files(a__1_dot_aedat=w.AEDAT31.encode() + HEAD_OF_12 + bytes(12), b__1_dot_aedat=w.aedat31([])),
        "", (), "polarity events of 12 bytes",
    ),
    "aedat4 damaged": (
        files(a__1_dot_aedat4=b"#!AER-DAT4.0\r\nx", b__1_dot_aedat4=b"x"), "", (),
        r"1\.aedat4: (AEDAT 4 needs|cannot be read)",
    ),
    "no image": (
        files(a__1_dot_png=b"x", b__1_dot_png=b"x"), "", (),
        r"1\.png: (images need Pillow|cannot be read as an image)",
    ),
    "no sound": (files(a__1_dot_wav=b"RIFF", b__1_dot_wav=b"x"), "", (), r"1\.wav: cannot be read as a WAV file"),
    "no npy": (files(a__1_dot_npy=b"x", b__1_dot_npy=b"x"), "", (), r"1\.npy: cannot be read as an array"),
    # DVS128-Gesture
    "no csv": (gesture(names="user02_led.aedat\n"), "", (), r"user02_led_labels\.csv: no such file"),
    "another head": (
        gesture("label,start,end\n"), "", (), "must begin with the line class,startTime_usec,endTime_usec",
    ),
    "words in a csv": (gesture(CSV + "one,2,3\n"), "", (), "line 2: 'one,2,3': must be three whole numbers"),
    "class 12": (gesture(CSV + "12,2,3\n"), "", (), r"line 2: class 12: must lie in 1\.\.11"),
    "ends before it begins": (gesture(CSV + "1,5,5\n"), "", (), "from 5 to 5: must end after it begins"),
    "path in the list": (gesture(names="../user01_led.aedat\n"), "", (), "must be a name such as user01_natural.aedat"),
    "no events in the file": (gesture(aedat=b"nothing"), "", (), "user01_led.aedat: no AEDAT file"),
    # what a configuration asks for
    "group that is not there": (
        npz(x=X, y=Y, who=Y), "a.npz", ("data.leave_out=speaker=1",),
        "data.leave_out = speaker=1: .* has the groups who",
    ),
    "member that is not there": (
        npz(x=X, y=Y, who=Y), "a.npz", ("data.leave_out=who=7",), "data.leave_out = who=7: 7 does not occur",
    ),
    "everybody left out": (npz(x=X, y=Y, who=Y), "a.npz", ('data.leave_out="who=0,1"',), "leaves nothing"),
    "leave out what": (npz(x=X, y=Y), "a.npz", ("data.leave_out=3",), "data.leave_out = 3: must be a string"),
    "no part of a fold": (npz(x=X, y=Y), "a.npz", ("data.fold=3",), "must be a string"),
    "fold beyond": (npz(x=X, y=Y), "a.npz", ("data.fold=4/3",), "data.fold = '4/3': must be a part and how many"),
    "more folds than samples": (npz(x=X, y=Y), "a.npz", ("data.fold=1/9",), "has 4 samples, fewer than parts"),
    "fold and group": (npz(x=X, y=Y, who=Y), "a.npz", ("data.fold=1/2", "data.leave_out=who=1"), "must be one of them"),
    "validation of all": (
        npz(x=X, y=Y), "a.npz", ("data.validation=4",), "data.validation = 4: must be below the 3 training",
    ),
    "validation in words": (npz(x=X, y=Y), "a.npz", ("data.validation=some",), "must be a number, a share or auto"),
    "crop of intensities": (npz(x=X, y=Y), "a.npz", ("data.crop=5",), "data.crop = 5.0: belongs to events"),
    "range of events": (shd(), "", ("data.range=[0, 1]",), "data.range = .0.0, 1.0.: belongs to intensities"),
    "population of a file": (shd(), "", ("data.population=hidden0",), "data.population = 'hidden0': belongs to rec"),
    "sensor of intensities": (npz(x=X, y=Y), "a.npz", ("data.sensor=2x3x3",), "data.sensor = '2x3x3': belongs to ev"),
    "spikes beyond the trial": (
        shd(), "", ("simulation.n_steps=100",),
        r"spikes up to 300.*, 100 % of them beyond .*n_steps = 3\d\d\d takes them all, data.crop = 10",
    ),
    "no unit of time": (shd(), "", ("simulation.time_unit=none",), "simulation.time_unit = 'none': .* must be ms or s"),
    "unit of a network in words": (
        shd(), "", ("simulation.time_unit=us",), "simulation.time_unit = 'us': must be one of auto, ms, s, none",
    ),
}  # fmt: skip


def settings_of(path, below, changes):
    place = path if below == "" else path / (below or "x")
    return [f"data.dataset={place}", *(change.format(folder=path) for change in changes)], place


@pytest.mark.parametrize("name", BAD)
def test_one_clear_line(name, tmp_path, monkeypatch):
    import re

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("SNNSIM_DATA", raising=False)
    folder = tmp_path / "data"
    folder.mkdir()
    write, below, changes, message = BAD[name]
    write(folder)
    settings, place = settings_of(folder, below, changes)
    with pytest.raises(InputError, match=message.replace("{path}", re.escape(str(place)))) as raised:
        sample_sets(config.load(None, settings))
    assert "\n" not in str(raised.value)


def test_there_are_many():
    assert len(BAD) > 80


@pytest.mark.parametrize("name", ["no npz", "units of another length", "cut off", "fold beyond"])
def test_the_command_says_the_same(name, tmp_path, monkeypatch, capsys):
    write, below, changes, message = BAD[name]
    write(tmp_path)
    settings, place = settings_of(tmp_path, below, changes)
    sets = [word for change in settings[1:] for word in ("--set", change)]
    line = Caller(monkeypatch, capsys).refused("train", "--dataset", place, *sets)
    import re

    assert re.search(message, line)
    assert not Path("runs").exists() or not any(Path("runs").glob("default-0*/model.h5.part"))
