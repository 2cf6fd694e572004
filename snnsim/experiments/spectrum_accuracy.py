"""Do spectra of hidden membranes predict accuracy once dt is accounted for? (study, section 5, conclusion 3)."""

import numpy as np

from snnsim.analysis.spectrum import band_power, welch_spectrum
from snnsim.experiments.base import ANSWER, Claim
from snnsim.experiments.learning import Session, listed, run_config, train_curve

BANDS = ("low", "high")


def run(config, context):
    """Train networks over dt and seeds, and take the spectra of their hidden membranes before and after.

    Returns
    -------
    dict
        ``dt`` (D,), ``seeds``; ``accuracy`` (D, seeds) in per cent; ``before_low``, ``before_high``, ``low``, ``high``
        (D, seeds): shares of the power of the hidden membranes below and above the ``edges`` (cycles a step);
        ``correlation``, ``p``: of the accuracy with the trained shares, {"low", "high"} each, over all networks
        (``all``) and after each step size's means are taken out (``within``), by permutations within step sizes.
    """
    dts, seeds = config["dt"], config["seeds"]
    context.expect(len(dts) * len(seeds))
    parts = context.parts({f"{dt:g}-{seed}": (_train, config, dt, seed) for dt in dts for seed in seeds})
    results = {
        key: np.array([[parts[f"{dt:g}-{seed}"][key] for seed in seeds] for dt in dts])
        for key in ("accuracy", "before_low", "before_high", "low", "high")
    }
    results |= {"dt": np.array(dts), "seeds": np.array(seeds), "edges": np.array(config["edges"])}
    results["correlation"], results["p"] = {}, {}
    for band in BANDS:
        found = correlations(results[band], results["accuracy"], config["permutations"])
        results["correlation"][band], results["p"][band] = found
    return results


def correlations(shares, accuracy, permutations):
    """Correlate over all networks, and within step sizes.

    Parameters
    ----------
    shares, accuracy : ndarray, (D, seeds)
    permutations : int
        Of the seeds of each step size, for the probability of as strong a correlation within step sizes by chance.

    Returns
    -------
    correlation : dict
        ``all``, ``within``.
    p : float
    """
    x, y = (values - values.mean(axis=1, keepdims=True) for values in (shares, accuracy))
    within = _pearson(x, y)
    rng = np.random.Generator(np.random.Philox(key=[0, 3]))
    by_chance = [abs(_pearson(x, rng.permuted(y, axis=1))) >= abs(within) for _ in range(permutations)]
    return {"all": _pearson(shares, accuracy), "within": within}, (1 + sum(by_chance)) / (1 + permutations)


def _pearson(x, y):
    return float(np.corrcoef(x.ravel(), y.ravel())[0, 1])


def _train(config, dt, seed):
    session = Session(run_config(config["run"], simulation__dt=dt, training__seed=seed, data__limit=config["samples"]))
    before = _shares(config, session)
    curve = train_curve(session, config["test_samples"])
    seen = curve["test_accuracy"][np.isfinite(curve["test_accuracy"])]
    after = _shares(config, session)
    return {
        "accuracy": 100 * seen[-1], "before_low": before[0], "before_high": before[1],
        "low": after[0], "high": after[1],
    }  # fmt: skip


def _shares(config, session):
    """Shares of the power of hidden membranes in the low and the high band, mean over test samples and neurons."""
    test = session.test.first(session.config.training.batch_size)
    inputs = session.encoder.on_grid(test.x, test.ids, 0)
    session.engine.forward(session.tensors, inputs, trace=("hidden0",))
    v = session.engine.traces("hidden0")[0].astype(np.float64)
    n_steps = v.shape[1]
    # Frequencies in cycles a step: the unit of time is a step, whatever it stands for.
    spectrum = welch_spectrum(v.transpose(1, 0, 2).reshape(n_steps, -1), 1.0, n_steps // 2)
    total = band_power(spectrum, spectrum.frequency[1], 0.5)
    low, high = config["edges"]
    return band_power(spectrum, spectrum.frequency[1], low) / total, band_power(spectrum, high, 0.5) / total


def claims(results):
    """Answer the open question of conclusion 3."""
    accuracy = results["accuracy"]
    correlation, p = results["correlation"], results["p"]
    dts = listed(results["dt"], "{:g}")

    def band(name, words):
        before, after = (100 * results[f"{prefix}{name}"].mean(axis=1) for prefix in ("before_", ""))
        return (
            f"{words}: {listed(before)} % of the power before and {listed(after)} % after training; correlation "
            f"with the accuracy {correlation[name]['all']:+.2f} over all networks, "
            f"{correlation[name]['within']:+.2f} within step sizes (p = {p[name]:.2g})"
        )

    low, high = results["edges"]
    within = [name for name in BANDS if p[name] < 0.05]
    return [
        Claim(
            "How does the frequency composition of hidden signals relate to accuracy?",
            "section 5, conclusion 3",
            f"{accuracy.size} trained networks, dt = {dts}, accuracy {listed(accuracy.mean(axis=1), '{:.1f}')} %. "
            + "; ".join((band("low", f"Below {low:g} cycles a step"), band("high", f"above {high:g}")))
            + ". "
            + (
                "Once dt is accounted for, accuracy still goes with the "
                + " and the ".join(f"{name} band" for name in within)
                + "; step size by step size, the correlation with the high band is "
                + listed([_pearson(x, y) for x, y in zip(results["high"], accuracy, strict=True)], "{:+.2f}")
                + "."
                if within
                else "Once dt is accounted for, neither band predicts the accuracy: dt sets both."
            ),
            ANSWER,
            "C29",
        )
    ]
