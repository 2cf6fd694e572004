"""Which step is fine enough? The largest dt of every scheme that stays within a tolerance of continuous time.

A network and its data run on clocks, and as a hybrid, with ever finer steps; the event engine is the truth. How far a
run is from it: the share of its spikes that are lost or added, the mean shift of the others as a share of the trial,
the relative error of the loss, and one minus the cosine of the gradient by every tensor that is learnt.
"""

import time
from dataclasses import dataclass

import numpy as np

from snnsim.analysis.convergence import match_spikes
from snnsim.analysis.gradients import compare_gradients
from snnsim.analysis.network_convergence import shortest_time
from snnsim.analysis.runs import EVENT, HYBRID, Batch
from snnsim.errors import InputError
from snnsim.memory import peak_memory

FINEST = 1 / 500
"""Finest step that is tried, as a share of the shortest time constant, where none is given."""
FEWEST = 4
"""Steps of the coarsest clock that is tried."""
PASSES = 2
"""Steps in a row that must be within the tolerance before finer ones are taken for granted."""
BISECTIONS = 2
"""Further steps that are tried between the last one without and the first one within."""
REPEATS, SECONDS = 5, 0.2
"""A pass is timed so often, or until so many seconds are over; the least counts."""


@dataclass(frozen=True)
class StepAdvice:
    """Distance of every run from continuous time, and the largest step within the tolerance.

    Axes: S runs (clock schemes, then the hybrid), D step sizes, G tensors. NaN where a run was not made, or there is
    nothing to compare.

    Parameters
    ----------
    runs : tuple of str, length S
    dt : ndarray, (D,) float64
        Ascending.
    tensors : tuple of str, length G
        That are learnt.
    tolerance, duration : float
    own_dt : float
        Step of the configuration.
    own_run : str
        Its scheme, or its engine if that is no clock.
    n_trials, n_spikes : int
        Of the reference.
    lost, added : ndarray, (S, D) float64
        Spikes without a partner, as shares of the reference's spikes. Spikes of a neuron are paired in order, as many
        as can be.
    shift : ndarray, (S, D) float64
        Mean distance of the partners, as a share of the trial.
    loss : ndarray, (S, D) float64
        Relative error.
    gradient : ndarray, (S, D, G) float64
        One minus the cosine of the exact gradients.
    estimator : str
        The configuration's estimator of the gradient.
    estimator_cosine : ndarray, (S, D) float64
        If it is another one than ``exact``: cosine of its gradient, all tensors as one vector, with that of continuous
        time.
    seconds : ndarray, (S, D) float64
        Of a trial, forward and backward.
    memory : ndarray, (S, D) float64
        Largest number of bytes that arrays held for the batch; what kernels keep for themselves is not counted.
    event_seconds, event_memory : float
        The same of the event engine.
    largest : ndarray, (S,) float64
        The largest step within the tolerance that has only such finer ones; NaN if there is none.
    next_dt : ndarray, (S,) float64
        The next larger step that was tried; NaN if there is none.
    next_fails : tuple of str, length S
        What is out of tolerance there, or why a larger step cannot be run; empty if nothing stops it.
    """

    runs: tuple
    dt: np.ndarray
    tensors: tuple
    tolerance: float
    duration: float
    own_dt: float
    own_run: str
    n_trials: int
    n_spikes: int
    lost: np.ndarray
    added: np.ndarray
    shift: np.ndarray
    loss: np.ndarray
    gradient: np.ndarray
    estimator: str
    estimator_cosine: np.ndarray
    seconds: np.ndarray
    memory: np.ndarray
    event_seconds: float
    event_memory: float
    largest: np.ndarray
    next_dt: np.ndarray
    next_fails: tuple

    def at(self, run, dt):
        """Distances of a run with a step that was tried, by what they measure, the worst tensor's last.

        Returns
        -------
        dict of str to float
        """
        at = self._place(run, dt)
        distances = self.lost[at], self.added[at], self.shift[at], self.loss[at], *self.gradient[at]
        return _named(distances, self.tensors)

    @property
    def cheapest(self):
        """Run within the tolerance that takes least time: its name and its step; ``("event", nan)`` if none is faster.

        Returns
        -------
        tuple of str and float
        """
        found = [(self.event_seconds, EVENT, float("nan"))]
        for s, name in enumerate(self.runs):
            if np.isfinite(self.largest[s]):
                dt = float(self.largest[s])
                found.append((self.seconds[self._place(name, dt)], name, dt))
        return min(found)[1:]

    def sentences(self):
        """Say what the table does not: how the configuration's own step does, what is cheapest, and the estimator.

        Returns
        -------
        list of str
        """
        within = f"within {100 * self.tolerance:g} %"
        said = []
        if self.own_run in self.runs and np.isfinite(self.loss[self._place(self.own_run, self.own_dt)]):
            out = [f"{k} {_percent(x)}" for k, x in self.at(self.own_run, self.own_dt).items() if x > self.tolerance]
            state = f"out of tolerance: {', '.join(out)}" if out else within
            said.append(f"The configuration's own, {self.own_run} at dt = {self.own_dt:g}, is {state}.")
        name, dt = self.cheapest
        event = f"the event engine, which has no step, takes {1e3 * self.event_seconds:.3g} ms a trial"
        if name == EVENT:
            said.append(f"Cheapest {within}: {event}.")
        else:
            cost = 1e3 * self.seconds[self._place(name, dt)]
            said.append(f"Cheapest {within}: {name} at dt = {dt:.3g}, {cost:.3g} ms a trial; {event}.")
        if np.isfinite(self.estimator_cosine).any():
            best = np.nanmax(self.estimator_cosine)
            said.append(
                f"Gradients are exact ones here. That of {self.estimator}, by which the configuration trains, has "
                f"a cosine of at most {best:.2f} with the one of continuous time, whatever the step."
            )
        return said

    def _place(self, run, dt):
        return self.runs.index(run), int(np.argmin(np.abs(self.dt - dt)))


