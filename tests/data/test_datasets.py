"""IDX files, the search for them, MNIST's content, and the geometry of Yin-Yang."""

import gzip
import math
import re
import struct
import subprocess
import sys
import tomllib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from snnsim.datasets import load, location, names, yin_yang
from snnsim.datasets.idx import read_idx
from snnsim.datasets.registry import FASHION_MNIST, MNIST, SOURCES
from snnsim.errors import InputError
from tests import ROOT

DATA = ROOT / "data"


def idx_bytes(array):
    """The published layout, written down once more."""
    return bytes([0, 0, 8, array.ndim]) + b"".join(struct.pack(">I", n) for n in array.shape) + array.tobytes()


def write_set(folder, n_train=6, n_test=4, side=3, compress=True):
    """A small set of four files; returns its four arrays."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(7)
    arrays = {}
    for half, n in (("train", n_train), ("t10k", n_test)):
        arrays[f"{half}-images-idx3-ubyte"] = rng.integers(0, 256, (n, side, side + 1), np.uint8)
        arrays[f"{half}-labels-idx1-ubyte"] = rng.integers(0, 10, n, np.uint8)
    for name, array in arrays.items():
        write_idx(folder / name, array, compress)
    return arrays


def write_idx(path, array, compress=True):
    if compress:
        path.with_name(path.name + ".gz").write_bytes(gzip.compress(idx_bytes(array)))
    else:
        path.write_bytes(idx_bytes(array))


@pytest.fixture
def no_places(monkeypatch, tmp_path):
    """A machine on which nothing lies in the usual places."""
    monkeypatch.delenv("SNNSIM_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(location, "SYSTEM", tmp_path / "system")
    monkeypatch.setattr(location, "__file__", str(tmp_path / "site" / "snnsim" / "datasets" / "location.py"))
    monkeypatch.setattr(location, "INSTALLED_PACKAGE", "snnsim_data_that_is_not_installed")


# --- files ---------------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(
    array=hnp.arrays(np.uint8, hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=9)),
    compress=st.booleans(),
)
def test_a_file_comes_back_as_it_was_written(array, compress, tmp_path_factory):
    path = tmp_path_factory.mktemp("idx") / "file"
    data = idx_bytes(array)
    path.write_bytes(gzip.compress(data) if compress else data)
    back = read_idx(path, array.ndim)
    assert back.dtype == np.uint8
    np.testing.assert_array_equal(back, array)


GOOD = idx_bytes(np.arange(24, dtype=np.uint8).reshape(2, 3, 4))
ZIPPED = gzip.compress(GOOD)
BAD_FILES = {
    "empty": (b"", "truncated, 0 bytes where the header alone has 16"),
    "part of the magic number": (GOOD[:3], "truncated, 3 bytes where the header alone has 16"),
    "part of the header": (GOOD[:9], "truncated, 9 bytes where the header alone has 16"),
    "truncated data": (GOOD[:-5], "truncated, 19 bytes of data where its header announces 24"),
    "truncated data, zipped": (gzip.compress(GOOD[:-5]), "truncated, 19 bytes of data where its header announces 24"),
    "too long": (GOOD + b"x", "too long, more than the 24 bytes of data"),
    "too long, zipped": (gzip.compress(GOOD + b"x"), "too long, more than the 24 bytes of data"),
    "wrong type": (b"\0\0\x0d\3" + GOOD[4:], "magic number 0x00000d03: must be 0x00000803"),
    "labels for images": (idx_bytes(np.zeros(40, np.uint8)), "magic number 0x00000801: must be 0x00000803"),
    "something else": (b"<!DOCTYPE html><html></html>", "magic number 0x3c21444f: must be 0x00000803"),
    "truncated gzip": (ZIPPED[:-12], "truncated gzip file"),
    "gzip without its trailer": (ZIPPED[:-4], "truncated gzip file"),
    "gzip with a wrong checksum": (ZIPPED[:-8] + b"\1\2\3\4" + ZIPPED[-4:], "corrupted gzip file"),
    "gzip with wrong content": (ZIPPED[:10] + b"\xff" + ZIPPED[11:], "corrupted gzip file"),
    "absurd header": (
        b"\0\0\x08\3" + struct.pack(">III", 2**32 - 1, 2**32 - 1, 7) + b"123",
        "too many for a file of 19 bytes",
    ),
}


@pytest.mark.parametrize(("content", "message"), BAD_FILES.values(), ids=BAD_FILES.keys())
def test_a_bad_file_is_named_with_what_is_wrong(content, message, tmp_path):
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(content)
    with pytest.raises(InputError, match=re.escape(message)) as error:
        read_idx(path, 3)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)


def test_a_missing_file_and_a_folder_are_bad_input(tmp_path):
    with pytest.raises(InputError, match="nothing: no such file"):
        read_idx(tmp_path / "nothing", 1)
    with pytest.raises(InputError, match="a directory, not a file"):
        read_idx(tmp_path, 1)


# --- sets ----------------------------------------------------------------------------------------------------


def test_mnist_is_the_published_set():
    data = load("mnist", DATA)
    assert data.train_images.shape == (60000, 784)
    assert data.test_images.shape == (10000, 784)
    assert data.train_images.dtype == data.test_images.dtype == np.uint8
    assert data.train_images.flags.c_contiguous
    assert data.train_labels.dtype == data.test_labels.dtype == np.int64
    assert data.train_labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert data.test_labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert (data.n_classes, data.image_shape, data.n_inputs) == (10, (28, 28), 784)
    assert data.class_names == tuple("0123456789")
    # The mean and standard deviation that everybody normalises with, to the digits given.
    histogram = np.bincount(data.train_images.reshape(-1), minlength=256) / data.train_images.size
    mean = histogram @ np.arange(256) / 255
    std = math.sqrt(histogram @ (np.arange(256) / 255 - mean) ** 2)
    assert (round(mean, 4), round(std, 4)) == (0.1307, 0.3081)


def test_names():
    assert names() == ("mnist", "fashion-mnist", "yin-yang", "shd", "ssc", "nmnist", "spoken-digits")
    with pytest.raises(InputError, match="dataset 'minst': must be one of mnist, fashion-mnist, yin-yang"):
        load("minst")
    with pytest.raises(InputError, match="dataset 'shd': holds events"):
        load("shd")


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("nested", [False, True])
def test_fashion_mnist_is_loaded_from_its_folder(compress, nested, tmp_path):
    arrays = write_set(tmp_path / "fashion-mnist" if nested else tmp_path, compress=compress)
    data = load("fashion-mnist", tmp_path)
    np.testing.assert_array_equal(data.train_images, arrays["train-images-idx3-ubyte"].reshape(6, 12))
    np.testing.assert_array_equal(data.test_images, arrays["t10k-images-idx3-ubyte"].reshape(4, 12))
    np.testing.assert_array_equal(data.train_labels, arrays["train-labels-idx1-ubyte"])
    np.testing.assert_array_equal(data.test_labels, arrays["t10k-labels-idx1-ubyte"])
    assert data.image_shape == (3, 4)
    assert data.class_names[9] == "ankle boot"


def test_a_set_under_a_wrong_name_is_refused():
    with pytest.raises(InputError, match="mnist: holds the files of mnist, not of fashion-mnist"):
        load("fashion-mnist", DATA / "mnist")


def test_a_missing_file_of_four_is_named(tmp_path):
    write_set(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(InputError, match=r"t10k-labels-idx1-ubyte\[\.gz\]: no such file"):
        load("mnist", tmp_path)


def test_files_that_do_not_fit_each_other_are_refused(tmp_path):
    write_set(tmp_path)
    write_idx(tmp_path / "train-labels-idx1-ubyte", np.zeros(5, np.uint8))
    with pytest.raises(InputError, match=r"train-labels-idx1-ubyte.gz: 5 labels, but .* has 6 images"):
        load("mnist", tmp_path)
    write_idx(tmp_path / "train-labels-idx1-ubyte", np.array([0, 9, 10, 0, 0, 0], np.uint8))
    with pytest.raises(InputError, match=r"label 10 of sample 2: must lie in 0\.\.9"):
        load("mnist", tmp_path)
    write_set(tmp_path)
    write_idx(tmp_path / "t10k-images-idx3-ubyte", np.zeros((4, 2, 2), np.uint8))
    with pytest.raises(InputError, match=r"images of 2 x 2 pixels, but train-images-idx3-ubyte.gz has 3 x 4"):
        load("mnist", tmp_path)
    write_idx(tmp_path / "t10k-images-idx3-ubyte", np.zeros((0, 3, 4), np.uint8))
    with pytest.raises(InputError, match="0 x 3 x 4 pixels: must hold at least one image"):
        load("mnist", tmp_path)


def test_the_order_of_the_search(no_places, monkeypatch, tmp_path):
    def found():
        place = location.locate(MNIST)
        return place and (place.origin, place.folder)

    assert found() is None
    with pytest.raises(InputError, match=r"not found in .*system/mnist, .*--data-dir or SNNSIM_DATA, or run"):
        load("mnist")
    expected = []
    for origin, folder in (
        ("cache", tmp_path / "cache" / "snnsim" / "mnist"),
        ("system", tmp_path / "system" / "mnist"),
        ("installed", tmp_path / "lib" / "snnsim_shipped_for_this_test" / "mnist"),
        ("checkout", tmp_path / "site" / "data" / "mnist"),
        ("SNNSIM_DATA", tmp_path / "mine"),
        ("SNNSIM_DATA", tmp_path / "mine" / "mnist"),
    ):
        write_set(folder)
        if origin == "installed":
            monkeypatch.syspath_prepend(tmp_path / "lib")
            monkeypatch.setattr(location, "INSTALLED_PACKAGE", "snnsim_shipped_for_this_test")
        if origin == "checkout":
            assert found()[0] == "installed"  # a folder data/ beside an installed package is somebody else's
            (tmp_path / "site" / "pyproject.toml").touch()
        if origin == "SNNSIM_DATA":
            monkeypatch.setenv("SNNSIM_DATA", str(tmp_path / "mine"))
        expected.append((origin, folder))
        assert found() == expected[-1]
    other = tmp_path / "other"
    write_set(other, n_train=9)
    assert len(load("mnist", other).train_images) == 9
    assert location.locate(FASHION_MNIST, tmp_path / "site") is None


def test_a_folder_that_does_not_exist_is_refused(no_places, monkeypatch, tmp_path):
    with pytest.raises(InputError, match=r"--data-dir = .*nowhere': must be an existing folder"):
        load("mnist", tmp_path / "nowhere")
    monkeypatch.setenv("SNNSIM_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(InputError, match=r"SNNSIM_DATA = .*nowhere': must be an existing folder"):
        load("mnist")


def test_an_explicit_folder_is_not_left_for_another(tmp_path):
    with pytest.raises(InputError, match="not found in"):
        load("mnist", tmp_path)


def test_the_shipped_set_is_found_without_being_named(monkeypatch):
    monkeypatch.delenv("SNNSIM_DATA", raising=False)
    assert location.locate(MNIST).origin in ("checkout", "installed")


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read in Linux's unit")
def test_loading_needs_no_second_copy_and_no_numba():
    code = (
        "import resource, sys; import numpy as np; from snnsim.datasets import load\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024\n"
        "before = peak(); data = load('mnist', sys.argv[1]); print(peak() - before, 'numba' in sys.modules)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(DATA)], capture_output=True, text=True, check=True, cwd=DATA.parent
    )
    megabytes, numba = run.stdout.split()
    # 52.4 MiB of images and 0.6 of labels; the rest is decompression buffers and modules.
    assert float(megabytes) < 52.4 + 0.6 + 10
    assert numba == "False"


def test_the_readme_gives_the_checksums_that_are_verified():
    text = (DATA / "README.md").read_text()
    for source in SOURCES.values():
        section = text.split(f"## {source.name}\n")[1].split("\n## ")[0]
        for file in source.files:
            assert re.search(rf"\| {file.name} \| {file.size} \| [0-9a-f]{{32}} \| {file.sha256} \|", section)


# --- Yin-Yang ------------------------------------------------------------------------------------------------


def published_points(size, seed):
    """Kriener et al.'s definition, from the paper's text: draw a class, then points until one has that class."""
    rng = np.random.RandomState(seed)
    big, small = 0.5, 0.1

    def from_dot(p, side):
        return np.sqrt((p[0] - (1 + side * 0.5) * big) ** 2 + (p[1] - big) ** 2)

    def classify(p):
        right, left = from_dot(p, +1), from_dot(p, -1)
        if min(right, left) < small:
            return 2
        yin = right <= small or (small < left <= big / 2) or (p[1] > big and right > big / 2)
        return 1 if yin else 0

    points, labels = [], []
    for _ in range(size):
        goal = rng.randint(3)
        while True:
            p = rng.rand(2) * 2.0 * big
            if np.sqrt((p[0] - big) ** 2 + (p[1] - big) ** 2) <= big and classify(p) == goal:
                break
        points.append([p[0], p[1], 1.0 - p[0], 1.0 - p[1], 1.0])
        labels.append(goal)
    return np.array(points), np.array(labels)


@pytest.mark.parametrize("seed", [42, 0])
def test_yin_yang_are_the_published_points(seed):
    inputs, labels = yin_yang.generate(300, seed)
    points, classes = published_points(300, seed)
    np.testing.assert_array_equal(inputs, points.astype(np.float32))
    np.testing.assert_array_equal(labels, classes)


def test_yin_yang_sets():
    data = load("yin-yang")
    assert data.train_images.shape == (5000, 5)
    assert data.test_images.shape == data.validation_images.shape == (1000, 5)
    assert data.train_images.dtype == np.float32
    assert (data.n_classes, data.image_shape, data.class_names) == (3, None, ("yin", "yang", "dot"))
    for images, labels in (
        (data.train_images, data.train_labels),
        (data.validation_images, data.validation_labels),
        (data.test_images, data.test_labels),
    ):
        assert images.min() >= 0
        assert images.max() <= 1
        # x + (1 - x) in float32: one rounding of each term
        np.testing.assert_allclose(images[:, :2] + images[:, 2:4], 1, atol=1.2e-7)
        assert (images[:, 4] == 1).all()
        # Each class has probability 1/3: five standard deviations.
        spread = 5 * math.sqrt(len(labels) * 2 / 9)
        assert (abs(np.bincount(labels, minlength=3) - len(labels) / 3) < spread).all()
    # The published seeds of the three sets are 42, 41 and 40.
    for images, seed in ((data.train_images, 42), (data.validation_images, 41), (data.test_images, 40)):
        np.testing.assert_array_equal(images[:20], published_points(20, seed)[0].astype(np.float32))


def test_yin_yang_geometry():
    inputs, labels = yin_yang.generate(6000, 3)
    x, y = inputs[:, 0].astype(float) - 0.5, inputs[:, 1].astype(float) - 0.5
    radius = np.hypot(x, y)
    assert radius.max() <= 0.5 + 1e-6
    dots = labels == 2
    assert (np.minimum(np.hypot(x[dots] - 0.25, y[dots]), np.hypot(x[dots] + 0.25, y[dots])) <= 0.1 + 1e-6).all()
    # Both dots are hit equally often: five standard deviations of a fair coin.
    assert abs((x[dots] > 0).sum() - dots.sum() / 2) < 5 * math.sqrt(dots.sum() / 4)
    # The mean squared radius of uniform points in a half of the disc with its dot cut out: the two halves are images
    # of each other under point reflection, so it is that of the disc without both dots.
    area, dot = math.pi / 4, math.pi / 100
    second = (area * 0.125 - 2 * dot * (0.25**2 + 0.1**2 / 2)) / (area - 2 * dot)
    for half in (0, 1):
        r2 = radius[labels == half] ** 2
        assert abs(r2.mean() - second) < 5 * r2.std() / math.sqrt(r2.size)


@given(st.floats(0, 1), st.floats(0, 1))
def test_reflection_in_the_centre_swaps_the_halves_and_keeps_the_dots(x, y):
    borders = [0.5 - math.hypot(x - 0.5, y - 0.5), abs(y - 0.5)]
    for centre in (0.25, 0.75):
        borders += [abs(math.hypot(x - centre, y - 0.5) - r) for r in (0.1, 0.25)]
    if min(borders) > 1e-9:
        assert yin_yang.class_of(1 - x, 1 - y) == {0: 1, 1: 0, 2: 2}[yin_yang.class_of(x, y)]


def test_yin_yang_depends_on_the_seed_alone():
    first, again, other = load("yin-yang", seed=5), load("yin-yang", seed=5), load("yin-yang", seed=6)
    np.testing.assert_array_equal(first.train_images, again.train_images)
    assert not np.array_equal(first.train_images, other.train_images)
    assert load("yin-yang", seed=0).test_images.shape == (1000, 5)
    for seed in (-1, 2**32):
        with pytest.raises(InputError, match=rf"seed = {seed}: must lie in 0\.\.4294967295"):
            load("yin-yang", seed=seed)
    with pytest.raises(InputError, match="size = 0: must be at least 1"):
        yin_yang.generate(0, 1)


def test_the_wheel_takes_the_shipped_files():
    settings_ = tomllib.loads((DATA.parent / "pyproject.toml").read_text())["tool"]["setuptools"]
    assert "snnsim_data" in settings_["packages"]
    assert settings_["package-dir"]["snnsim_data"] == "data"
    shipped = {path.name for pattern in settings_["package-data"]["snnsim_data"] for path in DATA.glob(pattern)}
    assert {f"{file.name}.gz" for file in MNIST.files} <= shipped
