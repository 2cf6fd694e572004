"""Neurons as modules of scalars, one file a neuron; time loops are made of them in :mod:`snnsim.kernels`.

A neuron's module has, with ``s`` a tuple of its states, ``a`` one of their adjoints and ``c`` its constants:

    STATE, ADJOINT            names, in the order of the tuples; the states that a spike changes stand first
    JUMPS                     how many of them a spike changes
    Constants                 a named tuple; each entry is a number or one number a neuron
    step(s, x, c)             states of the next step before the threshold, from those after the last step's spikes
    fires(s, c)               whether it spikes
    jump(s, c)                states after a spike
    excess(s, c)              how far above threshold
    kept_by_time(before, s, after, c, settings)       what an adjoint by spike time needs of a spike: (inverse, slope)
    kept_by_amplitude(before, s, after, c, settings)  the same by spike amplitude: (inverse, size)
    adjoint_step(a, c)        p: adjoint of the last step's states after its spikes
    adjoint_by_excess(p, d, c)                        p plus d = dL/d(excess)
    adjoint_by_time(a, p, e, kept, c)                 through a spike with e = dL/d(spike time)
    adjoint_by_amplitude(a, p, e, kept, c)            through a spike with e = dL/ds
    adjoint_by_jump(a, p, e, kept, c)                 a, which is p plus what the excess added, at a spike held fixed
    adjoint_membrane(a, d)    a plus d = dL/dv
    adjoint_input(a, c)       dL/dx
    adjoint_current(a, c)     what stands for it with the continuous model's coefficient
    trace_passed(extra, a, now, later, c)             what the gradient as printed passes down

``before`` is the state after the last step's spikes; ``settings.max_inverse`` bounds what is kept. They import
``register_jitable`` and equations of :mod:`snnsim.dynamics` alone.
"""
