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
from typing import TYPE_CHECKING, Any

from snnsim.compiled import keep_compiled_code
from snnsim.threads import guard_forks

if TYPE_CHECKING:  # what editors and type checkers read; the names below are those that there are
    from snnsim.connections import (
        Convolution as Convolution,
    )
    from snnsim.connections import (
        Dense as Dense,
    )
    from snnsim.connections import (
        FixedInDegree as FixedInDegree,
    )
    from snnsim.connections import (
        FixedOutDegree as FixedOutDegree,
    )
    from snnsim.connections import (
        FixedProbability as FixedProbability,
    )
    from snnsim.connections import (
        FixedTotal as FixedTotal,
    )
    from snnsim.connections import (
        OneToOne as OneToOne,
    )
    from snnsim.connections import (
        Pairs as Pairs,
    )
    from snnsim.connections import (
        Pool as Pool,
    )
    from snnsim.connections import (
        Sparse as Sparse,
    )
    from snnsim.distributions import Clipped as Clipped
    from snnsim.distributions import Lognormal as Lognormal
    from snnsim.distributions import Normal as Normal
    from snnsim.distributions import Uniform as Uniform
    from snnsim.errors import InputError as InputError
    from snnsim.hearing import cochlea as cochlea
    from snnsim.interchange.shd import read_spikes as read_spikes
    from snnsim.longrun.simulation import LongSimulation as LongSimulation
    from snnsim.longrun.stimuli import (
        Current as Current,
    )
    from snnsim.longrun.stimuli import (
        Noise as Noise,
    )
    from snnsim.longrun.stimuli import (
        Poisson as Poisson,
    )
    from snnsim.longrun.stimuli import (
        PoissonTrains as PoissonTrains,
    )
    from snnsim.longrun.stimuli import (
        SpikeTrains as SpikeTrains,
    )
    from snnsim.network import Network as Network
    from snnsim.neurons import (
        ALIF as ALIF,
    )
    from snnsim.neurons import (
        IF as IF,
    )
    from snnsim.neurons import (
        LI as LI,
    )
    from snnsim.neurons import (
        LIF as LIF,
    )
    from snnsim.neurons import (
        AdLIF as AdLIF,
    )
    from snnsim.neurons import (
        DeltaLI as DeltaLI,
    )
    from snnsim.neurons import (
        DeltaLIF as DeltaLIF,
    )
    from snnsim.neurons import (
        Integrator as Integrator,
    )
    from snnsim.neurons import (
        LIFParameters as LIFParameters,
    )
    from snnsim.neurons import (
        TwoSynapseLIF as TwoSynapseLIF,
    )
    from snnsim.optimizers import SGD as SGD
    from snnsim.optimizers import Adam as Adam
    from snnsim.optimizers import AdamW as AdamW
    from snnsim.own_parts import check_gradient as check_gradient
    from snnsim.recording.reader import open_traces as open_traces
    from snnsim.samples import Samples as Samples
    from snnsim.samples import SampleSets as SampleSets
    from snnsim.simulation import simulate as simulate
    from snnsim.spikes import Spikes as Spikes
    from snnsim.training.callbacks import (
        Callback as Callback,
    )
    from snnsim.training.callbacks import (
        Checkpoint as Checkpoint,
    )
    from snnsim.training.callbacks import (
        CSVLog as CSVLog,
    )
    from snnsim.training.callbacks import (
        EarlyStopping as EarlyStopping,
    )
    from snnsim.training.callbacks import (
        History as History,
    )
    from snnsim.training.callbacks import (
        TensorBoardLog as TensorBoardLog,
    )
    from snnsim.training.classifier import SpikingClassifier as SpikingClassifier
    from snnsim.training.model import Model as Model
    from snnsim.training.model import load_model as load_model
    from snnsim.training.progress import Progress as Progress
    from snnsim.training.recorder import Record as Record

keep_compiled_code()
guard_forks()

__version__: str

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
    "cochlea": "snnsim.hearing",
    "Network": "snnsim.network",
    "Spikes": "snnsim.spikes",
    "open_traces": "snnsim.recording.reader",
    **dict.fromkeys(("Model", "load_model"), "snnsim.training.model"),
    **dict.fromkeys(
        ("CSVLog", "Callback", "Checkpoint", "EarlyStopping", "History", "TensorBoardLog"), "snnsim.training.callbacks"
    ),
    "Record": "snnsim.training.recorder",
    "SpikingClassifier": "snnsim.training.classifier",
    "Progress": "snnsim.training.progress",
    **dict.fromkeys(("SGD", "Adam", "AdamW"), "snnsim.optimizers"),
    **dict.fromkeys(("SampleSets", "Samples"), "snnsim.samples"),
    "check_gradient": "snnsim.own_parts",
    "read_spikes": "snnsim.interchange.shd",
    "simulate": "snnsim.simulation",
}

__all__ = sorted(_PUBLIC)


def _found(name: str) -> Any:
    """Import a public name from the module that defines it."""
    if name == "__version__":
        from importlib.metadata import version

        return version("snnsim")
    if name not in _PUBLIC:
        raise AttributeError(f"module 'snnsim' has no attribute {name!r}")
    value = getattr(importlib.import_module(_PUBLIC[name]), name)
    globals()[name] = value
    return value


if not TYPE_CHECKING:  # a checker shall know the names above alone
    __getattr__ = _found


def __dir__() -> list[str]:
    """Public names beside what is loaded."""
    return sorted({*globals(), *_PUBLIC})
