"""Base class of terms between tasks."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

__all__ = ["InterTaskLoss"]


class InterTaskLoss:
    """Base class of the inter-task terms of `RapidGeneralizationLoss`.

    A subclass implements `call`, which computes the term from the tasks of a batch, and
    sets `representation` to the additional input that it needs.

    Attributes:
        representation: `"prediction"` for terms of losses and predictions. `"gradient"`
            for terms that need the gradients of tasks, which only `kml.MetaModel`
            supplies.

    Example:

    >>> import tensorflow as tf
    >>> import keras_metaloss as kml
    >>> class LossRange(kml.losses.InterTaskLoss):
    ...     def call(self, task_losses, y_true, y_pred, **kwargs):
    ...         return tf.reduce_max(task_losses) - tf.reduce_min(task_losses)
    >>> loss = kml.losses.RapidGeneralizationLoss("mse", LossRange(), lambda_weight=1.0)
    >>> y_true, y_pred = [[[0.0]], [[0.0]]], [[[1.0]], [[2.0]]]   # losses 1 and 4
    >>> float(loss(y_true, y_pred))                               # 2.5 + 3
    5.5
    """

    #: `"prediction"`, or `"gradient"` for terms that only `kml.MetaModel` supports.
    representation = "prediction"

    def call(
        self,
        task_losses: tf.Tensor,
        y_true: tf.Tensor,
        y_pred: tf.Tensor,
        *,
        representations: tf.Tensor | None = None,
        task_similarity: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """Computes the value of the term.

        Args:
            task_losses: Loss of each task, `[T]`.
            y_true: Targets, `[T, N, ...]`.
            y_pred: Predictions, `[T, N, ...]`.
            representations: One vector per task, `[T, D]`, supplied by `kml.MetaModel`.
                Defaults to `None`.
            task_similarity: Matrix `[T, T]` that was passed to the call of the loss.
                Defaults to `None`.

        Returns:
            A scalar, or one value per task, `[T]`.
        """
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        return {}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> InterTaskLoss:
        return cls(**config)
