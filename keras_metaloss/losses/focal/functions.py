"""Focal losses as functions that return one value per example."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_metaloss._utils.checks import check_non_negative
from keras_metaloss._utils.shapes import require_same_rank
from keras_metaloss._utils.xla import sum_last_axis
from keras_metaloss.losses._core.floats import as_floats
from keras_metaloss.losses._core.integer_labels import (
    integer_labels,
    move_classes_last,
    nan_for_invalid_labels,
)
from keras_metaloss.losses._core.log_odds import (
    binary_log_odds,
    label_log_odds,
    log_probabilities,
)
from keras_metaloss.losses.focal._kernels import (
    binary_focal_terms,
    class_focal_terms,
    label_focal_terms,
)

__all__ = [
    "binary_focal_loss",
    "categorical_focal_loss",
    "smooth_labels",
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
    """Computes the focal loss for binary classification.

    `FL = -alpha y (1 - p)^gamma log p - (1 - alpha) (1 - y) p^gamma log(1 - p)`,
    in nats, averaged over `axis`. Without `alpha`, both factors are 1. `gamma=0` is
    binary cross-entropy.

    Args:
        y_true: Targets in [0, 1], `[..., D]`.
        y_pred: Probabilities, or logits with `from_logits=True`, `[..., D]`.
        gamma: Focusing parameter; larger values down-weight well-classified examples
            more strongly. A non-negative number or a scalar tensor. Defaults to `2.0`.
        alpha: Weight in [0, 1] of targets equal to 1; targets equal to 0 get
            `1 - alpha`. A number, or one per output, `[D]`. Defaults to `None`, which
            leaves both unweighted.
        from_logits: Whether `y_pred` contains logits. Defaults to `False`.
        label_smoothing: Float in [0, 1]. Targets `y` become
            `y * (1 - label_smoothing) + label_smoothing / 2`. Defaults to `0.0`.
        axis: Axis to average over. Defaults to `-1`.

    Returns:
        Per-example losses, `[...]`.

    Raises:
        ValueError: If `gamma` is negative or not a scalar, or if the shapes of
            `y_true`, `y_pred` and `alpha` do not match.

    Example:

    >>> import keras_metaloss as kml
    >>> kml.losses.binary_focal_loss([[1.0]], [[0.5]]).numpy().round(4)  # ln(2) / 4
    array([0.1733], dtype=float32)

    Reference:
        Lin et al., "Focal Loss for Dense Object Detection", 2017, equations 4, 5.
    """
    y_true, y_pred, result = as_floats(y_true, y_pred)
    gamma = _checked_gamma(gamma, y_pred.dtype)
    y_true, y_pred = require_same_rank(y_true, y_pred)
    _check_same_shape(y_true, y_pred)
    log_odds = y_pred if from_logits else binary_log_odds(y_pred)
    y_true = smooth_labels(y_true, label_smoothing, 2)
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
    return tf.cast(sum_last_axis(values) / columns, result)


def categorical_focal_loss(
    y_true: Any,
    y_pred: Any,
    gamma: Any = 2.0,
    alpha: Any = None,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> tf.Tensor:
    """Computes the focal loss for one-hot or soft targets.

    `FL = -sum_c alpha_c y_c (1 - p_c)^gamma log p_c`, in nats. `gamma=0` is
    categorical cross-entropy.

    Args:
        y_true: One-hot or soft targets, `[..., C]`.
        y_pred: Probabilities (rescaled to sum to 1), or logits with
            `from_logits=True`, `[..., C]`.
        gamma: Focusing parameter; larger values down-weight well-classified examples
            more strongly. A non-negative number or a scalar tensor. Defaults to `2.0`.
        alpha: Weight of each class, `[C]`, or a number for all classes. Defaults to
            `None`, which leaves classes unweighted.
        from_logits: Whether `y_pred` contains logits. Defaults to `False`.
        label_smoothing: Float in [0, 1]. One-hot targets `y` become
            `y * (1 - label_smoothing) + label_smoothing / C`. Defaults to `0.0`.
        axis: Axis of the classes. Defaults to `-1`.

    Returns:
        Per-example losses, `[...]`: the shape of `y_pred` without the class axis.

    Raises:
        ValueError: If `gamma` is negative or not a scalar, or if the shapes of
            `y_true`, `y_pred` and `alpha` do not match.

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
    y_true, y_pred = move_classes_last(y_true, axis), move_classes_last(y_pred, axis)
    y_true = smooth_labels(y_true, label_smoothing, tf.shape(y_pred)[-1])
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
    """Computes the focal loss for integer labels.

    `FL = -alpha_t (1 - p_t)^gamma log p_t` for target class t, in nats. `gamma=0` is
    categorical cross-entropy.

    Args:
        y_true: Integer labels in [0, C), `[...]` or with a class axis of length 1.
            Out-of-range labels give NaN, or raise an error on a CPU.
        y_pred: Probabilities (rescaled to sum to 1), or logits with
            `from_logits=True`, `[..., C]`.
        gamma: Focusing parameter; larger values down-weight well-classified examples
            more strongly. A non-negative number or a scalar tensor. Defaults to `2.0`.
        alpha: Weight of each class, `[C]`, or a number for all classes. Defaults to
            `None`, which leaves classes unweighted.
        from_logits: Whether `y_pred` contains logits. Defaults to `False`.
        label_smoothing: Float in [0, 1]. One-hot targets `y` become
            `y * (1 - label_smoothing) + label_smoothing / C`. Defaults to `0.0`.
        axis: Axis of the classes. Defaults to `-1`.

    Returns:
        Per-example losses, `[...]`: the shape of `y_pred` without the class axis.

    Raises:
        ValueError: If `gamma` is negative or not a scalar, or if the shapes of
            `y_true`, `y_pred` and `alpha` do not match.

    Example:

    >>> import keras_metaloss as kml
    >>> loss = kml.losses.sparse_categorical_focal_loss([1], [[0.5, 0.5]], gamma=1.0)
    >>> loss.numpy().round(4)                                       # ln(2) / 2
    array([0.3466], dtype=float32)

    Reference:
        Lin et al., "Focal Loss for Dense Object Detection", 2017, equations 4, 5.
    """
    labels = integer_labels(y_true, y_pred, axis)
    _, y_pred, result = as_floats(0.0, y_pred)
    gamma = _checked_gamma(gamma, y_pred.dtype)
    y_pred = move_classes_last(y_pred, axis)
    if label_smoothing:
        targets = tf.one_hot(labels, tf.shape(y_pred)[-1], dtype=y_pred.dtype)
        values = categorical_focal_loss(
            targets, y_pred, gamma, alpha, from_logits, label_smoothing
        )
        return tf.cast(nan_for_invalid_labels(labels, y_pred, values), result)
    logits = y_pred if from_logits else log_probabilities(y_pred)
    values = label_focal_terms(label_log_odds(labels, logits), gamma)
    if alpha is not None:
        alpha = _weights(alpha, y_pred, -1)
        values *= alpha if alpha.shape.rank == 0 else tf.gather(alpha, labels)
    return tf.cast(nan_for_invalid_labels(labels, y_pred, values), result)


