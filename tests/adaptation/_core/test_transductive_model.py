"""Adapted Keras models with and without batch statistics."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from tests.helpers.meta_models import conv_model, image_episodes


@pytest.mark.parametrize("normalization", ["support", "batch", "moving", "per_step"])
def test_adapted_keras_model_predicts_like_call(normalization, tmp_path):
    model = conv_model(normalization=normalization, run_eagerly=True)
    x, y = image_episodes()
    model.fit(x, y, verbose=0)
    before = [v.numpy() for v in model.learner.variables]
    classifier = model.adapt(x["support_x"][1], x["support_y"][1])
    expected = model(x)[1]
    np.testing.assert_allclose(
        classifier.predict(x["query_x"][1], verbose=0), expected, atol=1e-6
    )
    for value, variable in zip(before, model.learner.variables, strict=True):
        np.testing.assert_array_equal(value, variable.numpy())
    classifier.save(tmp_path / "classifier.keras")
    loaded = keras.models.load_model(tmp_path / "classifier.keras")
    np.testing.assert_allclose(
        loaded.predict(x["query_x"][1], verbose=0), expected, atol=1e-6
    )
