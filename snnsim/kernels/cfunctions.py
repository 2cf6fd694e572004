"""Scalars and one step of a layer as C functions, for simulators in C, C++, Cython or Fortran.

Each public name is a ``numba.cfunc``: ``.address`` is its machine address (an integer to pass to C), ``.ctypes`` the
same as a ``ctypes`` function, which ``scipy.LowLevelCallable`` takes too. Scalars are double precision; counts and
modes are ``int64_t``, spikes ``uint8_t``. None allocates, raises or takes Python's global lock, so that they may be
called from any thread. :data:`DECLARATIONS` has their prototypes. Compiled when this module is first imported.
"""

from numba import carray, cfunc, types

from snnsim.dynamics import lif, philox, schemes

CONSTANTS = ("a_ii", "b_i", "a_vv", "a_vi", "b_v", "v_threshold", "v_reset", "reset")
"""Entries of ``constants`` of :data:`step_layer` and :data:`adjoint_layer`, in order; ``reset`` is 0, 1 or 2."""

_double, _int64 = types.float64, types.int64
_doubles, _bytes = types.CPointer(types.float64), types.CPointer(types.uint8)


def _function(signature):
    # Division by zero gives infinity or NaN, as in C, instead of an exception that no caller could catch.
    return cfunc(signature, cache=True, error_model="numpy")


def _scalar(n):
    return _function(_double(*[_double] * n))


@_scalar(6)
def step_membrane(v, i, x, a_vv, a_vi, b_v):
    """Membrane after one step, before the threshold (:func:`snnsim.dynamics.lif.step_membrane`)."""
    return lif.step_membrane(v, i, x, a_vv, a_vi, b_v)


@_scalar(4)
def step_synapse(i, x, a_ii, b_i):
    """Synaptic current after one step (:func:`snnsim.dynamics.lif.step_synapse`)."""
    return lif.step_synapse(i, x, a_ii, b_i)


@_function(_int64(_double, _double))
def fires(v, v_threshold):
    """1 if the membrane has reached the threshold, else 0 (:func:`snnsim.dynamics.lif.fires`)."""
    return 1 if lif.fires(v, v_threshold) else 0


@_function(_double(_double, _double, _double, _int64))
def reset_membrane(v, v_threshold, v_reset, reset):
    """Membrane after a spike; ``reset`` 0 hard, 1 subtract, 2 none (:func:`snnsim.dynamics.lif.reset_membrane`)."""
    return lif.reset_membrane(v, v_threshold, v_reset, reset)


@_scalar(4)
def membrane_slope(v, i, r, tau_mem):
    """``dv/dt`` of the membrane equation (:func:`snnsim.dynamics.lif.membrane_slope`)."""
    return lif.membrane_slope(v, i, r, tau_mem)


@_scalar(7)
def inverse_slope(v, v_before, i, dt, r, tau_mem, max_inverse_slope):
    """Clamped ``1/slope`` at a spike (:func:`snnsim.dynamics.lif.inverse_slope`)."""
    return lif.inverse_slope(v, v_before, i, dt, r, tau_mem, max_inverse_slope)


@_scalar(4)
def adjoint_spike(p, e, slope_plus, inv_slope):
    """Adjoint of the membrane at a spike (:func:`snnsim.dynamics.lif.adjoint_spike`)."""
    return lif.adjoint_spike(p, e, slope_plus, inv_slope)


@_scalar(4)
def adjoint_synapse(h, g, a_ii, a_vi):
    """Adjoint of the current (:func:`snnsim.dynamics.lif.adjoint_synapse`)."""
    return lif.adjoint_synapse(h, g, a_ii, a_vi)


@_scalar(4)
def adjoint_input(g, h, b_v, b_i):
    """Adjoint of the input (:func:`snnsim.dynamics.lif.adjoint_input`)."""
    return lif.adjoint_input(g, h, b_v, b_i)


@_scalar(3)
def membrane_response(t, tau_mem, tau_syn):
    """Membrane at time t per unit of ``r i(0)`` (:func:`snnsim.dynamics.schemes.membrane_response`)."""
    return schemes.membrane_response(t, tau_mem, tau_syn)


@_function(_double(types.intc, _doubles))
def membrane_response_at(n, arguments):
    """:data:`membrane_response` of an array ``(t, tau_mem, tau_syn)``, the form that SciPy's integrators call."""
    return schemes.membrane_response(arguments[0], arguments[1], arguments[2])


