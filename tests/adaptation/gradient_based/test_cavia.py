"""CAVIA: adaptation of a context vector."""

from __future__ import annotations

import numpy as np

import keras_metaloss as kml
from tests.helpers.meta_models import context_learner, line_episodes, mse_model

A = kml.adaptation


def test_outer_loop_does_not_train_the_context():
    model = mse_model(A.CAVIA(2, 0.5), context_learner)
    x, y = line_episodes()
    for _ in range(3):
        model.train_on_batch(x, y)
    context = model.learner.layers[0].context.numpy()
    np.testing.assert_array_equal(context, np.zeros(3))
    adapted = model.adapt(x["support_x"][0], x["support_y"][0])
    before, after = model.learner.get_weights(), adapted.get_weights()
    assert not np.array_equal(before[0], after[0])
    for a, b in zip(before[1:], after[1:], strict=True):
        np.testing.assert_array_equal(a, b)
