"""What a training shows: a progress bar on a terminal, plain lines elsewhere, a table at the end."""

import json
import sys
import time

from .terminal import bars, console

LINE_SECONDS, BAR_SECONDS = 15, 0.2
"""Between lines where there is no terminal, and between changes of the bar where there is one."""


class RunningMean:
    """Mean of numbers that weighs each 0.98 times what it weighs the next; the first ones no more than others."""

    def __init__(self):
        self._sum = self._weight = 0.0

    def add(self, number):
        """Take the next number."""
        self._sum = 0.98 * self._sum + number
        self._weight = 0.98 * self._weight + 1

    @property
    def value(self):
        """The mean."""
        return self._sum / self._weight


class TimeLeft:
    """Seconds left of ``total`` steps, by the time that they took after the first one, which waits for the compiler."""

    def __init__(self, total):
        self.total, self._first = total, None

    def note(self, now, done):
        """Take the time at which so many steps were done."""
        self._first, self._last = self._first or (now, done), (now, done)

    def text(self):
        """Say how long the rest takes; empty while that is not known."""
        (begin, before), (now, done) = self._first, self._last
        return f"{(now - begin) / (done - before) * (self.total - done):.0f} s left" if done > before else ""


def training_bar(made):
    """Bar of a training on a console: what is done and the time left in one line, the numbers in a second."""
    from rich.progress import MofNCompleteColumn, Progress, TextColumn
    from rich.text import Text

    class Bar(Progress):
        def get_renderables(self):
            yield self.make_tasks_table(self.tasks)
            for task in self.tasks:
                yield Text(task.fields["numbers"], no_wrap=True, overflow="ellipsis")

    return bars(MofNCompleteColumn(), TextColumn("{task.fields[left]}"), kind=Bar, made=made)


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
        self._loss, self._accuracy = RunningMean(), RunningMean()
        self._left = TimeLeft(session.config.training.epochs * session.batches)
        self._next_line = time.monotonic() + LINE_SECONDS
        if sys.stderr.isatty():
            self._next_line = 0.0
            self._bar = training_bar(console(stderr=True))
            self._task = self._bar.add_task("training", total=self._left.total, left="", numbers="")
            self._bar.start()

    def batch(self, session, loss, accuracy):
        """Show loss, accuracy (running means) and spikes per neuron."""
        self._loss.add(loss)
        self._accuracy.add(accuracy)
        now, done = time.monotonic(), session.epoch * session.batches + session.batch
        self._left.note(now, done)
        if self._bar is not None:
            if now >= self._next_line or session.batch == session.batches:
                self._next_line = now + BAR_SECONDS
                self._bar.update(
                    self._task, completed=done, description=f"epoch {session.epoch + 1}", left=self._left.text(),
                    numbers=self._numbers(session),
                )  # fmt: skip
        elif now >= self._next_line and session.batch >= 20:  # the first batches may wait for the compiler
            self._next_line = now + LINE_SECONDS
            print(
                f"epoch {session.epoch + 1} batch {session.batch}/{session.batches}  {self._numbers(session)}  "
                f"{self._left.text()}",
                file=sys.stderr,
            )

    def _numbers(self, session):
        totals = session.totals
        rates = ", ".join(
            f"{t / (totals.samples * size):.2f}"
            for t, size in zip(totals.spikes, session.spiking.values(), strict=True)
        )
        return f"loss {self._loss.value:.4f}  accuracy {100 * self._accuracy.value:.1f} %  spikes/neuron {rates}"

    def trouble(self, text):
        """Print what keeps the training from learning."""
        if self._bar is not None:
            self._bar.console.print(text, highlight=False, markup=False)
        else:
            print(text, file=sys.stderr)

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
            self._bar.console.print(line)
        else:
            print(line, file=sys.stderr)


def result_table(result):
    """Print a training's result as a table on standard output."""
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
    console().print(table)


def _percent(share):
    return "none" if share is None else f"{100 * share:.2f} %"
