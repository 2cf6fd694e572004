"""Input spikes of a training on the GPU: encoded there for the clock, on the host for spikes at exact times."""

import numpy as np

from snnsim.encoders import WORD
from snnsim.kernels.cuda import compiler, encoding


class EncodedOnDevice:
    """Input of the clock engine: intensities are uploaded once, and encoded where they are.

    Parameters
    ----------
    encoder : snnsim.encoders.Encoder
    device : CudaClockEngine
    train : Split
        Samples that are learnt from.
    """

    def __init__(self, encoder, device, train):
        self._encoder, self._device = encoder, device
        self._values, self._table = self._drives(train.values)
        self._ids = compiler.to_device(train.ids.astype(np.int64))

    def of_training(self, picked, chosen, epoch, slot):
        """Encode samples that are learnt from.

        Parameters
        ----------
        picked : ndarray, (B,) int64
            Their indices.
        chosen : device array, (B,) int64
            The same.
        epoch, slot : int

        Returns
        -------
        DeviceSpikes
            In the memory of ``slot``.
        """
        return self._encode(self._values, self._table, chosen, self._ids, epoch, slot, len(picked))

    def of(self, values, ids, epoch, slot):
        """Encode given intensities (B, N) with the numbers ``ids`` (B,); see :meth:`of_training`."""
        values, table = self._drives(values)
        ids = compiler.to_device(np.ascontiguousarray(ids, np.int64))
        return self._encode(values, table, compiler.nothing(1, np.int64), ids, epoch, slot, len(ids))

    def _drives(self, values):
        """Upload what the encoder's kernels read: intensities and a table, or thresholds and no table."""
        if values.dtype == np.uint8:
            table = self._encoder.drives(np.arange(256, dtype=np.uint8))
            values = values[None] if self._encoder.repeats else values
            return compiler.to_device(values), compiler.to_device(table)
        drives = self._encoder.drives(values)
        return compiler.to_device(drives), compiler.nothing(drives.ndim - 1, np.int64)

    def _encode(self, values, table, chosen, ids, epoch, slot, size):
        e, device = self._encoder, self._device
        if e.repeats:
            n_neurons = values.shape[values.ndim - 1]
            inputs = device.inputs(size, slot, e.room(n_neurons))
            counts = device.pool.exactly(f"counts {slot}", encoding.counts_shape(size, n_neurons), np.uint8)
            encoding.poisson_counts(
                values, table, chosen, ids, e.seed, int(epoch) & WORD, e.n_steps, 1, inputs.rows, inputs.row_ptr, counts
            )
            return inputs
        inputs = device.inputs(size, slot)
        out = e.n_steps, 1, inputs.rows, inputs.row_ptr, inputs.words
        if e.name == "latency":
            encoding.single_words(values, table, chosen, *out)
        elif e.name == "regular":
            encoding.regular_words(values, table, chosen, *out)
        else:
            encoding.poisson_words(values, table, chosen, ids, e.seed, int(epoch) & WORD, *out)
        return inputs


class EncodedOnHost:
    """Input of the event and the hybrid engine: the CPU lists spikes at their times, and copies them for each batch.

    Parameters and methods are those of :class:`EncodedOnDevice`.
    """

    def __init__(self, encoder, device, train):
        self._encoder, self._device, self._train = encoder, device, train

    def of_training(self, picked, chosen, epoch, slot):
        """Encode samples that are learnt from; see :meth:`EncodedOnDevice.of_training`."""
        return self.of(self._train.values[picked], self._train.ids[picked], epoch, slot)

    def of(self, values, ids, epoch, slot):
        """Encode given intensities; see :meth:`EncodedOnDevice.of`."""
        return self._device.upload(self._encoder.in_time(values, ids, epoch), slot)
