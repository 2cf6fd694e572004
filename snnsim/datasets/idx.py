"""IDX files, plain or gzip-compressed: big-endian header, then unsigned bytes (Y. LeCun's format).

Header: two zero bytes, a type byte (0x08 for unsigned bytes), the number of dimensions, and each dimension
as a big-endian 32-bit integer.
"""

import gzip
import math
import os
import struct
import zlib
from contextlib import contextmanager

import numpy as np

from snnsim.errors import InputError
from snnsim.files.text import check_ordinary

CHUNK = 1 << 18  # bytes decoded at a time: the only memory beyond the array itself
_GZIP_MAGIC = b"\x1f\x8b"
_DEFLATE_LIMIT = 1032  # no deflate stream expands further than this


@contextmanager
def open_idx(path):
    """Open an IDX file for reading its uncompressed bytes; compression is seen from the first two bytes.

    Used in a ``with`` statement. Every error of opening, reading or decompressing within its body becomes an
    :class:`InputError` that names the file.
    """
    check_ordinary(path)
    try:
        with open(path, "rb") as raw:
            compressed = raw.read(2) == _GZIP_MAGIC
            raw.seek(0)
            if compressed:
                with gzip.GzipFile(fileobj=raw, mode="rb") as stream:
                    yield stream
            else:
                yield raw
    except EOFError:
        raise InputError(f"{path}: truncated gzip file, its end-of-stream marker is missing") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise InputError(f"{path}: corrupted gzip file ({error})") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from None


def read_idx(path, n_dims):
    """Array of an IDX file of unsigned bytes, decoded straight into its final place.

    Parameters
    ----------
    path : path-like
        A plain or gzip-compressed file.
    n_dims : int
        Number of dimensions that the file must have: 3 for images, 1 for labels.

    Returns
    -------
    ndarray, uint8, of ``n_dims`` dimensions

    Raises
    ------
    InputError
        If the file is missing, unreadable, truncated, corrupted, not an IDX file of unsigned bytes with
        ``n_dims`` dimensions, or longer or shorter than its header says.
    """
    with open_idx(path) as stream:
        shape = _read_header(stream, path, n_dims)
        size = math.prod(shape)
        stored = os.path.getsize(path)
        if size > stored * _DEFLATE_LIMIT:
            raise InputError(
                f"{path}: its header announces {size} bytes of data, too many for a file of {stored} bytes"
            )
        array = np.empty(shape, np.uint8)
        view = memoryview(array).cast("B") if size else memoryview(b"")
        done = 0
        while done < size:
            chunk = stream.read(min(CHUNK, size - done))
            if not chunk:
                raise InputError(f"{path}: truncated, {done} bytes of data where its header announces {size}")
            view[done : done + len(chunk)] = chunk
            done += len(chunk)
        if stream.read(1):  # reading to the end also checks a gzip file's own checksum
            raise InputError(f"{path}: too long, more than the {size} bytes of data that its header announces")
    return array


def _read_header(stream, path, n_dims):
    head = stream.read(4)
    expected = bytes((0, 0, 8, n_dims))
    if len(head) == 4 and head != expected:
        raise InputError(
            f"{path}: magic number 0x{head.hex()}: must be 0x{expected.hex()} "
            f"(IDX, unsigned bytes, {n_dims} dimension{'s' if n_dims > 1 else ''})"
        )
    dims = stream.read(4 * n_dims)
    if len(head) < 4 or len(dims) < 4 * n_dims:
        raise InputError(
            f"{path}: truncated, {len(head) + len(dims)} bytes where the header alone has {4 + 4 * n_dims}"
        )
    return struct.unpack(f">{n_dims}I", dims)
