"""What losses of a batch of embeddings have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from keras_metaloss.dtypes import result_dtype, wide_dtype
from keras_metaloss.losses.class_number_loss import ClassNumbers

__all__ = [
    "EmbeddingLoss",
    "distances",
    "masked_mean",
    "over_anchors",
    "squared_distances",
]


class EmbeddingLoss(ClassNumbers, keras.losses.Loss):
    """Base class: targets are class numbers.

    With several replicas each compares the examples of its own share of a batch.
    """

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "dtype": self.dtype}


def over_anchors(
    anchor_losses: Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor],
    y_true: Any,
    y_pred: Any,
) -> tf.Tensor:
    """Loss of each example of a batch, compared with the others, `[B]`.

    Every example is an anchor in turn. Its positives are the other examples of its
    class, its negatives those of other classes.

    Args:
        anchor_losses: function of embeddings `[B, D]` and two masks `[B, B]`, whether j
            is a positive of anchor i, and whether a negative.
        y_true: class numbers, `[B]`. An example with a negative one, no label, takes no
            part.
        y_pred: embeddings, `[B, D]`.

    Raises:
        ValueError: if embeddings are of another rank, or targets no class numbers.
    """
    labels = tf.cast(keras.ops.convert_to_tensor(y_true), tf.int64)
    y_pred = keras.ops.convert_to_tensor(y_pred)
    if y_pred.shape.rank != 2:
        raise ValueError(
            "Expected embeddings of shape [B, D]. Received: "
            f"y_pred.shape={tuple(y_pred.shape)}"
        )
    is_column = labels.shape.rank == 2 and labels.shape[1] in (1, None)
    if labels.shape.rank != 1 and not is_column:
        raise ValueError(
            "Expected class numbers of shape [B]. Received: "
            f"y_true.shape={tuple(labels.shape)}"
        )
    labels = tf.reshape(labels, [-1])
    same = tf.equal(labels[:, tf.newaxis], labels)
    known = labels >= 0
    pairs = known[:, tf.newaxis] & known & ~tf.eye(tf.shape(labels)[0], dtype=tf.bool)
    values = anchor_losses(
        tf.cast(y_pred, wide_dtype(y_pred.dtype)), same & pairs, ~same & pairs
    )
    values = tf.where(known, values, tf.zeros_like(values))
    return tf.cast(values, result_dtype(y_pred.dtype))


def squared_distances(embeddings: tf.Tensor) -> tf.Tensor:
    """Squared Euclidean distances of all pairs, `[B, B]`."""
    # Distances do not change, the rounding of the products becomes smaller.
    centre = tf.stop_gradient(tf.reduce_mean(embeddings, axis=0))
    embeddings = embeddings - centre
    squares = tf.reduce_sum(tf.square(embeddings), axis=1)
    products = tf.matmul(embeddings, embeddings, transpose_b=True)
    return tf.maximum(squares[:, tf.newaxis] + squares - 2.0 * products, 0.0)


def distances(squares: tf.Tensor) -> tf.Tensor:
    """Square root whose derivative at 0 is 0 instead of infinite."""
    is_apart = squares > 0.0
    roots = tf.sqrt(tf.where(is_apart, squares, tf.ones_like(squares)))
    return tf.where(is_apart, roots, tf.zeros_like(roots))


def masked_mean(values: tf.Tensor, mask: tf.Tensor, axis: Any) -> tf.Tensor:
    """Mean of the values that the mask holds; 0 where it holds none."""
    weights = tf.cast(mask, values.dtype)
    kept = tf.where(mask, values, tf.zeros_like(values))
    return tf.math.divide_no_nan(
        tf.reduce_sum(kept, axis=axis), tf.reduce_sum(weights, axis=axis)
    )
