"""Whole files at once: trees of arrays, atomic replacement, and every way in which a file can be wrong."""

import os
import resource
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from snnsim.errors import InputError
from snnsim.files.atomic import replacing, write_atomic
from snnsim.recording.runs import load_tree, save_tree, tree_kind

KEYS = st.text("abcdefgh_0123456789", min_size=1, max_size=6)
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(), st.binary())
ARRAYS = st.sampled_from(["f4", "f8", "i4", "u8", "?", "u1"]).flatmap(
    lambda dtype: hnp.arrays(dtype, hnp.array_shapes(max_dims=3, min_side=0, max_side=4))
)
TREES = st.dictionaries(
    KEYS,
    st.recursive(
        SCALARS | ARRAYS,
        lambda child: st.lists(child, max_size=3) | st.dictionaries(KEYS, child, max_size=3),
        max_leaves=8,
    ),
    max_size=4,
)


def assert_same(a, b):
    assert type(a) is type(b)
    if isinstance(a, dict):
        assert list(a) == list(b)
        for key in a:
            assert_same(a[key], b[key])
    elif isinstance(a, list):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            assert_same(x, y)
    elif isinstance(a, np.ndarray):
        assert a.dtype == b.dtype
        assert a.shape == b.shape
        assert a.tobytes() == b.tobytes()
    else:
        assert a == b


@given(tree=TREES)
@settings(max_examples=60, deadline=None)
def test_load_returns_what_was_saved(tree, tmp_path_factory):
    path = tmp_path_factory.mktemp("tree") / "tree.h5"
    save_tree(path, tree)
    assert_same(load_tree(path), tree)


def test_strings_order_and_kind(tmp_path):
    path = tmp_path / "model.h5"
    save_tree(path, {"z": np.array(["ab", "ü", ""]), "a": (1, 2)}, "model")
    loaded = load_tree(path, "model")
    assert list(loaded) == ["z", "a"]
    assert loaded["z"].tolist() == ["ab", "ü", ""]
    assert loaded["a"] == [1, 2]
    assert tree_kind(path) == "model"
    with pytest.raises(InputError, match="holds a model, not a checkpoint"):
        load_tree(path, "checkpoint")


@pytest.mark.parametrize("tree", [{"a": {1, 2}}, {"a": np.array([object()])}])
def test_what_cannot_be_stored_is_refused_and_the_old_file_kept(tmp_path, tree):
    path = tmp_path / "tree.h5"
    save_tree(path, {"old": 1})
    with pytest.raises(TypeError, match="cannot be stored"):
        save_tree(path, tree)
    assert load_tree(path) == {"old": 1}


