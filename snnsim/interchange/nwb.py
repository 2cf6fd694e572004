"""Recordings to Neurodata Without Borders."""

import json
from datetime import UTC, datetime

import numpy as np

from snnsim.errors import InputError
from snnsim.extras import install_command
from snnsim.recording import layout
from snnsim.recording.runs import new_hdf5

_SCALE = {"v": ("V", {"V": 1.0, "mV": 1e-3, "uV": 1e-6}), "i_syn": ("A", {"A": 1.0, "nA": 1e-9, "pA": 1e-12})}
_TRIAL_COLUMNS = {
    "sample_index": "number of the sample in its data set, -1 if unknown",
    "label": "class of the sample, -1 if unknown",
    "prediction": "class that the network chose, -1 if unknown",
    "epoch": "epoch of training, -1 outside training",
    "split": "part of the data set",
}


def export_nwb(traces, path, trials=None, layers=None):
    """Write a recording as one NWB file on its common clock, in seconds.

    Spikes become the table of units (one row a recorded neuron, with columns ``population`` and ``neuron``), trials the
    table of trials, voltages and currents one TimeSeries a layer, streamed trial by trial. The spikes of the chosen
    trials are held in memory, since NWB keeps them by neuron.

    Parameters
    ----------
    traces : Traces
    path : str or Path
    trials : int, slice, or sequence of int or bool, optional
    layers : sequence of str, optional

    Raises
    ------
    InputError
        If pynwb is not installed, or trials or layers do not exist.
    """
    try:
        import pynwb
    except ImportError:
        raise InputError(f"pynwb is not installed: {install_command('interchange')}") from None
    chosen = traces.chosen(trials)
    info = traces.info
    names = traces.chosen_layers(layers)
    file = pynwb.NWBFile(
        session_description=f"snnsim simulation, {info['engine']} engine, dt {info['dt']:g}, scheme {info['scheme']}",
        identifier=info["run_id"],
        session_start_time=datetime.fromisoformat(info["created"].replace("Z", "+00:00")).astimezone(UTC),
        source_script=json.dumps(traces.config),
        source_script_file_name="config.json",
        notes=info["phase"],
    )
    for column, description in _TRIAL_COLUMNS.items():
        file.add_trial_column(column, description)
    for record in traces.trials[chosen]:
        file.add_trial(
            start_time=record.start_time / 1000,
            stop_time=record.stop_time / 1000,
            **{column: record[column].item() for column in _TRIAL_COLUMNS},
        )
    if "spikes" in info["record"]:
        file.add_unit_column("population", "layer of the network")
        file.add_unit_column("neuron", "number in its layer")
        for name in names:
            _add_units(file, traces, name, chosen)
    for variable in layout.REPORTS:
        for name in names:
            if variable in info["record"] and name != "input":
                file.add_acquisition(_series(pynwb, traces, variable, name, chosen))
    with new_hdf5(path) as target, pynwb.NWBHDF5IO(file=target, mode="w") as out:
        out.write(file)


def _add_units(file, traces, name, chosen):
    population = traces.populations[name]
    if not population.spiking:
        return
    spikes = traces.spikes(name, chosen)
    start = np.repeat(traces.trials.start_time[chosen], np.diff(spikes.offsets))
    times = (start + spikes.times * traces.info["time_unit_ms"]) / 1000
    order = np.lexsort((times, spikes.neurons))
    times, ids = times[order], spikes.neurons[order]
    for neuron in population.neuron_ids.tolist():
        low, high = np.searchsorted(ids, [neuron, neuron + 1])
        file.add_unit(spike_times=times[low:high], population=name, neuron=neuron)


def _series(pynwb, traces, variable, name, chosen):
    from hdmf.backends.hdf5 import H5DataIO
    from hdmf.data_utils import DataChunkIterator

    info = traces.info
    given = info["voltage_unit" if variable == "v" else "current_unit"]
    unit, scales = _SCALE[variable]
    factor = info["time_unit_ms"]
    times = traces.sample_times(variable=variable, layer=name) * factor
    ids = traces.populations[name].neuron_ids
    frames = (frame for b in chosen.tolist() for frame in traces.report(variable, name, b))
    data = DataChunkIterator(data=frames, maxshape=(None, len(ids)), dtype=np.dtype(np.float32), buffer_size=256)
    known = given in scales
    return pynwb.TimeSeries(
        name=f"{variable}_{name}",
        description=f"{variable} of {name}, before the reset; neurons {json.dumps(ids.tolist())}",
        data=H5DataIO(data, maxshape=(None, len(ids))),
        unit=unit if known else given or "none",
        conversion=scales[given] if known else 1.0,
        timestamps=(traces.trials.start_time[chosen][:, None] + times).ravel() / 1000,
    )
