"""Whatever the parts of a network are given: taken, or refused in one line; never an error from inside."""

import contextlib

import numpy as np
import pytest

from snnsim import distributions
from snnsim.connections import (
    Convolution,
    Dense,
    FixedInDegree,
    FixedOutDegree,
    FixedProbability,
    FixedTotal,
    Pairs,
    Pool,
    Sparse,
)
from snnsim.errors import LONGEST, InputError
from snnsim.network import Network
from snnsim.neurons import LIF, MODELS

VALUES = (
    *(np.nan, np.inf, -np.inf, -1, 0, 1.5, 1e300, 2**31, 2**70, 10**400, "x", "1", b"x", None, True, 1 + 1j, object()),
    *(
        [1, 2],
        [],
        [np.nan],
        [[1]],
        [[1], [2, 3]],
        (3,),
        {},
        {1},
        np.array([1 + 1j]),
        np.float16(2),
        np.arange(3.0) * 1e9,
    ),
)


def net(source=4, target=6):
    network = Network()
    network.input("input", source)
    network.population("hidden", target, LIF())
    return network


def connect(*arguments, source=4, target=6, **more):
    return net(source, target).connect("input", "hidden", *arguments, **more)


MAPS = {"source": (1, 5, 5), "target": (2, 5, 5)}
NEURONS = tuple(MODELS.values())
GIVEN = {"mean": 0.0, "std": 1.0, "mu": 0.0, "sigma": 1.0, "low": 0.0, "high": 1.0}
DRAWN = {distributions.Normal: ("mean", "std", "low", "high"), distributions.Lognormal: ("mu", "sigma", "low", "high"),
         distributions.Uniform: ("low", "high")}  # fmt: skip
PLACES = {
    "size of an input": lambda v: Network().input("i", v),
    "kind of an input": lambda v: Network().input("i", 3, v),
    "size": lambda v: Network().population("i", v, LIF()),
    "neuron": lambda v: Network().population("i", 3, v),
    "bias": lambda v: Network().population("i", 3, LIF(), bias=v),
    "seed": lambda v: Network(seed=v),
    "source": lambda v: net().connect(v, "hidden"),
    "shape": connect,
    **{key: lambda v, key=key: connect(**{key: v}) for key in ("weight", "delay", "name", "learn")},
    **{rule.__name__: lambda v, rule=rule: connect(rule(v))
       for rule in (FixedInDegree, FixedOutDegree, FixedProbability, FixedTotal)},
    "kernel": lambda v: connect(Convolution(v), **MAPS),
    "stride": lambda v: connect(Convolution(3, v), **MAPS),
    "padding": lambda v: connect(Convolution(3, 1, v), **MAPS),
    "pool": lambda v: connect(Dense(v)),
    "size of a pool": lambda v: connect(Dense(Pool(v))),
    "kind of a pool": lambda v: connect(Dense(Pool(2, v))),
    "pre": lambda v: connect(Pairs(v, [0, 1])),
    "post": lambda v: connect(Pairs([0, 1], v)),
    "indptr": lambda v: connect(Sparse(v, [0, 1])),
    "indices": lambda v: connect(Sparse([0, 1, 2, 2, 2], v)),
    **{f"{kind.__name__}.{key}": lambda v, kind=kind, key=key: kind(**{key: v})
       for kind in NEURONS for key in kind.__dataclass_fields__},
    **{f"{kind.__name__}.{key}": lambda v, kind=kind, key=key, keys=keys: kind(**{k: GIVEN[k] for k in keys} | {key: v})
       for kind, keys in DRAWN.items() for key in keys},
    "Clipped.of": lambda v: distributions.Clipped(v, 0, 1),
    "Clipped.least": lambda v: distributions.Clipped(distributions.Normal(0, 1), v, 1),
}  # fmt: skip


@pytest.mark.parametrize("place", PLACES)
def test_any_value_is_taken_or_refused_in_one_line(place):
    for value in VALUES:
        with contextlib.suppress(InputError):
            PLACES[place](value)


def test_neurons_beyond_int32_are_not_others():
    """Cut to 32 bits, the first would be neuron 0."""
    with pytest.raises(InputError, match=r"indices: from 4294967296 to 4294967296: must lie in 0\.\.2147483647"):
        Sparse([0, 1, 1, 1, 1], np.array([2**32]))


def test_messages_are_one_line_of_a_screen():
    error = InputError(f"neurons {np.arange(10**4).reshape(100, 100)!r}\r\n end")
    assert "\n" not in str(error)
    assert "\r" not in str(error)
    error = InputError(f"file: holds {'1' * 5000}: must be less")
    assert len(str(error)) < LONGEST + 10
    assert str(error).startswith("file: holds 1")
    assert str(error).endswith("1: must be less")


def test_what_no_engine_takes_is_named_by_its_kind():
    from snnsim.parameters import scheme_coefficients

    with pytest.raises(InputError, match=r"^LIF: must be LIF or LI") as error:
        scheme_coefficients(LIF(t_ref=np.linspace(1, 2, 3000)), 0.1)
    assert len(str(error.value)) < 300
