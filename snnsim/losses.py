"""Losses: what the output layer did, and what it should have done, to value, prediction and derivative."""

from dataclasses import dataclass

import numpy as np

from snnsim.errors import InputError
from snnsim.kernels import cpu
from snnsim.registry import LOSSES
from snnsim.spikes import Spikes

SPIKE_LOSSES = ("count-cross-entropy", "count-mse", "first-spike", "van-rossum")
MEMBRANE_LOSSES = ("membrane-mean", "membrane-max")
REGRESSION = "membrane-mse"


@dataclass(frozen=True)
class LossResult:
    """Loss of a batch.

    Parameters
    ----------
    loss : ndarray, (B,) float64
    prediction : ndarray or None, (B,) int64
        None where the targets are no classes.
    gradient : ndarray
        For the engine's backward pass, of the mean loss: (B, cap) dL/d(spike time), (B, T, C) dL/ds or (B, T, C) dL/dv.
    silent : ndarray or None, (B,) int64
        The label where its output was silent though the loss needs a spike of it, else -1.
    """

    loss: np.ndarray
    prediction: np.ndarray | None
    gradient: np.ndarray
    silent: np.ndarray | None


class Loss:
    """One of the losses, ready for batches.

    Parameters
    ----------
    name : {"count-cross-entropy", "count-mse", "first-spike", "van-rossum", "membrane-mean", "membrane-max", \
            "membrane-mse"}
    n_classes : int
    duration, dt : float
        Of a trial, and of the grid on which dL/ds is wanted.
    n_steps : int
    amplitude : bool
        Whether the engine takes dL/ds of every step rather than dL/d(spike time).
    target_true, target_false : float
        Wanted spike counts of the label and of the others (``count-mse``; ``van-rossum``, as evenly spaced trains).
    tau : float
        Time scale of ``first-spike``'s softmax and of ``van-rossum``'s kernel.
    label_smoothing : float
        Of the membrane losses: share of the wanted probability that all classes divide (Szegedy et al. 2016).
    rest : float or ndarray, (C,)
        Of the output's membranes, which ``membrane-mse`` compares with targets as they are.

    Notes
    -----
    An output that stays silent has no spike whose time could move. ``first-spike`` counts it as spiking at the end of
    the trial, without derivative; :func:`push_silent` gives silent outputs that should spike one of their own.
    """

    def __init__(
        self, name, *, n_classes, duration, dt, n_steps, amplitude=False, target_true=15.0, target_false=3.0, tau=0.2,
        label_smoothing=0.0, rest=0.0,
    ):  # fmt: skip
        if name not in (*SPIKE_LOSSES, *MEMBRANE_LOSSES, REGRESSION):
            raise InputError(f"loss.name = {name!r}: must be one of {LOSSES.help}")
        if not tau > 0:
            raise InputError(f"loss.tau = {tau}: must be positive")
        self.name, self.n_classes, self.duration, self.dt, self.n_steps = name, n_classes, duration, dt, n_steps
        self.amplitude, self.tau, self.label_smoothing = amplitude, float(tau), float(label_smoothing)
        self.rest = rest
        self.target_counts = np.array([target_false, target_true], np.float64)
        self.target_train_counts = np.rint(self.target_counts).astype(np.int64)
        self.target_trains = np.zeros((2, max(int(self.target_train_counts.max()), 1)))
        for which, n in enumerate(self.target_train_counts):
            self.target_trains[which, :n] = (np.arange(n) + 0.5) * duration / max(n, 1)

    def __call__(self, output, labels, blend=None):
        """Evaluate a batch.

        Parameters
        ----------
        output : SpikeOutput or VoltageOutput
        labels : ndarray, (B,) int64
            Or targets: (B, C) or (B, T, C) float for ``membrane-mse``, Spikes of B trials for ``van-rossum``.
        blend : tuple of ndarray, optional
            Of the membrane losses: other labels, (B,) int64, and their shares of the wanted probability, (B,) float64.

        Returns
        -------
        LossResult
        """
        if self.name == REGRESSION:
            return self._to_membranes(output.v, labels)
        if isinstance(labels, Spikes):
            return self._to_trains(output, labels)
        labels = np.ascontiguousarray(labels, np.int64)
        loss, prediction = np.empty(len(labels)), np.empty(len(labels), np.int64)
        if self.name in MEMBRANE_LOSSES:
            gradient = np.empty_like(output.v)
            cpu.membrane_loss(output.v, labels, self.name == "membrane-max", loss, prediction, gradient)
            if self.label_smoothing or blend is not None:
                self._soften(output.v, labels, blend, loss, gradient)
            return LossResult(loss, prediction, gradient, None)
        neurons, times, counts = output.neurons, output.times, output.counts
        if self.name == "van-rossum":
            gradient = np.zeros(times.shape)
            arguments = (neurons, times, counts, labels, self.target_trains, self.target_train_counts)
            cpu.van_rossum_loss(*arguments, self.n_classes, self.tau, loss, prediction, gradient)
            if self.amplitude:
                gradient = self._field(labels)
                cpu.van_rossum_amplitude(*arguments, self.dt, self.tau, gradient)
            return LossResult(loss, prediction, gradient, self._silent(output, labels))
        by_class = np.empty((len(labels), self.n_classes))
        if self.name == "first-spike":
            cpu.first_spike_loss(neurons, times, counts, labels, self.duration, self.tau, loss, prediction, by_class)
            if self.amplitude:
                gradient = self._field(labels)
                cpu.first_spike_amplitude(neurons, times, counts, by_class, self.duration, self.dt, gradient)
            else:
                gradient = np.zeros(times.shape)
                cpu.first_spike_error(neurons, counts, by_class, gradient)
            return LossResult(loss, prediction, gradient, self._silent(output, labels))
        targets = self.target_counts if self.name == "count-mse" else np.empty(0)
        cpu.count_loss(neurons, counts, labels, targets, loss, prediction, by_class)
        if self.amplitude:
            gradient = self._field(labels)
            gradient[:] = by_class[:, None, :]
        else:
            gradient = np.zeros(times.shape)
            cpu.count_error(neurons, counts, by_class, gradient)
        return LossResult(loss, prediction, gradient, self._silent(output, labels))

    def _soften(self, v, labels, blend, loss, gradient):
        """Add to loss and gradient what softer labels change: both are linear in the wanted probabilities."""
        rows = np.arange(len(labels))
        excess = np.full((len(labels), self.n_classes), -self.label_smoothing / self.n_classes)
        excess[rows, labels] += self.label_smoothing
        if blend is not None:
            others, shares = blend
            excess[rows, labels] += (1 - self.label_smoothing) * shares
            excess[rows, others] -= (1 - self.label_smoothing) * shares
        if self.name == "membrane-mean":
            loss += (excess * v.mean(axis=1)).sum(axis=1)
            gradient += (excess / (len(labels) * v.shape[1])).astype(v.dtype)[:, None, :]
        else:
            first = v.argmax(axis=1)[:, None, :]
            loss += (excess * np.take_along_axis(v, first, 1)[:, 0]).sum(axis=1)
            change = np.take_along_axis(gradient, first, 1) + (excess / len(labels)).astype(v.dtype)[:, None, :]
            np.put_along_axis(gradient, first, change, 1)

    def check(self, y, n_outputs):
        """Raise InputError unless this loss can compare the outputs with y, of :class:`snnsim.samples.Samples`."""
        trains = isinstance(y, Spikes)
        labelled = not trains and y.dtype.kind == "i"
        if self.name == REGRESSION:
            if trains or labelled:
                raise InputError(f"loss {self.name}: y must be membranes, numbers (n, outputs) or (n, T, outputs)")
            if y.shape[1:] not in ((n_outputs,), (self.n_steps, n_outputs)):
                raise InputError(
                    f"y: shape {y.shape}; loss {self.name} takes (n, {n_outputs}) or (n, {self.n_steps}, {n_outputs})"
                )
            return
        if trains and self.name != "van-rossum":
            raise InputError(f"loss {self.name}: y are spike trains; loss van-rossum takes them")
        if trains and y.n_neurons != n_outputs:
            raise InputError(f"y: trains of {y.n_neurons} neurons; the network has {n_outputs} outputs")
        if not (trains or labelled):
            raise InputError(f"loss {self.name}: y are numbers of shape {y.shape}; loss {REGRESSION} takes them")

    def _to_membranes(self, v, wanted):
        """Mean over outputs (and steps, if there are targets for each) of the squared distance."""
        over_time = wanted.ndim == 3
        miss = (v if over_time else v[:, -1]).astype(np.float64) - (wanted - self.rest)
        loss = (miss**2).reshape(len(miss), -1).mean(axis=1)
        slope = (2 / (miss[0].size * len(miss)) * miss).astype(v.dtype) if len(miss) else miss.astype(v.dtype)
        if over_time:
            return LossResult(loss, None, slope, None)
        gradient = np.zeros_like(v)
        gradient[:, -1] = slope
        return LossResult(loss, None, gradient, None)

    def _to_trains(self, output, wanted):
        """Van Rossum distance to a train of its own for every output of every sample."""
        loss = np.zeros(len(wanted))
        gradient = np.zeros((len(wanted), self.n_steps, self.n_classes) if self.amplitude else output.times.shape)
        grid = np.repeat(np.arange(1, self.n_steps + 1) * self.dt, self.n_classes)
        for b in range(len(wanted)):
            n = output.counts[b]
            own = output.times[b, :n], output.neurons[b, :n]
            goals = wanted.trial(b)
            loss[b] = _pairs(own, own, self.tau) / 2 - _pairs(own, goals, self.tau) + _pairs(goals, goals, self.tau) / 2
            at = (grid, np.tile(np.arange(self.n_classes), self.n_steps)) if self.amplitude else own
            of = _kernel if self.amplitude else _slope
            slope = _sums(at, own, self.tau, of) - _sums(at, goals, self.tau, of)
            if self.amplitude:
                gradient[b] = slope.reshape(self.n_steps, self.n_classes)
            else:
                gradient[b, :n] = slope
        return LossResult(loss, None, gradient / max(len(wanted), 1), None)

    def _field(self, labels):
        return np.empty((len(labels), self.n_steps, self.n_classes))

    def _silent(self, output, labels):
        wanted = np.where(np.arange(output.neurons.shape[1]) < output.counts[:, None], output.neurons, -1)
        spoke = (wanted == labels[:, None]).any(axis=1)
        return np.where(spoke, -1, labels)


