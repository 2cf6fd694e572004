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
from functools import partial
from pathlib import Path

from snnsim import config as configuration
from snnsim.errors import InputError
from snnsim.files.atomic import leftovers, write_atomic
from snnsim.files.hdf5 import reading
from snnsim.files.text import parse_json
from snnsim.models import load_model, save_model
from snnsim.processes import Group
from snnsim.recording.provenance import provenance
from snnsim.recording.runs import load_tree, save_tree
from snnsim.training.evaluation import evaluate, spikes_per_neuron
from snnsim.training.session import Session
from snnsim.training.target import session_class

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
        self.session.group.first(save_tree, self.directory / "checkpoint.h5", tree, "checkpoint")

    def write_metrics(self):
        """Replace ``metrics.jsonl`` by one line for each finished epoch."""
        lines = "".join(json.dumps(m) + "\n" for m in self.history)
        self.write("metrics.jsonl", lines)

    def write(self, name, text):
        """Replace a text file."""
        self.session.group.first(_write, self.directory / name, text)


def train(config, directory, force=False, listener=None, recorder=None, target="cpu", group=None):
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
    group : Group, optional
        Processes that compute this training together and all make this call; only the leading one writes and reports.

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
    directory, group = Path(directory), group or Group()
    group.first(_check_place, directory, force)
    session = _session(config, target, group, recorder)
    group.first(_make_place, directory)
    run = Run(directory, session)
    run.write("config.toml", configuration.to_toml(config))
    run.save_checkpoint()
    return _continue(run, listener, recorder)


def resume(directory, listener=None, epochs=None, target="cpu", group=None):
    """Continue a run from its last checkpoint, bit for bit as if it had never stopped.

    Parameters
    ----------
    directory : str or Path
    listener : Listener, optional
    epochs : int, optional
        Another number of epochs; with a schedule other than ``constant`` the rest of the run then differs.
    target : {"cpu", "cuda", "auto"}
        As in :func:`train`; only the same target continues bit for bit.
    group : Group, optional
        As in :func:`train`; as many processes as before continue bit for bit, and so does any power of two that divides
        ``training.micro_batches``.

    Returns
    -------
    dict
        As :func:`train`.

    Raises
    ------
    InputError
        If there is no checkpoint, or it belongs to another configuration.
    """
    directory, group = Path(directory), group or Group()
    path = directory / "checkpoint.h5"
    tree, config = group.first(_saved, directory, path)
    if epochs is not None:
        config = configuration.load(config, [f"training.epochs={epochs}"])
    session = _session(config, target, group, None)
    with reading(path):
        session.load_state(tree["session"], path)
    history = parse_json(tree["history"], f"{path}: history")
    run = Run(directory, session, history, tree["best_accuracy"], tree["best_epoch"], tree["seconds"])
    if epochs is not None:
        run.write("config.toml", configuration.to_toml(config))
    group.first(_remove_parts, directory)
    return _continue(run, listener)


def _session(config, target, group, recorder):
    """Session of a run; refuses what several processes cannot do together."""
    if group.size == 1:
        return session_class(target)(config)
    several = f"{group.size} processes of one training"
    if target != "cpu":
        raise InputError(f"--target {target}: {several} compute on the CPU only")
    if recorder is not None:
        raise InputError(f"--record: {several} cannot record; train on one, or simulate the trained network")
    if config.training.batch_size % group.size:
        raise InputError(f"training.batch_size = {config.training.batch_size}: must be a multiple of {several}")
    if config.training.micro_batches > 1 and config.training.micro_batches % group.size:
        raise InputError(
            f"training.micro_batches = {config.training.micro_batches}: must be a multiple of {several}, or 1"
        )
    return Session(config, None, group)


def _check_place(directory, force):
    old = [name for name in FILES if (directory / name).exists()]
    if old and not force:
        raise InputError(
            f"{directory}: already holds a run ({', '.join(old)}); --force replaces it, --resume continues"
        )


def _make_place(directory):
    """Make the directory of a run, or remove what an earlier run left there."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{directory}: cannot be made: {error.strerror}") from error
    for name in FILES:
        (directory / name).unlink(missing_ok=True)


def _saved(directory, path):
    """Checkpoint and configuration of a run."""
    if not path.exists():
        raise InputError(f"{directory}: no checkpoint.h5 to resume from")
    tree = load_tree(path, "checkpoint")
    missing = {"session", "history", "best_accuracy", "best_epoch", "seconds", "config"} - tree.keys()
    if missing or not isinstance(tree["config"], str):
        raise InputError(f"{path}: lacks {', '.join(sorted(missing)) or 'its configuration'}")
    config = configuration.load(directory / "config.toml")
    _same_run(configuration.from_tree(configuration.parse(tree["config"], path), path), config, path)
    return tree, config


def _remove_parts(directory):
    """Remove what a write that was killed left behind."""
    for name in FILES:
        for part in leftovers(directory / name):
            part.unlink()


def _write(path, text):
    write_atomic(path, lambda out: out.write(text.encode()))


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
    session, group = run.session, run.session.group
    if listener is None or not group.leads:
        listener = Listener()
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
                stop, due = group.any(bool(interrupted), time.monotonic() - saved > CHECKPOINT_SECONDS)
                if stop or due:
                    run.seconds += time.monotonic() - started
                    started = saved = time.monotonic()
                    run.save_checkpoint()
                if stop:
                    raise KeyboardInterrupt
            _finish_epoch(run, started, listener)
            saved = time.monotonic()
            if any(group.any(bool(interrupted))):
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
        session.group.first(
            partial(save_model, epoch=session.epoch, val_accuracy=validation.accuracy),
            run.directory / "model.h5", session.averaged_network, session.config,
        )  # fmt: skip
    run.save_checkpoint()
    run.write_metrics()
    listener.epoch(metrics)


def _finish(run, listener):
    session = run.session
    if run.best_epoch:
        network, _ = session.group.first(load_model, run.directory / "model.h5")
        session.set_tensors(network.tensors)
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
    run.write("result.json", json.dumps(result, indent=1))
    return result


def _progress(listener, name, split):
    return lambda done: listener.evaluating(name, done, len(split))
