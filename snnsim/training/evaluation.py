"""Accuracy, confusion and firing rates of a network on labelled samples."""

from dataclasses import dataclass

import numpy as np

BATCH = 100


@dataclass(frozen=True)
class Evaluation:
    """What a network did on a split.

    Parameters
    ----------
    samples : int
    loss, accuracy : float
        Means over the samples.
    confusion : ndarray, (C, C) int64
        Samples of class i (row) that were taken for class j (column).
    spikes_per_neuron : list of float
        Mean spikes per neuron and trial of each spiking layer after the input.
    """

    samples: int
    loss: float
    accuracy: float
    confusion: np.ndarray
    spikes_per_neuron: list


def evaluate(session, split, on_batch=None):
    """Run a session's network on a split.

    Parameters
    ----------
    session : Session
    split : Split
    on_batch : callable, optional
        Called with the number of samples done.

    Returns
    -------
    Evaluation
    """
    loss, confusion = 0.0, np.zeros((session.n_classes, session.n_classes), np.int64)
    totals = None
    for start in range(0, len(split), BATCH):
        window = slice(start, start + BATCH)
        labels = split.labels[window]
        losses, prediction, spikes = session.examine(split.values[window], labels, split.ids[window])
        loss += float(losses.sum())
        np.add.at(confusion, (labels, prediction), 1)
        totals = spikes if totals is None else [a + b for a, b in zip(totals, spikes, strict=True)]
        if on_batch is not None:
            on_batch(min(start + BATCH, len(split)))
    n = max(len(split), 1)
    rates = spikes_per_neuron(session, totals or [], n)
    return Evaluation(len(split), loss / n, float(np.trace(confusion)) / n, confusion, rates)


def spikes_per_neuron(session, totals, samples):
    """Mean spikes per neuron and trial of each spiking layer, from its total over the samples."""
    return [t / (samples * w.shape[1]) for t, w in zip(totals, session.weights, strict=False)]
