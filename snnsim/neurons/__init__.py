"""Neurons, one file each: what they are (a frozen, validated dataclass), and how the clock's loops advance them.

A class derives from :class:`~snnsim.neurons.base.Neuron` and stands in :data:`MODELS`. :mod:`snnsim.neurons.matrices`
knows its linear motion, of which every scheme, and the gradients of its constants, follow.

Scalars of the time loops (:mod:`snnsim.kernels`) are those of :mod:`snnsim.neurons.lif`, or, for neurons that adapt or
are held after a spike, of :mod:`snnsim.neurons.adaptive`. A module of scalars has, with ``s`` a tuple of its states,
``a`` one of their adjoints and ``c`` its constants:

    STATE, ADJOINT            names, in the order of the tuples; the states that a spike changes stand first
    JUMPS                     how many of them a spike changes
    LOOKS_BACK                whether adjoint_step reads the states s; else they may be missing
    Constants                 a named tuple; each entry is a number or one number a neuron
    step(s, x, c)             states of the next step before the threshold, from those after the last step's spikes
    driven(s, u, c)           states after a step with a current u into the membrane
    felt(s, u)                states with that current, as the slopes at a spike see them
    fires(s, c)               whether it spikes
    jump(s, c)                states after a spike
    excess(s, c)              how far above threshold
    kept_by_time(before, s, after, c, settings)       what an adjoint by spike time needs of a spike: (inverse, slope)
    kept_by_amplitude(before, s, after, c, settings)  the same by spike amplitude: (inverse, size)
    adjoint_step(a, s, c)     p of a step: adjoint of its states after its spikes, from the adjoint a of the step after
    adjoint_by_excess(p, d, e, s, c)                  p plus what e = dL/ds passes on by d = ds/d(excess)
    adjoint_by_time(a, p, e, kept, c)                 through a spike with e = dL/d(spike time)
    adjoint_by_amplitude(a, p, e, kept, c)            through a spike with e = dL/ds
    adjoint_by_jump(a, p, e, kept, c)                 a, which is p plus what the excess added, at a spike held fixed
    adjoint_membrane(a, d)    a plus d = dL/dv
    adjoint_input(a, c)       dL/dx
    adjoint_drive(a, c)       dL/du
    adjoint_current(a, c)     what stands for it with the continuous model's coefficient
    trace_passed(extra, a, now, later, c)             what the gradient as printed passes down

``before`` is the state after the last step's spikes; ``settings.max_inverse`` bounds what is kept. Of ``s`` an
adjoint has the states before the spikes; excess those that a spike changes.
"""

from dataclasses import fields

import numpy as np

from snnsim.neurons.adlif import AdLIF
from snnsim.neurons.alif import ALIF
from snnsim.neurons.base import OPTIONAL, Neuron
from snnsim.neurons.jumping import IF, DeltaLI, DeltaLIF, Integrator
from snnsim.neurons.li import LI
from snnsim.neurons.lif import LIF, LIFParameters
from snnsim.neurons.two_synapse import TwoSynapseLIF

__all__ = [
    "ALIF",
    "IF",
    "LI",
    "LIF",
    "MODELS",
    "AdLIF",
    "DeltaLI",
    "DeltaLIF",
    "Integrator",
    "LIFParameters",
    "Neuron",
    "TwoSynapseLIF",
    "neuron_from",
    "settings",
]

_ALL = LIFParameters, ALIF, AdLIF, LI, DeltaLIF, DeltaLI, IF, Integrator, TwoSynapseLIF
MODELS = {made.kind: made for made in _ALL}
"""Classes of neurons by the name that configurations and files give them."""


def settings(neuron):
    """Give the fields of a neuron as JSON and TOML have them, without the optional ones that are at their default."""
    values = {f.name: (np.asarray(getattr(neuron, f.name)).tolist(), f.default) for f in fields(neuron)}
    return {name: v for name, (v, default) in values.items() if name not in OPTIONAL or v != default}


def neuron_from(values):
    """Neuron of a dictionary of fields, as :func:`settings` gives: of the model whose fields they are."""
    least = {kind: {f.name for f in fields(made)} - set(OPTIONAL) for kind, made in MODELS.items()}
    for kind, needed in least.items():
        if needed == values.keys() - set(OPTIONAL):
            return MODELS[kind](**values)
    return (LIFParameters if "v_threshold" in values else LI)(**values)
