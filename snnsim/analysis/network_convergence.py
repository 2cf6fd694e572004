"""A network on clocks of falling step size, and as a hybrid, against the same network in continuous time.

Reference is the event engine: membranes, spike times, loss and the gradient of every tensor that is learnt are compared
with those of every clock scheme, of the hybrid engine, and, for the gradient, of every estimator. The network may be
any that the event engine runs.
"""

from dataclasses import dataclass, replace

import numpy as np

from snnsim.analysis.convergence import fit_order, match_spikes
from snnsim.analysis.gradients import compare_gradients
from snnsim.analysis.runs import EVENT, HYBRID, Batch
from snnsim.analysis.truncation import lipschitz_constant, second_derivative_bound
from snnsim.engines.outputs import slab_of_spikes
from snnsim.network import Network

ESTIMATORS = ("literal", "tssl", "surrogate")
"""Estimators beside ``exact``; the first is for fully connected layers alone."""
WINDOW_STEPS, WINDOW_TAU = 5.0, 0.1
"""Largest distance of a matched pair: so many steps, but at least this share of the shortest time constant."""


@dataclass(frozen=True)
class NetworkConvergence:
    """Errors against the event engine.

    Axes: S runs (clock schemes, then the hybrid), D step sizes, L populations, P spiking populations, G tensors, E
    estimators. NaN where there is nothing to compare.

    Parameters
    ----------
    runs : tuple of str, length S
    dt : ndarray, (D,) float64
    layers : tuple of str, length L
        Populations but for inputs, in schedule order.
    spiking : tuple of str, length P
        Those with a threshold.
    tensors : tuple of str, length G
        Weights, delays, biases and constants that are learnt.
    duration : float
    free_rms, free_max : ndarray, (S, D) float64
        Error of the first population's membranes without threshold, driven by the inputs, at multiples of the largest
        step.
    euler_bound : ndarray, (D,) float64
        Forward Euler's bound of ``free_max``: the study's global bound of every input spike, summed. NaN unless the
        network is fully connected layers.
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
    gradient_error, gradient_cosine, sign_agreement : ndarray, (S, D, G) float64
        Exact gradient of each run against the event engine's.
    estimators : tuple of str, length E
    estimator_cosine : ndarray, (E, S, D, G) float64
        Of the clock's estimators.
    stability_limit : ndarray, (S,) float64
    spacing : float
        Shortest distance of two spikes in one sample of the reference, of whichever neurons and layers.
    free_order, loss_order : ndarray, (S,) float64
    v_order, time_order, gradient_order : ndarray, (S, L), (S, P) and (S, G) float64
        Fitted to the step sizes below ``fit_below``.
    fit_below : float
    """

    runs: tuple
    dt: np.ndarray
    layers: tuple
    spiking: tuple
    tensors: tuple
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
    config, network, inputs, labels, dt, schemes, *, hybrid=True, estimators=None, fit_below=None,
    progress=lambda: None,
):  # fmt: skip
    """Compare a network on clocks, and as a hybrid, with the event engine.

    Parameters
    ----------
    config : Config
        Its network, loss and gradient bounds; the trial lasts ``simulation.dt * simulation.n_steps``.
    network : Network
        With its tensors.
    inputs : Spikes or dict of str to Spikes
        Of a batch of trials, by input where there are several. Spikes off a grid are moved to the end of their step.
    labels : ndarray, (B,) int64
    dt : sequence of float
        Step sizes that divide the largest one and the duration.
    schemes : sequence of str
    hybrid : bool
        Whether the hybrid engine is a run, too, its bins being the steps.
    estimators : sequence of str, optional
        Estimators of the clock's gradient beside ``exact``; all that there are for the network if None.
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
        If a step does not divide the largest one or the duration, lies outside forward Euler's stable range or above
        a delay that closes a cycle, or a neuron cannot be simulated exactly.
    """
    if estimators is None:
        estimators = ESTIMATORS if network.is_chain else ESTIMATORS[1:]
    study = _Study(config, network, inputs, labels, dt, schemes, hybrid, estimators, progress)
    return study.result(float(0.1 * shortest_time(network) if fit_below is None else fit_below))


