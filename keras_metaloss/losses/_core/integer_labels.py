"""Integer labels, and the class axis of predictions."""

from __future__ import annotations

import math
import numbers
from typing import Any

import tensorflow as tf

__all__ = ["integer_labels", "move_classes_last", "nan_for_invalid_labels"]


def integer_labels(y_true: Any, y_pred: Any, axis: int) -> tf.Tensor:
    """Returns targets as int32 labels without a class axis of length 1."""
    labels, y_pred = tf.convert_to_tensor(y_true), tf.convert_to_tensor(y_pred)
    shape, rank = labels.shape, y_pred.shape.rank
    if rank is not None:
        axis = _checked_axis(axis, rank)
        expected = [y_pred.shape[i] for i in range(rank) if i != axis]
        if shape.rank == rank and shape[axis] in (1, None):
            labels = tf.squeeze(labels, axis=axis)
        if not labels.shape.is_compatible_with(expected):
            raise ValueError(
                "Invalid value for argument `y_true`. Expected integer labels, with "
                "the shape of `y_pred` without the class axis or with a class axis of "
                f"length 1. Received: y_true.shape={tuple(shape)}, "
                f"y_pred.shape={tuple(y_pred.shape)}"
            )
    if labels.dtype.size > 4:
        # Labels beyond int32 must stay out of range.
        labels = tf.clip_by_value(tf.cast(labels, tf.int64), -1, tf.int32.max)
    return tf.cast(labels, tf.int32)


def nan_for_invalid_labels(
    labels: tf.Tensor, y_pred: tf.Tensor, values: tf.Tensor
) -> tf.Tensor:
    """Replaces values of out-of-range labels by NaN (XLA clamps such labels)."""
    is_class = (labels >= 0) & (labels < tf.shape(y_pred)[-1])
    return tf.where(is_class, values, tf.constant(math.nan, values.dtype))


def move_classes_last(tensor: tf.Tensor, axis: int) -> tf.Tensor:
    """Moves `axis` to the end."""
    rank = tensor.shape.rank
    axis = _checked_axis(axis, rank)
    if axis == rank - 1:
        return tensor
    order = [i for i in range(rank) if i != axis] + [axis]
    return tf.transpose(tensor, order)


def _checked_axis(axis: int, rank: int) -> int:
    """Validates the axis and returns it as a non-negative integer."""
    if not isinstance(axis, numbers.Integral) or not -rank <= axis < rank:
        raise ValueError(
            "Invalid value for argument `axis`. Expected an axis of `y_pred`, which "
            f"has rank {rank}. Received: axis={axis!r}"
        )
    return int(axis) % rank
