"""The ridge head matches scikit-learn."""

from __future__ import annotations

import numpy as np
from sklearn.linear_model import Ridge

import keras_metaloss as kml
from tests.helpers.metric_learners import CLASSES, QUERY, SUPPORT, identity_logits

A = kml.adaptation


def test_ridge_head_matches_scikit_learn():
    _, actual = identity_logits(A.MetaOptNet(strength=2.0, scale=3.0))
    ridge = Ridge(alpha=2.0, fit_intercept=False)
    ridge.fit(SUPPORT[0], np.eye(3)[CLASSES[0]])
    np.testing.assert_allclose(actual, 3.0 * ridge.predict(QUERY[0]), rtol=1e-4)
