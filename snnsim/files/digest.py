"""A SHA-256 over a whole file, as its last line: HDF5 does not see it, and no bit of the file can change unnoticed."""

import hashlib
import os

from snnsim.errors import InputError

_MARK = b"\nsnnsim sha256 "
_LENGTH = len(_MARK) + 64 + 1


def sealed(contents):
    """Contents (bytes) followed by the line that seals them."""
    return b"".join((contents, _MARK, hashlib.sha256(contents).hexdigest().encode(), b"\n"))


def check_seal(path):
    """Compare a file with its last line.

    Returns
    -------
    bool
        Whether it has such a line.

    Raises
    ------
    InputError
        If it has, and it is not that of the contents.
    """
    try:
        left = os.path.getsize(path) - _LENGTH
        if left < 0:
            return False
        with open(path, "rb") as file:
            file.seek(left)
            line = file.read(_LENGTH)
            if not line.startswith(_MARK):
                return False
            file.seek(0)
            digest = hashlib.sha256()
            while left:
                part = file.read(min(left, 1 << 20))
                if not part:
                    break
                digest.update(part)
                left -= len(part)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    if line != _MARK + digest.hexdigest().encode() + b"\n":
        raise InputError(f"{path}: damaged or changed since it was written: its SHA-256 is not that of its last line")
    return True
