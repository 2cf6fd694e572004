"""An engine of layers, seen by the names of a network's tensors and populations."""


class ByName:
    """Forward and backward passes with tensors by name; everything else is the engine's.

    Parameters
    ----------
    engine : EventEngine or HybridEngine
    network : Network
        Whose layers it runs, a chain.
    """

    takes_patterns = False

    def __init__(self, engine, network):
        self._engine, self.network = engine, network
        self._connections = [c.name for c in network.connections]
        self._spiking = [p.name for p in network.populations_by_name.values() if p.spiking and not p.is_input]

    def __getattr__(self, name):
        return getattr(self._engine, name)

    def forward(self, tensors, inputs):
        """Simulate a batch."""
        return self._engine.forward([tensors[name] for name in self._connections], inputs)

    def backward(self, tensors, gradient, on_tensor=None):
        """Differentiate the loss by the weights, by name."""

        def announce(layer, grad):
            if on_tensor is not None:
                on_tensor(self._connections[layer], grad)

        weights = [tensors[name] for name in self._connections]
        return dict(zip(self._connections, self._engine.backward(weights, gradient, announce), strict=True))

    def spikes(self):
        """Slabs of the last forward pass, by population."""
        return dict(zip(self.network.populations, self._engine.spikes(), strict=False))

    def spike_totals(self):
        """Spikes of each spiking population in the last batch."""
        return dict(zip(self._spiking, self._engine.spike_totals(), strict=True))

    def trace(self, tensors, name, sample_times, neuron_ids):
        """Membrane and current of a population at given times."""
        weights = [tensors[key] for key in self._connections]
        layer = self.network.populations.index(name) - 1
        return self._engine.trace(weights, layer, sample_times, neuron_ids)
