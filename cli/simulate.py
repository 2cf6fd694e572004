"""``snnsim simulate``: run trials through a network, and stream what it does to files."""

from pathlib import Path
from typing import Annotated

import typer

from . import options as o
from .terminal import bars


@o.with_data_flags
def simulate(
    source: Annotated[
        str, typer.Argument(metavar="RUN|CONFIG", help="Run directory, model file, TOML file or shipped configuration.")
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="TRACES", help="Directory of the recording.")
    ] = None,
    duration: Annotated[
        float | None, typer.Option(metavar="TIME", help="Of a network without trials: how long it runs in all.")
    ] = None,
    resume: Annotated[
        Path | None, typer.Option(metavar="TRACES", help="Of a network without trials: go on with this recording.")
    ] = None,
    scale: Annotated[
        float | None, typer.Option(help="Of a shipped network without trials: share of its neurons and synapses.")
    ] = None,
    record: Annotated[
        str | None, typer.Option(metavar="spikes,v,i_syn", help="What to record; spikes without it.")
    ] = None,
    record_layers: Annotated[
        str | None, typer.Option(metavar="A,B", help="Layers to record: input, hidden0, ..., output; all without it.")
    ] = None,
    record_neurons: Annotated[
        list[str] | None,
        typer.Option(metavar="[LAYER=]0:10", help="Neurons to record, of a layer or of all but the input; repeatable."),
    ] = None,
    record_every: Annotated[
        int | None, typer.Option(metavar="K", min=1, help="Keep each K-th sample of v and i_syn.")
    ] = None,
    record_trials: Annotated[
        str | None, typer.Option(metavar="0:100", help="Samples to simulate and record; all without it.")
    ] = None,
    split: Annotated[str, typer.Option(help="test, validation or train.")] = "test",
    dataset: o.Dataset = None,
    spikes: Annotated[
        str | None,
        typer.Option(metavar="FILE.h5", help="Input spikes (SHD, SONATA or a recording) instead of samples."),
    ] = None,
    population: Annotated[
        str | None, typer.Option(metavar="NAME", help="Population of a SONATA file or recording given as --spikes.")
    ] = None,
    trial_length: Annotated[
        float | None, typer.Option(metavar="MS", help="Cut a SONATA file given as --spikes into trials of this length.")
    ] = None,
    time_unit: Annotated[
        str | None,
        typer.Option(metavar="s|ms|us|ns|MS", help="Unit of the times of a file given as --spikes; as the file says."),
    ] = None,
    engine: o.Engine = None,
    dt: o.Dt = None,
    steps: o.Steps = None,
    scheme: o.Scheme = None,
    encoder: o.EncoderName = None,
    precision: o.Precision = None,
    data_dir: o.DataDir = None,
    seed: o.Seed = None,
    settings: o.Settings = None,
    threads: o.Threads = 0,
    target: o.Target = "cpu",
    force: Annotated[bool, typer.Option("--force", help="Replace a recording in TRACES.")] = False,
    json_output: o.Json = False,
    **data,
):
    """Simulate samples of a data set, given spike trains, or a network without trials, and record what it does.

    The files grow during the run and can be read meanwhile; a run that is stopped leaves all complete trials. Samples
    of a data set get the same input spikes as in evaluate. A network without trials is a file with tables
    population, connection and input that says how long it runs, or ei-network, brunel-ai (-sr, -si-fast, -si-slow) or
    microcircuit.
    """
    import time

    from snnsim.errors import InputError
    from snnsim.threads import use_threads

    from .simulate_long import is_long, simulate_long

    use_threads(threads)
    if duration is not None or resume is not None or is_long(source):
        trialwise = {
            "--record-trials": record_trials, "--spikes": spikes, "--population": population,
            "--trial-length": trial_length, "--engine": engine, "--steps": steps, "--encoder": encoder,
            "--data-dir": data_dir, "--dataset": dataset, "--target": None if target == "cpu" else target,
        }  # fmt: skip
        for option, value in trialwise.items():
            if value is not None:
                raise InputError(f"{option} {value}: does not belong to a network without trials")
        simulate_long(
            source, output=output, resume=resume, duration=duration, scale=scale, record=record,
            record_layers=record_layers, record_neurons=record_neurons, record_every=record_every,
            flags={"dt": dt, "scheme": scheme, "precision": precision, "seed": seed}, settings=settings,
            threads=threads, force=force, json_output=json_output,
        )  # fmt: skip
        return
    if output is None:
        raise InputError("--output: give the directory of the recording")
    if scale is not None:
        raise InputError("--scale: belongs to a shipped network without trials")
    if split not in ("test", "validation", "train"):
        raise InputError(f"--split {split}: must be one of test, validation, train")
    if spikes is None and (population or trial_length or time_unit):
        raise InputError("--population, --trial-length, --time-unit: belong to --spikes")
    flags = {
        "dataset": dataset,
        "engine": engine,
        "dt": dt,
        "steps": steps,
        "scheme": scheme,
        "encoder": encoder,
        "precision": precision,
        "data_dir": data_dir,
        "seed": seed,
    } | data
    from snnsim.recording.stream import batch_size, open_writer
    from snnsim.recording.stream import record as record_batches
    from snnsim.recording.units import writer_units

    from .progress import print_json
    from .selection import names, parse_selection

    chosen = parse_selection(record_trials, "--record-trials")
    if spikes is None:
        trials = _Samples(source, settings, flags, split, chosen)
    else:
        trials = _Trains(source, settings, flags, spikes, population, trial_length, time_unit, chosen)
    simulator = trials.simulator(
        record=names(record or "spikes"),
        record_layers=names(record_layers),
        record_neurons=chosen_neurons(record_neurons, trials.network, ("input",)),
        record_every=record_every or 1,
        target=target,
    )
    from snnsim import config as configuration

    start = time.perf_counter()
    options = {"config": configuration.to_tree(trials.config), "seed": trials.config.training.seed, "overwrite": force}
    options |= writer_units(trials.config, trials.timed)
    with open_writer(output, simulator, **options) as writer, _Bar(len(trials)) as bar:
        batches = trials.batches(batch_size(simulator), simulator)
        count, known, correct = record_batches(simulator, writer, batches, trials.predict, bar.advance)
    result = {
        "traces": str(output),
        "trials": count,
        "accuracy": correct / known if known else None,
        "bytes": sum(path.stat().st_size for path in output.glob("*.h5")),
        "seconds": time.perf_counter() - start,
    }
    if json_output:
        print_json(result)
        return
    accuracy = f", accuracy {100 * result['accuracy']:.2f} %" if known else ""
    size = f"{result['bytes'] / 1e6:.1f} MB in {result['seconds']:.1f} s"
    print(f"{output}: {count} trials of {simulator.duration:g}{accuracy}, {size}")


