"""From the samples of an engine to the frames of a report: every so-manieth, some neurons, as many a trial."""

import numpy as np

from snnsim.errors import InputError


class Sampling:
    """What a report keeps of the samples of each trial.

    Parameters
    ----------
    duration : float
        Length of a trial.
    step : float
        Time between the samples to keep.
    frames : int
        Frames a trial takes on the common clock.
    elements : dict of str to ndarray, int64
        Neurons to keep, by population.

    Attributes
    ----------
    phase : float or None
        Time of the first kept sample in a trial, once a batch has shown it.
    """

    def __init__(self, duration, step, frames, elements):
        self.duration, self.step, self.frames, self.elements = duration, step, frames, elements
        self.phase = None
        self._last = None

    def block(self, layer, variable, size, dtype):
        """Rows of a report for a batch.

        Parameters
        ----------
        layer : LayerRecording
        variable : {"v", "i_syn"}
        size : int
            Number of trials.
        dtype : dtype

        Returns
        -------
        ndarray, (size * frames, M)
            NaN where a trial has no sample.

        Raises
        ------
        InputError
            If the samples do not fit.
        """
        values, ids = getattr(layer, variable), self.elements[layer.name]
        if values is None:
            raise InputError(f"{layer.name}: the recording has no {variable}")
        if values.shape != (size, layer.sample_times.size, layer.neuron_ids.size):
            raise InputError(
                f"{layer.name}: {variable} has shape {values.shape}, not trials x samples x neurons = "
                f"{(size, layer.sample_times.size, layer.neuron_ids.size)}"
            )
        values = values[:, self._samples(layer.sample_times)]
        if not np.array_equal(layer.neuron_ids, ids):
            where = {int(n): k for k, n in enumerate(layer.neuron_ids)}
            lacking = [n for n in ids.tolist() if n not in where]
            if lacking:
                raise InputError(f"{layer.name}: the recording lacks neuron {lacking[0]}")
            values = values[:, :, [where[n] for n in ids.tolist()]]
        if values.shape[1] == self.frames:
            block = np.ascontiguousarray(values, dtype)
        else:
            block = np.full((size, self.frames, len(ids)), np.nan, dtype)
            block[:, : values.shape[1]] = values
        return block.reshape(size * self.frames, len(ids))

    def _samples(self, times):
        """Which of an engine's samples to keep: a slice; found once for batches that are sampled alike."""
        if self._last is None or not np.array_equal(times, self._last[0]):
            self._last = np.array(times, np.float64), self._found(np.asarray(times, np.float64))
        return self._last[1]

    def _found(self, times):
        """Look for the samples to keep; notes the time of the first one in a trial."""
        spacing = times[1] - times[0] if times.size > 1 else self.step
        every = max(1, round(self.step / spacing))
        uniform = np.allclose(np.diff(times), spacing, rtol=1e-6, atol=0) if times.size else False
        if not uniform or abs(every * spacing - self.step) > 1e-6 * self.step:
            raise InputError(
                f"samples every {spacing:g}: this recording keeps one every {self.step:g}; the engine must sample "
                "evenly, and this be a multiple of its spacing"
            )
        keep = slice(every - 1, None, every)
        kept = times[keep]
        if kept.size == 0:
            return keep
        phase = float(kept[0])
        if kept.size > self.frames or not -1e-9 <= phase <= self.step * (1 + 1e-9):
            raise InputError(
                f"{kept.size} samples from {phase:g} on: a trial of {self.duration:g} has {self.frames} samples, the "
                f"first within {self.step:g}"
            )
        if self.phase is None:
            self.phase = phase
        elif abs(phase - self.phase) > 1e-9 * self.step:
            raise InputError(f"first sample at {phase:g}: earlier batches have it at {self.phase:g}")
        return keep
