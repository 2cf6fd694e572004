"""Simulations that go to files batch by batch, so that their length costs no memory."""

import numpy as np

from snnsim.errors import InputError
from snnsim.recording.writer import TraceWriter

BATCH = 100
BATCH_BYTES = 64 * 2**20
"""Most trials of a batch, and about the most that their membranes and currents may take."""


def batch_size(simulator):
    """Trials to simulate at once: many enough to keep the threads busy, few enough for their traces to stay small."""
    return int(np.clip(BATCH_BYTES // max(simulator.bytes_per_trial, 1), 1, BATCH))


def open_writer(directory, simulator, **options):
    """Open a writer for what a simulator records.

    Parameters
    ----------
    directory : str or Path
    simulator : snnsim.simulator.Simulator
    **options
        Further arguments of :class:`~snnsim.recording.writer.TraceWriter`, such as ``config``, ``seed``, ``overwrite``.

    Returns
    -------
    TraceWriter
    """
    event = simulator.engine.name == "event"
    narrowed = {
        name: ids
        for name, ids in simulator.neuron_ids.items()
        if len(ids) < simulator.sizes[name] and name in simulator.layers
    }
    return TraceWriter(
        directory,
        simulator.network,
        duration=simulator.duration,
        dt=None if event else simulator.dt,
        scheme=simulator.scheme,
        engine=simulator.engine.name,
        record=simulator.record,
        layers=simulator.layers,
        neurons=narrowed,
        record_every=simulator.every,
        sample_step=simulator.dt * simulator.every if event else None,
        **options,
    )


def record(simulator, writer, batches, predict=None, on_batch=None):
    """Simulate batches and append each to a recording.

    Parameters
    ----------
    simulator : snnsim.simulator.Simulator
    writer : TraceWriter
    batches : iterable of (inputs, dict)
        Input spikes of a batch in any form that the simulator takes, and the fields of its trials (``label``,
        ``sample_index``, ``split``, ``epoch``).
    predict : callable, optional
        Takes the output and the labels, and returns the predictions, (B,) int64.
    on_batch : callable, optional
        Called with the trials done so far, and those of them whose prediction was right.

    Returns
    -------
    trials, known, correct : int
        Trials recorded; how many of them have a label and a prediction; and how many of these agree.

    Raises
    ------
    InputError
        If an input does not fit, or the disk refuses; all trials before are kept.
    """
    trials = known = correct = 0
    for inputs, fields in batches:
        output = simulator.forward(inputs)
        found = simulator.recording()
        labels = np.asarray(fields.get("label", -1))
        if predict is not None:
            fields = fields | {"prediction": predict(output, np.maximum(labels, 0))}
            right = fields["prediction"] == labels
            known += int((labels >= 0).sum())
            correct += int(right.sum())
        writer.append(found, **fields)
        trials = writer.trials
        if on_batch is not None:
            on_batch(trials, correct)
    if trials == 0:
        raise InputError("no trials to record")
    return trials, known, correct
