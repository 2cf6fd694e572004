"""``snnsim sweep``: train every point of a grid, several at once, and keep one table of results."""

import math
import sys
from pathlib import Path
from typing import Annotated

import typer

from . import options as o


@o.with_data_flags
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
    neuron: o.NeuronName = None,
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
    **data,
):
    """Train every point of a grid; the same command again continues, and tries what failed once more.

    OUT keeps a run directory for each point and the table sweep.h5. Values may be added to the grid of a folder.
    """
    flags = {k: v for k, v in locals().items() if k in o.KEYS} | data
    from snnsim.errors import InputError
    from snnsim.interrupts import exit_code
    from snnsim.sweep.grid import parse_grid, points_of
    from snnsim.sweep.pool import Pool
    from snnsim.sweep.run import sweep as run

    from .progress import print_json
    from .sweep_progress import SweepProgress

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
    points = points_of(axes, base)  # a bad value is refused before workers are started
    notes = (o.per_step_note(base, point.config) for point in points)
    note = next(filter(None, notes), None)
    if note:
        print(note, file=sys.stderr)
    view = SweepProgress(output)
    try:
        with Pool(workers, threads, scheduler) as pool, view:
            table = run(base, axes, output, pool, timeout=timeout, retries=retries, target=target, listener=view)
    except KeyboardInterrupt as stop:
        print(f"interrupted; the same command continues the sweep in {output}", file=sys.stderr)
        raise typer.Exit(exit_code(stop)) from None
    if csv is not None:
        table.save_csv(csv)
    if json_output:
        print_json(view.summary(table))
    else:
        view.print(table)
    if view.failed:
        print(f"{view.failed} of {view.total} points failed; the same command tries them again", file=sys.stderr)
        raise typer.Exit(1)
