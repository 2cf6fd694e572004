"""``snnsim simulate`` of a network without trials: one long run, streamed to files, which can be gone on with."""

import re
from contextlib import contextmanager
from pathlib import Path


def is_long(source):
    """Whether an argument names a network without trials: a shipped one, or a file that says for how long."""
    from snnsim.config import parse
    from snnsim.files.text import read_text
    from snnsim.longrun import config
    from snnsim.longrun.networks import NETWORKS

    path = Path(source)
    if source in NETWORKS:
        return True
    if path.suffix != ".toml" or not path.is_file():
        return False
    return config.is_long(parse(read_text(path), source))


def simulate_long(
    source, *, output, resume, duration, scale, record, record_layers, record_neurons, record_every, flags, settings,
    threads, force, json_output,
):  # fmt: skip
    """Run, and print what came of it.

    Parameters
    ----------
    source : str
        Configuration or name of a shipped network.
    output, resume : Path or None
    duration, scale : float or None
    record, record_layers, record_every
        As given; None where not.
    record_neurons : list of str or None
    flags : dict
        dt, scheme, precision and seed, None where not given.
    settings : list of str or None
    threads : int
    force, json_output : bool
    """
    import dataclasses
    import time

    from snnsim.errors import InputError
    from snnsim.longrun import config
    from snnsim.longrun.running import run

    from .progress import print_json
    from .selection import names
    from .simulate import chosen_neurons

    if output is None and resume is None:
        raise InputError("--output: give the directory of the recording, or --resume one to go on with")
    if output is not None and resume is not None:
        raise InputError("--output and --resume: give one of them; a run goes on in the directory that it resumes")
    chosen = config.load(source, settings or (), scale)
    given = {
        key: value for key, value in {**flags, "duration": duration, "every": record_every}.items() if value is not None
    }
    if record is not None:
        given["record"] = tuple(names(record))
    chosen = dataclasses.replace(chosen, run=dataclasses.replace(chosen.run, **given))
    network, inputs, initial = config.build(chosen, source)
    place, begun = resume or output, time.perf_counter()
    progress = _Progress(chosen.run)
    with progress, _naming(source):
        traces = run(
            network, inputs=inputs, initial=initial, threads=threads, output=output, resume=resume, overwrite=force,
            record_layers=names(record_layers), config=config.to_tree(chosen), progress=progress.advance,
            record_neurons=chosen_neurons(record_neurons, network, {p.name for p in network.inputs}),
            **dataclasses.asdict(chosen.run),
        )  # fmt: skip
    with traces:
        spiking = [n for n, p in traces.populations.items() if p.recorded and p.spiking and not p.is_input]
        seconds = len(traces) * traces.info["duration"] * traces.info["time_unit_ms"] / 1000
        counts = {n: int(traces.spike_counts(n).sum()) for n in spiking if "spikes" in traces.info["record"]}
        rates = {n: counts[n] / seconds / len(traces.populations[n].neuron_ids) for n in counts}
    result = {
        "traces": str(place),
        "duration": chosen.run.duration,
        "rates_hz": rates,
        "bytes": sum(path.stat().st_size for path in Path(place).glob("*.h5")),
        "real_time_factor": progress.factor,
        "seconds": time.perf_counter() - begun,
    }
    if json_output:
        print_json(result)
        return
    said = ", ".join(f"{name} {rate:.2f}" for name, rate in rates.items())
    print(
        f"{place}: {chosen.run.duration:g} simulated{f', spikes a second and neuron: {said}' if said else ''}; "
        f"{result['bytes'] / 1e6:.1f} MB in {result['seconds']:.1f} s"
    )


@contextmanager
def _naming(source):
    """Let a message begin with the configuration, where it does not name a file by itself."""
    from snnsim.errors import InputError

    try:
        yield
    except InputError as error:
        if re.match(r"(population|connection|network|inputs?|initial|duration|dt|seed|every|record)\b", str(error)):
            raise InputError(f"{source}: {error}") from error
        raise


class _Progress:
    """A bar on a terminal, with the wall time that a unit of simulated time takes; a context manager."""

    def __init__(self, run):
        self._run, self.factor, self._begun, self._first = run, None, None, 0

    def __enter__(self):
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        console = Console(stderr=True)
        self._bar = Progress(
            TextColumn("{task.fields[state]}"),
            BarColumn(),
            TextColumn("{task.fields[numbers]}"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._bar.start()
        self._task = self._bar.add_task("", total=None, state="building", numbers="")
        return self

    def __exit__(self, *_):
        self._bar.stop()

    def advance(self, simulation, n_steps):
        """Show how far the run is; the first piece, which may wait for the compiler, does not count."""
        import time

        now = time.perf_counter()
        if self._begun is None:
            self._begun, self._first = now, simulation.step
        elif simulation.step > self._first:
            span = (simulation.step - self._first) * simulation.dt * self._run.time_unit_ms / 1000
            self.factor = (now - self._begun) / span
        said = f"{simulation.step * simulation.dt:g} of {n_steps * simulation.dt:g}"
        if self.factor is not None:
            said += f", {self.factor:.2f} x real time"
        self._bar.update(self._task, total=n_steps, completed=simulation.step, state="simulating", numbers=said)
