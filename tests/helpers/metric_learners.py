"""An episode and the logits of metric-based methods with an identity learner."""

from __future__ import annotations

import keras
import numpy as np

import keras_metaloss as kml

_rng = np.random.default_rng(0)
SUPPORT = _rng.normal(size=(1, 6, 4)).astype("float32")
CLASSES = np.array([[0, 1, 2, 2, 1, 2]])
QUERY = _rng.normal(size=(1, 5, 4)).astype("float32")
EPISODE = {"support_x": SUPPORT, "support_y": CLASSES, "query_x": QUERY}


def identity_logits(adaptation, episode=EPISODE):
    """Returns a model with an identity learner, and its logits."""
    identity = keras.layers.Dense(4, use_bias=False, kernel_initializer="identity")
    learner = keras.Sequential([keras.Input((4,)), identity])
    model = kml.MetaModel(learner, adaptation)
    return model, model(episode)[0].numpy()
