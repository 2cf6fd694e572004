"""A network on clocks of falling step size, and as a hybrid, against the same network in continuous time.

Reference is the event engine: membranes, spike times, loss and the gradient of every weight tensor are compared with
those of every clock scheme, of the hybrid engine, and, for the gradient, of every estimator.
"""

from dataclasses import dataclass, replace

import numpy as np

from snnsim.analysis.convergence import fit_order, match_spikes
from snnsim.analysis.gradients import compare_gradients
from snnsim.analysis.truncation import lipschitz_constant, second_derivative_bound, stability_limit
from snnsim.engines.grid import grid_of_spikes
from snnsim.engines.outputs import slab_of_spikes, spikes_of_slab
from snnsim.errors import InputError
from snnsim.network import Network
from snnsim.training.parts import engine_of, loss_of

HYBRID = "hybrid"
WINDOW_STEPS, WINDOW_TAU = 5.0, 0.1
"""Largest distance of a matched pair: so many steps, but at least this share of the shortest time constant."""


@dataclass(frozen=True)
class NetworkConvergence:
    """Errors against the event engine.

    Axes: S runs (clock schemes, then the hybrid), D step sizes, L layers, P spiking layers, E estimators. NaN where
    there is nothing to compare.

    Parameters
    ----------
    runs : tuple of str, length S
    dt : ndarray, (D,) float64
    layers : tuple of str, length L
    duration : float
    free_rms, free_max : ndarray, (S, D) float64
        Error of the first layer's membranes without threshold, at multiples of the largest step.
    euler_bound : ndarray, (D,) float64
        Forward Euler's bound of ``free_max``: the study's global bound of every input spike, summed.
    v_rms, v_max : ndarray, (S, D, L) float64
        Error of the membranes, spikes and all.
    n_reference : ndarray, (P,) int64
        Spikes of the reference.
    time_error, time_max : ndarray, (S, D, P) float64
        Mean and largest absolute error of the matched spikes' times.
    lost, added : ndarray, (S, D, P) int64
    unseen : ndarray, (D,) int64
        Upper bound of the excursions that the hybrid engine could not see.
    loss, loss_reference : ndarray, (S, D) and (D,) float64
    gradient_error, gradient_cosine, sign_agreement : ndarray, (S, D, L) float64
        Exact gradient of each run against the event engine's.
    estimators : tuple of str, length E
    estimator_cosine : ndarray, (E, S, D, L) float64
        Of the clock's estimators.
    stability_limit : ndarray, (S,) float64
    spacing : float
        Shortest distance of two spikes in one sample of the reference, of whichever neurons and layers.
    free_order, loss_order : ndarray, (S,) float64
    v_order, gradient_order : ndarray, (S, L) float64
    time_order : ndarray, (S, P) float64
        Fitted to the step sizes below ``fit_below``.
    fit_below : float
    """

    runs: tuple
    dt: np.ndarray
    layers: tuple
    duration: float
    free_rms: np.ndarray
    free_max: np.ndarray
    euler_bound: np.ndarray
    v_rms: np.ndarray
    v_max: np.ndarray
    n_reference: np.ndarray
    time_error: np.ndarray
    time_max: np.ndarray
    lost: np.ndarray
    added: np.ndarray
    unseen: np.ndarray
    loss: np.ndarray
    loss_reference: np.ndarray
    gradient_error: np.ndarray
    gradient_cosine: np.ndarray
    sign_agreement: np.ndarray
    estimators: tuple
    estimator_cosine: np.ndarray
    stability_limit: np.ndarray
    spacing: float
    free_order: np.ndarray
    loss_order: np.ndarray
    v_order: np.ndarray
    gradient_order: np.ndarray
    time_order: np.ndarray
    fit_below: float


def network_convergence(
    config, network, inputs, labels, dt, schemes, *, hybrid=True, estimators=("literal", "tssl", "surrogate"),
    fit_below=None, progress=lambda: None,
):  # fmt: skip
    """Compare a network on clocks, and as a hybrid, with the event engine.

    Parameters
    ----------
    config : Config
        Its network, loss and gradient bounds; the trial lasts ``simulation.dt * simulation.n_steps``.
    network : Network
        Fully connected layers, with weights.
    inputs : Spikes
        Of a batch of trials. Spikes off a grid are moved to the end of their step.
    labels : ndarray, (B,) int64
    dt : sequence of float
        Step sizes that divide the largest one and the duration.
    schemes : sequence of str
    hybrid : bool
        Whether the hybrid engine is a run, too, its bins being the steps.
    estimators : sequence of str
        Estimators of the clock's gradient beside ``exact``.
    fit_below : float, optional
        Orders are fitted to steps not above it; by default a tenth of the shortest time constant.
    progress : callable
        Called after every run.

    Returns
    -------
    NetworkConvergence

    Raises
    ------
    InputError
        If a step does not divide the largest one or the duration, lies outside forward Euler's stable range, or a
        neuron cannot be simulated exactly.
    """
    study = _Study(config, network, inputs, labels, dt, schemes, hybrid, estimators, progress)
    if fit_below is None:
        fit_below = 0.1 * min(min(p.tau_mem, p.tau_syn) for p in study.parameters)
    return study.result(float(fit_below))


