"""A positive against all negatives at once."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_metaloss.checks import check_non_negative
from keras_metaloss.losses.metric.embedding_loss import (
    EmbeddingLoss,
    masked_mean,
    over_anchors,
)

__all__ = ["NPairLoss", "n_pair_loss"]


def n_pair_loss(y_true: Any, y_pred: Any, regularization: float = 0.0) -> tf.Tensor:
    """A positive against all negatives at once.

    `log(1 + sum_n exp(f_a . f_n - f_a . f_p))` in nats, for anchor a, positive p and
    all negatives n, averaged over the positives; 0 without one.

    Args:
        y_true: class numbers, `[B]`.
        y_pred: embeddings, `[B, D]`.
        regularization: weight of `||f_a||^2`.

    Returns:
        Tensor `[B]`.

    Raises:
        ValueError: if embeddings are of another rank.

    Example:

    >>> import keras_metaloss as kml
    >>> labels, embeddings = [0, 0, 1], [[1.0], [1.0], [1.0]]
    >>> kml.losses.n_pair_loss(labels, embeddings).numpy().round(4)     # ln(2)
    array([0.6931, 0.6931, 0.    ], dtype=float32)

    Reference:
        Sohn, "Improved Deep Metric Learning with Multi-class N-pair Loss Objective",
        2016, equation 7.
    """

    def anchor_losses(embeddings, positive, negative):
        similarity = tf.matmul(embeddings, embeddings, transpose_b=True)
        others = tf.reduce_logsumexp(
            tf.where(negative, similarity, similarity.dtype.min), axis=1, keepdims=True
        )
        values = masked_mean(tf.nn.softplus(others - similarity), positive, axis=1)
        lengths = tf.reduce_sum(tf.square(embeddings), axis=1)
        return values + regularization * lengths

    return over_anchors(anchor_losses, y_true, y_pred)


@keras.saving.register_keras_serializable(package="keras_metaloss")
class NPairLoss(EmbeddingLoss):
    """A positive against all negatives at once.

    `log(1 + sum_n exp(f_a . f_n - f_a . f_p))` in nats, for anchor a, positive p and
    all negatives n. The value of an anchor is the mean over its positives; 0 if it has
    none.

    Args:
        regularization: weight of `||f_a||^2`, which keeps the products from growing;
            embeddings are not brought to length 1.
        name: name of the loss.
        reduction: as in Keras.
        dtype: dtype of the computation.

    Call arguments:
        y_true: class numbers, `[B]`.
        y_pred: embeddings, `[B, D]`.

    Example:

    >>> import keras_metaloss as kml
    >>> loss = kml.losses.NPairLoss(reduction=None)
    >>> loss([0, 0, 1], [[1.0], [1.0], [1.0]]).numpy().round(4)     # ln(2)
    array([0.6931, 0.6931, 0.    ], dtype=float32)

    Reference:
        Sohn, "Improved Deep Metric Learning with Multi-class N-pair Loss Objective",
        2016, equation 7.
    """

    def __init__(
        self,
        regularization: float = 0.0,
        name: str = "n_pair_loss",
        reduction: str | None = "sum_over_batch_size",
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.regularization = check_non_negative("regularization", regularization)

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        return n_pair_loss(y_true, y_pred, self.regularization)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "regularization": self.regularization}
