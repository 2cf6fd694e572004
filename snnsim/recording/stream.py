"""Simulations that go to files batch by batch, so that their length costs no memory."""

from collections import deque

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
    feed = Feed(simulator, writer, predict, on_batch)
    with feed:
        for inputs, fields in batches:
            feed.put(inputs, **fields)
    if feed.trials == 0:
        raise InputError("no trials to record")
    return feed.trials, feed.known, feed.correct


class Feed:
    """Batches through a simulator into a writer, as many at once as the simulator works ahead; a context manager.

    Parameters
    ----------
    simulator : snnsim.simulator.Simulator
    writer : TraceWriter
    predict, on_batch : callable, optional
        As in :func:`record`.

    Attributes
    ----------
    trials, known, correct : int
        As :func:`record` returns them, of the batches that are written.
    """

    def __init__(self, simulator, writer, predict=None, on_batch=None):
        self._simulator, self._writer, self._predict, self._on_batch = simulator, writer, predict, on_batch
        self._waiting = deque()
        self.trials = self.known = self.correct = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        # Also after an error: what was launched before it is complete.
        while self._waiting:
            self._write()

    def put(self, inputs, **fields):
        """Simulate a batch with the simulator's present weights, and write it, or one that was put before.

        Parameters
        ----------
        inputs
            Input spikes in any form that the simulator takes.
        **fields
            Of the batch's trials.
        """
        self._simulator.launch(inputs)
        self._waiting.append(fields)
        if len(self._waiting) > self._simulator.ahead:
            self._write()

    def _write(self):
        fields = self._waiting.popleft()
        output = self._simulator.collect()
        found = self._simulator.recording(copy=False)
        labels = np.asarray(fields.get("label", -1))
        if self._predict is not None:
            fields = fields | {"prediction": self._predict(output, np.maximum(labels, 0))}
            right = fields["prediction"] == labels
            self.known += int((labels >= 0).sum())
            self.correct += int(right.sum())
        self._writer.append(found, **fields)
        self.trials = self._writer.trials
        if self._on_batch is not None:
            self._on_batch(self.trials, self.correct)
