"""A training on the GPU: data, weights and optimiser state stay there, and only metrics cross after a batch.

While a batch is computed, a second stream encodes the next one.
"""

import math

import numpy as np

from snnsim.encoders import WORD
from snnsim.engines import choose_target
from snnsim.engines.clock_cuda import CudaClockEngine
from snnsim.errors import InputError
from snnsim.kernels.cuda import compiler, encoding, losses, optimizers
from snnsim.losses import MEMBRANE_LOSSES
from snnsim.training.evaluation import BATCH
from snnsim.training.session import EVALUATION_EPOCH, Session


class CudaSession(Session):
    """A training whose batches run on the GPU; see :class:`snnsim.training.session.Session`.

    ``weights`` and the optimiser's arrays are host copies, brought up to date by :meth:`state`, :meth:`check_weights`
    and :attr:`network`.

    Raises
    ------
    InputError
        If CUDA cannot be used, the device's memory does not suffice, or the configuration wants another engine than
        the clock.
    """

    target = "cuda"

    def __init__(self, config, weights=None):
        for table, key, absent in (
            ("training", "dropout", 0), ("training", "ema_decay", 0), ("training", "micro_batches", 1),
            ("loss", "label_smoothing", 0), ("loss", "activity_cost", 0), ("data", "mixup", 0),
        ):  # fmt: skip
            value = getattr(getattr(config, table), key)
            if value != absent:
                raise InputError(f"{table}.{key} = {value}: target = 'cuda' has none")
        choose_target("cuda", config.simulation.engine)
        self._device = None
        super().__init__(config, weights)
        batch = max(min(config.training.batch_size, len(self.train)), BATCH)
        layers = (self.weights[0].shape[0], *(w.shape[1] for w in self.weights))
        self._device = CudaClockEngine(self.engine, layers, batch)
        self._loss = DeviceLoss(self.loss, self._device)
        self._optimizer = DeviceOptimizer(self.optimizer, self._device)
        self._main, self._aside = compiler.stream(), compiler.stream()
        self._encoded = compiler.event()
        self._values, self._table = self._drives(self.train.values)
        self._ids = compiler.to_device(self.train.ids.astype(np.int64))
        self._ahead = self._order_on_device = None
        self._spikes = [0] * self.spiking_layers
        self._push()

    @property
    def network(self):
        """The network as it is now."""
        self._pull()
        return super().network

    def step(self):
        """Train on the next batch of the epoch; see :meth:`Session.step`."""
        device, slot = self._device, self.batch % 2
        labels, _ = self._batch_labels(self.batch)
        size = labels.shape[0]
        if self._ahead != (self.epoch, self.batch):
            self._encode(self.batch)
        self._encoded.wait(self._main)
        with compiler.on_stream(self._main):
            inputs = device.inputs(size, slot)
            device.forward(inputs)
            signal = self._loss(size, labels)
            device.backward(inputs, signal)
            self._loss.push(self.config.loss.silent_push, size, labels, inputs)
            self._optimizer.step(self.lr, self._loss.values(size))
            if self.batch + 1 < self.batches:
                self._encode(self.batch + 1)
            loss, prediction, (norm, _) = self._loss.fetch(size, self._optimizer.report)
        self._check_finite("loss", loss)
        if not math.isfinite(norm):
            self._raise_not_finite()
        self._optimizer.done()
        correct = int((prediction == self._host_labels(self.batch)).sum())
        self.totals.add(float(loss.sum(dtype=np.float64)), correct, size, [0] * self.spiking_layers)
        self.batch += 1
        return float(loss.mean(dtype=np.float64)), correct / size

    def examine(self, values, labels, ids):
        """Loss, prediction and spikes for a batch that is not learnt from; see :meth:`Session.examine`."""
        device, size = self._device, len(labels)
        self._ahead = None
        self._collect_spikes()
        values, table = self._drives(values)
        with compiler.on_stream(self._main):
            inputs = device.inputs(size, 0)
            everything = compiler.nothing(1, np.int64)
            ids = compiler.to_device(np.ascontiguousarray(ids, np.int64))
            self._encode_values(values, table, everything, ids, EVALUATION_EPOCH, inputs)
            device.forward(inputs)
            self._loss(size, compiler.to_device(np.ascontiguousarray(labels, np.int64)))
            loss, prediction, _ = self._loss.fetch(size, self._optimizer.report)
        return loss, prediction, self._take_spikes()

    def end_epoch(self):
        """Close the epoch; see :meth:`Session.end_epoch`."""
        self._collect_spikes()
        return super().end_epoch()

    def check_weights(self):
        """Raise InputError if a weight is not finite."""
        self._pull()
        super().check_weights()

    def set_weights(self, weights):
        """Take other weights of the same shapes."""
        super().set_weights(weights)
        if self._device is not None:
            self._push()

    def state(self):
        """Everything that :meth:`load_state` needs to continue bit for bit, as a tree."""
        self._collect_spikes()
        self._pull()
        return super().state()

    def load_state(self, state, path):
        """Continue from :meth:`state`."""
        super().load_state(state, path)
        self._push()

    def _push(self):
        flat = np.concatenate([w.reshape(-1) for w in self.weights])
        compiler.to_device(flat, self._device.flat_weights)
        for total in self._device.totals:
            compiler.to_device(np.zeros(1, np.int64), total)
        self._optimizer.push()

    def _pull(self):
        if self._device is None:
            return
        compiler.synchronize()
        for mine, theirs in zip(self.weights, self._device.weights, strict=True):
            mine[:] = compiler.to_host(theirs)
        self._optimizer.pull()

    def _take_spikes(self):
        # Spikes since the last call, of each spiking layer.
        compiler.synchronize()
        counts = []
        for total in self._device.totals[: self.spiking_layers]:
            counts.append(int(compiler.to_host(total)[0]))
            compiler.to_device(np.zeros(1, np.int64), total)
        return counts

    def _collect_spikes(self):
        counts = self._take_spikes()
        if self.totals.samples:
            self.totals.add(0.0, 0, 0, counts)

    def _window(self, batch):
        size = self.config.training.batch_size
        return slice(batch * size, min((batch + 1) * size, len(self.train)))

    def _epoch_order(self):
        # The epoch's samples and labels, uploaded once; within a batch in ascending order, as on the CPU.
        if self._order_on_device is None or self._order_on_device[0] != self.epoch:
            order = self._order().astype(np.int64)
            for batch in range(self.batches):
                order[self._window(batch)].sort()
            labels = np.ascontiguousarray(self.train.labels[order], np.int64)
            self._order_on_device = (
                self.epoch, order, labels, compiler.to_device(order), compiler.to_device(labels)
            )  # fmt: skip
            compiler.synchronize()
        return self._order_on_device

    def _host_labels(self, batch):
        return self._epoch_order()[2][self._window(batch)]

    def _batch_labels(self, batch):
        _, _, _, order, labels = self._epoch_order()
        window = self._window(batch)
        return labels[window], order[window]

    def _encode(self, batch):
        """Encode a batch on the second stream, into the slot that the one being computed does not use."""
        labels, chosen = self._batch_labels(batch)
        inputs = self._device.inputs(labels.shape[0], batch % 2)
        with compiler.on_stream(self._aside):
            if self._augmenting:
                picked = self._epoch_order()[1][self._window(batch)]
                values, table = self._drives(self._augmented(self.train.values[picked], self.train.ids[picked]))
                ids = compiler.to_device(self.train.ids[picked].astype(np.int64))
                self._encode_values(values, table, compiler.nothing(1, np.int64), ids, self.epoch, inputs)
            else:
                self._encode_values(self._values, self._table, chosen, self._ids, self.epoch, inputs)
            self._encoded.record(self._aside)
        self._ahead = (self.epoch, batch)

    def _drives(self, values):
        """Upload what the encoder's kernels read: intensities and a table, or thresholds and no table."""
        if values.dtype == np.uint8:
            return compiler.to_device(values), compiler.to_device(self.encoder.drives(np.arange(256, dtype=np.uint8)))
        return compiler.to_device(self.encoder.drives(values)), compiler.nothing(1, np.int64)

    def _encode_values(self, values, table, chosen, ids, epoch, inputs):
        e = self.encoder
        out = e.n_steps, 1, inputs.rows, inputs.row_ptr, inputs.words
        if e.name == "latency":
            encoding.single_words(values, table, chosen, *out)
        elif e.name == "regular":
            encoding.regular_words(values, table, chosen, *out)
        else:
            encoding.poisson_words(values, table, chosen, ids, e.seed, int(epoch) & WORD, *out)

    def _raise_not_finite(self):
        for layer, gradient in enumerate(self._device.gradients):
            self._check_finite(f"gradient of weights[{layer}]", compiler.to_host(gradient))
        self._check_finite("norm of all gradients", np.inf)


