"""Meta-SGD: trained learning rates."""

from __future__ import annotations

import numpy as np

import keras_metaloss as kml
from tests.helpers.meta_models import dense_learner, line_episodes, mse_model

A = kml.adaptation


def test_meta_sgd_initially_equals_maml_and_trains_rates():
    x, y = line_episodes()
    meta_sgd = mse_model(A.MetaSGD(1, 0.1), dense_learner)
    maml = mse_model(A.MAML(1, 0.1), dense_learner)
    np.testing.assert_allclose(meta_sgd(x), maml(x), atol=1e-7)
    meta_sgd.train_on_batch(x, y)
    assert all(np.ptp(rate.numpy()) > 0 for rate in meta_sgd.adaptation.rates[:3])
