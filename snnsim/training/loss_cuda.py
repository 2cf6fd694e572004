"""Losses on the GPU: value, prediction and the signal for the backward pass, without a copy to the host."""

import numpy as np

from snnsim.kernels.cuda import compiler, losses
from snnsim.losses import MEMBRANE_LOSSES


class DeviceLoss:
    """A :class:`snnsim.losses.Loss` on the device, evaluated in the dtype of the engine's errors.

    Parameters
    ----------
    loss : Loss
    device : CudaClockEngine or CudaEventEngine
    """

    def __init__(self, loss, device):
        self.of, self.device, self.dtype = loss, device, device.error_dtype
        number = self.dtype.type
        self._targets = compiler.to_device(loss.target_counts.astype(self.dtype))
        self._trains = compiler.to_device(loss.target_trains.astype(self.dtype))
        self._train_counts = compiler.to_device(loss.target_train_counts)
        self._host = {}
        self._tau, self._number = number(loss.tau), number

    def _array(self, name, size, *shape, dtype=None):
        return self.device.pool.array(name, size, shape, dtype or self.dtype)

    def values(self, size):
        """Loss of each sample, (B,) of the weights' dtype."""
        return self._array("loss", size, dtype=self.device.dtype)

    def __call__(self, size, labels):
        """Evaluate the last forward pass; returns the signal for the backward pass.

        Parameters
        ----------
        size : int
            Samples.
        labels : device array, (B,) int64
        """
        of, number, n_classes, n_steps = self.of, self._number, self.of.n_classes, self.of.n_steps
        loss, prediction = self.values(size), self._array("prediction", size, dtype=np.int64)
        if of.name in MEMBRANE_LOSSES:
            field = self._array("dL/dv", size, n_steps, n_classes)
            v = self.device.output_membrane(size)
            losses.membrane_loss(v, labels, of.name == "membrane-max", loss, prediction, field)
            return field
        neurons, counts = self.device.output(size)
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
        slab = neurons, self.device.output_times(size), counts
        dt, duration = number(of.dt), number(of.duration)
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
        silent = self._array("silent", size, dtype=np.int64)
        losses.silent_labels(*device.output(size), labels, silent)
        share = device.dtype.type(push / size / device.area)
        losses.silent_drive(*device.presynaptic(size, inputs), silent, share, device.gradients[-1])
        device.measure_gradient(-1)

    def fetch(self, size, report):
        """Copy loss, prediction and the optimiser's report to the host, and wait for them."""
        if size not in self._host:
            self._host[size] = (
                compiler.pinned(size, self.device.dtype), compiler.pinned(size, np.int64),
                compiler.pinned(2, self.device.dtype),
            )  # fmt: skip
        arrays = self.values(size), self._array("prediction", size, dtype=np.int64), report
        for theirs, mine in zip(arrays, self._host[size], strict=True):
            compiler.to_host(theirs, mine)
        compiler.wait_for(compiler.current_stream())
        return self._host[size]
