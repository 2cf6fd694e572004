"""The record of a run's epochs, read again whenever it has grown."""

from pathlib import Path

from snnsim.errors import InputError
from snnsim.recording.metrics import METRICS, read_metrics


class Curves:
    """Epochs of a run so far.

    Parameters
    ----------
    run : str or Path
        Its directory.

    Attributes
    ----------
    records : list of dict
        One an epoch; see `snnsim.recording.metrics.read_metrics`.
    error : str
        What is wrong, in one line; empty if nothing is.
    version : int
        Raised whenever something of this has changed.
    """

    def __init__(self, run):
        self.path, self.records, self.error, self.version = Path(run) / METRICS, [], "", 0
        self._state = None

    def advance(self):
        """Read on; returns False, since nothing is ever left over."""
        try:
            status = self.path.stat()
        except FileNotFoundError:
            return False
        state = status.st_ino, status.st_size, status.st_mtime_ns
        if state != self._state:
            self._state, self.version = state, self.version + 1
            try:
                self.records, self.error = read_metrics(self.path), ""
            except InputError as error:
                self.error = str(error)
        return False

    def column(self, name, scale=1.0):
        """One number of each epoch, list of float; NaN where it was not measured."""
        found = (record.get(name) for record in self.records)
        return [scale * value if isinstance(value, int | float) else float("nan") for value in found]

    @property
    def epochs(self):
        """Numbers of the epochs."""
        return [record.get("epoch", k) for k, record in enumerate(self.records)]
