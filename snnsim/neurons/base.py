"""What all neurons share: validated numbers, one for a population or one a neuron."""

from dataclasses import fields
from typing import Any

import numpy as np

from snnsim.arguments import made_array, number
from snnsim.errors import InputError, check_names

POSITIVE = ("tau_mem", "tau_syn", "tau_a", "r", "tau_exc", "tau_inh")
NOT_NEGATIVE = ("t_ref", "beta", "c_a", "q", "a0")
OPTIONAL = ("t_ref", "v0", "i0", "coupling")
"""Fields that a description leaves out at their default."""
LOGARITHMIC = ("tau_mem", "tau_syn", "tau_a")
"""Constants that are learnt as logarithms."""
RESETS = {"hard": 0, "subtract": 1, "none": 2}
"""The kernels' integers (:mod:`snnsim.dynamics.lif`)."""


class Neuron:
    """Base of a neuron: a frozen dataclass whose every field but ``reset`` is a number, or (N,) float64, read-only.

    Attributes
    ----------
    kind : str
        Name in configurations and files.
    has_threshold : bool
        Whether it spikes.
    filtered : bool
        Whether a spike arrives in a synaptic current; else it moves the membrane.
    continuous : bool
        Whether the event and the hybrid engine have it.
    on_clock : bool
        Whether the clock engine of trainings has it.
    without_trials : bool
        Whether simulations without trials have it.
    """

    kind = ""
    has_threshold = filtered = continuous = on_clock = True
    without_trials = False
    resets = tuple(RESETS)

    def __post_init__(self):
        for name, value in self.numbers().items():
            array = made_array(value)
            if array.ndim == 0:
                least = 0 if name in NOT_NEGATIVE else -np.inf
                above = 0 if name in POSITIVE else -np.inf
                object.__setattr__(self, name, number(name, value, least=least, above=above))
                continue
            if array.dtype.kind not in "iuf":
                raise InputError(f"{name}: {array.dtype} values: must be numbers")
            array = np.array(array, np.float64)
            array.flags.writeable = False
            object.__setattr__(self, name, array)
            if array.ndim > 1 or array.size == 0:
                raise InputError(f"{name}: shape {array.shape}: must be a number, or one a neuron")
            _check(name, array, np.isfinite(array) & (array > 0), POSITIVE, "must be a positive number")
            _check(name, array, np.isfinite(array) & (array >= 0), NOT_NEGATIVE, "must be a number of at least 0")
            _check(name, array, np.isfinite(array), (name,), "must be a finite number")
        sizes = {np.size(value): name for name, value in self.numbers().items() if np.ndim(value)}
        if len(sizes) > 1:
            texts = ", ".join(f"{name} has {size}" for size, name in sorted(sizes.items()))
            raise InputError(f"neuron parameters: one a neuron, but {texts}")
        if not self.has_threshold:
            return
        if not isinstance(self.reset, str) or self.reset not in self.resets:
            raise InputError(f"reset = {self.reset!r}: must be one of {', '.join(self.resets)}")
        if not np.all(np.less(self.v_reset, self.v_threshold)):
            raise InputError(f"v_reset = {self.v_reset}: must lie below v_threshold = {self.v_threshold}")

    def __eq__(self, other):
        return type(self) is type(other) and all(
            np.array_equal(getattr(self, f.name), getattr(other, f.name)) for f in fields(self)
        )

    def __hash__(self):
        return hash(tuple(v.tobytes() if isinstance(v, np.ndarray) else v for v in vars(self).values()))

    def numbers(self) -> dict[str, Any]:
        """Values by name, without a start that is rest."""
        values = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "reset"}
        return {name: value for name, value in values.items() if not (name == "v0" and value is None)}

    @classmethod
    def fields(cls) -> tuple[str, ...]:
        """Names of all that it has, ``reset`` included."""
        return tuple(f.name for f in fields(cls))

    @classmethod
    def constants(cls) -> tuple[str, ...]:
        """Names of all numbers that it has."""
        return tuple(f.name for f in fields(cls) if f.name != "reset")

    @property
    def size(self) -> int | None:
        """Number of neurons that the values are given for; None if there is one for all."""
        return next((len(value) for value in self.numbers().values() if np.ndim(value)), None)

    @property
    def start(self) -> Any:
        """Initial membrane."""
        return self.v_leak if self.v0 is None else self.v0

    @property
    def plain(self) -> bool:
        """Whether it is a neuron of the layer kernels: one number each, at rest at first, silent without input."""
        return False

    @property
    def threshold(self) -> Any:
        """``v_threshold - v_leak``: the kernels work relative to rest."""
        return self.v_threshold - self.v_leak

    @property
    def reset_value(self) -> Any:
        """``v_reset - v_leak``."""
        return self.v_reset - self.v_leak

    @property
    def reset_mode(self) -> int:
        """The kernels' integer for ``reset``."""
        return RESETS[self.reset]

    def of(self, n: int) -> "Neuron":
        """Give neuron n of a population, with one number each."""
        return self.with_numbers({name: float(value[n]) for name, value in self.numbers().items() if np.ndim(value)})

    def with_numbers(self, values: dict[str, Any]) -> "Neuron":
        """Give the same neuron with other numbers, by name."""
        kept = {f.name: getattr(self, f.name) for f in fields(self)}
        return type(self)(**{**kept, **values})


class Readout(Neuron):
    """Base of a neuron without threshold."""

    has_threshold = False
    v_threshold = threshold = float("inf")
    v_reset = reset_value = 0.0
    reset, reset_mode = "none", RESETS["none"]


def check_learnable(where, neuron, names):
    """Raise InputError unless a neuron has the constants of these names; ``where`` begins the message."""
    check_names(f"{where}: learn", names, ("bias", *neuron.constants()))


def _check(name, array, fits, names, text):
    if name in names and not fits.all():
        at = int(np.flatnonzero(~fits)[0])
        raise InputError(f"{name}[{at}] = {array[at]}: {text}")
