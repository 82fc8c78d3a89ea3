"""Reptile: updates and batches of the inner loop."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

import keras_metaloss as kml
from tests.helpers.meta_models import (
    classification_loss,
    conv_learner,
    dense_learner,
    image_episodes,
    line_episodes,
    mse_model,
)

A = kml.adaptation


def test_reptile_moves_towards_mean_adapted_weights():
    x, y = line_episodes()
    model = mse_model(A.Reptile(3, 0.1), dense_learner, keras.optimizers.SGD(0.5))
    start = model.learner.get_weights()
    adapted = []
    for index in range(len(y)):
        learner = keras.models.clone_model(model.learner)
        learner.set_weights(start)
        learner.compile(keras.optimizers.SGD(0.1), loss="mse")
        for _ in range(3):
            learner.train_on_batch(x["support_x"][index], x["support_y"][index])
        adapted.append(learner.get_weights())
    model.train_on_batch(x, y)
    for index, (w, new) in enumerate(
        zip(start, model.learner.get_weights(), strict=True)
    ):
        mean = np.mean([a[index] for a in adapted], axis=0)
        np.testing.assert_allclose(new, w + 0.5 * (mean - w), atol=1e-6)


def test_reptile_batches_contain_each_example_once_per_epoch():
    from keras_metaloss.adaptation.gradient_based.reptile import _Batches

    x = tf.range(6.0)[:, tf.newaxis]
    task = A.Task(x, x, x, None, None, tf.constant(3))
    batches = _Batches(task, 2, tf.constant(7))
    rounds = [
        np.concatenate([batches(tf.constant(r * 3 + k)).support_x for k in range(3)])
        for r in range(2)
    ]
    for one in rounds:
        np.testing.assert_array_equal(np.sort(one, axis=0), x)
    assert not np.array_equal(*rounds)
    other = _Batches(task, 2, tf.constant(8))
    assert not all(
        np.array_equal(
            batches(tf.constant(k)).support_x, other(tf.constant(k)).support_x
        )
        for k in range(3)
    )


def test_reptile_batches_exclude_padded_examples():
    from keras_metaloss.adaptation.gradient_based.reptile import _Batches

    x = tf.range(7.0)[:, tf.newaxis]
    mask = tf.constant([True, False, True, False, True, True, False])
    batches = _Batches(A.Task(x, x, x, mask, None, tf.constant(0)), 2, tf.constant(7))
    for r in range(3):
        drawn = [batches(tf.constant(2 * r + k)) for k in range(2)]
        rows = np.concatenate([task.support_x for task in drawn])
        np.testing.assert_array_equal(np.sort(rows[:, 0]), [0, 2, 4, 5])
        assert all(np.all(task.support_mask) for task in drawn)


def test_reptile_predictions_do_not_depend_on_task_position():
    model = kml.MetaModel(conv_learner(), A.Reptile(3, 0.1, batch_size=2))
    model.compile(loss=classification_loss(), run_eagerly=True)
    x, _ = image_episodes(tasks=3)
    turned = {k: v[::-1] for k, v in x.items()}
    np.testing.assert_allclose(model(turned)[::-1], model(x), atol=1e-6)
