"""Cross-entropy of the output's integrals over the trial (Nowotny, Turner & Knight 2022): ``membrane-integral``.

``Y_c = int_0^T e^{-t/tau_w} v_c dt``, ``L = -log softmax(Y)_label``; the plain integral for ``tau_w = inf``. In
continuous time the engine gives Y in closed form; on a grid it is the sum over the steps.
"""

import numpy as np

from snnsim.engines.outputs import ScoreOutput
from snnsim.errors import InputError
from snnsim.losses import LossResult


class IntegralLoss:
    """The loss, ready for batches.

    Parameters
    ----------
    tau_w : float
        Time constant of the weight, > 0; inf for the plain integral.

    Raises
    ------
    InputError
        If it is not positive.
    """

    name = "membrane-integral"

    def __init__(self, tau_w):
        if not tau_w > 0:
            raise InputError(f"loss.tau_w = {tau_w}: must be positive")
        self.tau_w = float(tau_w)

    def __call__(self, output, labels, blend=None):
        """Evaluate a batch.

        Parameters
        ----------
        output : VoltageOutput or ScoreOutput
        labels : ndarray, (B,) int64
        blend : None

        Returns
        -------
        LossResult
            Its gradient is by the membranes, (B, K, C), or by the integrals, (B, C).
        """
        if isinstance(output, ScoreOutput):
            loss, prediction, found = _cross_entropy(output.y, labels)
            return LossResult(loss, prediction, found, None)
        n = output.v.shape[1]
        times = output.duration * np.arange(1, n + 1) / n
        weight = np.exp(-times / self.tau_w) * output.duration / n
        y = np.einsum("bkc,k->bc", output.v.astype(np.float64), weight)
        loss, prediction, found = _cross_entropy(y, labels)
        gradient = (found[:, None, :] * weight[:, None]).astype(output.v.dtype)
        return LossResult(loss, prediction, gradient, None)


def _cross_entropy(y, labels):
    """Loss and prediction of each sample, and the derivative of the mean loss by the scores."""
    labels = np.asarray(labels, np.int64)
    shifted = y - y.max(1, keepdims=True)
    share = np.exp(shifted)
    share /= share.sum(1, keepdims=True)
    rows = np.arange(len(labels))
    loss = np.log(np.exp(shifted).sum(1)) - shifted[rows, labels]
    share[rows, labels] -= 1
    return loss, np.argmax(y, 1).astype(np.int64), share / max(len(labels), 1)
