"""Forward and backward passes of a configuration's network over batches of samples, without data of their own."""

import numpy as np

from snnsim import config as configuration
from snnsim.activity import counts_of, wake
from snnsim.encoders import checked_intensities
from snnsim.engines.grid import grid_of_spikes
from snnsim.engines.outputs import slab_of_spikes
from snnsim.errors import InputError
from snnsim.losses import push_silent
from snnsim.processes import Group
from snnsim.spikes import Spikes
from snnsim.training.parts import encoder_of, engine_of, loss_of

EVALUATION_EPOCH = 2**32 - 1
"""Epoch number that keys the random numbers of every evaluation: the same samples get the same spikes each time."""


class Given:
    """What a network is given of samples: intensities encoded, spikes as they are, currents as an array.

    Parameters
    ----------
    encoder : Encoder or OwnEncoder
    engine : object
        Which takes it.
    """

    def __init__(self, encoder, engine):
        self.encoder, self.engine = encoder, engine
        inputs = engine.network.inputs
        self._kind = inputs[0].kind if len(inputs) == 1 else "spikes"

    def __call__(self, x, ids, epoch):
        """Give a batch (of :attr:`Samples.x`) in the form that the engine takes."""
        clock = self.engine.name == "clock"
        if isinstance(x, Spikes):
            return grid_of_spikes(x, self.encoder.dt, self.encoder.n_steps) if clock else slab_of_spikes(x)
        if self._kind == "current":
            values = x / np.float64(255) if x.dtype == np.uint8 else x
            return np.ascontiguousarray(values, self.engine.dtype)
        if not clock:
            return self.encoder.in_time(x, ids, epoch)
        return self.encoder.on_grid(x, ids, epoch, 4 if self.engine.takes_patterns else 1)

    def to(self, simulator, x, ids):
        """Give a batch that is not learnt from in the form that a :class:`~snnsim.simulator.Simulator` takes."""
        if isinstance(x, Spikes):
            return x
        if self._kind == "current":
            return self(x, ids, EVALUATION_EPOCH)
        if simulator.engine.name != "clock":
            return self.encoder.in_time(x, ids, EVALUATION_EPOCH)
        return self.encoder.on_grid(x, ids, EVALUATION_EPOCH, simulator.input_group)

    def check(self, samples):
        """Raise InputError unless samples fit the input: their size, their kind, and where their spikes lie."""
        inputs, name = self.engine.network.inputs, samples.name
        if len(inputs) != 1:
            raise InputError(f"{name}: the network has {len(inputs)} inputs; a training gives one")
        population = inputs[0]
        if samples.n_inputs != population.size:
            raise InputError(f"{name}: {samples.n_inputs} inputs; {population.name} has {population.size} neurons")
        duration = self.encoder.dt * self.encoder.n_steps
        if samples.spiking:
            if population.kind == "current":
                raise InputError(f"{name}: are spikes; {population.name} takes currents")
            x = samples.x
            if x.times.size and x.times.max() > duration * (1 + 4 * x.precision):
                raise InputError(
                    f"{name}: spikes up to {x.times.max():g}; a trial lasts dt * n_steps = {duration:g} in dt's unit"
                )
        elif population.kind == "current":
            if self.engine.name != "clock":
                raise InputError(f"{name}: are currents; engine {self.engine.name} takes spikes alone")
            if samples.x.ndim == 3 and samples.x.shape[1] != self.encoder.n_steps:
                raise InputError(f"{name}: currents of {samples.x.shape[1]} steps; a trial has {self.encoder.n_steps}")
            if not np.isfinite(samples.x).all():
                raise InputError(f"{name}: currents that are not finite")
        elif samples.x.ndim == 3:
            raise InputError(f"{name}: currents of {samples.x.shape[1]} steps; {population.name} takes spikes")
        elif samples.x.dtype != np.uint8:
            checked_intensities(samples.x)


