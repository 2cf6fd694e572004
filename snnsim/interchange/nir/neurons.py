"""Nodes of neurons and our models, in both directions."""

import numpy as np

from snnsim.errors import InputError
from snnsim.interchange.nir.values import UNITS, one_or_each, short, tidy
from snnsim.neurons import IF, LI, DeltaLI, DeltaLIF, Integrator, LIFParameters
from snnsim.neurons.matrices import step_of, values_of

SNNTORCH_STEP = 1e-4
"""Step that snnTorch's reader assumes, in the file's unit, whatever the network's is."""
INSTANT = 1e-9
"""``tau_mem`` in ms of the membrane that stands for a Threshold, which remembers nothing."""
MODELS = {
    "CubaLIF": LIFParameters,
    "CubaLI": LI,
    "LIF": DeltaLIF,
    "LI": DeltaLI,
    "IF": IF,
    "I": Integrator,
    "Threshold": DeltaLIF,
}
"""Our model of each node."""


class NeuronNode:
    """A neuron node of NIR with the constants of its neurons, each (N,) float64.

    Parameters
    ----------
    node : nir.NIRNode
    order : ndarray, (N,) int
        Our number of each neuron in the order of the file.
    where : str
        Begins every message.
    """

    def __init__(self, node, order, where):
        self.kind = type(node).__name__
        size = len(order)
        self.where, self.size, self.model = f"{where} ({self.kind})", size, MODELS[self.kind]
        self._order = order
        self.filtered, self.spiking = self.model.filtered, self.model.has_threshold
        self.leaky = self.kind not in ("IF", "I", "Threshold")
        tau = "tau_mem" if self.filtered else "tau"
        self.tau_mem = self._positive(tau, node) if self.leaky else None
        self.tau_syn = self._positive("tau_syn", node) if self.filtered else None
        self.r = np.ones(size) if self.kind == "Threshold" else self._positive("r", node)
        self.w_in = self._values("w_in", node) if self.filtered else np.ones(size)
        self.v_leak = self._values("v_leak", node) if self.leaky else np.zeros(size)
        if self.spiking:
            self.v_threshold = self._values("threshold" if self.kind == "Threshold" else "v_threshold", node)
            self.v_reset = np.zeros(size) if self.kind == "Threshold" else self._values("v_reset", node)
            if np.any(self.v_reset >= self.v_threshold):
                raise InputError(f"{self.where}: v_reset must lie below v_threshold")
        about = getattr(node, "metadata", None) or {}
        self.start = {key: self._values(key, about, about.get) for key in ("v0", "i0") if key in about}

    def _values(self, key, node, get=None):
        try:
            values = np.ravel(np.asarray(get(key) if get else getattr(node, key), np.float64))
        except (TypeError, ValueError):
            raise InputError(f"{self.where}: {key} must be numbers") from None
        if values.size not in (1, self.size) or not np.isfinite(values).all():
            raise InputError(f"{self.where}: {key} must be one finite number, or one for each of {self.size} neurons")
        ours = np.empty(self.size)
        ours[self._order] = values
        return ours

    def _positive(self, key, node):
        values = self._values(key, node)
        if values.min() <= 0:
            raise InputError(f"{self.where}: {key} = {values.min():g}: must be positive")
        return values

    def ours(self, unit, convention, dt, scheme):
        """Our neuron, factors of the weights into it, (N,), and what a constant input of 1 is.

        Parameters
        ----------
        unit : float
            Milliseconds in the file's unit.
        convention : {"dirac", "per-step", "jump"}
        dt : float or None
        scheme : str or None
            Whose steps are to be those of ``1 - dt/tau``; None for the equations.

        Returns
        -------
        neuron : Neuron
        gain : ndarray, (N,)
        bias, i0 : ndarray, (N,)
            Current into the membrane, and initial synaptic current, by a constant input of 1.
        """
        tau_mem = tidy(self.tau_mem, unit) if self.leaky else None
        tau_syn = tidy(self.tau_syn, unit) if self.filtered else None
        area = {"dirac": unit, "per-step": dt, "jump": tau_syn if self.filtered else dt or unit}[convention]
        r, bias, i0 = self.r, np.ones(self.size), np.zeros(self.size)
        if self.filtered:
            # Where I jumps by the weight, it does so in every step.
            each = tau_syn / dt if convention == "jump" and dt else 1.0
            gain, bias, i0 = self.w_in * area, self.w_in * each, -self.w_in * each
        elif self.kind == "Threshold":
            if scheme not in (None, "exact"):
                raise InputError(
                    f"{self.where}: remembers nothing, which the scheme exact alone can; scheme = {scheme!r}"
                )
            gain, tau_mem = np.ones(self.size), np.full(self.size, INSTANT)
        elif self.leaky:
            gain = r * area / tau_mem
        else:
            gain, r = r * area / unit, r / unit
        if scheme is not None and self.kind != "Threshold":
            tau_mem, tau_syn, factor = self._matched(tau_mem, tau_syn, r, dt, scheme)
            gain = gain * factor
        given = {"tau_mem": tau_mem, "tau_syn": tau_syn, "r": r, "v_leak": self.v_leak}
        if self.spiking:
            given |= {"v_threshold": self.v_threshold, "v_reset": self.v_reset}
        given |= self.start
        given = {key: one_or_each(value) for key, value in given.items() if key in self.model.constants()}
        return self.model(**given), gain, bias, i0

    def _matched(self, tau_mem, tau_syn, r, dt, scheme):
        """Time constants and factor of the weights with which a scheme takes the steps ``1 - dt/tau``."""
        taus = [tau for tau in (tau_mem, tau_syn) if tau is not None]
        if any(np.any(tau <= dt) for tau in taus):
            raise InputError(f"{self.where}: a time constant is not longer than dt = {dt:g}: no steps to match")
        if scheme == "backward_euler":
            made = [short(tau - dt) for tau in taus]
        elif scheme == "exact":
            made = [short(-dt / np.log1p(-dt / tau)) for tau in taus]
        else:
            made = [short(tau) for tau in taus]
        mem, syn = (made + [None, None])[:2] if self.leaky else (None, None)
        one = np.ones(self.size)
        values = {"tau_mem": np.inf if mem is None else mem, "tau_syn": one if syn is None else syn, "r": r}
        values |= {"tau_a": 1.0, "c_a": 0.0, "coupling": 0.0}
        m, b, _ = step_of(values, self.size, self.filtered, dt, scheme)
        if not self.filtered:
            return mem, syn, 1 / b[:, 0]
        if scheme == "backward_euler":
            return mem, syn, one
        # The same decays, and weights such that a spike lifts v as much.
        return mem, syn, (1 / tau_syn) * (r * dt / tau_mem) / (b[:, 1] * m[:, 0, 1])


