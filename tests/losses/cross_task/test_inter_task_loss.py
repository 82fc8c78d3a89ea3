"""`InterTaskLoss`: custom and invalid terms."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_metaloss as kml
from tests.helpers.cross_task import Y_PRED, Y_TRUE

Loss = kml.losses.RapidGeneralizationLoss
Variance = kml.losses.TaskLossVariance
Similarity = kml.losses.TaskSimilarityLoss


@keras.saving.register_keras_serializable(package="tests")
class Distances(kml.losses.InterTaskLoss):
    """Distance of each task's mean prediction to that of all tasks."""

    def __init__(self, power=1.0):
        self.power = power

    def call(self, task_losses, y_true, y_pred, context):
        means = tf.reduce_mean(y_pred, axis=[1, 2])
        return tf.abs(means - tf.reduce_mean(means)) ** self.power

    def get_config(self):
        return {"power": self.power}


class NeedsGradients(kml.losses.InterTaskLoss):
    requires = frozenset({"task_gradients"})

    def call(self, task_losses, y_true, y_pred, context):
        return tf.reduce_sum(context.task_gradients)


def test_term_of_a_user_is_added_per_task():
    # The mean predictions are 1 and 2; the task losses are 1 and 5.
    loss = Loss("mse", Distances(2.0), 8.0, reduction=None)
    np.testing.assert_allclose(loss(Y_TRUE, Y_PRED), [1 + 8 * 0.25, 5 + 8 * 0.25])
    restored = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(loss)
    )
    np.testing.assert_array_equal(restored(Y_TRUE, Y_PRED), loss(Y_TRUE, Y_PRED))


def test_required_entry_of_the_context_is_checked():
    loss = Loss("mse", NeedsGradients(), 0.5)
    with pytest.raises(ValueError, match="kml.MetaModel"):
        loss(Y_TRUE, Y_PRED)
    gradients = tf.constant([[1.0], [3.0]])
    context = kml.losses.LossContext(task_gradients=gradients)
    assert float(loss(Y_TRUE, Y_PRED, context=context)) == 3.0 + 0.5 * 4.0


def test_base_class_has_no_term():
    with pytest.raises(NotImplementedError):
        Loss("mse", kml.losses.InterTaskLoss())(Y_TRUE, Y_PRED)


def test_invalid_inter_task_terms():
    with pytest.raises(ValueError, match="`representation`.*'features'"):
        Similarity("features")
    with pytest.raises(ValueError, match="`task_similarity`.*square"):
        Similarity(task_similarity=[[1.0, 2.0]])
    with pytest.raises(ValueError, match="`y_pred`.*task axis.*y_pred.shape=\\(3,\\)"):
        Loss("mse", Variance())(np.zeros(3), np.zeros(3))
    with pytest.raises(ValueError, match="scalar or one value per task"):
        Loss("mse", lambda losses, *_: losses[:, None])(Y_TRUE, Y_PRED)
