"""Small data that a user could have: tasks that a network of a few neurons learns in a second."""

import numpy as np


def blobs(n=120, d=6, classes=3, seed=0):
    """Intensities (n, d) in 0..1 with a bright third each, and their classes."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % classes
    x = rng.uniform(0, 0.3, (n, d))
    for c in range(classes):
        x[np.ix_(y == c, np.arange(d) % classes == c)] += 0.6
    return x, y


def images(n=90, shape=(1, 6, 6), seed=0):
    """Bytes (n, C, H, W): a bright half, above or below."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 2
    x = rng.integers(0, 60, (n, *shape)).astype(np.uint8)
    half = shape[1] // 2
    x[y == 0, :, :half] += 180
    x[y == 1, :, half:] += 180
    return x, y


def trains(n=60, units=8, duration=20.0, seed=0):
    """Pairs (times, units): class c spikes in its own half of the units."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 2
    pairs = []
    for c in y:
        m = 30
        pairs.append((np.sort(rng.uniform(0.1, duration, m)), rng.integers(0, units // 2, m) + c * (units // 2)))
    return pairs, y


def recordings(n=40, size=6, seed=0):
    """Structured arrays as Tonic has them, microseconds: class c moves in its own half of the pixels."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 2
    made = []
    for c in y:
        events = np.zeros(80, np.dtype([("x", np.int16), ("y", np.int16), ("t", np.int64), ("p", bool)]))
        events["x"] = rng.integers(0, size, 80)
        events["y"] = rng.integers(0, size // 2, 80) + c * (size // 2)
        events["t"] = np.sort(rng.integers(0, 20_000, 80))
        events["p"] = rng.integers(0, 2, 80)
        made.append(events)
    return made, y