def advise_step(
    config, network, inputs, labels, *, tolerance=0.01, schemes=None, hybrid=True, finest=None,
    progress=lambda run, dt: None,
):  # fmt: skip
    """Find the largest step of every scheme that stays within a tolerance of continuous time.

    Steps divide the trial, and those of the configuration where they are finer, so that input on its grid stays in
    place. They are tried from the coarsest on, until two in a row are within the tolerance; then between the last one
    without and the first one within.

    Parameters
    ----------
    config : Config
        Its loss, precision and bounds of the gradient; the trial lasts ``simulation.dt * simulation.n_steps``.
    network : Network
        Any that the event engine runs, with its tensors.
    inputs : Spikes or dict of str to Spikes
        Of a batch of trials, by input where there are several.
    labels : ndarray, (B,) int64
    tolerance : float
        Largest share, relative error and one minus cosine, in (0, 1).
    schemes : sequence of str, optional
        Of clocks; all four if None.
    hybrid : bool
        Whether the hybrid engine is tried, too, its bins being the steps.
    finest : float, optional
        Finest step that is tried; a 500th of the shortest time constant if None.
    progress : callable
        Called with run and step before each is run.

    Returns
    -------
    StepAdvice

    Raises
    ------
    InputError
        If a value is out of range, the network cannot be simulated in continuous time, or is silent.
    """
    if not 0 < tolerance < 1:
        raise InputError(f"tolerance = {tolerance}: must lie between 0 and 1, such as 0.01")
    if finest is None:
        finest = FINEST * shortest_time(network)
    if not 0 < finest < np.inf:
        raise InputError(f"finest = {finest}: must be a positive number")
    search = _Search(config, network, inputs, labels, float(tolerance), float(finest), progress)
    schemes = ("forward_euler", "backward_euler", "exact", "bilinear") if schemes is None else tuple(schemes)
    return search.result(schemes + ((HYBRID,) if hybrid else ()))


