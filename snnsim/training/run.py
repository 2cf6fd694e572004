"""A training as a directory: ``config.toml``, ``metrics.jsonl``, ``checkpoint.h5``, ``model.h5``.

Every file is replaced atomically, so that whatever stops a run leaves the last complete state behind; random numbers
are keyed by (seed, epoch, sample), so that a resumed run continues bit for bit.
"""

import copy
import itertools
import json
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
from snnsim.interrupts import SIGNALS, Interrupted, held_back
from snnsim.models import load_model, save_model
from snnsim.processes import Group
from snnsim.recording.lock import Lock
from snnsim.recording.provenance import provenance
from snnsim.recording.runs import load_tree, save_tree
from snnsim.training.callbacks import Callbacks, History
from snnsim.training.evaluation import evaluate, spikes_per_neuron
from snnsim.training.session import Session
from snnsim.training.target import session_class

FILES = ("config.toml", "metrics.jsonl", "checkpoint.h5", "model.h5", "result.json")
CHECKPOINT_SECONDS = 60
SILENT = 0.005
"""Spikes a neuron and trial below which a layer is said to be silent."""


@dataclass
class Run:
    """State of a run beside the session: metrics of the epochs, and the best of them on the validation split.

    Without a directory, what would be written there is kept in memory: ``best`` are the tensors of the best epoch.
    """

    directory: Path | None
    session: Session
    history: History = field(default_factory=History)
    best_accuracy: float = -1.0
    best_epoch: int = 0
    seconds: float = 0.0
    best: dict | None = None

    def save_checkpoint(self):
        """Replace ``checkpoint.h5`` by the present state; refused if a weight is not finite."""
        self.session.check_weights()
        if self.directory is None:
            return
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

    def save_best(self, score):
        """Keep the network as that of the best epoch."""
        session = self.session
        self.best_accuracy, self.best_epoch = score, session.epoch
        if self.directory is None:
            self.best = {name: w.copy() for name, w in session.averaged.items()}
            return
        metric = "val_accuracy" if session.train.labelled else "val_loss"
        notes = {"epoch": session.epoch, "targets": session.targets, metric: abs(score)}
        session.group.first(
            partial(save_model, **notes), self.directory / "model.h5", session.averaged_network, session.config,
            session.train.classes,
        )  # fmt: skip

    def load_best(self):
        """Give the session the network of the best epoch, if there is one."""
        if not self.best_epoch:
            return
        best = self.best
        if self.directory is not None:
            best = self.session.group.first(load_model, self.directory / "model.h5")[0].tensors
        self.session.set_tensors(best)

    def write_metrics(self):
        """Replace ``metrics.jsonl`` by one line for each finished epoch."""
        lines = "".join(json.dumps(m) + "\n" for m in self.history)
        self.write("metrics.jsonl", lines)

    def write(self, name, text):
        """Replace a text file."""
        if self.directory is None:
            return
        self.session.group.first(_write, self.directory / name, text)


def train(config, directory, force=False, callbacks=(), target="cpu", group=None, sets=None, network=None):
    """Train from the beginning.

    Parameters
    ----------
    config : Config
    directory : str or Path
        Made; must not hold a run, unless ``force`` (then its files are replaced).
    force : bool
    callbacks : iterable of Callback
    target : {"cpu", "cuda", "auto"}
        Where batches are computed; ``cuda`` never falls back to the CPU.
    group : Group, optional
        Processes that compute this training together and all make this call; only the leading one writes and reports.
    sets : SampleSets, optional
        Instead of the configuration's data set.
    network : Network, optional
        Instead of the one that the configuration describes.

    Returns
    -------
    dict
        ``test_accuracy, test_loss, best_val_accuracy, best_epoch, seconds_per_epoch, run_dir, seed, epochs,
        spikes_per_neuron``.

    Raises
    ------
    InputError
        For bad input, an existing run, a full disk, or values that stop being finite; what was written stays.
    Interrupted
        A KeyboardInterrupt: Ctrl-C, SIGTERM or SIGHUP, after a checkpoint was saved.
    """
    directory, group = Path(directory), group or Group()
    group.first(_check_place, directory, force)
    callbacks = Callbacks(callbacks, not group.leads)
    session = _session(config, target, group, callbacks, sets, network)
    callbacks("on_prepare", session)
    with _holding(directory, group), _told(callbacks, session, History()):
        group.first(_clear_place, directory, force)
        run = Run(directory, session)
        run.write("config.toml", configuration.to_toml(session.config))
        run.save_checkpoint()
        return _continue(run, callbacks)


