"""Networks that come with the package: each is a function of its size that returns the tables of a configuration."""

from functools import partial

from snnsim.errors import InputError
from snnsim.longrun.networks.balanced import ei_network
from snnsim.longrun.networks.brunel import REGIMES, brunel
from snnsim.longrun.networks.microcircuit import microcircuit


def _checked(make):
    def made(scale=1.0):
        if not (isinstance(scale, int | float) and 0 < scale <= 1):
            raise InputError(f"scale = {scale!r}: must lie in (0, 1]")
        return make(scale)

    return made


NETWORKS = {
    "ei-network": _checked(ei_network),
    **{f"brunel-{regime}": _checked(partial(brunel, regime)) for regime in REGIMES},
    "microcircuit": _checked(microcircuit),
}
"""Functions of a share of neurons and synapses, by name."""
