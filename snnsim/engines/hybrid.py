"""The hybrid engine: exact propagators bin by bin like a clock, spikes at their own instants like the event engine."""

import numpy as np

from snnsim.engines.event import EventEngine, most_spikes
from snnsim.errors import InputError
from snnsim.kernels.events.hybrid import hybrid_forward


class HybridEngine(EventEngine):
    """Forward and backward pass of a feed-forward network, its states advanced bin by bin.

    An input enters at its own instant, a membrane found above threshold at the end of a bin has its crossing located
    inside by the closed form, is reset there, and is integrated from there on. The gradient is exact for the spikes
    found. What it cannot see is an excursion that begins and ends below threshold inside one bin; ``unseen`` bounds
    how many there were. (NEST's ``_ps`` models are the precedent.)

    Parameters
    ----------
    parameters, readout, precision, max_inverse_slope
        As in :class:`snnsim.engines.event.EventEngine`.
    dt : float
        Width of a bin, > 0.
    n_steps : int
        Bins of a trial; its duration is ``n_steps * dt``. A leaky readout is sampled at the ends of the bins.

    Raises
    ------
    InputError
        If an argument is out of range.
    """

    name = "hybrid"

    def __init__(self, parameters, readout="spiking", *, dt, n_steps, precision="float64", max_inverse_slope=1e4):
        if not 0 < dt < np.inf:
            raise InputError(f"dt = {dt}: must be a positive number")
        if n_steps < 1:
            raise InputError(f"n_steps = {n_steps}: must be at least 1")
        super().__init__(
            parameters,
            readout,
            duration=n_steps * dt,
            n_samples=n_steps,
            precision=precision,
            max_inverse_slope=max_inverse_slope,
        )
        self.dt = float(dt)
        self.n_steps = int(n_steps)
        self.unseen = []

    def forward(self, weights, inputs):
        """Simulate a batch; see :meth:`snnsim.engines.event.EventEngine.forward`.

        Afterwards ``unseen`` holds, for each spiking layer, an upper bound of the excursions above threshold that were
        not seen in each sample: one (B,) int64 a layer.
        """
        self.unseen = []
        return super().forward(weights, inputs)

    def _advance(self, layer, state, slab, w, stalled):
        unseen = np.empty(len(slab.counts), np.int64)
        hybrid_forward(
            slab.neurons,
            slab.times,
            state.instants,
            state.n_instants,
            state.flows,
            w,
            self._neuron(layer),
            self.duration,
            self.n_steps,
            most_spikes(len(state.counts)),
            state.neurons,
            state.times,
            state.intervals,
            state.marks,
            state.counts,
            stalled,
            unseen,
        )
        self.unseen[layer:] = [unseen]
