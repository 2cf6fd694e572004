"""One batch of trials through a network, on any engine and with any step, forward and backward."""

from dataclasses import dataclass, replace

import numpy as np

from snnsim.engines.grid import grid_of_spikes
from snnsim.engines.outputs import slab_of_spikes, spikes_of_slab
from snnsim.errors import InputError
from snnsim.training.parts import engine_of, loss_of

EVENT, HYBRID = "event", "hybrid"
"""Names of runs that are no scheme of a clock."""


@dataclass(frozen=True)
class Run:
    """What a network did with a batch.

    Parameters
    ----------
    spikes : dict of str to Spikes
        Of every population with a threshold.
    membranes : dict of str to ndarray, (B, K, N)
        Of the populations that were asked for, relative to rest.
    loss : float
        Mean over the batch.
    gradients : dict of str to ndarray
        Of the mean loss, by every tensor that is learnt.
    unseen : int
        Upper bound of the excursions that the hybrid engine did not see.
    """

    spikes: dict
    membranes: dict
    loss: float
    gradients: dict
    unseen: int


class Batch:
    """A batch of trials, and how a network runs it.

    Parameters
    ----------
    config : Config
        Its loss, bounds and estimator; the trial lasts ``simulation.dt * simulation.n_steps``.
    network : Network
        With its tensors.
    inputs : Spikes or dict of str to Spikes
        Of each input, by name where there are several. Spikes off a grid are moved to the end of their step.
    labels : ndarray, (B,) int64
    precision : {"float32", "float64"}, optional
        Of clocks and hybrid; the configuration's if None. The event engine is in float64.
    """

    def __init__(self, config, network, inputs, labels, precision=None):
        self.config, self.network, self.precision = config, network, precision
        self.duration = config.simulation.dt * config.simulation.n_steps
        names = [p.name for p in network.inputs]
        self.inputs = inputs if isinstance(inputs, dict) else dict.fromkeys(names[:1], inputs)
        self.labels = np.asarray(labels, np.int64)
        self.tensors = network.learnt()
        self.layers = tuple(name for name in network.populations if name not in names)
        self.spiking = tuple(name for name in self.layers if network.populations_by_name[name].spiking)
        self._slabs = {name: slab_of_spikes(spikes) for name, spikes in self.inputs.items()}

    def __len__(self):
        return len(self.labels)

    def check_step(self, dt, whole, what):
        """Raise InputError unless a step divides a time, which ``what`` names."""
        if not 0 < dt < np.inf or abs(whole / dt - round(whole / dt)) > 1e-6 * whole / dt:
            raise InputError(f"dt = {dt:g}: must divide {what}, {whole:g}")

    def given(self, name, dt):
        """Input spikes as the run of this name takes them, by input."""
        if name in (EVENT, HYBRID):
            return self._slabs
        n_steps = round(self.duration / dt)
        return {key: grid_of_spikes(spikes, dt, n_steps) for key, spikes in self.inputs.items()}

    def made(self, name, dt, network=None, **gradient):
        """Engine, loss and tensors of a run.

        Parameters
        ----------
        name : str
            ``event``, ``hybrid``, or the scheme of a clock.
        dt : float
            Step or bin; of the event engine, the spacing of the samples that a loss reads of a membrane.
        network : Network, optional
            Instead of the batch's.
        **gradient
            Fields of the configuration's ``[gradient]`` to change.

        Returns
        -------
        engine, loss, tensors
        """
        network = self.network if network is None else network
        timed = name in (EVENT, HYBRID)
        simulation = replace(
            self.config.simulation, engine=name if timed else "clock", dt=float(dt),
            n_steps=round(self.duration / dt),
        )  # fmt: skip
        if not timed:
            simulation = replace(simulation, scheme=name)
        precision = "float64" if name == EVENT else self.precision
        if precision is not None:
            simulation = replace(simulation, precision=precision)
        config = replace(self.config, simulation=simulation, gradient=replace(self.config.gradient, **gradient))
        engine = engine_of(config, network)
        tensors = network.astype(engine.dtype).tensors
        return engine, loss_of(config, network.output.size, engine), tensors

    def run(self, name, dt, every=None, **gradient):
        """Run forward and backward.

        Parameters
        ----------
        name, dt, **gradient
            As of :meth:`made`.
        every : float, optional
            Membranes are kept at multiples of this time.

        Returns
        -------
        Run
        """
        engine, loss, tensors = self.made(name, dt, **gradient)
        inputs = self.one(self.given(name, dt))
        clock = name not in (EVENT, HYBRID)
        membranes = {}
        if every is not None and clock:
            engine.forward(tensors, inputs, trace=self.layers, every=round(every / dt))
            membranes = {layer: engine.traces(layer)[0].copy() for layer in self.layers}
        # Without tracing, a readout's membrane is there after every step.
        output = engine.forward(tensors, inputs)
        found = loss(output, self.labels)
        slabs = engine.spikes()
        spikes = {layer: spikes_of_slab(slabs[layer]) for layer in self.spiking}
        if every is not None and not clock:
            times, sizes = every * np.arange(1, round(self.duration / every) + 1), self.network.sizes
            membranes = {
                layer: engine.trace(tensors, layer, times, np.arange(sizes[layer]))[0] for layer in self.layers
            }
        gradients = engine.backward(tensors, found.gradient)
        gradients = {key: np.array(gradients[key]) for key in self.tensors}
        unseen = sum(int(u.sum()) for u in getattr(engine, "unseen", ()))
        return Run(spikes, membranes, float(found.loss.mean()), gradients, unseen)

    def readout(self, name, dt, network, every):
        """Membranes at multiples of ``every`` of a network whose only population has no threshold, (B, K, N)."""
        engine, _, tensors = self.made(name, dt, network)
        v = engine.forward(tensors, self.one(self.given(name, dt))).v
        step = round(every / dt)
        return v[:, step - 1 :: step].copy()

    def one(self, inputs):
        """Give the spikes of the one input, as engines of layers take them, or those of all by name."""
        return inputs if len(inputs) > 1 else next(iter(inputs.values()))
