"""Engines: the same network on a clock, as a hybrid, or exactly in continuous time, each forward and backward."""

from snnsim.errors import InputError


def make_engine(name, parameters, readout, *, dt, n_steps, precision, max_inverse_slope=1e4, **clock_options):
    """Make an engine by name.

    Parameters
    ----------
    name : {"clock", "hybrid", "event"}
    parameters : sequence of LIFParameters
    readout : {"spiking", "leaky"}
    dt : float
        Step or bin; the event engine uses only the duration ``dt * n_steps`` and samples a readout once a step.
    n_steps : int
    precision : {"float32", "float64"}
    max_inverse_slope : float
    **clock_options
        Further arguments of :class:`~snnsim.engines.clock.ClockEngine`; no other engine has them.
    """
    common = {"precision": precision, "max_inverse_slope": max_inverse_slope}
    if name == "clock":
        from snnsim.engines.clock import ClockEngine

        return ClockEngine(parameters, readout, dt=dt, n_steps=n_steps, **common, **clock_options)
    if name == "hybrid":
        from snnsim.engines.hybrid import HybridEngine

        return HybridEngine(parameters, readout, dt=dt, n_steps=n_steps, **common)
    if name == "event":
        from snnsim.engines.event import EventEngine

        return EventEngine(parameters, readout, duration=dt * n_steps, n_samples=n_steps, **common)
    raise InputError(f"engine = {name!r}: must be one of clock, hybrid, event")


def choose_target(target, engine):
    """Resolve where an engine runs.

    Parameters
    ----------
    target : {"cpu", "cuda", "auto"}
        ``auto`` is ``cuda`` where it can be used and the engine runs there, else ``cpu``.
    engine : {"clock", "hybrid", "event"}

    Returns
    -------
    {"cpu", "cuda"}

    Raises
    ------
    InputError
        For an unknown target, and if CUDA is wanted and cannot be used, with what is missing.
    """
    if target == "cpu" or (target == "auto" and engine != "clock"):
        return "cpu"
    if target == "cuda" and engine != "clock":
        raise InputError(f"simulation.engine = {engine!r}: not available with target = 'cuda', which runs only clock")
    from snnsim.kernels.cuda import compiler

    return compiler.choose_target(target)
