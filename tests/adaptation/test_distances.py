"""Distances, against scikit-learn and numpy."""

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
    twin = distances.SquaredEuclidean.from_config(layer.get_config())
    np.testing.assert_allclose(twin(A, B), expected, rtol=1e-12)
    with pytest.raises(ValueError, match="`scale`.*scale=-1"):
        distances.SquaredEuclidean(-1.0)


@pytest.mark.parametrize("name", ["SquaredEuclidean", "Cosine", "Mahalanobis"])
def test_computed_in_full_precision_under_a_mixed_policy(name):
    keras.config.set_dtype_policy("mixed_float16")
    far = tf.constant([[600.0, 0.0]], tf.float16)
    actual = getattr(distances, name)()(far, -far)
    assert actual.dtype == "float32"
    assert np.isfinite(actual).all()


def test_squared_euclidean_is_not_negative_for_equal_points():
    points = (1e4 + rng.normal(size=(6, 3))).astype("float32")
    assert (distances.SquaredEuclidean()(points, points).numpy() >= 0).all()


def test_cosine():
    expected = 2.5 * pairwise_distances(A, B, "cosine")
    actual = distances.Cosine(2.5, dtype="float64")(A, B)
    np.testing.assert_allclose(actual, expected, rtol=1e-12)


def test_cosine_of_a_zero_vector_is_finite_with_finite_gradient():
    zero = tf.zeros([1, 3])
    layer = distances.Cosine(1.0)
    with tf.GradientTape() as tape:
        tape.watch(zero)
        value = layer(zero, tf.constant(B, tf.float32))
    np.testing.assert_allclose(value, np.ones((1, 5)))
    assert np.isfinite(tape.gradient(value, zero)).all()


def test_scale_of_cosine_is_trained_unless_frozen():
    free, frozen = distances.Cosine(), distances.Cosine(1.0, trainable=False)
    for layer in (free, frozen):
        layer(A, B)
    assert len(free.trainable_variables) == 1
    assert not frozen.trainable_variables


def test_mahalanobis_is_that_of_its_matrix():
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
def test_batches_are_taken_apart(name):
    layer = distances.get(name)
    a = rng.normal(size=(2, 4, 3)).astype("float32")
    b = rng.normal(size=(2, 5, 3)).astype("float32")
    together = layer(a, b)
    for index in range(2):
        np.testing.assert_allclose(
            together[index], layer(a[index], b[index]), atol=1e-5
        )


def test_get():
    layer = keras.layers.Layer()
    assert distances.get(layer) is layer
    with pytest.raises(ValueError, match="`distance`"):
        distances.get("manhattan")
