"""Distributions that weights, delays and first membranes are drawn from."""

import math
from dataclasses import dataclass

import numpy as np

from snnsim.arguments import number
from snnsim.dynamics.distributions import CONSTANT, LOGNORMAL, NORMAL, UNIFORM, quantile
from snnsim.errors import InputError

INFINITE = float("inf")


class Distribution:
    """A distribution of numbers; values outside ``low`` to ``high`` are drawn again."""

    low, high = -INFINITE, INFINITE

    def _check(self, *names, positive=None):
        for name in names:
            number(f"{self}: {name}", getattr(self, name))
        if positive is not None:
            number(f"{self}: {positive}", getattr(self, positive), above=0)
        _check_bounds(self, "low", "high")
        if not self.probabilities[0] < self.probabilities[1]:
            raise InputError(f"{self}: has no values between {self.low} and {self.high}")

    def below(self, x: np.ndarray) -> np.ndarray:
        """Probability of a value below x, given that it lies between the bounds; ndarray of the shape of x."""
        low, high = self.probabilities
        return np.clip((self._below(np.asarray(x, float)) - low) / (high - low), 0, 1)

    @property
    def probabilities(self) -> np.ndarray:
        """Where the bounds lie in the distribution without them."""
        low, high = (float(self._below(np.asarray(x, float))) for x in (self.low, self.high))
        return low, high

    def drawn(self, uniform: np.ndarray) -> np.ndarray:
        """Values of uniform numbers in (0, 1), float64."""
        low, high = self.probabilities
        kind, a, b = self.parameters
        return np.array([quantile(kind, a, b, low + u * (high - low)) for u in np.asarray(uniform, float)])


def _check_bounds(distribution, low, high):
    """Refuse bounds that are no numbers, infinite ones aside, or not in order."""
    for name in (low, high):
        value = getattr(distribution, name)
        if not isinstance(value, float | np.floating) or not math.isinf(value):
            number(f"{distribution}: {name}", value)
    least, most = getattr(distribution, low), getattr(distribution, high)
    if not least < most:
        raise InputError(f"{distribution}: {low} = {least}: must lie below {high} = {most}")


@dataclass(frozen=True)
class Normal(Distribution):
    """Normal distribution.

    Parameters
    ----------
    mean, std : float
    low, high : float
        Values outside are drawn again.
    """

    mean: float
    std: float
    low: float = -INFINITE
    high: float = INFINITE

    def __post_init__(self):
        self._check("mean", positive="std")

    @property
    def parameters(self) -> tuple:
        """Kind and parameters, as kernels take them."""
        return NORMAL, float(self.mean), float(self.std)

    def _below(self, x):
        from scipy.special import ndtr

        return ndtr((x - self.mean) / self.std)


@dataclass(frozen=True)
class Lognormal(Distribution):
    """Numbers whose logarithm is normal.

    Parameters
    ----------
    mu, sigma : float
        Mean and standard deviation of the logarithm.
    low, high : float
        Values outside are drawn again.
    """

    mu: float
    sigma: float
    low: float = 0.0
    high: float = INFINITE

    def __post_init__(self):
        self._check("mu", positive="sigma")

    @property
    def parameters(self) -> tuple:
        """Kind and parameters, as kernels take them."""
        return LOGNORMAL, float(self.mu), float(self.sigma)

    def _below(self, x):
        from scipy.special import ndtr

        with np.errstate(divide="ignore"):
            return ndtr((np.log(np.maximum(x, 0)) - self.mu) / self.sigma)


@dataclass(frozen=True)
class Uniform(Distribution):
    """Equally likely numbers between two.

    Parameters
    ----------
    low, high : float
    """

    low: float
    high: float

    def __post_init__(self):
        self._check("low", "high")

    @property
    def parameters(self) -> tuple:
        """Kind and parameters, as kernels take them."""
        return UNIFORM, float(self.low), float(self.high)

    def _below(self, x):
        return np.clip((x - self.low) / (self.high - self.low), 0, 1)


@dataclass(frozen=True)
class Clipped(Distribution):
    """Another distribution, whose values beyond the bounds are moved to them.

    Parameters
    ----------
    of : Distribution
    least, most : float
    """

    of: Distribution
    least: float = -INFINITE
    most: float = INFINITE

    def __post_init__(self):
        if not isinstance(self.of, Distribution):
            raise InputError(f"Clipped: {self.of!r}: must be a distribution")
        _check_bounds(self, "least", "most")

    @property
    def parameters(self) -> tuple:
        """Kind and parameters, as kernels take them."""
        return self.of.parameters

    @property
    def probabilities(self) -> np.ndarray:
        """Where the bounds of the other distribution lie."""
        return self.of.probabilities

    def below(self, x: np.ndarray) -> np.ndarray:
        """Probability of a value below x; see :meth:`Distribution.below`."""
        x = np.asarray(x, float)
        return np.where(x <= self.least, 0.0, np.where(x > self.most, 1.0, self.of.below(x)))

    def drawn(self, uniform: np.ndarray) -> np.ndarray:
        """Values of uniform numbers in (0, 1), float64."""
        return np.clip(self.of.drawn(uniform), self.least, self.most)


@dataclass(frozen=True)
class Fixed(Distribution):
    """One number."""

    value: float

    def __post_init__(self):
        number("value", self.value)

    @property
    def parameters(self) -> tuple:
        """Kind and parameters, as kernels take them."""
        return CONSTANT, float(self.value), 0.0

    @property
    def probabilities(self) -> np.ndarray:
        """All of it."""
        return 0.0, 1.0

    def below(self, x: np.ndarray) -> np.ndarray:
        """1 above the number, else 0."""
        return (np.asarray(x, float) > self.value).astype(float)

    def drawn(self, uniform: np.ndarray) -> np.ndarray:
        """Return the number, as often as asked for."""
        return np.full(np.shape(uniform), float(self.value))


DISTRIBUTIONS = {"normal": Normal, "lognormal": Lognormal, "uniform": Uniform, "clipped": Clipped}
"""Distributions by the name that a configuration gives them."""


def distribution_of(value, where):
    """Take a number or a distribution as a distribution; ``where`` begins the message when it is neither."""
    if isinstance(value, Distribution):
        return value
    if isinstance(value, int | float | np.number) and not isinstance(value, bool):
        if not math.isfinite(value):
            raise InputError(f"{where} = {value}: must be a finite number")
        return Fixed(float(value))
    raise InputError(f"{where} = {value!r}: must be a number or a distribution")
