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


@keras.saving.register_keras_serializable(package="tests")
class Table(keras.layers.Layer):
    """Layer with integer variables of the shape of a seed."""

    def build(self, input_shape):
        self.offset = self.add_weight(
            shape=(2,), dtype="int32", initializer="ones", trainable=False
        )

    def call(self, inputs):
        return inputs + keras.ops.cast(self.offset, inputs.dtype)


def test_integer_variables_with_the_shape_of_a_seed_stay():
    learner = keras.Sequential([keras.Input((2,)), Table(), keras.layers.Dense(1)])
    model = kml.MetaModel(learner, kml.adaptation.MAML(1, 0.1))
    model.compile("sgd", "mse")
    x = np.ones((3, 4, 2), "float32")
    episode = {"support_x": x, "support_y": x[..., :1], "query_x": x}
    model.fit(episode, x[..., :1], verbose=0)
    np.testing.assert_array_equal(learner.layers[0].offset, [1, 1])
    adapted = model.adapt(x[0], x[0, :, :1])
    expected = model.predict(episode, verbose=0)[0]
    np.testing.assert_allclose(adapted.predict(x[0], verbose=0), expected, rtol=1e-5)
