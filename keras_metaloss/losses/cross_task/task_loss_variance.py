"""Variance of the losses of tasks."""

from __future__ import annotations

import keras
import tensorflow as tf

from keras_metaloss.losses._core.loss_context import LossContext
from keras_metaloss.losses.cross_task.inter_task_loss import InterTaskLoss

__all__ = ["TaskLossVariance"]


@keras.saving.register_keras_serializable(package="keras_metaloss")
class TaskLossVariance(InterTaskLoss):
    """Variance of the losses of tasks: penalizes unequal performance across tasks.

    `inter = (1 / T) sum_t (l_t - mean(l))^2`, the risk variance; 0 for one task. Its
    unit is that of the squared loss.

    Input shape:
        Task losses of shape `[T]`.

    Output shape:
        A scalar.

    Example:

    >>> import keras_metaloss as kml
    >>> loss = kml.losses.RapidGeneralizationLoss(
    ...     "mse", kml.losses.TaskLossVariance(), lambda_weight=1.0)
    >>> y_true, y_pred = [[[0.0]], [[0.0]]], [[[1.0]], [[2.0]]]   # losses 1 and 4
    >>> float(loss(y_true, y_pred))                               # 2.5 + 2.25
    4.75

    Reference:
        Krueger et al., "Out-of-Distribution Generalization via Risk Extrapolation",
        2021, equation 8.
    """

    def call(
        self,
        task_losses: tf.Tensor,
        y_true: tf.Tensor,
        y_pred: tf.Tensor,
        context: LossContext,
    ) -> tf.Tensor:
        return tf.reduce_mean(tf.square(task_losses - tf.reduce_mean(task_losses)))
