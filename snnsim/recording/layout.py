"""Layout of trace files: names, dtypes, units and chunk sizes, in one place for writer, reader and repair.

A recording is a directory with ``spikes.h5`` (SONATA spikes, the index of the trials and everything that describes the
run) and one SONATA report a variable, ``v.h5`` and ``i_syn.h5``. docs/traces.md has the full table.
"""

import h5py
import numpy as np

LAYOUT = 1
"""Version of this layout; the reader refuses larger ones."""

INDEX = "spikes.h5"
REPORTS = {"v": "v.h5", "i_syn": "i_syn.h5"}
VARIABLES = ("spikes", *REPORTS)
FILES = (INDEX, *REPORTS.values())

SORTING = h5py.enum_dtype({"none": 0, "by_id": 1, "by_time": 2}, basetype="u1")
SONATA_MAGIC = 0x0A7A
SONATA_VERSION = (0, 1)

PHASE = (
    "A clock's step k (from 0) covers (k dt, (k + 1) dt]. Spikes, v and i_syn carry the end of the step, (k + 1) dt; "
    "v is the membrane before the reset. Trial b owns (start_time[b], stop_time[b]]; a spike at the very "
    "start of a trial belongs to the trial that trial_ids names."
)

SPLIT = np.dtype("S16")
TRIAL_FIELDS = {
    "start_time": np.dtype("f8"),
    "stop_time": np.dtype("f8"),
    "sample_index": np.dtype("i8"),
    "label": np.dtype("i8"),
    "prediction": np.dtype("i8"),
    "first_spike": np.dtype("f8"),
    "split": SPLIT,
    "epoch": np.dtype("i8"),
}
TRIAL_UNITS = {"start_time": "ms", "stop_time": "ms", "first_spike": "ms"}
UNKNOWN = -1
"""Value of an integer field of a trial that nobody set."""

TRIAL_CHUNK = 1024
CHUNK_BYTES = 2 * 1024 * 1024
SPIKE_BYTES = 8
"""What a packed spike takes at most: 2 bytes for its neuron, 4 for its time stamp, 2 for its trial; mostly 5."""
ALIGN_FROM, ALIGN = 64 * 1024, 4096
"""Chunks of at least so many bytes start at a page of the disk cache, which takes them faster."""


def spike_chunk(n_neurons):
    """Rows of a chunk of spikes: 128 Ki for large populations, so that few are written; fewer where spikes are few."""
    return 131072 if n_neurons >= 256 else 8192


def report_chunk(n_elements, itemsize, frames):
    """Frames of a chunk of a report: at most 2 MiB, and whole trials of ``frames`` frames, so that batches fill chunks.

    Trials too long for a chunk take a whole number of them.
    """
    fit = max(1, CHUNK_BYTES // max(1, n_elements * itemsize))
    if fit < frames:
        return next((n for n in range(fit, fit // 2, -1) if frames % n == 0), fit)
    return frames * next(n for n in (100, 50, 25, 20, 10, 5, 2, 1) if n * frames <= fit)


def frames_per_trial(duration, step):
    """Frames of a report that one trial takes on the common clock: the duration in sampling steps, rounded up."""
    ratio = duration / step
    near = round(ratio)
    return max(1, near if abs(ratio - near) <= 1e-9 * max(near, 1) else int(np.ceil(ratio)))


def trial_dtype():
    """Record dtype of the table of trials, with ``split`` as text."""
    return np.dtype([(name, "U16" if name == "split" else kind) for name, kind in TRIAL_FIELDS.items()])
