"""An engine that records: batches of trials in, recordings out."""

from collections import deque

import numpy as np

from snnsim.arguments import number, whole
from snnsim.engines import ENGINES, choose_target, make_engine
from snnsim.engines.clock import PRECISIONS, SYNAPSES
from snnsim.engines.grid import grid_of_spikes
from snnsim.engines.outputs import SpikeOutput, slab_of_spikes, spikes_of_slab
from snnsim.engines.workspace import aligned_copy
from snnsim.errors import InputError, check_names
from snnsim.kernels.cpu.synapse import GROUP
from snnsim.network import Network
from snnsim.parameters import IMPULSES, SCHEMES
from snnsim.recorded import LayerRecording, Recording
from snnsim.spikes import RowSpikes, Spikes

VARIABLES = ("spikes", "v", "i_syn")


class Simulator:
    """An engine that records; :func:`snnsim.simulation.simulate` for many batches, one at a time.

    Parameters
    ----------
    network : Network
    engine : {"clock", "hybrid", "event"}
    dt : float
        Step size; for the event engine the time between samples.
    n_steps : int
        Steps of a trial, or samples of the event engine.
    duration : float, optional
        Of a trial of the event engine; ``n_steps * dt`` if None.
    sampled : bool
        Whether ``dt`` may be used for samples.
    scheme, impulse, record, record_layers, record_neurons, record_every, precision, synapse
        As in :func:`snnsim.simulation.simulate`.
    target : {"cpu", "cuda", "auto"}
        Where batches are computed. ``cuda`` never falls back to the CPU; ``auto`` takes it where it can be used.

    Attributes
    ----------
    ahead : int
        Batches that may be launched beside the one that is collected next.
    sizes, neuron_ids : dict
        Of each population: number of neurons, and those of which v and i_syn are kept, (M,) int64.

    Raises
    ------
    InputError
        For options that do not fit together.
    """

    def __init__(
        self,
        network,
        engine="clock",
        *,
        dt,
        n_steps,
        duration=None,
        sampled=True,
        scheme="backward_euler",
        impulse="unit-area",
        record=("spikes",),
        record_layers=None,
        record_neurons=None,
        record_every=1,
        precision=None,
        synapse="auto",
        target="cpu",
    ):
        if not isinstance(network, Network):
            raise InputError(f"network: a {type(network).__name__}; must be snnsim.Network")
        check_names("engine", [engine], ENGINES)
        check_names("scheme", [scheme], SCHEMES)
        check_names("impulse", [impulse], IMPULSES)
        check_names("synapse", [synapse], SYNAPSES)
        check_names("precision", [precision or "float64"], PRECISIONS)
        dt, n_steps = number("dt", dt, above=0), whole("n_steps", n_steps, 1)
        record_every = whole("record_every", record_every, 1)
        check_names("record", record, VARIABLES)
        for p in network.populations_by_name.values():
            if not (p.is_input or p.neuron.on_clock):
                raise InputError(f"population {p.name}: a {type(p.neuron).__name__} runs without trials only")
        network = network.drawn()
        layers = network.populations if record_layers is None else record_layers
        check_names("record_layers", layers, network.populations)
        self.record = (record,) if isinstance(record, str) else tuple(record)
        self.every = record_every
        self.layers = tuple(name for name in network.populations if name in layers)
        self._reports = tuple(name for name in ("v", "i_syn") if name in self.record)
        if self._reports and not sampled:
            raise InputError("dt = None: recording v or i_syn needs the time between samples")
        if self._reports and self.every > n_steps:
            raise InputError(f"record_every = {self.every}: a trial has {n_steps} steps")
        clock = engine == "clock"
        precision = precision or (str(network.dtype) if clock else "float64")
        network.check_complete()
        options = {"scheme": scheme, "impulse": impulse, "synapse": synapse} if clock else {}
        self.engine = make_engine(
            engine, network, dt=dt, n_steps=n_steps, duration=duration, precision=precision, **options
        )
        self.ahead = 0
        if choose_target(target) == "cuda":
            from snnsim.engines.recording_cuda import CudaEventRecordingEngine, CudaRecordingEngine

            self.engine = (CudaRecordingEngine if clock else CudaEventRecordingEngine)(self.engine, network.layers)
            self.ahead = self.engine.slots - 1
        self.network = network
        network = network.astype(self.engine.dtype)
        self.tensors = {name: aligned_copy(w) for name, w in network.tensors.items()}
        self.dt, self.n_steps, self.duration = float(dt), int(n_steps), self.engine.duration
        self.scheme = scheme if clock else None
        self.sizes = network.sizes
        self.neuron_ids = self._chosen_neurons(record_neurons or {})
        inputs = {p.name for p in network.inputs}
        self._traced = [name for name in self.layers if self._reports and name not in inputs]
        # The engine keeps a leaky readout's membrane at every step unless it is traced; losses read it there.
        at_every_step = network.readout == "leaky" and network.output.name in self._traced
        self._kept_every = 1 if at_every_step else self.every
        self._launched = deque()
        self._inputs = None

    @property
    def bytes_per_trial(self):
        """Bytes of v and i_syn that one trial takes while it is simulated."""
        neurons = sum(self.sizes[name] for name in self._traced)
        kept = self.n_steps // (self._kept_every if self.engine.name == "clock" else self.every)
        return 2 * neurons * kept * self.engine.dtype.itemsize if self.engine.name == "clock" else 16 * neurons * kept

    @property
    def input_group(self):
        """How the clock engine takes input spikes as they are: ``group`` of a GridSpikes; it sorts others first."""
        as_patterns = self.engine.name == "clock" and not self.ahead and self.engine.takes_patterns
        return GROUP if as_patterns else 1

    def forward(self, inputs):
        """Simulate a batch: :meth:`launch`, then :meth:`collect`."""
        self.launch(inputs)
        return self.collect()

    def launch(self, inputs):
        """Begin a batch with the present weights; on a GPU it runs on while other things are done.

        At most :attr:`ahead` batches may wait to be collected when one is launched.

        Parameters
        ----------
        inputs : Spikes, GridSpikes or ndarray of currents (clock), or SpikeOutput (hybrid and event)
        """
        if isinstance(inputs, Spikes):
            clock = self.engine.name == "clock"
            inputs = grid_of_spikes(inputs, self.dt, self.n_steps) if clock else slab_of_spikes(inputs)
        start = self.engine.launch if self.ahead else self.engine.forward
        traced = (self._traced, self._kept_every) if self.engine.name == "clock" else ()
        self._launched.append((inputs, start(self.tensors, inputs, *traced)))

    def collect(self):
        """Wait for the batch that was launched first.

        Returns
        -------
        SpikeOutput or VoltageOutput
            Of the output layer; its arrays belong to the engine.
        """
        self._inputs, started = self._launched.popleft()
        return self.engine.collect(started) if self.ahead else started

    def recording(self, copy=True):
        """Gather what the batch collected last did.

        Parameters
        ----------
        copy : bool
            Without it, arrays may be the engine's own and hold until the next launch.

        Returns
        -------
        snnsim.simulation.Recording
        """
        found = self._spikes(copy)
        size = self._batch()
        layers = []
        for name in self.layers:
            spikes = found.get(name)
            if spikes is None:
                spikes = Spikes(
                    np.zeros(size + 1, np.int64), np.empty(0), np.empty(0, np.int32), self.sizes[name], self.duration
                )
            v = i_syn = None
            times, ids = np.empty(0), self.neuron_ids[name]
            if name in self._traced:
                times = self._sample_times()
                v, i_syn = self._report(name, times, ids, copy)
            layers.append(LayerRecording(name, spikes, v, i_syn, times, ids))
        clocked = self.engine.name != "event"
        return Recording(tuple(layers), self.engine.name, self.duration, self.dt if clocked else None, self.scheme)

    def _batch(self):
        if isinstance(self._inputs, np.ndarray):
            return len(self._inputs)
        counts = self._inputs.counts if isinstance(self._inputs, SpikeOutput) else self._inputs.row_ptr
        return len(counts)

    def _spikes(self, copy):
        """Spikes of the populations that are recorded, by name."""
        if "spikes" not in self.record:
            return {}
        if self.engine.name != "clock":
            return {name: spikes_of_slab(slab) for name, slab in self.engine.spikes().items() if name in self.layers}
        found = {}
        for name, grid in self.engine.grids(self.layers).items():
            spikes = RowSpikes(grid.rows, grid.row_ptr, self.dt, grid.n_neurons, self.duration)
            found[name] = spikes.copy() if copy else spikes
        return found

    def _sample_times(self):
        kept = self.n_steps // self.every
        return (np.arange(kept) + 1) * self.every * self.dt

    def _report(self, name, times, ids, copy):
        if self.engine.name == "clock":
            values = self.engine.traces(name)
            stride = self.every // self._kept_every
            values = [value[:, stride - 1 :: stride] for value in values]
            if len(ids) < values[0].shape[2]:
                values = [value[:, :, ids] for value in values]
        else:
            values = self.engine.trace(self.tensors, name, times, ids)
        rest = np.asarray(self.network.neuron_of(name).v_leak, values[0].dtype)
        rest = rest[ids] if rest.ndim else rest
        v = i_syn = None
        if "v" in self._reports:
            v = values[0] + rest if rest.any() else np.array(values[0], order="C", copy=copy or None)
        if "i_syn" in self._reports:
            i_syn = np.array(values[1], order="C", copy=copy or None)
        return v, i_syn

    def _chosen_neurons(self, chosen):
        check_names("record_neurons", chosen, self.network.populations)
        ids = {}
        for name, size in self.sizes.items():
            if name not in chosen:
                ids[name] = np.arange(size)
                continue
            numbers = np.unique(np.asarray(chosen[name]))
            if numbers.size == 0 or numbers.dtype.kind not in "iu" or numbers[0] < 0 or numbers[-1] >= size:
                raise InputError(f"record_neurons of {name}: must be some of 0..{size - 1}")
            ids[name] = numbers.astype(np.int64)
        return ids
