"""Every neuron of the source (or of its pooled map) to every neuron of the target."""

from dataclasses import dataclass

from snnsim.connections.maps import size_of
from snnsim.connections.pool import Pool


@dataclass(frozen=True)
class Dense:
    """All to all; weights ``(N_source, N_target)``.

    Parameters
    ----------
    pool : Pool, optional
        Of the source, folded into the connection; weights are then ``(N_pooled, N_target)``.
    """

    pool: Pool | None = None

    def resolved(self, source, target, name, seed):
        """Shape that a network keeps; ``source`` and ``target`` are shapes of populations."""
        self.weight_shape(source, target, name)
        return self

    def weight_shape(self, source, target, name=""):
        """Shape of the weights."""
        n_in = size_of(self.pool.output(source, name)) if self.pool else size_of(source)
        return n_in, size_of(target)

    def fan_in(self, source, target):
        """How many weights meet at a neuron."""
        return self.weight_shape(source, target)[0]
