"""Fully connected, by rows of weights, rows of patterns of four inputs, or dense products."""

from dataclasses import dataclass

import numpy as np

from snnsim.engines.blas import dense_kernels, one_thread
from snnsim.engines.grid import GridSpikes
from snnsim.engines.ways.base import Way
from snnsim.kernels.cpu import synapse as kernels
from snnsim.kernels.cpu.synapses import add_errors
from snnsim.kernels.cpu.wiring import Rows

DENSE_COST = 0.4
PATTERN_COST = 1.2
"""Time of one input's row in a dense product, and of one row of the larger pattern table, in rows of a gather."""
ROW_COST, GROUPING_COST = 80, 70
"""Time to begin a row, and to put one spike into its pattern, in additions of one number."""
_NOWHERE = np.empty((0, 0), np.int32)


@dataclass
class _List:
    """Spikes by step of arrival.

    Parameters
    ----------
    given : GridSpikes
        By neuron (or pooled neuron).
    inputs : GridSpikes
        In the form that the plan takes.
    source : ndarray or None
        Place of each one in the source's list; None: the same.
    factor : float or ndarray (rows, 1)
        Of the weights.
    weights, table : ndarray
        Factor times weights, and that folded into patterns if the plan is so.
    """

    given: GridSpikes
    inputs: GridSpikes
    source: np.ndarray | None
    factor: object
    weights: np.ndarray
    table: np.ndarray


