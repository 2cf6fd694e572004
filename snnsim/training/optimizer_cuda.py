"""Weight updates on the GPU, for all layers at once."""

import numpy as np

from snnsim.kernels.cuda import compiler, optimizers


class DeviceOptimizer:
    """The update of an :class:`snnsim.optimizers.Optimizer` on the device.

    Parameters
    ----------
    optimizer : Optimizer
        Its arrays and its count of steps are the host's copy.
    device : DeviceNetwork
        Whose weights are updated.
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
                compiler.to_device(np.concatenate([a.reshape(-1) for a in mine.values()]), theirs)

    def pull(self):
        """Copy the device's state to the host."""
        for mine, theirs in ((self.of.first, self._first), (self.of.second, self._second)):
            if mine:
                flat, start = compiler.to_host(theirs), 0
                for a in mine.values():
                    a[...] = flat[start : start + a.size].reshape(a.shape)
                    start += a.size
