"""The Yin-Yang set (Kriener, Goeltz, Petrovici 2021, arXiv:2102.08211): points of a yin-yang sign.

The sign is a disc of radius 1/2 in the unit square. The eyes are two dots of radius 1/10 around (1/4, 1/2)
and (3/4, 1/2); two half discs of radius 1/4 around the same centres bend the border between the halves.
Points are drawn class by class with equal probability (rejection sampling), from the same frozen generator
and in the same order as in the published code (github.com/lkriener/yin_yang_data_set), so that a seed gives
the published points bit for bit.
"""

import math

import numpy as np

from snnsim.errors import InputError

CLASS_NAMES = ("yin", "yang", "dot")
R_DOT, R_DISC = 0.1, 0.5
DEFAULT_SEED = 42
N_TRAIN, N_VALIDATION, N_TEST = 5000, 1000, 1000


def generate(size, seed):
    """Draw points and classes of the Yin-Yang set.

    Parameters
    ----------
    size : int
        Number of samples n.
    seed : int
        In [0, 2**32). The published sets use 42 for training, 41 for validation and 40 for test.

    Returns
    -------
    inputs : ndarray, (n, 5) float32 in [0, 1]
        The four published inputs x, y, 1 - x, 1 - y, and a constant bias of 1 (an encoder that turns large
        values into early spikes turns it into the reference spike that latency codes need).
    labels : ndarray, (n,) int64
        0, 1: the two halves; 2: the dots, numbered as in the published code.

    Raises
    ------
    InputError
        If ``size`` or ``seed`` is out of range.
    """
    if size < 1:
        raise InputError(f"size = {size}: must be at least 1")
    if not 0 <= seed < 2**32:
        raise InputError(f"seed = {seed}: must lie in 0..{2**32 - 1}")
    random = np.random.RandomState(seed)
    points = np.empty((size, 2))
    labels = np.empty(size, np.int64)
    for i in range(size):
        wanted = random.randint(3)
        while True:
            x, y = random.random_sample(2).tolist()
            if _distance(x, y, R_DISC) <= R_DISC and class_of(x, y) == wanted:
                break
        points[i] = x, y
        labels[i] = wanted
    inputs = np.concatenate([points, 1 - points, np.ones((size, 1))], axis=1)
    return inputs.astype(np.float32), labels


def class_of(x, y):
    """Classify a point inside the disc as 0, 1 or 2, borders as in the published code."""
    right = _distance(x, y, 1.5 * R_DISC)
    left = _distance(x, y, 0.5 * R_DISC)
    if right < R_DOT or left < R_DOT:
        return 2
    on_edge_of_right_dot = right <= R_DOT
    in_left_half_disc = R_DOT < left <= 0.5 * R_DISC
    in_upper_half = y > R_DISC and right > 0.5 * R_DISC
    return int(on_edge_of_right_dot or in_left_half_disc or in_upper_half)


def _distance(x, y, centre_x):
    return math.sqrt((x - centre_x) ** 2 + (y - R_DISC) ** 2)
