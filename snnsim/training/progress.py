"""What a training shows: a bar on a terminal or in a notebook, plain lines elsewhere."""

import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from snnsim.compiled import is_compiled
from snnsim.config import layers_text
from snnsim.terminal import bars, console
from snnsim.training.callbacks import Callback

COMPILING = "compiling (first run only)"
BACKWARD = (("spiking_backward", "graph_backward"), ("backward",))
"""Kernels without which nothing has been trained yet: in continuous time, and on a clock."""
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


class Progress(Callback):
    """Show a training: a bar on a terminal and in a notebook that has widgets, plain lines elsewhere.

    Everything goes to standard error.

    Parameters
    ----------
    directory : str or Path, optional
        Of the run, named once at the start.
    """

    def __init__(self, directory: str | Path | None = None) -> None:
        self.directory = directory
        self._bar = None

    def on_end(self, training: Any, error: BaseException | None) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()

    def note(self, text: str) -> None:
        """Print a line."""
        if self._bar is not None:
            self._bar.stop()
        print(text, file=sys.stderr)

    def on_begin(self, session: Any, history: list) -> None:
        """Say what is trained, and set up the bar."""
        layers = layers_text(session.config) or ", ".join(
            f"{name} {size}" for name, size in session.structure.sizes.items()
        )
        s = session.config.simulation
        n = session.group.size
        several = f" on {n} processes" if n > 1 else ""
        done = (
            f", continuing after epoch {session.epoch}, batch {session.batch}" if session.epoch or session.batch else ""
        )
        print(
            f"{session.config.data.dataset} {layers}, engine {s.engine}, {s.n_steps} steps of {s.dt:g}: "
            f"{len(session.train)} training samples{several}"
            f"{f', run in {self.directory}' if self.directory else ''}{done}",
            file=sys.stderr,
        )
        self._compiling = not any(map(is_compiled, BACKWARD[s.engine == "clock"]))
        if several and self.directory:
            print(
                "if a process dies all end; then continue from the last checkpoint, on any number of processes, with "
                f"snnsim train --resume {self.directory} --distributed mpi",
                file=sys.stderr,
            )
        self._loss, self._accuracy = RunningMean(), RunningMean()
        self._left = TimeLeft(session.config.training.epochs * session.batches)
        self._next_line = time.monotonic() + LINE_SECONDS
        made = console(stderr=True)
        if sys.stderr.isatty() or (made.is_jupyter and find_spec("ipywidgets")):
            self._next_line = 0.0
            self._bar = training_bar(made)
            first = COMPILING if self._compiling else "training"
            self._task = self._bar.add_task(first, total=self._left.total, left="", numbers="")
            self._bar.start()
        elif self._compiling:
            print(COMPILING, file=sys.stderr)

    def on_batch_end(self, session: Any, metrics: dict) -> None:
        """Show loss, accuracy (running means) and spikes per neuron."""
        self._loss.add(metrics["loss"])
        if metrics["accuracy"] is not None:
            self._accuracy.add(metrics["accuracy"])
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
        accuracy = f"  accuracy {100 * self._accuracy.value:.1f} %" if session.train.labelled else ""
        return f"loss {self._loss.value:.4f}{accuracy}  spikes/neuron {rates}"

    def on_trouble(self, session: Any, text: str) -> None:
        """Print what keeps the training from learning."""
        if self._bar is not None:
            self._bar.console.print(text, highlight=False, markup=False)
        else:
            print(text, file=sys.stderr)

    def on_evaluate(self, session: Any, split: str, done: int, total: int) -> None:
        """Show that a split is being evaluated."""
        if self._bar is not None:
            self._bar.update(self._task, description=f"{split} {done}/{total}")

    def on_epoch_end(self, session: Any, metrics: dict) -> None:
        """Print the epoch's line."""
        if session.train.labelled:
            accuracy = f"accuracy {percent(metrics['train_accuracy'])}, validation {percent(metrics['val_accuracy'])}"
        else:
            held = metrics["val_loss"]
            accuracy = f"validation {'none' if held is None else f'{held:.4f}'}"
        line = (
            f"epoch {metrics['epoch']}: loss {metrics['train_loss']:.4f}, {accuracy}, "
            f"spikes/neuron {', '.join(f'{r:.2f}' for r in metrics['spikes_per_neuron'])}, {metrics['seconds']:.1f} s"
        )
        if self._bar is not None:
            self._bar.console.print(line)
        else:
            print(line, file=sys.stderr)


def percent(share: float | None) -> str:
    """Text of a share; "none" for None."""
    return "none" if share is None else f"{100 * share:.2f} %"
