"""The hybrid engine on every graph: crossings looked for at the ends of bins, spikes at their own instants."""

import numpy as np

from snnsim.engines.event_graph import GraphEventEngine
from snnsim.engines.hybrid import HybridEngine
from snnsim.errors import InputError
from snnsim.schedule import ordered


class GraphHybridEngine(GraphEventEngine):
    """Forward and backward pass of a network whose crossings are looked for where a bin ends or a spike arrives.

    There a membrane at or above threshold has crossed, and the crossing is located by the closed form. What is not seen
    is an excursion that begins and ends below threshold in between; ``unseen`` bounds how many there were. The gradient
    is exact for the spikes found.

    Parameters
    ----------
    network, readout, tau_w, precision, max_inverse_slope
        As in :class:`snnsim.engines.event_graph.GraphEventEngine`.
    dt : float
        Width of a bin, > 0; no cycle may be shorter.
    n_steps : int
        Bins of a trial; its duration is ``n_steps * dt``. A readout is sampled at the ends of the bins.

    Attributes
    ----------
    unseen : list of ndarray, (B,) int64
        Upper bound of the excursions not seen in each sample, one a component of the graph with thresholds.
    """

    name = "hybrid"

    def __init__(self, network, *, dt, n_steps, **options):
        if not 0 < dt < np.inf:
            raise InputError(f"dt = {dt}: must be a positive number")
        if n_steps < 1:
            raise InputError(f"n_steps = {n_steps}: must be at least 1")
        self.dt, self.n_steps = float(dt), int(n_steps)
        super().__init__(network, duration=n_steps * dt, n_samples=n_steps, **options)
        self.n_bins, self.unseen = self.n_steps, []

    def forward(self, tensors, inputs):
        """Simulate a batch; see :meth:`snnsim.engines.event_graph.GraphEventEngine.forward`."""
        output = super().forward(tensors, inputs)
        self.unseen = (
            self._chain.unseen if self._in_chain() else [c.state["unseen"] for c in self._components if not c.readout]
        )
        return output

    def _chain_of(self, precision, n_samples):
        network = self.network
        return HybridEngine(
            network.parameters,
            network.readout,
            dt=self.dt,
            n_steps=self.n_steps,
            precision=precision,
            max_inverse_slope=self.max_inverse_slope,
        )

    def _check_delays(self, component, delays):
        short = [
            (c.source, c.target)
            for c, d in zip(component.connections, delays, strict=True)
            if c.source in component.names and d.min(initial=np.inf) < self.dt
        ]
        if ordered(component.names, short) is None:
            least = min(
                d.min() for c, d in zip(component.connections, delays, strict=True) if (c.source, c.target) in short
            )
            raise InputError(
                f"dt = {self.dt:g}: bins must be no longer than the delays that close a cycle; of "
                f"{', '.join(f'{a}->{b}' for a, b in short)} the least is {least:g}"
            )
