"""Losses of tasks with missing labels."""

from __future__ import annotations

from typing import Any, NamedTuple

import keras
import tensorflow as tf

from keras_metaloss import _compat
from keras_metaloss._utils.shapes import expand_to_same_rank, match_rank
from keras_metaloss.losses._core.loss_context import LossContext
from keras_metaloss.losses._core.meta_loss import loss_values
from keras_metaloss.losses._core.traits import traits_of
from keras_metaloss.losses.embedding._embedding_loss import EmbeddingLoss

__all__ = ["LabeledLoss", "labeled_loss", "missing_labels"]


class LabeledLoss(NamedTuple):
    """Loss of one task over the labels that are present.

    Attributes:
        rows: Per-example loss, `[N]`, scaled such that its mean equals `mean`.
        mean: Mean loss over all labels that are present, a scalar; 0 without labels.
        count: Number of labels that are present, a scalar.
    """

    rows: tf.Tensor
    mean: tf.Tensor
    count: tf.Tensor


def missing_labels(
    loss: keras.losses.Loss, y_true: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns zero-filled targets and the mask of missing ones.

    NaN targets and, if the loss takes integer labels, negative labels are missing.
    """
    missing = tf.zeros_like(y_true, tf.bool)
    if y_true.dtype.is_floating:
        missing = tf.math.is_nan(y_true)
    if traits_of(loss).integer_targets and not y_true.dtype.is_unsigned:
        missing = missing | (y_true < 0)
    if isinstance(loss, EmbeddingLoss):
        # Embedding losses ignore negative labels; 0 would be a valid label.
        return y_true, missing
    return tf.where(missing, tf.zeros_like(y_true), y_true), missing


def labeled_loss(
    loss: keras.losses.Loss,
    y_true: Any,
    y_pred: tf.Tensor,
    sample_weight: Any = None,
    context: LossContext | None = None,
) -> LabeledLoss:
    """Computes the loss of one task over the labels that are present.

    Args:
        loss: Loss of the task, whose reduction is not used.
        y_true: Targets, `[N, ...]`.
        y_pred: Predictions, `[N, ...]`.
        sample_weight: Weights, `[N]` or of the shape of the unreduced loss. Defaults to
            `None`.
        context: Additional inputs of the loss, a `LossContext`. Defaults to `None`,
            which is an empty context.
    """
    y_true, missing = missing_labels(loss, tf.convert_to_tensor(y_true))
    if y_true.dtype.is_floating:
        y_true = tf.cast(y_true, y_pred.dtype)
    y_true, y_pred = expand_to_same_rank(y_true, y_pred)
    values = loss_values(loss, y_true, y_pred, context or LossContext())
    axes = list(range(values.shape.rank, missing.shape.rank))
    present = tf.cast(~tf.reduce_any(missing, axis=axes), values.dtype)
    present = tf.broadcast_to(match_rank(present, values), tf.shape(values))
    # The mask is `False` for labels equal to `ignore_class`.
    not_ignored = _compat.keras_mask(values)
    if not_ignored is not None:
        present *= tf.cast(not_ignored, values.dtype)
    weights = present
    if sample_weight is not None:
        sample_weight = tf.cast(sample_weight, values.dtype)
        weights = present * match_rank(sample_weight, values)
    count = tf.reduce_sum(present)
    rows = tf.reduce_sum(values * weights, axis=list(range(1, values.shape.rank)))
    mean = tf.math.divide_no_nan(tf.reduce_sum(rows), count)
    total = tf.cast(tf.shape(rows)[0], rows.dtype)
    return LabeledLoss(tf.math.divide_no_nan(rows * total, count), mean, count)
