"""Loading a data set by name."""

from dataclasses import dataclass

import numpy as np

from snnsim.datasets import yin_yang
from snnsim.datasets.idx import read_idx
from snnsim.datasets.location import locate, search_places
from snnsim.datasets.registry import FOLDERS, SOURCES, YIN_YANG, check_name
from snnsim.datasets.verify import other_set
from snnsim.errors import InputError
from snnsim.samples import Samples, SampleSets


@dataclass(frozen=True)
class Dataset:
    """Training and test samples with labels.

    Parameters
    ----------
    name : str
    train_images, test_images : ndarray, (n, D), C-contiguous
        uint8 intensities 0..255 of images, rows of pixels one after the other; float32 in [0, 1] for
        Yin-Yang.
    train_labels, test_labels : ndarray, (n,) int64 in [0, n_classes)
    n_classes : int
    image_shape : tuple of int or None
        ``(rows, columns)``, or None where samples are no images.
    class_names : tuple of str
    validation_images, validation_labels : ndarray or None
        A validation set of its own, where the publication defines one (Yin-Yang); else None.
    """

    name: str
    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    n_classes: int
    image_shape: tuple | None
    class_names: tuple
    validation_images: np.ndarray | None = None
    validation_labels: np.ndarray | None = None

    @property
    def n_inputs(self):
        """D, the number of values of one sample."""
        return self.train_images.shape[1]

    def sets(self):
        """Give it in the form that a training takes, :class:`~snnsim.samples.SampleSets`."""

        def samples(images, labels):
            shape = (1, *self.image_shape) if self.image_shape else ()
            return None if images is None else Samples(images, labels, shape, self.class_names, self.name)

        return SampleSets(
            self.name, samples(self.train_images, self.train_labels), samples(self.test_images, self.test_labels),
            samples(self.validation_images, self.validation_labels),
        )  # fmt: skip


def load(name, data_dir=None, seed=yin_yang.DEFAULT_SEED):
    """Load a data set.

    Parameters
    ----------
    name : {"mnist", "fashion-mnist", "yin-yang"}
    data_dir : path-like, optional
        Folder that holds the files, or a folder ``name`` that holds them; without it they are searched
        (``snnsim.datasets.location.locate``). Yin-Yang has no files and ignores it.
    seed : int
        Of the generated set only; 42 gives the published Yin-Yang sets.

    Returns
    -------
    Dataset

    Raises
    ------
    InputError
        If the name is unknown, no file is found, or a file is missing, truncated, corrupted or does not fit
        the others; the message names the file.
    """
    check_name(name)
    if name in FOLDERS:
        raise InputError(f"dataset {name!r}: holds events; snnsim.datasets.sets.sample_sets reads it")
    if name == YIN_YANG:
        return _load_yin_yang(seed)
    return _load_idx(SOURCES[name], data_dir)


def _load_yin_yang(seed):
    if not 0 <= seed < 2**32:
        raise InputError(f"seed = {seed}: must lie in 0..{2**32 - 1}")
    sizes = yin_yang.N_TRAIN, yin_yang.N_VALIDATION, yin_yang.N_TEST
    # The published seeds are 42, 41, 40 for training, validation and test.
    train, validation, test = (yin_yang.generate(size, (seed - i) % 2**32) for i, size in enumerate(sizes))
    return Dataset(
        name=YIN_YANG,
        train_images=train[0],
        train_labels=train[1],
        test_images=test[0],
        test_labels=test[1],
        n_classes=len(yin_yang.CLASS_NAMES),
        image_shape=None,
        class_names=yin_yang.CLASS_NAMES,
        validation_images=validation[0],
        validation_labels=validation[1],
    )


def _load_idx(source, data_dir):
    place = locate(source, data_dir)
    if place is None:
        looked = ", ".join(str(place.folder) for place in search_places(source.name, data_dir))
        raise InputError(
            f"dataset {source.name}: {source.train_images.name}[.gz] not found in {looked}; "
            f"name its folder with --data-dir or SNNSIM_DATA, or run `snnsim data fetch {source.name}`"
        )
    for file in source.files:
        if place.path(file) is None:
            raise InputError(
                f"{place.folder / file.name}[.gz]: no such file, but other files of {source.name} are there"
            )
    n_classes = len(source.class_names)
    other = other_set(source, place)
    if other is not None:
        raise InputError(f"{place.folder}: holds the files of {other}, not of {source.name}")
    train_images, train_labels = _load_half(place, source.train_images, source.train_labels, n_classes)
    test_images, test_labels = _load_half(place, source.test_images, source.test_labels, n_classes)
    if train_images.shape[1:] != test_images.shape[1:]:
        raise InputError(
            f"{place.path(source.test_images)}: images of {_times(test_images.shape[1:])} pixels, "
            f"but {place.path(source.train_images).name} has {_times(train_images.shape[1:])}"
        )
    return Dataset(
        name=source.name,
        train_images=train_images.reshape(len(train_images), -1),
        train_labels=train_labels,
        test_images=test_images.reshape(len(test_images), -1),
        test_labels=test_labels,
        n_classes=n_classes,
        image_shape=train_images.shape[1:],
        class_names=source.class_names,
    )


def _load_half(place, image_file, label_file, n_classes):
    image_path, label_path = place.path(image_file), place.path(label_file)
    labels = read_idx(label_path, 1)
    images = read_idx(image_path, 3)
    if images.size == 0:
        raise InputError(f"{image_path}: {_times(images.shape)} pixels: must hold at least one image of one pixel")
    if len(labels) != len(images):
        raise InputError(f"{label_path}: {len(labels)} labels, but {image_path.name} has {len(images)} images")
    if labels.max() >= n_classes:
        at = int(np.argmax(labels >= n_classes))
        raise InputError(f"{label_path}: label {labels[at]} of sample {at}: must lie in 0..{n_classes - 1}")
    return images, labels.astype(np.int64)


def _times(shape):
    return " x ".join(map(str, shape))
