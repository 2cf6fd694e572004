"""Neuron parameters: a frozen dataclass, validated once, that every engine reads."""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from snnsim.arguments import made_array, number
from snnsim.dynamics import schemes
from snnsim.dynamics.lif import RESET_HARD, RESET_NONE, RESET_SUBTRACT
from snnsim.errors import InputError, check_names

RESETS = {"hard": RESET_HARD, "subtract": RESET_SUBTRACT, "none": RESET_NONE}
SCHEMES = {
    "forward_euler": schemes.forward_euler,
    "backward_euler": schemes.backward_euler,
    "exact": schemes.exact,
    "bilinear": schemes.bilinear,
}
IMPULSES = ("unit-area", "unit-height", "unit-jump")
FURTHEST = 1e12
"""Factor between the time constants of a layer that engines in continuous time allow."""

POSITIVE = ("tau_mem", "tau_syn", "tau_a", "r")
OPTIONAL = ("t_ref", "v0", "i0")
"""Fields that a description may leave out."""
NOT_NEGATIVE = ("t_ref", "beta", "c_a", "q", "a0")


class _Neuron:
    """What all neurons share: every field but ``reset`` is a number, or one a neuron, (N,) float64, read-only."""

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

    @property
    def size(self) -> int | None:
        """Number of neurons that the values are given for; None if there is one for all."""
        return next((len(value) for value in self.numbers().values() if np.ndim(value)), None)

    @property
    def start(self) -> Any:
        """Initial membrane."""
        return self.v_leak if self.v0 is None else self.v0


def _check(name, array, fits, names, text):
    if name in names and not fits.all():
        at = int(np.flatnonzero(~fits)[0])
        raise InputError(f"{name}[{at}] = {array[at]}: {text}")


@dataclass(frozen=True, eq=False)
class LIFParameters(_Neuron):
    """Parameters of LIF neurons with synaptic filter (study eqs 1-8).

    ``tau_mem dv/dt = -(v - v_leak) + r i``, ``tau_syn di/dt = -i + sum w delta(t - t_j)``; a spike when ``v`` reaches
    ``v_threshold`` from below. Time constants share the unit of ``dt``; voltages share one unit.

    Parameters
    ----------
    tau_mem, tau_syn : float or (N,) array_like
        Time constants of membrane and synapse, > 0. Every number may be one a neuron.
    r : float
        Membrane resistance, > 0.
    v_threshold, v_reset, v_leak : float
        Threshold, value after a hard reset, and resting value; ``v_reset < v_threshold``.
    reset : {"hard", "subtract", "none"}
        ``hard`` sets v to ``v_reset``, ``subtract`` lowers it by ``v_threshold - v_reset``, ``none`` leaves it.
    t_ref : float
        Time for which the membrane is held at ``v_reset`` after a spike, >= 0.
    v0 : float, optional
        Initial membrane; ``v_leak`` if None.
    i0 : float
        Initial current.

    Raises
    ------
    InputError
        If a value is out of range.
    """

    tau_mem: float | Any = 0.8
    tau_syn: float | Any = 0.6
    r: float | Any = 1.2
    v_threshold: float | Any = 1.0
    v_reset: float | Any = 0.0
    v_leak: float | Any = 0.0
    reset: str = "hard"
    t_ref: float | Any = 0.0
    v0: float | Any | None = None
    i0: float | Any = 0.0

    def __post_init__(self):
        super().__post_init__()
        if not isinstance(self.reset, str) or self.reset not in RESETS:
            raise InputError(f"reset = {self.reset!r}: must be one of {', '.join(RESETS)}")
        if not np.all(np.less(self.v_reset, self.v_threshold)):
            raise InputError(f"v_reset = {self.v_reset}: must lie below v_threshold = {self.v_threshold}")

    @property
    def plain(self) -> bool:
        """Whether it is the neuron of the layer kernels: one number each, at rest at first, silent without input."""
        return (
            type(self) is LIFParameters
            and self.size is None
            and self.t_ref == 0
            and self.i0 == 0
            and self.start == self.v_leak < self.v_threshold
        )

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

    def leaky(self) -> "LI":
        """Give the same membrane and synapse without a threshold."""
        return LI(self.tau_mem, self.tau_syn, self.r, self.v_leak, self.v0, self.i0)


@dataclass(frozen=True, eq=False)
class ALIF(LIFParameters):
    """LIF neurons whose threshold adapts: a spike when ``v - beta a`` reaches ``v_threshold``.

    ``tau_a da/dt = -a``, and ``a`` grows by ``q`` with every own spike.

    Parameters
    ----------
    tau_a : float or (N,) array_like
        Time constant of adaptation, > 0.
    beta : float
        Threshold per adaptation, >= 0.
    q : float
        Growth of the adaptation with a spike, >= 0.
    a0 : float
        Initial adaptation, >= 0.

    Other parameters are those of :class:`LIFParameters`.
    """

    tau_a: float | Any = 2.0
    beta: float | Any = 0.2
    q: float | Any = 1.0
    a0: float | Any = 0.0


