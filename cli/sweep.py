"""``snnsim sweep``: train every point of a grid, several at once, and keep one table of results."""

import math
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from . import options as o


def sweep(
    grid: Annotated[
        list[str],
        typer.Option(
            "--grid",
            metavar="KEY=A,B,C|KEY=START:STOP",
            help="An axis of the grid; KEY is a flag's name (dt, seed) or table.key. May be repeated.",
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="OUT", help="Folder of the sweep.")],
    source: o.Source = None,
    dataset: o.Dataset = None,
    layers: o.Layers = None,
    engine: o.Engine = None,
    dt: o.Dt = None,
    steps: o.Steps = None,
    scheme: o.Scheme = None,
    gradient: o.Gradient = None,
    loss: o.LossName = None,
    encoder: o.EncoderName = None,
    optimizer: o.OptimizerName = None,
    lr: o.LearningRate = None,
    batch_size: o.BatchSize = None,
    epochs: o.Epochs = None,
    seed: o.Seed = None,
    precision: o.Precision = None,
    limit: o.Limit = None,
    data_dir: o.DataDir = None,
    settings: o.Settings = None,
    target: o.Target = "cpu",
    workers: Annotated[
        int, typer.Option(min=0, metavar="N", help="Trainings at once on this machine; 0 for as many as fit the cores.")
    ] = 0,
    threads: Annotated[int, typer.Option(min=1, metavar="M", help="Threads of each training.")] = 1,
    scheduler: Annotated[
        str | None,
        typer.Option(metavar="tcp://HOST:PORT", help="Use the workers of this Dask scheduler instead of this machine."),
    ] = None,
    timeout: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="Stop an attempt at a point that takes longer.")
    ] = None,
    retries: Annotated[
        int, typer.Option(min=0, metavar="N", help="Further attempts at a point that failed, was killed or timed out.")
    ] = 1,
    csv: Annotated[Path | None, typer.Option("--csv", metavar="FILE", help="Write the table as CSV, too.")] = None,
    json_output: o.Json = False,
):
    """Train every point of a grid; the same command again continues, and tries what failed once more.

    OUT keeps a run directory for each point and the table sweep.h5. Values may be added to the grid of a folder.
    """
    flags = {k: v for k, v in locals().items() if k in o.KEYS}
    from snnsim.errors import InputError
    from snnsim.sweep.grid import parse_grid, points_of
    from snnsim.sweep.pool import Pool
    from snnsim.sweep.run import sweep as run

    if timeout is not None and not 0 < timeout < math.inf:
        raise InputError(f"--timeout {timeout:g}: must be a positive number of seconds")
    if scheduler and workers:
        raise InputError(f"--workers {workers}: --scheduler {scheduler} brings its own workers")
    axes = parse_grid(grid, o.KEYS)
    for axis in axes:
        name = axis.name.replace("_", "-")
        if flags.get(axis.name) is not None:
            raise InputError(f"--{name}: stands in --grid, too")
    base = o.configuration(source, settings, flags)
    points_of(axes, base)  # a bad value is refused before workers are started
    view = SweepView(output)
    try:
        with Pool(workers, threads, scheduler) as pool, view:
            table = run(base, axes, output, pool, timeout=timeout, retries=retries, target=target, listener=view)
    except KeyboardInterrupt:
        print(f"interrupted; the same command continues the sweep in {output}", file=sys.stderr)
        raise typer.Exit(130) from None
    if csv is not None:
        table.save_csv(csv)
    if json_output:
        from .progress import print_json

        print_json(view.summary(table))
    else:
        view.print(table)
    if view.failed:
        print(f"{view.failed} of {view.total} points failed; the same command tries them again", file=sys.stderr)
        raise typer.Exit(1)