def test_every_truncation_is_one_line(tmp_path):
    path = tmp_path / "tree.h5"
    save_tree(path, {"a": np.arange(1000), "b": {"c": "text"}})
    whole = path.read_bytes()
    for length in [*range(0, len(whole), 97), len(whole) - 1]:
        path.write_bytes(whole[:length])
        with pytest.raises(InputError, match=r"truncated|an HDF5 file|SHA-256, is missing") as caught:
            load_tree(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_no_bit_changes_unnoticed(tmp_path):
    path = tmp_path / "model.h5"
    save_tree(path, {"weights": np.arange(300, dtype=np.float32), "text": "abc"}, "model")
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    places = [*rng.choice(len(whole), 60, replace=False), *range(len(whole) - 80, len(whole))]
    for place in places:
        damaged = bytearray(whole)
        damaged[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        with pytest.raises(InputError, match=r"damaged|not an HDF5 file"):
            load_tree(path)
    for changed in (whole + b"x", whole[:500] + b"x" + whole[500:], whole[:500] + whole[501:]):
        path.write_bytes(changed)
        with pytest.raises(InputError, match=r"damaged"):
            load_tree(path)


def test_hdf5_sees_nothing_of_the_digest_and_what_it_writes_is_noticed(tmp_path):
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "model.h5"
    save_tree(path, {"weights": np.arange(300, dtype=np.float32)}, "model")
    with h5py.File(path) as file:
        assert list(file) == ["weights"]
    with h5py.File(path, "r+") as file:
        file["weights"][0] = 1
    with pytest.raises(InputError, match=f"{path}: damaged or changed since it was written"):
        load_tree(path)


def test_files_of_layout_1_have_no_digest_and_still_load(tmp_path):
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "model.h5"
    save_tree(path, {"a": np.arange(3.0), "b": [1, None, "x"]}, "model")
    with h5py.File(path, "r+") as file:
        file.attrs["snnsim_layout"] = 1
    assert load_tree(path, "model")["b"] == [1, None, "x"]
    assert tree_kind(path) == "model"


@pytest.mark.parametrize("name", [".tree.{}.tmp.h5", ".tree.0.tmp.h5"])
def test_a_planted_link_is_not_followed(tmp_path, name):
    victim, path = tmp_path / "victim", tmp_path / "tree.h5"
    victim.write_text("precious")
    (tmp_path / name.format(os.getpid())).symlink_to(victim)
    save_tree(path, {"a": 1})
    assert victim.read_text() == "precious"
    assert not path.is_symlink()


def test_temporary_names_differ_and_an_existing_one_is_refused(tmp_path, monkeypatch):
    names = []
    for _ in range(2):
        with replacing(tmp_path / "tree.h5") as temporary:
            names.append(temporary)
    assert names[0] != names[1]
    monkeypatch.setattr("secrets.token_hex", lambda n: "known")
    victim = tmp_path / "victim"
    (tmp_path / ".tree.known.tmp.h5").symlink_to(victim)
    with pytest.raises(InputError, match="cannot be written: File exists"):
        save_tree(tmp_path / "tree.h5", {"a": 1})
    assert not victim.exists()


def test_foreign_missing_and_newer_files(tmp_path):
    h5py = pytest.importorskip("h5py")
    with pytest.raises(InputError, match="no such file"):
        load_tree(tmp_path / "none.h5")
    with pytest.raises(InputError, match="a directory"):
        load_tree(tmp_path)
    text = tmp_path / "text.h5"
    text.write_text("plain text " * 100)
    with pytest.raises(InputError, match="not an HDF5 file"):
        load_tree(text)
    foreign = tmp_path / "foreign.h5"
    with h5py.File(foreign, "w") as file:
        file["x"] = 1
    with pytest.raises(InputError, match="not written by snnsim"):
        load_tree(foreign)
    newer = tmp_path / "newer.h5"
    save_tree(newer, {})
    with h5py.File(newer, "a") as file:
        file.attrs["snnsim_layout"] = 99
    with pytest.raises(InputError, match="layout version 99"):
        load_tree(newer)


def test_an_interrupted_write_leaves_the_old_file_and_no_litter(tmp_path):
    path = tmp_path / "tree.h5"
    save_tree(path, {"old": 1})

    def interrupted(file):
        file.write(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomic(path, interrupted)
    assert load_tree(path) == {"old": 1}
    assert os.listdir(tmp_path) == ["tree.h5"]


def test_a_directory_that_does_not_exist(tmp_path):
    with pytest.raises(InputError, match="cannot be written: No such file or directory"):
        save_tree(tmp_path / "none" / "tree.h5", {})


def test_a_full_disk_leaves_the_old_file(tmp_path):
    path = tmp_path / "tree.h5"
    save_tree(path, {"old": 1})
    code = (
        "import sys, numpy as np; from snnsim.errors import InputError\n"
        "from snnsim.recording.runs import save_tree\n"
        "try: save_tree(sys.argv[1], {'a': np.zeros(100_000)})\n"
        "except InputError as error: print(error); sys.exit(2)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)),
    )
    assert (result.returncode, result.stderr) == (2, "")
    assert result.stdout == f"{path}: cannot be written: File too large\n"
    assert load_tree(path) == {"old": 1}
    assert os.listdir(tmp_path) == ["tree.h5"]
