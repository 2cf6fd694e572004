"""Disk space for what HDF5 is about to write.

HDF5 cannot close a file that the disk refused to take: it leaves half of itself behind, and the process dies when it
ends. So space is taken from the disk before HDF5 writes there, and a file that it fails to write all the same is closed
into memory.
"""

import os
import tempfile
from contextlib import contextmanager, suppress

SLACK = 64 * 1024
"""What metadata may take beyond the data that was announced; kept free to close a file, and to cut it."""


class Space:
    """Space of one open file.

    Parameters
    ----------
    file : h5py.File
        Open for writing, on a disk.
    """

    def __init__(self, file):
        self._file, self._handle, self._end = file, file.id.get_vfd_handle(), 0

    def reserve(self, n_bytes=0):
        """Take space for so many bytes more than HDF5 has allocated, and what is needed to close.

        Raises
        ------
        OSError
            If the disk, a quota or a limit of this process refuses; HDF5 has then written nothing of it.
        """
        end = self._file.id.get_filesize() + n_bytes + SLACK
        if end > self._end:
            take(self._handle, self._end, end)
            self._end = end


def take(handle, start, end):
    """Take the bytes ``start`` to ``end`` of an open file from the disk, where the system can do that.

    Raises
    ------
    OSError
        If the disk refuses.
    """
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(handle, start, end - start)


def close(file):
    """Close an `h5py.File`; if the disk refuses what HDF5 still has, that goes to memory, and the file is closed.

    Raises
    ------
    OSError, RuntimeError
        If the disk refuses.
    """
    try:
        file.flush()
        # The last thing that HDF5 writes is the head of the file: see whether the disk would take that, too.
        handle = file.id.get_vfd_handle()
        os.pwrite(handle, os.pread(handle, 1, 0), 0)
    except (OSError, RuntimeError):
        divert(file)
        with suppress(OSError, RuntimeError):
            file.close()
        raise
    file.close()


@contextmanager
def changing(file):
    """Close an `h5py.File` at the end of the block, as :func:`close` does."""
    try:
        yield file
    except BaseException:
        with suppress(OSError, RuntimeError):
            close(file)
        raise
    close(file)


def divert(file):
    """Send all that HDF5 writes to a file from now on to memory."""
    if hasattr(os, "memfd_create"):
        sink = os.memfd_create("snnsim")
    else:
        with tempfile.TemporaryFile() as temporary:
            sink = os.dup(temporary.fileno())
    os.dup2(sink, file.id.get_vfd_handle())
    os.close(sink)
