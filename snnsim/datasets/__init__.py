"""Data sets: MNIST and Fashion-MNIST from IDX files, and the generated Yin-Yang set.

>>> from snnsim.datasets import load
>>> data = load("yin-yang")
>>> data.train_images.shape, data.n_classes
((5000, 5), 3)

``idx`` reads files, ``registry`` says what each set is, ``location`` where its files are, ``loading`` puts
the three together, ``fetch`` downloads, ``verify`` checks, ``yin_yang`` generates, and ``augment`` deforms
images. Nothing here imports numba until ``snnsim.datasets.augment.augment`` is called.
"""

from snnsim.datasets.loading import Dataset, load
from snnsim.datasets.registry import names

__all__ = ["Dataset", "load", "names"]
