"""Optimisers over tensors by name, learning-rate schedules, gradient clipping.

An optimiser is one update function, ``update(w, g, lr, step, ...)``: it changes the weights ``w`` in place by their
gradient ``g``. Every further parameter is a slot: an array like ``w``, zero before the first step (numbered 1), that is
kept for each tensor and stored with checkpoints. A function, or an object with a method of that name.
"""

import inspect
import math
from dataclasses import dataclass

import numpy as np

from snnsim.errors import InputError
from snnsim.kernels import cpu
from snnsim.registry import OPTIMIZERS, SCHEDULES


def constant(progress, decay=0.1, interval=0.5, final=0.0):
    """Give 1."""
    return 1.0


def step(progress, decay=0.1, interval=0.5, final=0.0):
    """Give ``decay`` to the number of intervals that are over."""
    return decay ** math.floor(progress / interval + 1e-12)


def cosine(progress, decay=0.1, interval=0.5, final=0.0):
    """Fall from 1 to ``final``."""
    return final + (1 - final) * (1 + math.cos(math.pi * progress)) / 2


def learning_rate(lr, schedule, progress, decay=0.1, interval=0.5, final=0.0):
    """Learning rate at a point of the run.

    Parameters
    ----------
    lr : float
    schedule : {"constant", "step", "cosine"} or the name of one's own
        ``step`` multiplies by ``decay`` after each ``interval`` of the run; ``cosine`` falls to ``final * lr``. One's
        own is a function of progress that gives the factor.
    progress : float
        Share of the run that is done, in [0, 1].
    decay, interval, final : float

    Returns
    -------
    float
    """
    factor = SCHEDULES.find(schedule)
    given = (progress,) if SCHEDULES.is_own(schedule) else (progress, decay, interval, final)
    value = lr * factor(*given)
    if not 0 <= value < math.inf:
        raise InputError(f"optimizer.schedule = {schedule!r}: learning rate {value} at {progress:.3g} of the run")
    return value


def _check(values):
    for key, value in values.items():
        if key in ("momentum", "beta1", "beta2") and not 0 <= value < 1:
            raise InputError(f"optimizer.{key} = {value}: must lie in [0, 1)")
        if not 0 <= value < np.inf:
            raise InputError(f"optimizer.{key} = {value}: must be a number of at least 0")


@dataclass(frozen=True)
class SGD:
    """Stochastic gradient descent with momentum.

    Parameters
    ----------
    momentum : float
        In [0, 1).
    weight_decay : float
        L2 term in the gradient.

    Raises
    ------
    InputError
        If a value is out of range.
    """

    momentum: float = 0.9
    weight_decay: float = 0.0

    name, slots = "sgd", ("first",)

    def __post_init__(self) -> None:
        _check(vars(self))

    def constants(self, lr: float, step: int) -> tuple:
        """Numbers that the update kernels take after the factor of the gradient, for the step-th update."""
        return lr, self.momentum, self.weight_decay

    kernel = staticmethod(cpu.sgd)


@dataclass(frozen=True)
class Adam:
    """Adam (Kingma & Ba 2015).

    Parameters
    ----------
    beta1, beta2 : float
        Decay of the means of gradients and of their squares, in [0, 1).
    epsilon : float
    weight_decay : float
        L2 term in the gradient; decoupled for :class:`AdamW`.

    Raises
    ------
    InputError
        If a value is out of range.
    """

    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    weight_decay: float = 0.0

    name, slots, decoupled = "adam", ("first", "second"), False

    def __post_init__(self) -> None:
        _check(vars(self))

    def constants(self, lr: float, step: int) -> tuple:
        """As :meth:`SGD.constants`."""
        rest1, rest2 = 1 - self.beta1**step, math.sqrt(1 - self.beta2**step)
        coupled = 0.0 if self.decoupled else self.weight_decay
        kept = 1 - lr * self.weight_decay if self.decoupled else 1.0
        return (
            lr * rest2 / rest1, self.beta1, self.beta2, 1 - self.beta1, 1 - self.beta2, self.epsilon * rest2, coupled,
            kept,
        )  # fmt: skip

    kernel = staticmethod(cpu.adam)


@dataclass(frozen=True)
class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019); parameters as of :class:`Adam`."""

    name, decoupled = "adamw", True


BUILT_IN = SGD | Adam


class Optimizer:
    """An optimiser's rule over tensors, with its slots.

    Parameters
    ----------
    name : str
        One of ``snnsim.registry.OPTIMIZERS``.
    weights : dict of str to ndarray
        By name; updated in place by :meth:`step`; C-contiguous.
    clip_norm : float
        Bound of the Euclidean norm of all gradients together; 0 for none.
    **settings
        Fields of :class:`SGD`, :class:`Adam` and :class:`AdamW`; each takes those that it has.

    Raises
    ------
    InputError
        If a value is out of range.
    """

    def __init__(self, name, weights, *, clip_norm=0.0, **settings):
        _check({"clip_norm": clip_norm, **settings})
        rule = OPTIMIZERS.find(name)
        self.name, self.weights, self.clip_norm = name, dict(weights), clip_norm
        if isinstance(rule, type) and issubclass(rule, BUILT_IN):
            rule = rule(**{key: settings[key] for key in rule.__dataclass_fields__ if key in settings})
        self.built_in = isinstance(rule, BUILT_IN)
        self._rule, self._update = rule, None if self.built_in else update_of(rule, name)
        self.steps = 0
        slots = rule.slots if self.built_in else list(inspect.signature(self._update).parameters)[4:]
        self.slots = {slot: {key: np.zeros_like(w) for key, w in self.weights.items()} for slot in slots}

    @property
    def first(self):
        """The first slot of a rule that comes with snnsim."""
        return self.slots["first"]

    @property
    def second(self):
        """The second slot; empty if it has none."""
        return self.slots.get("second", {})

    def constants(self, lr: float, step: int) -> tuple:
        """Numbers that the update kernels take after the factor of the gradient, for the step-th update."""
        return self._rule.constants(lr, step)

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
            slots = [slot[key] for slot in self.slots.values()]
            if not self.built_in:
                self._update(w, gradients[key] * w.dtype.type(scale), lr, self.steps, *slots)
                continue
            with np.errstate(over="ignore"):  # infinite weights are for the caller to find
                values = [w.dtype.type(v) for v in (scale, *self.constants(lr, self.steps))]
            self._rule.kernel(w.reshape(-1), gradients[key].reshape(-1), *(s.reshape(-1) for s in slots), *values)
        return norm

    def state(self):
        """Everything that a checkpoint needs, as a tree of arrays."""
        kept = {"first": {}, "second": {}} if self.built_in else {}
        return {"steps": self.steps, **kept, **self.slots}

    def load_state(self, state):
        """Continue from :meth:`state`."""
        self.steps = int(state["steps"])
        for name, slot in self.slots.items():
            for key, array in slot.items():
                array[...] = state[name][key]


def update_of(rule, name):
    """Update function of an optimiser of one's own.

    Raises
    ------
    InputError
        If there is none, or it takes too few parameters.
    """
    update = getattr(rule, "update", rule)
    if not callable(update):
        raise InputError(f"optimizer {name}: a {type(rule).__name__}: must be a function, or have a method update")
    parameters = list(inspect.signature(update).parameters)
    if len(parameters) < 4:
        raise InputError(f"optimizer {name}: update takes {', '.join(parameters)}; must take w, g, lr, step and slots")
    return update
