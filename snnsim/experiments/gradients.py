"""Weight gradients of the first backward pass, and why they explode (study, section 4.2, its Figure 3)."""

import numpy as np

from snnsim.analysis.gradients import (
    clamp_sweep,
    compare_gradients,
    gradient_statistics,
    outliers,
    slope_outliers,
    temporal_kernel,
)
from snnsim.experiments.base import ANSWER, Claim, verdict
from snnsim.experiments.explicit import ExplicitEngine
from snnsim.experiments.learning import Session, first_batch, first_gradients, listed, run_config

LAYERS = ("hidden", "output")
THIRDS = ("kurtosis", "energy", "norm")


def run(config, context):
    """Differentiate the loss of the first batch of untrained networks.

    Returns
    -------
    dict
        Of the first seed, a list over step sizes each: ``maps`` (the exact gradients), ``statistics``
        (GradientStatistics of both layers), ``slopes`` (SlopeOutliers), ``clamp`` (ClampSweep), ``kernel``
        (TemporalKernel), all of :mod:`snnsim.analysis.gradients`; ``silent``: gradient norm and output spikes with a
        spiking output layer and a count loss. ``norm``, ``cosine`` (D, seeds, estimators, 2 layers): of every
        estimator, and its cosine with ``exact``; ``time_norm``, ``time_cosine``: the same at a fixed simulated time and
        input rate; ``weights``, ``time_weights`` (D, seeds, 2, 2 layers): norm of the continuous estimator of the
        weight gradient relative to the discrete one's, and their cosine; ``depth``: for every
        number of layers and step size ``kurtosis``, ``energy``, ``norm``
        (seeds, layers, 3) of the derivative by what enters a layer in the first, middle and last third of the trial.
    """
    dts, seeds, depths = config["dt"], config["seeds"], config["depth"]["layers"]
    context.expect(len(dts) * (2 * len(seeds) + 2 + len(depths) * len(seeds)))
    results = {"dt": np.array(dts), "estimators": config["estimators"], "limits": np.array(config["limits"])}
    parts = context.parts(
        {f"first-{dt:g}": (_first, config, dt, seeds[0]) for dt in dts}
        | {f"seed-{dt:g}-{seed}": (_estimators, config, dt, seed) for dt in dts for seed in seeds}
        | {f"time-{dt:g}-{seed}": (_fixed_time, config, dt, seed) for dt in dts for seed in seeds}
        | {f"silent-{dt:g}": (_spiking, config, dt, seeds[0]) for dt in dts}
        | {f"depth-{n}-{dt:g}-{seed}": (_deep, config, n, dt, seed) for n in depths for dt in dts for seed in seeds}
    )
    for key in ("maps", "statistics", "slopes", "clamp", "kernel"):
        results[key] = [parts[f"first-{dt:g}"][key] for dt in dts]
    for name, part in (("", "seed"), ("time_", "time")):
        for key in ("norm", "cosine", "weights"):
            rows = [[parts[f"{part}-{dt:g}-{seed}"][key] for seed in seeds] for dt in dts]
            results[f"{name}{key}"] = np.array(rows)
    results["silent"] = [parts[f"silent-{dt:g}"] for dt in dts]
    results["depth_layers"] = np.array(depths)
    results["depth"] = [
        [{key: np.array([parts[f"depth-{n}-{dt:g}-{seed}"][key] for seed in seeds]) for key in THIRDS} for dt in dts]
        for n in depths
    ]
    return results


