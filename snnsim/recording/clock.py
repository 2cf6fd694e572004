"""The common clock of a recording: when its trials begin, and which decimals its instants are."""

import numpy as np

MAX_DIGITS = 9
EXACT = 2.0**52


class Clock:
    """Trials one after another.

    Where step, duration and stride are decimals, every instant on the grid is a whole number of ticks of
    ``10**-digits`` ms divided by ``10**digits``: rounded once, the same wherever it is computed.

    Parameters
    ----------
    duration, stride : float
        Of a trial, and from the start of one to the next, ms.
    step : float or None
        Of the grid, ms.

    Attributes
    ----------
    digits : int or None
        None where there is no grid, or none of decimals.
    scale : float
        Ticks a millisecond; 0 where `digits` is None.
    step_ticks : int
        Ticks a step.
    """

    def __init__(self, duration, stride, step):
        self._duration, self._stride = duration, stride
        lengths = (step, duration, stride) if step else ()
        self.digits = next((d for d in range(MAX_DIGITS + 1) if lengths and _decimal(lengths, d)), None)
        self.scale, self.step_ticks = 0.0, 0
        if self.digits is not None:
            self.scale = 10.0**self.digits
            self.step_ticks, self._duration_ticks, self._stride_ticks = (round(x * self.scale) for x in lengths)

    def starts(self, trials):
        """Return when trials begin, (B,) float64, ms, by their numbers."""
        return trials * self._stride if self.digits is None else self.start_ticks(trials) / self.scale

    def stops(self, trials):
        """Return when trials end, (B,) float64, ms, by their numbers."""
        if self.digits is None:
            return self.starts(trials) + self._duration
        return (self.start_ticks(trials) + self._duration_ticks) / self.scale

    def start_ticks(self, trials):
        """Return when trials begin in ticks, (B,) int64; zeros where there are none."""
        return trials * self._stride_ticks if self.digits is not None else np.zeros(len(trials), np.int64)


def _decimal(lengths, digits):
    scale = 10.0**digits
    return all(1 <= round(x * scale) < EXACT and abs(round(x * scale) / scale - x) <= 1e-14 * x for x in lengths)