@dataclass(frozen=True, eq=False)
class AdLIF(LIFParameters):
    """LIF neurons with a current of adaptation: ``tau_mem dv/dt = -(v - v_leak) + r (i - c_a a)``.

    ``tau_a da/dt = -a``, and ``a`` grows by ``q`` with every own spike.

    Parameters
    ----------
    tau_a : float or (N,) array_like
        Time constant of adaptation, > 0.
    c_a : float
        Current per adaptation, >= 0.
    q : float
        Growth of the adaptation with a spike, >= 0.
    a0 : float
        Initial adaptation, >= 0.

    Other parameters are those of :class:`LIFParameters`.
    """

    tau_a: float | Any = 2.0
    c_a: float | Any = 0.2
    q: float | Any = 1.0
    a0: float | Any = 0.0


@dataclass(frozen=True, eq=False)
class LI(_Neuron):
    """Leaky integrators with synaptic filter: a readout without threshold.

    Parameters
    ----------
    tau_mem, tau_syn, r : float or (N,) array_like
        As of :class:`LIFParameters`.
    v_leak : float
        Resting value.
    v0, i0 : float
        As of :class:`LIFParameters`.

    Raises
    ------
    InputError
        If a value is out of range.
    """

    tau_mem: float | Any = 0.8
    tau_syn: float | Any = 0.6
    r: float | Any = 1.2
    v_leak: float | Any = 0.0
    v0: float | Any | None = None
    i0: float | Any = 0.0

    v_threshold = threshold = float("inf")
    v_reset = reset_value = 0.0
    reset, reset_mode = "none", RESET_NONE

    def __post_init__(self):
        super().__post_init__()
        if self.plain:
            self.spiking()

    def spiking(self) -> LIFParameters:
        """Give the same membrane and synapse with a threshold one above rest."""
        return LIFParameters(self.tau_mem, self.tau_syn, self.r, self.v_leak + 1, self.v_leak, self.v_leak)

    @property
    def plain(self) -> bool:
        """Whether it is the readout of the layer kernels: one number each, at rest at first."""
        return self.size is None and self.i0 == 0 and self.start == self.v_leak


LIF = LIFParameters


def neuron_from(fields):
    """Neuron parameters from a dictionary of them, as :func:`settings` gives: without a threshold, a readout."""
    if "v_threshold" not in fields:
        return LI(**fields)
    return (ALIF if "beta" in fields else AdLIF if "c_a" in fields else LIFParameters)(**fields)


def settings(neuron):
    """Give the fields of a neuron as JSON and TOML have them, without the optional ones that are at their default."""
    values = {f.name: (np.asarray(getattr(neuron, f.name)).tolist(), f.default) for f in fields(neuron)}
    return {name: v for name, (v, default) in values.items() if name not in OPTIONAL or v != default}



def check_continuous(parameters):
    """Refuse a layer that engines in continuous time cannot simulate exactly.

    Beyond :data:`FURTHEST` the instant of a membrane's maximum is lost in the rounding of the two rates' difference.

    Raises
    ------
    InputError
        For ``reset = "none"``, or time constants too far apart.
    """
    if parameters.reset == "none":
        raise InputError(
            "reset = 'none': engines event and hybrid allow hard and subtract, since a membrane that stays above "
            "threshold has no next crossing"
        )
    ratio = parameters.tau_syn / parameters.tau_mem
    if not 1 / FURTHEST <= ratio <= FURTHEST:
        raise InputError(
            f"tau_syn = {parameters.tau_syn:g}: engines event and hybrid take time constants up to a factor "
            f"{FURTHEST:g} apart; tau_mem is {parameters.tau_mem:g}"
        )


class _Untrained:
    """Neurons of simulations without trials: one number each."""

    size, plain = None, False


@dataclass(frozen=True)
class RefractoryLIF(_Untrained):
    """LIF neurons with synaptic filter and an absolute refractory period, for simulations without trials.

    Parameters
    ----------
    tau_mem, tau_syn, r, v_threshold, v_reset, v_leak, reset
        As of :class:`LIFParameters`.
    t_ref : float
        Time for which v is held after a spike, at least 0.

    Raises
    ------
    InputError
        If a value is out of range.
    """

    tau_mem: float | Any = 10.0
    tau_syn: float | Any = 0.5
    r: float | Any = 1.0
    v_threshold: float | Any = 1.0
    v_reset: float | Any = 0.0
    v_leak: float | Any = 0.0
    t_ref: float | Any = 0.0
    reset: str = "hard"

    threshold, reset_value = LIFParameters.threshold, LIFParameters.reset_value

    def __post_init__(self):
        check_t_ref(self.t_ref)
        _without_refractoriness(self, self.tau_syn)


