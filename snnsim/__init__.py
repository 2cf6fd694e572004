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
    spikes, parameters       frozen dataclasses, validated once
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
    **dict.fromkeys(("ALIF", "AdLIF", "DeltaLIF", "LI", "LIF", "RefractoryLIF", "TwoSynapseLIF"), "snnsim.parameters"),
    "cochlea": "snnsim.hearing",
    "LongSimulation": "snnsim.longrun.simulation",
    "InputError": "snnsim.errors",
    "LI": "snnsim.parameters",
    "LIF": "snnsim.parameters",
    "LIFParameters": "snnsim.parameters",
    "Network": "snnsim.network",
    "Spikes": "snnsim.spikes",
    "open_traces": "snnsim.recording.reader",
    **dict.fromkeys(("Model", "load_model"), "snnsim.training.model"),
    **dict.fromkeys(
        ("CSVLog", "Callback", "Checkpoint", "EarlyStopping", "History", "TensorBoardLog"), "snnsim.training.callbacks"
    ),
    "Record": "snnsim.training.recorder",
    "Progress": "snnsim.training.progress",
    **dict.fromkeys(("SGD", "Adam", "AdamW"), "snnsim.optimizers"),
    **dict.fromkeys(("SampleSets", "Samples"), "snnsim.samples"),
    "check_gradient": "snnsim.own_parts",
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
