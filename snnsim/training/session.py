"""One training, in memory: data, network, engine and optimiser, advanced batch by batch."""

from dataclasses import dataclass, replace

import numpy as np

from snnsim import config as configuration
from snnsim.datasets import load
from snnsim.datasets.deskew import deskewed
from snnsim.encoders import Encoder, checked_intensities
from snnsim.engines.dropout import Dropout
from snnsim.engines.workspace import aligned_copy
from snnsim.errors import InputError
from snnsim.initialisation import initial_weights, scale_to_rate
from snnsim.kernels.cpu import squared_norm
from snnsim.losses import push_silent
from snnsim.memory import release_compiler_pages
from snnsim.network import Network
from snnsim.optimizers import Optimizer, learning_rate
from snnsim.processes import Group, Total, divided
from snnsim.training import compile_ahead
from snnsim.training.mixup import Partners, blend
from snnsim.training.parts import engine_of, loss_of
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


class Session:
    """A training in memory.

    Parameters
    ----------
    config : Config
    weights : list of ndarray, optional
        Instead of initial weights drawn from the configuration.
    group : Group, optional
        Processes that compute this training together, each in a session of its own with equal weights.

    Attributes
    ----------
    weights : list of ndarray, each (N_in, N_out)
    average : WeightAverage
        Of the weights; what is evaluated and kept.
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

    def __init__(self, config, weights=None, group=None):
        self.config = config
        self.group = group or Group()
        self.parts = max(config.training.micro_batches, self.group.size)
        compiling = compile_ahead.start(config) if self.group.size == 1 else None
        # The compiler's own code need not be in memory together with the data and the workspace.
        squared_norm(np.zeros(1, np.float32))
        release_compiler_pages()
        self._loading, self._compiling = True, compiling
        dataset = load(config.data.dataset, config.data.data_dir or None)
        self._split(deskewed(dataset) if config.data.deskew else dataset)
        self.dtype = np.dtype(configuration.precision(config))
        self.readout = configuration.readout(config)
        self.parameters = configuration.neurons(config)
        self.encoder = self._encoder()
        self.engine = engine_of(config, self.parameters, self.readout)
        self.loss = loss_of(config, self.n_classes, self.engine)
        if weights is None:
            n = config.network
            weights = initial_weights(n.layers, n.init, n.init_scale, n.init_mean, config.training.seed, self.dtype)
            if n.target_rate:
                scale_to_rate(weights, n.target_rate, self._probe_rate, self.spiking_layers)
        self.group.copy_first(weights)
        self.weights = [aligned_copy(w) for w in weights]
        o = config.optimizer
        self.optimizer = Optimizer(
            o.name, self.weights, momentum=o.momentum, beta1=o.beta1, beta2=o.beta2, epsilon=o.epsilon,
            weight_decay=o.weight_decay, clip_norm=o.clip_norm,
        )  # fmt: skip
        self.average = WeightAverage(self.weights, config.training.ema_decay)
        self.epoch = self.batch = 0
        self.totals = Totals()

    @property
    def batches(self):
        """Batches of an epoch; the last one may be smaller."""
        return -(-len(self.train) // self.config.training.batch_size)

    @property
    def spiking_layers(self):
        """How many layers after the input spike."""
        return len(self.parameters) - (self.readout == "leaky")

    @property
    def network(self):
        """The network as it is now."""
        return Network(tuple(self.weights), self.parameters, self.readout)

    @property
    def averaged_network(self):
        """The network that is evaluated and kept: :attr:`network`, unless weights are averaged."""
        return replace(self.network, weights=tuple(self.average.weights))

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
        if not self.group.leads and None in getattr(self.engine, "plan", ()):
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
            sums = np.array([result.loss.sum(), correct, len(labels), *self.engine.spike_totals()], np.float64)
            total.add("sums", sums)
            gradients = self._differentiate(result, len(labels) / len(chosen), total)
        total.wait()
        loss, (correct, samples, *spikes) = float(sums[0]), map(int, sums[1:])
        self._check_finite("loss", loss)
        norm = self.optimizer.step(gradients, self.lr)
        if not np.isfinite(norm):
            for layer, gradient in enumerate(gradients):
                self._check_finite(f"gradient of weights[{layer}]", gradient)
            self._check_finite("norm of all gradients", norm)
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
        result = self.loss(self.engine.forward(self.average.weights, inputs), labels)
        return result.loss, result.prediction, self.engine.spike_totals()

    def set_weights(self, weights):
        """Take other weights of the same shapes; their average begins anew."""
        for mine, other in zip(self.weights, weights, strict=True):
            mine[:] = other
        self.average.set(weights)

    def end_epoch(self):
        """Close the epoch: check the weights, and start counting anew. Returns the epoch's :class:`Totals`."""
        self.check_weights()
        self.group.check_equal("weights", self.weights)
        totals, self.totals = self.totals, Totals()
        self.epoch, self.batch = self.epoch + 1, 0
        return totals

    def check_weights(self):
        """Raise InputError if a weight is not finite."""
        for layer, w in enumerate(self.weights):
            self._check_finite(f"weights[{layer}]", w)

    def inputs(self, values, ids, epoch):
        """Input spikes of a batch in the form that the engine takes."""
        if self.engine.name != "clock":
            return self.encoder.in_time(values, ids, epoch)
        return self.encoder.on_grid(values, ids, epoch, 4 if self.engine.plan[0] == "pattern" else 1)

    def state(self):
        """Everything that :meth:`load_state` needs to continue bit for bit, as a tree."""
        return {
            "epoch": self.epoch,
            "batch": self.batch,
            "totals": {**vars(self.totals), "spikes": list(self.totals.spikes)},
            "weights": self.weights,
            "average": self.average.state(),
            "optimizer": self.optimizer.state(),
            "plan": list(getattr(self.engine, "plan", ())),
        }

    def load_state(self, state, path):
        """Continue from :meth:`state`; ``path`` begins the message if it belongs to another network."""
        shapes = [list(w.shape) for w in state["weights"]]
        mine = [list(w.shape) for w in self.weights]
        if shapes != mine:
            raise InputError(f"{path}: holds weights of shapes {shapes}; the configuration has {mine}")
        self.set_weights(state["weights"])
        self.average.load_state(state.get("average", []))
        self.optimizer.load_state(state["optimizer"])
        self.epoch, self.batch = state["epoch"], state["batch"]
        self.totals = Totals(**{**state["totals"], "spikes": tuple(state["totals"]["spikes"])})
        if state["plan"]:
            self.engine.plan[:] = state["plan"]

    def _forward(self, chosen):
        """Output of the network, in training, for chosen samples; their labels, and how they are blended."""
        values, labels, ids, blended = self._samples(chosen)
        options = {}
        if self.config.training.dropout:
            t = self.config.training
            options["dropout"] = Dropout(t.dropout, ids, t.seed, self.epoch)
        return self.engine.forward(self.weights, self.inputs(values, ids, self.epoch), **options), labels, blended

    def _differentiate(self, result, share, total):
        """Gradients of the mean loss over the batch, of which this part is a share, added to the total."""
        if share != 1:
            result.gradient[:] *= result.gradient.dtype.type(share)

        def complete(layer, gradient):
            if layer == len(self.weights) - 1:
                push = self.config.loss.silent_push * share
                push_silent(result, self.engine.last_presynaptic(), push, gradient)
            total.add(layer, gradient)

        cost = self.config.loss.activity_cost
        options = {"activity_cost": cost * share} if cost else {}
        return self.engine.backward(self.weights, result.gradient, complete, **options)

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
        layers, data = self.config.network.layers, self.config.data
        if layers[0] != dataset.n_inputs or layers[-1] != dataset.n_classes:
            raise InputError(
                f"network.layers = {'-'.join(map(str, layers))}: {dataset.name} has {dataset.n_inputs} inputs and "
                f"{dataset.n_classes} classes, so it must read {dataset.n_inputs}-...-{dataset.n_classes}"
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

    def _probe_rate(self, weights, layer):
        batch = min(PROBE, max(PROBE_STEPS // self.config.simulation.n_steps, 10), len(self.train))
        engine = engine_of(self.config, self.parameters[: layer + 1], "spiking")
        probe = self.inputs(self.train.values[:batch], self.train.ids[:batch], EVALUATION_EPOCH)
        engine.forward(weights[: layer + 1], probe)
        return engine.spike_totals()[-1] / (batch * weights[layer].shape[1])

    def _check_finite(self, name, array):
        if not np.isfinite(array).all():
            raise InputError(
                f"{name} is not finite in epoch {self.epoch + 1}, batch {self.batch + 1}: training stopped; try a "
                f"smaller optimizer.lr = {self.config.optimizer.lr:g} or gradient.max_inverse_slope = "
                f"{self.config.gradient.max_inverse_slope:g}, or optimizer.clip_norm"
            )
