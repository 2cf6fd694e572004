"""Consoles that take every text as it is, and bars; Rich is loaded when one is made."""

BAR = 20
"""Width of a bar, so that what stands beside it fits into 80 columns."""


def console(stderr=False, width=None):
    """Console for names of files and anything else that people choose: brackets and colons in it mean nothing.

    Parameters
    ----------
    stderr : bool
    width : int, optional
        Columns where the stream is no terminal; a file or pipe has no width of its own.

    Returns
    -------
    rich.console.Console
    """
    from rich.console import Console

    made = Console(stderr=stderr, highlight=False, markup=False, emoji=False)
    if width is not None and not made.is_terminal:
        made.width = width
    return made


def bars(*columns, kind=None, made=None, **options):
    """Bars on standard error, each with its description and the given columns beside it; nothing if it is no terminal.

    Parameters
    ----------
    *columns : rich.progress.ProgressColumn
    kind : class, optional
        Of `rich.progress.Progress`.
    made : rich.console.Console, optional
        To use instead of standard error.
    **options
        Of `rich.progress.Progress`.

    Returns
    -------
    rich.progress.Progress
    """
    from rich.progress import BarColumn, Progress, TextColumn

    made = made or console(stderr=True)
    description = TextColumn("{task.description}", markup=False)
    return (kind or Progress)(
        description, BarColumn(bar_width=BAR), *columns, console=made,
        disable=not (made.is_terminal or made.is_jupyter), **options,
    )
