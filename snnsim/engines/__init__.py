"""Engines: the same network on a clock, as a hybrid, or exactly in continuous time, each forward and backward."""

from snnsim.errors import check_names

ENGINES = ("clock", "hybrid", "event")
TARGETS = ("cpu", "cuda", "auto")


def make_engine(
    name, network, *, dt, n_steps, precision, duration=None, max_inverse_slope=1e4, layers=True, **options
):  # fmt: skip
    """Make an engine by name.

    Parameters
    ----------
    name : {"clock", "hybrid", "event"}
    network : Network
    dt : float
        Step or bin; the event engine uses only the duration ``dt * n_steps`` and samples a readout once a step.
    n_steps : int
    precision : {"float32", "float64"}
    duration : float, optional
        Of a trial of the event engine; ``dt * n_steps`` if None.
    max_inverse_slope : float
    layers : bool
        Whether fully connected layers may use kernels of their own in continuous time.
    **options
        Further arguments of :class:`~snnsim.engines.clock.ClockEngine`, or, in continuous time, of
        :class:`~snnsim.engines.event_graph.GraphEventEngine`.
    """
    check_names("engine", name, ENGINES)
    common = {"precision": precision, "max_inverse_slope": max_inverse_slope}
    if name == "clock":
        from snnsim.engines.clock import ClockEngine

        return ClockEngine(network, dt=dt, n_steps=n_steps, **common, **options)
    if not (network.is_chain and layers) or options:
        common |= {"layers": layers, **options}
        if name == "hybrid":
            from snnsim.engines.hybrid_graph import GraphHybridEngine

            return GraphHybridEngine(network, dt=dt, n_steps=n_steps, **common)
        from snnsim.engines.event_graph import GraphEventEngine

        return GraphEventEngine(network, duration=duration or dt * n_steps, n_samples=n_steps, **common)
    layers = [p if p.has_threshold else p.spiking() for p in network.parameters], network.readout
    from snnsim.engines.by_name import ByName

    if name == "hybrid":
        from snnsim.engines.hybrid import HybridEngine

        return ByName(HybridEngine(*layers, dt=dt, n_steps=n_steps, **common), network)
    from snnsim.engines.event import EventEngine

    return ByName(EventEngine(*layers, duration=duration or dt * n_steps, n_samples=n_steps, **common), network)


def make_device_engine(engine, layers, batch, **options):
    """Make the engine on a GPU that computes what ``engine`` computes on the CPU.

    Parameters
    ----------
    engine : ClockEngine, HybridEngine or EventEngine
        Whose constants and options hold.
    layers : sequence of int
        Sizes from the input to the output.
    batch : int
        Largest batch.
    **options
        Further arguments of its class.

    Raises
    ------
    InputError
        If the device's memory does not suffice, or the engine there lacks what ``engine`` has.
    """
    if engine.name == "clock":
        from snnsim.engines.clock_cuda import CudaClockEngine

        return CudaClockEngine(engine, layers, batch, **options)
    from snnsim.engines.event_cuda import CudaEventEngine, CudaHybridEngine

    return (CudaHybridEngine if engine.name == "hybrid" else CudaEventEngine)(engine, layers, batch, **options)


def choose_target(target):
    """Resolve where an engine runs.

    Parameters
    ----------
    target : {"cpu", "cuda", "auto"}
        ``auto`` is ``cuda`` where it can be used, else ``cpu``.

    Returns
    -------
    {"cpu", "cuda"}

    Raises
    ------
    InputError
        For an unknown target, and if CUDA is wanted and cannot be used, with what is missing.
    """
    check_names("target", target, TARGETS)
    if target == "cpu":
        return "cpu"
    from snnsim.kernels.cuda import availability

    if target == "auto":
        return "cuda" if availability.availability().usable else "cpu"
    availability.require()
    return "cuda"
