"""snnsim: an instrument for time in spiking neural networks.

Imports point only downward; each layer knows those below it::

    plotting, experiments    pictures from files; the study's figures, each one function: data -> results file
    analysis                 spectra, wavelets, convergence, populations, gradients
    sweep                    grids of trainings, spread over processes and machines
    training                 the loop: encode -> forward -> loss -> backward -> update
    interchange              NIR, Neo, NWB, SHD, CSV
    recording                HDF5 traces, checkpoints, provenance (the only importer of h5py)
    simulation               simulate(network, spikes, engine, ...) -> Recording
    datasets, encoders, losses, optimizers, network
    spikes, parameters       frozen dataclasses, validated once
    kernels/                 cpu (parallel loops), cuda (the same names), events (exact engine): no formula
    dynamics/                pure scalars: one equation, one function, one citation

Public names are imported when first used, so that ``import snnsim`` costs nothing.
"""

import importlib

from snnsim.threads import keep_compiled_code

keep_compiled_code()

_PUBLIC = {
    "AdLIF": "snnsim.parameters",
    "ALIF": "snnsim.parameters",
    "InputError": "snnsim.errors",
    "LI": "snnsim.parameters",
    "LIF": "snnsim.parameters",
    "LIFParameters": "snnsim.parameters",
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
