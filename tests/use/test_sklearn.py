"""The classifier in scikit-learn's hands: its own checks, cross-validation, a grid search, a pipeline."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.utils.estimator_checks import (
    check_classifiers_classes,
    check_estimator_repr,
    check_estimators_nan_inf,
    check_get_params_invariance,
    check_n_features_in,
    check_no_attributes_set_in_init,
    check_set_params,
    parametrize_with_checks,
)

import snnsim as sn
from snnsim.errors import InputError
from tests.use.data import blobs

SMALL = {"hidden": "6", "n_steps": 5, "epochs": 1, "encoder": "regular", "options": {"target_rate": 0}}


@pytest.mark.slow
@parametrize_with_checks([sn.SpikingClassifier(**SMALL)])
def test_checks_of_scikit_learn(estimator, check):
    check(estimator)


def test_an_estimator_of_scikit_learn():
    """The checks above that need no training, and those of labels and features."""
    made = sn.SpikingClassifier(**SMALL)
    for check in (check_get_params_invariance, check_set_params, check_no_attributes_set_in_init, check_estimator_repr):
        check("SpikingClassifier", made)
    for check in (check_classifiers_classes, check_n_features_in, check_estimators_nan_inf):
        check("SpikingClassifier", clone(made))


def test_cross_validation_and_a_grid():
    x, y = blobs()
    made = sn.SpikingClassifier("12", epochs=12)
    assert cross_val_score(made, x, y, cv=2).mean() > 0.8
    found = GridSearchCV(sn.SpikingClassifier("12", epochs=10), {"lr": [1e-6, 0.05]}, cv=2).fit(x, y)
    assert found.best_params_ == {"lr": 0.05}


def test_digits_in_a_pipeline():
    digits = load_digits()
    x, y = digits.data[:600], digits.target_names[digits.target[:600]]
    pipeline = make_pipeline(MinMaxScaler(), sn.SpikingClassifier("40", epochs=8))
    assert pipeline.fit(x[:500], y[:500]).score(x[500:], y[500:]) > 0.7


def test_what_only_a_model_refuses():
    x, _ = blobs()
    with pytest.raises(InputError, match=r"y: has the one class 3; must have two or more"):
        sn.SpikingClassifier().fit(x, np.full(len(x), 3))