def _first(config, dt, seed):
    session = Session(run_config(config["run"], simulation__dt=dt, training__seed=seed))
    inputs, labels = first_batch(session)
    exact = first_gradients(session, inputs, labels)
    session.engine.forward(session.tensors, inputs, trace=("hidden0",))
    v, _ = session.engine.traces("hidden0")
    p = session.structure.parameters[0]
    inverse = _inverse_slopes(v, p.threshold, p.reset_value, dt)
    n_steps = session.config.simulation.n_steps
    return {
        "maps": exact,
        "statistics": list(gradient_statistics(exact, LAYERS)),
        "slopes": {
            "outliers": slope_outliers(inverse, config["limits"]),
            "n_spikes": int(inverse.size),
            "sorted": np.quantile(inverse, 1 - np.geomspace(1, 1 / inverse.size, 400)),
            "share": np.geomspace(1, 1 / inverse.size, 400),
        },
        "clamp": clamp_sweep(
            lambda limit: first_gradients(session, inputs, labels, max_inverse_slope=limit), config["limits"]
        ),
        "kernel": temporal_kernel(p, dt, session.config.simulation.scheme, max(n_steps, round(6 / dt) + 1)),
    }


def _inverse_slopes(v, threshold, reset, dt):
    """``dt/(v_k - ~v_{k-1})`` of every spike of a membrane before reset, (B, T, N)."""
    fired = v >= threshold
    before = np.zeros_like(v)
    before[:, 1:] = np.where(fired[:, :-1], v.dtype.type(reset), v[:, :-1])
    return dt / (v[fired].astype(np.float64) - before[fired])


def _fixed_time(config, dt, seed):
    time = config["fixed_time"]
    changes = {"encoder__name": "poisson-rate", "encoder__max_rate": time["rate"]}
    changes |= {"simulation__n_steps": max(round(time["duration"] / dt), 1), "training__batch_size": time["batch_size"]}
    return _estimators(config, dt, seed, **changes)


def _estimators(config, dt, seed, **changes):
    session = Session(run_config(config["run"], simulation__dt=dt, training__seed=seed, **changes))
    inputs, labels = first_batch(session)
    gradients = [first_gradients(session, inputs, labels, method) for method in config["estimators"]]
    exact = first_gradients(session, inputs, labels)
    continuous = first_gradients(session, inputs, labels, weight_gradient="continuous")
    return {
        "norm": np.array([_norms(both) for both in gradients]),
        "cosine": np.array([_cosines(exact, both) for both in gradients]),
        "weights": np.array([np.divide(_norms(continuous), _norms(exact)), _cosines(exact, continuous)]),
    }


def _norms(gradients):
    return [np.linalg.norm(g.astype(np.float64)) for g in gradients]


def _cosines(exact, other):
    """Cosine of each layer; NaN where a gradient is not finite."""
    if not all(np.isfinite(g).all() for g in other):
        return [float("nan")] * len(exact)
    return compare_gradients(exact, other).cosine[: len(exact)]


def _spiking(config, dt, seed):
    changes = {"simulation__dt": dt, "training__seed": seed, "loss__name": config["spiking_loss"]}
    session = Session(run_config(config["run"], **changes))
    inputs, labels = first_batch(session)
    gradients = {m: first_gradients(session, inputs, labels, m) for m in config["estimators"]}
    session.engine.forward(session.tensors, inputs)
    return {
        "spikes": np.array(list(session.engine.spike_totals().values())) / len(labels),
        "norm": np.array([_norms(both) for both in gradients.values()]),
    }


def _deep(config, n_layers, dt, seed):
    """Differentiate by what enters each layer, by thirds of the trial; rows from the first layer to the output."""
    layers = [784, *[config["depth"]["width"]] * (n_layers - 1), 10]
    run = run_config(
        config["run"], network__layers=layers, simulation__dt=dt, training__seed=seed,
        network__target_rate=config["depth"]["target_rate"],
    )  # fmt: skip
    session = Session(run)
    inputs, labels = first_batch(session)
    s = run.simulation
    engine = ExplicitEngine(
        session.structure, dt=s.dt, n_steps=s.n_steps, scheme=s.scheme,
        max_inverse_slope=run.gradient.max_inverse_slope,
    )  # fmt: skip
    output = engine.forward(session.tensors, inputs)
    engine.backward(session.tensors, session.loss(output, labels).gradient)
    rows = {key: [] for key in THIRDS}
    for adjoint in (engine.adjoints[name] for name in session.tensors):
        thirds = np.array_split(adjoint, 3, axis=1)
        found = [outliers(third) for third in thirds]
        rows["kurtosis"].append([f[3] for f in found])
        rows["energy"].append([f[2] for f in found])
        rows["norm"].append([np.linalg.norm(third.astype(np.float64)) for third in thirds])
    return {key: np.array(values) for key, values in rows.items()}