class SweepView:
    """Listener of a sweep: a table that is kept up to date on a terminal, plain lines elsewhere. A context manager.

    Parameters
    ----------
    folder : Path
        Of the sweep.
    """

    def __init__(self, folder):
        self.folder = folder
        self.total = self.done = self.failed = 0
        self._live = self._best = None
        self._names, self._running, self._waiting = [], {}, False

    def __enter__(self):
        return self

    def __exit__(self, *error):
        if self._live is not None:
            self._live.stop()

    def started(self, points, done, slots):
        """Begin: say what is trained."""
        self._names = [point.name for point in points]
        self.total, self.done, self._before = len(points), len(done), len(done)
        self._begun = time.monotonic()
        for name, row in zip(self._names, done, strict=False):
            self._note_best(name, row)
        before = f", {len(done)} of them done before" if done else ""
        print(f"{len(points)} points{before}, {slots} at once, in {self.folder}", file=sys.stderr)
        if sys.stderr.isatty() and len(done) < len(points):
            from rich.console import Console
            from rich.live import Live

            self._live = Live(
                console=Console(stderr=True, highlight=False), get_renderable=self._table, refresh_per_second=2
            )
            self._live.start()

    def running(self, names):
        """Note which points are being trained."""
        now = time.monotonic()
        self._running = {name: self._running.get(name, now) for name in names}
        if not names and not self._waiting and self.done + self.failed < self.total:
            self._line("waiting for workers")
        self._waiting = not names

    def ended(self, name, row):
        """Print the point's line."""
        self._running.pop(name, None)
        attempts = "" if row.attempts == 1 else f", attempt {row.attempts}"
        if row.status == "done":
            self.done += 1
            self._note_best(name, row)
            outcome = f"test {_percent(row.metrics['test_accuracy'])}, validation " + _percent(
                row.metrics["best_val_accuracy"]
            )
        else:
            self.failed += 1
            outcome = f"failed: {row.error}"
        self._line(f"{self.done + self.failed}/{self.total}  {name}: {outcome}{attempts}{self._left()}")

    def summary(self, table):
        """Make the object for ``--json``."""
        names, rows = table.columns()
        points = [
            {"point": point, **{n: None if x != x else x for n, x in zip(names, row, strict=True)}}
            for point, row in zip(table.rows, rows, strict=True)
        ]
        return {"sweep": str(self.folder), "done": self.done, "failed": self.failed, "points": points}

    def print(self, table):
        """Print the table on standard output."""
        from rich.console import Console
        from rich.table import Table

        from snnsim.sweep.grid import format_value

        shown = Table(title=f"sweep {self.folder}", title_justify="left")
        for name in table.keys:
            shown.add_column(name, overflow="fold")
        for name in ("test", "validation", "epoch", "s/epoch"):
            shown.add_column(name, justify="right")
        shown.add_column("status", overflow="fold")
        for row in table.rows.values():
            m = row.metrics
            numbers = [
                _percent(m["test_accuracy"]),
                _percent(m["best_val_accuracy"]),
                *(
                    "" if x != x else form.format(x)
                    for form, x in (("{:.0f}", m["best_epoch"]), ("{:.1f}", m["seconds_per_epoch"]))
                ),
            ]
            shown.add_row(*map(format_value, row.values.values()), *numbers, row.error or row.status)
        Console().print(shown, highlight=False)

    def _note_best(self, name, row):
        measure = "best_val_accuracy" if not math.isnan(row.metrics["best_val_accuracy"]) else "test_accuracy"
        if self._best is None or row.metrics[measure] > self._best[1]:
            self._best = (name, row.metrics[measure], measure)

    def _left(self):
        ended = self.done + self.failed - self._before
        if not ended or self.done + self.failed == self.total:
            return ""
        seconds = (time.monotonic() - self._begun) / ended * (self.total - self.done - self.failed)
        return f"  ({_duration(seconds)} left)"

    def _line(self, text):
        if self._live is not None:
            self._live.console.print(text)
        else:
            print(text, file=sys.stderr)

    def _table(self):
        from rich.table import Table

        table = Table.grid(padding=(0, 2))
        waiting = self.total - self.done - self.failed - len(self._running)
        table.add_row(
            f"[bold]{self.done}[/] done, [bold]{len(self._running)}[/] running, {waiting} waiting, {self.failed} failed"
            + self._left()
        )
        if self._best is not None:
            name, value, measure = self._best
            table.add_row(f"best so far: {name}, {measure.replace('_', ' ')} {_percent(value)}")
        now = time.monotonic()
        for name, begun in self._running.items():
            table.add_row(f"  {name}  {_duration(now - begun)}")
        return table


def _percent(share):
    return "" if math.isnan(share) else f"{100 * share:.2f} %"


def _duration(seconds):
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
