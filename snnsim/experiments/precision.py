"""States, spikes and gradients as dt goes to zero in finite precision (study, section 5, conclusion 1)."""

import numpy as np

from snnsim.analysis.gradients import compare_gradients
from snnsim.config import FINEST_SINGLE
from snnsim.engines.grid import grid_of_spikes, slab_of_grid
from snnsim.engines.outputs import slab_of_spikes, spikes_of_slab
from snnsim.experiments.base import ANSWER, Claim, verdict
from snnsim.experiments.learning import Session, first_batch, listed, run_config
from snnsim.parameters import scheme_coefficients
from snnsim.training.parts import engine_of

PRECISIONS = ("float32", "float64")


def run(config, context):
    """Run one untrained network on the same spikes at falling dt, in both precisions and in continuous time.

    Returns
    -------
    dict
        ``dt`` (D,); by (2, D), float32 first: ``v_error`` and ``time_error`` (largest error of an output membrane at
        the end, and mean error of the hidden spikes' times, against continuous time), ``lost`` and ``added`` (shares of
        its hidden spikes), ``cosine`` of the hidden layer's gradient with that of continuous time, ``relative`` error;
        by (D,), of float32 against float64: ``v_between``, ``differing`` (hidden spikes that differ, share),
        ``gradient_between`` (relative); ``factor``, (D,): relative error of ``1 - dv[k+1]/dv[k]`` in float32;
        ``single``: from which dt on ``auto`` uses float64.
    """
    dts = config["dt"]
    context.expect(len(dts))
    parts = context.parts({f"dt-{dt:g}": (_compare, config, dt) for dt in dts})
    found = [parts[f"dt-{dt:g}"] for dt in dts]
    results = {key: np.array([part[key] for part in found]).T for key in found[0]}
    return results | {"dt": np.array(dts), "single": FINEST_SINGLE * config["shortest"]}


def _session(config, dt, engine, precision):
    """Session whose engine runs for the common duration; its inputs are made by :func:`_spikes`."""
    changes = {"simulation__dt": dt, "simulation__n_steps": round(config["duration"] / dt)}
    changes |= {"simulation__engine": engine, "simulation__precision": precision}
    return Session(run_config(config["run"], **changes))


def _spikes(config):
    """Input spikes of the batch on the grid of the coarsest step, so that every grid holds them, and labels."""
    session = _session(config, max(config["dt"]), "clock", "float64")
    inputs, labels = first_batch(session, config["samples"])
    return spikes_of_slab(slab_of_grid(inputs, max(config["dt"]))), labels


def _pass(session, inputs, labels, tensors):
    engine = engine_of(session.config, session.structure)
    output = engine.forward(tensors, inputs)
    gradient = engine.backward(tensors, session.loss(output, labels).gradient)
    hidden = spikes_of_slab(engine.spikes()["hidden0"])
    times, neurons = hidden.trial(0)
    return {
        "output": output,
        "gradient": [g.astype(np.float64).copy() for g in gradient.values()],
        "trains": [np.sort(times[neurons == n]) for n in range(hidden.n_neurons)],
    }


def _compare(config, dt):
    spikes, labels = _spikes(config)
    # The loss is a mean over the ends of steps: continuous time is sampled where the clock is.
    exact = _session(config, dt, "event", "float64")
    truth = _pass(exact, slab_of_spikes(spikes), labels, exact.tensors)
    rows = []
    for precision in PRECISIONS:
        session = _session(config, dt, "clock", precision)
        dtype = np.dtype(precision)
        tensors = {name: w.astype(dtype) for name, w in exact.tensors.items()}
        n_steps = session.config.simulation.n_steps
        found = _pass(session, grid_of_spikes(spikes, dt, n_steps), labels, tensors)
        found["v"] = np.array(found["output"].v[0, -1], np.float64)
        rows.append(found)
    matched = [_match(truth["trains"], row["trains"]) for row in rows]
    gradients = [compare_gradients(truth["gradient"], row["gradient"]) for row in rows]
    between = compare_gradients(rows[1]["gradient"], rows[0]["gradient"])
    a_vv = scheme_coefficients(session.structure.parameters[0], dt, session.config.simulation.scheme)[2]
    single = _match(rows[1]["trains"], rows[0]["trains"], dt / 2)
    return {
        "time_error": np.array([m[2] for m in matched]),
        "lost": np.array([m[0] for m in matched]),
        "added": np.array([m[1] for m in matched]),
        "cosine": np.array([g.cosine[0] for g in gradients]),
        "relative": np.array([g.relative_error[0] for g in gradients]),
        "v_between": np.abs(rows[0]["v"] - rows[1]["v"]).max(),
        "differing": (single[0] + single[1]) / 2,
        "gradient_between": between.relative_error[0],
        "factor": abs((1 - float(np.float32(a_vv))) / (1 - a_vv) - 1),
        "n_spikes": float(sum(map(len, truth["trains"]))),
    }


def _match(reference, found, within=np.inf):
    """Match spikes by neuron and order: shares lost and added, and mean error of those that have a partner.

    With ``within``, partners farther apart than that count as one lost and one added.
    """
    lost = added = 0
    errors = []
    for a, b in zip(reference, found, strict=True):
        n = min(len(a), len(b))
        apart = np.abs(a[:n] - b[:n])
        good = apart <= within
        lost += len(a) - good.sum()
        added += len(b) - good.sum()
        errors.append(apart[good])
    total = max(sum(map(len, reference)), 1)
    errors = np.concatenate(errors)
    return lost / total, added / total, float(errors.mean()) if errors.size else np.nan


def claims(results):
    """Judge the second half of conclusion 1."""
    dts = listed(results["dt"], "{:g}")
    gap = results["gradient_between"]
    return [
        Claim(
            "Numerical trouble grows as dt goes to zero, where du[t+dt]/du[t] tends to 1.",
            "section 5, conclusion 1",
            f"One network, the same spikes, {results['n_spikes'][0]:.0f} hidden spikes in continuous time; dt = "
            f"{dts}. In float32 the distance of du[t+dt]/du[t] from 1 is rounded by "
            f"{listed(100 * results['factor'], '{:.1g}')} %; against float64, membranes at the end differ by "
            f"{listed(results['v_between'], '{:.1g}')}, {listed(100 * results['differing'], '{:.2g}')} % of the "
            "spikes lie in another step or are missing, and the hidden layer's gradient differs by "
            f"{listed(100 * gap, '{:.2g}')} %.",
            verdict(bool(results["v_between"][-1] > 10 * results["v_between"][0] and gap[-1] > 10 * gap[0])),
            "C25",
        ),
        Claim(
            "Is it the method or the number format?",
            "open",
            "Against continuous time, in float64: mean error of spike times "
            f"{listed(results['time_error'][1], '{:.1e}')}, cosine of the hidden layer's gradient "
            f"{listed(results['cosine'][1], '{:.6f}')}: it converges all the way. In float32: "
            f"{listed(results['time_error'][0], '{:.1e}')} and {listed(results['cosine'][0], '{:.6f}')}. Hence "
            f"`auto` takes float64 below dt = {results['single']:g} here.",
            ANSWER,
            "C25",
        ),
    ]
