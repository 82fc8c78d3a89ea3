"""Tests of the replacements of private Keras functions."""

from __future__ import annotations

import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_metaloss import _compat


def test_image_bias_does_not_use_bias_add():
    images, bias = tf.ones([1, 2, 2, 3]), tf.reshape(tf.range(3.0), [1, 1, 1, 3])

    @tf.function(autograph=False)
    def add():
        return keras.ops.add(images, bias)

    with _compat.plain_bias_of_images():
        graph = add.get_concrete_function().graph
    assert "BiasAdd" not in {op.type for op in graph.get_operations()}
    np.testing.assert_array_equal(add(), images + bias)
    assert keras.ops.add(images, 1.0).shape == images.shape


@pytest.mark.parametrize("traced", [False, True])
@pytest.mark.parametrize(
    ("activation", "expected"),
    [("softmax", True), ("sigmoid", True), ("relu", False), ("linear", False)],
)
def test_is_made_of_logits_detects_activations(activation, expected, traced):
    eager, found = tf.ones([3, 2]), []
    layer = keras.layers.Dense(2, activation)
    layer.build(eager.shape)

    def look():
        found.append(_compat.is_made_of_logits(layer(eager)))
        # Captured eager tensors have no operation in the graph.
        found.append(_compat.is_made_of_logits(eager))

    tf.function(look)() if traced else look()
    assert found == [expected, False]


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


@pytest.mark.parametrize(
    "layer",
    [
        keras.layers.BatchNormalization,
        keras.layers.LayerNormalization,
        lambda **kwargs: keras.layers.GroupNormalization(2, **kwargs),
    ],
    ids=["batch", "layer", "group"],
)
def test_second_derivative_of_normalization_is_correct(layer):
    rng = np.random.default_rng(0)
    x, direction = (tf.constant(rng.normal(size=(6, 8))) for _ in range(2))
    layer = layer(dtype="float64")
    layer(x)
    expected = numeric(layer, x, direction)
    with _compat.exact_moments():
        actual = second_derivative(layer, x, direction)
    assert np.abs(actual - expected).max() < 1e-6 * np.abs(expected).max()


def test_exact_moments_restores_the_function():
    before = keras.src.backend.nn.moments
    with pytest.raises(RuntimeError), _compat.exact_moments():
        raise RuntimeError
    assert keras.src.backend.nn.moments is before


def test_unsupported_backend_raises():
    code = """if True:
        import keras
        keras.backend.backend = lambda: "jax"
        try:
            import keras_metaloss
        except ImportError as error:
            assert isinstance(error, ValueError)
            raise
    """
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True
    )
    assert result.returncode != 0
    assert "BackendError" in result.stderr and "KERAS_BACKEND" in result.stderr
    assert "Received: keras.backend.backend()='jax'" in result.stderr
