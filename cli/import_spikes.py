"""``snnsim import-spikes``: event files of others into the one layout that training reads."""

from typing import Annotated

import typer


def import_spikes(
    path: Annotated[str, typer.Argument(metavar="FILE.h5", help="SHD or SSC file, SONATA spikes, or a recording.")],
    output: Annotated[str, typer.Option("--output", "-o", metavar="OUT.h5", help="Event file to write.")],
    population: Annotated[
        str | None, typer.Option(metavar="NAME", help="Population of a SONATA file or layer of a recording.")
    ] = None,
    trial_length: Annotated[
        float | None, typer.Option(metavar="MS", help="Cut a SONATA recording into samples of this length.")
    ] = None,
    n_neurons: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Channels; without it the highest that occurs, plus one.")
    ] = None,
    duration: Annotated[
        float | None,
        typer.Option(metavar="MS", help="Length of a sample; without it that of the file, or its latest spike."),
    ] = None,
    time_unit: Annotated[
        str | None,
        typer.Option(metavar="s|ms|us|ns|MS", help="Unit of the file's times, or its milliseconds; as the file says."),
    ] = None,
    samples: Annotated[str | None, typer.Option(metavar="0:100", help="Samples to take; all without it.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace OUT.")] = False,
):
    """Check spikes of other tools, and write them as labelled samples in the SHD layout."""
    from pathlib import Path

    from snnsim.errors import InputError
    from snnsim.interchange.shd import read_spikes, save_spikes

    from .selection import parse_selection

    if Path(output).exists() and not force:
        raise InputError(f"--output {output}: exists already; --force replaces it")
    spikes, labels = read_spikes(
        path,
        n_neurons=n_neurons,
        duration=duration,
        samples=parse_selection(samples, "--samples"),
        population=population,
        trial_length=trial_length,
        time_unit=time_unit,
    )
    save_spikes(output, spikes, labels)
    print(
        f"{output}: {len(spikes)} samples of {spikes.duration:g} ms, {spikes.n_neurons} channels, "
        f"{spikes.times.size} spikes, {len(set(labels.tolist()))} classes"
    )
