"""One training, in memory: data, network, engine and optimiser, advanced batch by batch."""

from dataclasses import dataclass, replace

import numpy as np

from snnsim import config as configuration
from snnsim.blueprint import network_of
from snnsim.connections.maps import described
from snnsim.datasets.deskew import deskewed
from snnsim.datasets.perturb import perturbation_of
from snnsim.datasets.sets import parts_of, sample_sets, split_up
from snnsim.engines.dropout import Dropout
from snnsim.engines.workspace import aligned_copy
from snnsim.errors import InputError
from snnsim.initialisation import scale_to_rate
from snnsim.kernels.cpu import squared_norm
from snnsim.memory import release_compiler_pages
from snnsim.optimizers import Optimizer, learning_rate
from snnsim.processes import Group, Total, divided
from snnsim.samples import taken
from snnsim.spikes import Spikes
from snnsim.training import compile_ahead
from snnsim.training.logarithms import Logarithms
from snnsim.training.mixup import Partners, blend
from snnsim.training.parts import engine_of, tensors_of
from snnsim.training.passes import EVALUATION_EPOCH, Passes
from snnsim.training.weight_average import WeightAverage

PROBE, PROBE_STEPS = 200, 20_000
"""Samples that measure the firing rate of initial weights, fewer where all their steps would be more than so many."""


@dataclass
class Totals:
    """Sums over the batches of an epoch."""

    samples: int = 0
    loss: float = 0.0
    correct: int = 0
    spikes: tuple = ()

    def add(self, loss, correct, samples, spikes):
        """Add a batch."""
        self.samples += samples
        self.loss += loss
        self.correct += correct
        self.spikes = (
            tuple(spikes) if not self.spikes else tuple(a + b for a, b in zip(self.spikes, spikes, strict=True))
        )


def by_name(state, network, path):
    """State of a session with tensors by name; that of version 0.1 has lists, one entry a layer.

    Parameters
    ----------
    state : dict
    network : Network
    path : str or Path
        Begins the message if the lists belong to another network.
    """
    if "tensors" in state:
        return state
    names = [c.name for c in network.connections]
    if not network.is_chain or len(names) != len(state["weights"]):
        raise InputError(f"{path}: holds {len(state['weights'])} weight matrices, one a layer; the network has {names}")

    def named(values):
        return dict(zip(names, values, strict=False))

    optimizer = state["optimizer"]
    return state | {
        "tensors": named(state["weights"]),
        "average": named(state.get("average", [])),
        "optimizer": optimizer | {key: named(optimizer[key]) for key in ("first", "second")},
        "plan": named(state["plan"]),
    }


def _shapes_text(shapes):
    return ", ".join(f"{name} {list(shape)}" for name, shape in shapes.items())


