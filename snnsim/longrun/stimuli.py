"""Input to a simulation without trials: Poisson spikes, spike trains, currents, noise."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from snnsim.arguments import made_array, one_or_each
from snnsim.errors import InputError
from snnsim.spikes import Spikes, grid_steps

MOST_PER_DRAW = 4.0
"""Largest mean of a Poisson number that is drawn by one comparison with a table; larger ones are sums."""
MOST_VARYING = 20.0
"""Largest mean in a step where it changes from step to step or from neuron to neuron."""


MOST_A_STEP = 1e5
"""Largest mean number of spikes in a step."""


@dataclass(frozen=True, eq=False)
class Poisson:
    """Every neuron of a population gets spikes of its own at random times, which arrive at once.

    Parameters
    ----------
    target : str
    rate : float or (N,) array_like
        Spikes per unit of time; 8 a millisecond are 8000 a second.
    weight : float or (N,) array_like
        Of all one sign.
    modulation : callable, optional
        Takes times, (n,) float64, and returns factors of the rate, (n,), at least 0.
    """

    target: str
    rate: object
    weight: object
    modulation: object = None


@dataclass(frozen=True, eq=False)
class PoissonTrains:
    """Every neuron of an input sends spikes at random times, over the connections of that input.

    Parameters
    ----------
    source : str
    rate : float
        Spikes per unit of time.
    modulation : callable, optional
        As of :class:`Poisson`.
    """

    source: str
    rate: float
    modulation: object = None


@dataclass(frozen=True, eq=False)
class SpikeTrains:
    """An input sends given spikes, over its connections.

    Parameters
    ----------
    source : str
    times : (n,) array_like
        From the start of the simulation; a spike at time t belongs to the step that ends at or after it.
    neurons : (n,) array_like of int
    """

    source: str
    times: object
    neurons: object

    @classmethod
    def of(cls, source: Any, spikes: Any) -> "SpikeTrains":
        """Take the first trial of :class:`~snnsim.spikes.Spikes`."""
        if not isinstance(spikes, Spikes) or len(spikes) != 1:
            raise InputError(f"input {source}: must be snnsim.Spikes with one trial")
        return cls(source, *spikes.trial(0))


@dataclass(frozen=True, eq=False)
class Current:
    """A current into every neuron of a population.

    Parameters
    ----------
    target : str
    value : float or (N,) array_like
        Of each neuron.
    course : callable or (n,) array_like, optional
        Factor over time: a function of times, or one number a step; from its end on 0.
    start, stop : float
        When it flows.
    """

    target: str
    value: object
    course: object = None
    start: float = 0.0
    stop: float = float("inf")


@dataclass(frozen=True, eq=False)
class Noise:
    """A current of normal numbers, each neuron its own.

    Parameters
    ----------
    target : str
    std : float or (N,) array_like
    hold : float, optional
        Time for which a number holds; a step if None.
    mean : float
    """

    target: str
    std: object
    hold: float | None = None
    mean: float = 0.0


STIMULI = {
    "poisson": Poisson,
    "poisson-trains": PoissonTrains,
    "spikes": SpikeTrains,
    "current": Current,
    "noise": Noise,
}
"""Inputs by the name that a configuration gives them."""


@dataclass
class Fixed:
    """What is the same in every piece of a run; made by :func:`fixed`."""

    poisson: np.ndarray
    tables: list
    means: np.ndarray
    lambdas: list
    modulations: list
    weights: np.ndarray
    currents: np.ndarray
    amplitudes: np.ndarray
    courses: list
    constant: np.ndarray
    trains: dict = field(default_factory=dict)


def numbers(value, size, where, sign=False, least=-np.inf):
    """One number a neuron, (size,) float64, out of one or as many.

    Raises
    ------
    InputError
        For others, or numbers that are not finite or below ``least`` (with ``sign``: of different signs).
    """
    array = one_or_each(where, value, size, least)
    if sign and array.min() < 0 < array.max():
        raise InputError(f"{where}: must be all positive or all negative")
    return np.broadcast_to(array, (size,))


def check_mean(mean, where):
    """Raise InputError if so many spikes a step are no input but a mistake."""
    if not mean <= MOST_A_STEP:
        raise InputError(f"{where}: rate: makes {mean:g} spikes in a step; must be at most {MOST_A_STEP:g}")


def thresholds(means):
    """Thresholds that :func:`~snnsim.kernels.longrun.drive.add_counts` compares with.

    Parameters
    ----------
    means : (R,) float64

    Returns
    -------
    (R, K) uint32
        K a multiple of 8; words above ``table[r, k]`` stand for more than k.
    """
    from scipy.special import pdtr, pdtrc

    most, k = float(np.max(means, initial=0)), 8
    while pdtrc(k - 1, most) > 2.0**-33:
        k += 8
    counts = np.floor(pdtr(np.arange(k), np.asarray(means, float)[:, None]) * 2.0**32)
    return (np.maximum(counts, 1) - 1).astype(np.uint32)


def series_of(function, times, where):
    """Values of a function of time, (n,) float64; refuses what is not finite or of another shape."""
    values = np.asarray(function(times), np.float64)
    if values.shape not in ((), times.shape) or not np.isfinite(values).all():
        raise InputError(f"{where}: must return one finite number for each of the times that it is given")
    return np.broadcast_to(values, times.shape)


def grid_trains(trains, size, dt):
    """Give steps and neurons of given spikes, sorted by step and neuron, (n,) int64 and (n,) int32."""
    where = f"input {trains.source}"
    times, neurons = made_array(trains.times), made_array(trains.neurons)
    if times.dtype.kind not in "iuf":
        raise InputError(f"{where}: times: must be numbers")
    times = times.astype(np.float64)
    if times.ndim != 1 or times.shape != neurons.shape:
        raise InputError(f"{where}: {times.size} times and {neurons.size} neurons must be equally many")
    if times.size and not (times.min() >= 0 and times.max() / dt < 2**53):
        raise InputError(f"{where}: times must be at least 0, and no more steps of dt = {dt:g} than can be counted")
    if neurons.size and not (neurons.dtype.kind in "iu" and neurons.min() >= 0 and neurons.max() < size):
        raise InputError(f"{where}: neurons must lie in 0..{size - 1}")
    steps = grid_steps(times, dt, np.iinfo(np.int64).max)
    order = np.lexsort((neurons, steps))
    return steps[order], neurons[order].astype(np.int32)
