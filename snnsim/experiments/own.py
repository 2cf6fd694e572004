"""The analyses of the study on a user's own recordings and networks: each returns a tree for a results file."""

from dataclasses import asdict

import numpy as np

from snnsim.analysis.frequency import continuous_response, discrete_response, frequency_response
from snnsim.analysis.gradients import compare_gradients, gradient_statistics
from snnsim.analysis.moments import stationary_moments
from snnsim.analysis.monte_carlo import sample_events
from snnsim.analysis.network_convergence import network_convergence
from snnsim.analysis.population import evolve_density, make_grid
from snnsim.analysis.spectrum import welch_spectrum
from snnsim.analysis.step import advise_step
from snnsim.analysis.wavelet import decompose, scalogram
from snnsim.engines.outputs import spikes_of_slab
from snnsim.errors import InputError
from snnsim.experiments.base import tree
from snnsim.experiments.learning import first_gradients
from snnsim.parameters import SCHEMES, neuron_from, scheme_coefficients


def trace_layer(traces, layer):
    """Name of the layer to analyse: the given one, or the first whose voltages were recorded.

    Raises
    ------
    InputError
        If the recording has no voltages, or none of that layer.
    """
    if "v" not in traces.info["record"]:
        raise InputError(f"{traces.directory}: has no voltages; record v to analyse them")
    known = [name for name, p in traces.populations.items() if p.recorded and name != "input"]
    if not known:
        raise InputError(f"{traces.directory}: records no layer but the input")
    if layer is None:
        return known[0]
    if layer not in known:
        raise InputError(f"--layer {layer}: {traces.directory} has voltages of {', '.join(known)}")
    return layer


def spectrum_of_traces(traces, layer=None, trials=None, n_segment=256):
    """Welch spectra of a recorded layer, mean over trials and neurons, beside the shape that its filter gives noise.

    Parameters
    ----------
    traces : Traces
    layer : str, optional
    trials : slice or sequence of int, optional
        All if None.
    n_segment : int

    Returns
    -------
    dict
        ``frequency``, ``power``, ``standard_error`` (over trials), ``neurons`` (F, M) of the mean over trials, and
        ``continuous``, ``discrete``: |H|^2 and, on a clock, |H_d|^2, scaled to the power at the lowest frequency.
    """
    layer = trace_layer(traces, layer)
    dt = float(traces.info["sample_step"])
    chosen = np.arange(len(traces))[slice(None) if trials is None else trials]
    total, square, n = 0.0, 0.0, 0
    for trial in chosen:
        found = welch_spectrum(traces.v(layer, int(trial)).astype(np.float64), dt, n_segment)
        total, square, n = total + found.power, square + found.mean**2, n + 1
    if not n:
        raise InputError(f"{traces.directory}: no trial is chosen")
    neurons = total / n
    mean = neurons.mean(axis=1)
    error = np.sqrt(np.maximum(square / n - mean**2, 0) / (n - 1)) if n > 1 else np.full(mean.size, np.nan)
    inside = slice(1, -1)  # a one-sided density is not doubled at its ends
    frequency = found.frequency[inside]
    parameters = neuron_from(traces.populations[layer].parameters)
    shapes = {"continuous": np.abs(continuous_response(2 * np.pi * frequency, parameters)) ** 2}
    scheme, step = traces.info["scheme"], traces.info["dt"]
    if traces.info["engine"] == "clock":
        shapes["discrete"] = np.abs(discrete_response(2 * np.pi * frequency, parameters, step, scheme)) ** 2
    return {
        "layer": layer, "dt": dt, "scheme": scheme, "n_trials": n, "frequency": frequency, "power": mean[inside],
        "standard_error": error[inside], "neurons": neurons[inside],
        **{name: shape * mean[1] / shape[0] for name, shape in shapes.items()},
    }  # fmt: skip


def wavelet_of_traces(traces, layer=None, trials=None, neuron=None, wavelet="db2", level=None):
    """Wavelet coefficients of a layer's membranes averaged over trials, and a scalogram of one neuron in one trial.

    Parameters
    ----------
    traces : Traces
    layer : str, optional
    trials : slice or sequence of int, optional
        Averaged over; all if None.
    neuron : int, optional
        Of the scalogram, in the first of the trials; the one whose membrane varies most if None.
    wavelet : str
    level : int, optional

    Returns
    -------
    dict
    """
    layer = trace_layer(traces, layer)
    dt = float(traces.info["sample_step"])
    chosen = np.arange(len(traces))[slice(None) if trials is None else trials]
    if not chosen.size:
        raise InputError(f"{traces.directory}: no trial is chosen")
    mean = 0.0
    for trial in chosen:
        mean = mean + traces.v(layer, int(trial)).astype(np.float64) / chosen.size
    ids = np.asarray(traces.populations[layer].neuron_ids)
    first = traces.v(layer, int(chosen[0])).astype(np.float64)
    if neuron is None:
        column = int(np.argmax(first.var(axis=0)))
    elif neuron in ids:
        column = int(np.flatnonzero(ids == neuron)[0])
    else:
        raise InputError(f"--neuron {neuron}: {traces.directory} has no voltage of it in {layer}")
    found = decompose(mean, dt, wavelet, level=level, mode="symmetric")
    return {
        "layer": layer, "dt": dt, "n_trials": int(chosen.size), "neuron_ids": ids, "neuron": int(ids[column]),
        "trace": first[:, column], "wavelet": tree(found), "share": found.detail_share,
        "scalogram": tree(scalogram(first[:, column], dt)),
    }  # fmt: skip


