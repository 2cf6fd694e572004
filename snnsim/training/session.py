"""One training, in memory: data, network, engine and optimiser, advanced batch by batch."""

from dataclasses import dataclass

import numpy as np

from snnsim import config as configuration
from snnsim.blueprint import network_of
from snnsim.datasets import load
from snnsim.datasets.deskew import deskewed
from snnsim.encoders import Encoder, checked_intensities
from snnsim.engines.dropout import Dropout
from snnsim.engines.workspace import aligned_copy
from snnsim.errors import InputError
from snnsim.initialisation import scale_to_rate
from snnsim.kernels.cpu import squared_norm
from snnsim.losses import push_silent
from snnsim.memory import release_compiler_pages
from snnsim.optimizers import Optimizer, learning_rate
from snnsim.processes import Group, Total, divided
from snnsim.training import compile_ahead
from snnsim.training.logarithms import Logarithms
from snnsim.training.mixup import Partners, blend
from snnsim.training.parts import engine_of, loss_of, tensors_of
from snnsim.training.weight_average import WeightAverage

EVALUATION_EPOCH = 2**32 - 1
"""Epoch number that keys the random numbers of every evaluation: the same samples get the same spikes each time."""
PROBE, PROBE_STEPS = 200, 20_000
"""Samples that measure the firing rate of initial weights, fewer where all their steps would be more than so many."""


@dataclass(frozen=True)
class Split:
    """Samples that are learnt from, or looked at: intensities, labels, and numbers that key their random numbers."""

    values: np.ndarray
    labels: np.ndarray
    ids: np.ndarray

    def __len__(self):
        return len(self.labels)

    def first(self, n):
        """Take the first ``n`` samples, or all for None."""
        return Split(self.values[:n], self.labels[:n], self.ids[:n])


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


