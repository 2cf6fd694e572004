"""The results table of a sweep: one row a point, in ``sweep.h5``, replaced atomically; CSV for other tools."""

import csv
import io
import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from snnsim.files.atomic import write_atomic
from snnsim.files.hdf5 import reading
from snnsim.recording.provenance import provenance
from snnsim.recording.runs import load_tree, save_tree
from snnsim.sweep.grid import format_value, point_name

FILE, KIND = "sweep.h5", "sweep"
METRICS = ("test_accuracy", "test_loss", "best_val_accuracy", "best_epoch", "epochs", "seconds_per_epoch")
"""Numbers that a training results in; NaN in the row of a failed one."""
COUNTS = ("best_epoch", "epochs")
DONE, FAILED = "done", "failed"


@dataclass
class Row:
    """A point that has ended.

    Parameters
    ----------
    values : dict
        By the names of the axes.
    status : {"done", "failed"}
    attempts : int
        Trainings started or continued for it, over all runs of the sweep.
    error : str
        Why the last attempt failed, or empty.
    metrics : dict of str to float
        With the keys ``METRICS``.
    """

    values: dict
    status: str
    attempts: int
    error: str = ""
    metrics: dict = field(default_factory=lambda: dict.fromkeys(METRICS, math.nan))


@dataclass
class Table:
    """What a sweep has found.

    Parameters
    ----------
    config : str
        The configuration that all points share, as TOML.
    keys : dict of str to str
        ``table.key`` of each axis, by its name.
    rows : dict of str to Row
        By the name of the point.
    """

    config: str
    keys: dict
    rows: dict = field(default_factory=dict)

    def save(self, folder):
        """Replace ``sweep.h5`` of a folder."""
        rows = list(self.rows.values())
        columns = {name: _column([row.values[name] for row in rows]) for name in self.keys}
        columns |= {name: np.array([row.metrics[name] for row in rows], np.float64) for name in METRICS}
        columns |= {
            "status": np.array([row.status for row in rows], np.str_),
            "attempts": np.array([row.attempts for row in rows], np.int64),
            "error": np.array([row.error for row in rows], np.str_),
        }
        tree = {"config": self.config, "keys": self.keys, "columns": columns, "provenance": provenance()}
        save_tree(Path(folder) / FILE, tree, KIND)

    def columns(self):
        """Names of all columns, and a list of one list a row."""
        names = [*self.keys, *METRICS, "status", "attempts", "error"]
        rows = [
            [*row.values.values(), *map(_number, row.metrics.items()), row.status, row.attempts, row.error]
            for row in self.rows.values()
        ]
        return names, rows

    def save_csv(self, path):
        """Write the table as CSV, with empty fields where there is no number."""
        names, rows = self.columns()
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(names)
        for row in rows:
            writer.writerow(["" if x != x else format_value(x) for x in row])
        write_atomic(path, lambda out: out.write(text.getvalue().encode()))


def load_table(folder):
    """Read the table of a sweep from its folder or its ``sweep.h5``.

    Raises
    ------
    InputError
        If there is none, or the file holds something else.
    """
    path = Path(folder)
    path = path / FILE if path.is_dir() else path
    tree = load_tree(path, KIND)
    with reading(path):
        columns, table = tree["columns"], Table(tree["config"], tree["keys"])
        for k in range(len(columns["status"])):
            values = {name: _item(columns[name][k]) for name in table.keys}
            metrics = {name: float(columns[name][k]) for name in METRICS}
            status, attempts, error = (_item(columns[name][k]) for name in ("status", "attempts", "error"))
            table.rows[point_name(values)] = Row(values, status, attempts, error, metrics)
    return table


def _number(item):
    name, number = item
    return int(number) if name in COUNTS and not math.isnan(number) else number


def _column(values):
    # A list of numbers, such as sizes of layers, is kept as its text.
    plain = all(isinstance(value, bool | int | float | str) for value in values)
    return np.array(values if plain else [format_value(value) for value in values])


def _item(value):
    return value.item() if isinstance(value, np.generic) else value