@_function(types.void(_int64, _double, _double, _double, _double, _doubles))
def scheme_coefficients(scheme, dt, tau_mem, tau_syn, r, out):
    """Write ``(a_ii, b_i, a_vv, a_vi, b_v)`` to ``out``; scheme 0 forward, 1 backward Euler, 2 exact, 3 bilinear.

    Another number writes five NaN. Forward Euler is stable for ``dt < 2 min(tau_mem, tau_syn)`` only; nothing is
    checked here.
    """
    if scheme == 0:
        c = schemes.forward_euler(dt, tau_mem, tau_syn, r)
    elif scheme == 1:
        c = schemes.backward_euler(dt, tau_mem, tau_syn, r)
    elif scheme == 2:
        c = schemes.exact(dt, tau_mem, tau_syn, r)
    elif scheme == 3:
        c = schemes.bilinear(dt, tau_mem, tau_syn, r)
    else:
        nan = dt * float("nan")
        c = nan, nan, nan, nan, nan
    for j in range(5):
        out[j] = c[j]


@_function(types.void(_doubles, _doubles, _doubles, _bytes, _int64, _doubles))
def step_layer(v, i, x, spikes, n, constants):
    """Advance ``n`` neurons by one step: v and i in place (v after reset), ``spikes[j]`` 1 for those that fired.

    ``x`` is each neuron's summed weight of the spikes that arrive in the step; ``constants`` as in :data:`CONSTANTS`.
    """
    a_ii, b_i, a_vv, a_vi, b_v = constants[0], constants[1], constants[2], constants[3], constants[4]
    v_threshold, v_reset, reset = constants[5], constants[6], int(constants[7])
    va, ia, xa, sa = carray(v, (n,)), carray(i, (n,)), carray(x, (n,)), carray(spikes, (n,))
    for j in range(n):
        after = lif.step_membrane(va[j], ia[j], xa[j], a_vv, a_vi, b_v)
        ia[j] = lif.step_synapse(ia[j], xa[j], a_ii, b_i)
        if lif.fires(after, v_threshold):
            sa[j] = 1
            after = lif.reset_membrane(after, v_threshold, v_reset, reset)
        else:
            sa[j] = 0
        va[j] = after


@_function(types.void(_doubles, _doubles, _doubles, _doubles, _doubles, _doubles, _bytes, _int64, _doubles))
def adjoint_layer(g, h, adjoint, error, inverse, slope, spikes, n, constants):
    """Take the exact adjoint of ``n`` neurons one step back: g and h in place, ``adjoint`` receives ``dL/dx``.

    For neurons with ``spikes[j]`` of the step: ``error`` dL/d(spike time), ``inverse`` the clamped 1/slope before the
    spike and ``slope`` the slope after it (:data:`inverse_slope`, :data:`membrane_slope`); not read for the others.
    """
    a_ii, b_i, a_vv, a_vi, b_v = constants[0], constants[1], constants[2], constants[3], constants[4]
    ga, ha, xa, ea = carray(g, (n,)), carray(h, (n,)), carray(adjoint, (n,)), carray(error, (n,))
    inverses, slopes, sa = carray(inverse, (n,)), carray(slope, (n,)), carray(spikes, (n,))
    for j in range(n):
        ha[j] = lif.adjoint_synapse(ha[j], ga[j], a_ii, a_vi)
        p = a_vv * ga[j]
        ga[j] = lif.adjoint_spike(p, ea[j], slopes[j], inverses[j]) if sa[j] else p
        xa[j] = lif.adjoint_input(ga[j], ha[j], b_v, b_i)


@_function(_int64(*[_int64] * 6))
def bernoulli32(threshold, neuron, sample, block, seed, epoch):
    """32 Bernoulli trials of chance ``threshold/2^32`` as bits (:func:`snnsim.dynamics.philox.bernoulli32`)."""
    return philox.bernoulli32(threshold, neuron, sample, block, seed, epoch)


DECLARATIONS = """\
#include <stdint.h>
double step_membrane(double v, double i, double x, double a_vv, double a_vi, double b_v);
double step_synapse(double i, double x, double a_ii, double b_i);
int64_t fires(double v, double v_threshold);
double reset_membrane(double v, double v_threshold, double v_reset, int64_t reset);
double membrane_slope(double v, double i, double r, double tau_mem);
double inverse_slope(double v, double v_before, double i, double dt, double r, double tau_mem,
                     double max_inverse_slope);
double adjoint_spike(double p, double e, double slope_plus, double inv_slope);
double adjoint_synapse(double h, double g, double a_ii, double a_vi);
double adjoint_input(double g, double h, double b_v, double b_i);
double membrane_response(double t, double tau_mem, double tau_syn);
double membrane_response_at(int n, double *arguments);
void scheme_coefficients(int64_t scheme, double dt, double tau_mem, double tau_syn, double r, double *out);
void step_layer(double *v, double *i, double *x, uint8_t *spikes, int64_t n, double *constants);
void adjoint_layer(double *g, double *h, double *adjoint, double *error, double *inverse, double *slope,
                   uint8_t *spikes, int64_t n, double *constants);
int64_t bernoulli32(int64_t threshold, int64_t neuron, int64_t sample, int64_t block, int64_t seed,
                    int64_t epoch);
"""
"""Prototypes of the C functions; pass an ``.address`` to C as a pointer to such a function."""
