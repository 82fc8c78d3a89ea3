"""MAML++: multi-step loss and annealing of derivative order."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

import keras_metaloss as kml
from tests.helpers.meta_models import (
    dense_learner,
    line_episodes,
    mse_model,
    step_change,
)

A = kml.adaptation


def test_maml_plus_plus_equals_maml_after_annealing():
    """With equal rates and only the last step's loss, MAML++ reduces to MAML."""
    episodes = line_episodes()
    keras.backend.clear_session()
    plus = mse_model(
        A.MAMLPlusPlus(2, 0.1, multi_step_updates=5, normalization="support"),
        dense_learner,
    )
    plus.adaptation.set_updates(tf.constant(5))
    np.testing.assert_allclose(plus.adaptation.outer_weights(), [0.0, 1.0])
    maml = mse_model(A.MAML(2, 0.1), dense_learner)
    expected = step_change(maml, episodes)
    actual = step_change(plus, episodes)[: len(expected)]
    np.testing.assert_allclose(actual, expected, atol=1e-6)


def test_multi_step_loss_weights_move_to_the_last_step():
    adaptation = A.MAMLPlusPlus(4, 0.1, multi_step_updates=100)
    mse_model(adaptation, dense_learner)
    np.testing.assert_allclose(adaptation.outer_weights(), [0.25] * 4)
    adaptation.set_updates(tf.constant(50))
    np.testing.assert_allclose(adaptation.outer_weights(), [0.125] * 3 + [0.625])
    adaptation.set_updates(tf.constant(99))
    least = 0.03 / 4
    expected = [least] * 3 + [1 - 3 * least]
    np.testing.assert_allclose(adaptation.outer_weights(), expected, rtol=1e-6)


def test_multi_step_loss_is_not_computed_after_annealing():
    adaptation = A.MAMLPlusPlus(2, 0.1, multi_step_updates=3)
    model = mse_model(adaptation, dense_learner)
    x, y = line_episodes(tasks=8)
    model.fit(x, y, batch_size=4, epochs=1, verbose=0)
    assert adaptation.outer_weights() is not None
    model.fit(x, y, batch_size=4, epochs=3, initial_epoch=1, verbose=0)
    assert int(adaptation.updates) == 6
    assert adaptation.outer_weights() is None


def test_first_order_updates_precede_second_order():
    episodes = line_episodes()
    settings = {"learning_rate": 0.1, "normalization": "support"}
    annealed = mse_model(
        A.MAMLPlusPlus(2, first_order_updates=1, **settings), dense_learner
    )
    first = mse_model(A.MAML(2, 0.1, first_order=True), dense_learner)
    expected = step_change(first, episodes)
    actual = step_change(annealed, episodes)[: len(expected)]
    np.testing.assert_allclose(actual, expected, atol=1e-6)
    assert int(annealed.adaptation.updates) == 1
    second = mse_model(A.MAMLPlusPlus(2, **settings), dense_learner)
    second.set_weights(annealed.get_weights())
    np.testing.assert_allclose(
        step_change(annealed, episodes), step_change(second, episodes), atol=1e-6
    )
