"""A training as a directory: ``config.toml``, ``metrics.jsonl``, ``checkpoint.h5``, ``model.h5``.

Every file is replaced atomically, so that whatever stops a run leaves the last complete state behind; random numbers
are keyed by (seed, epoch, sample), so that a resumed run continues bit for bit.
"""

import json
import signal
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from snnsim import config as configuration
from snnsim.errors import InputError
from snnsim.models import load_model, save_model
from snnsim.recording.provenance import provenance
from snnsim.recording.runs import load_tree, save_tree, write_atomic
from snnsim.training.evaluation import evaluate, spikes_per_neuron
from snnsim.training.session import Session, session_class

FILES = ("config.toml", "metrics.jsonl", "checkpoint.h5", "model.h5", "result.json")
CHECKPOINT_SECONDS = 60


@dataclass
class Listener:
    """What a training reports; the command line shows it. Every method may be overridden."""

    def started(self, session, history):
        """Announce the first batch, with the metrics of earlier epochs."""

    def batch(self, session, loss, accuracy):
        """Announce the end of a batch."""

    def evaluating(self, name, done, total):
        """Announce how far the evaluation of a split is."""

    def epoch(self, metrics):
        """Announce the end of an epoch."""


@dataclass
class Run:
    """State of a run beside the session: metrics of the epochs, and the best of them on the validation split."""

    directory: Path
    session: Session
    history: list = field(default_factory=list)
    best_accuracy: float = -1.0
    best_epoch: int = 0
    seconds: float = 0.0

    def save_checkpoint(self):
        """Replace ``checkpoint.h5`` by the present state; refused if a weight is not finite."""
        self.session.check_weights()
        tree = {
            "session": self.session.state(),
            "history": json.dumps(self.history),
            "best_accuracy": self.best_accuracy,
            "best_epoch": self.best_epoch,
            "seconds": self.seconds,
            "config": configuration.to_toml(self.session.config),
            "provenance": provenance(),
        }
        save_tree(self.directory / "checkpoint.h5", tree, "checkpoint")

    def write_metrics(self):
        """Replace ``metrics.jsonl`` by one line for each finished epoch."""
        lines = "".join(json.dumps(m) + "\n" for m in self.history)
        write_atomic(self.directory / "metrics.jsonl", lambda out: out.write(lines.encode()))


def train(config, directory, force=False, listener=None, recorder=None, target="cpu"):
    """Train from the beginning.

    Parameters
    ----------
    config : Config
    directory : str or Path
        Made; must not hold a run, unless ``force`` (then its files are replaced).
    force : bool
    listener : Listener, optional
    recorder : callable, optional
        Called with the session before every batch, such as :class:`snnsim.training.recorder.BatchRecorder`.
    target : {"cpu", "cuda", "auto"}
        Where batches are computed; ``cuda`` never falls back to the CPU.

    Returns
    -------
    dict
        ``test_accuracy, test_loss, best_val_accuracy, best_epoch, seconds_per_epoch, run_dir, seed, epochs,
        spikes_per_neuron``.

    Raises
    ------
    InputError
        For bad input, an existing run, a full disk, or values that stop being finite; what was written stays.
    KeyboardInterrupt
        After a checkpoint was saved.
    """
    directory = Path(directory)
    old = [name for name in FILES if (directory / name).exists()]
    if old and not force:
        raise InputError(
            f"{directory}: already holds a run ({', '.join(old)}); --force replaces it, --resume continues"
        )
    session = session_class(target)(config)
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{directory}: cannot be made: {error.strerror}") from error
    _write_config(directory, config)
    for name in old:
        if name != "config.toml":
            (directory / name).unlink()
    run = Run(directory, session)
    run.save_checkpoint()
    return _continue(run, listener or Listener(), recorder)


def resume(directory, listener=None, epochs=None, target="cpu"):
    """Continue a run from its last checkpoint, bit for bit as if it had never stopped.

    Parameters
    ----------
    directory : str or Path
    listener : Listener, optional
    epochs : int, optional
        Another number of epochs; with a schedule other than ``constant`` the rest of the run then differs.
    target : {"cpu", "cuda", "auto"}
        As in :func:`train`; only the same target continues bit for bit.

    Returns
    -------
    dict
        As :func:`train`.

    Raises
    ------
    InputError
        If there is no checkpoint, or it belongs to another configuration.
    """
    directory = Path(directory)
    path = directory / "checkpoint.h5"
    if not path.exists():
        raise InputError(f"{directory}: no checkpoint.h5 to resume from")
    tree = load_tree(path, "checkpoint")
    config = configuration.load(directory / "config.toml")
    _same_run(configuration.from_tree(configuration.parse(tree["config"], path), path), config, path)
    if epochs is not None:
        config = configuration.load(config, [f"training.epochs={epochs}"])
        _write_config(directory, config)
    session = session_class(target)(config, [w.copy() for w in tree["session"]["weights"]])
    session.load_state(tree["session"], path)
    for name in FILES:  # what a write that was killed left behind
        for part in directory.glob(f".{Path(name).stem}.*.tmp{Path(name).suffix}"):
            part.unlink()
    run = Run(
        directory, session, json.loads(tree["history"]), tree["best_accuracy"], tree["best_epoch"], tree["seconds"]
    )
    return _continue(run, listener or Listener())


