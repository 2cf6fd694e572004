"""The neuron in closed form: a constant drive, a spike train, phases, decay and energy."""

import numpy as np

from snnsim.plotting.style import BLACK, BLUE, ORANGE, WIDE, legend_in, new_figure, titled

CAPTIONS = {
    "neuron": "Closed forms of one neuron with the study's constants. Under constant drive (line: ODE solver) the "
    "distance from the end value falls by a factor e each tau_mem; under a spike train the clock's kernel with the "
    "exact scheme; phase of the response at one frequency against a weight, with one input spike and with two; "
    "time until an impulse response stays below a hundredth of its peak, against the damping ratio; energy and sum "
    "of the sampled response, relative to the integrals, against dt.",
}


def figures(results):
    """Draw ``neuron`` from the results of ``closed-form``."""
    figure, axes = new_figure(WIDE, 6.2, 2, 3)
    constant, train, phase, decay, energy, hidden = axes.flat
    hidden.set_visible(False)
    row = results["constant"]
    constant.semilogy(row["times"], np.abs(row["v"] - row["end"]), color=BLUE)
    constant.set_xlabel("time")
    constant.set_ylabel("distance from r i")
    titled(constant, "Constant drive")
    row = results["train"]
    train.plot(row["times"], row["v"], color=BLUE, lw=1)
    spikes = row["times"][row["input"] > 0]
    train.plot(spikes, np.full(spikes.size, -0.04 * row["v"].max()), "|", color=BLACK, ms=4)
    train.set_xlabel("time")
    train.set_ylabel("membrane v")
    titled(train, "Spike train (marks)")
    row = results["phase"]
    for k, (name, marker) in enumerate((("one input spike", "o"), ("two, one with this weight", "s"))):
        phase.plot(
            row["weights"], np.unwrap(row["phase"][:, k]), marker=marker, ms=4, color=(BLUE, ORANGE)[k], label=name
        )
    phase.set_xlabel("weight")
    phase.set_ylabel("phase (rad)")
    titled(phase, f"Phase at angular frequency {row['omega']:.2f}")
    legend_in(phase)
    row = results["decay"]
    for key, name, marker, colour in (
        ("", "natural frequency kept", "o", BLUE),
        ("fixed_", "tau_mem kept", "s", ORANGE),
    ):
        decay.plot(row[f"{key}damping"], row[f"{key}time"], marker=marker, ms=4, color=colour, label=name)
    decay.set_xlabel("damping ratio")
    decay.set_ylabel("time to a hundredth of the peak")
    titled(decay, "Decay")
    legend_in(decay)
    row = results["energy"]
    energy.loglog(row["dt"], row["ratio"], marker="o", ms=4, color=ORANGE, label="energy / integral of u²")
    energy.loglog(row["dt"], row["gain"], marker="s", ms=4, color=BLUE, label="sum / integral of u")
    energy.loglog(row["dt"], row["dt"], color=BLACK, lw=0.8, ls=":", label="dt")
    energy.set_xlabel("dt")
    energy.set_ylabel("ratio")
    titled(energy, "Samples dt u(n dt)")
    legend_in(energy)
    return {"neuron": figure}
