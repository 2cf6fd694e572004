"""The clock engine with weights as a list, one a layer, as the serial reference has them."""

import numpy as np

from snnsim.engines.clock import ClockEngine
from snnsim.network import Network


class LayerEngine:
    """A clock engine of fully connected layers.

    Parameters
    ----------
    weights : sequence of ndarray
        Of the shapes that the passes will have.
    parameters, readout
        As of :meth:`snnsim.network.Network.chain`.
    **options
        Of :class:`~snnsim.engines.clock.ClockEngine`.
    """

    def __init__(self, weights, parameters, readout="spiking", **options):
        sizes = [weights[0].shape[0], *(w.shape[1] for w in weights)]
        self.network = Network.of_layers(sizes, tuple(parameters), readout)
        self.engine = ClockEngine(self.network, **options)
        self.names = [c.name for c in self.network.connections]

    def __getattr__(self, name):
        return getattr(self.engine, name)

    def tensors(self, weights):
        """Weights by name."""
        return dict(zip(self.names, (np.ascontiguousarray(w, self.engine.dtype) for w in weights), strict=True))

    def forward(self, weights, inputs, trace=(), **options):
        """Simulate a batch; ``trace`` numbers layers."""
        names = [self.network.populations[layer + 1] for layer in trace]
        return self.engine.forward(self.tensors(weights), inputs, trace=names, **options)

    def backward(self, weights, gradient, **options):
        """Gradients, one a layer."""
        return list(self.engine.backward(self.tensors(weights), gradient, **options).values())

    def spikes(self):
        """Slabs, the input's first."""
        return list(self.engine.spikes().values())

    def grids(self):
        """Spikes on the grid, the input's first."""
        return list(self.engine.grids().values())

    def traces(self, layer):
        """Membrane and current of a layer."""
        return self.engine.traces(self.network.populations[layer + 1])

    def spike_totals(self):
        """Spikes of each spiking layer."""
        return list(self.engine.spike_totals().values())
