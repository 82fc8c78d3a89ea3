"""What a term between tasks is: per-task quantities in, one number out."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

__all__ = ["InterTaskLoss"]


class InterTaskLoss:
    """Base class of the terms that `RapidGeneralizationLoss` adds between tasks.

    A subclass says in `call` what it makes of the tasks of a batch, and in
    `representation` what it needs beside losses and predictions.
    """

    #: `"prediction"`, or `"gradient"` for a term that only `kml.MetaModel` can feed.
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
        """The value of the term.

        Args:
            task_losses: loss of each task, `[T]`.
            y_true: targets, `[T, N, ...]`.
            y_pred: predictions, `[T, N, ...]`.
            representations: `[T, D]`, given by `kml.MetaModel`, or `None`.
            task_similarity: `[T, T]`, given with a direct call of the loss, or `None`.

        Returns:
            A scalar, or one value a task `[T]`.
        """
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        return {}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> InterTaskLoss:
        return cls(**config)
