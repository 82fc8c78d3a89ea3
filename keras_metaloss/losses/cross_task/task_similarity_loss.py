"""Dissimilarity of the predictions or gradients of tasks."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_metaloss.losses._core.loss_context import LossContext
from keras_metaloss.losses.cross_task.inter_task_loss import InterTaskLoss

__all__ = ["TaskSimilarityLoss"]


@keras.saving.register_keras_serializable(package="keras_metaloss")
class TaskSimilarityLoss(InterTaskLoss):
    """Dissimilarity of tasks, each represented by one vector `r_t`.

    Without a similarity matrix, the term is one minus the mean cosine over pairs of
    tasks, between 0 and 2: `inter = 1 - mean_{i != j} cos(r_i, r_j)`.

    With a similarity matrix S, the term is the graph Laplacian form, which affects only
    pairs with nonzero similarity: `inter = mean_{i != j} S_ij ||r_i - r_j||^2`.

    Both are 0 for a single task.

    Args:
        representation: Vector `r_t` of a task. `"prediction"` is the mean prediction
            over its examples. `"gradient"` is the gradient of its support loss at the
            initialization, which only `kml.MetaModel` supplies. Defaults to
            `"prediction"`.
        task_similarity: Similarity matrix S, `[T, T]`, for batches of exactly T tasks
            in a fixed order. A matrix in the context of a call takes precedence.
            Defaults to `None`.

    Call arguments:
        task_losses: Loss of each task, `[T]`. Not used.
        y_true: Targets, `[T, N, ...]`. Not used.
        y_pred: Predictions, `[T, N, ...]`.
        context: A `kml.losses.LossContext`. The vectors `r_t` are `task_gradients` for
            `"gradient"`, and `task_representations`, if present, for `"prediction"`.
            `task_similarity` replaces the matrix of the constructor.

    Returns:
        A scalar.

    Raises:
        ValueError: If `representation` is unknown, if S is not a square matrix of
            finite numbers with one row per task of the batch, or if gradients are
            required but not supplied.

    Example:

    >>> import keras_metaloss as kml
    >>> loss = kml.losses.RapidGeneralizationLoss(
    ...     "mse", kml.losses.TaskSimilarityLoss(), lambda_weight=1.0)
    >>> y = [[[1.0, 0.0]], [[0.0, 1.0]]]                  # orthogonal predictions
    >>> round(float(loss(y, y)), 4)
    1.0

    Reference:
        "Rapid generalisation loss" as task similarity; Evgeniou and Pontil,
        "Regularized multi-task learning", 2004 (Laplacian form); Shi et al., "Gradient
        Matching for Domain Generalization", 2021 (gradients).
    """

    def __init__(
        self, representation: str = "prediction", task_similarity: Any = None
    ) -> None:
        if representation not in ("prediction", "gradient"):
            raise ValueError(
                "Invalid value for argument `representation`. Expected "
                '"prediction" or "gradient". Received: '
                f"representation={representation!r}"
            )
        self.representation = representation
        if representation == "gradient":
            self.requires = frozenset({"task_gradients"})
        self.task_similarity = None
        if task_similarity is not None:
            self.task_similarity = _checked_matrix(task_similarity)

    def call(
        self,
        task_losses: tf.Tensor,
        y_true: tf.Tensor,
        y_pred: tf.Tensor,
        context: LossContext,
    ) -> tf.Tensor:
        vectors = tf.cast(self._vectors(y_pred, context), y_pred.dtype)
        task_similarity = context.task_similarity
        if task_similarity is None:
            task_similarity = self.task_similarity
        if task_similarity is None:
            unit = vectors * tf.math.rsqrt(
                tf.reduce_sum(tf.square(vectors), axis=1, keepdims=True) + 1e-12
            )
            return _mean_over_pairs(1.0 - tf.matmul(unit, unit, transpose_b=True))
        squares = tf.reduce_sum(
            tf.square(vectors[:, tf.newaxis] - vectors[tf.newaxis]), axis=-1
        )
        matrix = _check_task_count(tf.cast(task_similarity, squares.dtype), squares)
        return _mean_over_pairs(matrix * squares)

    def _vectors(self, y_pred: tf.Tensor, context: LossContext) -> tf.Tensor:
        if self.representation == "gradient":
            return context.task_gradients
        if context.task_representations is not None:
            return context.task_representations
        mean = tf.reduce_mean(y_pred, axis=1)
        return tf.reshape(mean, [tf.shape(mean)[0], -1])

    def get_config(self) -> dict[str, Any]:
        matrix = self.task_similarity
        return {
            "representation": self.representation,
            "task_similarity": None if matrix is None else matrix.tolist(),
        }


def _mean_over_pairs(values: tf.Tensor) -> tf.Tensor:
    """Returns the mean of the off-diagonal entries of `[T, T]`; 0 for one task."""
    count = tf.shape(values)[0]
    off_diagonal = values * (1.0 - tf.eye(count, dtype=values.dtype))
    pairs = tf.cast(count * (count - 1), values.dtype)
    return tf.math.divide_no_nan(tf.reduce_sum(off_diagonal), pairs)


def _check_task_count(matrix: Any, squares: tf.Tensor) -> tf.Tensor:
    """Validates that the matrix has one row and one column per task."""
    if not matrix.shape.is_compatible_with(squares.shape) or matrix.shape.rank != 2:
        raise ValueError(
            "Invalid value for argument `task_similarity`. Expected a matrix [T, T] "
            f"with one row per task of the batch, here {squares.shape[0]} tasks. "
            f"Received: task_similarity of shape {tuple(matrix.shape)}"
        )
    # If the batch size is unknown, the shape is checked at run time.
    return tf.ensure_shape(matrix, squares.shape)


def _checked_matrix(value: Any) -> np.ndarray:
    matrix = np.asarray(value, dtype=np.float64)
    square = matrix.ndim == 2 and matrix.shape[0] == matrix.shape[1]
    if not square or not np.isfinite(matrix).all():
        raise ValueError(
            "Invalid value for argument `task_similarity`. Expected a square matrix of "
            f"finite numbers. Received: task_similarity of shape {matrix.shape}"
        )
    return matrix
