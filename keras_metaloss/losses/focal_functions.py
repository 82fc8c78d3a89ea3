"""Focal losses as functions: one value an example."""

from __future__ import annotations

import math
import numbers
from typing import Any

import keras
import tensorflow as tf

from keras_metaloss.checks import check_non_negative
from keras_metaloss.losses.as_floats import as_floats
from keras_metaloss.losses.compiled_loops import row_sums
from keras_metaloss.losses.focal_kernels import (
    binary_focal_terms,
    class_focal_terms,
    label_focal_terms,
)
from keras_metaloss.losses.margins import (
    binary_log_odds,
    label_log_odds,
    log_probabilities,
)
from keras_metaloss.same_rank import same_rank

__all__ = [
    "as_classes_last",
    "binary_focal_loss",
    "categorical_focal_loss",
    "class_numbers",
    "nan_unless_class",
    "smoothed",
    "sparse_categorical_focal_loss",
]


def binary_focal_loss(
    y_true: Any,
    y_pred: Any,
    gamma: Any = 2.0,
    alpha: Any = None,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> tf.Tensor:
    """Focal loss of yes-or-no targets, averaged over one axis.

    `FL = -alpha y (1 - p)^gamma log p - (1 - alpha) (1 - y) p^gamma log(1 - p)`,
    in nats; without `alpha` both factors are 1. `gamma=0` is cross-entropy.

    Args:
        y_true: targets in [0, 1], `[..., D]`.
        y_pred: probabilities, or logits with `from_logits`, `[..., D]`.
        gamma: how much less the well classified count: a number not below zero.
        alpha: weight of the targets 1 in [0, 1], one number or one an output `[D]`.
        from_logits: whether `y_pred` are logits.
        label_smoothing: share of each target that is moved to 1/2.
        axis: axis that is averaged.

    Returns:
        Tensor `[...]`.

    Example:

    >>> import keras_metaloss as kml
    >>> kml.losses.binary_focal_loss([[1.0]], [[0.5]]).numpy().round(4)  # ln(2) / 4
    array([0.1733], dtype=float32)

    Reference:
        Lin et al., "Focal Loss for Dense Object Detection", 2017, equations 4, 5.
    """
    y_true, y_pred, result = as_floats(y_true, y_pred)
    gamma = _checked_gamma(gamma, y_pred.dtype)
    y_true, y_pred = same_rank(y_true, y_pred)
    _check_same_shape(y_true, y_pred)
    log_odds = y_pred if from_logits else binary_log_odds(y_pred)
    y_true = smoothed(y_true, label_smoothing, 2)
    yes, no = binary_focal_terms(log_odds, gamma)
    positive, negative = y_true * yes, (1.0 - y_true) * no
    if alpha is not None:
        alpha = _weights(alpha, y_pred, axis)
        if alpha.shape.rank == 1:
            shape = [1] * y_pred.shape.rank
            shape[axis] = -1
            alpha = tf.reshape(alpha, shape)
        positive, negative = alpha * positive, (1.0 - alpha) * negative
    values = positive + negative
    if axis != -1:
        return tf.cast(tf.reduce_mean(values, axis=axis), result)
    columns = tf.cast(tf.shape(values)[-1], values.dtype)
    return tf.cast(row_sums(values) / columns, result)


def categorical_focal_loss(
    y_true: Any,
    y_pred: Any,
    gamma: Any = 2.0,
    alpha: Any = None,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> tf.Tensor:
    """Focal loss of targets given as a distribution over classes.

    `FL = -sum_c alpha_c y_c (1 - p_c)^gamma log p_c`, in nats. `gamma=0` is
    cross-entropy.

    Args:
        y_true: one-hot or soft targets, `[..., C]`.
        y_pred: probabilities (scaled to sum to 1), or logits with `from_logits`,
            `[..., C]`.
        gamma: how much less the well classified count: a number not below zero.
        alpha: weight of each class `[C]`, or one number for all.
        from_logits: whether `y_pred` are logits.
        label_smoothing: share of each target that is spread over all classes.
        axis: axis of the classes.

    Returns:
        Tensor `[...]`, the axis of classes left out.

    Example:

    >>> import keras_metaloss as kml
    >>> loss = kml.losses.categorical_focal_loss([[0.0, 1.0]], [[0.5, 0.5]], gamma=1.0)
    >>> loss.numpy().round(4)                                       # ln(2) / 2
    array([0.3466], dtype=float32)

    Reference:
        Lin et al., "Focal Loss for Dense Object Detection", 2017, equations 4, 5.
    """
    y_true, y_pred, result = as_floats(y_true, y_pred)
    gamma = _checked_gamma(gamma, y_pred.dtype)
    _check_same_shape(y_true, y_pred)
    y_true, y_pred = as_classes_last(y_true, axis), as_classes_last(y_pred, axis)
    y_true = smoothed(y_true, label_smoothing, tf.shape(y_pred)[-1])
    logits = y_pred if from_logits else log_probabilities(y_pred)
    terms = class_focal_terms(logits, gamma)
    if alpha is not None:
        y_true = _weights(alpha, y_pred, -1) * y_true
    return tf.cast(tf.reduce_sum(y_true * terms, axis=-1), result)


def sparse_categorical_focal_loss(
    y_true: Any,
    y_pred: Any,
    gamma: Any = 2.0,
    alpha: Any = None,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> tf.Tensor:
    """Focal loss of targets given as class numbers.

    `FL = -alpha_t (1 - p_t)^gamma log p_t` for target class t, in nats. `gamma=0` is
    cross-entropy.

    Args:
        y_true: class numbers in [0, C), `[...]` or with an axis of length 1 where the
            classes are. Others give NaN, or on a CPU an error.
        y_pred: probabilities (scaled to sum to 1), or logits with `from_logits`,
            `[..., C]`.
        gamma: how much less the well classified count: a number not below zero.
        alpha: weight of each class `[C]`, or one number for all.
        from_logits: whether `y_pred` are logits.
        label_smoothing: share of each target that is spread over all classes.
        axis: axis of the classes.

    Returns:
        Tensor `[...]`, the axis of classes left out.

    Example:

    >>> import keras_metaloss as kml
    >>> loss = kml.losses.sparse_categorical_focal_loss([1], [[0.5, 0.5]], gamma=1.0)
    >>> loss.numpy().round(4)                                       # ln(2) / 2
    array([0.3466], dtype=float32)

    Reference:
        Lin et al., "Focal Loss for Dense Object Detection", 2017, equations 4, 5.
    """
    labels = class_numbers(y_true, y_pred, axis)
    _, y_pred, result = as_floats(0.0, y_pred)
    gamma = _checked_gamma(gamma, y_pred.dtype)
    y_pred = as_classes_last(y_pred, axis)
    if label_smoothing:
        targets = tf.one_hot(labels, tf.shape(y_pred)[-1], dtype=y_pred.dtype)
        smoothed = categorical_focal_loss(
            targets, y_pred, gamma, alpha, from_logits, label_smoothing
        )
        return tf.cast(nan_unless_class(labels, y_pred, smoothed), result)
    logits = y_pred if from_logits else log_probabilities(y_pred)
    values = label_focal_terms(label_log_odds(labels, logits), gamma)
    if alpha is not None:
        alpha = _weights(alpha, y_pred, -1)
        values *= alpha if alpha.shape.rank == 0 else tf.gather(alpha, labels)
    return tf.cast(nan_unless_class(labels, y_pred, values), result)


def smoothed(y_true: tf.Tensor, label_smoothing: float, classes: Any) -> tf.Tensor:
    """Targets of which a share is spread over all classes."""
    if not label_smoothing:
        return y_true
    share = label_smoothing / tf.cast(classes, y_true.dtype)
    return y_true * (1.0 - label_smoothing) + share


def _checked_gamma(gamma, dtype):
    """A number not below zero, or a scalar tensor."""
    if not (tf.is_tensor(gamma) or isinstance(gamma, keras.Variable)):
        return check_non_negative("gamma", gamma)
    if tuple(gamma.shape) != ():
        raise ValueError(
            "Invalid value for argument `gamma`. Expected a number or a scalar tensor. "
            f"Received: gamma of shape {tuple(gamma.shape)}"
        )
    return tf.cast(tf.convert_to_tensor(gamma), dtype)


def _check_same_shape(y_true, y_pred):
    if not y_true.shape.is_compatible_with(y_pred.shape):
        raise ValueError(
            "Expected `y_true` and `y_pred` of the same shape. Received: y_true.shape="
            f"{tuple(y_true.shape)}, y_pred.shape={tuple(y_pred.shape)}"
        )


def nan_unless_class(
    labels: tf.Tensor, y_pred: tf.Tensor, values: tf.Tensor
) -> tf.Tensor:
    """XLA would take the nearest class for one that is not there."""
    is_class = (labels >= 0) & (labels < tf.shape(y_pred)[-1])
    return tf.where(is_class, values, tf.constant(math.nan, values.dtype))


def _weights(alpha, y_pred, axis):
    """`alpha` as a tensor: a number, or as many as there are classes."""
    alpha = keras.ops.convert_to_tensor(alpha, y_pred.dtype)
    classes = y_pred.shape[axis]
    if alpha.shape.rank != 0 and not alpha.shape.is_compatible_with([classes]):
        raise ValueError(
            "Invalid value for argument `alpha`. Expected a number or one number for "
            f"each of {classes} classes. Received: alpha of shape {tuple(alpha.shape)}"
        )
    return alpha


def class_numbers(y_true: Any, y_pred: Any, axis: int) -> tf.Tensor:
    """Targets as whole numbers, without an axis of length 1 for the classes."""
    labels, y_pred = tf.convert_to_tensor(y_true), tf.convert_to_tensor(y_pred)
    given, rank = labels.shape, y_pred.shape.rank
    if rank is not None:
        axis = _checked_axis(axis, rank)
        others = [y_pred.shape[i] for i in range(rank) if i != axis]
        if given.rank == rank and given[axis] in (1, None):
            labels = tf.squeeze(labels, axis=axis)
        if not labels.shape.is_compatible_with(others):
            raise ValueError(
                "Expected class numbers, without the axis of classes or with one of "
                f"length 1 there. Received: y_true.shape={tuple(given)}, "
                f"y_pred.shape={tuple(y_pred.shape)}"
            )
    if labels.dtype.size > 4:
        # What int32 does not hold stays no class.
        labels = tf.clip_by_value(tf.cast(labels, tf.int64), -1, tf.int32.max)
    return tf.cast(labels, tf.int32)


def as_classes_last(tensor: tf.Tensor, axis: int) -> tf.Tensor:
    """The tensor with `axis` moved to the end."""
    rank = tensor.shape.rank
    axis = _checked_axis(axis, rank)
    if axis == rank - 1:
        return tensor
    order = [i for i in range(rank) if i != axis] + [axis]
    return tf.transpose(tensor, order)


def _checked_axis(axis, rank):
    """The axis, counted from the front."""
    if not isinstance(axis, numbers.Integral) or not -rank <= axis < rank:
        raise ValueError(
            "Invalid value for argument `axis`. Expected an axis of predictions of "
            f"rank {rank}. Received: axis={axis!r}"
        )
    return int(axis) % rank
