"""Pairs drawn by a rule; every number is a function of the network's seed and the connection's name."""

import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from snnsim.arguments import number
from snnsim.connections.maps import size_of
from snnsim.distributions import distribution_of
from snnsim.errors import InputError
from snnsim.kernels.longrun import wiring


def key_of(seed, name):
    """Key of a connection's random numbers: two 32-bit words."""
    return int(seed) & 0xFFFFFFFF, zlib.crc32(name.encode())


def values_of(value, where):
    """Numbers of one connection as kernels draw them.

    Parameters
    ----------
    value : float or Distribution
    where : str
        Begins the message when it is neither.

    Returns
    -------
    wiring.Values
    """
    distribution = distribution_of(value, where)
    kind, a, b = distribution.parameters
    low, high = getattr(distribution, "least", -np.inf), getattr(distribution, "most", np.inf)
    return wiring.Values(wiring.PER_DRAW, np.zeros(1), kind, a, b, *distribution.probabilities, low, high)


MOST = 2**40
"""Synapses of a row or, of a fixed total, of a connection."""


class Rule:
    """What the rules have in common: a plan of rows, each with so many partners, drawn with or without repetition."""

    pool = None

    def resolved(self, source: tuple, target: tuple, name: str, seed: int, same: bool = False) -> Any:
        """Shape that a network keeps: pairs that are drawn when they are asked for.

        Parameters
        ----------
        source, target : tuple of int
            Shapes of the populations.
        name : str
        seed : int
        same : bool
            Whether source and target are one population.

        Raises
        ------
        InputError
            If the rule cannot be met.
        """
        for flag in ("multiple", "self_connections"):
            if not isinstance(getattr(self, flag, False), bool | np.bool_):
                raise InputError(f"{name}: {flag} = {getattr(self, flag)!r}: must be true or false")
        n_source, n_target, key = size_of(source), size_of(target), key_of(seed, name)
        by_source, degrees, distinct = self._degrees(n_source, n_target, same and not self.self_connections, name, key)
        n_partners, n_rows = (n_target, n_source) if by_source else (n_source, n_target)
        plan = wiring.Rule(
            by_source, wiring.DISTINCT if distinct else wiring.DRAWN, same and not self.self_connections, n_partners,
            np.asarray(degrees, np.int64).reshape(-1), np.zeros(1, np.int64), np.zeros(1, np.int32), 0, 0, *key,
        )  # fmt: skip
        return Drawn(self, plan, n_rows)

    def _whole(self, name, value, least=1):
        if not isinstance(value, int | np.integer) or isinstance(value, bool) or not least <= value <= MOST:
            raise InputError(f"{name}: {self}: must be a whole number of at least {least}, and at most {MOST}")


@dataclass(frozen=True)
class FixedInDegree(Rule):
    """Every target neuron gets so many synapses, from source neurons drawn at random.

    Parameters
    ----------
    degree : int
    multiple : bool
        Whether a pair may be joined more than once.
    self_connections : bool
        Whether a neuron may be joined to itself, where source and target are one population.
    """

    degree: int
    multiple: bool = False
    self_connections: bool = True

    def _degrees(self, n_source, n_target, skip, name, key):
        self._whole(name, self.degree)
        _check_degree(name, "in-degree", self.degree, n_source - skip, "source", self.multiple)
        return False, self.degree, not self.multiple


@dataclass(frozen=True)
class FixedOutDegree(Rule):
    """Every source neuron makes so many synapses, to target neurons drawn at random.

    Parameters
    ----------
    degree : int
    multiple, self_connections : bool
        As of :class:`FixedInDegree`.
    """

    degree: int
    multiple: bool = False
    self_connections: bool = True

    def _degrees(self, n_source, n_target, skip, name, key):
        self._whole(name, self.degree)
        _check_degree(name, "out-degree", self.degree, n_target - skip, "target", self.multiple)
        return True, np.full(n_source, self.degree), not self.multiple


@dataclass(frozen=True)
class FixedTotal(Rule):
    """So many synapses in all, each between neurons drawn at random.

    Parameters
    ----------
    number : int
    multiple, self_connections : bool
        As of :class:`FixedInDegree`.
    """

    number: int
    multiple: bool = False
    self_connections: bool = True

    def _degrees(self, n_source, n_target, skip, name, key):
        self._whole(name, self.number)
        rng, most = np.random.Generator(np.random.Philox(key=list(key))), n_target - skip
        if self.multiple and most:
            return True, rng.multinomial(self.number, np.full(n_source, 1 / n_source)), False
        if self.number > n_source * most:
            raise InputError(
                f"{name}: total number {self.number} must lie in 1..{n_source * most}, the pairs that there are, where "
                "none may be joined more than once"
            )
        return True, rng.multivariate_hypergeometric(np.full(n_source, most), self.number, method="marginals"), True


@dataclass(frozen=True)
class FixedProbability(Rule):
    """Every pair is joined with the same probability.

    Parameters
    ----------
    probability : float
    self_connections : bool
        As of :class:`FixedInDegree`.
    """

    probability: float
    self_connections: bool = True

    def _degrees(self, n_source, n_target, skip, name, key):
        if not number(f"{name}: probability", self.probability) > 0 or self.probability > 1:
            raise InputError(f"{name}: probability {self.probability} must lie in (0, 1]")
        rng = np.random.Generator(np.random.Philox(key=list(key)))
        return True, rng.binomial(n_target - skip, self.probability, n_source), True


def _check_degree(name, what, degree, most, end, multiple):
    if most < 1 or (degree > most and not multiple):
        raise InputError(
            f"{name}: {what} {degree} must lie in 1..{most}, the neurons of the {end} that can be drawn, where a pair "
            "may not be joined more than once"
        )


class Drawn:
    """Pairs that a rule draws: counted at once, listed only when they are asked for.

    Parameters
    ----------
    rule : Rule
    plan : wiring.Rule
        How each row is drawn.
    n_rows : int
    """

    pool = None

    def __init__(self, rule, plan, n_rows):
        self.rule, self.plan, self.n_rows = rule, plan, n_rows

    def __repr__(self):
        return repr(self.rule)

    @property
    def size(self):
        """How many synapses there are."""
        return int(self.plan.degree[0]) * self.n_rows if self.plan.degree.size == 1 else int(self.plan.degree.sum())

    def weight_shape(self, source: tuple, target: tuple, name: str = "") -> tuple:
        """Shape of the weights."""
        return (self.size,)

    def fan_in(self, source: tuple, target: tuple) -> float:
        """Mean number of synapses of a target neuron, at least 1."""
        return max(1.0, self.size / size_of(target))
