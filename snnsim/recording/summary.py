"""What is in a file or directory of snnsim, as a dictionary that JSON takes, without scanning anything large."""

import math
from pathlib import Path

import numpy as np

from snnsim.config import LONGEST, parse
from snnsim.errors import InputError
from snnsim.files.hdf5 import dataset_of, number, open_hdf5, reading
from snnsim.files.text import read_text
from snnsim.recording import layout
from snnsim.recording.events import HIGHEST, LATEST, classes_of, layout_of, milliseconds, sonata_counts
from snnsim.recording.metrics import CHECKPOINT, METRICS, read_metrics
from snnsim.recording.reader import open_traces
from snnsim.recording.runs import tree_entries, tree_kind
from snnsim.recording.units import units_of

CONFIG = "config.toml"


def summarise(path):
    """Summary of a recording, a run directory, a checkpoint or other tree, or an event file.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    dict
        ``kind`` says which: ``traces``, ``run``, ``events``, ``sonata``, or the kind of a tree. Not-a-number is None.

    Raises
    ------
    InputError
        If nothing is there, or it is not of snnsim.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path}: no such file or directory")
    for applies, summary in _SUMMARIES:
        if applies(path):
            return _plain({"path": str(path), **summary(path)})
    if path.is_dir():
        raise InputError(f"{path}: neither a recording ({layout.INDEX}) nor a run ({CONFIG})")
    # Not ours: let the reader of event files say what it would need.
    layout_of(path)
    return _plain({"path": str(path), **_events(path)})


def is_recording(path):
    """Whether ``path`` is a recording or one of its files, whole or not."""
    path = Path(path)
    if path.is_dir():
        return (path / layout.INDEX).exists()
    return path.name in layout.FILES and (path.parent / layout.INDEX).exists() and not _is_foreign(path)


def _is_foreign(path):
    """Whether a file by the name of one of ours is a SONATA file of others: then it opens, and lacks /snnsim."""
    try:
        with open_hdf5(path) as file, reading(path):
            return "snnsim" not in file and "spikes" in file
    except InputError:
        return False


def _is_run(path):
    return path.is_dir() and (path / CONFIG).exists()


def _is_tree(path):
    if path.is_dir():
        return False
    with open_hdf5(path) as file, reading(path):
        return "snnsim_kind" in file.attrs


def _traces(path):
    with open_traces(path) as traces:
        info, trials = traces.info, traces.trials
        units = units_of(info)
        length = len(traces) * info["duration"] / units.per
        end, ms = ("_hz", f"_{units.time}") if units.time else ("", "")  # of keys: the unit, if there is one
        populations = []
        for name, population in traces.populations.items():
            row = {
                "name": name,
                "neurons": population.n_neurons,
                "recorded": len(population.neuron_ids) if population.recorded else 0,
                "spiking": population.spiking,
                "variables": [v for v in info["record"] if population.recorded and (v == "spikes" or name != "input")],
                "parameters": population.parameters,
            }
            if "spikes" in row["variables"] and population.spiking:
                counts = traces.spike_counts(name)[population.neuron_ids]
                rates = counts / length if length else np.full(counts.shape, math.nan)
                row |= {
                    "spikes": int(counts.sum()),
                    f"rate{end}": float(rates.mean()),
                    f"rate_max{end}": float(rates.max()),
                    "silent": int((counts == 0).sum()),
                    "spikes_per_trial": float(counts.sum() / len(traces)) if len(traces) else math.nan,
                }
            populations.append(row)
        known = (trials.label != layout.UNKNOWN) & (trials.prediction != layout.UNKNOWN)
        files = [traces.directory / name for name in layout.FILES if (traces.directory / name).exists()]
        return {
            "kind": "traces",
            "files": {file.name: file.stat().st_size for file in files},
            "growing": traces.growing,
            "info": info,
            "trials": {
                "count": len(traces),
                "splits": {str(s): int((trials.split == s).sum()) for s in np.unique(trials.split)},
                "labels": int(np.unique(trials.label[trials.label != layout.UNKNOWN]).size),
                "accuracy": float((trials.label == trials.prediction)[known].mean()) if known.any() else math.nan,
                f"first_spike{ms}": float(np.nanmean(trials.first_spike)) * units.of_ms
                if np.isfinite(trials.first_spike).any()
                else math.nan,
                "without_output_spike": int(np.isnan(trials.first_spike).sum()),
                "clock_ms": float(trials.stop_time[-1]) if len(traces) else 0.0,
            },
            "populations": populations,
            "config": traces.config,
            "provenance": traces.provenance,
        }


def _run(path):
    summary = {"kind": "run", "config": parse(read_text(path / CONFIG, LONGEST), path / CONFIG)}
    if (path / METRICS).exists() or (path / CHECKPOINT).exists():
        records = read_metrics(path)
        ends = {"first": records[0], "last": records[-1]} if records else {"first": {}, "last": {}}
        summary["metrics"] = {"records": len(records), **ends}
    parts = {}
    for child in sorted(path.iterdir()):
        if child.is_dir() and is_recording(child):
            parts[child.name] = "traces"
        elif child.suffix == ".h5" and _is_tree(child):
            parts[child.name] = tree_kind(child)
    return {**summary, "contents": parts}


def _tree(path):
    return {"kind": tree_kind(path), "size": path.stat().st_size, "entries": tree_entries(path)}


def _events(path):
    if layout_of(path) == "sonata":
        counts = sonata_counts(path)
        populations = {name: {"spikes": count} for name, count in counts.items()}
        return {"kind": "sonata", "size": path.stat().st_size, "populations": populations}
    with open_hdf5(path) as file, reading(path):
        labels, names = classes_of(file)
        n_units = number(file, "n_units", 1, HIGHEST + 1, whole=True, default=0)
        duration = number(file, "duration", 0, LATEST, default=-1)
        factor = milliseconds(dataset_of(file, "spikes/times"), None if duration >= 0 else 1)
        classes, counts = np.unique(labels, return_counts=True)
        return {
            "kind": "events",
            "size": path.stat().st_size,
            "samples": len(labels),
            "channels": n_units or None,
            "duration_s": duration * factor / 1000 if duration >= 0 else None,
            "classes": dict(zip([names[k] if names else str(k) for k in classes], counts.tolist(), strict=True)),
        }


def _plain(value):
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


_SUMMARIES = ((is_recording, _traces), (_is_run, _run), (_is_tree, _tree))
