"""ANIL: adaptation of selected layers."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import keras_metaloss as kml
from tests.helpers.meta_models import (
    dense_learner,
    line_episodes,
    mse_model,
    step_change,
)

A = kml.adaptation


def test_anil_does_not_adapt_the_body():
    model = mse_model(A.ANIL(3, 0.1), dense_learner)
    x, _ = line_episodes()
    adapted = model.adapt(x["support_x"][0], x["support_y"][0])
    before, after = model.learner.get_weights(), adapted.get_weights()
    assert [np.array_equal(a, b) for a, b in zip(before, after, strict=True)] == [
        True,
        True,
        False,
        False,
    ]


def test_anil_rejects_duplicate_layer_names():
    inner = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4, name="head")])
    learner = keras.Sequential(
        [keras.Input((4,)), inner, keras.layers.Dense(3, name="head")]
    )
    with pytest.raises(ValueError, match="names must be unique.*not unique: .'head'"):
        kml.MetaModel(learner, A.ANIL(layers=["head"]))


def test_anil_with_all_layers_equals_maml():
    episodes = line_episodes()
    anil = mse_model(A.ANIL(2, 0.1, layers=["dense", "dense_1"]), dense_learner)
    maml = mse_model(A.MAML(2, 0.1), dense_learner)
    expected = step_change(maml, episodes)
    np.testing.assert_allclose(step_change(anil, episodes), expected, atol=1e-7)