class Passes:
    """Engine, encoder and loss of a configuration around a network.

    Parameters
    ----------
    config : Config
    structure : Network
    tensors : dict of str to ndarray, optional
        Of the engine's dtype, by name; used as they are.
    group : Group, optional
        Processes that compute together.

    Attributes
    ----------
    structure : Network
        Populations and connections; its tensors are those it began with.
    tensors : dict of str to ndarray
        By name, as they are now.
    engine, encoder, loss, given
    group : Group
    parts : int
        Into how many parts the samples of every batch are divided, over all processes.
    """

    target = "cpu"

    def __init__(self, config, structure, tensors=None, group=None):
        self.config, self.structure, self.tensors = config, structure, tensors
        self.group = group or Group()
        self.parts = max(config.training.micro_batches, self.group.size)
        self.dtype = np.dtype(configuration.precision(config))
        self.encoder = encoder_of(config)
        self.engine = engine_of(config, structure)
        self.loss = loss_of(config, self.n_classes, self.engine, structure.output.neuron.v_leak)
        self.given = Given(self.encoder, self.engine)

    @property
    def n_classes(self):
        """Number of outputs."""
        return self.structure.output.size

    @property
    def spiking(self):
        """Populations that spike, beside inputs, and their sizes, by name."""
        return {p.name: p.size for p in map(self.structure.populations_by_name.get, self.structure.populations)
                if p.spiking and not p.is_input}  # fmt: skip

    @property
    def averaged(self):
        """Tensors that are evaluated."""
        return self.tensors

    def check(self, samples):
        """Raise InputError unless samples fit the network and the loss."""
        self.given.check(samples)
        if samples.y is not None:
            if samples.labelled and samples.y.size and not 0 <= samples.y.min() <= samples.y.max() < self.n_classes:
                raise InputError(
                    f"{samples.name}: classes {samples.y.min()}..{samples.y.max()}; the network has {self.n_classes} "
                    "outputs"
                )
            if hasattr(self.loss, "check"):
                self.loss.check(samples.y, self.n_classes)
            elif not samples.labelled:
                raise InputError(f"loss {self.config.loss.name}: takes classes")

    def inputs(self, x, ids, epoch):
        """Input of a batch in the form that the engine takes."""
        return self.given(x, ids, epoch)

    def run(self, x, ids, epoch=EVALUATION_EPOCH):
        """Output of the network for a batch that is not learnt from."""
        return self.engine.forward(self.averaged, self.inputs(x, ids, epoch))

    def examine(self, x, y, ids):
        """Loss, prediction and spikes of each spiking layer for a batch that is not learnt from.

        Returns
        -------
        loss : ndarray, (B,) float
        prediction : ndarray or None, (B,) int64
        spikes : list of int
        """
        result = self.loss(self.run(x, ids), y)
        return result.loss, result.prediction, list(self.engine.spike_totals().values())

    def differentiate(self, result, share=1.0, on_tensor=None):
        """Gradients of the loss of the last forward pass, of which this batch is a share, by name of the tensor."""
        if share != 1:
            result.gradient[:] *= result.gradient.dtype.type(share)
        push = self.config.loss.silent_push * share
        last = self.structure.into(self.structure.output.name)[0].name
        strength = self.config.loss.wake * share
        woken = self._woken() if strength else {}
        counts = self._spike_counts() if woken else {}

        def complete(name, gradient):
            if push and name == last:
                push_silent(result, self.engine.last_presynaptic(), push, gradient)
            if name in woken:
                wake(self.structure, woken[name], counts, strength, gradient)
            if on_tensor is not None:
                on_tensor(name, gradient)

        cost = self.config.loss.activity_cost
        options = {"activity_cost": cost * share} if cost else {}
        if self.config.loss.rate_strength:
            options["rate"] = self.config.loss.rate_strength * share, self.config.loss.rate_target
        return self.engine.backward(self.tensors, result.gradient, complete, **options)

    def _woken(self):
        """List connections of spikes into hidden neurons, by name."""
        populations, output = self.structure.populations_by_name, self.structure.output.name
        return {
            c.name: c for c in self.structure.connections if c.target != output and populations[c.source].spiking
        }

    def _spike_counts(self):
        """Spikes of each neuron in each sample of the last batch, by population."""
        if self.engine.name == "clock":
            grids = self.engine.grids()
            return {name: counts_of(g.rows, g.row_ptr[:, -1], g.n_neurons) for name, g in grids.items()}
        slabs = self.engine.spikes()
        return {name: counts_of(s.neurons, s.counts, s.n_neurons) for name, s in slabs.items()}
