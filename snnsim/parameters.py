"""Coefficients of the schemes for plain neurons, and what engines can run; neurons are in :mod:`snnsim.neurons`."""

import numpy as np

from snnsim.arguments import number
from snnsim.dynamics import schemes
from snnsim.errors import InputError, check_names
from snnsim.neurons import ALIF, IF, LI, LIF, AdLIF, DeltaLIF, LIFParameters, TwoSynapseLIF, neuron_from, settings

__all__ = [
    "ALIF",
    "IF",
    "IMPULSES",
    "LI",
    "LIF",
    "SCHEMES",
    "AdLIF",
    "DeltaLIF",
    "LIFParameters",
    "TwoSynapseLIF",
    "check_continuous",
    "check_on_clock",
    "neuron_from",
    "scheme_coefficients",
    "settings",
]

SCHEMES = {
    "forward_euler": schemes.forward_euler,
    "backward_euler": schemes.backward_euler,
    "exact": schemes.exact,
    "bilinear": schemes.bilinear,
}
IMPULSES = ("unit-area", "unit-height", "unit-jump")
FURTHEST = 1e12
"""Factor between the time constants of a layer that engines in continuous time allow."""


def check_on_clock(neuron, dt, scheme, where):
    """Refuse neurons that a clock of trainings cannot run; ``where`` begins the message.

    Raises
    ------
    InputError
        For a model of simulations without trials, an unknown scheme, a non-positive dt, or dt outside forward Euler's
        stability bound.
    """
    check_names("scheme", [scheme], SCHEMES)
    number("dt", dt, above=0)
    if not neuron.on_clock:
        raise InputError(f"{where}: {neuron.kind}: is for simulations without trials (--duration)")
    taus = [getattr(neuron, name) for name in ("tau_mem", "tau_syn", "tau_a") if hasattr(neuron, name)]
    bound = 2 * min(float(np.min(tau)) for tau in taus)
    if scheme == "forward_euler" and dt >= bound:
        raise InputError(
            f"dt = {dt}: forward Euler is stable only for dt < 2 min(tau_mem, tau_syn) = {bound:g}"
            if len(taus) < 3
            else f"dt = {dt}: forward Euler is stable only for dt < 2 min(tau_mem, tau_syn, tau_a) = {bound:g}"
        )


def check_continuous(parameters):
    """Refuse a layer that engines in continuous time cannot simulate exactly.

    Beyond :data:`FURTHEST` the instant of a membrane's maximum is lost in the rounding of the two rates' difference.

    Raises
    ------
    InputError
        For ``reset = "none"``, or time constants too far apart.
    """
    if parameters.reset == "none" and parameters.has_threshold:
        raise InputError(
            "reset = 'none': engines event and hybrid allow hard and subtract, since a membrane that stays above "
            "threshold has no next crossing"
        )
    if np.any(np.asarray(getattr(parameters, "coupling", 0.0)) != 0):
        raise InputError(
            f"coupling = {parameters.coupling}: engines event and hybrid have no membrane that drives its adaptation; "
            "use engine clock"
        )
    if not parameters.filtered:
        return
    ratio = np.asarray(parameters.tau_syn) / np.asarray(parameters.tau_mem)
    if not np.all((ratio >= 1 / FURTHEST) & (ratio <= FURTHEST)):
        raise InputError(
            f"tau_syn = {parameters.tau_syn}: engines event and hybrid take time constants up to a factor "
            f"{FURTHEST:g} apart; tau_mem is {parameters.tau_mem}"
        )


def scheme_coefficients(parameters, dt, scheme="backward_euler", impulse="unit-area"):
    """Coefficients ``(a_ii, b_i, a_vv, a_vi, b_v)`` of a scheme as Python floats.

    Parameters
    ----------
    parameters : LIFParameters or LI
        With one number each; ``snnsim.neurons.matrices.step_of`` has those of every neuron.
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
    check_names("impulse", [impulse], IMPULSES)
    check_on_clock(parameters, dt, scheme, "neurons")
    if type(parameters) not in (LIFParameters, LI) or parameters.size is not None:
        name = type(parameters).__name__.removesuffix("Parameters")
        raise InputError(f"{name}: must be LIF or LI with one number each")
    values = float(dt), float(parameters.tau_mem), float(parameters.tau_syn), float(parameters.r)
    try:
        a_ii, b_i, a_vv, a_vi, b_v = SCHEMES[scheme](*values)
    except (OverflowError, ZeroDivisionError) as error:
        raise InputError(
            f"dt = {dt:g}: cannot be reckoned with tau_mem = {values[1]:g} and tau_syn = {values[2]:g}, too far apart"
        ) from error
    area = {"unit-area": 1.0, "unit-height": dt, "unit-jump": parameters.tau_syn}[impulse]
    return a_ii, b_i * area, a_vv, a_vi, b_v * area
