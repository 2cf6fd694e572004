"""Weight gradients of the first backward pass, and why they explode (study, section 4.2, its Figure 3)."""

import numpy as np

from snnsim.analysis.gradients import (
    clamp_sweep,
    compare_gradients,
    gradient_statistics,
    slope_outliers,
    temporal_kernel,
)
from snnsim.experiments.base import ANSWER, Claim, verdict
from snnsim.experiments.learning import Session, first_batch, first_gradients, listed, run_config

LAYERS = ("hidden", "output")


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
        input rate.
    """
    dts, seeds = config["dt"], config["seeds"]
    context.expect(len(dts) * (2 * len(seeds) + 2))
    results = {"dt": np.array(dts), "estimators": config["estimators"], "limits": np.array(config["limits"])}
    parts = context.parts(
        {f"first-{dt:g}": (_first, config, dt, seeds[0]) for dt in dts}
        | {f"seed-{dt:g}-{seed}": (_estimators, config, dt, seed) for dt in dts for seed in seeds}
        | {f"time-{dt:g}-{seed}": (_fixed_time, config, dt, seed) for dt in dts for seed in seeds}
        | {f"silent-{dt:g}": (_spiking, config, dt, seeds[0]) for dt in dts}
    )
    for key in ("maps", "statistics", "slopes", "clamp", "kernel"):
        results[key] = [parts[f"first-{dt:g}"][key] for dt in dts]
    for name, part in (("", "seed"), ("time_", "time")):
        for key in ("norm", "cosine"):
            rows = [[parts[f"{part}-{dt:g}-{seed}"][key] for seed in seeds] for dt in dts]
            results[f"{name}{key}"] = np.array(rows)
    results["silent"] = [parts[f"silent-{dt:g}"] for dt in dts]
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
    return {
        "norm": np.array([_norms(both) for both in gradients]),
        "cosine": np.array([_cosines(exact, both) for both in gradients]),
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


def claims(results):
    """Judge the statements of section 4.2 about gradients."""
    dts = [f"{dt:g}" for dt in results["dt"]]
    names, norm = results["estimators"], results["norm"]
    exact = names.index("exact")

    hidden, output = norm[:, :, exact, 0].mean(axis=1), norm[:, :, exact, 1].mean(axis=1)
    top = [[s["max_abs"] for s in row] for row in results["statistics"]]
    energy = [row[0]["outlier_energy"] for row in results["statistics"]]
    share = [row[0]["n_outliers"] / np.prod(row[0]["shape"]) for row in results["statistics"]]
    study = int(np.argmin(np.abs(results["limits"] - 1e4)))
    clamped = [row["outliers"]["clamped"][study] for row in results["slopes"]]
    largest = [row["sorted"][-1] for row in results["slopes"]]
    median = [np.interp(0.5, row["share"][::-1], row["sorted"][::-1]) for row in results["slopes"]]
    literal = norm[:, :, names.index("literal"), 0].mean(axis=1) if "literal" in names else None
    kernel = results["kernel"][-1]
    first = np.sign(kernel["discrete"][np.nonzero(kernel["discrete"])[0][0]])
    cosine = results["cosine"].mean(axis=1)
    falls = bool(hidden[0] > 10 * hidden[-1])
    over_time = results["time_norm"].mean(axis=1)[:, :, 0]
    rises = [n for k, n in enumerate(names) if not over_time[0, k] <= 10 * over_time[-1, k]]
    text = (
        f"For dt = {', '.join(dts)}: norm of the hidden layer's gradient {listed(hidden)}, of the output layer's "
        f"{listed(output)} (seeds: {norm.shape[1]}). Largest entry of the hidden layer {listed([t[0] for t in top])}."
    )
    if literal is not None:
        text += f" The printed formulas give {listed(literal)}: {listed(literal / hidden)} times the exact gradient."
    text += (
        " At a fixed simulated time and input rate: "
        + "; ".join(f"{n} {listed(over_time[:, k])}" for k, n in enumerate(names))
        + ". With a fixed number of spikes a step the drive grows as 1/dt and steepens every crossing; at a fixed "
        "rate the "
        "exact gradient converges, and what grows without bound is the estimator, not the gradient."
    )
    silent = results["silent"]
    return [
        Claim("The gradients explode as dt falls.", "section 4.2, Figure 3", text, verdict(falls, bool(rises))),
        Claim(
            "They explode through 1/slope at the spikes.",
            "section 4.2",
            f"Median 1/slope {listed(median)}, largest {listed(largest)}; a bound of 1e4 clamps "
            f"{listed([100 * c for c in clamped])} % of the spikes. 1/slope falls with dt; large values belong to "
            "grazing spikes and "
            "are rare.",
            verdict(max(clamped) > 0.01, max(largest) > 1e3),
        ),
        Claim(
            "A few entries are outliers that dominate.",
            "section 4.2, Figure 3",
            f"Share of entries of the hidden layer beyond Tukey's outer fence: {listed([100 * s for s in share])} %, "
            f"with {listed([100 * e for e in energy])} % of the squared norm.",
            verdict(min(energy) > 0.5, max(energy) > 0.1),
        ),
        Claim(
            "The influence of a spike does not fall monotonically with its distance in time.",
            "section 4.2, discussion",
            f"A later input spike first {'lowers' if first < 0 else 'raises'} the membrane; the derivative changes "
            "sign "
            f"at a distance of {kernel['sign_change']:.3f}, has its second extremum at {kernel['rebound']:.3f} and "
            "decays from there.",
            verdict(kernel["rebound"] > kernel["sign_change"] > 0),
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
