"""What a sweep shows: a table that is kept up to date on a terminal, plain lines elsewhere, a table at the end."""

import math
import sys
import time

from .terminal import console

NAMES = {"test_accuracy": "test", "best_val_accuracy": "validation"}
MOST_LINES = 12
"""Of running points, in the table on a terminal."""


class SweepProgress:
    """Listener of a sweep; what goes on is told on standard error. A context manager.

    Parameters
    ----------
    folder : Path
        Of the sweep.
    """

    def __init__(self, folder):
        self.folder = folder
        self.total = self.done = self.failed = 0
        self._live = self._best = None
        self._running, self._waiting = {}, False

    def __enter__(self):
        return self

    def __exit__(self, *error):
        if self._live is not None:
            self._live.stop()

    def started(self, points, done, slots):
        """Begin: say what is trained."""
        self.total, self.done, self._before = len(points), len(done), len(done)
        self._begun = time.monotonic()
        for name, row in done.items():
            self._note_best(name, row)
        before = f", {len(done)} of them done before" if done else ""
        print(f"{len(points)} points{before}, {slots} at once, in {self.folder}", file=sys.stderr)
        if sys.stderr.isatty() and len(done) < len(points):
            from rich.live import Live

            self._live = Live(
                console=console(stderr=True), get_renderable=self._table, refresh_per_second=2
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
        self._running = {other: begun for other, begun in self._running.items() if other != name}
        attempts = "" if row.attempts == 1 else f", attempt {row.attempts}"
        if row.status == "done":
            self.done += 1
            self._note_best(name, row)
            shares = {words: _percent(row.metrics[key]) for key, words in NAMES.items()}
            outcome = ", ".join(f"{words} {share}" for words, share in shares.items() if share)
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
        from rich.table import Table
        from rich.text import Text

        from snnsim.sweep.grid import format_value

        shown = Table(title=Text(f"sweep {self.folder}"), title_justify="left")
        for name in table.keys:
            shown.add_column(name, overflow="fold")
        for name in ("test", "validation", "epoch", "s/epoch"):
            shown.add_column(name, justify="right")
        shown.add_column("status", overflow="fold")
        for row in table.rows.values():
            m = row.metrics
            shown.add_row(
                *(Text(format_value(value)) for value in row.values.values()),
                _percent(m["test_accuracy"]),
                _percent(m["best_val_accuracy"]),
                _number(m["best_epoch"], 0),
                _number(m["seconds_per_epoch"], 1),
                Text(row.error or row.status),
            )
        console().print(shown)

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
        from rich.text import Text

        table = Table.grid(padding=(0, 2))
        waiting = self.total - self.done - self.failed - len(self._running)
        counts = [(str(self.done), "bold"), " done, ", (str(len(self._running)), "bold"), " running, "]
        table.add_row(Text.assemble(*counts, f"{waiting} waiting, {self.failed} failed{self._left()}"))
        if self._best is not None:
            name, value, measure = self._best
            table.add_row(Text(f"best so far: {name}, {NAMES[measure]} accuracy {_percent(value)}"))
        now = time.monotonic()
        for name, begun in list(self._running.items())[:MOST_LINES]:
            table.add_row(Text(f"  {name}  {_duration(now - begun)}"))
        if len(self._running) > MOST_LINES:
            table.add_row(f"  and {len(self._running) - MOST_LINES} more")
        return table


def _percent(share):
    return "" if math.isnan(share) else f"{100 * share:.2f} %"


def _number(value, digits):
    return "" if math.isnan(value) else f"{value:.{digits}f}"


def _duration(seconds):
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
