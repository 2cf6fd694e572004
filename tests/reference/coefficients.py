"""Parameters of a layer as plain floats, and each scheme's coefficients from matrices instead of formulas."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from scipy.linalg import expm


class Neuron(NamedTuple):
    """Parameters of a layer; voltages relative to rest."""

    tau_mem: float
    tau_syn: float
    r: float
    v_threshold: float
    v_reset: float
    reset: str

    def after_spike(self, v):
        """Membrane after a spike at membrane ``v``."""
        return {"hard": self.v_reset, "subtract": v - (self.v_threshold - self.v_reset), "none": v}[self.reset]

    def slope(self, v, i):
        """``dv/dt`` of the membrane equation (eq 1)."""
        return (self.r * i - v) / self.tau_mem

    @property
    def system(self):
        """``A`` of ``d(v, i)/dt = A (v, i)``, (2, 2)."""
        return np.array([[-1 / self.tau_mem, self.r / self.tau_mem], [0, -1 / self.tau_syn]])

    @property
    def input_jump(self):
        """What a unit-area impulse of weight one adds to ``(v, i)``, (2,)."""
        return np.array([0, 1 / self.tau_syn])


def neuron_of(parameter):
    """`Neuron` of a mapping or an object with attributes."""
    if isinstance(parameter, Neuron):
        return parameter

    def get(name, *default):
        if isinstance(parameter, Mapping):
            return parameter.get(name, *default) if default else parameter[name]
        return getattr(parameter, name, *default)

    rest = float(get("v_leak", 0.0))
    reset = get("reset", "hard")
    if reset not in ("hard", "subtract", "none"):
        raise ValueError(f"reset = {reset!r}")
    return Neuron(
        float(get("tau_mem")),
        float(get("tau_syn")),
        float(get("r")),
        float(get("v_threshold")) - rest,
        float(get("v_reset")) - rest,
        reset,
    )


def neurons_of(parameters, n_layers):
    """One `Neuron` a layer, from a list or from one entry that serves every layer."""
    if isinstance(parameters, (list, tuple)) and not isinstance(parameters, Neuron):
        if len(parameters) != n_layers:
            raise ValueError(f"{len(parameters)} parameter sets for {n_layers} layers")
        return [neuron_of(p) for p in parameters]
    return [neuron_of(parameters)] * n_layers


def coefficients(parameter, dt, scheme="backward_euler", impulse="unit-area"):
    """``(a_ii, b_i, a_vv, a_vi, b_v)`` of one step of ``y' = A y`` plus impulses (eqs 12-14)."""
    neuron = neuron_of(parameter)
    a, jump, one = neuron.system, neuron.input_jump, np.eye(2)
    if scheme == "forward_euler":  # y_k = y_{k-1} + dt A y_{k-1} + jump x
        step, into = one + dt * a, jump
    elif scheme == "backward_euler":  # y_k = y_{k-1} + dt A y_k + jump x
        step, into = np.linalg.inv(one - dt * a), np.linalg.solve(one - dt * a, jump)
    elif scheme == "bilinear":  # y_k = y_{k-1} + dt A (y_k + y_{k-1})/2 + jump x
        step, into = (
            np.linalg.solve(one - dt / 2 * a, one + dt / 2 * a),
            np.linalg.solve(one - dt / 2 * a, jump),
        )
    elif scheme == "exact":
        step, into = expm(dt * a), jump
    else:
        raise ValueError(f"scheme = {scheme!r}")
    into = into * {"unit-area": 1.0, "unit-height": dt}[impulse]
    return float(step[1, 1]), float(into[1]), float(step[0, 0]), float(step[0, 1]), float(into[0])
