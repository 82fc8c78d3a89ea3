"""Tests of operations with correct second derivatives."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_metaloss._utils.exact_operations import (
    uses_inexact_operations,
    with_exact_operations,
)
from keras_metaloss._utils.pass_scope import PassScope


def second_derivative(layer, x, direction):
    """Computes the directional derivative of the gradient of `sum(layer(x)^3)`."""
    with tf.GradientTape() as outer:
        outer.watch(x)
        with tf.GradientTape() as inner:
            inner.watch(x)
            value = tf.reduce_sum(layer(x, training=True) ** 3)
        slope = tf.reduce_sum(inner.gradient(value, x) * direction)
    return outer.gradient(slope, x).numpy()


def numeric(layer, x, direction, step=1e-5):
    """Computes `second_derivative` by central differences of gradients."""

    def gradient(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            value = tf.reduce_sum(layer(x, training=True) ** 3)
        return tape.gradient(value, x).numpy()

    above, below = gradient(x + step * direction), gradient(x - step * direction)
    return (above - below) / (2 * step)


class Centered(keras.layers.Layer):
    """Layer of a user that calls an operation of Keras."""

    def call(self, inputs):
        mean, variance = keras_ops.moments(inputs, axes=[-1], keepdims=True)
        return (inputs - mean) / keras_ops.sqrt(variance + 1e-3)


keras_ops = keras.ops


@pytest.mark.parametrize(
    "layer",
    [
        keras.layers.LayerNormalization,
        lambda **kwargs: keras.layers.GroupNormalization(2, **kwargs),
        Centered,
    ],
    ids=["layer", "group", "custom"],
)
def test_second_derivative_of_normalization_is_correct(layer):
    rng = np.random.default_rng(0)
    x, direction = (tf.constant(rng.normal(size=(6, 8))) for _ in range(2))
    layer = layer(dtype="float64")
    model = keras.Sequential([keras.Input((8,), dtype="float64"), layer])
    expected, plain = numeric(layer, x, direction), layer(x)
    with PassScope(model):
        actual = second_derivative(layer, x, direction)
        exact = layer(x)
    assert np.abs(actual - expected).max() < 1e-6 * np.abs(expected).max()
    np.testing.assert_allclose(exact, plain, atol=1e-12)


def test_image_bias_does_not_use_bias_add():
    model = keras.Sequential([keras.Input((2, 2, 3)), keras.layers.Conv2D(3, 1)])
    model.layers[0].bias.assign([1.0, 2.0, 3.0])
    images = tf.ones([1, 2, 2, 3])

    def operations(plain_bias):
        @tf.function(autograph=False)
        def run():
            with PassScope(model, plain_bias=plain_bias):
                return model(images)

        graph = run.get_concrete_function().graph
        return run(), {op.type for op in graph.get_operations()}

    plain, with_bias_add = operations(False)
    actual, without = operations(True)
    assert "BiasAdd" in with_bias_add and "BiasAdd" not in without
    np.testing.assert_array_equal(actual, plain)


def test_functions_without_replaced_operations_stay():
    assert uses_inexact_operations(keras.layers.LayerNormalization.call)
    assert not uses_inexact_operations(keras.layers.Dropout.call)
    assert with_exact_operations(keras.layers.Dropout.call) is keras.layers.Dropout.call
