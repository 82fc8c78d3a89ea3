"""Compares distances with scikit-learn and NumPy."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn.metrics import pairwise_distances

from keras_metaloss.adaptation import distances

rng = np.random.default_rng(0)
A, B = rng.normal(size=(4, 3)), rng.normal(size=(5, 3))


def test_squared_euclidean():
    expected = pairwise_distances(A, B, "sqeuclidean")
    actual = distances.SquaredEuclidean(dtype="float64")(A, B)
    np.testing.assert_allclose(actual, expected, rtol=1e-12)


def test_scale_of_squared_euclidean():
    expected = 0.5 * pairwise_distances(A, B, "sqeuclidean")
    layer = distances.SquaredEuclidean(0.5, dtype="float64")
    restored = distances.SquaredEuclidean.from_config(layer.get_config())
    np.testing.assert_allclose(restored(A, B), expected, rtol=1e-12)
    with pytest.raises(ValueError, match="`scale`.*scale=-1"):
        distances.SquaredEuclidean(-1.0)


@pytest.mark.parametrize("name", ["SquaredEuclidean", "Cosine", "Mahalanobis"])
def test_mixed_precision_policy_keeps_float32_distances(name):
    keras.config.set_dtype_policy("mixed_float16")
    far = tf.constant([[600.0, 0.0]], tf.float16)
    actual = getattr(distances, name)()(far, -far)
    assert actual.dtype == "float32"
    assert np.isfinite(actual).all()


def test_squared_euclidean_of_equal_points_is_non_negative():
    points = (1e4 + rng.normal(size=(6, 3))).astype("float32")
    assert (distances.SquaredEuclidean()(points, points).numpy() >= 0).all()


def test_cosine():
    expected = 2.5 * pairwise_distances(A, B, "cosine")
    actual = distances.Cosine(2.5, dtype="float64")(A, B)
    np.testing.assert_allclose(actual, expected, rtol=1e-12)


def test_cosine_value_and_gradient_of_zero_vector_are_finite():
    zero = tf.zeros([1, 3])
    layer = distances.Cosine(1.0)
    with tf.GradientTape() as tape:
        tape.watch(zero)
        value = layer(zero, tf.constant(B, tf.float32))
    np.testing.assert_allclose(value, np.ones((1, 5)))
    assert np.isfinite(tape.gradient(value, zero)).all()


def test_cosine_scale_is_trainable_unless_frozen():
    free, frozen = distances.Cosine(), distances.Cosine(1.0, trainable=False)
    for layer in (free, frozen):
        layer(A, B)
    assert len(free.trainable_variables) == 1
    assert not frozen.trainable_variables


def test_mahalanobis_matches_scikit_learn():
    layer = distances.Mahalanobis(dtype="float64")
    np.testing.assert_allclose(
        layer(A, B), pairwise_distances(A, B, "sqeuclidean"), rtol=1e-6
    )
    layer.factor.assign(rng.normal(size=(3, 3)))
    lower = layer.lower_factor().numpy()
    matrix = lower @ lower.T
    assert (np.linalg.eigvalsh(matrix) > 0).all()
    inverse = np.linalg.inv(matrix)
    expected = pairwise_distances(A, B, "mahalanobis", VI=np.linalg.inv(inverse)) ** 2
    np.testing.assert_allclose(layer(A, B), expected, rtol=1e-9)


@pytest.mark.parametrize("name", ["squared_euclidean", "cosine", "mahalanobis"])
def test_batched_distances_match_single_distances(name):
    layer = distances.get(name)
    a = rng.normal(size=(2, 4, 3)).astype("float32")
    b = rng.normal(size=(2, 5, 3)).astype("float32")
    together = layer(a, b)
    for index in range(2):
        np.testing.assert_allclose(
            together[index], layer(a[index], b[index]), atol=1e-5
        )


def test_get_returns_layers_and_rejects_unknown_names():
    layer = keras.layers.Layer()
    assert distances.get(layer) is layer
    with pytest.raises(ValueError, match="`distance`"):
        distances.get("manhattan")
