"""``snnsim import-nir``: networks of other simulators as model files."""

from typing import Annotated

import typer


def import_nir(
    path: Annotated[str, typer.Argument(metavar="FILE.nir", help="NIR file of any tool.")],
    output: Annotated[str, typer.Option("--output", "-o", metavar="MODEL.h5", help="Model file to write.")],
    dt: Annotated[float | None, typer.Option("--dt", metavar="MS", help="Step size, in ms.")] = None,
    scheme: Annotated[
        str | None, typer.Option(help="backward_euler, forward_euler, exact or bilinear; goes into the model.")
    ] = None,
    time_unit: Annotated[
        str | None,
        typer.Option(metavar="s|ms|step|MS", help="Unit of the file's time constants, or its milliseconds; s."),
    ] = None,
    spike_convention: Annotated[
        str | None,
        typer.Option(
            metavar="dirac|per-step|jump",
            help="A spike is an impulse of unit area, or 1 during a step (snnTorch, Norse's boxes), or a jump of I by "
            "the weight (Norse's LIFCell); dirac.",
        ),
    ] = None,
    match_steps: Annotated[
        bool | None,
        typer.Option(
            "--match-steps/--keep-equations",
            help="Take the very steps of a tool that decays by 1 - dt/tau, or follow the file's equations.",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace MODEL.h5.")] = False,
):
    """Read a network from NIR: neurons, joined by linear nodes, convolutions, pools and delays (docs/nir.md).

    Files that snnsim wrote say themselves what their units and spikes mean.
    """
    import sys
    from dataclasses import replace
    from pathlib import Path

    from snnsim import config
    from snnsim.connections.maps import described
    from snnsim.errors import InputError
    from snnsim.interchange import nir
    from snnsim.models import save_model
    from snnsim.training.parts import with_network

    if Path(output).exists() and not force:
        raise InputError(f"--output {output}: exists already; --force replaces it")
    found = nir.import_nir(
        path, dt=dt, scheme=scheme, time_unit=time_unit, spike_convention=spike_convention, match_steps=match_steps
    )
    for note in found.notes:
        print(f"note: {note}", file=sys.stderr)
    base = None
    if found.network.is_chain:  # another graph has more than a configuration can say
        settings = [] if found.network.readout == "leaky" else ["loss.name=count-cross-entropy"]
        base = config.load(None, settings)
        known = {k: v for k, v in (("dt", found.dt), ("scheme", found.scheme)) if v is not None}
        base = with_network(replace(base, simulation=replace(base.simulation, time_unit="ms", **known)), found.network)
        config.check(base, str(path))
    save_model(output, found.network, base, source=Path(path).name)
    shapes = (described(p.shape) for p in found.network.populations_by_name.values())
    layers = "-".join(shapes) if found.network.is_chain else ", ".join(shapes)
    step = "" if found.dt is None else f", dt = {found.dt:g} ms"
    print(f"{output}: {layers}, {found.network.readout} readout{step}{f', {found.scheme}' if found.scheme else ''}")
