"""Missing and ignored labels, and the masks of predictions that exclude them."""

from __future__ import annotations

import dataclasses
from typing import Any

import keras
import tensorflow as tf

from keras_metaloss import _compat
from keras_metaloss._utils.shapes import (
    append_axes,
    expand_to_same_rank,
    match_rank,
)
from keras_metaloss.losses._core.loss_context import LossContext
from keras_metaloss.losses._core.meta_loss import call_loss, nested_losses
from keras_metaloss.losses._core.traits import traits_of

__all__ = [
    "Labels",
    "call_labeled_loss",
    "labels_of",
    "matched_weights",
    "merge_masks",
    "missing_labels",
]


@dataclasses.dataclass(frozen=True)
class Labels:
    """Targets of one output, and the labels to include in its loss and metrics.

    Attributes:
        y_true: Targets; missing ones are replaced by a valid value.
        mask: Boolean mask of the labels that are present, one entry per prediction,
            `[N]` or `[N, ...]`, or `None` if all are.
        ignored: Boolean mask of the labels in `mask` that the loss itself ignores
            (`ignore_class`), or `None`.
    """

    y_true: tf.Tensor
    mask: tf.Tensor | None = None
    ignored: tf.Tensor | None = None

    @property
    def counted(self) -> tf.Tensor | None:
        """Mask of the labels that are neither missing nor ignored, or `None`."""
        if self.ignored is None:
            return self.mask
        return merge_masks(self.mask, ~self.ignored)


def labels_of(loss: keras.losses.Loss, y_true: Any, y_pred: tf.Tensor) -> Labels:
    """Returns the targets of one output and the mask of its labels.

    NaN targets and, if the loss takes integer labels, negative labels are missing. A
    vector with a missing entry is missing. The mask includes that of the predictions.

    Args:
        loss: Loss of the output.
        y_true: Targets, `[N, ...]`.
        y_pred: Predictions, `[N, ...]`.

    Raises:
        ValueError: If the loss compares targets and predictions element by element and
            their shapes differ, or if the numbers of targets and predictions differ.
    """
    y_true = tf.convert_to_tensor(y_true)
    mask = _compat.keras_mask(y_pred)
    if None in (y_true.shape.rank, y_pred.shape.rank):
        return Labels(y_true, mask)
    _check_shapes(loss, y_true, y_pred)
    filled, missing = missing_labels(loss, y_true)
    if missing is not None:
        mask = merge_masks(~_per_prediction(missing, y_pred), mask)
    classes = {getattr(x, "ignore_class", None) for x in nested_losses(loss)} - {None}
    ignored = None
    if classes:
        is_ignored = [tf.equal(y_true, tf.cast(c, y_true.dtype)) for c in classes]
        ignored = _per_prediction(tf.reduce_any(is_ignored, axis=0), y_pred)
    return Labels(filled, mask, ignored)


def call_labeled_loss(
    loss: keras.losses.Loss,
    labels: Labels,
    y_pred: tf.Tensor,
    sample_weight: Any,
    context: LossContext | None,
) -> tf.Tensor:
    """Calls a Keras loss on the labels that are present, with its reduction.

    Args:
        loss: The loss.
        labels: Labels of the output.
        y_pred: Predictions, `[N, ...]`.
        sample_weight: Weights, `[N]` or `[N, ...]`, or `None`.
        context: Additional inputs of the loss, or `None`.
    """
    if labels.mask is not None:
        # Keras's losses leave out masked predictions.
        y_pred = _compat.with_keras_mask(y_pred, labels.mask)
        if sample_weight is not None:
            # Weights of examples broadcast to their labels, not to the last axis.
            sample_weight = tf.convert_to_tensor(sample_weight)
            sample_weight = matched_weights(sample_weight, labels.mask)
    return call_loss(loss, labels.y_true, y_pred, sample_weight, context)


def missing_labels(
    loss: keras.losses.Loss, y_true: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor | None]:
    """Returns targets with valid values for missing ones, and the mask of the latter.

    The mask is `None` if no target of this dtype can be missing.
    """
    missing = None
    if y_true.dtype.is_floating:
        missing = tf.math.is_nan(y_true)
    integers = traits_of(loss).integer_targets and y_true.dtype.is_numeric
    if integers and not y_true.dtype.is_unsigned:
        negative = y_true < 0
        missing = negative if missing is None else missing | negative
    if missing is None:
        return y_true, None
    fill = min(getattr(nested, "missing_label", 0) for nested in nested_losses(loss))
    return tf.where(missing, tf.cast(fill, y_true.dtype), y_true), missing


def merge_masks(first: tf.Tensor | None, second: tf.Tensor | None) -> tf.Tensor | None:
    """Returns the labels that both masks include, with the rank of the first mask."""
    if first is None or second is None:
        return second if first is None else first
    rank = first.shape.rank
    second = tf.cast(second, tf.bool)
    extra = list(range(rank, second.shape.rank))
    return first & append_axes(tf.reduce_any(second, axis=extra), rank)


def matched_weights(weights: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
    """Returns weights with the rank of the values, or raises a `ValueError`."""
    shape, rank = weights.shape, values.shape.rank
    pairs = zip(shape[:rank], values.shape, strict=False)
    is_valid = all(n in (1, None) or m is None or n == m for n, m in pairs) and all(
        n in (1, None) for n in shape[rank:]
    )
    if not is_valid:
        raise ValueError(
            "Invalid value for argument `sample_weight`. Expected one weight per "
            f"example or per value of the loss, of shape {tuple(values.shape)}. "
            f"Received: sample_weight.shape={tuple(shape)}"
        )
    return match_rank(weights, values)


def _per_prediction(mask: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
    """Returns one entry per prediction: `True` if any entry of its target is."""
    first_axis = max(1, y_pred.shape.rank - 1)
    return tf.reduce_any(mask, axis=list(range(first_axis, mask.shape.rank)))


def _check_shapes(
    loss: keras.losses.Loss, y_true: tf.Tensor, y_pred: tf.Tensor
) -> None:
    """Raises a `ValueError` for targets that would be broadcast."""
    rows = [
        tensor.shape[0] if tensor.shape.rank else None for tensor in (y_true, y_pred)
    ]
    if None not in rows and rows[0] != rows[1]:
        raise ValueError(
            "Invalid value for argument `y`. Expected one target per prediction. "
            f"Received: {rows[0]} targets and {rows[1]} predictions"
        )
    if not traits_of(loss).elementwise:
        return
    expanded = expand_to_same_rank(y_true, y_pred)
    if not expanded[0].shape.is_compatible_with(expanded[1].shape):
        raise ValueError(
            "Invalid value for argument `y`. Expected targets of the shape of the "
            f"predictions for the loss {loss.name!r}. Received: targets of shape "
            f"{tuple(y_true.shape)} and predictions of shape {tuple(y_pred.shape)}"
        )