class DeviceLoss:
    """A :class:`snnsim.losses.Loss` on the device, in the engine's dtype.

    Parameters
    ----------
    loss : Loss
    device : CudaClockEngine
    """

    def __init__(self, loss, device):
        self.of, self.device, self.dtype = loss, device, device.dtype
        number = self.dtype.type
        self._targets = compiler.to_device(loss.target_counts.astype(self.dtype))
        self._trains = compiler.to_device(loss.target_trains.astype(self.dtype))
        self._train_counts = compiler.to_device(loss.target_train_counts)
        self._host = {}
        self._tau, self._number = number(loss.tau), number

    def _array(self, name, size, *shape, dtype=None):
        return self.device.pool.array(name, size, shape, dtype or self.dtype)

    def values(self, size):
        """Loss of each sample, (B,)."""
        return self._array("loss", size)

    def __call__(self, size, labels):
        """Evaluate the last forward pass; returns the signal for the backward pass.

        Parameters
        ----------
        size : int
            Samples.
        labels : device array, (B,) int64
        """
        of, number, n_classes, n_steps = self.of, self._number, self.of.n_classes, self.of.n_steps
        spikes, v = self.device.output(size)
        loss, prediction = self.values(size), self._array("prediction", size, dtype=np.int64)
        if of.name in MEMBRANE_LOSSES:
            field = self._array("dL/dv", size, n_steps, n_classes)
            losses.membrane_loss(v, labels, of.name == "membrane-max", loss, prediction, field)
            return field
        neurons, counts = spikes.rows, spikes.row_ptr[:, -1]
        error = self._array("dL/dt", size, neurons.shape[1])
        field = self._array("dL/ds", size, n_steps, n_classes) if of.amplitude else None
        by_class = self._array("loss by class", size, n_classes)
        if of.name in ("count-cross-entropy", "count-mse"):
            targets = self._targets if of.name == "count-mse" else compiler.nothing(1, self.dtype)
            out = compiler.nothing(2, self.dtype) if of.amplitude else error
            losses.count_loss_with_error(neurons, counts, labels, targets, loss, prediction, by_class, out)
            if of.amplitude:
                losses.spread_steps(by_class, field)
            return field if of.amplitude else error
        times = self._array("times", size, neurons.shape[1])
        losses.spike_times(spikes.row_ptr, of.dt, times)
        slab, dt, duration = (neurons, times, counts), number(of.dt), number(of.duration)
        if of.name == "first-spike":
            losses.first_spike_loss(*slab, labels, duration, self._tau, loss, prediction, by_class)
            if of.amplitude:
                losses.first_spike_amplitude(*slab, by_class, duration, dt, field)
            else:
                losses.first_spike_error(neurons, counts, by_class, error)
        else:
            given = *slab, labels, self._trains, self._train_counts
            losses.van_rossum_loss(*given, n_classes, self._tau, loss, prediction, error)
            if of.amplitude:
                losses.van_rossum_amplitude(*given, dt, self._tau, field)
        return field if of.amplitude else error

    def push(self, push, size, labels, inputs):
        """Add to the last layer's gradient what wakes silent outputs; see :func:`snnsim.losses.push_silent`."""
        device = self.device
        if not push or self.of.name in MEMBRANE_LOSSES:
            return
        spikes, _ = device.output(size)
        silent = self._array("silent", size, dtype=np.int64)
        before = device.presynaptic(size, inputs)
        losses.silent_labels(spikes.rows, spikes.row_ptr[:, -1], labels, silent)
        share = self._number(push / size / device.area)
        losses.silent_drive(before.rows, before.row_ptr[:, -1], silent, share, device.gradients[-1])
        device.measure_last_gradient()

    def fetch(self, size, report):
        """Copy loss, prediction and the optimiser's report to the host, and wait for them."""
        if size not in self._host:
            self._host[size] = (
                compiler.pinned(size, self.dtype), compiler.pinned(size, np.int64), compiler.pinned(2, self.dtype)
            )  # fmt: skip
        arrays = self.values(size), self._array("prediction", size, dtype=np.int64), report
        for theirs, mine in zip(arrays, self._host[size], strict=True):
            compiler.to_host(theirs, mine)
        compiler.synchronize()
        return self._host[size]


