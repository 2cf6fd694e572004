"""Files replaced in one step: new contents under a name that nobody can have planted, then renamed."""

import errno
import os
import secrets
from contextlib import contextmanager
from pathlib import Path

from snnsim.errors import InputError

_REASONS = {f"errno = {code}": os.strerror(code) for code in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT, errno.EIO)}


def write_atomic(path, write, sync=True):
    """Replace ``path`` by what ``write`` puts into a new file, or leave it as it was.

    The new file lies in the same directory, is synced to the disk, and takes the name in one step: a reader,
    or a run that continues after a crash, finds the old contents or the new ones, never a part.

    Parameters
    ----------
    path : str or Path
        Its directory must exist.
    write : callable
        Called with a binary file open for writing.
    sync : bool
        Wait until the disk has it. Without that, a crash of the machine (not of the program) may lose it.

    Raises
    ------
    InputError
        If the file cannot be written (no such directory, no permission, disk full); the old file is
        untouched.
    """
    with replacing(path, sync) as temporary:
        with open(temporary, "wb") as file:
            write(file)


@contextmanager
def replacing(path, sync=True):
    """Give a new file in the same directory to write to; at the end, synced, it takes the name ``path`` in one step.

    Parameters
    ----------
    path : str or Path
    sync : bool
        As for `write_atomic`.

    Yields
    ------
    Path
        An empty file with the suffix of ``path``; removed if the block raises.

    Raises
    ------
    InputError
        If the file cannot be written; the old one is untouched.
    """
    path = Path(path)
    # In a directory of many, a name that can be guessed may be a link already, to a file of somebody else.
    temporary = path.with_name(f".{path.stem}.{secrets.token_hex(8)}.tmp{path.suffix}")
    with writing(path):
        os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0), 0o666))
        try:
            yield temporary
            if sync:
                _sync(temporary)
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        if sync:
            _sync(path.parent)


def leftovers(path):
    """List what killed processes left of new contents of ``path``."""
    path = Path(path)
    return list(path.parent.glob(f".{path.stem}.*.tmp{path.suffix}"))


@contextmanager
def writing(path):
    """Turn what the system raises while it writes ``path`` into an InputError of one line."""
    try:
        yield
    except InputError:
        raise
    except (OSError, RuntimeError) as error:
        raise InputError(f"{path}: cannot be written: {_reason(error)}") from error


def _reason(error):
    text = " ".join(str(error).split())
    for part, reason in _REASONS.items():
        if part in text:
            return reason
    return os.strerror(error.errno) if getattr(error, "errno", None) else text


def _sync(path):
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
