"""How far each step size is from continuous time: networks on clocks against the event engine (an open question)."""

from itertools import pairwise

import numpy as np

from snnsim.analysis.network_convergence import network_convergence
from snnsim.blueprint import network_of
from snnsim.engines import make_engine
from snnsim.engines.outputs import slab_of_spikes, spikes_of_slab
from snnsim.experiments.base import ANSWER, Claim, verdict
from snnsim.experiments.learning import listed, run_config
from snnsim.spikes import Spikes


def run(config, context):
    """Compare random networks of three layers whose spikes are resolved, and such whose spikes are crowded.

    Returns
    -------
    dict
        ``resolved``, ``crowded``: a list of :class:`~snnsim.analysis.network_convergence.NetworkConvergence`, one a
        network; ``spacing`` (2,): what the shortest distance of two spikes had to be above, and below.
    """
    groups = {"resolved": config["resolved"], "crowded": config["crowded"]}
    context.expect(sum(group["networks"] for group in groups.values()))
    results = {"spacing": np.array([config["resolved"]["spacing"], config["crowded"]["spacing"]])}
    parts = context.parts(
        {
            f"{name}-{k}": (_network, config, name, group, k)
            for name, group in groups.items()
            for k in range(group["networks"])
        }
    )
    for name, group in groups.items():
        results[name] = [parts[f"{name}-{k}"] for k in range(group["networks"])]
    return results


def _network(config, name, group, index):
    run = run_config(config["run"])
    found = 0
    for seed in range(config["candidates"]):
        network, inputs, labels = random_trial(run, group, seed)
        spacing, active = _spacing(run, network, inputs)
        suits = spacing >= group["spacing"] if name == "resolved" else spacing < group["spacing"]
        if suits and active:
            if found == index:
                return network_convergence(
                    run, network, inputs, labels, config["dt"], config["schemes"],
                    estimators=tuple(config["estimators"]), fit_below=config["fit_below"],
                )  # fmt: skip
            found += 1
    raise ValueError(f"{name}: {found} of {config['candidates']} candidates have the wanted spacing")


def random_trial(run, group, seed):
    """Weights, input spikes on the grid of the largest step, and a label, of one random network.

    Returns
    -------
    network : Network
    inputs : Spikes
        One trial.
    labels : ndarray, (1,) int64
    """
    rng = np.random.Generator(np.random.Philox(key=[seed, 77]))
    layers, s = run.network.layers, run.simulation
    weights = [np.abs(rng.standard_normal(pair)) * group["gain"] / np.sqrt(pair[0]) for pair in pairwise(layers)]
    steps = rng.integers(1, round(0.6 * s.n_steps), group["spikes"])
    inputs = Spikes.from_trials(
        [(steps * s.dt, rng.integers(0, layers[0], group["spikes"]))], layers[0], s.dt * s.n_steps
    )
    structure = network_of(run)
    network = structure.with_tensors(dict(zip(structure.tensor_shapes(), weights, strict=True)))
    return network, inputs, np.array([seed % layers[-1]])


def _spacing(run, network, inputs):
    """Shortest distance of two spikes of the network in continuous time, and whether every layer spikes."""
    s = run.simulation
    engine = make_engine("event", network, dt=s.dt, n_steps=s.n_steps, precision="float64")
    engine.forward(network.tensors, slab_of_spikes(inputs))
    spikes = [spikes_of_slab(slab) for name, slab in engine.spikes().items() if name != "input"]
    times = np.sort(np.concatenate([x.times for x in spikes]))
    return (float(np.diff(times).min()) if times.size > 1 else np.inf), all(x.times.size for x in spikes)


def pool(networks, key):
    """Stack one entry of all networks, the first axis being the network."""
    return np.stack([network[key] for network in networks])


