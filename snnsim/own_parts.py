"""Losses and encoders of one's own, as a training takes them.

A loss is called with what the output did and the targets of a batch of B samples, and returns the loss of each sample
(B,), its derivative, and, if it knows better than the largest mean, what it takes each sample for (B,). Its attribute
``reads`` says what it is given and what it differentiates by:

    "membrane"    v, (B, T, C) at the end of every step        dL/dv, (B, T, C)
    "counts"      spikes of each output, (B, C)                dL/d(count), (B, C)
    "spikes"      :class:`~snnsim.spikes.Spikes` of B trials   dL/d(time) of each spike, in the order of ``times``

An encoder is called with the intensities of one sample (D,) in 0..1 and a ``numpy.random.Generator`` of its own, and
returns ``(times, neurons)``; the same seed, epoch and sample give the same random numbers in any order.
"""

from typing import Any

import numpy as np

from snnsim.encoders import checked_intensities
from snnsim.engines.grid import grid_of_spikes
from snnsim.engines.outputs import slab_of_spikes, spikes_of_slab
from snnsim.errors import InputError
from snnsim.kernels import cpu
from snnsim.losses import LossResult
from snnsim.registry import ENCODERS, LOSSES
from snnsim.spikes import Spikes

READS = ("membrane", "counts", "spikes")
_STREAM = 0x6F776E


class OwnLoss:
    """A loss of one's own, called as those of :class:`snnsim.losses.Loss`.

    Parameters
    ----------
    name : str
        As the configuration names it.
    n_classes, n_steps : int
    dt : float
    amplitude : bool
        Whether the engine takes dL/ds of every step rather than dL/d(spike time).
    rest : float or ndarray, (C,)
        Of the output's membranes.

    Raises
    ------
    InputError
        If it is no loss, or differentiates by what the engine cannot take.
    """

    def __init__(self, name, *, n_classes, n_steps, dt, amplitude=False, rest=0.0):
        self.name, self.n_classes, self.n_steps, self.dt = name, n_classes, n_steps, dt
        self.amplitude, self.rest = amplitude, rest
        self._loss = LOSSES.find(name)
        self._reads = reads_of(name)
        if self._reads == "spikes" and amplitude:
            raise InputError(
                f"loss {name}: differentiates by spike times; gradient.method = surrogate or tssl needs one that reads "
                "membrane or counts"
            )

    def check(self, y, n_outputs):
        """Take any targets: they are the loss's own."""

    def __call__(self, output, y, blend=None):
        """Evaluate a batch; see :meth:`snnsim.losses.Loss.__call__`."""
        labelled = isinstance(y, np.ndarray) and y.dtype.kind == "i"
        if self._reads == "membrane":
            given = output.v if not np.any(self.rest) else output.v + np.asarray(self.rest, output.v.dtype)
            scores, shape = given.mean(axis=1), given.shape
        else:
            spikes = spikes_of_slab(output)
            scores = spikes.counts().astype(np.float64)
            given = spikes if self._reads == "spikes" else scores
            shape = spikes.times.shape if self._reads == "spikes" else scores.shape
        found = self._loss(given, y)
        if not isinstance(found, tuple) or len(found) not in (2, 3):
            raise InputError(f"loss {self.name}: must return the loss of each sample and its derivative")
        value, slope = (np.asarray(part, np.float64) for part in found[:2])
        for what, part, wanted in (("loss", value, (len(y),)), ("derivative", slope, shape)):
            if part.shape != wanted:
                raise InputError(f"loss {self.name}: {what} of shape {part.shape}; must be {wanted}")
        prediction = np.asarray(found[2], np.int64) if len(found) == 3 else scores.argmax(axis=1) if labelled else None
        return LossResult(value, prediction, self._signal(output, slope / max(len(y), 1)), None)

    def _signal(self, output, slope):
        """Give what the engine's backward pass takes."""
        if self._reads == "membrane":
            return slope.astype(output.v.dtype)
        if self._reads == "counts" and self.amplitude:
            return np.broadcast_to(slope[:, None], (len(slope), self.n_steps, self.n_classes)).copy()
        error = np.zeros(output.times.shape)
        if self._reads == "counts":
            cpu.count_error(output.neurons, output.counts, slope, error)
        else:
            error[np.arange(error.shape[1]) < output.counts[:, None]] = slope
        return error


def reads_of(name):
    """Say what a loss of one's own reads: membrane, counts or spikes."""
    loss = LOSSES.find(name)
    reads = getattr(loss, "reads", None)
    if not callable(loss) or reads not in READS:
        raise InputError(f"loss {name}: must be callable, with reads = one of {', '.join(READS)}, not {reads!r}")
    return reads


