"""Inputs that are currents: a number a neuron and step, or one for the whole trial, weighted into the membrane."""

import numpy as np

from snnsim.connections import Dense
from snnsim.engines.blas import one_thread
from snnsim.engines.ways.base import Way
from snnsim.kernels.cpu.synapses import current_gradient


class CurrentWay(Way):
    """Any shape, from an input of currents; without delay."""

    def __init__(self, connection, network, clock, workspace, inner=False):
        super().__init__(connection, network, clock, workspace, inner)
        pool = connection.shape.pool
        self._factor = clock.dtype.type(pool.scale if pool else 1)
        self._synapses = None
        if connection.shape != Dense():
            self._synapses = connection.shape.synapses(self.source.shape, self.target.shape)

    def begin(self, tensors, values, gain=1.0):
        """Take the weights and currents of a batch: (B, T, N), or (B, N) for whole trials."""
        values = np.asarray(values, self.clock.dtype)
        self._values = values[:, None] if values.ndim == 2 else values
        w = tensors[self.name]
        if self._synapses is None:
            self._matrix = w
            return
        from scipy.sparse import csr_array

        indptr, targets, places = self._synapses
        data = w.reshape(-1)[places] * self._factor
        self._matrix = csr_array((data, targets, indptr), shape=(self.source.size, self.target.size))

    def current(self, block, k0, k1):
        """Give the current into the target in the steps ``k0 <= k < k1``: (B, K, N), K = 1 where it stays the same."""
        values = self._of(block, k0, k1)
        with one_thread():
            flat = values.reshape(-1, self.source.size) @ self._matrix
        return np.ascontiguousarray(flat).reshape(*values.shape[:2], self.target.size)

    def drive_gradient(self, block, k0, k1, membrane, grads):
        """Add to the gradient of the weights, from dL/d(current) of each step, (B, >= k1 - k0, N)."""
        if not self.learns_weight:
            return
        values, felt = self._of(block, k0, k1), membrane[:, : k1 - k0]
        if values.shape[1] == 1:
            felt = felt.sum(axis=1, keepdims=True)
        values, felt = values.reshape(-1, self.source.size), felt.reshape(-1, self.target.size)
        if self._synapses is None:
            with one_thread():
                grads[self.name] += values.T @ felt
            return
        indptr, targets, places = self._synapses
        each = self.array("each", (targets.size,))
        current_gradient(indptr, targets, np.ascontiguousarray(values), np.ascontiguousarray(felt), each)
        found = np.bincount(places, each, minlength=grads[self.name].size) * self._factor
        grads[self.name] += found.reshape(grads[self.name].shape).astype(self.clock.dtype)

    def _of(self, block, k0, k1):
        values = self._values[block]
        return values if values.shape[1] == 1 else np.ascontiguousarray(values[:, k0:k1])
