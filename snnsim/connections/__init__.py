"""Connections: one file a shape. Each says which neurons it joins, how large its weights are, and how a clock sums it.

A new shape is a file here and an entry in :data:`SHAPES`.
"""

from snnsim.connections.convolution import Convolution
from snnsim.connections.dense import Dense
from snnsim.connections.one_to_one import OneToOne
from snnsim.connections.pool import Pool
from snnsim.connections.rules import FixedInDegree, FixedOutDegree, FixedProbability, FixedTotal
from snnsim.connections.sparse import Pairs, Sparse

SHAPES = {
    "dense": Dense,
    "convolution": Convolution,
    "sparse": Sparse,
    "fixed-in-degree": FixedInDegree,
    "fixed-out-degree": FixedOutDegree,
    "fixed-total": FixedTotal,
    "fixed-probability": FixedProbability,
    "pairs": Pairs,
    "one-to-one": OneToOne,
}
"""Shapes by the name that a configuration gives them."""

__all__ = [
    "SHAPES",
    "Convolution",
    "Dense",
    "FixedInDegree",
    "FixedOutDegree",
    "FixedProbability",
    "FixedTotal",
    "OneToOne",
    "Pairs",
    "Pool",
    "Sparse",
]
