"""Neuron parameters: a frozen dataclass, validated once, that every engine reads."""

from dataclasses import dataclass, fields

import numpy as np

from snnsim.dynamics import schemes
from snnsim.dynamics.lif import RESET_HARD, RESET_NONE, RESET_SUBTRACT
from snnsim.errors import InputError

RESETS = {"hard": RESET_HARD, "subtract": RESET_SUBTRACT, "none": RESET_NONE}
SCHEMES = {
    "forward_euler": schemes.forward_euler,
    "backward_euler": schemes.backward_euler,
    "exact": schemes.exact,
    "bilinear": schemes.bilinear,
}
IMPULSES = ("unit-area", "unit-height")


POSITIVE = ("tau_mem", "tau_syn", "tau_a", "r")
NOT_NEGATIVE = ("t_ref", "beta", "c_a", "q", "a0")


class _Neuron:
    """What all neurons share: every field but ``reset`` is a number, or one a neuron, (N,) float64, read-only."""

    def __post_init__(self):
        for name, value in self.numbers().items():
            array = np.asarray(value)
            if array.ndim:
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

    def numbers(self):
        """Values by name, without what is left to its default of rest."""
        values = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "reset"}
        return {name: value for name, value in values.items() if value is not None}

    @property
    def size(self):
        """Number of neurons that the values are given for; None if there is one for all."""
        return next((len(value) for value in self.numbers().values() if np.ndim(value)), None)

    @property
    def start(self):
        """Initial membrane."""
        return self.v_leak if self.v0 is None else self.v0


def _check(name, array, fits, names, text):
    if name in names and not fits.all():
        where = "" if array.ndim == 0 else f"[{int(np.flatnonzero(~fits)[0])}]"
        raise InputError(f"{name}{where} = {array.reshape(-1)[~fits.reshape(-1)][0]}: {text}")


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

    tau_mem: float = 0.8
    tau_syn: float = 0.6
    r: float = 1.2
    v_threshold: float = 1.0
    v_reset: float = 0.0
    v_leak: float = 0.0
    reset: str = "hard"
    t_ref: float = 0.0
    v0: float | None = None
    i0: float = 0.0

    def __post_init__(self):
        super().__post_init__()
        if self.reset not in RESETS:
            raise InputError(f"reset = {self.reset!r}: must be one of {', '.join(RESETS)}")
        if not np.all(np.less(self.v_reset, self.v_threshold)):
            raise InputError(f"v_reset = {self.v_reset}: must lie below v_threshold = {self.v_threshold}")

    @property
    def plain(self):
        """Whether it is the neuron of the layer kernels: one number each, at rest at first, silent without input."""
        return (
            type(self) is LIFParameters
            and self.size is None
            and self.t_ref == 0
            and self.i0 == 0
            and self.start == self.v_leak < self.v_threshold
        )

    @property
    def threshold(self):
        """``v_threshold - v_leak``: the kernels work relative to rest."""
        return self.v_threshold - self.v_leak

    @property
    def reset_value(self):
        """``v_reset - v_leak``."""
        return self.v_reset - self.v_leak

    @property
    def reset_mode(self):
        """The kernels' integer for ``reset``."""
        return RESETS[self.reset]

    def leaky(self):
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

    tau_a: float = 2.0
    beta: float = 0.2
    q: float = 1.0
    a0: float = 0.0


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

    tau_a: float = 2.0
    c_a: float = 0.2
    q: float = 1.0
    a0: float = 0.0


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

    tau_mem: float = 0.8
    tau_syn: float = 0.6
    r: float = 1.2
    v_leak: float = 0.0
    v0: float | None = None
    i0: float = 0.0

    threshold = float("inf")
    reset_value = 0.0
    reset_mode = RESET_NONE

    @property
    def plain(self):
        """Whether it is the readout of the layer kernels: one number each, at rest at first."""
        return self.size is None and self.i0 == 0 and self.start == self.v_leak


LIF = LIFParameters


def scheme_coefficients(parameters, dt, scheme="backward_euler", impulse="unit-area"):
    """Coefficients ``(a_ii, b_i, a_vv, a_vi, b_v)`` of a scheme as Python floats.

    Parameters
    ----------
    parameters : LIFParameters
    dt : float
        Step size, > 0, in the unit of the time constants.
    scheme : {"forward_euler", "backward_euler", "exact", "bilinear"}
    impulse : {"unit-area", "unit-height"}
        What a discrete spike stands for: a Dirac impulse of unit area (the current jumps by about ``w/tau_syn``
        whatever dt is), or a pulse of height one and length dt (everything scaled by dt).

    Raises
    ------
    InputError
        For an unknown scheme or impulse, a non-positive dt, or dt outside forward Euler's stability bound.
    """
    if scheme not in SCHEMES:
        raise InputError(f"scheme = {scheme!r}: must be one of {', '.join(SCHEMES)}")
    if impulse not in IMPULSES:
        raise InputError(f"impulse = {impulse!r}: must be one of {', '.join(IMPULSES)}")
    if not 0 < dt < float("inf"):
        raise InputError(f"dt = {dt}: must be a positive number")
    if not parameters.plain:
        raise InputError(
            f"{parameters!r}: a clock runs LIF and LI with one number each, at rest at first, without refractory "
            "period and adaptation; use the event or the hybrid engine"
        )
    bound = 2 * min(parameters.tau_mem, parameters.tau_syn)
    if scheme == "forward_euler" and dt >= bound:
        raise InputError(f"dt = {dt}: forward Euler is stable only for dt < 2 min(tau_mem, tau_syn) = {bound:g}")
    a_ii, b_i, a_vv, a_vi, b_v = SCHEMES[scheme](
        float(dt), float(parameters.tau_mem), float(parameters.tau_syn), float(parameters.r)
    )
    area = dt if impulse == "unit-height" else 1.0
    return a_ii, b_i * area, a_vv, a_vi, b_v * area
