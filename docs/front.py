"""Draws the picture of the README and of the front page: ``python docs/front.py``."""

from pathlib import Path

import numpy as np

import snnsim as sn
from snnsim.plotting import save_figure
from snnsim.plotting.style import TEXT, new_figure

CLOCKS = {2.0: "#D55E00", 0.5: "#0072B2"}
"""Step sizes in milliseconds, and their colours."""


def main():
    """Draw one output neuron's membrane and spikes on two clocks and in continuous time."""
    rng = np.random.default_rng(0)
    neuron = sn.LIF(tau_mem=10.0, tau_syn=5.0, v_threshold=1.0, v_reset=0.0)
    network = sn.Network.chain([rng.normal(0.06, 0.3, (100, 50)), rng.normal(0.3, 0.8, (50, 5))], neuron)
    spikes = sn.Spikes.from_trials([(rng.uniform(0, 100, 2000), rng.integers(0, 100, 2000))], 100, 100.0)
    runs = [("exact", "black", 0.05, sn.simulate(network, spikes, engine="event", dt=0.05, record=("spikes", "v")))]
    runs += [(f"dt = {dt:g} ms", c, dt, sn.simulate(network, spikes, dt=dt, record=("spikes", "v")))
             for dt, c in CLOCKS.items()]  # fmt: skip
    figure, axes = new_figure(7.0, 3.4, 2, 1, sharex=True, height_ratios=(1, 2.2))
    which = 1
    for row, (name, colour, dt, activity) in enumerate(runs):
        found = activity["output"].spikes
        axes[0, 0].vlines(found.times[found.neurons == which], -row - 0.4, -row + 0.4, color=colour, lw=1.2)
        v = activity["output"].v[0, :, which]
        axes[1, 0].plot(dt * np.arange(1, len(v) + 1), v, color=colour, lw=1.0, label=name, zorder=3 - row)
    axes[0, 0].set_yticks([0, -1, -2], [name for name, *_ in runs])
    axes[0, 0].tick_params(labelsize=TEXT)
    axes[1, 0].axhline(1.0, color="0.5", lw=0.8, ls="--")
    axes[1, 0].set_ylabel("membrane", fontsize=TEXT)
    axes[1, 0].set_xlabel("time (ms)", fontsize=TEXT)
    axes[1, 0].set_xlim(0, 100)
    save_figure(figure, Path(__file__).with_name("front.png"), dpi=200)


if __name__ == "__main__":
    main()