def _write_config(directory, config):
    text = configuration.to_toml(config)
    write_atomic(directory / "config.toml", lambda out: out.write(text.encode()))


def _same_run(of_checkpoint, config, path):
    """Refuse a checkpoint of another configuration; epochs may be added, and the data may have moved."""
    theirs, ours = configuration.to_tree(of_checkpoint), configuration.to_tree(config)
    for table, values in ours.items():
        for key, value in values.items():
            if value != theirs[table][key] and f"{table}.{key}" not in ("training.epochs", "data.data_dir"):
                raise InputError(
                    f"{path}: belongs to a run with {table}.{key} = {theirs[table][key]}; "
                    f"{path.parent / 'config.toml'} has {value}"
                )


def _continue(run, listener, recorder=None):
    session = run.session
    listener.started(session, run.history)
    saved = time.monotonic()
    with _between_batches() as interrupted:
        while session.epoch < session.config.training.epochs:
            started = time.monotonic()
            while session.batch < session.batches:
                if recorder is not None:
                    recorder(session)
                loss, accuracy = session.step()
                listener.batch(session, loss, accuracy)
                if interrupted or time.monotonic() - saved > CHECKPOINT_SECONDS:
                    run.seconds += time.monotonic() - started
                    started = saved = time.monotonic()
                    run.save_checkpoint()
                if interrupted:
                    raise KeyboardInterrupt
            _finish_epoch(run, started, listener)
            saved = time.monotonic()
            if interrupted:
                raise KeyboardInterrupt
    return _finish(run, listener)


@contextmanager
def _between_batches():
    """Hold back the first Ctrl-C, as an entry of the list that is yielded: in mid-batch weights are half updated."""
    interrupted = []
    if threading.current_thread() is not threading.main_thread():
        yield interrupted
        return

    def note(number, frame):
        if interrupted:
            raise KeyboardInterrupt
        interrupted.append(number)

    before = signal.signal(signal.SIGINT, note)
    try:
        yield interrupted
    finally:
        signal.signal(signal.SIGINT, before)


def _finish_epoch(run, started, listener):
    session, lr = run.session, run.session.lr
    totals = session.end_epoch()
    run.seconds += time.monotonic() - started
    validation = evaluate(session, session.validation, _progress(listener, "validation", session.validation))
    metrics = {
        "epoch": session.epoch,
        "train_loss": totals.loss / totals.samples,
        "train_accuracy": totals.correct / totals.samples,
        "val_loss": validation.loss if validation.samples else None,
        "val_accuracy": validation.accuracy if validation.samples else None,
        "seconds": run.seconds - sum(m["seconds"] for m in run.history),
        "spikes_per_neuron": spikes_per_neuron(session, totals.spikes, totals.samples),
        "lr": lr,
    }
    run.history.append(metrics)
    # Without a validation split the last epoch is taken.
    if validation.accuracy > run.best_accuracy or not validation.samples:
        run.best_accuracy, run.best_epoch = validation.accuracy, session.epoch
        save_model(
            run.directory / "model.h5", session.network, session.config, epoch=session.epoch,
            val_accuracy=validation.accuracy,
        )  # fmt: skip
    run.save_checkpoint()
    run.write_metrics()
    listener.epoch(metrics)


def _finish(run, listener):
    session = run.session
    if run.best_epoch:
        network, _ = load_model(run.directory / "model.h5")
        session.set_weights(network.weights)
    test = evaluate(session, session.test, _progress(listener, "test", session.test))
    result = {
        "test_accuracy": test.accuracy,
        "test_loss": test.loss,
        "best_val_accuracy": run.best_accuracy if run.best_epoch and len(session.validation) else None,
        "best_epoch": run.best_epoch,
        "seconds_per_epoch": run.seconds / max(len(run.history), 1),
        "epochs": len(run.history),
        "spikes_per_neuron": test.spikes_per_neuron,
        "run_dir": str(run.directory),
        "seed": session.config.training.seed,
    }
    write_atomic(run.directory / "result.json", lambda out: out.write(json.dumps(result, indent=1).encode()))
    return result


def _progress(listener, name, split):
    return lambda done: listener.evaluating(name, done, len(split))
