"""``snnsim evaluate``: accuracy, confusion matrix and firing rates of a trained network."""

from pathlib import Path
from typing import Annotated

import typer

from . import options as o
from .terminal import console


@o.with_data_flags
def evaluate(
    run: Annotated[Path, typer.Argument(help="Run directory, or a model file.")],
    split: Annotated[str, typer.Option(help="test, validation or train.")] = "test",
    dataset: o.Dataset = None,
    engine: o.Engine = None,
    dt: o.Dt = None,
    steps: o.Steps = None,
    scheme: o.Scheme = None,
    encoder: o.EncoderName = None,
    data_dir: o.DataDir = None,
    limit: o.Limit = None,
    seed: o.Seed = None,
    settings: o.Settings = None,
    threads: o.Threads = 0,
    target: o.Target = "cpu",
    json_output: o.Json = False,
    **data,
):
    """Evaluate a trained network, also with another engine, scheme or step size than it was trained with."""
    flags = {k: v for k, v in locals().items() if k in o.KEYS and k != "limit"} | data
    from snnsim.threads import use_threads

    use_threads(threads)
    from snnsim import training
    from snnsim.errors import InputError

    from .progress import print_json
    from .runs import session_of

    if split not in ("test", "validation", "train"):
        raise InputError(f"--split {split}: must be one of test, validation, train")
    if limit is not None and limit < 1:
        raise InputError(f"--limit {limit}: must be at least 1")
    session = session_of(run, settings, flags, target)
    # Of the run's own split: as data.limit it would move the boundary between training and validation samples.
    result = training.evaluate(session, getattr(session, split).first(limit))
    if json_output:
        confusion = None if result.confusion is None else result.confusion.tolist()
        print_json({**vars(result), "confusion": confusion, "split": split, "run": str(run)})
        return
    from rich.table import Table

    from snnsim.training.progress import percent

    shown = console()
    shown.print(
        f"{split}: {result.samples} samples, accuracy {percent(result.accuracy)}, loss {result.loss:.4f}, spikes "
        f"per neuron {', '.join(f'{r:.2f}' for r in result.spikes_per_neuron)}",
        soft_wrap=True,
    )
    if result.confusion is None:
        return
    table = Table(title="samples of class (row) taken for class (column)", title_justify="left")
    table.add_column("class", justify="right")
    for c in range(session.n_classes):
        table.add_column(str(c), justify="right")
    table.add_column("recall", justify="right")
    for c, row in enumerate(result.confusion):
        table.add_row(str(c), *map(str, row), f"{100 * row[c] / max(row.sum(), 1):.1f} %")
    shown.print(table)
