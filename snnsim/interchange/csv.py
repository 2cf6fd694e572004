"""Recordings to plain text, for spreadsheets and tools that read nothing else."""

from pathlib import Path

import numpy as np

from snnsim.errors import InputError
from snnsim.files.atomic import replacing, writing
from snnsim.recording import layout
from snnsim.recording.units import units_of

SPIKES = ("trial", "population", "neuron")


def export_csv(traces, directory, trials=None, layers=None):
    """Write ``trials.csv``, ``spikes.csv``, and a table each of v and i_syn if recorded, into a directory.

    A name that ends in ``.csv`` gets the table of spikes alone.

    Times count from the start of the trial, in the unit that the recording says, which ends a column's name; numbers
    have as many digits as bring them back to the bit.

    Parameters
    ----------
    traces : Traces
    directory : str or Path
        Made if it does not exist; or a file.
    trials : int, slice, or sequence of int or bool, optional
    layers : sequence of str, optional

    Raises
    ------
    InputError
        If trials or layers do not exist, or the directory cannot be written.
    """
    directory = Path(directory)
    chosen, names = traces.chosen(trials), traces.chosen_layers(layers)
    units = units_of(traces.info)
    time = _with_unit("time", units)
    if directory.suffix.lower() == ".csv" and not directory.is_dir():
        if "spikes" not in traces.info["record"]:
            raise InputError(f"{directory}: a file holds spikes, which were not recorded; name a directory")
        with writing(directory):
            directory.parent.mkdir(parents=True, exist_ok=True)
        _table(directory, [*SPIKES, time], _spikes(traces, chosen, names))
        return
    if directory.exists() and not directory.is_dir():
        raise InputError(f"{directory}: must be a directory, since CSV needs one file a table")
    with writing(directory):
        directory.mkdir(parents=True, exist_ok=True)
    columns = list(layout.TRIAL_FIELDS)
    rows = ([b, *(_value(traces, b, c) for c in columns)] for b in chosen.tolist())
    _table(directory / "trials.csv", ["trial", *(_with_unit(c, units) for c in columns)], rows)
    if "spikes" in traces.info["record"]:
        _table(directory / "spikes.csv", [*SPIKES, time], _spikes(traces, chosen, names))
    for variable in layout.REPORTS:
        if variable in traces.info["record"]:
            header = [*SPIKES, time, variable]
            _table(directory / f"{variable}.csv", header, _samples(traces, variable, chosen, names))


def _with_unit(column, units):
    return f"{column}_{units.time}" if units.time and column in (*layout.TRIAL_UNITS, "time") else column


def _value(traces, b, column):
    value = traces.trials[b][column].item()
    return value * units_of(traces.info).of_ms if column in layout.TRIAL_UNITS else value


def _table(path, header, rows):
    with replacing(path) as temporary, open(temporary, "w", encoding="utf-8", newline="\n") as out:
        out.write(",".join(header) + "\n")
        out.writelines(",".join(map(str, row)) + "\n" for row in rows)


def _spikes(traces, chosen, names):
    factor = units_of(traces.info).factor
    for b in chosen.tolist():
        for name in names:
            spikes = traces.spikes(name, b)
            for neuron, time in zip(spikes.neurons.tolist(), (spikes.times * factor).tolist(), strict=True):
                yield b, name, neuron, time


def _samples(traces, variable, chosen, names):
    factor = units_of(traces.info).factor
    for b in chosen.tolist():
        for name in names:
            if name == "input":
                continue
            times = (traces.sample_times(variable=variable, layer=name) * factor).tolist()
            values = traces.report(variable, name, b)
            ids = traces.populations[name].neuron_ids.tolist()
            for k, neuron in enumerate(ids):
                # As NumPy prints a float32: the shortest digits that bring it back.
                for time, value in zip(times, np.ascontiguousarray(values[:, k]), strict=True):
                    yield b, name, neuron, time, value
