"""Forward passes on a GPU for recording: of the clock, whose results come to the host while others run; in time."""

import numpy as np

from snnsim.engines import make_device_engine
from snnsim.engines.clock_cuda import CudaClockEngine, DeviceSpikes
from snnsim.engines.grid import GridSpikes, slab_of_grid
from snnsim.engines.outputs import VoltageOutput
from snnsim.errors import InputError
from snnsim.kernels.cpu.unpack import row_words, word_rows
from snnsim.kernels.cuda import compiler
from snnsim.kernels.cuda.bits import STEPS


class CudaRecordingEngine:
    """What a :class:`~snnsim.simulator.Simulator` asks of a clock engine, computed on the device.

    Batches take turns in two slots, each with arrays, page-locked host memory and a stream of its own: the results of
    one batch are copied while the next is computed. Spikes cross as words, one bit a neuron and step.

    Parameters
    ----------
    clock : ClockEngine
        Whose constants and options hold.
    layers : sequence of int
        Sizes from the input to the output.
    """

    name = "clock"
    slots = 2
    """Batches that may be launched before the first of them is collected."""

    def __init__(self, clock, layers):
        self.clock, self.layers = clock, tuple(layers)
        self.dtype, self.n_steps, self.duration = clock.dtype, clock.n_steps, clock.duration
        self._slots = [None] * self.slots
        self._next = 0
        self._collected = None

    def launch(self, weights, inputs, trace=(), every=1):
        """Begin a batch, and return without waiting for it.

        Parameters
        ----------
        weights : sequence of ndarray, each (N_in, N_out) of the engine's dtype
        inputs : GridSpikes
            By neuron.
        trace, every
            As in :meth:`snnsim.engines.clock.ClockEngine.forward`; the same in every call.

        Returns
        -------
        object
            For :meth:`collect`, in the order of the launches.

        Raises
        ------
        InputError
            If the input does not fit the network, or the device's memory does not suffice.
        """
        if inputs.n_neurons != self.layers[0]:
            raise InputError(f"input: {inputs.n_neurons} neurons; the first layer has {self.layers[0]} inputs")
        if inputs.row_ptr.shape[1] != self.n_steps + 1:
            raise InputError(f"input: {inputs.row_ptr.shape[1] - 1} steps; the engine has {self.n_steps}")
        if len(inputs.row_ptr) == 0:
            return _NoTrials(self.clock, weights, inputs, trace, every)
        at, self._next = self._next, (self._next + 1) % self.slots
        if self._slots[at] is None or self._slots[at].batch < len(inputs.row_ptr):
            self._slots[at] = None  # before its successor takes memory
            self._slots[at] = _Slot(self.clock, self.layers, len(inputs.row_ptr), trace, every)
        self._slots[at].launch(weights, inputs)
        return self._slots[at]

    def collect(self, started):
        """Wait for a batch.

        Returns
        -------
        SpikeOutput or VoltageOutput
            Its arrays hold until :attr:`slots` further batches were launched.
        """
        self._collected = started
        return started.collect()

    def grids(self, inputs=True):
        """Spikes of the batch collected last, on the grid, from the input (there anyway) to the last spiking layer."""
        return self._collected.grids

    def traces(self, layer):
        """``(v, i_syn)`` of a traced layer in the batch collected last, (B, T // every, N), relative to rest."""
        return self._collected.traces[layer]


