"""What a training tells, and who listens: files of metrics, checkpoints, recordings, and an end before the end."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np

from snnsim.arguments import number, whole
from snnsim.errors import InputError, check_names
from snnsim.extras import install_command
from snnsim.models import save_model


class Callback:
    """What a training calls; each method may be overridden, and one that is not there is not called.

    ``training`` is the :class:`~snnsim.training.session.Session`: its ``epoch`` and ``batch`` say how far it is,
    ``network`` gives the network as it is now, ``config`` the configuration.
    """

    def on_prepare(self, training: Any) -> None:
        """Before anything is written: may refuse by raising an InputError."""

    def on_begin(self, training: Any, history: list) -> None:
        """Before the first batch, with the metrics of earlier epochs."""

    def on_batch_begin(self, training: Any) -> None:
        """Before a batch."""

    def on_batch_end(self, training: Any, metrics: dict) -> bool | None:
        """After a batch, with its ``loss`` and ``accuracy``; True ends the training."""

    def on_evaluate(self, training: Any, split: str, done: int, total: int) -> None:
        """In the evaluation of a split."""

    def on_epoch_end(self, training: Any, metrics: dict) -> bool | None:
        """After an epoch, with its metrics as :class:`History` has them; True ends the training."""

    def on_trouble(self, training: Any, text: str) -> None:
        """After an epoch, one line that says what keeps the network from learning."""

    def on_end(self, training: Any, error: BaseException | None) -> None:
        """At the end, whatever ended it."""


HOOKS = tuple(name for name in vars(Callback) if name.startswith("on_"))


class Callbacks:
    """Several callbacks as one.

    Parameters
    ----------
    given : iterable
        Objects with any of the methods of :class:`Callback`, or functions that are called as ``on_epoch_end``.
    silent : bool
        Whether none of them is called, in a process that does not lead.

    Raises
    ------
    InputError
        If one has none of them.
    """

    def __init__(self, given=(), silent=False):
        self._silent = silent
        self._given = [given] if callable(given) or _hooks(given) else list(given)
        for one in self._given:
            if not _hooks(one) and (not callable(one) or isinstance(one, type)):
                raise InputError(f"callbacks: {one!r}: must have one of {', '.join(HOOKS)}, or be a function")

    def __call__(self, hook, *values):
        """Call a method of all that have it; say whether one of them returned True."""
        stop = False
        for one in () if self._silent else self._given:
            method = getattr(one, hook, None)
            if method is None and hook == "on_epoch_end" and not _hooks(one):
                method = one
            if method is not None:
                stop |= method(*values) is True
        return stop


    @property
    def records(self):
        """Whether one of them records batches."""
        return any(getattr(one, "records", False) for one in self._given)


def _hooks(one):
    return [name for name in HOOKS if callable(getattr(one, name, None))]


def _better(monitor, mode):
    """+1 if larger is better, -1 if smaller is."""
    check_names("mode", mode, ("auto", "min", "max"))
    if mode != "auto":
        return 1 if mode == "max" else -1
    return 1 if "accuracy" in monitor else -1


def _monitored(metrics, monitor):
    if monitor not in metrics:
        raise InputError(f"monitor = {monitor!r}: must be one of {', '.join(metrics)}")
    if metrics[monitor] is None:
        raise InputError(f"monitor = {monitor!r}: there is none; fit takes validation = 0.1, for one")
    return metrics[monitor]


class EarlyStopping(Callback):
    """End a training that no longer gets better.

    The model keeps the weights of its best epoch in any case.

    Parameters
    ----------
    monitor : str
        A metric: ``val_loss``, ``val_accuracy``, ``train_loss`` or ``train_accuracy``.
    patience : int
        Epochs without a better value that are waited for.
    min_delta : float
        What counts as better.
    mode : {"auto", "min", "max"}
        Which way is better; ``auto`` takes ``max`` for accuracies.
    """

    def __init__(
        self, monitor: str = "val_loss", patience: int = 3, min_delta: float = 0.0, mode: str = "auto"
    ) -> None:
        self.monitor, self.patience = monitor, whole("patience", patience, 0)
        self.min_delta = number("min_delta", min_delta, least=0)
        self._sign = _better(monitor, mode)

    def on_begin(self, training: Any, history: list) -> None:
        """Take what earlier epochs reached."""
        self._best, self._waited = -np.inf, 0
        for metrics in history:
            self.on_epoch_end(training, metrics)

    def on_epoch_end(self, training: Any, metrics: dict) -> bool:
        """Compare."""
        value = self._sign * _monitored(metrics, self.monitor)
        if value > self._best + self.min_delta:
            self._best, self._waited = value, 0
        else:
            self._waited += 1
        return self._waited > self.patience


class Checkpoint(Callback):
    """Save the network after epochs, each file complete or not there; :func:`snnsim.load_model` reads them.

    Parameters
    ----------
    path : str or Path
        May name ``{epoch}`` and metrics, such as ``"epoch{epoch:03d}.h5"``.
    every : int
    best_only : bool
        Only where the monitored metric is the best so far.
    monitor, mode : str
        As of :class:`EarlyStopping`.
    """

    def __init__(
        self, path: str | Path, every: int = 1, best_only: bool = False, monitor: str = "val_loss", mode: str = "auto"
    ) -> None:
        self.path, self.every, self.best_only = str(path), whole("every", every, 1), best_only
        self.monitor, self._sign, self._best = monitor, _better(monitor, mode), -np.inf

    def on_epoch_end(self, training: Any, metrics: dict) -> None:
        """Save."""
        if metrics["epoch"] % self.every:
            return
        if self.best_only:
            value = self._sign * _monitored(metrics, self.monitor)
            if value <= self._best:
                return
            self._best = value
        try:
            path = self.path.format(**metrics)
        except (KeyError, IndexError, ValueError) as error:
            names = ", ".join(metrics)
            raise InputError(f"path = {self.path!r}: {error!r}; may name {names}") from error
        save_model(
            path, training.averaged_network, training.config, training.train.classes, epoch=metrics["epoch"],
            targets=training.targets,
        )  # fmt: skip


class CSVLog(Callback):
    """Write the metrics of every epoch as a line of a CSV file.

    Parameters
    ----------
    path : str or Path
        Replaced at the first epoch; continued by a training that goes on.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def on_begin(self, training: Any, history: list) -> None:
        """Write those of earlier epochs."""
        self._rows = [_row(metrics) for metrics in history]

    def on_epoch_end(self, training: Any, metrics: dict) -> None:
        """Add a line."""
        self._rows.append(_row(metrics))
        try:
            with open(self.path, "w", newline="") as file:
                out = csv.DictWriter(file, list(self._rows[0]))
                out.writeheader()
                out.writerows(self._rows)
        except OSError as error:
            raise InputError(f"{self.path}: cannot be written: {error.strerror}") from error


