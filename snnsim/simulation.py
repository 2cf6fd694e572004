"""Simulation of a network without learning: one call for every engine."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from snnsim.arguments import number, whole
from snnsim.engines import ENGINES
from snnsim.errors import InputError, check_names
from snnsim.recorded import joined
from snnsim.simulator import Simulator
from snnsim.spikes import Spikes, on_grid

BATCH = 100
"""Trials that :func:`simulate` runs at once; their number does not change the results."""


def simulate(
    network: Any,
    spikes: Spikes | None = None,
    engine: str = "clock",
    *,
    dt: float | None = None,
    n_steps: int | None = None,
    duration: float | None = None,
    scheme: str | None = None,
    impulse: str = "unit-area",
    record: Sequence[str] = ("spikes",),
    record_layers: Sequence[str] | None = None,
    record_neurons: Any = None,
    record_every: int = 1,
    precision: str | None = None,
    synapse: str = "auto",
    target: str = "cpu",
    every: int | None = None,
    **long: Any,
) -> Any:
    """Simulate trials, or without ``spikes`` one long run; return what was recorded.

    Parameters
    ----------
    network : Network
    spikes : Spikes, optional
        Input, one train a trial. Without it the network runs once, for ``duration``, and its input is ``inputs``.
    engine : {"clock", "hybrid", "event"}
    dt : float, optional
        Step size (hybrid: width of a bin). The event engine has no steps: there it is the time between samples of v
        and i_syn, needed only for them.
    n_steps : int, optional
        Steps of a trial. None: as many as ``duration`` takes, rounded up.
    duration : float, optional
        Length of a trial; None: ``n_steps * dt`` if ``n_steps`` is given, else ``spikes.duration``.
    scheme, impulse : str
        Of the clock; see :func:`snnsim.parameters.scheme_coefficients`. None: backward_euler for trials, exact for a
        long run.
    record : sequence of {"spikes", "v", "i_syn"}
    record_layers : sequence of str, optional
        Populations to record; all if None. v and i_syn exist for all but ``input``.
    record_neurons : dict of str to sequence of int, optional
        Neurons of which v and i_syn are kept, by population; all where none are named.
    record_every : int
        Keep every so-manieth sample of v and i_syn.
    precision : {"float32", "float64"}, optional
        None: that of the weights for the clock, float64 for the other engines.
    synapse : {"auto", "gather", "pattern", "dense"}
        How the clock sums synaptic input.
    target : {"cpu", "cuda", "auto"}
        Where the engine runs. ``cuda`` never falls back to the CPU.
    every : int, optional
        The same as ``record_every``.
    **long
        Of a long run: ``inputs``, ``initial``, ``seed``, ``threads``, ``output``, ``resume``, ``overwrite`` and others;
        see :func:`snnsim.longrun.running.run`.

    Returns
    -------
    Recording, or Traces where a long run goes to files

    Raises
    ------
    InputError
        For options that do not fit together, or input that does not fit the network or the duration.

    Examples
    --------
    >>> from snnsim import simulate  # doctest: +SKIP
    >>> recording = simulate(network, spikes, dt=0.1, record=("spikes", "v"))  # doctest: +SKIP
    >>> recording["hidden0"].v[3, :, 7]  # membrane of neuron 7 in trial 3  # doctest: +SKIP
    """
    record_every = record_every if every is None else every
    if spikes is None:
        return _long(
            network, engine, dt, n_steps, duration, target, scheme="exact" if scheme is None else scheme,
            impulse=impulse, record=record, record_layers=record_layers, record_neurons=record_neurons,
            every=record_every, precision=precision or "float32", **long,
        )  # fmt: skip
    if long:
        raise InputError(f"{', '.join(long)}: belong to a run without trials, which takes no spikes")
    scheme = "backward_euler" if scheme is None else scheme
    if not isinstance(spikes, Spikes):
        raise InputError(f"spikes: a {type(spikes).__name__}; must be snnsim.Spikes")
    n_steps, dt_used, duration = _time(engine, dt, n_steps, duration, spikes.duration)
    simulator = Simulator(
        network, engine, dt=dt_used, n_steps=n_steps, duration=duration, sampled=dt is not None, scheme=scheme,
        impulse=impulse, record=record, record_layers=record_layers, record_neurons=record_neurons,
        record_every=record_every, precision=precision, synapse=synapse,
        target=target,
    )  # fmt: skip
    parts = []
    for start in range(0, max(len(spikes), 1), BATCH):
        simulator.forward(trials(spikes, start, min(start + BATCH, len(spikes))))
        parts.append(simulator.recording())
    return joined(parts)


def _long(network, engine, dt, n_steps, duration, target, **options):
    """One long run; see :func:`snnsim.longrun.running.run`."""
    import inspect

    from snnsim.longrun.running import run

    known = inspect.signature(run).parameters
    check_names("simulate, without spikes: option", [*options], known)
    for name, value, allowed in (("engine", engine, "clock"), ("target", target, "cpu")):
        if value != allowed:
            raise InputError(f"{name} = {value!r}: a run without trials, which has no spikes given, takes {allowed}")
    if dt is None or (n_steps is None) == (duration is None):
        raise InputError("a run without trials needs dt, and either duration or n_steps")
    return run(network, dt=dt, duration=n_steps * dt if duration is None else duration, **options)


def _time(engine, dt, n_steps, duration, length):
    """``(n_steps, dt, duration)`` out of what was given; ``length`` is that of the input."""
    check_names("engine", [engine], ENGINES)
    dt, duration = (
        None if value is None else number(name, value, above=0) for name, value in (("dt", dt), ("duration", duration))
    )
    n_steps = None if n_steps is None else whole("n_steps", n_steps, 1)
    if dt is None and (engine != "event" or n_steps is not None):
        raise InputError(f"dt = None: engine {engine} needs a step size")
    if n_steps is not None and duration is not None:
        raise InputError("n_steps and duration: give one of them")
    if n_steps is not None:
        return n_steps, dt, n_steps * dt
    length = length if duration is None else duration
    if not length > 0:
        raise InputError("duration = 0: the input has no length; give duration or n_steps")
    if engine == "event":
        n_steps = 1 if dt is None else max(1, int(np.floor(length / dt * (1 + 1e-12))))
        return n_steps, dt or length, length
    n_steps = max(int(np.ceil(on_grid(length / dt))), 1)
    return n_steps, dt, n_steps * dt


def trials(spikes, first, last):
    """Trials ``first`` to ``last - 1`` of a batch, as :class:`Spikes` that share its arrays."""
    begin, end = spikes.offsets[first], spikes.offsets[last]
    return Spikes.trusted(
        spikes.offsets[first : last + 1] - begin, spikes.times[begin:end], spikes.neurons[begin:end],
        spikes.n_neurons, spikes.duration, spikes.precision,
    )  # fmt: skip
