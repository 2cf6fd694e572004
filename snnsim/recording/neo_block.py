"""Recordings as Neo objects, for Elephant and every tool that takes them."""

import numpy as np

from snnsim.errors import InputError
from snnsim.extras import install_command
from snnsim.recording import layout


def to_neo(traces, trial=None, layers=None):
    """Neo Block of some trials.

    Each Segment is a trial from 0 to its duration, in ms. It holds one SpikeTrain a recorded neuron of each spiking
    layer, silent ones included, annotated with ``population`` and ``neuron``; and one AnalogSignal a layer and
    variable, annotated with ``population``, ``variable`` and, for each channel, ``neuron``.

    Parameters
    ----------
    traces : Traces
    trial : int, slice, or sequence of int or bool, optional
    layers : sequence of str, optional
        All recorded ones if None.

    Returns
    -------
    neo.Block

    Raises
    ------
    InputError
        If Neo is not installed, or trials or layers do not exist.
    """
    try:
        import neo
        import quantities as pq
    except ImportError:
        raise InputError(f"Neo is not installed: {install_command('interchange')}") from None
    info = traces.info
    names, chosen = traces.chosen_layers(layers), traces.chosen(trial)
    factor = info["time_unit_ms"]
    units = {"v": info["voltage_unit"], "i_syn": info["current_unit"]}
    block = neo.Block(
        name=str(traces.directory.name),
        description=f"snnsim, {info['engine']} engine",
        **{key: info[key] for key in ("run_id", "engine", "scheme", "dt", "seed", "time_unit_ms", "phase")},
    )
    for b in chosen.tolist():
        record = traces.trials[b]
        fields = {k: record[k].item() for k in ("sample_index", "label", "prediction", "split", "epoch", "start_time")}
        segment = neo.Segment(name=f"trial {b}", index=int(b), trial=int(b), **fields)
        for name in names:
            if "spikes" in info["record"]:
                _add_trains(neo, segment, traces, name, b, factor)
            for variable in layout.REPORTS:
                if variable not in info["record"] or name == "input":
                    continue
                times = traces.sample_times(variable=variable, layer=name) * factor
                signal = neo.AnalogSignal(
                    traces.report(variable, name, b),
                    units=pq.Quantity(1, units[variable] or "dimensionless"),
                    t_start=times[0] * pq.ms,
                    sampling_period=info["sample_step"] * factor * pq.ms,
                    name=f"{variable} of {name}",
                    array_annotations={"neuron": traces.populations[name].neuron_ids},
                    population=name,
                    variable=variable,
                )
                segment.analogsignals.append(signal)
        block.segments.append(segment)
    return block


def _add_trains(neo, segment, traces, name, trial, factor):
    population = traces.populations[name]
    spikes = traces.spikes(name, trial)
    stop = spikes.duration * factor
    order = np.argsort(spikes.neurons, kind="stable")
    # Rounding in the change of unit must not carry a spike at the end of the trial beyond it.
    times, ids = np.minimum(spikes.times[order] * factor, stop), spikes.neurons[order]
    if not population.spiking:
        return
    for neuron in population.neuron_ids.tolist():
        low, high = np.searchsorted(ids, [neuron, neuron + 1])
        segment.spiketrains.append(
            neo.SpikeTrain(
                times[low:high],
                units="ms",
                t_start=0.0,
                t_stop=stop,
                name=f"{name}[{neuron}]",
                population=name,
                neuron=neuron,
            )
        )
