"""Ways: how the clock engine computes a connection's input, its gradients and the errors it passes on, one file a way.

A way takes the spikes of its source as lists and owns whatever tables and rearranged lists it wants. The engine calls

- ``begin(tensors, spikes, gain)`` once a batch;
- ``input(block, k0, k1, x)`` forward, for a block of samples and a chunk of steps;
- ``gradient(block, k0, k1, adjoint, grads)``, and ``error`` or ``error_everywhere`` backward, chunks from the last one.

``adjoint`` has ``X_k`` in row ``k - k0``, and behind the chunk those of later steps, zero from the end of the trial on.
"""

import numpy as np

from snnsim.connections import Convolution, Dense
from snnsim.engines.ways.convolution import ConvolutionWay
from snnsim.engines.ways.dense import DenseWay
from snnsim.engines.ways.synapses import SynapsesWay

__all__ = ["make_way"]


def make_way(connection, network, clock, workspace, inner=False):
    """Choose the way of a connection.

    Parameters
    ----------
    connection : Connection
    network : Network
    clock : Clock
    workspace : Workspace
    inner : bool
        Whether the connection lies inside a component.

    Returns
    -------
    Way
    """
    arguments = connection, network, clock, workspace, inner
    one_for_all = np.ndim(connection.delay) == 0
    if isinstance(connection.shape, Convolution) and one_for_all and not inner:
        return ConvolutionWay(*arguments)
    if isinstance(connection.shape, Dense) and one_for_all and (connection.shape.pool is None or not inner):
        return DenseWay(*arguments)
    # A delay a source neuron is a row a neuron where only spikes are looked at.
    by_source = np.ndim(connection.delay) == 1 and connection.shape == Dense()
    if by_source and not inner and not clock.every_step:
        return DenseWay(*arguments)
    return SynapsesWay(*arguments)
