"""What the command writes to: streams that may be closed or full, and the consoles and bars of the package."""

import os
import sys
from contextlib import contextmanager

from snnsim.terminal import bars, console

__all__ = ["bars", "console", "streams"]

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
