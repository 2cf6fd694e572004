"""Run a sweep: each point is a training in a directory of its own; what is done is kept, what fails costs itself."""

import dataclasses
import math
from contextlib import closing
from pathlib import Path

from snnsim import config as configuration
from snnsim.errors import InputError
from snnsim.files.text import parse_json, read_text
from snnsim.sweep.grid import points_of
from snnsim.sweep.pool import Task
from snnsim.sweep.table import DONE, FAILED, FILE, METRICS, Row, Table, load_table


@dataclasses.dataclass
class Listener:
    """What a sweep reports; the command line shows it. Every method may be overridden."""

    def started(self, points, done, slots):
        """Announce the first training: all points, rows of those done before by name, and how many run at once."""

    def running(self, names):
        """Take the names of the points that are being trained, several times a second."""

    def ended(self, name, row):
        """Announce the end of a point."""


def train_point(text, directory, target):
    """Train a point, or continue it from its checkpoint; in the process of a child.

    Parameters
    ----------
    text : str
        Configuration as TOML.
    directory : str
    target : {"cpu", "cuda", "auto"}

    Returns
    -------
    dict
        As :func:`snnsim.training.train`.
    """
    from snnsim import training

    config, directory = configuration.from_tree(configuration.parse(text, "point")), Path(directory)
    result = finished(config, directory)
    if result is not None:
        return result
    if (directory / "checkpoint.h5").exists():
        if not _same(configuration.load(directory / "config.toml"), config):
            raise InputError(f"{directory}: holds a run of another configuration")
        return training.resume(directory, target=target)
    # What may be there without a checkpoint is from an attempt that was killed before its first one.
    return training.train(config, directory, force=True, target=target)


def finished(config, directory):
    """Read the result of a run if it is complete and has this configuration; None otherwise."""
    files = [Path(directory) / name for name in ("result.json", "config.toml")]
    if not all(file.exists() for file in files) or not _same(configuration.load(files[1]), config):
        return None
    return parse_json(read_text(files[0]), files[0])


def sweep(base, axes, folder, pool, *, timeout=None, retries=1, target="cpu", listener=None):
    """Train every point of a grid that has not been trained yet.

    Parameters
    ----------
    base : Config
        What all points share.
    axes : sequence of Axis
        A folder keeps one configuration and one set of keys; values may be added, and rows of values left out stay.
    folder : str or Path
        Made if it does not exist. Receives a run directory for each point and ``sweep.h5``.
    pool : Pool
    timeout : float, optional
        Seconds for one attempt.
    retries : int
        Further attempts of a point that fails; each continues from the last checkpoint.
    target : {"cpu", "cuda", "auto"}
    listener : Listener, optional

    Returns
    -------
    Table
        With the rows of these points first to last in the order of the grid, then others of the folder.

    Raises
    ------
    InputError
        For a folder of another sweep, an invalid point, or a scheduler that is lost.
    KeyboardInterrupt
        With everything that ended in the table.
    """
    listener, folder = listener or Listener(), Path(folder)
    points = points_of(axes, _with_absolute_data(base))
    table = _open_table(base, axes, folder)
    attempts, tasks = {}, []
    for point in points:
        row, directory = table.rows.get(point.name), (folder / point.name).resolve()
        attempts[point.name] = row.attempts if row else 0
        result = finished(point.config, directory)
        if result is not None and (row is None or row.status == FAILED):
            table.rows[point.name] = _row(point, max(attempts[point.name], 1), result)
        elif result is None:
            arguments = (configuration.to_toml(point.config), str(directory), target)
            tasks.append(Task(point.name, train_point, arguments))
    _sort(table, points)
    table.save(folder)
    names = {task.key for task in tasks}
    done = {point.name: table.rows[point.name] for point in points if point.name not in names}
    listener.started(points, done, pool.slots)
    by_name = {point.name: point for point in points}
    with closing(pool.run(tasks, timeout, retries, lambda now: listener.running([t.key for t in now]))) as ended:
        for task in ended:
            tried = attempts[task.key] + task.attempts
            if task.outcome.error:
                row = Row(by_name[task.key].values, FAILED, tried, task.outcome.error)
            else:
                row = _row(by_name[task.key], tried, task.outcome.value)
            table.rows[task.key] = row
            _sort(table, points)
            table.save(folder)
            listener.ended(task.key, row)
    return table


def _same(one, other):
    return _shared(one, ()) == _shared(other, ())


def _row(point, attempts, result):
    metrics = {name: math.nan if result[name] is None else float(result[name]) for name in METRICS}
    return Row(point.values, DONE, attempts, "", metrics)


def _sort(table, points):
    order = {point.name: k for k, point in enumerate(points)}
    table.rows = dict(sorted(table.rows.items(), key=lambda item: order.get(item[0], len(order))))


def _with_absolute_data(base):
    # A worker's current directory is another one.
    if not base.data.data_dir:
        return base
    data = dataclasses.replace(base.data, data_dir=str(Path(base.data.data_dir).resolve()))
    return dataclasses.replace(base, data=data)


def _open_table(base, axes, folder):
    keys, shared = {axis.name: axis.key for axis in axes}, _shared(base, axes)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot be made a folder: {error.strerror}") from error
    if not (folder / FILE).exists():
        return Table(configuration.to_toml(base), keys)
    table = load_table(folder)
    if table.keys != keys:
        raise InputError(
            f"{folder}: holds a sweep over {', '.join(table.keys)}, not {', '.join(keys)}; values may be added to it, "
            "another grid needs another folder"
        )
    old = _shared(configuration.from_tree(configuration.parse(table.config, folder / FILE), folder / FILE), axes)
    for key, value in shared.items():
        if value != old[key]:
            raise InputError(
                f"{folder}: holds a sweep with {key} = {old[key]}, not {value}; another configuration needs another "
                "folder"
            )
    return table


def _shared(config, axes):
    """Values by ``table.key`` without those of the axes, and without the place of the data, which may move."""
    left_out = {"data.data_dir", *(axis.key for axis in axes)}
    tree = configuration.to_tree(config)
    flat = {f"{table}.{key}": value for table, values in tree.items() for key, value in values.items()}
    return {key: value for key, value in flat.items() if key not in left_out}
