"""State that a training step of `MetaModel` writes back."""

from __future__ import annotations

import keras
import numpy as np

import keras_metaloss as kml


def test_seeds_advance_and_other_integers_stay():
    normalization = keras.layers.Normalization()
    normalization.adapt(np.random.default_rng(0).normal(size=(16, 2)))
    learner = keras.Sequential(
        [
            keras.Input((2,)),
            normalization,
            keras.layers.Dropout(0.5),
            keras.layers.Dense(1),
        ]
    )
    model = kml.MetaModel(learner, kml.adaptation.MAML(1, 0.1))
    model.compile("sgd", "mse")
    integers = [v for v in learner.non_trainable_variables if "int" in v.dtype]
    before = {v.path: np.array(v) for v in integers}
    x = np.ones((3, 4, 2), "float32")
    episode = {"support_x": x, "support_y": x[..., :1], "query_x": x}
    model.fit(episode, x[..., :1], batch_size=3, epochs=2, verbose=0)
    changes = {v.path: np.array(v) - before[v.path] for v in integers}
    seeds = [change for change in changes.values() if change.shape == (2,)]
    np.testing.assert_array_equal(seeds, [[0, 2]])
    assert all(change == 0 for change in changes.values() if change.shape == ())
