"""``snnsim view``: recordings and runs in the browser."""

import sys
from typing import Annotated

import typer


def view(
    paths: Annotated[
        list[str], typer.Argument(metavar="TRACES|RUN...", help="A recording or a run; two stand side by side.")
    ],
    port: Annotated[int, typer.Option(metavar="N", min=0, max=65535, help="Port; any that is free without it.")] = 0,
    trials: Annotated[
        str, typer.Option(metavar="A:B", help="Trials to show; all without it, as far as memory allows.")
    ] = ":",
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Only print the address.")] = False,
):
    """Show spikes, membranes, feature maps and learning curves in the browser, also while a run goes on.

    The page is served to this machine alone, at an address that nobody else knows. Ctrl-C ends it.
    """
    from snnsim.errors import InputError
    from snnsim.viewer.curves import Curves
    from snnsim.viewer.server import serve
    from snnsim.viewer.source import Source, place_of

    if len(paths) > 2:
        raise InputError(f"{paths[2]}: one recording, or two side by side, but not {len(paths)}")
    span, sources, curves = _span(trials), [], None
    for path in paths:
        recording, run = place_of(path)
        sources.append(Source(recording, span))
        if run is not None and curves is None:
            curves = Curves(run)

    def ready(url):
        print(url)
        print("Ctrl-C ends it.", file=sys.stderr)
        sys.stdout.flush()

    serve(sources, curves, port, ready, not no_browser)


def _span(text):
    """First trial and the one after the last, of ``A:B``."""
    from snnsim.errors import InputError

    first, colon, last = text.partition(":")
    try:
        found = int(first or 0), int(last) if last else None
    except ValueError:
        found = -1, None
    if not colon or found[0] < 0 or (found[1] is not None and found[1] <= found[0]):
        raise InputError(f"--trials {text}: must be A:B, such as 0:1000, with A < B")
    return found