def _kernel(distance, tau):
    return np.exp(-np.abs(distance) / tau)


def _slope(distance, tau):
    return -np.sign(distance) * _kernel(distance, tau) / tau


def _sums(at, trains, tau, kernel):
    """Sum of a kernel of the distance to each spike of the same neuron, at each of the given times and neurons."""
    (times, neurons), (others, theirs) = at, trains
    return (kernel(times[:, None] - others, tau) * (neurons[:, None] == theirs)).sum(axis=1)


def _pairs(first, second, tau):
    return _sums(first, second, tau, _kernel).sum()


def push_silent(result, presynaptic, push, grad_w):
    """Add to the last layer's gradient what wakes silent outputs (:func:`snnsim.kernels.cpu.silent_drive`).

    Parameters
    ----------
    result : LossResult
    presynaptic : tuple
        ``(neurons, counts)`` of the layer before the output.
    push : float
        Weight of the term ``-push * sum_i w_ic n_i``, averaged over the batch.
    grad_w : ndarray, (N_in, C) float
        Added to.
    """
    if push and result.silent is not None and (result.silent >= 0).any():
        neurons, counts = presynaptic
        share = grad_w.dtype.type(push / len(result.loss))
        cpu.silent_drive(neurons, counts, result.silent, share, grad_w)
