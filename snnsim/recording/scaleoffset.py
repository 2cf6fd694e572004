"""Chunks in the format of HDF5's scale-offset filter: whole numbers of few bytes in place of integers and decimals.

The filter is part of every HDF5 library, also of those without zlib. A chunk is a head and one code a row, most
significant bit first; codes of whole bytes, the only ones made here, are big-endian integers. The code of all ones
would stand for the fill value and is never used.
"""

import numpy as np

SKIPPED = 1
"""Filter mask of a chunk that is stored as it is."""
HEAD = 24
"""Bytes before the codes, so that they are aligned; the last 21 of them belong to the chunk."""


def code_type(largest, dtype, widest=False):
    """Type of the codes that hold 0..largest in a dataset of ``dtype``, or the widest one there; None if none does.

    Codes are at most half as wide as the rows: as wide as these they would be the rows themselves, which HDF5 1.14.6
    does not read.
    """
    half = dtype.itemsize // 2
    sizes = (half,) if widest else (size for size in (1, 2, 4) if size <= half)
    size = next((size for size in sizes if largest < 2 ** (8 * size) - 1), None)
    return None if size is None else np.dtype(f">u{size}")


def framed(buffer, rows, kind, minimum):
    """Make room for a chunk of a dataset, and write its head.

    Parameters
    ----------
    buffer : (at least HEAD + rows * kind.itemsize,) uint8
        Aligned; holds the chunk.
    rows : int
        Of a chunk.
    kind : dtype
        From `code_type`.
    minimum : numpy scalar
        Of the dataset's dtype. A row becomes ``minimum + code``, or ``code / 10**digits + minimum`` in a dataset of
        decimals.

    Returns
    -------
    chunk : ndarray of uint8
        As it is written.
    codes : (rows,) ndarray of kind
        To be filled; a view of the chunk.
    """
    head = (8 * kind.itemsize).to_bytes(4, "little") + b"\x08" + minimum.tobytes().ljust(16, b"\0")
    buffer[HEAD - len(head) : HEAD] = np.frombuffer(head, np.uint8)
    end = HEAD + rows * kind.itemsize
    return buffer[HEAD - len(head) : end], buffer[HEAD:end].view(kind)
