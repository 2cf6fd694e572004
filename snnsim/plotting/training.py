"""Learning curves of one or more runs."""

import numpy as np
from matplotlib.ticker import MaxNLocator

from snnsim.errors import InputError
from snnsim.plotting.style import CYCLE, LINE, PAGE, layer_colours, legend_below, legend_in, new_figure


def plot_training(runs, layers=None):
    """Draw loss and accuracy over the epochs, and for a single run how active its layers are.

    Parameters
    ----------
    runs : dict of str to list of dict
        Records of each run by its name, one an epoch, as in ``metrics.jsonl``: ``epoch``, ``train_loss``,
        ``train_accuracy``, ``val_loss``, ``val_accuracy`` (fractions; None where not measured) and
        ``spikes_per_neuron`` (one number a spiking layer).
    layers : sequence of str, optional
        Names of the spiking layers; ``layer 1``, ``layer 2``, ... if None.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        If a run has no record.
    """
    for name, records in runs.items():
        if not records:
            raise InputError(f"{name}: no epoch has been completed yet")
        widths = {len(r.get("spikes_per_neuron") or ()) for r in records} - {0}
        if not all(isinstance(r.get("epoch"), int) for r in records) or len(widths) > 1:
            raise InputError(f"{name}: its records are not those of the epochs of one training")
    alone = len(runs) == 1
    activity = alone and any(r.get("spikes_per_neuron") for r in next(iter(runs.values())))
    figure, axes = new_figure(PAGE, 2.7, 1, 3 if activity else 2)
    loss, accuracy = axes[0, :2]
    for k, (name, records) in enumerate(runs.items()):
        epochs = np.array([r["epoch"] for r in records])
        colours = (CYCLE[0], CYCLE[1]) if alone else (CYCLE[k % len(CYCLE)],) * 2
        for part, colour, look in (("train", colours[0], "--"), ("val", colours[1], "-")):
            label = {"train": "training", "val": "validation"}[part]
            label = label if alone else f"{name}, {label}"
            values = 100 * _column(records, f"{part}_accuracy")
            if part == "val" and np.isfinite(values).any():
                best = int(np.nanargmax(values))
                label += f" (best {values[best]:.2f} %)"
                accuracy.plot(epochs[best], values[best], "o", ms=6, mfc="none", mec=colour, mew=1.2)
            _curve(accuracy, epochs, values, colour, look, label)
            _curve(loss, epochs, _column(records, f"{part}_loss"), colour, look, label)
    loss.set_ylabel("loss")
    accuracy.set_ylabel("accuracy (%)")
    if activity:
        _activity(axes[0, 2], next(iter(runs.values())), layers)
    for axis in axes.flat:
        axis.set_xlabel("epoch")
        axis.margins(0.07, 0.09)  # markers stay whole
        axis.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True, steps=(1, 2, 5, 10), min_n_ticks=1))
    labelled = loss if loss.get_legend_handles_labels()[0] else accuracy
    legend_below(figure, labelled)
    return figure


def _column(records, key):
    return np.array([np.nan if r.get(key) is None else r[key] for r in records], np.float64)


def _curve(axis, epochs, values, colour, look, label):
    if np.isfinite(values).any():
        axis.plot(epochs, values, look, color=colour, lw=LINE, marker="o", ms=3, label=label)


def _activity(axis, records, names):
    spikes = [r["spikes_per_neuron"] for r in records if r.get("spikes_per_neuron")]
    epochs = [r["epoch"] for r in records if r.get("spikes_per_neuron")]
    values = np.array(spikes, np.float64)
    if names is None or len(names) != values.shape[1]:
        names = [f"layer {k + 1}" for k in range(values.shape[1])]
    colours = layer_colours(names)
    for k, name in enumerate(names):
        axis.plot(epochs, values[:, k], color=colours[name], lw=LINE, marker="o", ms=3, label=name)
    axis.set_ylim(0, 1.15 * max(values.max(initial=0), 1e-3))  # so that no point lies on the border
    axis.set_ylabel("spikes per neuron")
    legend_in(axis)
