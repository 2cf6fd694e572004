"""Kernels of the clock engine for CUDA: the public names and signatures of :mod:`snnsim.kernels.cpu`.

Arrays are Numba's device arrays (``numba.cuda.as_cuda_array`` makes one of another library's, without a copy), floats
have their dtype, and a call launches on the current stream without waiting.
"""

from snnsim.kernels.cuda.bits import GROUP, PATTERNS
from snnsim.kernels.cuda.encoding import encode_poisson, encode_poisson_counts, encode_regular, encode_steps
from snnsim.kernels.cuda.losses import (
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
from snnsim.kernels.cuda.optimizers import adam, sgd, squared_norm
from snnsim.kernels.cuda.synapse import (
    at_spikes,
    dense_spikes,
    dense_spikes_by_neuron,
    fold_patterns,
    group_spikes,
    spike_error,
    synaptic_input,
    transpose_rows,
    ungroup_spikes,
    weight_gradient,
)

__all__ = [
    "GROUP",
    "PATTERNS",
    "adam",
    "at_spikes",
    "count_error",
    "count_loss",
    "dense_spikes",
    "dense_spikes_by_neuron",
    "encode_poisson",
    "encode_poisson_counts",
    "encode_regular",
    "encode_steps",
    "first_spike_amplitude",
    "first_spike_error",
    "first_spike_loss",
    "fold_patterns",
    "group_spikes",
    "membrane_loss",
    "sgd",
    "silent_drive",
    "spike_error",
    "squared_norm",
    "synaptic_input",
    "transpose_rows",
    "ungroup_spikes",
    "van_rossum_amplitude",
    "van_rossum_loss",
    "weight_gradient",
]