class _Study:
    def __init__(self, config, network, inputs, labels, dt, schemes, hybrid, estimators, progress):
        self.duration = config.simulation.dt * config.simulation.n_steps
        self.dt = np.sort(np.asarray(dt, np.float64))
        self._check_steps()
        simulation = replace(config.simulation, precision="float64")
        gradient = replace(config.gradient, method="exact")
        self.config = replace(config, simulation=simulation, gradient=gradient)
        self.network = network.astype(np.float64)
        self.parameters, self.readout = network.parameters, network.readout
        self.weights, self.tensors = self.network.weights, self.network.tensors
        self.inputs, self.labels = inputs, np.asarray(labels, np.int64)
        self.schemes, self.estimators, self.progress = tuple(schemes), tuple(estimators), progress
        self.runs = self.schemes + ((HYBRID,) if hybrid else ())
        self.layers = network.populations[1:]
        self.spiking = len(self.weights) - (self.readout == "leaky")
        self.times = self.dt[-1] * np.arange(1, round(self.duration / self.dt[-1]) + 1)
        self.slab = slab_of_spikes(inputs)
        self.window = WINDOW_TAU * min(min(p.tau_mem, p.tau_syn) for p in self.parameters)

    def _check_steps(self):
        for step in self.dt:
            for name, whole in (("the duration", self.duration), ("the largest dt", self.dt[-1])):
                ratio = whole / step
                if step <= 0 or abs(ratio - round(ratio)) > 1e-6 * ratio:
                    raise InputError(f"dt = {step:g}: must divide {name}, {whole:g}")

    def _make(self, engine, step, network=None, **gradient):
        simulation = replace(
            self.config.simulation, engine=engine if engine in (HYBRID, "event") else "clock", dt=float(step),
            n_steps=round(self.duration / step), synapse="gather",
        )  # fmt: skip
        if engine in self.schemes:
            simulation = replace(simulation, scheme=engine)
        changed = replace(self.config, simulation=simulation, gradient=replace(self.config.gradient, **gradient))
        made = engine_of(changed, network or self.network)
        return made, loss_of(changed, self.weights[-1].shape[1], made)

    def _inputs(self, engine, step):
        return (
            self.slab if engine in (HYBRID, "event") else grid_of_spikes(self.inputs, step, round(self.duration / step))
        )

    def _every(self, step):
        return round(self.dt[-1] / step)

    def _membranes(self, name, engine):
        """Membranes of all layers at the common sample times."""
        if name in self.schemes:
            return [engine.traces(name)[0].copy() for name in self.layers]
        sizes = self.network.sizes
        return [engine.trace(self.tensors, name, self.times, np.arange(sizes[name]))[0] for name in self.layers]

    def _free(self, name, step):
        first = Network.chain(self.weights[:1], self.parameters[:1], "leaky")
        engine, _ = self._make(name, step, first)
        v = engine.forward(first.tensors, self._inputs(name, step)).v
        every = self._every(step)
        return v[:, every - 1 :: every].copy()

    def _run(self, name, step):
        """One run: ``(spikes of the spiking layers, membranes, loss, gradients, unseen)``."""
        engine, loss = self._make(name, step)
        inputs = self._inputs(name, step)
        if name in self.schemes:
            output = engine.forward(self.tensors, inputs, trace=self.layers, every=self._every(step))
        else:
            output = engine.forward(self.tensors, inputs)
        found = loss(output, self.labels)
        spikes = [spikes_of_slab(slab) for layer, slab in engine.spikes().items() if layer in self.layers]
        membranes = self._membranes(name, engine)
        if name in self.schemes and self.readout == "leaky":
            # The loss needed the readout after every step.
            output = engine.forward(self.tensors, inputs)
            found = loss(output, self.labels)
        gradients = [g.copy() for g in engine.backward(self.tensors, found.gradient).values()]
        unseen = sum(int(u.sum()) for u in getattr(engine, "unseen", ()))
        return spikes, membranes, float(found.loss.mean()), gradients, unseen

    def _estimate(self, method, name, step):
        engine, loss = self._make(name, step, method=method)
        output = engine.forward(self.tensors, self._inputs(name, step))
        return [g.copy() for g in engine.backward(self.tensors, loss(output, self.labels).gradient).values()]

    def _bound(self):
        """Forward Euler's bound of the first layer's free membranes: input spikes superpose, and so do their bounds."""
        p = self.parameters[0]
        lipschitz = lipschitz_constant(p)
        curvature = second_derivative_bound(p, 0.0, 1.0 / p.tau_syn, self.duration)
        slab = self.slab
        filled = np.arange(slab.times.shape[1]) < slab.counts[:, None]
        growth = np.where(filled, np.expm1(lipschitz * (self.duration - slab.times)), 0.0)
        summed = np.einsum("be,ben->bn", growth, np.abs(self.weights[0])[np.where(filled, slab.neurons, 0)])
        return self.dt * curvature / (2 * lipschitz) * summed.max()

    def result(self, fit_below):
        n_runs, n_dt, n_layers, n_spiking = len(self.runs), len(self.dt), len(self.weights), self.spiking
        shape = (n_runs, n_dt)
        scalar = {key: np.full(shape, np.nan) for key in ("free_rms", "free_max", "loss")}
        layered = {
            key: np.full((*shape, n_layers), np.nan)
            for key in ("v_rms", "v_max", "gradient_error", "gradient_cosine", "sign_agreement")
        }
        timed = {key: np.full((*shape, n_spiking), np.nan) for key in ("time_error", "time_max")}
        counted = {key: np.zeros((*shape, n_spiking), np.int64) for key in ("lost", "added")}
        cosine = np.full((len(self.estimators), *shape, n_layers), np.nan)
        unseen, loss_reference = np.zeros(n_dt, np.int64), np.empty(n_dt)
        for d, step in enumerate(self.dt):
            # A readout is sampled once a step: its reference has the same samples.
            if d == 0 or self.readout == "leaky":
                reference = self._run("event", step)
                self.progress()
            free = self._free("event", step)
            loss_reference[d] = reference[2]
            for s, name in enumerate(self.runs):
                spikes, membranes, loss, gradients, missed = self._run(name, step)
                difference = self._free(name, step) - free
                scalar["free_rms"][s, d] = np.sqrt((difference**2).mean())
                scalar["free_max"][s, d] = np.abs(difference).max()
                scalar["loss"][s, d] = loss
                for k in range(n_layers):
                    difference = membranes[k] - reference[1][k]
                    layered["v_rms"][s, d, k] = np.sqrt((difference**2).mean())
                    layered["v_max"][s, d, k] = np.abs(difference).max()
                compared = compare_gradients(reference[3], gradients)
                layered["gradient_error"][s, d] = compared.relative_error[:-1]
                layered["gradient_cosine"][s, d] = compared.cosine[:-1]
                layered["sign_agreement"][s, d] = compared.sign_agreement[:-1]
                for k, (mine, other) in enumerate(zip(reference[0], spikes, strict=True)):
                    match = match_spikes(mine, other, max(WINDOW_STEPS * step, self.window))
                    counted["lost"][s, d, k], counted["added"][s, d, k] = match.lost.size, match.added.size
                    if match.errors.size:
                        size = np.abs(match.errors)
                        timed["time_error"][s, d, k], timed["time_max"][s, d, k] = size.mean(), size.max()
                if name == HYBRID:
                    unseen[d] = missed
                else:
                    for e, method in enumerate(self.estimators):
                        estimate = self._estimate(method, name, step)
                        if all(np.isfinite(g).all() for g in estimate):
                            cosine[e, s, d] = compare_gradients(reference[3], estimate).cosine[:-1]
                self.progress()
        small = self.dt <= fit_below

        def orders(values, floor):
            flat = values.reshape(n_runs, n_dt, -1)
            found = [
                [fit_order(self.dt[small], line[small, k], floor).order for k in range(flat.shape[2])] for line in flat
            ]
            return np.array(found).reshape(n_runs, *values.shape[2:])

        off = np.abs(scalar["loss"] - loss_reference)
        limits = [
            min(stability_limit(p, s) for p in self.parameters) if s in self.schemes else np.inf for s in self.runs
        ]
        order = {
            "free_order": orders(scalar["free_rms"], 1e-11),
            "loss_order": orders(off, 1e-13),
            "v_order": orders(layered["v_rms"], 1e-12),
            "gradient_order": orders(layered["gradient_error"], 1e-11),
            "time_order": orders(timed["time_error"], 1e-12),
        }
        return NetworkConvergence(
            runs=self.runs,
            dt=self.dt,
            layers=self.layers,
            duration=float(self.duration),
            euler_bound=self._bound(),
            n_reference=np.array([x.times.size for x in reference[0]]),
            unseen=unseen,
            loss_reference=loss_reference,
            estimators=self.estimators,
            estimator_cosine=cosine,
            stability_limit=np.array(limits),
            spacing=_spacing(reference[0]),
            fit_below=fit_below,
            **scalar,
            **layered,
            **timed,
            **counted,
            **order,
        )


def _spacing(populations):
    """Shortest distance of two spikes of any neurons in one trial."""
    shortest = np.inf
    for b in range(len(populations[0]) if populations else 0):
        times = np.sort(np.concatenate([spikes.trial(b)[0] for spikes in populations]))
        if times.size > 1:
            shortest = min(shortest, float(np.diff(times).min()))
    return shortest