class Session(Passes):
    """A training in memory.

    Parameters
    ----------
    config : Config
    network : Network, optional
        Instead of the one that the configuration describes. Where tensors of it have no values yet, initial ones are
        drawn.
    group : Group, optional
        Processes that compute this training together, each in a session of its own with equal weights.
    sets : SampleSets, optional
        What is learnt from and looked at, instead of the configuration's data set.

    Attributes
    ----------
    average : WeightAverage
        Of the learnt tensors; what is evaluated and kept.
    optimizer : Optimizer
    train, validation, test : Samples
    epoch, batch : int
        Position: batches of the current epoch that are done.
    totals : Totals
        Of the current epoch so far.

    Others are those of :class:`~snnsim.training.passes.Passes`.
    """

    def __init__(self, config, network=None, group=None, sets=None):
        group = group or Group()
        compiling = compile_ahead.start(config) if group.size == 1 else None
        # The compiler's own code need not be in memory together with the data and the workspace.
        squared_norm(np.zeros(1, np.float32))
        release_compiler_pages()
        self._loading, self._compiling = True, compiling
        sets = sample_sets(config) if sets is None else split_up(sets, config.data)
        super().__init__(config, network if network is not None else network_of(config), group=group)
        self._split(sets)
        given = network is not None and not set(network.tensor_shapes()) - set(network.tensors)
        tensors = network.tensors if given else self._initial()
        self.group.copy_first(list(tensors.values()))
        self.tensors = {name: aligned_copy(w, self.dtype) for name, w in tensors.items()}
        self.learnt = {name: self.tensors[name] for name in self.structure.learnt()}
        self._logarithms = Logarithms(self.learnt)
        o = config.optimizer
        self.optimizer = Optimizer(
            o.name, self._logarithms.seen, momentum=o.momentum, beta1=o.beta1, beta2=o.beta2, epsilon=o.epsilon,
            weight_decay=o.weight_decay, clip_norm=o.clip_norm,
        )  # fmt: skip
        self.average = WeightAverage(self.learnt, config.training.ema_decay)
        self.epoch = self.batch = 0
        self.totals = Totals()

    @property
    def batches(self):
        """Batches of an epoch; the last one may be smaller."""
        return -(-len(self.train) // self.config.training.batch_size)

    @property
    def targets(self):
        """What is learnt: ``classes``, membranes at the ``end`` or in all ``steps``, or ``trains``."""
        y = self.train.y
        if self.train.labelled:
            return "classes"
        return "trains" if isinstance(y, Spikes) else "steps" if y.ndim == 3 else "end"

    @property
    def weights(self):
        """Weights of every connection."""
        return [self.tensors[c.name] for c in self.structure.connections]

    @property
    def network(self):
        """The network as it is now."""
        return self.structure.with_tensors(self.tensors)

    @property
    def averaged_network(self):
        """The network that is evaluated and kept: :attr:`network`, unless weights are averaged."""
        return self.structure.with_tensors(self.averaged)

    @property
    def averaged(self):
        """Tensors of :attr:`averaged_network`."""
        return self.tensors | self.average.tensors

    @property
    def lr(self):
        """Learning rate of the next batch."""
        o, epochs = self.config.optimizer, max(self.config.training.epochs, 1)
        done = (self.epoch * self.batches + self.batch) / (epochs * self.batches)
        return learning_rate(o.lr, o.schedule, done, o.decay, o.interval, o.final)

    def step(self):
        """Train on the next batch of the epoch.

        Returns
        -------
        loss, accuracy : float
            Means over the batch; the accuracy is None where the targets are no classes.

        Raises
        ------
        InputError
            If the loss or a gradient is not finite; the weights are then as they were before the batch.
        """
        chosen = self._chosen()
        parts = divided(len(chosen), self.parts)
        if not self.group.leads and None in getattr(self.engine, "plan", {}).values():
            # The first part of all decides the plan, here as in the process that computes it.
            self._forward(chosen[parts[0]])
        mine = self.group.share(parts)
        total = Total(self.group, len(mine))
        for part in mine:
            output, y, blended = self._forward(chosen[part])
            result = self.loss(output, y, blended)
            if self._loading:
                if self._compiling is not None:
                    self._compiling.join()
                release_compiler_pages()
            correct = np.count_nonzero(result.prediction == y) if self.train.labelled else 0
            spikes = self.engine.spike_totals().values()
            sums = np.array([result.loss.sum(), correct, len(y), *spikes], np.float64)
            total.add("sums", sums)
            gradients = self.differentiate(result, len(y) / len(chosen), total.add)
        total.wait()
        loss, (correct, samples, *spikes) = float(sums[0]), map(int, sums[1:])
        self._check_finite("loss", loss)
        self._logarithms.before(gradients)
        norm = self.optimizer.step(gradients, self.lr)
        self._logarithms.after()
        if not np.isfinite(norm):
            for name, gradient in gradients.items():
                self._check_finite(f"gradient of {name}", gradient)
            self._check_finite("norm of all gradients", norm)
        self.structure.project(self.tensors, self.config.simulation.dt, self.engine.duration)
        self.average.update(self.optimizer.steps)
        self.totals.add(loss, correct, samples, spikes)
        self.batch += 1
        if self._loading:
            self._loading = False
            release_compiler_pages()
        return loss / samples, correct / samples if self.train.labelled else None

    def next_batch(self):
        """Give what :meth:`step` trains on next: x (images distorted and blended, if so), y, numbers."""
        x, y, ids, _ = self._samples(self._chosen())
        return x, y, ids

    def set_tensors(self, tensors):
        """Take other tensors of the same names and shapes; the average of those that are learnt begins anew."""
        for name, mine in self.tensors.items():
            mine[...] = tensors[name]
        self.average.set(self.learnt)

    def end_epoch(self):
        """Close the epoch: check the weights, and start counting anew. Returns the epoch's :class:`Totals`."""
        self.check_weights()
        self.group.check_equal("weights", list(self.tensors.values()))
        totals, self.totals = self.totals, Totals()
        self.epoch, self.batch = self.epoch + 1, 0
        return totals

    def check_weights(self):
        """Raise InputError if a weight is not finite."""
        for name, w in self.tensors.items():
            self._check_finite(name, w)

    def state(self):
        """Everything that :meth:`load_state` needs to continue bit for bit, as a tree."""
        return {
            "epoch": self.epoch,
            "batch": self.batch,
            "totals": {**vars(self.totals), "spikes": list(self.totals.spikes)},
            "tensors": self.tensors,
            "average": self.average.state(),
            "optimizer": self.optimizer.state(),
            "plan": dict(getattr(self.engine, "plan", {})),
        }

    def load_state(self, state, path):
        """Continue from :meth:`state`; ``path`` begins the message if it belongs to another network."""
        state = by_name(state, self.structure, path)
        shapes = {name: np.shape(w) for name, w in state["tensors"].items()}
        mine = {name: np.shape(w) for name, w in self.tensors.items()}
        if shapes != mine:
            raise InputError(f"{path}: holds {_shapes_text(shapes)}; the configuration has {_shapes_text(mine)}")
        self.set_tensors(state["tensors"])
        self.average.load_state(state["average"])
        self.optimizer.load_state(state["optimizer"])
        self.epoch, self.batch = state["epoch"], state["batch"]
        self.totals = Totals(**{**state["totals"], "spikes": tuple(state["totals"]["spikes"])})
        if state["plan"]:
            self.engine.plan = state["plan"]

    def _forward(self, chosen):
        """Output of the network, in training, for chosen samples; their targets, and how they are blended."""
        x, y, ids, blended = self._samples(chosen)
        options = {}
        if self.config.training.dropout:
            t = self.config.training
            options["dropout"] = Dropout(t.dropout, ids, t.seed, self.epoch)
        return self.engine.forward(self.tensors, self.inputs(x, ids, self.epoch), **options), y, blended

    def _chosen(self):
        size = self.config.training.batch_size
        return np.sort(self._order()[self.batch * size : (self.batch + 1) * size])

    def _samples(self, chosen):
        train, blended = self.train, None
        x = self._augmented(taken(train.x, chosen), train.ids[chosen])
        if self.config.data.mixup:
            partners = self._partners()
            others, shares = partners.others[chosen], partners.shares[chosen]
            x = blend(x, self._augmented(train.values[others], train.ids[others]), shares)
            blended = train.labels[others], shares
        return x, taken(train.y, chosen), train.ids[chosen], blended

    def _partners(self):
        key = self.config.training.seed, self.epoch
        if getattr(self, "_partners_key", None) != key:
            self._partners_key = key
            self._drawn = Partners.drawn(len(self.train), self.config.data.mixup, *key)
        return self._drawn

    def _order(self):
        key = [self.config.training.seed, 1 + self.epoch]
        if getattr(self, "_order_key", None) != key:
            self._order_key = key
            self._shuffled = np.random.Generator(np.random.Philox(key=key)).permutation(len(self.train))
        return self._shuffled

    def _split(self, sets):
        network, data, all_ = self.structure, self.config.data, sets.train
        n_classes, layers = len(all_.classes), configuration.layers_text(self.config)
        if all_.labelled and ([p.size for p in network.inputs] != [all_.n_inputs] or self.n_classes != n_classes):
            begin = described(all_.shape) if len(all_.shape) == 3 and all_.shape[0] > 1 else all_.n_inputs
            raise InputError(
                f"network.layers = {layers}: {sets.name} has {all_.n_inputs} inputs and {n_classes} classes, so it "
                f"must read {begin}-...-{n_classes}"
            )
        for population in network.inputs:
            if len(population.shape) == len(all_.shape) == 3 and population.shape != all_.shape:
                raise InputError(f"network.layers = {layers}: {sets.name} has samples of {described(all_.shape)}")
        if all_.y is None:
            raise InputError(f"{sets.name}: has no y to learn from")
        if all_.spiking:
            perturbation_of(data, all_)
        for part in parts_of(sets).values():
            self.check(part)
        if data.deskew:
            sets = replace(sets, **{role: deskewed(part) for role, part in parts_of(sets).items()})
        self.train, self.validation, self.test = sets.train, sets.validation, sets.test

    @property
    def _augmenting(self):
        d = self.config.data
        images = d.flip or d.shift or d.rotation or d.elastic_alpha
        return bool(images or d.stretch or d.jitter or d.drop or d.shift_channels)

    def _augmented(self, values, ids):
        if not self._augmenting:
            return values
        if self.train.spiking:
            return perturbation_of(self.config.data, self.train)(
                values, self.train.shape, ids, self.config.training.seed, self.epoch
            )
        from snnsim.datasets.augment import augment

        shape, d = self.train.shape, self.config.data
        for key in ("stretch", "jitter", "drop", "shift_channels"):
            if getattr(d, key):
                value = getattr(d, key)
                raise InputError(f"data.{key} = {value:g}: belongs to events; {self.train.name} has intensities")
        if len(shape) != 3 or shape[0] != 1:
            keys = "data.flip, data.shift, data.rotation, data.elastic_alpha"
            raise InputError(f"{keys}: {self.train.name} has no images of one channel to distort")
        return augment(
            values, shape[1:], ids, self.config.training.seed, self.epoch, d.shift, d.rotation, d.elastic_alpha,
            d.elastic_sigma, d.flip,
        )  # fmt: skip

    def _initial(self):
        """Draw initial tensors, and scale them to the firing rate that is wanted."""
        tensors, wanted = tensors_of(self.config, self.structure), self.config.network.target_rate
        if wanted:
            scale_to_rate(self.structure, tensors, wanted, self._probe_rate)
        return tensors

    def _probe_rate(self, tensors, names):
        batch = min(PROBE, max(PROBE_STEPS // self.config.simulation.n_steps, 10), len(self.train))
        part = self.structure.up_to(names)
        engine = engine_of(self.config, part)
        probe = self.inputs(taken(self.train.x, slice(batch)), self.train.ids[:batch], EVALUATION_EPOCH)
        engine.forward({name: tensors[name] for name in part.tensor_shapes()}, probe)
        totals = engine.spike_totals()
        return sum(totals[name] for name in names) / (batch * sum(self.structure.sizes[name] for name in names))

    def _check_finite(self, name, array):
        if not np.isfinite(array).all():
            raise InputError(
                f"{name} is not finite in epoch {self.epoch + 1}, batch {self.batch + 1}: training stopped; try a "
                f"smaller optimizer.lr = {self.config.optimizer.lr:g} or gradient.max_inverse_slope = "
                f"{self.config.gradient.max_inverse_slope:g}, or optimizer.clip_norm"
            )
