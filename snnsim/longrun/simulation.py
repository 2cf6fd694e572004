"""The engine of simulations without trials: a clock that advances a compressed network piece by piece."""

import hashlib
import math
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from snnsim.arguments import number
from snnsim.connections import Sparse
from snnsim.distributions import Distribution
from snnsim.errors import InputError, check_names
from snnsim.kernels.longrun import advance as kernels
from snnsim.kernels.longrun import drive, neurons
from snnsim.longrun import stimuli as s
from snnsim.longrun.building import ALWAYS, check_free, wire
from snnsim.neurons import LI, LIFParameters, TwoSynapseLIF
from snnsim.parameters import SCHEMES, scheme_coefficients
from snnsim.threads import available_cores

PIECE_STEPS = 1000
"""Most steps that the kernels take before they return."""
PIECE_BYTES = 64 * 2**20
"""Most memory for the spikes of a piece, if every neuron spiked as often as it can."""
PRECISIONS = {"float32": np.float32, "float64": np.float64}


class LongSimulation:
    """A recurrent network on a clock, without trials.

    Parameters
    ----------
    network : Network
    dt : float
        Step size, in the unit of the time constants.
    inputs : sequence of Poisson, PoissonTrains, SpikeTrains, Current and Noise
    initial : dict of str to float, Distribution or (N,) array_like, optional
        First membranes of populations; at rest where none is given.
    scheme : {"exact", "backward_euler", "forward_euler", "bilinear"}
    impulse : {"unit-area", "unit-height", "unit-jump"}
        See :func:`snnsim.parameters.scheme_coefficients`; with ``unit-jump`` a weight is the jump of the current.
    precision : {"float32", "float64"}
    seed : int
        Of the inputs and first membranes; that of the network draws its connections.
    threads : int
        0 for all cores. Results do not depend on it.
    sampled : dict of str to sequence of int, optional
        Neurons whose membranes and currents are kept, by population.
    every : int
        Keep every so-manieth sample.

    Attributes
    ----------
    step : int
        Steps done.
    wired : building.Wired
    events : int
        Synaptic events delivered so far.

    Raises
    ------
    InputError
        For options that do not fit together, delays below dt between neurons, or too little memory.
    """

    def __init__(
        self, network: Any, *, dt: float, inputs: Any = (), initial: Any = None, scheme: str = "exact",
        impulse: str = "unit-area", precision: str = "float32", seed: int = 0,
        threads: int = 0, sampled: Any = None, every: int = 1,
    ) -> None:  # fmt: skip
        check_names("scheme", scheme, SCHEMES)
        check_names("precision", precision, PRECISIONS)
        dt = number("dt", dt, above=0)
        if not (isinstance(seed, int | np.integer) and 0 <= seed < 2**32):
            raise InputError(f"seed = {seed!r}: must be a whole number in 0..{2**32 - 1}")
        if not (isinstance(threads, int | np.integer) and 0 <= threads <= 64 * available_cores()):
            raise InputError(f"threads = {threads!r}: must lie in 1..{64 * available_cores()}, or be 0 for all cores")
        if not (isinstance(every, int | np.integer) and every >= 1):
            raise InputError(f"every = {every!r}: must be a whole number, at least 1")
        self.network, self.dt, self.scheme, self.impulse = network, dt, scheme, impulse
        self.precision, self.dtype, self.seed = precision, np.dtype(PRECISIONS[precision]), int(seed)
        self.threads, self.every, self.step, self.events = int(threads) or available_cores(), int(every), 0, 0
        self._identity = hashlib.sha256()
        self.wired = wire(network, self.dt, self.dtype, self.threads)
        self._constants()
        self._stimuli(tuple(inputs))
        self._states(initial or {})
        self._sampling(sampled or {})
        self._trains()
        self._identify(initial)

    def __repr__(self):
        w = self.wired
        return (
            f"<LongSimulation: {sum(self.sizes.values()):,} neurons, {w.n_synapses:,} synapses, dt {self.dt:g}, "
            f"{self.scheme}, {self.precision}, {self.threads} threads, at {self.step * self.dt:g}>"
        )

    @property
    def sizes(self) -> dict[str, int]:
        """Neurons of each population that is no input."""
        return {p.name: p.size for p in self.wired.populations}

    @property
    def nbytes(self) -> int:
        """Bytes of the synapses, with everything that finds them."""
        w = self.wired.synapses
        return w.targets.nbytes + w.weights.nbytes + w.offsets.nbytes + w.rows.nbytes

    # making

    def _constants(self):
        populations = self.wired.populations
        self._c = np.zeros((len(populations), neurons.N_CONSTANTS), self.dtype)
        self._n_ref, self._models = np.zeros(len(populations), np.int32), np.zeros(len(populations), np.int64)
        for k, p in enumerate(populations):
            neuron, two = p.neuron, isinstance(p.neuron, TwoSynapseLIF)
            if not neuron.without_trials or neuron.size is not None:
                raise InputError(
                    f"population {p.name}: {neuron.kind}: a simulation without trials takes lif, li, delta-lif and "
                    "two-synapse-lif with one number for each parameter"
                )
            if not neuron.threshold > 0:
                raise InputError(
                    f"population {p.name}: v_leak = {neuron.v_leak:g}: must lie below v_threshold = "
                    f"{neuron.v_threshold:g}; a current takes a membrane beyond it"
                )
            first = neuron.synapse(excitatory=True) if two else neuron
            a_ii, b_i, a_vv, a_vi, b_v = scheme_coefficients(_plain(first), self.dt, self.scheme, self.impulse)
            other = (0.0,) * 4
            if not neuron.filtered:
                a_ii, b_i, a_vi, b_v = 0.0, 0.0, 0.0, 1.0
            if two:
                inhibitory = neuron.synapse(excitatory=False)
                a_jj, b_j, _, a_vj, b_vj = scheme_coefficients(inhibitory, self.dt, self.scheme, self.impulse)
                other = a_jj, b_j, a_vj, b_vj
            keep, shift = {
                "hard": (0.0, neuron.reset_value),
                "subtract": (1.0, neuron.reset_value - neuron.threshold),
                "none": (1.0, 0.0),
            }[neuron.reset]
            threshold = neuron.threshold
            self._c[k] = (a_ii, b_i, a_vv, a_vi, b_v, *other, threshold, keep, 0.0 if threshold == math.inf else shift)
            held = getattr(neuron, "t_ref", 0.0) / self.dt
            if not held < np.iinfo(np.int32).max:
                raise InputError(f"population {p.name}: t_ref = {neuron.t_ref:g}: too many steps of dt = {self.dt:g}")
            self._n_ref[k] = round(held)
            self._models[k] = neurons.TWO_SYNAPSES if two else neurons.ONE_SYNAPSE
        self._two = bool((self._models == neurons.TWO_SYNAPSES).any())

    def _spread(self, values, p):
        """Write numbers of population p, (N,), to their places in memory: a list of (places, numbers)."""
        blocks = self.wired.blocks
        for b in range(len(blocks.first) - 1):
            a = blocks.first[b] + blocks.local[b, p]
            low, high = blocks.cut[p, b], blocks.cut[p, b + 1]
            yield slice(a, a + high - low), values[low:high]

    def _place(self, array, p, values):
        for where, numbers in self._spread(values, p):
            with np.errstate(over="ignore"):  # what does not fit is refused as not finite
                array[where] = numbers

    def _gather(self, array, p):
        """Numbers of population p in the order of its neurons."""
        found = np.empty(self.wired.populations[p].size, array.dtype)
        for where, numbers in self._spread(np.arange(found.size), p):
            found[numbers] = array[where]
        return found

    def _stimuli(self, inputs):
        n, populations = int(self.wired.blocks.first[-1]), self.wired.populations
        numbers = {p.name: k for k, p in enumerate(populations)}
        sources = {p.name: k for k, p in enumerate(self.wired.inputs)}
        poisson, currents, constant = [], [], np.zeros(n)
        self._trains_of = {}
        for k, p in enumerate(populations):
            gain = (1 - self._gain(k)) * p.neuron.r
            if p.bias:
                self._place(constant, k, gain * np.asarray(self.network.tensors[f"{p.name}.bias"], float))
        for stream, given in enumerate(inputs):
            if not isinstance(given, tuple(s.STIMULI.values())):
                raise InputError(f"inputs[{stream}] = {given!r}: must be one of {', '.join(s.STIMULI)}")
            if isinstance(given, s.SpikeTrains | s.PoissonTrains):
                if not isinstance(given.source, str) or given.source not in sources:
                    raise InputError(f"input {given.source!r}: must be one of {', '.join(sources) or 'none'}")
                self._trains_of.setdefault(given.source, []).append(self._train(stream, given))
                continue
            if not isinstance(given.target, str) or given.target not in numbers:
                raise InputError(f"input into {given.target!r}: must be one of {', '.join(numbers)}")
            k = numbers[given.target]
            size, where = populations[k].size, f"input into {given.target}"
            gain = (1 - self._gain(k)) * populations[k].neuron.r
            if isinstance(given, s.Poisson):
                poisson.append(self._poisson(stream, given, k, size, where))
            elif isinstance(given, s.Noise):
                hold = self.dt if given.hold is None else number(f"{where}: hold", given.hold)
                if not 0.5 < hold / self.dt < np.iinfo(np.int32).max:
                    raise InputError(
                        f"{where}: hold = {hold}: must be at least dt = {self.dt:g}, and no more than 2^31 steps"
                    )
                self._place_more(constant, k, gain * np.full(size, number(f"{where}: mean", given.mean)))
                amplitude = gain * s.numbers(given.std, size, f"{where}: std", least=0)
                currents.append((k, stream, round(hold / self.dt), amplitude, None))
            else:
                amplitude = gain * s.numbers(given.value, size, f"{where}: value")
                for name in ("start", "stop"):
                    if getattr(given, name) != math.inf:
                        number(f"{where}: {name}", getattr(given, name))
                if given.course is None and given.start <= 0 and given.stop == math.inf:
                    self._place_more(constant, k, amplitude)
                else:
                    currents.append((k, stream, 0, amplitude, given))
        missing = [name for name in sources if name not in self._trains_of]
        if missing:
            raise InputError(f"input {missing[0]}: gets no spikes; give SpikeTrains or PoissonTrains of that source")
        self._poissons, self._currents = poisson, currents
        self._weights, self._amplitudes = (np.zeros((len(x), n), self.dtype) for x in (poisson, currents))
        self._means = np.zeros((len(poisson) if any(x["each"] for x in poisson) else 0, n))
        for q, x in enumerate(poisson):
            self._place(self._weights[q], x["population"], x["weight"])
            if x["each"]:
                self._place(self._means[q], x["population"], x["mean"])
        for c, (k, _, _, amplitude, _) in enumerate(currents):
            self._place(self._amplitudes[c], k, amplitude)
        with np.errstate(over="ignore"):
            self._constant = constant.astype(self.dtype)
        for what, values in (("weights", self._weights), ("currents", self._amplitudes), ("currents", self._constant)):
            if not np.isfinite(values).all():
                raise InputError(f"inputs: {what} beyond the largest number in {self.precision}")

    def _place_more(self, array, p, values):
        for where, numbers in self._spread(values, p):
            array[where] += numbers

    def _gain(self, k):
        """``a_vv`` of population k in float64."""
        p = self.wired.populations[k].neuron
        first = p.synapse(excitatory=True) if isinstance(p, TwoSynapseLIF) else p
        return scheme_coefficients(_plain(first), self.dt, self.scheme, self.impulse)[2]

    def _poisson(self, stream, given, k, size, where):
        rate = s.numbers(given.rate, size, f"{where}: rate")
        weight = s.numbers(given.weight, size, f"{where}: weight", sign=True)
        if rate.min() < 0:
            raise InputError(f"{where}: rate = {rate.min():g}: must be at least 0")
        mean = rate * self.dt
        s.check_mean(mean.max(), where)
        each = bool((mean != mean[0]).any())
        varying = given.modulation is not None
        most = s.MOST_VARYING if each or varying else s.MOST_PER_DRAW
        draws = max(1, math.ceil(mean.max() / most))
        return {
            "population": k, "stream": stream, "draws": draws, "each": each, "mean": mean / draws, "weight": weight,
            "modulation": given.modulation, "where": where,
            "table": None if each or varying else s.thresholds(mean[:1] / draws),
        }  # fmt: skip

    def _train(self, stream, given):
        size = next(p.size for p in self.wired.inputs if p.name == given.source)
        if isinstance(given, s.SpikeTrains):
            return s.grid_trains(given, size, self.dt)
        where = f"input {given.source}"
        rate = float(s.numbers(given.rate, 1, f"{where}: rate").reshape(-1)[0])
        if rate < 0:
            raise InputError(f"{where}: rate = {rate:g}: must be at least 0")
        s.check_mean(rate * self.dt, where)
        most = s.MOST_PER_DRAW if given.modulation is None else s.MOST_VARYING
        draws = max(1, math.ceil(rate * self.dt / most))
        return {"stream": stream, "mean": rate * self.dt / draws, "draws": draws, "modulation": given.modulation,
                "size": size, "where": where}  # fmt: skip

    def _states(self, initial):
        n = int(self.wired.blocks.first[-1])
        number = {p.name: k for k, p in enumerate(self.wired.populations)}
        check_names("initial", list(initial), number)

        def zeros(*shape, dtype=self.dtype):
            return np.zeros(shape, dtype)

        second = n if self._two else 1
        self.state = kernels.State(
            v=zeros(n), i=zeros(n), j=zeros(second), held=zeros(n, dtype=np.int32), x=zeros(n), y=zeros(second),
            shown=zeros(n), drive=self._constant.copy(), more=zeros(drive.GROUP, n), more_y=zeros(drive.GROUP, second),
            flags=zeros(n, dtype=np.uint8),
        )  # fmt: skip
        for k, p in enumerate(self.wired.populations):
            self._place(self.state.v, k, np.full(p.size, p.neuron.start - p.neuron.v_leak, self.dtype))
            self._place(self.state.i, k, np.full(p.size, getattr(p.neuron, "i0", 0.0), self.dtype))
        for name, value in initial.items():
            k, p = number[name], self.wired.populations[number[name]]
            if isinstance(value, Distribution):
                words = np.zeros((drive.GROUP, p.size), np.uint32)
                drive.random_words(words, 0, 0xFFFFFFFF, 0, k, self.seed)
                value = value.drawn((words[0] + 0.5) * 2.0**-32)
            value = s.numbers(value, p.size, f"initial {name}")
            if not (value - p.neuron.v_leak < p.neuron.threshold).all():
                raise InputError(f"initial {name}: {value.max():g}: must lie below v_threshold")
            self._place(self.state.v, k, value - p.neuron.v_leak)

    def _sampling(self, sampled):
        blocks, number = self.wired.blocks, {p.name: k for k, p in enumerate(self.wired.populations)}
        check_names("sampled", list(sampled), number)
        self.sampled = {
            p.name: np.unique(np.asarray(sampled[p.name], np.int64))
            for p in self.wired.populations
            if p.name in sampled
        }
        places, columns, column = [], [], 0
        self._columns = {}
        for name, ids in self.sampled.items():
            p = number[name]
            if ids.size and not (0 <= ids[0] and ids[-1] < self.sizes[name]):
                raise InputError(f"sampled neurons of {name}: must lie in 0..{self.sizes[name] - 1}")
            b = np.searchsorted(blocks.cut[p], ids, side="right") - 1
            places.append(blocks.first[b] + blocks.local[b, p] + ids - blocks.cut[p][b])
            columns.append(column + np.arange(ids.size))
            self._columns[name] = slice(column, column + ids.size)
            column += ids.size
        places = np.concatenate([*places, np.empty(0, np.int64)]).astype(np.int64)
        columns = np.concatenate([*columns, np.empty(0, np.int64)]).astype(np.int64)
        order = np.argsort(places)
        self._places, self._sample_columns = places[order], columns[order]
        self._sample_first = np.searchsorted(self._places, blocks.first).astype(np.int64)

    def _trains(self):
        w = self.wired
        n_blocks, n = len(w.blocks.first) - 1, int(w.blocks.first[-1])
        rest = 1 + int(self._n_ref.min())
        fit = PIECE_BYTES // (4 * n) * rest - w.history
        self._piece = int(np.clip(fit, min(w.window, PIECE_STEPS), PIECE_STEPS))
        slots, largest = w.history + self._piece, int(w.blocks.local[:, -1].max())
        cap = largest * (-(-slots // rest) + 1)
        needed = n_blocks * (4 * cap + 8 * slots * len(w.populations))
        check_free(needed, f"network: delays of {w.history} steps", "use shorter delays or a larger dt")
        self._lists = np.zeros((n_blocks, cap), np.int32)
        self._ends = np.zeros((n_blocks, slots * len(w.populations) + 1), np.int64)

    def _identify(self, initial):
        """Digest of all that a state depends on."""
        d, net = self._identity, self.network
        parts = [self.dt, self.scheme, self.impulse, self.precision, self.seed, net.seed, sorted(initial or {})]
        parts += [(p.name, p.shape, p.neuron, p.kind) for p in net.populations_by_name.values()]
        for c in sorted(net.connections_by_name.values(), key=lambda c: c.name):
            parts.append((c.name, c.source, c.target, repr(c.shape)[:200], repr(c.weight)))
            parts.append(c.delay.tobytes() if isinstance(c.delay, np.ndarray) else repr(c.delay))
            if isinstance(c.shape, Sparse):
                parts.append(hashlib.sha256(c.shape.indptr.tobytes() + c.shape.indices.tobytes()).hexdigest())
        d.update(repr(parts).encode())
        for name in sorted(net.tensors):
            d.update(name.encode() + np.ascontiguousarray(net.tensors[name]).tobytes())
        for x in self._poissons:
            d.update(repr((x["population"], x["stream"], x["draws"], _name(x["modulation"]))).encode())
            d.update(x["mean"].tobytes() + np.ascontiguousarray(x["weight"]).tobytes())
        for k, stream, hold, amplitude, given in self._currents:
            d.update(repr((k, stream, hold, given and (given.start, given.stop, _name(given.course)))).encode())
            d.update(np.ascontiguousarray(amplitude).tobytes())
        for name, trains in sorted(self._trains_of.items()):
            for x in trains:
                if isinstance(x, tuple):
                    d.update(name.encode() + x[0].tobytes() + x[1].tobytes())
                else:
                    d.update(repr((name, x["stream"], x["mean"], x["draws"], _name(x["modulation"]))).encode())
        for k in range(len(self.wired.populations)):
            d.update(self._gather(self._constant, k).tobytes())

    # running

    def run(self, n_steps: int) -> Any:
        """Advance by some steps.

        Parameters
        ----------
        n_steps : int

        Returns
        -------
        Piece
        """
        start, stop = self.step, self.step + int(n_steps)
        kept = n_steps // self.every if self._places.size else 0
        shape = (kept, self._places.size)
        v, i = np.zeros(shape, self.dtype), np.zeros(shape, self.dtype)
        samples = kernels.Samples(
            self.every if kept else 0, start, self._places, self._sample_first, self._sample_columns, v, i
        )
        parts = {name: ([], []) for name in (p.name for p in (*self.wired.inputs, *self.wired.populations))}
        with ThreadPoolExecutor(self.threads) as pool:
            while self.step < stop:
                self._advance(min(self._piece, stop - self.step), samples, parts, pool)
        spikes = {}
        for name, (found, ends) in parts.items():
            before = np.concatenate([[0], np.cumsum([len(f) for f in found])])
            shifted = [e + b for e, b in zip(ends, before, strict=False)]
            spikes[name] = (
                np.concatenate([*found, np.empty(0, np.int32)]),
                np.concatenate([*shifted, []]).astype(np.int64),
            )
        reports = {name: (v[:, c], i[:, c]) for name, c in self._columns.items()}
        return Piece(start, int(n_steps), spikes, reports)

    def _advance(self, n_steps, samples, parts, pool):
        w, start, stop = self.wired, self.step, self.step + n_steps
        first, n_populations = start - w.history, len(w.populations)
        inputs, input_ends, own = self._input_lists(first, start, stop)
        trains = kernels.Trains(self._lists, self._ends, inputs, input_ends, first)
        outside = self._outside(start, stop)
        counter, flags8 = np.zeros(8, np.int64), self.state.flags.view(np.uint64)
        n_blocks = len(w.blocks.first) - 1
        edges = [n_blocks * t // self.threads for t in range(self.threads + 1)]

        def part(t):
            return kernels.advance(
                edges[t], edges[t + 1], self.threads, counter, start, stop, min(w.window, ALWAYS), w.blocks, w.synapses,
                self.state, trains, outside, samples, self._c, self._n_ref, self._models, self._two, flags8,
            )  # fmt: skip

        if self.threads == 1:
            self.events += part(0)
        else:
            self.events += sum(pool.map(part, range(self.threads)))
        self.step = stop
        for p, population in enumerate(w.populations):
            ends = np.empty(n_steps, np.int64)
            kernels.spikes_of(p, w.history, w.history + n_steps, w.blocks, trains, np.empty(0, np.int32), ends)
            found = np.empty(int(ends[-1]), np.int32)
            kernels.spikes_of(p, w.history, w.history + n_steps, w.blocks, trains, found, ends)
            parts[population.name][0].append(found)
            parts[population.name][1].append(ends)
        for name, (found, ends) in own.items():
            parts[name][0].append(found)
            parts[name][1].append(ends)
        # The last steps are what is still under way; they become the history of the next piece.
        cell = n_steps * n_populations
        length = w.history * n_populations + 1
        for b in range(n_blocks):
            begin, end = self._ends[b, cell], self._ends[b, cell + length - 1]
            self._lists[b, : end - begin] = self._lists[b, begin:end].copy()
            self._ends[b, :length] = self._ends[b, cell : cell + length].copy() - begin

    def _input_lists(self, first, start, stop):
        """Spikes of inputs: lists as kernels take them, and those of the present piece by name."""
        n_inputs, slots = len(self.wired.inputs), stop - first
        by_step, own = [], {}
        offset = int(self.wired.blocks.start[len(self.wired.populations)])
        for p in self.wired.inputs:
            # Steps before the first have no spikes.
            low = max(first, 0)
            found = [self._spikes_of_input(x, low, stop) for x in self._trains_of[p.name]]
            steps = np.concatenate([x[0] for x in found])
            ids = np.concatenate([x[1] for x in found])
            if len(found) > 1:
                order = np.lexsort((ids, steps))
                steps, ids = steps[order], ids[order]
            by_step.append((steps - first, ids + np.int32(offset)))
            offset += p.size
            mine = steps >= start
            ends = np.cumsum(np.bincount(steps[mine] - start, minlength=stop - start))
            own[p.name] = ids[mine].astype(np.int32), ends
        ends = np.zeros(slots * max(n_inputs, 1) + 1, np.int64)
        if n_inputs == 0:
            return np.empty(0, np.int32), ends, own
        keys = np.concatenate([steps * n_inputs + k for k, (steps, _) in enumerate(by_step)])
        ids = np.concatenate([ids for _, ids in by_step]).astype(np.int32)
        order = np.argsort(keys, kind="stable")
        ends[1:] = np.cumsum(np.bincount(keys, minlength=slots * n_inputs))
        return ids[order], ends, own

    def _spikes_of_input(self, x, start, stop):
        if isinstance(x, tuple):
            steps, ids = x
            a, e = np.searchsorted(steps, [start, stop])
            return steps[a:e], ids[a:e]
        factors = self._factors(x, start, stop)
        tables = s.thresholds(x["mean"] * factors)
        words, ends = np.empty((drive.GROUP, x["size"]), np.uint32), np.zeros(stop - start, np.int64)
        expected = x["mean"] * x["draws"] * x["size"] * (factors.mean() if factors.size else 0) * (stop - start)
        cap = int(expected + 10 * math.sqrt(expected) + 100)
        while True:
            ids = np.empty(cap, np.int32)
            number = drive.list_poisson(
                x["size"], start, stop, tables, x["draws"], x["stream"], self.seed, words, ids, ends
            )
            if number <= cap:
                break
            cap = number
        return np.repeat(np.arange(start, stop), np.diff(ends, prepend=0)), ids[:number]

    def _factors(self, x, start, stop):
        """Factors of a rate in each step, (n,) float64, or (1,) if it does not change."""
        if x["modulation"] is None:
            return np.ones(1)
        factors = s.series_of(x["modulation"], (np.arange(start, stop) + 0.5) * self.dt, f"{x['where']}: modulation")
        most = float(np.max(x["mean"])) * float(factors.max(initial=0))
        if factors.size and factors.min() < 0:
            raise InputError(f"{x['where']}: modulation: returns {factors.min():g}; must be at least 0")
        if most > 2 * s.MOST_VARYING:
            raise InputError(
                f"{x['where']}: modulation: {most:.3g} spikes a step; must be at most {2 * s.MOST_VARYING:g}"
            )
        return factors

    def _outside(self, start, stop):
        poisson = np.array(
            [(x["population"], x["stream"], x["draws"], x["each"]) for x in self._poissons], np.int64
        ).reshape(-1, 4)
        tables, factors = [], []
        for x in self._poissons:
            f = self._factors(x, start, stop)
            factors.append(f)
            if x["each"]:
                tables.append(np.full((1, drive.TABLE), 2**32 - 1, np.uint32))
            else:
                tables.append(x["table"] if x["table"] is not None else s.thresholds(x["mean"][0] * f))
        currents = np.array([(k, stream, hold) for k, stream, hold, _, _ in self._currents], np.int64).reshape(-1, 3)
        courses = np.ones((len(currents), stop - start))
        for c, (k, _, hold, _, given) in enumerate(self._currents):
            if not hold:
                where = f"input into {self.wired.populations[k].name}: course"
                courses[c] = _course(given, np.arange(start, stop), self.dt, where)
        width = max((f.size for f in factors), default=1)
        factors = np.array([np.broadcast_to(f, (width,)) for f in factors]).reshape(-1, width)
        return kernels.Outside(
            poisson, _stacked(tables), self._means, factors, self._weights, currents, self._amplitudes, courses,
            self._constant, self.seed,
        )  # fmt: skip

    # saving

    @property
    def identity(self) -> Any:
        """Digest of the network, its inputs and the options that decide the results."""
        return self._identity.hexdigest()

    def saved(self) -> dict:
        """State as a tree of arrays: all that a later run needs to go on, whatever its threads."""
        w, tree = self.wired, {"identity": self.identity, "step": self.step, "populations": {}}
        trains = kernels.Trains(self._lists, self._ends, np.empty(0, np.int32), np.zeros(1, np.int64), 0)
        for p, population in enumerate(w.populations):
            ends = np.zeros(w.history, np.int64)
            kernels.spikes_of(p, 0, w.history, w.blocks, trains, np.empty(0, np.int32), ends)
            found = np.empty(int(ends[-1]) if ends.size else 0, np.int32)
            kernels.spikes_of(p, 0, w.history, w.blocks, trains, found, ends)
            part = {name: self._gather(getattr(self.state, name), p) for name in ("v", "i", "held")}
            if self._two:
                part["j"] = self._gather(self.state.j, p)
            tree["populations"][population.name] = {**part, "under_way": found, "under_way_ends": ends}
        return tree

    def restore(self, tree: dict, where: Any = "state") -> None:
        """Go on from what :meth:`saved` returned.

        Raises
        ------
        InputError
            If it is the state of another network, input, dt, scheme, precision or seed; ``where`` begins the message.
        """
        if tree.get("identity") != self.identity:
            raise InputError(
                f"{where}: is the state of another simulation: network, inputs, dt, scheme, precision and seed must be "
                "the same"
            )
        w = self.wired
        n_populations = len(w.populations)
        lists = [[] for _ in range(len(w.blocks.first) - 1)]
        counts = np.zeros((len(lists), w.history * n_populations), np.int64)
        for p, population in enumerate(w.populations):
            part = tree["populations"][population.name]
            for name in ("v", "i", "held", *(("j",) if self._two else ())):
                self._place(getattr(self.state, name), p, part[name])
            ids = part["under_way"]
            slots = np.repeat(np.arange(w.history), np.diff(part["under_way_ends"], prepend=0))
            b = np.searchsorted(w.blocks.cut[p], ids, side="right") - 1
            for k, mine in enumerate(lists):
                mine.append((slots[b == k] * n_populations + p, ids[b == k] + np.int32(w.blocks.start[p])))
        for k, mine in enumerate(lists):
            cells = np.concatenate([c for c, _ in mine])
            order = np.argsort(cells, kind="stable")
            self._lists[k, : cells.size] = np.concatenate([i for _, i in mine])[order]
            counts[k] = np.bincount(cells, minlength=counts.shape[1])
        self._ends[:] = 0
        self._ends[:, 1 : counts.shape[1] + 1] = np.cumsum(counts, axis=1)
        self.step = int(tree["step"])


class Piece:
    """What some steps brought.

    Parameters
    ----------
    first_step, n_steps : int
    spikes : dict of str to (ndarray (n,) int32, ndarray (n_steps,) int64)
        Neurons by step, and where each step's end; of all populations and inputs.
    samples : dict of str to (ndarray (K, M), ndarray (K, M))
        Membranes before the reset, and synaptic currents.
    """

    def __init__(self, first_step, n_steps, spikes, samples):
        self.first_step, self.n_steps, self.spikes, self.samples = first_step, n_steps, spikes, samples


def _plain(p):
    """Parameters that :func:`scheme_coefficients` takes."""
    if isinstance(p, LIFParameters | LI):
        return p
    return LIFParameters(p.tau_mem, getattr(p, "tau_syn", p.tau_mem), p.r, p.v_threshold, p.v_reset, p.v_leak, p.reset)


def _stacked(tables):
    """Tables (R, K) as one, (n, max R, max K) uint32; one that does not change is repeated."""
    if not tables:
        return np.zeros((0, 1, drive.TABLE), np.uint32)
    rows, width = max(len(t) for t in tables), max(t.shape[1] for t in tables)
    stacked = np.full((len(tables), rows, width), 2**32 - 1, np.uint32)
    for k, t in enumerate(tables):
        stacked[k, :, : t.shape[1]] = t
    return stacked


def _course(given, steps, dt, where):
    times = (steps + 0.5) * dt
    on = (times >= given.start) & (times < given.stop)
    if given.course is None:
        return on.astype(float)
    if callable(given.course):
        return np.where(on, s.series_of(given.course, times, where), 0.0)
    course = np.asarray(given.course, np.float64)
    if course.ndim != 1 or not np.isfinite(course).all():
        raise InputError(f"{where}: must be a function of times or one finite number a step")
    values = np.zeros(steps.size)
    inside = steps < course.size
    values[inside] = course[steps[inside]]
    return np.where(on, values, 0.0)


def _name(function):
    if function is None or callable(function):
        return getattr(function, "__qualname__", repr(function))
    return hashlib.sha256(np.asarray(function, float).tobytes()).hexdigest()
