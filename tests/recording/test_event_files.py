"""Event files as other tools write them: units of time, labels and ids, read as they are meant or refused."""

import h5py
import numpy as np
import pytest

from snnsim import read_spikes
from snnsim.errors import InputError
from snnsim.interchange.shd import save_spikes, stated_neurons
from snnsim.recording.summary import summarise
from snnsim.spikes import Spikes
from tests.command import Caller

TIMES = ([1, 4, 9], [2, 2])
UNITS = ([0, 3, 1], [2, 0])


def shd(path, times=TIMES, units=UNITS, labels=(0, 1), unit=None, kinds=(np.float64, np.uint16), **attributes):
    with h5py.File(path, "w") as file:
        for name, rows, kind in zip(("times", "units"), (times, units), kinds, strict=True):
            dataset = file.create_dataset(f"spikes/{name}", (len(rows),), h5py.vlen_dtype(kind))
            for k, row in enumerate(rows):
                dataset[k] = np.asarray(row, kind)
        file["labels"] = labels
        if unit is not None:
            file["spikes/times"].attrs["units"] = unit
        file.attrs.update(attributes)
    return path


def sonata(path, stamps=(1.5, 30.0), nodes=(1, 2), unit=None, kind=np.uint64):
    with h5py.File(path, "w") as file:
        file["spikes/cells/timestamps"] = np.asarray(stamps)
        file["spikes/cells/node_ids"] = np.asarray(nodes, kind)
        if unit is not None:
            file["spikes/cells/timestamps"].attrs["units"] = unit
    return path


@pytest.fixture
def path(tmp_path):
    return tmp_path / "events.h5"


@pytest.fixture
def call(monkeypatch, capsys):
    return Caller(monkeypatch, capsys)


@pytest.mark.parametrize(
    ("unit", "factor"),
    [("s", 1000.0), ("ms", 1.0), ("us", 1e-3), ("ns", 1e-6), (b"MS", 1.0), (["ms"], 1.0), ("msec", 1.0), ("µs", 1e-3)],
)
@pytest.mark.parametrize("kind", [np.float64, np.uint32])
def test_the_unit_that_a_file_states_is_its_unit(path, unit, factor, kind):
    shd(path, unit=unit, kinds=(kind, np.uint16), duration=10.0, n_units=4)
    spikes, _ = read_spikes(path)
    np.testing.assert_array_equal(spikes.trial(0)[0], np.array(TIMES[0]) * factor)
    assert spikes.duration == 10.0 * factor
    assert summarise(path)["duration_s"] == pytest.approx(10.0 * factor / 1000, rel=1e-15)
    sonata(path, unit=unit)
    assert read_spikes(path)[0].times.tolist() == [1.5 * factor, 30.0 * factor]


def test_without_a_unit_numbers_with_a_point_are_seconds_or_sonatas_milliseconds(path):
    assert read_spikes(shd(path))[0].times[0] == 1000.0
    assert read_spikes(sonata(path))[0].times[0] == 1.5


@pytest.mark.parametrize("make", [lambda p: shd(p, kinds=(np.int64, np.uint16)), lambda p: sonata(p, stamps=(1, 30))])
def test_whole_numbers_without_a_unit_are_refused_by_the_option_that_gives_it(path, call, make):
    make(path)
    message = r"whole numbers without a unit; --time-unit"
    with pytest.raises(InputError, match=message):
        read_spikes(path)
    out = path.with_name("out.h5")
    assert "--time-unit" in call.refused("import-spikes", path, "-o", out)
    assert not out.exists()
    code, _, _ = call("import-spikes", path, "-o", out, "--time-unit", "us")
    assert code == 0
    expected = 30e-3 if "cells" in h5py.File(path)["spikes"] else 9e-3
    assert read_spikes(out)[0].times.max() == pytest.approx(expected, rel=1e-15)


@pytest.mark.parametrize(("given", "factor"), [("ms", 1.0), ("0.25", 0.25), (0.25, 0.25), ("S", 1000.0)])
def test_the_option_overrides_the_file(path, given, factor):
    shd(path, unit="fortnights")
    with pytest.raises(InputError, match="unit 'fortnights': must be s, ms, us or ns; --time-unit"):
        read_spikes(path)
    np.testing.assert_array_equal(read_spikes(path, time_unit=given)[0].trial(0)[0], np.array(TIMES[0]) * factor)


@pytest.mark.parametrize("given", ["weeks", "0", -1, float("nan"), "inf"])
def test_units_that_are_none(path, given):
    with pytest.raises(InputError, match=f"--time-unit {given}: must be"):
        read_spikes(shd(path), time_unit=given)


