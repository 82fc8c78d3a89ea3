"""Pairs of like embeddings together, of unlike ones a margin apart."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_metaloss.checks import check_non_negative
from keras_metaloss.dtypes import result_dtype, wide_dtype
from keras_metaloss.losses.metric.embedding_loss import (
    EmbeddingLoss,
    distances,
    masked_mean,
    over_anchors,
    squared_distances,
)

__all__ = ["ContrastiveLoss", "contrastive_loss"]


def contrastive_loss(y_true: Any, y_pred: Any, margin: float = 1.0) -> tf.Tensor:
    """Pairs of like embeddings together, of unlike ones a margin apart.

    Of a pair at Euclidean distance d, `d^2 / 2` if alike, `max(margin - d, 0)^2 / 2`
    if not.

    Args:
        y_true: 1 for a like pair, 0 for an unlike one, `[B]`; or class numbers, `[B]`.
        y_pred: the two embeddings of each pair, `[B, 2, D]`; or embeddings `[B, D]`, of
            which all pairs are used.
        margin: distance beyond which unlike pairs cost nothing.

    Returns:
        Tensor `[B]`, a value a pair; or an anchor, the mean over all others.

    Raises:
        ValueError: if embeddings are of another shape.

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

    def pair_losses(squares, alike):
        gap = tf.maximum(margin - distances(squares), 0.0)
        return 0.5 * tf.where(alike, squares, tf.square(gap))

    def anchor_losses(embeddings, positive, negative):
        values = pair_losses(squared_distances(embeddings), positive)
        return masked_mean(values, tf.logical_or(positive, negative), axis=1)

    if y_pred.shape.rank == 2 and y_pred.shape[-1] == 1:
        raise ValueError(
            "Expected embeddings, of two numbers or more, or two embeddings a pair, "
            "[B, 2, D]; not their distance, which is computed here. Received: "
            f"y_pred.shape={tuple(y_pred.shape)}"
        )
    if y_pred.shape.rank != 3:
        return over_anchors(anchor_losses, y_true, y_pred)
    if y_pred.shape[1] != 2:
        raise ValueError(
            "Expected two embeddings a pair, [B, 2, D]. Received: "
            f"y_pred.shape={tuple(y_pred.shape)}"
        )
    pairs = tf.cast(y_pred, wide_dtype(y_pred.dtype))
    squares = tf.reduce_sum(tf.square(pairs[:, 0] - pairs[:, 1]), axis=-1)
    labels = tf.cast(keras.ops.convert_to_tensor(y_true), tf.int64)
    values = pair_losses(squares, tf.equal(tf.reshape(labels, [-1]), 1))
    return tf.cast(values, result_dtype(y_pred.dtype))


@keras.saving.register_keras_serializable(package="keras_metaloss")
class ContrastiveLoss(EmbeddingLoss):
    """Pairs of like embeddings together, of unlike ones a margin apart.

    Of a pair at Euclidean distance d, `d^2 / 2` if alike, `max(margin - d, 0)^2 / 2`
    if not.

    Args:
        margin: distance beyond which unlike pairs cost nothing.
        name: name of the loss.
        reduction: as in Keras.
        dtype: dtype of the computation.

    Call arguments:
        y_true: for a Siamese network 1 for a like pair, 0 for an unlike one, `[B]`.
            Otherwise class numbers, `[B]`, and all pairs of the batch are used: the
            value of an anchor is the mean over all others.
        y_pred: the two embeddings of each pair, `[B, 2, D]`; otherwise embeddings
            `[B, D]`.

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

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        return contrastive_loss(y_true, y_pred, self.margin)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "margin": self.margin}
