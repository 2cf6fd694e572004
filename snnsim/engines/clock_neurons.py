"""Neurons as the clock's loops take them, and the gradients of their constants through the coefficients of a step."""

import numpy as np

from snnsim.errors import InputError
from snnsim.neurons import adaptive, lif
from snnsim.neurons.base import RESETS
from snnsim.neurons.matrices import CONSTANTS, derivatives, step_of, values_of
from snnsim.parameters import scheme_coefficients

LEARNT = (*CONSTANTS, "v_threshold", "v_reset", "v_leak", "beta", "q", "v0", "i0", "a0")
"""Constants whose gradient a clock has; a refractory period is a whole number of steps there."""


def scalars_of(populations):
    """Choose the module of scalars that advances populations: :mod:`snnsim.neurons.adaptive` if one needs it."""
    for p in populations:
        if hasattr(p.neuron, "tau_a") or np.any(np.asarray(getattr(p.neuron, "t_ref", 0.0)) > 0):
            return adaptive
    return lif


class Cells:
    """Constants of one population, on a clock.

    Parameters
    ----------
    population : Population
    tensors : dict of str to ndarray
        Constants among them go before those of the neuron.
    dt, scheme, impulse
        As of :class:`~snnsim.engines.clock.ClockEngine`.
    """

    def __init__(self, population, tensors, dt, scheme, impulse):
        self.population, self.neuron, self.size = population, population.neuron, population.size
        self.dt, self.scheme, self.impulse = dt, scheme, impulse
        self.given = {key: name for name in tensors for key in _constant(name, population)}
        self.values = values_of(self.neuron, tensors, population.name)
        self._check(tensors)

    def _check(self, tensors):
        for key, name in self.given.items():
            if key not in LEARNT or key not in self.neuron.constants():
                raise InputError(f"tensor {name!r}: the clock has no gradient of it for {self.neuron.kind}")
            if np.shape(tensors[name]) not in ((), (self.size,)):
                raise InputError(f"{name}: shape {np.shape(tensors[name])}; must be () or ({self.size},)")
        if self.given:
            self.neuron.with_numbers({key: _plain(self.values[key]) for key in self.given})

    def relative(self, key):
        """Take a voltage relative to rest."""
        return self.values[key] - self.values["v_leak"]

    def constants(self, module):
        """Constants by the names of a module's ``Constants``, numbers or (N,) float64."""
        v, single = self.values, self.neuron.size is None and not self.given
        held = np.rint(np.asarray(v["t_ref"]) / self.dt)
        common = {
            "v_threshold": self.relative("v_threshold"), "v_reset": self.relative("v_reset"), "r": v["r"],
            "reset": RESETS[self.neuron.reset], "tau_mem": v["tau_mem"], "tau_syn": v["tau_syn"], "dt": self.dt,
        }  # fmt: skip
        if module is lif and single and self.neuron.filtered:
            a_ii, b_i, a_vv, a_vi, b_v = scheme_coefficients(self.neuron, self.dt, self.scheme, self.impulse)
            found = {"a_ii": a_ii, "b_i": b_i, "a_vv": a_vv, "a_vi": a_vi, "b_v": b_v, "drive": v["r"] * (1 - a_vv)}
            return common | found
        m, b, d = self.step()
        if module is lif:
            found = {
                "a_ii": m[:, 1, 1], "b_i": b[:, 1], "a_vv": m[:, 0, 0], "a_vi": m[:, 0, 1], "b_v": b[:, 0],
                "drive": d[:, 0],
            }  # fmt: skip
        else:
            found = {
                "m_vv": m[:, 0, 0], "m_vi": m[:, 0, 1], "m_va": m[:, 0, 2], "m_ii": m[:, 1, 1], "m_av": m[:, 2, 0],
                "m_ai": m[:, 2, 1], "m_aa": m[:, 2, 2], "b_v": b[:, 0], "b_i": b[:, 1], "b_a": b[:, 2],
                "d_v": d[:, 0], "d_a": d[:, 2],
            }  # fmt: skip
            depth = v["v_threshold"] - v["v_reset"]
            common |= {
                "beta": v["beta"], "q": v["q"], "held": held, "pull": v["r"] * v["c_a"], "tau_a": v["tau_a"],
                "fall": (v["q"] + np.where(v["coupling"] == 0, 0.0, v["coupling"] * depth)) / v["tau_a"],
            }  # fmt: skip
        if single:
            found = {key: value[0] for key, value in found.items()}
        return common | found

    def step(self):
        """See :func:`snnsim.neurons.matrices.step_of`."""
        return step_of(self.values, self.size, self.neuron.filtered, self.dt, self.scheme, self.impulse)

    def start(self, module):
        """List initial states by the names of a module's ``STATE``, numbers or (N,)."""
        v = self.values
        starts = {"v": self.relative("v0"), "i_syn": v["i0"], "a": v["a0"]}
        return [starts.get(name, 0.0) for name in module.STATE]

    def gradients(self, sums):
        """Gradient of every constant that was given as a tensor, in its shape.

        Parameters
        ----------
        sums : Sums
        """
        by = {
            "v_threshold": sums.threshold, "v_reset": sums.reset, "beta": sums.adapted, "q": sums.grown,
            "v0": sums.start[:, 0], "i0": sums.start[:, 1], "a0": sums.start[:, 2],
        }  # fmt: skip
        # Voltages count from rest: where a membrane starts at rest, rest does not move its start.
        rest = self.neuron.v0 is None and "v0" not in self.given
        by["v_leak"] = -(sums.threshold + sums.reset) - (0 if rest else by["v0"])
        found = {}
        for key, name in self.given.items():
            if key in CONSTANTS:
                by[key] = self._by_motion(key, sums)
            shape = np.shape(self.values[key])
            found[name] = by[key] if shape else np.asarray(by[key].sum())
        return found

    def _by_motion(self, key, sums):
        m, b, d = derivatives(self.values, self.size, self.neuron.filtered, self.dt, self.scheme, self.impulse, key)
        return (sums.by_m * m).sum((1, 2)) + (sums.by_b * b).sum(1) + (sums.by_d * d).sum(1)