def frequency_of_neuron(parameters, dt, schemes, n_omega=400):
    """Transfer functions of a neuron, continuous and on clocks; InputError beyond forward Euler's stable range."""
    for step in dt:
        for scheme in schemes:
            scheme_coefficients(parameters, step, scheme)
    omega = np.geomspace(0.01 / max(parameters.tau_mem, parameters.tau_syn), np.pi / min(dt), n_omega)
    return {"parameters": asdict(parameters), **tree(frequency_response(parameters, dt, schemes, omega))}


def population_of_neuron(parameters, rate, weight, duration, n_v, n_i, n_neurons, seed):
    """Density of a population of a neuron under Poisson input by both equations, and by a sample of neurons.

    Raises
    ------
    InputError
        If a value is out of range, or the grid is too coarse for the jump size.
    """
    out = {"rate": rate, "weight": weight, "duration": duration}
    for model in ("master", "fokker-planck"):
        grid = make_grid(parameters, rate, weight, n_v=n_v, n_i=n_i, model=model)
        found = evolve_density(parameters, rate, weight, duration, model=model, grid=grid)
        late = found.times > duration / 2
        out[model.replace("-", "_")] = {
            "v_edges": grid.v_edges, "i_edges": grid.i_edges, "density": found.density[-1], "v": found.marginal_v[-1],
            "i": found.marginal_i[-1], "times": found.times, "firing_rate": found.firing_rate,
            "rate": float(found.firing_rate[late].mean()), "moments": found.moments[-1], "mass_error": found.mass_error,
        }  # fmt: skip
    sample = sample_events(parameters, rate, weight, duration, n_neurons=n_neurons, seed=seed)
    value, error = sample.mean_rate(duration / 2)
    moments, moment_errors = sample.moments()
    out["sample"] = {
        "n_neurons": n_neurons, "v": sample.v[-1].astype(np.float32), "i": sample.i[-1].astype(np.float32),
        "times": sample.times, "firing_rate": sample.firing_rate, "rate": value, "rate_error": error,
        "moments": moments, "moment_errors": moment_errors,
    }  # fmt: skip
    out["free_moments"] = stationary_moments(parameters, rate, weight).as_array()
    return out


def gradients_of_session(session, samples, estimators):
    """Weight gradients of a session's network for its first training samples, by several estimators.

    Returns
    -------
    dict
        ``names``, ``estimators``; for each estimator ``maps`` and ``statistics`` by layer; ``cosine`` (E, L) with the
        first of them.
    """
    inputs = session.inputs(session.train.values[:samples], session.train.ids[:samples], 0)
    labels = session.train.labels[:samples]
    names = list(session.learnt)
    maps, rows, cosine = [], [], []
    for method in estimators:
        found = first_gradients(session, inputs, labels, method)
        for name, g in zip(names, found, strict=True):
            if not np.isfinite(g).all():
                raise InputError(f"gradient = {method!r}: {name} is not finite")
        maps.append(found)
        rows.append([tree(s) for s in gradient_statistics(found, names)])
        cosine.append(compare_gradients(maps[0], found).cosine[:-1])
    return {
        "names": names, "estimators": list(estimators), "dt": session.config.simulation.dt, "maps": maps,
        "statistics": rows, "cosine": np.array(cosine),
    }  # fmt: skip


def convergence_of_session(session, samples, dt, schemes, hybrid, estimators, progress):
    """Compare a session's network for its first test samples with the event engine.

    Input spikes that the session's encoder puts on its own grid stay there.

    Returns
    -------
    dict
        Fields of :class:`~snnsim.analysis.network_convergence.NetworkConvergence`.
    """
    inputs, labels = _test_batch(session, samples)
    found = network_convergence(
        session.config, session.network, inputs, labels, dt, schemes, hybrid=hybrid, estimators=estimators,
        progress=progress,
    )  # fmt: skip
    return tree(found)


def step_of_session(session, samples, tolerance, schemes, hybrid, finest, progress):
    """Find the largest step within a tolerance of continuous time for a session's network and first test samples.

    Returns
    -------
    snnsim.analysis.step.StepAdvice
    """
    inputs, labels = _test_batch(session, samples)
    return advise_step(
        session.config, session.network, inputs, labels, tolerance=tolerance, schemes=schemes, hybrid=hybrid,
        finest=finest, progress=progress,
    )  # fmt: skip


def _test_batch(session, samples):
    """Input spikes of the first test samples, where a session's encoder puts them, and their labels."""
    from snnsim.training.session import EVALUATION_EPOCH

    test = session.test.first(samples)
    return spikes_of_slab(session.encoder.in_time(test.values, test.ids, EVALUATION_EPOCH)), test.labels


def checked_schemes(names):
    """Names of schemes, or InputError for an unknown one."""
    for name in names:
        if name not in SCHEMES:
            raise InputError(f"--schemes {name}: must be of {', '.join(SCHEMES)}")
    return tuple(names)
