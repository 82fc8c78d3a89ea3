"""Tests of max pooling with correct second derivatives."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_metaloss.layers import TwiceDifferentiableMaxPool2D


@pytest.mark.parametrize(
    ("size", "shape"), [(2, (3, 6, 8, 2)), (2, (1, 7, 5, 3)), (3, (2, 7, 9, 1))]
)
def test_values_match_keras(size, shape):
    x = np.random.default_rng(0).normal(size=shape).astype("float32")
    expected = keras.layers.MaxPooling2D(size)(x)
    layer = TwiceDifferentiableMaxPool2D(size)
    np.testing.assert_array_equal(layer(x), expected)
    assert layer.compute_output_shape(shape) == tuple(expected.shape)
    assert (
        TwiceDifferentiableMaxPool2D.from_config(layer.get_config()).pool_size == size
    )


@pytest.mark.parametrize("jit_compile", [False, True])
def test_second_derivative_of_nearly_equal_entries(jit_compile):
    # The entries 1.0 and 1.001 are equal after rounding to bfloat16.
    x = np.array([1.0, 1.001, 0.5, 0.25], "float32").reshape(1, 2, 2, 1)
    weight = tf.constant(np.array([10.0, 20.0, 30.0, 40.0], "float32").reshape(x.shape))
    layer = TwiceDifferentiableMaxPool2D()

    @tf.function(jit_compile=jit_compile)
    def second(x):
        with tf.GradientTape() as outer:
            outer.watch(x)
            with tf.GradientTape() as inner:
                inner.watch(x)
                y = tf.reduce_sum(tf.square(layer(x)) / 2)
            value = tf.reduce_sum(inner.gradient(y, x) * weight)
        return outer.gradient(value, x)

    np.testing.assert_allclose(tf.reshape(second(tf.constant(x)), [-1]), [0, 20, 0, 0])


@pytest.mark.parametrize("size", [0, -1, True, 1.5])
def test_invalid_pool_size_raises_value_error(size):
    with pytest.raises(ValueError, match="`pool_size`.*positive integer"):
        TwiceDifferentiableMaxPool2D(size)


def test_equal_entries_share_the_gradient():
    x = tf.constant(np.array([2.0, 2.0, 2.0, -np.inf], "float32").reshape(1, 2, 2, 1))
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = TwiceDifferentiableMaxPool2D()(x)
    assert y.numpy().item() == 2.0
    slope = tape.gradient(y, x)
    np.testing.assert_allclose(tf.reshape(slope, [-1]), [1 / 3, 1 / 3, 1 / 3, 0])


@pytest.mark.parametrize("dtype", ["float64", "float16", "bfloat16"])
def test_other_dtypes(dtype):
    x = tf.cast(np.random.default_rng(0).normal(size=(2, 4, 4, 3)), dtype)
    y = TwiceDifferentiableMaxPool2D(dtype=dtype)(x)
    assert y.dtype == dtype
    windows = tf.reshape(tf.cast(x, "float64"), [2, 2, 2, 2, 2, 3])
    np.testing.assert_array_equal(
        tf.cast(y, "float64"), tf.reduce_max(windows, axis=[2, 4])
    )


@pytest.mark.parametrize("shape", [(None, None, 3), (1, 4, 3), (4, 1, 3)])
def test_unknown_or_too_small_size_raises_value_error(shape):
    with pytest.raises(ValueError, match="at least 2 pixels.*Received"):
        keras.Sequential([keras.Input(shape), TwiceDifferentiableMaxPool2D()])


@pytest.mark.parametrize("jit_compile", [False, True])
def test_unknown_batch_size(jit_compile):
    layer = TwiceDifferentiableMaxPool2D()
    pool = tf.function(
        layer,
        input_signature=[tf.TensorSpec([None, 4, 6, 1])],
        jit_compile=jit_compile,
    )
    x = np.random.default_rng(0).normal(size=(3, 4, 6, 1)).astype("float32")
    np.testing.assert_array_equal(pool(x), keras.layers.MaxPooling2D(2)(x))
