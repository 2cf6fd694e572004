"""HDF5 files of others cannot reach out of themselves, claim what they do not hold, or take the command down."""

import ast
import shutil
import signal

import h5py
import numpy as np
import pytest

from snnsim import open_traces, read_spikes
from snnsim.errors import InputError
from snnsim.files import vetting
from snnsim.files.hdf5 import open_hdf5
from snnsim.recording.repair import repair
from snnsim.recording.runs import load_tree, save_tree
from snnsim.recording.summary import summarise
from snnsim.recording.superblock import marked
from snnsim.recording.writer import TraceWriter
from tests import ROOT
from tests.command import Caller
from tests.recordings import network, recording


@pytest.fixture
def call(monkeypatch, capsys):
    return Caller(monkeypatch, capsys)


@pytest.fixture
def secret(tmp_path):
    path = tmp_path / "secret"
    path.write_bytes(b"precious" * 8)
    return path


@pytest.fixture
def other(tmp_path):
    path = tmp_path / "other.h5"
    with h5py.File(path, "w") as file:
        file["x"] = np.arange(8)
    return path


def external_storage(file, secret, other):
    file.create_dataset("x", (8,), "u8", external=[(str(secret), 0, 64)])


def external_link(file, secret, other):
    file["x"] = h5py.ExternalLink(str(other), "/x")


def deep_external_link(file, secret, other):
    file.create_group("a/b/c")["x"] = h5py.ExternalLink(str(other), "/")


def soft_link_through_an_external_one(file, secret, other):
    file["y"] = h5py.ExternalLink(str(other), "/")
    file["x"] = h5py.SoftLink("/y/x")


def virtual(file, secret, other):
    layout = h5py.VirtualLayout((8,), "i8")
    layout[:] = h5py.VirtualSource(str(other), "x", (8,))
    file.create_virtual_dataset("x", layout)


def unknown_filter(file, secret, other):
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_chunk((8,))
    plist.set_filter(32015, h5py.h5z.FLAG_OPTIONAL)
    h5py.h5d.create(file.id, b"x", h5py.h5t.NATIVE_INT64, h5py.h5s.create_simple((8,)), plist)


def group_in_itself(file, secret, other):
    group = file.create_group("a")
    group["again"] = group


def soft_circle(file, secret, other):
    file.create_group("a")["again"] = h5py.SoftLink("/a")


def huge(file, secret, other):
    file.create_dataset("x", (2**40,), "f8")


def huge_chunked(file, secret, other):
    file.create_dataset("x", (2**40,), "f4", chunks=(1024,), maxshape=(None,))


def huge_chunk(file, secret, other):
    dataset = file.create_dataset("x", (2**29,), "u1", chunks=(2**29,), compression="gzip")
    assert dataset.chunks == (2**29,)


REACHING = {
    external_storage: "its values lie in another file",
    external_link: "/x: a link to another file",
    deep_external_link: "/a/b/c/x: a link to another file",
    soft_link_through_an_external_one: "a link to another file|a soft link",
    virtual: "/x: a virtual dataset",
    unknown_filter: "needs filter 32015",
    group_in_itself: "/a/again: a group that lies in itself",
    soft_circle: "/a/again: a soft link to something else",
    huge: "claims 8796093022208 bytes, more than a file of",
    huge_chunked: "claims 4398046511104 bytes, more than a file of",
    huge_chunk: "/x: a chunk: claims 536870912 bytes",
}


@pytest.mark.parametrize("make", REACHING)
def test_what_reaches_out_of_a_file_is_refused(make, tmp_path, secret, other):
    path = tmp_path / "file.h5"
    with h5py.File(path, "w") as file:
        make(file, secret, other)
    with pytest.raises(InputError, match=REACHING[make]) as refused:
        open_hdf5(path)
    assert str(refused.value).startswith(f"{path}: ")
    assert "\n" not in str(refused.value)


def test_what_is_ordinary_is_opened(tmp_path):
    path = tmp_path / "file.h5"
    with h5py.File(path, "w") as file:
        file["x"] = np.arange(8)
        file["same"], file["soft"] = file["x"], h5py.SoftLink("/x")
        file.create_dataset("packed", data=np.zeros(2**20), compression="gzip", shuffle=True, fletcher32=True)
        file.create_dataset("text", data=["a", "bc"])
        file["empty"] = h5py.Empty("f4")
        file.attrs["note"] = "text"
    with open_hdf5(path) as file:
        assert file["soft"][:].tolist() == list(range(8))


