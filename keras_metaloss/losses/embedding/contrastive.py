"""Contrastive loss of pairs of embeddings."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_metaloss._utils.checks import check_non_negative
from keras_metaloss._utils.dtypes import result_dtype, wide_dtype
from keras_metaloss._utils.masks import masked_mean
from keras_metaloss.losses._core.loss_context import LossContext
from keras_metaloss.losses.embedding._embedding_loss import (
    EmbeddingLoss,
    distances,
    over_anchors,
    squared_distances,
)

__all__ = ["ContrastiveLoss", "contrastive_loss"]


def contrastive_loss(y_true: Any, y_pred: Any, margin: float = 1.0) -> tf.Tensor:
    """Computes the contrastive loss of pairs of embeddings.

    For a pair at Euclidean distance d: `d^2 / 2` if both belong to the same class,
    `max(margin - d, 0)^2 / 2` otherwise.

    Args:
        y_true: 1 for pairs of the same class, 0 otherwise, `[B]`; or integer labels,
            `[B]`, for embeddings of shape `[B, D]`. Examples with a negative label are
            ignored.
        y_pred: The two embeddings of each pair, `[B, 2, D]`; or embeddings `[B, D]`, of
            which all pairs are used.
        margin: Distance at which pairs of different classes have zero loss. Defaults
            to `1.0`.

    Returns:
        One value per pair, `[B]`; or one value per anchor, `[B]`, the mean over its
        pairs with all other embeddings.

    Raises:
        ValueError: If the shape of `y_pred` is neither `[B, 2, D]` nor `[B, D]` with D
            greater than 1.

    Example:

    >>> import keras_metaloss as kml
    >>> pairs = [[[0.0], [0.5]], [[0.0], [0.5]]]
    >>> kml.losses.contrastive_loss([1, 0], pairs).numpy()
    array([0.125, 0.125], dtype=float32)

    Reference:
        Hadsell et al., "Dimensionality Reduction by Learning an Invariant Mapping",
        2006, equation 4.
    """
    y_pred = keras.ops.convert_to_tensor(y_pred)

    def pair_losses(squares: tf.Tensor, same_class: tf.Tensor) -> tf.Tensor:
        gap = tf.maximum(margin - distances(squares), 0.0)
        return 0.5 * tf.where(same_class, squares, tf.square(gap))

    def anchor_losses(
        embeddings: tf.Tensor, positive: tf.Tensor, negative: tf.Tensor
    ) -> tf.Tensor:
        values = pair_losses(squared_distances(embeddings), positive)
        return masked_mean(values, tf.logical_or(positive, negative), axis=1)

    if y_pred.shape.rank == 2 and y_pred.shape[-1] == 1:
        raise ValueError(
            "Invalid value for argument `y_pred`. Expected embeddings [B, D] with D "
            "greater than 1, or two embeddings per pair, [B, 2, D]. Do not pass "
            "distances: the loss computes them. Received: "
            f"y_pred.shape={tuple(y_pred.shape)}"
        )
    if y_pred.shape.rank != 3:
        return over_anchors(anchor_losses, y_true, y_pred)
    if y_pred.shape[1] != 2:
        raise ValueError(
            "Invalid value for argument `y_pred`. Expected two embeddings per pair, "
            f"[B, 2, D]. Received: y_pred.shape={tuple(y_pred.shape)}"
        )
    pairs = tf.cast(y_pred, wide_dtype(y_pred.dtype))
    squares = tf.reduce_sum(tf.square(pairs[:, 0] - pairs[:, 1]), axis=-1)
    labels = tf.cast(keras.ops.convert_to_tensor(y_true), tf.int64)
    values = pair_losses(squares, tf.equal(tf.reshape(labels, [-1]), 1))
    return tf.cast(values, result_dtype(y_pred.dtype))


@keras.saving.register_keras_serializable(package="keras_metaloss")
class ContrastiveLoss(EmbeddingLoss):
    """Contrastive loss of pairs of embeddings.

    For a pair at Euclidean distance d: `d^2 / 2` if both belong to the same class,
    `max(margin - d, 0)^2 / 2` otherwise.

    Given integer labels and embeddings `[B, D]`, the loss uses all pairs of the batch:
    the value of an example is the mean over its pairs with all others. Examples with a
    negative label are ignored.

    Args:
        margin: Distance at which pairs of different classes have zero loss. Defaults
            to `1.0`.
        name: Name of the loss. Defaults to `"contrastive_loss"`.
        reduction: Type of reduction to apply to the loss: `"sum_over_batch_size"`,
            `"sum"`, `"mean"`, `"mean_with_sample_weight"` or `None`. Defaults to
            `"sum_over_batch_size"`.
        dtype: Dtype of the loss computation. Defaults to `None`, which uses
            `keras.config.floatx()`.

    Call arguments:
        y_true: For pairs (Siamese networks), 1 for the same class and 0 otherwise,
            `[B]`; for embeddings, integer labels, `[B]`.
        y_pred: The two embeddings of each pair, `[B, 2, D]`; or embeddings, `[B, D]`.
        sample_weight: Optional weights, broadcastable to `[B]`.

    Raises:
        ValueError: If `margin` is negative, or if the shape of `y_pred` is neither
            `[B, 2, D]` nor `[B, D]` with D greater than 1.

    Example:

    >>> import keras_metaloss as kml
    >>> loss = kml.losses.ContrastiveLoss(margin=1.0, reduction=None)
    >>> loss([1, 0], [[[0.0], [0.5]], [[0.0], [0.5]]]).numpy()
    array([0.125, 0.125], dtype=float32)

    Reference:
        Hadsell et al., "Dimensionality Reduction by Learning an Invariant Mapping",
        2006, equation 4.
    """

    def __init__(
        self,
        margin: float = 1.0,
        name: str = "contrastive_loss",
        reduction: str | None = "sum_over_batch_size",
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.margin = check_non_negative("margin", margin)

    def values(
        self, y_true: tf.Tensor, y_pred: tf.Tensor, context: LossContext
    ) -> tf.Tensor:
        return contrastive_loss(y_true, y_pred, self.margin)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "margin": self.margin}
