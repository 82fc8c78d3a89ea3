"""Compares functions used as losses with Keras."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_metaloss as kml
from keras_metaloss.losses._core.standardize import standardize_loss

rng = np.random.default_rng(0)


def square(y_true, y_pred):
    return keras.ops.square(y_true - y_pred)


@pytest.mark.parametrize("shapes", [([16], [16, 1]), ([16, 1], [16]), ([4, 2], [4, 2])])
def test_missing_axis_is_added_as_in_keras(shapes):
    y_true, y_pred = (tf.constant(rng.normal(size=s), tf.float32) for s in shapes)
    model = keras.Sequential([keras.Input(shapes[1][1:]), keras.layers.Identity()])
    model.compile(loss=square)
    expected = model.evaluate(y_pred, y_true, batch_size=16, verbose=0)
    assert float(standardize_loss("loss", square)(y_true, y_pred)) == pytest.approx(
        expected
    )


def test_other_ranks_are_passed_to_the_function():
    labels, logits = tf.constant([1, 0]), tf.constant(rng.normal(size=[2, 3]))
    function = keras.losses.sparse_categorical_crossentropy
    expected = keras.losses.SparseCategoricalCrossentropy(reduction=None)
    np.testing.assert_allclose(
        standardize_loss("loss", function).call(labels, tf.nn.softmax(logits)),
        expected(labels, tf.nn.softmax(logits)),
        rtol=1e-6,
    )


def test_function_in_ada_loss():
    y, y_pred = rng.normal(size=[16]), rng.normal(size=[16, 1])
    expected = kml.losses.AdaLoss("mse")(y, y_pred)
    assert float(kml.losses.AdaLoss(square)(y, y_pred)) == pytest.approx(
        float(expected), rel=1e-5
    )