@dataclass(frozen=True)
class TwoSynapseLIF(_Untrained):
    """LIF neurons with one synaptic current for positive weights and one for negative, for simulations without trials.

    ``tau_mem dv/dt = -(v - v_leak) + r (i_exc + i_inh)``; each current decays with a time constant of its own.

    Parameters
    ----------
    tau_mem, r, v_threshold, v_reset, v_leak, reset
        As of :class:`LIFParameters`.
    tau_exc, tau_inh : float
        Time constants of the synapses with positive and negative weights, > 0.
    t_ref : float
        Time for which v is held after a spike, at least 0.

    Raises
    ------
    InputError
        If a value is out of range.
    """

    tau_mem: float | Any = 10.0
    tau_exc: float = 0.5
    tau_inh: float = 0.5
    r: float | Any = 1.0
    v_threshold: float | Any = 1.0
    v_reset: float | Any = 0.0
    v_leak: float | Any = 0.0
    t_ref: float | Any = 0.0
    reset: str = "hard"

    threshold, reset_value = LIFParameters.threshold, LIFParameters.reset_value

    def __post_init__(self):
        check_t_ref(self.t_ref)
        for name in ("tau_exc", "tau_inh"):
            number(name, getattr(self, name), above=0)
        self.synapse(excitatory=True)

    def synapse(self, excitatory: bool) -> LIFParameters:
        """Give the same neuron with one of its synapses, LIFParameters."""
        return _without_refractoriness(self, self.tau_exc if excitatory else self.tau_inh)


@dataclass(frozen=True)
class DeltaLIF(_Untrained):
    """LIF neurons without a synaptic filter, for simulations without trials: a spike moves the membrane by its weight.

    ``tau_mem dv/dt = -(v - v_leak) + r i_ext``; what arrives while v is held is lost.

    Parameters
    ----------
    tau_mem, r, v_threshold, v_reset, v_leak, reset
        As of :class:`LIFParameters`.
    t_ref : float
        Time for which v is held after a spike, at least 0.

    Raises
    ------
    InputError
        If a value is out of range.
    """

    tau_mem: float | Any = 20.0
    r: float | Any = 1.0
    v_threshold: float | Any = 1.0
    v_reset: float | Any = 0.0
    v_leak: float | Any = 0.0
    t_ref: float | Any = 0.0
    reset: str = "hard"

    threshold, reset_value = LIFParameters.threshold, LIFParameters.reset_value

    def __post_init__(self):
        check_t_ref(self.t_ref)
        _without_refractoriness(self, self.tau_mem)


def check_t_ref(t_ref):
    """Raise InputError unless a refractory period is a time."""
    number("t_ref", t_ref, least=0)


def _without_refractoriness(p, tau_syn):
    return LIFParameters(p.tau_mem, tau_syn, p.r, p.v_threshold, p.v_reset, p.v_leak, p.reset)


def scheme_coefficients(parameters, dt, scheme="backward_euler", impulse="unit-area"):
    """Coefficients ``(a_ii, b_i, a_vv, a_vi, b_v)`` of a scheme as Python floats.

    Parameters
    ----------
    parameters : LIFParameters
    dt : float
        Step size, > 0, in the unit of the time constants.
    scheme : {"forward_euler", "backward_euler", "exact", "bilinear"}
    impulse : {"unit-area", "unit-height", "unit-jump"}
        What a discrete spike stands for: a Dirac impulse of unit area (the current jumps by about ``w/tau_syn``
        whatever dt is), or a pulse of height one and length dt (everything scaled by dt), or a jump of the current by
        about ``w`` (everything scaled by tau_syn).

    Raises
    ------
    InputError
        For an unknown scheme or impulse, a non-positive dt, or dt outside forward Euler's stability bound.
    """
    check_names("scheme", [scheme], SCHEMES)
    check_names("impulse", [impulse], IMPULSES)
    dt = number("dt", dt, above=0)
    if not parameters.plain:
        raise InputError(
            f"{type(parameters).__name__}: a clock runs LIF and LI with one number each, at rest at first, without "
            "refractory period and adaptation; use the event or the hybrid engine"
        )
    bound = 2 * min(parameters.tau_mem, parameters.tau_syn)
    if scheme == "forward_euler" and dt >= bound:
        raise InputError(f"dt = {dt}: forward Euler is stable only for dt < 2 min(tau_mem, tau_syn) = {bound:g}")
    values = float(dt), float(parameters.tau_mem), float(parameters.tau_syn), float(parameters.r)
    try:
        a_ii, b_i, a_vv, a_vi, b_v = SCHEMES[scheme](*values)
    except (OverflowError, ZeroDivisionError) as error:
        raise InputError(
            f"dt = {dt:g}: cannot be reckoned with tau_mem = {values[1]:g} and tau_syn = {values[2]:g}, too far apart"
        ) from error
    area = {"unit-area": 1.0, "unit-height": dt, "unit-jump": parameters.tau_syn}[impulse]
    return a_ii, b_i * area, a_vv, a_vi, b_v * area
