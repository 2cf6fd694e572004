"""Truncation errors, Euler's bound and stability of the clock schemes (study, section 2.3, eqs 13-17)."""

import numpy as np

from snnsim.analysis.first_spike import first_spike_study
from snnsim.analysis.truncation import (
    euler_global_bound,
    free_run,
    global_error,
    printed_lipschitz_constant,
    spectral_radius,
    truncation_study,
)
from snnsim.experiments.base import ANSWER, Claim, neuron, verdict


def run(config, context):
    """Measure errors of a free run, of a constant drive, of first spikes, and growth near the stability limit.

    Returns
    -------
    dict
        ``study`` (:class:`~snnsim.analysis.truncation.TruncationStudy`), ``spikes``
        (:class:`~snnsim.analysis.first_spike.FirstSpikeStudy`), ``printed_lipschitz`` (L of eq 17), ``course``
        (Euler's error over time and its bound),
        ``growth`` (norm of a free run of forward Euler on either side of its limit), ``stability`` (spectral radii).
    """
    parameters = neuron(config)
    context.expect(4)
    dts = np.geomspace(config["dt_min"], config["dt_max"], config["n_dt"])
    v0, i0, t_end = 0.0, 1.0 / parameters.tau_syn, config["t_end"]
    study = context.part("study", lambda: truncation_study(parameters, dts, config["schemes"], v0, i0, t_end))
    spikes = context.part(
        "spikes",
        lambda: first_spike_study(
            parameters,
            np.geomspace(config["spike_dt_min"], config["spike_dt_max"], config["n_spike_dt"]),
            config["schemes"],
            n_neurons=config["n_neurons"],
        ),
    )

    def course():
        rows = []
        for dt in config["course_dt"]:
            e = global_error(dt, t_end, "forward_euler", parameters, v0, i0)
            bound = euler_global_bound(e.times, dt, parameters, v0, i0)
            rows.append({"dt": dt, "times": e.times, "norm": e.norm, "bound": bound})
        return rows

    def growth():
        limit = 2 * min(parameters.tau_mem, parameters.tau_syn)
        n = config["n_growth"]
        factors = config["growth_factors"]
        runs = [free_run(limit * x, n, "forward_euler", parameters, v0, i0) for x in factors]
        return {"factors": factors, "limit": limit, "norm": np.stack([np.linalg.norm(y, axis=1) for y in runs])}

    grid = np.linspace(0.01, config["dt_max"], 160)
    radius = [[spectral_radius(parameters, dt, scheme) for dt in grid] for scheme in config["schemes"]]
    return {
        "parameters": config["neuron"],
        "printed_lipschitz": printed_lipschitz_constant(parameters),
        "stability": {"dt": grid, "radius": np.array(radius)},
        "study": study,
        "spikes": spikes,
        "course": context.part("course", course),
        "growth": context.part("growth", growth),
    }


def claims(results):
    """Judge the statements of section 2.3."""
    study, spikes, growth = results["study"], results["spikes"], results["growth"]
    schemes = study["schemes"]
    euler = schemes.index("forward_euler")

    def orders(fits):
        return {scheme: fit["order"] for scheme, fit in zip(schemes, fits, strict=True)}

    local, overall, spike = (
        orders(study["local_order"]),
        orders(study["global_order"]),
        orders(spikes["order"]),
    )
    stable = np.isfinite(study["global_norm"][euler])
    ratio = study["global_norm"][euler, stable] / study["bound"][stable]
    last = growth["norm"][:, -1]
    below = [float(x) for x, f in zip(last, growth["factors"], strict=True) if f < 1]
    above = [float(x) for x, f in zip(last, growth["factors"], strict=True) if f > 1]
    radius = {s: float(study["radius"][k].max()) for k, s in enumerate(schemes) if s != "forward_euler"}

    def text(values):
        parts = (f"{s.replace('_', ' ')} {'exact' if np.isnan(x) else f'{x:.2f}'}" for s, x in values.items())
        return ", ".join(parts)

    first = ("forward_euler", "backward_euler")
    k = int(np.argmin(np.abs(np.array(spikes["dt"]) - 0.1)))
    lost = ", ".join(
        f"{s.replace('_', ' ')} {100 * spikes['lost'][j, k]:.1f}/{100 * spikes['added'][j, k]:.1f} %"
        for j, s in enumerate(spikes["schemes"])
    )
    return [
        Claim(
            "Euler's method has a local truncation error of second order and a global one of first order.",
            "section 2.3, eqs 13-15",
            f"Fitted local orders: {text(local)}; global: {text(overall)}.",
            verdict(
                all(abs(local[s] - 2) < 0.1 and abs(overall[s] - 1) < 0.1 for s in first),
                any(abs(overall[s] - 1) < 0.1 for s in first),
            ),
            "C10, C11",
        ),
        Claim(
            "The global error is bounded by dt M/(2 L) (exp(L t) - 1).",
            "section 2.3, eqs 16-17",
            f"L of eq 17 is {results['printed_lipschitz']:.3f}; the spectral norm, {study['lipschitz']:.3f}, is the "
            f"smallest constant that serves, and is used here; M = {study['curvature']:.3f}. The largest error is "
            f"{ratio.min():.1e} to {ratio.max():.1e} of the bound at t = {study['t_end']:g}: the bound grows "
            "exponentially, while the error of a decaying neuron dies out.",
            verdict(bool((ratio <= 1).all())),
            "C12",
        ),
        Claim(
            "The explicit method is stable only below twice the shorter time constant; the implicit one always.",
            "section 2.3, eqs 13-14",
            f"Limit {growth['limit']:g}. After {growth['norm'].shape[1] - 1} steps the state is {max(below):.1e} just "
            f"below and {min(above):.1e} just above it. Largest spectral radius of the others up to "
            f"dt = {study['dt'][-1]:.3g}: "
            + ", ".join(f"{s.replace('_', ' ')} {x:.3f}" for s, x in radius.items())
            + ".",
            verdict(max(below) < 1 < min(above) and max(radius.values()) < 1),
            "C10, C11",
        ),
        Claim(
            "Which error do spike times make?",
            "open",
            f"Orders of the first-spike time: {text(spike)}. A spike lies at the end of its step, so its time "
            f"is of first order whatever the order of v. At dt = {spikes['dt'][k]:.3g}, spikes lost/added: "
            f"{lost}.",
            ANSWER,
        ),
    ]