def smooth_labels(y_true: tf.Tensor, label_smoothing: float, classes: Any) -> tf.Tensor:
    """Applies label smoothing to targets."""
    if not label_smoothing:
        return y_true
    share = label_smoothing / tf.cast(classes, y_true.dtype)
    return y_true * (1.0 - label_smoothing) + share


def _checked_gamma(gamma: Any, dtype: tf.DType) -> Any:
    """Validates gamma: a non-negative number or a scalar tensor."""
    if not (tf.is_tensor(gamma) or isinstance(gamma, keras.Variable)):
        return check_non_negative("gamma", gamma)
    if tuple(gamma.shape) != ():
        raise ValueError(
            "Invalid value for argument `gamma`. Expected a number or a scalar tensor. "
            f"Received: gamma of shape {tuple(gamma.shape)}"
        )
    return tf.cast(tf.convert_to_tensor(gamma), dtype)


def _check_same_shape(y_true: tf.Tensor, y_pred: tf.Tensor) -> None:
    if not y_true.shape.is_compatible_with(y_pred.shape):
        raise ValueError(
            "Invalid value for argument `y_true`. Expected the same shape as `y_pred`. "
            f"Received: y_true.shape={tuple(y_true.shape)}, "
            f"y_pred.shape={tuple(y_pred.shape)}"
        )


def _weights(alpha: Any, y_pred: tf.Tensor, axis: int) -> tf.Tensor | None:
    """Returns `alpha` as a scalar tensor or a tensor with one weight per class."""
    alpha = keras.ops.convert_to_tensor(alpha, y_pred.dtype)
    classes = y_pred.shape[axis]
    if alpha.shape.rank != 0 and not alpha.shape.is_compatible_with([classes]):
        raise ValueError(
            "Invalid value for argument `alpha`. Expected a number or one number per "
            f"class, {classes} classes. Received: alpha of shape {tuple(alpha.shape)}"
        )
    return alpha