def claims(results):
    """Judge the statements of section 4.2 about gradients."""
    dts = [f"{dt:g}" for dt in results["dt"]]
    names, norm = results["estimators"], results["norm"]
    exact = names.index("exact")

    hidden, output = norm[:, :, exact, 0].mean(axis=1), norm[:, :, exact, 1].mean(axis=1)
    top = [[s["max_abs"] for s in row] for row in results["statistics"]]
    statistics = results["statistics"]
    energy = [[row[layer]["outlier_energy"] for row in statistics] for layer in (0, 1)]
    kurtosis = [[row[layer]["kurtosis"] for row in statistics] for layer in (0, 1)]
    share = [
        [row[layer]["n_outliers"] / (np.prod(row[layer]["shape"]) - row[layer]["n_zero"]) for row in statistics]
        for layer in (0, 1)
    ]
    study = int(np.argmin(np.abs(results["limits"] - 1e4)))
    clamped = [row["outliers"]["clamped"][study] for row in results["slopes"]]
    largest = [row["sorted"][-1] for row in results["slopes"]]
    median = [np.interp(0.5, row["share"][::-1], row["sorted"][::-1]) for row in results["slopes"]]
    literal = norm[:, :, names.index("literal"), 0].mean(axis=1) if "literal" in names else None
    kernel = results["kernel"][-1]
    first = np.sign(kernel["discrete"][np.nonzero(kernel["discrete"])[0][0]])
    cosine = results["cosine"].mean(axis=1)
    rises = bool((np.diff(hidden) > 0).all() and (np.diff(output) > 0).all())
    over_time = results["time_norm"].mean(axis=1)[:, :, 0]
    timed_rises = bool((np.diff(over_time[:, exact]) > 0).all())
    text = (
        f"50 steps whatever dt is, dt = {', '.join(dts)}: norm of the hidden layer's gradient {listed(hidden)}, of the "
        f"output layer's {listed(output)} (mean of {norm.shape[1]} seeds). Largest entry of the hidden layer "
        f"{listed([t[0] for t in top])}. At a fixed simulated time and input rate: "
        + "; ".join(f"{n} {listed(over_time[:, k])}" for k, n in enumerate(names))
        + ". So the norm grows with dt where the number of steps is fixed, since a longer range holds more spikes; at "
        "a fixed range the exact gradient varies little, and the other estimators grow as dt falls."
    )
    if literal is not None:
        text += f" The printed formulas give {listed(literal)} at 50 steps: {listed(literal / hidden)} of the exact."
    deeper, earlier, shown = _depth(results)
    weights, timed_weights = (results[key].mean(axis=1) for key in ("weights", "time_weights"))
    silent = results["silent"]
    return [
        Claim(
            "Exploding gradients are more pronounced with larger steps.",
            "section 5, conclusion 2",
            text,
            verdict(rises and timed_rises, rises),
            "C26",
        ),
        Claim(
            "Gradients explode through the inverse slope, as voltage and current approach zero; a clamp at 1e4 "
            "mends it.",
            "section 4.2",
            f"Median 1/slope {listed(median)}, largest {listed(largest)} at dt = {', '.join(dts)}; the clamp takes "
            f"{listed([100 * c for c in clamped])} % of the spikes. A neuron that spikes is at its threshold, not "
            "at zero: 1/slope is large where its drive only just exceeds the leak, which is rare.",
            verdict(max(clamped) > 0.01, max(largest) > 1e3),
            "C20",
        ),
        Claim(
            "The gradient's density has great outliers.",
            "section 4.2, Figure 3",
            "Entries that are not zero beyond Tukey's outer fences: hidden layer "
            f"{listed([100 * x for x in share[0]])} %, with {listed([100 * e for e in energy[0]])} % of the squared "
            f"norm; output layer {listed([100 * x for x in share[1]])} % with "
            f"{listed([100 * e for e in energy[1]])} %. Kurtosis {listed(kurtosis[0], '{:.0f}')} and "
            f"{listed(kurtosis[1], '{:.0f}')} (normal: 3).",
            verdict(min(map(min, energy)) > 0.3),
            "C21",
        ),
        Claim(
            "Outliers are greater for earlier time steps and deeper layers.",
            "section 4.2",
            "Derivative of the loss by what enters a layer at a step, kurtosis of the entries that are not zero, "
            f"mean of {results['depth'][0][0]['kurtosis'].shape[0]} seeds: {shown}. The layer farthest from the "
            f"output has the greater kurtosis than the last hidden one in {100 * deeper:.0f} % of the networks, the "
            f"first third of the trial than the last one in {100 * earlier:.0f} % of their layers.",
            verdict(deeper > 0.75 and earlier > 0.75, deeper > 0.75 or earlier > 0.75),
            "C21",
        ),
        Claim(
            "The influence of a spike does not fall monotonically with its distance in time.",
            "section 5, limitation 1",
            f"A later input spike first {'lowers' if first < 0 else 'raises'} the membrane; the derivative changes "
            "sign "
            f"at a distance of {kernel['sign_change']:.3f}, has its second extremum at {kernel['rebound']:.3f} and "
            "decays from there.",
            verdict(kernel["rebound"] > kernel["sign_change"] > 0),
            "L1",
        ),
        Claim(
            "There are two estimators of the weight gradient: one of the continuous dynamics, one fixed by the scheme.",
            "section 3.2, eq 40",
            f"The continuous one relative to the discrete, dt = {', '.join(dts)}, 50 steps: norm of the hidden "
            f"layer {listed(weights[:, 0, 0], '{:.4f}')}, one minus the cosine "
            f"{listed(1 - weights[:, 1, 0], '{:.0e}')}; output layer {listed(weights[:, 0, 1], '{:.4f}')} and "
            f"{listed(1 - weights[:, 1, 1], '{:.0e}')}. At a fixed simulated time: "
            f"{listed(timed_weights[:, 0, 0], '{:.4f}')} and {listed(1 - timed_weights[:, 1, 0], '{:.0e}')} in the "
            "hidden layer. They point the same way; at a fixed range their difference falls in proportion to dt.",
            verdict(bool((np.diff(np.abs(1 - timed_weights[:, 0, 0])) > 0).all())),
            "C17",
        ),
        Claim(
            "Which estimators point the way of the exact gradient?",
            "open",
            "Cosine with the exact gradient, hidden layer: "
            + "; ".join(f"{n} {listed(cosine[:, k, 0], '{:+.2f}')}" for k, n in enumerate(names) if n != "exact")
            + f" for dt = {', '.join(dts)}. With a spiking output layer an untrained network gives "
            f"{listed([s['spikes'][-1] for s in silent])} output spikes a trial; where there is none, every estimator "
            "but the surrogate has no gradient at all (norms "
            + "; ".join(f"{n} {listed([s['norm'][k, 0] for s in silent])}" for k, n in enumerate(names))
            + ").",
            ANSWER,
        ),
    ]


def _depth(results):
    """Shares of cases in which outliers grow with depth and towards the start, and the kurtosis as text."""
    deeper, earlier, shown = [], [], []
    for n, row in zip(results["depth_layers"], results["depth"], strict=True):
        for dt, found in zip(results["dt"], row, strict=True):
            whole = np.nanmean(found["kurtosis"], axis=(0, 2))
            thirds = np.nanmean(found["kurtosis"], axis=0)
            deeper.append(whole[0] > whole[-2])
            earlier += list(thirds[:, 0] > thirds[:, 2])
            layers = "/".join(f"{x:.0f}" for x in whole)
            shown.append(f"{n} layers, dt = {dt:g}: {layers}")
    return np.mean(deeper), np.mean(earlier), "; ".join(shown) + " (first layer to output)"
