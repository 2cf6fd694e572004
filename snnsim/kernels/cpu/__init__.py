"""Kernels of the clock engine for the CPU: Numba, parallel, the same bits for any number of threads."""

from snnsim.kernels.cpu.encoding import encode_poisson, encode_regular, encode_steps
from snnsim.kernels.cpu.lif import (
    GRADIENT_EXACT,
    GRADIENT_LITERAL,
    GRADIENT_TSSL,
    lif_backward,
    lif_forward,
    surrogate_backward,
)
from snnsim.kernels.cpu.losses import (
    count_error,
    count_loss,
    first_spike_amplitude,
    first_spike_error,
    first_spike_loss,
    membrane_loss,
    silent_drive,
    van_rossum_amplitude,
    van_rossum_loss,
)
from snnsim.kernels.cpu.optimizers import adam, sgd, squared_norm
from snnsim.kernels.cpu.synapse import (
    GROUP,
    PATTERNS,
    add_rows,
    dense_spikes,
    fold_patterns,
    group_spikes,
    spike_error,
    synaptic_input,
    transpose_rows,
    weight_gradient,
)

__all__ = [
    "GRADIENT_EXACT",
    "GRADIENT_LITERAL",
    "GRADIENT_TSSL",
    "GROUP",
    "PATTERNS",
    "adam",
    "add_rows",
    "count_error",
    "count_loss",
    "dense_spikes",
    "encode_poisson",
    "encode_regular",
    "encode_steps",
    "first_spike_amplitude",
    "first_spike_error",
    "first_spike_loss",
    "fold_patterns",
    "group_spikes",
    "lif_backward",
    "lif_forward",
    "membrane_loss",
    "sgd",
    "silent_drive",
    "spike_error",
    "squared_norm",
    "surrogate_backward",
    "synaptic_input",
    "transpose_rows",
    "van_rossum_amplitude",
    "van_rossum_loss",
    "weight_gradient",
]
