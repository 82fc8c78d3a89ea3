"""GradNorm steps match numerical gradients."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.optimize
import tensorflow as tf

import keras_metaloss as kml
from tests.helpers.weightings import attached, random_gradients

W = kml.losses.weighting


def test_grad_norm_steps_match_numerical_gradient(float64):
    alpha, rate = 1.5, 0.1
    weighting = attached(W.GradNorm(alpha, rate))
    gradients = random_gradients()
    history = [np.array([1.0, 2.0, 4.0]), np.array([0.5, 2.0, 1.0])]
    weights = np.ones(3)
    for losses in history:
        weighting.update(
            tf.constant(losses), products=tf.constant(gradients @ gradients.T)
        )
        norms = np.linalg.norm(gradients, axis=1)
        progress = losses / history[0]
        mean = (weights * norms).mean()
        target = mean * (progress / progress.mean()) ** alpha

        def objective(w, norms=norms, target=target):
            return np.abs(w * norms - target).sum()

        slope = scipy.optimize.approx_fprime(weights, objective, 1e-7)
        weights = weights - rate * slope / mean
        weights = 3 * weights / weights.sum()
        found = weighting.compute_weights(tf.constant(losses))
        np.testing.assert_allclose(found.shared, weights, rtol=1e-5)
        np.testing.assert_array_equal(found.shared, found.specific)


def test_grad_norm_equalizes_norms_at_equal_training_rates():
    weighting = attached(W.GradNorm(alpha=1.5, learning_rate=0.01))
    losses, norms = tf.constant([1.0, 1.0, 1.0]), np.array([0.5, 1.0, 4.0])
    update = tf.function(weighting.update)
    for _ in range(300):
        update(losses, tf.constant(np.diag(norms**2), "float32"))
    scaled = weighting.compute_weights(losses).shared * norms
    np.testing.assert_allclose(scaled, np.full(3, np.mean(scaled)), rtol=0.1)


@pytest.mark.parametrize("floor", [1e-3, 1e-6])
def test_floor_bounds_the_ratio_of_weights(floor):
    weighting = attached(W.GradNorm(0.0, learning_rate=100.0, floor=floor), 2)
    norms = np.array([1e9, 1.0], "float32")
    for _ in range(3):
        weighting.update(tf.ones(2), tf.linalg.diag(norms**2))
    weights = np.asarray(weighting.task_weights)
    assert weights.sum() == pytest.approx(2.0)
    assert floor / 4 < weights[0] / weights[1] < floor
    assert W.GradNorm.from_config(weighting.get_config()).floor == floor


def test_grad_norm_ignores_overflowing_and_missing_gradients():
    weighting = attached(W.GradNorm(learning_rate=0.1))
    losses = tf.constant([1.0, 1.0, 1.0])
    weighting.update(losses, tf.constant(np.diag([1.0, np.inf, 1.0]), "float32"))
    np.testing.assert_array_equal(weighting.task_weights, np.ones(3))
    np.testing.assert_array_equal(weighting.initial_losses, np.zeros(3))
    weighting.update(tf.constant([1.0, 0.0, 1.0]), tf.linalg.diag([1.0, 0.0, 1.0]))
    np.testing.assert_array_equal(weighting.task_weights, np.ones(3))
    np.testing.assert_array_equal(weighting.initial_losses, [1.0, 0.0, 1.0])