class _Samples:
    """Samples of a data set."""

    def __init__(self, source, settings, flags, split, chosen):
        import numpy as np

        from snnsim.errors import InputError
        from snnsim.training import Session

        from .runs import session_of

        self.session = (
            session_of(source, settings, flags) if is_run(source) else Session(o.configuration(source, settings, flags))
        )
        self.config, self.network, self.split_name = self.session.config, self.session.network, split
        self.split = getattr(self.session, split)
        self.timed = self.split.spiking
        self.ids = _pick(np.arange(len(self.split)), chosen, f"--record-trials: {split}")
        if len(self.ids) == 0:
            raise InputError(f"--record-trials: names none of the {len(self.split)} samples of the {split} split")

    def __len__(self):
        return len(self.ids)

    def simulator(self, **options):
        from snnsim.training.parts import simulator_of

        return simulator_of(self.config, self.network, **options)

    def predict(self, output, labels):
        return self.session.loss(output, labels).prediction

    def batches(self, size, simulator):
        for start in range(0, len(self.ids), size):
            rows = self.ids[start : start + size]
            samples = self.split.take(rows)
            label = samples.labels if samples.labelled else -1
            inputs = self.session.given.to(simulator, samples.x, samples.ids)
            yield inputs, {"label": label, "sample_index": rows, "split": self.split_name}


