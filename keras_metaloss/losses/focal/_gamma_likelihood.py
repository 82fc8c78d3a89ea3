"""Negative log-likelihood implied by the focal loss, used to train gamma.

Used as energies, the focal losses of the classes define a distribution over classes,
`q_c = exp(-FL_c) / sum_k exp(-FL_k)`. With gamma = 0, q equals the prediction; larger
values of gamma make q flatter. The negative log-likelihood of the targets under q has a
minimum over gamma. The focal loss itself does not.
"""

from __future__ import annotations

import tensorflow as tf

from keras_metaloss._utils.shapes import require_same_rank
from keras_metaloss.losses._core.floats import as_floats
from keras_metaloss.losses._core.log_odds import binary_log_odds, log_probabilities
from keras_metaloss.losses.focal._kernels import binary_focal_terms, class_focal_terms
from keras_metaloss.losses.focal.functions import (
    integer_labels,
    move_classes_last,
    smooth_labels,
)

__all__ = [
    "as_label_rows",
    "as_rows",
    "binary_focal_likelihood",
    "categorical_focal_likelihood",
    "sparse_categorical_focal_likelihood",
]

# Logits of -inf are clipped, so that their energy times a target of 0 is 0.
_MIN_LOGIT = -1e30


def as_rows(
    y_true: tf.Tensor, y_pred: tf.Tensor, axis: int
) -> tuple[tf.Tensor, tf.Tensor]:
    """Reshapes targets and predictions to `[examples, classes]`."""
    y_true, y_pred = require_same_rank(*as_floats(y_true, y_pred)[:2])
    return _rows(y_true, axis), _rows(y_pred, axis)


def as_label_rows(
    y_true: tf.Tensor, y_pred: tf.Tensor, axis: int
) -> tuple[tf.Tensor, tf.Tensor]:
    """Reshapes integer labels to `[examples]`, predictions to `[examples, classes]`."""
    labels = tf.reshape(integer_labels(y_true, y_pred, axis), [-1])
    return labels, _rows(as_floats(0.0, y_pred)[1], axis)


def categorical_focal_likelihood(
    y_true: tf.Tensor,
    y_pred: tf.Tensor,
    gamma: tf.Tensor,
    from_logits: bool,
    label_smoothing: float,
) -> tf.Tensor:
    """Computes `-sum_c y_c log q_c` for each row.

    Args:
        y_true: Targets, `[N, C]`.
        y_pred: Predictions, `[N, C]`.
        gamma: Scalar.
        from_logits: Whether `y_pred` contains logits.
        label_smoothing: Fraction of each target that is spread over all classes.

    Returns:
        Tensor `[N]`.
    """
    y_true = smooth_labels(y_true, label_smoothing, tf.shape(y_pred)[-1])
    logits = y_pred if from_logits else log_probabilities(y_pred)
    logits = tf.maximum(logits, _MIN_LOGIT)
    energy = class_focal_terms(logits, tf.cast(gamma, logits.dtype))
    expected = tf.reduce_sum(y_true * energy, axis=-1)
    total = tf.reduce_sum(y_true, axis=-1)
    return expected + total * tf.reduce_logsumexp(-energy, axis=-1)


def sparse_categorical_focal_likelihood(
    y_true: tf.Tensor,
    y_pred: tf.Tensor,
    gamma: tf.Tensor,
    from_logits: bool,
    label_smoothing: float,
) -> tf.Tensor:
    """Computes `-log q_t` for each row; targets are integer labels `[N]`."""
    targets = tf.one_hot(y_true, tf.shape(y_pred)[-1], dtype=y_pred.dtype)
    return categorical_focal_likelihood(
        targets, y_pred, gamma, from_logits, label_smoothing
    )


def binary_focal_likelihood(
    y_true: tf.Tensor,
    y_pred: tf.Tensor,
    gamma: tf.Tensor,
    from_logits: bool,
    label_smoothing: float,
) -> tf.Tensor:
    """Computes `-y log q - (1 - y) log(1 - q)`, averaged over each row."""
    y_true = smooth_labels(y_true, label_smoothing, 2)
    log_odds = y_pred if from_logits else binary_log_odds(y_pred)
    log_odds = tf.clip_by_value(log_odds, _MIN_LOGIT, -_MIN_LOGIT)
    yes, no = binary_focal_terms(log_odds, tf.cast(gamma, log_odds.dtype))
    values = y_true * yes + (1.0 - y_true) * no + tf.math.softplus(yes - no) - yes
    return tf.reduce_mean(values, axis=-1)


def _rows(tensor: tf.Tensor, axis: int) -> tf.Tensor:
    tensor = move_classes_last(tensor, axis)
    return tf.reshape(tensor, [-1, tf.shape(tensor)[-1]])