def _row(metrics):
    return {key: json.dumps(value) if isinstance(value, list) else value for key, value in metrics.items()}


class TensorBoardLog(Callback):
    """Write the metrics for TensorBoard, by tensorboardX (extra ``tensorboard``).

    Parameters
    ----------
    directory : str or Path
    batches : bool
        Loss and accuracy of every batch, too.
    weights : bool
        Histograms of all tensors after every epoch.
    """

    def __init__(self, directory: str | Path, batches: bool = False, weights: bool = False) -> None:
        try:
            from tensorboardX import SummaryWriter
        except ImportError as error:
            raise InputError(f"TensorBoardLog: needs tensorboardX: {install_command('tensorboard')}") from error
        self._writer, self.batches, self.weights = SummaryWriter(str(directory)), batches, weights

    def on_batch_end(self, training: Any, metrics: dict) -> None:
        """Write numbers of a batch."""
        if self.batches:
            at = training.epoch * training.batches + training.batch
            self._scalars({f"batch/{key}": value for key, value in metrics.items()}, at)

    def on_epoch_end(self, training: Any, metrics: dict) -> None:
        """Write numbers of an epoch."""
        epoch = metrics["epoch"]
        self._scalars({k: v for k, v in metrics.items() if k not in ("epoch", "spikes_per_neuron")}, epoch)
        names = training.spiking
        rates = zip(names, metrics["spikes_per_neuron"], strict=True)
        self._scalars({f"spikes_per_neuron/{name}": rate for name, rate in rates}, epoch)
        if self.weights:
            for name, w in training.averaged.items():
                self._writer.add_histogram(name, w, epoch)
        self._writer.flush()

    def on_end(self, training: Any, error: BaseException | None) -> None:
        """Close the file."""
        self._writer.close()

    def _scalars(self, values, at):
        for name, value in values.items():
            if value is not None:
                self._writer.add_scalar(name, value, at)


class History(list):
    """Metrics of every epoch, each a dict; ``history["val_loss"]`` gives one metric of all epochs.

    Metrics are ``epoch``, ``train_loss``, ``train_accuracy``, ``val_loss``, ``val_accuracy`` (None where there is
    none), ``seconds``, ``spikes_per_neuron`` (one a spiking population) and ``lr``.
    """

    best_epoch: int = 0

    def __getitem__(self, key: Any) -> Any:
        """Epoch by number from 0, or a metric by name."""
        if not isinstance(key, str):
            return super().__getitem__(key)
        if self and key not in self[0]:
            raise InputError(f"history[{key!r}]: must be one of {', '.join(self[0])}")
        return [metrics[key] for metrics in self]
