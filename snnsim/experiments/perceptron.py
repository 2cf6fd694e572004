"""A multilayer perceptron with rectifiers and Adam in plain NumPy: what the same shape learns without time."""

import numpy as np

from snnsim.initialisation import initial_tensors
from snnsim.network import Network
from snnsim.optimizers import Optimizer
from snnsim.parameters import LIF


class Perceptron:
    """Fully connected layers with biases, rectifiers between them, softmax and cross-entropy.

    Parameters
    ----------
    layers : sequence of int
    seed : int
    """

    def __init__(self, layers, seed):
        self.weights = list(initial_tensors(Network.of_layers(layers, LIF()), seed=seed).values())
        self.biases = [np.zeros(n, np.float32) for n in layers[1:]]
        self.optimizer = Optimizer("adam", dict(enumerate([*self.weights, *self.biases])))

    def forward(self, x):
        """Activations of every layer, the input first; the last one are the logits."""
        activations = [x]
        for k, (w, b) in enumerate(zip(self.weights, self.biases, strict=True)):
            z = activations[-1] @ w + b
            activations.append(np.maximum(z, 0) if k < len(self.weights) - 1 else z)
        return activations

    def gradient(self, x, labels):
        """Gradients of the mean loss by weights and biases, and the losses and predictions, (B,)."""
        activations = self.forward(x)
        loss, prediction, signal = _cross_entropy(activations[-1], labels)
        signal /= len(labels)
        weights, biases = [], []
        for k in range(len(self.weights) - 1, -1, -1):
            weights.insert(0, activations[k].T @ signal)
            biases.insert(0, signal.sum(axis=0))
            if k:
                signal = (signal @ self.weights[k].T) * (activations[k] > 0)
        return dict(enumerate([*weights, *biases])), loss, prediction

    def step(self, x, labels, lr):
        """Train on a batch; mean loss and accuracy before the update."""
        gradients, loss, prediction = self.gradient(x, labels)
        self.optimizer.step(gradients, lr)
        return float(loss.mean()), float((prediction == labels).mean())

    def evaluate(self, x, labels):
        """Mean loss and accuracy."""
        loss, prediction, _ = _cross_entropy(self.forward(x)[-1], labels)
        return float(loss.mean()), float((prediction == labels).mean())


def _cross_entropy(logits, labels):
    """Loss of each sample, predicted class, and derivative of the loss by the logits."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    p = np.exp(shifted)
    total = p.sum(axis=1, keepdims=True)
    rows = np.arange(len(labels))
    loss = np.log(total[:, 0]) - shifted[rows, labels]
    p /= total
    p[rows, labels] -= 1
    return loss.astype(np.float64), logits.argmax(axis=1), p
