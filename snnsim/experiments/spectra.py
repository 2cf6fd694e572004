"""Wavelets and spectra of the hidden membranes (study, section 4.3, its Figure 5)."""

from itertools import pairwise

import numpy as np

from snnsim.analysis.drive import kernel_drive
from snnsim.analysis.spectrum import band_power, poisson_spectrum, welch_spectrum
from snnsim.analysis.wavelet import decompose, scalogram
from snnsim.experiments.base import ANSWER, Claim, verdict
from snnsim.experiments.learning import Session, first_batch, listed, run_config


def run(config, context):
    """Transform the hidden voltage of untrained networks, and of free neurons under Poisson input.

    Returns
    -------
    dict
        ``batch``: for each step size, the study's way: ``v`` (T, N), the batch-averaged membrane over a fixed number
        of steps, its :class:`~snnsim.analysis.wavelet.WaveletDecomposition` ``wavelet`` at level 1, and the energies
        ``detail``, ``low`` (of the approximation), ``variance`` (mean over neurons), ``single_detail``,
        ``single_variance`` (of one sample);
        ``time``: for each step size at a fixed simulated time and input rate: ``frequency``, ``power`` (Welch, mean
        over neurons), ``scalogram`` and ``trace`` of one neuron over its first ``shown`` units of time, ``high`` (power
        above the common cut), ``low`` (below a fifth of it), ``total``;
        ``free``: for each scheme and step size the measured and the theoretical spectrum of a free neuron.
    """
    steps, timed, free = config["dt"], config["fixed_time"], config["free"]
    context.expect(len(steps) + len(timed["dt"]) + len(free["dt"]) * len(free["schemes"]))
    cut = 0.5 / max(timed["dt"])
    return {
        "dt": np.array(steps),
        "batch": [context.part(f"batch-{dt:g}", lambda dt=dt: _batch(config, dt)) for dt in steps],
        "time_dt": np.array(timed["dt"]),
        "cut": cut,
        "time": [context.part(f"time-{dt:g}", lambda dt=dt: _timed(config, timed, dt, cut)) for dt in timed["dt"]],
        "schemes": free["schemes"],
        "free_dt": np.array(free["dt"]),
        "free": [
            [
                context.part(f"free-{scheme}-{dt:g}", lambda dt=dt, s=scheme: _free(config, free, dt, s))
                for scheme in free["schemes"]
            ]
            for dt in free["dt"]
        ],
    }


def _hidden(config, **changes):
    session = Session(run_config(config["run"], **changes))
    inputs, _ = first_batch(session)
    session.engine.forward(session.tensors, inputs, trace=("hidden0",))
    return session, session.engine.traces("hidden0")[0].astype(np.float64)


def _batch(config, dt):
    # Symmetric extension: a periodic one would make the step from the end of the trial to its start a detail.
    _, v = _hidden(config, simulation__dt=dt)
    mean = v.mean(axis=0)
    averaged = decompose(mean, dt, config["wavelet"], level=1, mode="symmetric")
    single = decompose(v[0], dt, config["wavelet"], level=1, mode="symmetric")
    inner = slice(1, -1)  # the outermost coefficients see the extension
    return {
        "v": mean.astype(np.float32),
        "wavelet": averaged,
        "low": float((averaged.approximation[inner] ** 2).sum(axis=0).mean()),
        "detail": float((averaged.details[0][inner] ** 2).sum(axis=0).mean()),
        "variance": float(mean.var(axis=0).mean() * len(mean)),
        "single_detail": float((single.details[0][inner] ** 2).sum(axis=0).mean()),
        "single_variance": float(v[0].var(axis=0).mean() * len(mean)),
    }


