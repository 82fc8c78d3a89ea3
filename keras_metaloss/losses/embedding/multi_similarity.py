"""Multi-similarity loss of embeddings."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_metaloss._utils.checks import check_non_negative
from keras_metaloss.losses._core.loss_context import LossContext
from keras_metaloss.losses.embedding._embedding_loss import EmbeddingLoss, over_anchors

__all__ = ["MultiSimilarityLoss", "multi_similarity_loss"]


def multi_similarity_loss(
    y_true: Any,
    y_pred: Any,
    alpha: float = 2.0,
    beta: float = 50.0,
    base: float = 0.5,
    epsilon: float = 0.1,
) -> tf.Tensor:
    """Computes the multi-similarity loss of embeddings.

    `1/a log(1 + sum_p exp(-a (S_p - base))) + 1/b log(1 + sum_n exp(b (S_n - base)))`
    for an anchor, where S is its cosine similarity to the other examples. The sums are
    over positives p with `S_p < max_n S_n + epsilon` and negatives n with
    `S_n > min_p S_p - epsilon`. Anchors without positives or without negatives have
    loss 0.

    Args:
        y_true: Integer labels, `[B]`. Examples with a negative label are ignored.
        y_pred: Embeddings, `[B, D]`; normalized to unit length by the loss.
        alpha: `a`, sharpness of the weighting of positives; greater than 0. Defaults
            to `2.0`.
        beta: `b`, sharpness of the weighting of negatives; greater than 0. Defaults to
            `50.0`.
        base: Similarity that separates positives from negatives. Defaults to `0.5`.
        epsilon: Margin of the pair mining. Defaults to `0.1`.

    Returns:
        One value per anchor, `[B]`.

    Raises:
        ValueError: If `y_pred` does not have rank 2, or if `alpha` or `beta` is not
            positive.

    Example:

    >>> import keras_metaloss as kml
    >>> labels, embeddings = [0, 0, 1], [[1.0, 0.0], [1.0, 0.0], [1.0, 0.0]]
    >>> loss = kml.losses.multi_similarity_loss(labels, embeddings, 1.0, 1.0, base=1.0)
    >>> loss.numpy().round(4)                                       # 2 ln(2)
    array([1.3863, 1.3863, 0.    ], dtype=float32)

    Reference:
        Wang et al., "Multi-Similarity Loss with General Pair Weighting for Deep Metric
        Learning", 2019, equations 11, 12, 15.
    """
    alpha, beta = _positive("alpha", alpha), _positive("beta", beta)

    def anchor_losses(
        embeddings: tf.Tensor, positive: tf.Tensor, negative: tf.Tensor
    ) -> tf.Tensor:
        unit = tf.math.l2_normalize(embeddings, axis=1)
        similarity = tf.matmul(unit, unit, transpose_b=True)
        low, high = similarity.dtype.min, similarity.dtype.max
        hardest_negative = tf.reduce_max(
            tf.where(negative, similarity, low), axis=1, keepdims=True
        )
        hardest_positive = tf.reduce_min(
            tf.where(positive, similarity, high), axis=1, keepdims=True
        )
        positive &= similarity < hardest_negative + epsilon
        negative &= similarity > hardest_positive - epsilon
        above = similarity - base
        positive_term = _log_one_plus_sum(-alpha * above, positive) / alpha
        negative_term = _log_one_plus_sum(beta * above, negative) / beta
        return positive_term + negative_term

    return over_anchors(anchor_losses, y_true, y_pred)


@keras.saving.register_keras_serializable(package="keras_metaloss")
class MultiSimilarityLoss(EmbeddingLoss):
    """Multi-similarity loss: mines and weights pairs by relative similarity.

    `1/a log(1 + sum_p exp(-a (S_p - base))) + 1/b log(1 + sum_n exp(b (S_n - base)))`
    for an anchor, where S is its cosine similarity to the other examples. The sums are
    over positives p with `S_p < max_n S_n + epsilon` and negatives n with
    `S_n > min_p S_p - epsilon`. Anchors without positives or without negatives have
    loss 0.

    Args:
        alpha: `a`, sharpness of the weighting of positives; greater than 0. Defaults
            to `2.0`.
        beta: `b`, sharpness of the weighting of negatives; greater than 0. Defaults to
            `50.0`.
        base: Similarity that separates positives from negatives. Defaults to `0.5`,
            the value in the authors' code.
        epsilon: Margin of the pair mining. Defaults to `0.1`.
        name: Name of the loss. Defaults to `"multi_similarity_loss"`.
        reduction: Type of reduction to apply to the loss: `"sum_over_batch_size"`,
            `"sum"`, `"mean"`, `"mean_with_sample_weight"` or `None`. Defaults to
            `"sum_over_batch_size"`.
        dtype: Dtype of the loss computation. Defaults to `None`, which uses
            `keras.config.floatx()`.

    Call arguments:
        y_true: Integer labels, `[B]`. Examples with a negative label are ignored.
        y_pred: Embeddings, `[B, D]`; normalized to unit length by the loss.
        sample_weight: Optional weights, broadcastable to `[B]`.

    Raises:
        ValueError: If `alpha` or `beta` is not positive, if `epsilon` is negative, or
            if `y_pred` does not have rank 2.

    Example:

    >>> import keras_metaloss as kml
    >>> loss = kml.losses.MultiSimilarityLoss(alpha=1.0, beta=1.0, base=1.0)
    >>> labels, embeddings = [0, 0, 1], [[1.0, 0.0], [1.0, 0.0], [1.0, 0.0]]
    >>> round(float(loss(labels, embeddings)), 4)                   # 4 / 3 ln(2)
    0.9242

    Reference:
        Wang et al., "Multi-Similarity Loss with General Pair Weighting for Deep Metric
        Learning", 2019, equations 11, 12, 15.
    """

    def __init__(
        self,
        alpha: float = 2.0,
        beta: float = 50.0,
        base: float = 0.5,
        epsilon: float = 0.1,
        name: str = "multi_similarity_loss",
        reduction: str | None = "sum_over_batch_size",
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.alpha = _positive("alpha", alpha)
        self.beta = _positive("beta", beta)
        self.base = float(base)
        self.epsilon = check_non_negative("epsilon", epsilon)

    def values(
        self, y_true: tf.Tensor, y_pred: tf.Tensor, context: LossContext
    ) -> tf.Tensor:
        return multi_similarity_loss(
            y_true, y_pred, self.alpha, self.beta, self.base, self.epsilon
        )

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "alpha": self.alpha,
            "beta": self.beta,
            "base": self.base,
            "epsilon": self.epsilon,
        }


def _log_one_plus_sum(exponents: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """Computes `log(1 + sum exp(exponents))` over the mask, without overflow."""
    kept = tf.where(mask, exponents, exponents.dtype.min)
    zero = tf.zeros_like(kept[:, :1])
    return tf.reduce_logsumexp(tf.concat([zero, kept], axis=1), axis=1)


def _positive(name: str, value: Any) -> float:
    value = check_non_negative(name, value)
    if value == 0.0:
        raise ValueError(
            f"Invalid value for argument `{name}`. Expected a positive number. "
            f"Received: {name}={value!r}"
        )
    return value