def fit(config, sets, network=None, state=None, history=(), callbacks=(), target="cpu"):
    """Train in memory; without files the same as :func:`train`.

    Parameters
    ----------
    config : Config
    sets : SampleSets
    network : Network, optional
    state : dict, optional
        Of a session after some epochs, to go on from; ``history`` are their metrics.
    history : iterable of dict
    callbacks : iterable of Callback
    target : {"cpu", "cuda", "auto"}

    Returns
    -------
    run : Run
        With the best epoch's network in its session.
    state : dict
        To go on from.
    """
    callbacks, history = Callbacks(callbacks), History(history)
    session = session_class(target)(config, network, sets=sets)
    run = Run(None, session, history)
    if state is not None:
        session.load_state(state, "fit")
    if history:
        scores = [_score(m) for m in history]
        run.best_accuracy, run.best_epoch = max(zip(scores, itertools.count(1), strict=False), key=lambda b: b[0])
        run.best = {name: w.copy() for name, w in network.tensors.items()}
        run.seconds = sum(m["seconds"] for m in history)
    callbacks("on_prepare", session)
    with _told(callbacks, session, history):
        _loop(run, callbacks)
    state = copy.deepcopy(session.state())
    run.load_best()
    return run, state


def resume(directory, callbacks=(), epochs=None, target="cpu", group=None, sets=None, network=None):
    """Continue a run from its last checkpoint, bit for bit as if it had never stopped.

    Parameters
    ----------
    directory : str or Path
    callbacks : iterable of Callback
    epochs : int, optional
        Another number of epochs; with a schedule other than ``constant`` the rest of the run then differs.
    target : {"cpu", "cuda", "auto"}
        As in :func:`train`; only the same target continues bit for bit.
    group : Group, optional
        As in :func:`train`; as many processes as before continue bit for bit, and so does any power of two that divides
        ``training.micro_batches``.
    sets, network
        As in :func:`train`.

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
    group.first(_check_checkpoint, directory)
    callbacks = Callbacks(callbacks, not group.leads)
    with _holding(directory, group):
        return _resume(directory, callbacks, epochs, target, group, sets, network)


def _resume(directory, callbacks, epochs, target, group, sets, network):
    path = directory / "checkpoint.h5"
    tree, config = group.first(_saved, directory, path)
    if epochs is not None:
        config = configuration.load(config, [f"training.epochs={epochs}"])
    session = _session(config, target, group, callbacks, sets, network)
    with reading(path):
        session.load_state(tree["session"], path)
    callbacks("on_prepare", session)
    history = History(parse_json(tree["history"], f"{path}: history"))
    with _told(callbacks, session, history):
        run = Run(directory, session, history, tree["best_accuracy"], tree["best_epoch"], tree["seconds"])
        if epochs is not None:
            run.write("config.toml", configuration.to_toml(config))
        group.first(_remove_parts, directory)
        # Its last line is missing where a kill came between the checkpoint and it.
        run.write_metrics()
        return _continue(run, callbacks)


@contextmanager
def _told(callbacks, session, history):
    """Tell callbacks the beginning and the end of a training."""
    error = None
    try:
        callbacks("on_begin", session, history)
        yield
    except BaseException as caught:
        error = caught
        raise
    finally:
        callbacks("on_end", session, error)


def _session(config, target, group, callbacks, sets, network):
    """Session of a run; refuses what several processes cannot do together."""
    if group.size == 1:
        return session_class(target)(config, network, sets=sets)
    several = f"{group.size} processes of one training"
    if target != "cpu":
        raise InputError(f"--target {target}: {several} compute on the CPU only")
    if callbacks.records:
        raise InputError(f"--record: {several} cannot record; train on one, or simulate the trained network")
    if config.training.batch_size % group.size:
        raise InputError(f"training.batch_size = {config.training.batch_size}: must be a multiple of {several}")
    if config.training.micro_batches > 1 and config.training.micro_batches % group.size:
        raise InputError(
            f"training.micro_batches = {config.training.micro_batches}: must be a multiple of {several}, or 1"
        )
    return Session(config, network, group, sets)


def holds(directory):
    """Files of a run that are in a directory, by name."""
    return [name for name in FILES if (Path(directory) / name).exists()]


def _check_place(directory, force):
    old = holds(directory)
    if old and not force:
        raise InputError(
            f"{directory}: already holds a run ({', '.join(old)}); --force replaces it, --resume continues"
        )


@contextmanager
def _holding(directory, group):
    """Make the directory of a run, and keep others from writing there; in the leading process."""
    locks = []
    group.first(lambda: locks.append(_lock(directory)))
    try:
        yield
    finally:
        for lock in locks:
            lock.release()


def _lock(directory):
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{directory}: cannot be made: {error.strerror}") from error
    return Lock(directory)


def _clear_place(directory, force):
    """Remove what an earlier run left in the directory."""
    _check_place(directory, force)  # again: another run may have begun and ended there
    for name in FILES:
        (directory / name).unlink(missing_ok=True)


def _check_checkpoint(directory):
    if not (directory / "checkpoint.h5").exists():
        raise InputError(f"{directory}: no checkpoint.h5 to resume from")


def _saved(directory, path):
    """Checkpoint and configuration of a run."""
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


def _continue(run, callbacks):
    _loop(run, callbacks)
    return _finish(run, callbacks)


def _loop(run, callbacks):
    """Train to the last epoch, or to where a callback ends it."""
    session, group = run.session, run.session.group
    saved = time.monotonic()
    with held_back() as came:  # in mid-batch weights are half updated
        while session.epoch < session.config.training.epochs:
            started, ended = time.monotonic(), False
            while session.batch < session.batches and not ended:
                callbacks("on_batch_begin", session)
                loss, accuracy = session.step()
                ended = callbacks("on_batch_end", session, {"loss": loss, "accuracy": accuracy})
                due = time.monotonic() - saved > CHECKPOINT_SECONDS
                *stop, due, ended = group.any(*_asked(came), due, ended)
                if any(stop) or due:
                    run.seconds += time.monotonic() - started
                    started = saved = time.monotonic()
                    run.save_checkpoint()
                _end_if(stop)
            ended |= _finish_epoch(run, started, callbacks)
            saved = time.monotonic()
            *stop, ended = group.any(*_asked(came), ended)
            _end_if(stop)
            if ended:
                return


def _asked(came):
    """Which of the signals came, so that the processes of a group can agree."""
    return [number in came for number in SIGNALS]


def _end_if(asked):
    for number, stop in zip(SIGNALS, asked, strict=True):
        if stop:
            raise Interrupted(number)


def _finish_epoch(run, started, callbacks):
    session, lr = run.session, run.session.lr
    totals = session.end_epoch()
    run.seconds += time.monotonic() - started
    validation = evaluate(session, session.validation, _progress(session, callbacks, "validation", session.validation))
    labelled = session.train.labelled
    metrics = {
        "epoch": session.epoch,
        "train_loss": totals.loss / totals.samples,
        "train_accuracy": totals.correct / totals.samples if labelled else None,
        "val_loss": validation.loss if validation.samples else None,
        "val_accuracy": validation.accuracy if validation.samples else None,
        "seconds": run.seconds - sum(m["seconds"] for m in run.history),
        "spikes_per_neuron": spikes_per_neuron(session, totals.spikes, totals.samples),
        "lr": lr,
    }
    run.history.append(metrics)
    # Without a validation split the last epoch is taken.
    score = _score(metrics)
    if not validation.samples or score > run.best_accuracy or not run.best_epoch:
        run.save_best(score)
    run.save_checkpoint()
    run.write_metrics()
    ended = callbacks("on_epoch_end", session, metrics)
    for text in troubles(metrics, totals.samples, session.n_classes, list(session.spiking)):
        callbacks("on_trouble", session, text)
    return ended


def _score(metrics):
    """How good an epoch is: the larger, the better; 0 without a validation split."""
    if metrics["val_accuracy"] is not None:
        return metrics["val_accuracy"]
    return 0.0 if metrics["val_loss"] is None else -metrics["val_loss"]


def troubles(metrics, samples, n_classes, names):
    """Lines about an epoch after which a layer is silent, or no more is known than at the start.

    Parameters
    ----------
    metrics : dict
        ``epoch``, ``spikes_per_neuron``, ``train_accuracy`` and ``train_loss``.
    samples : int
        That were learnt from.
    n_classes : int
    names : list of str
        Populations that spike.

    Returns
    -------
    list of str
    """
    rates, epoch, lines = metrics["spikes_per_neuron"], metrics["epoch"], []
    for name, rate in zip(names, rates, strict=True):
        if rate < SILENT:
            lines.append(
                f"epoch {epoch}: layer {name} is silent, {rate:.2g} spikes a neuron and trial, and passes no gradient; "
                "try a larger network.target_rate or network.init_scale, or loss.silent_push"
            )
    chance, found = 1 / n_classes, metrics["train_accuracy"]
    if found is not None and found <= chance + 2 * (chance * (1 - chance) / samples) ** 0.5:
        lines.append(
            f"epoch {epoch}: accuracy {100 * metrics['train_accuracy']:.1f} % on the samples that were learnt from is "
            f"chance, loss {metrics['train_loss']:.4g}; try another optimizer.lr, or look at the spikes per neuron"
        )
    return lines


def _finish(run, callbacks):
    session = run.session
    run.load_best()
    test = evaluate(session, session.test, _progress(session, callbacks, "test", session.test))
    held, tested = run.best_epoch and len(session.validation), len(session.test)
    result = {
        "test_accuracy": test.accuracy if tested else None,
        "test_loss": test.loss if tested else None,
        "best_val_accuracy": run.best_accuracy if held and session.train.labelled else None,
        "best_epoch": run.best_epoch,
        "seconds_per_epoch": run.seconds / max(len(run.history), 1),
        "epochs": len(run.history),
        "spikes_per_neuron": test.spikes_per_neuron,
        "run_dir": str(run.directory),
        "seed": session.config.training.seed,
    }
    run.write("result.json", json.dumps(result, indent=1))
    return result


def _progress(session, callbacks, name, split):
    return lambda done: callbacks("on_evaluate", session, name, done, len(split))