class Session:
    """A training in memory.

    Parameters
    ----------
    config : Config
    network : Network, optional
        Instead of the one that the configuration describes, with initial weights.
    group : Group, optional
        Processes that compute this training together, each in a session of its own with equal weights.

    Attributes
    ----------
    structure : Network
        Populations and connections; its tensors are those it began with.
    tensors : dict of str to ndarray
        By name, as they are now.
    average : WeightAverage
        Of the learnt tensors; what is evaluated and kept.
    engine, encoder, loss, optimizer
    train, validation, test : Split
    group : Group
    parts : int
        Into how many parts the samples of every batch are divided, over all processes.
    epoch, batch : int
        Position: batches of the current epoch that are done.
    totals : Totals
        Of the current epoch so far.
    """

    target = "cpu"

    def __init__(self, config, network=None, group=None):
        self.config = config
        self.group = group or Group()
        self.parts = max(config.training.micro_batches, self.group.size)
        compiling = compile_ahead.start(config) if self.group.size == 1 else None
        # The compiler's own code need not be in memory together with the data and the workspace.
        squared_norm(np.zeros(1, np.float32))
        release_compiler_pages()
        self._loading, self._compiling = True, compiling
        self.structure = network if network is not None else network_of(config)
        dataset = load(config.data.dataset, config.data.data_dir or None)
        self._split(deskewed(dataset) if config.data.deskew else dataset)
        self.dtype = np.dtype(configuration.precision(config))
        self.encoder = self._encoder()
        self.engine = engine_of(config, self.structure)
        self.loss = loss_of(config, self.n_classes, self.engine)
        tensors = self.structure.tensors if network is not None else self._initial()
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
    def weights(self):
        """Weights of every connection."""
        return [self.tensors[c.name] for c in self.structure.connections]

    @property
    def spiking(self):
        """Populations that spike, beside inputs, and their sizes, by name."""
        return {p.name: p.size for p in map(self.structure.populations_by_name.get, self.structure.populations)
                if p.spiking and not p.is_input}  # fmt: skip

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
            Means over the batch.

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
            output, labels, blended = self._forward(chosen[part])
            result = self.loss(output, labels, blended)
            if self._loading:
                if self._compiling is not None:
                    self._compiling.join()
                release_compiler_pages()
            correct = np.count_nonzero(result.prediction == labels)
            spikes = self.engine.spike_totals().values()
            sums = np.array([result.loss.sum(), correct, len(labels), *spikes], np.float64)
            total.add("sums", sums)
            gradients = self._differentiate(result, len(labels) / len(chosen), total)
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
        return loss / samples, correct / samples

    def next_batch(self):
        """Give what :meth:`step` trains on next: intensities (distorted and blended, if so), labels, numbers."""
        values, labels, ids, _ = self._samples(self._chosen())
        return values, labels, ids

    def examine(self, values, labels, ids):
        """Loss, prediction and spikes of each spiking layer for a batch that is not learnt from.

        Returns
        -------
        loss : ndarray, (B,) float
        prediction : ndarray, (B,) int64
        spikes : list of int
        """
        inputs = self.inputs(values, ids, EVALUATION_EPOCH)
        result = self.loss(self.engine.forward(self.averaged, inputs), labels)
        return result.loss, result.prediction, list(self.engine.spike_totals().values())

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

    def inputs(self, values, ids, epoch):
        """Input spikes of a batch in the form that the engine takes."""
        if self.engine.name != "clock":
            return self.encoder.in_time(values, ids, epoch)
        return self.encoder.on_grid(values, ids, epoch, 4 if self.engine.takes_patterns else 1)

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
        """Output of the network, in training, for chosen samples; their labels, and how they are blended."""
        values, labels, ids, blended = self._samples(chosen)
        options = {}
        if self.config.training.dropout:
            t = self.config.training
            options["dropout"] = Dropout(t.dropout, ids, t.seed, self.epoch)
        return self.engine.forward(self.tensors, self.inputs(values, ids, self.epoch), **options), labels, blended

    def _differentiate(self, result, share, total):
        """Gradients of the mean loss over the batch, of which this part is a share, added to the total."""
        if share != 1:
            result.gradient[:] *= result.gradient.dtype.type(share)

        push = self.config.loss.silent_push * share
        last = self.structure.into(self.structure.output.name)[0].name

        def complete(name, gradient):
            if push and name == last:
                push_silent(result, self.engine.last_presynaptic(), push, gradient)
            total.add(name, gradient)

        cost = self.config.loss.activity_cost
        options = {"activity_cost": cost * share} if cost else {}
        return self.engine.backward(self.tensors, result.gradient, complete, **options)

    def _chosen(self):
        size = self.config.training.batch_size
        return np.sort(self._order()[self.batch * size : (self.batch + 1) * size])

    def _samples(self, chosen):
        train, blended = self.train, None
        values = self._augmented(train.values[chosen], train.ids[chosen])
        if self.config.data.mixup:
            partners = self._partners()
            others, shares = partners.others[chosen], partners.shares[chosen]
            values = blend(values, self._augmented(train.values[others], train.ids[others]), shares)
            blended = train.labels[others], shares
        return values, train.labels[chosen], train.ids[chosen], blended

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

    def _split(self, dataset):
        network, data = self.structure, self.config.data
        if [p.size for p in network.inputs] != [dataset.n_inputs] or network.output.size != dataset.n_classes:
            raise InputError(
                f"network.layers = {configuration.layers_text(self.config)}: {dataset.name} has {dataset.n_inputs} "
                f"inputs and {dataset.n_classes} classes, so it must read {dataset.n_inputs}-...-{dataset.n_classes}"
            )
        for part in (dataset.train_images, dataset.test_images, dataset.validation_images):
            if part is not None and part.dtype != np.uint8:
                checked_intensities(part)
        self.n_classes, self.image_shape = dataset.n_classes, dataset.image_shape
        n_train = min(data.limit or len(dataset.train_labels), len(dataset.train_labels))
        n_test = min(data.limit or len(dataset.test_labels), len(dataset.test_labels))
        ids = np.arange(n_train)
        if dataset.validation_images is not None:
            # The publication has a validation set of its own.
            cut, kept = n_train, min(data.validation or len(dataset.validation_labels), len(dataset.validation_labels))
            self.validation = Split(
                dataset.validation_images[:kept], dataset.validation_labels[:kept], 2**30 + np.arange(kept)
            )
        else:
            n_validation = data.validation if not data.limit else min(data.validation, n_train // 10)
            if n_validation >= n_train:
                raise InputError(f"data.validation = {n_validation}: must be below the {n_train} training samples")
            # Held-out samples are the last ones, whatever the seed: runs with other seeds are chosen on the same set.
            cut = n_train - n_validation
            held = slice(cut, n_train)
            self.validation = Split(dataset.train_images[held], dataset.train_labels[held], ids[held])
        self.train = Split(dataset.train_images[:cut], dataset.train_labels[:cut], ids[:cut])
        # Test samples have numbers of their own: no random number is shared with a training sample.
        self.test = Split(
            dataset.test_images[:n_test], dataset.test_labels[:n_test], 2**31 + np.arange(n_test, dtype=np.int64)
        )

    def _encoder(self):
        e, s = self.config.encoder, self.config.simulation
        return Encoder(
            e.name, dt=s.dt, n_steps=s.n_steps, max_probability=e.max_probability, max_rate=e.max_rate,
            t_latest=e.t_latest, latency_floor=e.latency_floor, seed=self.config.training.seed,
        )  # fmt: skip

    @property
    def _augmenting(self):
        d = self.config.data
        return bool(d.flip or d.shift or d.rotation or d.elastic_alpha)

    def _augmented(self, values, ids):
        if not self._augmenting:
            return values
        from snnsim.datasets.augment import augment

        if self.image_shape is None:
            keys = "data.flip, data.shift, data.rotation, data.elastic_alpha"
            raise InputError(f"{keys}: {self.config.data.dataset} has no images to distort")
        d = self.config.data
        return augment(
            values, self.image_shape, ids, self.config.training.seed, self.epoch, d.shift, d.rotation, d.elastic_alpha,
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
        probe = self.inputs(self.train.values[:batch], self.train.ids[:batch], EVALUATION_EPOCH)
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
