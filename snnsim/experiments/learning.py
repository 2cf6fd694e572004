"""What the experiments that learn share: a session of a configuration table, its first batch, curves of a training."""

import time
from dataclasses import replace

import numpy as np

from snnsim import config as configuration
from snnsim.errors import InputError
from snnsim.training import Session, evaluate
from snnsim.training.parts import engine_of, loss_of


def run_config(table, **changes):
    """Check the run configuration of an experiment's ``[run]`` table; ``changes`` are ``table__key=value``."""
    tree = {name: dict(values) for name, values in table.items()}
    for key, value in changes.items():
        section, name = key.split("__")
        tree.setdefault(section, {})[name] = value
    return configuration.from_tree(tree, "experiment")


def first_batch(session, size=None):
    """Training samples 0..size-1 on the grid: inputs, one row a neuron, and their labels."""
    size = session.config.training.batch_size if size is None else size
    values, ids = session.train.values[:size], session.train.ids[:size]
    return session.encoder.on_grid(values, ids, 0), session.train.labels[:size]


def first_gradients(session, inputs, labels, method="exact", **gradient):
    """Gradient of the mean loss at a session's weights by one estimator.

    Parameters
    ----------
    session : Session
    inputs : GridSpikes
    labels : ndarray, (B,) int64
    method : {"exact", "literal", "tssl", "surrogate"}
    **gradient
        Other keys of the table ``[gradient]``.

    Returns
    -------
    list of ndarray, each (N_in, N_out)
    """
    config = replace(session.config, gradient=replace(session.config.gradient, method=method, **gradient))
    engine = engine_of(config, session.structure)
    loss = loss_of(config, session.n_classes, engine)
    output = engine.forward(session.tensors, inputs)
    return [g.copy() for g in engine.backward(session.tensors, loss(output, labels).gradient).values()]


def listed(values, form="{:.2g}"):
    """Numbers as text, with what is not finite in words."""
    return ", ".join(form.format(x) if np.isfinite(x) else "not finite" for x in values)


def train_curve(session, test_samples, on_batch=lambda: None):
    """Train a session to the end of its epochs, or to the batch whose loss or gradient is not finite.

    Parameters
    ----------
    session : Session
    test_samples : int
        The first so many test samples are evaluated, before the first and after every epoch.
    on_batch : callable
        Called after every batch.

    Returns
    -------
    dict
        ``loss``, ``accuracy`` of each batch, (epochs * batches,) float64, NaN from the batch on that failed;
        ``test_loss``, ``test_accuracy``, ``hidden_rate`` (spikes per hidden neuron and trial), (epochs + 1,) float64;
        ``seconds`` of each epoch without its evaluation, (epochs,) float64;
        ``failure``: what stopped it, or "".
    """
    epochs, batches = session.config.training.epochs, session.batches
    test = session.test.first(test_samples)
    curve = {"loss": np.full(epochs * batches, np.nan), "accuracy": np.full(epochs * batches, np.nan)}
    curve |= {key: np.full(epochs + 1, np.nan) for key in ("test_loss", "test_accuracy", "hidden_rate")}
    curve["seconds"] = np.full(epochs, np.nan)
    failure = ""

    def look(epoch):
        e = evaluate(session, test)
        curve["test_loss"][epoch], curve["test_accuracy"][epoch] = e.loss, e.accuracy
        curve["hidden_rate"][epoch] = e.spikes_per_neuron[0]

    look(0)
    try:
        for epoch in range(epochs):
            started = time.perf_counter()
            for k in range(batches):
                curve["loss"][epoch * batches + k], curve["accuracy"][epoch * batches + k] = session.step()
                on_batch()
            session.end_epoch()
            curve["seconds"][epoch] = time.perf_counter() - started
            look(epoch + 1)
    except InputError as error:
        # A diverging run is a result of the experiment: what the session refused to go on with is kept as its reason.
        failure = str(error).split(":")[0]
    return curve | {"failure": failure}


__all__ = ["Session", "first_batch", "first_gradients", "listed", "run_config", "train_curve"]