def equations(neuron, size, bias):
    """Constants of a node whose equations are a neuron's, in seconds; a constant current shifts where v settles."""
    unit, v = UNITS["s"], values_of(neuron)
    shift = 0.0 if bias is None else v["r"] * bias
    found = {"v_threshold": v["v_threshold"], "v_reset": v["v_reset"], "v_leak": v["v_leak"] + shift}
    if neuron.filtered:
        tau = {"tau_syn": v["tau_syn"] / unit, "tau_mem": v["tau_mem"] / unit, "r": v["r"], "w_in": 1.0 / unit}
    elif neuron.tau_mem is np.inf or np.all(np.isinf(neuron.tau_mem)):
        if bias is not None and np.any(bias):
            raise InputError("a constant current into neurons without leak, which NIR's have not")
        tau, found = {"r": 1.0}, {key: found[key] for key in ("v_threshold", "v_reset")}
    else:
        tau = {"tau": v["tau_mem"] / unit, "r": v["tau_mem"] / unit}
    return {key: np.array(np.broadcast_to(value, size), np.float64) for key, value in (found | tau).items()}


def steps(neuron, size, dialect, dt, scheme, notes):
    """Constants with which a reader that decays by ``1 - dt/tau`` takes our steps."""
    v = values_of(neuron)
    m, b, _ = step_of(v, size, neuron.filtered, dt, scheme)
    a_vv, b_v = m[:, 0, 0], b[:, 0]
    if scheme == "bilinear":
        raise InputError(f"scheme = {scheme!r}: no reader of NIR takes its steps; use the dialect nir")
    leak = np.all(np.isfinite(v["tau_mem"]))
    if np.any(a_vv <= 0) or (neuron.filtered and np.any(m[:, 1, 1] <= 0)):
        raise InputError(f"dt = {dt:g}: with {scheme} a state changes sign in a step, which {dialect} does not have")
    step = SNNTORCH_STEP if dialect == "snntorch" else dt / UNITS["s"]
    threshold, reset = v["v_threshold"] - v["v_leak"], v["v_reset"] - v["v_leak"]
    if np.any(reset != 0):
        most = float(np.ravel(reset)[np.argmax(np.abs(np.ravel(reset)))])
        notes.append(
            f"v_reset - v_leak = {most:g}: {dialect} does not read v_reset and resets to rest, so it spikes "
            f"{'later' if most > 0 else 'earlier'} after a spike"
        )
    found = {"v_threshold": threshold, "v_reset": reset}
    if neuron.filtered:
        a_ii, b_i = m[:, 1, 1], b[:, 1]
        gain = b_v / b_i
        if scheme != "backward_euler":
            gain = m[:, 0, 1]
            notes.append(f"{scheme}: every layer of {dialect} spikes one step earlier than ours, in the same pattern")
        tau_syn, tau_mem = step / (1 - a_ii), step / (1 - a_vv)
        # R I enters only as a product. snnTorch insists on R = tau_mem/step, so the rest of the gain goes into w_in.
        r = tau_mem / step if dialect == "snntorch" else v["r"]
        w_in = b_i * (tau_syn / step) * gain * (tau_mem / step) / r
        found |= {"tau_syn": tau_syn, "tau_mem": tau_mem, "r": r, "w_in": w_in, "v_leak": 0.0}
    elif leak:
        tau = step / (1 - a_vv)
        found |= {"tau": tau, "r": tau / step * b_v, "v_leak": 0.0}
    else:
        found |= {"r": 1.0 / step * b_v}
    return {key: np.array(np.broadcast_to(value, size), np.float64) for key, value in found.items()}


def node_of(nir, neuron, constants):
    """NIR's node of one of our neurons."""
    kind = next(kind for kind, model in MODELS.items() if type(neuron) is model)
    if not neuron.has_threshold:
        constants = {key: value for key, value in constants.items() if key not in ("v_threshold", "v_reset")}
    return getattr(nir, kind)(**constants)
