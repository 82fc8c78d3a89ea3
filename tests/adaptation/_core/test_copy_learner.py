"""Copies of learners for adapted models."""

from __future__ import annotations

import keras
import numpy as np

import keras_metaloss as kml
from tests.helpers.meta_models import line_episodes


def assert_adapt_matches_call(learner):
    model = kml.MetaModel(learner, kml.adaptation.MAML(2, 0.1))
    model.compile(optimizer="sgd", loss="mse")
    x, _ = line_episodes()
    adapted = model.adapt(x["support_x"][0], x["support_y"][0])
    np.testing.assert_allclose(adapted(x["query_x"][0]), model(x)[0], atol=1e-6)


def test_adapt_keeps_layers_frozen_after_building():
    class Learner(keras.Model):
        def __init__(self):
            super().__init__()
            self.first, self.last = keras.layers.Dense(4), keras.layers.Dense(1)

        def call(self, x):
            return self.last(self.first(x))

        def get_config(self):
            return {}

    learner = Learner()
    learner(np.zeros((1, 1)))
    learner.first.trainable = False
    assert_adapt_matches_call(learner)


def test_adapt_copies_lambda_layers():
    layers = [keras.layers.Lambda(lambda t: 2 * t), keras.layers.Dense(1)]
    learner = keras.Sequential([keras.Input((1,)), *layers])
    assert_adapt_matches_call(learner)
