"""N-pair loss of embeddings."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_metaloss._utils.checks import check_non_negative
from keras_metaloss._utils.masks import masked_mean
from keras_metaloss.losses._core.loss_context import LossContext
from keras_metaloss.losses.embedding._embedding_loss import (
    EmbeddingLoss,
    over_anchors,
)

__all__ = ["NPairLoss", "n_pair_loss"]


def n_pair_loss(y_true: Any, y_pred: Any, regularization: float = 0.0) -> tf.Tensor:
    """Computes the N-pair loss of embeddings.

    `log(1 + sum_n exp(f_a . f_n - f_a . f_p))` in nats for anchor a, positive p and
    all negatives n, averaged over the positives of the anchor; 0 without positives.

    Args:
        y_true: Integer labels, `[B]`. Examples with a negative label are ignored.
        y_pred: Embeddings, `[B, D]`; not normalized to unit length.
        regularization: Weight of the penalty `||f_a||^2`, which keeps the inner
            products small. Defaults to `0.0`.

    Returns:
        One value per anchor, `[B]`.

    Raises:
        ValueError: If `y_pred` does not have rank 2.

    Example:

    >>> import keras_metaloss as kml
    >>> labels, embeddings = [0, 0, 1], [[1.0], [1.0], [1.0]]
    >>> kml.losses.n_pair_loss(labels, embeddings).numpy().round(4)     # ln(2)
    array([0.6931, 0.6931, 0.    ], dtype=float32)

    Reference:
        Sohn, "Improved Deep Metric Learning with Multi-class N-pair Loss Objective",
        2016, equation 7.
    """

    def anchor_losses(
        embeddings: tf.Tensor, positive: tf.Tensor, negative: tf.Tensor
    ) -> tf.Tensor:
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
    """N-pair loss: compares each positive with all negatives.

    `log(1 + sum_n exp(f_a . f_n - f_a . f_p))` in nats for anchor a, positive p and
    all negatives n. The value of an anchor is the mean over its positives; 0 without
    positives.

    Args:
        regularization: Weight of the penalty `||f_a||^2`, which keeps the inner
            products small: embeddings are not normalized to unit length. Defaults to
            `0.0`.
        name: Name of the loss. Defaults to `"n_pair_loss"`.
        reduction: Type of reduction to apply to the loss: `"sum_over_batch_size"`,
            `"sum"`, `"mean"`, `"mean_with_sample_weight"` or `None`. Defaults to
            `"sum_over_batch_size"`.
        dtype: Dtype of the loss computation. Defaults to `None`, which uses
            `keras.config.floatx()`.

    Call arguments:
        y_true: Integer labels, `[B]`. Examples with a negative label are ignored.
        y_pred: Embeddings, `[B, D]`.
        sample_weight: Optional weights, broadcastable to `[B]`.

    Raises:
        ValueError: If `regularization` is negative, or if `y_pred` does not have rank
            2.

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

    def values(
        self, y_true: tf.Tensor, y_pred: tf.Tensor, context: LossContext
    ) -> tf.Tensor:
        return n_pair_loss(y_true, y_pred, self.regularization)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "regularization": self.regularization}
