"""What the command writes to: consoles that take every text as it is, bars, and streams that may be closed or full."""

import os
import sys
from contextlib import contextmanager

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
        description, BarColumn(bar_width=BAR), *columns, console=made, disable=not made.is_terminal, **options
    )


@contextmanager
def streams():
    """Give standard streams that a command can rely on, during a block.

    A stream that is closed goes nowhere: otherwise a file opened later would get its number, and messages with it.
    Nobody misses what cannot be shown on standard error; what cannot be written to standard output is an InputError,
    or the end of the command where its reader has gone (``| head``).
    """
    for handle in range(3):
        try:
            os.fstat(handle)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = _Output(_opened(sys.stdout)), _Messages(_opened(sys.stderr))
    try:
        yield
        sys.stdout.flush()
    finally:
        sys.stdout, sys.stderr = before


def _opened(stream):
    return open(os.devnull, "w") if stream is None else stream


class _Stream:
    def __init__(self, stream):
        self._stream = stream

    def __getattr__(self, name):
        return getattr(self._stream, name)

    def __iter__(self):
        return iter(self._stream)

    def write(self, text):
        try:
            return self._stream.write(text)
        except OSError as error:
            self._failed(error)
            return len(text)

    def writelines(self, lines):
        for line in lines:
            self.write(line)

    def flush(self):
        try:
            self._stream.flush()
        except OSError as error:
            self._failed(error)

    def _silence(self):
        """Send what still waits, and what comes, nowhere."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)


class _Messages(_Stream):
    def _failed(self, error):
        self._silence()


class _Output(_Stream):
    def _failed(self, error):
        from snnsim.errors import InputError

        self._silence()
        if isinstance(error, BrokenPipeError):
            raise SystemExit(141)  # as a process that SIGPIPE ends
        raise InputError(f"standard output: cannot be written: {error.strerror}") from error
