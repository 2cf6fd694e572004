"""What spoken.py and conv.py need to train their work units with snnsim: an engine, a loss, Adam, and spikes as lists."""
import numpy as np
import numba

import snnsim  # noqa: F401 - settles the kernel cache
from snnsim.engines import make_engine
from snnsim.engines.grid import GridSpikes
from snnsim.kernels.cpu import squared_norm
from snnsim.losses import Loss
from snnsim.memory import release_compiler_pages
from snnsim.optimizers import Optimizer


def constants(dt, alpha, beta):
    """Constants with which backward Euler is the peers' update ``i = alpha i + w, v = beta v + (1 - beta) i``."""
    return {"tau_syn": dt * alpha / (1 - alpha), "tau_mem": dt * beta / (1 - beta), "r": dt / (1 - alpha)}


class Training:
    """One work unit: a network and its weights, mean membrane of a leaky readout, cross entropy, Adam."""

    def __init__(self, network, tensors, dt, n_steps, gradient, lr, threads):
        numba.set_num_threads(threads)
        self.tensors = {k: np.ascontiguousarray(w, np.float32) for k, w in tensors.items()}
        self.engine = make_engine("clock", network, dt=dt, n_steps=n_steps, precision="float32", gradient=gradient,
                                  surrogate_slope=10.0, scheme="backward_euler")
        self.loss = Loss("membrane-mean", n_classes=10, duration=dt * n_steps, dt=dt, n_steps=n_steps)
        self.optimizer, self.lr, self.steps, self.first = Optimizer("adam", self.tensors), lr, 0, True
        self.activity = {}
        squared_norm(np.zeros(1, np.float32))

    def step(self, inputs, labels):
        result = self.loss(self.engine.forward(self.tensors, inputs), labels)
        self.optimizer.step(self.engine.backward(self.tensors, result.gradient), self.lr)
        if self.first:
            release_compiler_pages()
            self.first = False
        for name, count in self.engine.spike_totals().items():
            self.activity[name] = self.activity.get(name, 0) + count
        self.steps += len(labels)
        return float(result.loss.mean())

    def predict(self, inputs):
        return self.loss(self.engine.forward(self.tensors, inputs), np.zeros(len(inputs.row_ptr), np.int64)).prediction

    def spikes(self):
        """Spikes a trial of each population, mean over what was trained."""
        return {name: round(total / self.steps, 1) for name, total in self.activity.items()}


def lists(dense):
    """Counts (B, T, N) as the spikes of a grid: each as often as it is counted, ordered by step, then neuron."""
    n, n_steps, n_neurons = dense.shape
    flat = dense.reshape(n, -1)
    places = np.flatnonzero(flat)
    counts = flat.reshape(-1)[places].astype(np.int64)
    if counts.size and counts.max() > 1:
        places = np.repeat(places, counts)
    trial, rest = np.divmod(places, n_steps * n_neurons)
    step, neuron = np.divmod(rest, n_neurons)
    totals = np.bincount(trial * n_steps + step, minlength=n * n_steps).reshape(n, n_steps)
    row_ptr = np.zeros((n, n_steps + 1), np.int32)
    np.cumsum(totals, axis=1, out=row_ptr[:, 1:])
    rows = np.zeros((n, max(int(row_ptr[:, -1].max()), 1)), np.int32)
    rows[np.arange(rows.shape[1]) < row_ptr[:, -1:]] = neuron
    return GridSpikes(rows, row_ptr, n_neurons)


class Lists:
    """All samples as lists of spikes; indexing takes some of them."""

    def __init__(self, dense):
        # In parts: the indices of all at once would be the peak of the process's memory.
        parts = [lists(dense[k:k + 100]) for k in range(0, len(dense), 100)]
        cap = max(part.rows.shape[1] for part in parts)
        rows = [np.pad(part.rows, ((0, 0), (0, cap - part.rows.shape[1]))) for part in parts]
        self.grid = GridSpikes(np.concatenate(rows), np.concatenate([part.row_ptr for part in parts]), dense.shape[2])

    def __getitem__(self, chosen):
        rows, row_ptr = self.grid.rows[chosen], self.grid.row_ptr[chosen]
        return GridSpikes(np.ascontiguousarray(rows[:, : max(int(row_ptr[:, -1].max()), 1)]), row_ptr, self.grid.n_neurons)
