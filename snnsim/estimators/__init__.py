"""Gradient estimators as modules, one file each: what stands for the derivative of a spike (SCIENCE section 3).

An estimator's module has

    Settings                  a named tuple of its own numbers, of the arrays' dtype; max_inverse bounds what is kept
    KEPT                      names of what the forward pass keeps of every spike
    EXTRA                     names of adjoint states beyond the neuron's
    EVERY_STEP                whether it has a derivative in every step, or only where there is a spike
    kept(neuron)              the scalar (before, s, after, c, settings) that gives what is kept
    arriving(now, later, fraction)           what a spike reads of the X of the two steps between which it arrives
    scaled(e, dt)             the sum of weights times that, as a derivative

    adjoint_spike(neuron)     the scalar (a, p, e, kept, c) through a spike, of :mod:`snnsim.neurons`

and, if only spikes have a derivative,

    passed(neuron)            the scalar (extra, a, now, later, c) that gives what connections from below read of the
                              steps k and k + 1, and the extra states

or, in every step,

    derivative(excess, silent, settings)     of the spike by the excess; silent is 1 if the neuron is so in this sample
"""
