"""Accuracy, confusion and firing rates of a network on labelled samples."""

from dataclasses import dataclass

import numpy as np

from snnsim.processes import Total, divided
from snnsim.samples import taken

BATCH = 100


@dataclass(frozen=True)
class Evaluation:
    """What a network did on a split.

    Parameters
    ----------
    samples : int
    loss : float
    accuracy : float or None
        Means over the samples; None where the targets are no classes.
    confusion : ndarray or None, (C, C) int64
        Samples of class i (row) that were taken for class j (column).
    spikes_per_neuron : list of float
        Mean spikes per neuron and trial of each spiking layer after the input.
    """

    samples: int
    loss: float
    accuracy: float | None
    confusion: np.ndarray | None
    spikes_per_neuron: list


def evaluate(session, split, on_batch=None):
    """Run a session's network on a split; each process of the session's group runs its parts of it.

    Parameters
    ----------
    session : Passes
    split : Samples
    on_batch : callable, optional
        Called with the number of samples done, by the leading process of several up to its own last one.

    Returns
    -------
    Evaluation
    """
    mine = session.group.share(divided(len(split), session.parts))
    total = Total(session.group, len(mine))
    for part in mine:
        confusion = np.zeros((session.n_classes, session.n_classes), np.int64)
        sums = np.zeros(1 + len(session.spiking))
        for start in range(part.start, part.stop, BATCH):
            window = slice(start, min(start + BATCH, part.stop))
            y = taken(split.y, window)
            losses, prediction, spikes = session.examine(taken(split.x, window), y, split.ids[window])
            sums += [losses.sum(), *spikes]
            if split.labelled:
                np.add.at(confusion, (y, prediction), 1)
            if on_batch is not None:
                on_batch(window.stop)
        total.add("sums", sums)
        total.add("confusion", confusion)
    total.wait()
    n = max(len(split), 1)
    rates = spikes_per_neuron(session, sums[1:].tolist(), n)
    if not split.labelled:
        return Evaluation(len(split), float(sums[0]) / n, None, None, rates)
    return Evaluation(len(split), float(sums[0]) / n, float(np.trace(confusion)) / n, confusion, rates)


def spikes_per_neuron(session, totals, samples):
    """Mean spikes per neuron and trial of each spiking layer, from its total over the samples."""
    return [t / (samples * size) for t, size in zip(totals, session.spiking.values(), strict=True)]
