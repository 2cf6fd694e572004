"""The gradient as the explicit double sum over time, for comparison with the folded recursion.

``X_k = sum_{m >= k} dv_m/dx_k * s_m`` with the source ``s_m = -e_m/slope_m`` at a spike, plus ``dloss/dv_m``: every
pair of steps is visited, O(T^2), or O(T H) if no dependence beyond H steps is counted.
"""

import numpy as np
from numba import njit, prange

from snnsim.dynamics.lif import step_membrane, step_synapse
from snnsim.engines.clock import ClockEngine
from snnsim.errors import InputError
from snnsim.kernels.jit import KERNEL


@njit(**KERNEL)
def windowed_adjoint(coefficients, gain, source, horizon, adjoint):
    """Sum the influence of each step's input on the membranes of the next ``horizon`` steps.

    Parameters
    ----------
    coefficients : tuple of float
        ``(a_ii, b_i, a_vv, a_vi, b_v)``.
    gain : ndarray, (B, T, N) float
        ``d~v_m/dv_m``: 1 without a spike, ``slope_plus/slope_minus`` at one.
    source : ndarray, (B, T, N) float
        Direct derivative of the loss by ``v_m``.
    horizon : int
        Dependence over more steps than this is dropped.
    adjoint : ndarray, (B, T, N) float
        Output: ``X_k``.
    """
    a_ii, b_i, a_vv, a_vi, b_v = coefficients
    n_samples, n_steps, n_neurons = source.shape
    for b in prange(n_samples):
        v = np.empty(n_neurons, source.dtype)
        i = np.empty(n_neurons, source.dtype)
        nothing = source.dtype.type(0)
        for k in range(n_steps):
            total = adjoint[b, k]
            for n in range(n_neurons):
                total[n] = b_v * source[b, k, n]
                v[n] = b_v * gain[b, k, n]
                i[n] = b_i
            for m in range(k + 1, min(k + horizon, n_steps - 1) + 1):
                line, passed = source[b, m], gain[b, m]
                for n in range(n_neurons):
                    after = step_membrane(v[n], i[n], nothing, a_vv, a_vi, b_v)
                    i[n] = step_synapse(i[n], nothing, a_ii, b_i)
                    total[n] += after * line[n]
                    v[n] = after * passed[n]


class ExplicitEngine(ClockEngine):
    """A clock engine with exact spike-time derivatives whose backward pass is the explicit sum.

    Parameters
    ----------
    *args, **kwargs
        As of :class:`~snnsim.engines.clock.ClockEngine`; only ``gradient = "exact"`` and the discrete weight gradient.
    horizon : int, optional
        Steps beyond which dependence is dropped; None counts all of it.

    Attributes
    ----------
    adjoints : dict of str to ndarray, (B, T, N)
        Of the last backward pass, by connection: derivative of the loss by what entered its target at each step.

    Raises
    ------
    InputError
        For another gradient or a negative horizon.
    """

    def __init__(self, *args, horizon=None, **kwargs):
        super().__init__(*args, **kwargs)
        if self.gradient != "exact" or self.continuous:
            raise InputError(f"gradient = {self.gradient!r}: the explicit sum has only exact with discrete weights")
        if horizon is not None and horizon < 0:
            raise InputError(f"horizon = {horizon}: must be at least 0")
        self.horizon = self.n_steps if horizon is None else int(horizon)
        self.adjoints = {}

    def backward(self, tensors, gradient, on_tensor=None, activity_cost=0.0):
        """Differentiate the loss by the weights of every layer, by name."""
        self.network.require_chain("the explicit sum")
        signal, grads = np.ascontiguousarray(gradient, self.dtype), {}
        for part in reversed(self._parts):
            (way,) = part.incoming
            grads[way.name], signal = self._differentiate(part, way, tensors[way.name], signal)
        return dict(reversed(grads.items()))

    def _differentiate(self, part, way, w, signal):
        batch = len(part.spike_ptr)
        shape = (batch, self.n_steps, w.shape[1])
        gain, source = np.ones(shape, self.dtype), np.zeros(shape, self.dtype)
        if part.spiking:
            inverse, slope = part.kept
            where, stored = self._places(part.neurons, part.spike_ptr)
            gain[where] = slope[stored] * inverse[stored]
            source[where] = -signal[stored] * inverse[stored]
        else:
            source += signal
        adjoint = np.empty(shape, self.dtype)
        windowed_adjoint(tuple(part.constants[:5]), gain, source, self.horizon, adjoint)
        self.adjoints[way.name] = adjoint
        before = way.arrived()
        places, stored = self._places(before.rows, before.row_ptr)
        spikes = np.zeros((batch, self.n_steps, w.shape[0]), self.dtype)
        np.add.at(spikes, places, 1)
        grad = spikes.reshape(-1, w.shape[0]).T @ adjoint.reshape(-1, w.shape[1])
        change = -adjoint
        change[:, :-1] += adjoint[:, 1:]
        error = (change / self.dtype.type(self.dt)) @ w.T
        passed = np.zeros(before.rows.shape, self.dtype)
        passed[stored] = error[places]
        return grad, passed

    def _places(self, neurons, spike_ptr):
        """Find all spikes: their indices in a (B, T, N) array, and in the (B, cap) slab."""
        counts = spike_ptr[:, -1]
        stored = np.nonzero(np.arange(neurons.shape[1]) < counts[:, None])
        steps = np.repeat(np.tile(np.arange(self.n_steps), len(counts)), np.diff(spike_ptr, axis=1).ravel())
        return (stored[0], steps, neurons[stored]), stored
