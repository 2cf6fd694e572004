"""snnsim: an instrument for time in spiking neural networks.

Imports point only downward; each layer knows those below it::

    plotting, experiments    pictures from files; the study's figures, each one function: data -> results file
    analysis                 spectra, wavelets, convergence, populations, gradients
    sweep                    grids of trainings, spread over processes and machines
    training                 the loop: encode -> forward -> loss -> backward -> update
    interchange              NIR, Neo, NWB, SHD, CSV
    simulation               simulate(network, spikes, engine, ...) -> Recording
    longrun                  recurrent networks without trials, streamed to files as they go
    recording                HDF5 traces, checkpoints, provenance (the only importer of h5py)
    datasets, encoders, losses, optimizers, network
    spikes, parameters       frozen dataclasses, validated once; coefficients of the schemes
    neurons                  one file a neuron: its parameters, and its scalars on the clock
    kernels/                 cpu (parallel loops), cuda (the same names), events (exact engine): no formula
    dynamics/                pure scalars: one equation, one function, one citation

Public names are imported when first used, so that ``import snnsim`` costs nothing.
"""

import importlib

from snnsim.compiled import keep_compiled_code
from snnsim.threads import guard_forks

keep_compiled_code()
guard_forks()

_PUBLIC = {
    **dict.fromkeys(
        ("Convolution", "Dense", "FixedInDegree", "FixedOutDegree", "FixedProbability", "FixedTotal", "OneToOne",
         "Pairs", "Pool", "Sparse"), "snnsim.connections"
    ),
    **dict.fromkeys(("Clipped", "Lognormal", "Normal", "Uniform"), "snnsim.distributions"),
    **dict.fromkeys(("Current", "Noise", "Poisson", "PoissonTrains", "SpikeTrains"), "snnsim.longrun.stimuli"),
    **dict.fromkeys(
        ("ALIF", "AdLIF", "DeltaLI", "DeltaLIF", "IF", "Integrator", "LI", "LIF", "LIFParameters", "TwoSynapseLIF"),
        "snnsim.neurons",
    ),
    "LongSimulation": "snnsim.longrun.simulation",
    "InputError": "snnsim.errors",
    "Network": "snnsim.network",
    "Spikes": "snnsim.spikes",
    "open_traces": "snnsim.recording.reader",
    "load_model": "snnsim.models",
    "read_spikes": "snnsim.interchange.shd",
    "simulate": "snnsim.simulation",
}

__all__ = sorted(_PUBLIC)


def __getattr__(name):
    """Import a public name from the module that defines it."""
    if name not in _PUBLIC:
        raise AttributeError(f"module 'snnsim' has no attribute {name!r}")
    value = getattr(importlib.import_module(_PUBLIC[name]), name)
    globals()[name] = value
    return value


def __dir__():
    """Public names beside what is loaded."""
    return sorted({*globals(), *_PUBLIC})
