"""Triplet loss of embeddings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from keras_metaloss._utils.checks import check_choice, check_non_negative
from keras_metaloss._utils.masks import masked_mean
from keras_metaloss.losses._core.loss_context import LossContext
from keras_metaloss.losses.embedding._embedding_loss import (
    EmbeddingLoss,
    distances,
    over_anchors,
    squared_distances,
)

__all__ = ["TripletLoss", "triplet_loss"]

_MINING = ("all", "hard", "semi-hard")
_DISTANCES = ("euclidean", "squared")


def triplet_loss(
    y_true: Any,
    y_pred: Any,
    margin: float = 1.0,
    mining: str = "semi-hard",
    distance: str = "euclidean",
) -> tf.Tensor:
    """Computes the triplet loss of embeddings.

    `max(d(a, p) - d(a, n) + margin, 0)` for anchor a, positive p and negative n,
    averaged over the triplets that `mining` selects; 0 without triplets.

    Args:
        y_true: Integer labels, `[B]`. Examples with a negative label are ignored.
        y_pred: Embeddings, `[B, D]`.
        margin: Required difference between the two distances. Defaults to `1.0`.
        mining: `"all"`: all triplets of the batch. `"hard"`: the farthest positive and
            the nearest negative. `"semi-hard"`: for each positive, the nearest
            negative that is farther than the positive, or the farthest negative if
            there is none. Memory grows with B^2, for `"all"` with B^3. Defaults to
            `"semi-hard"`.
        distance: `"euclidean"`, or `"squared"` for its square, which FaceNet uses with
            embeddings of unit length. Defaults to `"euclidean"`.

    Returns:
        One value per anchor, `[B]`.

    Raises:
        ValueError: If `mining` or `distance` is unknown, or if `y_pred` does not have
            rank 2.

    Example:

    >>> import keras_metaloss as kml
    >>> embeddings = [[0.0], [2.0], [3.0]]
    >>> kml.losses.triplet_loss([0, 0, 1], embeddings, mining="hard").numpy()
    array([0., 2., 0.], dtype=float32)

    Reference:
        Schroff et al., "FaceNet", 2015, equation 3 (semi-hard, squared distance);
        Hermans et al., "In Defense of the Triplet Loss", 2017, equations 5, 7.
    """
    check_choice("mining", mining, _MINING)
    check_choice("distance", distance, _DISTANCES)
    select_triplets = {"all": _all, "hard": _hard, "semi-hard": _semi_hard}[mining]

    def anchor_losses(
        embeddings: tf.Tensor, positive: tf.Tensor, negative: tf.Tensor
    ) -> tf.Tensor:
        gaps = squared_distances(embeddings)
        if distance == "euclidean":
            gaps = distances(gaps)
        return select_triplets(gaps, positive, negative, margin)

    return over_anchors(anchor_losses, y_true, y_pred)


def _hard(
    gaps: tf.Tensor, positive: tf.Tensor, negative: tf.Tensor, margin: float
) -> tf.Tensor:
    farthest = _extreme(tf.reduce_max, gaps, positive)
    nearest = _extreme(tf.reduce_min, gaps, negative)
    values = tf.maximum(farthest - nearest + margin, 0.0)
    is_triplet = _any(positive) & _any(negative)
    return tf.where(is_triplet, values, tf.zeros_like(values))


def _all(
    gaps: tf.Tensor, positive: tf.Tensor, negative: tf.Tensor, margin: float
) -> tf.Tensor:
    values = gaps[:, :, tf.newaxis] - gaps[:, tf.newaxis, :] + margin
    is_triplet = positive[:, :, tf.newaxis] & negative[:, tf.newaxis, :]
    return masked_mean(tf.maximum(values, 0.0), is_triplet, axis=[1, 2])


def _semi_hard(
    gaps: tf.Tensor, positive: tf.Tensor, negative: tf.Tensor, margin: float
) -> tf.Tensor:
    ordered = tf.sort(tf.where(negative, gaps, gaps.dtype.max), axis=1)
    nearest = tf.searchsorted(ordered, tf.stop_gradient(gaps), side="right")
    # If no negative is farther than the positive, the farthest negative is used.
    last = tf.math.count_nonzero(negative, axis=1, keepdims=True, dtype=tf.int32) - 1
    nearest = tf.minimum(nearest, tf.maximum(last, 0))
    chosen = tf.gather(ordered, nearest, batch_dims=1)
    values = tf.maximum(gaps - chosen + margin, 0.0)
    is_triplet = positive & _any(negative)[:, tf.newaxis]
    return masked_mean(values, is_triplet, axis=1)


@keras.saving.register_keras_serializable(package="keras_metaloss")
class TripletLoss(EmbeddingLoss):
    """Triplet loss: positives are closer to the anchor than negatives by a margin.

    `max(d(a, p) - d(a, n) + margin, 0)` for anchor a, positive p and negative n. The
    value of an anchor is the mean over the triplets that `mining` selects, including
    triplets with zero loss; 0 without triplets.

    Args:
        margin: Required difference between the two distances. Defaults to `1.0`.
        mining: `"all"`: all triplets of the batch. `"hard"`: the farthest positive and
            the nearest negative. `"semi-hard"`: for each positive, the nearest
            negative that is farther than the positive, or the farthest negative if
            there is none. Memory grows with B^2, for `"all"` with B^3. Defaults to
            `"semi-hard"`.
        distance: `"euclidean"`, or `"squared"` for its square, which FaceNet uses with
            embeddings of unit length. Defaults to `"euclidean"`.
        name: Name of the loss. Defaults to `"triplet_loss"`.
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
        ValueError: If `mining` or `distance` is unknown, if `margin` is negative, or if
            `y_pred` does not have rank 2.

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
        self.mining = check_choice("mining", mining, _MINING)
        self.distance = check_choice("distance", distance, _DISTANCES)

    def values(
        self, y_true: tf.Tensor, y_pred: tf.Tensor, context: LossContext
    ) -> tf.Tensor:
        return triplet_loss(y_true, y_pred, self.margin, self.mining, self.distance)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "margin": self.margin,
            "mining": self.mining,
            "distance": self.distance,
        }


def _extreme(
    reduce: Callable[..., tf.Tensor], values: tf.Tensor, mask: tf.Tensor
) -> tf.Tensor:
    """Returns the largest or smallest value in the mask; 0 for an empty mask."""
    filler = values.dtype.min if reduce is tf.reduce_max else values.dtype.max
    extreme = reduce(tf.where(mask, values, filler), axis=-1)
    return tf.where(_any(mask), extreme, tf.zeros_like(extreme))


def _any(mask: tf.Tensor) -> tf.Tensor:
    return tf.reduce_any(mask, axis=-1)