def test_one_heap_many_times_is_not_unpacked(tmp_path):
    """A million references to the same megabyte would be a terabyte."""
    path = tmp_path / "bomb.h5"
    with h5py.File(path, "w") as file:
        dataset = file.create_dataset("x", (2000,), h5py.vlen_dtype(np.uint8))
        dataset[0] = np.zeros(2**20, np.uint8)
        offset = dataset.id.get_offset()
    raw = bytearray(path.read_bytes())
    raw[offset : offset + 2000 * 16] = raw[offset : offset + 16] * 2000
    path.write_bytes(raw)
    with pytest.raises(InputError, match=r"/x: values of variable length: claims \d+ bytes|more memory"):
        open_hdf5(path)


class _Crash:
    def __init__(self, file, size):
        import ctypes

        ctypes.string_at(0)


class _Loop:
    def __init__(self, file, size):
        while True:
            pass


class _Hungry:
    def __init__(self, file, size):
        bytearray(2**33)


@pytest.mark.parametrize(
    ("walk", "message"),
    [(_Crash, "HDF5 crashes on it"), (_Loop, "does not come to an end"), (_Hungry, "MemoryError")],
)
def test_what_befalls_hdf5_befalls_a_child(walk, message, monkeypatch, other, capfd):
    monkeypatch.setattr(vetting, "_Walk", walk)
    monkeypatch.setattr(vetting, "CPU_SECONDS", 1)
    with pytest.raises(InputError, match=message):
        open_hdf5(other)
    assert capfd.readouterr() == ("", "")


def test_a_child_that_waits_for_ever_is_ended(monkeypatch, other):
    class Waiting:
        def __init__(self, file, size):
            signal.pause()

    monkeypatch.setattr(vetting, "_Walk", Waiting)
    monkeypatch.setattr(vetting, "WAIT", 0.2)
    with pytest.raises(InputError, match="does not come to an end"):
        open_hdf5(other)


# Recordings


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("traces")
    with TraceWriter(path, network(), duration=0.2, dt=0.01, record=("spikes", "v"), seed=7) as writer:
        writer.append(recording(6, rate=0.05), label=np.arange(6))
    return path


@pytest.fixture
def traces(whole, tmp_path):
    shutil.copytree(whole, tmp_path / "traces")
    return tmp_path / "traces"


def left_open(path):
    """Set the mark of a killed writer."""
    with h5py.File(path, "r+", libver="v110") as file:
        file.swmr_mode = True
        file.flush()
        image = path.read_bytes()
    path.write_bytes(image)
    assert marked(path)


def replaced(group, name, value, **options):
    del group[name]
    group.create_dataset(name, data=value, **options) if not options else group.create_dataset(name, **options)


def test_repair_writes_into_nothing_but_the_recording(traces, secret, call):
    with h5py.File(traces / "v.h5", "r+") as file:
        del file["report/output/mapping/time"]
        file["report/output/mapping"].create_dataset("time", (3,), "f8", external=[(str(secret), 0, 24)])
    left_open(traces / "v.h5")
    before = secret.read_bytes()
    assert "its values lie in another file" in call.refused("inspect", traces, "--repair")
    assert secret.read_bytes() == before


def test_repair_follows_no_link_to_another_recording(traces, whole, tmp_path, call):
    victim = tmp_path / "victim.h5"
    shutil.copy(whole / "v.h5", victim)
    before = victim.read_bytes()
    with h5py.File(traces / "v.h5", "r+") as file:
        del file["report"]
        file["report"] = h5py.ExternalLink(str(victim), "/report")
    left_open(traces / "v.h5")
    assert "a link to another file" in call.refused("inspect", traces, "--repair")
    (traces / "v.h5").unlink()
    (traces / "v.h5").symlink_to(victim)
    left_open(traces / "spikes.h5")
    assert "v.h5: a symbolic link" in call.refused("inspect", traces, "--repair")
    assert victim.read_bytes() == before


def test_repair_never_makes_a_file_longer(traces):
    with h5py.File(traces / "spikes.h5", "r+") as file:
        for name in file["snnsim/trials"]:
            file["snnsim/trials"][name].resize(2**40, 0)
        for group in file["snnsim/populations"].values():
            for name in ("spike_end", "on_grid"):
                group[name].resize(2**40, 0)
        file["snnsim/complete"][0] = 2**40
    with pytest.raises(InputError, match="more than a file of"):
        repair(traces)


def _nodes(file, value):
    data = file["spikes/output/node_ids"][:]
    data[0] = value
    replaced(file["spikes/output"], "node_ids", data)


