"""`TaskLossVariance`: masks and task weights."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

import keras_metaloss as kml
from tests.helpers.cross_task import Y_TRUE

Loss = kml.losses.RapidGeneralizationLoss
Variance = kml.losses.TaskLossVariance


def test_task_weights_with_a_mask_do_not_change_the_variance():
    y_pred = tf.constant([[[1.0], [9.0]], [[1.0], [3.0]]])
    y_pred._keras_mask = tf.constant([[True, False], [True, True]])
    loss = Loss("mse", Variance(), 0.5)  # of task losses 1 and 5
    assert float(loss(Y_TRUE, y_pred, np.array([0.0, 1.0]))) == (5.0 + 0.5 * 4.0) / 2
