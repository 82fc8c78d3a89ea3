"""Focal losses as functions."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_metaloss as kml


@pytest.mark.parametrize("gamma", [-1.0, "x", None])
def test_functions_validate_gamma(gamma):
    with pytest.raises(ValueError, match="`gamma`"):
        kml.losses.categorical_focal_loss([[1.0, 0.0]], [[0.5, 0.5]], gamma=gamma)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_gamma_may_be_a_tensor(dtype):
    """Compares the derivative by gamma with finite differences."""
    random = np.random.default_rng(0)
    logits = tf.constant(random.normal(size=(5, 3, 4)), dtype)
    labels = tf.constant(random.integers(0, 4, (5, 3)))
    hot = tf.one_hot(labels, 4, dtype=dtype)
    for function, targets in (
        (kml.losses.sparse_categorical_focal_loss, labels),
        (kml.losses.categorical_focal_loss, hot),
        (kml.losses.binary_focal_loss, hot),
    ):

        def total(gamma, function=function, targets=targets):
            return tf.reduce_sum(function(targets, logits, gamma, from_logits=True))

        gamma = keras.Variable(1.3, dtype="float32")
        with tf.GradientTape() as tape:
            value = total(gamma)
        slope = float(tape.gradient(value, gamma.value))
        step = 1e-2 if dtype == "float32" else 1e-4
        differences = float(total(1.3 + step) - total(1.3 - step)) / (2 * step)
        assert slope == pytest.approx(differences, rel=1e-3)
        assert float(value) == pytest.approx(float(total(1.3)), rel=1e-6)
        with pytest.raises(ValueError, match=r"`gamma`.*shape \(4,\)"):
            total(tf.ones([4], dtype))


def test_example_without_a_batch_axis():
    value = kml.losses.sparse_categorical_focal_loss(1, [0.5, 0.5], gamma=1.0)
    assert float(value) == pytest.approx(np.log(2) / 2, rel=1e-6)


def test_binary_alpha_along_another_axis():
    rng = np.random.default_rng(0)
    y_true, y_pred = rng.integers(0, 2, (3, 2, 4)), rng.random((3, 2, 4))
    last = kml.losses.binary_focal_loss(
        y_true.swapaxes(1, 2), y_pred.swapaxes(1, 2), alpha=[0.1, 0.9]
    )
    value = kml.losses.binary_focal_loss(y_true, y_pred, alpha=[0.1, 0.9], axis=1)
    np.testing.assert_allclose(value, last, rtol=1e-6)
