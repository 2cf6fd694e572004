"""``snnsim report``: a run as one HTML file."""

from pathlib import Path
from typing import Annotated

import typer

from . import options as o


def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run directory.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="OUT.html", help="File to write.")],
    limit: Annotated[int | None, typer.Option(metavar="N", min=1, help="Test samples; all without it.")] = None,
    step_samples: Annotated[
        int, typer.Option(metavar="N", min=0, help="Test samples to compare with continuous time; 0 for none.")
    ] = 20,
    data_dir: o.DataDir = None,
    threads: o.Threads = 0,
    force: Annotated[bool, typer.Option("--force", help="Replace OUT.html if it exists.")] = False,
):
    """Write one file for a colleague: configuration, graph, curves, confusion, rasters, and what dt does."""
    from snnsim.errors import InputError

    if output.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"--output {output}: must end in .html")
    if output.exists() and not force:
        raise InputError(f"--output {output}: exists already; --force replaces it")
    if not run.is_dir():
        raise InputError(f"{run}: no run directory")
    from snnsim.threads import use_threads

    use_threads(threads)
    from snnsim.report import report as write

    from .runs import session_of
    from .terminal import bars

    with bars(transient=True) as bar:
        task = bar.add_task("", total=None)
        write(
            run, output, lambda settings: session_of(run, settings, {"data_dir": data_dir}, encodes=False), limit,
            step_samples, lambda text: bar.update(task, description=text),
        )  # fmt: skip
    print(output)