class Sums:
    """Sums over samples and steps from which the gradients of a population's constants follow, each (N, ...) float64.

    Parameters
    ----------
    cells : Cells
    module : module
        Scalars of the population.
    by_time : bool
        Whether spikes pass on by their time, else by their amplitude.
    """

    def __init__(self, cells, module, by_time):
        self.cells, self._module, self._by_time = cells, module, by_time
        size = cells.size
        self._step = cells.step()
        self.by_m, self.by_b, self.by_d = np.zeros((size, 3, 3)), np.zeros((size, 3)), np.zeros((size, 3))
        self.start = np.zeros((size, 3))
        self.threshold, self.reset, self.adapted, self.grown = np.zeros((4, size))

    def add(self, before, states, later, adjoints, spikes, loss, u):
        """Take in the steps of a chunk.

        Parameters
        ----------
        before : sequence of ndarray, (B, N)
            States after the spikes of the step before the first, in the order of the module's ``STATE``.
        states : sequence of ndarray, (B, K, N)
            States of each step before its spikes.
        later : sequence of ndarray, (B, N)
            Adjoints ``ADJOINT`` of the step after the last, 0 at the end of the trial.
        adjoints : sequence of ndarray, (B, K, N)
            Of each step.
        spikes : ndarray, (B, K, N) bool
        loss : ndarray, (B, K, N), or 0
            dloss/dv.
        u : ndarray, broadcasts to (B, K, N)
            Current into the membrane.
        """
        m, b, d = self._step
        neuron, v = self.cells.neuron, self.cells.values
        reset, beta = neuron.reset, v["beta"]
        y, lam = self._of(states, self._module.STATE), self._of(adjoints, self._module.ADJOINT)
        after = y.copy()
        if reset != "none":
            stays = y[..., 0] - (self.cells.relative("v_threshold") + beta * y[..., 2] - self.cells.relative("v_reset"))
            after[..., 0] = np.where(spikes, self.cells.relative("v_reset") if reset == "hard" else stays, y[..., 0])
        after[..., 2] += spikes * v["q"]
        last = np.concatenate([self._of(before, self._module.STATE)[:, None], after[:, :-1]], 1)
        into = 1 if neuron.filtered else 0
        x = (y[..., into] - np.einsum("nj,bknj->bkn", m[:, into], last) - u * d[:, into]) / b[:, into]
        self.by_m += np.einsum("bkni,bknj->nij", lam, last)
        self.by_b += np.einsum("bkni,bkn->ni", lam, x)
        self.by_d += np.einsum("bkni,bkn->ni", lam, np.broadcast_to(u, x.shape))
        if not neuron.has_threshold:
            return
        next_ = np.concatenate([lam[:, 1:], self._of(later, self._module.ADJOINT)[:, None]], 1)
        p = np.einsum("nij,bkni->bknj", m, next_)
        through, held = p[..., 0], False
        if self._module.LOOKS_BACK:  # what a held membrane receives goes to the step that left it there
            at = self._module.ADJOINT.index("through")
            through = through + np.concatenate([adjoints[at][:, 1:], later[at][:, None]], 1)
            held = states[self._module.STATE.index("left")] > 0
        to_reset = spikes * through
        if self._by_time:
            to_threshold = -(spikes * (lam[..., 0] - loss)) + (to_reset if reset == "none" else 0)
        else:
            free = np.where(spikes, 0, through) if reset == "hard" else through
            f = np.where(held, 0, lam[..., 0] - loss - free)
            to_threshold = -f - (to_reset if reset == "subtract" else 0)
        self.threshold += to_threshold.sum((0, 1))
        self.adapted += (y[..., 2] * to_threshold).sum((0, 1))
        self.reset += 0 if reset == "none" else to_reset.sum((0, 1))
        self.grown += (spikes * p[..., 2]).sum((0, 1))

    def begin(self, adjoints):
        """Take in the adjoints of the first step, each (B, N)."""
        self.start += np.einsum("nij,bni->nj", self._step[0], self._of(adjoints, self._module.ADJOINT))

    @staticmethod
    def _of(arrays, names):
        """Those of membrane, current and adaptation, (..., 3) float64."""
        zero = np.zeros(arrays[0].shape)
        found = dict(zip(names, arrays, strict=False))
        keys = ("v", "i_syn", "a") if "v" in found else ("g", "h", "l")
        return np.stack([found.get(key, zero) for key in keys], -1).astype(np.float64)


def _constant(name, population):
    owner, _, key = name.rpartition(".")
    return (key,) if owner == population.name and key != "bias" else ()


def _plain(value):
    return value if np.ndim(value) else float(value)
