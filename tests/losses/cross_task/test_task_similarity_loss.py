"""`TaskSimilarityLoss`: representations and similarity of tasks."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

import keras_metaloss as kml
from tests.helpers.cross_task import plain_model, random_batch

Loss = kml.losses.RapidGeneralizationLoss
Context = kml.losses.LossContext
Similarity = kml.losses.TaskSimilarityLoss


def test_cosine_is_finite_for_zero_and_equal_predictions():
    for y_pred in (np.zeros((3, 2, 2), "float32"), np.ones((3, 2, 2), "float32")):
        y_pred = tf.constant(y_pred)
        with tf.GradientTape() as tape:
            tape.watch(y_pred)
            value = Loss("mse", Similarity(), 1.0)(np.ones((3, 2, 2)), y_pred)
        assert np.isfinite(float(value))
        assert np.isfinite(tape.gradient(value, y_pred)).all()


@pytest.mark.parametrize("matrix", [None, np.ones((4, 4))])
def test_prediction_similarity_ignores_examples_of_zero_weight(matrix):
    rng = np.random.default_rng(0)
    y_true, y_pred = rng.normal(size=(2, 4, 5, 2))
    weight = np.ones((4, 5)) * [1, 1, 2, 0, 0]
    term = kml.losses.TaskSimilarityLoss(task_similarity=matrix)
    means = y_pred[:, :3].mean(axis=1)
    expected = term.call(None, None, tf.constant(means[:, np.newaxis]), Context())
    loss = kml.losses.RapidGeneralizationLoss("mse", term, lambda_weight=1.0)
    plain = kml.losses.RapidGeneralizationLoss("mse", None, lambda_weight=1.0)
    inter = float(loss(y_true, y_pred, weight) - plain(y_true, y_pred, weight))
    assert inter == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("shape", [(), (4,), (1, 4), (3, 3)])
def test_similarity_matrix_must_match_number_of_tasks(shape):
    loss = kml.losses.RapidGeneralizationLoss("mse", kml.losses.TaskSimilarityLoss())
    y = np.zeros((4, 5, 2))
    with pytest.raises(ValueError, match="`task_similarity`.*4 tasks"):
        loss(y, y, context=Context(task_similarity=np.ones(shape)))


def test_task_similarity_passed_to_the_call():
    y_true, y_pred = random_batch()
    similarity = np.abs(np.random.default_rng(0).normal(size=(4, 4))).astype("float32")
    loss = Loss("mse", Similarity(), 1.0)
    means = y_pred.mean(axis=1)
    inter = np.mean(
        [
            similarity[i, j] * ((means[i] - means[j]) ** 2).sum()
            for i in range(4)
            for j in range(4)
            if i != j
        ]
    )
    expected = ((y_true - y_pred) ** 2).mean() + inter
    context = Context(task_similarity=similarity)
    value = float(loss(y_true, y_pred, context=context))
    assert value == pytest.approx(expected, rel=1e-5)


def test_gradient_similarity_requires_meta_model():
    model = plain_model(Loss("mse", Similarity("gradient")))
    with pytest.raises(ValueError, match="kml.MetaModel"):
        model.fit(*random_batch(), verbose=0)
