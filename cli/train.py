"""``snnsim train``: train a network, show how it goes, leave a run directory."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from . import options as o


@o.with_data_flags
def train(
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
    threads: o.Threads = 0,
    target: o.Target = "cpu",
    distributed: Annotated[
        str, typer.Option(help="mpi: split each batch over the processes that mpiexec or srun started.")
    ] = "none",
    run_dir: Annotated[
        Path | None, typer.Option(help="Directory of the run; without it runs/NAME-SEED, or the next that is free.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing run.")] = False,
    resume: Annotated[
        Path | None, typer.Option(help="Continue this run; only --epochs, --threads, --target and --distributed apply.")
    ] = None,
    record: Annotated[
        str | None, typer.Option(metavar="spikes,v,i_syn", help="Record chosen batches to RUN/traces.")
    ] = None,
    record_batches: Annotated[str, typer.Option(metavar="0:10", help="Batches to record, over all epochs.")] = "0:10",
    record_layers: Annotated[str | None, typer.Option(metavar="A,B", help="Layers to record; all without it.")] = None,
    record_every: Annotated[int, typer.Option(metavar="K", min=1, help="Keep each K-th sample of v and i_syn.")] = 1,
    json_output: o.Json = False,
    **data,
):
    """Train a network: by default 784-400-10 on the shipped MNIST, four epochs, in about a minute."""
    flags = {k: v for k, v in locals().items() if k in o.KEYS} | data
    from snnsim.errors import InputError
    from snnsim.interrupts import exit_code
    from snnsim.processes import join

    if resume is not None:
        given = sorted(k for k, v in flags.items() if v is not None and k != "epochs")
        if given or source or settings or run_dir or force or record:
            raise InputError(
                f"--resume {resume}: continues with the run's own configuration; only --epochs, --threads, --target, "
                "--distributed and --json may stand beside it"
            )
    with join(distributed) as group:
        from snnsim.threads import use_threads

        use_threads(group.threads(threads))
        from snnsim import training
        from snnsim.training.progress import Progress

        from .progress import print_json, result_table

        config = group.first(o.configuration, source, settings, flags) if resume is None else None
        directory = resume or run_dir or group.first(_free_place, source, config.training.seed, force)
        progress = Progress(directory)
        callbacks, recorder = [progress], None
        if record is not None:
            recorder = _recorder(directory, record, record_batches, record_layers, record_every, force)
            callbacks.append(recorder)
        try:
            if resume is not None:
                result = training.resume(resume, callbacks, epochs, target, group)
            else:
                result = training.train(config, directory, force, callbacks, target, group)
            if recorder is not None:
                result["recorded_trials"] = recorder.trials
        except KeyboardInterrupt as stop:
            if group.leads:
                progress.note(f"interrupted; continue with: snnsim train --resume {shlex.quote(str(directory))}")
            raise typer.Exit(exit_code(stop)) from None
        if group.leads:
            show = print_json if json_output else result_table
            show(result)


def _free_place(source, seed, force):
    """Directory of a run that names none: the first that holds none, or the one that ``--force`` replaces."""
    from itertools import count

    from snnsim.training.run import holds

    first = Path("runs") / f"{Path(source).stem if source else 'default'}-{seed}"
    if force or not holds(first):
        return first
    return next(place for k in count(2) if not holds(place := first.with_name(f"{first.name}-{k}")))


def _recorder(directory, record, batches, layers, every, force):
    from snnsim.training.recorder import Record

    from .selection import names, parse_selection

    return Record(
        directory / "traces", parse_selection(batches, "--record-batches"), force, record=names(record),
        record_layers=names(layers), record_every=every,
    )  # fmt: skip
