"""Rows appended to a chunked dataset, written chunk by chunk past HDF5's own cache."""

import numpy as np


class Column:
    """Appends rows to an extendible dataset; a chunk is written once when full, and at each flush while it fills.

    Parameters
    ----------
    dataset : h5py.Dataset, (0, ...)
        Unfiltered, chunked over whole rows.
    """

    def __init__(self, dataset):
        self.dataset = dataset
        self.rows = 0
        self._size = dataset.chunks[0]
        self._shape = dataset.shape
        self._buffer = np.zeros(dataset.chunks, dataset.dtype)
        self._corner = (0,) * (dataset.ndim - 1)
        self._dirty = False

    def append(self, block):
        """Append ``block``, (n, ...) C-contiguous and of the dataset's dtype."""
        start = 0
        while start < len(block):
            fill = self.rows % self._size
            take = min(self._size - fill, len(block) - start)
            self.rows += take
            if take == self._size:
                self._write(block[start : start + take])
            else:
                self._buffer[fill : fill + take] = block[start : start + take]
                self._dirty = True
                if fill + take == self._size:
                    self.flush()
            start += take

    def flush(self):
        """Hand the chunk that is being filled to HDF5, and make the dataset as long as its rows."""
        if self._dirty:
            self._write(self._buffer)
            self._dirty = False

    def _write(self, chunk):
        first = (self.rows - 1) // self._size * self._size
        self.dataset.id.set_extent((self.rows, *self._shape[1:]))
        self.dataset.id.write_direct_chunk((first, *self._corner), chunk)
