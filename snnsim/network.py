"""A network: fully connected layers of LIF neurons, weights as plain arrays."""

from dataclasses import dataclass

import numpy as np

from snnsim.errors import InputError
from snnsim.parameters import LIFParameters


@dataclass(frozen=True)
class Network:
    """Fully connected feed-forward layers.

    Parameters
    ----------
    weights : tuple of ndarray, each (N_in, N_out) float32 or float64, C-contiguous
        ``weights[l][i, n]`` leads from neuron i of layer l - 1 (the input for l = 0) to neuron n of layer l.
    parameters : tuple of LIFParameters
        One a layer.
    readout : {"spiking", "leaky"}
        Whether the last layer spikes or is a leaky integrator without threshold.
    """

    weights: tuple
    parameters: tuple
    readout: str = "spiking"

    def __post_init__(self):
        object.__setattr__(self, "weights", tuple(self.weights))
        object.__setattr__(self, "parameters", tuple(self.parameters))
        if self.readout not in ("spiking", "leaky"):
            raise InputError(f"readout = {self.readout!r}: must be one of spiking, leaky")
        if not self.weights or len(self.weights) != len(self.parameters):
            raise InputError(
                f"network: {len(self.weights)} weight matrices and {len(self.parameters)} parameter sets; needs one of "
                "each a layer"
            )
        for layer, (w, p) in enumerate(zip(self.weights, self.parameters, strict=True)):
            if not isinstance(p, LIFParameters):
                raise InputError(f"network: parameters[{layer}] = {p!r}: must be LIFParameters")
            if w.ndim != 2 or w.dtype != self.weights[0].dtype or w.dtype not in (np.float32, np.float64):
                raise InputError(f"network: weights[{layer}]: must be a 2-d array, all layers float32 or all float64")
            if layer and w.shape[0] != self.weights[layer - 1].shape[1]:
                raise InputError(
                    f"network: weights[{layer}] has {w.shape[0]} inputs, but layer {layer - 1} has "
                    f"{self.weights[layer - 1].shape[1]} neurons"
                )

    @property
    def layers(self):
        """Sizes from the input to the output, such as ``(784, 400, 10)``."""
        return (self.weights[0].shape[0], *(w.shape[1] for w in self.weights))

    @property
    def dtype(self):
        """Dtype of the weights."""
        return self.weights[0].dtype

    @property
    def populations(self):
        """Names of the layers: ``input``, ``hidden0``, ..., ``output``."""
        return ("input", *(f"hidden{k}" for k in range(len(self.weights) - 1)), "output")

    def spikes_in(self, layer):
        """Whether layer ``layer`` (0 is the first after the input) has a threshold."""
        return layer < len(self.weights) - 1 or self.readout == "spiking"

    def astype(self, dtype):
        """Copy the network with weights of another dtype."""
        return Network(tuple(np.ascontiguousarray(w, dtype) for w in self.weights), self.parameters, self.readout)