CHANGES = {
    "node beyond the population": (lambda f: _nodes(f, 4), "node_ids 0..4: it has 4 neurons"),
    "node beyond int32": (lambda f: _nodes(f, 2**32 - 1), "it has 4 neurons"),
    "times of text": (lambda f: replaced(f["spikes/output"], "timestamps", ["x"] * 20), "must hold numbers"),
    "ends that descend": (lambda f: f["snnsim/populations/output/spike_end"].__setitem__(1, 0), "must ascend"),
    "negative ends": (lambda f: f["snnsim/populations/output/spike_end"].__setitem__(0, -5), "must ascend"),
    "more trials than there are": (lambda f: f["snnsim/complete"].__setitem__(0, 99), "ends before the last of 99"),
    "fewer than none": (lambda f: f["snnsim/complete"].__setitem__(0, -1), "ends before the last of -1"),
    "duration of text": (lambda f: f["snnsim"].attrs.__setitem__("duration", "long"), "duration = 'long': must be a n"),
    "duration without end": (lambda f: f["snnsim"].attrs.__setitem__("duration", np.inf), "must be a number"),
    "negative dt": (lambda f: f["snnsim"].attrs.__setitem__("dt", -1.0), "dt = -1.0: must be positive"),
    "config that is no JSON": (lambda f: f["snnsim"].attrs.__setitem__("config", "{"), "attribute config: not JSON"),
    "config that is no text": (lambda f: f["snnsim"].attrs.__setitem__("config", 3), "config = 3: must be text"),
    "engine not UTF-8": (lambda f: f["snnsim"].attrs.__setitem__("engine", np.bytes_(b"\xff")), "not UTF-8 text"),
    "layout of text": (lambda f: f["snnsim"].attrs.__setitem__("layout", "one"), "layout = 'one': must be a whole"),
    "records what is unknown": (lambda f: f["snnsim"].attrs.__setitem__("record", ["q"]), "must name some of"),
    "no neurons": (lambda f: f["snnsim/populations/output"].attrs.__setitem__("n_neurons", -4), "n_neurons = -4"),
    "more than int32": (lambda f: f["snnsim/populations/output"].attrs.__setitem__("n_neurons", 2**40), "n_neurons = "),
    "trials of another type": (lambda f: replaced(f["snnsim/trials"], "label", ["x"] * 6), "must hold whole numbers"),
    "a group for a dataset": (lambda f: (f.__delitem__("snnsim/complete"), f.create_group("snnsim/complete")), "is no"),
    "other trials": (lambda f: f["spikes/output/trial_ids"].__setitem__(0, 3), "spike_end"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_recordings_that_are_wrong_are_one_line_for_every_reader(traces, name):
    change, message = CHANGES[name]
    with h5py.File(traces / "spikes.h5", "r+") as file:
        change(file)
    with pytest.raises(InputError, match=message) as refused:
        with open_traces(traces) as opened:
            opened.recording()
    assert str(refused.value).startswith(str(traces))
    assert "\n" not in str(refused.value)
    with pytest.raises(InputError):
        read_spikes(traces, population="output")


def test_reports_of_other_width_or_start(traces):
    with h5py.File(traces / "v.h5", "r+") as file:
        replaced(file["report/output"], "data", None, shape=(120, 3), dtype="f4")
        file["report/hidden0/mapping/time"][0] = np.nan
    with open_traces(traces) as opened:
        with pytest.raises(InputError, match="has 3 columns for 4 recorded neurons"):
            opened.v("output")
        with pytest.raises(InputError, match="begins at nan"):
            opened.v("hidden0")


# Trees


def test_a_tree_that_claims_too_much(tmp_path):
    path = tmp_path / "model.h5"
    save_tree(path, {"weights": [np.zeros((2, 2))]}, "model")
    with h5py.File(path, "r+") as file:
        file.attrs["snnsim_layout"] = 1
        replaced(file["weights"], "0", None, shape=(2**20, 2**20), dtype="f8", chunks=(16, 16))
    for read in (load_tree, summarise):
        with pytest.raises(InputError, match=f"{path}: /weights/0: claims {2**43} bytes"):
            read(path)


# The rule


def test_hdf5_is_opened_in_one_place():
    """h5py.File with a file name for reading stands in the opener and its child alone."""
    found = set()
    for path in [*(ROOT / "snnsim").rglob("*.py"), *(ROOT / "cli").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            if called.endswith(("h5py.File", "h5f.open", "nir.read", "NWBHDF5IO", "nixio.File.open", "NixIO")):
                mode = next((ast.literal_eval(a) for a in node.args[1:2] if isinstance(a, ast.Constant)), None)
                mode = mode or next((ast.literal_eval(k.value) for k in node.keywords if k.arg == "mode"), None)
                if mode not in ("w", "x", "ow"):
                    found.add(str(path.relative_to(ROOT)))
    # A recording is opened again right after this process has written its draft.
    assert found == {"snnsim/files/hdf5.py", "snnsim/files/vetting.py", "snnsim/recording/skeleton.py"}
