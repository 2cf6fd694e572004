"""What a training shows: a progress bar on a terminal, plain lines elsewhere, a table at the end."""

import json
import sys
import time


def print_json(value):
    """Print one JSON object on standard output."""
    print(json.dumps(value))


class TrainingProgress:
    """Listener of a training; everything goes to standard error. A context manager.

    Parameters
    ----------
    directory : str or Path
        Of the run, named once at the start.
    """

    def __init__(self, directory):
        self.directory = directory
        self._bar = None
        self._last = None

    def __enter__(self):
        return self

    def __exit__(self, *error):
        if self._bar is not None:
            self._bar.stop()

    def note(self, text):
        """Print a line."""
        if self._bar is not None:
            self._bar.stop()
        print(text, file=sys.stderr)

    def started(self, session, history):
        """Begin: say what is trained, and set up the bar."""
        from snnsim.config import layers_text

        layers = layers_text(session.config)
        s = session.config.simulation
        n = session.group.size
        several = f" on {n} processes" if n > 1 else ""
        done = (
            f", continuing after epoch {session.epoch}, batch {session.batch}" if session.epoch or session.batch else ""
        )
        print(
            f"{session.config.data.dataset} {layers}, engine {s.engine}, {s.n_steps} steps of {s.dt:g}: "
            f"{len(session.train)} training samples{several}, run in {self.directory}{done}",
            file=sys.stderr,
        )
        if several:
            print(
                "if a process dies all end; then continue from the last checkpoint, on any number of processes, with "
                f"snnsim train --resume {self.directory} --distributed mpi",
                file=sys.stderr,
            )
        self._loss = self._accuracy = None
        self._start = time.monotonic()
        self._done_before = session.epoch * session.batches + session.batch
        self._next_line = time.monotonic() + 15
        if not sys.stderr.isatty():
            return
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[numbers]}"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            refresh_per_second=4,
        )
        total = session.config.training.epochs * session.batches
        self._task = self._bar.add_task("training", total=total, completed=self._done_before, numbers="")
        self._bar.start()

    def batch(self, session, loss, accuracy):
        """Show loss, accuracy (running means) and spikes per neuron."""
        rate = 0.98
        self._loss = loss if self._loss is None else rate * self._loss + (1 - rate) * loss
        self._accuracy = accuracy if self._accuracy is None else rate * self._accuracy + (1 - rate) * accuracy
        now = time.monotonic()
        if self._bar is not None:
            done = session.epoch * session.batches + session.batch
            if now >= self._next_line - 14.8 or session.batch == session.batches:
                self._next_line = now + 15
                self._bar.update(
                    self._task, completed=done, description=f"epoch {session.epoch + 1}", numbers=self._numbers(session)
                )
        elif now >= self._next_line and session.batch >= 20:  # the first batches may wait for the compiler
            self._next_line = now + 15
            done = session.epoch * session.batches + session.batch
            total = session.config.training.epochs * session.batches
            left = (now - self._start) * (total - done) / max(done - self._done_before, 1)
            print(
                f"epoch {session.epoch + 1} batch {session.batch}/{session.batches}  {self._numbers(session)}  "
                f"{left:.0f} s left",
                file=sys.stderr,
            )

    def _numbers(self, session):
        totals = session.totals
        rates = ", ".join(
            f"{t / (totals.samples * size):.2f}"
            for t, size in zip(totals.spikes, session.spiking.values(), strict=True)
        )
        return f"loss {self._loss:.4f}  accuracy {100 * self._accuracy:.1f} %  spikes/neuron {rates}"

    def evaluating(self, name, done, total):
        """Show that a split is being evaluated."""
        if self._bar is not None:
            self._bar.update(self._task, description=f"{name} {done}/{total}")

    def epoch(self, metrics):
        """Print the epoch's line."""
        line = (
            f"epoch {metrics['epoch']}: loss {metrics['train_loss']:.4f}, "
            f"accuracy {100 * metrics['train_accuracy']:.2f} %, validation {_percent(metrics['val_accuracy'])}, "
            f"spikes/neuron {', '.join(f'{r:.2f}' for r in metrics['spikes_per_neuron'])}, {metrics['seconds']:.1f} s"
        )
        if self._bar is not None:
            self._bar.console.print(line, highlight=False)
        else:
            print(line, file=sys.stderr)


def result_table(result):
    """Print a training's result as a table on standard output."""
    from rich.console import Console
    from rich.table import Table

    table = Table(show_header=False, title="result", title_justify="left")
    best = _percent(result["best_val_accuracy"])
    rows = {
        "test accuracy": f"{100 * result['test_accuracy']:.2f} %",
        "best validation accuracy": best if best == "none" else f"{best} (epoch {result['best_epoch']})",
        "spikes per neuron": ", ".join(f"{r:.2f}" for r in result["spikes_per_neuron"]),
        "seconds per epoch": f"{result['seconds_per_epoch']:.1f}",
        "epochs": str(result["epochs"]),
        "seed": str(result["seed"]),
        "run": result["run_dir"],
    }
    for name, value in rows.items():
        table.add_row(name, value)
    Console().print(table, highlight=False)


def _percent(share):
    return "none" if share is None else f"{100 * share:.2f} %"
