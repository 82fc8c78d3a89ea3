"""Base class of inter-task terms."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from keras_metaloss.losses._core.loss_context import LossContext

__all__ = ["InterTaskLoss"]


class InterTaskLoss:
    """Base class of the inter-task terms of `RapidGeneralizationLoss`.

    A subclass implements `call`, which computes the term from the tasks of a batch, and
    sets `requires` if it needs entries of the context.

    Attributes:
        requires: Names of the entries of `kml.losses.LossContext` that the term
            requires, for example `frozenset({"task_gradients"})`, which
            `kml.MetaModel` supplies.

    Example:

    >>> import tensorflow as tf
    >>> import keras_metaloss as kml
    >>> class LossRange(kml.losses.InterTaskLoss):
    ...     def call(self, task_losses, y_true, y_pred, context):
    ...         return tf.reduce_max(task_losses) - tf.reduce_min(task_losses)
    >>> loss = kml.losses.RapidGeneralizationLoss("mse", LossRange(), lambda_weight=1.0)
    >>> y_true, y_pred = [[[0.0]], [[0.0]]], [[[1.0]], [[2.0]]]   # losses 1 and 4
    >>> float(loss(y_true, y_pred))                               # 2.5 + 3
    5.5
    """

    requires: frozenset[str] = frozenset()

    def call(
        self,
        task_losses: tf.Tensor,
        y_true: tf.Tensor,
        y_pred: tf.Tensor,
        context: LossContext,
    ) -> tf.Tensor:
        """Computes the value of the term.

        Args:
            task_losses: Loss of each task, `[T]`.
            y_true: Targets, `[T, N, ...]`.
            y_pred: Predictions, `[T, N, ...]`.
            context: Gradients, representations or similarity of the tasks; see
                `kml.losses.LossContext`.

        Returns:
            A scalar, or one value per task, `[T]`.
        """
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        return {}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> InterTaskLoss:
        return cls(**config)