def claims(results):
    """Judge what the numerics of section 2.3 say about whole networks, and answer what the study asks."""
    resolved, crowded = results["resolved"], results["crowded"]
    runs, dts = resolved[0]["runs"], resolved[0]["dt"]
    estimators = resolved[0]["estimators"]
    schemes = [s for s in runs if s != "hybrid"]

    def by_scheme(values):
        found = ((s.replace("_", " "), values[runs.index(s)]) for s in schemes)
        return ", ".join(f"{s} {x:.2f}" if np.isfinite(x) else f"{s} none (rounding)" for s, x in found)

    free_order = _middle(pool(resolved, "free_order")[:, :, None])
    exact_free = pool(resolved, "free_max")[:, runs.index("exact")].max()
    time_order = _middle(pool(resolved, "time_order"))
    gradient_order = _middle(pool(resolved, "gradient_order"))
    hybrid = runs.index("hybrid")
    d3, d4 = (int(np.argmin(np.abs(dts - x))) for x in (1e-3, 1e-4))
    cosine = pool(resolved, "gradient_cosine")
    at3 = np.nanmin(cosine[:, : len(schemes), d3])
    at4 = np.nanmin(cosine[:, : len(schemes), d4])
    unseen = pool(resolved, "unseen")
    clear = unseen == 0
    times = pool(resolved, "time_max")[:, hybrid]
    hybrid_error = np.nanmax(times[clear]) if clear.any() else np.nan
    bound = pool(resolved, "euler_bound") if "forward_euler" in runs else None
    ratio = (pool(resolved, "free_max")[:, runs.index("forward_euler")] / bound) if bound is not None else None
    lost = pool(crowded, "lost").sum(axis=(0, 3)) / pool(crowded, "n_reference").sum()
    added = pool(crowded, "added").sum(axis=(0, 3)) / pool(crowded, "n_reference").sum()
    back = runs.index("backward_euler") if "backward_euler" in runs else 0

    def estimator_text(networks):
        parts = ["exact " + listed(_mean(pool(networks, "gradient_cosine")[:, back]), "{:+.3f}")]
        values = pool(networks, "estimator_cosine")
        for e, name in enumerate(estimators):
            parts.append(f"{name} " + listed(_mean(values[:, e, back]), "{:+.2f}"))
        return "; ".join(parts)

    climbing = []
    for e, name in enumerate(estimators):
        hidden = pool(resolved, "estimator_cosine")[:, e, back, :, :-1]
        share = np.mean(hidden[np.isfinite(hidden)] < 0)
        climbing.append(f"{name} in {100 * share:.0f} %")
    listed_dt = listed(dts, "{:g}")
    return [
        Claim(
            "Membranes converge with the order of the scheme.",
            "section 2.3",
            f"Free membranes of the first layer under input spikes at the ends of steps, fitted orders: "
            f"{by_scheme(free_order)}; the exact scheme's largest error is {exact_free:.0e}. The bilinear scheme is of "
            "second order for smooth input, but an impulse of its acts in the middle of its step: half a step early. "
            + (
                f"Largest error of forward Euler over its bound: at most {ratio.max():.1e}."
                if ratio is not None
                else ""
            ),
            verdict(
                exact_free < 1e-11 and all(abs(x - 1) < 0.15 for x in free_order[: len(schemes)] if np.isfinite(x))
            ),
            "C10, C11",
        ),
        Claim(
            "Spike times, losses and gradients converge, too.",
            "open",
            f"Spikes at least {results['spacing'][0]:g} apart ({len(resolved)} networks): orders of spike times "
            f"{by_scheme(time_order)}; of gradients {by_scheme(gradient_order)}. Smallest cosine with the exact "
            "gradient of "
            f"continuous time over all schemes and layers: {at3:.4f} at dt = {dts[d3]:g}, {at4:.6f} at dt = "
            f"{dts[d4]:g}.",
            ANSWER,
            "C16",
        ),
        Claim(
            "What does a clock lose when spikes lie closer than dt?",
            "open",
            f"Crowded spikes ({len(crowded)} networks), backward Euler, dt = {listed_dt}: spikes lost "
            f"{listed(100 * lost[back], '{:.1f}')} %, added {listed(100 * added[back], '{:.1f}')} %; cosine of the "
            "gradient, mean over layers: "
            f"{listed(_mean(pool(crowded, 'gradient_cosine')[:, back]), '{:+.3f}')}.",
            ANSWER,
        ),
        Claim(
            "The hybrid engine has precise times at a clock's price.",
            "open",
            f"Where no excursion could be missed ({int(clear.sum())} of {clear.size} runs, bins of {listed_dt}), "
            "its largest "
            f"error of a spike time is {hybrid_error:.1e}.",
            ANSWER,
        ),
        Claim(
            "Which estimators ascend?",
            "open",
            f"Cosine with the gradient of continuous time, backward Euler, mean over layers, dt = {listed_dt}. "
            "Resolved spikes: "
            f"{estimator_text(resolved)}. Crowded: {estimator_text(crowded)}. Layers below the output where an "
            "estimator "
            f"points up the loss: {', '.join(climbing)}.",
            ANSWER,
            "C16",
        ),
    ]


def _middle(values):
    """Median over networks and layers of (networks, S, L), leaving out what is not finite."""
    rows = values.transpose(1, 0, 2).reshape(values.shape[1], -1)
    return np.array([np.median(row[np.isfinite(row)]) if np.isfinite(row).any() else np.nan for row in rows])


def _mean(values):
    """Mean over networks and layers of (networks, D, L), leaving out what is not finite."""
    finite = np.isfinite(values)
    total = np.where(finite, values, 0).sum(axis=(0, 2))
    return np.where(finite.any(axis=(0, 2)), total / np.maximum(finite.sum(axis=(0, 2)), 1), np.nan)
