"""A recording of snnsim as a data set: spikes of one of its populations, and the labels of its trials."""

from pathlib import Path

import numpy as np

from snnsim.datasets.formats.base import Events, Found, Part
from snnsim.errors import InputError
from snnsim.files.hdf5 import open_hdf5, reading
from snnsim.recording.layout import INDEX
from snnsim.recording.reader import open_traces

NAME = "recording"
DESCRIPTION = "directory of a recording (or its spikes.h5): spikes of data.population, labels of the trials"


def matches(path):
    """Whether a path is a recording."""
    if path.is_dir():
        return (path / INDEX).exists()
    if path.suffix != ".h5":
        return False
    with open_hdf5(path) as file, reading(path):
        return "snnsim" in file


def read(path, options):
    """Read all trials as one part; see :func:`snnsim.datasets.formats.read`."""
    if options.time_unit != "":
        raise InputError(f"data.time_unit = {options.time_unit!r}: {path}: a recording of snnsim says its unit")
    with open_traces(path) as traces:
        if options.population not in traces.populations:
            raise InputError(
                f"data.population = {options.population!r}: {path} has {', '.join(traces.populations)}"
            )
        spikes = traces.spikes(options.population)
        labels = np.array(traces.trials.label, np.int64)
        groups = {"epoch": np.array(traces.trials.epoch, np.int64), "split": np.array(traces.trials.split, np.str_)}
        tick_ms = traces.info["time_unit_ms"]
        n_classes = [p.n_neurons for p in traces.populations.values() if not p.is_input][-1:]
    shape = options.sensor or (spikes.n_neurons,)

    def name(k):
        return f"{path}: trial {k}"

    events = Events(spikes.trial, name, len(spikes), shape, tick_ms, spikes.duration)
    # Labels are numbers of classes, of which there are as many as outputs; their names the recording does not have.
    classes = tuple(range(max(n_classes[0], labels.max(initial=0) + 1))) if n_classes else None
    return Found(Path(path).name, Part(events, labels, groups), shape=shape, class_names=classes)
