"""``snnsim reproduce``: the study's figures and claims, from shipped configurations."""

from typing import Annotated

import typer

from .terminal import bars, console


def reproduce(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME]...", help="Experiments, or all; without a name, list them.", show_default=False),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Smaller sizes: all of it in minutes.")] = False,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Another size of the one experiment named; repeatable."),
    ] = None,
    out: Annotated[str, typer.Option(metavar="FOLDER", help="For results, figures and report.md.")] = "reproduction",
    figure_format: Annotated[
        str, typer.Option("--format", metavar="FORMAT", help="Of the figures: png, svg or pdf.")
    ] = "png",
    workers: Annotated[
        int, typer.Option(min=0, metavar="N", help="Independent parts at once, with Dask; 0 for as many as cores.")
    ] = 0,
    force: Annotated[bool, typer.Option("--force", help="Run even what has results already.")] = False,
):
    """Reproduce the study: run experiments, draw their figures, and write a report of every claim.

    What has results of the same configuration in the folder is not run again, and what was stopped goes on.
    """
    from snnsim.experiments.catalogue import CATALOGUE
    from snnsim.experiments.reproduce import reproduce as run

    if not names:
        from rich.table import Table

        table = Table("name", "subject", "in the study", box=None, pad_edge=False)
        for entry in CATALOGUE:
            table.add_row(entry.name, entry.title, entry.section)
        console().print(table)
        return
    with _Bar() as bar:
        report = run(
            names,
            out,
            quick=quick,
            settings=settings or (),
            force=force,
            figure_format=figure_format,
            progress=bar,
            workers=workers,
        )
    print(f"wrote {report}")


class _Bar:
    """Progress over all experiments, weighted by their expected durations, with an estimate of the time left."""

    def __enter__(self):
        from rich.progress import TextColumn, TimeElapsedColumn, TimeRemainingColumn

        self._progress = bars(
            TextColumn("{task.percentage:3.0f} %"), TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn()
        )
        self._progress.start()
        return self

    def __exit__(self, *_):
        self._progress.stop()

    def start(self, plan):
        self._before, total = {}, 0.0
        self._seconds = {}
        for entry, seconds, done in plan:
            self._before[entry.name] = total
            self._seconds[entry.name] = 0.0 if done else seconds
            total += self._seconds[entry.name]
        self._task = self._progress.add_task("reproduce", total=max(total, 1e-9))

    def experiment(self, entry, fraction):
        done = self._before[entry.name] + fraction * self._seconds[entry.name]
        self._progress.update(self._task, description=entry.name, completed=done)

    def message(self, text):
        self._progress.console.print(text)