def shortest_time(network):
    """Shortest time constant of membranes and synapses of a network."""
    neurons = [p.neuron for p in network.populations_by_name.values() if not p.is_input]
    return float(min(np.min(getattr(n, name, np.inf)) for n in neurons for name in ("tau_mem", "tau_syn")))


class _Study:
    def __init__(self, config, network, inputs, labels, dt, schemes, hybrid, estimators, progress):
        simulation = replace(config.simulation, synapse="gather")
        config = replace(config, simulation=simulation, gradient=replace(config.gradient, method="exact"))
        self.batch = Batch(config, network, inputs, labels, "float64")
        self.network, self.duration = network, self.batch.duration
        self.dt = np.sort(np.asarray(dt, np.float64))
        for step in self.dt:
            self.batch.check_step(step, self.duration, "the duration")
            self.batch.check_step(step, self.dt[-1], "the largest dt")
        self.schemes, self.estimators, self.progress = tuple(schemes), tuple(estimators), progress
        self.runs = self.schemes + ((HYBRID,) if hybrid else ())
        self.shortest = shortest_time(network)

    def _bound(self):
        """Forward Euler's bound of the first layer's free membranes: input spikes superpose, and so do their bounds."""
        if not self.network.is_chain:
            return np.full(len(self.dt), np.nan)
        p = self.network.parameters[0]
        lipschitz = lipschitz_constant(p)
        curvature = second_derivative_bound(p, 0.0, 1.0 / p.tau_syn, self.duration)
        (inputs,) = self.batch.inputs.values()
        slab = slab_of_spikes(inputs)
        filled = np.arange(slab.times.shape[1]) < slab.counts[:, None]
        growth = np.where(filled, np.expm1(lipschitz * (self.duration - slab.times)), 0.0)
        weights = np.abs(self.network.weights[0].astype(np.float64))
        summed = np.einsum("be,ben->bn", growth, weights[np.where(filled, slab.neurons, 0)])
        return self.dt * curvature / (2 * lipschitz) * summed.max()

    def result(self, fit_below):
        batch = self.batch
        n_runs, n_dt = len(self.runs), len(self.dt)
        shape = (n_runs, n_dt)

        def empty(*keys, over=(), kind=np.float64, fill=np.nan):
            return {key: np.full((*shape, *map(len, over)), fill, kind) for key in keys}

        scalar = empty("free_rms", "free_max", "loss")
        membrane = empty("v_rms", "v_max", over=[batch.layers])
        learnt = empty("gradient_error", "gradient_cosine", "sign_agreement", over=[batch.tensors])
        timed = empty("time_error", "time_max", over=[batch.spiking])
        counted = empty("lost", "added", over=[batch.spiking], kind=np.int64, fill=0)
        cosine = np.full((len(self.estimators), *shape, len(batch.tensors)), np.nan)
        unseen, loss_reference = np.zeros(n_dt, np.int64), np.empty(n_dt)
        first, largest = _without_threshold(self.network, batch.layers[0]), self.dt[-1]
        for d, step in enumerate(self.dt):
            # A readout is sampled once a step: its reference has the same samples.
            if d == 0 or self.network.readout == "leaky":
                reference = batch.run(EVENT, step, largest)
                self.progress()
            free = batch.readout(EVENT, step, first, largest)
            loss_reference[d] = reference.loss
            for s, name in enumerate(self.runs):
                found = batch.run(name, step, largest)
                difference = batch.readout(name, step, first, largest) - free
                scalar["free_rms"][s, d], scalar["free_max"][s, d] = _sizes(difference)
                scalar["loss"][s, d] = found.loss
                for k, layer in enumerate(batch.layers):
                    difference = found.membranes[layer] - reference.membranes[layer]
                    membrane["v_rms"][s, d, k], membrane["v_max"][s, d, k] = _sizes(difference)
                compared = _compared(reference, found)
                learnt["gradient_error"][s, d] = compared.relative_error[:-1]
                learnt["gradient_cosine"][s, d] = compared.cosine[:-1]
                learnt["sign_agreement"][s, d] = compared.sign_agreement[:-1]
                for k, layer in enumerate(batch.spiking):
                    window = max(WINDOW_STEPS * step, WINDOW_TAU * self.shortest)
                    match = match_spikes(reference.spikes[layer], found.spikes[layer], window)
                    counted["lost"][s, d, k], counted["added"][s, d, k] = match.lost.size, match.added.size
                    if match.errors.size:
                        size = np.abs(match.errors)
                        timed["time_error"][s, d, k], timed["time_max"][s, d, k] = size.mean(), size.max()
                if name == HYBRID:
                    unseen[d] = found.unseen
                else:
                    for e, method in enumerate(self.estimators):
                        estimate = batch.run(name, step, method=method)
                        if all(np.isfinite(g).all() for g in estimate.gradients.values()):
                            cosine[e, s, d] = _compared(reference, estimate).cosine[:-1]
                self.progress()
        small = self.dt <= fit_below

        def orders(values, floor):
            flat = values.reshape(n_runs, n_dt, -1)
            found = [
                [fit_order(self.dt[small], line[small, k], floor).order for k in range(flat.shape[2])] for line in flat
            ]
            return np.array(found).reshape(n_runs, *values.shape[2:])

        order = {
            "free_order": orders(scalar["free_rms"], 1e-11),
            "loss_order": orders(np.abs(scalar["loss"] - loss_reference), 1e-13),
            "v_order": orders(membrane["v_rms"], 1e-12),
            "gradient_order": orders(learnt["gradient_error"], 1e-11),
            "time_order": orders(timed["time_error"], 1e-12),
        }
        spikes = list(reference.spikes.values())
        return NetworkConvergence(
            runs=self.runs,
            dt=self.dt,
            layers=batch.layers,
            spiking=batch.spiking,
            tensors=tuple(batch.tensors),
            duration=float(self.duration),
            euler_bound=self._bound(),
            n_reference=np.array([x.times.size for x in spikes]),
            unseen=unseen,
            loss_reference=loss_reference,
            estimators=self.estimators,
            estimator_cosine=cosine,
            stability_limit=np.array([2 * self.shortest if s == "forward_euler" else np.inf for s in self.runs]),
            spacing=_spacing(spikes),
            fit_below=fit_below,
            **scalar,
            **membrane,
            **learnt,
            **timed,
            **counted,
            **order,
        )


def _sizes(difference):
    return np.sqrt((difference**2).mean()), np.abs(difference).max()


def _compared(reference, other):
    return compare_gradients(list(reference.gradients.values()), list(other.gradients.values()))


def _without_threshold(network, name):
    """Network of one population, the given one, which the inputs drive and which has no threshold."""
    p = network.populations_by_name[name]
    driven = [c for c in network.into(name) if network.populations_by_name[c.source].is_input]
    part = Network(seed=network.seed)
    part.populations_by_name = {q.name: q for q in network.inputs}
    part.populations_by_name[name] = replace(p, neuron=p.neuron.leaky() if p.spiking else p.neuron)
    part.connections_by_name = {c.name: c for c in driven}
    part.tensors = {key: network.tensors[key] for key in part.tensor_shapes()}
    return part


def _spacing(populations):
    """Shortest distance of two spikes of any neurons in one trial."""
    shortest = np.inf
    for b in range(len(populations[0]) if populations else 0):
        times = np.sort(np.concatenate([spikes.trial(b)[0] for spikes in populations]))
        if times.size > 1:
            shortest = min(shortest, float(np.diff(times).min()))
    return shortest