class DeviceOptimizer:
    """The update of an :class:`snnsim.optimizers.Optimizer` on the device.

    Parameters
    ----------
    optimizer : Optimizer
        Its arrays and its count of steps are the host's copy.
    device : CudaClockEngine
    """

    def __init__(self, optimizer, device):
        self.of, self.device = optimizer, device
        self._first, self._second = (
            compiler.to_device(np.zeros(device.flat_weights.size, device.dtype)) for _ in range(2)
        )
        self.report = compiler.to_device(np.zeros(2, device.dtype))

    def step(self, lr, loss):
        """Update the weights, unless the gradient's norm or a loss is not finite; :meth:`done` counts the step."""
        of, device = self.of, self.device
        with np.errstate(over="ignore"):  # infinite weights are for the caller to find
            constants = device.area, of.clip_norm, *of.constants(lr, of.steps + 1)
            values = tuple(device.dtype.type(v) for v in constants)
        given = device.flat_weights, device.flat_gradient, self._first
        if of.name == "sgd":
            optimizers.clipped_sgd(*given, device.squares, loss, *values, self.report)
        else:
            optimizers.clipped_adam(*given, self._second, device.squares, loss, *values, self.report)

    def done(self):
        """Count a step."""
        self.of.steps += 1

    def push(self):
        """Copy the host's state to the device."""
        for mine, theirs in ((self.of.first, self._first), (self.of.second, self._second)):
            if mine:
                compiler.to_device(np.concatenate([a.reshape(-1) for a in mine]), theirs)

    def pull(self):
        """Copy the device's state to the host."""
        for mine, theirs in ((self.of.first, self._first), (self.of.second, self._second)):
            if mine:
                flat, start = compiler.to_host(theirs), 0
                for a in mine:
                    a[:] = flat[start : start + a.size].reshape(a.shape)
                    start += a.size
