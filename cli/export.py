"""``snnsim export``: a recording or a network to the formats of other tools."""

from typing import Annotated

import typer

FORMATS = ("nwb", "neo", "shd", "csv", "nir")


def export_file(
    path: Annotated[
        str, typer.Argument(metavar="TRACES|RUN", help="Recording: its directory or its spikes.h5; nir: run or model.")
    ],
    to: Annotated[str, typer.Option("--to", metavar="|".join(FORMATS), help="Format.")],
    output: Annotated[
        str,
        typer.Option(
            "--output", "-o", metavar="OUT",
            help="File (neo: .nix, .pkl or .mat); for csv a directory, or OUT.csv for the spikes alone.",
        ),
    ],
    trials: Annotated[str | None, typer.Option(metavar="0:100", help="Trials to export; all without it.")] = None,
    layers: Annotated[
        str | None,
        typer.Option(metavar="A,B", help="Layers to export; all that were recorded without it (shd: input)."),
    ] = None,
    dialect: Annotated[
        str | None,
        typer.Option(metavar="nir|norse|snntorch", help="nir: the equations, or the steps that a tool takes; nir."),
    ] = None,
    dt: Annotated[float | None, typer.Option("--dt", help="nir: step size for norse and snntorch; the run's.")] = None,
    scheme: Annotated[str | None, typer.Option(help="nir: scheme for norse and snntorch; the run's.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace what is at OUT.")] = False,
):
    """Export a recording to NWB, Neo, the SHD layout or CSV, or a network to NIR."""
    from pathlib import Path

    from snnsim.errors import InputError
    from snnsim.recording.reader import open_traces

    from .selection import parse_selection

    if to not in FORMATS:
        raise InputError(f"--to {to}: must be one of {', '.join(FORMATS)}")
    chosen = parse_selection(trials, "--trials")
    names = [name.strip() for name in layers.split(",")] if layers else None
    if Path(output).exists() and not force:
        raise InputError(f"--output {output}: exists already; --force replaces it")
    if to == "nir":
        if trials or layers:
            raise InputError("--trials, --layers: belong to recordings; nir exports a network")
        _export_network(path, output, dialect or "nir", dt, scheme)
        return
    if dialect or dt is not None or scheme:
        raise InputError(f"--dialect, --dt, --scheme: belong to --to nir, not {to}")
    with open_traces(path) as traces:
        if to == "shd":
            from snnsim.interchange.shd import export_shd

            if names and len(names) != 1:
                raise InputError(f"--layers {layers}: the SHD layout holds one layer")
            export_shd(traces, output, chosen, *(names or ["input"]))
        elif to == "nwb":
            from snnsim.interchange.nwb import export_nwb

            export_nwb(traces, output, chosen, names)
        elif to == "neo":
            from snnsim.interchange.neo import export_neo

            export_neo(traces, output, chosen, names)
        else:
            from snnsim.interchange.csv import export_csv

            export_csv(traces, output, chosen, names)
        count = len(traces.chosen(chosen))
    print(f"{output}: {count} trials as {to}")


def _export_network(path, output, dialect, dt, scheme):
    import sys

    from snnsim.interchange.nir import export_nir
    from snnsim.models import load_model

    from .runs import model_path

    network, trained = load_model(model_path(path))
    if trained is not None:
        dt = trained.simulation.dt if dt is None else dt
        scheme = trained.simulation.scheme if scheme is None else scheme
    for note in export_nir(network, output, dialect=dialect, dt=dt, scheme=scheme):
        print(f"note: {note}", file=sys.stderr)
    print(f"{output}: {'-'.join(map(str, network.layers))} as nir, dialect {dialect}")
