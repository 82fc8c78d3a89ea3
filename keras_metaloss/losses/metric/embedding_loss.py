"""What losses of a batch of embeddings have in common."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_metaloss.losses.class_number_loss import ClassNumbers

__all__ = ["EmbeddingLoss", "distances", "masked_mean", "squared_distances"]


class EmbeddingLoss(ClassNumbers, keras.losses.Loss):
    """Base class: `anchor_losses` gets masks of positives and negatives.

    Every example is an anchor in turn. Its positives are the other examples of its
    class, its negatives those of other classes; an anchor that lacks what the loss
    compares has loss 0.
    """

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        if y_pred.shape.rank != 2:
            raise ValueError(
                f"Expected embeddings of shape [B, D]. Received: "
                f"y_pred.shape={tuple(y_pred.shape)}"
            )
        dtype = tf.float64 if y_pred.dtype == tf.float64 else tf.float32
        labels = tf.reshape(y_true, [-1])
        same = tf.equal(labels[:, tf.newaxis], labels)
        others = tf.logical_not(tf.eye(tf.shape(labels)[0], dtype=tf.bool))
        values = self.anchor_losses(
            tf.cast(y_pred, dtype),
            tf.logical_and(same, others),
            tf.logical_not(same),
        )
        return tf.cast(values, y_pred.dtype)

    def anchor_losses(
        self, embeddings: tf.Tensor, positive: tf.Tensor, negative: tf.Tensor
    ) -> tf.Tensor:
        """Loss of each anchor, `[B]`.

        Args:
            embeddings: `[B, D]`.
            positive: `[B, B]`, whether j is a positive of anchor i.
            negative: `[B, B]`, whether j is a negative of anchor i.
        """
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "dtype": self.dtype}


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
