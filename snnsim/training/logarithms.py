"""Time constants learnt as logarithms: equal steps are equal factors, and none becomes negative."""

import numpy as np

from snnsim.neurons.base import LOGARITHMIC


class Logarithms:
    """Takes an optimiser's place for the tensors that it is to see as logarithms.

    Parameters
    ----------
    tensors : dict of str to ndarray
        That are learnt, by name.

    Attributes
    ----------
    seen : dict of str to ndarray
        What the optimiser changes: the tensors, or logarithms that :meth:`before` computes of them. They hold nothing
        between two steps, so that a checkpoint needs the tensors alone.
    """

    def __init__(self, tensors):
        self._tensors = {name: t for name, t in tensors.items() if name.rpartition(".")[2] in LOGARITHMIC}
        self.seen = tensors | {name: np.log(t) for name, t in self._tensors.items()}

    def before(self, gradients):
        """Take logarithms, and turn the gradients by the tensors into those by them, in place."""
        for name, tensor in self._tensors.items():
            np.log(tensor, out=self.seen[name])
            gradients[name] *= tensor

    def after(self):
        """Bring the tensors to what the optimiser has made of their logarithms."""
        for name, tensor in self._tensors.items():
            np.exp(self.seen[name], out=tensor)
