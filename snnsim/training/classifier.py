"""A classifier with scikit-learn's interface; the rest of the package does without scikit-learn."""

from typing import Any

import numpy as np

from snnsim.errors import InputError
from snnsim.extras import install_command
from snnsim.training.model import Model

try:
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import check_is_fitted, validate_data
except ImportError as error:
    raise InputError(f"SpikingClassifier: needs scikit-learn 1.6: {install_command('sklearn')}") from error


class SpikingClassifier(ClassifierMixin, BaseEstimator):
    """A network of spiking neurons as a classifier of scikit-learn.

    Features of any range are brought to intensities in 0..1 by the range that each had in training; what lies beyond
    it later counts as its end.

    Parameters
    ----------
    hidden : str
        Layers between the features and the classes in the notation of networks, such as ``"100"`` or ``"64r-32"``;
        empty for none.
    dt : float
    n_steps : int
    neuron : LIF or another of the neurons, optional
    loss, encoder, optimizer : str or object
        As of :class:`~snnsim.training.model.Model`.
    lr : float
    engine : {"clock", "hybrid", "event"}
    estimator : {"exact", "surrogate", "tssl", "literal"}
    epochs, batch_size : int
    random_state : int
        Seed of everything random.
    options : dict, optional
        Further options of :class:`~snnsim.training.model.Model`, such as ``{"target_rate": 2}``.

    Attributes
    ----------
    classes_ : ndarray
    n_features_in_ : int
    model_ : Model
    low_, high_ : ndarray
        Range of each feature in training.
    """

    def __init__(
        self,
        hidden: str = "50",
        *,
        dt: float = 1.0,
        n_steps: int = 20,
        neuron: Any = None,
        loss: Any = "membrane-mean",
        encoder: Any = "poisson",
        optimizer: Any = "adam",
        lr: float = 0.05,
        engine: str = "clock",
        estimator: str = "exact",
        epochs: int = 20,
        batch_size: int = 20,
        random_state: int = 0,
        options: dict[str, Any] | None = None,
    ) -> None:
        self.hidden, self.dt, self.n_steps, self.neuron = hidden, dt, n_steps, neuron
        self.loss, self.encoder, self.optimizer, self.lr = loss, encoder, optimizer, lr
        self.engine, self.estimator, self.epochs, self.batch_size = engine, estimator, epochs, batch_size
        self.random_state, self.options = random_state, options

    def fit(self, X: Any, y: Any) -> "SpikingClassifier":
        """Train on features (n, D) and their labels (n,)."""
        X, y = validate_data(self, X, y)
        check_classification_targets(y)
        self.classes_, numbers = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise InputError(f"y: has the one class {self.classes_[0]}; must have two or more")
        self.low_, self.high_ = X.min(axis=0), X.max(axis=0)
        layers = "-".join(filter(None, [str(X.shape[1]), self.hidden, str(len(self.classes_))]))
        neuron = self.neuron
        if neuron is None:
            from snnsim.parameters import LIF

            neuron = LIF(tau_mem=10.0 * self.dt, tau_syn=5.0 * self.dt)
        self.model_ = Model(
            layers, dt=self.dt, n_steps=self.n_steps, neuron=neuron, loss=self.loss, encoder=self.encoder,
            optimizer=self.optimizer, lr=self.lr, engine=self.engine, estimator=self.estimator,
            seed=self.random_state, **{"target_rate": 3.0, **(self.options or {})},
        )  # fmt: skip
        self.model_.fit(
            self._intensities(X), numbers, epochs=self.epochs, batch_size=self.batch_size, progress=False
        )
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Label of each sample, (n,)."""
        check_is_fitted(self)
        X = validate_data(self, X, reset=False)
        return self.classes_[self.model_.predict(self._intensities(X))]

    def _intensities(self, values):
        span = np.where(self.high_ > self.low_, self.high_ - self.low_, 1.0)
        return np.clip((values - self.low_) / span, 0, 1)

    def __sklearn_tags__(self) -> Any:
        """Say that accuracy on data made without care for networks is not promised."""
        tags = super().__sklearn_tags__()
        tags.classifier_tags.poor_score = True
        return tags
