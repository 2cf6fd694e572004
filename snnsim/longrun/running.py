"""Long simulations into memory or files: pieces of a run are recorded one after another, and its state beside them."""

import math
import os
import time
from pathlib import Path

import numpy as np

from snnsim.arguments import number, whole
from snnsim.errors import InputError, check_names
from snnsim.longrun.simulation import LongSimulation
from snnsim.recorded import LayerRecording, Recording
from snnsim.recording import layout
from snnsim.recording.reader import open_traces
from snnsim.recording.repair import repair
from snnsim.recording.runs import load_tree, save_tree
from snnsim.recording.writer import TraceWriter
from snnsim.spikes import StepSpikes

STATE = "state.h5"
"""Name of the file that a recording goes on from."""
NEXT = ".next"
"""Folder in which a recording that goes on is made, and a file in it that says that it is whole."""
READY = "ready"
PIECE_STEPS = 1000
PIECE_BYTES = 64 * 2**20
"""About the steps of a recorded piece, and about the most that its membranes and currents take."""
LEAST_STEPS, MOST_STEPS = 50, 200_000


def run(
    network, *, duration, dt, inputs=(), initial=None, scheme="exact", impulse="unit-area", precision="float32", seed=0,
    threads=0, record=("spikes",), record_layers=None, record_neurons=None, every=1, output=None, resume=None,
    overwrite=False, state_every=10.0, time_unit_ms=1.0, voltage_unit="mV", current_unit="nA", config=None,
    progress=None,
):  # fmt: skip
    """Simulate a network without trials.

    Parameters
    ----------
    network : Network
    duration, dt : float
        A whole number of steps.
    inputs, initial, scheme, impulse, precision, seed, threads
        See :class:`~snnsim.longrun.simulation.LongSimulation`.
    record : sequence of {"spikes", "v", "i_syn"}
    record_layers : sequence of str, optional
        Populations to record; all if None.
    record_neurons : dict of str to sequence of int, optional
        Neurons to record, by population; all where none are named.
    every : int
        Keep every so-manieth sample of v and i_syn.
    output : str or Path, optional
        Directory to stream to. Without it everything is kept in memory.
    resume : str or Path, optional
        Directory of a recording to go on with, up to ``duration`` in all; instead of ``output``.
    overwrite : bool
        Replace an older recording in ``output``.
    state_every : float
        Seconds between saved states.
    time_unit_ms, voltage_unit, current_unit, config
        Of the recording; see ``snnsim.recording.writer.TraceWriter``.
    progress : callable, optional
        Called after every piece with the simulation and the steps of the whole run.

    Returns
    -------
    Recording or Traces
        In memory, one trial; or the open recording.

    Raises
    ------
    InputError
        For options that do not fit together, or a disk that refuses; what was recorded before is kept.
    """
    check_names("record", record, layout.VARIABLES)
    record = (record,) if isinstance(record, str) else tuple(record)
    if output is not None and resume is not None:
        raise InputError("output and resume: give one of them; a run goes on in the directory that it resumes")
    duration, dt = number("duration", duration, above=0), number("dt", dt, above=0)
    number("time_unit_ms", time_unit_ms, above=0)
    every = whole("every", every, 1)
    if not duration / dt < 2**53:
        raise InputError(f"duration = {duration:g}: more steps of dt = {dt:g} than can be counted")
    n_steps = round(duration / dt)
    if n_steps < 1 or abs(duration / dt - n_steps) > 1e-6:
        raise InputError(f"duration = {duration:g}: must be a whole number of steps of dt = {dt:g}")
    reports = [name for name in record if name != "spikes"]
    layers = tuple(network.sizes) if record_layers is None else tuple(record_layers)
    check_names("record_layers", layers, network.sizes)
    chosen = dict(record_neurons or {})
    check_names("record_neurons", list(chosen), network.sizes)
    sampled = {
        name: chosen.get(name, np.arange(network.sizes[name]))
        for name in layers
        if reports and not network.populations_by_name[name].is_input
    }
    width = sum(len(ids) for ids in sampled.values())
    piece = piece_steps(n_steps, every if reports else 1, 8 * width)
    tree = None
    if resume is not None:
        output = Path(resume)
        tree, piece = _state_to_resume(output, n_steps, dt)
    simulation = LongSimulation(
        network, dt=dt, inputs=inputs, initial=initial, scheme=scheme, impulse=impulse, precision=precision, seed=seed,
        threads=threads, sampled=sampled, every=every,
    )  # fmt: skip
    if output is None:
        return _in_memory(simulation, n_steps, piece, layers, progress)
    options = {
        "duration": piece * dt, "dt": dt, "scheme": scheme, "record": record, "layers": layers, "neurons": chosen,
        "record_every": every if reports else 1, "time_unit_ms": time_unit_ms, "voltage_unit": voltage_unit,
        "current_unit": current_unit, "report_dtype": simulation.dtype, "config": config, "seed": seed,
        "continuous": True,
    }  # fmt: skip
    output = Path(output)
    if tree is None:
        writer = TraceWriter(output, network, overwrite=overwrite, **options)
        (output / STATE).unlink(missing_ok=True)
    else:
        simulation.restore(tree, output / STATE)
        if simulation.step == n_steps:
            return open_traces(output)
        writer = _reopened(output, network, simulation.step // piece, options)
    with writer:
        _stream(simulation, writer, n_steps, piece, layers, output, state_every, progress)
    return open_traces(output)


def _stream(simulation, writer, n_steps, piece, layers, output, state_every, progress):
    saved = time.monotonic()
    while simulation.step < n_steps:
        writer.append(recorded(simulation, simulation.run(piece), layers, piece))
        if time.monotonic() - saved >= state_every or simulation.step == n_steps:
            # The state may not be ahead of what the files hold.
            writer.flush()
            save_tree(output / STATE, simulation.saved(), "state")
            saved = time.monotonic()
        if progress is not None:
            progress(simulation, n_steps)


def _in_memory(simulation, n_steps, piece, layers, progress):
    parts = []
    while simulation.step < n_steps:
        parts.append(simulation.run(piece))
        if progress is not None:
            progress(simulation, n_steps)
    first = parts[0]
    spikes, samples = {}, {}
    for name in first.spikes:
        before = np.cumsum([0, *(len(p.spikes[name][0]) for p in parts)])
        ends = [p.spikes[name][1] + b for p, b in zip(parts, before[:-1], strict=True)]
        spikes[name] = np.concatenate([p.spikes[name][0] for p in parts]), np.concatenate(ends)
    for name in first.samples:
        samples[name] = tuple(np.concatenate([p.samples[name][k] for p in parts]) for k in (0, 1))
    first.spikes, first.samples, first.n_steps = spikes, samples, n_steps
    return recorded(simulation, first, layers, n_steps)


def recorded(simulation, piece, layers, n_steps):
    """Give a piece as the recording of one trial."""
    duration, found = n_steps * simulation.dt, []
    for name in layers:
        neurons, ends = piece.spikes[name]
        size = simulation.network.sizes[name]
        spikes = StepSpikes(ends[None], neurons, simulation.dt, size, duration)
        v = i = None
        times, ids = np.empty(0), np.arange(size)
        if name in piece.samples:
            v, i = (values[None] for values in piece.samples[name])
            v = v + simulation.dtype.type(simulation.network.populations_by_name[name].neuron.v_leak)
            ids = simulation.sampled[name]
            times = np.arange(1, v.shape[1] + 1) * (simulation.every * simulation.dt)
        found.append(LayerRecording(name, spikes, v, i, times, ids))
    return Recording(tuple(found), "clock", duration, simulation.dt, simulation.scheme)


def piece_steps(n_steps, every, sample_bytes):
    """Choose the steps of a recorded piece: a divisor of the run's steps, near 1000, a multiple of ``every``.

    Raises
    ------
    InputError
        If there is none that fits into memory.
    """
    if n_steps % every:
        raise InputError(f"every = {every}: must divide the run's {n_steps} steps")
    wanted = min(PIECE_STEPS, max(1, every * PIECE_BYTES // max(sample_bytes, 1)))
    count = n_steps // every
    divisors = {d for k in range(1, math.isqrt(count) + 1) if count % k == 0 for d in (k, count // k)}
    possible = [d for d in divisors if min(wanted, LEAST_STEPS, n_steps) <= d * every <= MOST_STEPS]
    best = min(possible, key=lambda d: abs(math.log(d * every / wanted)), default=None)
    if best is None:
        near = round(n_steps / PIECE_STEPS) * PIECE_STEPS
        raise InputError(
            f"duration: {n_steps} steps cannot be cut into equal pieces of some 1000 steps; take {near}, for example"
        )
    return best * every


# going on


def _state_to_resume(directory, n_steps, dt):
    """State of a recording, and the steps of its pieces; also finishes what a killed run had begun to do."""
    _finish_move(directory)
    path = directory / STATE
    if not path.exists():
        raise InputError(f"{directory}: holds no state to go on from ({STATE})")
    tree = load_tree(path, "state")
    repair(directory)
    with open_traces(directory) as traces:
        piece = round(traces.info["duration"] / dt)
        if abs(piece * dt - traces.info["duration"]) > 1e-9 * piece * dt:
            raise InputError(f"dt = {dt:g}: {directory} was recorded with dt = {traces.info['dt']:g}")
        if tree["step"] % piece or tree["step"] // piece > len(traces):
            raise InputError(f"{path}: is at step {tree['step']}, which the recording beside it does not hold")
    if n_steps < tree["step"]:
        raise InputError(f"duration: {n_steps} steps; {directory} is already at step {tree['step']}")
    if n_steps % piece:
        raise InputError(f"duration: {n_steps} steps; must be a multiple of this recording's pieces of {piece} steps")
    return tree, piece


def _reopened(directory, network, n_pieces, options):
    """Make a writer that goes on after copies of the first pieces; the old files stay until it is whole."""
    fresh = directory / NEXT
    with open_traces(directory) as traces:
        for key, name in (("record", "record"), ("record_every", "every")):
            if options[key] != type(options[key])(traces.info[key]):
                raise InputError(f"{name} = {options[key]}: {directory} was recorded with {name} = {traces.info[key]}")
        writer = TraceWriter(fresh, network, overwrite=True, **options)
        size = max(1, PIECE_BYTES // (8 * 2**20))
        for first in range(0, n_pieces, size):
            writer.append(traces.recording(slice(first, min(first + size, n_pieces))))
        writer.flush()
    (fresh / READY).touch()
    _finish_move(directory)
    writer.directory = directory
    return writer


def _finish_move(directory):
    """Put a whole new recording in the place of the old one; remove one that is not whole."""
    fresh = directory / NEXT
    if not fresh.is_dir():
        return
    whole = (fresh / READY).exists()
    for path in sorted(fresh.iterdir()):
        if path.name == READY:
            continue
        if whole:
            os.replace(path, directory / path.name)
        else:
            path.unlink()
    (fresh / READY).unlink(missing_ok=True)
    fresh.rmdir()
