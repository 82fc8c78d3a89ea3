"""A positive nearer to the anchor than a negative, by a margin."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_metaloss.checks import check_non_negative
from keras_metaloss.losses.metric.embedding_loss import (
    EmbeddingLoss,
    distances,
    masked_mean,
    squared_distances,
)

__all__ = ["TripletLoss"]


@keras.saving.register_keras_serializable(package="keras_metaloss")
class TripletLoss(EmbeddingLoss):
    """A positive nearer to the anchor than a negative, by a margin.

    `max(d(a, p) - d(a, n) + margin, 0)` for anchor a, positive p and negative n. The
    value of an anchor is the mean over the triplets that `mining` takes, satisfied ones
    included; 0 if it has none.

    Args:
        margin: how much nearer.
        mining: `"all"` triplets of the batch; `"hard"`: the farthest positive and the
            nearest negative; `"semi-hard"`: for each positive the nearest negative that
            is farther than it, or the farthest negative if none is. Memory grows with
            B^3, for `"hard"` with B^2.
        distance: `"euclidean"`, or its square, `"squared"`, for embeddings of length 1
            as in FaceNet.
        name: name of the loss.
        reduction: as in Keras.
        dtype: dtype of the computation.

    Call arguments:
        y_true: class numbers, `[B]`.
        y_pred: embeddings, `[B, D]`.

    Example:

    >>> import keras_metaloss as kml
    >>> loss = kml.losses.TripletLoss(margin=1.0, mining="hard", reduction=None)
    >>> loss([0, 0, 1], [[0.0], [1.0], [3.0]]).numpy()
    array([0., 0., 0.], dtype=float32)
    >>> loss([0, 0, 1], [[0.0], [2.0], [3.0]]).numpy()
    array([0., 2., 0.], dtype=float32)

    Reference:
        Schroff et al., "FaceNet", 2015, equation 3 (semi-hard, squared distance);
        Hermans et al., "In Defense of the Triplet Loss", 2017, equations 5, 7.
    """

    def __init__(
        self,
        margin: float = 1.0,
        mining: str = "semi-hard",
        distance: str = "euclidean",
        name: str = "triplet_loss",
        reduction: str | None = "sum_over_batch_size",
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.margin = check_non_negative("margin", margin)
        for argument, value, allowed in (
            ("mining", mining, ("all", "hard", "semi-hard")),
            ("distance", distance, ("euclidean", "squared")),
        ):
            if value not in allowed:
                raise ValueError(
                    f"Invalid value for argument `{argument}`. Expected one of "
                    f"{list(allowed)}. Received: {argument}={value!r}"
                )
        self.mining = mining
        self.distance = distance

    def anchor_losses(self, embeddings, positive, negative):
        apart = squared_distances(embeddings)
        if self.distance == "euclidean":
            apart = distances(apart)
        if self.mining == "hard":
            farthest = _extreme(tf.reduce_max, apart, positive)
            nearest = _extreme(tf.reduce_min, apart, negative)
            values = tf.maximum(farthest - nearest + self.margin, 0.0)
            is_triplet = _any(positive) & _any(negative)
            return tf.where(is_triplet, values, tf.zeros_like(values))
        to_positive, to_negative = apart[:, :, tf.newaxis], apart[:, tf.newaxis, :]
        is_negative = tf.broadcast_to(
            negative[:, tf.newaxis, :], tf.shape(to_positive + to_negative)
        )
        if self.mining == "all":
            values = tf.maximum(to_positive - to_negative + self.margin, 0.0)
            is_triplet = tf.logical_and(positive[:, :, tf.newaxis], is_negative)
            return masked_mean(values, is_triplet, axis=[1, 2])
        is_farther = tf.logical_and(is_negative, to_negative > to_positive)
        wide = tf.broadcast_to(to_negative, tf.shape(is_farther))
        chosen = tf.where(
            _any(is_farther),
            _extreme(tf.reduce_min, wide, is_farther),
            _extreme(tf.reduce_max, wide, is_negative),
        )
        values = tf.maximum(apart - chosen + self.margin, 0.0)
        is_triplet = tf.logical_and(positive, _any(negative)[:, tf.newaxis])
        return masked_mean(values, is_triplet, axis=1)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "margin": self.margin,
            "mining": self.mining,
            "distance": self.distance,
        }


def _extreme(reduce, values, mask):
    """Largest or smallest of the values in the mask; 0 if there is none."""
    filler = values.dtype.min if reduce is tf.reduce_max else values.dtype.max
    found = reduce(tf.where(mask, values, filler), axis=-1)
    return tf.where(_any(mask), found, tf.zeros_like(found))


def _any(mask):
    return tf.reduce_any(mask, axis=-1)