class DenseWay(Way):
    """:class:`~snnsim.connections.Dense` with one delay for all, or one a source neuron."""

    def __init__(self, connection, network, clock, workspace, inner=False):
        super().__init__(connection, network, clock, workspace, inner)
        self.chooses = not inner
        self.plan = "gather" if inner else None if clock.synapse == "auto" else clock.synapse
        pool = connection.shape.pool
        self._scale = pool.scale if pool else 1.0
        self._rows = pool.rows(self.source.shape) if pool else None
        self._n_rows = network.weight_shape(connection)[0]

    @property
    def takes_patterns(self):
        """Whether input as patterns of four is taken as it is."""
        return self.plan == "pattern" and not self.connection.delayed and self._rows is None

    def begin(self, tensors, spikes, gain=1.0):
        """Arrange lists and tables for a batch."""
        w = tensors[self.name]
        steps, fractions = self.delay(tensors)
        self.reach = int(steps.max(initial=0)) + 2 if self.connection.delayed else 1
        self._steps, self._fractions, self._gain = steps, fractions, gain * self._scale
        self._weights = self._scaled("weights", w, self._gain)
        self._lists = []
        for late in (0, 1):
            share = fractions if late else 1 - fractions
            if late and not np.any(share):
                break
            given, source = self._arriving(late, spikes, steps + late)
            factor = self._gain * (share[:, None] if share.ndim else float(share))
            self._lists.append(self._arranged(late, given, source, factor, w))

    def arrived(self):
        """Spikes of the last batch by neuron, as they arrived."""
        return self.by_neuron(self._lists[0].given)

    def edge(self, tensors, source, target):
        """Give the weights and the delay to a component's loop."""
        steps, fractions = self.delay(tensors)
        return Rows(source, target, tensors[self.name], int(steps), float(fractions))

    def input(self, block, k0, k1, x):
        """Write what arrives in the steps ``k0 <= k < k1`` into ``x`` (B, >= k1 - k0, N)."""
        for late, part in enumerate(self._lists):
            out = x if not late else self.workspace.array("second", x.shape, x.dtype)
            spikes = part.inputs.of(block)
            if self.plan == "dense":
                ones = self.workspace.array("dense", (x.shape[0], x.shape[1], self._n_rows), x.dtype)
                kernels.dense_spikes(spikes.rows, spikes.row_ptr, k0, k1, ones)
                with one_thread():
                    dense_kernels().dense_input(ones, part.table, k1 - k0, out)
            else:
                kernels.synaptic_input(part.table, spikes.rows, spikes.row_ptr, k0, k1, out)
            if late:
                x[:, : k1 - k0] += out[:, : k1 - k0]

    def gradient(self, block, k0, k1, adjoint, grads):
        """Add to the gradient of the weights."""
        if self.learns_weight:
            for part in self._lists:
                self._add_gradient(part, block, k0, k1, adjoint, grads[self.name])

    def delay_change(self, block, k0, k1, adjoint, grads):
        """Add to the gradient of the delays."""
        if self.learns_delay:
            given = self._lists[0].given.of(block)
            found = self.array("found", given.rows.shape)
            change = self.change(adjoint, k1 - k0)
            kernels.spike_error(self._weights, change, given.rows, given.row_ptr, k0, k1, found)
            self.add_delay_gradient(found, given, k0, k1, grads)

    def error(self, block, k0, k1, passed, error):
        """Add to the error of each spike of the source."""
        for part in self._lists if self.clock.amplitude else self._lists[:1]:
            given = part.given.of(block)
            found = self.array("found", given.rows.shape)
            weights = part.weights if self.clock.amplitude else self._weights
            kernels.spike_error(weights, passed, given.rows, given.row_ptr, k0, k1, found)
            add_errors(found, given.row_ptr, _NOWHERE if part.source is None else part.source[block], k0, k1, error)

    def error_everywhere(self, block, k0, k1, adjoint, error):
        """Add the derivative by the amplitude of every source neuron in every step of the chunk."""
        span = k1 - k0
        mixed = self._mixed(adjoint, span)
        turned = self.array("turned", self._weights.shape[::-1])
        turned[:] = self._weights.T
        found = self.workspace.array("dense", (len(mixed), span, self._n_rows), self.clock.dtype)
        with one_thread():
            dense_kernels().dense_error(mixed, turned, span, found)
        if self._rows is None:
            error[:, :span] += found
        else:
            used = self._rows >= 0
            error[:, :span, used] += found[:, :, self._rows[used]]

    def _mixed(self, adjoint, span):
        """``(1 - f) X_{k + d} + f X_{k + d + 1}`` of a chunk's steps."""
        step, share = int(self._steps), self.clock.dtype.type(self._fractions)
        mixed = self.workspace.array("packed", (len(adjoint), span, adjoint.shape[2]), adjoint.dtype)
        if share:
            np.multiply(adjoint[:, step : step + span], 1 - share, out=mixed)
            mixed += share * adjoint[:, step + 1 : step + 1 + span]
        else:
            mixed[:] = adjoint[:, step : step + span]
        return mixed

    def _scaled(self, key, w, factor):
        if np.ndim(factor) == 0 and factor == 1:
            return w
        table = self.array(key, w.shape)
        return np.multiply(w, np.asarray(factor, w.dtype), out=table)

    def _arriving(self, late, spikes, steps):
        """Spikes by step of arrival, and where each is from."""
        if steps.ndim or self._rows is not None:
            rows = np.arange(self._n_rows, dtype=np.int32) if self._rows is None else self._rows
            every = np.ascontiguousarray(np.broadcast_to(steps, self.source.size), np.int32)
            return self.listed(late, self.by_neuron(spikes), every, rows, self._n_rows)
        if not steps:
            return spikes, None
        return self.shifted(late, self.by_neuron(spikes), int(steps)), None

    def _arranged(self, late, given, source, factor, w):
        by_neuron = None
        if self.plan is None:
            by_neuron = self.by_neuron(given)
            self._choose(given, by_neuron, w.shape[1])
        weights = table = self._scaled(("share", late), w, factor)
        inputs = given
        if self.plan == "pattern":
            inputs = given if given.group == kernels.GROUP else self._patterns(late, given)
            folded = self.array(("table", late), (-(-w.shape[0] // kernels.GROUP) * kernels.PATTERNS, w.shape[1]))
            kernels.fold_patterns(table, folded)
            table = folded
        elif given.group != 1:
            inputs = self.by_neuron(given) if by_neuron is None else by_neuron
        return _List(given, inputs, source, factor, weights, table)

    def _choose(self, given, by_neuron, n_out):
        patterns = self._patterns(0, by_neuron)
        row = n_out + ROW_COST
        tabulating = n_out * self._n_rows * kernels.PATTERNS / kernels.GROUP
        if given.group == 1:
            tabulating += GROUPING_COST * by_neuron.total
        costs = {
            "gather": by_neuron.total * row,
            "pattern": PATTERN_COST * patterns.total * row + tabulating,
            "dense": DENSE_COST * len(given.row_ptr) * self.clock.n_steps * self._n_rows * row,
        }
        self.plan = min(costs, key=costs.get)

    def _patterns(self, late, spikes):
        rows = self.array(("patterns", late), spikes.rows.shape, np.int32)
        row_ptr = self.array(("pattern_ptr", late), spikes.row_ptr.shape, np.int32)
        kernels.group_spikes(spikes.rows, spikes.row_ptr, rows, row_ptr)
        return GridSpikes(rows, row_ptr, spikes.n_neurons, kernels.GROUP)

    def _add_gradient(self, part, block, k0, k1, adjoint, grad):
        if self.plan == "dense":
            adjoint = np.ascontiguousarray(adjoint[:, : k1 - k0])
        batch, span, n_out = adjoint.shape
        inputs, out = part.inputs.of(block), grad
        if np.ndim(part.factor) or part.factor != 1:
            out = self.array("unscaled", grad.shape)
            out[:] = 0
        if self.plan == "dense":
            ones = self.array("dense_t", (grad.shape[0], batch * span))
            kernels.dense_spikes_by_neuron(inputs.rows, inputs.row_ptr, k0, k1, span, ones)
            with one_thread():
                dense_kernels().dense_weight_gradient(ones, adjoint.reshape(batch * span, n_out), out)
        else:
            n_rows = grad.shape[0]
            if inputs.group == kernels.GROUP:
                n_rows = -(-n_rows // kernels.GROUP) * kernels.PATTERNS
            counts = self.workspace.array("row_counts", (batch, n_rows), np.int32)
            total = int((inputs.row_ptr[:, k1] - inputs.row_ptr[:, k0]).sum())
            entries = self.workspace.array("entries", (total,), np.int32)
            entry_ptr = self.workspace.array("entry_ptr", (n_rows + 1,), np.int64)
            kernels.transpose_rows(inputs.rows, inputs.row_ptr, k0, k1, span, counts, entries, entry_ptr)
            kernels.weight_gradient(adjoint.reshape(batch * span, n_out), entries, entry_ptr, inputs.group, out)
        if out is not grad:
            grad += np.asarray(part.factor, grad.dtype) * out
