"""Exponential moving average of weights over the batches of a training (Polyak & Juditsky 1992, with a decay)."""


class WeightAverage:
    """Follows weights that an optimiser changes in place.

    Parameters
    ----------
    weights : list of ndarray
    decay : float
        In [0, 1); 0 for no average: :attr:`weights` then are the ones that are followed.

    Attributes
    ----------
    weights : list of ndarray
        The average.
    """

    def __init__(self, weights, decay):
        self._followed, self._decay = weights, decay
        self.weights = [w.copy() for w in weights] if decay else weights

    def update(self, step):
        """Take in the weights after an optimiser's ``step``-th update.

        The decay begins at 2/11 and rises with the steps, ``min(decay, (1 + step) / (10 + step))``, as in TensorFlow's
        ``ExponentialMovingAverage``: early weights would otherwise stay in the average for long.
        """
        if not self._decay:
            return
        decay = min(self._decay, (1 + step) / (10 + step))
        for mean, now in zip(self.weights, self._followed, strict=True):
            mean *= mean.dtype.type(decay)
            mean += mean.dtype.type(1 - decay) * now

    def set(self, weights):
        """Begin anew with the given weights."""
        for mean, other in zip(self.weights, weights, strict=True):
            mean[:] = other

    def state(self):
        """Everything that a checkpoint needs."""
        return self.weights if self._decay else []

    def load_state(self, state):
        """Continue from :meth:`state`."""
        self.set(state or self._followed)
