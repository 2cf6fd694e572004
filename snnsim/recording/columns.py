"""Rows appended to a chunked dataset, written chunk by chunk past HDF5's own cache.

A chunk that a commit puts on the disk before it is full keeps its place and its size until it is: nothing that readers
of a growing file, or a kill, may meet is moved.
"""

import numpy as np

from snnsim.recording import scaleoffset
from snnsim.recording.packing import repeat_runs


class Column:
    """An extendible dataset; a chunk is written once when full, and at each flush while it fills.

    Parameters
    ----------
    dataset : h5py.Dataset, (0, ...)
        Chunked over whole rows.
    """

    def __init__(self, dataset):
        self.dataset = dataset
        self.rows = 0
        self._size = dataset.chunks[0]
        self._shape = dataset.shape
        self._corner = (0,) * (dataset.ndim - 1)
        self._dirty = False
        self._space = None

    def move(self, dataset, space):
        """Go on in an equal dataset of another file, in whose :class:`~snnsim.recording.space.Space` chunks go."""
        self.dataset, self._space = dataset, space

    def _write(self, chunk, mask=0):
        first = (self.rows - 1) // self._size * self._size
        if self._space is not None:
            self._space.reserve(chunk.nbytes)
        self.dataset.id.set_extent((self.rows, *self._shape[1:]))
        self.dataset.id.write_direct_chunk((first, *self._corner), chunk, mask)
        self._dirty = False

    def flush(self):
        """Hand the chunk that is being filled to HDF5, and make the dataset as long as its rows."""
        if self._dirty:
            self._write_part()


class RowColumn(Column):
    """A column of any rows, stored as they are."""

    def __init__(self, dataset):
        super().__init__(dataset)
        self._chunk = self._buffer = np.zeros(dataset.chunks, dataset.dtype)

    @property
    def dtype(self):
        """Of the rows to append."""
        return self._buffer.dtype

    def append(self, block):
        """Append ``block``, (n, ...) C-contiguous and of :attr:`dtype`."""
        start = 0
        while start < len(block):
            fill = self.rows % self._size
            take = min(self._size - fill, len(block) - start)
            part = block[start : start + take]
            self.rows += take
            if take == self._size and self._chunk is self._buffer:
                self._write(part)
            else:
                self._buffer[fill : fill + take] = part
                self._dirty = True
                if fill + take == self._size:
                    self._write_part()
            start += take

    def _write_part(self):
        self._write(self._chunk)


class TableColumn(RowColumn):
    """A column of a few rows a batch: they wait for the next flush."""

    def __init__(self, dataset):
        super().__init__(dataset)
        self._blocks = []

    def append(self, block):
        """Append ``block``, as to a :class:`RowColumn`; it must not change afterwards."""
        self._blocks.append(block)

    def flush(self):
        """Append what waits; as of a :class:`Column`."""
        if self._blocks:
            super().append(np.concatenate(self._blocks))
            self._blocks.clear()
        super().flush()


class PackedColumn(RowColumn):
    """A column of integers in few bytes; blocks are codes, of unsigned integers whose bytes stand as they are stored.

    Parameters
    ----------
    dataset : h5py.Dataset, (0,) uint32
        With the scale-offset filter.
    kind : dtype
        Of the codes, from :func:`~snnsim.recording.scaleoffset.code_type`.
    """

    def __init__(self, dataset, kind):
        super().__init__(dataset)
        room = np.zeros(scaleoffset.HEAD + self._size * kind.itemsize, np.uint8)
        self._chunk, codes = scaleoffset.framed(room, self._size, kind, dataset.dtype.type(0))
        self._buffer = codes.view(f"u{kind.itemsize}")


class RunColumn(Column):
    """A column of runs of equal, ascending values.

    Parameters
    ----------
    dataset : h5py.Dataset, (0,)
        Of unsigned integers or float64.
    digits : int, optional
        The dataset has the scale-offset filter, for so many decimals; none if None.
    """

    def __init__(self, dataset, digits=None):
        super().__init__(dataset)
        self._digits = digits
        self._room = np.empty(scaleoffset.HEAD + self._size * dataset.dtype.itemsize // 2, np.uint8)
        # Runs of the chunk that is being filled, the row where it begins, and whether the disk holds a part of it.
        self._values, self._ends = np.empty(self._size, dataset.dtype), np.empty(self._size, np.int64)
        self._runs, self._first, self._begun = 0, 0, False

    def append(self, values, ends):
        """Append runs.

        Parameters
        ----------
        values : (R,)
        ends : (R,) int64
            Row of the dataset at which each run ends; strictly ascending.
        """
        start = 0
        while start < len(ends):
            stop = self._first + self._size
            # The last one taken is the one that crosses the end of the chunk, if any does.
            take = slice(start, start + int(np.searchsorted(ends[start:], stop)) + 1)
            held = slice(self._runs, self._runs + len(ends[take]))
            self._values[held] = values[take]
            np.minimum(ends[take], stop, out=self._ends[held])
            self._runs, self._dirty = held.stop, True
            self.rows = int(self._ends[held.stop - 1])
            start += held.stop - held.start
            if self.rows == stop:
                start -= int(ends[start - 1] > stop)
                self._write_part()
                self._runs, self._first, self._begun = 0, stop, False

    def _write_part(self):
        # What is not known to be full may yet need codes as wide as any, and what is begun keeps its size.
        self._begun |= self.rows < self._first + self._size
        codes, minimum = self._coded()
        kind = None if codes is None else scaleoffset.code_type(codes[-1], self.dataset.dtype, widest=self._begun)
        if kind is None:
            rows = np.empty(self._size, self.dataset.dtype)
            self._unroll(self._values[: self._runs], rows)
            self._write(rows, 0 if self._digits is None else scaleoffset.SKIPPED)
        else:
            chunk, rows = scaleoffset.framed(self._room, self._size, kind, minimum)
            self._unroll(codes.astype(kind), rows)
            self._write(chunk)

    def _coded(self):
        """Whole numbers of the runs and what to add to them; None if a value is no decimal of so many digits."""
        values = self._values[: self._runs]
        if self._digits is None:
            return None, values[0]
        if values.dtype.kind == "u":
            return values - values[0], values[0]
        scale = 10.0**self._digits
        # Counted from a whole number, codes are small; but a reader's sum is rounded again, and may be another double.
        for base in (np.float64(0) if self._begun else np.floor(values[0]), np.float64(0)):
            codes = np.rint((values - base) * scale)
            if np.array_equal(codes / scale + base, values):
                return codes, base
        return None, base

    def _unroll(self, values, rows):
        """Fill the rows of a chunk from one value a run; the last one also where rows are still to come."""
        ends = self._ends[: self._runs] - self._first
        ends[-1] = self._size
        unsigned = f"u{values.itemsize}"
        repeat_runs(values.view(unsigned), ends, rows.view(unsigned))
