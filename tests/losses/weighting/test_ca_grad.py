"""CAGrad's solution of the problem in the paper equals that of SciPy."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

import keras_metaloss as kml
from tests.helpers.weightings import (
    attached,
    minimize_on_simplex,
    random_gradients,
    shared_and_specific_weights,
)

W = kml.losses.weighting


@pytest.mark.parametrize("c", [0.1, 0.5, 2.0])
@pytest.mark.parametrize("count", [2, 3, 6])
@pytest.mark.parametrize("conflict", [False, True])
def test_cagrad_matches_scipy(float64, c, count, conflict):
    gradients = random_gradients(count, 7, seed=count, conflict=conflict)
    mean = gradients.mean(axis=0)
    length = c * np.linalg.norm(mean)

    def dual(w):
        return w @ gradients @ mean + length * np.linalg.norm(w @ gradients)

    best = minimize_on_simplex(dual, count)
    turn = best.x @ gradients
    expected = mean + length * turn / np.linalg.norm(turn)
    found = shared_and_specific_weights(
        attached(W.CAGrad(c), count), np.ones(count), gradients
    )
    direction = found.shared.numpy() @ gradients
    np.testing.assert_allclose(direction, expected, atol=2e-5 * np.abs(expected).max())
    # The constraint of the primal problem holds and the duality gap is zero.
    assert np.linalg.norm(direction - mean) <= length * (1 + 1e-9)
    assert (gradients @ direction).min() == pytest.approx(best.fun, rel=1e-6)
    np.testing.assert_allclose(found.specific, np.full(count, 1 / count))


@pytest.mark.parametrize("c", [0.5, 1.5, 3.0])
def test_cagrad_satisfies_constraint_for_canceling_gradients(c):
    gradients = np.array([[1.0, 1e-4], [-2.0, 1e-4]])
    products = tf.constant(gradients @ gradients.T, tf.float32)
    found = attached(W.CAGrad(c), 2).compute_weights(tf.ones([2]), products)
    mean = gradients.mean(axis=0)
    turn = found.shared.numpy().astype(float) @ gradients - mean
    assert np.linalg.norm(turn) <= c * np.linalg.norm(mean) * (1 + 1e-2)


def test_cagrad_with_zero_radius_is_the_mean():
    found = shared_and_specific_weights(
        attached(W.CAGrad(0.0)), np.ones(3), random_gradients(conflict=True)
    )
    np.testing.assert_allclose(found.shared, np.full(3, 1 / 3))
