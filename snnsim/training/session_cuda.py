"""A training on the GPU: data, weights and optimiser state stay there, and only metrics cross after a batch.

While a batch is computed, a second stream encodes or uploads the next one.
"""

import math

import numpy as np

from snnsim import config as configuration
from snnsim.engines import choose_target, make_device_engine
from snnsim.errors import InputError
from snnsim.integral_loss import IntegralLoss
from snnsim.kernels.cuda import compiler
from snnsim.losses import REGRESSION
from snnsim.registry import SCHEDULES
from snnsim.training.evaluation import BATCH
from snnsim.training.inputs_cuda import EncodedOnDevice, EncodedOnHost
from snnsim.training.loss_cuda import DeviceLoss
from snnsim.training.optimizer_cuda import DeviceOptimizer
from snnsim.training.session import EVALUATION_EPOCH, Session


class CudaSession(Session):
    """A training whose batches run on the GPU; see :class:`snnsim.training.session.Session`.

    ``weights`` and the optimiser's arrays are host copies, brought up to date by :meth:`state`, :meth:`check_weights`
    and :attr:`network`.

    Raises
    ------
    InputError
        If CUDA cannot be used, the device's memory does not suffice, or the configuration wants what is not there.
    """

    target = "cuda"

    def __init__(self, config, network=None, group=None, sets=None):
        for table, key, absent in (
            ("training", "dropout", 0), ("training", "ema_decay", 0), ("training", "micro_batches", 1),
            ("loss", "label_smoothing", 0), ("loss", "activity_cost", 0), ("loss", "rate_strength", 0),
            ("loss", "wake", 0), ("data", "mixup", 0),
        ):  # fmt: skip
            value = getattr(getattr(config, table), key)
            if value != absent:
                raise InputError(f"{table}.{key} = {value}: target = 'cuda' has none")
        choose_target("cuda")
        self._device = None
        super().__init__(config, network, group, sets)
        for registry, name in configuration.parts(config).items():
            if registry is not SCHEDULES and (registry.is_own(name) or name in (REGRESSION, IntegralLoss.name)):
                raise InputError(f"{registry.option} = {name!r}: target = 'cuda' has none")
        if self.train.spiking or not self.train.labelled or self.structure.inputs[0].kind == "current":
            raise InputError("target = 'cuda': learns classes from intensities; spikes, currents, targets need 'cpu'")
        self.structure.require_chain("target = 'cuda'")
        batch = max(min(config.training.batch_size, len(self.train)), BATCH)
        layers = (self.weights[0].shape[0], *(w.shape[1] for w in self.weights))
        self._device = make_device_engine(self.engine, layers, batch)
        encoded = EncodedOnDevice if self.engine.name == "clock" else EncodedOnHost
        self._encoded = encoded(self.encoder, self._device, self.train)
        self._loss = DeviceLoss(self.loss, self._device)
        self._optimizer = DeviceOptimizer(self.optimizer, self._device)
        self._main, self._aside = compiler.stream(), compiler.stream()
        self._ready = compiler.event()
        self._ahead = self._inputs = self._ordered = None
        self._order_on_device = [compiler.empty(len(self.train), np.int64) for _ in range(2)]
        self._windows = {}
        self._push()

    @property
    def network(self):
        """The network as it is now."""
        self._pull()
        return super().network

    def step(self):
        """Train on the next batch of the epoch; see :meth:`Session.step`."""
        device = self._device
        _, labels = self._of_batch(self.batch)
        size = labels.shape[0]
        if self._ahead != (self.epoch, self.batch):
            self._encode(self.batch)
        self._ready.wait(self._main)
        with compiler.on_stream(self._main):
            inputs = self._inputs
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
        correct = int((prediction == self._host_labels[self._window(self.batch)]).sum())
        self.totals.add(float(loss.sum(dtype=np.float64)), correct, size, [0] * len(self.spiking))
        self.batch += 1
        return float(loss.mean(dtype=np.float64)), correct / size

    def examine(self, values, labels, ids):
        """Loss, prediction and spikes for a batch that is not learnt from; see :meth:`Session.examine`."""
        device, size = self._device, len(labels)
        self._ahead = None
        self._collect_spikes()
        self._ready.wait(self._main)  # what is encoded ahead lies where this goes
        with compiler.on_stream(self._main):
            device.forward(self._encoded.of(values, ids, EVALUATION_EPOCH, 0))
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

    def set_tensors(self, tensors):
        """Take other tensors of the same names and shapes."""
        super().set_tensors(tensors)
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
        self._device.take_spikes()  # not of what goes on from here
        self._optimizer.push()

    def _pull(self):
        if self._device is None:
            return
        compiler.synchronize()
        for mine, theirs in zip(self.weights, self._device.weights, strict=True):
            mine[:] = compiler.to_host(theirs)
        self._optimizer.pull()

    def _take_spikes(self):
        return self._device.take_spikes()[: len(self.spiking)]

    def _collect_spikes(self):
        counts = self._take_spikes()
        if self.totals.samples:
            self.totals.add(0.0, 0, 0, counts)

    def _window(self, batch):
        size = self.config.training.batch_size
        return slice(batch * size, min((batch + 1) * size, len(self.train)))

    def _order_epoch(self):
        # The epoch's samples and labels, uploaded once; within a batch in ascending order, as on the CPU.
        # Both stay on the host, too, which augments images and counts right answers.
        if self._ordered != self.epoch:
            order = self._order().astype(np.int64)
            for batch in range(self.batches):
                order[self._window(batch)].sort()
            self._host_order, self._host_labels = order, np.ascontiguousarray(self.train.labels[order], np.int64)
            for mine, theirs in zip(self._order_on_device, (self._host_order, self._host_labels), strict=True):
                compiler.to_device(theirs, mine)
            compiler.synchronize()
            self._ordered = self.epoch

    def _of_batch(self, batch):
        """Give indices of the samples and labels of a batch, on the device."""
        self._order_epoch()
        if batch not in self._windows:
            self._windows[batch] = [array[self._window(batch)] for array in self._order_on_device]
        return self._windows[batch]

    def _encode(self, batch):
        """Encode a batch on the second stream, into the slot that the one being computed does not use."""
        chosen, _ = self._of_batch(batch)
        picked, slot = self._host_order[self._window(batch)], batch % 2
        with compiler.on_stream(self._aside):
            if self._augmenting:
                ids = self.train.ids[picked]
                values = self._augmented(self.train.values[picked], ids)
                self._inputs = self._encoded.of(values, ids, self.epoch, slot)
            else:
                self._inputs = self._encoded.of_training(picked, chosen, self.epoch, slot)
            self._ready.record(self._aside)
        self._ahead = (self.epoch, batch)

    def _raise_not_finite(self):
        for name, gradient in zip(self.learnt, self._device.gradients, strict=True):
            self._check_finite(f"gradient of {name}", compiler.to_host(gradient))
        self._check_finite("norm of all gradients", np.inf)
