"""Loss of one task over the labels that are present."""

from __future__ import annotations

from typing import Any, NamedTuple

import keras
import tensorflow as tf

from keras_metaloss import _compat
from keras_metaloss._utils.masks import combine_masks
from keras_metaloss._utils.shapes import expand_to_same_rank
from keras_metaloss.losses._core.loss_context import LossContext
from keras_metaloss.losses._core.meta_loss import loss_values
from keras_metaloss.losses._core.missing_labels import labels_of, matched_weights

__all__ = ["LabeledLoss", "labeled_loss"]


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


def labeled_loss(
    loss: keras.losses.Loss,
    y_true: Any,
    y_pred: tf.Tensor,
    sample_weight: Any = None,
    context: LossContext | None = None,
) -> LabeledLoss:
    """Computes the loss of one task over the labels that are present.

    Labels that a Keras mask of the predictions excludes are not present.

    Args:
        loss: Loss of the task, whose reduction is not used.
        y_true: Targets, `[N, ...]`.
        y_pred: Predictions, `[N, ...]`.
        sample_weight: Weights, `[N]` or of the shape of the unreduced loss. Defaults to
            `None`.
        context: Additional inputs of the loss, a `LossContext`. Defaults to `None`,
            which is an empty context.
    """
    labels = labels_of(loss, y_true, y_pred)
    y_true, mask = labels.y_true, labels.mask
    if y_true.dtype.is_floating:
        y_true = tf.cast(y_true, y_pred.dtype)
    y_true, y_pred = expand_to_same_rank(y_true, y_pred)
    context = (context or LossContext())._replace(mask=mask)
    values = loss_values(loss, y_true, y_pred, context)
    # The mask of the values is `False` for labels equal to `ignore_class`.
    included = combine_masks(values, mask, _compat.keras_mask(values))
    if included is None:
        included = tf.ones_like(values, tf.bool)
    # The loss of a masked prediction may be NaN.
    values = tf.where(included, values, tf.zeros_like(values))
    count = tf.reduce_sum(tf.cast(included, values.dtype))
    if sample_weight is not None:
        values *= matched_weights(tf.cast(sample_weight, values.dtype), values)
    rows = tf.reduce_sum(values, axis=list(range(1, values.shape.rank)))
    mean = tf.math.divide_no_nan(tf.reduce_sum(rows), count)
    total = tf.cast(tf.shape(rows)[0], rows.dtype)
    return LabeledLoss(tf.math.divide_no_nan(rows * total, count), mean, count)