def test_text_labels_are_classes_in_the_order_of_the_alphabet(path):
    times, units = [[1.0]] * 4, [[0]] * 4
    shd(path, times, units, ["two", "one", "two", "ä"], n_units=1)
    assert read_spikes(path)[1].tolist() == [1, 0, 1, 2]
    # The class of a sample does not depend on which others are read.
    assert read_spikes(path, samples=[2])[1].tolist() == [1]
    assert summarise(path)["classes"] == {"one": 1, "two": 2, "ä": 1}
    shd(path, times, units, np.array([b"b", b"a", b"b", b"c"]))
    assert read_spikes(path)[1].tolist() == [1, 0, 1, 2]


def test_a_column_of_labels_is_accepted_and_one_hot_refused(path):
    assert read_spikes(shd(path, labels=[[1], [0]]))[1].tolist() == [1, 0]
    assert read_spikes(shd(path, labels=[1.0, 0.0]))[1].tolist() == [1, 0]
    with pytest.raises(InputError, match=r"2 x 3: must be one class a sample, .* not one-hot"):
        read_spikes(shd(path, labels=[[0, 1, 0], [1, 0, 0]]))


@pytest.mark.parametrize("labels", [[0.5, 1.0], [0, -2], [0, 2**40], [np.nan, 0.0], [b"\xff", b"a"], [0, 1, 2], 1])
def test_labels_that_are_none(path, labels):
    with pytest.raises(InputError, match=f"{path}: "):
        read_spikes(shd(path, labels=labels))


@pytest.mark.parametrize(
    ("units", "kind", "attributes"),
    [
        (([0, 4, 1], [2, 0]), np.uint16, {"n_units": 4}),
        (([0, 2**31, 1], [2, 0]), np.uint32, {}),
        (([0, 2**63, 1], [2, 0]), np.uint64, {}),
        (([0, -1, 1], [2, 0]), np.int16, {}),
        (([0, 1.5, 1], [2, 0]), np.float32, {}),
    ],
)
def test_channels_that_do_not_exist(path, units, kind, attributes):
    with pytest.raises(InputError, match=r"sample 0: units: .*: must"):
        read_spikes(shd(path, units=units, kinds=(np.float64, kind), **attributes))


@pytest.mark.parametrize("nodes", [[0, 2**31], [0, 2**63], [0, 2**64 - 1]])
def test_nodes_beyond_int32(path, nodes):
    with pytest.raises(InputError, match=r"node_ids: .*: must lie in 0\.\.2147483647"):
        read_spikes(sonata(path, nodes=nodes))


@pytest.mark.parametrize("name", ["n_units", "duration"])
@pytest.mark.parametrize("value", [-3, "x", np.nan, [1, 2], b"\xff", 2.0**70])
def test_attributes_that_are_no_numbers(path, name, value):
    shd(path, **{name: value})
    for read in (read_spikes, stated_neurons, summarise):
        with pytest.raises(InputError, match=f"{path}: /: attribute {name}"):
            read(path)


def test_what_does_not_fit_is_not_written(path):
    spikes = Spikes.from_trials([([1.0], [2])], 3, 5.0)
    save_spikes(path, spikes, [0])
    object.__setattr__(spikes, "n_neurons", 2)
    with pytest.raises(InputError, match=r"sample 0: units 2..2: must lie in 0..1"):
        save_spikes(path, spikes, [0])
    assert len(read_spikes(path)[0]) == 1


@pytest.mark.parametrize("unit", ["s", "ms"])
def test_times_beyond_reason(path, unit):
    for make in (lambda: shd(path, times=([1, 4, 1e300], [2, 2]), unit=unit), lambda: sonata(path, (1.5, 1e300))):
        make()
        with pytest.raises(InputError, match=r"must be finite and not negative, and at most 1e\+15 ms"):
            read_spikes(path)


def test_more_steps_than_can_be_meant(path, call):
    sonata(path, stamps=(1.5, 1e14))
    options = ("--set", "network.layers=[784, 4, 3]", "-o", path.with_name("out"))
    assert "steps of 0.004; --time-unit" in call.refused("simulate", "bats-count", "--spikes", path, *options)


def test_a_cut_into_more_samples_than_there_can_be(path):
    sonata(path, stamps=(1.5, 1e14))
    with pytest.raises(InputError, match="make more than 10000000 samples of length 1;"):
        read_spikes(path, trial_length=1.0)
