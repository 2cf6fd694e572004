"""HDF5's superblock, by hand: the mark of a file that is open for writing, and how to clear it."""

import os
import struct

from snnsim.errors import InputError
from snnsim.files.text import check_ordinary

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_FLAG_BYTE = 11
_END_OF_FILE = slice(28, 36)
_CHECKSUM = slice(44, 48)
_SUPERBLOCK = 48


def marked(path):
    """Whether a file carries the mark of a writer: it is being written, or its writer was killed.

    Raises
    ------
    InputError
        If its superblock is not of version 3 with 8-byte addresses, as ``libver="v110"`` writes.
    """
    return _head(path)[_FLAG_BYTE] != 0


def cut_short(path):
    """Whether a file ends before its superblock says, as after a write that the disk refused; raises like `marked`."""
    return struct.unpack("<Q", _head(path)[_END_OF_FILE])[0] > os.path.getsize(path)


def clear_mark(path):
    """Clear the mark, as ``h5clear -s`` does, and let the file end where it ends; raises like `marked`."""
    head = bytearray(_head(path))
    head[_FLAG_BYTE] = 0
    head[_END_OF_FILE] = struct.pack("<Q", os.path.getsize(path))
    head[_CHECKSUM] = struct.pack("<I", lookup3(bytes(head[: _CHECKSUM.start])))
    with open(path, "r+b") as file:
        file.write(head)
        file.flush()
        os.fsync(file.fileno())


def _head(path):
    check_ordinary(path)
    try:
        with open(path, "rb") as file:
            head = file.read(_SUPERBLOCK)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    if len(head) < _SUPERBLOCK or not head.startswith(_SIGNATURE) or head[8] != 3 or head[9] != 8:
        raise InputError(f"{path}: its HDF5 superblock is not one that snnsim writes")
    return head


def lookup3(data):
    """Jenkins' lookup3 hash of ``data`` with initial value 0: the checksum of HDF5 metadata (HDF5 format III.A).

    Parameters
    ----------
    data : bytes

    Returns
    -------
    int
        32 bits.
    """
    mask = 0xFFFFFFFF

    def rotate(x, k):
        return ((x << k) | (x >> (32 - k))) & mask

    a = b = c = (0xDEADBEEF + len(data)) & mask
    if not data:
        return c
    full = (len(data) - 1) // 12 * 12
    for k in range(0, full, 12):
        x, y, z = struct.unpack_from("<III", data, k)
        a, b, c = (a + x) & mask, (b + y) & mask, (c + z) & mask
        a = ((a - c) & mask) ^ rotate(c, 4)
        c = (c + b) & mask
        b = ((b - a) & mask) ^ rotate(a, 6)
        a = (a + c) & mask
        c = ((c - b) & mask) ^ rotate(b, 8)
        b = (b + a) & mask
        a = ((a - c) & mask) ^ rotate(c, 16)
        c = (c + b) & mask
        b = ((b - a) & mask) ^ rotate(a, 19)
        a = (a + c) & mask
        c = ((c - b) & mask) ^ rotate(b, 4)
        b = (b + a) & mask
    x, y, z = struct.unpack("<III", data[full:].ljust(12, b"\0"))
    a, b, c = (a + x) & mask, (b + y) & mask, (c + z) & mask
    c = ((c ^ b) - rotate(b, 14)) & mask
    a = ((a ^ c) - rotate(c, 11)) & mask
    b = ((b ^ a) - rotate(a, 25)) & mask
    c = ((c ^ b) - rotate(b, 16)) & mask
    a = ((a ^ c) - rotate(c, 4)) & mask
    b = ((b ^ a) - rotate(a, 14)) & mask
    c = ((c ^ b) - rotate(b, 24)) & mask
    return c
