"""What the known data sets are: their files, sizes, canonical checksums, mirrors and class names."""

from dataclasses import dataclass

from snnsim.errors import InputError


@dataclass(frozen=True)
class DataFile:
    """One IDX file of a data set.

    Parameters
    ----------
    name : str
        Name of the uncompressed file; on disk it may also carry ``.gz``.
    size : int
        Bytes of the uncompressed file.
    sha256 : str
        SHA-256 of the uncompressed file (a compressed copy depends on the compressor, its content does not).
    """

    name: str
    size: int
    sha256: str


@dataclass(frozen=True)
class IdxSource:
    """A data set of four IDX files.

    Parameters
    ----------
    name, title : str
    train_images, train_labels, test_images, test_labels : DataFile
    mirrors : tuple of str
        Base addresses, ending in a slash, below which ``<file name>.gz`` lies; tried in this order.
    class_names : tuple of str
    """

    name: str
    title: str
    train_images: DataFile
    train_labels: DataFile
    test_images: DataFile
    test_labels: DataFile
    mirrors: tuple
    class_names: tuple

    @property
    def files(self):
        """The four files, in a fixed order."""
        return self.train_images, self.train_labels, self.test_images, self.test_labels


# Both sets: 60,000 + 10,000 images of 28 x 28 bytes behind a 16-byte header, labels behind an 8-byte header.
_TRAIN_IMAGES, _TRAIN_LABELS, _TEST_IMAGES, _TEST_LABELS = 47_040_016, 60_008, 7_840_016, 10_008

MNIST = IdxSource(
    name="mnist",
    title="MNIST handwritten digits (LeCun, Cortes, Burges)",
    train_images=DataFile(
        "train-images-idx3-ubyte",
        _TRAIN_IMAGES,
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    ),
    train_labels=DataFile(
        "train-labels-idx1-ubyte",
        _TRAIN_LABELS,
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    ),
    test_images=DataFile(
        "t10k-images-idx3-ubyte",
        _TEST_IMAGES,
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    ),
    test_labels=DataFile(
        "t10k-labels-idx1-ubyte",
        _TEST_LABELS,
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
    mirrors=(
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ),
    class_names=tuple("0123456789"),
)

FASHION_MNIST = IdxSource(
    name="fashion-mnist",
    title="Fashion-MNIST (Xiao, Rasul, Vollgraf 2017)",
    train_images=DataFile(
        "train-images-idx3-ubyte",
        _TRAIN_IMAGES,
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    ),
    train_labels=DataFile(
        "train-labels-idx1-ubyte",
        _TRAIN_LABELS,
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    ),
    test_images=DataFile(
        "t10k-images-idx3-ubyte",
        _TEST_IMAGES,
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    ),
    test_labels=DataFile(
        "t10k-labels-idx1-ubyte",
        _TEST_LABELS,
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    ),
    mirrors=(
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
    ),
    class_names=(
        "t-shirt/top",
        "trouser",
        "pullover",
        "dress",
        "coat",
        "sandal",
        "shirt",
        "sneaker",
        "bag",
        "ankle boot",
    ),
)

YIN_YANG = "yin-yang"
SOURCES = {source.name: source for source in (MNIST, FASHION_MNIST)}
FOLDERS = ("shd", "ssc", "nmnist", "spoken-digits")
"""Sets that are a folder in one of :data:`snnsim.datasets.formats.FORMATS`."""


def names():
    """Return the names of all data sets."""
    return (*SOURCES, YIN_YANG, *FOLDERS)


def idx_source(name, action):
    """Return the :class:`IdxSource` called ``name``.

    Parameters
    ----------
    name : str
    action : str
        What was to be done with its files, for the error message (``"fetch"``).

    Raises
    ------
    InputError
        If no set has that name, or it has no files.
    """
    if name == YIN_YANG:
        raise InputError(f"dataset {name!r}: is generated, there is nothing to {action}; allowed: {', '.join(SOURCES)}")
    check_name(name)
    if name in FOLDERS:
        raise InputError(f"dataset {name!r}: has no files with sums to {action}; allowed: {', '.join(SOURCES)}")
    return SOURCES[name]


def check_name(name):
    """Raise :class:`InputError` unless ``name`` is a known data set."""
    if name not in names():
        raise InputError(f"dataset {name!r}: must be one of {', '.join(names())}")