class CudaEventRecordingEngine:
    """What a :class:`~snnsim.simulator.Simulator` asks of an event or a hybrid engine, with its spikes from the device.

    Membranes and currents are computed on the host, in closed form from the spikes.

    Parameters
    ----------
    engine : EventEngine
        Whose constants and options hold.
    layers : sequence of int
        Sizes from the input to the output.
    """

    slots = 1
    """A batch is complete when it was launched: its layers wait for counts of spikes in any case."""

    def __init__(self, engine, layers):
        self.name, self.dtype, self.duration = engine.name, engine.dtype, engine.duration
        self.spikes, self.trace = engine.spikes, engine.trace
        self._engine, self._device = engine, make_device_engine(engine, layers, 1, learns=False)

    def forward(self, weights, inputs):
        """Simulate a batch; see :meth:`snnsim.engines.event.EventEngine.forward`."""
        slab = self._engine.validated(inputs, weights)
        if len(slab.counts) == 0:
            return self._engine.forward(weights, slab)  # the device has no arrays without entries
        for mine, theirs in zip(weights, self._device.weights, strict=True):
            compiler.to_device(mine, theirs)
        self._device.forward(self._device.upload(slab, 0))
        slabs = self._device.to_host()
        self._engine.adopt([slab, *slabs])
        if self._engine.readout == "leaky":
            return VoltageOutput(compiler.to_host(self._device.output_membrane(len(slab.counts))), self.duration)
        return slabs[-1]


class _NoTrials:
    """Stands for a batch of no trials, which the CPU simulates: the device has no arrays without entries."""

    def __init__(self, clock, weights, inputs, trace, every):
        plan = clock.plan
        self._output = clock.forward(weights, inputs, trace, every)
        clock.plan = plan  # no trials are no reason to decide it
        self.grids, self.traces = clock.grids(), {layer: clock.traces(layer) for layer in trace}

    def collect(self):
        return self._output


class _Slot:
    """Memory and stream of one batch at a time."""

    def __init__(self, clock, layers, batch, trace, every):
        self.batch = batch
        self._device = CudaClockEngine(clock, layers, batch, learns=False, trace=trace, every=every)
        self._stream = compiler.stream()
        self._pinned = {}

    def launch(self, weights, inputs):
        self._inputs = inputs
        size = len(inputs.row_ptr)
        with compiler.on_stream(self._stream):
            for mine, theirs in zip(weights, self._device.weights, strict=True):
                compiler.to_device(mine, theirs)
            words = _words_on_device(inputs) if self._device.plan[0] == "masked" else None
            self._given = DeviceSpikes(compiler.to_device(inputs.rows), compiler.to_device(inputs.row_ptr), words)
            self._device.forward(self._given)
            self._found = [
                (self._copy((index, "words"), size, spikes and spikes.words),
                 self._copy((index, "pointers"), size, spikes and spikes.row_ptr),
                 self._copy((index, "v"), size, v), self._copy((index, "i_syn"), size, i_syn))
                for index, (spikes, v, i_syn) in enumerate(self._device.recorded(size))
            ]  # fmt: skip

    def collect(self):
        compiler.wait_for(self._stream)
        self.traces = [(v, i_syn) for _, _, v, i_syn in self._found]
        self.grids = [self._inputs]
        for words, row_ptr, v, _ in self._found:
            if words is None:
                return VoltageOutput(v, self._device.clock.duration)
            rows = np.empty((len(row_ptr), int(row_ptr[:, -1].max(initial=0))), np.int32)
            word_rows(words, row_ptr, rows)
            self.grids.append(GridSpikes(rows, row_ptr, words.shape[2]))
        return slab_of_grid(self.grids[-1], self._device.clock.dt)

    def _copy(self, name, size, array):
        # Into page-locked memory, kept for the largest batch: only from there does a copy run beside kernels.
        if array is None or array.size == 0:
            return None
        if name not in self._pinned:
            self._pinned[name] = compiler.pinned(self.batch * (array.size // size), array.dtype)
        mine = self._pinned[name][: array.size].reshape(array.shape)
        compiler.to_host(array, mine)
        return mine


def _words_on_device(inputs):
    """Words of the input; None where a neuron spikes twice in a step."""
    size, n_steps = len(inputs.row_ptr), inputs.row_ptr.shape[1] - 1
    words, repeated = np.empty((size, -(-n_steps // STEPS), inputs.n_neurons), np.uint32), np.empty(size, bool)
    row_words(inputs.rows, inputs.row_ptr, words, repeated)
    return None if repeated.any() else compiler.to_device(words)