def check_gradient(
    loss: Any, y: Any, *, n_outputs: int | None = None, n_steps: int = 10, seed: int = 0, step: float = 1e-6,
    tolerance: float = 1e-5,
) -> float:
    """Compare the derivative that a loss of one's own gives with central differences.

    Parameters
    ----------
    loss : object
        As in :mod:`snnsim.own_parts`.
    y : array_like or Spikes
        Targets of a few samples.
    n_outputs : int, optional
        None: as many as y have columns, or one more than the largest class.
    n_steps : int
    seed : int
        Of the outputs that are tried.
    step : float
        By which each is changed.
    tolerance : float
        Largest difference, relative to the largest derivative.

    Returns
    -------
    float
        The largest relative difference.

    Raises
    ------
    InputError
        If it exceeds the tolerance: where, what was given, and what the difference quotient is.
    """
    reads = reads_of(LOSSES.name_of(loss))
    loss = LOSSES.find(LOSSES.name_of(loss))
    y = y if isinstance(y, Spikes) else np.asarray(y)
    labelled = not isinstance(y, Spikes) and y.dtype.kind in "iu"
    if n_outputs is None:
        n_outputs = y.n_neurons if isinstance(y, Spikes) else int(y.max()) + 1 if labelled else y.shape[-1]
    rng = np.random.default_rng(seed)
    n, trials = len(y), np.arange(len(y))
    if reads == "membrane":
        x, of = rng.normal(0, 1, (n, n_steps, n_outputs)), trials[:, None, None]
        given = np.copy
    elif reads == "counts":
        x, of, given = rng.integers(0, 9, (n, n_outputs)).astype(float), trials[:, None], np.copy
    else:
        size = 3 * n_outputs
        # Well apart, so that none passes another.
        x = (np.argsort(rng.random((n, size)), axis=1).argsort(axis=1) + 0.3 + 0.4 * rng.random((n, size))).reshape(-1)
        x.reshape(n, size).sort(axis=1)
        neurons, of = rng.integers(0, n_outputs, n * size).astype(np.int32), np.repeat(trials, size)

        def given(times):
            return Spikes.trusted(np.arange(n + 1) * size, times.copy(), neurons, n_outputs, float(size))

    slope = np.asarray(loss(given(x), y)[1], np.float64)
    if slope.shape != x.shape:
        raise InputError(f"loss: derivative of shape {slope.shape}; must be {x.shape}")
    of = np.broadcast_to(of, x.shape).reshape(-1)
    quotient = np.empty(x.size)
    for k in range(x.size):
        ends = []
        for sign in (1, -1):
            moved = x.copy()
            moved.reshape(-1)[k] += sign * step
            ends.append(loss(given(moved), y)[0][of[k]])
        quotient[k] = (ends[0] - ends[1]) / (2 * step)
    quotient = quotient.reshape(x.shape)
    worst = np.abs(slope - quotient)
    at = np.unravel_index(worst.argmax(), x.shape)
    error = float(worst[at] / max(np.abs(quotient).max(), 1e-12))
    if not error <= tolerance:
        raise InputError(
            f"loss: derivative {slope[at]:.6g} at [{', '.join(map(str, at))}]; central differences give "
            f"{quotient[at]:.6g}"
        )
    return error


class OwnEncoder:
    """An encoder of one's own, called as :class:`snnsim.encoders.Encoder`.

    Parameters
    ----------
    name : str
    dt : float
    n_steps : int
    seed : int
    """

    repeats = False

    def __init__(self, name, *, dt, n_steps, seed=0):
        self.name, self.dt, self.n_steps, self.seed = name, float(dt), int(n_steps), int(seed)
        self._encode = ENCODERS.find(name)
        if not callable(self._encode):
            raise InputError(f"encoder {name}: a {type(self._encode).__name__}; must be callable with (x, rng)")

    def spikes(self, values, sample_ids, epoch=0):
        """Encode a batch (B, D), Spikes."""
        values = values / np.float64(255) if values.dtype == np.uint8 else checked_intensities(values)
        trials = []
        for x, number in zip(values, np.asarray(sample_ids).tolist(), strict=True):
            key = [self.seed, _STREAM << 32 | int(epoch)]
            made = self._encode(x, np.random.Generator(np.random.Philox(key=key, counter=[0, 0, 0, number])))
            if not isinstance(made, tuple) or len(made) != 2:
                raise InputError(f"encoder {self.name}: must return times and neurons, a pair")
            trials.append(made)
        try:
            return Spikes.from_trials(trials, values.shape[1], self.dt * self.n_steps)
        except InputError as error:
            raise InputError(f"encoder {self.name}: {error}") from error

    def on_grid(self, values, sample_ids, epoch=0, group=1):
        """Encode a batch for the clock; see :meth:`snnsim.encoders.Encoder.on_grid`."""
        return grid_of_spikes(self.spikes(values, sample_ids, epoch), self.dt, self.n_steps)

    def in_time(self, values, sample_ids, epoch=0):
        """Encode a batch for the event engine as it is, for others at the ends of steps."""
        return slab_of_spikes(self.spikes(values, sample_ids, epoch))