class _Trains:
    """Spike trains of a file."""

    timed = True

    def __init__(self, source, settings, flags, path, population, trial_length, time_unit, chosen):
        import numpy as np

        from snnsim.errors import InputError
        from snnsim.interchange.shd import read_spikes, stated_neurons

        self.config, self.network = _network(source, settings, flags)
        n_inputs, stated = self.network.inputs[0].size, stated_neurons(path, population)
        if stated not in (None, n_inputs):
            raise InputError(f"{path}: has {stated} channels, but the network has {n_inputs} inputs")
        self.spikes, self.labels = read_spikes(
            path,
            n_neurons=n_inputs,
            samples=chosen,
            population=population,
            trial_length=trial_length,
            time_unit=time_unit,
        )
        if len(self.labels) == 0:
            raise InputError(f"{path}: has no samples, or --record-trials names none of them")
        if isinstance(chosen, list):
            self.numbers = np.array(chosen)
        else:
            first, step = (chosen.start or 0, chosen.step or 1) if chosen else (0, 1)
            self.numbers = first + step * np.arange(len(self.labels))
        s = self.config.simulation
        if not flags["steps"] and self.spikes.duration / s.dt > MOST_STEPS:
            raise InputError(
                f"{path}: lasts {self.spikes.duration:g}: more than {MOST_STEPS} steps of {s.dt:g}; --time-unit says "
                "in which unit its times are, --steps how many are simulated"
            )
        self.n_steps = s.n_steps if flags["steps"] else max(1, int(np.ceil(self.spikes.duration / s.dt * (1 - 1e-12))))
        if self.spikes.times.max(initial=0) > self.n_steps * s.dt * (1 + 1e-9):
            raise InputError(
                f"{path}: a spike at {self.spikes.times.max():g}: beyond --steps {self.n_steps} of {s.dt:g}"
            )

    def __len__(self):
        return len(self.labels)

    def simulator(self, **options):
        from dataclasses import replace

        from snnsim.training.parts import loss_of, simulator_of

        config = replace(self.config, simulation=replace(self.config.simulation, n_steps=self.n_steps))
        simulator = simulator_of(config, self.network, **options)
        self.loss = loss_of(config, self.network.output.size, simulator.engine)
        return simulator

    def predict(self, output, labels):
        return self.loss(output, labels).prediction

    def batches(self, size, simulator):
        from snnsim.simulation import trials

        for start in range(0, len(self), size):
            stop = min(start + size, len(self))
            fields = {"label": self.labels[start:stop], "sample_index": self.numbers[start:stop]}
            yield trials(self.spikes, start, stop), fields


MOST_STEPS = 10**8
"""Steps of a trial whose length the file of its spikes says."""


def is_run(source):
    """Whether an argument names a run directory or model file, rather than a configuration."""
    path = Path(source)
    return path.is_dir() or path.suffix == ".h5"


def _network(source, settings, flags):
    """Load configuration and network of a run, or of a configuration with its initial weights."""
    from snnsim import config
    from snnsim.blueprint import network_of
    from snnsim.errors import InputError
    from snnsim.models import load_model
    from snnsim.training.parts import network_for, tensors_of, with_network

    from .runs import model_path

    if is_run(source):
        network, trained = load_model(model_path(source))
        base = with_network(trained or config.load(), network)
        chosen = o.configuration(base, settings, flags, encodes=False)
        return chosen, network_for(chosen, base, network, source)
    chosen = o.configuration(source, settings, flags, encodes=False)
    if chosen.network.target_rate:
        raise InputError("network.target_rate: scales weights to a data set, so it does not go with --spikes")
    structure = network_of(chosen)
    return chosen, structure.with_tensors(tensors_of(chosen, structure))


class _Bar:
    """Progress on standard error: a bar on a terminal, else nothing."""

    def __init__(self, total):
        from rich.progress import MofNCompleteColumn, TextColumn, TimeRemainingColumn

        self._total = total
        self._progress = bars(MofNCompleteColumn(), TextColumn("{task.fields[rate]}"), TimeRemainingColumn())

    def __enter__(self):
        self._progress.start()
        self._task = self._progress.add_task("simulating", total=self._total, rate="")
        return self

    def __exit__(self, *_):
        self._progress.stop()

    def advance(self, trials, correct):
        rate = f"accuracy {100 * correct / trials:.1f} %" if correct else ""
        self._progress.update(self._task, completed=trials, rate=rate)


def chosen_neurons(texts, network, inputs):
    """``hidden0=0:10``, or ``0:10`` for every layer but the inputs, to neuron numbers by layer."""
    import numpy as np

    from snnsim.errors import InputError

    from .selection import parse_selection

    chosen = {}
    sizes = network.sizes
    for text in texts or ():
        name, sign, numbers = text.rpartition("=")
        for layer in [name] if sign else [n for n in sizes if n not in inputs]:
            if layer not in sizes:
                raise InputError(f"--record-neurons {text}: layer must be one of {', '.join(sizes)}")
            selection = parse_selection(numbers, "--record-neurons")
            picked = _pick(np.arange(sizes[layer]), selection, f"--record-neurons {text}: {layer}")
            if len(picked) == 0:
                raise InputError(f"--record-neurons {text}: names none of the {sizes[layer]} neurons of {layer}")
            chosen[layer] = np.unique([*chosen.get(layer, ()), *picked])
    return chosen


def _pick(numbers, chosen, what):
    from snnsim.errors import InputError

    if chosen is None:
        return numbers
    if isinstance(chosen, list):
        for number in chosen:
            if not 0 <= number < len(numbers):
                raise InputError(f"{what}: {number} must lie in 0..{len(numbers) - 1}")
    return numbers[chosen]
