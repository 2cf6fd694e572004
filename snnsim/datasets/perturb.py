"""Augmentation of spike trains: shift, mirror, stretch, jitter, loss of spikes; a function of (seed, epoch, sample)."""

from dataclasses import dataclass, fields

import numpy as np

from snnsim.connections.maps import size_of
from snnsim.datasets.prepare import ordered
from snnsim.errors import InputError
from snnsim.spikes import Spikes

_STREAM = 0x65766E74
"""Tells these random numbers from those of other uses of the seed."""


@dataclass(frozen=True)
class Perturbation:
    """How spike trains are changed at random, for learning only; 0 stands for not at all.

    Parameters
    ----------
    stretch : float
        Times are multiplied by a factor, uniform in [1 - stretch, 1 + stretch], one for each sample; in [0, 1).
    jitter : float
        Standard deviation of the Gaussian number that is added to the time of each spike, in units of time.
    drop : float
        Probability that a spike is lost; in [0, 1).
    shift_channels : int
        All channels of a line (N,) are shifted by the same number, uniform in [-shift_channels, shift_channels].
    shift : int
        Rows and columns of a map are shifted by numbers that are uniform in [-shift, shift].
    flip : float
        Probability that left and right of a map change places; in [0, 1].
    """

    stretch: float = 0.0
    jitter: float = 0.0
    drop: float = 0.0
    shift_channels: int = 0
    shift: int = 0
    flip: float = 0.0

    def __bool__(self):
        return any(getattr(self, f.name) for f in fields(self))

    def __call__(self, spikes, shape, ids, seed, epoch):
        """Perturb a batch; spikes that leave the trial or the map are lost.

        Parameters
        ----------
        spikes : Spikes
        shape : tuple of int
            Of a sample, ``(N,)`` or ``(C, H, W)`` with neurons numbered channels last.
        ids : ndarray, (B,) int
            Number of each sample, in [0, 2**32): its random numbers depend on it, the seed and the epoch alone.
        seed, epoch : int
            In [0, 2**32).

        Returns
        -------
        Spikes
        """
        trials = []
        for b, sample in enumerate(ids.tolist()):
            # A generator of its own for each sample: the same spikes in any batch and order.
            rng = np.random.Generator(np.random.Philox(key=[(_STREAM << 32) + seed, (epoch << 32) + sample]))
            trials.append(self._one(*spikes.trial(b), shape, spikes.duration, rng))
        counts = np.array([0] + [t.size for t, _ in trials], np.int64)
        return Spikes.trusted(
            np.cumsum(counts), np.concatenate([t for t, _ in trials]), np.concatenate([n for _, n in trials]),
            spikes.n_neurons, spikes.duration, spikes.precision,
        )  # fmt: skip

    def _one(self, times, neurons, shape, duration, rng):
        # Always the same number of draws in the same order, so that one option does not change what another draws.
        stretch = rng.uniform(-self.stretch, self.stretch)
        moves = rng.integers(-self.shift, self.shift, 2, endpoint=True)
        channels = int(rng.integers(-self.shift_channels, self.shift_channels, endpoint=True))
        mirrored = rng.random() < self.flip
        kept = np.ones(times.size, bool)
        if self.drop:
            kept = rng.random(times.size) >= self.drop
        if self.stretch:
            times = times * (1 + stretch)
        if self.jitter:
            times = times + self.jitter * rng.standard_normal(times.size)
        if self.stretch or self.jitter:
            kept &= (times >= 0) & (times <= duration)
        if self.shift_channels:
            neurons = neurons + np.int32(channels)
            kept &= (neurons >= 0) & (neurons < shape[0])
        if self.shift or self.flip:
            neurons, inside = _moved(neurons, shape, moves, mirrored)
            kept &= inside
        return ordered(times[kept], neurons[kept], size_of(shape))


def _moved(neurons, shape, moves, mirrored):
    """Neurons of a map after a mirror image and a shift, and which of them are on it."""
    channels, height, width = shape
    place, channel = np.divmod(neurons, np.int32(channels))
    y, x = np.divmod(place, np.int32(width))
    if mirrored:
        x = np.int32(width - 1) - x
    y, x = y + np.int32(moves[0]), x + np.int32(moves[1])
    inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
    return (y * np.int32(width) + x) * np.int32(channels) + channel, inside


def perturbation_of(data, samples):
    """Perturbation that a configuration asks for.

    Parameters
    ----------
    data : snnsim.config.DataConfig
    samples : Samples
        Of spikes.

    Raises
    ------
    InputError
        If something of it does not apply to these samples.
    """
    for key in ("rotation", "elastic_alpha", "mixup"):
        if getattr(data, key):
            raise InputError(f"data.{key} = {getattr(data, key):g}: belongs to images; {samples.name} has events")
    channels = len(samples.shape) == 1
    for key in ("shift", "flip") if channels else ("shift_channels",):
        if getattr(data, key):
            what = "has channels, and no map of pixels" if channels else "has a map of pixels; data.shift moves them"
            raise InputError(f"data.{key} = {getattr(data, key):g}: {samples.name} {what}")
    if data.shift != int(data.shift):
        raise InputError(f"data.shift = {data.shift:g}: events are shifted by whole pixels")
    return Perturbation(data.stretch, data.jitter, data.drop, data.shift_channels, int(data.shift), data.flip)
