"""Optimisers over weight tensors by name, learning-rate schedules, gradient clipping."""

import math

import numpy as np

from snnsim.errors import InputError
from snnsim.kernels import cpu

OPTIMIZERS = ("sgd", "adam", "adamw")
SCHEDULES = ("constant", "step", "cosine")


def learning_rate(lr, schedule, progress, decay=0.1, interval=0.5, final=0.0):
    """Learning rate at a point of the run.

    Parameters
    ----------
    lr : float
    schedule : {"constant", "step", "cosine"}
        ``step`` multiplies by ``decay`` after each ``interval`` of the run; ``cosine`` falls to ``final * lr``.
    progress : float
        Share of the run that is done, in [0, 1].
    decay, interval, final : float

    Returns
    -------
    float
    """
    if schedule == "step":
        return lr * decay ** math.floor(progress / interval + 1e-12)
    if schedule == "cosine":
        return lr * (final + (1 - final) * (1 + math.cos(math.pi * progress)) / 2)
    return lr


class Optimizer:
    """SGD with momentum, Adam, or AdamW.

    Parameters
    ----------
    name : {"sgd", "adam", "adamw"}
    weights : dict of str to ndarray
        By name; updated in place by :meth:`step`; C-contiguous.
    momentum : float
        Of ``sgd``.
    beta1, beta2, epsilon : float
        Of ``adam`` and ``adamw``.
    weight_decay : float
        L2 term in the gradient; decoupled for ``adamw``.
    clip_norm : float
        Bound of the Euclidean norm of all gradients together; 0 for none.

    Raises
    ------
    InputError
        If a value is out of range.
    """

    def __init__(
        self, name, weights, *, momentum=0.9, beta1=0.9, beta2=0.999, epsilon=1e-8, weight_decay=0.0, clip_norm=0.0
    ):
        if name not in OPTIMIZERS:
            raise InputError(f"optimizer.name = {name!r}: must be one of {', '.join(OPTIMIZERS)}")
        for key, value in (("momentum", momentum), ("beta1", beta1), ("beta2", beta2)):
            if not 0 <= value < 1:
                raise InputError(f"optimizer.{key} = {value}: must lie in [0, 1)")
        for key, value in (("epsilon", epsilon), ("weight_decay", weight_decay), ("clip_norm", clip_norm)):
            if not 0 <= value < np.inf:
                raise InputError(f"optimizer.{key} = {value}: must be a number of at least 0")
        self.name, self.weights = name, dict(weights)
        self.momentum, self.beta1, self.beta2, self.epsilon = momentum, beta1, beta2, epsilon
        self.weight_decay, self.clip_norm = weight_decay, clip_norm
        self.steps = 0
        self.first = {key: np.zeros_like(w) for key, w in self.weights.items()}
        self.second = {key: np.zeros_like(w) for key, w in self.weights.items()} if name != "sgd" else {}

    def step(self, gradients, lr):
        """Update the weights.

        Parameters
        ----------
        gradients : dict of str to ndarray
            By the weights' names, shaped like them.
        lr : float

        Returns
        -------
        float
            Norm of all gradients together, before clipping; not finite if an entry is not.
        """
        norm = math.sqrt(sum(cpu.squared_norm(gradients[key].reshape(-1)) for key in self.weights))
        if not math.isfinite(norm):
            return norm
        scale = self.clip_norm / norm if 0 < self.clip_norm < norm else 1.0
        self.steps += 1
        for key, w in self.weights.items():
            self._update(key, w.reshape(-1), gradients[key].reshape(-1), scale, lr)
        return norm

    def constants(self, lr, step):
        """Numbers that the update kernels take after the factor of the gradient, for the step-th update."""
        if self.name == "sgd":
            return lr, self.momentum, self.weight_decay
        rest1, rest2 = 1 - self.beta1**step, math.sqrt(1 - self.beta2**step)
        coupled = 0.0 if self.name == "adamw" else self.weight_decay
        kept = 1 - lr * self.weight_decay if self.name == "adamw" else 1.0
        return (
            lr * rest2 / rest1, self.beta1, self.beta2, 1 - self.beta1, 1 - self.beta2, self.epsilon * rest2, coupled,
            kept,
        )  # fmt: skip

    def _update(self, key, w, g, scale, lr):
        with np.errstate(over="ignore"):  # infinite weights are for the caller to find
            values = [w.dtype.type(v) for v in (scale, *self.constants(lr, self.steps))]
        first = self.first[key].reshape(-1)
        if self.name == "sgd":
            cpu.sgd(w, g, first, *values)
        else:
            cpu.adam(w, g, first, self.second[key].reshape(-1), *values)

    def state(self):
        """Everything that a checkpoint needs, as a tree of arrays."""
        return {"steps": self.steps, "first": self.first, "second": self.second}

    def load_state(self, state):
        """Continue from :meth:`state`."""
        self.steps = int(state["steps"])
        for mine, saved in ((self.first, state["first"]), (self.second, state["second"])):
            for key, slot in mine.items():
                slot[...] = saved[key]
