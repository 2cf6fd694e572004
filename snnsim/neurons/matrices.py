"""The linear motion of every neuron on a clock: a matrix and two vectors a step, and their derivatives.

Between spikes ``y = (v - v_leak, i, a)`` moves as ``dy/dt = A y + D u``; an input of unit weight adds the jump J; u is
a current into the membrane. A scheme's step is ``y_k = M ~y_{k-1} + b x_k + d u_k``. Derivatives by a constant are
those of these closed forms, by a complex step: exact to rounding.
"""

import numpy as np

TINY = 1e-30
"""Complex step."""
CONSTANTS = ("tau_mem", "tau_syn", "tau_a", "r", "c_a", "coupling")
"""What the motion depends on."""


def values_of(neuron, tensors=None, name=""):
    """Every constant of a population: the neuron's, or the tensor ``name.constant`` where there is one.

    What a neuron does not have is as if it had not: no adaptation (``beta = c_a = q = 0``), no threshold (inf).
    """
    values = {
        "v0": None, "i0": 0.0, "tau_syn": 1.0, "tau_a": 1.0, "beta": 0.0, "c_a": 0.0, "q": 0.0, "a0": 0.0,
        "t_ref": 0.0, "coupling": 0.0, "v_threshold": np.inf, "v_reset": 0.0, "v_leak": neuron.v_leak,
        "tau_mem": neuron.tau_mem,
    }  # fmt: skip
    if not neuron.has_threshold:
        values["v_reset"] = neuron.v_leak
    values |= neuron.numbers()
    for key in values:
        if tensors is not None and f"{name}.{key}" in tensors:
            values[key] = np.asarray(tensors[f"{name}.{key}"], np.float64)
    if values["v0"] is None:
        values["v0"] = values["v_leak"]
    return values


def step_of(values, size, filtered, dt, scheme, impulse="unit-area"):
    """One step of every neuron of a population.

    Parameters
    ----------
    values : dict of str to float or ndarray
        From :func:`values_of`; may be complex.
    size : int
        Number of neurons N.
    filtered : bool
        Whether input goes into the current, else into the membrane (weights are then jumps of it).
    dt : float
    scheme : {"forward_euler", "backward_euler", "exact", "bilinear"}
    impulse : {"unit-area", "unit-height", "unit-jump"}

    Returns
    -------
    m : ndarray, (N, 3, 3)
    b, d : ndarray, (N, 3)
    """
    tau_mem, tau_syn, tau_a, r, c_a, coupling = (
        np.broadcast_to(np.asarray(values[key]), (size,)) for key in CONSTANTS
    )
    kind = np.result_type(tau_mem, tau_syn, tau_a, r, c_a, coupling, np.float64)
    a, jump, flow = np.zeros((size, 3, 3), kind), np.zeros((size, 3), kind), np.zeros((size, 3), kind)
    leaky = np.isfinite(tau_mem)
    # Without leak the membrane is the integral of r u.
    rate = 1 / np.where(leaky, tau_mem, 1)
    a[:, 0, 0] = np.where(leaky, -rate, 0)
    a[:, 0, 1], a[:, 0, 2] = r * rate * filtered, -r * c_a * rate
    a[:, 1, 1], a[:, 2, 2], a[:, 2, 0] = -1 / tau_syn, -1 / tau_a, coupling / tau_a
    if filtered:
        jump[:, 1] = {"unit-area": 1.0, "unit-height": dt, "unit-jump": tau_syn}[impulse] / tau_syn
    else:
        jump[:, 0] = dt if impulse == "unit-height" else 1.0
    flow[:, 0] = r * rate
    one = np.eye(3)
    if scheme == "exact":
        m = _exponential(a, dt, tau_mem, tau_syn, tau_a, leaky, rate)
        integral = np.where(leaky[:, None], _solved(a, m, flow, leaky), dt * flow)
        return m, jump, integral
    if scheme == "forward_euler":
        return one + dt * a, jump, dt * flow
    share = 1.0 if scheme == "backward_euler" else 0.5
    inverse = np.linalg.inv(one - share * dt * a)
    m = inverse if share == 1 else inverse @ (one + share * dt * a)
    return m, (inverse @ jump[..., None])[..., 0], dt * (inverse @ flow[..., None])[..., 0]


def derivatives(values, size, filtered, dt, scheme, impulse, name):
    """Differentiate a step by one constant, in the shapes of :func:`step_of`."""
    moved = np.broadcast_to(np.asarray(values[name], np.float64), (size,)) + 1j * TINY
    return tuple(part.imag / TINY for part in step_of(values | {name: moved}, size, filtered, dt, scheme, impulse))


def _exponential(a, dt, tau_mem, tau_syn, tau_a, leaky, rate):
    if np.any(a[:, 2, 0] != 0):
        from scipy.linalg import expm

        return expm(dt * a)
    m = np.zeros_like(a)
    m[:, 0, 0] = np.where(leaky, np.exp(-dt * rate), 1)
    m[:, 1, 1], m[:, 2, 2] = np.exp(-dt / tau_syn), np.exp(-dt / tau_a)
    for column, tau in ((1, tau_syn), (2, tau_a)):
        m[:, 0, column] = a[:, 0, column] * dt * m[:, 0, 0] * _mean_decay(dt * (1 / tau - rate))
    return m


def _solved(a, m, flow, leaky):
    """``A^-1 (M - 1) D``: a constant current over a step."""
    regular = np.where(leaky[:, None, None], a, np.eye(3))
    return np.linalg.solve(regular, ((m - np.eye(3)) @ flow[..., None]))[..., 0]


def _mean_decay(x):
    """``int_0^1 e^{-x s} ds``, by its series where the closed form's derivative would lose digits."""
    series = np.ones_like(x)
    for n in range(20, 0, -1):
        series = 1 - x / (n + 1) * series
    far = np.abs(x) > 1
    large = np.where(far, x, 1)
    return np.where(far, -np.expm1(-large) / large, series)
