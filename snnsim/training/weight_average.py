"""Exponential moving average of weights over the batches of a training (Polyak & Juditsky 1992, with a decay)."""


class WeightAverage:
    """Follows weights that an optimiser changes in place.

    Parameters
    ----------
    tensors : dict of str to ndarray
    decay : float
        In [0, 1); 0 for no average: :attr:`tensors` then are the ones that are followed.

    Attributes
    ----------
    tensors : dict of str to ndarray
        The average.
    """

    def __init__(self, tensors, decay):
        self._followed, self._decay = tensors, decay
        self.tensors = {name: w.copy() for name, w in tensors.items()} if decay else tensors

    def update(self, step):
        """Take in the weights after an optimiser's ``step``-th update.

        The decay begins at 2/11 and rises with the steps, ``min(decay, (1 + step) / (10 + step))``, as in TensorFlow's
        ``ExponentialMovingAverage``: early weights would otherwise stay in the average for long.
        """
        if not self._decay:
            return
        decay = min(self._decay, (1 + step) / (10 + step))
        for name, mean in self.tensors.items():
            now = self._followed[name]
            mean *= mean.dtype.type(decay)
            mean += mean.dtype.type(1 - decay) * now

    def set(self, tensors):
        """Begin anew with the given tensors."""
        for name, mean in self.tensors.items():
            mean[...] = tensors[name]

    def state(self):
        """Everything that a checkpoint needs."""
        return self.tensors if self._decay else {}

    def load_state(self, state):
        """Continue from :meth:`state`."""
        self.set(state or self._followed)