def _timed(config, timed, dt, cut):
    n_steps = round(timed["duration"] / dt)
    session, v = _hidden(
        config,
        simulation__dt=dt,
        simulation__n_steps=n_steps,
        encoder__name="poisson-rate",
        encoder__max_rate=timed["rate"],
        training__batch_size=1,
    )
    v = v[0]
    busy = int(np.argmax((v >= session.structure.parameters[0].threshold).sum(axis=0)))
    spectrum = welch_spectrum(v, dt, min(n_steps, max(int(timed["segment"] / dt), 16)))
    high = band_power(spectrum, cut, spectrum.frequency[-1]) if spectrum.frequency[-1] > cut * 1.001 else 0.0
    trace = v[: round(timed["shown"] / dt), busy]
    picture = scalogram(trace, dt, config["n_frequencies"])
    # Only the picture is coarser than the transform: mean power of blocks of steps.
    keep = max(trace.size // 1000, 1)
    blocks = trace.size // keep
    return {
        "frequency": spectrum.frequency[1:-1],
        "power": spectrum.mean[1:-1],
        "standard_error": spectrum.standard_error[1:-1],
        "high": high,
        "low": band_power(spectrum, spectrum.frequency[1], 0.2 * cut),
        "total": band_power(spectrum, spectrum.frequency[1], spectrum.frequency[-1]),
        "scalogram": {
            "times": picture.times[keep - 1 :: keep][:blocks],
            "frequencies": picture.frequencies,
            "power": picture.power[:, : blocks * keep].reshape(-1, blocks, keep).mean(axis=2).astype(np.float32),
            "cone": picture.cone,
        },
        "trace": trace.astype(np.float32),
        "trace_times": picture.times,
    }  # fmt: skip


def _free(config, free, dt, scheme):
    parameters = Session(run_config(config["run"])).structure.parameters[0]
    n_steps, settle = free["n_steps"], int(40 / dt)
    rng = np.random.Generator(np.random.Philox(key=[free["seed"], 0]))
    x = free["weight"] * rng.poisson(free["rate"] * dt, (n_steps + settle, free["n_neurons"]))
    v = kernel_drive(parameters, dt, scheme)(x)[settle:]
    spectrum = welch_spectrum(v, dt, free["segment"])
    inside = slice(1, -1)  # a one-sided density is not doubled at 0 and at the Nyquist frequency
    expected = poisson_spectrum(spectrum.frequency[inside], parameters, free["rate"], free["weight"], dt, scheme)
    return {
        "frequency": spectrum.frequency[inside],
        "power": spectrum.mean[inside],
        "standard_error": spectrum.standard_error[inside],
        "expected": expected,
        "continuous": poisson_spectrum(spectrum.frequency[inside], parameters, free["rate"], free["weight"]),
    }


def claims(results):
    """Judge the statement of section 4.3."""
    dts = ", ".join(f"{dt:g}" for dt in results["dt"])

    batch, timed = results["batch"], results["time"]
    detail = [b["detail"] for b in batch]
    share = [b["detail"] / b["variance"] for b in batch]
    single = [b["single_detail"] / b["single_variance"] for b in batch]
    high = [t["high"] for t in timed]
    part = [t["high"] / t["total"] for t in timed]
    # Compared at the frequencies that all step sizes resolve.
    top = results["cut"]
    common = [float(np.interp(0.8 * top, t["frequency"], t["power"])) for t in timed]
    scores = []
    for line in results["free"]:
        for f in line:
            inner = slice(3, int(0.9 * f["frequency"].size))
            scores.append(np.sqrt(np.mean(((f["power"] / f["expected"] - 1)[inner]) ** 2)))
    # Energy over the steps times dt is an integral over time: another number of steps does not change it.
    low = [b["low"] for b in batch]
    rises_low = all(a < b for a, b in pairwise(low))
    falling = all(a > b for a, b in pairwise(detail))
    falling_share = all(a > b for a, b in pairwise(share))
    timed_high = all(a >= b for a, b in pairwise(high)) and high[0] > high[-1]
    timed_low = [t["low"] for t in timed]
    rises_timed = all(a < b for a, b in pairwise(timed_low))
    return [
        Claim(
            "The batch-averaged hidden voltage in wavelets, for three step sizes.",
            "section 4.3, Figure 5",
            f"Level 1 of the discrete transform ({batch[0]['v'].shape[0]} steps, {batch[0]['v'].shape[1]} neurons) "
            f"for dt = {dts}: energy a neuron of the details {listed(detail)}, of the approximation "
            f"{listed(low, '{:.3g}')}.",
            ANSWER,
            "C23",
        ),
        Claim(
            "Smaller steps give stronger high-frequency components of the voltage.",
            "section 5, conclusion 3",
            f"Over {batch[0]['v'].shape[0]} steps, dt = {dts}: energy of the finest details {listed(detail)} a "
            f"neuron, which is {listed([100 * s for s in share])} % of the variation (single samples: "
            f"{listed([100 * s for s in single])} %). The finest band lies below the Nyquist frequency, which is "
            "another for every dt: per step, a smaller dt gives a smoother trace. At the same simulated time, dt = "
            f"{listed(results['time_dt'], '{:g}')}, power above {top:g} cycles per unit of time is {listed(high)}: "
            "there a smaller step has more, since a larger one cannot carry it.",
            verdict(falling and falling_share and timed_high, falling or falling_share or timed_high),
            "C28",
        ),
        Claim(
            "Larger steps give stronger low-frequency components.",
            "section 5, conclusion 3",
            f"Energy of the approximation, the lower half of the band, over {batch[0]['v'].shape[0]} steps: "
            f"{listed(low, '{:.3g}')} for dt = {dts}. At the same simulated time and input, power below "
            f"{0.2 * top:g} cycles per unit of time: {listed(timed_low, '{:.3g}')} for dt = "
            f"{listed(results['time_dt'], '{:g}')}.",
            verdict(rises_low and rises_timed, low[-1] > low[0] or rises_timed),
            "C28",
        ),
        Claim(
            "The same at equal simulated time and input, in absolute frequency.",
            "open",
            f"dt = {listed(results['time_dt'], '{:g}')}: power above {top:g} cycles per unit of time, the Nyquist "
            f"frequency of the largest dt, {listed(high)} ({listed([100 * p for p in part])} % of all power); "
            "density at "
            f"{0.8 * top:g} {listed(common)}. A smaller dt shows frequencies that a larger one cannot carry, and they "
            "fall off as the neuron's filter does.",
            ANSWER,
        ),
        Claim(
            "Spectra follow |H|^2, on a clock |H_d|^2.",
            "sections 2.2 and 4.3",
            "Welch spectra of free neurons under Poisson input deviate from theory by "
            f"{100 * min(scores):.1f} to {100 * max(scores):.1f} % (root mean square over frequencies; all schemes, "
            "dt = "
            f"{listed(results['free_dt'], '{:g}')}).",
            verdict(max(scores) < 0.1),
            "C6",
        ),
    ]
