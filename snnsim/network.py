"""A network: fully connected layers of LIF neurons, weights as plain arrays."""

from dataclasses import dataclass

import numpy as np

from snnsim.arguments import array, each
from snnsim.errors import InputError
from snnsim.parameters import LIFParameters


@dataclass(frozen=True, eq=False)
class Network:
    """Fully connected feed-forward layers.

    Parameters
    ----------
    weights : tuple of ndarray, each (N_in, N_out) float32 or float64, C-contiguous
        ``weights[l][i, n]`` leads from neuron i of layer l - 1 (the input for l = 0) to neuron n of layer l. Lists,
        data frames, sparse matrices, whole numbers and float16 are converted.
    parameters : tuple of LIFParameters
        One a layer; a single one holds for all.
    readout : {"spiking", "leaky"}
        Whether the last layer spikes or is a leaky integrator without threshold.

    Raises
    ------
    InputError
        If weights, parameters and readout do not fit each other, or a weight is not finite.
    """

    weights: tuple
    parameters: tuple
    readout: str = "spiking"

    def __post_init__(self):
        weights = [
            array(f"weights[{layer}]", w, 2, "a matrix (N_in, N_out)")
            for layer, w in enumerate(each("weights", self.weights, "one matrix a layer"))
        ]
        parameters = self.parameters
        if isinstance(parameters, LIFParameters):
            parameters = (parameters,) * len(weights)
        parameters = each("parameters", parameters, "LIFParameters, or one for each layer")
        object.__setattr__(self, "weights", tuple(_floats(weights)))
        object.__setattr__(self, "parameters", parameters)
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
            if 0 in w.shape:
                raise InputError(f"weights[{layer}]: {w.shape}: must have at least one row and one column")
            if layer and w.shape[0] != self.weights[layer - 1].shape[1]:
                raise InputError(
                    f"network: weights[{layer}] has {w.shape[0]} inputs, but layer {layer - 1} has "
                    f"{self.weights[layer - 1].shape[1]} neurons"
                )
            if not np.isfinite(w).all():
                at = tuple(map(int, np.argwhere(~np.isfinite(w))[0]))
                raise InputError(f"network: weights[{layer}][{at[0]}, {at[1]}] = {w[at]}: must be a finite number")

    def __eq__(self, other):
        """Whether every field of another network is the same, weights bit by bit and of the same dtype."""
        if not isinstance(other, Network):
            return NotImplemented
        return (
            (self.parameters, self.readout, self.layers) == (other.parameters, other.readout, other.layers)
            and self.dtype == other.dtype
            and all(map(np.array_equal, self.weights, other.weights))
        )

    __hash__ = None

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
        """Copy the network with weights of another dtype; raises InputError if one of them exceeds it."""
        with np.errstate(over="ignore"):  # what exceeds it is infinite, and refused
            weights = tuple(np.array(w, dtype) for w in self.weights)
        return Network(weights, self.parameters, self.readout)


def _floats(weights):
    """Weights in the one float dtype that they share; whole numbers and half precision take that of the others."""
    kinds = {w.dtype for w in weights if w.dtype in (np.float32, np.float64)}
    if len(kinds) > 1:
        raise InputError("network: weights: all layers must be float32 or all float64")
    half = any(w.dtype == np.float16 for w in weights)
    dtype = kinds.pop() if kinds else np.dtype(np.float32 if half else np.float64)
    return [w.astype(dtype, copy=False) for w in weights]
