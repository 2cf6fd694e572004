"""Eqs 37-39 as O(T^2) sums over spike times t_m, kernels between spikes written out, without a recursion.

The membrane at step m, with the state after the neuron's previous spike (step q; -1 if none) held fixed,
depends on the input of step k by the sum over the path x_k -> i_{j-1} -> v_j -> v_m,

    K(m, k) = sum_{j = max(q, k) + 1}^{m} a_vv^(m-j) a_vi a_ii^(j-1-k) b_i  +  [q < k <= m] a_vv^(m-k) b_v.

A spike at step m moves with the membrane, ``dt_m/dv_m = -1/slope_minus_m`` (eq 37), and moves the membrane
after it, by ``-slope_plus_m a_vv^(m'-m)`` up to the neuron's next spike m' (eq 38). So with ``E_m`` the total
``dL/dt_m``

    E_m = e_m - slope_plus_m (sum_{m < j <= m'} a_vv^(j-m) dloss/dv_j - a_vv^(m'-m) E_m'/slope_minus_m')
    dL/dx_k = sum_m (dloss/dv_m - E_m/slope_minus_m) K(m, k) + sum_{m >= k} dloss/di_m a_ii^(m-k) b_i

where the terms with E exist at spikes only. A presynaptic spike of step k that comes one step later takes its
impulse from x_k to x_{k+1}; the kernel's derivative in the presynaptic time (eq 39) is
``(K(m, k+1) - K(m, k))/dt``, of which ``m = k`` is the impulse term.
"""

import numpy as np

from tests.reference.clock import ClockGradient, inverse_slope


def explicit_backward(layers, weights, e=None, dloss_dv=None, dloss_di=None, max_inverse_slope=1e4):
    """The ``exact`` gradient as explicit sums; ``g`` and ``h`` of the result are empty."""
    zero = np.zeros_like(layers[-1].v)
    into = (zero if e is None else np.asarray(e, np.float64)) * layers[-1].spikes
    dv = zero if dloss_dv is None else np.asarray(dloss_dv, np.float64)
    di = zero if dloss_di is None else np.asarray(dloss_di, np.float64)
    result = ClockGradient([], [], (), (), [], zero)
    for layer, w in zip(reversed(layers), reversed(list(weights)), strict=True):
        w = np.asarray(w, np.float64)
        x_bar, x_later = np.zeros_like(layer.v), np.zeros_like(layer.v)
        for n in range(layer.v.shape[1]):
            factor = _membrane_factors(layer, n, into[:, n], dv[:, n], max_inverse_slope)
            kernel, i_kernel = _kernels(layer, n)
            x_bar[:, n] = factor @ kernel[:, :-1] + di[:, n] @ i_kernel[:, :-1]
            change = np.diff(kernel, axis=1), np.diff(i_kernel, axis=1)
            x_later[:, n] = (factor @ change[0] + di[:, n] @ change[1]) / layer.dt
        result.grad_w.insert(0, layer.inputs.T @ x_bar)
        result.e.insert(0, into)
        result.X.insert(0, x_bar)
        into = (layer.inputs > 0) * (x_later @ w.T)
        result.e_input = into
        dv = di = np.zeros_like(into)
    return result


def _membrane_factors(layer, n, e, dv, limit):
    """``dloss/dv_m - E_m/slope_minus_m`` for every step m, (T,)."""
    a_vv, n_steps = layer.coefficients[2], len(layer.v)
    spikes = [int(k) for k in np.flatnonzero(layer.spikes[:, n])]
    factor = dv.copy()
    for rank in range(len(spikes) - 1, -1, -1):
        m = spikes[rank]
        last = spikes[rank + 1] if rank + 1 < len(spikes) else n_steps - 1
        after = sum(a_vv ** (j - m) * factor[j] for j in range(m + 1, last + 1))
        total = e[m] - layer.slope_plus[m, n] * after
        factor[m] = dv[m] - total * inverse_slope(layer, m, n, limit)
    return factor


def _kernels(layer, n):
    """``K(m, k)`` of the membrane and ``di_m/dx_k``, (T, T + 1) each, zero for k > m."""
    a_ii, b_i, a_vv, a_vi, b_v = layer.coefficients
    n_steps = len(layer.v)
    kernel, i_kernel = np.zeros((n_steps, n_steps + 1)), np.zeros((n_steps, n_steps + 1))
    q = -1
    for m in range(n_steps):
        for k in range(m + 1):
            j = np.arange(max(q, k) + 1, m + 1)
            kernel[m, k] = np.sum(a_vv ** (m - j) * a_vi * a_ii ** (j - 1 - k) * b_i)
            if q < k:
                kernel[m, k] += a_vv ** (m - k) * b_v
            i_kernel[m, k] = a_ii ** (m - k) * b_i
        if layer.spikes[m, n]:
            q = m
    return kernel, i_kernel
