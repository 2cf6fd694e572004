"""A stretch of a long run: spikes of some neurons of every population, and the populations' rates below."""

import numpy as np

from snnsim.errors import InputError
from snnsim.plotting.style import CYCLE, DOT, PAGE, headed, legend_in, new_figure
from snnsim.recording.units import units_of

SHOWN = 400
"""Most neurons in the raster; populations share them by their sizes."""


def plot_activity(traces, window=None, layers=None, bin_width=1.0):
    """Draw a stretch of a long run.

    Parameters
    ----------
    traces : snnsim.recording.reader.Traces
    window : (float, float), optional
        Part of the run, in network units; its last fifth, at most 500, if None.
    layers : sequence of str, optional
        Populations; all that spike if None.
    bin_width : float
        Of the rates.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        If no spikes were recorded, or the window does not lie in the run.
    """
    if "spikes" not in traces.info["record"]:
        raise InputError(f"{traces.directory}: records no spikes, only {', '.join(traces.info['record'])}")
    names = [n for n in traces.chosen_layers(layers) if traces.populations[n].spiking]
    length, units = traces.info["duration"], units_of(traces.info)
    total = len(traces) * length
    low, high = (max(0.8 * total, total - 500.0), total) if window is None else window
    if not 0 <= low < high <= total * (1 + 1e-9):
        raise InputError(f"window {low:g}..{high:g}: must lie within the run, 0..{total:g}")
    pieces = slice(int(low / length), int(np.ceil(high / length - 1e-9)))
    sizes = {name: len(traces.populations[name].neuron_ids) for name in names}
    share = min(1.0, SHOWN / sum(sizes.values()))
    figure, axes = new_figure(PAGE, 4.6, 2, 1, sharex=True, height_ratios=(2.6, 1))
    raster, rates = axes[:, 0]
    edges = np.arange(low, high + 0.5 * bin_width, bin_width)
    base, ticks = 0, []
    for k, name in enumerate(names):
        spikes, colour = traces.spikes(name, pieces), CYCLE[k % len(CYCLE)]
        piece = np.repeat(np.arange(pieces.start, pieces.stop), np.diff(spikes.offsets))
        times = spikes.times + piece * length
        kept = (times > low) & (times <= high)
        times, neurons = times[kept], spikes.neurons[kept]
        shown = traces.populations[name].neuron_ids[: max(3, round(share * sizes[name]))]
        row = np.full(traces.populations[name].n_neurons, -1)
        row[shown] = np.arange(shown.size)
        some = row[neurons] >= 0
        raster.scatter(
            times[some] * units.factor, base + row[neurons[some]], s=DOT, color=colour, linewidths=0, rasterized=True
        )
        ticks.append((base + shown.size / 2, name))
        base += shown.size
        counts = np.histogram(times, edges)[0]
        middles, per_bin = (edges[:-1] + bin_width / 2) * units.factor, units.per / bin_width
        rates.plot(middles, counts / sizes[name] * per_bin, color=colour, lw=0.8, label=name)
    raster.set_ylim(base, -1)
    raster.set_yticks(*zip(*ticks, strict=True))
    raster.grid(False)
    raster.set_ylabel(f"some of {sum(sizes.values()):,} neurons")
    margin = 0.005 * (high - low)  # spikes at both ends are whole
    rates.set_xlim((low - margin) * units.factor, (high + margin) * units.factor)
    rates.set_ylim(bottom=0)
    rates.set_xlabel(units.axis)
    legend_in(rates, ncols=min(len(names), 4), loc="upper left")
    rates.set_ylabel("spikes a second" if units.time else "spikes per unit time")
    title = f"{traces.info['engine']} engine, dt = {units.text(traces.info['dt'])}"
    headed(figure, title)
    return figure