def steps_of(duration, n_steps, finest):
    """List the steps to try, coarsest first: those of a clock of ``n_steps`` in groups, one by one, and divided.

    Returns
    -------
    steps : list of float
        Finer than the clock's they are its 2nd, 5th, 10th, 20th, ... part.
    between : list of list of float
        For each of them, those between the one before and it, coarsest first.
    """
    own = duration / n_steps
    coarse = [m for m in range(n_steps // FEWEST, 1, -1) if n_steps % m == 0]
    ladder = [1]
    while own / ladder[-1] > finest * (1 + 1e-9):
        ladder.append(_next(ladder[-1]))
    fine = [k for k in ladder if own / k >= finest * (1 - 1e-9)]
    steps = [own * m for m in coarse] + [own / k for k in fine]
    between = [[own / m for m in range(a + 1, b)] for a, b in zip([1, *fine], fine, strict=False)]
    return steps, [[] for _ in coarse] + between


def _next(k):
    return k * 5 // 2 if str(k)[0] == "2" else 2 * k


@dataclass
class _Tried:
    distances: tuple  # lost, added, shift, loss, then by tensor
    estimator_cosine: float
    seconds: float
    memory: float


class _Search:
    def __init__(self, config, network, inputs, labels, tolerance, finest, progress):
        self.batch = Batch(config, network, inputs, labels)
        self.config, self.network, self.tolerance, self.progress = config, network, tolerance, progress
        self.duration, self.method = self.batch.duration, config.gradient.method
        self.steps, self.between = steps_of(self.duration, config.simulation.n_steps, finest)
        self.references, self.tried, self.refused = {}, {}, {}

    def reference(self, dt):
        # A readout is sampled once a step: its reference has the same samples.
        key = dt if self.network.readout == "leaky" else None
        if key not in self.references:
            self.references[key] = self.batch.run(EVENT, dt, method="exact")
        return self.references[key]

    def result(self, names):
        own = self.config.simulation
        self.progress(EVENT, own.dt)
        first = self.reference(own.dt)
        n_spikes = sum(x.times.size for x in first.spikes.values())
        if first.spikes and not n_spikes:
            raise InputError(
                f"network: no neuron spikes in continuous time in {len(self.batch)} trials: there is nothing to compare"
            )
        seconds, memory = self._cost(EVENT, own.dt)
        found = [self._largest(name) for name in names]
        dts = np.array(sorted({dt for _, dt in self.tried}))
        shape = (len(names), len(dts))
        table = {key: np.full(shape, np.nan) for key in ("lost", "added", "shift", "loss", "estimator_cosine")}
        table |= {key: np.full(shape, np.nan) for key in ("seconds", "memory")}
        gradient = np.full((*shape, len(self.batch.tensors)), np.nan)
        for (name, dt), tried in self.tried.items():
            s, d = names.index(name), int(np.searchsorted(dts, dt))
            for key, value in zip(("lost", "added", "shift", "loss"), tried.distances, strict=False):
                table[key][s, d] = value
            gradient[s, d] = tried.distances[4:]
            for key in ("estimator_cosine", "seconds", "memory"):
                table[key][s, d] = getattr(tried, key)
        largest, next_dt, fails = zip(*found, strict=True)
        if not self.tried:
            raise InputError(fails[0])
        return StepAdvice(
            runs=names,
            dt=dts,
            tensors=tuple(self.batch.tensors),
            tolerance=self.tolerance,
            duration=float(self.duration),
            own_dt=own.dt,
            own_run=own.scheme if own.engine == "clock" else own.engine,
            n_trials=len(self.batch),
            n_spikes=n_spikes,
            gradient=gradient,
            estimator=self.method,
            event_seconds=seconds,
            event_memory=memory,
            largest=np.array(largest),
            next_dt=np.array(next_dt),
            next_fails=fails,
            **table,
        )

    def _largest(self, name):
        """Largest step within the tolerance, the next larger one, and what fails there."""
        passed = []
        for k, dt in enumerate(self.steps):
            passed = [*passed, k] if self._fits(name, dt) else []
            if len(passed) == PASSES:
                break
        if passed:
            between = self.between[passed[0]]
            low, high = -1, len(between)
            for _ in range(BISECTIONS):
                middle = (low + high) // 2
                if low < middle < high:
                    low, high = (low, middle) if self._fits(name, between[middle]) else (middle, high)
        return self._read(name)

    def _read(self, name):
        ran = sorted(dt for run, dt in self.tried if run == name)
        within = [self._outside(name, dt) == "" for dt in ran]
        n = within.index(False) if False in within else len(within)
        largest = ran[n - 1] if n else np.nan
        if n < len(ran):
            return largest, ran[n], self._outside(name, ran[n])
        larger = [dt for run, dt in self.refused if run == name and not dt <= largest]
        if larger:
            return largest, min(larger), self.refused[name, min(larger)]
        return largest, np.nan, ""

    def _fits(self, name, dt):
        if (name, dt) not in self.tried and (name, dt) not in self.refused:
            self.progress(name, dt)
            try:
                self.tried[name, dt] = self._try(name, dt)
            except InputError as error:
                # A step beyond stability, above a delay that closes a cycle, or a neuron that a clock has not: said in
                # the advice.
                self.refused[name, dt] = str(error)
        return (name, dt) in self.tried and self._outside(name, dt) == ""

    def _try(self, name, dt):
        reference, run = self.reference(dt), self.batch.run(name, dt, method="exact")
        lost = added = matched = 0
        shift, total = 0.0, 0
        for layer, spikes in reference.spikes.items():
            # Two unmatched spikes cost more than any pair: as many are paired as can be.
            match = match_spikes(spikes, run.spikes[layer], 2 * self.duration)
            lost, added, matched = lost + match.lost.size, added + match.added.size, matched + match.errors.size
            shift, total = shift + np.abs(match.errors).sum(), total + match.n_reference
        total = total or np.nan
        shift = shift / matched / self.duration if matched else np.nan
        error = abs(run.loss - reference.loss)
        loss = error / abs(reference.loss) if reference.loss else float("inf") if error else 0.0
        loss = loss if np.isfinite(run.loss) else float("inf")
        cosine = compare_gradients(list(reference.gradients.values()), list(run.gradients.values())).cosine[:-1]
        gradient = [
            1 - c if np.isfinite(c) else 1.0 if a.any() or b.any() else 0.0
            for c, a, b in zip(cosine, reference.gradients.values(), run.gradients.values(), strict=True)
        ]
        estimate = np.nan
        if self.method != "exact" and name != HYBRID:
            other = self.batch.run(name, dt)
            estimate = compare_gradients(list(reference.gradients.values()), list(other.gradients.values())).cosine[-1]
        return _Tried((lost / total, added / total, shift, loss, *gradient), estimate, *self._cost(name, dt))

    def _outside(self, name, dt):
        named = _named(self.tried[name, dt].distances, self.batch.tensors)
        return ", ".join(key for key, value in named.items() if value > self.tolerance)

    def _cost(self, name, dt):
        """Seconds of a trial, forward and backward, and bytes of the batch's arrays; what is compiled is so by now."""
        inputs = self.batch.given(name, dt)

        def passes(engine, loss, tensors):
            output = engine.forward(tensors, self.batch.one(inputs))
            engine.backward(tensors, loss(output, self.batch.labels).gradient)

        made = self.batch.made(name, dt, method="exact")
        _, memory = peak_memory(lambda: passes(*made))
        best, spent = np.inf, 0.0
        for _ in range(REPEATS):
            begun = time.perf_counter()
            passes(*made)
            best = min(best, time.perf_counter() - begun)
            spent += time.perf_counter() - begun
            if spent > SECONDS:
                break
        return best / len(self.batch), float(memory)


def _percent(share):
    return f"{100 * share:.2g} %"


def _named(distances, tensors):
    """Distances by what they measure; of the tensors the worst one."""
    lost, added, shift, loss, *gradient = distances
    named = {"spikes lost or added": lost + added, "spike times": shift, "loss": loss}
    if gradient:
        worst = int(np.nanargmax(gradient)) if np.isfinite(gradient).any() else 0
        named[f"gradient by {tensors[worst]}"] = gradient[worst]
    return {key: float(value) for key, value in named.items() if not np.isnan(value)}
