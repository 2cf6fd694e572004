"""From a network to compressed synapses: memory is estimated first, then every connection is counted and filled."""

import math
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from snnsim.connections.plans import plan_of
from snnsim.connections.rules import values_of
from snnsim.distributions import Distribution, Fixed
from snnsim.errors import InputError
from snnsim.kernels.longrun import wiring
from snnsim.kernels.longrun.advance import Synapses

ALIGN = 64
BLOCK = 2**16
"""Most neurons of a block: a target is two bytes."""
LONGEST_DELAY = 2**24
MOST_DELAYS = 2**15
ALWAYS = 2**30
"""A window without end, where no neuron is connected to a neuron."""


@dataclass(frozen=True)
class Wired:
    """A network that is ready to run.

    Parameters
    ----------
    populations, inputs : tuple of Population
    blocks : wiring.Blocks
    synapses : Synapses
    window, history : int
        Least delay between neurons and longest delay, in steps.
    n_synapses : int
    """

    populations: tuple
    inputs: tuple
    blocks: object
    synapses: object
    window: int
    history: int
    n_synapses: int


def parallel(n_threads, tasks):
    """Call functions on so many threads, and wait for all of them."""
    tasks = list(tasks)
    if n_threads == 1 or len(tasks) <= 1:
        for task in tasks:
            task()
        return
    with ThreadPoolExecutor(n_threads) as pool:
        for future in [pool.submit(task) for task in tasks]:
            future.result()


