"""Dissimilarity of tasks, by their predictions or gradients."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_metaloss.losses.inter_task import InterTaskLoss

__all__ = ["TaskSimilarityLoss"]


@keras.saving.register_keras_serializable(package="keras_metaloss")
class TaskSimilarityLoss(InterTaskLoss):
    """Pulls tasks towards each other in a space where each is one vector.

    Without a similarity matrix, one minus the mean cosine over pairs of tasks:
    `inter = 1 - mean_{i != j} cos(r_i, r_j)`, in [0, 2].
    With a matrix S, the graph Laplacian form, which pulls only what S calls similar:
    `inter = mean_{i != j} S_ij ||r_i - r_j||^2`.
    Either is 0 for a single task.

    Args:
        representation: what `r_t` is: `"prediction"`, the mean prediction of the task
            over its examples; `"gradient"`, the gradient of its support loss at the
            initialisation, which `kml.MetaModel` supplies.
        task_similarity: matrix S `[T, T]` for batches of exactly T tasks in a fixed
            order, or `None`. A matrix given to the call of the loss wins.

    Raises:
        ValueError: if `representation` is unknown or S is no square matrix of finite
            numbers.

    Example:

    >>> import keras_metaloss as kml
    >>> loss = kml.losses.RapidGeneralizationLoss(
    ...     "mse", kml.losses.TaskSimilarityLoss(), lambda_weight=1.0)
    >>> y = [[[1.0, 0.0]], [[0.0, 1.0]]]                  # two tasks at a right angle
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
        self.task_similarity = None
        if task_similarity is not None:
            self.task_similarity = _checked_matrix(task_similarity)

    def call(
        self, task_losses, y_true, y_pred, *, representations=None, task_similarity=None
    ):
        vectors = self._vectors(y_pred, representations)
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
        matrix = _of_the_batch(tf.cast(task_similarity, squares.dtype), squares)
        return _mean_over_pairs(matrix * squares)

    def _vectors(self, y_pred, representations):
        if representations is not None:
            return tf.cast(representations, y_pred.dtype)
        if self.representation == "prediction":
            mean = tf.reduce_mean(y_pred, axis=1)
            return tf.reshape(mean, [tf.shape(mean)[0], -1])
        raise ValueError(
            'A `TaskSimilarityLoss(representation="gradient")` needs the gradients of '
            "tasks, which only `kml.MetaModel` has: compile such a model with it, for "
            "all outputs together. Received: representations=None"
        )

    def get_config(self) -> dict[str, Any]:
        matrix = self.task_similarity
        return {
            "representation": self.representation,
            "task_similarity": None if matrix is None else matrix.tolist(),
        }


def _mean_over_pairs(values):
    """Mean of the entries off the diagonal of `[T, T]`; 0 for one task."""
    count = tf.shape(values)[0]
    off_diagonal = values * (1.0 - tf.eye(count, dtype=values.dtype))
    pairs = tf.cast(count * (count - 1), values.dtype)
    return tf.math.divide_no_nan(tf.reduce_sum(off_diagonal), pairs)


def _of_the_batch(matrix, squares):
    """The matrix, if it has a row and a column for each task."""
    if not matrix.shape.is_compatible_with(squares.shape) or matrix.shape.rank != 2:
        raise ValueError(
            "Invalid value for argument `task_similarity`. Expected a matrix [T, T], "
            f"one row a task of the batch, here of {squares.shape[0]} tasks. Received: "
            f"task_similarity of shape {tuple(matrix.shape)}"
        )
    # A batch of unknown size is looked at when it is there.
    return tf.ensure_shape(matrix, squares.shape)


def _checked_matrix(value):
    matrix = np.asarray(value, dtype=np.float64)
    square = matrix.ndim == 2 and matrix.shape[0] == matrix.shape[1]
    if not square or not np.isfinite(matrix).all():
        raise ValueError(
            "Invalid value for argument `task_similarity`. Expected a square matrix of "
            f"finite numbers. Received: task_similarity of shape {matrix.shape}"
        )
    return matrix
