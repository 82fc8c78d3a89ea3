"""Implicit MAML: closed form and conjugate gradients."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

import keras_metaloss as kml
from tests.helpers.meta_models import mse_model, step_change

A = kml.adaptation


def test_implicit_gradient_matches_closed_form_of_quadratic():
    """Linear regression has a closed-form inner solution and derivative."""
    keras.config.set_floatx("float64")
    rng = np.random.default_rng(0)
    size, strength = 3, 0.7
    support_x, query_x = rng.normal(size=(2, 1, 8, size))
    support_y, query_y = rng.normal(size=(2, 1, 8, 1))

    def learner():
        layer = keras.layers.Dense(1, use_bias=False)
        return keras.Sequential([keras.Input((size,)), layer])

    adaptation = A.ImplicitMAML(400, 0.1, strength=strength, solver_steps=size + 1)
    model = mse_model(adaptation, learner)
    theta = model.learner.get_weights()[0]
    episode = {"support_x": support_x, "support_y": support_y, "query_x": query_x}
    change = step_change(model, (episode, query_y))

    hessian = 2 * support_x[0].T @ support_x[0] / 8
    system = hessian + strength * np.eye(size)
    right = 2 * support_x[0].T @ support_y[0] / 8 + strength * theta
    phi = np.linalg.solve(system, right)
    slope = 2 * query_x[0].T @ (query_x[0] @ phi - query_y[0]) / 8
    expected = -strength * np.linalg.solve(system, slope)
    np.testing.assert_allclose(change, expected.ravel(), rtol=1e-8)


def test_conjugate_gradients_converge_and_then_stay_constant():
    from keras_metaloss.adaptation.gradient_based.implicit_maml import (
        conjugate_gradients,
    )

    rng = np.random.default_rng(0)
    factor = rng.normal(size=(5, 5))
    matrix = tf.constant(factor @ factor.T + np.eye(5))
    target = tf.constant(rng.normal(size=5))
    (x,) = conjugate_gradients(lambda v: [tf.linalg.matvec(matrix, v[0])], [target], 12)
    np.testing.assert_allclose(x, np.linalg.solve(matrix, target), rtol=1e-8)
