"""Base class and helpers of losses that compare the embeddings of a batch."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from keras_metaloss._utils.dtypes import result_dtype, wide_dtype
from keras_metaloss.losses._core.meta_loss import MetaLoss

__all__ = [
    "EmbeddingLoss",
    "distances",
    "over_anchors",
    "squared_distances",
]


class EmbeddingLoss(MetaLoss):
    """Base class for losses of embeddings with integer labels.

    Under a distribution strategy, each replica compares examples of its local batch.
    """

    integer_targets = True
    #: Replaces missing labels: negative labels are ignored, 0 would be a class.
    missing_label = -1


def over_anchors(
    anchor_losses: Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor],
    y_true: Any,
    y_pred: Any,
) -> tf.Tensor:
    """Computes one loss per example, `[B]`, with each example as the anchor.

    Positives of an anchor are the other examples of its class. Negatives are the
    examples of other classes. All values are NaN if an embedding is not finite.

    Args:
        anchor_losses: Function of embeddings `[B, D]` and two masks `[B, B]`. Entry
            `[i, j]` of the first mask is `True` if j is a positive of anchor i; the
            second mask marks the negatives.
        y_true: Integer labels, `[B]`. Examples with a negative label are ignored.
        y_pred: Embeddings, `[B, D]`.

    Raises:
        ValueError: If `y_pred` does not have rank 2, or if `y_true` does not have the
            shape of integer labels, `[B]`.
    """
    labels = tf.cast(keras.ops.convert_to_tensor(y_true), tf.int64)
    y_pred = keras.ops.convert_to_tensor(y_pred)
    if y_pred.shape.rank != 2:
        raise ValueError(
            "Invalid value for argument `y_pred`. Expected embeddings of shape [B, D]. "
            f"Received: y_pred.shape={tuple(y_pred.shape)}"
        )
    is_column = labels.shape.rank == 2 and labels.shape[1] in (1, None)
    if labels.shape.rank != 1 and not is_column:
        raise ValueError(
            "Invalid value for argument `y_true`. Expected integer labels of shape "
            f"[B]. Received: y_true.shape={tuple(labels.shape)}"
        )
    labels = tf.reshape(labels, [-1])
    same = tf.equal(labels[:, tf.newaxis], labels)
    known = labels >= 0
    pairs = known[:, tf.newaxis] & known & ~tf.eye(tf.shape(labels)[0], dtype=tf.bool)
    embeddings = tf.cast(y_pred, wide_dtype(y_pred.dtype))
    # Otherwise, NaN in the embedding of an ignored example would spread to all others.
    embeddings = tf.where(known[:, tf.newaxis], embeddings, tf.zeros_like(embeddings))
    values = anchor_losses(embeddings, same & pairs, ~same & pairs)
    values = tf.where(known, values, tf.zeros_like(values))
    # Comparisons with NaN are false. Mining would drop the pairs of an embedding that
    # is NaN, and the loss of a diverged network would look perfect.
    is_finite = tf.reduce_all(tf.math.is_finite(embeddings))
    values = tf.where(is_finite, values, tf.constant(math.nan, values.dtype))
    return tf.cast(values, result_dtype(y_pred.dtype))


def squared_distances(embeddings: tf.Tensor) -> tf.Tensor:
    """Computes squared Euclidean distances of all pairs, `[B, B]`."""
    # Centering reduces rounding errors of the products and keeps the distances.
    center = tf.stop_gradient(tf.reduce_mean(embeddings, axis=0))
    embeddings = embeddings - center
    squares = tf.reduce_sum(tf.square(embeddings), axis=1)
    products = tf.matmul(embeddings, embeddings, transpose_b=True)
    return tf.maximum(squares[:, tf.newaxis] + squares - 2.0 * products, 0.0)


def distances(squares: tf.Tensor) -> tf.Tensor:
    """Computes square roots with a derivative of 0, not infinity, at 0."""
    is_apart = squares > 0.0
    roots = tf.sqrt(tf.where(is_apart, squares, tf.ones_like(squares)))
    return tf.where(is_apart, roots, tf.zeros_like(roots))
