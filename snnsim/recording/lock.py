"""One writer a folder: a lock that dies with its process."""

import contextlib
import errno
import os
import socket
import sys
import time
from contextlib import contextmanager
from pathlib import Path

from snnsim.errors import InputError

try:
    import fcntl
except ImportError:  # not a POSIX system
    fcntl = None

NAME = ".lock"


class Lock:
    """The right to write in a folder, from here to :meth:`release`, or to the end of this process however it comes.

    Parameters
    ----------
    folder : str or Path
        Must exist. Holds the file ``.lock`` meanwhile.

    Raises
    ------
    InputError
        If somebody else has it, or no file can be made.
    """

    def __init__(self, folder):
        self._path, self._handle, self._process = Path(folder) / NAME, None, os.getpid()
        if fcntl is None:
            return
        while not self._taken():
            pass
        with contextlib.suppress(OSError):  # on a full disk the lock holds without saying whose it is
            os.ftruncate(self._handle, 0)
            os.pwrite(self._handle, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)

    def _taken(self):
        """Open the file and lock it; False if its last owner removed it in between."""
        try:
            handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
        except OSError as error:
            raise InputError(f"{self._path.parent}: cannot be written: {error.strerror}") from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(handle), os.stat(self._path, follow_symlinks=False)):
                    self._handle, handle = handle, None
        except BlockingIOError:
            owner = os.pread(handle, 200, 0).decode(errors="replace") or "another process"
            raise InputError(f"{self._path.parent}: in use by {owner}; wait for its end, or name another") from None
        except OSError as error:
            if error.errno not in (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS):
                raise InputError(f"{self._path}: cannot be locked: {error.strerror}") from error
            print(
                f"note: {self._path.parent}: its file system has no locks: see to it that nothing else writes there",
                file=sys.stderr,
            )
            self._handle, handle = handle, None
        finally:
            if handle is not None:
                os.close(handle)
        return self._handle is not None

    def release(self):
        """Let others write; harmless if released before."""
        handle, self._handle = self._handle, None
        if handle is not None:
            if os.getpid() == self._process:  # and no fork of it
                self._path.unlink(missing_ok=True)
            os.close(handle)

    def __del__(self):
        self.release()


@contextmanager
def locked(folder):
    """Hold the :class:`Lock` of a folder during a block."""
    lock = Lock(folder)
    try:
        yield
    finally:
        lock.release()


def wait_until_free(folder, seconds):
    """Wait at most so long for a folder that somebody who is about to end still has."""
    end = time.monotonic() + seconds
    while Path(folder).is_dir() and time.monotonic() < end:
        try:
            Lock(folder).release()
            return
        except InputError:
            time.sleep(0.05)