def make_blocks(sizes, input_sizes, n_threads):
    """Cut populations into blocks, as many as threads or a multiple of it.

    Returns
    -------
    wiring.Blocks
    """
    total = sum(sizes)
    n_blocks = n_threads * max(1, math.ceil(total / (n_threads * (BLOCK - len(sizes)))))
    cut = np.array([[n * b // n_blocks for b in range(n_blocks + 1)] for n in sizes], np.int64)
    lengths = np.diff(cut, axis=1)
    local = np.zeros((n_blocks, len(sizes) + 1), np.int64)
    local[:, 1:] = np.cumsum(lengths, axis=0).T
    padded = -(-local[:, -1] // ALIGN) * ALIGN
    first = np.concatenate([[0], np.cumsum(padded)]).astype(np.int64)
    start = np.concatenate([[0], np.cumsum([*sizes, *input_sizes])]).astype(np.int64)
    return wiring.Blocks(first, local, cut, start)


def wire(network, dt, dtype, n_threads):
    """Draw and compress the synapses of a network.

    Parameters
    ----------
    network : Network
    dt : float
    dtype : dtype
        Of the weights.
    n_threads : int

    Returns
    -------
    Wired

    Raises
    ------
    InputError
        For a connection that cannot run here, a delay below dt between neurons, or too little memory.
    """
    everyone = network.populations_by_name.values()
    populations = tuple(p for p in everyone if not p.is_input)
    inputs = tuple(p for p in everyone if p.is_input)
    for p in inputs:
        if p.kind != "spikes":
            raise InputError(f"input {p.name}: sends a current; simulations without trials take snnsim.Current instead")
    if not populations:
        raise InputError("network: has no population of neurons")
    blocks = make_blocks([p.size for p in populations], [p.size for p in inputs], n_threads)
    number = {p.name: k for k, p in enumerate((*populations, *inputs))}
    connections = [_Plan(network, c, number, dt, c.source in {p.name for p in populations}, np.dtype(dtype))
                   for c in sorted(network.connections_by_name.values(), key=lambda c: c.name)]  # fmt: skip
    delays = [sorted({d for c in connections if c.source == k for d in c.steps}) for k in range(len(number))]
    width = np.array([len(d) + 1 for d in delays], np.int64)
    sizes = np.diff(blocks.start)
    offsets_at = np.concatenate([[0], np.cumsum(width * sizes)])
    n_blocks, n_synapses = len(blocks.first) - 1, sum(c.size for c in connections)
    narrow = all(sum(c.most for c in connections if c.source == k) < 2**16 for k in range(len(number)))
    kind = np.dtype(np.uint16 if narrow else np.uint32)
    check_memory(n_synapses, n_blocks, int(offsets_at[-1]), kind.itemsize, np.dtype(dtype).itemsize)

    offsets, rows = (
        np.zeros((n_blocks, int(offsets_at[-1])), kind),
        np.zeros((n_blocks, int(blocks.start[-1])), np.int64),
    )

    def each(function):
        for c in connections:
            at = int(width[c.source]), int(offsets_at[c.source])
            index = {d: k for k, d in enumerate(delays[c.source])}
            parallel(n_threads, (function(c, c.delays_of(index), *part, *at) for part in c.parts(blocks, n_threads)))

    def count(c, numbers, low, high, w, at):
        return lambda: wiring.count_synapses(c.plan, numbers, blocks, low, high, w, at, offsets, *c.scratch())

    each(count)
    parallel(n_threads, [
        (lambda k=k, a=a, e=e: wiring.make_offsets(
            offsets, int(offsets_at[k]), int(width[k]), a, e, int(blocks.start[k]), rows))
        for k in range(len(number))
        for a, e in _ranges(int(sizes[k]), n_threads)
    ])  # fmt: skip
    ends = np.cumsum(rows.reshape(-1))
    rows = (ends - rows.reshape(-1)).reshape(rows.shape)
    targets, weights = np.empty(n_synapses + ALIGN, np.uint16), np.empty(n_synapses + ALIGN, dtype)

    def fill(c, numbers, low, high, w, at):
        return lambda: wiring.fill_synapses(
            c.plan, c.values, numbers, blocks, low, high, w, at, offsets, rows, *c.scratch(), targets, weights
        )

    each(fill)
    recurrent = [d for k in range(len(populations)) for d in delays[k]]
    window = min(recurrent, default=ALWAYS)
    order = sorted(((d, k, i) for k, ds in enumerate(delays) for i, d in enumerate(ds)), key=lambda o: (-o[0], o[1]))
    order = np.array(order, np.int64).reshape(-1, 3)
    synapses = Synapses(
        rows,
        offsets,
        offsets_at[:-1].astype(np.int64),
        width,
        targets,
        weights,
        order,
        int((order[:, 0] > window).sum()),
    )
    return Wired(populations, inputs, blocks, synapses, window, int(order[:, 0].max(initial=0)), n_synapses)


def check_memory(n_synapses, n_blocks, n_offsets, offset_bytes, weight_bytes):
    """Raise InputError unless the synapses fit into the memory that is free."""
    needed = n_synapses * (2 + weight_bytes) + n_blocks * n_offsets * offset_bytes
    check_free(needed, f"network: {n_synapses:,} synapses", "use fewer synapses or float32")


def check_free(needed, what, instead):
    """Raise InputError, beginning with ``what`` and ending with ``instead``, unless so many bytes are free."""
    free = available_bytes()
    if free is not None and needed > 0.95 * free:
        raise InputError(
            f"{what} need {needed / 2**30:.1f} GiB of memory, but {free / 2**30:.1f} GiB are free; {instead}"
        )


def available_bytes():
    """Memory that can be had without swapping, or None where the system does not say."""
    try:
        with open("/proc/meminfo") as file:
            for line in file:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return None


class _Plan:
    """One connection: its rows, weights and delays in steps."""

    def __init__(self, network, connection, number, dt, recurrent, dtype):
        c, where = connection, f"connection {connection.name}"
        pre, post = network.populations_by_name[c.source], network.populations_by_name[c.target]
        plan, n_rows = plan_of(c.shape, pre.shape, post.shape, where, network.seed)
        self.source, self.target = number[c.source], number[c.target]
        self.plan, self.n_rows = plan._replace(source=self.source, target=self.target), n_rows
        self._n_source, self._n_target = pre.size, post.size
        degrees = plan.degree
        self.size = int(degrees.sum()) if degrees.size > 1 or n_rows == 1 else int(degrees[0]) * n_rows
        if degrees.size == 1 and degrees[0] * n_rows >= 2**62:
            raise InputError(f"{where}: has too many synapses")
        self.most = self._most_per_source()
        self.values = self._values(network, c, where, dtype)
        self._delays(c, dt, where, recurrent)

    def _most_per_source(self):
        if self.plan.by_source:
            return int(self.plan.degree.max(initial=0))
        mean = float(self.plan.degree[0]) * self.n_rows / self._n_source
        return math.ceil(mean + 12 * math.sqrt(mean) + 50)

    def _values(self, network, c, where, dtype):
        most = np.finfo(dtype).max
        if c.weight is not None:
            if not np.all(np.abs(c.weight.drawn(np.array([2.0**-34, 1 - 2.0**-34]))) <= most):
                raise InputError(f"{where}: weight {c.weight}: can be beyond {most:.3g}, the largest number in {dtype}")
            return values_of(c.weight, f"{where}: weight")
        tensor = network.tensors.get(c.name)
        if tensor is None:
            raise InputError(f"{where}: has no weights yet; give them")
        flat = np.ascontiguousarray(tensor, np.float64).reshape(-1)
        if not np.abs(flat).max(initial=0) <= most:
            raise InputError(f"{where}: weights beyond {most:.3g}, the largest number in {dtype}")
        blank = values_of(0.0, where)
        return blank._replace(mode=wiring.PER_SYNAPSE, array=flat)

    def _delays(self, c, dt, where, recurrent):
        least = 1 if recurrent else 0
        if isinstance(c.delay, Distribution):
            self._drawn, self.steps = _delay_bins(c.delay, dt, where, least)
            return
        times = np.asarray(c.delay, np.float64)
        if not (times / dt < LONGEST_DELAY).all():
            raise InputError(f"{where}: delay {times.max():g}: more steps of {dt:g} than a clock counts")
        steps = np.rint(times / dt).astype(np.int64)
        if steps.size and steps.min() < least:
            raise InputError(
                f"{where}: delay {times.min():g} is below a step of {dt:g}, the least between neurons on a clock"
            )
        if steps.ndim == 0:
            self._drawn, self.steps = _delay_bins(Fixed(float(times)), dt, where, least)
            return
        self.steps, inverse = np.unique(steps, return_inverse=True)
        self._drawn = None
        self._mode = wiring.PER_SOURCE if steps.shape == (self._n_source,) and steps.size != self.size else (
            wiring.PER_SYNAPSE)  # fmt: skip
        self._index = inverse.reshape(-1)

    def delays_of(self, index):
        """Delays by their number among those of the source, ``index`` by steps."""
        numbers = np.array([index[d] for d in self.steps], np.int32)
        none = np.zeros(1, np.uint64), np.zeros(1, np.int32), np.zeros(1, np.int32)
        if self._drawn is None:
            return wiring.Delays(self._mode, numbers[self._index], *none)
        below, guide = self._drawn
        return wiring.Delays(wiring.PER_DRAW, np.zeros(1, np.int32), below, guide, numbers)

    def parts(self, blocks, n_threads):
        """Ranges of rows that threads may take side by side."""
        if not self.plan.by_source:
            cut = blocks.cut[self.target]
            return [(int(a), int(b)) for a, b in pairwise(cut) if b > a]
        return _ranges(self.n_rows, n_threads)

    def scratch(self):
        """Arrays that a thread needs for itself."""
        cap = max(int(self.plan.degree.max(initial=0)), 1)
        marks = self.plan.n_partners if self.plan.how == wiring.DISTINCT else 1
        return np.empty((3, cap), np.uint32), np.zeros(marks, np.int64), np.empty(cap, np.int64)


def _ranges(n, n_parts):
    edges = [n * k // n_parts for k in range(n_parts + 1)]
    return [(a, b) for a, b in pairwise(edges) if b > a]


def _delay_bins(distribution, dt, where, least):
    """Thresholds of each delay in steps, a guide into them, and the delays: ``((below, guide), steps)``."""
    low, high = (float(x) for x in distribution.drawn(np.array([2.0**-34, 1 - 2.0**-34])))
    first, last = round(low / dt), round(high / dt)
    if first < least:
        raise InputError(
            f"{where}: delay {distribution}: can be {low:.3g}, below a step of {dt:g}, the least between neurons on a "
            f"clock; give it low = {dt:g}"
        )
    if last >= LONGEST_DELAY:
        raise InputError(f"{where}: delay {distribution}: can be {high:.3g}, more steps of {dt:g} than a clock counts")
    if last - first >= MOST_DELAYS:
        raise InputError(f"{where}: delay {distribution}: spans {last - first} steps; must be below {MOST_DELAYS}")
    steps = np.arange(first, last + 1)
    below = np.rint(distribution.below((steps + 0.5) * dt) * 2.0**32).astype(np.uint64)
    below[-1] = 2**32
    keep = np.diff(below, prepend=np.uint64(0)) > 0
    steps, below = steps[keep], below[keep]
    words = np.arange(1024, dtype=np.uint64) << np.uint64(22)
    guide = np.searchsorted(below, words, side="right").astype(np.int32)
    return (below, guide), steps
